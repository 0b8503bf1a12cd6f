package diag_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/panelmatch/panelmatch/schema/diag"
)

var update = flag.Bool("update", false, "rewrite golden files")

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), string(got)); d != "" {
		t.Errorf("%s (-want +got):\n%s", file, d)
	}
}

func sample() diag.List {
	return diag.List{
		{
			Code: diag.CodeUnknown, Path: "storge", Pos: diag.Position{File: "edp.yaml", Line: 7, Column: 1},
			Message: "no such setting", Allowed: []string{"apiVersion", "kind", "storage"}, DidYouMean: "storage",
			Source: "storge:", Span: 6,
		},
		{
			Code: diag.CodeDuplicate, Path: `exchanges."rx.2".shared`, Pos: diag.Position{File: "edp.yaml", Line: 112, Column: 5},
			Message: "is given twice in the same map", Hint: "keep one of the two", Source: "\tü: shared: gs://b", Span: 6,
			Related: []diag.Related{{Pos: diag.Position{File: "edp.yaml", Line: 3, Column: 1}, Message: "the first one"}},
		},
		{
			Severity: diag.Warning, Code: diag.CodeRisk, Path: "run.mode", Pos: diag.Position{File: "--set #1", Column: 10, Layer: 4},
			Message: "allowed, and worth a second look", Source: "run.mode=DAEMON",
			Hint: "a hint that is so long that it does not fit into one line of the width that people's terminals usually have, so that it is wrapped",
		},
		{Code: diag.CodeRead, Message: "no manifest file is given"},
		{
			Code: diag.CodeValue, Path: "kms", Pos: diag.Position{File: "long.json", Line: 1, Column: 301}, Span: 4,
			Message: "must be a key URI", Source: strings.Repeat("x", 300) + "HERE" + strings.Repeat("y", 300),
		},
		{
			Code: diag.CodeValue, Path: "kms", Pos: diag.Position{File: "bad.yaml", Line: 2, Column: 6},
			Message: "can't drive the \x1b[31mterminal", Source: "kms: \x1b[2J\u202eevil", Allowed: manyWords(40),
		},
	}
}

func manyWords(n int) []string {
	words := make([]string, n)
	for i := range words {
		words[i] = fmt.Sprintf("setting%d", i)
	}
	return words
}

func TestTextShowsPlaceCaretAndWayOut(t *testing.T) {
	var b bytes.Buffer
	if err := sample().WriteText(&b, diag.TextOptions{}); err != nil {
		t.Fatal(err)
	}
	golden(t, "sample.txt", b.Bytes())
	if strings.Contains(b.String(), "\x1b") {
		t.Error("text without color has an escape sequence")
	}
}

func TestColorIsOnlyColor(t *testing.T) {
	var plain, colored bytes.Buffer
	if err := sample().WriteText(&plain, diag.TextOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := sample().WriteText(&colored, diag.TextOptions{Color: true}); err != nil {
		t.Fatal(err)
	}
	stripped := colored.String()
	for _, code := range []string{"\x1b[0m", "\x1b[1m", "\x1b[1;31m", "\x1b[1;33m", "\x1b[36m", "\x1b[32m"} {
		stripped = strings.ReplaceAll(stripped, code, "")
	}
	if d := cmp.Diff(plain.String(), stripped); d != "" {
		t.Errorf("color changes more than color (-plain +stripped):\n%s", d)
	}
	if plain.Len() == colored.Len() {
		t.Error("color changes nothing")
	}
}

func TestJSONIsStableAndParses(t *testing.T) {
	var b bytes.Buffer
	if err := sample().WriteJSON(&b); err != nil {
		t.Fatal(err)
	}
	golden(t, "sample.json", b.Bytes())
	var back struct {
		Errors, Warnings int
		Diagnostics      []map[string]any
	}
	if err := json.Unmarshal(b.Bytes(), &back); err != nil {
		t.Fatal(err)
	}
	if back.Errors != 5 || back.Warnings != 1 || len(back.Diagnostics) != 6 {
		t.Errorf("counts: %d errors, %d warnings, %d diagnostics", back.Errors, back.Warnings, len(back.Diagnostics))
	}
}

func TestEmptyListWritesAnEmptyArray(t *testing.T) {
	var b bytes.Buffer
	if err := diag.List(nil).WriteJSON(&b); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(b.String(), `"diagnostics": []`) {
		t.Errorf("got %s", b.String())
	}
	b.Reset()
	if err := diag.List(nil).WriteText(&b, diag.TextOptions{}); err != nil || b.Len() > 0 {
		t.Errorf("text of an empty list: %q, %v", b.String(), err)
	}
}

func TestSortIsByPlaceAndDropsRepetitions(t *testing.T) {
	at := func(file string, layer, line int) diag.Position {
		return diag.Position{File: file, Layer: layer, Line: line, Column: 1}
	}
	l := diag.List{
		{Message: "nowhere"},
		{Message: "later layer", Pos: at("a", 1, 1)},
		{Message: "second line", Pos: at("b", 0, 2)},
		{Message: "first line", Pos: at("b", 0, 1)},
		{Message: "first line, said twice", Pos: at("b", 0, 1)},
	}
	l.Sort()
	var got []string
	for _, d := range l {
		got = append(got, d.Message)
	}
	want := []string{"first line", "second line", "later layer", "nowhere"}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestWarningsAreNoError(t *testing.T) {
	warn := diag.List{{Severity: diag.Warning, Message: "look"}}
	if err := warn.Err(); err != nil {
		t.Errorf("warnings alone are an error: %v", err)
	}
	l := append(warn, diag.Diagnostic{Message: "broken", Path: "a.b", Pos: diag.Position{File: "f", Line: 1}, Allowed: []string{"x", "y"}})
	err := fmt.Errorf("load: %w", l.Err())
	if back := diag.FromError(err); len(back) != 2 {
		t.Errorf("FromError found %d diagnostics", len(back))
	}
	if want := "f:1: a.b: broken; allowed: x, y"; !strings.Contains(err.Error(), want) {
		t.Errorf("error text %q lacks %q", err, want)
	}
	if diag.FromError(errors.New("other")) != nil {
		t.Error("FromError found diagnostics in another error")
	}
	if got := l.Summary(); got != "1 error, 1 warning" {
		t.Errorf("summary %q", got)
	}
}

func TestClosestFindsWhatWasMeant(t *testing.T) {
	settings := []string{"storage", "secretMaps", "pollInterval", "inputInterval", "kms", "keys", "vaultPKI", "url", "auth"}
	for _, c := range []struct{ word, want string }{
		{"storge", "storage"},
		{"stroage", "storage"},
		{"Storage", "storage"},
		{"poll_interval", "pollInterval"},
		{"poll-interval", "pollInterval"},
		{"poll", "pollInterval"},
		{"vaultPki", "vaultPKI"},
		{"key", "keys"},
		{"uri", "url"},
		{"secretmap", "secretMaps"},
		{"xyzzy", ""},
		{"", ""},
		{"storage", ""},
		{"zz", ""},
		{strings.Repeat("a", 10000), ""},
	} {
		got, ok := diag.Closest(c.word, settings)
		if got != c.want && (ok || c.want != "") {
			t.Errorf("Closest(%.20q) = %q, want %q", c.word, got, c.want)
		}
		if ok != (c.want != "") {
			t.Errorf("Closest(%.20q) found = %v", c.word, ok)
		}
	}
}

func FuzzClosest(f *testing.F) {
	f.Add("storge", "storage")
	f.Fuzz(func(t *testing.T, word, candidate string) {
		got, ok := diag.Closest(word, []string{candidate})
		if ok && got != candidate {
			t.Errorf("Closest(%q) = %q, which is no candidate", word, got)
		}
	})
}

func FuzzWriteTextIsPrintable(f *testing.F) {
	f.Add("message", "source", 3, 4)
	f.Fuzz(func(t *testing.T, message, source string, column, span int) {
		var b bytes.Buffer
		l := diag.List{{Message: message, Source: source, Span: span, Pos: diag.Position{File: message, Line: 1, Column: column}}}
		if err := l.WriteText(&b, diag.TextOptions{}); err != nil {
			t.Fatal(err)
		}
		if strings.ContainsAny(b.String(), "\x1b\x00\r\a") {
			t.Errorf("control character in %q", b.String())
		}
	})
}
