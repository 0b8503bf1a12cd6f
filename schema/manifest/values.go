package manifest

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"cuelang.org/go/cue"
	"cuelang.org/go/cue/errors"

	"github.com/panelmatch/panelmatch/schema/diag"
)

// values checks the merged tree: each scalar against the schema, each map for
// what is required and for its one-ofs. CUE is asked for yes or no only; the
// sentences are made from the schema.
func (l *loader) values(n *node, d *def, path []string) {
	if n.bad || d == nil || !l.sameClass(n, d) {
		return
	}
	switch n.kind {
	case mapNode:
		b := d.branch(n)
		if b == nil {
			b = d
		}
		if len(n.keys) == 0 && n.branch == nil && len(d.alts) > 1 {
			// Which of the alternatives is meant, nobody can tell.
			l.fault(path, diag.Diagnostic{
				Code: diag.CodeMissing, Pos: n.key, Span: n.keySpan, Message: d.what() + "; found an empty map", Hint: d.hint(),
			})
			n.bad = true
			return
		}
		l.mapValues(n, b, path)
	case listNode:
		for _, a := range d.flat() {
			if a.kinds&cue.ListKind != 0 {
				a.expand()
				for i, x := range n.items {
					l.values(x, a.elem, below(path, index(i)))
				}
				break
			}
		}
	default:
		if !d.fits(n) {
			l.badValue(n, d, path)
			n.bad = true
		}
	}
}

func (l *loader) mapValues(n *node, d *def, path []string) {
	d.expand()
	for _, name := range d.names {
		f, at := d.fields[name], below(path, name)
		c := n.child(name)
		switch {
		case c != nil:
			l.values(c, f.d, at)
		case l.marks[show(at)]:
		case f.required:
			l.missing(n, f.d, at)
		case !f.optional && f.d.merges() && !n.bad:
			// A map that is always there may itself require something.
			l.values(&node{kind: mapNode, src: n.src, key: n.key, val: n.val, keySpan: n.keySpan}, f.d, at)
		}
	}
	for _, k := range n.keys {
		if _, isField := d.fields[k]; !isField {
			x, _ := d.lookup(k)
			l.values(n.fields[k], x, below(path, k))
		}
	}
	for _, members := range d.oneOfs {
		l.exactlyOne(n, members, path)
	}
}

// missing reports a required setting that no layer gives.
func (l *loader) missing(parent *node, d *def, path []string) {
	f := diag.Diagnostic{Code: diag.CodeMissing, Pos: parent.key, Span: parent.keySpan, Message: "is required, and missing", Hint: d.hint()}
	if what := d.what(); what != "" && len(d.enum) == 0 && d.kinds != cue.StructKind {
		f.Message += "; it " + what
	}
	switch {
	case len(d.enum) > 1:
		f.Allowed = d.enum
	case len(d.enum) == 1:
		f.Message += "; it must be " + d.enum[0]
	case d.kinds == cue.StructKind:
		d.expand()
		f.Allowed = d.names
		if len(d.oneOfs) == 0 {
			f.Allowed = nil
			for _, name := range d.names {
				if d.fields[name].required {
					f.Allowed = append(f.Allowed, name)
				}
			}
			if len(f.Allowed) > 0 {
				f.Message += "; it is a map with at least " + strings.Join(f.Allowed, ", ")
			}
			f.Allowed = nil
		}
	}
	if len(path) == 1 {
		// Nothing in the file is nearer than the file itself.
		f.Pos = diag.Position{File: parent.key.File, Line: 1, Column: 1, Layer: parent.key.Layer}
		f.Span = 0
	}
	l.fault(path, f)
}

// exactlyOne checks a one-of.
func (l *loader) exactlyOne(n *node, members, path []string) {
	var there []*node
	names := map[*node]string{}
	for _, k := range members {
		if c := n.child(k); c != nil {
			there = append(there, c)
			names[c] = k
		} else if l.marks[show(below(path, k))] {
			return // it was there, and is reported already
		}
	}
	if len(there) == 1 {
		return
	}
	if len(there) == 0 && l.strays[show(path)] && len(path) > 0 {
		l.mark(show(path)) // the unknown key was meant as one of them
		return
	}
	f := diag.Diagnostic{
		Code: diag.CodeOneOf, Pos: n.key, Span: n.keySpan, Allowed: members,
		Message: "needs exactly one of its alternatives, and has none",
	}
	for _, k := range members {
		l.mark(show(below(path, k))) // the schema's own rule speaks of one of them
	}
	at := path
	if len(there) > 1 {
		slices.SortFunc(there, func(a, b *node) int { return a.key.Compare(b.key) })
		second := there[1]
		at = below(path, names[second])
		f.Pos, f.Span = second.key, second.keySpan
		f.Message = fmt.Sprintf("can't be given together with %s; only one of the alternatives can", names[there[0]])
		f.Hint = "keep one of them"
		f.Related = []diag.Related{{Pos: there[0].key, Message: names[there[0]] + " is given here"}}
		for _, x := range there[2:] {
			f.Related = append(f.Related, diag.Related{Pos: x.key, Message: names[x] + " is given here"})
		}
	} else if len(path) == 0 {
		f.Message = "needs exactly one of " + strings.Join(members, ", ") + ", and has none"
		f.Pos = diag.Position{File: n.key.File, Line: 1, Column: 1, Layer: n.key.Layer}
		f.Span, f.Allowed = 0, nil
		at = []string{members[0]}
	}
	l.mark(show(path))
	l.fault(at, f)
}

// badValue reports a scalar that the schema does not allow.
func (l *loader) badValue(n *node, d *def, path []string) {
	f := diag.Diagnostic{Code: diag.CodeValue, Pos: n.val, Span: l.valueSpan(n), Hint: d.hint()}
	switch {
	case len(d.enum) > 0:
		f.Message = found(n) + " is not allowed here"
		f.Allowed = d.enum
		if n.kind == textNode && !n.hidden {
			f.DidYouMean, _ = diag.Closest(n.text, d.enum)
		}
	default:
		f.Message = d.what() + "; found " + found(n)
	}
	if n.kind == textNode && !n.hidden && f.DidYouMean == "" {
		f.DidYouMean = d.meant(n.text)
	}
	switch {
	case d.secret:
		f.Hint = secretHint
	case n.kind == textNode && d.kinds&cue.StringKind == 0 && unquoted(n.text, d):
		f.Hint = "write it without quotes"
	case n.kind != textNode && d.kinds&cue.StringKind != 0 && d.fitsText(n.text):
		f.Hint = "put it in quotes; without, YAML reads " + kindName(n)
	}
	l.fault(path, f)
}

// secretHint says what to do with a secret that stands in a manifest.
const secretHint = "put the secret into a file or an environment variable, and write file:<path> or env:<NAME> here"

func kindName(n *node) string { return n.kind.String() }

// valueSpan is the length of a scalar as it is written, if it stands in one piece.
func (l *loader) valueSpan(n *node) int {
	switch {
	case n.src == nil:
		return 0
	case n.src.format == assignment:
		return utf8.RuneCountInString(n.src.line(n.val)) - n.val.Column + 1
	}
	return n.src.extent(n).length
}

// unquoted reports whether the text would fit as a number or a bool.
func unquoted(text string, d *def) bool {
	n := &node{src: &source{}}
	switch digits, negative := strings.CutPrefix(text, "-"); {
	case text == "true" || text == "false":
		n.kind, n.text = boolNode, text
	case !n.setNumber(digits, negative):
		return false
	}
	return d.fits(n)
}

var (
	scheme  = regexp.MustCompile(`^([a-z][a-z0-9+.-]*)(:.*)$`)
	schemes = regexp.MustCompile(`\b([a-z][a-z0-9+.-]*):`)
	units   = regexp.MustCompile(`(?i)^([0-9]+) *([a-z]+?)s?$`)
)

// unitWords are spellings that people use where the schema wants a short unit.
var unitWords = map[string][]string{
	"second": {"s"}, "sec": {"s"}, "minute": {"m"}, "min": {"m"}, "hour": {"h"}, "hr": {"h"}, "day": {"d", "h"}, "week": {"d", "h"},
	"g": {"GiB"}, "gb": {"GB"}, "gi": {"GiB"}, "gib": {"GiB"}, "m": {"m", "MiB"}, "mb": {"MB"}, "mi": {"MiB"}, "mib": {"MiB"},
	"k": {"KiB"}, "kb": {"KB", "kB"}, "ki": {"KiB"}, "kib": {"KiB"},
}

// meant guesses what a text that does not fit was meant to be; the guess fits.
func (d *def) meant(text string) string {
	var guesses []string
	if m := scheme.FindStringSubmatch(text); m != nil {
		var known []string
		for _, s := range schemes.FindAllStringSubmatch(d.message, -1) {
			known = append(known, s[1])
		}
		if best, ok := diag.Closest(m[1], known); ok {
			whole := best + maskURLs(m[2])
			if !d.fitsText(whole) {
				// The scheme is one mistake; there is at least another one behind it.
				return best + "://..."
			}
			guesses = append(guesses, whole)
		}
	}
	if m := units.FindStringSubmatch(text); m != nil {
		for _, u := range unitWords[strings.ToLower(m[2])] {
			count := m[1]
			if i, err := strconv.Atoi(count); err == nil {
				switch word := strings.ToLower(m[2]); {
				case word == "week":
					i *= 7
					fallthrough
				case word == "day":
					if u == "h" {
						i *= 24
					}
				}
				count = strconv.Itoa(i)
			}
			guesses = append(guesses, count+u)
		}
		guesses = append(guesses, m[1]+m[2])
	}
	switch strings.ToLower(text) {
	case "yes", "on", "y":
		guesses = append(guesses, "true")
	case "no", "off", "n":
		guesses = append(guesses, "false")
	}
	guesses = append(guesses, strings.TrimSpace(text))
	if text != "" && text[0] >= '0' && text[0] <= '9' {
		guesses = append(guesses, strings.ReplaceAll(text, " ", ""), strings.ToLower(text))
	}
	if d.path {
		name := strings.TrimPrefix(text, "file:")
		guesses = append(guesses, strings.TrimPrefix(name, "//"), name)
	}
	for _, g := range guesses {
		if g == text || g == "" {
			continue
		}
		if d.fitsText(g) || d.kinds&cue.BoolKind != 0 && (g == "true" || g == "false") {
			return g
		}
	}
	return ""
}

// verdict unites the tree with the schema and asks CUE for all that is left:
// the rules across fields (guards), and whatever our own walk does not know.
// What is at fault already is left out, because an error in a value often
// keeps the guards that look at it silent.
func (l *loader) verdict(tree *node) cue.Value {
	v := l.view.root.v.Unify(l.view.ctx.BuildExpr(tree.expr()))
	for _, e := range errors.Errors(v.Validate(cue.Concrete(true))) {
		l.verdictError(e, tree)
	}
	return v
}

// oneOfRule begins the text of the schema's own rule for one-ofs.
const oneOfRule = "needs exactly one of "

// verdictError reports what is left of an error of the whole.
func (l *loader) verdictError(e errors.Error, tree *node) {
	var path []string
	guard := false
	for _, s := range e.Path() {
		switch {
		case s == "#Deployment":
		case s == "_fault" || strings.HasPrefix(s, "_fault"):
			guard = true
		default:
			path = append(path, cueKey(s))
		}
	}
	at := show(path)
	for r := range l.reported {
		if isBelow(at, r) && (r != "" || at == "") || !guard && isBelow(r, at) {
			return
		}
	}
	for r := range l.marks {
		if isBelow(at, r) {
			return
		}
	}
	d, known := l.view.root.below(path...)
	format, args := e.Msg()
	if l.diags.HasErrors() && (!known || guard && d != nil && len(mapBranch(d).oneOfs) > 0 && strings.HasPrefix(format+fmt.Sprint(args...), oneOfRule)) {
		// A name inside the schema that can't be computed for what is at fault, or a one-of, of
		// which the walk has said what there is to say.
		return
	}
	near := tree.nearest(path...)
	f := diag.Diagnostic{Code: diag.CodeRule, Pos: near.key, Span: near.keySpan}
	if n := tree.at(path...); n != nil && n.kind.scalar() {
		f.Pos, f.Span = n.val, l.valueSpan(n)
	}
	switch message := fmt.Sprintf(format, args...); {
	case guard && strings.Contains(message, "incomplete"), guard && strings.Contains(message, "non-concrete"):
		if l.diags.HasErrors() {
			return // it looks at something that is at fault
		}
		f.Code, f.Message = diag.CodeValue, "the schema can't decide about this"
	case guard:
		f.Message = maskURLs(message)
	default:
		f.Code, f.Message = diag.CodeValue, "the schema refuses this"
		if d != nil {
			if what := d.what(); what != "" {
				f.Message += "; it " + what
			}
			f.Hint = d.hint()
		}
	}
	l.fault(path, f)
}
