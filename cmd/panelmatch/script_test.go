package main

import (
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

var update = flag.Bool("update", false, "rewrite the expected outputs in testdata/script")

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"panelmatch": main})
}

// TestScripts runs the sessions in testdata/script, one per command and more.
// $MANIFESTS is the repository's manifests folder.
func TestScripts(t *testing.T) {
	manifests, err := filepath.Abs(top + "/manifests")
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		UpdateScripts:       *update,
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(env *testscript.Env) error {
			env.Setenv("MANIFESTS", manifests)
			// A manifest's relative paths resolve against its file, so a script works on a copy.
			target := filepath.Join(env.WorkDir, "quickstart")
			if err := os.CopyFS(target, os.DirFS(filepath.Join(manifests, "quickstart"))); err != nil {
				return err
			}
			return os.RemoveAll(filepath.Join(target, "data")) // of somebody who tried it out
		},
	})
}
