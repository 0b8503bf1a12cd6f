package e2e

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/tink"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/panelmatch/panelmatch/engine/crypto/commutative"
	"github.com/panelmatch/panelmatch/engine/workflow"
	"github.com/panelmatch/panelmatch/schema/manifest"
	"github.com/panelmatch/panelmatch/schema/wire/commonpb"
	"github.com/panelmatch/panelmatch/schema/wire/internalpb"
	"github.com/panelmatch/panelmatch/schema/wire/joinkeypb"
	"github.com/panelmatch/panelmatch/schema/wire/storagepb"
)

// The tests of this file write a party's storage as the reference's daemon and
// its tools leave it, with Tink, crypto/x509 and the messages alone.

// legacy is a party that has run the reference until now.
type legacy struct {
	*party
	kms  tink.AEAD
	root authority
}

// newLegacyWorld makes two parties with nothing of this program's but a manifest.
func newLegacyWorld(t *testing.T, format string) (w *world, mp, edp *legacy) {
	t.Helper()
	model := newWorld(t, "double-blind", 2, nil) // only for its workflow
	stored := readFile(t, model.mp.stored())
	w = &world{t: t, dir: t.TempDir(), flow: "double-blind", dates: model.dates}
	w.addParties()
	mp, edp = &legacy{party: w.mp}, &legacy{party: w.edp}
	for _, p := range []*legacy{mp, edp} {
		p.storage = filepath.Join(w.dir, p.id+"-private")
		p.set = append(p.set, "keys.format="+format)
		p.kms = w.newKeyset(p.id + "-keys.json")
		p.root = w.newRoot(p.id)
		w.write(p.id+".yaml", fmt.Appendf(nil, `apiVersion: panelmatch/v1
kind: Deployment
profile: development
identity: {party: %[2]s, id: %[1]s}
coordinator:
  checkpoint: {recurringExchanges: [demo]}
storage:
  root: file:%[1]s
kms: local:%[1]s-keys.json
certificateAuthority:
  local: {rootCertificate: %[1]s-root.pem, rootKey: file:%[1]s-root.key}
  subject: {commonName: %[1]s.example, organization: Test, dnsName: %[1]s.example}
`, p.id, p.role))
		w.write(filepath.Join(p.id, "valid-exchange-workflows", "demo"), stored)
		w.write(filepath.Join(p.id, "private-storage-info", "demo"), details(t, p.storage, storagepb.StorageDetails_PRIVATE))
		w.write(filepath.Join(p.id, "shared-storage-info", "demo"), details(t, filepath.Join(w.dir, "shared"), storagepb.StorageDetails_SHARED))
	}
	for _, p := range []*legacy{mp, edp} {
		for _, q := range []*legacy{mp, edp} {
			w.write(filepath.Join(p.id, "root-x509-certificates", q.id), q.root.cert.Raw)
		}
	}
	for _, date := range w.dates {
		w.rewrite(mp.private(date, "mp-plaintext-join-keys"), collection(joinKeys...))
		w.rewrite(edp.private(date, "edp-commutative-deterministic-key"), []byte(edpKey))
	}
	return w, mp, edp
}

func details(t *testing.T, path string, v storagepb.StorageDetails_Visibility) []byte {
	t.Helper()
	if err := os.MkdirAll(path, 0o755); err != nil {
		t.Fatal(err)
	}
	b, err := proto.Marshal(&storagepb.StorageDetails{
		Platform: &storagepb.StorageDetails_File{File: &storagepb.StorageDetails_FileStorage{Path: path}}, Visibility: v,
	})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// newKeyset makes a cleartext Tink keyset in a file, as a development KMS has it.
func (w *world) newKeyset(name string) tink.AEAD {
	w.t.Helper()
	h, err := keyset.NewHandle(aead.AES256GCMKeyTemplate())
	if err != nil {
		w.t.Fatal(err)
	}
	var b bytes.Buffer
	if err := insecurecleartextkeyset.Write(h, keyset.NewJSONWriter(&b)); err != nil {
		w.t.Fatal(err)
	}
	w.write(name, b.Bytes())
	a, err := aead.New(h)
	if err != nil {
		w.t.Fatal(err)
	}
	return a
}

func (w *world) newRoot(id string) authority {
	w.t.Helper()
	key := newKey(w.t)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{Organization: []string{id}, CommonName: id},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(1, 0, 0),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		w.t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		w.t.Fatal(err)
	}
	w.write(id+"-root.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	w.write(id+"-root.key", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}))
	return authority{w.root(id), key}
}

// keyFile is where the exchange key of a date lies.
func (l *legacy) keyFile(date workflow.Date) string {
	return exchangeDir(filepath.Join(l.w.dir, l.id, "private-keys"), date)
}

// associatedData is what the reference binds the exchange key of a date to.
func associatedData(date workflow.Date) []byte {
	return []byte("private-keys/recurringExchanges/demo/exchanges/" + date.String())
}

// certify makes key and certificate for the exchange of a date, and stores them as the reference does.
func (l *legacy) certify(date workflow.Date) identity {
	l.w.t.Helper()
	key := newKey(l.w.t)
	name := l.id + ":0b8f4a3c-7c43-4b7e-9f43-2f1d3b6f9a10"
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		l.w.t.Fatal(err)
	}
	plain, err := proto.Marshal(&commonpb.SigningKeys{CertName: name, PrivateKey: pkcs8})
	if err != nil {
		l.w.t.Fatal(err)
	}
	sealed, err := l.kms.Encrypt(plain, associatedData(date))
	if err != nil {
		l.w.t.Fatal(err)
	}
	l.w.rewrite(l.keyFile(date), sealed)
	cert, err := proto.Marshal(&internalpb.Certificate{X509Der: l.root.issue(l.w.t, key, -time.Hour, 24*time.Hour)})
	if err != nil {
		l.w.t.Fatal(err)
	}
	l.w.rewrite(l.w.shared(date, "certificates/"+name), cert)
	return identity{name, key}
}

// begin leaves what the model provider's daemon has done of yesterday's exchange when it was stopped
// in the midst of the export: marked tells whether the export itself was done.
func (l *legacy) begin(marked bool) (first workflow.Date, mpKey *commutative.Key) {
	t, w, first := l.w.t, l.w, l.w.dates[0]
	me := l.certify(first)
	key, err := commutative.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	var plain [][]byte
	for _, e := range joinKeys {
		plain = append(plain, e.GetJoinKey().GetKey())
	}
	blinded, err := commutative.New(key, commutative.Options{}).All(t.Context(), commutative.Encrypt, plain)
	if err != nil {
		t.Fatal(err)
	}
	var entries []*joinkeypb.JoinKeyAndId
	for i, e := range joinKeys {
		entries = append(entries, joinKey(string(blinded[i]), string(e.GetJoinKeyIdentifier().GetId())))
	}
	w.rewrite(l.private(first, "mp-commutative-deterministic-key"), key.Bytes())
	w.rewrite(l.private(first, "mp-single-blinded-join-keys"), collection(entries...))

	fingerprint := workflow.FingerprintOf(readFile(t, l.stored()))
	cp := &internalpb.ExchangeCheckpoint{
		Party: internalpb.ExchangeWorkflow_MODEL_PROVIDER, RecurringExchangeId: "demo", ExchangeDate: first.Proto(),
		WorkflowFingerprint: fingerprint[:], ExchangeState: inProgress,
	}
	now := timestamppb.Now()
	for _, s := range w.workflow().StepsOf(manifest.ModelProvider)[:4] {
		e := &internalpb.ExchangeCheckpoint_ProgressEntry{
			Attempt:   &internalpb.ExchangeStepAttempt{StepId: s.ID, StepIndex: int32(s.Index), AttemptNumber: 1, State: attemptSucceeded},
			StartTime: now, EndTime: now,
		}
		export := s.Kind == workflow.CopyToSharedStorage
		if export {
			e.Attempt.State, e.EndTime = attemptInProgress, nil
		}
		cp.ProgressEntries = append(cp.ProgressEntries, e)
		if !export || marked {
			w.rewrite(l.private(first, "done-tasks/"+s.ID), nil)
		}
	}
	if marked {
		w.rewrite(w.shared(first, exported), collection(entries...))
		w.signBlobOf(first, exported, me)
	} else {
		w.rewrite(w.shared(first, exported), collection(entries...)[:20]) // half written, not signed
	}
	l.writeCheckpointOf(first, cp, me)
	return first, key
}

func TestAStorageOfTheReferenceIsCarriedOnWith(t *testing.T) {
	for _, tc := range []struct {
		name   string
		marked bool
		format string
	}{
		{"stopped before the report", true, "envelope"},
		{"stopped in the midst of the export", false, "direct"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			w, mp, edp := newLegacyWorld(t, tc.format)
			first, key := mp.begin(tc.marked)
			sealed := readFile(t, mp.keyFile(first))
			var signature []byte
			if tc.marked {
				signature = readFile(t, w.shared(first, exported+".signature"))
			}
			w.cronUntilDone()
			w.checkEnd(2)
			checkDoubleBlind(t, w)

			if !bytes.Equal(readFile(t, mp.private(first, "mp-commutative-deterministic-key")), key.Bytes()) {
				t.Error("a step that was done has been done again")
			}
			if !bytes.Equal(readFile(t, mp.keyFile(first)), sealed) {
				t.Error("the exchange's private key was replaced")
			}
			if tc.marked && !bytes.Equal(readFile(t, w.shared(first, exported+".signature")), signature) {
				t.Error("a blob that was exported has been exported again")
			}
			w.oneCertificateEach()
			var attempts []string
			for _, e := range mp.checkpoint(first).GetProgressEntries() {
				a := e.GetAttempt()
				attempts = append(attempts, fmt.Sprintf("%d/%d %s", a.GetStepIndex(), a.GetAttemptNumber(), a.GetState()))
			}
			want := "0/1 SUCCEEDED, 1/1 SUCCEEDED, 2/1 SUCCEEDED, 3/1 FAILED, 3/2 SUCCEEDED, 8/1 SUCCEEDED, 9/1 SUCCEEDED"
			if got := strings.Join(attempts, ", "); got != want {
				t.Errorf("the attempts are %s, want %s", got, want)
			}
			for _, p := range []*legacy{mp, edp} {
				p.checkNewKey(w.today(), tc.format)
			}
		})
	}
}

// oneCertificateEach checks that each party has one certificate in each exchange.
func (w *world) oneCertificateEach() {
	w.t.Helper()
	for _, date := range w.dates {
		names := files(w.t, w.shared(date, "certificates"))
		if len(names) != 2 || !strings.HasPrefix(names[0], "edp1:") || !strings.HasPrefix(names[1], "mp1:") {
			w.t.Errorf("%s has the certificates %q, want one for each party", date, names)
		}
	}
}

// checkNewKey checks how a key that this program has made is stored.
func (l *legacy) checkNewKey(date workflow.Date, format string) {
	l.w.t.Helper()
	plain, err := l.kms.Decrypt(readFile(l.w.t, l.keyFile(date)), associatedData(date))
	if format != "direct" {
		if err == nil {
			l.w.t.Error("the new key is in the direct format, want the envelope")
		}
		return
	}
	if err != nil {
		l.w.t.Errorf("the reference could not open the new key: %v", err)
		return
	}
	keys := &commonpb.SigningKeys{}
	if err := proto.Unmarshal(plain, keys); err != nil {
		l.w.t.Fatal(err)
	}
	key, err := x509.ParsePKCS8PrivateKey(keys.GetPrivateKey())
	if err != nil {
		l.w.t.Fatal(err)
	}
	cert := l.w.certificate(date, keys.GetCertName())
	if ec, ok := key.(*ecdsa.PrivateKey); !ok || !ec.PublicKey.Equal(cert.PublicKey) {
		l.w.t.Error("the new key is not that of the certificate")
	}
}

func TestStorageDetailsThatAreWrongAreRefused(t *testing.T) {
	t.Parallel()
	w, mp, _ := newLegacyWorld(t, "envelope")
	info := filepath.Join(w.dir, "mp1", "shared-storage-info", "demo")
	good := readFile(t, info)
	w.rewrite(info, details(t, filepath.Join(w.dir, "shared"), storagepb.StorageDetails_PRIVATE))
	daemons(func() bool { return logHas(mp.log.String(), "no step could be claimed") }, mp.party)
	if len(files(t, filepath.Join(w.dir, "shared"))) != 0 {
		t.Error("something was written to a storage that is not said to be shared")
	}
	// An operator mends it; no restart is needed.
	daemons(func() bool {
		w.rewrite(info, good)
		return mp.last(w.today(), "export-single-blinded-join-keys").GetState() == attemptSucceeded
	}, mp.party)
}
