package graph_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/panelmatch/panelmatch/engine/graph"
	"github.com/panelmatch/panelmatch/engine/provider"
	"github.com/panelmatch/panelmatch/schema/diag"
)

// journal notes what nodes made by hand go through.
type journal struct {
	mu     sync.Mutex
	up     []string
	down   []string
	active map[string]bool
	broken []string
	needs  map[string][]string
}

type part struct {
	j   *journal
	id  string
	err error
}

func (p part) Close() error {
	p.j.mu.Lock()
	defer p.j.mu.Unlock()
	for id, needs := range p.j.needs {
		if p.j.active[id] && slices.Contains(needs, p.id) {
			p.j.broken = append(p.j.broken, fmt.Sprintf("%s went down under %s", p.id, id))
		}
	}
	delete(p.j.active, p.id)
	p.j.down = append(p.j.down, p.id)
	return p.err
}

// open returns an Opener that fails with err, or comes up and fails with closeErr when closed.
func (j *journal) open(id string, err, closeErr error) graph.Opener {
	return func(ctx context.Context, _ provider.Env) (io.Closer, error) {
		if err != nil {
			return nil, err
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		j.mu.Lock()
		defer j.mu.Unlock()
		for _, need := range j.needs[id] {
			if !j.active[need] {
				j.broken = append(j.broken, fmt.Sprintf("%s came up before %s", id, need))
			}
		}
		j.active[id] = true
		j.up = append(j.up, id)
		return part{j, id, closeErr}, nil
	}
}

// byHand makes a graph of lines such as "a: b c", which say what a needs.
func byHand(t *testing.T, lines ...string) (*graph.Graph, *journal) {
	t.Helper()
	g, j := graph.New(), &journal{active: map[string]bool{}, needs: map[string][]string{}}
	for _, line := range lines {
		id, needs, _ := strings.Cut(line, ":")
		j.needs[id] = strings.Fields(needs)
		add(t, g, id, j.needs[id], j.open(id, nil, nil))
	}
	return g, j
}

func add(t *testing.T, g *graph.Graph, id string, needs []string, open graph.Opener) {
	t.Helper()
	n := graph.Node{ID: id}
	for _, need := range needs {
		n.Needs = append(n.Needs, graph.Need{ID: need})
	}
	if err := g.Add(n, open); err != nil {
		t.Fatal(err)
	}
}

func messages(l diag.List) []string {
	out := []string{}
	for _, d := range l {
		out = append(out, string(d.Code)+": "+d.Message)
	}
	return out
}

func TestACircleIsShownAsAChain(t *testing.T) {
	g, _ := byHand(t, "storage/root: kms/key", "kms/key: secretmap/x", "secretmap/x: storage/root", "daemon: storage/root")
	want := []string{"cycle: nodes need each other in a circle: storage/root -> kms/key -> secretmap/x -> storage/root"}
	if diff := cmp.Diff(want, messages(g.Validate())); diff != "" {
		t.Error(diff)
	}
	_, err := g.Open(context.Background(), provider.Env{})
	if err == nil || !strings.Contains(err.Error(), "storage/root -> kms/key -> secretmap/x -> storage/root") {
		t.Errorf("Open: %v", err)
	}
}

func TestEveryKnotIsReportedOnceAndShortestFirst(t *testing.T) {
	g, _ := byHand(t, "a: b", "b: c d", "c: a", "d: e", "e: a", "x: x", "y: z", "z: y", "free: a")
	want := []string{
		"cycle: nodes need each other in a circle: a -> b -> c -> a",
		"cycle: nodes need each other in a circle: x -> x",
		"cycle: nodes need each other in a circle: y -> z -> y",
	}
	if diff := cmp.Diff(want, messages(g.Validate())); diff != "" {
		t.Error(diff)
	}
}

func TestAMissingNodeIsNamedWithTheClosestOne(t *testing.T) {
	g, _ := byHand(t, "storage/root:", "secretmap/x: storage/rot kms/key")
	got := g.Validate()
	want := []string{
		"missing-node: secretmap/x needs storage/rot, which is not in the graph",
		"missing-node: secretmap/x needs kms/key, which is not in the graph",
	}
	if diff := cmp.Diff(want, messages(got)); diff != "" {
		t.Error(diff)
	}
	if got[0].DidYouMean != "storage/root" || got[1].DidYouMean != "" {
		t.Errorf("did you mean %q and %q", got[0].DidYouMean, got[1].DidYouMean)
	}
	if _, err := g.Open(context.Background(), provider.Env{}); err == nil {
		t.Error("a graph with missing nodes opened")
	}
}

func TestIDsAreUniqueAndNotEmpty(t *testing.T) {
	g, _ := byHand(t, "a:")
	for _, id := range []string{"", "a"} {
		if err := g.Add(graph.Node{ID: id}, nil); err == nil {
			t.Errorf("Add of a node called %q: no error", id)
		}
	}
}

func TestNodesAreCopies(t *testing.T) {
	g, _ := byHand(t, "a:", "b: a")
	n := g.Nodes()
	n[1].Needs[0].ID = "spoilt"
	if again, _ := g.Node("b"); again.Needs[0].ID != "a" {
		t.Error("a change of the result reached the graph")
	}
}

func TestNodesComeAfterWhatTheyNeed(t *testing.T) {
	g, _ := byHand(t, "daemon: trust compute", "trust: ca keys", "keys: kms root", "root:", "kms:", "ca:", "compute:")
	var ids []string
	for _, n := range g.Nodes() {
		ids = append(ids, n.ID)
	}
	want := []string{"root", "kms", "keys", "ca", "trust", "compute", "daemon"}
	if diff := cmp.Diff(want, ids); diff != "" {
		t.Error(diff)
	}
}

func TestAFailureRollsBackInReverse(t *testing.T) {
	g, j := byHand(t, "a:", "b: a", "c: b")
	boom := errors.New("boom")
	j.needs["d"] = []string{"c"}
	add(t, g, "d", []string{"c"}, j.open("d", boom, nil))
	add(t, g, "e", []string{"d"}, j.open("e", nil, nil))
	o, err := g.Open(context.Background(), provider.Env{})
	if o != nil || !errors.Is(err, boom) {
		t.Fatalf("Open: %v, %v", o, err)
	}
	var failed *graph.OpenError
	if !errors.As(err, &failed) || failed.Node != "d" {
		t.Errorf("the error does not tell the node: %v", err)
	}
	if got := err.Error(); got != "open d: boom" {
		t.Errorf("the error reads %q", got)
	}
	if diff := cmp.Diff([]string{"c", "b", "a"}, j.down); diff != "" {
		t.Error(diff)
	}
	if slices.Contains(j.up, "e") {
		t.Error("e came up although d failed")
	}
}

func TestARollbackThatFailsGoesOnAndIsTold(t *testing.T) {
	g, j := byHand(t)
	stuck := errors.New("stuck")
	for id, needs := range map[string][]string{"a": nil, "b": {"a"}} {
		j.needs[id] = needs
		add(t, g, id, needs, j.open(id, nil, stuck))
	}
	add(t, g, "c", []string{"b"}, j.open("c", errors.New("boom"), nil))
	_, err := g.Open(context.Background(), provider.Env{})
	want := "open c: boom; then, while closing what was open: close b: stuck\nclose a: stuck"
	if err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}

func TestCloseJoinsFailuresAndCanBeRepeated(t *testing.T) {
	g, j := byHand(t, "a:")
	j.needs["b"] = []string{"a"}
	add(t, g, "b", []string{"a"}, j.open("b", nil, errors.New("stuck")))
	o, err := g.Open(context.Background(), provider.Env{})
	if err != nil {
		t.Fatal(err)
	}
	first, second := o.Close(), o.Close()
	if first == nil || first.Error() != "close b: stuck" || !errors.Is(second, first) {
		t.Errorf("Close: %v, then %v", first, second)
	}
	if diff := cmp.Diff([]string{"b", "a"}, j.down); diff != "" {
		t.Error(diff)
	}
	if _, ok := o.Value("a"); ok {
		t.Error("a has a value after Close")
	}
}

func TestAGraphIsOpenOnceAtATime(t *testing.T) {
	g, _ := byHand(t, "a:")
	for range 2 {
		o, err := g.Open(context.Background(), provider.Env{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := g.Open(context.Background(), provider.Env{}); err == nil {
			t.Fatal("opened twice")
		}
		if err := o.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestIndependentNodesOpenAtTheSameTime(t *testing.T) {
	g := graph.New()
	var meet sync.WaitGroup
	meet.Add(3)
	for _, id := range []string{"a", "b", "c"} {
		add(t, g, id, nil, func(context.Context, provider.Env) (io.Closer, error) {
			meet.Done()
			meet.Wait() // would wait for ever if they came one after the other
			return io.NopCloser(nil), nil
		})
	}
	o, err := g.Open(context.Background(), provider.Env{})
	if err != nil {
		t.Fatal(err)
	}
	if err := o.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestParallelBoundsHowManyOpenAtOnce(t *testing.T) {
	g := graph.New()
	var mu sync.Mutex
	at, most := 0, 0
	for i := range 20 {
		add(t, g, strconv.Itoa(i), nil, func(context.Context, provider.Env) (io.Closer, error) {
			mu.Lock()
			at++
			most = max(most, at)
			mu.Unlock()
			defer func() { mu.Lock(); at--; mu.Unlock() }()
			return io.NopCloser(nil), nil
		})
	}
	o, err := g.Open(context.Background(), provider.Env{}, graph.Parallel(2))
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	if most > 2 {
		t.Errorf("%d at once; 2 are allowed", most)
	}
}

func TestTheEndOfTheContextStopsOpeningAndRollsBack(t *testing.T) {
	g, j := byHand(t, "a:")
	ctx, cancel := context.WithCancelCause(context.Background())
	why := errors.New("the operator went home")
	add(t, g, "slow", []string{"a"}, func(ctx context.Context, _ provider.Env) (io.Closer, error) {
		cancel(why)
		<-ctx.Done()
		return nil, ctx.Err()
	})
	add(t, g, "never", []string{"slow"}, j.open("never", nil, nil))
	_, err := g.Open(ctx, provider.Env{})
	if !errors.Is(err, why) || !strings.Contains(err.Error(), "open slow") {
		t.Errorf("Open: %v", err)
	}
	if diff := cmp.Diff([]string{"a"}, j.down); diff != "" {
		t.Error(diff)
	}
}

func TestWhatIsOpenOutlivesTheContextThatOpenedIt(t *testing.T) {
	g := graph.New()
	var kept context.Context
	add(t, g, "a", nil, func(ctx context.Context, _ provider.Env) (io.Closer, error) {
		kept = ctx //nolint:fatcontext // what a client must not do, and some do
		return io.NopCloser(nil), nil
	})
	ctx, cancel := context.WithCancel(context.Background())
	o, err := g.Open(ctx, provider.Env{})
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	if kept.Err() != nil {
		t.Error("a client that keeps its context is dead although the graph is open")
	}
	if err := o.Close(); err != nil {
		t.Fatal(err)
	}
	if kept.Err() == nil {
		t.Error("the context lives on after Close")
	}
}

func TestANodeThatTakesTooLongIsGivenUp(t *testing.T) {
	g := graph.New()
	add(t, g, "slow", nil, func(ctx context.Context, _ provider.Env) (io.Closer, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	})
	_, err := g.Open(context.Background(), provider.Env{}, graph.NodeTimeout(1))
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "open slow: it took longer than 1ns") {
		t.Errorf("Open: %v", err)
	}
}

func TestAnOpenerThatReturnsNothingIsAFault(t *testing.T) {
	g := graph.New()
	add(t, g, "a", nil, func(context.Context, provider.Env) (io.Closer, error) { return nil, nil })
	if _, err := g.Open(context.Background(), provider.Env{}); err == nil {
		t.Error("opened")
	}
}

func TestKeepGoingOpensWhatItCan(t *testing.T) {
	g, j := byHand(t, "a:")
	boom := errors.New("boom")
	add(t, g, "bad", nil, j.open("bad", boom, nil))
	add(t, g, "over", []string{"bad", "a"}, j.open("over", nil, nil))
	add(t, g, "top", []string{"over"}, j.open("top", nil, nil))
	add(t, g, "fine", []string{"a"}, j.open("fine", nil, nil))
	var events []string
	o, err := g.Open(context.Background(), provider.Env{}, graph.KeepGoing(), graph.Parallel(1),
		graph.WithProgress(func(e graph.Event) {
			events = append(events, fmt.Sprintf("%s %s %d/%d", e.Node, e.State, e.Done, e.Total))
		}))
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"a opening 0/5", "a open 1/5", "bad opening 1/5", "bad failed 2/5", "over skipped 3/5", "top skipped 4/5",
		"fine opening 4/5", "fine open 5/5",
	}
	if diff := cmp.Diff(want, events); diff != "" {
		t.Error(diff)
	}
	if err := o.Failure("bad"); !errors.Is(err, boom) {
		t.Errorf("Failure(bad): %v", err)
	}
	var skipped *graph.SkippedError
	if err := o.Failure("top"); !errors.As(err, &skipped) || err.Error() != "top was not opened: it needs over, which could not be opened" {
		t.Errorf("Failure(top): %v", err)
	}
	if o.Failure("fine") != nil {
		t.Error("fine has failed")
	}
	if err := o.Close(); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"fine", "a"}, j.down); diff != "" {
		t.Error(diff)
	}
}

// TestRandomGraphsOpenInOrderAndCloseCompletely is a property test: whatever
// the shape, nothing comes up before its needs, nothing goes down under
// another, and after a failure nothing is left up.
func TestRandomGraphsOpenInOrderAndCloseCompletely(t *testing.T) {
	for seed := range uint64(300) {
		rng := rand.New(rand.NewPCG(seed, 1))
		g, j := graph.New(), &journal{active: map[string]bool{}, needs: map[string][]string{}}
		count := 1 + rng.IntN(25)
		names := rng.Perm(count) // so that the order of ids says nothing
		fails := seed%2 == 1
		bad := rng.IntN(count)
		for _, i := range rng.Perm(count) { // so that the order of addition says nothing
			id := strconv.Itoa(names[i])
			for k := range i {
				if rng.IntN(4) == 0 {
					j.needs[id] = append(j.needs[id], strconv.Itoa(names[k]))
				}
			}
			var err error
			if fails && i == bad {
				err = errors.New("boom")
			}
			add(t, g, id, j.needs[id], j.open(id, err, nil))
		}
		if d := g.Validate(); len(d) > 0 {
			t.Fatalf("seed %d: %v", seed, d)
		}
		seen := map[string]bool{}
		for _, n := range g.Nodes() {
			for _, need := range n.Needs {
				if !seen[need.ID] {
					t.Fatalf("seed %d: %s stands before %s", seed, n.ID, need.ID)
				}
			}
			seen[n.ID] = true
		}
		o, err := g.Open(context.Background(), provider.Env{}, graph.Parallel(1+rng.IntN(6)))
		if (err != nil) != fails {
			t.Fatalf("seed %d: Open: %v", seed, err)
		}
		if !fails {
			if len(j.up) != count {
				t.Fatalf("seed %d: %d of %d nodes came up", seed, len(j.up), count)
			}
			if err := o.Close(); err != nil {
				t.Fatal(err)
			}
		}
		slices.Sort(j.up) // independent nodes may end in another order than they began
		slices.Sort(j.down)
		if diff := cmp.Diff(j.up, j.down); diff != "" || len(j.active) > 0 || len(j.broken) > 0 {
			t.Fatalf("seed %d: left up: %v; broken: %v; up and down: %s", seed, j.active, j.broken, diff)
		}
	}
}
