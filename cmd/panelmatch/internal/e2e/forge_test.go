package e2e

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/panelmatch/panelmatch/engine"
	"github.com/panelmatch/panelmatch/engine/blob"
	"github.com/panelmatch/panelmatch/engine/trust"
	"github.com/panelmatch/panelmatch/engine/workflow"
	"github.com/panelmatch/panelmatch/schema/manifest"
	"github.com/panelmatch/panelmatch/schema/wire/internalpb"
	"github.com/panelmatch/panelmatch/schema/wire/protocolpb"
)

// What a partner, or somebody who can write to shared storage, could put there.

// identity is a key with the name of its certificate.
type identity struct {
	name string
	key  crypto.Signer
}

// identity returns what the party signs the exchange of a date with.
func (p *party) identity(date workflow.Date) identity {
	p.w.t.Helper()
	opened, err := p.engine().Open(p.w.t.Context(), engine.OpenOptions{})
	if err != nil {
		p.w.t.Fatal(err)
	}
	defer opened.Close()
	sealer, err := trust.NewSealer(opened.KMS(), trust.Envelope)
	if err != nil {
		p.w.t.Fatal(err)
	}
	key := blob.ExchangeKey{RecurringExchange: "demo", Date: date}
	k, err := trust.NewKeyStore(opened.UseCase(manifest.PrivateKeys), sealer, manifest.Keys{}).Get(p.w.t.Context(), key.Path())
	if err != nil {
		p.w.t.Fatal(err)
	}
	return identity{k.Name, k.Key}
}

// authority is a certificate authority.
type authority struct {
	cert *x509.Certificate
	key  crypto.Signer
}

// authority returns the party's own.
func (p *party) authority() authority {
	p.w.t.Helper()
	key, err := trust.ParseKeyPEM(manifest.NewSecret(readFile(p.w.t, p.w.dir+"/"+p.id+"-root.key")))
	if err != nil {
		p.w.t.Fatal(err)
	}
	return authority{p.w.root(p.id), key}
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// foreignAuthority is one that nobody trusts, with the name of one that is trusted.
func foreignAuthority(t testing.TB, like *x509.Certificate) authority {
	t.Helper()
	key := newKey(t)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: like.Subject, NotBefore: like.NotBefore, NotAfter: like.NotAfter,
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign, SubjectKeyId: like.SubjectKeyId,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return authority{cert, key}
}

// issue makes a certificate for a key, valid in the given span around now, in DER.
func (a authority) issue(t testing.TB, key crypto.Signer, from, to time.Duration) []byte {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: "forged"},
		NotBefore: time.Now().Add(from), NotAfter: time.Now().Add(to), KeyUsage: x509.KeyUsageDigitalSignature, SubjectKeyId: []byte{1, 2, 3},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// publish puts a certificate into the shared storage of today's exchange.
func (w *world) publish(name string, der []byte) {
	w.t.Helper()
	b, err := proto.Marshal(&internalpb.Certificate{X509Der: der})
	if err != nil {
		w.t.Fatal(err)
	}
	w.rewrite(w.shared(w.today(), "certificates/"+name), b)
}

// rewrite replaces a file, given by its whole path.
func (w *world) rewrite(path string, data []byte) {
	w.t.Helper()
	w.write(path[len(w.dir)+1:], data)
}

func (i identity) sign(t testing.TB, data []byte) []byte {
	t.Helper()
	sum := sha256.Sum256(data)
	sig, err := i.key.Sign(rand.Reader, sum[:], crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	return sig
}

// signBlob puts a signature of whatever lies under the key today beside it.
func (w *world) signBlob(key string, by identity) {
	w.t.Helper()
	w.signBlobOf(w.today(), key, by)
}

func (w *world) signBlobOf(date workflow.Date, key string, by identity) {
	w.t.Helper()
	data := readFile(w.t, w.shared(date, key))
	b, err := proto.Marshal(&protocolpb.NamedSignature{Signature: by.sign(w.t, data), CertificateName: by.name})
	if err != nil {
		w.t.Fatal(err)
	}
	w.rewrite(w.shared(date, key+".signature"), b)
}

// writeCheckpoint signs a checkpoint and puts it where the party's of today belongs.
func (p *party) writeCheckpoint(cp *internalpb.ExchangeCheckpoint, by identity) {
	p.w.t.Helper()
	p.writeCheckpointOf(p.w.today(), cp, by)
}

func (p *party) writeCheckpointOf(date workflow.Date, cp *internalpb.ExchangeCheckpoint, by identity) {
	p.w.t.Helper()
	payload, err := proto.Marshal(cp)
	if err != nil {
		p.w.t.Fatal(err)
	}
	b, err := proto.Marshal(&internalpb.SignedExchangeCheckpoint{
		SerializedCheckpoint: payload, Signature: by.sign(p.w.t, payload), SignatureAlgorithmOid: "1.2.840.10045.4.3.2", CertName: by.name,
	})
	if err != nil {
		p.w.t.Fatal(err)
	}
	p.w.rewrite(p.checkpointFile(date), b)
}

// rewriteWorkflow replaces the workflow that some parties have stored.
func (w *world) rewriteWorkflow(edit func(*internalpb.ExchangeWorkflow), parties ...*party) {
	w.t.Helper()
	for _, p := range parties {
		m := &internalpb.ExchangeWorkflow{}
		if err := proto.Unmarshal(readFile(w.t, p.stored()), m); err != nil {
			w.t.Fatal(err)
		}
		edit(m)
		b, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
		if err != nil {
			w.t.Fatal(err)
		}
		w.rewrite(p.stored(), b)
	}
}
