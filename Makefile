# Everything that is done to this repository. `make help` lists it.
#
# Only Go and make are needed for build, demo and test. Tools with dependencies of their own live in
# modules below .tools, so that they never enter the product's.

SHELL := /bin/bash
GO    ?= go

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo devel)
LDFLAGS := -s -w -X main.version=$(VERSION)

LINT   := $(GO) tool -modfile=.tools/lint/go.mod golangci-lint
# What a `go test` needs to print little when all is well.
TESTFLAGS ?=

.PHONY: help
help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 20

.PHONY: build
build: ## bin/panelmatch, static
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/panelmatch ./cmd/panelmatch

.PHONY: test
test: ## everything that needs only Go: vet, unit, conformance and command-line tests
	$(GO) vet ./...
	$(GO) test $(TESTFLAGS) ./...

.PHONY: test-integration
test-integration: lint check-generated ## tests against real servers and tools, lint, and that generated code is current
	$(GO) test $(TESTFLAGS) -tags integration -count=1 ./...

.PHONY: test-long
test-long: ## soaks, long fuzzing, the race detector
	$(GO) test $(TESTFLAGS) -race -count=1 ./...
	$(GO) test $(TESTFLAGS) -tags 'integration long' -count=1 -timeout 2h ./...
	$(MAKE) fuzz FUZZTIME=5m

FUZZTIME ?= 20s
.PHONY: fuzz
fuzz: ## every fuzz target for FUZZTIME (20s)
	@set -e; for pkg in $$($(GO) list ./...); do \
	  for f in $$($(GO) test -list '^Fuzz' $$pkg | grep '^Fuzz' || true); do \
	    echo "$$pkg $$f"; $(GO) test -run '^$$' -fuzz "^$$f$$" -fuzztime $(FUZZTIME) $$pkg; \
	  done; \
	done

.PHONY: bench
bench: ## all benchmarks, once
	$(GO) test -run '^$$' -bench . -benchmem ./...

.PHONY: generate
generate: ## everything that is generated and checked in
	./schema/wire/generate.sh

.PHONY: check-generated
check-generated: generate ## fail if generated files are not what `make generate` makes
	@if [ -n "$$(git status --porcelain -- schema)" ]; then \
	  echo "generated files are stale; run 'make generate' and commit:"; git status --short -- schema; git diff --stat -- schema; exit 1; fi

.PHONY: lint
lint: ## golangci-lint at the version that .tools/lint pins
	$(LINT) run ./...

.PHONY: fmt
fmt: ## format Go and CUE
	$(LINT) fmt ./...
	cd schema && $(GO) tool cue fmt ./...

.PHONY: image
image: ## container image, with a Docker engine
	docker build --build-arg VERSION=$(VERSION) -t panelmatch:$(VERSION) .

.PHONY: clean
clean: ## remove what the other targets made
	rm -rf bin dist
