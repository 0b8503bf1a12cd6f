package graph

import (
	"fmt"
	"io"
	"strings"
)

// look is how a kind is drawn.
type look struct {
	kind         Kind
	shape        string // of Graphviz
	fill, border string
	open, shut   string // Mermaid's brackets
}

// looks has one colour for each kind, from a palette that colour-blind people
// can tell apart and that prints in grey.
var looks = []look{
	{KindDaemon, "box", "#1f3a5f", "#1f3a5f", "[", "]"},
	{KindCoordinator, "box", "#cfe2f3", "#3d6fa5", "[", "]"},
	{KindTrust, "box", "#d9ead3", "#5b8c46", "[", "]"},
	{KindKeyProtection, "box", "#d9ead3", "#5b8c46", "[", "]"},
	{KindCertificateAuthority, "box", "#fff2cc", "#b8912a", "[", "]"},
	{KindKMS, "box", "#fff2cc", "#b8912a", "[", "]"},
	{KindSecretMap, "folder", "#ead1dc", "#9c5a78", "[/", "/]"},
	{KindExchangeStorage, "folder", "#f3f3f3", "#777777", "[/", "/]"},
	{KindStorage, "cylinder", "#fce5cd", "#b97a34", "[(", ")]"},
	{KindCompute, "box", "#cfe2f3", "#3d6fa5", "[", "]"},
}

// atRunTime reports whether only a run can tell what the node leads to.
func (n *node) atRunTime() bool { return n.Kind == KindExchangeStorage && n.Attribute("known") != "" }

// lookOf returns the look of a kind; a plain box for a kind that has none.
func lookOf(k Kind) look {
	for _, l := range looks {
		if l.kind == k {
			return l
		}
	}
	return look{k, "box", "#ffffff", "#777777", "[", "]"}
}

// drawing is a graph on its way onto paper.
type drawing struct {
	g *Graph
	// nodes are all of them, each after those that it needs if that is possible.
	nodes   []*node
	ordered bool
}

func (g *Graph) drawing() drawing {
	if order, ok := g.order(); ok {
		return drawing{g, order, true}
	}
	return drawing{g, g.nodes, false}
}

// shownNeeds returns the needs of n that a drawing shows: not those which say
// nothing of their own and follow from another need.
func (d drawing) shownNeeds(n *node) []Need {
	if !d.ordered {
		return n.Needs // in a circle everything follows from everything
	}
	g := d.g
	implied := map[string]bool{}
	for _, id := range n.neededIDs() {
		if through := g.byID[id]; through != nil && through != n {
			for deep := range g.reach(through) {
				if deep != through && deep != n {
					implied[deep.ID] = true
				}
			}
		}
	}
	out := make([]Need, 0, len(n.Needs))
	for _, need := range n.Needs {
		if need.As != "" || !implied[need.ID] {
			out = append(out, need)
		}
	}
	return out
}

// WriteDOT writes the graph in the language of Graphviz, for `dot -Tsvg`. An
// arrow leads from a node to what it needs; dashed nodes are known at run time.
func (g *Graph) WriteDOT(w io.Writer) error {
	var b strings.Builder
	b.WriteString("digraph panelmatch {\n")
	b.WriteString("  rankdir=LR; bgcolor=white; pad=0.3; nodesep=0.22; ranksep=0.7;\n")
	b.WriteString("  node [fontname=\"Helvetica,Arial,sans-serif\", fontsize=11, style=filled, penwidth=1.2, margin=\"0.14,0.07\"];\n")
	b.WriteString("  edge [fontname=\"Helvetica,Arial,sans-serif\", fontsize=8, color=\"#8a8a8a\", fontcolor=\"#5a5a5a\", arrowsize=0.6];\n")
	d := g.drawing()
	for _, n := range d.nodes {
		l := lookOf(n.Kind)
		style, font := "filled", "#222222"
		if l.shape == "box" {
			style = "filled,rounded"
		}
		if n.atRunTime() {
			style += ",dashed"
		}
		if n.Kind == KindDaemon {
			font = "white"
		}
		fmt.Fprintf(&b, "  %s [label=<%s>, shape=%s, style=%q, fillcolor=%q, color=%q, fontcolor=%q];\n",
			dotQuote(n.ID), dotLabel(n), l.shape, style, l.fill, l.border, font)
	}
	for _, n := range d.nodes {
		for _, need := range d.shownNeeds(n) {
			fmt.Fprintf(&b, "  %s -> %s", dotQuote(n.ID), dotQuote(need.ID))
			if need.As != "" {
				fmt.Fprintf(&b, " [label=%s]", dotQuote(need.As))
			}
			b.WriteString(";\n")
		}
	}
	b.WriteString("}\n")
	_, err := io.WriteString(w, b.String())
	return err
}

// dotQuote writes a string of Graphviz.
func dotQuote(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(visible(s)) + `"`
}

var dotEscape = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&quot;")

// dotLabel is the id in bold, and below it in small what the node is.
func dotLabel(n *node) string {
	var b strings.Builder
	b.WriteString("<b>" + dotEscape.Replace(visible(n.ID)) + "</b>")
	small := func(s string) {
		b.WriteString(`<br/><font point-size="9">` + dotEscape.Replace(s) + "</font>")
	}
	if n.Label != "" {
		small(shorten(visible(n.Label)))
	}
	for _, a := range n.telling() {
		small(shorten(visible(a.Key + ": " + a.Value)))
	}
	return b.String()
}

// shorten cuts a text in its middle, where URLs are least telling.
func shorten(s string) string {
	const most = 48
	r := []rune(s)
	if len(r) <= most {
		return s
	}
	return string(r[:most/2-1]) + "…" + string(r[len(r)-most/2:])
}

// WriteMermaid writes the graph as a Mermaid flow chart, which GitHub and many
// wikis draw where it stands in Markdown.
func (g *Graph) WriteMermaid(w io.Writer) error {
	var b strings.Builder
	b.WriteString("flowchart LR\n")
	names := map[string]string{}
	d := g.drawing()
	for i, n := range d.nodes {
		l := lookOf(n.Kind)
		names[n.ID] = fmt.Sprintf("n%d", i)
		label := mermaidEscape(n.ID)
		if n.Label != "" {
			label += "<br/>" + mermaidEscape(shorten(n.Label))
		}
		fmt.Fprintf(&b, "  n%d%s\"%s\"%s:::%s\n", i, l.open, label, l.shut, mermaidClass(n))
	}
	for _, n := range d.nodes {
		for _, need := range d.shownNeeds(n) {
			to, ok := names[need.ID]
			if !ok {
				to = fmt.Sprintf("n%d", len(names))
				names[need.ID] = to
				fmt.Fprintf(&b, "  %s[\"%s<br/>is not in the graph\"]\n", to, mermaidEscape(need.ID))
			}
			if need.As == "" {
				fmt.Fprintf(&b, "  %s --> %s\n", names[n.ID], to)
			} else {
				fmt.Fprintf(&b, "  %s -->|\"%s\"| %s\n", names[n.ID], mermaidEscape(need.As), to)
			}
		}
	}
	for _, l := range looks {
		extra := ",color:#222"
		if l.kind == KindDaemon {
			extra = ",color:#fff"
		}
		fmt.Fprintf(&b, "  classDef %s fill:%s,stroke:%s%s\n", l.kind, l.fill, l.border, extra)
	}
	exchange := lookOf(KindExchangeStorage)
	fmt.Fprintf(&b, "  classDef atRunTime fill:%s,stroke:%s,color:#222,stroke-dasharray:4 3\n", exchange.fill, exchange.border)
	fmt.Fprintf(&b, "  classDef other fill:#fff,stroke:#777,color:#222\n")
	_, err := io.WriteString(w, b.String())
	return err
}

func mermaidClass(n *node) string {
	if n.atRunTime() {
		return "atRunTime"
	}
	for _, l := range looks {
		if l.kind == n.Kind {
			return string(l.kind)
		}
	}
	return "other"
}

// mermaidEscape writes what would end a quoted label, or begin markup, as entities.
func mermaidEscape(s string) string {
	return strings.NewReplacer("#", "#35;", `"`, "#quot;", "<", "#lt;", ">", "#gt;", "`", "#96;", "&", "#amp;").Replace(visible(s))
}
