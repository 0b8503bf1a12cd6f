//go:build integration

package e2e

import (
	"encoding/pem"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/panelmatch/panelmatch/cmd/panelmatch/internal/demo"
	"github.com/panelmatch/panelmatch/engine/workflow"
	"github.com/panelmatch/panelmatch/schema/manifest"
	"github.com/panelmatch/panelmatch/schema/wire/internalpb"
	"github.com/panelmatch/panelmatch/schema/wire/protocolpb"
)

func TestDaemonsKilledTwoHundredTimesLoseNothing(t *testing.T) {
	testKills(t, 200)
}

// TestOpenSSLVerifiesEverySignature takes what an exchange leaves in shared storage to the openssl
// binary: certificates, blobs and checkpoints, for each kind of keys.
func TestOpenSSLVerifiesEverySignature(t *testing.T) {
	for _, tc := range []struct{ name, keys, signature, algorithm string }{
		{"P-256", "{algorithm: EC, curve: P-256}", "SHA256withECDSA", "ecdsa-with-SHA256"},
		{"P-384", "{algorithm: EC, curve: P-384}", "SHA512withECDSA", "ecdsa-with-SHA384"},
		{"RSA", "{algorithm: RSA, bits: 2048}", "SHA384withRSA", "sha256WithRSAEncryption"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			w := newWorldWithKeys(t, tc.keys, tc.signature)
			w.cronUntilDone()
			n := 0
			w.eachShared(func(date workflow.Date, key string, data []byte, s *protocolpb.NamedSignature) {
				n++
				public, algorithm := w.opensslCertificate(date, s.GetCertificateName())
				if algorithm != tc.algorithm {
					t.Errorf("certificate %s is signed by %s, want %s", s.GetCertificateName(), algorithm, tc.algorithm)
				}
				w.opensslVerify(digestOf(algorithm), public, data, s.GetSignature())
			})
			if n != 2 {
				t.Errorf("%d blobs are shared, want 2", n)
			}
			for _, p := range w.parties() {
				signed := &internalpb.SignedExchangeCheckpoint{}
				if err := proto.Unmarshal(readFile(t, p.checkpointFile(w.today())), signed); err != nil {
					t.Fatal(err)
				}
				public, _ := w.opensslCertificate(w.today(), signed.GetCertName())
				w.opensslVerify(digestOf(tc.signature), public, signed.GetSerializedCheckpoint(), signed.GetSignature())
			}
		})
	}
}

// newWorldWithKeys is newWorld for double-blind with other keys than the usual ones.
func newWorldWithKeys(t *testing.T, keys, signature string) *world {
	model := newWorld(t, "double-blind", 1, nil)
	w := &world{t: t, dir: t.TempDir(), flow: model.flow, dates: model.dates}
	for _, p := range model.parties() {
		text := string(readFile(t, p.manifest))
		text = strings.Replace(text, "checkpoint: {", "checkpoint: {signature: "+signature+", ", 1)
		w.write(p.id+".yaml", []byte(text+"keys: "+keys+"\n"))
	}
	for _, label := range files(t, filepath.Join(model.dir, "inputs")) {
		w.write("inputs/"+label, readFile(t, filepath.Join(model.dir, "inputs", label)))
	}
	if _, err := demo.Prepare(t.Context(), demo.Options{Dir: w.dir, Workflow: w.flow, Providers: providers()}, w.dates); err != nil {
		t.Fatal(err)
	}
	w.addParties()
	return w
}

func (w *world) openssl(args ...string) string {
	w.t.Helper()
	out, err := exec.Command("openssl", args...).CombinedOutput()
	if err != nil {
		w.t.Fatalf("openssl %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

var signedBy = regexp.MustCompile(`Signature Algorithm: (\S+)`)

// opensslCertificate has a certificate verified against its owner's root, and returns a file with its
// public key, and the algorithm it was signed by.
func (w *world) opensslCertificate(date workflow.Date, name string) (public, algorithm string) {
	w.t.Helper()
	m := &internalpb.Certificate{}
	if err := proto.Unmarshal(readFile(w.t, w.shared(date, "certificates/"+name)), m); err != nil {
		w.t.Fatal(err)
	}
	dir := w.t.(*testing.T).TempDir()
	cert, public := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "public.pem")
	if err := os.WriteFile(cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: m.GetX509Der()}), 0o600); err != nil {
		w.t.Fatal(err)
	}
	owner, _, _ := strings.Cut(name, ":")
	w.openssl("verify", "-CAfile", filepath.Join(w.dir, owner+"-root.pem"), cert)
	if err := os.WriteFile(public, []byte(w.openssl("x509", "-in", cert, "-noout", "-pubkey")), 0o600); err != nil {
		w.t.Fatal(err)
	}
	found := signedBy.FindStringSubmatch(w.openssl("x509", "-in", cert, "-noout", "-text"))
	if found == nil {
		w.t.Fatalf("openssl does not tell what certificate %s is signed by", name)
	}
	return public, found[1]
}

func digestOf(algorithm string) string {
	for _, d := range []string{"256", "384", "512"} {
		if strings.Contains(algorithm, d) {
			return "-sha" + d
		}
	}
	return "-unknown-digest"
}

func (w *world) opensslVerify(digest, public string, data, signature []byte) {
	w.t.Helper()
	dir := w.t.(*testing.T).TempDir()
	for name, b := range map[string][]byte{"data": data, "signature": signature} {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			w.t.Fatal(err)
		}
	}
	out := w.openssl("dgst", digest, "-verify", public, "-signature", filepath.Join(dir, "signature"), filepath.Join(dir, "data"))
	if !strings.Contains(out, "Verified OK") {
		w.t.Errorf("openssl says %q", out)
	}
}

// BenchmarkStartToFirstClaim measures how long the daemon takes from its start until it has claimed a
// step, with a manifest of one recurring exchange over a directory.
func BenchmarkStartToFirstClaim(b *testing.B) {
	binary(b)
	w := newWorld(b, "mini", 1, nil)
	for b.Loop() {
		// Without its checkpoint the party begins anew.
		os.Remove(w.edp.checkpointFile(w.today())) //nolint:errcheck // absent the first time
		w.edp.log = &logBuffer{}
		pr := w.edp.start(manifest.Daemon)
		for !strings.Contains(w.edp.log.String(), "step claimed") {
			if pr.ended() {
				b.Fatalf("the daemon ended: %v\n%s", pr.err, w.edp.log)
			}
			time.Sleep(100 * time.Microsecond)
		}
		pr.kill()
	}
}
