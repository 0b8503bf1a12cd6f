package graph

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"cuelang.org/go/cue/cuecontext"
	"google.golang.org/protobuf/proto"

	"github.com/panelmatch/panelmatch/engine/blob"
	"github.com/panelmatch/panelmatch/engine/provider"
	"github.com/panelmatch/panelmatch/schema/diag"
	"github.com/panelmatch/panelmatch/schema/manifest"
	"github.com/panelmatch/panelmatch/schema/wire/loadtestpb"
	"github.com/panelmatch/panelmatch/schema/wire/storagepb"
)

// ErrNoStorage says that an exchange has no storage of a side: neither the
// manifest nor a stored StorageDetails names one.
var ErrNoStorage = errors.New("no storage is named")

// Place is where the blobs of a recurring exchange lie. The bucket belongs to
// the graph: nobody else closes it.
type Place struct {
	Bucket provider.Storage
	// Prefix stands before all keys, with a slash between; it neither begins nor ends with one, and may
	// be empty. The exchange's own prefix comes after it (see blob.ForExchange).
	Prefix string
	// Label says where it is, without credentials.
	Label string
	// Source says what named the place, such as exchanges.rx1.shared.
	Source string
	// OmitExchangePrefix tells that keys do not begin with the exchange's path: forwarded storage as the
	// reference uses it. All exchanges then share one name space.
	OmitExchangePrefix bool
	// Details is what was stored for the exchange; nil if something else named the place.
	Details *storagepb.StorageDetails
}

// Store returns the place of one exchange in p. opts.Prefix is set by Store.
func (p Place) Store(key blob.ExchangeKey, opts blob.Options) (*blob.Store, error) {
	if err := key.Validate(); err != nil {
		return nil, err
	}
	opts.Prefix = p.Prefix
	if p.OmitExchangePrefix {
		return blob.NewStore(p.Bucket, opts)
	}
	return blob.ForExchange(p.Bucket, key, opts)
}

// Exchange returns private or shared storage of a recurring exchange. The first
// of these decides: exchanges.<id> of the manifest; the StorageDetails that is
// stored for the exchange; exchangeDefaults; for private storage a
// sub-directory of root storage. Details are read on every call, so that an
// operator can correct them without a restart; buckets that they name stay open
// until Close.
//
// It fails with ErrNoStorage if nothing names a place. Details that can't be
// read are never passed over.
func (o *Opened) Exchange(ctx context.Context, recurringExchange string, side Side) (Place, error) {
	fail := func(err error) (Place, error) {
		return Place{}, fmt.Errorf("%s storage of recurring exchange %q: %w", side, visible(recurringExchange), err)
	}
	if _, err := blob.RecurringExchangePrefix(recurringExchange); err != nil {
		return fail(err)
	}
	m := o.graph.manifest
	if m == nil {
		return fail(errors.New("this graph was not resolved from a manifest"))
	}
	if own := side.of(m.Exchanges[recurringExchange]); !own.IsZero() {
		p, err := o.static(own, "")
		if err != nil {
			return fail(err)
		}
		return p, nil
	}
	details, err := o.StorageDetails(ctx, recurringExchange, side)
	switch {
	case err == nil:
		p, err := o.fromDetails(ctx, details, side)
		if err != nil {
			return fail(fmt.Errorf("as %s says: %w", side.useCase(), err))
		}
		return p, nil
	case !errors.Is(err, provider.ErrNotFound):
		return fail(err)
	}
	fallback, dir := side.of(m.ExchangeDefaults), ""
	if fallback.IsZero() && side == Private {
		fallback, dir = m.Root, PrivateDirectory
	}
	if fallback.IsZero() {
		return fail(fmt.Errorf("%w; set exchanges.%s.%s or exchangeDefaults.%s, or store its details in %s",
			ErrNoStorage, quoteKey(recurringExchange), side, side, side.useCase()))
	}
	p, err := o.static(fallback, dir)
	if err != nil {
		return fail(err)
	}
	return p, nil
}

// static returns the place of a storage that the manifest names.
func (o *Opened) static(s manifest.Storage, dir string) (Place, error) {
	n := o.graph.byKey[canonicalKey(provider.KindStorage, canonicalURL(s.URL), s.Backend, "url")]
	if n == nil {
		return Place{}, fmt.Errorf("%s is not part of the open graph", s.Path)
	}
	bucket := valueOf[provider.Storage](o.graph, n.ID)
	if bucket == nil {
		if err := o.failures[n.ID]; err != nil {
			return Place{}, err
		}
		return Place{}, fmt.Errorf("%s is not open", n.ID)
	}
	label := n.Label
	if dir != "" {
		label += " below " + dir + "/"
	}
	return Place{Bucket: bucket, Prefix: dir, Label: label, Source: s.Path, OmitExchangePrefix: omitsPrefix(s)}, nil
}

// omitsPrefix reads forwarded.omitExchangePrefix.
func omitsPrefix(s manifest.Storage) bool {
	omit, err := lookup(s.Value, "forwarded", "omitExchangePrefix").Bool()
	return err == nil && omit
}

// StorageDetails reads what is stored for one side of a recurring exchange. It
// fails with provider.ErrNotFound if nothing is.
func (o *Opened) StorageDetails(ctx context.Context, recurringExchange string, side Side) (*storagepb.StorageDetails, error) {
	use := side.useCase()
	stored := o.UseCase(use)
	if stored == nil {
		if err := o.failures[UseCaseID(use)]; err != nil {
			return nil, err
		}
		return nil, fmt.Errorf("%s is not open", UseCaseID(use))
	}
	data, err := stored.Get(ctx, recurringExchange)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", use, err)
	}
	details, err := ParseStorageDetails(data, side)
	if err != nil {
		return nil, fmt.Errorf("%s of %q: %w", use, visible(recurringExchange), err)
	}
	return details, nil
}

// maxDetails bounds a stored StorageDetails, in bytes.
const maxDetails = 64 << 10

// ParseStorageDetails reads a serialised StorageDetails and checks that it is
// for the given side, complete, and of a kind that can be used.
func ParseStorageDetails(data []byte, side Side) (*storagepb.StorageDetails, error) {
	if len(data) > maxDetails {
		return nil, fmt.Errorf("storage details have %d bytes; at most %d are allowed: %w", len(data), maxDetails, provider.ErrTooLarge)
	}
	d := &storagepb.StorageDetails{}
	if err := proto.Unmarshal(data, d); err != nil {
		return nil, fmt.Errorf("not a serialised StorageDetails message: %w", provider.ErrRejected)
	}
	want := storagepb.StorageDetails_PRIVATE
	if side == Shared {
		want = storagepb.StorageDetails_SHARED
	}
	if d.GetVisibility() != want {
		return nil, fmt.Errorf("storage details have visibility %s; %s storage needs %s", d.GetVisibility(), side, want)
	}
	if _, _, err := detailsSettings(d); err != nil {
		return nil, err
	}
	return d, nil
}

// detailsSettings returns the settings, as a manifest would have them, of the
// storage that details name.
func detailsSettings(d *storagepb.StorageDetails) (scheme string, settings map[string]any, err error) {
	switch p := d.GetPlatform().(type) {
	case *storagepb.StorageDetails_File:
		dir := p.File.GetPath()
		if !filepath.IsAbs(dir) {
			return "", nil, fmt.Errorf("storage details name the directory %q; it must be absolute", visible(dir))
		}
		u := url.URL{Scheme: "file", Path: filepath.Clean(dir), RawQuery: "create_dir=true"}
		return "file", map[string]any{"url": u.String()}, nil
	case *storagepb.StorageDetails_Gcs:
		if err := checkBucket(p.Gcs.GetBucket()); err != nil {
			return "", nil, err
		}
		if p.Gcs.GetBucketType() == storagepb.StorageDetails_ROTATING_BUCKET {
			return "", nil, errors.New("storage details ask for a rotating bucket, whose names are longer than Cloud Storage allows; store details with a static bucket")
		}
		return "gs", map[string]any{"url": "gs://" + p.Gcs.GetBucket()}, nil
	case *storagepb.StorageDetails_Aws:
		if err := checkBucket(p.Aws.GetBucket()); err != nil {
			return "", nil, err
		}
		address := url.URL{Scheme: "s3", Host: p.Aws.GetBucket()}
		if region := p.Aws.GetRegion(); region != "" {
			address.RawQuery = url.Values{"region": {region}}.Encode()
		}
		settings := map[string]any{"url": address.String()}
		if role := p.Aws.GetRole(); role.GetRoleArn() != "" {
			settings["auth"] = map[string]any{"aws": map[string]any{"assumeRole": present(map[string]string{
				"roleArn": role.GetRoleArn(), "externalId": role.GetRoleExternalId(), "sessionName": role.GetRoleSessionName(),
			})}}
		}
		return "s3", settings, nil
	case *storagepb.StorageDetails_Custom:
		var c loadtestpb.ForwardedStorageConfig
		if err := p.Custom.GetDetails().UnmarshalTo(&c); err != nil {
			return "", nil, fmt.Errorf("storage details hold a message of type %q; the only custom storage known is ForwardedStorageConfig",
				visible(p.Custom.GetDetails().GetTypeUrl()))
		}
		if c.GetTarget() == "" || strings.ContainsAny(c.GetTarget(), "/?#@ ") {
			return "", nil, fmt.Errorf("storage details name the server %q; it must be host:port", visible(c.GetTarget()))
		}
		roots := c.GetCertCollectionPath()
		if !filepath.IsAbs(roots) {
			return "", nil, fmt.Errorf("storage details name the certificates %q; the path must be absolute", visible(roots))
		}
		forwarded := map[string]any{"omitExchangePrefix": true, "tls": map[string]string{"roots": "file://" + filepath.Clean(roots)}}
		if host := c.GetForwardedStorageCertHost(); host != "" {
			forwarded["certHost"] = host
		}
		return "forwarded", map[string]any{"url": "forwarded://" + c.GetTarget(), "forwarded": forwarded}, nil
	}
	return "", nil, errors.New("storage details name no platform; one of aws, gcs, file and custom must be set")
}

// present drops empty texts.
func present(m map[string]string) map[string]string {
	maps.DeleteFunc(m, func(_, v string) bool { return v == "" })
	return m
}

// checkBucket takes what can be a bucket's name in Cloud Storage or S3.
func checkBucket(name string) error {
	bad := strings.IndexFunc(name, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("-_.", r)
	})
	if name == "" || len(name) > 222 || bad >= 0 {
		return fmt.Errorf("storage details name the bucket %q; a name has letters, digits, dots, dashes and underscores", visible(name))
	}
	return nil
}

// detailsStorage makes a storage of details, as if the manifest had it.
func detailsStorage(d *storagepb.StorageDetails, side Side) (manifest.Storage, error) {
	scheme, settings, err := detailsSettings(d)
	if err != nil {
		return manifest.Storage{}, err
	}
	// A context of its own: one that lives as long as the manifest would keep every value ever made.
	value := cuecontext.New().Encode(settings)
	address, _ := settings["url"].(string)
	return manifest.Storage{
		Backend: manifest.Backend{Name: scheme, Path: string(side.useCase()), Value: value},
		URL:     address,
	}, nil
}

var errClosed = errors.New("the provider graph is closed")

// storedStorages are the buckets that stored details have named so far.
type storedStorages struct {
	mu     sync.Mutex
	byKey  map[[sha256.Size]byte]*storedStorage
	order  []*storedStorage
	closed bool
}

// storedStorage is one of them. Its lock makes concurrent callers wait for the first.
type storedStorage struct {
	mu     sync.Mutex
	bucket provider.Storage
	closed bool
}

// fromDetails opens what details name, unless it is open already.
func (o *Opened) fromDetails(ctx context.Context, d *storagepb.StorageDetails, side Side) (Place, error) {
	s, err := detailsStorage(d, side)
	if err != nil {
		return Place{}, err
	}
	if err := o.clash(s, side); err != nil {
		return Place{}, err
	}
	place := Place{Label: storageLabel(s), Source: string(side.useCase()), Details: d, OmitExchangePrefix: omitsPrefix(s)}
	key := canonicalKey(provider.KindStorage, canonicalURL(s.URL), s.Backend, "url")
	if n := o.graph.byKey[key]; n != nil {
		if place.Bucket = valueOf[provider.Storage](o.graph, n.ID); place.Bucket != nil {
			return place, nil
		}
	}
	entry, err := o.stored.entry(sha256.Sum256([]byte(key)))
	if err != nil {
		return Place{}, err
	}
	entry.mu.Lock()
	defer entry.mu.Unlock()
	if entry.closed {
		return Place{}, errClosed
	}
	if entry.bucket == nil {
		if entry.bucket, err = o.openStored(ctx, s); err != nil {
			return Place{}, err
		}
	}
	place.Bucket = entry.bucket
	return place, nil
}

// openStored resolves and opens a storage outside the graph.
func (o *Opened) openStored(ctx context.Context, s manifest.Storage) (provider.Storage, error) {
	g := New()
	r := &resolver{m: o.graph.manifest, t: o.graph.table, g: g}
	n := r.storage(s, "storage/stored")
	r.developmentOnly()
	if err := r.diags.Err(); err != nil {
		return nil, err
	}
	if len(g.nodes) > 1 {
		return nil, fmt.Errorf("storage of %s needs other providers, which stored details can't name", visible(n.Provider))
	}
	v, err := openNode(ctx, n, o.env)
	if err != nil {
		return nil, &OpenError{Node: n.Label, Provider: n.Provider, Err: err}
	}
	bucket, ok := v.(provider.Storage)
	if !ok {
		return nil, errors.Join(fmt.Errorf("%s opened as a %T", n.Label, v), v.Close())
	}
	return bucket, nil
}

// clash refuses details that would put private blobs where the partner reads,
// or share what is this party's own; see sharedPlaces.
func (o *Opened) clash(s manifest.Storage, side Side) error {
	r := &resolver{m: o.graph.manifest, g: o.graph}
	private, shared := r.places(nil)
	where := placeOf(s)
	others := private
	if side == Private {
		others = shared
	}
	for _, other := range others {
		ours, theirs := other.place, where
		if side == Private {
			ours, theirs = where, other.place
		}
		if theirs.contains(ours) || ours.contains(theirs) && !theirs.own {
			return diag.List{{
				Code: diag.CodeGraph, Path: string(side.useCase()),
				Message: fmt.Sprintf("one bucket is used as shared and as private storage: %s is also %s (%s)", storageLabel(s), other.what, other.setting),
			}}.Err()
		}
	}
	return nil
}

func (s *storedStorages) entry(key [sha256.Size]byte) (*storedStorage, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, errClosed
	}
	if e := s.byKey[key]; e != nil {
		return e, nil
	}
	if s.byKey == nil {
		s.byKey = map[[sha256.Size]byte]*storedStorage{}
	}
	e := &storedStorage{}
	s.byKey[key] = e
	s.order = append(s.order, e)
	return e, nil
}

// close closes all of them, the latest first.
func (s *storedStorages) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	var errs []error
	for _, e := range slices.Backward(s.order) {
		e.mu.Lock()
		if e.bucket != nil {
			if err := e.bucket.Close(); err != nil {
				errs = append(errs, fmt.Errorf("close a storage that stored details named: %w", err))
			}
			e.bucket = nil
		}
		e.closed = true
		e.mu.Unlock()
	}
	return errors.Join(errs...)
}
