package workflow

import (
	"maps"
	"slices"
	"strings"

	"github.com/panelmatch/panelmatch/schema/diag"
)

// inputKeys checks the keys of a step's inputs against the step table.
func (l *linter) inputKeys(s Step) {
	spec := l.specs[s.Index]
	keys := slices.Sorted(maps.Keys(s.Inputs))
	path := stepPath(s.Index, "inputLabels")
	if spec.Party != "" && spec.Party != s.Party {
		l.warn(diag.CodeRisk, stepPath(s.Index, "party"), "%s (%s) is usually a step of %s", s.called(), s.Kind, spec.Party)
	}
	switch spec.Rule {
	case ExtraInputsWait:
		for _, key := range l.keys(s, "input", path, spec.Inputs, s.Inputs) {
			l.warn(diag.CodeUnknown, stepPath(s.Index, "inputLabels", key),
				"%s (%s) does not read input %q: it only waits for label %q", s.called(), s.Kind, shorten(key), shorten(s.Inputs[key]))
		}
	case NoInputs:
		if len(keys) > 0 {
			l.add(diag.CodeRule, path, "%s (%s) has inputs: %s; none are allowed", s.called(), s.Kind, enumerate(keys)).
				hint("the reference refuses to run such a step; a step that must wait needs another way to wait")
		}
	case OneInputAndCertificate:
		keys = slices.DeleteFunc(keys, func(key string) bool { return key == CertificateLabel })
		fallthrough
	case OneInput:
		if len(keys) != 1 {
			l.add(diag.CodeRule, path, "%s (%s) has %d inputs; exactly one is allowed", s.called(), s.Kind, len(keys)).
				hint("one copy step copies one label")
		}
	}
}

// outputKeys checks the keys of a step's outputs against the step table.
func (l *linter) outputKeys(s Step) {
	spec := l.specs[s.Index]
	path := stepPath(s.Index, "outputLabels")
	if len(spec.Outputs) == 1 && spec.Outputs[0].Key == "" {
		if len(s.Outputs) != 1 {
			l.add(diag.CodeRule, path, "%s (%s) has %d outputs; exactly one is allowed", s.called(), s.Kind, len(s.Outputs))
		}
		return
	}
	for _, key := range l.keys(s, "output", path, spec.Outputs, s.Outputs) {
		l.add(diag.CodeUnknown, stepPath(s.Index, "outputLabels", key),
			"%s (%s) has no output %q; %s", s.called(), s.Kind, shorten(key), allowed(spec.Outputs)).
			hint("nothing would ever be written to its label")
	}
}

// keys reports required keys that are missing, and returns the keys that the
// table does not have and that are no misspelling of a missing one.
func (l *linter) keys(s Step, side, path string, want []Label, got map[string]string) []string {
	var strange []string
	for _, key := range slices.Sorted(maps.Keys(got)) {
		if _, ok := find(want, key); !ok {
			strange = append(strange, key)
		}
	}
	for _, label := range want {
		if _, ok := got[label.Key]; ok || label.Optional {
			continue
		}
		hint := allowed(want)
		if wrong, ok := diag.Closest(label.Key, strange); ok {
			hint = "it has " + quoteShort(wrong) + ": perhaps misspelt"
			strange = slices.DeleteFunc(strange, func(key string) bool { return key == wrong })
		}
		l.add(diag.CodeMissing, path+"."+pathName(label.Key), "%s (%s) lacks %s %q", s.called(), s.Kind, side, label.Key).hint(hint)
	}
	return strange
}

func quoteShort(text string) string { return `"` + shorten(text) + `"` }

// allowed lists what the table has.
func allowed(labels []Label) string {
	if len(labels) == 0 {
		return "it has none"
	}
	var names []string
	for _, label := range labels {
		name := label.Key
		if label.Optional {
			name += " (optional)"
		}
		names = append(names, name)
	}
	return "it has " + strings.Join(names, ", ")
}

// enumerate joins a few names.
func enumerate(names []string) string {
	const most = 5
	var short []string
	for _, name := range names {
		if len(short) == most {
			short = append(short, "…")
			break
		}
		short = append(short, shorten(name))
	}
	return strings.Join(short, ", ")
}
