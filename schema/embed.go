// Package schema is the CUE schema of panelmatch: what a deployment's
// manifest, a file of its overrides directory and a workflow may say. The
// .cue files beside this one are the schema; this package hands them out, as
// they are (Files), as one file for the stock cue command (Single), and as a
// JSON Schema for editors (JSON).
//
// It validates nothing: package manifest does, with positions.
package schema

import (
	"bytes"
	"embed"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"cuelang.org/go/cue/ast"
	"cuelang.org/go/cue/format"
	"cuelang.org/go/cue/parser"
)

//go:embed *.cue cue.mod
var files embed.FS

// ImportPath is what a manifest in CUE imports.
const ImportPath = "github.com/panelmatch/panelmatch/schema"

// Files returns the schema as a CUE module: the package's files at the top and
// cue.mod/module.cue. It can be loaded with load.Config{FS: Files(), Dir: "/",
// ModuleRoot: "/"}, or copied into cue.mod/pkg of another module.
func Files() fs.FS { return files }

// Single returns the whole schema as one CUE file, for use without a checkout:
// one package clause, one import of each package, then the definitions in the
// order of their files' names, the manifest's first. The result is the same for
// every call.
func Single() ([]byte, error) {
	names, err := fs.Glob(files, "*.cue")
	if err != nil {
		return nil, fmt.Errorf("list the schema's files: %w", err)
	}
	// The manifest is what people look for.
	slices.SortFunc(names, func(a, b string) int {
		if (a == "deployment.cue") != (b == "deployment.cue") {
			if a == "deployment.cue" {
				return -1
			}
			return 1
		}
		return strings.Compare(a, b)
	})
	var imports []string
	var header, body bytes.Buffer
	for _, name := range names {
		f, err := parse(name)
		if err != nil {
			return nil, err
		}
		for spec := range f.ImportSpecs() {
			if spec.Name != nil {
				return nil, fmt.Errorf("schema file %s: an import under another name can't be united with others", name)
			}
			if !slices.Contains(imports, spec.Path.Value) {
				imports = append(imports, spec.Path.Value)
			}
		}
		if header.Len() == 0 {
			for _, line := range strings.Split(strings.TrimSpace(packageComment(f)), "\n") {
				header.WriteString("// " + line + "\n")
			}
		}
		text, err := definitions(f)
		if err != nil {
			return nil, fmt.Errorf("schema file %s: %w", name, err)
		}
		body.WriteByte('\n')
		body.Write(text)
	}
	slices.Sort(imports)
	header.WriteString("package schema\n")
	if len(imports) > 0 {
		fmt.Fprintf(&header, "\nimport (\n\t%s\n)\n", strings.Join(imports, "\n\t"))
	}
	out, err := format.Source(append(header.Bytes(), body.Bytes()...))
	if err != nil {
		return nil, fmt.Errorf("format the schema: %w", err)
	}
	return out, nil
}

func parse(name string) (*ast.File, error) {
	data, err := files.ReadFile(path.Clean(name))
	if err != nil {
		return nil, fmt.Errorf("read the schema: %w", err)
	}
	f, err := parser.ParseFile(name, data, parser.ParseComments)
	if err != nil {
		return nil, fmt.Errorf("parse the schema: %w", err)
	}
	return f, nil
}

// packageComment returns the text of the package clause's comment.
func packageComment(f *ast.File) string {
	for _, d := range f.Decls {
		if p, ok := d.(*ast.Package); ok {
			for _, c := range ast.Comments(p) {
				if c.Doc {
					return c.Text()
				}
			}
		}
	}
	return ""
}

// definitions prints what follows package clause and imports.
func definitions(f *ast.File) ([]byte, error) {
	var decls []ast.Decl
	for _, d := range f.Decls {
		switch d.(type) {
		case *ast.Package, *ast.ImportDecl:
		default:
			decls = append(decls, d)
		}
	}
	return format.Node(&ast.File{Decls: decls})
}
