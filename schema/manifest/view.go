package manifest

import (
	"fmt"
	"io/fs"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"cuelang.org/go/cue"
	"cuelang.org/go/cue/build"
	"cuelang.org/go/cue/cuecontext"
	"cuelang.org/go/cue/errors"
	"cuelang.org/go/cue/load"

	"github.com/panelmatch/panelmatch/schema/diag"
)

// view answers the questions that the loader has about the schema. One view
// belongs to one load; it is not safe for concurrent use.
type view struct {
	ctx         *cue.Context
	root        *def // #Deployment
	definitions []string
	memo        map[cue.Value]*def
	harmless    map[string]bool
}

// def is what the schema says about one value.
type def struct {
	view *view
	v    cue.Value
	// path is the definition's, for what can't be told from the value.
	kinds cue.Kind
	doc   string
	// message is the schema's own text for a value that does not fit.
	message string
	// alts are the alternatives; the def itself if there is only one.
	alts []*def
	enum []string
	// secret, value and path are the attributes @secret(), @value() and @path().
	secret, value, path bool
	// oneOfs are the sets of members of which exactly one may be set.
	oneOfs [][]string

	expanded bool
	names    []string
	fields   map[string]field
	patterns []pattern
	elem     *def
}

type field struct {
	required, optional bool
	d                  *def
}

type pattern struct {
	key *def
	d   *def
}

// newView compiles the schema.
func newView(schema fs.FS) (*view, error) {
	ctx := cuecontext.New()
	instances := load.Instances([]string{"."}, &load.Config{FS: schema, Dir: "/", ModuleRoot: "/"})
	root, err := buildOne(ctx, instances)
	if err != nil {
		return nil, fmt.Errorf("compile the schema: %w", err)
	}
	w := &view{ctx: ctx, memo: map[cue.Value]*def{}}
	it, err := root.Fields(cue.Definitions(true))
	if err != nil {
		return nil, fmt.Errorf("list the schema's definitions: %w", err)
	}
	for it.Next() {
		if it.Selector().IsDefinition() {
			w.definitions = append(w.definitions, it.Selector().String())
		}
	}
	d := root.LookupPath(cue.ParsePath("#Deployment"))
	if err := d.Err(); err != nil {
		return nil, fmt.Errorf("find #Deployment in the schema: %w", err)
	}
	w.root = w.def(d)
	return w, nil
}

func buildOne(ctx *cue.Context, instances []*build.Instance) (cue.Value, error) {
	if len(instances) != 1 {
		return cue.Value{}, fmt.Errorf("found %d packages, want one", len(instances))
	}
	if err := instances[0].Err; err != nil {
		return cue.Value{}, errors.New(errors.Details(err, nil))
	}
	v := ctx.BuildInstance(instances[0])
	return v, v.Err()
}

// def describes v.
func (w *view) def(v cue.Value) *def {
	if d, ok := w.memo[v]; ok {
		return d
	}
	d := &def{view: w, v: v, kinds: v.IncompleteKind()}
	w.memo[v] = d
	target := cue.Dereference(v)
	d.doc = docOf(v)
	if d.doc == "" {
		d.doc = docOf(target)
	}
	for _, a := range append(v.Attributes(cue.ValueAttr), target.Attributes(cue.ValueAttr)...) {
		d.attribute(a)
	}
	d.analyze(target)
	if len(d.alts) == 0 {
		d.alts = []*def{d}
	}
	return d
}

func (d *def) attribute(a cue.Attribute) {
	switch a.Name() {
	case "secret":
		d.secret = true
	case "value":
		d.value = true
	case "path":
		d.path = true
	case "oneOf":
		var members []string
		for i := range a.NumArgs() {
			name, _ := a.Arg(i)
			members = append(members, strings.TrimSpace(name))
		}
		if !slices.ContainsFunc(d.oneOfs, func(o []string) bool { return slices.Equal(o, members) }) {
			d.oneOfs = append(d.oneOfs, members)
		}
	}
}

// analyze finds the alternatives of a disjunction and its message.
func (d *def) analyze(v cue.Value) {
	op, args := v.Expr()
	switch op {
	case cue.OrOp:
		d.choices(args)
		if len(d.alts) > 0 && len(d.enum) != len(d.alts) {
			d.enum = nil
		}
	case cue.AndOp:
		// A default on top of a definition: what the definition says is what people should hear.
		for _, a := range args {
			x := d.view.def(a)
			if d.message == "" {
				d.message = x.message
			}
			if d.enum == nil && len(x.enum) > 0 {
				d.enum = x.enum
			}
			if len(x.alts) > 1 && len(d.alts) == 0 {
				d.alts = x.alts
			}
			d.secret = d.secret || x.secret
			d.path = d.path || x.path
			d.value = d.value || x.value
			if d.kinds&cue.StructKind != 0 {
				d.oneOfs = append(d.oneOfs, x.oneOfs...)
			}
		}
	}
}

func (d *def) choices(args []cue.Value) {
	for _, a := range args {
		target := cue.Dereference(a)
		op, inner := target.Expr()
		switch op {
		case cue.OrOp:
			d.choices(inner)
			// A definition's own attributes count for those who choose it.
			for _, at := range target.Attributes(cue.ValueAttr) {
				if at.Name() == "secret" || at.Name() == "path" {
					d.attribute(at)
				}
			}
		case cue.CallOp:
			if len(inner) == 2 && fmt.Sprint(inner[0]) == "error" {
				if text, err := inner[1].String(); err == nil {
					d.message = text // the outermost comes last, and wins
				}
				continue
			}
			d.choice(a)
		default:
			d.choice(a)
		}
	}
}

func (d *def) choice(v cue.Value) {
	d.alts = append(d.alts, d.view.def(v))
	if !v.IsConcrete() || v.IncompleteKind()&(cue.StructKind|cue.ListKind|cue.BoolKind) != 0 {
		return
	}
	if text := leafText(v); text != "" && !slices.Contains(d.enum, text) {
		d.enum = append(d.enum, text)
	}
}

// expand lists the fields of a map's definition.
func (d *def) expand() {
	if d.expanded {
		return
	}
	d.expanded = true
	d.fields = map[string]field{}
	if d.kinds&cue.ListKind != 0 {
		if e := d.v.LookupPath(cue.MakePath(cue.AnyIndex)); e.Exists() {
			d.elem = d.view.def(e)
		}
	}
	if d.kinds&cue.StructKind == 0 {
		return
	}
	it, err := d.v.Fields(cue.Optional(true), cue.Patterns(true))
	if err != nil {
		return
	}
	for it.Next() {
		s := it.Selector()
		switch s.ConstraintType() {
		case cue.PatternConstraint:
			d.patterns = append(d.patterns, pattern{d.view.def(s.Pattern()), d.view.def(it.Value())})
			continue
		case cue.RequiredConstraint:
			d.fields[s.Unquoted()] = field{required: true, d: d.view.def(it.Value())}
		case cue.OptionalConstraint:
			d.fields[s.Unquoted()] = field{optional: true, d: d.view.def(it.Value())}
		default:
			d.fields[s.Unquoted()] = field{d: d.view.def(it.Value())}
		}
		d.names = append(d.names, s.Unquoted())
	}
}

// branch returns the alternative of d that n most likely is meant to be, or
// nil if none can hold a value of its kind.
func (d *def) branch(n *node) *def {
	if n.branch != nil && slices.Contains(d.flat(), n.branch) {
		return n.branch
	}
	var best *def
	bestScore := -1
	for _, a := range d.alts {
		if a != d && len(a.alts) > 1 {
			if b := a.branch(n); b != nil {
				a = b
			}
		}
		if !a.holds(n.kind) {
			continue
		}
		score := 0
		for _, k := range n.keys {
			if x, _ := a.lookup(k); x != nil {
				score += 2
			} else if a.closestKey(k) != "" {
				score++
			}
		}
		if score > bestScore {
			best, bestScore = a, score
		}
	}
	return best
}

// holds reports whether a value of the kind may stand here.
func (d *def) holds(k nodeKind) bool {
	want := k.cueKind()
	if k == floatNode {
		want |= cue.IntKind // refused with its own sentence, as a value
	}
	return d.kinds&want != 0
}

// lookup returns what the schema says about a key of a map. known is false
// for a key that may not be there; d is nil for one about which the schema
// says nothing (a provider's own settings).
func (d *def) lookup(key string) (found *def, known bool) {
	d.expand()
	if f, ok := d.fields[key]; ok {
		return f.d, true
	}
	for _, p := range d.patterns {
		if p.key.v.Unify(d.view.ctx.Encode(key)).Validate(cue.Concrete(true)) == nil {
			return p.d, true
		}
	}
	return nil, d.v.Allows(cue.Str(key))
}

// oneOf returns the members of the set that the key belongs to, or nil.
func (d *def) oneOf(key string) []string {
	for _, members := range d.oneOfs {
		if slices.Contains(members, key) {
			return members
		}
	}
	return nil
}

// merges reports whether a map here is merged with that of a later layer;
// otherwise a later value replaces the earlier one whole.
func (d *def) merges() bool {
	return d != nil && !d.value && d.kinds == cue.StructKind && len(d.alts) == 1
}

// textOnly reports whether only text can stand here.
func (d *def) textOnly() bool { return d != nil && d.kinds == cue.StringKind }

// below returns what the schema says about a path, and whether it may exist.
func (d *def) below(path ...string) (*def, bool) {
	for i, e := range path {
		if d == nil {
			return nil, true
		}
		if _, isIndex := indexOf(e); isIndex {
			var list *def
			for _, a := range d.alts {
				if a.kinds&cue.ListKind != 0 {
					list = a
				}
			}
			if list == nil {
				return nil, false
			}
			list.expand()
			d = list.elem
			continue
		}
		var next *def
		known := false
		for _, a := range d.flat() {
			if a.kinds&cue.StructKind == 0 {
				continue
			}
			x, ok := a.lookup(e)
			if ok && x != nil && len(path) > i+1 {
				if _, ok := x.below(path[i+1:]...); !ok && next != nil {
					continue
				}
			}
			if ok && (next == nil || !known) {
				next, known = x, true
			}
		}
		if !known {
			return nil, false
		}
		d = next
	}
	return d, true
}

// flat lists the alternatives, those of alternatives included.
func (d *def) flat() []*def {
	if len(d.alts) == 1 {
		return []*def{d}
	}
	var all []*def
	for _, a := range d.alts {
		all = append(all, a.flat()...)
	}
	return all
}

// holdsSecret reports whether d or something below it is a secret.
func (d *def) holdsSecret() bool {
	return d.search(map[*def]bool{}, func(x *def) bool { return x.secret })
}

// search visits d and everything below it until f says yes.
func (d *def) search(seen map[*def]bool, f func(*def) bool) bool {
	if d == nil || seen[d] {
		return false
	}
	seen[d] = true
	if f(d) {
		return true
	}
	for _, a := range d.alts {
		if a.search(seen, f) {
			return true
		}
	}
	d.expand()
	for _, name := range d.names {
		if d.fields[name].d.search(seen, f) {
			return true
		}
	}
	for _, p := range d.patterns {
		if p.d.search(seen, f) {
			return true
		}
	}
	return d.elem.search(seen, f)
}

// isHarmless reports whether the schema knows the key, and nowhere as a secret.
func (w *view) isHarmless(key string) bool {
	if w.harmless == nil {
		w.harmless = map[string]bool{}
		secret := map[string]bool{}
		w.root.search(map[*def]bool{}, func(d *def) bool {
			d.expand()
			for name, f := range d.fields {
				w.harmless[name] = true
				if f.d.secret {
					secret[name] = true
				}
			}
			return false
		})
		for name := range secret {
			delete(w.harmless, name)
		}
	}
	return w.harmless[key]
}

// fits asks CUE whether a scalar is allowed here.
func (d *def) fits(n *node) bool {
	var v cue.Value
	switch n.kind {
	case textNode:
		v = d.view.ctx.Encode(n.text)
	default:
		v = d.view.ctx.BuildExpr(n.expr())
	}
	return d.v.Unify(v).Validate(cue.Concrete(true)) == nil
}

// fitsText is fits for a text that nobody wrote.
func (d *def) fitsText(text string) bool { return d.fits(&node{kind: textNode, text: text}) }

func docOf(v cue.Value) string {
	var parts []string
	for _, g := range v.Doc() {
		if t := strings.TrimSpace(g.Text()); t != "" {
			parts = append(parts, t)
		}
	}
	return strings.Join(parts, "\n\n")
}

var sentenceEnd = regexp.MustCompile(`[.!?](\s|$)`)

// hint is the first sentence of the documentation, as hints are written.
func (d *def) hint() string {
	if d == nil {
		return ""
	}
	text, _, _ := strings.Cut(d.doc, "\n\n")
	text = strings.Join(strings.Fields(text), " ")
	if at := sentenceEnd.FindStringIndex(text); at != nil {
		text = text[:at[0]]
	}
	return lowerFirst(text)
}

// lowerFirst begins a sentence as our texts do, but for names and abbreviations.
func lowerFirst(text string) string {
	first, size := utf8.DecodeRuneInString(text)
	word, _, _ := strings.Cut(text, " ")
	if strings.ToLower(word[min(size, len(word)):]) != word[min(size, len(word)):] || properName[word] {
		return text
	}
	return string(unicode.ToLower(first)) + text[size:]
}

var properName = map[string]bool{"Google": true, "Amazon": true, "Microsoft": true, "Vault's": true, "Vault": true, "Apache": true, "Kubernetes": true}

// what says what belongs here, for a sentence that begins with the setting's path.
func (d *def) what() string {
	switch {
	case d == nil:
		return ""
	case d.message != "":
		return d.message
	case len(d.enum) > 0:
		return "must be " + orList(d.enum)
	}
	if k := d.kindWords(); k != "" {
		return "must be " + k
	}
	return ""
}

// kindWords names the kinds that may stand here.
func (d *def) kindWords() string {
	var words []string
	for _, k := range []nodeKind{textNode, boolNode, intNode, floatNode, listNode, mapNode} {
		if d.kinds&k.cueKind() == 0 || k == intNode && d.kinds&cue.FloatKind != 0 {
			continue
		}
		words = append(words, k.String())
	}
	return orList(words)
}

// orList joins words: a, b or c.
func orList(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	return strings.Join(words[:len(words)-1], ", ") + " or " + words[len(words)-1]
}

// closestKey is the setting of d, or of the maps directly below it, that key is likely meant to be.
func (d *def) closestKey(key string) string {
	d.expand()
	if c, ok := diag.Closest(key, d.names); ok {
		return c
	}
	return ""
}
