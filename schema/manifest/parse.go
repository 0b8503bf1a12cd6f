package manifest

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"cuelang.org/go/cue/ast"
	"cuelang.org/go/cue/errors"
	"cuelang.org/go/cue/literal"
	"cuelang.org/go/cue/token"
	"cuelang.org/go/encoding/json"
	"cuelang.org/go/encoding/yaml"

	"github.com/panelmatch/panelmatch/schema/diag"
)

// parser turns the text of one source into nodes.
type parser struct {
	src   *source
	diags diag.List
	nodes int
	// tooMany is set once the bound on nodes is passed, so that it is said only once.
	tooMany bool
}

// parse reads a YAML or JSON source. The result is nil if there is a syntax
// error; it is an empty map for an empty file.
func (p *parser) parse(data []byte) (n *node) {
	// The parsers are not ours. A panic in one is a fault of the document, not the end of a daemon
	// that reloads.
	defer func() {
		if r := recover(); r != nil {
			n = nil
			p.syntax(0, 0, "the parser gave up on this file", "")
		}
	}()
	if !p.checkText(data) {
		return nil
	}
	if p.src.format == jsonFormat {
		expr, err := json.Extract(p.src.name, data)
		if err != nil {
			p.jsonError(err, data)
			return nil
		}
		return p.value(expr, p.src.pos(1, 1), nil)
	}
	f, err := yaml.Extract(p.src.name, data)
	if err != nil {
		p.yamlError(err)
		return nil
	}
	return p.document(f)
}

// checkText refuses what no text file contains.
func (p *parser) checkText(data []byte) bool {
	if !utf8.Valid(data) {
		p.syntax(0, 0, "the file is not UTF-8 text", "")
		return false
	}
	// Brackets nest no deeper than a manifest can; a parser that recurses must not see a million.
	depth := 0
	for _, c := range data {
		switch c {
		case '{', '[', '(':
			depth++
		case '}', ']', ')':
			depth--
		}
		if depth > 10*maxDepth {
			p.syntax(0, 0, "the file is nested too deeply", "")
			return false
		}
	}
	return true
}

func (p *parser) syntax(line, column int, message, hint string) {
	p.diags = append(p.diags, diag.Diagnostic{
		Code: diag.CodeSyntax, Pos: p.src.pos(line, column), Message: message, Hint: hint,
	})
	p.src.unparsed = true
}

// document turns the file of a YAML source into a node.
func (p *parser) document(f *ast.File) *node {
	start := p.src.pos(1, 1)
	if len(f.Decls) == 1 {
		if e, ok := f.Decls[0].(*ast.EmbedDecl); ok {
			if l, ok := e.Expr.(*ast.ListLit); ok && len(l.Elts) > 1 && p.isStream() {
				p.diags = append(p.diags, diag.Diagnostic{
					Code: diag.CodeSyntax, Pos: p.position(l.Elts[1], start),
					Message: "the file holds more than one YAML document",
					Hint:    "remove the --- in between, or give each document as a file of its own",
				})
				return nil
			}
			if _, empty := e.Expr.(*ast.BinaryExpr); empty {
				return &node{kind: mapNode, src: p.src, key: start, val: start}
			}
			return p.value(e.Expr, start, nil)
		}
	}
	return p.value(&ast.StructLit{Elts: f.Decls}, start, nil)
}

// isStream reports whether the text has a document separator after its first line of content.
func (p *parser) isStream() bool {
	content := false
	for _, l := range p.src.lines {
		if strings.HasPrefix(l, "---") && content {
			return true
		}
		t := strings.TrimSpace(l)
		content = content || t != "" && !strings.HasPrefix(t, "#") && !strings.HasPrefix(t, "---") && !strings.HasPrefix(t, "%")
		// An empty document counts as well.
		content = content || strings.HasPrefix(l, "---")
	}
	return false
}

// position returns the place of x, or fallback for what has none of its own (parts of an alias).
func (p *parser) position(x ast.Node, fallback diag.Position) diag.Position {
	if x == nil {
		return fallback
	}
	at := x.Pos()
	if l, ok := x.(ast.Label); ok && l != nil {
		at = l.Pos()
	}
	if !at.IsValid() {
		return fallback
	}
	q := at.Position()
	if q.Line == 0 {
		return fallback
	}
	column := q.Column
	if p.src.format != yamlFormat {
		column = p.src.column(q.Line, q.Column)
	}
	return p.src.pos(q.Line, column)
}

// value turns an expression into a node. The fallback is the place of its key.
func (p *parser) value(x ast.Expr, fallback diag.Position, path []string) *node {
	n := &node{src: p.src, key: fallback, val: p.position(x, fallback)}
	p.nodes++
	if len(path) > maxDepth || p.nodes > maxNodes {
		if !p.tooMany {
			p.tooMany = true
			p.diags = append(p.diags, diag.Diagnostic{
				Code: diag.CodeSyntax, Path: show(path[:min(len(path), 5)]), Pos: n.val,
				Message: fmt.Sprintf("is nested deeper than %d levels, or has more than %d values", maxDepth, maxNodes),
			})
		}
		return n
	}
	switch x := x.(type) {
	case *ast.StructLit:
		n.kind = mapNode
		for _, e := range x.Elts {
			p.field(n, e, path)
		}
	case *ast.ListLit:
		n.kind = listNode
		for i, e := range x.Elts {
			item := p.value(e, p.position(e, n.val), below(path, index(i)))
			n.items = append(n.items, item)
		}
	case *ast.BasicLit:
		p.literal(n, x, false, path)
	case *ast.UnaryExpr:
		if lit, ok := x.X.(*ast.BasicLit); ok && x.Op == token.SUB {
			p.literal(n, lit, true, path)
		} else {
			p.notValue(n, path)
		}
	case *ast.BinaryExpr: // what stands for "nothing" in an empty document
		n.kind = nullNode
	default:
		p.notValue(n, path)
	}
	return n
}

func (p *parser) field(n *node, e ast.Decl, path []string) {
	f, ok := e.(*ast.Field)
	if !ok {
		return // comments and the like
	}
	name, _, err := ast.LabelName(f.Label)
	key := p.position(f.Label, n.key)
	if p.src.format == jsonFormat && key.Column > 1 {
		// A JSON key's position is that of its text; people look for the quote.
		if r := []rune(p.src.line(key)); key.Column-2 < len(r) && r[key.Column-2] == '"' {
			key.Column--
		}
	}
	if err != nil || strings.ContainsFunc(name, unicode.IsControl) {
		p.diags = append(p.diags, diag.Diagnostic{
			Code: diag.CodeSyntax, Path: show(path), Pos: key, Message: "has a key that is not plain text",
		})
		return
	}
	c := p.value(f.Value, key, below(path, name))
	c.key, c.keySpan = key, p.keySpan(key, name)
	if first := n.fields[name]; first != nil {
		p.diags = append(p.diags, diag.Diagnostic{
			Code: diag.CodeDuplicate, Path: show(below(path, name)), Pos: c.key, Span: c.keySpan,
			Message: "is given twice in the same map",
			Hint:    "keep one of the two",
			Related: []diag.Related{{Pos: first.key, Message: "the first one"}},
		})
		n.dups = append(n.dups, duplicate{name, c})
		return
	}
	n.put(name, c)
}

// keySpan is the length of a key as it is written, quotes included.
func (p *parser) keySpan(at diag.Position, name string) int {
	r := []rune(p.src.line(at))
	if at.Column >= 1 && at.Column <= len(r) && (r[at.Column-1] == '"' || r[at.Column-1] == '\'') {
		return utf8.RuneCountInString(name) + 2
	}
	return utf8.RuneCountInString(name)
}

func (p *parser) literal(n *node, x *ast.BasicLit, negative bool, path []string) {
	switch x.Kind {
	case token.NULL:
		n.kind = nullNode
	case token.TRUE, token.FALSE:
		n.kind, n.text = boolNode, x.Value
	case token.STRING:
		text, err := literal.Unquote(x.Value)
		if err != nil || strings.HasPrefix(x.Value, "'") {
			p.diags = append(p.diags, diag.Diagnostic{
				Code: diag.CodeValue, Path: show(path), Pos: n.val,
				Message: "is binary data; a manifest takes text, numbers, true and false",
			})
			n.bad, n.kind = true, textNode
			return
		}
		n.kind, n.text = textNode, text
	case token.INT, token.FLOAT:
		if !n.setNumber(strings.TrimPrefix(x.Value, "number & "), negative) {
			p.diags = append(p.diags, diag.Diagnostic{
				Code: diag.CodeValue, Path: show(path), Pos: n.val,
				Message: "is no number that a manifest can hold; numbers are finite and have at most 64 bits",
				Hint:    "put it in quotes if it is meant as text",
			})
			n.bad, n.kind, n.text = true, intNode, "0"
		}
	default:
		p.notValue(n, path)
	}
}

func (p *parser) notValue(n *node, path []string) {
	p.diags = append(p.diags, diag.Diagnostic{
		Code: diag.CodeSyntax, Path: show(path), Pos: n.val, Message: "is not a plain value",
	})
	n.bad, n.kind = true, textNode
}

var yamlLine = regexp.MustCompile(`(?:^|:)(?:line )?(\d+): ?(.*)$`)

// yamlError tells what a YAML parser's complaint means and what usually causes it.
func (p *parser) yamlError(err error) {
	text := err.Error()
	line, message := 0, text
	if rest, ok := strings.CutPrefix(text, p.src.name); ok {
		text = rest
	}
	if m := yamlLine.FindStringSubmatch(text); m != nil {
		line, _ = strconv.Atoi(m[1])
		message = m[2]
	}
	message = strings.TrimSpace(strings.TrimPrefix(strings.TrimPrefix(message, ":"), "yaml:"))
	if m := unknownAnchor.FindStringSubmatch(message); m != nil {
		line = p.lineOf("*" + m[1])
	}
	for _, h := range yamlHints {
		if !strings.Contains(message, h.needle) {
			continue
		}
		if h.fromZero {
			line++ // the parser counts these lines from zero
		}
		if indent, _, _ := strings.Cut(strings.TrimLeft(p.src.line(p.src.pos(line, 1)), " "), "x"); strings.HasPrefix(indent, "\t") {
			p.syntax(line, 0, "the file is not YAML: this line is indented with a tab", "indent with spaces")
			return
		}
		p.syntax(line, 0, "the file "+h.message, h.hint)
		return
	}
	// What else there is may quote a value.
	p.syntax(line, 0, "the file is not YAML: "+quoted.ReplaceAllString(message, `"…"`), "")
}

var unknownAnchor = regexp.MustCompile(`unknown anchor '([^']+)'`)

// lineOf returns the first line that contains the text, or 0.
func (p *parser) lineOf(text string) int {
	for i, l := range p.src.lines {
		if strings.Contains(l, text) {
			return i + 1
		}
	}
	return 0
}

// yamlHints translates the complaints that people meet.
var yamlHints = []struct {
	needle, message, hint string
	fromZero              bool
}{
	{
		"cannot start any token", "is not YAML: a value can't begin with this character",
		"put a value that begins with @, ` or % in quotes", false,
	},
	{
		"mapping values are not allowed", "is not YAML: a colon follows where none can be",
		"check the indentation of this line and the one above; put a value that contains `: ` in quotes", false,
	},
	{
		"did not find expected key", "is not YAML: the map that begins in this line goes wrong further down",
		"keys of one map begin in the same column; look for a wrong indentation, a missing colon or a missing quote below", true,
	},
	{
		"could not find expected ':'", "is not YAML: a key is not followed by a colon",
		"write `key: value`; look at this line and the one above", false,
	},
	{
		"did not find expected '-' indicator", "is not YAML: the list that begins in this line goes wrong further down",
		"begin each element with a dash in the same column", true,
	},
	{
		"did not find expected ',' or", "is not YAML: a { or [ of this line is never closed, or a comma is missing behind it",
		"close it, or put a value that contains `: ` in quotes", true,
	},
	{"did not find expected node content", "is not YAML: a value is missing behind a comma, colon or bracket", "", true},
	{
		"did not find expected <document start>", "is not YAML: something stands behind the end of the document",
		"keys of the top level begin in the first column", true,
	},
	{
		"did not find expected alphabetic or numeric character", "is not YAML: a & or * is not followed by a name",
		"put a value that begins with & or * in quotes", false,
	},
	{"found unexpected end of stream", "is not YAML: a quote is never closed", "look for a quote without its partner", false},
	{
		"found unknown escape character", "is not YAML: a backslash in double quotes begins no known escape",
		"use single quotes to have backslashes stand for themselves", false,
	},
	{"unknown anchor", "refers to a YAML anchor that does not exist", "an alias *name needs an earlier &name", false},
	{"contains itself", "has a YAML anchor that contains itself", "", false},
	{"aliases expand to more than", "has YAML aliases that expand to too many values", "write the values out", false},
	{"excessive aliasing", "has YAML aliases that expand to too many values", "write the values out", false},
	{"exceeded max depth", "is nested too deeply", "", false},
	{"cannot unmarshal tag", "has a YAML tag that a manifest does not know", "remove the !tag", false},
	{"cannot decode", "has a value that does not fit its YAML tag", "remove the !!tag", false},
	{"invalid map key", "has a key that is not text", "a key is text, a number, true or false", false},
	{"map merge requires", "has a YAML merge key << that is no map", "<< takes an alias of a map", false},
	{"control characters are not allowed", "is not YAML: control characters are not allowed", "", false},
}

func (p *parser) jsonError(err error, data []byte) {
	line, column := 0, 0
	for _, at := range errors.Positions(err) {
		if q := at.Position(); q.Line > 0 {
			line, column = q.Line, p.src.column(q.Line, q.Column)
			break
		}
	}
	text := err.Error()
	message, hint := "is not JSON", ""
	switch {
	case len(strings.TrimSpace(string(data))) == 0:
		message, hint = "is empty", "an empty JSON manifest is {}"
	case strings.Contains(text, "unexpected end"):
		message, hint = "is not JSON: the text ends too early", "look for an unclosed { or [ or quote"
	case strings.Contains(text, "looking for beginning of object key"):
		message, hint = "is not JSON: a key in double quotes should be here", "JSON has no comma before a closing brace, and no comments"
	case strings.Contains(text, "looking for beginning of value"):
		message, hint = "is not JSON: a value should be here", "text stands in double quotes; JSON has no comments and no comma before a closing bracket"
	case strings.Contains(text, "after object key:value pair"), strings.Contains(text, "after array element"):
		message, hint = "is not JSON: a comma or a closing bracket should be here", "the comma may be missing at the end of the line above"
	case strings.Contains(text, "after object key"):
		message = "is not JSON: a colon should follow the key"
	case strings.Contains(text, "after top-level value"):
		message, hint = "is not JSON: something follows the end of the document", ""
	case strings.Contains(text, "exceeded max depth"):
		message = "is nested too deeply"
	}
	p.syntax(line, column, "the file "+message, hint)
}
