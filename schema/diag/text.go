package diag

import (
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// TextOptions says how WriteText writes.
type TextOptions struct {
	// Color uses ANSI escape sequences. Set it only if the writer is a terminal.
	Color bool
}

// The escape sequences in use: bold red and yellow for the severities, bold for what was said, cyan
// for the frame, green for the way out.
const (
	ansiReset  = "\x1b[0m"
	ansiBold   = "\x1b[1m"
	ansiRed    = "\x1b[1;31m"
	ansiYellow = "\x1b[1;33m"
	ansiCyan   = "\x1b[36m"
	ansiGreen  = "\x1b[32m"
)

// Widths, in characters, beyond which a source line is cut and a list of words is wrapped.
const (
	sourceWidth = 160
	wrapWidth   = 100
)

// WriteText writes the list for a person: one block per diagnostic with the
// source line and a caret below the place, then a summary line. It does not
// sort; an empty list writes nothing. Characters that could move a terminal's
// cursor are replaced.
func (l List) WriteText(w io.Writer, opts TextOptions) error {
	if len(l) == 0 {
		return nil
	}
	t := textWriter{color: opts.Color}
	for _, d := range l {
		t.diagnostic(d)
		t.b.WriteByte('\n')
	}
	t.b.WriteString(l.Summary())
	t.b.WriteByte('\n')
	_, err := io.WriteString(w, t.b.String())
	return err
}

// Summary returns the count in words, such as "2 errors, 1 warning", or "no faults found".
func (l List) Summary() string {
	errs, warnings := l.Count()
	var parts []string
	if errs > 0 {
		parts = append(parts, count(errs, "error"))
	}
	if warnings > 0 {
		parts = append(parts, count(warnings, "warning"))
	}
	if len(parts) == 0 {
		return "no faults found"
	}
	return strings.Join(parts, ", ")
}

func count(n int, word string) string {
	if n == 1 {
		return "1 " + word
	}
	return strconv.Itoa(n) + " " + word + "s"
}

// WriteJSON writes {"errors": n, "warnings": n, "diagnostics": [...]} in the
// order of the list. The member names are stable.
func (l List) WriteJSON(w io.Writer) error {
	errs, warnings := l.Count()
	if l == nil {
		l = List{} // null would surprise a script that iterates
	}
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(struct {
		Errors      int  `json:"errors"`
		Warnings    int  `json:"warnings"`
		Diagnostics List `json:"diagnostics"`
	}{errs, warnings, l})
}

type textWriter struct {
	b     strings.Builder
	color bool
}

func (t *textWriter) paint(code, s string) string {
	if !t.color || s == "" {
		return s
	}
	return code + s + ansiReset
}

func (t *textWriter) diagnostic(d Diagnostic) {
	code := ansiRed
	if d.Severity == Warning {
		code = ansiYellow
	}
	t.b.WriteString(t.paint(code, d.Severity.String()))
	t.b.WriteString(": ")
	head := printable(d.Message)
	if d.Path != "" {
		head = printable(d.Path) + ": " + head
	}
	t.b.WriteString(t.paint(ansiBold, head))
	t.b.WriteByte('\n')
	t.source(d)
	if len(d.Allowed) > 0 {
		t.list("allowed: ", d.Allowed)
	}
	if d.DidYouMean != "" {
		fmt.Fprintf(&t.b, "  did you mean %s?\n", t.paint(ansiGreen, printable(d.DidYouMean)))
	}
	if d.Hint != "" {
		for i, line := range wrap(strings.Fields(printable(d.Hint)), " ", wrapWidth-8) {
			if i == 0 {
				fmt.Fprintf(&t.b, "  %s %s\n", t.paint(ansiGreen, "hint:"), line)
			} else {
				fmt.Fprintf(&t.b, "        %s\n", line)
			}
		}
	}
	for _, r := range d.Related {
		if r.Pos.IsValid() {
			fmt.Fprintf(&t.b, "  see %s: %s\n", printable(r.Pos.String()), printable(r.Message))
		} else {
			fmt.Fprintf(&t.b, "  see %s\n", printable(r.Message))
		}
	}
}

// source writes the place, the line and the caret.
func (t *textWriter) source(d Diagnostic) {
	if !d.Pos.IsValid() {
		return
	}
	number := " "
	if d.Pos.Line > 0 {
		number = strconv.Itoa(d.Pos.Line)
	}
	gutter := strings.Repeat(" ", len(number))
	bar := t.paint(ansiCyan, "|")
	fmt.Fprintf(&t.b, "%s%s %s\n", gutter, t.paint(ansiCyan, "-->"), printable(d.Pos.String()))
	if strings.TrimSpace(d.Source) == "" {
		return
	}
	column := d.Pos.Column
	if d.Caret != 0 {
		column = d.Caret
	}
	text, caret, span := crop(printable(d.Source), column, d.Span)
	fmt.Fprintf(&t.b, "%s %s\n", gutter, bar)
	fmt.Fprintf(&t.b, "%s %s %s\n", t.paint(ansiCyan, number), bar, text)
	if column > 0 {
		fmt.Fprintf(&t.b, "%s %s %s%s\n", gutter, bar, strings.Repeat(" ", caret), t.paint(ansiRed, strings.Repeat("^", span)))
	}
}

// crop cuts a long line around the place, and returns it with the caret's
// offset and length in characters.
func crop(text string, column, span int) (string, int, int) {
	r := []rune(strings.TrimRight(text, " "))
	at := min(max(column-1, 0), len(r))
	span = max(min(span, len(r)-at), 1)
	if len(r) <= sourceWidth {
		return string(r), at, span
	}
	const before = 60
	start := max(at-before, 0)
	end := min(start+sourceWidth, len(r))
	cut := string(r[start:end])
	at -= start
	if start > 0 {
		cut = "… " + cut
		at += 2
	}
	if end < len(r) {
		cut += " …"
	}
	return cut, at, min(span, sourceWidth-before)
}

func (t *textWriter) list(title string, words []string) {
	quoted := make([]string, len(words))
	for i, w := range words {
		quoted[i] = printable(w)
		if i+1 < len(words) {
			quoted[i] += ","
		}
	}
	indent := strings.Repeat(" ", len(title))
	for i, line := range wrap(quoted, " ", wrapWidth-len(title)) {
		if i > 0 {
			title = indent
		}
		fmt.Fprintf(&t.b, "  %s%s\n", title, line)
	}
}

// wrap joins words into lines of at most width characters, if no word is longer.
func wrap(words []string, sep string, width int) []string {
	var lines []string
	var line string
	for _, w := range words {
		switch {
		case line == "":
			line = w
		case utf8.RuneCountInString(line)+utf8.RuneCountInString(sep)+utf8.RuneCountInString(w) <= width:
			line += sep + w
		default:
			lines = append(lines, line)
			line = w
		}
	}
	if line != "" {
		lines = append(lines, line)
	}
	return lines
}

// printable replaces what is not a printable character, one for one, so that
// columns stay right and hostile text can't drive the terminal.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\t' || r == '\n' || r == '\r':
			return ' '
		case r == ' ' || unicode.IsPrint(r):
			return r
		}
		return unicode.ReplacementChar
	}, s)
}
