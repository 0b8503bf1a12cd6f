package workflow_test

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/panelmatch/panelmatch/engine/workflow"
	"github.com/panelmatch/panelmatch/schema/diag"
	"github.com/panelmatch/panelmatch/schema/wire/batchpb"
	"github.com/panelmatch/panelmatch/schema/wire/internalpb"
)

type step = internalpb.ExchangeWorkflow_Step

// full returns the full sample as a message that a test may spoil.
func full(t *testing.T) *internalpb.ExchangeWorkflow {
	t.Helper()
	return sample(t, "full.textproto").Workflow.Proto()
}

func stepByID(t *testing.T, w *internalpb.ExchangeWorkflow, id string) *step {
	t.Helper()
	for _, s := range w.Steps {
		if s.StepId == id {
			return s
		}
	}
	t.Fatalf("there is no step %q", id)
	return nil
}

func lint(t *testing.T, w *internalpb.ExchangeWorkflow) diag.List {
	t.Helper()
	parsed, list := workflow.FromInternal(w)
	if parsed == nil {
		t.Fatalf("not even parsed:\n%s", diagText(list))
	}
	return append(list, parsed.Lint()...)
}

// spoils are single mistakes in the full sample, each with the diagnostics that it must give: all of them, and no
// others.
var spoils = []struct {
	name  string
	spoil func(t *testing.T, w *internalpb.ExchangeWorkflow)
	want  []string
}{
	{
		"empty step id", func(t *testing.T, w *internalpb.ExchangeWorkflow) { stepByID(t, w, "double-blind").StepId = "" },
		[]string{`error missing steps[21].stepId: step 21 has no id`},
	},
	{"step id twice", func(t *testing.T, w *internalpb.ExchangeWorkflow) {
		stepByID(t, w, "double-blind").StepId = "single-blind"
	}, []string{`error duplicate steps[21].stepId: steps 17 and 21 are both called "single-blind"`}},
	{"step id that leaves its directory", func(t *testing.T, w *internalpb.ExchangeWorkflow) {
		stepByID(t, w, "double-blind").StepId = "../x"
	}, []string{`error bad-value steps[21].stepId: step id "../x" has the path segment ".."`}},
	{"label that nobody writes", func(t *testing.T, w *internalpb.ExchangeWorkflow) {
		stepByID(t, w, "single-blind").InputLabels["encryption-key"] = "mp-comutative-deterministic-key"
	}, []string{`error missing steps[17].inputLabels."encryption-key": step "single-blind" reads label "mp-comutative-deterministic-key", which no step writes; did you mean mp-commutative-deterministic-key?`}},
	{"label written twice", func(t *testing.T, w *internalpb.ExchangeWorkflow) {
		stepByID(t, w, "input-plaintext-join-keys").OutputLabels["input"] = "edp-hkdf-pepper"
	}, []string{
		`error duplicate steps[14].outputLabels.input: label "edp-hkdf-pepper" is written by step "input-hkdf-pepper" and by step "input-plaintext-join-keys"`,
		`error missing steps[17].inputLabels."unencrypted-data"`,
		`error missing steps[39].inputLabels."plaintext-join-keys-to-id-map"`,
	}},
	{"producer comes later", func(_ *testing.T, w *internalpb.ExchangeWorkflow) {
		w.Steps[25], w.Steps[26], w.Steps[27] = w.Steps[26], w.Steps[27], w.Steps[25]
	}, []string{`error rule steps[26].inputLabels."lookup-keys": step "prepare-event-lookup-queries" reads label "mp-lookup-keys", which step "generate-lookup-keys-step" writes only later`}},
	{"circle", func(t *testing.T, w *internalpb.ExchangeWorkflow) {
		stepByID(t, w, "single-blind").InputLabels["unencrypted-data"] = "mp-decrypted-join-keys"
	}, []string{`error cycle steps[17].inputLabels: steps wait for each other: "single-blind" reads "mp-decrypted-join-keys" from ` +
		`"remove-blinding" reads "mp-double-blinded-join-keys" from "import-double-blinded-join-keys" reads "double-blinded-join-keys" from ` +
		`"export-double-blinded-join-keys" reads "edp-double-blinded-join-keys" from "double-blind" reads "edp-single-blinded-join-keys-audit-trail" from ` +
		`"validate-single-blinded-join-keys" reads "edp-single-blinded-join-keys" from "import-single-blinded-join-keys" reads "single-blinded-join-keys" from ` +
		`"export-single-blinded-join-keys" reads "mp-single-blinded-join-keys" from "single-blind"`}},
	{"private blob of the other party", func(t *testing.T, w *internalpb.ExchangeWorkflow) {
		stepByID(t, w, "double-blind").InputLabels["encrypted-data"] = "mp-single-blinded-join-keys"
	}, []string{`error rule steps[21].inputLabels."encrypted-data": step "double-blind" of DATA_PROVIDER reads label "mp-single-blinded-join-keys", which is private to MODEL_PROVIDER`}},
	{"shared blob read without import", func(t *testing.T, w *internalpb.ExchangeWorkflow) {
		stepByID(t, w, "double-blind").InputLabels["encrypted-data"] = "single-blinded-join-keys"
	}, []string{`error rule steps[21].inputLabels."encrypted-data": step "double-blind" reads label "single-blinded-join-keys", which step "export-single-blinded-join-keys" writes to shared storage`}},
	{"import of a private blob", func(t *testing.T, w *internalpb.ExchangeWorkflow) {
		stepByID(t, w, "import-single-blinded-join-keys").InputLabels["single-blinded-join-keys"] = "mp-single-blinded-join-keys"
	}, []string{
		`warning risk steps[18].outputLabels: step "export-single-blinded-join-keys" exports label "single-blinded-join-keys", which nobody imports`,
		`error rule steps[19].inputLabels."single-blinded-join-keys": step "import-single-blinded-join-keys" imports label "mp-single-blinded-join-keys", which step "single-blind" writes to private storage`,
	}},
	{"import of one's own export", func(t *testing.T, w *internalpb.ExchangeWorkflow) {
		stepByID(t, w, "import-compression-parameters").InputLabels["compression-parameters"] = "encrypted-queries"
	}, []string{
		`warning risk steps[34].outputLabels`,
		`error rule steps[35].inputLabels."compression-parameters": step "import-compression-parameters" imports label "encrypted-queries", which its own party exports`,
		`error graph steps[39].inputLabels."compression-parameters": input "compression-parameters" of step "decrypt-encrypted-query-results" needs CompressionParameters, but label "mp-compression-parameters" holds records of EncryptedQueryBundle`,
	}},
	{"manifest copied as one blob", func(t *testing.T, w *internalpb.ExchangeWorkflow) {
		stepByID(t, w, "export-encrypted-queries").GetCopyToSharedStorageStep().CopyOptions.LabelType = internalpb.ExchangeWorkflow_Step_CopyOptions_BLOB
	}, []string{
		`error rule steps[30].inputLabels."encrypted-queries": step "export-encrypted-queries" copies label "mp-encrypted-queries" as BLOB, but it is a manifest`,
		`error rule steps[31].inputLabels."encrypted-queries": step "import-encrypted-queries" copies label "encrypted-queries" as MANIFEST, but step "export-encrypted-queries" exports it as BLOB`,
	}},
	{"blob copied as manifest", func(t *testing.T, w *internalpb.ExchangeWorkflow) {
		stepByID(t, w, "export-serialized-rlwe-public-key").GetCopyToSharedStorageStep().CopyOptions.LabelType = internalpb.ExchangeWorkflow_Step_CopyOptions_MANIFEST
		stepByID(t, w, "import-serialized-rlwe-public-key").GetCopyFromSharedStorageStep().CopyOptions.LabelType = internalpb.ExchangeWorkflow_Step_CopyOptions_MANIFEST
	}, []string{
		`error rule steps[28].inputLabels."serialized-rlwe-public-key": step "export-serialized-rlwe-public-key" copies label "mp-serialized-rlwe-public-key" as MANIFEST, but it is one blob`,
		`error rule steps[29].inputLabels."serialized-rlwe-public-key"`,
	}},
	{"private key exported", func(t *testing.T, w *internalpb.ExchangeWorkflow) {
		stepByID(t, w, "export-serialized-rlwe-public-key").InputLabels["serialized-rlwe-public-key"] = "mp-serialized-rlwe-private-key"
	}, []string{
		`error rule steps[28].inputLabels: step "export-serialized-rlwe-public-key" exports label "mp-serialized-rlwe-private-key", which holds private_membership.batch.PrivateKey of MODEL_PROVIDER`,
		`error graph steps[36].inputLabels."serialized-rlwe-public-key": input "serialized-rlwe-public-key" of step "execute-encrypted-queries" needs private_membership.batch.PublicKey, but label "edp-serialized-rlwe-public-key" holds private_membership.batch.PrivateKey`,
	}},
	{"decrypted pepper exported", func(t *testing.T, w *internalpb.ExchangeWorkflow) {
		stepByID(t, w, "export-single-blinded-join-keys").InputLabels["single-blinded-join-keys"] = "mp-hkdf-pepper"
	}, []string{`warning risk steps[18].inputLabels: step "export-single-blinded-join-keys" exports label "mp-hkdf-pepper", which holds private data of MODEL_PROVIDER`}},
	{"wrong content", func(t *testing.T, w *internalpb.ExchangeWorkflow) {
		stepByID(t, w, "generate-lookup-keys-step").InputLabels["join-keys"] = "mp-encrypted-hkdf-pepper"
	}, []string{`error graph steps[25].inputLabels."join-keys": input "join-keys" of step "generate-lookup-keys-step" needs JoinKeyAndIdCollection, but label "mp-encrypted-hkdf-pepper" holds hybrid ciphertext`}},
	{"misspelt input", func(t *testing.T, w *internalpb.ExchangeWorkflow) {
		s := stepByID(t, w, "double-blind")
		s.InputLabels["encryption_key"] = s.InputLabels["encryption-key"]
		delete(s.InputLabels, "encryption-key")
	}, []string{`error missing steps[21].inputLabels."encryption-key": step "double-blind" (CommutativeDeterministicReEncrypt) lacks input "encryption-key"; hint: it has "encryption_key": perhaps misspelt`}},
	{"further input", func(t *testing.T, w *internalpb.ExchangeWorkflow) {
		stepByID(t, w, "double-blind").InputLabels["wait-for"] = "edp-hkdf-pepper"
	}, []string{`warning unknown-setting steps[21].inputLabels."wait-for": step "double-blind" (CommutativeDeterministicReEncrypt) does not read input "wait-for": it only waits for label "edp-hkdf-pepper"`}},
	{"input where there is none", func(t *testing.T, w *internalpb.ExchangeWorkflow) {
		stepByID(t, w, "generate-commutative-deterministic-key").InputLabels = map[string]string{"x": "mp-hkdf-pepper"}
	}, []string{`error rule steps[13].inputLabels: step "generate-commutative-deterministic-key" (GenerateCommutativeDeterministicKey) has inputs: x; none are allowed`}},
	{"unknown output", func(t *testing.T, w *internalpb.ExchangeWorkflow) {
		stepByID(t, w, "double-blind").OutputLabels["log"] = "edp-log"
	}, []string{`error unknown-setting steps[21].outputLabels.log: step "double-blind" (CommutativeDeterministicReEncrypt) has no output "log"; it has reencrypted-data`}},
	{"two labels in one copy", func(t *testing.T, w *internalpb.ExchangeWorkflow) {
		stepByID(t, w, "export-compression-parameters").InputLabels["more"] = "edp-hkdf-pepper"
	}, []string{`error rule steps[34].inputLabels: step "export-compression-parameters" (CopyToSharedStorage) has 2 inputs; exactly one is allowed`}},
	{"file count unset", func(t *testing.T, w *internalpb.ExchangeWorkflow) {
		stepByID(t, w, "decrypt-encrypted-query-results").GetDecryptPrivateMembershipQueryResultsStep().DecryptEventDataSetFileCount = 0
	}, []string{`error bad-value steps[39].decryptPrivateMembershipQueryResultsStep.decryptEventDataSetFileCount: decryptEventDataSetFileCount of step "decrypt-encrypted-query-results" is 0; at least 1 is allowed`}},
	{"file count absurd", func(t *testing.T, w *internalpb.ExchangeWorkflow) {
		stepByID(t, w, "decrypt-encrypted-query-results").GetDecryptPrivateMembershipQueryResultsStep().DecryptEventDataSetFileCount = 1 << 30
	}, []string{`error bad-value steps[39].decryptPrivateMembershipQueryResultsStep.decryptEventDataSetFileCount: decryptEventDataSetFileCount of step "decrypt-encrypted-query-results" is 1073741824; at most 100000`}},
	{"no padding bucket", func(t *testing.T, w *internalpb.ExchangeWorkflow) {
		stepByID(t, w, "prepare-event-lookup-queries").GetBuildPrivateMembershipQueriesStep().BucketsPerShard = 11
		stepByID(t, w, "execute-encrypted-queries").GetExecutePrivateMembershipQueriesStep().BucketsPerShard = 11
	}, []string{
		`error rule steps[27].buildPrivateMembershipQueriesStep.bucketsPerShard: step "prepare-event-lookup-queries" has 11 buckets per shard, and 11 in its parameters; 12 is allowed there`,
		`error rule steps[36].executePrivateMembershipQueriesStep.bucketsPerShard`,
	}},
	{"parties cut differently", func(t *testing.T, w *internalpb.ExchangeWorkflow) {
		q := stepByID(t, w, "execute-encrypted-queries").GetExecutePrivateMembershipQueriesStep()
		q.ShardCount = 2
		q.Parameters = changed(t, q.Parameters, func(p *batchpb.Parameters) { p.ShardParameters.NumberOfShards = 2 })
	}, []string{
		`error rule steps[36].executePrivateMembershipQueriesStep.parameters: step "generate-serialized-rlwe-key-pair" and step "execute-encrypted-queries" have different shard_parameters`,
		`error rule steps[36].executePrivateMembershipQueriesStep: step "prepare-event-lookup-queries" has 1 shards of 10 buckets, but step "execute-encrypted-queries" has 2 shards of 10 buckets`,
	}},
	{"other lattice parameters", func(t *testing.T, w *internalpb.ExchangeWorkflow) {
		q := stepByID(t, w, "decrypt-encrypted-query-results").GetDecryptPrivateMembershipQueryResultsStep()
		q.Parameters = changed(t, q.Parameters, func(p *batchpb.Parameters) { p.CryptoParameters.LogT = 2 })
	}, []string{`error rule steps[39].decryptPrivateMembershipQueryResultsStep.parameters: step "generate-serialized-rlwe-key-pair" and step "decrypt-encrypted-query-results" have different crypto_parameters`}},
	{"padded beyond the limit", func(t *testing.T, w *internalpb.ExchangeWorkflow) {
		stepByID(t, w, "prepare-event-lookup-queries").GetBuildPrivateMembershipQueriesStep().QueriesPerShard = 11
	}, []string{`error rule steps[36].executePrivateMembershipQueriesStep.maxQueriesPerShard: step "prepare-event-lookup-queries" pads to 11 queries per shard, but step "execute-encrypted-queries" refuses more than 10`}},
	{"parameters of another type", func(t *testing.T, w *internalpb.ExchangeWorkflow) {
		other, err := anypb.New(&batchpb.PublicKey{})
		if err != nil {
			t.Fatal(err)
		}
		stepByID(t, w, "generate-serialized-rlwe-key-pair").GetGenerateSerializedRlweKeyPairStep().Parameters = other
	}, []string{`error bad-value steps[26].generateSerializedRlweKeyPairStep.parameters: parameters of step "generate-serialized-rlwe-key-pair" hold "type.googleapis.com/private_membership.batch.PublicKey", or are damaged; private_membership.batch.Parameters is allowed`}},
	{"no parameters", func(t *testing.T, w *internalpb.ExchangeWorkflow) {
		stepByID(t, w, "generate-serialized-rlwe-key-pair").GetGenerateSerializedRlweKeyPairStep().Parameters = nil
	}, []string{`error missing steps[26].generateSerializedRlweKeyPairStep.parameters`}},
	{"label of a done marker", func(t *testing.T, w *internalpb.ExchangeWorkflow) {
		stepByID(t, w, "generate-lookup-keys-step").OutputLabels["lookup-keys"] = "done-tasks/x"
		stepByID(t, w, "prepare-event-lookup-queries").InputLabels["lookup-keys"] = "done-tasks/x"
	}, []string{
		`error bad-value steps[25].outputLabels."lookup-keys": label "done-tasks/x" of step "generate-lookup-keys-step" is where done markers are kept`,
		`error bad-value steps[27].inputLabels."lookup-keys"`,
	}},
	{"shared label among checkpoints", func(t *testing.T, w *internalpb.ExchangeWorkflow) {
		stepByID(t, w, "export-compression-parameters").OutputLabels["compression-parameters"] = "checkpoints/mp-checkpoint"
		stepByID(t, w, "import-compression-parameters").InputLabels["compression-parameters"] = "checkpoints/mp-checkpoint"
	}, []string{`error bad-value steps[34].outputLabels."compression-parameters": shared label "checkpoints/mp-checkpoint" is where checkpoints and certificates are kept`}},
	{"sharded label with a slash", func(t *testing.T, w *internalpb.ExchangeWorkflow) {
		stepByID(t, w, "prepare-event-lookup-queries").OutputLabels["encrypted-queries"] = "mp/queries"
		stepByID(t, w, "export-encrypted-queries").InputLabels["encrypted-queries"] = "mp/queries"
	}, []string{`error bad-value steps[27].outputLabels."encrypted-queries": label "mp/queries" of step "prepare-event-lookup-queries" names shards; letters, digits and _ . - are allowed`}},
	{"label named as a shard", func(t *testing.T, w *internalpb.ExchangeWorkflow) {
		stepByID(t, w, "execute-encrypted-queries").OutputLabels["padding-nonces"] = "mp-encrypted-queries-0-of-1"
	}, []string{`error rule steps[36].outputLabels."padding-nonces": label "mp-encrypted-queries-0-of-1" of step "execute-encrypted-queries" is also the name of a shard that step "prepare-event-lookup-queries" writes`}},
	{"step of the other party", func(t *testing.T, w *internalpb.ExchangeWorkflow) {
		stepByID(t, w, "generate-blob-encryption-key-pair-step").Party = internalpb.ExchangeWorkflow_DATA_PROVIDER
	}, []string{
		`warning risk steps[0].party: step "generate-blob-encryption-key-pair-step" (GenerateHybridEncryptionKeyPair) is usually a step of MODEL_PROVIDER`,
		`error rule steps[1].inputLabels."blob-encryption-public-key"`, `error rule steps[7].inputLabels."private-key-handle"`,
		`error rule steps[12].inputLabels."private-key-handle"`,
	}},
	{"no schedule, date or parties", func(_ *testing.T, w *internalpb.ExchangeWorkflow) {
		w.RepetitionSchedule, w.FirstExchangeDate = nil, nil
		w.ExchangeIdentifiers.DataProviderId, w.ExchangeIdentifiers.ModelProviderId = "", "modelProviders/mp1"
	}, []string{
		`error missing exchangeIdentifiers.dataProviderId: the party has no id`,
		`error bad-value exchangeIdentifiers.modelProviderId: id "modelProviders/mp1" has a slash`,
		`error missing firstExchangeDate: the date of the first exchange is missing`,
		`error bad-value repetitionSchedule.cronExpression: schedule "" is not supported; @daily, @weekly, @monthly and @yearly are allowed`,
	}},
	{"no steps", func(_ *testing.T, w *internalpb.ExchangeWorkflow) { w.Steps = nil }, []string{`error missing steps: there are no steps`}},
}

func changed(t *testing.T, packed *anypb.Any, change func(*batchpb.Parameters)) *anypb.Any {
	t.Helper()
	p := &batchpb.Parameters{}
	if err := packed.UnmarshalTo(p); err != nil {
		t.Fatal(err)
	}
	change(p)
	again, err := anypb.New(p)
	if err != nil {
		t.Fatal(err)
	}
	return again
}

func TestLintFindsEachMistakeAndNothingElse(t *testing.T) {
	for _, tc := range spoils {
		t.Run(tc.name, func(t *testing.T) {
			w := full(t)
			tc.spoil(t, w)
			checkDiagnostics(t, lint(t, w), tc.want)
		})
	}
}

func checkDiagnostics(t *testing.T, got diag.List, want []string) {
	t.Helper()
	lines := strings.Split(strings.TrimSpace(diagText(got)), "\n")
	if len(got) == 0 {
		lines = nil
	}
	for i := range max(len(lines), len(want)) {
		switch {
		case i >= len(lines):
			t.Errorf("missing: %s", want[i])
		case i >= len(want):
			t.Errorf("unexpected: %s", lines[i])
		case !strings.HasPrefix(withoutHint(lines[i]), withoutHint(want[i])) && !strings.HasPrefix(lines[i], want[i]):
			t.Errorf("got:  %s\nwant: %s", lines[i], want[i])
		}
	}
}

func withoutHint(line string) string {
	before, _, _ := strings.Cut(line, "; hint: ")
	return before
}

// What Lint accepts means the same under both rule sets.
func TestBothRuleSetsAgreeOnWhatLintAccepts(t *testing.T) {
	for name := range sampleNames {
		w := sample(t, name+".textproto").Workflow
		kingdom, err := workflow.KingdomGraph(w)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		checkpoint, err := workflow.CheckpointGraph(w)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for i := range w.Steps {
			if fmt.Sprint(kingdom.Prerequisites(i)) != fmt.Sprint(checkpoint.Prerequisites(i)) {
				t.Errorf("%s step %d: Kingdom %v, without %v", name, i, kingdom.Prerequisites(i), checkpoint.Prerequisites(i))
			}
		}
	}
	for _, tc := range spoils {
		w := full(t)
		tc.spoil(t, w)
		parsed, list := workflow.FromInternal(w)
		if parsed == nil || parsed.Lint().HasErrors() || list.HasErrors() {
			continue
		}
		if _, err := workflow.KingdomGraph(parsed); err != nil {
			t.Errorf("%s: %v", tc.name, err)
		}
		if _, err := workflow.CheckpointGraph(parsed); err != nil {
			t.Errorf("%s: %v", tc.name, err)
		}
	}
}

func TestAuthorizedViewFlowIsClean(t *testing.T) {
	received := []byte(authorizedView)
	d, list := workflow.Parse(received, workflow.ParseOptions{Name: "authorized-view.yaml"})
	list = append(list, d.Lint()...)
	// The step that reads BigQuery reads no blob: its input is there to make it wait.
	checkDiagnostics(t, list, []string{
		`warning unknown-setting authorized-view.yaml:85:7: steps[15].inputLabels.written: step "read-events" (ReadEncryptedEventsFromBigQuery) does not read input "written": it only waits for label "mp-events-status"`,
	})
	if _, list := workflow.ToV2Alpha(d.Workflow); !list.HasErrors() || !strings.Contains(diagText(list), `step "preprocess" is of the authorized-view flow`) {
		t.Errorf("converted to the Kingdom's schema, which lacks these steps:\n%s", diagText(list))
	}
}

func TestCopyFromPreviousExchangeMayReadWhatComesLater(t *testing.T) {
	w := full(t)
	s := stepByID(t, w, "input-previous-single-blinded-join-keys")
	s.Step = &internalpb.ExchangeWorkflow_Step_CopyFromPreviousExchangeStep_{CopyFromPreviousExchangeStep: &internalpb.ExchangeWorkflow_Step_CopyFromPreviousExchangeStep{}}
	s.InputLabels = map[string]string{"input": "edp-single-blinded-join-keys"}
	checkDiagnostics(t, lint(t, w), []string{
		`warning risk steps[16].inputLabels.input: step "input-previous-single-blinded-join-keys" copies label "edp-single-blinded-join-keys" of the exchange before, which in this exchange is written later`,
	})
	s.InputLabels["input"] = "edp-keys-of-yesterday"
	checkDiagnostics(t, lint(t, w), []string{`warning risk steps[16].inputLabels.input: no step writes label "edp-keys-of-yesterday"`})
}

// A partner's workflow may be as wrong as it likes: looking at it takes little time and gives a bounded answer.
func TestLintOfAHugeMessIsBounded(t *testing.T) {
	w := full(t)
	w.Steps = nil
	for i := range workflow.MaxSteps {
		s := &step{
			StepId: fmt.Sprint("s", i), Party: internalpb.ExchangeWorkflow_MODEL_PROVIDER,
			InputLabels: map[string]string{}, OutputLabels: map[string]string{},
			Step: &internalpb.ExchangeWorkflow_Step_HybridEncryptStep_{HybridEncryptStep: &internalpb.ExchangeWorkflow_Step_HybridEncryptStep{}},
		}
		for j := range workflow.MaxLabels / 4 {
			s.InputLabels[strconv.Itoa(j)] = fmt.Sprint("label-", (i*7+j*13)%workflow.MaxSteps, "-", j)
			s.OutputLabels[strconv.Itoa(j)] = fmt.Sprint("label-", i, "-", j)
		}
		w.Steps = append(w.Steps, proto.CloneOf(s))
	}
	list := lint(t, w)
	if n := len(list); n < 100 || n > 600 {
		t.Errorf("%d diagnostics", n)
	}
	w.Steps = append(w.Steps, w.Steps[0])
	if parsed, _ := workflow.FromInternal(w); parsed != nil {
		t.Error("more steps than the bound were accepted")
	}
}
