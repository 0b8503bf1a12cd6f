package schema_test

// The Go types that a manifest is decoded into have the keys of their
// definitions: decoding ignores unknown keys, so a difference would go unseen.

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"cuelang.org/go/cue"

	"github.com/panelmatch/panelmatch/schema/manifest"
)

func TestGoTypesHaveTheKeysOfTheSchema(t *testing.T) {
	v := compile(t)
	for def, x := range map[string]any{
		"#Identity": manifest.Identity{}, "#Subject": manifest.Subject{}, "#Run": manifest.Run{}, "#Retry": manifest.Retry{},
		"#Preprocessing": manifest.Preprocessing{}, "#Keys": manifest.Keys{}, "#Limits": manifest.Limits{},
		"#Trust": manifest.Trust{}, "#Telemetry": manifest.Telemetry{}, "#Traces": manifest.Traces{},
		"#Profiling": manifest.Profiling{}, "#Input": manifest.Input{},
	} {
		var got []string
		for f := range reflect.TypeOf(x).Fields() {
			key, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			got = append(got, key)
		}
		slices.Sort(got)
		if want := keys(t, v.LookupPath(cue.ParsePath(def))); !slices.Equal(got, want) {
			t.Errorf("%T has %v, %s has %v", x, got, def, want)
		}
	}
}

func TestUseCasesAreTheSameEverywhere(t *testing.T) {
	want := make([]string, 0, 5)
	for _, u := range manifest.UseCases() {
		want = append(want, string(u))
	}
	slices.Sort(want)
	v := compile(t)
	if got := keys(t, v.LookupPath(cue.ParsePath("#SecretMaps"))); !slices.Equal(got, want) {
		t.Errorf("#SecretMaps has %v, want %v", got, want)
	}
	got := slices.DeleteFunc(keys(t, v.LookupPath(cue.ParsePath("#Storages"))), func(k string) bool { return k == "root" })
	if !slices.Equal(got, want) {
		t.Errorf("#Storages has %v and root, want %v", got, want)
	}
}

// Every default is what Go reads: the schema's patterns and Go's parsers agree.
func TestDefaultsDecode(t *testing.T) {
	loaded, list := manifest.Load(t.Context(), manifest.Sources{Files: []string{"../manifests/aws/deployment.yaml"}})
	if len(list) > 0 {
		t.Fatal(show(t, list))
	}
	m := loaded.Manifest
	if m.Run.MaxParallelSteps != 4 || m.Limits.SharedBlob != 1<<30 || m.Preprocessing.MaxByteSize != 1e6 || m.Keys.Algorithm != "EC" {
		t.Errorf("defaults are %+v %+v %+v %+v", m.Run, m.Limits, m.Preprocessing, m.Keys)
	}
	if m.Compute.Name != "local" {
		t.Errorf("compute is %q by default, want local", m.Compute.Name)
	}
}
