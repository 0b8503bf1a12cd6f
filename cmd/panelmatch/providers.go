package main

import (
	"github.com/panelmatch/panelmatch/engine/provider"
	calocal "github.com/panelmatch/panelmatch/providers/ca/local"
	"github.com/panelmatch/panelmatch/providers/ca/pregenerated"
	kmslocal "github.com/panelmatch/panelmatch/providers/kms/local"
	"github.com/panelmatch/panelmatch/providers/secretmap/blob"
	"github.com/panelmatch/panelmatch/providers/secretmap/csv"
	"github.com/panelmatch/panelmatch/providers/secretmap/directory"
	"github.com/panelmatch/panelmatch/providers/storage/file"
	"github.com/panelmatch/panelmatch/providers/storage/mem"
)

// providers lists what this binary is built with, one line each.
func providers() provider.Table {
	return provider.Table{
		Storage: []provider.Factory[provider.Storage]{
			file.Factory(),
			mem.Factory(),
		},
		KMS: []provider.Factory[provider.KMS]{
			kmslocal.Factory(),
		},
		CertificateAuthority: []provider.Factory[provider.CertificateAuthority]{
			calocal.Factory(),
			pregenerated.Factory(),
		},
		SecretMap: []provider.Factory[provider.SecretMap]{
			blob.Factory(),
			csv.Factory(),
			directory.Factory(),
		},
	}
}
