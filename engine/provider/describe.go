package provider

import (
	"cmp"
	"io"
	"slices"
)

// Description is what people and tests may know about a factory.
type Description struct {
	Kind    Kind
	Name    string
	Package string
	Summary string
}

// Descriptions lists everything in the table, ordered by kind and name.
func (t Table) Descriptions() []Description {
	all := slices.Concat(
		describe(KindStorage, t.Storage),
		describe(KindKMS, t.KMS),
		describe(KindCertificateAuthority, t.CertificateAuthority),
		describe(KindSecretMap, t.SecretMap),
		describe(KindCoordinator, t.Coordinator),
	)
	slices.SortStableFunc(all, func(a, b Description) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Name, b.Name))
	})
	return all
}

func describe[T io.Closer](kind Kind, fs []Factory[T]) []Description {
	ds := make([]Description, len(fs))
	for i, f := range fs {
		ds[i] = Description{Kind: kind, Name: f.Name, Package: f.Package, Summary: f.Summary}
	}
	return ds
}
