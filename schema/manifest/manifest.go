// Package manifest loads a deployment manifest: it reads the layers (YAML,
// JSON, CUE, environment, --set), checks their shape, merges them, validates
// the result against the CUE schema, and decodes it. Every fault is found in
// one run and located in the user's files.
//
// It does no I/O beyond the manifest's own files, resolves no secret, and
// knows no provider: backends stay located CUE values.
package manifest

import (
	"context"

	"github.com/panelmatch/panelmatch/schema"
	"github.com/panelmatch/panelmatch/schema/diag"
)

// Load reads a manifest from its layers, validates what they add up to, and
// decodes it. It reports all faults at once, sorted, with places; warnings may
// come with a usable manifest. The Loaded is not nil unless the program itself
// is damaged; its Manifest is nil if there are errors.
//
// Load reads the files that in names and nothing else, and resolves no secret.
func Load(ctx context.Context, in Sources) (*Loaded, diag.List) {
	return loadWith(ctx, schema.Files(), in)
}
