package check

import (
	"fmt"
	"io"
	"strings"
	"time"
	"unicode"
)

// TextOptions says how WriteText writes.
type TextOptions struct {
	// Color uses ANSI escape sequences. Set it only if the writer is a terminal.
	Color bool
}

var statusWords = map[Status]string{OK: "ok  ", Skipped: "skip", Warning: "warn", Failed: "FAIL"}

var statusColors = map[Status]string{OK: "\x1b[32m", Skipped: "\x1b[36m", Warning: "\x1b[1;33m", Failed: "\x1b[1;31m"}

// WriteText writes the report for a person: one line for each node, and below
// it what is wrong, what is missing and what to do.
func (r *Report) WriteText(w io.Writer, o TextOptions) error {
	var b strings.Builder
	width := 0
	for _, x := range r.Results {
		width = max(width, len(x.Node))
	}
	for _, x := range r.Results {
		word := statusWords[x.Status]
		if o.Color {
			word = statusColors[x.Status] + word + "\x1b[0m"
		}
		var names []string
		for _, p := range x.Proofs {
			if p.Status == OK {
				names = append(names, p.Name)
			}
		}
		line := fmt.Sprintf("%s  %-*s  %s  (%s)", word, width, printable(x.Node), strings.Join(names, ", "), time.Duration(x.Milliseconds)*time.Millisecond)
		b.WriteString(strings.TrimRight(line, " ") + "\n")
		for _, p := range x.Proofs {
			writeProof(&b, p)
		}
	}
	fmt.Fprintf(&b, "\n%d nodes, %d failed, %d with warnings, in %s\n", len(r.Results), r.Failed, r.Warnings, time.Duration(r.Milliseconds)*time.Millisecond)
	_, err := io.WriteString(w, b.String())
	return err
}

// writeProof tells of a proof what a person must know.
func writeProof(b *strings.Builder, p Proof) {
	if p.Status == OK {
		return
	}
	fmt.Fprintf(b, "      %s: %s\n", p.Name, printable(p.Detail))
	if p.Missing != "" {
		fmt.Fprintf(b, "      missing: %s\n", printable(p.Missing))
	}
	if p.Hint != "" {
		fmt.Fprintf(b, "      hint: %s\n", printable(p.Hint))
	}
}

// printable keeps a text on its line, and a terminal's cursor where it is.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return ' '
		case unicode.IsPrint(r):
			return r
		}
		return unicode.ReplacementChar
	}, s)
}
