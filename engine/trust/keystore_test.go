package trust_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/panelmatch/panelmatch/engine/blob"
	"github.com/panelmatch/panelmatch/engine/provider"
	"github.com/panelmatch/panelmatch/engine/trust"
	"github.com/panelmatch/panelmatch/schema/manifest"
)

// memoryMap is a provider.SecretMap in memory.
type memoryMap struct {
	mu sync.Mutex
	m  map[string][]byte
}

func newMap() *memoryMap { return &memoryMap{m: map[string][]byte{}} }

func (m *memoryMap) Get(_ context.Context, key string) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	b, ok := m.m[key]
	if !ok {
		return nil, fmt.Errorf("%q: %w", key, provider.ErrNotFound)
	}
	return bytes.Clone(b), nil
}

func (m *memoryMap) Put(_ context.Context, key string, value []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.m[key] = bytes.Clone(value)
	return nil
}

func (m *memoryMap) List(context.Context) ([]string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Sorted(maps.Keys(m.m)), nil
}
func (m *memoryMap) Close() error { return nil }

func exchangeKey(t testing.TB, path string) blob.ExchangeKey {
	t.Helper()
	k, err := blob.ParseExchangeKey(path)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func newSigningKey(t *testing.T, name string, keys manifest.Keys) trust.SigningKey {
	t.Helper()
	key, err := trust.GenerateKey(keys)
	if err != nil {
		t.Fatal(err)
	}
	return trust.SigningKey{Name: name, Key: key}
}

func TestAnExchangesOwnKeyComesBeforeTheFallback(t *testing.T) {
	m, sealer := newMap(), newSealer(t, openKMS(t, nil), trust.Envelope)
	with := trust.NewKeyStore(m, sealer, manifest.Keys{Fallback: "fallback/2026"})
	without := trust.NewKeyStore(m, sealer, manifest.Keys{})
	exchange := exchangeKey(t, entry)

	for _, s := range []*trust.KeyStore{with, without} {
		if _, err := s.ForExchange(t.Context(), exchange); !errors.Is(err, provider.ErrNotFound) {
			t.Errorf("no key at all: %v", err)
		}
	}
	if err := with.Put(t.Context(), "fallback/2026", newSigningKey(t, "edp1:fallback", manifest.Keys{})); err != nil {
		t.Fatal(err)
	}
	if k, err := with.ForExchange(t.Context(), exchange); err != nil || k.Name != "edp1:fallback" {
		t.Errorf("got %v, %v", k, err)
	}
	if _, err := without.ForExchange(t.Context(), exchange); !errors.Is(err, provider.ErrNotFound) {
		t.Errorf("a fallback that is not configured was used: %v", err)
	}
	if err := with.Put(t.Context(), entry, newSigningKey(t, "edp1:own", manifest.Keys{})); err != nil {
		t.Fatal(err)
	}
	for _, s := range []*trust.KeyStore{with, without} {
		if k, err := s.ForExchange(t.Context(), exchange); err != nil || k.Name != "edp1:own" {
			t.Errorf("got %v, %v", k, err)
		}
	}
	// A key that can't be opened is no reason to sign with another one.
	m.m[entry] = []byte("damaged")
	if k, err := with.ForExchange(t.Context(), exchange); !errors.Is(err, provider.ErrRejected) {
		t.Errorf("got %v, %v", k, err)
	}
}

func TestTheReferencesEntryIsRead(t *testing.T) {
	m := newMap()
	m.m[entry] = readFile(t, "sealed", "direct")
	s := trust.NewKeyStore(m, newSealer(t, openKMS(t, readFile(t, "sealed", "keyset.json")), trust.Envelope), manifest.Keys{Algorithm: "EC"})
	k, err := s.Get(t.Context(), entry)
	if err != nil || k.Name != "edp1:8d1f0c0e-3b7e-4d0c-9a55-0c7a1d2b3e4f" {
		t.Errorf("got %v, %v", k, err)
	}
}

func TestAKeyOfTheWrongFamilyIsRefused(t *testing.T) {
	m, sealer := newMap(), trust.NoSealer()
	ec := trust.NewKeyStore(m, sealer, manifest.Keys{Algorithm: "EC"})
	rsa := trust.NewKeyStore(m, sealer, manifest.Keys{Algorithm: "RSA"})
	if err := ec.Put(t.Context(), entry, newSigningKey(t, "n", manifest.Keys{})); err != nil {
		t.Fatal(err)
	}
	if _, err := rsa.Get(t.Context(), entry); err == nil || !strings.Contains(err.Error(), "is an EC key, but exchange keys are RSA (keys.algorithm)") {
		t.Errorf("got %v", err)
	}
}

func TestSigningKeysPrintTheirNameOnly(t *testing.T) {
	k, err := trust.ParseSigningKey(manifest.NewSecret(readFile(t, "sealed", "plain")), "")
	if err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	slog.New(slog.NewTextHandler(&log, nil)).Info("m", "key", k)
	for _, text := range []string{fmt.Sprint(k), fmt.Sprintf("%v %+v %#v %s %x %d", k, k, k, k, k, k), fmt.Sprintf("%+v", []trust.SigningKey{k}), log.String()} {
		// The private scalar, in the notations that fmt could use.
		for _, secret := range []string{"1234567890abcdef", "8234104122482341265491137074636836252947884782870784360943022469005013929455"} {
			if strings.Contains(text, secret) || !strings.Contains(text, "[redacted]") {
				t.Errorf("printed %q", text)
			}
		}
	}
}

func TestWhatIsNoSigningKeyIsRefusedWithoutQuotingIt(t *testing.T) {
	plain := readFile(t, "sealed", "plain")
	for _, b := range [][]byte{nil, {}, []byte("s3cret"), plain[:len(plain)-10], plain[43:], append([]byte{0x0a, 0}, plain[43:]...)} {
		_, err := trust.ParseSigningKey(manifest.NewSecret(b), "")
		if !errors.Is(err, provider.ErrRejected) || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%d bytes: %v", len(b), err)
		}
	}
}
