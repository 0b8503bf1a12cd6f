package manifest

import (
	"embed"
	"io/fs"
)

//go:embed testdata/schema
var standIn embed.FS

// schemaFiles is the schema that Load validates with.
func schemaFiles() fs.FS {
	f, err := fs.Sub(standIn, "testdata/schema")
	if err != nil {
		return standIn
	}
	return f
}
