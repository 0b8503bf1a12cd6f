package manifest

import (
	"math/big"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"cuelang.org/go/cue"
	"cuelang.org/go/cue/ast"
	"cuelang.org/go/cue/literal"
	"cuelang.org/go/cue/token"

	"github.com/panelmatch/panelmatch/schema/diag"
)

type nodeKind uint8

const (
	nullNode nodeKind = iota
	textNode
	boolNode
	intNode
	floatNode
	listNode
	mapNode
)

func (k nodeKind) scalar() bool { return k >= textNode && k <= floatNode }

// String names the kind as people call it.
func (k nodeKind) String() string {
	return [...]string{"nothing", "text", "true or false", "a whole number", "a number", "a list", "a map"}[k]
}

// cueKind is the CUE kind of the node's value.
func (k nodeKind) cueKind() cue.Kind {
	return [...]cue.Kind{cue.NullKind, cue.StringKind, cue.BoolKind, cue.IntKind, cue.FloatKind, cue.ListKind, cue.StructKind}[k]
}

// node is a value with its place. All layers, whatever their format, become nodes.
type node struct {
	kind nodeKind
	src  *source
	// key is the place of the key, val that of the value; for an element of a list both are the element's.
	key, val diag.Position
	keys     []string // of a map, in order
	fields   map[string]*node
	items    []*node
	text     string // of a text; of a number as it was written, of a bool
	hidden   bool   // never print the value: it is, or may be, a secret
	bad      bool   // a fault was reported here; leave it out of what follows
	keySpan  int
	dups     []duplicate
	// branch is the alternative that the map was taken for when its shape was checked, before what is
	// unknown was dropped.
	branch *def
}

// duplicate is a later value of a key that was there already.
type duplicate struct {
	name string
	node *node
}

func (n *node) child(name string) *node {
	if n == nil || n.fields == nil {
		return nil
	}
	return n.fields[name]
}

func (n *node) put(name string, c *node) {
	if n.fields == nil {
		n.fields = map[string]*node{}
	}
	if _, there := n.fields[name]; !there {
		n.keys = append(n.keys, name)
	}
	n.fields[name] = c
}

func (n *node) drop(name string) {
	delete(n.fields, name)
	n.keys = slices.DeleteFunc(n.keys, func(k string) bool { return k == name })
}

// at returns the node below n at the path, or nil.
func (n *node) at(path ...string) *node {
	for _, e := range path {
		switch i, isIndex := indexOf(e); {
		case n == nil:
			return nil
		case isIndex && n.kind == listNode && i < len(n.items):
			n = n.items[i]
		case !isIndex && n.kind == mapNode:
			n = n.fields[e]
		default:
			return nil
		}
	}
	return n
}

// nearest returns the deepest node that is there on the way along path.
func (n *node) nearest(path ...string) *node {
	for _, e := range path {
		next := n.at(e)
		if next == nil {
			break
		}
		n = next
	}
	return n
}

// clone copies the maps and lists, and shares the leaves.
func (n *node) clone() *node {
	c := *n
	c.keys = slices.Clone(n.keys)
	c.items = make([]*node, len(n.items))
	for i, x := range n.items {
		c.items[i] = x.clone()
	}
	if n.fields != nil {
		c.fields = make(map[string]*node, len(n.fields))
		for k, x := range n.fields {
			c.fields[k] = x.clone()
		}
	}
	return &c
}

// walk calls f for n and everything below it, parents first.
func (n *node) walk(f func(*node)) {
	f(n)
	for _, k := range n.keys {
		n.fields[k].walk(f)
	}
	for _, x := range n.items {
		x.walk(f)
	}
	for _, d := range n.dups {
		d.node.walk(f)
	}
}

// hide marks n and everything below it as not to be printed.
func (n *node) hide() { n.walk(func(x *node) { x.hidden = true }) }

// expr returns the value as CUE syntax, without what is bad.
func (n *node) expr() ast.Expr {
	switch n.kind {
	case textNode:
		return ast.NewString(n.text)
	case boolNode:
		return ast.NewBool(n.text == "true")
	case intNode, floatNode:
		return numberExpr(n.kind, n.text)
	case listNode:
		l := &ast.ListLit{}
		for _, x := range n.items {
			if !x.bad {
				l.Elts = append(l.Elts, x.expr())
			}
		}
		return l
	case mapNode:
		s := &ast.StructLit{}
		for _, k := range n.keys {
			if x := n.fields[k]; !x.bad {
				s.Elts = append(s.Elts, &ast.Field{Label: ast.NewString(k), Value: x.expr()})
			}
		}
		return s
	}
	return ast.NewNull()
}

func numberExpr(kind nodeKind, text string) ast.Expr {
	digits, negative := strings.CutPrefix(text, "-")
	t := token.INT
	if kind == floatNode {
		t = token.FLOAT
	}
	lit := &ast.BasicLit{Kind: t, Value: digits}
	if negative {
		return &ast.UnaryExpr{Op: token.SUB, X: lit}
	}
	return lit
}

// setNumber reads a CUE number literal (without sign) into n; it refuses what
// does not fit 64 bits.
func (n *node) setNumber(lit string, negative bool) bool {
	var info literal.NumInfo
	if err := literal.ParseNum(strings.TrimPrefix(lit, "+"), &info); err != nil {
		return false
	}
	sign := ""
	if negative {
		sign = "-"
	}
	if info.IsInt() {
		f, _, err := big.ParseFloat(sign+info.String(), 0, 256, big.ToZero)
		if err != nil {
			return false
		}
		i, accuracy := f.Int64()
		if accuracy != big.Exact {
			return false
		}
		n.kind, n.text = intNode, strconv.FormatInt(i, 10)
		return true
	}
	f, err := strconv.ParseFloat(sign+info.String(), 64)
	if err != nil {
		return false
	}
	text := strconv.FormatFloat(f, 'g', -1, 64)
	if !strings.ContainsAny(text, ".e") {
		text += ".0"
	}
	n.kind, n.text = floatNode, text
	return true
}

// A path is a list of keys; the index of a list is a key that no map can have.
const indexMark = "\x01"

func index(i int) string { return indexMark + strconv.Itoa(i) }

func indexOf(e string) (int, bool) {
	digits, ok := strings.CutPrefix(e, indexMark)
	if !ok {
		return 0, false
	}
	i, err := strconv.Atoi(digits)
	return i, err == nil && i >= 0
}

// join makes a map key of a path. Keys never contain the separator.
const pathSeparator = "\x00"

func join(path []string) string { return strings.Join(path, pathSeparator) }

func below(path []string, more ...string) []string {
	return append(path[:len(path):len(path)], more...)
}

// show writes a path as people do: exchanges."rx.2".shared, trust.allow[0].
func show(path []string) string {
	var b strings.Builder
	for i, e := range path {
		if n, ok := indexOf(e); ok {
			b.WriteString("[" + strconv.Itoa(n) + "]")
			continue
		}
		if i > 0 {
			b.WriteByte('.')
		}
		if plainKey(e) {
			b.WriteString(e)
		} else {
			b.WriteString(strconv.Quote(e))
		}
	}
	return b.String()
}

// plainKey reports whether a key needs no quotes in a path.
func plainKey(k string) bool {
	for i, r := range k {
		if r != '_' && !(r < unicode.MaxASCII && (unicode.IsLetter(r) || i > 0 && unicode.IsDigit(r))) {
			return false
		}
	}
	return k != "" && k != "_" && !strings.HasPrefix(k, "__")
}
