package e2e

import (
	"bytes"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/panelmatch/panelmatch/schema/wire/internalpb"
	"github.com/panelmatch/panelmatch/schema/wire/joinkeypb"
	"github.com/panelmatch/panelmatch/schema/wire/protocolpb"
)

const (
	exported   = "single-blinded-join-keys"
	importStep = "import-single-blinded-join-keys"
)

// exportedFile is the file of the blob that the MP has exported today.
func (w *world) exportedFile() string { return w.shared(w.today(), exported) }

// damage edits a file.
func (w *world) damage(path string, edit func([]byte) []byte) {
	w.t.Helper()
	w.rewrite(path, edit(bytes.Clone(readFile(w.t, path))))
}

func flip(i int) func([]byte) []byte {
	return func(b []byte) []byte {
		b[(i+len(b))%len(b)] ^= 1
		return b
	}
}

func (w *world) remove(path string) {
	w.t.Helper()
	if err := os.Remove(path); err != nil {
		w.t.Fatal(err)
	}
}

func TestABadSharedBlobIsRefused(t *testing.T) {
	for _, tc := range []struct {
		name string
		do   func(w *world)
		// final: no later attempt could help, so that the exchange is given up.
		final bool
		code  string
		words string // in the party's own log
		set   []string
	}{
		{"truncated", func(w *world) { w.damage(w.exportedFile(), func(b []byte) []byte { return b[:len(b)/2] }) }, true, "signature", "the signature does not fit", nil},
		{"emptied", func(w *world) { w.damage(w.exportedFile(), func([]byte) []byte { return nil }) }, true, "signature", "the signature does not fit", nil},
		{"a bit flipped", func(w *world) { w.damage(w.exportedFile(), flip(7)) }, true, "signature", "the signature does not fit", nil},
		{"something appended", func(w *world) { w.damage(w.exportedFile(), func(b []byte) []byte { return append(b, 0) }) }, true, "signature", "the signature does not fit", nil},
		{"wrong signature", func(w *world) {
			w.damage(w.exportedFile()+".signature", func(b []byte) []byte {
				s := &protocolpb.NamedSignature{}
				if err := proto.Unmarshal(b, s); err != nil {
					w.t.Fatal(err)
				}
				flip(-1)(s.Signature)
				b, err := proto.Marshal(s)
				if err != nil {
					w.t.Fatal(err)
				}
				return b
			})
		}, true, "signature", "the signature does not fit", nil},
		{"a signature that is none", func(w *world) {
			w.damage(w.exportedFile()+".signature", func([]byte) []byte { return []byte("canary: no message") })
		}, true, "signature", "signature of blob", nil},
		{"an empty signature", func(w *world) { w.damage(w.exportedFile()+".signature", func([]byte) []byte { return nil }) }, true, "signature", "signature of blob", nil},
		{"a foreign certificate in the partner's name", func(w *world) {
			evil := identity{"mp1:11111111-1111-4111-8111-111111111111", newKey(w.t)}
			w.publish(evil.name, foreignAuthority(w.t, w.root("mp1")).issue(w.t, evil.key, -time.Hour, time.Hour))
			w.signBlob(exported, evil)
		}, true, "certificate", "not signed by the owner's root", nil},
		{"a certificate of somebody else", func(w *world) {
			evil := identity{"mallory:1", newKey(w.t)}
			w.publish(evil.name, foreignAuthority(w.t, w.root("mp1")).issue(w.t, evil.key, -time.Hour, time.Hour))
			w.signBlob(exported, evil)
		}, true, "signature", `belongs to "mallory", but "mp1" should have signed`, nil},
		{"our own certificate", func(w *world) { w.signBlob(exported, w.edp.identity(w.today())) }, true, "signature", `belongs to "edp1", but "mp1" should have signed`, nil},
		{"a certificate name that leads elsewhere", func(w *world) {
			w.signBlob(exported, identity{"mp1:../../../../../mp1/private-keys", newKey(w.t)})
		}, true, "certificate", "certificate name", nil},
		{"no certificate name", func(w *world) { w.signBlob(exported, identity{"", newKey(w.t)}) }, true, "signature", "names no certificate", nil},
		{"a certificate that is none", func(w *world) {
			w.publish("mp1:1", []byte("canary: no certificate"))
			w.signBlob(exported, identity{"mp1:1", newKey(w.t)})
		}, true, "certificate", "not an X.509 certificate", nil},
		{"the certificate of another key", func(w *world) {
			w.publish("mp1:1", w.mp.authority().issue(w.t, newKey(w.t), -time.Hour, time.Hour))
			w.signBlob(exported, identity{"mp1:1", newKey(w.t)})
		}, true, "signature", "the signature does not fit", nil},
		{"an absent certificate", func(w *world) { w.signBlob(exported, identity{"mp1:1", newKey(w.t)}) }, false, "certificate", "not found", nil},
		{"an expired certificate", func(w *world) {
			old := identity{"mp1:1", newKey(w.t)}
			w.publish(old.name, w.mp.authority().issue(w.t, old.key, -100*time.Hour, -25*time.Hour))
			w.signBlob(exported, old)
		}, false, "certificate", "the certificate is expired", nil},
		{"a certificate for later", func(w *world) {
			early := identity{"mp1:1", newKey(w.t)}
			w.publish(early.name, w.mp.authority().issue(w.t, early.key, 25*time.Hour, 100*time.Hour))
			w.signBlob(exported, early)
		}, false, "certificate", "the certificate is not valid before", nil},
		{"absent", func(w *world) { w.remove(w.exportedFile()) }, false, "missing-input", "not found", nil},
		{"absent signature", func(w *world) { w.remove(w.exportedFile() + ".signature") }, false, "missing-input", "not found", nil},
		{"larger than allowed", func(*world) {}, true, "limit", "too large", []string{"limits.sharedBlob=3KiB"}},
		{"properly signed, but no join keys", func(w *world) {
			w.rewrite(w.exportedFile(), []byte("canary: \xff no collection"))
			w.signBlob(exported, w.mp.identity(w.today()))
		}, true, "", "", nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, "double-blind", 1, map[string][]byte{"mp-plaintext-join-keys": panel(100)})
			w.edp.mustCron() // so that both parties have certificates
			w.mp.mustCron()
			good := map[string][]byte{exported: readFile(t, w.exportedFile()), exported + ".signature": readFile(t, w.exportedFile()+".signature")}
			tc.do(w)
			set := w.edp.set
			w.edp.set = slices.Concat(set, tc.set)
			before := files(t, w.edp.private(w.today(), ""))
			w.edp.mustCron()

			if tc.code == "" { // the import goes well, and what comes after it refuses the content
				w.refused(w.edp, "double-blind", true, "bad-input", "encrypted-data is not a serialized")
				return
			}
			w.refused(w.edp, importStep, tc.final, tc.code, tc.words)
			if after := files(t, w.edp.private(w.today(), "")); !slices.Equal(before, after) {
				t.Errorf("private storage had %q, and has %q", before, after)
			}
			if tc.final {
				return
			}
			for key, data := range good {
				w.rewrite(w.shared(w.today(), key), data)
			}
			w.cronUntilDone()
			w.noSecrets()
		})
	}
}

// panel is n join keys.
func panel(n int) []byte {
	var entries []*joinkeypb.JoinKeyAndId
	for i := range n {
		entries = append(entries, joinKey("canary-join-key-1"+strings.Repeat("x", i), "canary-join-key-id-"+strings.Repeat("y", i)))
	}
	return collection(entries...)
}

// refused checks how a step of today failed: what the party's checkpoint says, to the partner as well,
// and what its log says; and that both parties leave an exchange alone that is given up.
func (w *world) refused(p *party, step string, final bool, code, words string) {
	w.t.Helper()
	wantAttempt, wantExchange := attemptFailed, inProgress
	if final {
		wantAttempt, wantExchange = attemptFailedStep, failed
	}
	a := p.last(w.today(), step)
	if a.GetState() != wantAttempt {
		w.t.Fatalf("the attempt of %s ended as %s, want %s; log:\n%s", step, a.GetState(), wantAttempt, p.log)
	}
	if got := p.checkpoint(w.today()).GetExchangeState(); got != wantExchange {
		w.t.Errorf("the exchange is %s, want %s", got, wantExchange)
	}
	messages := a.GetDebugMessageEntries()
	if len(messages) != 1 || !strings.HasPrefix(messages[0].GetMessage(), code+": ") {
		w.t.Errorf("the partner reads %v, want one message with the code %s", messages, code)
	}
	if log := p.log.String(); !strings.Contains(log, `msg="step failed"`) || !logHas(log, words) {
		w.t.Errorf("the log does not say %q:\n%s", words, log)
	}
	if _, err := os.Stat(p.private(w.today(), "done-tasks/"+step)); err == nil {
		w.t.Errorf("step %s failed, but has a done marker", step)
	}
	if final {
		w.checkGivenUp()
	}
	w.noSecrets()
}

// logHas looks for words in a log whose values are quoted.
func logHas(log, words string) bool {
	return strings.Contains(strings.ReplaceAll(strings.ReplaceAll(log, `\"`, `"`), `\"`, `"`), words)
}

// checkGivenUp checks that no party claims anything in today's exchange any more.
func (w *world) checkGivenUp() {
	w.t.Helper()
	count := func() (n int) {
		for _, p := range w.parties() {
			n += len(p.checkpoint(w.today()).GetProgressEntries())
		}
		return n
	}
	before := count()
	for _, p := range w.parties() {
		p.mustCron()
	}
	if after := count(); after != before {
		w.t.Errorf("the exchange has failed, but %d attempts were made since", after-before)
	}
}

func TestAnExpiredCertificateIsTakenIfTheManifestSaysSo(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "double-blind", 1, nil)
	w.mp.mustCron()
	old := identity{"mp1:1", newKey(t)}
	w.publish(old.name, w.mp.authority().issue(t, old.key, -100*time.Hour, -25*time.Hour))
	w.signBlob(exported, old)
	w.edp.set = append(w.edp.set, "trust.allow=[expiredCertificates]")
	w.cronUntilDone()
	if !logHas(w.edp.log.String(), "trust is relaxed") {
		t.Error("the log does not tell of the relaxation")
	}
}

func TestABadCheckpointIsRefused(t *testing.T) {
	content := func(w *world, edit func(cp *internalpb.ExchangeCheckpoint)) {
		cp := w.mp.checkpoint(w.today())
		edit(cp)
		w.mp.writeCheckpoint(cp, w.mp.identity(w.today()))
	}
	file := func(w *world) string { return w.mp.checkpointFile(w.today()) }
	claims := func(step string, index int32, state internalpb.ExchangeStepAttempt_State) func(w *world) {
		return func(w *world) {
			content(w, func(cp *internalpb.ExchangeCheckpoint) {
				cp.ProgressEntries = append(cp.ProgressEntries, &internalpb.ExchangeCheckpoint_ProgressEntry{
					Attempt: &internalpb.ExchangeStepAttempt{StepId: step, StepIndex: index, AttemptNumber: 1, State: state},
				})
			})
		}
	}
	for _, tc := range []struct {
		name  string
		do    func(w *world)
		words string
	}{
		{"empty for a while", func(w *world) { w.damage(file(w), func([]byte) []byte { return nil }) }, "the checkpoint is empty"},
		{"half written for a while", func(w *world) { w.damage(file(w), func(b []byte) []byte { return b[:len(b)/2] }) }, "this is not a signed checkpoint"},
		{"no checkpoint at all", func(w *world) { w.damage(file(w), func([]byte) []byte { return []byte("canary: no checkpoint") }) }, "checkpoints/mp-checkpoint"},
		{"damaged", func(w *world) { w.damage(file(w), flip(30)) }, "the signature"},
		{"our own in the partner's place", func(w *world) { w.rewrite(file(w), readFile(w.t, w.edp.checkpointFile(w.today()))) }, `belongs to "edp1", but "mp1" should have signed`},
		{"of our party, but signed by the partner", func(w *world) {
			content(w, func(cp *internalpb.ExchangeCheckpoint) { cp.Party = internalpb.ExchangeWorkflow_DATA_PROVIDER })
		}, "it is the checkpoint of DATA_PROVIDER, where that of MODEL_PROVIDER belongs"},
		{"of another recurring exchange", func(w *world) {
			content(w, func(cp *internalpb.ExchangeCheckpoint) { cp.RecurringExchangeId = "other" })
		}, `it is a checkpoint of recurring exchange "other"`},
		{"of another date", func(w *world) {
			content(w, func(cp *internalpb.ExchangeCheckpoint) { cp.ExchangeDate = w.today().AddDays(-1).Proto() })
		}, "it is a checkpoint of " /* that date */},
		{"signed with a foreign certificate", func(w *world) {
			evil := identity{"mp1:1", newKey(w.t)}
			w.publish(evil.name, foreignAuthority(w.t, w.root("mp1")).issue(w.t, evil.key, -time.Hour, time.Hour))
			w.mp.writeCheckpoint(w.mp.checkpoint(w.today()), evil)
		}, "not signed by the owner's root"},
		{"signed with an expired certificate", func(w *world) {
			old := identity{"mp1:1", newKey(w.t)}
			w.publish(old.name, w.mp.authority().issue(w.t, old.key, -100*time.Hour, -25*time.Hour))
			w.mp.writeCheckpoint(w.mp.checkpoint(w.today()), old)
		}, "the certificate is expired"},
		{"a step before its time", claims("remove-blinding", 9, attemptSucceeded), "but a step that it waits for is not done"},
		{"a step before its time, with a wrong index", claims("import-double-blinded-join-keys", -5, attemptInProgress), "but a step that it waits for is not done"},
		{"a step of ours", claims("double-blind", 6, attemptSucceeded), "which is the other party's"},
		{"a step that there is not", claims("no such step\n", 3, attemptSucceeded), "which the workflow does not have"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, "double-blind", 1, nil)
			w.edp.mustCron()
			w.mp.mustCron()
			good := readFile(t, file(w))
			tc.do(w)
			before, own := files(t, w.edp.private(w.today(), "")), readFile(t, w.edp.checkpointFile(w.today()))
			daemons(func() bool { return logHas(w.edp.log.String(), tc.words) }, w.edp)
			if !strings.Contains(w.edp.log.String(), "no step could be claimed") {
				t.Errorf("the log does not say that no step could be claimed:\n%s", w.edp.log)
			}
			if after := files(t, w.edp.private(w.today(), "")); !slices.Equal(before, after) {
				t.Errorf("private storage had %q, and has %q", before, after)
			}
			if !bytes.Equal(own, readFile(t, w.edp.checkpointFile(w.today()))) {
				t.Error("our own checkpoint has changed")
			}
			// Nothing is given up: the partner's writer, or its storage, may be in the middle of something.
			w.rewrite(file(w), good)
			w.cronUntilDone()
			w.noSecrets()
		})
	}
}

func TestACheckpointThatIsEmptyForAMomentDoesNoHarm(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "double-blind", 1, nil)
	w.mp.mustCron()
	good := readFile(t, w.mp.checkpointFile(w.today()))
	w.rewrite(w.mp.checkpointFile(w.today()), nil)
	mended := make(chan struct{})
	go func() {
		defer close(mended)
		time.Sleep(300 * time.Millisecond)
		if err := os.WriteFile(w.mp.checkpointFile(w.today()), good, 0o600); err != nil {
			t.Error(err)
		}
	}()
	w.edp.mustCron()
	<-mended
	if a := w.edp.last(w.today(), "export-double-blinded-join-keys"); a.GetState() != attemptSucceeded {
		t.Errorf("the data provider's last step is %s", a.GetState())
	}
	if strings.Contains(w.edp.log.String(), "level=WARN") {
		t.Errorf("a passing fault was worth a warning:\n%s", w.edp.log)
	}
}

func TestDifferentWorkflowsEndTheExchangeForBothWithAReason(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "double-blind", 1, nil)
	w.rewriteWorkflow(func(m *internalpb.ExchangeWorkflow) {
		m.ExchangeIdentifiers.SharedStorageOwner = internalpb.ExchangeWorkflow_MODEL_PROVIDER
	}, w.edp)
	w.mp.mustCron()
	before := files(t, w.edp.private(w.today(), ""))
	w.edp.mustCron()
	// Whichever step of ours comes first is handed out, and its validation tells.
	w.refused(w.edp, importStep, true, "workflow-mismatch", "both parties must store the same bytes")
	if after := files(t, w.edp.private(w.today(), "")); !slices.Equal(before, after) {
		t.Errorf("private storage had %q, and has %q", before, after)
	}
}

func TestAWorkflowThatIsNotStoredIsWaitedFor(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "mini", 1, nil)
	stored := readFile(t, w.edp.stored())
	w.remove(w.edp.stored())
	daemons(func() bool { return logHas(w.edp.log.String(), "workflow of recurring exchange demo") }, w.edp)
	if w.edp.checkpoint(w.today()) != nil {
		t.Error("the party has begun an exchange whose workflow it does not have")
	}
	w.rewrite(w.edp.stored(), stored)
	w.cronUntilDone()
}

func TestAJobThatCanNotClaimFails(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "mini", 1, nil)
	w.remove(w.edp.stored())
	err := w.edp.cron()
	if err == nil || !strings.Contains(err.Error(), "claim a step: failed 5 times in a row: workflow of recurring exchange demo") {
		t.Errorf("the job ended with %v", err)
	}
}

func TestBadWorkflowsAreNotRun(t *testing.T) {
	step := func(m *internalpb.ExchangeWorkflow, id string) *internalpb.ExchangeWorkflow_Step {
		for _, s := range m.GetSteps() {
			if s.GetStepId() == id {
				return s
			}
		}
		panic("no step " + id)
	}
	for _, tc := range []struct {
		name  string
		edit  func(m *internalpb.ExchangeWorkflow)
		step  string
		words string
	}{
		{"a circle", func(m *internalpb.ExchangeWorkflow) {
			step(m, "generate-commutative-deterministic-key").InputLabels = map[string]string{"x": "mp-decrypted-join-keys"}
		}, "generate-commutative-deterministic-key", "steps wait for each other"},
		{"two steps of one id", func(m *internalpb.ExchangeWorkflow) {
			step(m, "single-blind").StepId = "input-plaintext-join-keys"
		}, "generate-commutative-deterministic-key", "input-plaintext-join-keys"},
		{"a label that leaves the directory", func(m *internalpb.ExchangeWorkflow) {
			step(m, "generate-commutative-deterministic-key").OutputLabels["symmetric-key"] = "../../../../../escaped"
			step(m, "single-blind").InputLabels["encryption-key"] = "../../../../../escaped"
			step(m, "remove-blinding").InputLabels["encryption-key"] = "../../../../../escaped"
		}, "generate-commutative-deterministic-key", "blob key"},
		{"an input label that leaves the directory", func(m *internalpb.ExchangeWorkflow) {
			step(m, "input-plaintext-join-keys").OutputLabels["input"] = "../../../../mp1-keys.json"
			step(m, "single-blind").InputLabels["unencrypted-data"] = "../../../../mp1-keys.json"
		}, "input-plaintext-join-keys", "blob key"},
		{"an export over a checkpoint", func(m *internalpb.ExchangeWorkflow) {
			step(m, "export-single-blinded-join-keys").OutputLabels = map[string]string{"x": "checkpoints/edp-checkpoint"}
			step(m, "import-single-blinded-join-keys").InputLabels = map[string]string{"x": "checkpoints/edp-checkpoint"}
		}, "export-single-blinded-join-keys", "blob key"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, "double-blind", 1, nil)
			w.rewriteWorkflow(tc.edit, w.parties()...)
			w.mp.mustCron()
			w.refused(w.mp, tc.step, true, "workflow", tc.words)
			for _, name := range files(t, w.dir) {
				if strings.Contains(name, "escaped") {
					t.Errorf("there is %s", name)
				}
			}
		})
	}
}

func TestInputsThatAreNotDistinctEndTheExchange(t *testing.T) {
	t.Parallel()
	for name, data := range map[string][]byte{
		"join keys":   collection(joinKeys[0], joinKeys[1], joinKey("canary-join-key-1", "canary-other")),
		"identifiers": collection(joinKeys[0], joinKeys[1], joinKey("canary-other", "canary-join-key-id-1")),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, "double-blind", 1, map[string][]byte{"mp-plaintext-join-keys": data})
			w.mp.mustCron()
			w.refused(w.mp, "single-blind", true, "bad-input", "entries 0 and 2 have the same")
			if _, err := os.Stat(w.mp.private(w.today(), "mp-single-blinded-join-keys")); err == nil {
				t.Error("the output is there")
			}
		})
	}
}

func TestAnExchangeSurvivesABadInputIfTheManifestSaysSo(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "double-blind", 1, map[string][]byte{"mp-plaintext-join-keys": collection(joinKeys[0], joinKeys[0])})
	w.mp.set = append(w.mp.set, "run.retry.permanentFailures=retry")
	w.mp.mustCron()
	w.refused(w.mp, "single-blind", false, "bad-input", "have the same join key")
	w.rewrite(w.mp.private(w.today(), "mp-plaintext-join-keys"), collection(joinKeys...))
	w.cronUntilDone()
	checkDoubleBlind(t, w)
}
