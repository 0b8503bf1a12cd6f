package step_test

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"slices"
	"testing"

	"github.com/panelmatch/panelmatch/engine/blob"
	"github.com/panelmatch/panelmatch/engine/failure"
	"github.com/panelmatch/panelmatch/engine/step"
	"github.com/panelmatch/panelmatch/engine/workflow"
)

// certificates is an authority that knows one name, or fails.
type certificates struct {
	name string
	err  error
	made []blob.ExchangeKey
}

func (c *certificates) Create(_ context.Context, key blob.ExchangeKey) (string, error) {
	c.made = append(c.made, key)
	return c.name, c.err
}

// settled has one good step for each type whose labels have settled keys, with its inputs.
var settled = map[workflow.Kind]string{
	workflow.IntersectAndValidate:                in("current-data", "previous-data") + out("current-data=checked") + "intersect_and_validate_step { max_size: 9 maximum_new_items_allowed: 9 }",
	workflow.CommutativeDeterministicEncrypt:     encryptStep,
	workflow.CommutativeDeterministicReEncrypt:   reEncryptStep,
	workflow.CommutativeDeterministicDecrypt:     decryptStep,
	workflow.GenerateLookupKeys:                  lookupStep,
	workflow.HybridEncrypt:                       hybridEncrypt,
	workflow.HybridDecrypt:                       hybridDecrypt,
	workflow.AssignJoinKeyIDs:                    in("join-keys") + out("shuffled-join-key-and-ids") + "assign_join_key_ids_step {}",
	workflow.GenerateHybridEncryptionKeyPair:     keyPairStep,
	workflow.GenerateCertificate:                 out("certificate-resource-name") + "generate_certificate_step {}",
	workflow.GenerateRandomBytes:                 out("random-bytes") + "generate_random_bytes_step { byte_count: 32 }",
	workflow.GenerateCommutativeDeterministicKey: out("symmetric-key") + "generate_commutative_deterministic_key_step {}",
}

// filled is a bench with a good input for every label of the settled steps.
func filled(t *testing.T, k workflow.Kind) *bench {
	b := newBench(t)
	b.certs = &certificates{name: "mp1:1234"}
	for label, data := range map[string][]byte{
		"current-data": collection(2), "previous-data": nil, "unencrypted-data": collection(2),
		"encryption-key": []byte("some-key"), "join-keys": nil, "pepper": []byte("a pepper"),
		"public-key-handle": golden(t, "hybrid/mp-blob-encryption-public-key"), "plaintext-data": []byte("text"),
		"private-key-handle": golden(t, "hybrid/mp-blob-encryption-private-key"),
		"encrypted-data":     golden(t, "commutative/mp-single-blinded-join-keys.first"),
	} {
		b.put(label, data)
	}
	if k == workflow.HybridDecrypt {
		b.put("encrypted-data", golden(t, "hybrid/mp-encrypted-hkdf-pepper"))
	}
	if k == workflow.AssignJoinKeyIDs {
		b.put("join-keys", []byte("\x0a\x03\x0a\x01k"))
	}
	return b
}

func eachSettled(t *testing.T, f func(t *testing.T, k workflow.Kind, text string)) {
	t.Helper()
	for k, text := range settled {
		t.Run(k.String(), func(t *testing.T) { f(t, k, text) })
	}
}

func TestSettledStepsWriteTheirOutputsAndNothingElse(t *testing.T) {
	eachSettled(t, func(t *testing.T, k workflow.Kind, text string) {
		b := filled(t, k)
		want := b.blobs()
		b.must(text)
		for _, label := range parseStep(t, text).OutputLabels() {
			b.get(label)
			want[b.private().Prefix()+"/"+label] = ""
		}
		if got := b.blobs(); len(got) != len(want) {
			t.Errorf("there are %q, want %q", slices.Sorted(maps.Keys(got)), slices.Sorted(maps.Keys(want)))
		}
	})
}

func TestAMissingInputLabelIsTheWorkflowsFault(t *testing.T) {
	eachSettled(t, func(t *testing.T, k workflow.Kind, text string) {
		for name := range parseStep(t, text).Inputs {
			b := filled(t, k)
			s := parseStep(t, text)
			delete(s.Inputs, name)
			before := len(b.blobs())
			err := b.runUnchecked(t.Context(), s)
			checkFailure(t, err, failure.Permanent, failure.CodeWorkflow, "has no input "+name)
			if len(b.blobs()) != before {
				t.Errorf("without %s the step wrote something", name)
			}
		}
	})
}

func TestAMissingInputBlobMayStillCome(t *testing.T) {
	eachSettled(t, func(t *testing.T, k workflow.Kind, text string) {
		for _, label := range parseStep(t, text).InputLabels() {
			b := filled(t, k)
			if err := b.private().Delete(t.Context(), label); err != nil {
				t.Fatal(err)
			}
			b.fails(text, failure.Transient, failure.CodeMissingInput, label)
		}
	})
}

func TestAMissingOutputLabelIsTheWorkflowsFaultAndNothingIsWritten(t *testing.T) {
	eachSettled(t, func(t *testing.T, k workflow.Kind, text string) {
		for name, label := range parseStep(t, text).Outputs {
			b := filled(t, k)
			s := parseStep(t, text)
			delete(s.Outputs, name)
			before := len(b.blobs())
			err := b.runUnchecked(t.Context(), s)
			checkFailure(t, err, failure.Permanent, failure.CodeWorkflow, "has no output "+name)
			if got := len(b.blobs()); got != before {
				t.Errorf("without output %s, %d blobs are there after %d", label, got, before)
			}
		}
	})
}

func TestOutputsThatTheStepDoesNotMakeAreNotWritten(t *testing.T) {
	eachSettled(t, func(t *testing.T, k workflow.Kind, text string) {
		b := filled(t, k)
		b.must(text + out("surplus"))
		if ok, err := b.private().Exists(t.Context(), "surplus"); ok || err != nil {
			t.Errorf("surplus exists: %v, %v", ok, err)
		}
	})
}

func TestFurtherInputsAreWaitedForAndNotRead(t *testing.T) {
	eachSettled(t, func(t *testing.T, k workflow.Kind, text string) {
		b := filled(t, k)
		b.limits.PrivateBlob = 1 << 10
		extra := text + in("after=something-else")
		if workflow.SpecOf(parseStep(t, text)).Rule == workflow.NoInputs {
			b.put("something-else", nil)
			b.fails(extra, failure.Permanent, failure.CodeWorkflow, "takes no inputs")
			return
		}
		b.fails(extra, failure.Transient, failure.CodeMissingInput, "something-else")
		b.put("something-else", bytes.Repeat([]byte("x"), 1<<20)) // larger than what may be read
		b.must(extra)
	})
}

func TestLabelsThatLeaveTheDirectoryAreRefused(t *testing.T) {
	for _, label := range []string{"../escape", "/etc/passwd", "a/../../b", "..", "a//b", "a/", "done-tasks/the-step", "x.signature", "a\x00b", `a\b`} {
		eachSettled(t, func(t *testing.T, k workflow.Kind, text string) {
			for name := range parseStep(t, text).Outputs {
				b := filled(t, k)
				s := parseStep(t, text)
				s.Outputs[name] = label
				before := len(b.blobs())
				checkFailure(t, b.runUnchecked(t.Context(), s), failure.Permanent, failure.CodeWorkflow, "blob key")
				if got := len(b.blobs()); got != before {
					t.Errorf("output %s as %q: %d blobs are there after %d", name, label, got, before)
				}
			}
		})
	}
	for _, label := range []string{"../escape", "/etc/passwd", "a/../../b"} {
		eachSettled(t, func(t *testing.T, k workflow.Kind, text string) {
			for name := range parseStep(t, text).Inputs {
				b := filled(t, k)
				s := parseStep(t, text)
				s.Inputs[name] = label
				checkFailure(t, b.runUnchecked(t.Context(), s), failure.Permanent, failure.CodeWorkflow, "blob key")
			}
		})
	}
}

func TestInputsBeyondTheLimitAreNotRead(t *testing.T) {
	b := newBench(t)
	b.limits.PrivateBlob = 100
	b.put("encryption-key", []byte("some-key"))
	b.put("unencrypted-data", collection(50))
	b.fails(encryptStep, failure.Permanent, failure.CodeLimit, "too large")
}

func TestGeneratedKeysAndBytes(t *testing.T) {
	b := newBench(t)
	for _, n := range []string{"1", "32", "1048576"} {
		b.must(out("random-bytes=r"+n) + "generate_random_bytes_step { byte_count: " + n + " }")
	}
	if got := len(b.get("r1")) + len(b.get("r32")) + len(b.get("r1048576")); got != 1+32+1<<20 {
		t.Errorf("%d random bytes in all", got)
	}
	if bytes.Equal(b.get("r32"), b.get("r1048576")[:32]) {
		t.Error("randomness repeats")
	}
	for _, n := range []string{"0", "-1", "1048577", "2147483647"} {
		b.fails(out("random-bytes=r")+"generate_random_bytes_step { byte_count: "+n+" }", failure.Permanent, failure.CodeWorkflow, "byte_count is "+n)
	}
	b.must(settled[workflow.GenerateCommutativeDeterministicKey])
	key := b.get("symmetric-key")
	b.must(settled[workflow.GenerateCommutativeDeterministicKey])
	if len(key) != 32 || bytes.Equal(key, b.get("symmetric-key")) {
		t.Errorf("keys of %d bytes, the same twice: %v", len(key), bytes.Equal(key, b.get("symmetric-key")))
	}
}

func TestTheCertificateStepGivesTheCertificatesName(t *testing.T) {
	b := newBench(t)
	certs := &certificates{name: "mp1:1234"}
	b.certs = certs
	text := settled[workflow.GenerateCertificate]
	b.must(text)
	if got := string(b.get("certificate-resource-name")); got != "mp1:1234" || len(certs.made) != 1 || certs.made[0] != b.key(firstDate) {
		t.Errorf("got name %q, made for %v", got, certs.made)
	}
	certs.err = failure.New(failure.Configuration, failure.CodeCertificate, errors.New("the authority is away"))
	b.fails(text, failure.Configuration, failure.CodeCertificate, "away")
}

func TestStepsThatThisBuildCanNotRunSaySo(t *testing.T) {
	b := newBench(t)
	for _, text := range []string{
		"write_keys_to_big_query_step {}", "read_encrypted_events_from_big_query_step {}", "write_events_to_big_query_step {}",
	} {
		s := parseStep(t, text)
		if _, ok := step.Steps()[s.Kind]; ok {
			continue
		}
		if step.Steps().Has(s) {
			t.Errorf("the table says that it has %s", s.Kind)
		}
		b.fails(text, failure.Permanent, failure.CodeUnsupported, s.Kind.String())
	}
}

func TestAStoppedStepSaysThatItWasStopped(t *testing.T) {
	b := filled(t, workflow.CommutativeDeterministicEncrypt)
	if err := b.private().Delete(t.Context(), "encrypted-data"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err := b.runUnchecked(ctx, parseStep(t, encryptStep))
	if class, _ := failure.Of(err); err == nil || class != failure.Transient {
		t.Errorf("got %v, want a transient error", err)
	}
	if ok, err := b.private().Exists(t.Context(), "encrypted-data"); ok || err != nil {
		t.Errorf("the output exists: %v, %v", ok, err)
	}
}
