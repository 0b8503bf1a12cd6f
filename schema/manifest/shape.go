package manifest

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"cuelang.org/go/cue"

	"github.com/panelmatch/panelmatch/schema/diag"
)

// fault reports an error at a path.
func (l *loader) fault(path []string, d diag.Diagnostic) {
	d.Path = show(path)
	l.mark(d.Path)
	l.diags = append(l.diags, d)
}

// shapeLayer checks the shape of one layer before it is merged, because
// afterwards the evidence is gone: nulls, unknown keys, a list where a map
// belongs. What is at fault is reported and dropped, leaving a mark.
func (l *loader) shapeLayer(y *layered) {
	switch {
	case y.id != "":
		l.shapeOverride(y)
	case y.path != nil:
		l.shapeAssignment(y)
	default:
		l.checkMap(y.tree, l.view.root, nil)
	}
	if y.tree != nil {
		y.src.collect(y.tree)
	}
}

// shapeAssignment checks an environment variable or --set.
func (l *loader) shapeAssignment(y *layered) {
	d := l.view.root
	for i, e := range y.path {
		next, known := d.below(e)
		if !known {
			y.tree.hide()
			y.src.collect(y.tree)
			// A stand-in for the map that the key would be in, so that the fault reads as in a file.
			parent := &node{kind: mapNode, src: y.src, key: y.tree.key, val: y.tree.val}
			if _, isIndex := indexOf(e); isIndex || d.kinds&cue.StructKind == 0 {
				l.fault(y.path[:i+1], diag.Diagnostic{
					Code: diag.CodeKind, Pos: y.tree.key, Span: y.tree.keySpan,
					Message: fmt.Sprintf("leads below %s, which %s", show(y.path[:i]), d.what()),
				})
			} else {
				l.unknown(parent, mapBranch(d), e, y.tree, y.path[:i])
			}
			y.tree = nil
			return
		}
		if next == nil {
			break // a provider's own settings
		}
		d = next
		if d.secret {
			hideLiterals(y.tree)
		}
		if i == len(y.path)-1 {
			if !l.check(y.tree, d, y.path) {
				y.src.collect(y.tree)
				y.tree = nil
			}
			return
		}
	}
	if !l.check(y.tree, nil, y.path) {
		y.tree = nil
	}
}

// mapBranch is the alternative of d that is a map, or d.
func mapBranch(d *def) *def {
	for _, a := range d.flat() {
		if a.kinds&cue.StructKind != 0 {
			return a
		}
	}
	return d
}

// shapeOverride checks a file of the overrides directory, which may set only
// exchanges.<its name>.
func (l *loader) shapeOverride(y *layered) {
	root, own := y.tree, show([]string{"exchanges", y.id})
	for _, k := range append([]string(nil), root.keys...) {
		if k == "exchanges" {
			continue
		}
		c := root.fields[k]
		root.drop(k)
		c.hide()
		y.src.collect(c)
		d := diag.Diagnostic{
			Code: diag.CodeLayer, Pos: c.key, Span: c.keySpan,
			Message: "can't be set in an override, which sets only " + own,
			Hint:    "move it to a base file",
		}
		if _, known := l.view.root.lookup(k); !known {
			d.Code = diag.CodeUnknown
			d.DidYouMean, _ = diag.Closest(k, []string{"exchanges"})
			d.Hint = ""
			if x, _ := l.view.root.below("exchanges", y.id); x != nil {
				if _, inside := x.lookup(k); inside {
					d.Hint = fmt.Sprintf("put it below `exchanges: {%s: ...}`", y.id)
				}
			}
			if d.DidYouMean != "" {
				l.marks["exchanges"] = true
			}
		}
		l.fault([]string{k}, d)
	}
	if root.child("exchanges") != nil && !l.check(root, l.view.root, nil) {
		return
	}
	exchanges := root.child("exchanges")
	if exchanges == nil || len(exchanges.keys) == 0 {
		if slices.ContainsFunc(l.diags, func(d diag.Diagnostic) bool { return d.Pos.File == y.src.name }) {
			return // something else was wrong here, and said
		}
		l.fault([]string{"exchanges", y.id}, diag.Diagnostic{
			Code: diag.CodeLayer, Pos: diag.Position{File: y.src.name, Layer: y.src.layer},
			Message: "is not set by the override that is named after it",
			Hint:    fmt.Sprintf("write `exchanges: {%s: {shared: ...}}`, or remove the file", y.id),
		})
		return
	}
	for _, id := range append([]string(nil), exchanges.keys...) {
		if id == y.id {
			continue
		}
		c := exchanges.fields[id]
		exchanges.drop(id)
		l.fault([]string{"exchanges", id}, diag.Diagnostic{
			Code: diag.CodeLayer, Pos: c.key, Span: c.keySpan,
			Message: fmt.Sprintf("can't be set in an override that is named after %s", y.id),
			Hint:    fmt.Sprintf("rename the file to %s.yaml, or the exchange to %s", id, y.id),
		})
	}
}

// check reports what is wrong with the shape of n, drops it below n, and says
// whether n itself may stay. A nil d means that the schema leaves it open.
func (l *loader) check(n *node, d *def, path []string) bool {
	if n.kind == nullNode {
		l.null(n, d, path)
		return false
	}
	if d == nil {
		l.checkOpen(n, path)
		return true
	}
	if d.secret {
		hideLiterals(n)
	}
	if !l.sameClass(n, d) {
		if d.kinds&cue.StringKind == 0 && d.holdsSecret() {
			n.hide()
		}
		l.wrongKind(n, d, path)
		return false
	}
	switch n.kind {
	case mapNode:
		b := d.branch(n)
		if b == nil {
			b = mapBranch(d)
		}
		if len(n.keys) > 0 {
			n.branch = b
		}
		l.checkMap(n, b, path)
	case listNode:
		for _, a := range d.flat() {
			if a.kinds&cue.ListKind == 0 {
				continue
			}
			a.expand()
			for i, x := range n.items {
				if !l.check(x, a.elem, below(path, index(i))) {
					x.bad = true
				}
			}
			break
		}
	}
	return true
}

// sameClass tells maps, lists and scalars apart; which scalar it is, is for the values.
func (l *loader) sameClass(n *node, d *def) bool {
	switch n.kind {
	case mapNode:
		return d.kinds&cue.StructKind != 0
	case listNode:
		return d.kinds&cue.ListKind != 0
	}
	return d.kinds&^(cue.StructKind|cue.ListKind|cue.NullKind) != 0
}

func (l *loader) null(n *node, d *def, path []string) {
	f := diag.Diagnostic{
		Code: diag.CodeNull, Pos: n.key, Span: n.keySpan,
		Message: "has no value",
		Hint:    "give it a value, or leave the key out",
	}
	if what := d.what(); what != "" {
		f.Message += "; it " + what
	}
	if _, isElement := indexOf(path[len(path)-1]); isElement {
		f.Hint = "give it a value, or remove the element"
	} else if parent, _ := l.view.root.below(path[:len(path)-1]...); parent != nil {
		b := mapBranch(parent)
		b.expand()
		switch field := b.fields[path[len(path)-1]]; {
		case field.required:
			f.Hint = "give it a value; it is required"
		case field.d != nil && !field.optional:
			f.Hint = "give it a value, or leave the key out to have the default"
		}
	}
	l.fault(path, f)
}

func (l *loader) wrongKind(n *node, d *def, path []string) {
	f := diag.Diagnostic{
		Code: diag.CodeKind, Pos: n.val, Message: d.what() + "; found " + found(n), Hint: d.hint(),
	}
	last := path[len(path)-1]
	if n.kind == listNode || n.kind == mapNode {
		f.Pos, f.Span = n.key, n.keySpan
	}
	switch {
	case d.secret:
		f.Hint = secretHint
	case n.kind == listNode && d.kinds == cue.StructKind:
		f.Hint = "write `name:` lines without the dash"
	case n.kind == listNode:
		f.Hint = "give one value, without brackets or dash"
	case d.kinds == cue.ListKind && n.kind == mapNode:
		f.Hint = fmt.Sprintf("write `%s: [...]`, or one `- ` line for each element", last)
	case n.kind.scalar() && d.kinds == cue.ListKind:
		f.Hint = fmt.Sprintf("write `%s: [%s]`", last, strings.Trim(found(n), `"`))
	case n.kind.scalar() && d.kinds == cue.StructKind:
		d.expand()
		if len(d.names) > 0 {
			f.Allowed = d.names
			f.Hint = fmt.Sprintf("put its settings on indented lines below `%s:`", last)
		}
	}
	l.fault(path, f)
}

// checkMap checks the keys of a map.
func (l *loader) checkMap(n *node, d *def, path []string) {
	for _, k := range append([]string(nil), n.keys...) {
		c := n.fields[k]
		at := below(path, k)
		x, known := d.lookup(k)
		if !known {
			c.hide()
			l.unknown(n, d, k, c, path)
			n.drop(k)
			continue
		}
		if x == nil && secretName.MatchString(k) {
			hideLiterals(c)
		}
		if !l.check(c, x, at) {
			n.drop(k)
			n.src.collect(c)
			l.marks[show(at)] = true
		}
	}
	for _, dup := range n.dups {
		l.hideDuplicate(dup.node, d, dup.name, below(path, dup.name))
	}
}

// hideDuplicate hides what a dropped value must not show, as check does for what stays.
func (l *loader) hideDuplicate(n *node, parent *def, name string, path []string) {
	x, known := parent.lookup(name)
	if !known {
		n.hide()
		return
	}
	if x == nil {
		hideLiterals(n)
		return
	}
	// Faults of a value that is gone anyway would be noise.
	silent := &loader{view: l.view, marks: map[string]bool{}, reported: map[string]bool{}, strays: map[string]bool{}}
	silent.check(n, x, path)
}

// unknown reports a key that may not be there.
func (l *loader) unknown(n *node, d *def, key string, c *node, path []string) {
	n.src.collect(c)
	d.expand()
	at := below(path, key)
	l.strays[show(path)] = true
	f := diag.Diagnostic{Code: diag.CodeUnknown, Pos: c.key, Span: c.keySpan, Message: "no such setting", Allowed: d.names}
	if len(d.names) == 0 && len(d.patterns) > 0 {
		// A bad name in a map that is keyed by names of the user's.
		f.Code, f.Message = diag.CodeValue, "is no name that can stand here"
		if m := d.patterns[0].key.message; m != "" {
			f.Message = fmt.Sprintf("the name %s", m)
		}
		l.fault(at, f)
		l.marks[show(at)] = true
		return
	}
	if best := d.closestKey(key); best != "" {
		f.DidYouMean = best
		// One mistake, one fault: the setting that was meant is not missing.
		if n.child(best) == nil {
			l.marks[show(below(path, best))] = true
		}
	} else if where := l.elsewhere(key, path); where != "" {
		f.Hint = "there is such a setting at " + where
	}
	l.fault(at, f)
}

// elsewhere finds a setting of that name near the root, for a key that stands at the wrong depth.
func (l *loader) elsewhere(key string, path []string) string {
	root := l.view.root
	if _, ok := root.lookup(key); ok && len(path) > 0 {
		return "the top level"
	}
	for _, name := range root.names {
		x := root.fields[name].d
		if x.kinds != cue.StructKind {
			continue
		}
		x.expand()
		if _, ok := x.fields[key]; ok {
			return show([]string{name, key})
		}
	}
	return ""
}

// secretName matches names under which people keep secrets.
var secretName = regexp.MustCompile(`(?i)(secret|token|passw|credential|apikey|accesskey|privatekey)`)

// checkOpen checks what the schema leaves to a provider: only that nothing is
// null. Of what looks like a secret, only references are ever printed.
func (l *loader) checkOpen(n *node, path []string) {
	switch n.kind {
	case mapNode:
		for _, k := range append([]string(nil), n.keys...) {
			c := n.fields[k]
			if secretName.MatchString(k) {
				hideLiterals(c)
			}
			if !l.check(c, nil, below(path, k)) {
				n.drop(k)
			}
		}
	case listNode:
		for i, x := range n.items {
			if !l.check(x, nil, below(path, index(i))) {
				x.bad = true
			}
		}
	}
}

// hideLiterals hides everything but references.
func hideLiterals(n *node) {
	n.walk(func(x *node) {
		if !isReference(x.text) {
			x.hidden = true
		}
	})
}

// found names what was found, for the end of a sentence.
func found(n *node) string {
	switch {
	case n.hidden && n.kind.scalar():
		return redacted
	case n.kind == textNode:
		return fmt.Sprintf("%q", clip(maskURLs(n.text)))
	case n.kind.scalar():
		return n.text
	}
	return n.kind.String()
}

// clip bounds what is quoted of a value.
func clip(s string) string {
	const most = 80
	if utf8.RuneCountInString(s) <= most {
		return s
	}
	return string([]rune(s)[:most]) + "…"
}
