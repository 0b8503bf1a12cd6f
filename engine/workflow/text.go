package workflow

import (
	"regexp"
	"strconv"
	"strings"

	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/panelmatch/panelmatch/schema/diag"
	"github.com/panelmatch/panelmatch/schema/wire/batchpb"
	"github.com/panelmatch/panelmatch/schema/wire/internalpb"
	"github.com/panelmatch/panelmatch/schema/wire/v2alpha"
)

// nesting is the deepest that messages in a text may be nested. A workflow needs five levels.
const nesting = 20

// anyTypes knows what a google.protobuf.Any in a workflow may hold, and nothing else.
func anyTypes() *protoregistry.Types {
	types := &protoregistry.Types{}
	// The only error is a second registration of the name.
	_ = types.RegisterMessage((&batchpb.Parameters{}).ProtoReflect().Type())
	return types
}

func (d *Document) parseText() (*Workflow, diag.List) {
	d.positions = textPositions(d.Name, string(d.Received))
	options := prototext.UnmarshalOptions{Resolver: anyTypes(), RecursionLimit: nesting}
	if d.Format == V2AlphaText {
		message := &v2alpha.ExchangeWorkflow{}
		if err := options.Unmarshal(d.Received, message); err != nil {
			return nil, diag.List{syntaxFault(d.Name, err, message)}
		}
		return FromV2Alpha(message)
	}
	message := &internalpb.ExchangeWorkflow{}
	if err := options.Unmarshal(d.Received, message); err != nil {
		return nil, diag.List{syntaxFault(d.Name, err, message)}
	}
	return FromInternal(message)
}

var (
	errorPlace   = regexp.MustCompile(`\(line (\d+):(\d+)\): `)
	unknownField = regexp.MustCompile(`unknown field:? "?([A-Za-z0-9_]+)`)
)

// syntaxFault makes a diagnostic of an error of the protobuf library's text and JSON parsers.
func syntaxFault(name string, err error, message proto.Message) diag.Diagnostic {
	out := diag.Diagnostic{Code: diag.CodeSyntax, Pos: diag.Position{File: name}}
	text := strings.TrimPrefix(plain(err), "syntax error ")
	if at := errorPlace.FindStringSubmatchIndex(text); at != nil {
		out.Pos.Line, _ = strconv.Atoi(text[at[2]:at[3]])
		out.Pos.Column, _ = strconv.Atoi(text[at[4]:at[5]])
		text = text[:at[0]] + text[at[1]:]
	}
	if found := unknownField.FindStringSubmatch(text); found != nil {
		out.Code = diag.CodeUnknown
		out.DidYouMean, _ = diag.Closest(found[1], fieldNames(message))
	}
	out.Message = shorten(text)
	return out
}

// textPositions finds where each step of a text proto begins. It reads only
// as much of the language as that takes: braces, strings and comments.
func textPositions(name, text string) map[string]diag.Position {
	positions := map[string]diag.Position{}
	depth, line, start := 0, 1, 0
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '\n':
			line, start = line+1, i+1
		case c == '#':
			for i+1 < len(text) && text[i+1] != '\n' {
				i++
			}
		case c == '"' || c == '\'':
			for i++; i < len(text) && text[i] != c && text[i] != '\n'; i++ {
				if text[i] == '\\' {
					i++
				}
			}
		case c == '{' || c == '<':
			depth++
		case c == '}' || c == '>':
			depth--
		case depth == 0 && strings.HasPrefix(text[i:], "steps"):
			if len(positions) < MaxSteps {
				positions[stepPath(len(positions))] = diag.Position{File: name, Line: line, Column: i - start + 1}
			}
			i += len("steps") - 1
		}
	}
	return positions
}
