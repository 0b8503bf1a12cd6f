package blob

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"regexp"
	"syscall"

	"gocloud.dev/gcerrors"

	"github.com/panelmatch/panelmatch/engine/provider"
)

// Errors of a Store beside those of package provider.
var (
	// ErrConflict: a conditional write was refused, because a blob is there or is another one. Read again and decide.
	ErrConflict = errors.New("the blob is not in the expected state")
	// ErrBadKey: a key that CheckKey refuses. Final.
	ErrBadKey = errors.New("not a blob key")
	// ErrUnsupported: the storage can't do this. Final.
	ErrUnsupported = errors.New("not supported by this storage")
)

// Error is a failed operation on a Store. Its text has no credentials in it.
// errors.Is finds the class, one of package provider's errors or of those
// above, and the cause.
type Error struct {
	// Op is what was tried: read, write, delete, stat or list.
	Op string
	// Store is Options.Name.
	Store string
	// Key is the blob's key in the store, or the prefix for list.
	Key string
	// Class is one of the errors above, or nil if the cause tells nothing.
	Class error
	cause error
}

// Error returns the text, redacted.
func (e *Error) Error() string {
	where := e.Store
	if where != "" {
		where += ": "
	}
	text := fmt.Sprintf("%s%s %q", where, e.Op, clip(e.Key))
	switch {
	case e.Class == nil:
		return text + ": " + Redact(e.cause.Error())
	case e.cause == nil, e.Class == provider.ErrNotFound, e.Class == ErrConflict: //nolint:errorlint // classes are bare
		// What a driver says of these is its own address of the blob; the key tells as much.
		return text + ": " + e.Class.Error()
	case errors.Is(e.cause, e.Class):
		return text + ": " + Redact(e.cause.Error())
	}
	return text + ": " + e.Class.Error() + ": " + Redact(e.cause.Error())
}

// Unwrap returns class and cause. The cause's own text may have credentials in
// it: print the Error, not what it wraps.
func (e *Error) Unwrap() []error {
	out := make([]error, 0, 2)
	if e.Class != nil {
		out = append(out, e.Class)
	}
	if e.cause != nil {
		out = append(out, e.cause)
	}
	return out
}

// classOf sorts an error of a driver or of the network. It returns nil for an
// error that says nothing about itself.
func classOf(err error) error {
	for _, known := range []error{
		provider.ErrNotFound, provider.ErrPermission, provider.ErrTransient, provider.ErrTooLarge,
		provider.ErrReadOnly, provider.ErrRejected, ErrConflict, ErrBadKey, ErrUnsupported,
	} {
		if errors.Is(err, known) {
			return known
		}
	}
	switch gcerrors.Code(err) {
	case gcerrors.NotFound:
		return provider.ErrNotFound
	case gcerrors.PermissionDenied:
		return provider.ErrPermission
	case gcerrors.FailedPrecondition, gcerrors.AlreadyExists:
		return ErrConflict
	case gcerrors.Unimplemented:
		return ErrUnsupported
	case gcerrors.ResourceExhausted, gcerrors.DeadlineExceeded, gcerrors.Internal:
		return provider.ErrTransient
	case gcerrors.OK, gcerrors.Unknown, gcerrors.InvalidArgument, gcerrors.Canceled:
	}
	switch {
	case errors.Is(err, syscall.EROFS):
		return provider.ErrReadOnly
	case errors.Is(err, fs.ErrNotExist):
		return provider.ErrNotFound
	case errors.Is(err, fs.ErrPermission):
		return provider.ErrPermission
	}
	if class, ok := classOfHTTP(err); ok {
		return class
	}
	if isNetworkFault(err) {
		return provider.ErrTransient
	}
	return nil
}

// classOfHTTP asks errors that know their HTTP status, as those of the AWS SDK do.
func classOfHTTP(err error) (error, bool) {
	var status interface{ HTTPStatusCode() int }
	if !errors.As(err, &status) {
		return nil, false
	}
	switch code := status.HTTPStatusCode(); {
	case code == http.StatusNotFound:
		return provider.ErrNotFound, true
	case code == http.StatusUnauthorized, code == http.StatusForbidden:
		return provider.ErrPermission, true
	case code == http.StatusPreconditionFailed, code == http.StatusConflict:
		return ErrConflict, true
	case code == http.StatusRequestTimeout, code == http.StatusTooManyRequests, code >= 500:
		return provider.ErrTransient, true
	}
	return nil, false
}

func isNetworkFault(err error) bool {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return false
	}
	var operation *net.OpError
	var name *net.DNSError
	if errors.As(err, &operation) || errors.As(err, &name) {
		return true
	}
	// Numbers of the system's errors are of this type too, so that alone says nothing.
	var network net.Error
	if errors.As(err, &network) && network.Timeout() {
		return true
	}
	for _, known := range []error{
		io.ErrUnexpectedEOF, net.ErrClosed,
		syscall.ECONNRESET, syscall.ECONNREFUSED, syscall.ECONNABORTED, syscall.EPIPE, syscall.ETIMEDOUT,
		syscall.EHOSTUNREACH, syscall.ENETUNREACH, syscall.ESTALE, syscall.EINTR, syscall.EAGAIN,
	} {
		if errors.Is(err, known) {
			return true
		}
	}
	return false
}

const redacted = "[redacted]"

// What credentials look like in the texts of drivers and SDKs.
var (
	urlText = regexp.MustCompile(`[a-zA-Z][a-zA-Z0-9+.-]*://[^\s"'<>\x60]+`)
	urlUser = regexp.MustCompile(`^([a-zA-Z][a-zA-Z0-9+.-]*://)[^/?#]*@`)
	urlTail = regexp.MustCompile(`[?#].*$`)
	// Header, connection string or query parameter: a name that speaks of a secret, and what follows it.
	secretPair = regexp.MustCompile(`(?i)\b((?:[a-z0-9_-]*(?:secret|password|passwd|token|signature|credential|accountkey|access[-_]?key(?:[-_]?id)?|api[-_]?key|private[-_]?key)[a-z0-9_-]*|sig|authorization|auth)\\?"?\s*[:=]\s*)(\\?"[^"]*"|(?:(?:bearer|basic|sharedkey|aws4-hmac-sha256)\s+)?[^\s"&;]+)`)
	bearer     = regexp.MustCompile(`(?i)\b(bearer|basic|sharedkey)\s+[a-z0-9+/=._~:-]{8,}`)
	pemBlock   = regexp.MustCompile(`(?s)-----BEGIN [^-]*PRIVATE KEY-----.*?(?:-----END [^-]*-----|$)`)
)

// Redact takes out of a text what may be a credential: user, query and
// fragment of URLs, values that a name calls secret, bearer tokens and private
// keys. It is for texts of other people's software; our own never have any.
func Redact(text string) string {
	text = pemBlock.ReplaceAllLiteralString(text, redacted)
	text = urlText.ReplaceAllStringFunc(text, func(u string) string {
		u = urlUser.ReplaceAllString(u, "${1}"+redacted+"@")
		return urlTail.ReplaceAllLiteralString(u, "?"+redacted)
	})
	text = secretPair.ReplaceAllString(text, "${1}"+redacted)
	return bearer.ReplaceAllString(text, "${1} "+redacted)
}
