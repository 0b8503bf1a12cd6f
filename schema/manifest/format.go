package manifest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	cueformat "cuelang.org/go/cue/format"
	"go.yaml.in/yaml/v3"

	"github.com/panelmatch/panelmatch/schema/diag"
)

// Format returns a manifest in the project's style: YAML and JSON with two
// spaces of indentation, CUE as `cue fmt` has it. Keys keep their order,
// comments and single blank lines stay. The file's name tells the language.
//
// Format is idempotent. It needs no complete or valid manifest, only one that
// can be parsed; a syntax error comes as an error that holds a diag.List. It
// refuses to change what a document says or to lose a comment.
func Format(filename string, data []byte) (out []byte, err error) {
	f, ok := formatOf(filename)
	if !ok {
		return nil, fmt.Errorf("%s: no manifest has this extension; allowed are %s", filename, strings.Join(manifestExtensions(), ", "))
	}
	if len(data) > maxFileSize {
		return nil, fmt.Errorf("%s: %w", filename, errTooLarge)
	}
	src := newSource(filename, layerFile, 0, f, ".", data)
	if f == cueFormat {
		return formatCUE(src, data)
	}
	before, err := formatParse(src, data)
	if err != nil {
		return nil, err
	}
	if f == jsonFormat {
		var b bytes.Buffer
		if err := json.Indent(&b, bytes.TrimSpace(data), "", "  "); err != nil {
			return nil, fmt.Errorf("%s: %w", filename, err)
		}
		b.WriteByte('\n')
		return b.Bytes(), nil
	}
	out = data
	// The second round settles comments that the first has moved.
	for range 4 {
		next, err := formatYAML(out)
		if err != nil {
			return nil, fmt.Errorf("%s: can't be formatted: %w", filename, err)
		}
		after, err := formatParse(newSource(filename, layerFile, 0, f, ".", next), next)
		if err != nil || !sameMeaning(before, after) {
			return nil, fmt.Errorf("%s: is left as it is: formatting it would change what it says", filename)
		}
		if !slices.Equal(comments(data), comments(next)) {
			return nil, fmt.Errorf("%s: is left as it is: formatting it would lose a comment; move comments to lines of their own", filename)
		}
		if bytes.Equal(next, out) {
			return out, nil
		}
		out = next
	}
	return nil, fmt.Errorf("%s: is left as it is: its comments find no stable place; move them to lines of their own", filename)
}

// formatParse parses a document to compare its meaning, and to refuse it with
// the same words as Load does.
func formatParse(src *source, data []byte) (*node, error) {
	p := parser{src: src}
	n := p.parse(data)
	var diags diag.List
	for _, d := range p.diags {
		if d.Code == diag.CodeSyntax || d.Code == diag.CodeDuplicate {
			diags = append(diags, d)
		}
	}
	if n == nil || len(diags) > 0 {
		addSources(diags, []*source{src}, func(string) bool { return false })
		return nil, diags.Err()
	}
	return n, nil
}

func formatCUE(src *source, data []byte) ([]byte, error) {
	p := parser{src: src}
	if !p.checkText(data) {
		return nil, p.diags.Err()
	}
	out, err := cueformat.Source(data)
	if err != nil {
		return nil, fmt.Errorf("%s: is not CUE: %w", src.name, err)
	}
	return out, nil
}

// formatYAML writes a YAML document anew.
func formatYAML(data []byte) ([]byte, error) {
	var doc yaml.Node
	dec := yaml.NewDecoder(bytes.NewReader(data))
	if err := dec.Decode(&doc); err != nil {
		if errors.Is(err, io.EOF) {
			return data, nil // nothing but comments
		}
		return nil, err
	}
	var b bytes.Buffer
	enc := yaml.NewEncoder(&b)
	enc.SetIndent(2)
	if err := enc.Encode(&doc); err != nil {
		return nil, err
	}
	if err := enc.Close(); err != nil {
		return nil, err
	}
	return restoreBlankLines(data, &doc, b.Bytes())
}

// restoreBlankLines puts a blank line where the original has one or more in
// front of a key or an element, which the encoder drops.
func restoreBlankLines(original []byte, doc *yaml.Node, encoded []byte) ([]byte, error) {
	var again yaml.Node
	if err := yaml.Unmarshal(encoded, &again); err != nil {
		return nil, err
	}
	from, to := strings.Split(string(original), "\n"), strings.Split(string(encoded), "\n")
	blank := map[int]bool{}
	var walk func(a, b *yaml.Node)
	walk = func(a, b *yaml.Node) {
		if a.Kind != b.Kind || len(a.Content) != len(b.Content) {
			return
		}
		for i := range a.Content {
			x, y := a.Content[i], b.Content[i]
			isValue := a.Kind == yaml.MappingNode && i%2 == 1
			if !isValue && a.Style&yaml.FlowStyle == 0 && a.Kind != yaml.DocumentNode {
				if at := blockStart(from, x.Line); at > 0 && strings.TrimSpace(from[at-1]) == "" {
					blank[blockStart(to, y.Line)] = true
				}
			}
			walk(x, y)
		}
	}
	walk(doc, &again)
	var out []string
	for i, line := range to {
		if blank[i] && len(out) > 0 && strings.TrimSpace(out[len(out)-1]) != "" {
			out = append(out, "")
		}
		out = append(out, line)
	}
	return []byte(strings.Join(out, "\n")), nil
}

// blockStart is the index of the first of the comment lines directly above a
// line (counted from 1), or of the line itself.
func blockStart(lines []string, line int) int {
	i := line - 1
	for i > 0 && i <= len(lines) && strings.HasPrefix(strings.TrimSpace(lines[i-1]), "#") {
		i--
	}
	return max(i, 0)
}

// comments lists the comments of a YAML document, sorted. Lines of a block
// text that look like comments are among them, before and after.
func comments(data []byte) []string {
	var all []string
	for line := range strings.Lines(string(data)) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "#") {
			all = append(all, line)
			continue
		}
		if i := strings.LastIndex(line, " #"); i >= 0 {
			all = append(all, strings.TrimSpace(line[i:]))
		}
	}
	slices.Sort(all)
	return all
}

// sameMeaning compares two documents by what they say: kinds, values, keys and their order.
func sameMeaning(a, b *node) bool {
	if a.kind != b.kind || a.text != b.text || !slices.Equal(a.keys, b.keys) || len(a.items) != len(b.items) {
		return false
	}
	for _, k := range a.keys {
		if !sameMeaning(a.fields[k], b.fields[k]) {
			return false
		}
	}
	for i := range a.items {
		if !sameMeaning(a.items[i], b.items[i]) {
			return false
		}
	}
	return true
}
