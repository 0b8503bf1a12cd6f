package manifest

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/panelmatch/panelmatch/schema/diag"
)

// OverridesDirName is the sub-directory in which a manifest directory keeps its per-exchange overrides.
const OverridesDirName = "exchanges.d"

// Locate turns what a user names on a command line into Sources: files stay
// as they are, and a directory stands for the manifest files directly in it,
// in the order of their names, with exchanges.d as the overrides directory.
// Names that begin with a dot are skipped, so that a ConfigMap's ..data does
// not show up as a second copy.
//
// overrides, if not empty, replaces any exchanges.d that was found. readDir
// may be nil for os.ReadDir. Environ and Set are left for the caller to fill.
func Locate(paths []string, overrides string, readDir func(string) ([]fs.DirEntry, error)) (Sources, diag.List) {
	if readDir == nil {
		readDir = os.ReadDir
	}
	src := Sources{OverridesDir: overrides}
	var diags diag.List
	for _, path := range paths {
		entries, err := readDir(path)
		if isNotDirectory(err) {
			src.Files = append(src.Files, path)
			continue
		}
		if err != nil {
			diags = append(diags, diag.Diagnostic{
				Code:    diag.CodeRead,
				Pos:     diag.Position{File: path},
				Message: "can't be read: " + plain(err),
			})
			continue
		}
		found := 0
		for _, e := range entries {
			name := e.Name()
			switch {
			case strings.HasPrefix(name, "."):
			case name == OverridesDirName:
				if src.OverridesDir == "" {
					src.OverridesDir = filepath.Join(path, name)
				}
			case isManifestName(name):
				src.Files = append(src.Files, filepath.Join(path, name))
				found++
			}
		}
		if found == 0 {
			diags = append(diags, diag.Diagnostic{
				Code:    diag.CodeRead,
				Pos:     diag.Position{File: path},
				Message: "no manifest in this directory",
				Hint:    fmt.Sprintf("a manifest's name ends in %s", strings.Join(manifestExtensions(), ", ")),
			})
		}
	}
	return src, diags
}

// isNotDirectory tells a file from a directory by how reading it as one failed. A file that
// does not exist counts as a file too: whoever reads it will say so.
func isNotDirectory(err error) bool {
	if err == nil {
		return false
	}
	var pe *fs.PathError
	if errors.As(err, &pe) && errors.Is(pe.Err, fs.ErrNotExist) {
		return true
	}
	return strings.Contains(err.Error(), "not a directory")
}

func manifestExtensions() []string { return []string{".yaml", ".yml", ".json", ".cue"} }

func isManifestName(name string) bool {
	return slices.Contains(manifestExtensions(), filepath.Ext(name))
}

// plain returns the reason without the path, which stands in front already.
func plain(err error) string {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return pe.Err.Error()
	}
	return err.Error()
}
