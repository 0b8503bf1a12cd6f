package graph_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/panelmatch/panelmatch/engine/graph"
	"github.com/panelmatch/panelmatch/engine/provider"
	"github.com/panelmatch/panelmatch/schema/diag"
	"github.com/panelmatch/panelmatch/schema/manifest"
)

// faults writes diagnostics, one a line: severity, code, place and sentence.
func faults(l diag.List) []string {
	out := []string{}
	for _, d := range l {
		out = append(out, fmt.Sprintf("%s %s %s: %s", d.Severity, d.Code, d.Path, d.Message))
	}
	return out
}

func resolve(t *testing.T, m *manifest.Manifest, table provider.Table) *graph.Graph {
	t.Helper()
	g, diags := graph.Resolve(m, table)
	if diags.HasErrors() {
		t.Fatal(diags.Err())
	}
	return g
}

func pictures(t *testing.T, name string, g *graph.Graph) {
	t.Helper()
	for ext, write := range map[string]func(*bytes.Buffer) error{
		".txt": func(b *bytes.Buffer) error { return g.WriteText(b) },
		".dot": func(b *bytes.Buffer) error { return g.WriteDOT(b) },
		".mmd": func(b *bytes.Buffer) error { return g.WriteMermaid(b) },
		".json": func(b *bytes.Buffer) error {
			enc := json.NewEncoder(b)
			enc.SetEscapeHTML(false)
			enc.SetIndent("", "  ")
			return enc.Encode(g)
		},
	} {
		var b bytes.Buffer
		if err := write(&b); err != nil {
			t.Fatal(err)
		}
		golden(t, name+ext, b.String())
	}
}

func TestADeploymentWithoutAKingdomIsDrawn(t *testing.T) {
	g, diags := graph.Resolve(deployment(t), newWorld().table())
	if diff := cmp.Diff([]string{}, faults(diags)); diff != "" {
		t.Error(diff)
	}
	pictures(t, "checkpoint", g)
	if diff := cmp.Diff([]string{"rx1"}, g.RecurringExchanges()); diff != "" {
		t.Error(diff)
	}
}

// kingdomDeployment uses much of what a manifest can say.
func kingdomDeployment(t *testing.T) *manifest.Manifest {
	m := deployment(t)
	m.Coordinator = backend(t, "kingdom", "coordinator.kingdom", `{target: "kingdom.example.com:8443"}`)
	m.UseCases = map[manifest.UseCase]manifest.Storage{
		manifest.PrivateKeys:        storage(t, "storage.privateKeys", "mem://edp1-keys"),
		manifest.PrivateStorageInfo: storage(t, "storage.privateStorageInfo", "mem://edp1-keys"),
	}
	m.SecretMaps = map[manifest.UseCase]manifest.Backend{
		manifest.RootCertificates: backend(t, "csv", "secretMaps.rootCertificates.csv", `{path: "roots.csv", storage: "mem://roots"}`),
	}
	m.ExchangeDefaults = manifest.ExchangeStorage{Private: storage(t, "exchangeDefaults.private", `{url: "mem://edp1-private", prefix: "exchanges"}`)}
	m.Exchanges["rx.2"] = manifest.ExchangeStorage{
		Private: storage(t, `exchanges."rx.2".private`, "file:///srv/rx2"),
		Shared:  storage(t, `exchanges."rx.2".shared`, `{name: "acme", settings: {team: "panel"}}`),
	}
	return m
}

func kingdomTable(w *world) provider.Table {
	table := w.table()
	table.Coordinator = []provider.Factory[provider.Coordinator]{{Name: "kingdom", Package: "coordinator/kingdom", Resolve: w.coordinator}}
	return table
}

func TestADeploymentWithAKingdomIsDrawn(t *testing.T) {
	g, diags := graph.Resolve(kingdomDeployment(t), kingdomTable(newWorld()))
	if diff := cmp.Diff([]string{}, faults(diags)); diff != "" {
		t.Error(diff)
	}
	pictures(t, "kingdom", g)
}

func TestEqualManifestsGiveEqualGraphs(t *testing.T) {
	var first string
	for range 5 {
		var b bytes.Buffer
		if err := resolve(t, kingdomDeployment(t), kingdomTable(newWorld())).WriteText(&b); err != nil {
			t.Fatal(err)
		}
		if first == "" {
			first = b.String()
		}
		if diff := cmp.Diff(first, b.String()); diff != "" {
			t.Fatal(diff)
		}
	}
}

func TestEqualStoragesShareOneNode(t *testing.T) {
	for _, c := range []struct {
		name, first, second string
		same                bool
	}{
		{"equal URLs", "mem://a", "mem://a", true},
		{"short and long form", "mem://a", `{url: "mem://a"}`, true},
		{"an option that is empty", "mem://a", `{url: "mem://a", prefix: ""}`, true},
		{"parameters in another order", "mem://a?x=1&y=2", "mem://a?y=2&x=1", true},
		{"members in another order", `{url: "mem://a", auth: {key: "env:K", id: "env:I"}}`, `{auth: {id: "env:I", key: "env:K"}, url: "mem://a"}`, true},
		{"other URLs", "mem://a", "mem://b", false},
		{"other parameters", "mem://a?region=x", "mem://a?region=y", false},
		{"other credentials", `{url: "mem://a", auth: {key: "env:K"}}`, `{url: "mem://a", auth: {key: "env:L"}}`, false},
		{"another prefix", `{url: "mem://a", prefix: "x"}`, `{url: "mem://a", prefix: "y"}`, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := deployment(t)
			m.UseCases = map[manifest.UseCase]manifest.Storage{
				manifest.PrivateKeys:      storage(t, "storage.privateKeys", c.first),
				manifest.RootCertificates: storage(t, "storage.rootCertificates", c.second),
			}
			g := resolve(t, m, newWorld().table())
			keys, _ := g.Node(graph.UseCaseID(manifest.PrivateKeys))
			roots, _ := g.Node(graph.UseCaseID(manifest.RootCertificates))
			if same := keys.Needs[0].ID == roots.Needs[0].ID; same != c.same {
				t.Errorf("one node: %v; want %v", same, c.same)
			}
		})
	}
}

func TestRelativePathsOfDifferentFilesAreDifferentStorages(t *testing.T) {
	m := deployment(t)
	first := storage(t, "storage.privateKeys", `{url: "mem://a", auth: {key: "file:secret"}}`)
	second := storage(t, "storage.rootCertificates", `{url: "mem://a", auth: {key: "file:secret"}}`)
	second.Dir = func(...string) string { return "/etc/panelmatch/exchanges.d" }
	m.UseCases = map[manifest.UseCase]manifest.Storage{manifest.PrivateKeys: first, manifest.RootCertificates: second}
	g := resolve(t, m, newWorld().table())
	if _, ok := g.Node("storage/rootCertificates"); !ok {
		t.Error("file:secret of two directories was taken for one file")
	}
}

func TestANodeTellsAllSettingsThatNameIt(t *testing.T) {
	m := deployment(t)
	m.ExchangeDefaults.Private = storage(t, "exchangeDefaults.private", "mem://edp1-root")
	n, _ := resolve(t, m, newWorld().table()).Node(graph.IDRoot)
	if diff := cmp.Diff([]string{"storage.root", "exchangeDefaults.private"}, n.Uses); diff != "" {
		t.Error(diff)
	}
}

func TestABackendThatTheBuildLacksIsNamedWithThoseThatItHas(t *testing.T) {
	m := deployment(t)
	m.Root = storage(t, "storage.root", "gs://bucket")
	m.CertificateAuthority.Backend = backend(t, "vaultPKI", "certificateAuthority.vaultPKI", `{}`)
	m.KeyProtection.KMS.Backend = backend(t, "gcp-kms", "kms", `{uri: "gcp-kms://x"}`)
	m.SecretMaps = map[manifest.UseCase]manifest.Backend{
		manifest.RootCertificates: backend(t, "custom", "secretMaps.rootCertificates.custom", `{name: "csw", settings: {}}`),
	}
	m.Compute = backend(t, "beam", "compute.beam", `{}`)
	m.Coordinator = backend(t, "kingdom", "coordinator.kingdom", `{}`)
	_, diags := graph.Resolve(m, newWorld().table())
	want := []string{
		`error not-in-this-build certificateAuthority.vaultPKI: this build has no certificate authority "vaultPKI"; it has: local, pregenerated`,
		`error not-in-this-build compute.beam: this build has no compute backend "beam"; it has: local`,
		`error not-in-this-build coordinator.kingdom: this build has no coordinator "kingdom"; it has: checkpoint`,
		`error not-in-this-build kms: this build has no key management service "gcp-kms"; it has: local`,
		`error not-in-this-build secretMaps.rootCertificates.custom.name: this build has no secret map "csw"; it has: csv`,
		`error not-in-this-build storage.root: this build has no storage "gs"; it has: acme, file, mem`,
	}
	if diff := cmp.Diff(want, faults(diags)); diff != "" {
		t.Error(diff)
	}
	for _, d := range diags {
		if strings.HasPrefix(d.Path, "secretMaps") && d.DidYouMean != "csv" {
			t.Errorf("did you mean %q for csw", d.DidYouMean)
		}
		if !d.Pos.IsValid() {
			t.Errorf("%s has no position", d.Path)
		}
	}
}

func TestACustomBackendGetsItsSettingsAndItsName(t *testing.T) {
	m := deployment(t)
	m.Root = storage(t, "storage.root", `{name: "acme", settings: {team: "panel"}}`)
	n, _ := resolve(t, m, newWorld().table()).Node(graph.IDRoot)
	if n.Provider != "acme" || n.Attribute("name") != "panel" || n.Label != "custom: acme" {
		t.Errorf("node is %+v", n)
	}
}

func TestFaultsOfProvidersComeWithTheirPlaces(t *testing.T) {
	m := deployment(t)
	m.Root = storage(t, "storage.root", `{url: "mem://x", team: 3}`)
	_, diags := graph.Resolve(m, newWorld().table())
	if len(diags) != 1 || diags[0].Pos.File != "at storage.root.team" {
		t.Errorf("diagnostics: %+v", diags)
	}
}

func TestProvidersThatNeedEachOtherWithoutEndAreStopped(t *testing.T) {
	w := newWorld()
	table := w.table()
	depth := 0
	table.Storage = append(table.Storage, provider.Factory[provider.Storage]{
		Name: "deep",
		Resolve: func(b manifest.Backend, scope provider.Scope) (provider.Resolved[provider.Storage], diag.List) {
			depth++
			scope.Storage(storage(t, b.Path, fmt.Sprintf("deep://%d", depth)))
			return w.memory(b, scope)
		},
	}, provider.Factory[provider.Storage]{
		Name: "self",
		Resolve: func(b manifest.Backend, scope provider.Scope) (provider.Resolved[provider.Storage], diag.List) {
			scope.Storage(storage(t, "storage.root", "self://x"))
			return w.memory(b, scope)
		},
	})
	m := deployment(t)
	m.Root = storage(t, "storage.root", "deep://0")
	if _, diags := graph.Resolve(m, table); !diags.HasErrors() || depth > 20 {
		t.Errorf("%d deep: %v", depth, diags)
	}
	m.Root = storage(t, "storage.root", "self://x")
	_, diags := graph.Resolve(m, table)
	want := []string{"error cycle storage.root: nodes need each other in a circle: storage/root -> storage/root"}
	if diff := cmp.Diff(want, faults(diags)); diff != "" {
		t.Error(diff)
	}
}

func TestNothingSecretIsDrawn(t *testing.T) {
	m := deployment(t)
	m.Root = storage(t, "storage.root", "mem://user:hunter2@edp1-root?region=eu&sas=hunter3&X-Amz-Security-Token=hunter4#hunter5")
	m.Exchanges["rx1"] = manifest.ExchangeStorage{Shared: storage(t, "exchanges.rx1.shared", "mem://:hunter6@%zz?hunter7")}
	g, _ := graph.Resolve(m, newWorld().table())
	var b bytes.Buffer
	for _, write := range []func() error{
		func() error { return g.WriteText(&b) },
		func() error { return g.WriteDOT(&b) },
		func() error { return g.WriteMermaid(&b) },
		func() error { return json.NewEncoder(&b).Encode(g) },
	} {
		if err := write(); err != nil {
			t.Fatal(err)
		}
	}
	if strings.Contains(b.String(), "hunter") {
		t.Errorf("a secret is drawn:\n%s", b.String())
	}
	n, _ := g.Node(graph.IDRoot)
	if want := "mem://[redacted]@edp1-root?region=eu&sas=[redacted]&X-Amz-Security-Token=[redacted]#[redacted]"; n.Label != want {
		t.Errorf("label is %q\nwant     %q", n.Label, want)
	}
}

func TestHostileTextsDontEscapeFromTheDrawings(t *testing.T) {
	g := graph.New()
	for _, id := range []string{"a\"]; b [label=\"x", "<b>&amp;</b>", "c\x1b[2J\nd", "back\\slash"} {
		add(t, g, id, nil, nil)
	}
	pictures(t, "hostile", g)
}

func TestAnUnfinishedGraphIsDrawnToo(t *testing.T) {
	g, _ := byHand(t, "top: a missing", "a: b", "b: a")
	pictures(t, "unfinished", g)
}

func TestRulesAcrossNodes(t *testing.T) {
	day := manifest.Duration(24 * time.Hour)
	checkpoint := func(t *testing.T, settings string) manifest.Backend {
		return backend(t, "checkpoint", "coordinator.checkpoint", settings)
	}
	for _, c := range []struct {
		name   string
		change func(t *testing.T, m *manifest.Manifest, w *world)
		want   []string
	}{
		{"RSA authority, EC keys", func(_ *testing.T, _ *manifest.Manifest, w *world) { w.algorithm = "RSA" }, []string{
			"error graph certificateAuthority.local: the certificate authority signs with RSA keys, but exchange keys are EC; both must be of one family",
		}},
		{"EC authority, EC keys", func(_ *testing.T, _ *manifest.Manifest, w *world) { w.algorithm = "EC" }, nil},
		{"checkpoints signed with another family", func(_ *testing.T, m *manifest.Manifest, _ *world) { m.Keys.Algorithm = "RSA" }, []string{
			"error graph coordinator.checkpoint.signature: SHA256withECDSA is made with EC keys, but exchange keys are RSA; checkpoints are signed with exchange keys",
		}},
		{"one bucket for private and shared", func(t *testing.T, m *manifest.Manifest, _ *world) {
			m.ExchangeDefaults.Private = storage(t, "exchangeDefaults.private", "mem://shared")
		}, []string{
			"error graph exchanges.rx1.shared: one bucket is used as shared and as private storage: the partner could read what is in exchangeDefaults.private",
		}},
		{"private storage of one exchange is shared storage of another", func(t *testing.T, m *manifest.Manifest, _ *world) {
			m.Exchanges["rx2"] = manifest.ExchangeStorage{
				Private: storage(t, "exchanges.rx2.private", "mem://shared?region=x"), Shared: storage(t, "exchanges.rx2.shared", "mem://shared2"),
			}
		}, []string{
			"error graph exchanges.rx1.shared: one bucket is used as shared and as private storage: the partner could read what is in exchanges.rx2.private",
		}},
		{"private storage below the shared prefix", func(t *testing.T, m *manifest.Manifest, _ *world) {
			m.ExchangeDefaults.Private = storage(t, "exchangeDefaults.private", `{url: "mem://shared", prefix: "a/b"}`)
			m.Exchanges["rx1"] = manifest.ExchangeStorage{Shared: storage(t, "exchanges.rx1.shared", `{url: "mem://shared", prefix: "a"}`)}
		}, []string{
			"error graph exchanges.rx1.shared: one bucket is used as shared and as private storage: the partner could read what is in exchangeDefaults.private",
		}},
		{"shared storage inside root storage", func(t *testing.T, m *manifest.Manifest, _ *world) {
			m.Exchanges["rx1"] = manifest.ExchangeStorage{Shared: storage(t, "exchanges.rx1.shared", `{url: "mem://edp1-root", prefix: "shared"}`)}
		}, []string{
			"error graph exchanges.rx1.shared: shared storage lies inside private storage: a partner with access to the bucket could read what is in storage.root",
		}},
		{"prefixes beside each other", func(t *testing.T, m *manifest.Manifest, _ *world) {
			m.Root = storage(t, "storage.root", `{url: "mem://one", prefix: "a"}`)
			m.Exchanges["rx1"] = manifest.ExchangeStorage{Shared: storage(t, "exchanges.rx1.shared", `{url: "mem://one", prefix: "ab"}`)}
		}, []string{
			"warning risk exchanges.rx1.shared: shared storage is in the same bucket, or below the same directory, as storage.root; the partner's access must end at its prefix",
		}},
		{"directories beside each other", func(t *testing.T, m *manifest.Manifest, _ *world) {
			m.Root = storage(t, "storage.root", "file:///srv/root")
			m.Exchanges["rx1"] = manifest.ExchangeStorage{Shared: storage(t, "exchanges.rx1.shared", "file:///srv/root2")}
		}, nil},
		{"a shared directory inside the root's", func(t *testing.T, m *manifest.Manifest, _ *world) {
			m.Root = storage(t, "storage.root", "file:///srv/root")
			m.Exchanges["rx1"] = manifest.ExchangeStorage{Shared: storage(t, "exchanges.rx1.shared", "file:///srv/root/../root/shared")}
		}, []string{
			"warning risk exchanges.rx1.shared: shared storage is in the same bucket, or below the same directory, as storage.root; the partner's access must end at its prefix",
		}},
		{"the root's directory inside a shared one", func(t *testing.T, m *manifest.Manifest, _ *world) {
			m.Root = storage(t, "storage.root", "file:///srv/root")
			m.Exchanges["rx1"] = manifest.ExchangeStorage{Shared: storage(t, "exchanges.rx1.shared", "file:///srv")}
		}, []string{
			"error graph exchanges.rx1.shared: one bucket is used as shared and as private storage: the partner could read what is in storage.root",
		}},
		{"no workflow store", func(t *testing.T, m *manifest.Manifest, _ *world) {
			m.Root = manifest.Storage{}
			m.ExchangeDefaults.Private = storage(t, "exchangeDefaults.private", "mem://p")
			m.UseCases = map[manifest.UseCase]manifest.Storage{}
			for _, u := range manifest.UseCases() {
				if u != manifest.ValidExchangeWorkflows {
					m.UseCases[u] = storage(t, "storage."+string(u), "mem://keys")
				}
			}
		}, []string{
			"error missing storage.validExchangeWorkflows: without a Kingdom the workflows are read from the party's own store, and there is none; name storage.validExchangeWorkflows, secretMaps.validExchangeWorkflows or storage.root",
		}},
		{"a fallback key without private keys", func(t *testing.T, m *manifest.Manifest, _ *world) {
			m.Root = manifest.Storage{}
			m.Keys.Fallback = "static"
			m.Coordinator = backend(t, "kingdom", "coordinator.kingdom", `{}`)
			m.UseCases = map[manifest.UseCase]manifest.Storage{}
			for _, u := range manifest.UseCases() {
				if u != manifest.PrivateKeys {
					m.UseCases[u] = storage(t, "storage."+string(u), "mem://keys")
				}
			}
		}, []string{
			`error missing storage.privateKeys: keys.fallback names the key "static", but there is no place for private keys; name storage.privateKeys, secretMaps.privateKeys or storage.root`,
		}},
		{"a fallback key without a Kingdom", func(_ *testing.T, m *manifest.Manifest, _ *world) { m.Keys.Fallback = "static" }, []string{
			"warning risk keys.fallback: without a Kingdom the fallback key is never used: claiming a step makes the exchange's own key first",
		}},
		{"no recurring exchange", func(_ *testing.T, m *manifest.Manifest, _ *world) { m.Exchanges = nil }, []string{
			"error missing coordinator.checkpoint.recurringExchanges: there is no recurring exchange to run; list them here, or give each its storage under exchanges",
		}},
		{"recurring exchanges and settings differ", func(t *testing.T, m *manifest.Manifest, _ *world) {
			m.Coordinator = checkpoint(t, `{recurringExchanges: ["rx.1", "rx2"]}`)
			m.Exchanges["rx2"] = m.Exchanges["rx1"]
		}, []string{
			`warning risk coordinator.checkpoint.recurringExchanges[0]: "rx.1" is run, but exchanges has no settings for it`,
			`warning risk exchanges.rx1: "rx1" has settings, but coordinator.checkpoint.recurringExchanges does not list it, so it is not run`,
		}},
		{"production", func(t *testing.T, m *manifest.Manifest, _ *world) { m.Profile = manifest.Production }, []string{
			"warning risk certificateAuthority.local: the root's private key is given to this process: who reads it can issue certificates in this party's name",
			"error graph exchanges.rx1.shared: mem:// storage is gone when the process ends, which is for profile development only",
			"error graph kms: a local: key lies in a file in clear text, which is for profile development only",
			"error graph storage.root: mem:// storage is gone when the process ends, which is for profile development only",
		}},
		{"keys protected by storage", func(_ *testing.T, m *manifest.Manifest, _ *world) {
			m.KeyProtection = manifest.KeyProtection{StorageReason: "CMEK, no human has access"}
		}, []string{
			"warning risk privateKeyProtection.storage: private keys are stored as they are; the reason given: CMEK, no human has access",
		}},
		{"keys protected by nothing", func(_ *testing.T, m *manifest.Manifest, _ *world) { m.KeyProtection = manifest.KeyProtection{} }, []string{
			"error missing kms: private keys are protected by nothing; name kms, or privateKeyProtection.storage with the reason why storage protects them",
		}},
		{"relaxations", func(_ *testing.T, m *manifest.Manifest, _ *world) { m.Trust.Allow = []string{"anyDate", "anyParty"} }, []string{
			"warning risk trust.allow[0]: anyDate relaxes what is demanded of the partner's certificates and blobs",
			"warning risk trust.allow[1]: anyParty relaxes what is demanded of the partner's certificates and blobs",
		}},
		{"a long timeout without a Kingdom", func(_ *testing.T, m *manifest.Manifest, _ *world) { m.Run.TaskTimeout = day }, nil},
		{"a long timeout with a Kingdom", func(t *testing.T, m *manifest.Manifest, _ *world) {
			m.Coordinator = backend(t, "kingdom", "coordinator.kingdom", `{}`)
			m.Run.TaskTimeout = day
		}, []string{
			"warning risk run.taskTimeout: a step may run for 1d, but a Kingdom hands it out again after 24h: two attempts would run at once",
		}},
		{"a prefix that leads out", func(t *testing.T, m *manifest.Manifest, _ *world) {
			m.Root = storage(t, "storage.root", `{url: "mem://x", prefix: "../y"}`)
		}, []string{
			`error bad-value storage.root.prefix: can't be the beginning of a blob's name: blob key "../y" has a segment . or .., which could lead elsewhere`,
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			m, w := deployment(t), newWorld()
			c.change(t, m, w)
			_, diags := graph.Resolve(m, kingdomTable(w))
			if diff := cmp.Diff(append([]string{}, c.want...), faults(diags)); diff != "" {
				t.Error(diff)
			}
			for _, d := range diags {
				if !d.Pos.IsValid() {
					t.Errorf("%s has no position", d.Path)
				}
			}
		})
	}
}

func TestAllFaultsComeAtOnce(t *testing.T) {
	m, w := deployment(t), newWorld()
	w.algorithm = "RSA"
	m.Profile = manifest.Production
	m.Trust.Allow = []string{"anyDate"}
	m.UseCases = map[manifest.UseCase]manifest.Storage{manifest.PrivateKeys: storage(t, "storage.privateKeys", "s3://keys")}
	m.ExchangeDefaults.Private = storage(t, "exchangeDefaults.private", "mem://shared")
	_, diags := graph.Resolve(m, w.table())
	codes := map[diag.Code]int{}
	for _, d := range diags {
		codes[d.Code]++
	}
	want := map[diag.Code]int{diag.CodeNotInBuild: 1, diag.CodeRisk: 2, diag.CodeGraph: 5}
	if diff := cmp.Diff(want, codes); diff != "" {
		t.Error(diff, faults(diags))
	}
}

// BenchmarkResolveManyExchanges resolves and draws a deployment with 500
// recurring exchanges, each with storages of its own.
func BenchmarkResolveManyExchanges(b *testing.B) {
	m, w := many(b, 500), newWorld()
	for b.Loop() {
		g, diags := graph.Resolve(m, w.table())
		if diags.HasErrors() {
			b.Fatal(diags.Err())
		}
		var text bytes.Buffer
		if err := g.WriteText(&text); err != nil {
			b.Fatal(err)
		}
	}
}

func many(t testing.TB, n int) *manifest.Manifest {
	m := deployment(t)
	for i := range n {
		id := fmt.Sprintf("rx%d", i)
		m.Exchanges[id] = manifest.ExchangeStorage{
			Private: storage(t, "exchanges."+id+".private", "mem://private-"+id),
			Shared:  storage(t, "exchanges."+id+".shared", "mem://shared-"+id),
		}
	}
	return m
}

func TestManyExchangesAreResolvedOnce(t *testing.T) {
	g := resolve(t, many(t, 300), newWorld().table())
	if n := len(g.RecurringExchanges()); n != 300 {
		t.Errorf("%d recurring exchanges; want 300", n)
	}
	if n := len(g.Nodes()); n != 13+4*300 {
		t.Errorf("%d nodes", n)
	}
}
