package coordinator

import "errors"

// ErrSuperseded says that an attempt is no longer the current one of its step.
var ErrSuperseded = errors.New("the attempt is no longer the current one")
