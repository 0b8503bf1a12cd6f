#!/bin/sh
# Makes the Go code of the .proto files below this directory. Needs only Go;
# offline once the modules that .tools/proto/go.mod pins are in the cache.
set -eu
wire=$(CDPATH= cd -- "$(dirname -- "$0")" && pwd)
tools=$(CDPATH= cd -- "$wire/../../.tools/proto" && pwd)
cd "$tools"
exec "${GO:-go}" run . -dir "$wire" -modfile "$tools/go.mod"
