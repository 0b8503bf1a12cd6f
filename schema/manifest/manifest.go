// Package manifest loads a deployment manifest: it reads the layers (YAML,
// JSON, CUE, environment, --set), checks their shape, merges them, validates
// the result against the CUE schema, and decodes it. Every fault is found in
// one run and located in the user's files.
//
// It does no I/O beyond the manifest's own files, resolves no secret, and
// knows no provider: backends stay located CUE values.
package manifest
