package e2e

import (
	"bytes"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/panelmatch/panelmatch/engine/crypto/commutative"
	"github.com/panelmatch/panelmatch/engine/workflow"
	"github.com/panelmatch/panelmatch/schema/manifest"
	"github.com/panelmatch/panelmatch/schema/wire/internalpb"
	"github.com/panelmatch/panelmatch/schema/wire/joinkeypb"
	"github.com/panelmatch/panelmatch/schema/wire/protocolpb"
)

// The wire's states, shorter.
const (
	inProgress = internalpb.ExchangeCheckpoint_IN_PROGRESS
	succeeded  = internalpb.ExchangeCheckpoint_SUCCEEDED
	failed     = internalpb.ExchangeCheckpoint_FAILED

	attemptInProgress = internalpb.ExchangeStepAttempt_IN_PROGRESS
	attemptSucceeded  = internalpb.ExchangeStepAttempt_SUCCEEDED
	attemptFailed     = internalpb.ExchangeStepAttempt_FAILED
	attemptFailedStep = internalpb.ExchangeStepAttempt_FAILED_STEP
)

func readFile(t testing.TB, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// exchangeDir is where the blobs of a date lie in a storage.
func exchangeDir(storage string, date workflow.Date) string {
	return filepath.Join(storage, "recurringExchanges", "demo", "exchanges", date.String())
}

// private returns the file of a blob in the party's private storage.
func (p *party) private(date workflow.Date, label string) string {
	return filepath.Join(exchangeDir(p.storage, date), label)
}

// shared returns the file of a blob in shared storage.
func (w *world) shared(date workflow.Date, key string) string {
	return filepath.Join(exchangeDir(filepath.Join(w.dir, "shared"), date), key)
}

// stored returns the file of the workflow that the party has stored.
func (p *party) stored() string {
	return filepath.Join(p.w.dir, p.id, "valid-exchange-workflows", "demo")
}

func (p *party) checkpointFile(date workflow.Date) string {
	if p.role == manifest.ModelProvider {
		return p.w.shared(date, "checkpoints/mp-checkpoint")
	}
	return p.w.shared(date, "checkpoints/edp-checkpoint")
}

// checkpoint reads the party's checkpoint, nil if there is none.
func (p *party) checkpoint(date workflow.Date) *internalpb.ExchangeCheckpoint {
	p.w.t.Helper()
	b, err := os.ReadFile(p.checkpointFile(date))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	signed, cp := &internalpb.SignedExchangeCheckpoint{}, &internalpb.ExchangeCheckpoint{}
	if err := errors.Join(err, proto.Unmarshal(b, signed), proto.Unmarshal(signed.GetSerializedCheckpoint(), cp)); err != nil {
		p.w.t.Fatal(err)
	}
	return cp
}

// last returns the latest attempt of a step in the party's checkpoint, nil if there is none.
func (p *party) last(date workflow.Date, step string) *internalpb.ExchangeStepAttempt {
	p.w.t.Helper()
	var last *internalpb.ExchangeStepAttempt
	for _, e := range p.checkpoint(date).GetProgressEntries() {
		if a := e.GetAttempt(); a.GetStepId() == step && a.GetAttemptNumber() > last.GetAttemptNumber() {
			last = a
		}
	}
	return last
}

// files lists the regular files below a directory, sorted, relative to it; temporary ones are left out.
func files(t testing.TB, dir string) []string {
	t.Helper()
	var out []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil
		case err != nil:
			return err
		case d.IsDir() && d.Name() == ".panelmatch.tmp":
			return fs.SkipDir
		case d.IsDir():
			return nil
		}
		rel, err := filepath.Rel(dir, path)
		out = append(out, filepath.ToSlash(rel))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(out)
	return out
}

// certificate reads a certificate from shared storage and checks that the owner's root signed it.
func (w *world) certificate(date workflow.Date, name string) *x509.Certificate {
	w.t.Helper()
	m := &internalpb.Certificate{}
	if err := proto.Unmarshal(readFile(w.t, w.shared(date, "certificates/"+name)), m); err != nil {
		w.t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(m.GetX509Der())
	if err != nil {
		w.t.Fatal(err)
	}
	owner := name[:strings.LastIndexByte(name, ':')]
	if err := cert.CheckSignatureFrom(w.root(owner)); err != nil {
		w.t.Errorf("certificate %s: %v", name, err)
	}
	return cert
}

func (w *world) root(owner string) *x509.Certificate {
	w.t.Helper()
	block, _ := pem.Decode(readFile(w.t, filepath.Join(w.dir, owner+"-root.pem")))
	if block == nil {
		w.t.Fatalf("the root certificate of %s is no PEM", owner)
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		w.t.Fatal(err)
	}
	return cert
}

// eachShared calls f for every signed blob of shared storage with what its signature says.
func (w *world) eachShared(f func(date workflow.Date, key string, data []byte, s *protocolpb.NamedSignature)) {
	w.t.Helper()
	for _, date := range w.dates {
		for _, key := range files(w.t, w.shared(date, "")) {
			if strings.HasPrefix(key, "checkpoints/") || strings.HasPrefix(key, "certificates/") || strings.HasSuffix(key, ".signature") {
				continue
			}
			s := &protocolpb.NamedSignature{}
			if err := proto.Unmarshal(readFile(w.t, w.shared(date, key+".signature")), s); err != nil {
				w.t.Fatal(err)
			}
			f(date, key, readFile(w.t, w.shared(date, key)), s)
		}
	}
}

// verifyShared checks every signature in shared storage, those of checkpoints included, and returns
// how many blobs are signed.
func (w *world) verifyShared() int {
	w.t.Helper()
	n := 0
	w.eachShared(func(date workflow.Date, key string, data []byte, s *protocolpb.NamedSignature) {
		n++
		cert := w.certificate(date, s.GetCertificateName())
		if err := cert.CheckSignature(cert.SignatureAlgorithm, data, s.GetSignature()); err != nil {
			w.t.Errorf("%s of %s: %v", key, date, err)
		}
	})
	for _, date := range w.dates {
		for _, p := range w.parties() {
			signed := &internalpb.SignedExchangeCheckpoint{}
			if err := proto.Unmarshal(readFile(w.t, p.checkpointFile(date)), signed); err != nil {
				w.t.Fatal(err)
			}
			cert := w.certificate(date, signed.GetCertName())
			if err := cert.CheckSignature(x509.ECDSAWithSHA256, signed.GetSerializedCheckpoint(), signed.GetSignature()); err != nil {
				w.t.Errorf("checkpoint of %s: %v", p.id, err)
			}
			if !strings.HasPrefix(signed.GetCertName(), p.id+":") || signed.GetSignatureAlgorithmOid() != "1.2.840.10045.4.3.2" {
				w.t.Errorf("checkpoint of %s is signed with %s by %s", p.id, signed.GetCertName(), signed.GetSignatureAlgorithmOid())
			}
		}
	}
	return n
}

// blinded is the usual panel as the data provider's key blinds it, by identifier.
func blinded(t testing.TB) map[string]string {
	t.Helper()
	key, err := commutative.ParseKey([]byte(edpKey))
	if err != nil {
		t.Fatal(err)
	}
	var plain [][]byte
	for _, e := range joinKeys {
		plain = append(plain, e.GetJoinKey().GetKey())
	}
	texts, err := commutative.New(key, commutative.Options{}).All(t.Context(), commutative.Encrypt, plain)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for i, e := range joinKeys {
		out[string(e.GetJoinKeyIdentifier().GetId())] = string(texts[i])
	}
	return out
}

// byID reads a collection of join keys, by identifier.
func byID(t testing.TB, b []byte) map[string]string {
	t.Helper()
	c := &joinkeypb.JoinKeyAndIdCollection{}
	if err := proto.Unmarshal(b, c); err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for _, e := range c.GetJoinKeyAndIds() {
		out[string(e.GetJoinKeyIdentifier().GetId())] = string(e.GetJoinKey().GetKey())
	}
	return out
}

// publicText is what a partner may read of an attempt: a code and a sentence of this program's, or why
// the attempt was ended later.
var publicText = regexp.MustCompile(`^[a-z-]+: [a-z][a-z ',-]+$|^Attempt was abandoned when the daemon ended$|^Attempt timed out after [0-9hms]+$`)

// noSecrets checks that neither log, nor checkpoints, nor shared storage have anything in them that is a
// party's own: its inputs, its keys, what it did not export, and further secrets.
func (w *world) noSecrets(secrets ...string) {
	w.t.Helper()
	for _, p := range w.parties() {
		for _, name := range files(w.t, filepath.Join(w.dir, p.id)) {
			if strings.HasPrefix(name, "root-x509") || strings.HasPrefix(name, "valid-exchange") || strings.Contains(name, "/done-tasks/") ||
				strings.HasSuffix(name, "certificate-resource-name") || strings.HasSuffix(name, ".signature") {
				continue
			}
			b := readFile(w.t, filepath.Join(w.dir, p.id, name))
			secrets = append(secrets, string(b))
			c := &joinkeypb.JoinKeyAndIdCollection{}
			if proto.Unmarshal(b, c) == nil {
				for _, e := range c.GetJoinKeyAndIds() {
					secrets = append(secrets, string(e.GetJoinKey().GetKey()), string(e.GetJoinKeyIdentifier().GetId()))
				}
			}
		}
		for _, name := range []string{p.id + "-root.key", p.id + "-keys.json"} {
			secrets = append(secrets, string(readFile(w.t, filepath.Join(w.dir, name))))
		}
	}
	places := map[string][]byte{"the log of " + w.mp.id: []byte(w.mp.log.String()), "the log of " + w.edp.id: []byte(w.edp.log.String())}
	for _, date := range w.dates {
		for _, p := range w.parties() {
			cp := p.checkpoint(date)
			if cp == nil {
				continue
			}
			places["the checkpoint of "+p.id] = readFile(w.t, p.checkpointFile(date))
			for _, e := range cp.GetProgressEntries() {
				for _, m := range e.GetAttempt().GetDebugMessageEntries() {
					if !publicText.MatchString(m.GetMessage()) {
						w.t.Errorf("the partner reads %q in the checkpoint of %s", m.GetMessage(), p.id)
					}
				}
			}
		}
	}
	for place, text := range places {
		if i := bytes.Index(text, []byte("canary")); i >= 0 {
			w.t.Errorf("%s has a canary in it: %q", place, text[max(0, i-40):min(len(text), i+40)])
		}
		for _, s := range secrets {
			for _, form := range []string{s, hex.EncodeToString([]byte(s)), base64.StdEncoding.EncodeToString([]byte(s)), base64.RawURLEncoding.EncodeToString([]byte(s))} {
				if len(s) >= 8 && bytes.Contains(text, []byte(form)) {
					w.t.Errorf("%s has a private blob of %d bytes in it", place, len(s))
				}
			}
		}
	}
	// Identifiers and the pepper are shared on purpose.
	for _, name := range files(w.t, filepath.Join(w.dir, "shared")) {
		b := readFile(w.t, filepath.Join(w.dir, "shared", name))
		for _, secret := range []string{"canary-join-key-1", edpKey} {
			if bytes.Contains(b, []byte(secret)) {
				w.t.Errorf("shared blob %s has %s in it", name, secret)
			}
		}
	}
}
