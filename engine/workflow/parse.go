package workflow

import (
	"bytes"
	"fmt"
	"path"
	"regexp"
	"strings"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/panelmatch/panelmatch/schema/diag"
	"github.com/panelmatch/panelmatch/schema/wire/internalpb"
	"github.com/panelmatch/panelmatch/schema/wire/v2alpha"
)

// ParseOptions say what is known about the bytes.
type ParseOptions struct {
	// Name is what the user called the file; it is shown in diagnostics, and its suffix tells the format.
	Name string
	// Format is the format, or Auto.
	Format Format
}

// Parse reads a workflow. The Document is never nil; its Workflow is nil if
// there is an error among the diagnostics. Warnings and a Workflow come
// together. Parse checks only what a Workflow can't do without (see
// FromInternal); Document.Lint checks the rest.
//
// Parse is safe on hostile bytes, unless it is told, or guesses, that they are
// CUE.
func Parse(received []byte, options ParseOptions) (*Document, diag.List) {
	d := &Document{Name: options.Name, Format: options.Format, Received: bytes.Clone(received), Fingerprint: FingerprintOf(received)}
	f := &faults{}
	if len(received) > MaxBytes {
		f.add(diag.CodeRead, "", "the workflow is larger than %d bytes", MaxBytes)
		return d, d.place(f.list)
	}
	if d.Format == Auto {
		format, why := Detect(received, options.Name)
		if d.Format = format; format == Auto {
			f.add(diag.CodeSyntax, "", "%s", why).hint("say which format it is")
			return d, d.place(f.list)
		}
	}
	var list diag.List
	switch d.Format {
	case V2AlphaBinary, InternalBinary:
		d.Workflow, list = parseBinary(received, d.Format)
	case V2AlphaText, InternalText:
		d.Workflow, list = d.parseText()
	case JSON, YAML, CUE:
		d.Workflow, list = d.parseCUE()
	default:
		f.add(diag.CodeValue, "", "%q is no workflow format; %s are allowed", shorten(string(d.Format)), formatNames())
		list = f.list
	}
	return d, d.place(list)
}

func formatNames() string {
	var names []string
	for _, f := range Formats() {
		names = append(names, string(f))
	}
	return strings.Join(names, ", ")
}

func parseBinary(received []byte, format Format) (*Workflow, diag.List) {
	f := &faults{}
	if n := countSteps(received); n > MaxSteps {
		f.add(diag.CodeRule, "steps", "there are %d steps; at most %d are allowed", n, MaxSteps)
		return nil, f.list
	}
	if len(received) == 0 {
		f.add(diag.CodeSyntax, "", "the workflow is empty")
		return nil, f.list
	}
	if format == V2AlphaBinary {
		message := &v2alpha.ExchangeWorkflow{}
		if err := proto.Unmarshal(received, message); err != nil {
			f.add(diag.CodeSyntax, "", "the bytes are no workflow of the v2alpha schema: %s", plain(err))
			return nil, f.list
		}
		return FromV2Alpha(message)
	}
	message := &internalpb.ExchangeWorkflow{}
	if err := proto.Unmarshal(received, message); err != nil {
		f.add(diag.CodeSyntax, "", "the bytes are no workflow of the internal schema: %s", plain(err))
		return nil, f.list
	}
	return FromInternal(message)
}

// countSteps counts the steps without decoding them, so that a few bytes can't make many objects.
func countSteps(received []byte) int {
	steps := 0
	eachField(received, func(number protowire.Number, kind protowire.Type, _ []byte) {
		if number == 1 && kind == protowire.BytesType {
			steps++
		}
	})
	return steps
}

// eachField calls f for each top-level field of wire, with the content of those that are length-delimited. It stops
// at damage.
func eachField(wire []byte, f func(number protowire.Number, kind protowire.Type, content []byte)) {
	for len(wire) > 0 {
		number, kind, n := protowire.ConsumeTag(wire)
		if n < 0 {
			return
		}
		wire = wire[n:]
		if n = protowire.ConsumeFieldValue(number, kind, wire); n < 0 {
			return
		}
		content := wire[:n]
		if kind == protowire.BytesType {
			content, _ = protowire.ConsumeBytes(content)
		}
		f(number, kind, content)
		wire = wire[n:]
	}
}

// Detect finds out a workflow's format from its bytes and the name of its
// file, which may be empty. If it can't, it returns Auto and the reason. It
// does not tell whether the workflow is any good, and evaluates nothing.
func Detect(received []byte, name string) (Format, string) {
	if len(received) == 0 {
		return Auto, "the workflow is empty"
	}
	if !isText(received) {
		return detectBinary(received)
	}
	switch strings.ToLower(path.Ext(strings.ReplaceAll(name, `\`, "/"))) {
	case ".textproto", ".txtpb", ".pbtxt", ".prototxt", ".textpb":
		return detectText(received), ""
	case ".json":
		return JSON, ""
	case ".yaml", ".yml":
		return YAML, ""
	case ".cue":
		return CUE, ""
	}
	body := afterComments(received)
	switch {
	case protoHeader.Match(received), protoText.Match(body):
		return detectText(received), ""
	case bytes.HasPrefix(body, []byte("{")):
		return JSON, ""
	case cueText.Match(body):
		return CUE, ""
	case yamlText.Match(body):
		return YAML, ""
	}
	return Auto, "can't tell the format of the workflow from its content"
}

var (
	protoHeader = regexp.MustCompile(`^#\s*proto-(file|message):`)
	protoText   = regexp.MustCompile(`^(steps|exchange_identifiers|first_exchange_date|repetition_schedule)\s*:?\s*[{<]`)
	cueText     = regexp.MustCompile(`^(package|import)\s|^(steps|exchangeIdentifiers|firstExchangeDate|repetitionSchedule)\s*:\s*[{[]`)
	yamlText    = regexp.MustCompile(`^(---\s|[A-Za-z_]+:(\s|$))`)
	// ownIDs and publicIDs are the field names in which the two schemas differ.
	ownIDs    = regexp.MustCompile(`\b(data|model)_provider_id\s*:`)
	publicIDs = regexp.MustCompile(`\b(data|model)_provider\s*:`)
)

// isText reports whether b is text. A binary workflow never is: the tags of its fields are control characters.
func isText(b []byte) bool {
	if !utf8.Valid(b) {
		return false
	}
	for _, c := range b {
		if c < ' ' && c != '\t' && c != '\n' && c != '\r' || c == 0x7f {
			return false
		}
	}
	return len(bytes.TrimSpace(b)) > 1
}

// afterComments drops a byte order mark, white space, and lines that are a comment in any of the formats.
func afterComments(b []byte) []byte {
	b = bytes.TrimPrefix(b, []byte("\ufeff"))
	for {
		b = bytes.TrimLeft(b, " \t\r\n")
		if !bytes.HasPrefix(b, []byte("#")) && !bytes.HasPrefix(b, []byte("//")) {
			return b
		}
		_, b, _ = bytes.Cut(b, []byte("\n"))
	}
}

// detectText tells the schemas apart by how the parties are named. Where no party is named, v2alpha is meant: it is
// what the reference's own files are written in, and the steps are the same.
func detectText(text []byte) Format {
	text = stripLineComments(text)
	if ownIDs.Match(text) && !publicIDs.Match(text) {
		return InternalText
	}
	return V2AlphaText
}

func stripLineComments(text []byte) []byte {
	var out []byte
	for line := range bytes.Lines(text) {
		if !bytes.HasPrefix(bytes.TrimSpace(line), []byte("#")) {
			out = append(out, line...)
		}
	}
	return out
}

// detectBinary tells the schemas apart by the exchange identifiers: the
// owner of shared storage is field 4 in one and field 3 in the other, and names are text at 1 and 2, or 2 and 3.
func detectBinary(received []byte) (Format, string) {
	var ids []byte
	eachField(received, func(number protowire.Number, kind protowire.Type, content []byte) {
		if number == 2 && kind == protowire.BytesType {
			ids = append(ids, content...)
		}
	})
	own, public := 0, 0
	eachField(ids, func(number protowire.Number, kind protowire.Type, content []byte) {
		switch {
		case kind == protowire.BytesType && number == 1, kind == protowire.VarintType && number == 3:
			own++
		case kind == protowire.BytesType && number == 3, kind == protowire.VarintType && number == 5,
			kind == protowire.BytesType && number == 2 && bytes.HasPrefix(content, []byte(dataProviders)):
			public++
		}
	})
	switch {
	case public > 0 && own == 0:
		return V2AlphaBinary, ""
	case own > 0 && public == 0:
		return InternalBinary, ""
	case len(ids) == 0:
		return Auto, "the bytes are no workflow, or one without exchange identifiers"
	}
	return Auto, fmt.Sprintf("can't tell which of the two schemas the workflow's %d bytes are in", len(received))
}
