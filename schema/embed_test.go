package schema_test

import (
	"bytes"
	"encoding/json"
	"regexp"
	"strings"
	"testing"

	"cuelang.org/go/cue"
	"cuelang.org/go/cue/cuecontext"

	"github.com/panelmatch/panelmatch/schema"
)

func TestSingleHasEveryDefinitionOnce(t *testing.T) {
	single, err := schema.Single()
	if err != nil {
		t.Fatal(err)
	}
	again, err := schema.Single()
	if err != nil || !bytes.Equal(single, again) {
		t.Errorf("two calls give two texts (%v)", err)
	}
	if n := len(regexp.MustCompile(`(?m)^package `).FindAll(single, -1)); n != 1 {
		t.Errorf("%d package clauses, want one", n)
	}
	if n := bytes.Count(single, []byte("\nimport ")); n != 1 {
		t.Errorf("%d import clauses, want one", n)
	}
	if !bytes.HasPrefix(single, []byte("// The schema of panelmatch")) {
		t.Error("the file does not begin with the package's comment")
	}
	v := cuecontext.New().CompileBytes(single, cue.Filename("panelmatch.cue"))
	if err := v.Err(); err != nil {
		t.Fatal(err)
	}
	definitions(t, func(name string, want cue.Value) {
		got := v.LookupPath(cue.ParsePath(name))
		if !got.Exists() {
			t.Errorf("%s is missing", name)
		} else if comment(got) != comment(want) {
			t.Errorf("%s: the comment is %q, want %q", name, comment(got), comment(want))
		}
		if n := bytes.Count(single, []byte("\n"+name+":")); n != 1 {
			t.Errorf("%s is there %d times", name, n)
		}
	})
}

func TestJSONSchemaSaysWhatEditorsNeed(t *testing.T) {
	text, err := schema.JSON()
	if err != nil {
		t.Fatal(err)
	}
	again, err := schema.JSON()
	if err != nil || !bytes.Equal(text, again) {
		t.Errorf("two calls give two texts (%v)", err)
	}
	var doc any
	if err := json.Unmarshal(text, &doc); err != nil {
		t.Fatal(err)
	}
	refs := regexp.MustCompile(`"\$ref": "#/\$defs/([^"]+)"`)
	for _, m := range refs.FindAllSubmatch(text, -1) {
		if at(doc, "$defs", string(m[1])) == nil {
			t.Errorf("%s leads nowhere", m[0])
		}
	}
	for _, c := range []struct {
		path string
		want any
	}{
		{"$schema", "https://json-schema.org/draft/2020-12/schema"},
		{"additionalProperties", false},
		{"properties/profile/default", "production"},
		{"properties/exchanges/additionalProperties/$ref", "#/$defs/Exchange"},
		{"$defs/Run/properties/pollInterval/default", "1m"},
		{"$defs/Run/properties/maxParallelSteps/default", 4.0},
		{"$defs/Coordinator/oneOf", []any{
			map[string]any{"required": []any{"kingdom"}},
			map[string]any{"required": []any{"checkpoint"}},
			map[string]any{"required": []any{"custom"}},
		}},
		{"$defs/Keys/properties/algorithm/enum", []any{"EC", "RSA"}},
	} {
		got, _ := json.Marshal(at(doc, strings.Split(c.path, "/")...))
		want, _ := json.Marshal(c.want)
		if !bytes.Equal(got, want) {
			t.Errorf("%s is %s, want %s", c.path, got, want)
		}
	}
	if strings.Contains(string(text), "        false\n") {
		t.Error("error() of a disjunction is left over as the choice false")
	}
}

func at(doc any, path ...string) any {
	for _, e := range path {
		m, ok := doc.(map[string]any)
		if !ok {
			return nil
		}
		doc = m[e]
	}
	return doc
}
