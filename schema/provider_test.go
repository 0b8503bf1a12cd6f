package schema_test

// A provider's settings in Go and its definition in the schema have the same
// keys. The providers' sources are read, not imported: the schema is below them.

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"cuelang.org/go/cue"
)

func TestProvidersHaveTheSettingsOfTheSchema(t *testing.T) {
	v := compile(t)
	for kind, def := range map[string]string{"ca": "#CertificateAuthority", "secretmap": "#SecretMap"} {
		for _, dir := range directories(t, "../providers/"+kind) {
			t.Run(kind+"/"+filepath.Base(dir), func(t *testing.T) {
				name, backend := member(v.LookupPath(cue.ParsePath(def)), filepath.Base(dir))
				if name == "" {
					t.Fatalf("%s has no backend of this name", def)
				}
				config := settingsOf(t, dir)
				if config == nil {
					return // it reads its one setting through the scope
				}
				if got, want := keysOf(config), keys(t, backend); !slices.Equal(got, want) {
					t.Errorf("the provider reads %v, the schema has %v", got, want)
				}
			})
		}
	}
	// A storage or key has the settings of all of its kind (url, auth) and, by its name, some of its own.
	for kind, def := range map[string]string{"storage": "#StorageSpec", "kms": "#KMSSpec"} {
		for _, dir := range directories(t, "../providers/"+kind) {
			t.Run(kind+"/"+filepath.Base(dir), func(t *testing.T) {
				config := settingsOf(t, dir)
				if config == nil {
					t.Fatal("no type Config or settings")
				}
				spec := v.LookupPath(cue.ParsePath(def))
				for _, k := range keysOf(config) {
					if !slices.Contains(keys(t, spec), k) {
						t.Errorf("the provider reads %s, which %s does not have", k, def)
					}
				}
				for name, own := range nested(config) {
					if _, d := member(spec, name); !slices.Equal(keysOf(own), keys(t, d)) {
						t.Errorf("the provider reads %v in %s, the schema has %v", keysOf(own), name, keys(t, d))
					}
				}
			})
		}
	}
}

func directories(t *testing.T, parent string) []string {
	t.Helper()
	entries, err := os.ReadDir(parent)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, e := range entries {
		dir := filepath.Join(parent, e.Name())
		if sources, _ := filepath.Glob(dir + "/*.go"); e.IsDir() && len(sources) > 0 {
			all = append(all, dir)
		}
	}
	return all
}

// member finds the setting of v that is called name, in whatever case.
func member(v cue.Value, name string) (string, cue.Value) {
	it, err := v.Fields(cue.Optional(true))
	for err == nil && it.Next() {
		if key := it.Selector().Unquoted(); strings.EqualFold(key, name) {
			return key, cue.Dereference(it.Value())
		}
	}
	return "", cue.Value{}
}

func keys(t *testing.T, v cue.Value) []string {
	t.Helper()
	it, err := v.Fields(cue.Optional(true))
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for it.Next() {
		all = append(all, it.Selector().Unquoted())
	}
	slices.Sort(all)
	return all
}

// settingsOf finds the type Config or settings of a provider's package.
func settingsOf(t *testing.T, dir string) *ast.StructType {
	t.Helper()
	var found *ast.StructType
	for _, name := range glob(t, dir+"/*.go") {
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(f, func(n ast.Node) bool {
			if spec, ok := n.(*ast.TypeSpec); ok && slices.Contains([]string{"Config", "settings"}, spec.Name.Name) {
				if s, ok := spec.Type.(*ast.StructType); ok {
					found = s
				}
			}
			return true
		})
	}
	return found
}

func jsonKey(f *ast.Field) string {
	if f.Tag == nil {
		return ""
	}
	tag, err := strconv.Unquote(f.Tag.Value)
	if err != nil {
		return ""
	}
	key, _, _ := strings.Cut(reflect.StructTag(tag).Get("json"), ",")
	return key
}

func keysOf(s *ast.StructType) []string {
	var all []string
	for _, f := range s.Fields.List {
		if k := jsonKey(f); k != "" {
			all = append(all, k)
		}
	}
	slices.Sort(all)
	return all
}

func nested(s *ast.StructType) map[string]*ast.StructType {
	all := map[string]*ast.StructType{}
	for _, f := range s.Fields.List {
		if inner, ok := f.Type.(*ast.StructType); ok {
			all[jsonKey(f)] = inner
		}
	}
	return all
}
