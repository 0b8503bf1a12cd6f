package workflow

import (
	"crypto/sha256"
	"encoding/hex"

	"github.com/panelmatch/panelmatch/schema/diag"
)

// Format is a form in which a workflow is written down.
type Format string

// The formats.
const (
	// Auto asks Parse to find out. It is for files that a person names; what comes from storage, a partner or a
	// Kingdom has a known format, and must not be guessed at.
	Auto Format = ""
	// V2AlphaBinary and InternalBinary are what daemons store and fingerprint, with and without a Kingdom.
	V2AlphaBinary  Format = "v2alpha-binary"
	InternalBinary Format = "internal-binary"
	// V2AlphaText and InternalText are text protos.
	V2AlphaText  Format = "v2alpha-text"
	InternalText Format = "internal-text"
	// JSON, YAML and CUE are the internal schema in proto3's JSON form.
	JSON Format = "json"
	YAML Format = "yaml"
	// CUE is evaluated, which can take as long and as much as its author likes: parse it only from a file of one's own.
	CUE Format = "cue"
)

// Formats lists the formats, Auto not among them.
func Formats() []Format {
	return []Format{V2AlphaBinary, InternalBinary, V2AlphaText, InternalText, JSON, YAML, CUE}
}

// Fingerprint is the SHA-256 of a workflow's bytes, as checkpoints and
// validation compare it.
type Fingerprint [sha256.Size]byte

// FingerprintOf returns the fingerprint of received bytes.
func FingerprintOf(received []byte) Fingerprint { return sha256.Sum256(received) }

// String returns the fingerprint in hexadecimal.
func (f Fingerprint) String() string { return hex.EncodeToString(f[:]) }

// Document is a workflow together with the bytes that it came in.
type Document struct {
	// Name is what the user called the file, or empty.
	Name string
	// Format is how Received is written; never Auto.
	Format Format
	// Received are the exact bytes. They must be stored and passed on as they are: encoding the workflow again can
	// give other bytes, and another fingerprint.
	Received []byte
	// Fingerprint is that of Received. Only in the two binary formats is it the one that partners compare.
	Fingerprint Fingerprint
	// Workflow is nil if the document has errors.
	Workflow *Workflow

	positions map[string]diag.Position
}

// Lint returns what Workflow.Lint finds, with file and, where known, line.
func (d *Document) Lint() diag.List {
	if d.Workflow == nil {
		return nil
	}
	return d.place(d.Workflow.Lint())
}
