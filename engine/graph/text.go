package graph

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/panelmatch/panelmatch/engine/provider"
	"github.com/panelmatch/panelmatch/schema/diag"
)

// WriteText writes the graph as a tree for a terminal: at the top what nobody
// needs (the daemon), below each node what it needs. A node is drawn in full
// where it comes first; later it is one line with an arrow that points up.
func (g *Graph) WriteText(w io.Writer) error {
	t := textTree{drawing: g.drawing(), drawn: map[*node]bool{}}
	for _, n := range g.tops() {
		t.line("", "", n, "")
		t.children(n, "")
	}
	for _, n := range g.nodes { // circles have no top
		if !t.drawn[n] {
			t.line("", "", n, "")
			t.children(n, "")
		}
	}
	opened := 0
	for _, n := range g.nodes {
		if n.open != nil {
			opened++
		}
	}
	if len(g.nodes) > 0 {
		t.b.WriteByte('\n')
	}
	fmt.Fprintf(&t.b, "%d nodes, %d of them to open; ↑ is drawn above\n", len(g.nodes), opened)
	_, err := io.WriteString(w, t.b.String())
	return err
}

// tops returns the nodes that no other node needs: the daemon, then the others in the order of addition.
func (g *Graph) tops() []*node {
	needed := map[string]bool{}
	for _, n := range g.nodes {
		for _, id := range n.neededIDs() {
			needed[id] = true
		}
	}
	var out []*node
	for _, n := range g.nodes {
		if !needed[n.ID] {
			out = append(out, n)
		}
	}
	slices.SortStableFunc(out, func(a, b *node) int {
		switch {
		case a.Kind == KindDaemon && b.Kind != KindDaemon:
			return -1
		case a.Kind != KindDaemon && b.Kind == KindDaemon:
			return 1
		}
		return 0
	})
	return out
}

type textTree struct {
	drawing
	b     strings.Builder
	drawn map[*node]bool
}

func (t *textTree) line(indent, branch string, n *node, as string) {
	t.b.WriteString(indent + branch + visible(n.ID))
	if as != "" {
		t.b.WriteString(" [" + visible(as) + "]")
	}
	if t.drawn[n] {
		t.b.WriteString(" ↑\n")
		return
	}
	if s := n.summary(); s != "" {
		t.b.WriteString("  " + s)
	}
	t.b.WriteByte('\n')
}

// summary is label and attributes in one line.
func (n *node) summary() string {
	parts := make([]string, 0, 2)
	if n.Label != "" {
		parts = append(parts, visible(n.Label))
	}
	facts := make([]string, 0, len(n.Attributes))
	for _, a := range n.telling() {
		facts = append(facts, visible(a.Key)+": "+visible(a.Value))
	}
	if len(facts) > 0 {
		parts = append(parts, "("+strings.Join(facts, "; ")+")")
	}
	return strings.Join(parts, "  ")
}

// telling returns the attributes which say more than the label does.
func (n *node) telling() []provider.Attribute {
	var out []provider.Attribute
	for _, a := range n.Attributes {
		if len(a.Value) < 4 || !strings.Contains(n.Label, a.Value) {
			out = append(out, a)
		}
	}
	return out
}

func (t *textTree) children(n *node, indent string) {
	if t.drawn[n] {
		return
	}
	t.drawn[n] = true
	needs := t.shownNeeds(n)
	for i, need := range needs {
		branch, more := "├── ", "│   "
		if i == len(needs)-1 {
			branch, more = "└── ", "    "
		}
		child := t.g.byID[need.ID]
		if child == nil {
			t.b.WriteString(indent + branch + visible(need.ID) + "  is not in the graph\n")
			continue
		}
		t.line(indent, branch, child, need.As)
		t.children(child, indent+more)
	}
}

// MarshalJSON writes {"nodes": [...]}, each node after those that it needs. The
// member names are stable.
func (g *Graph) MarshalJSON() ([]byte, error) {
	type jsonNode struct {
		ID         string               `json:"id"`
		Kind       Kind                 `json:"kind"`
		Provider   string               `json:"provider,omitempty"`
		Label      string               `json:"label,omitempty"`
		Opens      bool                 `json:"opens"`
		Attributes []provider.Attribute `json:"attributes,omitempty"`
		Uses       []string             `json:"uses,omitempty"`
		Needs      []Need               `json:"needs,omitempty"`
		At         *diag.Position       `json:"at,omitempty"`
	}
	nodes := g.Nodes()
	out := make([]jsonNode, len(nodes))
	for i, n := range nodes {
		out[i] = jsonNode{n.ID, n.Kind, n.Provider, n.Label, g.byID[n.ID].open != nil, n.Attributes, n.Uses, n.Needs, nil}
		if n.Pos.IsValid() {
			out[i].At = &n.Pos
		}
	}
	return json.Marshal(struct {
		Nodes []jsonNode `json:"nodes"`
	}{out})
}
