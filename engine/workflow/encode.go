package workflow

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"cuelang.org/go/cue/ast"
	"cuelang.org/go/cue/cuecontext"
	"cuelang.org/go/cue/format"
	cuejson "cuelang.org/go/encoding/json"
	"cuelang.org/go/encoding/yaml"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/anypb"
)

// Encode writes the document in a format. In its own format these are the
// received bytes, untouched. Else the workflow is encoded, and the same
// workflow always gives the same bytes.
//
// Partners must keep the same bytes of a workflow: encode it once, and hand
// the result over; do not have each party encode a text for itself.
func (d *Document) Encode(f Format) ([]byte, error) {
	if f == d.Format {
		return bytes.Clone(d.Received), nil
	}
	if d.Workflow == nil {
		return nil, fmt.Errorf("the workflow has errors and can't be written in another format")
	}
	return Encode(d.Workflow, f)
}

// Encode writes a workflow in a format; Auto is none. The same workflow always
// gives the same bytes.
func Encode(w *Workflow, f Format) ([]byte, error) {
	var message proto.Message = w.Proto()
	if f == V2AlphaBinary || f == V2AlphaText {
		converted, list := ToV2Alpha(w)
		if err := list.Err(); err != nil {
			return nil, err
		}
		message = converted
	}
	switch f {
	case V2AlphaBinary, InternalBinary:
		return proto.MarshalOptions{Deterministic: true}.Marshal(message)
	case V2AlphaText, InternalText:
		p := &textPrinter{}
		fmt.Fprintf(&p.out, "# proto-message: %s\n\n", message.ProtoReflect().Descriptor().FullName())
		p.message(message.ProtoReflect())
		return p.out.Bytes(), nil
	case JSON, YAML, CUE:
		return encodeJSON(message, f)
	default:
		return nil, fmt.Errorf("%q is no workflow format; %s are allowed", f, formatNames())
	}
}

func encodeJSON(message proto.Message, f Format) ([]byte, error) {
	raw, err := protojson.MarshalOptions{Resolver: anyTypes()}.Marshal(message)
	if err != nil {
		return nil, err
	}
	// The library varies white space on purpose; indenting takes that out.
	var indented bytes.Buffer
	if err := json.Indent(&indented, raw, "", "  "); err != nil {
		return nil, err
	}
	indented.WriteByte('\n')
	if f == JSON {
		return indented.Bytes(), nil
	}
	expr, err := cuejson.Extract("", indented.Bytes())
	if err != nil {
		return nil, err
	}
	if f == YAML {
		return yaml.Encode(cuecontext.New().BuildExpr(expr))
	}
	if s, ok := expr.(*ast.StructLit); ok {
		return format.Node(&ast.File{Decls: s.Elts}, format.Simplify())
	}
	return format.Node(expr, format.Simplify())
}

// textPrinter writes text protos. The library's own printer varies white
// space from build to build on purpose; people compare these files.
type textPrinter struct {
	out    bytes.Buffer
	indent int
}

func (p *textPrinter) line(format string, args ...any) {
	p.out.WriteString(strings.Repeat("  ", p.indent))
	fmt.Fprintf(&p.out, format, args...)
	p.out.WriteByte('\n')
}

// message writes the fields of m in the order of their numbers.
func (p *textPrinter) message(m protoreflect.Message) {
	if packed, ok := m.Interface().(*anypb.Any); ok {
		if inside, err := anypb.UnmarshalNew(packed, proto.UnmarshalOptions{Resolver: anyTypes()}); err == nil {
			p.block("["+packed.GetTypeUrl()+"]", inside.ProtoReflect())
			return
		}
	}
	var fields []protoreflect.FieldDescriptor
	m.Range(func(field protoreflect.FieldDescriptor, _ protoreflect.Value) bool {
		fields = append(fields, field)
		return true
	})
	slices.SortFunc(fields, func(a, b protoreflect.FieldDescriptor) int { return int(a.Number() - b.Number()) })
	for _, field := range fields {
		p.field(field, m.Get(field))
	}
}

func (p *textPrinter) field(field protoreflect.FieldDescriptor, value protoreflect.Value) {
	name := field.TextName()
	switch {
	case field.IsMap():
		var keys []string
		value.Map().Range(func(key protoreflect.MapKey, _ protoreflect.Value) bool {
			keys = append(keys, key.String())
			return true
		})
		slices.Sort(keys)
		for _, key := range keys {
			v := value.Map().Get(protoreflect.ValueOfString(key).MapKey())
			p.line("%s { key: %s value: %s }", name, quote(key), quote(v.String()))
		}
	case field.IsList():
		for i := range value.List().Len() {
			p.single(field, name, value.List().Get(i))
		}
	default:
		p.single(field, name, value)
	}
}

func (p *textPrinter) single(field protoreflect.FieldDescriptor, name string, value protoreflect.Value) {
	switch field.Kind() {
	case protoreflect.MessageKind, protoreflect.GroupKind:
		p.block(name, value.Message())
	case protoreflect.EnumKind:
		if v := field.Enum().Values().ByNumber(value.Enum()); v != nil {
			p.line("%s: %s", name, v.Name())
		} else {
			p.line("%s: %d", name, value.Enum())
		}
	case protoreflect.StringKind:
		p.line("%s: %s", name, quote(value.String()))
	case protoreflect.BytesKind:
		p.line("%s: %s", name, quote(string(value.Bytes())))
	default:
		p.line("%s: %v", name, value.Interface())
	}
}

func (p *textPrinter) block(name string, m protoreflect.Message) {
	before := p.out.Len()
	p.line("%s {", name)
	start := p.out.Len()
	p.indent++
	p.message(m)
	p.indent--
	if p.out.Len() == start {
		p.out.Truncate(before)
		p.line("%s {}", name)
		return
	}
	p.line("}")
}

// quote writes a string literal. Bytes that are no UTF-8 become octal escapes.
func quote(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for i := range len(s) {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			b.WriteByte('\\')
			b.WriteByte(c)
		case c == '\n':
			b.WriteString(`\n`)
		case c < ' ' || c >= 0x7f:
			b.WriteString(`\` + fmt.Sprintf("%03s", strconv.FormatInt(int64(c), 8)))
		default:
			b.WriteByte(c)
		}
	}
	b.WriteByte('"')
	return b.String()
}
