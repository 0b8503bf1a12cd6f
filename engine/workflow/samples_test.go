package workflow_test

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/panelmatch/panelmatch/engine/workflow"
	"github.com/panelmatch/panelmatch/schema/diag"
)

var update = flag.Bool("update", false, "rewrite golden files")

const samples = "../../manifests/workflows"

// sampleNames are the workflows that are shipped, with their number of steps.
var sampleNames = map[string]int{"mini": 4, "double-blind": 10, "full": 40, "full-with-preprocessing": 42}

func sample(t *testing.T, file string) *workflow.Document {
	t.Helper()
	received, err := os.ReadFile(filepath.Join(samples, file))
	if err != nil {
		t.Fatal(err)
	}
	d, list := workflow.Parse(received, workflow.ParseOptions{Name: file})
	if len(list) > 0 {
		t.Fatalf("%s:\n%v", file, diagText(list))
	}
	return d
}

func diagText(list diag.List) string {
	var b strings.Builder
	for _, d := range list {
		b.WriteString(d.Severity.String() + " " + string(d.Code) + " " + d.Error())
		if d.DidYouMean != "" {
			b.WriteString("; did you mean " + d.DidYouMean + "?")
		}
		if d.Hint != "" {
			b.WriteString("; hint: " + d.Hint)
		}
		b.WriteByte('\n')
	}
	return b.String()
}

func TestSamplesAreCleanInBothForms(t *testing.T) {
	for name, steps := range sampleNames {
		text, cue := sample(t, name+".textproto"), sample(t, name+".cue")
		if text.Format != workflow.V2AlphaText || cue.Format != workflow.CUE {
			t.Errorf("%s: formats %s and %s", name, text.Format, cue.Format)
		}
		for _, d := range []*workflow.Document{text, cue} {
			if list := d.Lint(); len(list) > 0 {
				t.Errorf("%s:\n%s", d.Name, diagText(list))
			}
			if len(d.Workflow.Steps) != steps {
				t.Errorf("%s has %d steps, want %d", d.Name, len(d.Workflow.Steps), steps)
			}
		}
		if diff := gocmp.Diff(text.Workflow.Proto(), cue.Workflow.Proto(), protocmp.Transform()); diff != "" {
			t.Errorf("%s: text (-) and CUE (+) differ:\n%s", name, diff)
		}
	}
}

func TestEverySampleFileIsTested(t *testing.T) {
	entries, err := os.ReadDir(samples)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		name := strings.TrimSuffix(e.Name(), filepath.Ext(e.Name()))
		if sampleNames[name] == 0 && e.Name() != "README.md" {
			t.Errorf("%s is not tested", e.Name())
		}
	}
}

// Every format can be written and read again, is found out by its content, and says the same.
func TestFormatsRoundTrip(t *testing.T) {
	for name := range sampleNames {
		original := sample(t, name+".textproto")
		for _, format := range workflow.Formats() {
			encoded, err := original.Encode(format)
			if err != nil {
				t.Fatalf("%s as %s: %v", name, format, err)
			}
			again, list := workflow.Parse(encoded, workflow.ParseOptions{})
			if len(list) > 0 {
				t.Errorf("%s as %s:\n%s", name, format, diagText(list))
				continue
			}
			if again.Format != format {
				t.Errorf("%s as %s was taken for %s", name, format, again.Format)
			}
			if diff := gocmp.Diff(original.Workflow.Proto(), again.Workflow.Proto(), protocmp.Transform()); diff != "" {
				t.Errorf("%s as %s (-before +after):\n%s", name, format, diff)
			}
			// Written once more, and through another format, the bytes are the same.
			twice, err := workflow.Encode(again.Workflow, format)
			if err != nil || format != original.Format && !bytes.Equal(encoded, twice) {
				t.Errorf("%s as %s: other bytes the second time (%v)", name, format, err)
			}
		}
	}
}

func TestDocumentKeepsTheReceivedBytes(t *testing.T) {
	original := sample(t, "full.textproto")
	binary, err := original.Encode(workflow.InternalBinary)
	if err != nil {
		t.Fatal(err)
	}
	// The same workflow in other bytes: fields in another order, as another program may write them.
	reordered := append(append([]byte{}, binary[len(binary)-10:]...), binary[:len(binary)-10]...)
	d, list := workflow.Parse(reordered, workflow.ParseOptions{Format: workflow.InternalBinary})
	if list.HasErrors() {
		t.Fatal(diagText(list))
	}
	if !bytes.Equal(d.Received, reordered) || d.Fingerprint != workflow.FingerprintOf(reordered) {
		t.Error("the document does not have the bytes that were parsed")
	}
	if again, err := d.Encode(workflow.InternalBinary); err != nil || !bytes.Equal(again, reordered) {
		t.Errorf("encoding in its own format changed the bytes (%v)", err)
	}
	if d.Fingerprint == workflow.FingerprintOf(binary) {
		t.Error("the test shows nothing: both byte strings are equal")
	}
}

func TestDrawingsAndTextOfASample(t *testing.T) {
	for _, tc := range []struct {
		golden string
		write  func(*workflow.Workflow, *bytes.Buffer) error
	}{
		{"mini.txt", func(w *workflow.Workflow, b *bytes.Buffer) error { return w.WriteText(b) }},
		{"mini.dot", func(w *workflow.Workflow, b *bytes.Buffer) error { return w.WriteDOT(b) }},
		{"mini.mmd", func(w *workflow.Workflow, b *bytes.Buffer) error { return w.WriteMermaid(b) }},
	} {
		var got bytes.Buffer
		if err := tc.write(sample(t, "mini.textproto").Workflow, &got); err != nil {
			t.Fatal(err)
		}
		compareGolden(t, tc.golden, got.String())
	}
}

func compareGolden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := gocmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", name, diff)
	}
}
