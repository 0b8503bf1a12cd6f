package schema_test

// Rules that every definition of the schema keeps, by a walk over all of them.

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"cuelang.org/go/cue"
	"cuelang.org/go/cue/ast"
	"cuelang.org/go/cue/parser"
)

// definitions calls f with each definition of the schema, with its name.
func definitions(t *testing.T, f func(name string, v cue.Value)) {
	t.Helper()
	it, err := compile(t).Fields(cue.Definitions(true))
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for it.Next() {
		if it.Selector().IsDefinition() {
			f(it.Selector().String(), it.Value())
			n++
		}
	}
	if n < 50 {
		t.Errorf("found %d definitions, want all of them", n)
	}
}

// settings calls f with each setting of each definition.
func settings(t *testing.T, f func(name string, s cue.Selector, v cue.Value)) {
	t.Helper()
	definitions(t, func(name string, v cue.Value) {
		if v.IncompleteKind() != cue.StructKind {
			return
		}
		it, err := v.Fields(cue.Optional(true))
		if err != nil {
			t.Fatal(err)
		}
		for it.Next() {
			f(name+"."+it.Selector().Unquoted(), it.Selector(), it.Value())
		}
	})
}

func TestEverySettingIsOptionalRequiredOrHasADefault(t *testing.T) {
	settings(t, func(name string, s cue.Selector, v cue.Value) {
		if s.ConstraintType() != 0 {
			return
		}
		// A map of settings which all are optional or have defaults is its own default.
		if v.IncompleteKind() == cue.StructKind {
			it, err := v.Fields(cue.Optional(true))
			if err != nil {
				t.Fatal(err)
			}
			for it.Next() {
				if it.Selector().ConstraintType() == cue.RequiredConstraint {
					t.Errorf("%s must be ? or !, because %s in it is required", name, it.Selector())
				}
			}
			return
		}
		if d, ok := v.Default(); !ok || !d.IsConcrete() {
			t.Errorf("%s is neither optional nor required and has no default", name)
		}
	})
}

func TestDefaultsFitTheirSettings(t *testing.T) {
	settings(t, func(name string, s cue.Selector, v cue.Value) {
		if d, ok := v.Default(); ok && s.ConstraintType() == 0 && d.IncompleteKind() != cue.StructKind {
			if err := d.Validate(cue.Concrete(true)); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}

func TestEverythingIsDocumented(t *testing.T) {
	seen := map[string]string{}
	check := func(name, doc string) {
		switch {
		case doc == "":
			t.Errorf("%s has no comment", name)
		case !strings.HasSuffix(strings.TrimSpace(doc), "."):
			t.Errorf("%s: the comment is no sentence: %s", name, doc)
		case len(strings.Fields(doc)) < 2:
			t.Errorf("%s: the comment says nothing: %s", name, doc)
		}
	}
	definitions(t, func(name string, v cue.Value) {
		doc := comment(v)
		check(name, doc)
		if other, ok := seen[doc]; ok && doc != "" {
			t.Errorf("%s and %s have the same comment", name, other)
		}
		seen[doc] = name
	})
	settings(t, func(name string, _ cue.Selector, v cue.Value) { check(name, comment(v)) })
}

// comment returns the comment that stands at a field itself, not that of what it refers to.
func comment(v cue.Value) string {
	var b strings.Builder
	for _, g := range v.Doc() {
		b.WriteString(g.Text())
	}
	return b.String()
}

// Without error() a disjunction that nothing fits tells one fault per alternative.
func TestEveryDisjunctionEndsInAMessage(t *testing.T) {
	for _, name := range glob(t, "*.cue") {
		f, err := parser.ParseFile(name, read(t, name), parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		inside := map[ast.Expr]bool{}
		ast.Walk(f, func(n ast.Node) bool {
			e, ok := n.(*ast.BinaryExpr)
			if !ok || e.Op.String() != "|" {
				return true
			}
			inside[e.X] = true // the chain leans to the left; its last member is the right one of the whole
			if inside[e] || isMessage(e.Y) || isDefault(e) {
				return true
			}
			t.Errorf("%s: a disjunction does not end in error(\"...\")", e.Pos())
			return true
		}, nil)
	}
}

func isMessage(e ast.Expr) bool {
	call, ok := e.(*ast.CallExpr)
	if !ok {
		return false
	}
	name, ok := call.Fun.(*ast.Ident)
	return ok && name.Name == "error"
}

// isDefault: (*"1m" | string) on top of a definition, whose own message is the better one; bare kinds accept
// everything.
func isDefault(e *ast.BinaryExpr) bool {
	kind, ok := e.Y.(*ast.Ident)
	if !ok || !slices.Contains([]string{"string", "int", "bool"}, kind.Name) {
		return false
	}
	if left, ok := e.X.(*ast.BinaryExpr); ok {
		return isDefault(left)
	}
	star, ok := e.X.(*ast.UnaryExpr)
	return ok && star.Op.String() == "*"
}

func TestMessagesAreWrittenAsOursAre(t *testing.T) {
	call := regexp.MustCompile(`error\("((?:[^"\\]|\\.)*)"\)`)
	n := 0
	for _, name := range glob(t, "*.cue") {
		for _, m := range call.FindAllStringSubmatch(read(t, name), -1) {
			n++
			text := m[1]
			if strings.HasSuffix(text, ".") || strings.ToLower(text[:1]) != text[:1] {
				t.Errorf("%s: %q: lower case, and no full stop", name, text)
			}
		}
	}
	if n < 80 {
		t.Errorf("found %d messages, want all of them", n)
	}
}

// Settings that hold a secret by their name must be references.
func TestSecretsAreReferences(t *testing.T) {
	suspicious := regexp.MustCompile(`(?i)(secret|password|token|accessKeyID|accountKey|credentials|rootKey|\.key)$`)
	settings(t, func(name string, _ cue.Selector, v cue.Value) {
		if !suspicious.MatchString(name) || v.IncompleteKind() != cue.StringKind {
			return
		}
		if _, path := v.ReferencePath(); path.String() != "#Secret" {
			t.Errorf("%s looks like a secret and is no #Secret", name)
		}
	})
	found := false
	for _, a := range compile(t).LookupPath(cue.ParsePath("#Secret")).Attributes(cue.ValueAttr) {
		found = found || a.Name() == "secret"
	}
	if !found {
		t.Error("#Secret has no @secret()")
	}
}

// oneOf is a definition with @oneOf.
type oneOf struct {
	name    string
	members []string
}

func oneOfs(t *testing.T) []oneOf {
	t.Helper()
	var all []oneOf
	definitions(t, func(name string, v cue.Value) {
		for _, a := range v.Attributes(cue.ValueAttr) {
			if a.Name() != "oneOf" {
				continue
			}
			o := oneOf{name: name}
			for i := range a.NumArgs() {
				m, err := a.String(i)
				if err != nil {
					t.Fatal(err)
				}
				o.members = append(o.members, m)
			}
			all = append(all, o)
		}
	})
	return all
}

func TestOneOfNamesOptionalSettings(t *testing.T) {
	all := oneOfs(t)
	if len(all) < 10 {
		t.Errorf("found %d one-ofs, want all of them", len(all))
	}
	v := compile(t)
	for _, o := range all {
		if len(o.members) < 2 {
			t.Errorf("%s: a choice of %d", o.name, len(o.members))
		}
		for _, m := range o.members {
			if !v.LookupPath(cue.MakePath(cue.Def(o.name), cue.Str(m).Optional())).Exists() ||
				v.LookupPath(cue.MakePath(cue.Def(o.name), cue.Str(m))).Exists() {
				t.Errorf("%s: @oneOf names %s, which is no optional setting", o.name, m)
			}
		}
	}
}

// A backend is chosen by its key, so what can be chosen at a level must not clash with what belongs to all.
func TestEveryBackendIsADefinition(t *testing.T) {
	v := compile(t)
	for _, o := range oneOfs(t) {
		if o.name == "#PregeneratedCA" {
			continue // a choice between settings, not between backends
		}
		for _, m := range o.members {
			field := v.LookupPath(cue.MakePath(cue.Def(o.name), cue.Str(m).Optional()))
			if _, path := field.ReferencePath(); len(path.Selectors()) != 1 || !path.Selectors()[0].IsDefinition() {
				t.Errorf("%s.%s does not refer to a definition, so its attributes and comment don't reach it", o.name, m)
			}
		}
	}
}
