package blob

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// MaxKeyLength is how long a key may be, in bytes, with its prefix: what
// Google Cloud Storage and Amazon S3 take.
const MaxKeyLength = 1024

// maxSegmentLength is what common file systems take for one name.
const maxSegmentLength = 255

// CheckKey reports whether key may name a blob: UTF-8 of at most MaxKeyLength
// bytes, segments between single slashes, none of them empty, "." or "..", no
// control characters and no backslash. Keys come from workflows and from the
// partner; a key that passes can't lead out of its prefix on any storage.
func CheckKey(key string) error {
	if len(key) > MaxKeyLength {
		return fmt.Errorf("blob key %q is %d bytes long; at most %d are allowed", clip(key), len(key), MaxKeyLength)
	}
	for segment := range strings.SplitSeq(key, "/") {
		if err := checkSegment(segment); err != nil {
			return fmt.Errorf("blob key %q %w", clip(key), err)
		}
	}
	return nil
}

// CheckLabel reports whether a workflow may name a blob so: a key by CheckKey
// which is none of the blobs that the engine keeps beside the labelled ones
// (done markers, signatures).
func CheckLabel(label string) error {
	if err := CheckKey(label); err != nil {
		return err
	}
	if strings.HasSuffix(label, signatureSuffix) {
		return fmt.Errorf("blob key %q ends in %s, which is kept for signatures", clip(label), signatureSuffix)
	}
	if inDirectory(label, doneDirectory) {
		return fmt.Errorf("blob key %q is in %s, which is kept for the marks of finished steps", clip(label), doneDirectory)
	}
	return nil
}

// CheckSharedLabel is CheckLabel for a blob in shared storage, where
// checkpoints and certificates have their place as well.
func CheckSharedLabel(label string) error {
	if err := CheckLabel(label); err != nil {
		return err
	}
	for _, dir := range []string{checkpointsDir, certificatesDir} {
		if inDirectory(label, dir) {
			return fmt.Errorf("blob key %q is in %s, which is kept for the parties' own", clip(label), dir)
		}
	}
	return nil
}

// inDirectory also holds for the directory's own name: on a file system a blob
// of that name would be in the way.
func inDirectory(key, dir string) bool {
	return strings.HasPrefix(key, dir) || key+"/" == dir
}

var (
	errEmptySegment = errors.New("has an empty segment; segments stand between single slashes")
	errDotSegment   = errors.New("has a segment . or .., which could lead elsewhere")
	errNotUTF8      = errors.New("is not valid UTF-8")
	errBadCharacter = errors.New("has a control character or a backslash")
	errLongSegment  = fmt.Errorf("has a segment of more than %d bytes", maxSegmentLength)
)

func checkSegment(s string) error {
	switch {
	case s == "":
		return errEmptySegment
	case s == "." || s == "..":
		return errDotSegment
	case len(s) > maxSegmentLength:
		return errLongSegment
	case strings.Contains(s, "/"):
		return errors.New("has a slash; it stands for one path segment")
	case !utf8.ValidString(s):
		return errNotUTF8
	case strings.ContainsFunc(s, func(r rune) bool { return r == '\\' || unicode.IsControl(r) }):
		return errBadCharacter
	}
	return nil
}

// clip shortens text from elsewhere for an error.
func clip(s string) string {
	const most = 120
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}
