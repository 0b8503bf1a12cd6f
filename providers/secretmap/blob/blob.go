// Package blob is a secret map in a storage of its own: one blob per key, at
// the top of the storage, the key used as it is.
//
// A use case that is named nowhere needs no such provider: it lives in its
// directory of root storage, in the same layout. Nothing is encrypted here;
// private keys are sealed before they come.
package blob

import (
	"context"

	"github.com/panelmatch/panelmatch/engine/provider"
	"github.com/panelmatch/panelmatch/engine/secretmap"
	"github.com/panelmatch/panelmatch/schema/diag"
	"github.com/panelmatch/panelmatch/schema/manifest"
)

// Factory makes maps of {storage: ...}.
func Factory() provider.Factory[provider.SecretMap] {
	return provider.Factory[provider.SecretMap]{
		Name:    "blob",
		Package: "secretmap/blob",
		Summary: "one blob for each name, at the top of a storage of its own",
		Resolve: resolve,
	}
}

func resolve(b manifest.Backend, scope provider.Scope) (provider.Resolved[provider.SecretMap], diag.List) {
	storage, ok := b.Storage("storage")
	if !ok {
		d := b.Fault(diag.CodeMissing, "names no storage", "storage")
		d.Hint = "such as storage: gs://bucket"
		return provider.Resolved[provider.SecretMap]{}, diag.List{d}
	}
	bucket := scope.Storage(storage)
	return provider.Resolved[provider.SecretMap]{
		Open: func(context.Context, provider.Env) (provider.SecretMap, error) {
			m, err := secretmap.New(bucket.Get(), secretmap.Options{Name: b.Path})
			if err != nil {
				return nil, err
			}
			return m, nil
		},
	}, nil
}
