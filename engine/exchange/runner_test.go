package exchange_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"gocloud.dev/blob/memblob"
	"google.golang.org/protobuf/proto"

	"github.com/panelmatch/panelmatch/engine/blob"
	"github.com/panelmatch/panelmatch/engine/coordinator"
	"github.com/panelmatch/panelmatch/engine/exchange"
	"github.com/panelmatch/panelmatch/engine/failure"
	"github.com/panelmatch/panelmatch/engine/provider"
	"github.com/panelmatch/panelmatch/engine/step"
	"github.com/panelmatch/panelmatch/engine/workflow"
	"github.com/panelmatch/panelmatch/schema/manifest"
	"github.com/panelmatch/panelmatch/schema/wire/internalpb"
)

// stored is a map of workflows in memory; an error stands for a map that can't be read.
type stored struct {
	values map[string][]byte
	err    error
}

func (s stored) Get(_ context.Context, key string) ([]byte, error) {
	if b, ok := s.values[key]; ok && s.err == nil {
		return b, nil
	}
	if s.err != nil {
		return nil, s.err
	}
	return nil, provider.ErrNotFound
}
func (s stored) Put(context.Context, string, []byte) error { return provider.ErrReadOnly }
func (s stored) List(context.Context) ([]string, error)    { return nil, nil }
func (s stored) Close() error                              { return nil }

type message = internalpb.ExchangeWorkflow

func newStep(id string, party internalpb.ExchangeWorkflow_Party, in, out string) *internalpb.ExchangeWorkflow_Step {
	s := &internalpb.ExchangeWorkflow_Step{StepId: id, Party: party, OutputLabels: map[string]string{"random-bytes": out}}
	if in == "" {
		s.Step = &internalpb.ExchangeWorkflow_Step_GenerateRandomBytesStep_{GenerateRandomBytesStep: &internalpb.ExchangeWorkflow_Step_GenerateRandomBytesStep{ByteCount: 4}}
	} else {
		s.InputLabels = map[string]string{"in": in}
		s.Step = &internalpb.ExchangeWorkflow_Step_HybridEncryptStep_{HybridEncryptStep: &internalpb.ExchangeWorkflow_Step_HybridEncryptStep{}}
	}
	return s
}

const (
	mp = internalpb.ExchangeWorkflow_MODEL_PROVIDER
	dp = internalpb.ExchangeWorkflow_DATA_PROVIDER
)

// serialized is a workflow of three steps that begins on the date of key, after an edit.
func serialized(t *testing.T, edit func(*message)) []byte {
	t.Helper()
	input := newStep("input", mp, "", "awaited")
	input.Step = &internalpb.ExchangeWorkflow_Step_InputStep_{InputStep: &internalpb.ExchangeWorkflow_Step_InputStep{}}
	m := &message{
		Steps: []*internalpb.ExchangeWorkflow_Step{newStep("make", mp, "", "bytes"), newStep("theirs", dp, "", "others"), input},
		ExchangeIdentifiers: &internalpb.ExchangeWorkflow_ExchangeIdentifiers{
			DataProviderId: "edp1", ModelProviderId: "mp1", SharedStorageOwner: mp,
		},
		FirstExchangeDate:  key.Date.Proto(),
		RepetitionSchedule: &internalpb.ExchangeWorkflow_Schedule{CronExpression: "@daily"},
	}
	if edit != nil {
		edit(m)
	}
	b, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func attempt(w []byte, index int, date workflow.Date) *coordinator.Attempt {
	doc, _ := workflow.Parse(w, workflow.ParseOptions{Format: workflow.InternalBinary})
	return &coordinator.Attempt{
		Exchange: blob.ExchangeKey{RecurringExchange: "rx", Date: date}, StepIndex: index, Number: 1,
		Workflow: doc.Workflow, Fingerprint: workflow.FingerprintOf(w),
	}
}

func TestAnAttemptIsValidatedBeforeItRuns(t *testing.T) {
	good := serialized(t, nil)
	other := serialized(t, func(m *message) { m.ExchangeIdentifiers.SharedStorageOwner = dp })
	circle := serialized(t, func(m *message) {
		m.Steps = append(m.Steps, newStep("a", mp, "y", "x"), newStep("b", mp, "x", "y"))
	})
	double := serialized(t, func(m *message) { m.Steps[2].StepId = "make" })
	tomorrow := workflow.DateOf(time.Now()).AddDays(1)
	for _, tc := range []struct {
		name    string
		stored  stored
		attempt *coordinator.Attempt
		class   failure.Class
		code    failure.Code
		words   string
	}{
		{"no workflow", stored{}, attempt(good, 0, key.Date), failure.Configuration, failure.CodeWorkflowMissing, "no workflow is stored for recurring exchange rx"},
		{"another workflow", stored{values: map[string][]byte{"rx": other}}, attempt(good, 0, key.Date), failure.Permanent, failure.CodeWorkflowMismatch, "both parties must store the same bytes"},
		{"no workflow at all", stored{values: map[string][]byte{"rx": []byte("junk")}}, attempt([]byte("junk"), 0, key.Date), failure.Permanent, failure.CodeWorkflow, "no workflow of the internal schema"},
		{"index too large", stored{values: map[string][]byte{"rx": good}}, attempt(good, 3, key.Date), failure.Permanent, failure.CodeWorkflow, "step index 3"},
		{"index negative", stored{values: map[string][]byte{"rx": good}}, attempt(good, -1, key.Date), failure.Permanent, failure.CodeWorkflow, "step index -1"},
		{"a step of the partner", stored{values: map[string][]byte{"rx": good}}, attempt(good, 1, key.Date), failure.Permanent, failure.CodeNotYours, "step theirs belongs to the DATA_PROVIDER"},
		{"too early", stored{values: map[string][]byte{"rx": good}}, attempt(good, 0, key.Date.AddDays(-1)), failure.Permanent, failure.CodeDate, "is before the first exchange date"},
		{"not yet", stored{values: map[string][]byte{"rx": good}}, attempt(good, 0, tomorrow), failure.Transient, failure.CodeDate, "begins only at"},
		{"a circle", stored{values: map[string][]byte{"rx": circle}}, attempt(circle, 0, key.Date), failure.Permanent, failure.CodeWorkflow, "steps wait for each other"},
		{"two steps of one id", stored{values: map[string][]byte{"rx": double}}, attempt(double, 0, key.Date), failure.Permanent, failure.CodeWorkflow, `two steps are called "make"`},
		{"an outage", stored{err: provider.ErrTransient}, attempt(good, 0, key.Date), failure.Transient, failure.CodeStorage, "read the workflow of rx"},
		{"no permission", stored{err: provider.ErrPermission}, attempt(good, 0, key.Date), failure.Configuration, failure.CodePermission, "read the workflow of rx"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			v := &exchange.Validator{Workflows: tc.stored, Format: workflow.InternalBinary, Party: manifest.ModelProvider}
			_, _, err := v.Validate(t.Context(), tc.attempt)
			if class, code := failure.Of(err); err == nil || class != tc.class || code != tc.code || !strings.Contains(err.Error(), tc.words) {
				t.Errorf("error %v is %s %s; want %s %s, and to read %q", err, class, code, tc.class, tc.code, tc.words)
			}
		})
	}
	v := &exchange.Validator{Workflows: stored{values: map[string][]byte{"rx": good}}, Format: workflow.InternalBinary, Party: manifest.ModelProvider}
	for _, date := range []workflow.Date{key.Date, key.Date.AddDays(1), workflow.DateOf(time.Now())} {
		w, s, err := v.Validate(t.Context(), attempt(good, 2, date))
		if err != nil || s.ID != "input" || len(w.Steps) != 3 {
			t.Errorf("%s: step %q, %v", date, s.ID, err)
		}
	}
}

// memory is the private storage of exchanges, in one bucket.
type memory struct {
	bucket provider.Storage
	err    error
}

func (m memory) Private(_ context.Context, k blob.ExchangeKey) (*blob.Store, error) {
	if m.err != nil {
		return nil, m.err
	}
	return blob.ForExchange(m.bucket, k, blob.Options{})
}

func (m memory) Shared(context.Context, blob.ExchangeKey) (step.Shared, error) {
	return nil, errors.New("there is no shared storage")
}

// runner is a Steps whose step types are one function, and the names of the blobs in its storage.
func runner(t *testing.T, w []byte, f step.Func) (*exchange.Steps, func() []string) {
	t.Helper()
	bucket := memblob.OpenBucket(nil)
	t.Cleanup(func() { bucket.Close() })
	s := &exchange.Steps{
		Validator: &exchange.Validator{Workflows: stored{values: map[string][]byte{"rx": w}}, Format: workflow.InternalBinary, Party: manifest.ModelProvider},
		Stores:    memory{bucket: bucket},
		Table:     step.Table{workflow.GenerateRandomBytes: f, workflow.Input: f},
		Log:       slog.New(slog.DiscardHandler),
	}
	return s, func() (names []string) {
		for it := bucket.List(nil); ; {
			o, err := it.Next(t.Context())
			if errors.Is(err, io.EOF) {
				return names
			}
			if err != nil {
				t.Fatal(err)
			}
			names = append(names, strings.TrimPrefix(o.Key, key.Path()+"/"))
		}
	}
}

func TestAStepIsMarkedAsDoneAfterItsOutputs(t *testing.T) {
	w := serialized(t, nil)
	runs := 0
	var during []string
	var names func() []string
	s, names := runner(t, w, func(ctx context.Context, env *step.Env) error {
		runs++
		if err := env.Private.PutBytes(ctx, "bytes", []byte("x")); err != nil {
			return err
		}
		during = names()
		return nil
	})
	for range 3 { // a step that is done is not run again
		if err := s.Run(t.Context(), attempt(w, 0, key.Date)); err != nil {
			t.Fatal(err)
		}
	}
	if runs != 1 {
		t.Errorf("the step ran %d times", runs)
	}
	if !slices.Equal(during, []string{"bytes"}) {
		t.Errorf("while the step ran there was %q", during)
	}
	if got, want := names(), []string{"bytes", "done-tasks/make"}; !slices.Equal(got, want) {
		t.Errorf("afterwards there is %q, want %q", got, want)
	}
}

func TestAFailedStepIsNotMarked(t *testing.T) {
	w := serialized(t, nil)
	cause := failure.Permanentf(failure.CodeBadInput, "no good")
	s, names := runner(t, w, func(context.Context, *step.Env) error { return cause })
	if err := s.Run(t.Context(), attempt(w, 0, key.Date)); !errors.Is(err, cause) {
		t.Errorf("got %v", err)
	}
	if got := names(); len(got) != 0 {
		t.Errorf("there is %q", got)
	}
}

func TestAStepThatIsRefusedDoesNotRunEvenIfItIsMarked(t *testing.T) {
	w := serialized(t, nil)
	s, _ := runner(t, w, func(context.Context, *step.Env) error { t.Error("the step ran"); return nil })
	private, err := s.Stores.Private(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	if err := private.PutBytes(t.Context(), blob.DoneKey("theirs"), nil); err != nil {
		t.Fatal(err)
	}
	if _, code := failure.Of(s.Run(t.Context(), attempt(w, 1, key.Date))); code != failure.CodeNotYours {
		t.Errorf("the code is %s", code)
	}
}

func TestAnInputIsReadyOnceItIsThere(t *testing.T) {
	w := serialized(t, nil)
	s, _ := runner(t, w, nil)
	a := attempt(w, 2, key.Date)
	candidate := coordinator.Candidate{Exchange: key, Workflow: a.Workflow, Step: a.Workflow.Steps[2]}
	if s.Ready(t.Context(), candidate) || !s.Waits(t.Context(), a) {
		t.Error("an input that is not there is ready, or not waited for")
	}
	private, err := s.Stores.Private(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	if err := private.PutBytes(t.Context(), "awaited", nil); err != nil {
		t.Fatal(err)
	}
	if !s.Ready(t.Context(), candidate) || s.Waits(t.Context(), a) {
		t.Error("an input that is there is not ready, or still waited for")
	}
	for _, index := range []int{0, -1, 3} {
		if s.Waits(t.Context(), attempt(w, index, key.Date)) {
			t.Errorf("step %d waits", index)
		}
	}
	if s.Waits(t.Context(), &coordinator.Attempt{Exchange: key}) {
		t.Error("an attempt without a workflow waits")
	}

	// Storage that can't be opened is not a reason to wait: running the step will tell.
	s.Stores = memory{err: provider.ErrPermission}
	if !s.Ready(t.Context(), candidate) {
		t.Error("a step whose storage can't be opened is not ready")
	}
	if class, code := failure.Of(s.Run(t.Context(), a)); class != failure.Configuration || code != failure.CodePermission {
		t.Errorf("it fails as %s %s", class, code)
	}
}
