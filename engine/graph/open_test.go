package graph_test

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/panelmatch/panelmatch/engine/blob"
	"github.com/panelmatch/panelmatch/engine/graph"
	"github.com/panelmatch/panelmatch/engine/provider"
	"github.com/panelmatch/panelmatch/engine/workflow"
	"github.com/panelmatch/panelmatch/schema/manifest"
	"github.com/panelmatch/panelmatch/schema/wire/loadtestpb"
	"github.com/panelmatch/panelmatch/schema/wire/storagepb"
)

func open(t *testing.T, w *world, m *manifest.Manifest) *graph.Opened {
	t.Helper()
	o, err := resolve(t, m, kingdomTable(w)).Open(context.Background(), provider.Env{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := o.Close(); err != nil {
			t.Error(err)
		}
		if n := w.leaked(); n > 0 {
			t.Errorf("%d buckets are still open after Close", n)
		}
	})
	return o
}

func TestWhatIsOpenedIsReachedByItsName(t *testing.T) {
	ctx := context.Background()
	w := newWorld()
	m := kingdomDeployment(t)
	m.Exchanges["rx.2"] = manifest.ExchangeStorage{Shared: m.Exchanges["rx.2"].Shared} // its directory does not exist
	o := open(t, w, m)
	if o.KMS() == nil || o.CertificateAuthority() == nil || o.Coordinator() == nil || o.Root() == nil {
		t.Fatal("something is missing")
	}
	// A use case lies in its sub-directory, of root storage or of a storage of its own.
	for u, bucket := range map[manifest.UseCase]string{
		manifest.PrivateKeys: "mem://edp1-keys", manifest.ValidExchangeWorkflows: "mem://edp1-root",
	} {
		if err := o.UseCase(u).Put(ctx, "k", []byte(u)); err != nil {
			t.Fatal(err)
		}
		got, err := w.mem.Open(bucket).ReadAll(ctx, u.Directory()+"/k")
		if err != nil || string(got) != string(u) {
			t.Errorf("%s: %q, %v", u, got, err)
		}
	}
	if _, ok := o.Value(graph.IDDaemon); ok {
		t.Error("the daemon has a value although the graph does not build it")
	}
}

func TestAPrefixIsPutOnTopOfWhatIsOpened(t *testing.T) {
	ctx := context.Background()
	m := deployment(t)
	m.Root = storage(t, "storage.root", `{url: "mem://one", prefix: "panel/edp1"}`)
	w := newWorld()
	o := open(t, w, m)
	if err := o.UseCase(manifest.RootCertificates).Put(ctx, "dataProviders/a", []byte("der")); err != nil {
		t.Fatal(err)
	}
	if _, err := w.mem.Open("mem://one").ReadAll(ctx, "panel/edp1/root-x509-certificates/dataProviders/a"); err != nil {
		t.Error(err)
	}
}

func TestAnyProviderThatFailsLeavesNothingOpen(t *testing.T) {
	for _, name := range []string{
		"mem://edp1-root", "mem://edp1-keys", "mem://roots", "csv", "kms", "ca", "kingdom", "mem://shared", "panel", "file:///srv/rx2",
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld()
			m := kingdomDeployment(t)
			m.Exchanges["rx.2"] = manifest.ExchangeStorage{Private: storage(t, "exchanges.rx2.private", "file:///srv/rx2"), Shared: m.Exchanges["rx.2"].Shared}
			boom := errors.New("boom")
			w.failOpen["file:///srv/rx2"] = errors.New("not the one") // never reached by the others, or last
			w.failOpen[name] = boom
			_, err := resolve(t, m, kingdomTable(w)).Open(context.Background(), provider.Env{}, graph.Parallel(1))
			if err == nil || name != "file:///srv/rx2" && !errors.Is(err, boom) && !strings.Contains(err.Error(), "not the one") {
				t.Fatalf("Open: %v", err)
			}
			if n := w.leaked(); n > 0 {
				t.Errorf("%d buckets are still open", n)
			}
			for _, other := range w.opened {
				if slices.Contains([]string{"csv", "kms", "ca", "kingdom"}, other) && !slices.Contains(w.closed, other) {
					t.Errorf("%s came up and was not closed", other)
				}
			}
		})
	}
}

func details(t *testing.T, d *storagepb.StorageDetails) []byte {
	t.Helper()
	b, err := proto.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func fileDetails(dir string, v storagepb.StorageDetails_Visibility) *storagepb.StorageDetails {
	return &storagepb.StorageDetails{
		Platform:   &storagepb.StorageDetails_File{File: &storagepb.StorageDetails_FileStorage{Path: dir}},
		Visibility: v,
	}
}

func TestStorageOfAnExchangeIsTheFirstThatIsThere(t *testing.T) {
	ctx := context.Background()
	m := deployment(t)
	m.Coordinator = backend(t, "kingdom", "coordinator.kingdom", `{}`)
	m.ExchangeDefaults.Shared = storage(t, "exchangeDefaults.shared", "mem://default-shared")
	w := newWorld()
	o := open(t, w, m)
	dir := filepath.Join(t.TempDir(), "made on first use")
	put := func(u manifest.UseCase, id string, d *storagepb.StorageDetails) {
		t.Helper()
		if err := o.UseCase(u).Put(ctx, id, details(t, d)); err != nil {
			t.Fatal(err)
		}
	}
	put(manifest.SharedStorageInfo, "rx1", fileDetails(dir, storagepb.StorageDetails_SHARED))
	put(manifest.SharedStorageInfo, "rx2", fileDetails(dir, storagepb.StorageDetails_SHARED))

	for _, c := range []struct {
		id     string
		side   graph.Side
		source string
		prefix string
	}{
		{"rx1", graph.Shared, "exchanges.rx1.shared", ""},
		{"rx2", graph.Shared, "sharedStorageInfo", ""},
		{"rx3", graph.Shared, "exchangeDefaults.shared", ""},
		{"rx1", graph.Private, "storage.root", "private-storage"},
	} {
		p, err := o.Exchange(ctx, c.id, c.side)
		if err != nil {
			t.Fatal(err)
		}
		if p.Source != c.source || p.Prefix != c.prefix {
			t.Errorf("%s %s: from %s below %q; want %s below %q", c.id, c.side, p.Source, p.Prefix, c.source, c.prefix)
		}
		date, err := workflow.ParseDate("2026-01-31")
		if err != nil {
			t.Fatal(err)
		}
		s, err := p.Store(blob.ExchangeKey{RecurringExchange: c.id, Date: date}, blob.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.PutBytes(ctx, "label", []byte("x")); err != nil {
			t.Errorf("%s %s: %v", c.id, c.side, err)
		}
	}
	if _, err := w.mem.Open("mem://edp1-root").ReadAll(ctx, "private-storage/recurringExchanges/rx1/exchanges/2026-01-31/label"); err != nil {
		t.Error(err)
	}
}

func TestStoredDetailsAreReadAnewOnEachUse(t *testing.T) {
	ctx := context.Background()
	m := deployment(t)
	m.Exchanges = nil
	m.Coordinator = backend(t, "kingdom", "coordinator.kingdom", `{}`)
	o := open(t, newWorld(), m)
	infos := o.UseCase(manifest.SharedStorageInfo)

	_, err := o.Exchange(ctx, "rx", graph.Shared)
	if !errors.Is(err, graph.ErrNoStorage) || !strings.Contains(err.Error(), "set exchanges.rx.shared or exchangeDefaults.shared, or store its details in sharedStorageInfo") {
		t.Errorf("nothing is named: %v", err)
	}
	a, b := t.TempDir(), t.TempDir()
	var places []graph.Place
	for _, dir := range []string{a, b, a} {
		if err := infos.Put(ctx, "rx", details(t, fileDetails(dir, storagepb.StorageDetails_SHARED))); err != nil {
			t.Fatal(err)
		}
		p, err := o.Exchange(ctx, "rx", graph.Shared)
		if err != nil {
			t.Fatal(err)
		}
		places = append(places, p)
	}
	if places[0].Bucket != places[2].Bucket || places[0].Bucket == places[1].Bucket {
		t.Error("equal details should lead to one bucket, others to another")
	}
	// Damage is not passed over for the default.
	if err := infos.Put(ctx, "rx", []byte("\xff\xff")); err != nil {
		t.Fatal(err)
	}
	if _, err := o.Exchange(ctx, "rx", graph.Shared); !errors.Is(err, provider.ErrRejected) {
		t.Errorf("damaged details: %v", err)
	}
}

func TestStoredDetailsMustNotMixPrivateAndShared(t *testing.T) {
	ctx := context.Background()
	dir := t.TempDir()
	m := deployment(t)
	m.Exchanges = nil
	m.Coordinator = backend(t, "kingdom", "coordinator.kingdom", `{}`)
	m.Root = storage(t, "storage.root", "file://"+dir+"/root?create_dir=true")
	o := open(t, newWorld(), m)
	for _, path := range []string{dir, dir + "/root"} {
		if err := o.UseCase(manifest.SharedStorageInfo).Put(ctx, "rx", details(t, fileDetails(path, storagepb.StorageDetails_SHARED))); err != nil {
			t.Fatal(err)
		}
		if _, err := o.Exchange(ctx, "rx", graph.Shared); err == nil || !strings.Contains(err.Error(), "used as shared and as private storage") {
			t.Errorf("shared storage at %s: %v", path, err)
		}
	}
}

func TestConcurrentCallersGetOneBucket(t *testing.T) {
	ctx := context.Background()
	m := deployment(t)
	m.Coordinator = backend(t, "kingdom", "coordinator.kingdom", `{}`)
	w := newWorld()
	o := open(t, w, m)
	if err := o.UseCase(manifest.PrivateStorageInfo).Put(ctx, "rx", details(t, fileDetails(t.TempDir(), storagepb.StorageDetails_PRIVATE))); err != nil {
		t.Fatal(err)
	}
	before := len(w.buckets)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if _, err := o.Exchange(ctx, "rx", graph.Private); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := len(w.buckets) - before; n != 1 {
		t.Errorf("%d buckets were opened; want 1", n)
	}
}

func TestNothingIsOpenedAfterClose(t *testing.T) {
	ctx := context.Background()
	m := deployment(t)
	m.SecretMaps = nil
	w := newWorld()
	o, err := resolve(t, m, w.table()).Open(ctx, provider.Env{})
	if err != nil {
		t.Fatal(err)
	}
	if err := o.Close(); err != nil {
		t.Fatal(err)
	}
	for _, side := range []graph.Side{graph.Private, graph.Shared} {
		if p, err := o.Exchange(ctx, "rx1", side); err == nil {
			t.Errorf("%s: %+v", side, p)
		}
	}
	if n := w.leaked(); n > 0 {
		t.Errorf("%d buckets are open", n)
	}
}

func TestStorageDetailsAreChecked(t *testing.T) {
	forwarded, err := anypb.New(&loadtestpb.ForwardedStorageConfig{Target: "localhost:8443", CertCollectionPath: "/certs/all.pem"})
	if err != nil {
		t.Fatal(err)
	}
	stranger, err := anypb.New(durationpb.New(1))
	if err != nil {
		t.Fatal(err)
	}
	custom := func(a *anypb.Any) *storagepb.StorageDetails {
		return &storagepb.StorageDetails{Visibility: storagepb.StorageDetails_SHARED, Platform: &storagepb.StorageDetails_Custom{
			Custom: &storagepb.StorageDetails_CustomStorage{Details: a},
		}}
	}
	aws := func(bucket string) *storagepb.StorageDetails {
		return &storagepb.StorageDetails{Visibility: storagepb.StorageDetails_SHARED, Platform: &storagepb.StorageDetails_Aws{
			Aws: &storagepb.StorageDetails_AwsStorage{Bucket: bucket, Region: "eu-west-1"},
		}}
	}
	gcs := func(typ storagepb.StorageDetails_BucketType) *storagepb.StorageDetails {
		return &storagepb.StorageDetails{Visibility: storagepb.StorageDetails_SHARED, Platform: &storagepb.StorageDetails_Gcs{
			Gcs: &storagepb.StorageDetails_GcsStorage{Bucket: "panel-bucket", BucketType: typ},
		}}
	}
	for _, c := range []struct {
		name string
		in   *storagepb.StorageDetails
		want string
	}{
		{"file", fileDetails("/srv/shared", storagepb.StorageDetails_SHARED), ""},
		{"forwarded", custom(forwarded), ""},
		{"s3", aws("partner-bucket"), ""},
		{"static bucket", gcs(storagepb.StorageDetails_STATIC_BUCKET), ""},
		{"rotating bucket", gcs(storagepb.StorageDetails_ROTATING_BUCKET), "rotating bucket"},
		{"private where shared is wanted", fileDetails("/x", storagepb.StorageDetails_PRIVATE), "visibility PRIVATE; shared storage needs SHARED"},
		{"no visibility", fileDetails("/x", storagepb.StorageDetails_UNKNOWN), "visibility UNKNOWN"},
		{"no platform", &storagepb.StorageDetails{Visibility: storagepb.StorageDetails_SHARED}, "no platform"},
		{"a relative directory", fileDetails("srv/shared", storagepb.StorageDetails_SHARED), "must be absolute"},
		{"a bucket that is a URL", aws("partner-bucket?endpoint=http://evil"), "name the bucket"},
		{"no bucket", aws(""), "name the bucket"},
		{"another custom storage", custom(stranger), "google.protobuf.Duration"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := graph.ParseStorageDetails(details(t, c.in), graph.Shared)
			switch {
			case c.want == "" && err != nil:
				t.Error(err)
			case c.want == "":
				if !proto.Equal(got, c.in) {
					t.Errorf("got %v", got)
				}
			case err == nil || !strings.Contains(err.Error(), c.want):
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
	if _, err := graph.ParseStorageDetails(make([]byte, 1<<20), graph.Shared); !errors.Is(err, provider.ErrTooLarge) {
		t.Errorf("a MiB of details: %v", err)
	}
}

func TestDetailsOfAStorageThatTheBuildLacksAreAFault(t *testing.T) {
	ctx := context.Background()
	m := deployment(t)
	m.Coordinator = backend(t, "kingdom", "coordinator.kingdom", `{}`)
	o := open(t, newWorld(), m)
	in := &storagepb.StorageDetails{Visibility: storagepb.StorageDetails_PRIVATE, Platform: &storagepb.StorageDetails_Gcs{
		Gcs: &storagepb.StorageDetails_GcsStorage{Bucket: "panel-bucket"},
	}}
	if err := o.UseCase(manifest.PrivateStorageInfo).Put(ctx, "rx9", details(t, in)); err != nil {
		t.Fatal(err)
	}
	_, err := o.Exchange(ctx, "rx9", graph.Private)
	if err == nil || !strings.Contains(err.Error(), `this build has no storage "gs"; it has: acme, file, mem`) {
		t.Error(err)
	}
}

func TestARecurringExchangeIDMustNotLeadElsewhere(t *testing.T) {
	o := open(t, newWorld(), deployment(t))
	for _, id := range []string{"", "..", "a/b", "a\x00"} {
		if _, err := o.Exchange(context.Background(), id, graph.Private); err == nil {
			t.Errorf("Exchange(%q): no error", id)
		}
	}
}

func FuzzParseStorageDetails(f *testing.F) {
	for _, d := range []*storagepb.StorageDetails{
		fileDetails("/srv", storagepb.StorageDetails_SHARED),
		{Visibility: storagepb.StorageDetails_SHARED, Platform: &storagepb.StorageDetails_Gcs{Gcs: &storagepb.StorageDetails_GcsStorage{Bucket: "b"}}},
	} {
		b, err := proto.Marshal(d)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		d, err := graph.ParseStorageDetails(b, graph.Shared)
		if (d == nil) == (err == nil) {
			t.Fatal(d, err)
		}
		if err == nil {
			if diff := cmp.Diff(storagepb.StorageDetails_SHARED, d.GetVisibility()); diff != "" {
				t.Error(diff)
			}
		}
	})
}
