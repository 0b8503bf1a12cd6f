// Package kmstest is the conformance suite for key management: what every
// provider.KMS must do, so that the engine can seal private keys with it.
//
// It is for tests only, and knows no product: the test of a provider says how
// to open one (Harness) and calls Run.
package kmstest

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/panelmatch/panelmatch/engine/provider"
)

// Harness tells the suite about the provider under test.
type Harness struct {
	// Open opens the key. Each call returns an instance of its own for the same key, which the suite closes.
	Open func(t *testing.T) provider.KMS
	// OpenOther opens another key of the same product; nil if there can be only one.
	OpenOther func(t *testing.T) provider.KMS
	// MaxPlaintext is the largest plaintext in bytes that the product takes; 0 if it has no limit worth
	// testing. One byte more must fail with ErrTooLarge.
	MaxPlaintext int
	// RefusesEmpty is set for a product that does not encrypt empty plaintexts.
	RefusesEmpty bool
	// IgnoresAssociatedData is set for a product that can't authenticate associated data. Such a one
	// must refuse any that is not empty.
	IgnoresAssociatedData bool
}

// Run runs the suite, one subtest per promise.
func Run(t *testing.T, h Harness) {
	t.Helper()
	for _, c := range []struct {
		name string
		f    func(*testing.T, Harness)
	}{
		{"what was encrypted is decrypted", roundTrip},
		{"a second instance decrypts what the first encrypted", secondInstance},
		{"equal plaintexts have different ciphertexts", fresh},
		{"arguments are neither changed nor kept", arguments},
		{"other associated data is rejected", associatedData},
		{"a changed ciphertext is rejected", tampered},
		{"a short ciphertext is rejected", short},
		{"another key is rejected", otherKey},
		{"a large plaintext passes up to the limit", large},
		{"many goroutines may use it", concurrent},
		{"a context that has ended stops it", cancelled},
		{"nothing works after Close", closed},
	} {
		t.Run(c.name, func(t *testing.T) { c.f(t, h) })
	}
}

func (h Harness) open(t *testing.T) provider.KMS {
	t.Helper()
	k := h.Open(t)
	t.Cleanup(func() {
		if err := k.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return k
}

// aad is associated data of the form that the engine uses, if the product takes any.
func (h Harness) aad() []byte {
	if h.IgnoresAssociatedData {
		return nil
	}
	return []byte("private-keys/recurringExchanges/rx1/exchanges/2024-01-31")
}

func encrypt(t *testing.T, k provider.KMS, plaintext, aad []byte) []byte {
	t.Helper()
	c, err := k.EncryptWithContext(t.Context(), plaintext, aad)
	if err != nil {
		t.Fatalf("encrypt %d bytes: %v", len(plaintext), err)
	}
	return c
}

// rejected asserts that a decryption fails, finally, and gives nothing away.
func rejected(t *testing.T, k provider.KMS, what string, ciphertext, aad []byte) {
	t.Helper()
	p, err := k.DecryptWithContext(t.Context(), ciphertext, aad)
	switch {
	case err == nil:
		t.Errorf("%s: decrypted to %d bytes; want an error", what, len(p))
	case !errors.Is(err, provider.ErrRejected):
		t.Errorf("%s: %v; want one that wraps ErrRejected", what, err)
	case len(p) != 0:
		t.Errorf("%s: bytes came with the error", what)
	}
}

func roundTrip(t *testing.T, h Harness) {
	k := h.open(t)
	plaintexts := [][]byte{{0}, []byte("a"), []byte("not an exchange key"), random(1000)}
	if !h.RefusesEmpty {
		plaintexts = append(plaintexts, nil, []byte{})
	}
	ads := [][]byte{nil, {}}
	if !h.IgnoresAssociatedData {
		ads = append(ads, []byte("a"), []byte("\x00\xff not text"), []byte(strings.Repeat("long/", 200)), h.aad())
	}
	for _, p := range plaintexts {
		for _, ad := range ads {
			c := encrypt(t, k, p, ad)
			got, err := k.DecryptWithContext(t.Context(), c, ad)
			if err != nil || !bytes.Equal(got, p) {
				t.Errorf("%d bytes with %d bytes of associated data: got %d bytes, %v", len(p), len(ad), len(got), err)
			}
			if len(p) > 8 && bytes.Contains(c, p) {
				t.Errorf("the ciphertext shows the plaintext")
			}
		}
	}
	// No associated data and empty associated data are the same.
	c := encrypt(t, k, []byte("x"), nil)
	if _, err := k.DecryptWithContext(t.Context(), c, []byte{}); err != nil {
		t.Errorf("nil and empty associated data differ: %v", err)
	}
}

func secondInstance(t *testing.T, h Harness) {
	c := encrypt(t, h.open(t), []byte("hello"), h.aad())
	got, err := h.open(t).DecryptWithContext(t.Context(), c, h.aad())
	if err != nil || string(got) != "hello" {
		t.Errorf("got %q, %v", got, err)
	}
}

func fresh(t *testing.T, h Harness) {
	k := h.open(t)
	if bytes.Equal(encrypt(t, k, []byte("same"), h.aad()), encrypt(t, k, []byte("same"), h.aad())) {
		t.Error("two encryptions gave the same bytes")
	}
}

func arguments(t *testing.T, h Harness) {
	k := h.open(t)
	p, ad := []byte("plaintext"), bytes.Clone(h.aad())
	c := encrypt(t, k, p, ad)
	if string(p) != "plaintext" || !bytes.Equal(ad, h.aad()) {
		t.Error("encryption changed its arguments")
	}
	clear(p)
	kept := bytes.Clone(c)
	got, err := k.DecryptWithContext(t.Context(), c, ad)
	if err != nil || string(got) != "plaintext" {
		t.Fatalf("got %q, %v", got, err)
	}
	if !bytes.Equal(c, kept) || !bytes.Equal(ad, h.aad()) {
		t.Error("decryption changed its arguments")
	}
}

func associatedData(t *testing.T, h Harness) {
	k := h.open(t)
	if h.IgnoresAssociatedData {
		if _, err := k.EncryptWithContext(t.Context(), []byte("p"), []byte("ad")); err == nil {
			t.Error("it took associated data that it can't authenticate")
		}
		return
	}
	c := encrypt(t, k, []byte("hello"), h.aad())
	other := bytes.Clone(h.aad())
	other[len(other)-1] ^= 1
	for _, ad := range [][]byte{nil, other, h.aad()[1:], append(bytes.Clone(h.aad()), 0), bytes.ToUpper(h.aad())} {
		rejected(t, k, "other associated data", c, ad)
	}
	rejected(t, k, "associated data where there was none", encrypt(t, k, []byte("hello"), nil), h.aad())
}

func tampered(t *testing.T, h Harness) {
	k := h.open(t)
	c := encrypt(t, k, random(100), h.aad())
	// The last byte belongs to the authentication tag, or to an encoding of it; those in the midst to
	// header, nonce and text. A header in base64 may survive a changed padding bit, so the changes are large.
	for _, i := range []int{len(c) - 2, len(c) / 2, len(c) / 3, 0} {
		changed := bytes.Clone(c)
		changed[i] ^= 0x55
		rejected(t, k, "a changed byte", changed, h.aad())
	}
	rejected(t, k, "random bytes", random(len(c)), h.aad())
	rejected(t, k, "swapped parts", append(bytes.Clone(c[len(c)/2:]), c[:len(c)/2]...), h.aad())
}

func short(t *testing.T, h Harness) {
	k := h.open(t)
	c := encrypt(t, k, []byte("hello"), h.aad())
	for _, n := range []int{0, 1, 4, 5, len(c) / 2, len(c) - 1} {
		rejected(t, k, "a short ciphertext", c[:min(n, len(c))], h.aad())
	}
	rejected(t, k, "no ciphertext", nil, h.aad())
}

func otherKey(t *testing.T, h Harness) {
	if h.OpenOther == nil {
		return
	}
	other := h.OpenOther(t)
	defer other.Close()
	rejected(t, h.open(t), "another key's ciphertext", encrypt(t, other, []byte("hello"), h.aad()), h.aad())
}

func large(t *testing.T, h Harness) {
	k := h.open(t)
	size := h.MaxPlaintext
	if size == 0 {
		size = 1 << 20
	}
	p := random(size)
	got, err := k.DecryptWithContext(t.Context(), encrypt(t, k, p, h.aad()), h.aad())
	if err != nil || !bytes.Equal(got, p) {
		t.Errorf("%d bytes: %v", size, err)
	}
	if h.MaxPlaintext == 0 {
		return
	}
	if _, err := k.EncryptWithContext(t.Context(), random(size+1), h.aad()); !errors.Is(err, provider.ErrTooLarge) {
		t.Errorf("%d bytes: %v; want ErrTooLarge", size+1, err)
	}
}

func concurrent(t *testing.T, h Harness) {
	k := h.open(t)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			p := bytes.Repeat([]byte{byte(i)}, 100+i)
			for range 5 {
				c, err := k.EncryptWithContext(t.Context(), p, h.aad())
				if err != nil {
					t.Errorf("encrypt: %v", err)
					return
				}
				got, err := k.DecryptWithContext(t.Context(), c, h.aad())
				if err != nil || !bytes.Equal(got, p) {
					t.Errorf("got %d bytes, %v", len(got), err)
				}
			}
		})
	}
	wg.Wait()
}

func cancelled(t *testing.T, h Harness) {
	k := h.open(t)
	c := encrypt(t, k, []byte("hello"), h.aad())
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := k.EncryptWithContext(ctx, []byte("hello"), h.aad()); !errors.Is(err, context.Canceled) {
		t.Errorf("encrypt: %v; want context.Canceled", err)
	}
	if _, err := k.DecryptWithContext(ctx, c, h.aad()); !errors.Is(err, context.Canceled) {
		t.Errorf("decrypt: %v; want context.Canceled", err)
	}
}

func closed(t *testing.T, h Harness) {
	k := h.Open(t)
	c := encrypt(t, k, []byte("hello"), h.aad())
	for range 2 {
		if err := k.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	}
	if _, err := k.EncryptWithContext(t.Context(), []byte("hello"), h.aad()); err == nil {
		t.Error("it encrypts after Close")
	}
	if _, err := k.DecryptWithContext(t.Context(), c, h.aad()); err == nil {
		t.Error("it decrypts after Close")
	}
}

func random(n int) []byte {
	b := make([]byte, n)
	rand.Read(b) //nolint:errcheck // never fails
	return b
}
