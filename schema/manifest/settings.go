package manifest

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"

	"cuelang.org/go/cue"

	"github.com/panelmatch/panelmatch/schema/diag"
)

// Setting is one effective value with where it comes from.
type Setting struct {
	// Path is the setting's path as a user writes it.
	Path string `json:"path"`
	// Value is the value as JSON has it, texts without quotes; what may be a secret is [redacted].
	Value string `json:"value"`
	// Pos is where the value stands; zero for a default.
	Pos diag.Position `json:"pos"`
	// Layer is file, overrides, environment, --set or default.
	Layer string `json:"layer"`
	// Default tells that the schema gave the value.
	Default bool `json:"default,omitempty"`
	// Overridden are the places of earlier values which this one replaced, oldest first.
	Overridden []diag.Position `json:"overridden,omitempty"`
}

// Settings lists every effective setting, defaults included, sorted by path.
// It is empty if the manifest has errors.
func (l *Loaded) Settings() []Setting {
	if l == nil || l.Manifest == nil {
		return nil
	}
	var out []Setting
	l.collect(l.value, nil, &out)
	slices.SortFunc(out, func(a, b Setting) int { return cmp.Compare(a.Path, b.Path) })
	return out
}

func (l *Loaded) collect(v cue.Value, path []string, out *[]Setting) {
	if d, ok := v.Default(); ok {
		v = d
	}
	switch v.IncompleteKind() {
	case cue.StructKind:
		it, err := v.Fields()
		if err != nil {
			return
		}
		empty := true
		for it.Next() {
			empty = false
			l.collect(it.Value(), below(path, it.Selector().Unquoted()), out)
		}
		if !empty || l.tree.at(path...) == nil {
			return // an empty map that nobody wrote says nothing
		}
	case cue.ListKind:
		it, err := v.List()
		if err != nil {
			return
		}
		n := 0
		for ; it.Next(); n++ {
			l.collect(it.Value(), below(path, index(n)), out)
		}
		if n > 0 {
			return
		}
	}
	*out = append(*out, l.setting(v, path))
}

// setting describes one leaf.
func (l *Loaded) setting(v cue.Value, path []string) Setting {
	s := Setting{Path: show(path), Value: leafText(v)}
	s.Layer = layerDefault
	if n := l.tree.at(path...); n != nil {
		s.Layer = n.src.kind
		s.Pos = n.val
		if !n.kind.scalar() {
			s.Pos = n.key
		}
		if n.hidden && !isReference(n.text) {
			s.Value = redacted
		}
	} else {
		s.Default = true
	}
	s.Value = maskURLs(s.Value)
	if !s.Default {
		for i := len(path); i > 0; i-- {
			if older := l.older[join(path[:i])]; len(older) > 0 {
				s.Overridden = slices.Clone(older)
				break
			}
		}
	}
	return s
}

// leafText writes a scalar, or an empty map or list.
func leafText(v cue.Value) string {
	if s, err := v.String(); err == nil {
		return s
	}
	b, err := v.MarshalJSON()
	if err != nil {
		return ""
	}
	return string(b)
}

// Digest returns the SHA-256, in hexadecimal, of the effective settings in a
// canonical form: sorted by path, as they are written, defaults included.
// Neither the layering nor the formatting of the files changes it; two daemons
// with the same digest have the same settings. It holds nothing secret, and is
// empty if the manifest has errors.
func (l *Loaded) Digest() string {
	if l == nil || l.Manifest == nil {
		return ""
	}
	h := sha256.New()
	fmt.Fprintln(h, "panelmatch manifest digest v1")
	var lines []string
	l.canonical(l.value, nil, &lines)
	slices.Sort(lines)
	for _, line := range lines {
		fmt.Fprintln(h, line)
	}
	return hex.EncodeToString(h.Sum(nil))
}

func (l *Loaded) canonical(v cue.Value, path []string, lines *[]string) {
	if d, ok := v.Default(); ok {
		v = d
	}
	switch v.IncompleteKind() {
	case cue.StructKind:
		it, err := v.Fields()
		for err == nil && it.Next() {
			l.canonical(it.Value(), below(path, it.Selector().Unquoted()), lines)
		}
	case cue.ListKind:
		it, err := v.List()
		n := 0
		for ; err == nil && it.Next(); n++ {
			l.canonical(it.Value(), below(path, index(n)), lines)
		}
		if n == 0 {
			*lines = append(*lines, show(path)+" = []")
		}
	default:
		b, err := v.MarshalJSON()
		if err != nil {
			return
		}
		*lines = append(*lines, show(path)+" = "+string(b))
	}
}

// WithSource returns the list with the source line, secrets masked, added to
// each diagnostic that stands in one of the manifest's sources and has none.
func (l *Loaded) WithSource(diags diag.List) diag.List {
	out := slices.Clone(diags)
	if l != nil {
		addSources(out, l.sources, l.view.isHarmless)
	}
	return out
}

// addSources gives each diagnostic its source line, with what may be secret masked.
func addSources(diags diag.List, sources []*source, harmless func(string) bool) {
	type key struct {
		name  string
		layer int
	}
	byName := map[key]*source{}
	for _, s := range sources {
		byName[key{s.name, s.layer}] = s
	}
	for i := range diags {
		d := &diags[i]
		s := byName[key{d.Pos.File, d.Pos.Layer}]
		// What is missing from a file as a whole has no line.
		atFile := (d.Code == diag.CodeMissing || d.Code == diag.CodeOneOf) && d.Pos.Line == 1 && d.Span == 0
		if s == nil || d.Source != "" || atFile {
			continue
		}
		var column int
		d.Source, column, d.Span = s.masked(d.Pos, d.Span, harmless)
		if column != d.Pos.Column {
			// The position stays true to the file; only the caret follows the masked line.
			d.Caret = column
		}
	}
}
