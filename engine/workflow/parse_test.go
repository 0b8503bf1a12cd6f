package workflow_test

import (
	"bytes"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/panelmatch/panelmatch/engine/workflow"
	"github.com/panelmatch/panelmatch/schema/manifest"
	"github.com/panelmatch/panelmatch/schema/wire/internalpb"
	"github.com/panelmatch/panelmatch/schema/wire/v2alpha"
)

// What is wrong with each text, at which line.
func TestParseFaultsOfText(t *testing.T) {
	const ids = "exchange_identifiers { data_provider: \"dataProviders/a\" model_provider: \"modelProviders/b\" shared_storage_owner: DATA_PROVIDER }\n"
	for _, tc := range []struct {
		name, file, text string
		want             []string
	}{
		{"empty", "w.textproto", "", []string{"error syntax w.textproto: the workflow is empty; hint: say which format it is"}},
		{"prose", "w", "hello world", []string{"error syntax w: can't tell the format"}},
		{
			"unknown field", "w.textproto", ids + "steps {\n  step_id: \"a\"\n  partty: DATA_PROVIDER\n}\n",
			[]string{"error unknown-setting w.textproto:4:3: unknown field: partty; did you mean party?"},
		},
		{"unbalanced", "w.textproto", ids + "steps {\n", []string{"error syntax w.textproto: "}},
		{"enum value", "w.textproto", ids + "steps { party: NOBODY }\n", []string{"error syntax w.textproto:2:16: invalid value for enum type: NOBODY"}},
		{
			"Any of a type that does not belong", "w.textproto", ids + "steps { step_id: \"a\" generate_serialized_rlwe_key_pair_step { parameters { [type.googleapis.com/google.type.Date] { year: 1 } } } }\n",
			[]string{"error syntax w.textproto:2:76: unable to resolve"},
		},
		{"no step type, no party", "w.textproto", ids + "\nsteps {\n  step_id: \"a\"\n}\n", []string{
			`error bad-value w.textproto:3:1: steps[0].party: step "a" has party PARTY_UNSPECIFIED; MODEL_PROVIDER or DATA_PROVIDER are allowed`,
			`error missing w.textproto:3:1: steps[0]: step "a" has no step type that this program knows; hint: set exactly one of the ..._step fields`,
		}},
		{"label type", "w.textproto", ids + "steps { step_id: \"a\" party: DATA_PROVIDER copy_to_shared_storage_step {} }\n", []string{
			`error bad-value w.textproto:2:1: steps[0].copyToSharedStorageStep.copyOptions.labelType: step "a" has label type LABEL_TYPE_UNSPECIFIED; BLOB or MANIFEST are allowed`,
		}},
		{"resource names", "w.textproto", "exchange_identifiers { data_provider: \"a\" model_provider: \"modelProviders/\" }", []string{
			`error bad-value w.textproto: exchangeIdentifiers.dataProvider: "a" is no resource name; dataProviders/<id> is allowed`,
			`error bad-value w.textproto: exchangeIdentifiers.modelProvider: "modelProviders/" is no resource name; modelProviders/<id> is allowed`,
			`error bad-value w.textproto: exchangeIdentifiers.sharedStorageOwner: shared storage owner is PARTY_UNSPECIFIED`,
		}},
		{"no identifiers", "w.textproto", "first_exchange_date { year: 2024 month: 13 day: 1 }", []string{
			`error bad-value w.textproto: firstExchangeDate: year 2024 month 13 day 1 is no day of the calendar`,
			`error missing w.textproto: exchangeIdentifiers: exchange identifiers are missing`,
		}},
		{"JSON", "w.json", "{\n  \"steps\": [{\"stepId\": \"a\", \"prty\": 1}]\n}", []string{"error unknown-setting w.json:2:29: unknown field \"prty\"; did you mean party?"}},
		{"JSON step", "w.json", "{\"exchangeIdentifiers\": {\"sharedStorageOwner\": 1},\n\"steps\": [\n  {\"stepId\": \"a\", \"party\": 1}]}", []string{
			`error missing w.json:3:3: steps[0]: step "a" has no step type`,
		}},
		{"YAML syntax", "w.yaml", "steps:\n  - a: [\n", []string{"error syntax w.yaml"}},
		{"YAML key twice", "w.yaml", "steps: []\nsteps: []\n", []string{`error duplicate w.yaml:2:1: key "steps" is given twice`}},
		{"YAML unknown field", "w.yaml", "steps:\n  - stepId: a\n    prty: DATA_PROVIDER\n", []string{`error unknown-setting w.yaml:3:5: steps[0].prty: unknown field "prty"; did you mean party?`}},
		{"YAML wrong type", "w.yaml", "steps:\n  - stepId: [a]\n", []string{`error syntax w.yaml:2:5: steps[0].stepId: invalid value for string field stepId: [`}},
		{"CUE not concrete", "w.cue", "steps: []\nrepetitionSchedule: cronExpression: string\n", []string{`error syntax w.cue:2:37: repetitionSchedule.cronExpression: incomplete value string`}},
		{"CUE conflict", "w.cue", "steps: []\nsteps: 1\n", []string{`error syntax w.cue:1:8: steps: conflicting values`}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			d, list := workflow.Parse([]byte(tc.text), workflow.ParseOptions{Name: tc.file})
			if d.Workflow != nil {
				t.Error("a workflow came out all the same")
			}
			checkDiagnostics(t, list, tc.want)
		})
	}
}

func TestParseRefusesHugeBytes(t *testing.T) {
	for _, format := range append(workflow.Formats(), workflow.Auto) {
		d, list := workflow.Parse(bytes.Repeat([]byte(" "), workflow.MaxBytes+1), workflow.ParseOptions{Format: format})
		if d.Workflow != nil || len(list) != 1 || !strings.Contains(list[0].Message, "larger than 1048576 bytes") {
			t.Errorf("%s: %s", format, diagText(list))
		}
	}
	many := bytes.Repeat([]byte{0x0a, 0x00}, workflow.MaxSteps+1)
	if _, list := workflow.Parse(many, workflow.ParseOptions{Format: workflow.InternalBinary}); !strings.Contains(diagText(list), "at most 1000 are allowed") {
		t.Errorf("many steps: %s", diagText(list))
	}
}

func TestParseRefusesAnUnknownFormat(t *testing.T) {
	if _, list := workflow.Parse([]byte("x"), workflow.ParseOptions{Format: "xml"}); !strings.Contains(diagText(list), `"xml" is no workflow format`) {
		t.Error(diagText(list))
	}
}

func TestConversionFromTheKingdomsSchema(t *testing.T) {
	message := &v2alpha.ExchangeWorkflow{
		ExchangeIdentifiers: &v2alpha.ExchangeWorkflow_ExchangeIdentifiers{
			DataProvider: "dataProviders/AAAAAAAAAHs", ModelProvider: "modelProviders/b",
			SharedStorageOwner: v2alpha.ExchangeWorkflow_MODEL_PROVIDER, Storage: v2alpha.ExchangeWorkflow_AMAZON_S3,
		},
		RepetitionSchedule: &v2alpha.ExchangeWorkflow_Schedule{CronExpression: "@weekly"},
		Steps: []*v2alpha.ExchangeWorkflow_Step{{
			StepId: "p", Party: v2alpha.ExchangeWorkflow_DATA_PROVIDER,
			Step: &v2alpha.ExchangeWorkflow_Step_PreprocessEventsStep_{PreprocessEventsStep: &v2alpha.ExchangeWorkflow_Step_PreprocessEventsStep{}},
		}},
	}
	w, list := workflow.FromV2Alpha(message)
	if len(list) > 0 {
		t.Fatal(diagText(list))
	}
	want := workflow.Identifiers{DataProvider: "AAAAAAAAAHs", ModelProvider: "b", SharedStorageOwner: manifest.ModelProvider, Storage: workflow.S3}
	if w.Identifiers != want || w.Schedule != workflow.Weekly || !w.FirstExchangeDate.IsZero() {
		t.Errorf("got %+v %s %s", w.Identifiers, w.Schedule, w.FirstExchangeDate)
	}
	if s := w.Steps[0]; s.Kind != workflow.PreprocessEvents || s.AuthorizedView || s.Party != manifest.DataProvider {
		t.Errorf("step %+v", s)
	}
	// A storage type of the future is as good as none, as in the reference.
	message.ExchangeIdentifiers.Storage = 7
	if w, list := workflow.FromV2Alpha(message); list.HasErrors() || w.Identifiers.Storage != workflow.OtherStorage {
		t.Errorf("storage type 7: %s", diagText(list))
	}
}

// A step type that the Kingdom's schema lacks must not come to life in the internal one, which has its number.
func TestStepTypesOfTheFutureAreNotRun(t *testing.T) {
	d := sample(t, "mini.textproto")
	binary, err := d.Encode(workflow.V2AlphaBinary)
	if err != nil {
		t.Fatal(err)
	}
	var future []byte
	future = protowire.AppendTag(future, 1, protowire.BytesType)
	future = protowire.AppendString(future, "f")
	future = protowire.AppendTag(future, 2, protowire.VarintType)
	future = protowire.AppendVarint(future, 1)
	future = protowire.AppendTag(future, 27, protowire.BytesType)
	future = protowire.AppendBytes(future, nil)
	binary = protowire.AppendTag(binary, 1, protowire.BytesType)
	binary = protowire.AppendBytes(binary, future)
	_, list := workflow.Parse(binary, workflow.ParseOptions{Format: workflow.V2AlphaBinary})
	checkDiagnostics(t, list, []string{
		`warning unknown-setting the workflow has 3 bytes of fields that this program does not know`,
		`error missing steps[4]: step "f" has no step type that this program knows; hint: its field 27 may be a step type of a newer version`,
	})
}

func TestUnknownFieldsAreReported(t *testing.T) {
	binary, err := sample(t, "mini.textproto").Encode(workflow.InternalBinary)
	if err != nil {
		t.Fatal(err)
	}
	binary = protowire.AppendTag(binary, 99, protowire.VarintType)
	binary = protowire.AppendVarint(binary, 1)
	d, list := workflow.Parse(binary, workflow.ParseOptions{Format: workflow.InternalBinary})
	if d.Workflow == nil {
		t.Error("an unknown field voids the workflow")
	}
	checkDiagnostics(t, list, []string{`warning unknown-setting the workflow has 3 bytes of fields that this program does not know`})
}

func TestDetectTellsBinarySchemasApart(t *testing.T) {
	own := func(ids *internalpb.ExchangeWorkflow_ExchangeIdentifiers) []byte {
		b, err := proto.Marshal(&internalpb.ExchangeWorkflow{ExchangeIdentifiers: ids, Steps: []*internalpb.ExchangeWorkflow_Step{{Party: 1}}})
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	public := func(ids *v2alpha.ExchangeWorkflow_ExchangeIdentifiers) []byte {
		b, err := proto.Marshal(&v2alpha.ExchangeWorkflow{ExchangeIdentifiers: ids, Steps: []*v2alpha.ExchangeWorkflow_Step{{Party: 1}}})
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	for _, tc := range []struct {
		name  string
		bytes []byte
		want  workflow.Format
	}{
		{"internal", own(&internalpb.ExchangeWorkflow_ExchangeIdentifiers{DataProviderId: "a", ModelProviderId: "b", SharedStorageOwner: 2, Storage: 1}), workflow.InternalBinary},
		{"internal, owner only", own(&internalpb.ExchangeWorkflow_ExchangeIdentifiers{SharedStorageOwner: 2}), workflow.InternalBinary},
		{"v2alpha", public(&v2alpha.ExchangeWorkflow_ExchangeIdentifiers{DataProvider: "dataProviders/a", ModelProvider: "modelProviders/b", SharedStorageOwner: 1}), workflow.V2AlphaBinary},
		{"v2alpha, data provider only", public(&v2alpha.ExchangeWorkflow_ExchangeIdentifiers{DataProvider: "dataProviders/a"}), workflow.V2AlphaBinary},
		{"no identifiers", own(nil), workflow.Auto},
		{"damage", []byte{0xff, 0xfe, 0x00}, workflow.Auto},
	} {
		if got, why := workflow.Detect(tc.bytes, "workflow.yaml"); got != tc.want || (got == workflow.Auto) != (why != "") {
			t.Errorf("%s: %q (%s), want %q", tc.name, got, why, tc.want)
		}
	}
}

func TestDetectTellsTextsApart(t *testing.T) {
	for _, tc := range []struct {
		name, text string
		want       workflow.Format
	}{
		{"", "# comment\nsteps {\n}", workflow.V2AlphaText},
		{"", "# data_provider_id: in a comment\nexchange_identifiers { shared_storage_owner: 1 }", workflow.V2AlphaText},
		{"", "exchange_identifiers: < data_provider_id: 'a' >", workflow.InternalText},
		{"", "# proto-message: wfa.panelmatch.client.internal.ExchangeWorkflow\nmodel_provider_id: 'x'", workflow.InternalText},
		{"", "\ufeff {\"steps\": []}", workflow.JSON},
		{"", "// why\nsteps: [{}]", workflow.CUE},
		{"", "package x\nsteps: []", workflow.CUE},
		{"", "steps:\n  - stepId: a\n", workflow.YAML},
		{"", "---\nsteps: []\n", workflow.YAML},
		{"x.YML", "{}", workflow.YAML},
		{`C:\x.cue`, "{}", workflow.CUE},
		{"x.txtpb", "{}", workflow.V2AlphaText},
		{"", "42", workflow.Auto},
	} {
		if got, _ := workflow.Detect([]byte(tc.text), tc.name); got != tc.want {
			t.Errorf("%s %q: %q, want %q", tc.name, tc.text, got, tc.want)
		}
	}
}

func TestModel(t *testing.T) {
	w := sample(t, "full.cue").Workflow
	s, ok := w.Step("execute-encrypted-queries")
	if !ok || s.Index != 36 || s.Parameters.GetShardParameters().GetNumberOfBucketsPerShard() != 11 {
		t.Errorf("step %+v", s)
	}
	if _, ok := w.Step("nothing"); ok {
		t.Error("found a step that is not there")
	}
	if mp, dp := len(w.StepsOf(manifest.ModelProvider)), len(w.StepsOf(manifest.DataProvider)); mp+dp != 40 || mp == 0 || dp == 0 {
		t.Errorf("%d and %d steps", mp, dp)
	}
	if w.Identifiers.Partner(manifest.ModelProvider) != "edp1" || w.Identifiers.Partner(manifest.DataProvider) != "mp1" {
		t.Error("partners are wrong")
	}
	if got := strings.Join(s.InputLabels(), " "); got != "edp-encrypted-event-data edp-encrypted-queries edp-serialized-rlwe-public-key" {
		t.Errorf("labels %s", got)
	}
}
