package manifest_test

import (
	"context"
	"fmt"
	"io/fs"
	"testing"

	"github.com/panelmatch/panelmatch/schema/manifest"
)

func manyOverrides(n int) manifest.Sources {
	files := map[string]string{"edp.yaml": base}
	for i := range n {
		files[fmt.Sprintf("exchanges.d/rx%d.yaml", i)] = fmt.Sprintf(
			"exchanges:\n  rx%d:\n    shared: {url: \"s3://partner-%d?region=us-east-1\", auth: {aws: {accessKeyID: env:ID, secretAccessKey: env:KEY}}}\n    private: gs://private-%d\n", i, i, i)
	}
	in := sources(files, "edp.yaml")
	in.OverridesDir = "exchanges.d"
	entries, err := in.ReadDir("exchanges.d")
	if err != nil {
		panic(err)
	}
	in.ReadDir = func(string) ([]fs.DirEntry, error) { return entries, nil }
	return in
}

func BenchmarkLoad500Exchanges(b *testing.B) {
	in := manyOverrides(500)
	for b.Loop() {
		l, diags := manifest.Load(context.Background(), in)
		if len(diags) > 0 || len(l.Manifest.Exchanges) != 500 {
			b.Fatal(diags)
		}
	}
}

func BenchmarkLoad(b *testing.B) {
	in := sources(map[string]string{"edp.yaml": base}, "edp.yaml")
	for b.Loop() {
		if _, diags := manifest.Load(context.Background(), in); len(diags) > 0 {
			b.Fatal(diags)
		}
	}
}
