package manifest

import (
	"fmt"
	"slices"
	"strings"

	"github.com/knadh/koanf/providers/confmap"
	"github.com/knadh/koanf/v2"

	"github.com/panelmatch/panelmatch/schema/diag"
)

// merger adds up layers. koanf merges, but what it merges are numbers: every
// value is an index into nodes. So it can neither mangle a value nor lose its
// place, and its own rule (maps merge, all else is replaced) is the one we want.
type merger struct {
	l     *loader
	k     *koanf.Koanf
	nodes []*node
	// maps are the first nodes of each merged map, by path.
	maps map[string]*node
	// older are the places of replaced values, by path.
	older map[string][]diag.Position

	tree *node
}

// merge adds up the layers, whose shapes have been checked.
func (l *loader) merge(layers []*layered) *merger {
	m := &merger{
		// The delimiter can't occur in a key, where the usual dot can.
		l: l, k: koanf.New(pathSeparator), maps: map[string]*node{}, older: map[string][]diag.Position{},
	}
	var overrides []*node
	for _, y := range layers {
		switch {
		case y.tree == nil:
		case y.id != "":
			overrides = append(overrides, y.tree)
			continue
		case y.path == nil:
			m.load(y.tree)
		default:
			m.loadOverrides(overrides)
			overrides = nil
			m.assign(y)
		}
	}
	m.loadOverrides(overrides)
	m.tree = m.expand(m.k.Raw(), nil)
	return m
}

// loadOverrides loads all override files at once: koanf does work for the whole on every load, and
// there may be thousands.
func (m *merger) loadOverrides(trees []*node) {
	if len(trees) == 0 {
		return
	}
	first := trees[0]
	all := &node{kind: mapNode, src: first.src, key: first.key, val: first.val}
	exchanges := &node{kind: mapNode, src: first.src, key: first.key, val: first.val}
	all.put("exchanges", exchanges)
	for _, t := range trees {
		x := t.child("exchanges")
		if x == nil {
			continue
		}
		for _, id := range x.keys {
			exchanges.put(id, x.fields[id])
		}
	}
	m.load(all)
}

// load merges one tree.
func (m *merger) load(n *node) {
	t, ok := m.build(n, m.l.view.root, nil).(map[string]any)
	if !ok {
		return
	}
	// confmap gets no delimiter of its own, or it would split keys. It can't fail on a map.
	_ = m.k.Load(confmap.Provider(t, ""), nil)
}

// build turns a node into what koanf merges: maps as far as they merge, and below them indices.
func (m *merger) build(n *node, d *def, path []string) any {
	if n.kind != mapNode || !d.merges() {
		return m.leaf(n, path)
	}
	if m.maps[join(path)] == nil {
		m.maps[join(path)] = n
	}
	for _, members := range d.oneOfs {
		m.replaceMembers(n, members, path)
	}
	t := map[string]any{}
	for _, k := range n.keys {
		c := n.fields[k]
		if c.bad {
			continue
		}
		at := below(path, k)
		if d.oneOf(k) != nil {
			t[k] = m.leaf(c, at)
			continue
		}
		x, _ := d.lookup(k)
		t[k] = m.build(c, x, at)
	}
	return t
}

// leaf registers a value, and remembers which one it replaces.
func (m *merger) leaf(n *node, path []string) int {
	key := join(path)
	if old := m.get(path); old != nil {
		m.older[key] = append(m.older[key], old.key)
	}
	m.nodes = append(m.nodes, n)
	return len(m.nodes) - 1
}

// replaceMembers takes away earlier members of a one-of if n names one.
func (m *merger) replaceMembers(n *node, members, path []string) {
	named := slices.IndexFunc(members, func(k string) bool { return n.child(k) != nil })
	if named < 0 {
		return
	}
	key := join(below(path, members[named]))
	for _, k := range members {
		at := below(path, k)
		old := m.get(at)
		if old == nil {
			continue
		}
		if n.child(k) == nil {
			m.older[key] = append(m.older[key], append(m.older[join(at)], old.key)...)
			delete(m.older, join(at))
		}
		if n.child(k) == nil {
			m.k.Delete(join(at))
		}
	}
}

// get returns the value at a path, or nil.
func (m *merger) get(path []string) *node {
	if i, ok := m.k.Get(join(path)).(int); ok && i < len(m.nodes) {
		return m.nodes[i]
	}
	return nil
}

// expand turns koanf's map back into nodes.
func (m *merger) expand(t map[string]any, path []string) *node {
	n := &node{kind: mapNode}
	if first := m.maps[join(path)]; first != nil {
		n.src, n.key, n.val, n.keySpan = first.src, first.key, first.val, first.keySpan
	}
	keys := make([]string, 0, len(t))
	for k := range t {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	for _, k := range keys {
		switch v := t[k].(type) {
		case int:
			// A copy: the same anchor or reference may stand at several paths.
			n.put(k, m.nodes[v].clone())
		case map[string]any:
			n.put(k, m.expand(v, below(path, k)))
		}
	}
	return n
}

// assign merges an environment variable or --set. One that leads inside a
// value edits the value; all else is an ordinary layer.
func (m *merger) assign(y *layered) {
	bound := m.boundary(y.path)
	if bound < len(y.path) {
		if current := m.get(y.path[:bound]); current != nil {
			m.edit(y, bound, current)
			return
		}
	}
	n := y.tree
	for i := len(y.path) - 1; i >= 0; i-- {
		parent := &node{kind: mapNode, src: y.src, key: y.tree.key, val: y.tree.val, keySpan: y.tree.keySpan}
		if at, isIndex := indexOf(y.path[i]); isIndex {
			if at != 0 {
				m.outOfRange(y, i, 0)
				return
			}
			parent.kind, parent.items = listNode, []*node{n}
		} else {
			parent.put(y.path[i], n)
		}
		n = parent
	}
	m.load(n)
}

// boundary is the length of the part of a path that leads to a value; the rest leads inside it.
func (m *merger) boundary(path []string) int {
	d := m.l.view.root
	for i, e := range path {
		if !d.merges() {
			return i
		}
		if d.oneOf(e) != nil {
			return i + 1
		}
		d, _ = d.lookup(e)
	}
	return len(path)
}

// edit changes something inside a value.
func (m *merger) edit(y *layered, bound int, current *node) {
	edited := current.clone()
	at := edited
	for i := bound; i < len(y.path); i++ {
		e := y.path[i]
		last := i == len(y.path)-1
		n, isIndex := indexOf(e)
		if isIndex && at.kind != listNode || !isIndex && at.kind != mapNode {
			m.wholeValue(y, i, at)
			return
		}
		if isIndex && n > len(at.items) {
			m.outOfRange(y, i, len(at.items))
			return
		}
		next := at.at(e)
		if last || next == nil {
			fresh := &node{kind: mapNode, src: y.src, key: y.tree.key, val: y.tree.val, keySpan: y.tree.keySpan}
			if !last {
				if _, nextIsIndex := indexOf(y.path[i+1]); nextIsIndex {
					fresh.kind = listNode
				}
			} else {
				fresh = y.tree
			}
			if next != nil {
				key := join(y.path[:i+1])
				m.older[key] = append(m.older[key], next.key)
			}
			switch {
			case !isIndex:
				at.put(e, fresh)
			case n < len(at.items):
				at.items[n] = fresh
			default:
				at.items = append(at.items, fresh)
			}
			next = fresh
		}
		at = next
	}
	if d, _ := m.l.view.root.below(y.path[:bound]...); d != nil && edited.kind == mapNode {
		m.editOneOf(edited, d, y, y.path[:bound])
	}
	m.nodes = append(m.nodes, edited)
	t := any(len(m.nodes) - 1)
	for i := bound - 1; i >= 0; i-- {
		t = map[string]any{y.path[i]: t}
	}
	if tree, ok := t.(map[string]any); ok {
		_ = m.k.Load(confmap.Provider(tree, ""), nil)
	}
}

// editOneOf lets a member that an edit names replace the others, as a layer does.
func (m *merger) editOneOf(n *node, d *def, y *layered, path []string) {
	b := d.branch(n)
	if b == nil || len(path) >= len(y.path) {
		return
	}
	e := y.path[len(path)]
	for _, other := range b.oneOf(e) {
		if other != e {
			n.drop(other)
		}
	}
	x, _ := b.lookup(e)
	if c := n.child(e); c != nil && x != nil && c.kind == mapNode {
		m.editOneOf(c, x, y, y.path[:len(path)+1])
	}
}

func (m *merger) wholeValue(y *layered, i int, at *node) {
	whole := show(y.path[:i])
	m.l.fault(y.path, diag.Diagnostic{
		Code: diag.CodeLayer, Pos: y.tree.key, Span: y.tree.keySpan,
		Message: fmt.Sprintf("can't be set, because %s is %s", whole, found(at)),
		Hint:    fmt.Sprintf("set the whole value: --set '%s={%s...}'", whole, m.longForm(y.path[:i])),
		Related: []diag.Related{{Pos: at.key, Message: whole + " is set here"}},
	})
}

// longForm begins the long form of a value: "url: ..., ".
func (m *merger) longForm(path []string) string {
	d, _ := m.l.view.root.below(path...)
	if d == nil {
		return ""
	}
	b := mapBranch(d)
	b.expand()
	for _, name := range b.names {
		if b.fields[name].required {
			return name + ": ..., "
		}
	}
	return ""
}

func (m *merger) outOfRange(y *layered, i, length int) {
	m.l.fault(y.path, diag.Diagnostic{
		Code: diag.CodeLayer, Pos: y.tree.key, Span: y.tree.keySpan,
		Message: fmt.Sprintf("can't be set, because %s has %d elements", show(y.path[:i]), length),
		Hint:    fmt.Sprintf("elements count from 0; %s[%d] appends one", show(y.path[:i]), length),
	})
}

// isBelow reports whether path is root or below it, both as people write them.
func isBelow(path, root string) bool {
	rest, ok := strings.CutPrefix(path, root)
	return ok && (root == "" || rest == "" || rest[0] == '.' || rest[0] == '[')
}
