package workflow

import (
	"bufio"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"unicode"

	"github.com/panelmatch/panelmatch/schema/manifest"
)

// WriteText writes a table for people: one line per step, and below it what
// it reads and writes.
func (w *Workflow) WriteText(out io.Writer) error {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	ids := w.Identifiers
	fmt.Fprintf(table, "%s from %s\n", clean(string(w.Schedule)), w.FirstExchangeDate)
	fmt.Fprintf(table, "data provider %s, model provider %s; shared storage (%s) belongs to %s\n\n",
		clean(ids.DataProvider), clean(ids.ModelProvider), ids.Storage, ids.SharedStorageOwner)
	producers := producersOf(w)
	for _, s := range w.Steps {
		fmt.Fprintf(table, "%d\t%s\t%s\t%s\n", s.Index, shortParty(s.Party), clean(s.ID), strings.TrimSpace(s.Kind.String()+" "+string(s.Copy)))
		for _, key := range slices.Sorted(maps.Keys(s.Inputs)) {
			fmt.Fprintf(table, "\t\t  reads %s\t%s%s\n", clean(key), clean(s.Inputs[key]), from(w, producers[s.Inputs[key]]))
		}
		for _, key := range slices.Sorted(maps.Keys(s.Outputs)) {
			fmt.Fprintf(table, "\t\t  writes %s\t%s\n", clean(key), clean(s.Outputs[key]))
		}
	}
	return table.Flush()
}

func from(w *Workflow, producers []int) string {
	if len(producers) == 0 {
		return "  (no step writes it)"
	}
	return fmt.Sprintf("  (step %d)", w.Steps[producers[0]].Index)
}

func shortParty(p manifest.Party) string {
	if p == manifest.ModelProvider {
		return "MP"
	}
	return "EDP"
}

// drawing is what both kinds of picture show: steps and blobs, each in the place where it is.
type drawing struct {
	places [3]place
	edges  [][2]string
}

// place is a party's private side, or shared storage.
type place struct {
	id, title string
	steps     []Step
	// blobs maps a label to its node.
	blobs map[string]string
}

const sharedPlace = 2

func newDrawing(w *Workflow) *drawing {
	d := &drawing{places: [3]place{
		{id: "edp", title: "data provider"}, {id: "mp", title: "model provider"}, {id: "shared", title: "shared storage"},
	}}
	for i := range d.places {
		d.places[i].blobs = map[string]string{}
	}
	blobs := 0
	node := func(at int, label string) string {
		if _, ok := d.places[at].blobs[label]; !ok {
			d.places[at].blobs[label] = fmt.Sprintf("b%d", blobs)
			blobs++
		}
		return d.places[at].blobs[label]
	}
	for _, s := range w.Steps {
		own := 0
		if s.Party == manifest.ModelProvider {
			own = 1
		}
		d.places[own].steps = append(d.places[own].steps, s)
		in, out := own, own
		switch s.Kind {
		case CopyFromSharedStorage:
			in = sharedPlace
		case CopyToSharedStorage:
			out = sharedPlace
		default:
		}
		for _, label := range s.InputLabels() {
			d.edges = append(d.edges, [2]string{node(in, label), stepNode(s)})
		}
		for _, label := range s.OutputLabels() {
			d.edges = append(d.edges, [2]string{stepNode(s), node(out, label)})
		}
	}
	return d
}

func stepNode(s Step) string { return fmt.Sprintf("s%d", s.Index) }

// WriteDOT writes a drawing for Graphviz. Steps of the data provider are blue
// boxes, those of the model provider red ones; blobs are egg-shaped, and lie
// in the storage that they are in.
func (w *Workflow) WriteDOT(out io.Writer) error {
	b := bufio.NewWriter(out)
	d := newDrawing(w)
	fmt.Fprint(b, "digraph workflow {\n  splines=ortho\n  node [fontname=\"sans-serif\"]\n")
	colours := []string{"blue", "red", "gray"}
	for i, p := range d.places {
		fmt.Fprintf(b, "  subgraph cluster_%s {\n    label=\"%s\"\n    color=%s\n", p.id, p.title, colours[i])
		for _, s := range p.steps {
			fmt.Fprintf(b, "    %s [shape=box color=%s label=%s]\n", stepNode(s), colours[i], dotText(s.ID, s.Kind.String()))
		}
		for _, label := range slices.Sorted(maps.Keys(p.blobs)) {
			fmt.Fprintf(b, "    %s [shape=egg color=%s label=%s]\n", p.blobs[label], colours[i], dotText(label))
		}
		fmt.Fprint(b, "  }\n")
	}
	for _, e := range d.edges {
		fmt.Fprintf(b, "  %s -> %s\n", e[0], e[1])
	}
	fmt.Fprint(b, "}\n")
	return b.Flush()
}

// dotText quotes lines for DOT.
func dotText(text ...string) string {
	for i := range text {
		text[i] = strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(clean(text[i]))
	}
	return `"` + strings.Join(text, `\n`) + `"`
}

// WriteMermaid writes the drawing of WriteDOT as a Mermaid flow chart, which
// Markdown viewers show.
func (w *Workflow) WriteMermaid(out io.Writer) error {
	b := bufio.NewWriter(out)
	d := newDrawing(w)
	fmt.Fprint(b, "flowchart TD\n")
	for _, p := range d.places {
		if len(p.steps)+len(p.blobs) == 0 {
			continue
		}
		fmt.Fprintf(b, "  subgraph %s[\"%s\"]\n", p.id, p.title)
		for _, s := range p.steps {
			fmt.Fprintf(b, "    %s[\"%s<br/>%s\"]:::%s\n", stepNode(s), mermaidText(s.ID), s.Kind, p.id)
		}
		for _, label := range slices.Sorted(maps.Keys(p.blobs)) {
			fmt.Fprintf(b, "    %s([\"%s\"])\n", p.blobs[label], mermaidText(label))
		}
		fmt.Fprint(b, "  end\n")
	}
	for _, e := range d.edges {
		fmt.Fprintf(b, "  %s --> %s\n", e[0], e[1])
	}
	fmt.Fprint(b, "  classDef edp stroke:blue,fill:#e8f0ff,color:#000\n  classDef mp stroke:red,fill:#ffecec,color:#000\n")
	return b.Flush()
}

// mermaidText writes as a numeric entity whatever Mermaid, or the page around it, might read as markup.
func mermaidText(text string) string {
	var b strings.Builder
	for _, r := range clean(text) {
		switch {
		case r == '-' || r == '_' || r == '.' || r == '/' || r == ' ' || unicode.IsLetter(r) || unicode.IsDigit(r):
			b.WriteRune(r)
		default:
			fmt.Fprintf(&b, "#%d;", r)
		}
	}
	return b.String()
}

// clean shortens hostile text, and takes out what a terminal would obey.
func clean(text string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, shorten(text))
}
