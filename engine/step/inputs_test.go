package step_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/panelmatch/panelmatch/engine/failure"
	"github.com/panelmatch/panelmatch/engine/step"
	"github.com/panelmatch/panelmatch/engine/workflow"
)

const previousStep = "copy_from_previous_exchange_step {}"

func TestInputWaitsUntilTheBlobIsThere(t *testing.T) {
	b := newBench(t)
	done := make(chan error, 1)
	go func() { done <- b.runUnchecked(t.Context(), parseStep(t, out("x=wanted")+"input_step {}")) }()
	select {
	case err := <-done:
		t.Fatalf("the step ended (%v) before the input was there", err)
	case <-time.After(30 * time.Millisecond):
	}
	b.put("something-else", []byte("x"))
	b.put("wanted", nil)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if n := len(b.blobs()); n != 2 {
		t.Errorf("%d blobs are there; the step should write none", n)
	}
}

func TestAnInputThatDoesNotComeMayComeLater(t *testing.T) {
	b := newBench(t)
	cause := errors.New("the daemon was stopped")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(cause)
	err := b.runUnchecked(ctx, parseStep(t, out("x=wanted")+"input_step {}"))
	if err == nil {
		t.Fatal("the step succeeded without its input")
	}
	if class, _ := failure.Of(err); class != failure.Transient {
		t.Errorf("%v is %s", err, class)
	}
}

func TestInputNeedsOneOutputAndNoInputs(t *testing.T) {
	b := newBench(t)
	b.put("a", nil)
	b.fails(out("x=a")+in("y=a")+"input_step {}", failure.Permanent, failure.CodeWorkflow, "takes no inputs")
	b.fails("input_step {}", failure.Permanent, failure.CodeWorkflow, "exactly one output")
	b.fails(out("x=a", "y=b")+"input_step {}", failure.Permanent, failure.CodeWorkflow, "exactly one output")
	b.fails(out("x=../a")+"input_step {}", failure.Permanent, failure.CodeWorkflow, "blob key")
}

func TestTheFirstExchangeWaitsForTheOutputThatSomebodyProvides(t *testing.T) {
	b := newBench(t)
	s := in("input=now") + out("output=before") + previousStep
	b.put("now", []byte("of this exchange"))
	done := make(chan error, 1)
	go func() { done <- b.runUnchecked(t.Context(), parseStep(t, s)) }()
	select {
	case err := <-done:
		t.Fatalf("the step ended (%v) although nobody provided its output", err)
	case <-time.After(30 * time.Millisecond):
	}
	b.put("before", nil)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if got := b.get("before"); len(got) != 0 {
		t.Errorf("the output is %q; what was provided should stay", got)
	}
}

func TestLaterExchangesCopyFromTheOneBefore(t *testing.T) {
	b := newBench(t)
	b.put("now", []byte("of the first exchange"))
	b.date = secondDate
	s := in("input=now") + out("output=before") + previousStep
	b.must(s) // although this exchange has no "now" yet
	if got := string(b.get("before")); got != "of the first exchange" {
		t.Errorf("copied %q", got)
	}

	b.date = secondDate.AddDays(1)
	b.fails(s, failure.Transient, failure.CodeMissingInput, "the exchange of 2024-02-01 has no blob now")
}

func TestCopyFromPreviousExchangeNeedsBothLabels(t *testing.T) {
	b := newBench(t)
	b.put("a", nil)
	for _, date := range []workflow.Date{firstDate, secondDate} {
		b.date = date
		b.fails(in("input=a")+previousStep, failure.Permanent, failure.CodeWorkflow, "needs the input")
		b.fails(out("output=a")+previousStep, failure.Permanent, failure.CodeWorkflow, "needs the input")
		b.fails(in("input=../a")+out("output=b")+previousStep, failure.Permanent, failure.CodeWorkflow, "blob key")
		b.fails(in("input=a")+out("output=../b")+previousStep, failure.Permanent, failure.CodeWorkflow, "blob key")
	}
}

func TestWhatAStepAwaits(t *testing.T) {
	b := newBench(t)
	for _, tc := range []struct {
		step string
		date workflow.Date
		want string
	}{
		{out("x=wanted") + "input_step {}", firstDate, "wanted"},
		{out("x=wanted") + "input_step {}", secondDate, "wanted"},
		{"input_step {}", firstDate, ""},
		{in("input=a") + out("output=b") + previousStep, firstDate, "b"},
		{in("input=a") + out("output=b") + previousStep, secondDate, ""},
		{encryptStep, firstDate, ""},
	} {
		w := &workflow.Workflow{FirstExchangeDate: firstDate, Schedule: workflow.Daily}
		got, ok := step.Awaits(w, parseStep(t, tc.step), b.key(tc.date))
		if got != tc.want && ok || ok != (tc.want != "") {
			t.Errorf("%s on %s awaits %q, %v; want %q", tc.step, tc.date, got, ok, tc.want)
		}
	}
}
