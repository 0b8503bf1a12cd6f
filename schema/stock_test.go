package schema_test

// What the stock cue command makes of the schema, offline.

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"cuelang.org/go/cue"
	"cuelang.org/go/cue/cuecontext"
	"cuelang.org/go/encoding/yaml"

	"github.com/panelmatch/panelmatch/schema"
)

const top = ".."

// examples are all manifests that are there to be copied.
func examples(t *testing.T) []string {
	return glob(t, "../manifests/*/deployment.yaml", "../manifests/quickstart/*.yaml", "../manifests/*/exchanges.d/*.yaml")
}

func TestCheckoutVetsExamples(t *testing.T) {
	for _, name := range examples(t) {
		rel, err := filepath.Rel(top, name)
		if err != nil {
			t.Fatal(err)
		}
		if out, ok := stock(t, top, "vet", "-c", "./schema", rel, "-d", definition(name)); !ok {
			t.Errorf("cue vet -c ./schema %s -d '%s':\n%s", rel, definition(name), out)
		}
	}
}

func TestSingleFileVetsExamples(t *testing.T) {
	dir := t.TempDir()
	single, err := schema.Single()
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "panelmatch.cue"), string(single))
	for _, name := range examples(t) {
		// The name of the directory tells which definition it is.
		local := filepath.Join(filepath.Base(filepath.Dir(name)), filepath.Base(name))
		write(t, filepath.Join(dir, local), read(t, name))
		if out, ok := stock(t, dir, "vet", "-c", "panelmatch.cue", local, "-d", definition(name)); !ok {
			t.Errorf("cue vet -c panelmatch.cue %s -d '%s':\n%s", local, definition(name), out)
		}
	}
}

func TestManifestInCUEImportsSchema(t *testing.T) {
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS("testdata/cue")); err != nil {
		t.Fatal(err)
	}
	into := filepath.Join(dir, "cue.mod", "pkg", filepath.FromSlash(schema.ImportPath))
	if err := os.MkdirAll(into, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(into, schema.Files()); err != nil {
		t.Fatal(err)
	}
	if out, ok := stock(t, dir, "vet", "-c", "."); !ok {
		t.Fatalf("cue vet -c .:\n%s", out)
	}
	// The schema is really looked at.
	deployment := filepath.Join(dir, "deployment.cue")
	write(t, deployment, strings.Replace(read(t, deployment), "DATA_PROVIDER", "DATA_PROVDER", 1))
	if out, ok := stock(t, dir, "vet", "-c", "."); ok || !strings.Contains(out, "must be DATA_PROVIDER or MODEL_PROVIDER") {
		t.Errorf("a wrong party is accepted, or not told:\n%s", out)
	}
}

func TestWorkflowsOfTheRepositoryFitTheSchema(t *testing.T) {
	for _, name := range glob(t, "../manifests/workflows/*.cue") {
		out, ok := stock(t, top, "export", filepath.Clean("manifests/workflows/"+filepath.Base(name)))
		if !ok {
			t.Fatal(out)
		}
		file := filepath.Join(t.TempDir(), "workflow.json")
		write(t, file, out)
		if out, ok := stock(t, ".", "vet", "-c", ".", file, "-d", "#Workflow"); !ok {
			t.Errorf("%s:\n%s", name, out)
		}
		write(t, file, strings.Replace(out, `"inputStep": {}`, `"inputStep": {}, "generateCertificateStep": {}`, 1))
		if out, ok := stock(t, ".", "vet", "-c", ".", file, "-d", "#Workflow"); ok || !strings.Contains(out, "found 2") {
			t.Errorf("%s: two types in one step are accepted:\n%s", name, out)
		}
	}
}

// Every mistake that CUE can see is refused, in words that were written for it.
func TestStockVetRefusesBrokenManifests(t *testing.T) {
	for _, name := range glob(t, "testdata/broken/schema/*.yaml") {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".yaml"), func(t *testing.T) {
			_, rest, found := strings.Cut(read(t, name), "# cue vet says: ")
			want, _, _ := strings.Cut(rest, "\n")
			if !found || want == "" {
				t.Fatal("no comment tells what cue vet says")
			}
			out, ok := stock(t, ".", "vet", "-c", ".", name, "-d", definition(name))
			if ok {
				t.Fatal("cue vet accepts it")
			}
			if !strings.Contains(out, want) {
				t.Errorf("want %q, got:\n%s", want, out)
			}
		})
	}
}

// The other half: what CUE can't see. That panelmatch vet refuses these is tested with the command.
func TestStockVetAcceptsSemanticMistakes(t *testing.T) {
	dir := "testdata/broken/semantic/"
	for _, name := range glob(t, dir+"*.yaml", dir+"*/deployment.yaml", dir+"*/exchanges.d/*.yaml") {
		if out, ok := stock(t, ".", "vet", "-c", ".", name, "-d", definition(name)); !ok {
			t.Errorf("%s belongs to the mistakes that CUE can see:\n%s", name, out)
		}
		if definition(name) == "#Deployment" && !strings.HasPrefix(read(t, name), "# ") {
			t.Errorf("%s does not say what is wrong with it", name)
		}
	}
}

// The manifests inside Kubernetes objects are extracted as a mount would do it.
func TestKubernetesConfigMapsHoldValidManifests(t *testing.T) {
	dir := t.TempDir()
	deployments, overrides := 0, 0
	for _, name := range glob(t, "../manifests/kubernetes/*.yaml") {
		for _, object := range objects(t, name) {
			if text(object, "kind") != "ConfigMap" {
				continue
			}
			it, err := object.LookupPath(cue.ParsePath("data")).Fields()
			if err != nil {
				t.Fatal(err)
			}
			for it.Next() {
				manifest, err := it.Value().String()
				if err != nil {
					t.Fatal(err)
				}
				def := "#Overrides"
				if strings.Contains(manifest, "kind: Deployment") {
					def = "#Deployment"
					deployments++
				} else {
					overrides++
					id := strings.TrimSuffix(it.Selector().Unquoted(), ".yaml")
					if !strings.Contains(manifest, "\n  "+id+":") {
						t.Errorf("%s: %s does not set the exchange of its name", name, it.Selector())
					}
				}
				file := filepath.Join(dir, it.Selector().Unquoted())
				write(t, file, manifest)
				if out, ok := stock(t, top, "vet", "-c", "./schema", file, "-d", def); !ok {
					t.Errorf("%s: %s:\n%s", name, it.Selector(), out)
				}
			}
		}
	}
	if deployments == 0 || overrides == 0 {
		t.Errorf("found %d base manifests and %d overrides, want some of both", deployments, overrides)
	}
}

// The pod is as locked up as Kubernetes's "restricted" standard asks for, and mounts what it names.
func TestKubernetesPodIsLockedUp(t *testing.T) {
	for _, object := range objects(t, "../manifests/kubernetes/panelmatch.yaml") {
		if text(object, "kind") != "Deployment" {
			continue
		}
		pod := object.LookupPath(cue.ParsePath("spec.template.spec"))
		want := cuecontext.New().CompileString(`{
			securityContext: {runAsNonRoot: true, seccompProfile: type: "RuntimeDefault"}
			containers: [{securityContext: {
				allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: drop: ["ALL"]
			}}]
		}`)
		if err := want.Subsume(pod, cue.Final()); err != nil {
			t.Errorf("the pod lacks protection: %v", err)
		}
		volumes := names(t, pod, "volumes")
		mounts := names(t, pod, "containers[0].volumeMounts")
		if strings.Join(volumes, " ") != strings.Join(mounts, " ") {
			t.Errorf("volumes are %v, mounts are %v", volumes, mounts)
		}
	}
}

func names(t *testing.T, v cue.Value, path string) []string {
	t.Helper()
	it, err := v.LookupPath(cue.ParsePath(path)).List()
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for it.Next() {
		all = append(all, text(it.Value(), "name"))
	}
	return all
}

// objects reads a file of several YAML documents.
func objects(t *testing.T, name string) []cue.Value {
	t.Helper()
	f, err := yaml.Extract(name, []byte(read(t, name)))
	if err != nil {
		t.Fatal(err)
	}
	v := cuecontext.New().BuildFile(f)
	it, err := v.List()
	if err != nil {
		t.Fatal(err)
	}
	var all []cue.Value
	for it.Next() {
		all = append(all, it.Value())
	}
	return all
}

func text(v cue.Value, path string) string {
	s, err := v.LookupPath(cue.ParsePath(path)).String()
	if err != nil {
		return ""
	}
	return s
}

func TestSchemaIsFormatted(t *testing.T) {
	if out, ok := stock(t, ".", "fmt", "--check", "."); !ok {
		t.Errorf("run `make fmt`:\n%s", out)
	}
}

func TestFilesIsAModule(t *testing.T) {
	for _, name := range []string{"cue.mod/module.cue", "deployment.cue"} {
		if _, err := fs.Stat(schema.Files(), name); err != nil {
			t.Error(err)
		}
	}
	if !strings.Contains(read(t, "cue.mod/module.cue"), `"`+schema.ImportPath+`@`) {
		t.Errorf("cue.mod/module.cue has another module path than %s", schema.ImportPath)
	}
}
