package workflow

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/panelmatch/panelmatch/schema/diag"
)

// flow checks where a step's inputs come from, and where its outputs go.
func (l *linter) flow(s Step) {
	for _, key := range slices.Sorted(maps.Keys(s.Inputs)) {
		label, path := s.Inputs[key], stepPath(s.Index, "inputLabels", key)
		all := l.producers[label]
		if len(all) == 0 {
			l.unwritten(s, label, path)
			continue
		}
		producer := l.Steps[all[0]]
		if l.order(s, label, path, producer) && l.reach(s, label, path, producer) {
			l.content(s, key, label, path)
		}
	}
	if s.Kind == CopyToSharedStorage {
		l.export(s)
	}
}

// unwritten reports an input that no step writes.
func (l *linter) unwritten(s Step, label, path string) {
	if s.Kind == CopyFromPreviousExchange {
		l.warn(diag.CodeRisk, path, "no step writes label %q, which %s copies from the exchange before", shorten(label), s.called()).
			hint("the reference without a Kingdom refuses such a workflow")
		return
	}
	f := l.add(diag.CodeMissing, path, "%s reads label %q, which no step writes", s.called(), shorten(label))
	f.hint("a blob that the operator provides needs an Input step")
	if len(l.written) <= MaxSteps && !l.full() {
		f.d.DidYouMean, _ = diag.Closest(label, l.written)
	}
}

// order checks that the producer comes before the step.
func (l *linter) order(s Step, label, path string, producer Step) bool {
	if producer.Index < s.Index {
		return true
	}
	switch {
	case s.Kind == CopyFromPreviousExchange:
		l.warn(diag.CodeRisk, path, "%s copies label %q of the exchange before, which in this exchange is written later", s.called(), shorten(label)).
			hint("the reference can't complete this step after the first date: it also wants the label in the present exchange")
		return true
	case l.circular[s.Index] && l.circular[producer.Index]:
		return false
	}
	l.add(diag.CodeRule, path, "%s reads label %q, which %s writes only later (it is step %d, this is step %d)",
		s.called(), shorten(label), producer.called(), producer.Index, s.Index).
		hint("put the step that writes the label first")
	return false
}

// reach checks that the step can see the label: private blobs are seen by their party, shared ones by copy steps.
func (l *linter) reach(s Step, label, path string, producer Step) bool {
	shared := producer.Kind == CopyToSharedStorage
	if s.Kind == CopyFromSharedStorage {
		switch {
		case !shared:
			l.add(diag.CodeRule, path, "%s imports label %q, which %s writes to private storage", s.called(), shorten(label), producer.called()).
				hint("import the output label of a CopyToSharedStorage step of the other party")
		case producer.Party == s.Party:
			l.add(diag.CodeRule, path, "%s imports label %q, which its own party exports in %s", s.called(), shorten(label), producer.called()).
				hint("the other party imports it; its own party has the blob already")
		case producer.Copy != s.Copy:
			l.add(diag.CodeRule, path, "%s copies label %q as %s, but %s exports it as %s", s.called(), shorten(label), s.Copy, producer.called(), producer.Copy).
				hint("both must be MANIFEST if the label is a manifest of shards, else BLOB")
		default:
			return true
		}
		return false
	}
	switch {
	case shared:
		l.add(diag.CodeRule, path, "%s reads label %q, which %s writes to shared storage", s.called(), shorten(label), producer.called()).
			hint("only CopyFromSharedStorage reads shared storage: import the label first, and read the imported one")
	case producer.Party != s.Party:
		l.add(diag.CodeRule, path, "%s of %s reads label %q, which is private to %s", s.called(), s.Party, shorten(label), producer.Party).
			hint("export it with CopyToSharedStorage and import it with CopyFromSharedStorage")
	default:
		return true
	}
	return false
}

// content checks that a label holds what the step expects.
func (l *linter) content(s Step, key, label, path string) {
	have := l.blob(label)
	if (s.Kind == CopyFromSharedStorage || s.Kind == CopyToSharedStorage) && key != CertificateLabel {
		switch {
		case have.known && have.sharded && s.Copy == CopyBlob:
			l.add(diag.CodeRule, path, "%s copies label %q as BLOB, but it is a manifest: its shards would stay behind", s.called(), shorten(label)).
				hint("set label_type: MANIFEST")
		case have.known && !have.sharded && s.Copy == CopyManifest:
			l.add(diag.CodeRule, path, "%s copies label %q as MANIFEST, but it is one blob", s.called(), shorten(label)).
				hint("set label_type: BLOB")
		}
		return
	}
	want, ok := l.specs[s.Index].Input(key)
	switch {
	case !ok || !have.known:
	case want.Content != Anything && have.content != Anything && want.Content != have.content:
		l.add(diag.CodeGraph, path, "input %q of %s needs %s, but label %q holds %s", key, s.called(), want.Content, shorten(label), have.content)
	case want.Content != Anything && want.Sharded != have.sharded:
		l.add(diag.CodeGraph, path, "input %q of %s needs %s, but label %q is %s",
			key, s.called(), form(want.Sharded), shorten(label), form(have.sharded))
	}
}

func form(sharded bool) string {
	if sharded {
		return "a manifest of shards"
	}
	return "one blob"
}

// blob is what is known about a label's blob before it exists.
type blob struct {
	content  Content
	sharded  bool
	exposure Exposure
	// known is false for what comes from outside: inputs, and copies of earlier exchanges.
	known bool
}

// blob follows a label through copies to the step that made it.
func (l *linter) blob(label string) blob {
	var passed []string
	found := blob{}
	for range l.Steps { // a bound, because copies may go in a circle
		known, ok := l.blobs[label]
		if ok {
			found = known
			break
		}
		passed = append(passed, label)
		source, made := l.origin(label)
		if source == "" {
			found = made
			break
		}
		label = source
	}
	for _, label := range passed {
		l.blobs[label] = found
	}
	return found
}

// origin returns the label that label is a copy of, or else what is known about it.
func (l *linter) origin(label string) (source string, made blob) {
	all := l.producers[label]
	if len(all) == 0 {
		return "", blob{}
	}
	s := l.Steps[all[0]]
	switch s.Kind {
	case Input, CopyFromPreviousExchange:
		return "", blob{}
	case CopyFromSharedStorage, CopyToSharedStorage:
		return copied(s), blob{}
	default:
	}
	out, ok := l.specs[s.Index].Output(keyOf(s.Outputs, label))
	return "", blob{content: out.Content, sharded: out.Sharded, exposure: out.Exposure, known: ok}
}

// copied returns the label that a copy step copies, or "".
func copied(s Step) string {
	for _, key := range slices.Sorted(maps.Keys(s.Inputs)) {
		if key != CertificateLabel || s.Kind == CopyFromSharedStorage {
			return s.Inputs[key]
		}
	}
	return ""
}

// export checks what leaves private storage.
func (l *linter) export(s Step) {
	for _, label := range s.OutputLabels() {
		if len(l.consumers[label]) == 0 {
			l.warn(diag.CodeRisk, stepPath(s.Index, "outputLabels"), "%s exports label %q, which nobody imports", s.called(), shorten(label))
		}
	}
	source := copied(s)
	const text = "%s exports label %q, which holds %s of %s"
	content := l.blob(source).content
	if content == Anything {
		content = "private data"
	}
	switch l.blob(source).exposure {
	case Shareable:
	case Secret:
		l.add(diag.CodeRule, stepPath(s.Index, "inputLabels"), text, s.called(), shorten(source), content, s.Party).
			hint("a private key in shared storage protects nothing; share the public one, or encrypt it first")
	case Sensitive:
		l.warn(diag.CodeRisk, stepPath(s.Index, "inputLabels"), text, s.called(), shorten(source), content, s.Party).
			hint("the partner, and everyone with access to shared storage, can read it; HybridEncrypt hides it from the latter")
	}
}

// cycles reports steps that wait for each other, and returns which steps those are.
func (l *linter) cycles() map[int]bool {
	const most = 10
	waits := l.waitsFor()
	core := map[int]bool{}
	for i := range l.Steps {
		core[i] = true
	}
	circular := map[int]bool{}
	for range most {
		trim(core, waits)
		if len(core) == 0 {
			break
		}
		circle := findCircle(core, waits)
		l.reportCircle(circle)
		for _, i := range circle {
			circular[i] = true
			delete(core, i)
		}
	}
	return circular
}

// waitsFor returns, per step, the steps whose labels it reads, in order.
func (l *linter) waitsFor() [][]int {
	waits := make([][]int, len(l.Steps))
	for i, s := range l.Steps {
		if s.Kind == CopyFromPreviousExchange {
			continue // reads another exchange
		}
		for _, label := range s.InputLabels() {
			if all := l.producers[label]; len(all) > 0 && !slices.Contains(waits[i], all[0]) {
				waits[i] = append(waits[i], all[0])
			}
		}
		slices.Sort(waits[i])
	}
	return waits
}

// trim removes from core what waits for nothing in it, until all that is left waits.
func trim(core map[int]bool, waits [][]int) {
	waiting := make([]int, len(waits))
	dependants := make([][]int, len(waits))
	var free []int
	for i := range waits {
		for _, p := range waits[i] {
			if core[i] && core[p] {
				waiting[i]++
				dependants[p] = append(dependants[p], i)
			}
		}
		if core[i] && waiting[i] == 0 {
			free = append(free, i)
		}
	}
	for len(free) > 0 {
		done := free[0]
		free = free[1:]
		delete(core, done)
		for _, i := range dependants[done] {
			if waiting[i]--; waiting[i] == 0 {
				free = append(free, i)
			}
		}
	}
}

// findCircle walks through core until it meets itself. The result starts at its first step in the workflow's order.
func findCircle(core map[int]bool, waits [][]int) []int {
	at := slices.Min(slices.Collect(maps.Keys(core)))
	var walk []int
	for !slices.Contains(walk, at) {
		walk = append(walk, at)
		at = waits[at][slices.IndexFunc(waits[at], func(p int) bool { return core[p] })]
	}
	circle := walk[slices.Index(walk, at):]
	first := slices.Index(circle, slices.Min(circle))
	return slices.Concat(circle[first:], circle[:first])
}

// reportCircle tells a circle as a chain that ends where it began.
func (l *linter) reportCircle(circle []int) {
	const most = 20
	var chain []string
	for i, step := range circle {
		next := circle[(i+1)%len(circle)]
		if i < most {
			chain = append(chain, fmt.Sprintf("%q reads %q from", shorten(l.Steps[step].ID), shorten(l.labelBetween(step, next))))
		} else if i == most {
			chain = append(chain, "…")
		}
	}
	l.add(diag.CodeCycle, stepPath(circle[0], "inputLabels"), "steps wait for each other: %s %q",
		strings.Join(chain, " "), shorten(l.Steps[circle[0]].ID)).
		hint("no step of the circle can ever start; one of them reads a wrong label")
}

func (l *linter) labelBetween(step, producer int) string {
	for _, label := range l.Steps[step].InputLabels() {
		if all := l.producers[label]; len(all) > 0 && all[0] == producer {
			return label
		}
	}
	return ""
}
