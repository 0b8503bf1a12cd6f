package commutative

import (
	"bytes"
	"compress/gzip"
	"encoding/hex"
	"encoding/json"
	"errors"
	"math/big"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/panelmatch/panelmatch/schema/wire/joinkeypb"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func readFile(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func mustCipher(t testing.TB, key []byte) *Cipher {
	t.Helper()
	k, err := ParseKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return New(k, Options{})
}

func mustApply(t testing.TB, c *Cipher, op Op, src []byte) []byte {
	t.Helper()
	out, err := c.Append(nil, op, src)
	if err != nil {
		t.Fatalf("%v %x: %v", op, src, err)
	}
	return out
}

// recorded reads the join key of a recorded collection of one entry.
func recorded(t *testing.T, name string) []byte {
	t.Helper()
	var c joinkeypb.JoinKeyAndIdCollection
	if err := proto.Unmarshal(readFile(t, name), &c); err != nil {
		t.Fatal(err)
	}
	if len(c.GetJoinKeyAndIds()) != 1 {
		t.Fatalf("%s has %d entries, want 1", name, len(c.GetJoinKeyAndIds()))
	}
	return c.GetJoinKeyAndIds()[0].GetJoinKey().GetKey()
}

func TestCipherReproducesTheRecordedExchange(t *testing.T) {
	mp := mustCipher(t, readFile(t, "mp-commutative-deterministic-key"))
	edp := mustCipher(t, readFile(t, "edp-commutative-deterministic-key"))
	plain := recorded(t, "mp-plaintext-join-keys.first")
	single := recorded(t, "mp-single-blinded-join-keys.first")
	double := recorded(t, "mp-double-blinded-join-keys.first")
	decrypted := recorded(t, "mp-decrypted-join-keys.first")
	for _, tc := range []struct {
		name string
		c    *Cipher
		op   Op
		in   []byte
		want []byte
	}{
		{"model provider encrypts", mp, Encrypt, plain, single},
		{"data provider re-encrypts", edp, ReEncrypt, single, double},
		{"model provider decrypts", mp, Decrypt, double, decrypted},
		{"data provider encrypts", edp, Encrypt, plain, decrypted},
	} {
		if got := mustApply(t, tc.c, tc.op, tc.in); !bytes.Equal(got, tc.want) {
			t.Errorf("%s: got %x, want %x", tc.name, got, tc.want)
		}
	}
}

func TestCipherGivesTheKnownAnswers(t *testing.T) {
	const (
		mp  = "6fa72d65f670664b9f2d5ccccacd1af6ab5b3e111a2770de8b3c88a5ec52aae3"
		edp = "d30b9ba4725fbe040f6a5f2f7e762e0b31025feac5d68f7eecb837a4261ac41d"
	)
	key1, key2 := hex.EncodeToString([]byte("random-key-1")), hex.EncodeToString([]byte("random-key-2"))
	for _, tc := range []struct {
		name, key, want string
		op              Op
		in              []byte
	}{
		{"join key", mp, "0359c465d7cdfc9c8413696ab7ef7e5efa18c1b0b4e0cce491e2f60fbfe0496e47", Encrypt, []byte("join-key-1")},
		{
			"double", edp, "03a6adfc07498a5d3681513f1f7f002ab59b4023b9283d5ac96775a28ff6b21f43", ReEncrypt,
			unhex(t, "0359c465d7cdfc9c8413696ab7ef7e5efa18c1b0b4e0cce491e2f60fbfe0496e47"),
		},
		{
			"decrypted", mp, "03eb08beb6c41c8d0735a9dd7fe092dc078c1aae2bcf3ac936eb6c41525591c370", Decrypt,
			unhex(t, "03a6adfc07498a5d3681513f1f7f002ab59b4023b9283d5ac96775a28ff6b21f43"),
		},
		{"ASCII key 1", key1, "02c67d06a8f6095d07c6a0bcb695798c4df3dec1f499b3e7d702855e89eb4effc6", Encrypt, []byte("some-plaintext")},
		{"ASCII key 2", key2, "02e9c510f0824b100803499fceba0260f9d3898a07ed76db0fad6c44199e009501", Encrypt, []byte("some-plaintext")},
		{
			"ASCII keys 1, 2", key2, "02abfea552b633b54edbcaf2db0fbb5f326ce98d5a95425fab88bdf4c6e5819f74", ReEncrypt,
			unhex(t, "02c67d06a8f6095d07c6a0bcb695798c4df3dec1f499b3e7d702855e89eb4effc6"),
		},
		{
			"ASCII keys 2, 1", key1, "02abfea552b633b54edbcaf2db0fbb5f326ce98d5a95425fab88bdf4c6e5819f74", ReEncrypt,
			unhex(t, "02e9c510f0824b100803499fceba0260f9d3898a07ed76db0fad6c44199e009501"),
		},
		{
			"retry of a candidate with a leading zero byte", mp, "02aa553645ce0ca39d821f34337f03c6affe2ffd0940d8595befd1e30db3472bc3",
			Encrypt, []byte("id-50"),
		},
	} {
		if got := mustApply(t, mustCipher(t, unhex(t, tc.key)), tc.op, tc.in); hex.EncodeToString(got) != tc.want {
			t.Errorf("%s: got %x, want %s", tc.name, got, tc.want)
		}
	}
}

func TestHashToCurveGivesTheKnownPoints(t *testing.T) {
	m := newModel()
	for _, tc := range []struct {
		in    string
		tries int
		x, y  string
	}{
		{
			"join-key-1", 2, "c2a82df03622d14e3c5cdd48500a3c866962f4c527f3fb23627ff3038b155ec6",
			"1053320e8114281c9283d1d29265f0cce2cff307669fcfb2827a90759615ccc8",
		},
		{
			"", 1, "6b51b9d722460e1f8073e65a824ebe2282f2d7d945491f150c1c04e6e553bb23",
			"a59c7852c395ab1411948ea4c733dfeaac8157f3a4ab509d42922f7f7dc0bdc0",
		},
		{"a", 4, "a2584c304a4a67a0ce0e30fa6788f41bc4ff173d354eded0c89575b5c0a099c7", ""},
		{"some-plaintext", 4, "cd3ffe77e3dc3d8dddcbd079247dce12906c909caa2a6bde06037a82a7aa33cf", ""},
		{
			"id-50", 7, "79f8d46c3cefa9f31511d557d8cf247d449c64cf7dcf7c75a14d25da87304b0c",
			"2b94e72dd773dfd90dbfdf81d7e8c11340ee616cbd870c7125d519bc22279450",
		},
	} {
		q, tries := m.hash([]byte(tc.in))
		if tries != tc.tries {
			t.Errorf("the model takes %d tries for %q, want %d", tries, tc.in, tc.tries)
		}
		var o oracle
		var x, y element
		o.hash(&x, &y, []byte(tc.in))
		if got := m.uncompressed(modelPoint{x.big(), y.big()}); !bytes.Equal(got, m.uncompressed(q)) {
			t.Errorf("%q hashes to %x, the model says %x", tc.in, got, m.uncompressed(q))
		}
		if want, _ := new(big.Int).SetString(tc.x, 16); x.big().Cmp(want) != 0 {
			t.Errorf("%q hashes to x = %x, want %s", tc.in, x.big(), tc.x)
		}
		if want, ok := new(big.Int).SetString(tc.y, 16); ok && y.big().Cmp(want) != 0 {
			t.Errorf("%q hashes to y = %x, want %s", tc.in, y.big(), tc.y)
		}
	}
}

// badPoints are inputs that ReEncrypt and Decrypt refuse.
func badPoints(t testing.TB) map[string][]byte {
	m := newModel()
	q, _ := m.hash([]byte("some key"))
	good, long := m.encode(q), m.uncompressed(q)
	pBytes := m.p.FillBytes(make([]byte, 32))
	noRoot := new(big.Int).SetInt64(1)
	for new(big.Int).ModSqrt(m.curve(noRoot), m.p) != nil {
		noRoot.Add(noRoot, big.NewInt(1))
	}
	zeroY := new(big.Int).Add(q.y, big.NewInt(1))
	prefixed := func(p byte, b ...[]byte) []byte { return append([]byte{p}, bytes.Join(b, nil)...) }
	return map[string][]byte{
		"empty":                            {},
		"infinity":                         {0},
		"infinity, padded":                 make([]byte, 33),
		"infinity, padded long":            make([]byte, 65),
		"prefix only":                      {2},
		"one byte short":                   good[:32],
		"one byte long":                    append(bytes.Clone(good), 0),
		"prefix 05":                        prefixed(5, bytes.Repeat([]byte{0x11}, 32)),
		"prefix 04, compressed length":     prefixed(4, good[1:]),
		"prefix 02, uncompressed length":   prefixed(2, long[1:]),
		"hybrid 06":                        prefixed(6, long[1:]),
		"hybrid 07":                        prefixed(7, long[1:]),
		"uncompressed, one byte short":     long[:64],
		"uncompressed, one byte long":      append(bytes.Clone(long), 0),
		"x of all ones":                    prefixed(2, bytes.Repeat([]byte{0xff}, 32)),
		"x = p":                            prefixed(2, pBytes),
		"x = p, odd":                       prefixed(3, pBytes),
		"x = p, uncompressed":              prefixed(4, pBytes, long[33:]),
		"y = p, uncompressed":              prefixed(4, long[1:33], pBytes),
		"x = p + 5":                        prefixed(2, new(big.Int).Add(m.p, big.NewInt(5)).Bytes()),
		"x without a root":                 prefixed(2, noRoot.FillBytes(make([]byte, 32))),
		"off the curve":                    prefixed(4, long[1:33], zeroY.FillBytes(make([]byte, 32))),
		"uncompressed zero":                prefixed(4, make([]byte, 64)),
		"raw x, no prefix":                 good[1:],
		"hexadecimal text":                 []byte(hex.EncodeToString(good)),
		"secp256k1 generator, compressed":  unhex(t, "0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798")[:32],
		"generator of another curve, long": unhex(t, "0479be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798483ada7726a3c4655da4fbfc0e1108a8fd17b448a68554199c47d08ffb10d4b8"),
	}
}

func TestMalformedPointsAreRefused(t *testing.T) {
	c := mustCipher(t, []byte("some-key"))
	for name, in := range badPoints(t) {
		for _, op := range []Op{ReEncrypt, Decrypt} {
			out, err := c.Append([]byte("kept"), op, in)
			if !errors.Is(err, ErrPoint) {
				t.Errorf("%s: %v gives %x and error %v, want ErrPoint", name, op, out, err)
			}
			if string(out) != "kept" {
				t.Errorf("%s: %v changes dst to %q", name, op, out)
			}
		}
		if _, err := c.Append(nil, Encrypt, in); err != nil {
			t.Errorf("%s: %v; any byte string can be encrypted", name, err)
		}
	}
}

func TestUncompressedPointsAreAcceptedAndCompressed(t *testing.T) {
	m := newModel()
	c := mustCipher(t, []byte("some-key"))
	for _, s := range []string{"", "a", "b", "join-key-1"} {
		q, _ := m.hash([]byte(s))
		for range 2 { // both signs of y
			for _, op := range []Op{ReEncrypt, Decrypt} {
				long, short := mustApply(t, c, op, m.uncompressed(q)), mustApply(t, c, op, m.encode(q))
				if !bytes.Equal(long, short) || len(long) != PointSize {
					t.Errorf("%v: uncompressed input gives %x, compressed %x", op, long, short)
				}
			}
			q.y = new(big.Int).Sub(m.p, q.y)
		}
	}
}

func TestUnknownOperationsAreRefused(t *testing.T) {
	c := mustCipher(t, []byte("some-key"))
	for _, op := range []Op{0, 4, -1} {
		if _, err := c.Append(nil, op, []byte("x")); err == nil || !strings.Contains(err.Error(), "not an operation") {
			t.Errorf("operation %d: error %v", int(op), err)
		}
		if _, err := c.Batch(t.Context(), op, nil, nil); err == nil {
			t.Errorf("operation %d is done in a batch", int(op))
		}
	}
}

// keys are edge cases and random ones; they are also valid as inputs of a test that needs any key.
func someKeys(rng *rand.Rand, n int) [][]byte {
	m := newModel()
	keys := [][]byte{{1}, {2}, {3}, {0x1f}, {0x20}, {0, 0, 7}, []byte("some-key")}
	for _, d := range []int64{1, 2, 3, 16, 31, 32} {
		keys = append(keys, new(big.Int).Sub(m.n, big.NewInt(d)).Bytes())
	}
	for _, bit := range []uint{4, 5, 63, 64, 127, 128, 192, 255} {
		k := new(big.Int).Lsh(big.NewInt(1), bit)
		keys = append(keys, new(big.Int).Sub(k, big.NewInt(1)).Bytes(), k.Mod(k, m.n).Bytes())
	}
	half := new(big.Int).Rsh(m.n, 1)
	keys = append(keys, half.Bytes(), new(big.Int).Add(half, big.NewInt(1)).Bytes())
	for range n {
		keys = append(keys, randomScalar(rng))
	}
	return keys
}

func randomScalar(rng *rand.Rand) []byte {
	m := newModel()
	for {
		b := randomBytes(rng, 32)
		if _, err := m.key(b); err == nil {
			return b
		}
	}
}

func randomBytes(rng *rand.Rand, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(rng.Uint32())
	}
	return b
}

func TestCipherEqualsTheModel(t *testing.T) {
	m := newModel()
	rng := rand.New(rand.NewPCG(1, 2))
	for i, key := range someKeys(rng, 10) {
		c := mustCipher(t, key)
		src := randomBytes(rng, i)
		for _, op := range []Op{Encrypt, ReEncrypt, Decrypt} {
			want, err := m.apply(op, key, src)
			if err != nil {
				t.Fatal(err)
			}
			if got := mustApply(t, c, op, src); !bytes.Equal(got, want) {
				t.Fatalf("key %x: %v %x gives %x, the model %x", key, op, src, got, want)
			}
			src = want
		}
	}
}

func TestEncryptionsCommuteAndDecryptionTakesOneOff(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	keys := someKeys(rng, 20)
	for i, key := range keys {
		a, b := mustCipher(t, key), mustCipher(t, keys[(i*7+3)%len(keys)])
		plain := randomBytes(rng, rng.IntN(100))
		viaA, viaB := mustApply(t, a, Encrypt, plain), mustApply(t, b, Encrypt, plain)
		both := mustApply(t, b, ReEncrypt, viaA)
		if other := mustApply(t, a, ReEncrypt, viaB); !bytes.Equal(both, other) {
			t.Errorf("keys %d: %x one way, %x the other", i, both, other)
		}
		if got := mustApply(t, a, Decrypt, both); !bytes.Equal(got, viaB) {
			t.Errorf("keys %d: decrypting gives %x, want %x", i, got, viaB)
		}
		if got := mustApply(t, b, Decrypt, both); !bytes.Equal(got, viaA) {
			t.Errorf("keys %d: decrypting gives %x, want %x", i, got, viaA)
		}
	}
}

// The vectors give x coordinates for uncompressed public points, chosen so that the additions and
// doublings of common ladders meet special cases.
func TestWycheproofPoints(t *testing.T) {
	z, err := gzip.NewReader(bytes.NewReader(readFile(t, "ecdh_secp256r1_ecpoint.json.gz")))
	if err != nil {
		t.Fatal(err)
	}
	var cases []struct {
		ID                              int `json:"tcId"`
		Flags                           []string
		Public, Private, Shared, Result string
	}
	if err := json.NewDecoder(z).Decode(&cases); err != nil {
		t.Fatal(err)
	}
	if len(cases) < 300 {
		t.Fatalf("only %d cases", len(cases))
	}
	for _, tc := range cases {
		public := unhex(t, tc.Public)
		for name, c := range engines(mustCipher(t, unhex(t, strings.TrimPrefix(tc.Private, "00")))) {
			got, err := c.All(t.Context(), ReEncrypt, [][]byte{public, public})
			if tc.Result == "invalid" {
				if !errors.Is(err, ErrPoint) {
					t.Errorf("case %d %v, %s: error %v, want ErrPoint", tc.ID, tc.Flags, name, err)
				}
				continue
			}
			if err != nil || hex.EncodeToString(got[1][1:]) != tc.Shared {
				t.Errorf("case %d %v, %s: got %x, %v; want x = %s", tc.ID, tc.Flags, name, got, err, tc.Shared)
			}
		}
	}
}
