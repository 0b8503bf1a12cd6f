package manifest

import (
	"fmt"
	"strconv"
	"strings"

	"cuelang.org/go/cue"
	"cuelang.org/go/cue/ast"
	"cuelang.org/go/cue/build"
	"cuelang.org/go/cue/errors"
	cueparser "cuelang.org/go/cue/parser"
	"cuelang.org/go/cue/token"

	"github.com/panelmatch/panelmatch/schema/diag"
)

// schemaPath is what a manifest in CUE imports.
const schemaPath = "github.com/panelmatch/panelmatch/schema"

// parseCUE evaluates a CUE source by itself and turns what comes out into
// nodes.
//
// The schema's definitions are replaced by `_` for this: otherwise the
// schema's defaults would look like settings of the user and override earlier
// layers, and one typo would make the whole value an error. The schema is
// applied later, to all layers together.
func (p *parser) parseCUE(ctx *cue.Context, data []byte, definitions []string) (n *node) {
	defer func() {
		if r := recover(); r != nil {
			n = nil
			p.syntax(0, 0, "CUE's evaluator gave up on this file", "")
		}
	}()
	if !p.checkText(data) {
		return nil
	}
	f, err := cueparser.ParseFile(p.src.name, data)
	if err != nil {
		for _, e := range errors.Errors(err) {
			p.cueError(e, diag.CodeSyntax)
		}
		return nil
	}
	if tooDeep(f) {
		p.syntax(0, 0, "the file is nested too deeply", "")
		return nil
	}
	if !p.checkImports(f) {
		return nil
	}
	v, err := buildCUE(ctx, f, definitions)
	if err == nil {
		err = v.Err()
	}
	if err == nil {
		err = v.Validate()
	}
	if err != nil {
		p.src.unparsed = true
		for _, e := range errors.Errors(err) {
			p.cueError(e, diag.CodeValue)
		}
		return nil
	}
	at := p.src.pos(1, 1)
	return p.cueValue(v, at, at, nil)
}

// tooDeep refuses syntax trees over which CUE's evaluator would take minutes.
func tooDeep(f *ast.File) bool {
	depth, deepest := 0, 0
	ast.Walk(f, func(ast.Node) bool {
		depth++
		deepest = max(deepest, depth)
		return depth <= 10*maxDepth
	}, func(ast.Node) { depth-- })
	return deepest > 10*maxDepth
}

// checkImports refuses imports that would read other files.
func (p *parser) checkImports(f *ast.File) bool {
	ok := true
	for s := range f.ImportSpecs() {
		path, err := strconv.Unquote(s.Path.Value)
		bare, _, _ := strings.Cut(path, ":")
		bare, _, _ = strings.Cut(bare, "@")
		first, _, _ := strings.Cut(bare, "/")
		if err == nil && (bare == schemaPath || !strings.Contains(first, ".")) {
			continue
		}
		ok = false
		p.diags = append(p.diags, diag.Diagnostic{
			Code: diag.CodeSyntax, Pos: p.position(s.Path, p.src.pos(1, 1)), Span: len(s.Path.Value),
			Message: "this package can't be imported by a manifest",
			Hint:    fmt.Sprintf("a manifest imports %q and CUE's standard library; give further files as layers of their own", schemaPath),
		})
	}
	return ok
}

// buildCUE compiles f with the schema stubbed. Nothing is read: a package that
// is neither the schema nor built in does not exist.
func buildCUE(ctx *cue.Context, f *ast.File, definitions []string) (cue.Value, error) {
	stub := &ast.File{Filename: "schema", Decls: []ast.Decl{&ast.Package{Name: ast.NewIdent("schema")}}}
	for _, d := range definitions {
		stub.Decls = append(stub.Decls, &ast.Field{Label: ast.NewIdent(d), Value: ast.NewIdent("_")})
	}
	var bc *build.Context
	loader := func(_ token.Pos, path string) *build.Instance {
		bare, _, _ := strings.Cut(path, ":")
		bare, _, _ = strings.Cut(bare, "@")
		if bare != schemaPath {
			return nil
		}
		i := bc.NewInstance("schema", nil)
		i.ImportPath, i.PkgName = path, "schema"
		if err := i.AddSyntax(stub); err != nil {
			return nil
		}
		if err := i.Complete(); err != nil {
			return nil
		}
		return i
	}
	bc = build.NewContext(build.Loader(loader))
	inst := bc.NewInstance("", loader)
	if err := inst.AddSyntax(f); err != nil {
		return cue.Value{}, err
	}
	if err := inst.Complete(); err != nil {
		return cue.Value{}, err
	}
	return ctx.BuildInstance(inst), nil
}

// cueError reports an error of CUE itself. CUE's texts quote values, so only
// those that can't hold one are passed on.
func (p *parser) cueError(e errors.Error, code diag.Code) {
	var path []string
	for _, s := range e.Path() {
		path = append(path, cueKey(s))
	}
	at := p.src.pos(0, 0)
	for _, t := range append([]token.Pos{e.Position()}, e.InputPositions()...) {
		if q := t.Position(); t.IsValid() && q.Filename == p.src.name && q.Line > 0 {
			at = p.src.pos(q.Line, p.src.column(q.Line, q.Column))
			break
		}
	}
	format, args := e.Msg()
	message := "CUE says: " + quoted.ReplaceAllString(fmt.Sprintf(format, args...), `"…"`)
	hint := ""
	switch {
	case strings.Contains(format, "conflicting values"):
		message, hint = "has two values in this file that differ", "CUE unifies: give a value once, or make one of them a default with *"
		if len(args) == 2 {
			var places []diag.Related
			for _, t := range e.InputPositions() {
				if q := t.Position(); len(places) == 0 && q.Filename == p.src.name && (q.Line != at.Line || p.src.column(q.Line, q.Column) != at.Column) {
					places = append(places, diag.Related{Pos: p.src.pos(q.Line, p.src.column(q.Line, q.Column)), Message: "the other value"})
				}
			}
			p.diags = append(p.diags, diag.Diagnostic{Code: code, Path: show(path), Pos: at, Message: message, Hint: hint, Related: places})
			p.src.unparsed = true
			return
		}
	case strings.Contains(format, "reference"), strings.Contains(format, "undefined field"), strings.Contains(format, "imported and not used"):
		// These name identifiers, not values.
		message = fmt.Sprintf("CUE says: "+format, args...)
		if strings.Contains(format, "undefined field") || strings.Contains(format, "reference") {
			hint = "check the spelling; the schema's definitions are listed by `panelmatch schema`"
		}
	case code == diag.CodeSyntax:
		message = "the file is not CUE: " + quoted.ReplaceAllString(fmt.Sprintf(format, args...), `"…"`)
	}
	p.diags = append(p.diags, diag.Diagnostic{Code: code, Path: show(path), Pos: at, Message: message, Hint: hint})
	p.src.unparsed = true
}

// cueKey turns an element of CUE's paths into one of ours.
func cueKey(s string) string {
	if t, err := strconv.Unquote(s); err == nil && strings.HasPrefix(s, `"`) {
		return t
	}
	if _, err := strconv.Atoi(s); err == nil {
		return indexMark + s
	}
	return s
}

// cuePlaces returns where the value and its key stand in the user's file.
func (p *parser) cuePlaces(v cue.Value, fallback diag.Position) (key, val diag.Position, span int) {
	key = fallback
	if f, ok := v.Source().(*ast.Field); ok {
		if at := p.cuePos(f.Label.Pos(), fallback); at != fallback {
			key = at
			if name, _, err := ast.LabelName(f.Label); err == nil {
				span = p.keySpan(key, name)
			}
		}
		return key, p.cuePos(f.Value.Pos(), key), span
	}
	at := p.cuePos(v.Pos(), fallback)
	return at, at, 0
}

func (p *parser) cuePos(at token.Pos, fallback diag.Position) diag.Position {
	q := at.Position()
	if !at.IsValid() || q.Filename != p.src.name || q.Line == 0 {
		return fallback
	}
	return p.src.pos(q.Line, p.src.column(q.Line, q.Column))
}

// cueValue turns an evaluated value into a node.
func (p *parser) cueValue(v cue.Value, key, val diag.Position, path []string) *node {
	n := &node{src: p.src, key: key, val: val}
	p.nodes++
	if len(path) > maxDepth || p.nodes > maxNodes {
		p.diags = append(p.diags, diag.Diagnostic{
			Code: diag.CodeSyntax, Path: show(path[:min(len(path), 5)]), Pos: val,
			Message: fmt.Sprintf("is nested deeper than %d levels, or has more than %d values", maxDepth, maxNodes),
		})
		return n
	}
	if d, ok := v.Default(); ok {
		v = d
	}
	switch v.IncompleteKind() {
	case cue.StructKind:
		n.kind = mapNode
		it, err := v.Fields()
		if err != nil {
			p.incomplete(n, path)
			return n
		}
		for it.Next() {
			name := it.Selector().Unquoted()
			k, x, span := p.cuePlaces(it.Value(), val)
			c := p.cueValue(it.Value(), k, x, below(path, name))
			c.keySpan = span
			n.put(name, c)
		}
		return n
	case cue.ListKind:
		n.kind = listNode
		it, err := v.List()
		if err != nil {
			p.incomplete(n, path)
			return n
		}
		for i := 0; it.Next(); i++ {
			at := p.cuePos(it.Value().Pos(), val)
			n.items = append(n.items, p.cueValue(it.Value(), at, at, below(path, index(i))))
		}
		return n
	}
	p.cueScalar(n, v, path)
	return n
}

func (p *parser) cueScalar(n *node, v cue.Value, path []string) {
	switch v.Kind() {
	case cue.NullKind:
		n.kind = nullNode
	case cue.BoolKind:
		b, _ := v.Bool()
		n.kind, n.text = boolNode, strconv.FormatBool(b)
	case cue.StringKind:
		n.kind = textNode
		n.text, _ = v.String()
	case cue.IntKind, cue.FloatKind, cue.NumberKind:
		lit := fmt.Sprint(v)
		digits, negative := strings.CutPrefix(lit, "-")
		if !n.setNumber(digits, negative) {
			p.diags = append(p.diags, diag.Diagnostic{
				Code: diag.CodeValue, Path: show(path), Pos: n.val,
				Message: "is no number that a manifest can hold; numbers are finite and have at most 64 bits",
			})
			n.bad, n.kind, n.text = true, intNode, "0"
		}
	default:
		p.incomplete(n, path)
	}
}

// incomplete reports a value that CUE can't compute from this file alone.
func (p *parser) incomplete(n *node, path []string) {
	p.diags = append(p.diags, diag.Diagnostic{
		Code: diag.CodeValue, Path: show(path), Pos: n.val,
		Message: "is not a concrete value in this file",
		Hint:    "the schema's defaults and other layers are not visible while a CUE file is evaluated; set the value here, or set what it is computed from",
	})
	n.bad, n.kind = true, textNode
}
