package trust_test

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"io"
	"strings"
	"testing"

	"gocloud.dev/blob/memblob"

	"github.com/panelmatch/panelmatch/engine/blob"
	"github.com/panelmatch/panelmatch/engine/failure"
	"github.com/panelmatch/panelmatch/engine/provider"
	"github.com/panelmatch/panelmatch/engine/trust"
)

// signing is a pair of parties, with a credential of the edp's.
func signing(t *testing.T) (edp, mp *party, store *blob.Store, credential *trust.Credential) {
	t.Helper()
	edp, mp, s, exchange := pair(t)
	ensure(t, edp, exchange)
	credential, err := edp.manager.Credential(t.Context(), exchange)
	if err != nil {
		t.Fatal(err)
	}
	return edp, mp, s.store(t, exchange), credential
}

func (p *party) lookup(t *testing.T, owner string) trust.Lookup {
	t.Helper()
	return p.manager.LookupFor(exchangeKey(t, entry), owner)
}

func write(t *testing.T, store *blob.Store, key string, data []byte, c *trust.Credential) {
	t.Helper()
	if err := trust.WriteSigned(t.Context(), store, key, bytes.NewReader(data), c); err != nil {
		t.Fatal(err)
	}
}

func TestWhatOnePartySignsTheOtherReads(t *testing.T) {
	_, mp, store, credential := signing(t)
	for _, data := range [][]byte{nil, []byte("x"), bytes.Repeat([]byte("panel"), 1<<20)} {
		write(t, store, "encrypted-queries", data, credential)
		v, err := trust.ReadVerified(t.Context(), store, "encrypted-queries", mp.lookup(t, "edp1"), trust.ReadOptions{})
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(v.Reader())
		if err != nil || !bytes.Equal(got, data) || v.CertificateName != credential.Name {
			t.Errorf("%d bytes: got %d signed by %s, %v", len(data), len(got), v.CertificateName, err)
		}
		if err := v.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestTheSignatureBlobIsTheReferences(t *testing.T) {
	_, _, store, credential := signing(t)
	write(t, store, "shards-0-of-1", []byte("data"), credential)
	b, err := store.GetBytes(t.Context(), "shards-0-of-1.signature", 1000)
	if err != nil {
		t.Fatal(err)
	}
	sig, name, err := trust.ParseSignature(b)
	if err != nil || name != credential.Name {
		t.Fatalf("%q, %v", name, err)
	}
	// Field 1 is the signature, field 2 the name, and that is all.
	want := append(append([]byte{0x0a, byte(len(sig))}, sig...), append([]byte{0x12, byte(len(name))}, name...)...)
	if !bytes.Equal(b, want) {
		t.Errorf("got %x, want %x", b, want)
	}
	if err := trust.Verify(credential.Algorithm, credential.Certificate.PublicKey, []byte("data"), sig); err != nil {
		t.Error(err)
	}
}

func TestABlobWithoutItsSignatureIsNotThere(t *testing.T) {
	_, mp, store, credential := signing(t)
	ctx := t.Context()
	read := func() error {
		_, err := trust.ReadVerified(ctx, store, "b", mp.lookup(t, "edp1"), trust.ReadOptions{})
		return err
	}
	if err := read(); !errors.Is(err, provider.ErrNotFound) {
		t.Errorf("nothing: %v", err)
	}
	if err := store.PutBytes(ctx, "b", []byte("data")); err != nil {
		t.Fatal(err)
	}
	if err := read(); !errors.Is(err, provider.ErrNotFound) {
		t.Errorf("no signature: %v", err)
	}
	write(t, store, "b", []byte("data"), credential)
	if err := store.Delete(ctx, "b"); err != nil {
		t.Fatal(err)
	}
	if err := read(); !errors.Is(err, provider.ErrNotFound) {
		t.Errorf("no blob: %v", err)
	}
}

func TestWhatIsNotAsItWasSignedIsRefused(t *testing.T) {
	_, mp, store, credential := signing(t)
	ctx := t.Context()
	read := func(key string) error {
		v, err := trust.ReadVerified(ctx, store, key, mp.lookup(t, "edp1"), trust.ReadOptions{Rereads: 1})
		if v != nil {
			t.Errorf("%s: bytes came with the error", key)
		}
		return err
	}
	write(t, store, "a", []byte("data of a"), credential)
	write(t, store, "b", []byte("data of b"), credential)
	sigA, err := store.GetBytes(ctx, "a.signature", 1000)
	if err != nil {
		t.Fatal(err)
	}

	if err := store.PutBytes(ctx, "b.signature", sigA); err != nil {
		t.Fatal(err)
	}
	err = read("b")
	sorted(t, err, failure.Permanent, failure.CodeSignature, `"b"`)
	if !errors.Is(err, trust.ErrSignature) {
		t.Errorf("got %v", err)
	}
	for _, data := range []string{"data of A", "data of ", "data of aa", ""} {
		if err := store.PutBytes(ctx, "a", []byte(data)); err != nil {
			t.Fatal(err)
		}
		sorted(t, read("a"), failure.Permanent, failure.CodeSignature, `"a"`)
	}
	for what, b := range map[string][]byte{"garbage": []byte("garbage"), "nothing": {}, "no name": sigA[:len(sigA)-len(credential.Name)-2], "large": make([]byte, 1<<20)} {
		if err := store.PutBytes(ctx, "a.signature", b); err != nil {
			t.Fatal(err)
		}
		if class, _ := failure.Of(read("a")); class != failure.Permanent {
			t.Errorf("%s: %v", what, read("a"))
		}
	}

	// A certificate of the reader's own does not make a blob the partner's.
	ensure(t, mp, exchangeKey(t, entry))
	own, err := mp.manager.Credential(ctx, exchangeKey(t, entry))
	if err != nil {
		t.Fatal(err)
	}
	write(t, store, "a", []byte("data"), own)
	sorted(t, read("a"), failure.Permanent, failure.CodeSignature, "should have signed")

	if v, err := trust.ReadVerified(ctx, store, "a", mp.lookup(t, "mp1"), trust.ReadOptions{}); err != nil {
		t.Errorf("the reader's own blob: %v", err)
	} else {
		v.Close()
	}

	// A certificate whose key can't sign by its algorithm.
	mixed := readCertificate(t, "openssl", "mixed.pem")
	_, err = trust.ReadVerified(ctx, store, "a", func(context.Context, string) (*x509.Certificate, error) { return mixed, nil }, trust.ReadOptions{})
	sorted(t, err, failure.Permanent, failure.CodeCertificate, "can't sign blobs")
}

func TestABlobThatIsBeingRewrittenIsReadAgain(t *testing.T) {
	_, mp, store, credential := signing(t)
	write(t, store, "b", []byte("old"), credential)
	sig, err := store.GetBytes(t.Context(), "b.signature", 1000)
	if err != nil {
		t.Fatal(err)
	}
	write(t, store, "b", []byte("new"), credential)
	if err := store.PutBytes(t.Context(), "b.signature", sig); err != nil { // as a reader of the old one had it
		t.Fatal(err)
	}
	calls := 0
	lookup := mp.lookup(t, "edp1")
	v, err := trust.ReadVerified(t.Context(), store, "b", func(ctx context.Context, name string) (*x509.Certificate, error) {
		if calls++; calls == 2 {
			write(t, store, "b", []byte("new"), credential)
		}
		return lookup(ctx, name)
	}, trust.ReadOptions{Rereads: 2})
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	if got, _ := io.ReadAll(v.Reader()); string(got) != "new" {
		t.Errorf("read %q", got)
	}
}

func TestTheSignatureGoesFirstAndComesLast(t *testing.T) {
	_, mp, store, credential := signing(t)
	write(t, store, "b", []byte("old"), credential)
	// While the new blob is written, a reader finds neither half of the old pair.
	src := &probe{Reader: strings.NewReader("new"), look: func() {
		for _, key := range []string{"b", "b.signature"} {
			if there, err := store.Exists(t.Context(), key); there || err != nil {
				t.Errorf("%s is there while the blob is written: %v", key, err)
			}
		}
		if _, err := trust.ReadVerified(t.Context(), store, "b", mp.lookup(t, "edp1"), trust.ReadOptions{}); !errors.Is(err, provider.ErrNotFound) {
			t.Errorf("read in between: %v", err)
		}
	}}
	if err := trust.WriteSigned(t.Context(), store, "b", src, credential); err != nil {
		t.Fatal(err)
	}
	if src.looked == 0 {
		t.Error("nobody looked")
	}
}

// probe looks around at the first read. It can't seek.
type probe struct {
	io.Reader
	look   func()
	looked int
}

func (p *probe) Read(b []byte) (int, error) {
	if p.looked++; p.looked == 1 {
		p.look()
	}
	return p.Reader.Read(b)
}

func TestAFailedSourceLeavesNoSignature(t *testing.T) {
	_, mp, store, credential := signing(t)
	fault := errors.New("the disk is gone")
	err := trust.WriteSigned(t.Context(), store, "b", io.MultiReader(strings.NewReader("half"), errReader{fault}), credential)
	if !errors.Is(err, fault) {
		t.Errorf("got %v", err)
	}
	if _, err := trust.ReadVerified(t.Context(), store, "b", mp.lookup(t, "edp1"), trust.ReadOptions{}); !errors.Is(err, provider.ErrNotFound) {
		t.Errorf("got %v", err)
	}
}

type errReader struct{ err error }

func (r errReader) Read([]byte) (int, error) { return 0, r.err }

// stumbling fails once in the midst, and can seek.
type stumbling struct {
	*bytes.Reader
	left int
}

func (s *stumbling) Read(p []byte) (int, error) {
	if s.left--; s.left == 0 {
		return 0, provider.ErrTransient
	}
	return s.Reader.Read(p[:min(len(p), 1000)])
}

func TestASecondWriteIsSignedFromItsBeginning(t *testing.T) {
	_, mp, store, credential := signing(t)
	data := bytes.Repeat([]byte("0123456789"), 1000)
	src := &stumbling{Reader: bytes.NewReader(data), left: 4}
	if _, err := src.Seek(5, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	// The source's fault ends the write; the same source is then used again.
	if err := trust.WriteSigned(t.Context(), store, "b", src, credential); !errors.Is(err, provider.ErrTransient) {
		t.Fatalf("got %v", err)
	}
	if _, err := src.Seek(5, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	if err := trust.WriteSigned(t.Context(), store, "b", src, credential); err != nil {
		t.Fatal(err)
	}
	v, err := trust.ReadVerified(t.Context(), store, "b", mp.lookup(t, "edp1"), trust.ReadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	if got, _ := io.ReadAll(v.Reader()); !bytes.Equal(got, data[5:]) {
		t.Errorf("read %d bytes", len(got))
	}
}

func TestVerifiedBlobsAreCommittedWithTheirBareSignature(t *testing.T) {
	_, mp, store, credential := signing(t)
	bucket := memblob.OpenBucket(nil)
	defer bucket.Close()
	private, err := blob.ForExchange(bucket, exchangeKey(t, entry), blob.Options{})
	if err != nil {
		t.Fatal(err)
	}
	write(t, store, "shared-name", []byte("data"), credential)
	v, err := trust.ReadVerified(t.Context(), store, "shared-name", mp.lookup(t, "edp1"), trust.ReadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	for range 2 {
		if err := v.Commit(t.Context(), private, "own-name"); err != nil {
			t.Fatal(err)
		}
	}
	data, err := private.GetBytes(t.Context(), "own-name", 100)
	if err != nil || string(data) != "data" {
		t.Errorf("%q, %v", data, err)
	}
	sig, err := private.GetBytes(t.Context(), "own-name.signature", 100)
	if err != nil || !bytes.Equal(sig, v.Signature) {
		t.Errorf("%x, %v", sig, err)
	}
	if err := trust.Verify(credential.Algorithm, credential.Certificate.PublicKey, data, sig); err != nil {
		t.Error(err)
	}
}
