package workflow

import (
	"fmt"
	"slices"
)

// Graph says which steps wait for which. Steps are named by their index.
//
// There are two rule sets, because the Kingdom and the Kingdom-less client of
// the reference derive it differently: KingdomGraph and CheckpointGraph. On a
// workflow that Lint has no errors about they agree.
//
// A Graph is read-only and safe for concurrent use.
type Graph struct {
	prerequisites, dependants [][]int
}

// KingdomGraph derives the graph as a Kingdom does when a recurring exchange
// is created: every earlier step that writes a label of the step is a
// prerequisite, labels that nobody writes are ignored, and a label that the
// step itself or a later one writes is an error, except for
// CopyFromPreviousExchange.
func KingdomGraph(w *Workflow) (*Graph, error) {
	producers := producersOf(w)
	g := newGraph(w)
	for i, s := range w.Steps {
		for _, label := range s.InputLabels() {
			for _, p := range producers[label] {
				switch {
				case p < i:
					g.add(i, p)
				case s.Kind != CopyFromPreviousExchange:
					return nil, fmt.Errorf("%s reads label %q, which %s writes only later", s.called(), shorten(label), w.Steps[p].called())
				}
			}
		}
	}
	return g.finish(), nil
}

// CheckpointGraph derives the graph as the reference does without a Kingdom:
// the last step that writes a label of the step is its prerequisite if it
// comes earlier, and is ignored if not; a label that nobody writes is an error.
func CheckpointGraph(w *Workflow) (*Graph, error) {
	producers := producersOf(w)
	g := newGraph(w)
	for i, s := range w.Steps {
		for _, label := range s.InputLabels() {
			all := producers[label]
			if len(all) == 0 {
				return nil, fmt.Errorf("%s reads label %q, which no step writes", s.called(), shorten(label))
			}
			if p := all[len(all)-1]; p < i {
				g.add(i, p)
			}
		}
	}
	return g.finish(), nil
}

// Prerequisites returns the steps that must be done before step i, in order.
func (g *Graph) Prerequisites(i int) []int { return slices.Clone(g.prerequisites[i]) }

// Dependants returns the steps that wait for step i, in order.
func (g *Graph) Dependants(i int) []int { return slices.Clone(g.dependants[i]) }

// Len returns the number of steps.
func (g *Graph) Len() int { return len(g.prerequisites) }

// Complete reports whether all prerequisites of step i are done.
func (g *Graph) Complete(i int, done func(int) bool) bool {
	return !slices.ContainsFunc(g.prerequisites[i], func(p int) bool { return !done(p) })
}

// Ready returns the steps that are not done, while all their prerequisites
// are, in order. Steps that are in progress are among them.
func (g *Graph) Ready(done func(int) bool) []int {
	var ready []int
	for i := range g.prerequisites {
		if !done(i) && g.Complete(i, done) {
			ready = append(ready, i)
		}
	}
	return ready
}

func newGraph(w *Workflow) *Graph {
	return &Graph{prerequisites: make([][]int, len(w.Steps)), dependants: make([][]int, len(w.Steps))}
}

func (g *Graph) add(step, prerequisite int) {
	if !slices.Contains(g.prerequisites[step], prerequisite) {
		g.prerequisites[step] = append(g.prerequisites[step], prerequisite)
		g.dependants[prerequisite] = append(g.dependants[prerequisite], step)
	}
}

func (g *Graph) finish() *Graph {
	for i := range g.prerequisites {
		slices.Sort(g.prerequisites[i])
		slices.Sort(g.dependants[i])
	}
	return g
}

// producersOf returns the steps that write each label, in order.
func producersOf(w *Workflow) map[string][]int {
	out := map[string][]int{}
	for i, s := range w.Steps {
		for _, label := range s.OutputLabels() {
			out[label] = append(out[label], i)
		}
	}
	return out
}
