package graph

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	gocloud "gocloud.dev/blob"

	"github.com/panelmatch/panelmatch/engine/blob"
	"github.com/panelmatch/panelmatch/engine/provider"
	"github.com/panelmatch/panelmatch/engine/secretmap"
	"github.com/panelmatch/panelmatch/schema/diag"
	"github.com/panelmatch/panelmatch/schema/manifest"
)

// maxNesting bounds how deep providers may ask for further nodes.
const maxNesting = 8

// Resolve makes the graph of a deployment: one node for each configured
// provider and for each thing that is built from them. Equal storages (URL,
// credentials and options) share one node, and so do equal keys.
//
// Resolve is pure: it does no I/O and resolves no secret. The diagnostics, in
// the order of the manifest, are the faults of settings as the providers see
// them, backends that the table lacks, and what the rules across nodes find.
// The graph is not nil even if there are errors; it then lacks what could not
// be resolved, and can be drawn but should not be opened.
func Resolve(m *manifest.Manifest, t provider.Table) (*Graph, diag.List) {
	g := New()
	g.manifest, g.table = m, t
	r := &resolver{m: m, t: t, g: g}
	r.root()
	r.useCases()
	r.protection()
	r.authority()
	checkpoint := r.coordinator()
	r.exchanges(checkpoint)
	r.built(checkpoint)
	if !r.diags.HasErrors() {
		r.report(g.Validate()...)
	}
	r.rules(checkpoint)
	r.diags.Sort()
	return g, r.diags
}

// resolver carries one Resolve through its steps.
type resolver struct {
	m     *manifest.Manifest
	t     provider.Table
	g     *Graph
	diags diag.List
	depth int
}

func (r *resolver) report(d ...diag.Diagnostic) { r.diags = append(r.diags, d...) }

// add puts a node into the graph under its id, or under the next free one.
func (r *resolver) add(n *node) *node {
	id := n.ID
	for i := 2; r.g.byID[n.ID] != nil; i++ {
		n.ID = fmt.Sprintf("%s-%d", id, i)
	}
	r.g.put(n)
	return n
}

// storage returns the node of a storage; id is its name unless an equal storage
// has a node already.
func (r *resolver) storage(s manifest.Storage, id string) *node {
	n, isNew := r.shared(canonicalKey(provider.KindStorage, canonicalURL(s.URL), s.Backend, "url"), Node{
		ID: id, Kind: KindStorage, Label: storageLabel(s), Pos: s.Pos(),
	})
	n.use(s.Path)
	if !isNew {
		return n
	}
	where := placeOf(s)
	n.storage = &where
	prefix := prefixOf(s)
	if prefix != "" {
		if err := blob.CheckKey(prefix); err != nil {
			r.report(s.Fault(diag.CodeValue, "can't be the beginning of a blob's name: "+err.Error(), "prefix"))
		}
	}
	if s.Value.Exists() && lookup(s.Value, "encrypt").Exists() {
		// Passing over it would store in clear text what its owner wants encrypted.
		d := s.Fault(diag.CodeNotInBuild, "this build does not encrypt blobs itself", "encrypt")
		d.Hint = "use the bucket's own encryption with a key of yours, and leave encrypt out"
		r.report(d)
	}
	res, ok := resolveBackend(r, provider.KindStorage, r.t.Storage, s.Backend, scope{r, n})
	n.Provider, n.Attributes = res.name, res.Attributes
	if ok {
		n.open = openStorage(res.Open, prefix)
	}
	return n
}

// openStorage puts the prefix, if there is one, on top of what a factory opens.
func openStorage(open func(context.Context, provider.Env) (provider.Storage, error), prefix string) Opener {
	return func(ctx context.Context, env provider.Env) (io.Closer, error) {
		bucket, err := open(ctx, env)
		switch {
		case err != nil:
			return nil, err
		case bucket == nil:
			return nil, nil
		case prefix != "":
			return gocloud.PrefixedBucket(bucket, prefix+"/"), nil
		}
		return bucket, nil
	}
}

// kms returns the node of a key of a key management service.
func (r *resolver) kms(k manifest.KMS, id string) *node {
	label := maskURL(k.URI)
	if k.URI == "" {
		label = "custom: " + visible(ownName(k.Backend))
	}
	n, isNew := r.shared(canonicalKey(provider.KindKMS, k.URI, k.Backend, "uri"), Node{
		ID: id, Kind: KindKMS, Label: label, Pos: k.Pos(),
	})
	n.use(k.Path)
	if !isNew {
		return n
	}
	res, ok := resolveBackend(r, provider.KindKMS, r.t.KMS, k.Backend, scope{r, n})
	n.Provider, n.Attributes = res.name, res.Attributes
	if ok {
		n.open = opener(res.Open)
	}
	return n
}

// shared returns the node with the given canonical key, and whether it is new.
func (r *resolver) shared(key string, fresh Node) (*node, bool) {
	if n, ok := r.g.byKey[key]; ok {
		return n, false
	}
	n := r.add(&node{Node: fresh})
	r.g.byKey[key] = n
	return n, true
}

// scope is what a factory sees of the graph while it resolves.
type scope struct {
	r *resolver
	n *node
}

// Manifest returns the deployment's manifest.
func (s scope) Manifest() *manifest.Manifest { return s.r.m }

// Storage gives the factory's node an edge to the node of st.
func (s scope) Storage(st manifest.Storage) provider.Ref[provider.Storage] {
	return ask[provider.Storage](s, st.Backend, func() *node { return s.r.storage(st, s.id("storage")) })
}

// KMS gives the factory's node an edge to the node of k.
func (s scope) KMS(k manifest.KMS) provider.Ref[provider.KMS] {
	return ask[provider.KMS](s, k.Backend, func() *node { return s.r.kms(k, s.id("kms")) })
}

// id names a node that only the asking one has a use for.
func (s scope) id(kind string) string {
	return kind + "/" + strings.ReplaceAll(s.n.ID, "/", ".")
}

func ask[T any](s scope, b manifest.Backend, resolve func() *node) ref[T] {
	if b.IsZero() || s.r.depth >= maxNesting {
		why := "is asked for without any settings"
		if !b.IsZero() {
			why = fmt.Sprintf("is the %dth provider that is needed by another in a row; such a chain has no end", maxNesting+1)
		}
		s.r.report(diag.Diagnostic{
			Code: diag.CodeGraph, Path: cmp.Or(b.Path, s.n.path()), Pos: cmpPos(b.Pos(), s.n.Pos),
			Message: fmt.Sprintf("what %s needs %s", s.n.ID, why),
			Hint:    providersFault,
		})
		return ref[T]{s.r.g, ""}
	}
	s.r.depth++
	defer func() { s.r.depth-- }()
	n := resolve()
	s.n.need(n.ID, "")
	return ref[T]{s.r.g, n.ID}
}

func cmpPos(a, b diag.Position) diag.Position {
	if a.IsValid() {
		return a
	}
	return b
}

// ref is a node that will be open when it is needed.
type ref[T any] struct {
	g  *Graph
	id string
}

// Get returns what the node was opened as, or T's zero value before that.
func (r ref[T]) Get() T { return valueOf[T](r.g, r.id) }

func (r *resolver) root() {
	if !r.m.Root.IsZero() {
		r.storage(r.m.Root, IDRoot)
	}
}

// useCaseLabels says what each map holds.
var useCaseLabels = map[manifest.UseCase]string{
	manifest.PrivateKeys:            "exchange signing keys",
	manifest.RootCertificates:       "root certificates of both parties",
	manifest.ValidExchangeWorkflows: "agreed workflows",
	manifest.PrivateStorageInfo:     "private storage by exchange",
	manifest.SharedStorageInfo:      "shared storage by exchange",
}

// useCases makes the map of each use case: a provider's, or blobs in the use
// case's sub-directory of its own storage, or of root storage. The
// sub-directory stays in a storage of its own too, so that two use cases can
// name the same bucket.
func (r *resolver) useCases() {
	for _, u := range manifest.UseCases() {
		n := &node{Node: Node{ID: UseCaseID(u), Kind: KindSecretMap, Label: useCaseLabels[u]}}
		if b, ok := r.m.SecretMaps[u]; ok && !b.IsZero() {
			n.Pos = b.Pos()
			n.use(b.Path)
			res, ok := resolveBackend(r, provider.KindSecretMap, r.t.SecretMap, b, scope{r, n})
			n.Provider, n.Attributes = res.name, res.Attributes
			if ok {
				n.open = opener(res.Open)
			}
			r.add(n)
			continue
		}
		s, id := r.m.Root, IDRoot
		if own, ok := r.m.UseCases[u]; ok && !own.IsZero() {
			s, id = own, "storage/"+string(u)
		}
		if s.IsZero() {
			r.noPlace(u)
			continue
		}
		bucket := r.storage(s, id)
		n.Pos = s.Pos()
		n.use("storage." + string(u))
		n.need(bucket.ID, u.Directory()+"/")
		from := ref[provider.Storage]{r.g, bucket.ID}
		n.open = func(context.Context, provider.Env) (io.Closer, error) {
			return secretmap.New(from.Get(), secretmap.Options{Name: useCaseLabels[u], Prefix: u.Directory()})
		}
		r.add(n)
	}
}

// noPlace reports a use case that lives nowhere.
func (r *resolver) noPlace(u manifest.UseCase) {
	d := diag.Diagnostic{
		Code: diag.CodeMissing, Path: "storage." + string(u), Pos: r.m.Pos("storage"),
		Message: fmt.Sprintf("there is no place for the %s; name storage.%s, secretMaps.%s or storage.root", useCaseLabels[u], u, u),
	}
	switch {
	case u == manifest.ValidExchangeWorkflows && r.m.Coordinator.Name == checkpointName:
		d.Message = "without a Kingdom the workflows are read from the party's own store, and there is none; " +
			"name storage.validExchangeWorkflows, secretMaps.validExchangeWorkflows or storage.root"
	case u == manifest.PrivateKeys && r.m.Keys.Fallback != "":
		d.Message = fmt.Sprintf("keys.fallback names the key %q, but there is no place for private keys; "+
			"name storage.privateKeys, secretMaps.privateKeys or storage.root", visible(r.m.Keys.Fallback))
	}
	r.report(d)
}

// protection makes the key that wraps private keys, and the keys as they are stored.
func (r *resolver) protection() {
	n := &node{Node: Node{ID: IDKeyProtection, Kind: KindKeyProtection}}
	k := r.m.KeyProtection
	switch {
	case !k.KMS.IsZero():
		key := r.kms(k.KMS, IDKMS)
		n.Label = "sealed by " + key.ID
		n.Pos = k.KMS.Pos()
		n.use(k.KMS.Path)
		n.need(key.ID, "wraps keys")
	case k.StorageReason != "":
		n.Label = "stored as they are"
		n.Attributes = append(n.Attributes, provider.Attribute{Key: "reason", Value: visible(k.StorageReason)})
		n.Pos = r.m.Pos("privateKeyProtection", "storage", "reason")
		n.use("privateKeyProtection.storage")
	default:
		r.report(diag.Diagnostic{
			Code: diag.CodeMissing, Path: "kms", Pos: r.m.Pos("kms"),
			Message: "private keys are protected by nothing; name kms, or privateKeyProtection.storage with the reason why storage protects them",
		})
	}
	if f := r.m.Keys.Format; f != "" && !k.KMS.IsZero() {
		n.Attributes = append(n.Attributes, provider.Attribute{Key: "format", Value: visible(f)})
	}
	if f := r.m.Keys.Fallback; f != "" {
		n.Attributes = append(n.Attributes, provider.Attribute{Key: "fallback", Value: visible(f)})
	}
	r.needUseCase(n, manifest.PrivateKeys)
	r.add(n)
}

// needUseCase adds an edge to a map, unless it has no place, which is reported already.
func (r *resolver) needUseCase(n *node, u manifest.UseCase) {
	if r.g.byID[UseCaseID(u)] != nil {
		n.need(UseCaseID(u), "")
	}
}

// authority makes the certificate authority.
func (r *resolver) authority() {
	ca := r.m.CertificateAuthority
	if ca.Backend.IsZero() {
		r.report(diag.Diagnostic{
			Code: diag.CodeMissing, Path: "certificateAuthority", Pos: r.m.Pos("certificateAuthority"),
			Message: "no certificate authority is named; exchange certificates must come from one",
		})
		return
	}
	name := visible(ownName(ca.Backend))
	n := &node{Node: Node{ID: "ca/" + name, Kind: KindCertificateAuthority, Provider: name, Pos: ca.Backend.Pos()}}
	n.use(ca.Backend.Path)
	n.Label = "issues certificates"
	if ca.Subject.CommonName != "" {
		n.Label = visible("CN=" + ca.Subject.CommonName)
		if ca.Subject.Organization != "" {
			n.Label += visible(", O=" + ca.Subject.Organization)
		}
	}
	res, ok := resolveBackend(r, provider.KindCertificateAuthority, r.t.CertificateAuthority, ca.Backend, scope{r, n})
	n.Attributes = res.Attributes
	if ca.Validity != 0 {
		n.Attributes = append(n.Attributes, provider.Attribute{Key: "validity", Value: shortDuration(ca.Validity.Std())})
	}
	if ok {
		n.open = opener(res.Open)
	}
	r.add(n)
}

// sortedKeys returns a map's keys in byte order.
func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
