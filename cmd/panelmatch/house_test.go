package main

// The rules of the house, as tests: what may import what, what every package
// and every provider must have, and what may stand at the top level.

import (
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/panelmatch/panelmatch/engine/graph"
	"github.com/panelmatch/panelmatch/engine/provider"
	"github.com/panelmatch/panelmatch/schema/manifest"
)

const (
	module = "github.com/panelmatch/panelmatch"
	top    = "../.."
)

type goPackage struct {
	ImportPath string
	Dir        string
	Imports    []string
	GoFiles    []string
}

func listPackages(t *testing.T) []goPackage {
	t.Helper()
	cmd := exec.Command("go", "list", "-json=ImportPath,Dir,Imports,GoFiles", "./...")
	cmd.Dir = top
	out, err := cmd.Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			t.Fatalf("go list: %v\n%s", err, exit.Stderr)
		}
		t.Fatal(err)
	}
	var pkgs []goPackage
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p goPackage
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return pkgs
		} else if err != nil {
			t.Fatal(err)
		}
		pkgs = append(pkgs, p)
	}
}

// layer is the height of a package in the house: imports go down only.
func layer(path string) int {
	rest := strings.TrimPrefix(path, module+"/")
	first, _, _ := strings.Cut(rest, "/")
	return slices.Index([]string{"schema", "engine", "providers", "cmd"}, first)
}

func TestImportsPointOneWay(t *testing.T) {
	for _, p := range listPackages(t) {
		from := layer(p.ImportPath)
		if from < 0 {
			t.Errorf("%s is outside cmd, providers, engine and schema", p.ImportPath)
		}
		for _, imp := range p.Imports {
			if !strings.HasPrefix(imp, module+"/") {
				continue
			}
			if to := layer(imp); to > from {
				t.Errorf("%s imports %s: dependencies point cmd → providers → engine → schema", p.ImportPath, imp)
			}
			if layer(imp) == 2 && from == 2 && !strings.Contains(imp, "/internal/") {
				t.Errorf("%s imports the provider %s: providers are leaves", p.ImportPath, imp)
			}
		}
	}
}

func TestEveryPackageHasAComment(t *testing.T) {
	for _, p := range listPackages(t) {
		if len(p.GoFiles) == 0 {
			continue // tests only
		}
		var doc strings.Builder
		for _, name := range p.GoFiles {
			f, err := parser.ParseFile(token.NewFileSet(), filepath.Join(p.Dir, name), nil, parser.ParseComments|parser.PackageClauseOnly)
			if err != nil {
				t.Fatal(err)
			}
			if f.Doc != nil && !ast.IsGenerated(f) {
				doc.WriteString(f.Doc.Text())
			}
		}
		switch {
		case strings.Contains(p.ImportPath, "/schema/wire/"):
			// Generated packages; the README beside them speaks for all.
		case doc.Len() == 0:
			t.Errorf("%s has no package comment", p.ImportPath)
		case len(strings.Fields(doc.String())) < 12:
			t.Errorf("%s: the package comment does not say what the package is for: %q", p.ImportPath, doc.String())
		}
	}
}

func TestNothingRegistersInInit(t *testing.T) {
	for _, p := range listPackages(t) {
		for _, name := range p.GoFiles {
			f, err := parser.ParseFile(token.NewFileSet(), filepath.Join(p.Dir, name), nil, parser.ParseComments)
			if err != nil {
				t.Fatal(err)
			}
			if ast.IsGenerated(f) {
				continue
			}
			for _, d := range f.Decls {
				if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Name.Name == "init" {
					t.Errorf("%s/%s has an init function; hand things over explicitly", p.ImportPath, name)
				}
			}
		}
	}
}

func TestTopLevelIsThePlan(t *testing.T) {
	plan := []string{
		"cmd", "schema", "engine", "providers", "manifests",
		"go.mod", "go.sum", "Makefile", "Dockerfile", "README.md", "LICENSE",
	}
	cmd := exec.Command("git", "ls-files", "-z", "--cached")
	cmd.Dir = top
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("git ls-files: %v", err)
	}
	seen := map[string]bool{}
	for _, path := range strings.Split(strings.TrimRight(string(out), "\x00"), "\x00") {
		name, _, _ := strings.Cut(path, "/")
		seen[name] = true
	}
	for name := range seen {
		if !strings.HasPrefix(name, ".") && !slices.Contains(plan, name) {
			t.Errorf("%s does not belong at the top level", name)
		}
	}
	for _, name := range plan {
		if !seen[name] {
			t.Errorf("%s is missing at the top level", name)
		}
	}
}

// suites names the conformance suite that a provider of each kind must run.
var suites = map[provider.Kind]string{
	provider.KindStorage:              "storagetest",
	provider.KindKMS:                  "kmstest",
	provider.KindCertificateAuthority: "catest",
	provider.KindSecretMap:            "secretmaptest",
}

func TestEveryProviderHasSchemaConformanceAndDocs(t *testing.T) {
	var cue strings.Builder
	files, err := filepath.Glob(top + "/schema/*.cue")
	if err != nil || len(files) == 0 {
		t.Fatalf("no schema: %v", err)
	}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		cue.Write(b)
	}
	registered := map[string]bool{}
	for _, d := range providers().Descriptions() {
		t.Run(string(d.Kind)+"/"+d.Name, func(t *testing.T) {
			registered[d.Package] = true
			if d.Summary == "" {
				t.Error("no summary")
			}
			named := regexp.MustCompile(`\b` + regexp.QuoteMeta(d.Name) + `(\?:|://|\||\))`)
			if !named.MatchString(cue.String()) {
				t.Errorf("the schema does not know %q", d.Name)
			}
			dir := filepath.Join(top, "providers", filepath.FromSlash(d.Package))
			if _, err := os.Stat(filepath.Join(dir, "README.md")); err != nil {
				t.Errorf("no documentation: %v", err)
			}
			tests, err := filepath.Glob(dir + "/*_test.go")
			if err != nil {
				t.Fatal(err)
			}
			call := regexp.MustCompile(`\b` + suites[d.Kind] + `\.\w+\(`)
			if !slices.ContainsFunc(tests, func(name string) bool {
				b, err := os.ReadFile(name)
				return err == nil && call.Match(b)
			}) {
				t.Errorf("no test of %s runs the suite %s", d.Package, suites[d.Kind])
			}
		})
	}
	// The other way round: a package under providers that nobody registers is dead.
	err = filepath.WalkDir(top+"/providers", func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.IsDir() {
			return err
		}
		if e.Name() == "internal" || e.Name() == "testdata" {
			return fs.SkipDir
		}
		rel, err := filepath.Rel(top+"/providers", path)
		if err != nil {
			return err
		}
		goFiles, err := filepath.Glob(path + "/*.go")
		if err == nil && len(goFiles) > 0 && !registered[filepath.ToSlash(rel)] {
			t.Errorf("providers/%s is registered nowhere; add it to providers.go", rel)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// Markdown links between files of the repository must lead somewhere.
func TestLinksInDocsLeadSomewhere(t *testing.T) {
	cmd := exec.Command("git", "ls-files", "-z", "--cached", "*.md")
	cmd.Dir = top
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("git ls-files: %v", err)
	}
	link := regexp.MustCompile(`\]\(([^)#\s]+)(#[^)]*)?\)`)
	for _, path := range strings.Split(strings.TrimRight(string(out), "\x00"), "\x00") {
		text, err := os.ReadFile(filepath.Join(top, path))
		if err != nil {
			continue // listed, and removed in the working tree
		}
		for _, m := range link.FindAllStringSubmatch(string(text), -1) {
			if strings.Contains(m[1], "://") || strings.HasPrefix(m[1], "mailto:") {
				continue
			}
			if _, err := os.Stat(filepath.Join(top, filepath.Dir(path), m[1])); err != nil {
				t.Errorf("%s: link to %s leads nowhere", path, m[1])
			}
		}
	}
}

// The demo embeds workflows, because a Go file can't embed from another top-level folder.
func TestTheDemosWorkflowsAreTheShippedOnes(t *testing.T) {
	const dir = "internal/demo/files"
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		got, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		want, err := os.ReadFile(filepath.Join(top, "manifests/workflows", e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		if string(got) != string(want) {
			t.Errorf("%s/%s differs from manifests/workflows; copy the latter", dir, e.Name())
		}
	}
}

// The README's manifest is one that works.
func TestTheReadmesManifestIsGood(t *testing.T) {
	text, err := os.ReadFile(top + "/README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := strings.Cut(string(text), "```yaml\n")
	block, _, ok2 := strings.Cut(rest, "```")
	if !ok || !ok2 {
		t.Fatal("the README has no manifest")
	}
	name := filepath.Join(t.TempDir(), "readme.yaml")
	if err := os.WriteFile(name, []byte(block), 0o600); err != nil {
		t.Fatal(err)
	}
	loaded, diags := manifest.Load(t.Context(), manifest.Sources{Files: []string{name}})
	if err := diags.Err(); err != nil {
		t.Fatal(err)
	}
	if _, diags := graph.Resolve(loaded.Manifest, providers()); diags.HasErrors() {
		t.Error(diags.Err())
	}
}
