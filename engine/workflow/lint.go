package workflow

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/panelmatch/panelmatch/schema/diag"
	"github.com/panelmatch/panelmatch/schema/manifest"
)

// Lint returns what is wrong, or worth a second look, with a workflow. A
// workflow without errors means the same to a Kingdom, to the reference
// without a Kingdom, and to this program: it satisfies the rules of all of
// them, which alone are wider. The result is in the order of the steps.
func (w *Workflow) Lint() diag.List {
	l := &linter{Workflow: w, producers: producersOf(w), consumers: consumersOf(w), blobs: map[string]blob{}}
	l.written = slices.Sorted(maps.Keys(l.producers))
	for _, s := range w.Steps {
		l.specs = append(l.specs, SpecOf(s))
	}
	l.terms()
	l.uniqueness()
	l.circular = l.cycles()
	for _, s := range w.Steps {
		l.stepID(s)
		l.labels(s)
		l.inputKeys(s)
		l.outputKeys(s)
		l.flow(s)
		l.settings(s)
	}
	l.agreement()
	return l.list
}

type linter struct {
	faults
	*Workflow
	producers, consumers map[string][]int
	// written are the labels that some step writes, sorted.
	written []string
	// specs has the row of the step table for each step.
	specs []Spec
	// blobs remembers what blob found out.
	blobs map[string]blob
	// circular has the steps that are part of a reported circle.
	circular map[int]bool
}

func consumersOf(w *Workflow) map[string][]int {
	out := map[string][]int{}
	for i, s := range w.Steps {
		for _, label := range s.InputLabels() {
			out[label] = append(out[label], i)
		}
	}
	return out
}

// terms checks what stands beside the steps.
func (l *linter) terms() {
	ids := l.Identifiers
	for _, party := range []struct{ path, id string }{
		{"exchangeIdentifiers.dataProviderId", ids.DataProvider}, {"exchangeIdentifiers.modelProviderId", ids.ModelProvider},
	} {
		if party.id == "" {
			l.add(diag.CodeMissing, party.path, "the party has no id")
		} else if strings.Contains(party.id, "/") {
			l.add(diag.CodeValue, party.path, "id %q has a slash; the bare id is allowed, without dataProviders/ or modelProviders/", shorten(party.id))
		}
	}
	if l.FirstExchangeDate.IsZero() {
		l.add(diag.CodeMissing, "firstExchangeDate", "the date of the first exchange is missing")
	}
	if !l.Schedule.IsValid() {
		l.add(diag.CodeValue, "repetitionSchedule.cronExpression",
			"schedule %q is not supported; @daily, @weekly, @monthly and @yearly are allowed", shorten(string(l.Schedule)))
	}
	if len(l.Steps) == 0 {
		l.add(diag.CodeMissing, "steps", "there are no steps")
		return
	}
	for _, party := range []manifest.Party{manifest.ModelProvider, manifest.DataProvider} {
		if len(l.StepsOf(party)) == 0 {
			l.warn(diag.CodeRisk, "steps", "%s has no step", party).
				hint("without a Kingdom such an exchange never ends: a party without steps writes no checkpoint")
		}
	}
}

// uniqueness checks step ids and who writes a label.
func (l *linter) uniqueness() {
	first := map[string]int{}
	for i, s := range l.Steps {
		if before, ok := first[s.ID]; ok && s.ID != "" {
			l.add(diag.CodeDuplicate, stepPath(i, "stepId"), "steps %d and %d are both called %q", before, i, shorten(s.ID)).
				hint("step ids name done markers and checkpoint entries: each must be unique")
			continue
		}
		first[s.ID] = i
	}
	for _, label := range l.written {
		all := l.producers[label]
		for _, p := range all[1:] {
			l.add(diag.CodeDuplicate, stepPath(p, "outputLabels", keyOf(l.Steps[p].Outputs, label)),
				"label %q is written by %s and by %s", shorten(label), l.Steps[all[0]].called(), l.Steps[p].called()).
				hint("labels are one name space for both parties and shared storage: prefix private ones, such as edp- and mp-")
		}
	}
	for i, s := range l.Steps {
		seen := map[string]string{}
		for _, key := range slices.Sorted(maps.Keys(s.Outputs)) {
			label := s.Outputs[key]
			if other, ok := seen[label]; ok {
				l.add(diag.CodeDuplicate, stepPath(i, "outputLabels", key), "%s writes label %q for both %q and %q", s.called(), shorten(label), other, key)
			}
			seen[label] = key
		}
	}
}

func (l *linter) stepID(s Step) {
	path := stepPath(s.Index, "stepId")
	switch problem := badKey(s.ID); {
	case s.ID == "":
		l.add(diag.CodeMissing, path, "step %d has no id", s.Index)
	case problem != "":
		l.add(diag.CodeValue, path, "step id %q %s", shorten(s.ID), problem).hint("the id is part of a blob key")
	case strings.Contains(s.ID, "/"):
		l.warn(diag.CodeRisk, path, "step id %q has a slash, which splits the names of its attempts", shorten(s.ID))
	}
}

// shardBase matches what the name of a sharded file may consist of.
var shardBase = regexp.MustCompile(`^[A-Za-z0-9_.-]+$`)

// labels checks the labels of one step by themselves.
func (l *linter) labels(s Step) {
	for _, side := range []struct {
		name   string
		labels map[string]string
	}{{"inputLabels", s.Inputs}, {"outputLabels", s.Outputs}} {
		for _, key := range slices.Sorted(maps.Keys(side.labels)) {
			label, path := side.labels[key], stepPath(s.Index, side.name, key)
			if key == "" {
				l.add(diag.CodeMissing, path, "%s has a label without a key", s.called())
			}
			if problem := badLabel(label); problem != "" {
				l.add(diag.CodeValue, path, "label %q of %s %s", shorten(label), s.called(), problem)
			}
		}
	}
	spec := l.specs[s.Index]
	for _, key := range slices.Sorted(maps.Keys(s.Outputs)) {
		label, path := s.Outputs[key], stepPath(s.Index, "outputLabels", key)
		if s.Kind == CopyToSharedStorage && (strings.HasPrefix(label, "checkpoints/") || strings.HasPrefix(label, "certificates/")) {
			l.add(diag.CodeValue, path, "shared label %q is where checkpoints and certificates are kept", shorten(label))
		}
		if out, ok := spec.Output(key); ok && out.Sharded {
			if !shardBase.MatchString(label) {
				l.add(diag.CodeValue, path, "label %q of %s names shards; letters, digits and _ . - are allowed", shorten(label), s.called())
			}
			l.shardNames(s, label)
		}
	}
}

// shardNames finds labels that shards of base would overwrite.
func (l *linter) shardNames(s Step, base string) {
	start, _ := slices.BinarySearch(l.written, base+"-")
	for _, label := range l.written[start:] {
		rest, ok := strings.CutPrefix(label, base+"-")
		if !ok {
			break
		}
		if shardSuffix.MatchString(rest) {
			p := l.producers[label][0]
			l.add(diag.CodeRule, stepPath(p, "outputLabels", keyOf(l.Steps[p].Outputs, label)),
				"label %q of %s is also the name of a shard that %s writes", shorten(label), l.Steps[p].called(), s.called())
		}
	}
}

var shardSuffix = regexp.MustCompile(`^[0-9]+-of-[0-9]+$`)

// keyOf returns the first key, in order, that has the label.
func keyOf(labels map[string]string, label string) string {
	for _, key := range slices.Sorted(maps.Keys(labels)) {
		if labels[key] == label {
			return key
		}
	}
	return ""
}

// badLabel says what is wrong with a label, or returns "".
func badLabel(label string) string {
	switch {
	case label == "done-tasks" || strings.HasPrefix(label, "done-tasks/"):
		return "is where done markers are kept"
	case strings.HasSuffix(label, ".signature"):
		return "ends in .signature, as the signature of another blob does"
	}
	return badKey(label)
}

// badKey says what is wrong with a blob key, or returns "". Stricter than any
// store is: what passes means the same blob in all of them.
func badKey(key string) string {
	switch {
	case key == "":
		return "is empty"
	case len(key) > MaxLabelBytes:
		return fmt.Sprintf("is longer than %d bytes", MaxLabelBytes)
	case !utf8.ValidString(key) || strings.ContainsFunc(key, unicode.IsControl):
		return "has a control character"
	case strings.HasPrefix(key, "/"):
		return "starts with a slash"
	}
	for segment := range strings.SplitSeq(key, "/") {
		if segment == "" || segment == "." || segment == ".." {
			return fmt.Sprintf("has the path segment %q", segment)
		}
	}
	return ""
}
