// Package failure sorts errors: what a retry may mend, what none will, and
// what a partner may read about it. Every failure has two texts: the partner's
// (a code and a general sentence) and ours (all of it, in our own log).
//
// It does not retry and does not report: package exchange does.
package failure

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/panelmatch/panelmatch/engine/provider"
)

// Class says what can be done about an error.
type Class int

// The classes. The zero value is Transient: an error that nobody sorted is tried again.
const (
	// Transient errors may pass: the attempt is retried in place, then reported as FAILED.
	Transient Class = iota
	// Permanent errors come again however often the same bytes are tried: FAILED_STEP.
	Permanent
	// Configuration errors pass when an operator changes something on this side: reported as
	// FAILED, and tried again with growing pauses, never in place.
	Configuration
)

// String returns the word that logs and metrics use.
func (c Class) String() string {
	switch c {
	case Permanent:
		return "permanent"
	case Configuration:
		return "configuration"
	default:
		return "transient"
	}
}

// Code names a kind of failure. Partners and scripts may see it.
type Code string

// The codes, each with the sentence that a partner reads (see Sentence).
const (
	CodeInternal         Code = "internal"
	CodeStorage          Code = "storage"
	CodePermission       Code = "permission"
	CodeKMS              Code = "kms"
	CodeCertificate      Code = "certificate"
	CodeSignature        Code = "signature"
	CodeWorkflowMissing  Code = "workflow-missing"
	CodeWorkflowMismatch Code = "workflow-mismatch"
	CodeWorkflow         Code = "workflow"
	CodeNotYours         Code = "not-our-step"
	CodeDate             Code = "date"
	CodeMissingInput     Code = "missing-input"
	CodeBadInput         Code = "bad-input"
	CodeLimit            Code = "limit"
	CodeOverlap          Code = "overlap"
	CodeUnsupported      Code = "unsupported-step"
	CodeTimeout          Code = "timeout"
	CodeShutdown         Code = "shutdown"
	CodeCheckpoint       Code = "checkpoint"
)

// sentence returns the general sentence for a code.
func (c Code) sentence() string {
	switch c {
	case CodeStorage:
		return "storage could not be read or written"
	case CodePermission:
		return "storage or another service refused access"
	case CodeKMS:
		return "a private key could not be sealed or opened"
	case CodeCertificate:
		return "an exchange certificate could not be made, found or accepted"
	case CodeSignature:
		return "a shared blob is not signed by who should have signed it"
	case CodeWorkflowMissing:
		return "no workflow is stored for this recurring exchange"
	case CodeWorkflowMismatch:
		return "the stored workflow is not the one that was claimed"
	case CodeWorkflow:
		return "the workflow can't be run"
	case CodeNotYours:
		return "the step belongs to the other party"
	case CodeDate:
		return "the exchange date is outside the workflow's dates"
	case CodeMissingInput:
		return "an input of the step is missing"
	case CodeBadInput:
		return "an input of the step is not what the step takes"
	case CodeLimit:
		return "a configured limit is exceeded"
	case CodeOverlap:
		return "too many join keys, or too many new ones"
	case CodeUnsupported:
		return "this client does not run steps of this type"
	case CodeTimeout:
		return "the step took longer than it may"
	case CodeShutdown:
		return "the daemon was stopped"
	case CodeCheckpoint:
		return "a checkpoint can't be accepted"
	case CodeInternal:
	}
	return "the step failed"
}

// Error is an error with its class and code. Make one with New.
type Error struct {
	Class Class
	Code  Code
	err   error
}

// New sorts err. It returns nil for a nil err.
func New(class Class, code Code, err error) error {
	if err == nil {
		return nil
	}
	return &Error{Class: class, Code: code, err: err}
}

// Permanentf makes a Permanent error from a message in the manner of fmt.Errorf.
func Permanentf(code Code, format string, args ...any) error {
	return New(Permanent, code, fmt.Errorf(format, args...))
}

// Configurationf makes a Configuration error from a message in the manner of fmt.Errorf.
func Configurationf(code Code, format string, args ...any) error {
	return New(Configuration, code, fmt.Errorf(format, args...))
}

// Transientf makes a Transient error from a message in the manner of fmt.Errorf.
func Transientf(code Code, format string, args ...any) error {
	return New(Transient, code, fmt.Errorf(format, args...))
}

// Error returns our text: all of it.
func (e *Error) Error() string { return e.err.Error() }

// Unwrap returns what was sorted.
func (e *Error) Unwrap() error { return e.err }

// Of returns class and code of err. The outermost Error in its chain decides;
// an error that nobody sorted is sorted by what the providers' errors say.
func Of(err error) (Class, Code) {
	var e *Error
	switch {
	case errors.As(err, &e):
		return e.Class, e.Code
	case errors.Is(err, context.DeadlineExceeded):
		return Transient, CodeTimeout
	case errors.Is(err, context.Canceled):
		return Transient, CodeShutdown
	case errors.Is(err, provider.ErrTransient):
		return Transient, CodeStorage
	case errors.Is(err, provider.ErrPermission), errors.Is(err, fs.ErrPermission), errors.Is(err, provider.ErrReadOnly):
		return Configuration, CodePermission
	case errors.Is(err, provider.ErrTooLarge):
		return Permanent, CodeLimit
	case errors.Is(err, provider.ErrRejected):
		return Configuration, CodeKMS
	case errors.Is(err, provider.ErrNotFound):
		return Transient, CodeMissingInput
	}
	return Transient, CodeInternal
}

// Public returns the partner's text: the code and a general sentence, nothing
// of the error's own words.
func Public(err error) string {
	_, code := Of(err)
	return string(code) + ": " + code.sentence()
}
