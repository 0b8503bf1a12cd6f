package local_test

import (
	"context"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"cuelang.org/go/cue/cuecontext"

	"github.com/panelmatch/panelmatch/engine/provider"
	"github.com/panelmatch/panelmatch/engine/providertest/kmstest"
	"github.com/panelmatch/panelmatch/providers/kms/local"
	"github.com/panelmatch/panelmatch/schema/diag"
	"github.com/panelmatch/panelmatch/schema/manifest"
)

type scope struct{ m *manifest.Manifest }

func (scope) Storage(manifest.Storage) provider.Ref[provider.Storage] { return nil }
func (scope) KMS(manifest.KMS) provider.Ref[provider.KMS]             { return nil }
func (s scope) Manifest() *manifest.Manifest                          { return s.m }

func resolve(uri string, profile manifest.Profile) (provider.Resolved[provider.KMS], diag.List) {
	v := cuecontext.New().Encode(map[string]string{"uri": uri})
	return local.Factory().Resolve(manifest.Backend{Name: "local", Path: "kms", Value: v}, scope{&manifest.Manifest{Profile: profile}})
}

func open(t *testing.T, uri string) (provider.KMS, error) {
	t.Helper()
	r, diags := resolve(uri, manifest.Development)
	if err := diags.Err(); err != nil {
		t.Fatal(err)
	}
	return r.Open(t.Context(), provider.Env{})
}

func mustOpen(t *testing.T, uri string) provider.KMS {
	t.Helper()
	k, err := open(t, uri)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestConformance(t *testing.T) {
	dir := t.TempDir()
	uri := func(name string) string { return "local://" + filepath.Join(dir, name) + "?create=true" }
	kmstest.Run(t, kmstest.Harness{
		Open:      func(t *testing.T) provider.KMS { return mustOpen(t, uri("one.json")) },
		OpenOther: func(t *testing.T) provider.KMS { return mustOpen(t, uri("two.json")) },
	})
}

func TestProductionIsRefused(t *testing.T) {
	_, diags := resolve("local:///tmp/k.json", manifest.Production)
	if !diags.HasErrors() || diags[0].Code != diag.CodeRule || diags[0].Hint == "" {
		t.Errorf("got %v", diags)
	}
}

func TestResolveTouchesNoFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "k.json")
	r, diags := resolve("local://"+file+"?create=true", manifest.Development)
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	if _, err := os.Stat(file); !errors.Is(err, fs.ErrNotExist) {
		t.Error("Resolve made the file")
	}
	if r.Attributes[0].Value != file {
		t.Errorf("attributes: %v", r.Attributes)
	}
}

func TestBadURIsAreRefused(t *testing.T) {
	for _, uri := range []string{
		"", "local:", "local:///", "local:rel.json", "local://host/k.json", "local://u@/k.json", "local:///k.json#x",
		"file:///k.json", "local:///k.json?creat=true", "local:///k.json?create=maybe", "local:///k.json?create=true&create=true",
		"local:///k.json?create=%zz", "local:///%zz",
	} {
		if _, diags := resolve(uri, manifest.Development); !diags.HasErrors() {
			t.Errorf("%q was taken", uri)
		}
	}
}

func TestAMissingKeysetIsMadeOnlyOnRequest(t *testing.T) {
	file := filepath.Join(t.TempDir(), "keys", "k.json")
	_, err := open(t, "local://"+file)
	if !errors.Is(err, provider.ErrNotFound) || !strings.Contains(err.Error(), "create=true") {
		t.Errorf("got %v", err)
	}
	mustOpen(t, "local://"+file+"?create=true").Close()
	before, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	mustOpen(t, "local://"+file+"?create=true").Close()
	if after, _ := os.ReadFile(file); string(after) != string(before) {
		t.Error("a keyset that was there has been replaced")
	}
	info, err := os.Stat(file)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode: %v, %v", info.Mode(), err)
	}
}

func TestProvidersThatRaceToMakeAKeysetAgree(t *testing.T) {
	uri := "local://" + filepath.Join(t.TempDir(), "k.json") + "?create=true"
	var mu sync.Mutex
	var ks []provider.KMS
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			k, err := open(t, uri)
			if err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			ks = append(ks, k)
			mu.Unlock()
		})
	}
	wg.Wait()
	for _, a := range ks {
		c, err := a.EncryptWithContext(t.Context(), []byte("p"), nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, b := range ks {
			if _, err := b.DecryptWithContext(t.Context(), c, nil); err != nil {
				t.Fatal("two instances hold different keys")
			}
		}
	}
}

func TestOthersMayNotReadTheKeyset(t *testing.T) {
	file := filepath.Join(t.TempDir(), "k.json")
	mustOpen(t, "local://"+file+"?create=true").Close()
	if err := os.Chmod(file, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := open(t, "local://"+file); err == nil || !strings.Contains(err.Error(), "chmod 600") {
		t.Errorf("got %v", err)
	}
}

func TestABadKeysetIsNotQuoted(t *testing.T) {
	const secret = "c2VjcmV0IGtleSBieXRlcw"
	for _, text := range []string{
		"", "{}", "not json " + secret, `{"primaryKeyId":1,"key":[{"keyData":{"typeUrl":"` + secret + `","value":"` + secret + `"}}]}`,
		// A signing key is not an AEAD.
		`{"primaryKeyId":1,"key":[{"keyId":1,"status":"ENABLED","outputPrefixType":"TINK","keyData":{"typeUrl":"type.googleapis.com/google.crypto.tink.HmacKey","value":"` + secret + `","keyMaterialType":"SYMMETRIC"}}]}`,
	} {
		file := filepath.Join(t.TempDir(), "k.json")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := open(t, "local://"+file+"?create=true"); err == nil || strings.Contains(err.Error(), secret) || !strings.Contains(err.Error(), file) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestOpenStopsWithItsContext(t *testing.T) {
	r, diags := resolve("local://"+filepath.Join(t.TempDir(), "k.json")+"?create=true", manifest.Development)
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := r.Open(ctx, provider.Env{}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

// vector was made with the AESGCM of Python's cryptography package: a key of 32 bytes of value 1 and a nonce
// of 12 bytes of value 2, behind Tink's prefix (1, then the key id in 4 bytes).
const vector = "01000000070202020202020202020202026fb3a52525ecf8aa93e7c9afe7772b2cf27bf3b647"

func TestAKeysetOfAnotherToolIsRead(t *testing.T) {
	file := filepath.Join(t.TempDir(), "k.json")
	const ks = `{"primaryKeyId":7,"key":[{"keyId":7,"status":"ENABLED","outputPrefixType":"TINK","keyData":{"typeUrl":"type.googleapis.com/google.crypto.tink.AesGcmKey","value":"GiABAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQ==","keyMaterialType":"SYMMETRIC"}}]}`
	if err := os.WriteFile(file, []byte(ks), 0o600); err != nil {
		t.Fatal(err)
	}
	k := mustOpen(t, "local://"+file)
	defer k.Close()
	c, err := hex.DecodeString(vector)
	if err != nil {
		t.Fatal(err)
	}
	got, err := k.DecryptWithContext(t.Context(), c, []byte("private-keys/x"))
	if err != nil || string(got) != "hello" {
		t.Errorf("got %q, %v", got, err)
	}
}
