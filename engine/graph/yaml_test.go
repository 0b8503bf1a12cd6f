package graph_test

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/panelmatch/panelmatch/engine/graph"
	"github.com/panelmatch/panelmatch/engine/provider"
	calocal "github.com/panelmatch/panelmatch/providers/ca/local"
	"github.com/panelmatch/panelmatch/providers/ca/pregenerated"
	kmslocal "github.com/panelmatch/panelmatch/providers/kms/local"
	secretblob "github.com/panelmatch/panelmatch/providers/secretmap/blob"
	"github.com/panelmatch/panelmatch/providers/secretmap/csv"
	"github.com/panelmatch/panelmatch/providers/secretmap/directory"
	"github.com/panelmatch/panelmatch/providers/storage/file"
	"github.com/panelmatch/panelmatch/providers/storage/mem"
	"github.com/panelmatch/panelmatch/schema/manifest"
)

// realTable is what the product is built with.
func realTable() provider.Table {
	return provider.Table{
		Storage:              []provider.Factory[provider.Storage]{file.Factory(), mem.Factory()},
		KMS:                  []provider.Factory[provider.KMS]{kmslocal.Factory()},
		CertificateAuthority: []provider.Factory[provider.CertificateAuthority]{calocal.Factory(), pregenerated.Factory()},
		SecretMap:            []provider.Factory[provider.SecretMap]{secretblob.Factory(), csv.Factory(), directory.Factory()},
	}
}

// loadYAML loads a manifest that is no file: nothing but the given text can be read.
func loadYAML(t *testing.T, files map[string]string) *manifest.Manifest {
	t.Helper()
	in := manifest.Sources{
		Files: []string{"/etc/panelmatch/edp.yaml"},
		ReadFile: func(name string) ([]byte, error) {
			text, ok := files[name]
			if !ok {
				return nil, fs.ErrNotExist
			}
			return []byte(text), nil
		},
	}
	loaded, diags := manifest.Load(context.Background(), in)
	if diags.HasErrors() {
		t.Fatal(diags.Err())
	}
	return loaded.Manifest
}

const production = `apiVersion: panelmatch/v1
kind: Deployment
identity: {party: DATA_PROVIDER, id: edp1}
coordinator:
  checkpoint:
    recurringExchanges: [rx1, rx3]
    signature: SHA256withECDSA
storage:
  root: file:root
  privateKeys: s3://keys?region=eu-west-1
privateKeyProtection:
  storage: {reason: "the volume is encrypted and nobody can read it"}
certificateAuthority:
  pregenerated: {directory: certs}
exchangeDefaults:
  private: {url: "file:exchanges", prefix: private}
exchanges:
  rx1: {shared: "file:exchanges"}
  rx2: {shared: "gs://partner"}
trust:
  allow: [expiredCertificates]
`

func TestFaultsOfARealManifestPointIntoItsLines(t *testing.T) {
	m := loadYAML(t, map[string]string{"/etc/panelmatch/edp.yaml": production})
	_, diags := graph.Resolve(m, realTable())
	var got []string
	for _, d := range diags {
		got = append(got, strings.TrimPrefix(d.Pos.String(), "/etc/panelmatch/")+" "+d.Severity.String()+" "+d.Path)
	}
	want := []string{
		"edp.yaml:6:31 warning coordinator.checkpoint.recurringExchanges[1]",
		"edp.yaml:10:16 error storage.privateKeys",
		"edp.yaml:12:3 warning privateKeyProtection.storage",
		"edp.yaml:18:17 error exchanges.rx1.shared",
		"edp.yaml:19:3 warning exchanges.rx2",
		"edp.yaml:19:17 error exchanges.rx2.shared",
		"edp.yaml:21:11 warning trust.allow[0]",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff, diags)
	}
}

// TestResolveOpensNothing gives Resolve settings that lead nowhere and a table
// whose providers fail the test when they are opened.
func TestResolveOpensNothing(t *testing.T) {
	text := `apiVersion: panelmatch/v1
kind: Deployment
profile: development
identity: {party: MODEL_PROVIDER, id: mp1}
coordinator: {checkpoint: {}}
storage:
  root: {url: "file:///nonexistent/root", prefix: mp1}
kms: local:///nonexistent/keyset.json?create=true
certificateAuthority:
  local: {rootCertificate: /nonexistent/root.pem, rootKey: "env:PANELMATCH_TEST_NO_SUCH_KEY"}
  subject: {commonName: mp1.example, organization: Mp1, dnsName: mp1.example}
secretMaps:
  rootCertificates: {csv: {path: /nonexistent/roots.csv}}
  validExchangeWorkflows: {directory: {path: /nonexistent/workflows}}
  sharedStorageInfo: {blob: {storage: "mem://infos"}}
exchanges:
  rx1: {shared: "file:///nonexistent/shared"}
`
	m := loadYAML(t, map[string]string{"/etc/panelmatch/edp.yaml": text})
	g, diags := graph.Resolve(m, realTable())
	if diff := cmp.Diff([]string{}, faults(diags)); diff != "" {
		t.Fatal(diff)
	}
	var b bytes.Buffer
	if err := errors.Join(g.WriteText(&b), g.WriteDOT(&b), g.WriteMermaid(&b)); err != nil {
		t.Fatal(err)
	}
	golden(t, "nonexistent.txt", strings.SplitAfter(b.String(), "drawn above\n")[0])
	// Opening is what fails, and it names every node that did.
	_, err := g.Open(context.Background(), provider.Env{Secret: manifest.ResolveSecret})
	if err == nil || !strings.Contains(err.Error(), "/nonexistent/") {
		t.Errorf("Open: %v", err)
	}
}
