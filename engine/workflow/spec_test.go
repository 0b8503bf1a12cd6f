package workflow_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/panelmatch/panelmatch/engine/workflow"
	"github.com/panelmatch/panelmatch/schema/manifest"
)

func TestStepTableHasEveryStepTypeOfTheWire(t *testing.T) {
	rows := map[workflow.Kind]int{}
	for _, spec := range workflow.Specs() {
		rows[spec.Kind]++
		if spec.Work == "" || len(spec.Outputs) == 0 {
			t.Errorf("%s: incomplete row", spec.Kind)
		}
		if spec.Rule == workflow.NoInputs && len(spec.Inputs) > 0 {
			t.Errorf("%s takes no inputs, but lists some", spec.Kind)
		}
	}
	for _, kind := range workflow.Kinds() {
		want := 1
		if kind == workflow.PreprocessEvents {
			want = 2
		}
		if rows[kind] != want || kind.Field() == "" {
			t.Errorf("%s: %d rows, want %d", kind, rows[kind], want)
		}
	}
}

func TestStepTable(t *testing.T) {
	var b strings.Builder
	for _, spec := range workflow.Specs() {
		name := spec.Kind.String()
		if spec.AuthorizedView {
			name += " (authorized view)"
		}
		party := "either party"
		switch spec.Party {
		case manifest.ModelProvider:
			party = "model provider"
		case manifest.DataProvider:
			party = "data provider"
		}
		fmt.Fprintf(&b, "%d %s: %s, %s%s\n", int32(spec.Kind), name, party, spec.Work, map[workflow.InputRule]string{
			workflow.NoInputs: ", no inputs", workflow.OneInput: ", one input under any key",
			workflow.OneInputAndCertificate: ", one input under any key, and perhaps " + workflow.CertificateLabel,
		}[spec.Rule])
		write := func(side string, labels []workflow.Label) {
			for _, l := range labels {
				key := l.Key
				if key == "" {
					key = "(any key)"
				}
				fmt.Fprintf(&b, "   %s %s", side, key)
				if l.Optional {
					b.WriteString(" optional")
				}
				if l.Content != workflow.Anything {
					fmt.Fprintf(&b, ": %s", l.Content)
				}
				if l.Sharded {
					b.WriteString(", sharded")
				}
				b.WriteString([]string{"", ", sensitive", ", secret"}[l.Exposure])
				b.WriteByte('\n')
			}
		}
		write("in ", spec.Inputs)
		write("out", spec.Outputs)
	}
	compareGolden(t, "steps.txt", b.String())
}
