package commutative

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"math/rand/v2"
	"strings"
	"testing"
)

func TestKeysOfAnyLengthAreRead(t *testing.T) {
	m := newModel()
	last := new(big.Int).Sub(m.n, big.NewInt(1)).Bytes()
	for _, in := range [][]byte{
		{1},
		[]byte("some-key"), last, append([]byte{0}, last...), append(make([]byte, 1000), last...),
		append(make([]byte, 31), 1), append(make([]byte, 32), 1), bytes.Repeat([]byte{1}, 31),
	} {
		k, err := ParseKey(in)
		if err != nil {
			t.Errorf("%x: %v", in, err)
			continue
		}
		if want := new(big.Int).SetBytes(in).FillBytes(make([]byte, 32)); !bytes.Equal(k.Bytes(), want) {
			t.Errorf("%x is read as %x", in, k.Bytes())
		}
	}
}

func TestKeysOutOfRangeAreRefused(t *testing.T) {
	n := newModel().n
	for name, in := range map[string][]byte{
		"nothing": nil, "empty": {}, "zero": {0}, "32 zeros": make([]byte, 32), "33 zeros": make([]byte, 33),
		"n": n.Bytes(), "n + 1": new(big.Int).Add(n, big.NewInt(1)).Bytes(), "n, padded": append(make([]byte, 9), n.Bytes()...),
		"2^256 - 1": bigOnes(32), "2^256": append([]byte{1}, make([]byte, 32)...), "2^256 + 1": append(append([]byte{1}, make([]byte, 31)...), 1),
		"n + 2^256": append([]byte{1}, n.Bytes()...), "one far above": append([]byte{1}, append(make([]byte, 90), 1)...),
		"2 n": new(big.Int).Lsh(n, 1).Bytes(),
	} {
		if _, err := ParseKey(in); !errors.Is(err, ErrKey) {
			t.Errorf("%s: error %v, want ErrKey", name, err)
		}
	}
}

func TestGeneratedKeysDifferAndAreRead(t *testing.T) {
	seen := map[string]bool{}
	for range 100 {
		k, err := GenerateKey()
		if err != nil {
			t.Fatal(err)
		}
		b := k.Bytes()
		if len(b) != 32 || seen[string(b)] {
			t.Fatalf("%d bytes, seen before: %v", len(b), seen[string(b)])
		}
		seen[string(b)] = true
		if again, err := ParseKey(b); err != nil || *again != *k {
			t.Fatalf("a generated key is not read back: %v", err)
		}
	}
}

func TestKeysAreNotPrinted(t *testing.T) {
	secret := readFile(t, "mp-commutative-deterministic-key")
	k, err := ParseKey(secret)
	if err != nil {
		t.Fatal(err)
	}
	c := New(k, Options{})
	var out bytes.Buffer
	slog.New(slog.NewTextHandler(&out, nil)).Info("", "key", k, "cipher", c)
	for _, v := range []any{k, c} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%d", "%q"} {
			s := fmt.Sprintf(verb, v)
			if s != redacted {
				t.Errorf("%T prints as %q with %s", v, s, verb)
			}
			out.WriteString(s)
		}
	}
	for i := 0; i+4 <= len(secret); i += 4 {
		if strings.Contains(out.String(), hex.EncodeToString(secret[i:i+4])) {
			t.Fatal("a part of the key was printed")
		}
	}
}

func TestScalarInverseEqualsMathBig(t *testing.T) {
	n := newModel().n
	for _, b := range someKeys(rand.New(rand.NewPCG(9, 10)), 200) {
		k, err := ParseKey(b)
		if err != nil {
			t.Fatal(err)
		}
		inverse := k.k.inverse()
		got := inverse.bytes()
		want := new(big.Int).ModInverse(new(big.Int).SetBytes(b), n)
		if new(big.Int).SetBytes(got[:]).Cmp(want) != 0 {
			t.Fatalf("1/%x = %x, want %x", b, got, want)
		}
	}
}
