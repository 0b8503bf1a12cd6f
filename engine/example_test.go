package engine_test

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/panelmatch/panelmatch/engine"
	"github.com/panelmatch/panelmatch/engine/provider"
	"github.com/panelmatch/panelmatch/engine/workflow"
	"github.com/panelmatch/panelmatch/providers/secretmap/directory"
	"github.com/panelmatch/panelmatch/providers/storage/file"
	"github.com/panelmatch/panelmatch/schema/diag"
	"github.com/panelmatch/panelmatch/schema/manifest"
)

// A daemon with a certificate authority of its own, which the manifest
// configures by certificateAuthority: {custom: {name: acme, settings: {...}}}.
func Example() {
	dir := deployment() // a directory with a manifest, for this example
	defer os.RemoveAll(dir)
	loaded, diags := manifest.Load(context.Background(), manifest.Sources{Files: []string{filepath.Join(dir, "edp.yaml")}})
	if diags.HasErrors() {
		panic(diags.Err())
	}
	e, diags := engine.New(loaded.Manifest, provider.Table{
		Storage:              []provider.Factory[provider.Storage]{file.Factory()},
		SecretMap:            []provider.Factory[provider.SecretMap]{directory.Factory()},
		CertificateAuthority: []provider.Factory[provider.CertificateAuthority]{{Name: "acme", Resolve: resolveAcme}},
	})
	if diags.HasErrors() {
		panic(diags.Err())
	}
	if err := e.Run(context.Background(), engine.RunOptions{}); err != nil {
		panic(err)
	}
	// Output: acme signs for CN=edp1.example,O=Edp1 in eu-west
}

// acme is a proprietary certificate authority.
type acme struct {
	Region string `json:"region"`
}

func resolveAcme(b manifest.Backend, _ provider.Scope) (provider.Resolved[provider.CertificateAuthority], diag.List) {
	var a acme
	diags := b.DecodeStrict(&a)
	open := func(context.Context, provider.Env) (provider.CertificateAuthority, error) { return a, nil }
	return provider.Resolved[provider.CertificateAuthority]{Open: open}, diags
}

func (a acme) Issue(_ context.Context, r provider.IssueRequest) (provider.Issued, error) {
	cert, err := selfSigned(r) // where the real one would ask its service
	if err == nil {
		fmt.Println("acme signs for", cert.Subject, "in", a.Region)
	}
	return provider.Issued{Certificate: cert, Key: r.Key}, err
}

func (acme) Close() error { return nil }

func selfSigned(r provider.IssueRequest) (*x509.Certificate, error) {
	template := &x509.Certificate{NotBefore: time.Now(), NotAfter: time.Now().Add(r.Validity), DNSNames: []string{r.Subject.DNSName}, IsCA: true, BasicConstraintsValid: true}
	template.Subject.CommonName, template.Subject.Organization = r.Subject.CommonName, []string{r.Subject.Organization}
	der, err := x509.CreateCertificate(rand.Reader, template, template, r.Key.Public(), r.Key)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

// deployment makes a directory with a manifest and a workflow of one step, which asks for a certificate.
func deployment() string {
	dir, err := os.MkdirTemp("", "panelmatch-example-")
	must(err)
	doc, diags := workflow.Parse(fmt.Appendf(nil, `
firstExchangeDate: {year: %d, month: %d, day: %d}
repetitionSchedule: {cronExpression: "@daily"}
exchangeIdentifiers: {dataProviderId: edp1, modelProviderId: mp1, sharedStorageOwner: DATA_PROVIDER}
steps:
  - {stepId: certificate, party: DATA_PROVIDER, outputLabels: {certificate-resource-name: name}, generateCertificateStep: {}}
`, time.Now().UTC().Year(), time.Now().UTC().Month(), time.Now().UTC().Day()), workflow.ParseOptions{Format: workflow.YAML})
	must(diags.Err())
	stored, err := doc.Encode(workflow.InternalBinary)
	must(err)
	must(os.Mkdir(filepath.Join(dir, "workflows"), 0o700))
	must(os.WriteFile(filepath.Join(dir, "workflows", "rx1"), stored, 0o600))
	must(os.WriteFile(filepath.Join(dir, "edp.yaml"), []byte(`
apiVersion: panelmatch/v1
kind: Deployment
identity: {party: DATA_PROVIDER, id: edp1}
coordinator: {checkpoint: {lookback: 24h}}
storage: {root: "file:root?create_dir=true"}
secretMaps: {validExchangeWorkflows: {directory: {path: workflows}}}
privateKeyProtection: {storage: {reason: an example with nothing to protect}}
certificateAuthority:
  custom: {name: acme, settings: {region: eu-west}}
  subject: {commonName: edp1.example, organization: Edp1, dnsName: edp1.example}
exchanges: {rx1: {shared: "file:shared?create_dir=true"}}
run: {mode: CRON_JOB}
`), 0o600))
	return dir
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}
