package step_test

import (
	"bytes"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/panelmatch/panelmatch/engine/failure"
	"github.com/panelmatch/panelmatch/schema/wire/joinkeypb"
	"github.com/panelmatch/panelmatch/schema/wire/membershippb"
)

// The text forms of the steps that have settled inputs and outputs.
var (
	encryptStep   = in("unencrypted-data", "encryption-key") + out("encrypted-data") + "commutative_deterministic_encrypt_step {}"
	reEncryptStep = in("encrypted-data", "encryption-key") + out("reencrypted-data") + "commutative_deterministic_reencrypt_step {}"
	decryptStep   = in("encrypted-data", "encryption-key") + out("decrypted-data") + "commutative_deterministic_decrypt_step {}"
	lookupStep    = in("join-keys", "pepper") + out("lookup-keys") + "generate_lookup_keys_step {}"
	keyPairStep   = out("public-key-handle", "private-key-handle") + "generate_hybrid_encryption_key_pair_step {}"
	hybridEncrypt = in("public-key-handle", "plaintext-data") + out("encrypted-data") + "hybrid_encrypt_step {}"
	hybridDecrypt = in("private-key-handle", "encrypted-data") + out("decrypted-data") + "hybrid_decrypt_step {}"
)

func TestStepsReproduceRecordedBlobs(t *testing.T) {
	const c = "commutative/"
	for _, tc := range []struct {
		name, step string
		inputs     map[string]string
		output     string
		want       string
		message    proto.Message // nil: compare the bytes
	}{
		{
			"single-blind", encryptStep,
			map[string]string{"unencrypted-data": c + "mp-plaintext-join-keys.first", "encryption-key": c + "mp-commutative-deterministic-key"},
			"encrypted-data", c + "mp-single-blinded-join-keys.first", &joinkeypb.JoinKeyAndIdCollection{},
		},
		{
			"double-blind", reEncryptStep,
			map[string]string{"encrypted-data": c + "mp-single-blinded-join-keys.first", "encryption-key": c + "edp-commutative-deterministic-key"},
			"reencrypted-data", c + "mp-double-blinded-join-keys.first", &joinkeypb.JoinKeyAndIdCollection{},
		},
		{
			"remove blinding", decryptStep,
			map[string]string{"encrypted-data": c + "mp-double-blinded-join-keys.first", "encryption-key": c + "mp-commutative-deterministic-key"},
			"decrypted-data", c + "mp-decrypted-join-keys.first", &joinkeypb.JoinKeyAndIdCollection{},
		},
		{
			"the other party's encryption gives the same", encryptStep,
			map[string]string{"unencrypted-data": c + "mp-plaintext-join-keys.first", "encryption-key": c + "edp-commutative-deterministic-key"},
			"encrypted-data", c + "mp-decrypted-join-keys.first", &joinkeypb.JoinKeyAndIdCollection{},
		},
		{
			"lookup keys", lookupStep,
			map[string]string{"join-keys": c + "mp-decrypted-join-keys.first", "pepper": "lookup/identifier-hash-pepper"},
			"lookup-keys", "lookup/mp-lookup-keys.first", &membershippb.LookupKeyAndIdCollection{},
		},
		{
			"hybrid decryption", hybridDecrypt,
			map[string]string{"private-key-handle": "hybrid/mp-blob-encryption-private-key", "encrypted-data": "hybrid/mp-encrypted-hkdf-pepper"},
			"decrypted-data", "hybrid/hkdf-pepper", nil,
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b := newBench(t)
			for label, file := range tc.inputs {
				b.put(label, golden(t, file))
			}
			b.must(tc.step)
			got, want := b.get(tc.output), golden(t, tc.want)
			if !bytes.Equal(got, want) {
				t.Errorf("the output is\n%x\nwant\n%x", got, want)
			}
			if tc.message != nil {
				if err := proto.Unmarshal(got, tc.message); err != nil {
					t.Errorf("the output does not parse: %v", err)
				}
			}
		})
	}
}

func TestTheBlindingsOfManyKeysCommute(t *testing.T) {
	b := newBench(t)
	plain := collection(100)
	b.put("unencrypted-data", plain)
	b.put("encryption-key", golden(t, "commutative/mp-commutative-deterministic-key"))
	b.must(encryptStep)
	single := b.get("encrypted-data")

	b.put("encryption-key", golden(t, "commutative/edp-commutative-deterministic-key"))
	b.must(reEncryptStep)
	b.put("encrypted-data", b.get("reencrypted-data"))
	b.put("encryption-key", golden(t, "commutative/mp-commutative-deterministic-key"))
	b.must(decryptStep)
	decrypted := b.get("decrypted-data")

	b.put("encryption-key", golden(t, "commutative/edp-commutative-deterministic-key"))
	b.must(encryptStep)
	if direct := b.get("encrypted-data"); !bytes.Equal(direct, decrypted) {
		t.Error("what the model provider gets is not what the data provider's key makes of the same join keys, in the same order")
	}
	if bytes.Equal(single, decrypted) {
		t.Error("both keys blind alike")
	}
	for i, e := range parsed(t, decrypted) {
		if got, want := string(e.GetJoinKeyIdentifier().GetId()), id(i); got != want {
			t.Fatalf("entry %d has identifier %q, want %q", i, got, want)
		}
	}
}

func TestAnEmptyCollectionIsBlindedToAnEmptyOne(t *testing.T) {
	b := newBench(t)
	b.put("unencrypted-data", nil)
	b.put("encryption-key", []byte("some-key"))
	b.must(encryptStep)
	if got := b.get("encrypted-data"); len(got) != 0 {
		t.Errorf("the output is %x, want nothing", got)
	}
}

func TestHybridEncryptionRoundTrip(t *testing.T) {
	b := newBench(t)
	b.must(keyPairStep)
	for _, secret := range []string{"", "a pepper"} {
		b.put("plaintext-data", []byte(secret))
		b.must(hybridEncrypt)
		if bytes.Contains(b.get("encrypted-data"), []byte("pepper")) {
			t.Error("the ciphertext shows the plaintext")
		}
		b.must(hybridDecrypt)
		if got := string(b.get("decrypted-data")); got != secret {
			t.Errorf("decrypted %q, want %q", got, secret)
		}
	}
	first := b.get("public-key-handle")
	b.must(keyPairStep)
	if bytes.Equal(first, b.get("public-key-handle")) {
		t.Error("two key pairs are the same")
	}
}

func TestHybridStepsRefuseWhatIsNoKeysetOrCiphertext(t *testing.T) {
	b := newBench(t)
	b.put("public-key-handle", []byte("no keyset"))
	b.put("plaintext-data", []byte("canary-plaintext"))
	b.fails(hybridEncrypt, failure.Permanent, failure.CodeBadInput, "")
	b.put("public-key-handle", golden(t, "hybrid/mp-blob-encryption-private-key"))
	b.fails(hybridEncrypt, failure.Permanent, failure.CodeBadInput, "")

	b.put("private-key-handle", golden(t, "hybrid/mp-blob-encryption-private-key"))
	ciphertext := golden(t, "hybrid/mp-encrypted-hkdf-pepper")
	for i := range ciphertext {
		damaged := bytes.Clone(ciphertext)
		damaged[i] ^= 1
		b.put("encrypted-data", damaged)
		b.fails(hybridDecrypt, failure.Permanent, failure.CodeBadInput, "")
	}
	for _, n := range []int{0, 1, 4, 5, len(ciphertext) - 1} {
		b.put("encrypted-data", ciphertext[:n])
		b.fails(hybridDecrypt, failure.Permanent, failure.CodeBadInput, "")
	}
	b.put("encrypted-data", ciphertext)
	b.put("private-key-handle", golden(t, "hybrid/mp-blob-encryption-public-key"))
	b.fails(hybridDecrypt, failure.Permanent, failure.CodeBadInput, "")
}
