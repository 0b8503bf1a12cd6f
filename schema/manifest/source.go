package manifest

import (
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/panelmatch/panelmatch/schema/diag"
)

// format is a language in which a layer can be written.
type format uint8

const (
	yamlFormat format = iota
	jsonFormat
	cueFormat
	assignment // one environment variable or --set
)

// source is one file, environment variable or --set, with its text.
type source struct {
	name   string
	layer  int
	kind   string // what people call the layer: file, overrides, environment, --set
	format format
	dir    string // against which relative paths resolve
	lines  []string
	// valueAt is the column of an assignment's value.
	valueAt int
	// secrets are places to mask, by line; hidden are texts to mask wherever they occur.
	secrets map[int][]span
	hidden  []string
	// unparsed: no node tells which parts are secret, so that guesses must be cautious.
	unparsed bool
}

// span is a stretch of characters in a line. Length 0 reaches to the end of the line.
type span struct{ column, length int }

func newSource(name, kind string, layer int, f format, dir string, data []byte) *source {
	text := strings.ReplaceAll(string(data), "\r\n", "\n")
	return &source{
		name: name, kind: kind, layer: layer, format: f, dir: dir,
		lines: strings.Split(text, "\n"), secrets: map[int][]span{},
	}
}

func (s *source) pos(line, column int) diag.Position {
	return diag.Position{File: s.name, Line: line, Column: column, Layer: s.layer}
}

// line returns the text at pos, or an empty string.
func (s *source) line(pos diag.Position) string {
	n := pos.Line
	if s.format == assignment {
		n = 1
	}
	if n < 1 || n > len(s.lines) {
		return ""
	}
	return s.lines[n-1]
}

// column turns a column in bytes into one in characters.
func (s *source) column(line, bytes int) int {
	if line < 1 || line > len(s.lines) || bytes < 1 {
		return bytes
	}
	text := s.lines[line-1]
	return utf8.RuneCountInString(text[:min(bytes-1, len(text))]) + 1
}

const redacted = "[redacted]"

// collect notes where the hidden scalars of a tree stand.
func (s *source) collect(n *node) {
	n.walk(func(x *node) {
		if !x.hidden || !x.kind.scalar() || x.src != s {
			return
		}
		line := max(x.val.Line, 1)
		s.secrets[line] = append(s.secrets[line], s.extent(x))
		// A value may be written elsewhere in the file (an anchor, a CUE reference). Short ones
		// would blot out innocent text.
		if len(x.text) >= 4 && x.kind == textNode && !isReference(x.text) {
			s.hidden = append(s.hidden, x.text)
		}
	})
	slices.SortFunc(s.hidden, func(a, b string) int { return len(b) - len(a) })
	s.hidden = slices.Compact(s.hidden)
}

// extent is the stretch of a scalar in its line; all that follows if its end is not certain.
func (s *source) extent(x *node) span {
	r := []rune(s.line(x.val))
	start := x.val.Column - 1
	if x.val.Column < 1 || start >= len(r) || s.format == assignment {
		return span{column: x.val.Column}
	}
	rest := string(r[start:])
	if q := rest[0]; q == '"' || q == '\'' {
		if end := closingQuote(rest, q); end > 0 {
			return span{x.val.Column, utf8.RuneCountInString(rest[:end])}
		}
		return span{column: x.val.Column}
	}
	if strings.HasPrefix(rest, x.text) && x.text != "" {
		return span{x.val.Column, utf8.RuneCountInString(x.text)}
	}
	return span{column: x.val.Column}
}

// closingQuote returns the length of the quoted text that s begins with, or 0.
func closingQuote(s string, q byte) int {
	for i := 1; i < len(s); i++ {
		switch {
		case q == '"' && s[i] == '\\':
			i++
		case s[i] == q && q == '\'' && i+1 < len(s) && s[i+1] == q:
			i++
		case s[i] == q:
			return i + 1
		}
	}
	return 0
}

// masked returns the line at pos without secrets, with the column and length
// of the fault moved to where they are then; column is negative if that is not known.
func (s *source) masked(pos diag.Position, length int, harmless func(key string) bool) (text string, column, newLength int) {
	text = s.line(pos)
	if s.unparsed {
		shown := maskURLs(maskUnparsed(text, harmless))
		if shown != text {
			return shown, -1, 0 // the place in what is left is not known
		}
		return shown, pos.Column, length
	}
	line := max(pos.Line, 1)
	column = pos.Column
	spans := slices.Clone(s.secrets[line])
	// From right to left, so that the columns of what is left to do stay true.
	slices.SortFunc(spans, func(a, b span) int { return b.column - a.column })
	spans = slices.Compact(spans) // an anchor is used more than once
	r := []rune(text)
	for _, sp := range spans {
		if sp.column < 1 || sp.column-1 > len(r) {
			r = []rune(redacted)
			column = -1
			continue
		}
		end := len(r)
		if sp.length > 0 {
			end = min(sp.column-1+sp.length, len(r))
		}
		was := end - (sp.column - 1)
		now := utf8.RuneCountInString(redacted)
		r = slices.Concat(r[:sp.column-1], []rune(redacted), r[end:])
		switch {
		case sp.column == column:
			length = now
		case sp.column < column:
			column = max(column+now-was, 1)
		}
	}
	text = string(r)
	for _, h := range s.hidden {
		text = strings.ReplaceAll(text, h, redacted)
	}
	return maskURLs(text), column, length
}

var (
	userInfo    = regexp.MustCompile(`(://)[^/@\s"'?#]*@`)
	secretQuery = regexp.MustCompile(`(?i)([?&][a-z0-9._-]*(?:secret|token|passw|signature|credential|accesskey)[a-z0-9._-]*=)[^&\s"']+`)
	keyWord     = regexp.MustCompile(`([A-Za-z0-9_.-]+)"?\s*:(?:[\s"'{\[]|$)`)
	anyWord     = regexp.MustCompile(`[^\s{}\[\],:"'#-]+`)
	quoted      = regexp.MustCompile(`"(?:[^"\\]|\\.)*"`)
)

// maskURLs takes user, password and tokens out of the URLs in a text.
func maskURLs(text string) string {
	return secretQuery.ReplaceAllString(userInfo.ReplaceAllString(text, "${1}"+redacted+"@"), "${1}"+redacted)
}

// maskUnparsed shows of a line that could not be parsed only what can't be a
// secret: its structure, the names of settings, and the values of settings
// that are known to hold none.
func maskUnparsed(text string, harmless func(string) bool) string {
	keys := keyWord.FindAllStringSubmatchIndex(text, -1)
	if len(keys) > 0 && strings.Trim(text[:keys[0][0]], " \t-{\"") == "" {
		// The line is safe as far as all its keys are.
		safe := len(text)
		for _, k := range keys {
			if !harmless(text[k[2]:k[3]]) {
				safe = k[0]
				break
			}
		}
		return text[:safe] + maskWords(text[safe:], harmless)
	}
	return maskWords(text, harmless)
}

// maskWords replaces all words but names of settings, and the key that the text begins with.
func maskWords(text string, harmless func(string) bool) string {
	kept := 0
	if m := keyWord.FindStringIndex(text); m != nil && strings.Trim(text[:m[0]], " \t-{[,\"") == "" {
		kept = m[1]
	}
	return text[:kept] + anyWord.ReplaceAllStringFunc(text[kept:], func(w string) string {
		if harmless(w) {
			return w
		}
		return "…"
	})
}

var reference = regexp.MustCompile(`^(file:.+|env:[A-Za-z_]\w*)$`)

// isReference reports whether a text refers to a secret rather than being one.
func isReference(text string) bool { return reference.MatchString(text) }
