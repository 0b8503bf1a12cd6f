package check

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/panelmatch/panelmatch/engine/blob"
	"github.com/panelmatch/panelmatch/engine/graph"
	"github.com/panelmatch/panelmatch/engine/provider"
	"github.com/panelmatch/panelmatch/schema/manifest"
)

// checker carries one Run through its nodes.
type checker struct {
	o      Options
	m      *manifest.Manifest
	opened *graph.Opened
	scrub  *scrubber
	took   map[string]time.Duration
	roots  *rootCertificates
}

// proofs collects what was tried on one node.
type proofs struct {
	c    *checker
	node graph.Node
	list []Proof
}

// run tries f, and notes the outcome under name. It reports whether all is well.
// f returns a fact to show, which may be empty.
func (p *proofs) run(name string, f func() (string, error)) bool {
	start := time.Now()
	fact, err := f()
	proof := Proof{Name: name, Status: OK, Detail: fact, Milliseconds: time.Since(start).Milliseconds()}
	if err != nil {
		p.fault(&proof, err)
	}
	p.list = append(p.list, proof)
	return err == nil
}

// warn notes something that works and should be looked at.
func (p *proofs) warn(name, detail, hint string) {
	p.list = append(p.list, Proof{Name: name, Status: Warning, Detail: detail, Hint: hint})
}

// soften turns the last proof, if it failed, into a warning.
func (p *proofs) soften(hint string) {
	last := &p.list[len(p.list)-1]
	if last.Status == Failed {
		last.Status, last.Hint = Warning, hint
	}
}

// problem is an error that knows what is missing and what to do.
type problem struct {
	err           error
	missing, hint string
}

func (e *problem) Error() string { return e.err.Error() }
func (e *problem) Unwrap() error { return e.err }

// hinted adds what to do to an error.
func hinted(err error, hint string) error { return &problem{err: err, hint: hint} }

// fault fills proof with what err tells.
func (p *proofs) fault(proof *Proof, err error) {
	proof.Status = Failed
	proof.Detail = p.c.scrub.text(err.Error())
	var known *problem
	if errors.As(err, &known) {
		proof.Missing, proof.Hint = known.missing, known.hint
		if proof.Hint != "" {
			return
		}
	}
	product := productOf(p.node)
	switch {
	case errors.Is(err, provider.ErrPermission), errors.Is(err, fs.ErrPermission):
		proof.Missing = "permission to " + verbs[proof.Name]
		if exact := product.permissions[proof.Name]; exact != "" {
			proof.Missing += ": " + exact
		}
		proof.Hint = product.hint
	case errors.Is(err, provider.ErrReadOnly):
		proof.Missing = "permission to " + verbs[proof.Name]
		proof.Hint = "it is read-only; use one that can be written to"
	case errors.Is(err, provider.ErrNotFound), errors.Is(err, fs.ErrNotExist):
		proof.Missing = p.node.Label
		proof.Hint = product.absent
	case errors.Is(err, context.DeadlineExceeded):
		proof.Hint = "nothing answered in time: look at the address, at firewalls and proxies, and at the credentials"
	case errors.Is(err, provider.ErrTransient), isNetwork(err):
		proof.Hint = "it can't be reached, or is overloaded: look at the address, at firewalls and proxies, and try again"
	}
}

func isNetwork(err error) bool {
	var n net.Error
	return errors.As(err, &n)
}

// notOpen notes why the node is not open.
func (p *proofs) notOpen(err error) {
	var skipped *graph.SkippedError
	if errors.As(err, &skipped) {
		p.list = append(p.list, Proof{Name: "open", Status: Skipped, Detail: "it needs " + skipped.Needs + ", which could not be opened"})
		return
	}
	proof := Proof{Name: "open", Milliseconds: p.c.took[p.node.ID].Milliseconds()}
	var failed *graph.OpenError
	if errors.As(err, &failed) {
		err = failed.Err // the node is named already
	}
	p.fault(&proof, err)
	p.list = append(p.list, proof)
}

// verbs says what a proof does.
var verbs = map[string]string{
	"open": "open it", "write": "write blobs", "read": "read blobs", "list": "list what is there", "delete": "delete blobs",
	"wrap": "encrypt with the key", "unwrap": "decrypt with the key", "get": "read entries", "inspect": "look the authority up",
	"issue": "issue certificates", "open a stored key": "decrypt with the key", "scratch": "write to the directory",
	"other data": "decrypt with the key",
}

// product is what is known of a product's permissions.
type product struct {
	permissions  map[string]string
	hint, absent string
}

// products by kind and provider's name.
var products = map[string]product{
	"storage gs": {
		map[string]string{
			"write": "storage.objects.create", "read": "storage.objects.get", "list": "storage.objects.list", "delete": "storage.objects.delete",
		},
		"grant the role Storage Object User (roles/storage.objectUser) on the bucket", "make the bucket, or correct its name",
	},
	"storage s3": {
		map[string]string{"write": "s3:PutObject", "read": "s3:GetObject", "list": "s3:ListBucket", "delete": "s3:DeleteObject"},
		"allow it in the role's policy and in the bucket's; with a key of KMS also kms:GenerateDataKey and kms:Decrypt", "make the bucket, or correct its name and region",
	},
	"storage azblob": {
		nil, "assign the role Storage Blob Data Contributor on the container", "make the container, or correct its name and account",
	},
	"storage file": {
		nil, "let the user that runs this process read and write the directory", "make the directory, or add ?create_dir=true to the URL",
	},
	"kms gcp-kms": {
		map[string]string{"wrap": "cloudkms.cryptoKeyVersions.useToEncrypt", "unwrap": "cloudkms.cryptoKeyVersions.useToDecrypt"},
		"grant the role Cloud KMS CryptoKey Encrypter/Decrypter on the key", "make the key, or correct its name",
	},
	"kms aws-kms": {
		map[string]string{"wrap": "kms:Encrypt", "unwrap": "kms:Decrypt"},
		"allow it in the key's policy", "make the key, or correct its ARN and region",
	},
	"kms hcvault": {
		map[string]string{"wrap": "update on transit/encrypt", "unwrap": "update on transit/decrypt"},
		"allow it in the policy of the token", "make the transit key, or correct its name and mount",
	},
	"kms azurekeyvault": {
		map[string]string{"wrap": "keys/encrypt", "unwrap": "keys/decrypt"},
		"assign the role Key Vault Crypto User", "make the key, or correct its name",
	},
	"kms local": {nil, "let the user that runs this process read the keyset", "add ?create=true to the URI, or correct the path"},
	"certificateAuthority local": {
		nil, "let the user that runs this process read root certificate and key", "make root certificate and key (createIfMissing does so in profile development), or correct the paths",
	},
	"certificateAuthority googleCAS": {
		map[string]string{"inspect": "privateca.certificateAuthorities.get", "issue": "privateca.certificates.create"},
		"grant the role CA Service Certificate Requester on the pool", "correct project, location, pool and authority",
	},
	"certificateAuthority awsPrivateCA": {
		map[string]string{"inspect": "acm-pca:GetCertificateAuthorityCertificate", "issue": "acm-pca:IssueCertificate and acm-pca:GetCertificate"},
		"allow it in the role's policy", "correct the authority's ARN and region",
	},
	"certificateAuthority vaultPKI": {
		map[string]string{"inspect": "read on the mount's cert/ca", "issue": "update on the mount's sign"},
		"allow it in the policy of the token", "correct address, mount and role",
	},
}

func productOf(n graph.Node) product { return products[string(n.Kind)+" "+n.Provider] }

// scrubber keeps secrets out of texts: what looks like a credential, and what
// was resolved as a secret while the graph was open.
type scrubber struct {
	mu      sync.Mutex
	secrets []string
}

// watch returns resolve, with every secret noted.
func (s *scrubber) watch(resolve func(context.Context, manifest.SecretRef) (manifest.Secret, error)) func(context.Context, manifest.SecretRef) (manifest.Secret, error) {
	if resolve == nil {
		return nil
	}
	return func(ctx context.Context, ref manifest.SecretRef) (manifest.Secret, error) {
		secret, err := resolve(ctx, ref)
		if err == nil {
			s.note(string(secret.Reveal()))
		}
		return secret, err
	}
}

// shortest is the length below which a secret is not looked for: it would be found everywhere.
const shortest = 4

func (s *scrubber) note(secret string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, line := range append(strings.Split(secret, "\n"), secret) {
		if line = strings.TrimSpace(line); len(line) >= shortest {
			s.secrets = append(s.secrets, line)
		}
	}
}

// text returns t without secrets.
func (s *scrubber) text(t string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, secret := range s.secrets {
		t = strings.ReplaceAll(t, secret, "[redacted]")
	}
	return blob.Redact(t)
}
