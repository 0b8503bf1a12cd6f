package trust_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"cuelang.org/go/cue/cuecontext"

	"github.com/panelmatch/panelmatch/engine/failure"
	"github.com/panelmatch/panelmatch/engine/provider"
	"github.com/panelmatch/panelmatch/engine/trust"
	"github.com/panelmatch/panelmatch/providers/kms/local"
	"github.com/panelmatch/panelmatch/schema/manifest"
)

const entry = "recurringExchanges/rx1/exchanges/2024-01-31"

type scope struct{ m *manifest.Manifest }

func (scope) Storage(manifest.Storage) provider.Ref[provider.Storage] { return nil }
func (scope) KMS(manifest.KMS) provider.Ref[provider.KMS]             { return nil }
func (s scope) Manifest() *manifest.Manifest                          { return s.m }

// openKMS opens a keyset; an empty one is made.
func openKMS(t *testing.T, keyset []byte) provider.KMS {
	t.Helper()
	file := filepath.Join(t.TempDir(), "keyset.json")
	if keyset != nil {
		if err := os.WriteFile(file, keyset, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	b := manifest.Backend{Name: "local", Path: "kms", Value: cuecontext.New().Encode(map[string]string{"uri": "local://" + file + "?create=true"})}
	r, diags := local.Factory().Resolve(b, scope{&manifest.Manifest{Profile: manifest.Development}})
	if err := diags.Err(); err != nil {
		t.Fatal(err)
	}
	k, err := r.Open(t.Context(), provider.Env{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { k.Close() })
	return k
}

func newSealer(t *testing.T, kms provider.KMS, f trust.Format) *trust.Sealer {
	t.Helper()
	s, err := trust.NewSealer(kms, f)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestRecordedFormatsAreOpened(t *testing.T) {
	kms := openKMS(t, readFile(t, "sealed", "keyset.json"))
	plain := readFile(t, "sealed", "plain")
	for _, f := range []trust.Format{trust.Direct, trust.Envelope} {
		stored := readFile(t, "sealed", string(f))
		if got := trust.FormatOf(stored); got != f {
			t.Errorf("FormatOf(%s) = %s", f, got)
		}
		// Whatever is written, both are read.
		for _, writes := range []trust.Format{trust.Direct, trust.Envelope} {
			got, err := newSealer(t, kms, writes).Open(t.Context(), entry, stored)
			if err != nil || !bytes.Equal(got.Reveal(), plain) {
				t.Errorf("%s, by a sealer that writes %s: %v", f, writes, err)
			}
		}
	}
	k, err := trust.ParseSigningKey(manifest.NewSecret(plain), trust.EC)
	if err != nil || k.Name != "edp1:8d1f0c0e-3b7e-4d0c-9a55-0c7a1d2b3e4f" {
		t.Errorf("got %v, %v", k, err)
	}
}

func TestSealedKeysAreOpenedUnderTheirNameOnly(t *testing.T) {
	kms, other := openKMS(t, nil), openKMS(t, nil)
	plain := readFile(t, "sealed", "plain")
	for _, f := range []trust.Format{trust.Direct, trust.Envelope} {
		s := newSealer(t, kms, f)
		sealed, err := s.Seal(t.Context(), entry, manifest.NewSecret(plain))
		if err != nil {
			t.Fatal(err)
		}
		if trust.FormatOf(sealed) != f || bytes.Contains(sealed, plain[len(plain)-20:]) {
			t.Errorf("%s: written as %s", f, trust.FormatOf(sealed))
		}
		if got, err := s.Open(t.Context(), entry, sealed); err != nil || !bytes.Equal(got.Reveal(), plain) {
			t.Errorf("%s: %v", f, err)
		}
		changed := bytes.Clone(sealed)
		changed[len(changed)-1] ^= 1
		for what, open := range map[string]func() (manifest.Secret, error){
			"another name":  func() (manifest.Secret, error) { return s.Open(t.Context(), "fallback", sealed) },
			"another key":   func() (manifest.Secret, error) { return newSealer(t, other, f).Open(t.Context(), entry, sealed) },
			"changed":       func() (manifest.Secret, error) { return s.Open(t.Context(), entry, changed) },
			"cut":           func() (manifest.Secret, error) { return s.Open(t.Context(), entry, sealed[:len(sealed)/2]) },
			"cut to a mark": func() (manifest.Secret, error) { return s.Open(t.Context(), entry, sealed[:22]) },
			"nothing":       func() (manifest.Secret, error) { return s.Open(t.Context(), entry, nil) },
			"too large":     func() (manifest.Secret, error) { return s.Open(t.Context(), entry, make([]byte, 1<<20)) },
			"without a KMS": func() (manifest.Secret, error) { return trust.NoSealer().Open(t.Context(), entry, sealed) },
		} {
			_, err := open()
			if !errors.Is(err, provider.ErrRejected) {
				t.Errorf("%s, %s: %v", f, what, err)
			}
			if class, code := failure.Of(err); class != failure.Configuration || code != failure.CodeKMS {
				t.Errorf("%s, %s: sorted as %s %s", f, what, class, code)
			}
		}
	}
}

func TestKeysThatStorageProtectsAreStoredAsTheyAre(t *testing.T) {
	plain := readFile(t, "sealed", "plain")
	stored, err := trust.NoSealer().Seal(t.Context(), entry, manifest.NewSecret(plain))
	if err != nil || !bytes.Equal(stored, plain) || trust.FormatOf(stored) != trust.Plain {
		t.Errorf("stored as %s, %v", trust.FormatOf(stored), err)
	}
	got, err := trust.NoSealer().Open(t.Context(), entry, stored)
	if err != nil || !bytes.Equal(got.Reveal(), plain) {
		t.Error(err)
	}
	// Who turns a KMS on is told, and is not lulled into reading it.
	_, err = newSealer(t, openKMS(t, nil), trust.Envelope).Open(t.Context(), entry, stored)
	if !errors.Is(err, provider.ErrRejected) || !strings.Contains(err.Error(), "without a KMS") {
		t.Errorf("got %v", err)
	}
}

// failingKMS fails with an error of its own.
type failingKMS struct{ err error }

func (k failingKMS) EncryptWithContext(context.Context, []byte, []byte) ([]byte, error) {
	return nil, k.err
}

func (k failingKMS) DecryptWithContext(context.Context, []byte, []byte) ([]byte, error) {
	return nil, k.err
}
func (failingKMS) Close() error { return nil }

func TestWhatTheKMSSaysIsKept(t *testing.T) {
	cases := map[error]failure.Class{
		provider.ErrTransient: failure.Transient, provider.ErrPermission: failure.Configuration, provider.ErrRejected: failure.Configuration,
		provider.ErrTooLarge: failure.Configuration, errors.New("unsorted"): failure.Transient, context.Canceled: failure.Transient,
	}
	for cause, want := range cases {
		for _, f := range []trust.Format{trust.Direct, trust.Envelope} {
			s := newSealer(t, failingKMS{fmt.Errorf("kms: %w", cause)}, f)
			_, errSeal := s.Seal(t.Context(), entry, manifest.NewSecret([]byte("k")))
			_, errOpen := s.Open(t.Context(), entry, readFile(t, "sealed", string(f)))
			for _, err := range []error{errSeal, errOpen} {
				if class, _ := failure.Of(err); !errors.Is(err, cause) || class != want {
					t.Errorf("%s, %v: %v, sorted as %s", f, cause, err, class)
				}
			}
		}
	}
	// An unsorted error of the KMS must not look like damage.
	_, err := newSealer(t, failingKMS{errors.New("reset by peer")}, trust.Envelope).Open(t.Context(), entry, readFile(t, "sealed", "envelope"))
	if errors.Is(err, provider.ErrRejected) {
		t.Errorf("got %v", err)
	}
}

func TestSealersAreMadeOfWhatIsKnown(t *testing.T) {
	if _, err := trust.NewSealer(nil, trust.Direct); err == nil {
		t.Error("no KMS was taken")
	}
	for _, f := range []trust.Format{trust.Plain, "other"} {
		if _, err := trust.NewSealer(openKMS(t, nil), f); err == nil {
			t.Errorf("format %s was taken", f)
		}
	}
	if s := newSealer(t, openKMS(t, nil), ""); s.Format() != trust.Envelope {
		t.Errorf("the default is %s", s.Format())
	}
}
