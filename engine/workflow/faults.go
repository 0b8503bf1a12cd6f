package workflow

import (
	"fmt"
	"strings"

	"github.com/panelmatch/panelmatch/schema/diag"
)

// maxFaults is the most diagnostics that one document gets: hostile bytes can hold a hundred thousand mistakes.
const maxFaults = 500

// faults collects diagnostics about one document.
type faults struct {
	list diag.List
}

// full reports whether further diagnostics are dropped. An error has been added then.
func (f *faults) full() bool { return len(f.list) > maxFaults }

// fault is a diagnostic that was just added, for more details.
type fault struct{ d *diag.Diagnostic }

// hint sets what to do about the fault.
func (f fault) hint(text string) { f.d.Hint = text }

// add appends an error. Details must be given before the next is added.
func (f *faults) add(code diag.Code, path, format string, args ...any) fault {
	return f.append(diag.Diagnostic{Code: code, Path: path, Message: fmt.Sprintf(format, args...)})
}

// warn appends a warning. Details must be given before the next is added.
func (f *faults) warn(code diag.Code, path, format string, args ...any) fault {
	return f.append(diag.Diagnostic{Severity: diag.Warning, Code: code, Path: path, Message: fmt.Sprintf(format, args...)})
}

func (f *faults) append(d diag.Diagnostic) fault {
	switch {
	case f.full():
		return fault{&d}
	case len(f.list) == maxFaults:
		d = diag.Diagnostic{Code: diag.CodeRule, Message: fmt.Sprintf("there are more than %d faults; the rest is not listed", maxFaults)}
	}
	f.list = append(f.list, d)
	return fault{&f.list[len(f.list)-1]}
}

// stepPath returns the path of a step, or of something in it, as the internal schema's JSON has it.
func stepPath(index int, inside ...string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "steps[%d]", index)
	for _, name := range inside {
		b.WriteByte('.')
		b.WriteString(pathName(shorten(name)))
	}
	return b.String()
}

// pathName quotes a name that is no identifier, as a user would have to.
func pathName(name string) string {
	for i, r := range name {
		letter := r == '_' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z'
		if !letter && (i == 0 || r < '0' || r > '9') {
			return fmt.Sprintf("%q", name)
		}
	}
	if name == "" {
		return `""`
	}
	return name
}

// called is how messages name a step.
func called(index int, id string) string {
	if id == "" {
		return fmt.Sprintf("step %d", index)
	}
	return fmt.Sprintf("step %q", id)
}

func (s Step) called() string { return called(s.Index, s.ID) }

// place fills in the file, and the line where one is known: that of the longest known path that
// leads to the diagnostic's.
func (d *Document) place(list diag.List) diag.List {
	for i := range list {
		if list[i].Pos.IsValid() {
			continue
		}
		list[i].Pos = diag.Position{File: d.Name}
		for path := list[i].Path; path != ""; path = parentPath(path) {
			if pos, ok := d.positions[path]; ok {
				list[i].Pos = pos
				break
			}
		}
	}
	return list
}

// parentPath cuts the last part off a path. Quoted parts never contain quotes here.
func parentPath(path string) string {
	if strings.HasSuffix(path, `"`) {
		if i := strings.LastIndex(path[:len(path)-1], `."`); i >= 0 {
			return path[:i]
		}
		return ""
	}
	return path[:max(0, strings.LastIndexAny(path, ".["))]
}
