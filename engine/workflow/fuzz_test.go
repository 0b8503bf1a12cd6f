package workflow_test

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/panelmatch/panelmatch/engine/workflow"
)

// seed adds small workflows in the given formats: with large ones the fuzzer spends its time on shrinking them.
func seed(f *testing.F, formats ...workflow.Format) {
	received, err := os.ReadFile(filepath.Join(samples, "full.textproto"))
	if err != nil {
		f.Fatal(err)
	}
	d, _ := workflow.Parse(received, workflow.ParseOptions{Format: workflow.V2AlphaText})
	for _, some := range [][]workflow.Step{d.Workflow.Steps[3:4], d.Workflow.Steps[4:7], d.Workflow.Steps[20:21], d.Workflow.Steps[26:27]} {
		small := *d.Workflow
		small.Steps = some
		for _, format := range formats {
			encoded, err := workflow.Encode(&small, format)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(encoded)
		}
	}
}

// check does with a document all that can be done with it.
func check(t *testing.T, received []byte, format workflow.Format) {
	t.Helper()
	d, list := workflow.Parse(received, workflow.ParseOptions{Format: format})
	if !bytes.Equal(d.Received, received) {
		t.Fatal("the received bytes changed")
	}
	if (d.Workflow == nil) != list.HasErrors() {
		t.Fatalf("workflow %t with diagnostics %v", d.Workflow != nil, list)
	}
	if d.Workflow == nil {
		return
	}
	clean := !d.Lint().HasErrors()
	_, kingdom := workflow.KingdomGraph(d.Workflow)
	if clean && kingdom != nil {
		t.Fatalf("lint accepts what a Kingdom refuses: %v", kingdom)
	}
	_, _ = workflow.CheckpointGraph(d.Workflow)
	for _, write := range []func(io.Writer) error{d.Workflow.WriteText, d.Workflow.WriteDOT, d.Workflow.WriteMermaid} {
		if err := write(io.Discard); err != nil {
			t.Fatal(err)
		}
	}
	encoded, err := workflow.Encode(d.Workflow, workflow.InternalBinary)
	if err != nil {
		return // strings that are no UTF-8 can't get here, but let Encode say so
	}
	again, list := workflow.Parse(encoded, workflow.ParseOptions{Format: workflow.InternalBinary})
	if len(encoded) <= workflow.MaxBytes && len(encoded) > 0 && again.Workflow == nil {
		t.Fatalf("does not parse again: %v", list)
	}
}

func FuzzParseBinary(f *testing.F) {
	seed(f, workflow.V2AlphaBinary, workflow.InternalBinary)
	f.Fuzz(func(t *testing.T, received []byte) {
		check(t, received, workflow.V2AlphaBinary)
		check(t, received, workflow.InternalBinary)
		workflow.Detect(received, "")
	})
}

func FuzzParseText(f *testing.F) {
	seed(f, workflow.V2AlphaText, workflow.InternalText)
	f.Fuzz(func(t *testing.T, received []byte) {
		check(t, received, workflow.V2AlphaText)
		check(t, received, workflow.InternalText)
	})
}

func FuzzParseJSON(f *testing.F) {
	seed(f, workflow.JSON, workflow.YAML)
	f.Fuzz(func(t *testing.T, received []byte) {
		check(t, received, workflow.JSON)
		check(t, received, workflow.YAML)
		workflow.Detect(received, "")
	})
}

func FuzzParseDate(f *testing.F) {
	f.Add("2024-02-29")
	f.Fuzz(func(t *testing.T, text string) {
		d, err := workflow.ParseDate(text)
		if err == nil && (d.String() != text || !d.IsValid()) {
			t.Errorf("%q became %s", text, d)
		}
	})
}
