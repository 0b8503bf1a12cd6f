package workflow

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"

	"cuelang.org/go/cue"
	"cuelang.org/go/cue/ast"
	"cuelang.org/go/cue/cuecontext"
	"cuelang.org/go/cue/errors"
	"cuelang.org/go/encoding/yaml"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/panelmatch/panelmatch/schema/diag"
	"github.com/panelmatch/panelmatch/schema/wire/batchpb"
	"github.com/panelmatch/panelmatch/schema/wire/internalpb"
)

// parseCUE reads the formats that are JSON in the end. Positions in
// diagnostics are those of the file that was read.
func (d *Document) parseCUE() (*Workflow, diag.List) {
	data := d.Received
	if d.Format == JSON {
		d.positions = positionsIn(data, d.Name)
	} else {
		var list diag.List
		if data, list = d.evaluate(); list.HasErrors() {
			return nil, list
		}
	}
	message := &internalpb.ExchangeWorkflow{}
	err := protojson.UnmarshalOptions{Resolver: anyTypes(), RecursionLimit: nesting}.Unmarshal(data, message)
	if err != nil {
		fault := syntaxFault(d.Name, err, message)
		if d.Format != JSON {
			// The place is one in the JSON that nobody saw; its path leads to the place in the file.
			fault.Path = pathAt(data, fault.Pos)
			fault.Pos = diag.Position{}
		}
		return nil, diag.List{fault}
	}
	return FromInternal(message)
}

// evaluate turns YAML or CUE into JSON, and notes where values came from.
func (d *Document) evaluate() ([]byte, diag.List) {
	ctx := cuecontext.New()
	var value cue.Value
	if d.Format == YAML {
		file, err := yaml.Extract(d.Name, d.Received)
		if err != nil {
			return nil, d.cueFaults(err)
		}
		// A repeated key would otherwise be united with the first.
		if list := duplicateKeys(d.Name, file); list.HasErrors() {
			return nil, list
		}
		value = ctx.BuildFile(file)
	} else {
		value = ctx.CompileBytes(d.Received, cue.Filename(d.Name))
	}
	if err := value.Validate(cue.Concrete(true)); err != nil {
		return nil, d.cueFaults(err)
	}
	d.positions = map[string]diag.Position{}
	value.Walk(func(v cue.Value) bool {
		if pos := v.Pos().Position(); pos.Line > 0 {
			d.positions[v.Path().String()] = diag.Position{File: d.Name, Line: pos.Line, Column: pos.Column}
		}
		return true
	}, nil)
	out, err := value.MarshalJSON()
	if err != nil {
		return nil, d.cueFaults(err)
	}
	if len(out) > MaxBytes {
		return nil, diag.List{{Code: diag.CodeRead, Message: fmt.Sprintf("the workflow evaluates to more than %d bytes", MaxBytes)}}
	}
	return out, nil
}

// cueFaults turns CUE's errors into at most ten diagnostics.
func (d *Document) cueFaults(err error) diag.List {
	const most = 10
	var list diag.List
	for _, e := range errors.Errors(err) {
		format, args := e.Msg()
		fault := diag.Diagnostic{Code: diag.CodeSyntax, Message: shorten(fmt.Sprintf(format, args...)), Pos: diag.Position{File: d.Name}}
		fault.Path = cuePath(e.Path())
		if positions := errors.Positions(e); len(positions) > 0 {
			pos := positions[0].Position()
			fault.Pos.Line, fault.Pos.Column = pos.Line, pos.Column
		}
		if list = append(list, fault); len(list) == most {
			break
		}
	}
	return list
}

func cuePath(names []string) string {
	var selectors []cue.Selector
	for _, name := range names {
		selectors = append(selectors, cue.ParsePath(name).Selectors()...)
	}
	path := cue.MakePath(selectors...)
	if path.Err() != nil {
		return ""
	}
	return path.String()
}

// duplicateKeys reports keys that a YAML map has twice.
func duplicateKeys(name string, file *ast.File) diag.List {
	var list diag.List
	check := func(declarations []ast.Decl) {
		first := map[string]diag.Position{}
		for _, declaration := range declarations {
			field, ok := declaration.(*ast.Field)
			if !ok {
				continue
			}
			key, _, err := ast.LabelName(field.Label)
			if err != nil {
				continue
			}
			at := field.Label.Pos().Position()
			pos := diag.Position{File: name, Line: at.Line, Column: at.Column}
			if before, ok := first[key]; ok {
				list = append(list, diag.Diagnostic{
					Code: diag.CodeDuplicate, Pos: pos,
					Message: fmt.Sprintf("key %q is given twice", shorten(key)),
					Related: []diag.Related{{Pos: before, Message: "the first is here"}},
				})
				continue
			}
			first[key] = pos
		}
	}
	ast.Walk(file, func(node ast.Node) bool {
		switch n := node.(type) {
		case *ast.File:
			check(n.Decls)
		case *ast.StructLit:
			check(n.Elts)
		}
		return true
	}, nil)
	return list
}

// positionsIn finds where each value of a JSON text is: at its key if it has
// one. It gives up, with what it has, at a fault or at absurd depth.
func positionsIn(data []byte, name string) map[string]diag.Position {
	s := &jsonScanner{
		data: data, decoder: json.NewDecoder(bytes.NewReader(data)), lines: newLines(data), name: name,
		positions: map[string]diag.Position{},
	}
	s.decoder.UseNumber()
	s.value("", 0)
	return s.positions
}

type jsonScanner struct {
	data      []byte
	decoder   *json.Decoder
	lines     lines
	name      string
	positions map[string]diag.Position
}

// note records that path begins at the next token.
func (s *jsonScanner) note(path string, offset int64) {
	for ; offset < int64(len(s.data)); offset++ {
		if !bytes.ContainsRune([]byte(" \t\r\n:,"), rune(s.data[offset])) {
			s.positions[path] = s.lines.position(s.name, int(offset))
			return
		}
	}
}

// value reads one value and reports whether it could.
func (s *jsonScanner) value(path string, depth int) bool {
	token, err := s.decoder.Token()
	if err != nil || depth > nesting {
		return false
	}
	delim, ok := token.(json.Delim)
	if !ok {
		return true
	}
	for i := 0; s.decoder.More(); i++ {
		start := s.decoder.InputOffset()
		inside := fmt.Sprintf("%s[%d]", path, i)
		if delim == '{' {
			key, err := s.decoder.Token()
			if err != nil {
				return false
			}
			inside = pathName(fmt.Sprint(key))
			if path != "" {
				inside = path + "." + inside
			}
		}
		s.note(inside, start)
		if !s.value(inside, depth+1) {
			return false
		}
	}
	_, err = s.decoder.Token()
	return err == nil
}

// pathAt returns the path of the value at, or last before, a position in a JSON text.
func pathAt(data []byte, pos diag.Position) string {
	best, bestPos := "", diag.Position{}
	for path, at := range positionsIn(data, pos.File) {
		if at.Compare(pos) > 0 {
			continue
		}
		if c := cmp.Or(at.Compare(bestPos), cmp.Compare(path, best)); best == "" || c > 0 {
			best, bestPos = path, at
		}
	}
	return best
}

// lines turns offsets into lines and columns.
type lines struct{ starts []int }

func newLines(data []byte) lines {
	l := lines{starts: []int{0}}
	for i, c := range data {
		if c == '\n' {
			l.starts = append(l.starts, i+1)
		}
	}
	return l
}

func (l lines) position(name string, offset int) diag.Position {
	low, high := 0, len(l.starts)
	for high-low > 1 {
		if mid := (low + high) / 2; l.starts[mid] <= offset {
			low = mid
		} else {
			high = mid
		}
	}
	return diag.Position{File: name, Line: low + 1, Column: offset - l.starts[low] + 1}
}

// fieldNames returns the names of all fields in a message and below, and in the parameters, for did-you-mean.
func fieldNames(message proto.Message) []string {
	var names []string
	seen := map[protoreflect.FullName]bool{}
	var walk func(protoreflect.MessageDescriptor)
	walk = func(m protoreflect.MessageDescriptor) {
		if seen[m.FullName()] {
			return
		}
		seen[m.FullName()] = true
		for i := range m.Fields().Len() {
			field := m.Fields().Get(i)
			names = append(names, string(field.Name()), field.JSONName())
			if field.Message() != nil {
				walk(field.Message())
			}
		}
	}
	walk(message.ProtoReflect().Descriptor())
	walk((&batchpb.Parameters{}).ProtoReflect().Descriptor())
	return names
}
