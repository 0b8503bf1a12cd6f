// Package diag is the one error type for everything that a person reads about
// a document: a manifest, an override, a workflow, a provider's settings. A
// Diagnostic says where (file, line, column, path), what is wrong, what is
// allowed, and how to go on.
//
// It is not a logger and not a general error package: an error that has no
// place in a document is an ordinary Go error.
package diag

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Severity tells whether a document can be used in spite of a diagnostic.
type Severity int

// The severities. The zero value is Error, so that a forgotten severity fails safe.
const (
	// Error means that the document can't be used.
	Error Severity = iota
	// Warning means that the document can be used, and that someone should look at it.
	Warning
)

// String returns the word that people see: "error" or "warning".
func (s Severity) String() string {
	if s == Warning {
		return "warning"
	}
	return "error"
}

// MarshalText writes the word of String, for JSON output.
func (s Severity) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Code names a kind of fault. Codes are stable: scripts may match on them.
type Code string

// The codes. Each is explained where it is produced.
const (
	CodeSyntax      Code = "syntax"            // the text is not YAML, JSON or CUE
	CodeRead        Code = "read"              // a file can't be read
	CodeDuplicate   Code = "duplicate"         // a key is given twice
	CodeNull        Code = "null"              // a key has no value
	CodeUnknown     Code = "unknown-setting"   // no such setting
	CodeKind        Code = "wrong-kind"        // a map where a list belongs, and the like
	CodeValue       Code = "bad-value"         // the value is not among the allowed ones
	CodeMissing     Code = "missing"           // a required setting is absent
	CodeOneOf       Code = "one-of"            // none, or more than one, of alternatives
	CodeRule        Code = "rule"              // a rule across fields is broken
	CodeLayer       Code = "layer"             // a layer sets what it may not set
	CodeNotInBuild  Code = "not-in-this-build" // the schema knows it, this binary does not
	CodeGraph       Code = "graph"             // nodes don't fit together
	CodeMissingNode Code = "missing-node"      // a node needs one that nobody provides
	CodeCycle       Code = "cycle"             // nodes need each other in a circle
	CodeRisk        Code = "risk"              // allowed, and worth a second look
)

// Position is a place in a document. The zero Position means that no place is known.
type Position struct {
	// File is what the user called the file, or the name of another source of
	// settings such as "env PANELMATCH__RUN__MODE" or "--set #2".
	File string `json:"file,omitempty"`
	// Line and Column count from 1; 0 means unknown. Column counts characters, not bytes.
	Line   int `json:"line,omitempty"`
	Column int `json:"column,omitempty"`
	// Layer is the index of the layer that the file belongs to, 0 first. It decides the order of
	// diagnostics, because a later layer often explains an earlier one.
	Layer int `json:"layer,omitempty"`
}

// IsValid reports whether p names at least a file.
func (p Position) IsValid() bool { return p.File != "" }

// String returns file:line:col, leaving out what is not known.
func (p Position) String() string {
	switch {
	case p.Line == 0:
		return p.File
	case p.Column == 0:
		return fmt.Sprintf("%s:%d", p.File, p.Line)
	default:
		return fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Column)
	}
}

// Compare orders positions by layer, file, line and column; unknown places come last.
func (p Position) Compare(q Position) int {
	if p.IsValid() != q.IsValid() {
		if p.IsValid() {
			return -1
		}
		return 1
	}
	return cmp.Or(
		cmp.Compare(p.Layer, q.Layer),
		cmp.Compare(p.File, q.File),
		cmp.Compare(p.Line, q.Line),
		cmp.Compare(p.Column, q.Column),
	)
}

// Related is a second place that helps to understand a Diagnostic, such as
// the first of two equal keys.
type Related struct {
	Pos     Position `json:"pos"`
	Message string   `json:"message"`
}

// Diagnostic is one fault, told to a person. All texts are lower case, have no
// full stop at the end, and never contain a secret: whoever makes a Diagnostic
// masks first.
type Diagnostic struct {
	Severity Severity `json:"severity"`
	Code     Code     `json:"code"`
	// Path is the setting's path as a user writes it, such as
	// exchanges."rx.2".shared; empty if the fault concerns the whole document.
	Path string   `json:"path,omitempty"`
	Pos  Position `json:"pos"`
	// Message is one sentence: what was found and what is allowed.
	Message string `json:"message"`
	// Allowed lists what may stand there instead, if that is a list of words; most useful first.
	Allowed []string `json:"allowed,omitempty"`
	// DidYouMean is the closest allowed word, or empty.
	DidYouMean string `json:"didYouMean,omitempty"`
	// Hint says what to do, or what the setting is for; it may be empty.
	Hint    string    `json:"hint,omitempty"`
	Related []Related `json:"related,omitempty"`
	// Source is the text of the line at Pos with secrets masked; empty if there is none. For a place
	// without lines (an environment variable) it is the whole text.
	Source string `json:"source,omitempty"`
	// Span is the number of characters from Pos.Column on that the fault is about; 0 means one.
	Span int `json:"span,omitempty"`
	// Caret is the column of the fault in Source if masking moved it; 0 if it is Pos.Column, negative if
	// there is none.
	Caret int `json:"caret,omitempty"`
}

// Error returns position, path, message and the allowed words in one line.
func (d Diagnostic) Error() string {
	var b strings.Builder
	if d.Pos.IsValid() {
		b.WriteString(d.Pos.String())
		b.WriteString(": ")
	}
	if d.Path != "" {
		b.WriteString(d.Path)
		b.WriteString(": ")
	}
	b.WriteString(d.Message)
	if len(d.Allowed) > 0 {
		b.WriteString("; allowed: ")
		b.WriteString(strings.Join(d.Allowed, ", "))
	}
	return b.String()
}

// List is any number of diagnostics. A List with an Error in it is an error
// (see Err); a List of warnings is not.
type List []Diagnostic

// Sort orders the list by position, path and code, so that no map order
// decides what a person sees, and drops exact repetitions (same code, path
// and position).
func (l *List) Sort() {
	slices.SortStableFunc(*l, func(a, b Diagnostic) int {
		return cmp.Or(
			a.Pos.Compare(b.Pos),
			cmp.Compare(a.Path, b.Path),
			cmp.Compare(a.Code, b.Code),
			cmp.Compare(a.Message, b.Message),
		)
	})
	*l = slices.CompactFunc(*l, func(a, b Diagnostic) bool {
		return a.Code == b.Code && a.Path == b.Path && a.Pos == b.Pos && a.Severity == b.Severity
	})
}

// HasErrors reports whether at least one diagnostic is an Error.
func (l List) HasErrors() bool {
	return slices.ContainsFunc(l, func(d Diagnostic) bool { return d.Severity == Error })
}

// Count returns the number of errors and warnings.
func (l List) Count() (errs, warnings int) {
	for _, d := range l {
		if d.Severity == Error {
			errs++
		} else {
			warnings++
		}
	}
	return errs, warnings
}

// Err returns l as an error if it has at least one Error, else nil.
func (l List) Err() error {
	if !l.HasErrors() {
		return nil
	}
	return listError(l)
}

// FromError finds the List that Err put into err, or nil.
func FromError(err error) List {
	var l listError
	if errors.As(err, &l) {
		return List(l)
	}
	return nil
}

type listError List

// Error returns one line per error; warnings are no reason to fail.
func (l listError) Error() string {
	var lines []string
	for _, d := range l {
		if d.Severity == Error {
			lines = append(lines, d.Error())
		}
	}
	return strings.Join(lines, "\n")
}
