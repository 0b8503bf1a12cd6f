package workflow_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/panelmatch/panelmatch/engine/workflow"
	"github.com/panelmatch/panelmatch/schema/manifest"
)

// wired makes a workflow of steps written as "id: inputs > outputs".
func wired(kinds map[string]workflow.Kind, steps ...string) *workflow.Workflow {
	w := &workflow.Workflow{}
	for i, text := range steps {
		id, rest, _ := strings.Cut(text, ":")
		in, out, _ := strings.Cut(rest, ">")
		s := workflow.Step{
			Index: i, ID: id, Party: manifest.DataProvider, Kind: workflow.HybridEncrypt,
			Inputs: map[string]string{}, Outputs: map[string]string{},
		}
		if kind, ok := kinds[id]; ok {
			s.Kind = kind
		}
		for _, label := range strings.Fields(in) {
			s.Inputs[label] = label
		}
		for _, label := range strings.Fields(out) {
			s.Outputs[label] = label
		}
		w.Steps = append(w.Steps, s)
	}
	return w
}

func edges(g *workflow.Graph) string {
	var all []string
	for i := range g.Len() {
		all = append(all, fmt.Sprint(g.Prerequisites(i)))
	}
	return strings.Join(all, " ")
}

// Where the rule sets of the Kingdom and of the client without one part.
func TestRuleSets(t *testing.T) {
	previous := map[string]workflow.Kind{"p": workflow.CopyFromPreviousExchange}
	for _, tc := range []struct {
		name                string
		workflow            *workflow.Workflow
		kingdom, checkpoint string
	}{
		{"a chain", wired(nil, "a: > x", "b: x > y", "c: x y > z"), "[] [0] [0 1]", "[] [0] [0 1]"},
		{"a label that nobody writes", wired(nil, "a: > x", "b: x none > y"), "[] [0]", `step "b" reads label "none", which no step writes`},
		{"two producers", wired(nil, "a: > x", "b: > x", "c: x > y"), "[] [] [0 1]", "[] [] [1]"},
		{"a later producer", wired(nil, "a: x > y", "b: > x"), `step "a" reads label "x", which step "b" writes only later`, "[] []"},
		{"a step that feeds itself", wired(nil, "a: x > x"), `step "a" reads label "x", which step "a" writes only later`, "[]"},
		{"one earlier and one later", wired(nil, "a: > x", "b: x > y", "c: > x"), `step "b" reads label "x", which step "c" writes only later`, "[] [] []"},
		{"the exchange before", wired(previous, "p: x > y", "b: > x"), "[] []", "[] []"},
	} {
		for _, set := range []struct {
			name   string
			derive func(*workflow.Workflow) (*workflow.Graph, error)
			want   string
		}{{"Kingdom", workflow.KingdomGraph, tc.kingdom}, {"checkpoint", workflow.CheckpointGraph, tc.checkpoint}} {
			g, err := set.derive(tc.workflow)
			var got string
			if err != nil {
				got = err.Error()
			} else {
				got = edges(g)
			}
			if got != set.want {
				t.Errorf("%s, %s: %s, want %s", tc.name, set.name, got, set.want)
			}
		}
	}
}

func TestReadyStepsAreThoseWhosePrerequisitesAreDone(t *testing.T) {
	g, err := workflow.CheckpointGraph(wired(nil, "a: > x", "b: > y", "c: x > z", "d: y z > w"))
	if err != nil {
		t.Fatal(err)
	}
	done := map[int]bool{}
	isDone := func(i int) bool { return done[i] }
	for _, tc := range []struct {
		finish int
		want   string
	}{{-1, "[0 1]"}, {0, "[1 2]"}, {2, "[1]"}, {1, "[3]"}, {3, "[]"}} {
		done[tc.finish] = true
		if got := fmt.Sprint(g.Ready(isDone)); got != tc.want {
			t.Errorf("after %d: %s, want %s", tc.finish, got, tc.want)
		}
	}
	if got := fmt.Sprint(g.Dependants(1), g.Dependants(3)); got != "[3] []" {
		t.Errorf("dependants %s", got)
	}
}

// Every step of each sample is reached by running what is ready.
func TestSamplesRunToTheEnd(t *testing.T) {
	for name, steps := range sampleNames {
		g, err := workflow.KingdomGraph(sample(t, name+".cue").Workflow)
		if err != nil {
			t.Fatal(err)
		}
		done := map[int]bool{}
		for {
			ready := g.Ready(func(i int) bool { return done[i] })
			if len(ready) == 0 {
				break
			}
			done[ready[len(ready)-1]] = true
		}
		if len(done) != steps {
			t.Errorf("%s: %d of %d steps were reached", name, len(done), steps)
		}
	}
}
