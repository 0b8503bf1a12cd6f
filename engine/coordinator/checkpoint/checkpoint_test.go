package checkpoint_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/panelmatch/panelmatch/engine/blob"
	"github.com/panelmatch/panelmatch/engine/coordinator"
	"github.com/panelmatch/panelmatch/engine/coordinator/checkpoint"
	"github.com/panelmatch/panelmatch/engine/failure"
	"github.com/panelmatch/panelmatch/engine/provider"
	"github.com/panelmatch/panelmatch/engine/workflow"
	"github.com/panelmatch/panelmatch/schema/manifest"
	"github.com/panelmatch/panelmatch/schema/wire/internalpb"
)

// memory is shared storage with versions.
type memory struct {
	mu    sync.Mutex
	blobs map[string][]byte
	vers  map[string]int
	reads int
}

func newMemory() *memory { return &memory{blobs: map[string][]byte{}, vers: map[string]int{}} }

func (m *memory) Read(_ context.Context, key blob.ExchangeKey, name string) ([]byte, string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.reads++
	k := key.Path() + "/" + name
	b, ok := m.blobs[k]
	if !ok {
		return nil, "", provider.ErrNotFound
	}
	return bytes.Clone(b), strconv.Itoa(m.vers[k]), nil
}

func (m *memory) Write(_ context.Context, key blob.ExchangeKey, name string, data []byte, version string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	k := key.Path() + "/" + name
	have := ""
	if _, ok := m.blobs[k]; ok {
		have = strconv.Itoa(m.vers[k])
	}
	if have != version {
		return blob.ErrConflict
	}
	m.blobs[k] = bytes.Clone(data)
	m.vers[k]++
	return nil
}

// nameSigner signs with the owner's name, which is all that these tests need of a signature.
type nameSigner struct{ owner string }

func (n nameSigner) Sign(_ context.Context, _ blob.ExchangeKey, payload []byte) (checkpoint.Signature, error) {
	return checkpoint.Signature{Bytes: []byte(n.owner + string(payload)), AlgorithmOID: "1.2.840.10045.4.3.2", CertificateName: n.owner + ":1"}, nil
}

func (n nameSigner) Verify(_ context.Context, _ blob.ExchangeKey, owner string, payload []byte, s checkpoint.Signature) error {
	if string(s.Bytes) != owner+string(payload) {
		return errors.New("bad signature")
	}
	return nil
}

type stored map[string][]byte

func (s stored) Get(_ context.Context, key string) ([]byte, error) {
	if b, ok := s[key]; ok {
		return b, nil
	}
	return nil, provider.ErrNotFound
}
func (s stored) Put(context.Context, string, []byte) error { return provider.ErrReadOnly }
func (s stored) List(context.Context) ([]string, error)    { return nil, nil }
func (s stored) Close() error                              { return nil }

type stepSpec struct {
	id, party, in, out string
}

// twoParty is a workflow of four steps that go to and fro.
var twoParty = []stepSpec{
	{"mp-key", "MODEL_PROVIDER", "", "a"},
	{"mp-export", "MODEL_PROVIDER", "a", "b"},
	{"dp-import", "DATA_PROVIDER", "b", "c"},
	{"mp-last", "MODEL_PROVIDER", "a", "d"},
}

func serialized(t testing.TB, first, schedule string, steps []stepSpec) []byte {
	t.Helper()
	d, err := workflow.ParseDate(first)
	if err != nil {
		t.Fatal(err)
	}
	w := &internalpb.ExchangeWorkflow{
		ExchangeIdentifiers: &internalpb.ExchangeWorkflow_ExchangeIdentifiers{
			DataProviderId: "edp", ModelProviderId: "mp", SharedStorageOwner: internalpb.ExchangeWorkflow_MODEL_PROVIDER,
		},
		FirstExchangeDate:  d.Proto(),
		RepetitionSchedule: &internalpb.ExchangeWorkflow_Schedule{CronExpression: schedule},
	}
	for _, s := range steps {
		step := &internalpb.ExchangeWorkflow_Step{
			StepId: s.id, Party: internalpb.ExchangeWorkflow_Party(internalpb.ExchangeWorkflow_Party_value[s.party]),
			OutputLabels: map[string]string{"out": s.out},
			Step:         &internalpb.ExchangeWorkflow_Step_HybridEncryptStep_{HybridEncryptStep: &internalpb.ExchangeWorkflow_Step_HybridEncryptStep{}},
		}
		if s.in != "" {
			step.InputLabels = map[string]string{"in": s.in}
		}
		w.Steps = append(w.Steps, step)
	}
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(w)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

type party struct {
	*checkpoint.Coordinator
	t *testing.T
}

func newParty(t *testing.T, m *memory, p manifest.Party, workflows stored, ids ...string) party {
	owner := "mp"
	if p == manifest.DataProvider {
		owner = "edp"
	}
	return party{checkpoint.New(checkpoint.Config{
		Party: p, RecurringExchanges: ids, Lookback: 14 * 24 * time.Hour, TaskTimeout: 24 * time.Hour,
	}, workflows, m, nameSigner{owner}), t}
}

// claim claims and returns "id date step/number", or "" for nothing.
func (p party) claim() (*coordinator.Attempt, string) {
	p.t.Helper()
	a, err := p.Claim(p.t.Context(), nil)
	if err != nil {
		p.t.Fatal(err)
	}
	return a, name(a)
}

func name(a *coordinator.Attempt) string {
	if a == nil {
		return ""
	}
	return fmt.Sprintf("%s %s %s/%d", a.Exchange.RecurringExchange, a.Exchange.Date, a.Workflow.Steps[a.StepIndex].ID, a.Number)
}

func (p party) finish(a *coordinator.Attempt, s coordinator.State) {
	p.t.Helper()
	if err := p.Finish(p.t.Context(), a, coordinator.Report{State: s, Messages: []string{"internal: the step failed"}}); err != nil {
		p.t.Fatal(err)
	}
}

// The clock inside synctest starts on this date.
const today = "2000-01-01"

func TestBothPartiesWalkThroughTheWorkflow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, w := newMemory(), stored{"rx": serialized(t, today, "@daily", twoParty)}
		mp, dp := newParty(t, m, manifest.ModelProvider, w, "rx"), newParty(t, m, manifest.DataProvider, w, "rx")

		if a, got := dp.claim(); a != nil {
			t.Fatalf("the data provider claimed %s before the partner did anything", got)
		}
		key, got := mp.claim()
		if got != "rx 2000-01-01 mp-key/1" {
			t.Fatalf("claimed %q", got)
		}
		if _, got := mp.claim(); got != "" {
			t.Fatalf("claimed %q while its prerequisite runs", got)
		}
		mp.finish(key, coordinator.Succeeded)
		export, got := mp.claim()
		if got != "rx 2000-01-01 mp-export/1" {
			t.Fatalf("claimed %q", got)
		}
		last, got := mp.claim()
		if got != "rx 2000-01-01 mp-last/1" {
			t.Fatalf("claimed %q in parallel", got)
		}
		mp.finish(export, coordinator.Succeeded)
		mp.finish(last, coordinator.Succeeded)
		imported, got := dp.claim()
		if got != "rx 2000-01-01 dp-import/1" {
			t.Fatalf("claimed %q", got)
		}
		dp.finish(imported, coordinator.Succeeded)
		dp.finish(imported, coordinator.Succeeded) // a report that was lost on the way is sent again
		for _, p := range []party{mp, dp} {
			if _, got := p.claim(); got != "" {
				t.Errorf("claimed %q in an exchange that has ended", got)
			}
		}
		reads := m.reads
		mp.claim()
		if m.reads != reads {
			t.Errorf("an exchange that has ended was read again")
		}
	})
}

func TestFailedIsTriedAgainAndFailedStepEndsTheExchange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, w := newMemory(), stored{"rx": serialized(t, today, "@daily", twoParty)}
		mp, dp := newParty(t, m, manifest.ModelProvider, w, "rx"), newParty(t, m, manifest.DataProvider, w, "rx")
		for n := 1; n <= 40; n++ {
			a, got := mp.claim()
			if want := fmt.Sprintf("rx 2000-01-01 mp-key/%d", n); got != want {
				t.Fatalf("claimed %q, want %q", got, want)
			}
			mp.finish(a, coordinator.Failed)
		}
		if cp := open(t, m, manifest.ModelProvider); len(cp.GetProgressEntries()) > 12 {
			t.Errorf("the checkpoint grew to %d entries", len(cp.GetProgressEntries()))
		}
		a, _ := mp.claim()
		mp.finish(a, coordinator.FailedStep)
		for _, p := range []party{mp, dp} {
			if _, got := p.claim(); got != "" {
				t.Errorf("claimed %q in an exchange that has failed", got)
			}
		}
	})
}

func TestOldestDateFirstAndRecurringExchangesInTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		one := []stepSpec{{"only", "MODEL_PROVIDER", "", "a"}}
		m := newMemory()
		w := stored{
			"daily":  serialized(t, "1999-12-30", "@daily", one),
			"weekly": serialized(t, "1999-12-25", "@weekly", one),
			"future": serialized(t, "2000-01-02", "@daily", one),
			"old":    serialized(t, "1999-01-01", "@yearly", one),
		}
		mp := newParty(t, m, manifest.ModelProvider, w, "daily", "weekly", "future", "old")
		want := []string{
			"weekly 1999-12-25", "daily 1999-12-30", "daily 1999-12-31", "daily 2000-01-01", "weekly 2000-01-01", "old 2000-01-01", "",
		}
		for _, want := range want {
			a, got := mp.claim()
			if want != "" {
				want += " only/1"
			}
			if got != want {
				t.Fatalf("claimed %q, want %q", got, want)
			}
			if a != nil {
				mp.finish(a, coordinator.Succeeded)
			}
		}
		time.Sleep(24 * time.Hour)
		if _, got := mp.claim(); got != "daily 2000-01-02 only/1" {
			t.Errorf("a day later claimed %q", got)
		}
		if _, got := mp.claim(); got != "future 2000-01-02 only/1" {
			t.Errorf("a day later claimed %q", got)
		}
	})
}

func TestWhatADeadProcessLeftIsTakenOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, w := newMemory(), stored{"rx": serialized(t, today, "@daily", twoParty)}
		before := newParty(t, m, manifest.ModelProvider, w, "rx")
		lost, _ := before.claim()
		after := newParty(t, m, manifest.ModelProvider, w, "rx")
		a, got := after.claim()
		if got != "rx 2000-01-01 mp-key/2" {
			t.Fatalf("claimed %q", got)
		}
		if err := before.Finish(t.Context(), lost, coordinator.Report{State: coordinator.Succeeded}); !errors.Is(err, coordinator.ErrSuperseded) {
			t.Errorf("the report of an attempt that was taken over: %v, want ErrSuperseded", err)
		}
		after.finish(a, coordinator.Succeeded)
	})
}

func TestAnAttemptOfOursExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, w := newMemory(), stored{"rx": serialized(t, today, "@yearly", twoParty)}
		mp := newParty(t, m, manifest.ModelProvider, w, "rx")
		mp.claim()
		time.Sleep(23 * time.Hour)
		if _, got := mp.claim(); got != "" {
			t.Errorf("claimed %q while an attempt runs", got)
		}
		time.Sleep(time.Hour)
		if _, got := mp.claim(); got != "rx 2000-01-01 mp-key/2" {
			t.Errorf("claimed %q", got)
		}
		first := open(t, m, manifest.ModelProvider).GetProgressEntries()[0].GetAttempt()
		if first.GetState() != internalpb.ExchangeStepAttempt_FAILED || !strings.HasPrefix(first.GetDebugMessageEntries()[0].GetMessage(), "Attempt timed out") {
			t.Errorf("the expired attempt is %v", first)
		}
	})
}

func TestStepsThatAreNotReadyAreNotClaimed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, w := newMemory(), stored{"rx": serialized(t, today, "@daily", []stepSpec{
			{"waits", "MODEL_PROVIDER", "", "a"}, {"ready", "MODEL_PROVIDER", "", "b"},
		})}
		mp := newParty(t, m, manifest.ModelProvider, w, "rx")
		a, err := mp.Claim(t.Context(), func(_ context.Context, c coordinator.Candidate) bool { return c.Step.ID != "waits" })
		if err != nil || name(a) != "rx 2000-01-01 ready/1" {
			t.Errorf("claimed %q, %v", name(a), err)
		}
	})
}

func TestDifferentWorkflowsEndTheExchangeWithAReason(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		other := append([]stepSpec{{"dp-first", "DATA_PROVIDER", "", "z"}}, twoParty...)
		mp := newParty(t, m, manifest.ModelProvider, stored{"rx": serialized(t, today, "@daily", twoParty)}, "rx")
		dp := newParty(t, m, manifest.DataProvider, stored{"rx": serialized(t, today, "@daily", other)}, "rx")
		first, _ := dp.claim()
		dp.finish(first, coordinator.Succeeded)
		a, got := mp.claim()
		if a == nil {
			t.Fatal("nothing was claimed; nobody would ever know why")
		}
		if a.Fingerprint == workflow.FingerprintOf(serialized(t, today, "@daily", twoParty)) {
			t.Errorf("%s was claimed with our own fingerprint; validation would let it pass", got)
		}
	})
}

func TestAChangedWorkflowOfOurOwnIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, w := newMemory(), stored{"rx": serialized(t, today, "@daily", twoParty)}
		mp := newParty(t, m, manifest.ModelProvider, w, "rx")
		mp.claim()
		w["rx"] = serialized(t, today, "@daily", twoParty[:2])
		_, err := mp.Claim(t.Context(), nil)
		if class, code := failure.Of(err); class != failure.Configuration || code != failure.CodeWorkflowMismatch {
			t.Errorf("error %v", err)
		}
	})
}

func TestCheckpointsThatCanNotBeAcceptedAreRefused(t *testing.T) {
	at := blob.ExchangeKey{RecurringExchange: "rx", Date: workflow.Date{Year: 2000, Month: 1, Day: 1}}
	base := func(t *testing.T) *internalpb.ExchangeCheckpoint {
		fp := workflow.FingerprintOf(serialized(t, today, "@daily", twoParty))
		return &internalpb.ExchangeCheckpoint{
			Party: internalpb.ExchangeWorkflow_MODEL_PROVIDER, RecurringExchangeId: "rx",
			ExchangeDate: at.Date.Proto(), WorkflowFingerprint: fp[:], ExchangeState: internalpb.ExchangeCheckpoint_IN_PROGRESS,
		}
	}
	progress := func(cp *internalpb.ExchangeCheckpoint, id string, index int32) {
		cp.ProgressEntries = append(cp.ProgressEntries, &internalpb.ExchangeCheckpoint_ProgressEntry{
			Attempt: &internalpb.ExchangeStepAttempt{StepId: id, StepIndex: index, AttemptNumber: 1, State: internalpb.ExchangeStepAttempt_SUCCEEDED},
		})
	}
	for name, c := range map[string]struct {
		edit   func(*internalpb.ExchangeCheckpoint)
		signer string
		want   string
	}{
		"of another party":     {func(cp *internalpb.ExchangeCheckpoint) { cp.Party = internalpb.ExchangeWorkflow_DATA_PROVIDER }, "mp", "where that of MODEL_PROVIDER belongs"},
		"of another exchange":  {func(cp *internalpb.ExchangeCheckpoint) { cp.RecurringExchangeId = "ry" }, "mp", `recurring exchange "ry"`},
		"of another date":      {func(cp *internalpb.ExchangeCheckpoint) { cp.ExchangeDate.Day = 2 }, "mp", "a checkpoint of 2000-01-02"},
		"without a date":       {func(cp *internalpb.ExchangeCheckpoint) { cp.ExchangeDate = nil }, "mp", "a checkpoint of 0000-00-00"},
		"short fingerprint":    {func(cp *internalpb.ExchangeCheckpoint) { cp.WorkflowFingerprint = []byte{1} }, "mp", "fingerprint has 1 bytes"},
		"signed by a stranger": {func(*internalpb.ExchangeCheckpoint) {}, "eve", "signature"},
		"signed by ourselves":  {func(*internalpb.ExchangeCheckpoint) {}, "edp", "signature"},
		"impossible progress":  {func(cp *internalpb.ExchangeCheckpoint) { progress(cp, "mp-export", 1) }, "mp", "a step that it waits for is not done"},
		"our step":             {func(cp *internalpb.ExchangeCheckpoint) { progress(cp, "dp-import", 2) }, "mp", "the other party's"},
		"unknown step":         {func(cp *internalpb.ExchangeCheckpoint) { progress(cp, "nonesuch", 0) }, "mp", "nonesuch"},
		"huge index":           {func(cp *internalpb.ExchangeCheckpoint) { progress(cp, "mp-export", 1<<31-1) }, "mp", "a step that it waits for is not done"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m, w := newMemory(), stored{"rx": serialized(t, today, "@daily", twoParty)}
				cp := base(t)
				c.edit(cp)
				put(t, m, at, cp, c.signer)
				before := maps.Clone(m.blobs)
				dp := newParty(t, m, manifest.DataProvider, w, "rx")
				a, err := dp.Claim(t.Context(), nil)
				if a != nil || err == nil || !strings.Contains(err.Error(), c.want) {
					t.Errorf("claimed %q, error %v, want one with %q", name, err, c.want)
				}
				if len(m.blobs) != len(before) {
					t.Error("something was written")
				}
			})
		})
	}
}

func TestAHalfWrittenCheckpointIsReadAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, w := newMemory(), stored{"rx": serialized(t, today, "@daily", twoParty)}
		mp, dp := newParty(t, m, manifest.ModelProvider, w, "rx"), newParty(t, m, manifest.DataProvider, w, "rx")
		for range 2 {
			a, _ := mp.claim()
			mp.finish(a, coordinator.Succeeded)
		}
		const k = "recurringExchanges/rx/exchanges/2000-01-01/checkpoints/mp-checkpoint"
		whole := m.blobs[k]
		m.blobs[k] = nil
		time.AfterFunc(300*time.Millisecond, func() { m.mu.Lock(); m.blobs[k] = whole[:len(whole)/2]; m.mu.Unlock() })
		time.AfterFunc(900*time.Millisecond, func() { m.mu.Lock(); m.blobs[k] = whole; m.mu.Unlock() })
		a, _ := dp.claim()
		if a == nil {
			mp.t.Error("nothing claimed")
		}
	})
}

func TestOneBrokenExchangeDoesNotStopTheOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, w := newMemory(), stored{"good": serialized(t, today, "@daily", twoParty)}
		mp := newParty(t, m, manifest.ModelProvider, w, "absent", "good")
		if _, got := mp.claim(); got != "good 2000-01-01 mp-key/1" {
			t.Errorf("claimed %q", got)
		}
		if _, err := mp.Claim(t.Context(), nil); err == nil || !strings.Contains(err.Error(), "absent") {
			t.Errorf("error %v, want one about the exchange without a workflow", err)
		}
	})
}

func open(t *testing.T, m *memory, p manifest.Party) *internalpb.ExchangeCheckpoint {
	t.Helper()
	data := m.blobs["recurringExchanges/rx/exchanges/2000-01-01/"+blob.CheckpointKey(p)]
	signed, cp := &internalpb.SignedExchangeCheckpoint{}, &internalpb.ExchangeCheckpoint{}
	if err := proto.Unmarshal(data, signed); err != nil {
		t.Fatal(err)
	}
	if err := proto.Unmarshal(signed.GetSerializedCheckpoint(), cp); err != nil {
		t.Fatal(err)
	}
	return cp
}

func put(t *testing.T, m *memory, key blob.ExchangeKey, cp *internalpb.ExchangeCheckpoint, signer string) {
	t.Helper()
	payload, err := proto.Marshal(cp)
	if err != nil {
		t.Fatal(err)
	}
	sig, _ := nameSigner{signer}.Sign(t.Context(), key, payload)
	data, err := proto.Marshal(&internalpb.SignedExchangeCheckpoint{
		SerializedCheckpoint: payload, Signature: sig.Bytes, SignatureAlgorithmOid: sig.AlgorithmOID, CertName: "mp:1",
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Write(t.Context(), key, blob.CheckpointKey(manifest.ModelProvider), data, ""); err != nil {
		t.Fatal(err)
	}
}
