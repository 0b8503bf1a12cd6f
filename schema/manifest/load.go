package manifest

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"cuelang.org/go/cue"

	"github.com/panelmatch/panelmatch/schema/diag"
)

// Loaded is a manifest with where it came from. It is read-only and safe for
// concurrent use.
type Loaded struct {
	// Manifest is nil if there are errors.
	Manifest *Manifest

	view    *view
	tree    *node     // what the layers add up to, without the schema's defaults
	value   cue.Value // with them
	sources []*source
	older   map[string][]diag.Position
}

// Source is one file, environment variable or --set that a manifest was made of.
type Source struct {
	// Name is the file's name as the user gave it, "env NAME" or "--set #1".
	Name string `json:"name"`
	// Layer is file, overrides, environment or --set.
	Layer string `json:"layer"`
}

// Sources lists what was read, in the order in which later wins.
func (l *Loaded) Sources() []Source {
	out := make([]Source, len(l.sources))
	for i, s := range l.sources {
		out[i] = Source{s.name, s.kind}
	}
	return out
}

// The names of the layers.
const (
	layerFile        = "file"
	layerOverrides   = "overrides"
	layerEnvironment = "environment"
	layerSet         = "--set"
	layerDefault     = "default"
)

// loader carries one load through its steps.
type loader struct {
	ctx     context.Context
	in      Sources
	view    *view
	sources []*source
	diags   diag.List
	// marks are paths at which something stood that was reported and dropped: what is not there any
	// more must not be called missing too.
	marks map[string]bool
	// reported are the paths at which an error was reported.
	reported map[string]bool
	// strays are the maps in which an unknown key was dropped: it may have been meant as any of its settings.
	strays map[string]bool
	total  int
	failed bool // a layer could not be read or parsed
}

// layered is one parsed source on its way into the merge.
type layered struct {
	src  *source
	tree *node
	// id is the recurring exchange of a file of the overrides directory.
	id string
	// path is where an environment variable or --set puts tree; nil for files.
	path []string
}

// loadWith is Load with the schema given.
func loadWith(ctx context.Context, schema fs.FS, in Sources) (*Loaded, diag.List) {
	w, err := newView(schema)
	if err != nil {
		return nil, diag.List{{Code: diag.CodeSyntax, Pos: diag.Position{File: "schema"}, Message: "the built-in schema is damaged: " + err.Error()}}
	}
	l := &loader{ctx: ctx, in: in, view: w, marks: map[string]bool{}, reported: map[string]bool{}, strays: map[string]bool{}}
	layers := l.read()
	out := &Loaded{view: w, sources: l.sources}
	if l.failed {
		// What can't be parsed hides settings that would be called missing.
		l.finish()
		return out, l.diags
	}
	for _, y := range layers {
		l.shapeLayer(y)
	}
	merged := l.merge(layers)
	out.tree, out.older = merged.tree, merged.older
	l.values(out.tree, w.root, nil)
	out.value = l.verdict(out.tree)
	if !l.diags.HasErrors() {
		out.Manifest = l.decode(out)
		if l.diags.HasErrors() {
			out.Manifest = nil
		}
	}
	l.finish()
	return out, l.diags
}

// read reads and parses all layers.
func (l *loader) read() []*layered {
	var all []*layered
	if len(l.in.Files) == 0 {
		l.failed = true
		l.diags = append(l.diags, diag.Diagnostic{
			Code: diag.CodeRead, Message: "no manifest file is given", Hint: "name at least one file",
		})
	}
	for i, name := range l.in.Files {
		all = append(all, l.readFile(name, layerFile, i))
	}
	n := len(l.in.Files)
	all = append(all, l.readOverrides(n)...)
	all = append(all, l.readEnviron(n+1)...)
	all = append(all, l.readSet(n+2)...)
	return slices.DeleteFunc(all, func(y *layered) bool { return y == nil || y.tree == nil })
}

// readFile reads one file; nil if that fails.
func (l *loader) readFile(name, kind string, layer int) *layered {
	if err := l.ctx.Err(); err != nil {
		l.unread(name, layer, err)
		return nil
	}
	data, err := l.in.readFile(name)
	if err != nil {
		l.unread(name, layer, err)
		return nil
	}
	if l.total += len(data); l.total > maxTotalSize {
		l.unread(name, layer, fmt.Errorf("the files add up to more than %d MiB", maxTotalSize>>20))
		return nil
	}
	f, ok := formatOf(name)
	if !ok {
		l.failed = true
		l.diags = append(l.diags, diag.Diagnostic{
			Code: diag.CodeRead, Pos: diag.Position{File: name, Layer: layer},
			Message: fmt.Sprintf("the file has the extension %s, which no manifest has", filepath.Ext(name)),
			Allowed: manifestExtensions(),
		})
		return nil
	}
	dir, err := filepath.Abs(filepath.Dir(name))
	if err != nil {
		l.unread(name, layer, err)
		return nil
	}
	src := newSource(name, kind, layer, f, dir, data)
	l.sources = append(l.sources, src)
	return &layered{src: src, tree: l.parse(src, data)}
}

// formatOf tells a file's format from its name. A file without an extension
// (a pipe) is YAML, which JSON is too.
func formatOf(name string) (format, bool) {
	switch strings.ToLower(filepath.Ext(name)) {
	case ".yaml", ".yml", "":
		return yamlFormat, true
	case ".json":
		return jsonFormat, true
	case ".cue":
		return cueFormat, true
	}
	return 0, false
}

func (l *loader) parse(src *source, data []byte) *node {
	p := parser{src: src}
	var n *node
	if src.format == cueFormat {
		n = p.parseCUE(l.view.ctx, data, l.view.definitions)
	} else {
		n = p.parse(data)
	}
	l.diags = append(l.diags, p.diags...)
	for _, d := range p.diags {
		l.failed = l.failed || d.Code == diag.CodeSyntax
		if d.Path != "" {
			l.mark(d.Path)
			l.marks[d.Path] = true
		}
	}
	l.failed = l.failed || n == nil
	if n != nil && n.kind == nullNode {
		n.kind = mapNode // an empty document, or one with only comments
	}
	if n != nil && n.kind != mapNode && src.format != assignment {
		l.failed = true
		l.diags = append(l.diags, diag.Diagnostic{
			Code: diag.CodeKind, Pos: n.val, Message: "the file must be a map of settings; found " + n.kind.String(),
			Hint: "a manifest begins with `apiVersion: panelmatch/v1`",
		})
		src.unparsed = true
		return nil
	}
	return n
}

// mark notes that a fault was reported at a path in its printed form; see verdict.
func (l *loader) mark(path string) { l.reported[path] = true }

func (l *loader) unread(name string, layer int, err error) {
	l.failed = true
	message, hint := "this can't be read: "+plain(err), ""
	switch {
	case errors.Is(err, errTooLarge):
		message = "the file " + plain(err)
	case errors.Is(err, fs.ErrNotExist):
		message, hint = "this does not exist", "check the name, and the directory that it is relative to"
	case errors.Is(err, fs.ErrPermission):
		message, hint = "this can't be read: permission denied", "let the user who runs this read it"
	}
	l.diags = append(l.diags, diag.Diagnostic{
		Code: diag.CodeRead, Pos: diag.Position{File: name, Layer: layer}, Message: message, Hint: hint,
	})
}

// readOverrides reads the overrides directory.
func (l *loader) readOverrides(layer int) []*layered {
	dir := l.in.OverridesDir
	if dir == "" {
		return nil
	}
	entries, err := l.in.readDir(dir)
	if err != nil {
		l.unread(dir, layer, err)
		return nil
	}
	var all []*layered
	byID := map[string]string{}
	for _, e := range entries {
		name := filepath.Join(dir, e.Name())
		switch {
		case strings.HasPrefix(e.Name(), "."): // dotfiles, and what Kubernetes mounts ConfigMaps through
			continue
		case e.IsDir(), !isManifestName(e.Name()):
			l.diags = append(l.diags, diag.Diagnostic{
				Severity: diag.Warning, Code: diag.CodeLayer, Pos: diag.Position{File: name, Layer: layer},
				Message: "the file is ignored: an override is a file <recurring exchange id>.yaml",
				Allowed: manifestExtensions(),
			})
			continue
		case len(all) >= maxOverrideFiles:
			l.unread(dir, layer, fmt.Errorf("it holds more than %d files", maxOverrideFiles))
			return all
		}
		id := strings.TrimSuffix(e.Name(), filepath.Ext(e.Name()))
		if other, twice := byID[id]; twice {
			l.failed = true
			l.diags = append(l.diags, diag.Diagnostic{
				Code: diag.CodeDuplicate, Pos: diag.Position{File: name, Layer: layer},
				Message: "this is the second file for the exchange " + id,
				Hint:    "keep one of the two",
				Related: []diag.Related{{Pos: diag.Position{File: other}, Message: "the first one"}},
			})
			continue
		}
		byID[id] = name
		if y := l.readFile(name, layerOverrides, layer); y != nil {
			y.id = id
			all = append(all, y)
		}
	}
	return all
}

// EnvironmentPrefix begins the names of environment variables that are settings. Kubernetes
// sets PANELMATCH_PORT and the like for a Service named panelmatch; the second underscore keeps
// them apart.
const EnvironmentPrefix = "PANELMATCH__"

// readEnviron reads the environment. Order is by name, because an environment has none.
func (l *loader) readEnviron(layer int) []*layered {
	var variables []string
	for _, e := range l.in.Environ {
		if strings.HasPrefix(e, EnvironmentPrefix) {
			variables = append(variables, e)
		}
	}
	slices.Sort(variables)
	var all []*layered
	for i, e := range variables {
		if i >= maxSettings {
			l.unread("environment", layer, fmt.Errorf("there are more than %d variables %s*", maxSettings, EnvironmentPrefix))
			break
		}
		name, value, _ := strings.Cut(e, "=")
		src := newSource("env "+name, layerEnvironment, layer, assignment, l.workingDir(), []byte(e))
		src.valueAt = len(name) + 2
		l.sources = append(l.sources, src)
		path, ok := l.environPath(src, strings.TrimPrefix(name, EnvironmentPrefix))
		if !ok {
			src.secrets[1] = append(src.secrets[1], span{column: src.valueAt})
			continue
		}
		all = append(all, l.assignment(src, path, value))
	}
	return all
}

// environPath finds the setting that a variable names: RUN__POLL_INTERVAL is run.pollInterval.
func (l *loader) environPath(src *source, name string) ([]string, bool) {
	var path []string
	d := l.view.root
	for segment := range strings.SplitSeq(name, "__") {
		var names []string
		found := ""
		for _, a := range d.flat() {
			a.expand()
			for _, k := range a.names {
				names = append(names, environName(k))
				if environName(k) == segment && found == "" {
					found = k
				}
			}
			if len(a.patterns) > 0 {
				l.environFault(src, path, diag.CodeLayer, "has names that an environment variable can't spell", nil,
					fmt.Sprintf("use --set '%s.\"<name>\"...=<value>', or a file", show(path)))
				return nil, false
			}
		}
		if i := numberOf(segment); i >= 0 && d.kinds&cue.ListKind != 0 {
			path = append(path, index(i))
		} else if found == "" {
			l.environFault(src, append(path, segment), diag.CodeUnknown, "no such setting", names, "")
			return nil, false
		} else {
			path = append(path, found)
		}
		next, ok := d.below(path[len(path)-1])
		if !ok || next == nil {
			l.environFault(src, path, diag.CodeLayer, "can't be set by an environment variable", nil, "use --set, or a file")
			return nil, false
		}
		d = next
	}
	return path, true
}

func (l *loader) environFault(src *source, path []string, code diag.Code, message string, names []string, hint string) {
	d := diag.Diagnostic{Code: code, Path: show(path), Pos: src.pos(0, 1), Message: message, Allowed: names, Hint: hint}
	if code == diag.CodeUnknown {
		word := path[len(path)-1]
		d.Path = show(append(path[:len(path)-1:len(path)-1], word))
		if c, ok := diag.Closest(word, names); ok {
			prefix, _ := strings.CutSuffix(strings.TrimPrefix(src.name, "env "), word)
			d.DidYouMean = prefix + c
		}
	}
	d.Span = src.valueAt - 2
	l.diags = append(l.diags, d)
	l.mark(d.Path)
}

func numberOf(s string) int {
	n := 0
	if s == "" || len(s) > 6 {
		return -1
	}
	for _, c := range s {
		if c < '0' || c > '9' {
			return -1
		}
		n = n*10 + int(c-'0')
	}
	return n
}

var (
	lowerUpper = regexp.MustCompile(`([a-z0-9])([A-Z])`)
	upperWord  = regexp.MustCompile(`([A-Z]+)([A-Z][a-z])`)
)

// environName spells a setting for the environment: pollInterval is POLL_INTERVAL, vaultPKI is VAULT_PKI.
func environName(key string) string {
	return strings.ToUpper(upperWord.ReplaceAllString(lowerUpper.ReplaceAllString(key, "${1}_${2}"), "${1}_${2}"))
}

// readSet reads the --set assignments.
func (l *loader) readSet(layer int) []*layered {
	var all []*layered
	for i, s := range l.in.Set {
		if i >= maxSettings {
			l.unread("--set", layer, fmt.Errorf("it is given more than %d times", maxSettings))
			break
		}
		src := newSource(fmt.Sprintf("--set #%d", i+1), layerSet, layer, assignment, l.workingDir(), []byte(s))
		l.sources = append(l.sources, src)
		name, value, ok := cutAssignment(s)
		if !ok {
			l.failed = true
			src.lines = nil // it may be anything
			l.diags = append(l.diags, diag.Diagnostic{
				Code: diag.CodeSyntax, Pos: src.pos(0, 0), Message: "the assignment has no =", Hint: "write --set path=value, such as --set run.pollInterval=30s",
			})
			continue
		}
		src.valueAt = len([]rune(name)) + 2
		path, ok := l.setPath(src, name)
		if !ok {
			src.secrets[1] = append(src.secrets[1], span{column: src.valueAt})
			continue
		}
		all = append(all, l.assignment(src, path, value))
	}
	return all
}

// cutAssignment cuts at the first = outside quotes: an id may contain one.
func cutAssignment(s string) (path, value string, ok bool) {
	inQuotes := false
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '\\':
			if inQuotes {
				i++
			}
		case '"':
			inQuotes = !inQuotes
		case '=':
			if !inQuotes {
				return s[:i], s[i+1:], true
			}
		}
	}
	return "", "", false
}

// setPath parses the path of a --set.
func (l *loader) setPath(src *source, name string) ([]string, bool) {
	p := cue.ParsePath(name)
	var path []string
	ok := p.Err() == nil
	if ok {
		for _, s := range p.Selectors() {
			switch s.LabelType() {
			case cue.StringLabel:
				path = append(path, s.Unquoted())
			case cue.IndexLabel:
				path = append(path, index(s.Index()))
			default:
				ok = false
			}
		}
	}
	ok = ok && !slices.ContainsFunc(path, func(e string) bool { return strings.Contains(e, pathSeparator) || len(e) > 1000 })
	if ok && len(path) > 0 && len(path) <= maxDepth {
		return path, true
	}
	d := diag.Diagnostic{
		Code: diag.CodeSyntax, Pos: src.pos(0, 1), Span: src.valueAt - 2,
		Message: "this is no path of a setting",
		Hint:    "keys are separated by dots; put a key with other characters than letters, digits and underscores in double quotes: --set 'exchanges.\"rx-1\".shared=...'",
	}
	if better := quoteKeys(name); better != "" {
		d.DidYouMean = better
	}
	l.diags = append(l.diags, d)
	return nil, false
}

// quoteKeys puts quotes where a path needs them, if that is all it needs.
func quoteKeys(name string) string {
	if strings.ContainsFunc(name, func(r rune) bool { return r != '.' && r != '-' && !plainKey("_"+string(r)) }) {
		return ""
	}
	parts := strings.Split(name, ".")
	for i, p := range parts {
		if p == "" {
			return ""
		}
		if !plainKey(p) {
			parts[i] = fmt.Sprintf("%q", p)
		}
	}
	better := strings.Join(parts, ".")
	if better == name || cue.ParsePath(better).Err() != nil {
		return ""
	}
	return better
}

// assignment reads the value of an environment variable or --set: as text where the schema
// wants text, else as YAML.
func (l *loader) assignment(src *source, path []string, value string) *layered {
	at := src.pos(0, src.valueAt)
	text := &node{kind: textNode, text: value, src: src, key: src.pos(0, 1), val: at, keySpan: src.valueAt - 2}
	d, _ := l.view.root.below(path...)
	if d.textOnly() {
		return &layered{src: src, tree: text, path: path}
	}
	// The YAML is a source of its own, because its lines are not those of the assignment.
	p := parser{src: newSource(src.name, src.kind, src.layer, yamlFormat, src.dir, []byte(value))}
	n := p.parse([]byte(value))
	takesText := d != nil && d.kinds&cue.StringKind != 0
	if (n == nil || len(p.diags) > 0 || n.kind.scalar() && !d.holdsScalar(n.kind)) && takesText {
		return &layered{src: src, tree: text, path: path}
	}
	if n == nil || len(p.diags) > 0 {
		l.failed = true
		for _, x := range p.diags {
			l.diags = append(l.diags, diag.Diagnostic{
				Code: x.Code, Path: show(path), Pos: at, Hint: x.Hint,
				Message: strings.Replace(x.Message, "the file ", "the value ", 1),
			})
		}
		src.secrets[1] = append(src.secrets[1], span{column: src.valueAt})
		return nil
	}
	if n.kind == mapNode && len(n.keys) == 0 && strings.TrimSpace(value) == "" {
		n.kind = nullNode
	}
	n.walk(func(x *node) {
		x.src, x.key, x.val, x.keySpan = src, at, at, 0
	})
	n.key, n.keySpan = text.key, text.keySpan
	return &layered{src: src, tree: n, path: path}
}

func (d *def) holdsScalar(k nodeKind) bool { return d == nil || d.kinds&k.cueKind() != 0 }

// workingDir is what relative paths in the environment and --set resolve against.
func (l *loader) workingDir() string {
	dir, err := filepath.Abs(".")
	if err != nil {
		return "."
	}
	return dir
}

// finish completes the diagnostics for people.
func (l *loader) finish() {
	addSources(l.diags, l.sources, l.view.isHarmless)
	l.diags.Sort()
}
