package step_test

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/panelmatch/panelmatch/engine/failure"
	"github.com/panelmatch/panelmatch/schema/wire/joinkeypb"
)

func id(i int) string { return fmt.Sprintf("id-%d", i) }

func entry(key, id string) *joinkeypb.JoinKeyAndId {
	return &joinkeypb.JoinKeyAndId{JoinKey: &joinkeypb.JoinKey{Key: []byte(key)}, JoinKeyIdentifier: &joinkeypb.JoinKeyIdentifier{Id: []byte(id)}}
}

func collect(entries ...*joinkeypb.JoinKeyAndId) []byte {
	b, err := proto.Marshal(&joinkeypb.JoinKeyAndIdCollection{JoinKeyAndIds: entries})
	if err != nil {
		panic(err)
	}
	return b
}

// collection has n join keys; canary is in each of them.
func collection(n int) []byte {
	var entries []*joinkeypb.JoinKeyAndId
	for i := range n {
		entries = append(entries, entry(fmt.Sprintf("canary-key-%d", i), id(i)))
	}
	return collect(entries...)
}

func parsed(t *testing.T, b []byte) []*joinkeypb.JoinKeyAndId {
	t.Helper()
	c := &joinkeypb.JoinKeyAndIdCollection{}
	if err := proto.Unmarshal(b, c); err != nil {
		t.Fatal(err)
	}
	return c.GetJoinKeyAndIds()
}

func TestBlindingRefusesWhatIsNotDistinct(t *testing.T) {
	b := newBench(t)
	b.put("encryption-key", []byte("some-key"))
	for _, tc := range []struct {
		name, words string
		data        []byte
	}{
		{"same key", "entries 0 and 2 have the same join key", collect(entry("canary-a", "1"), entry("b", "2"), entry("canary-a", "3"))},
		{"same identifier", "entries 1 and 2 have the same identifier", collect(entry("a", "1"), entry("b", "canary-2"), entry("c", "canary-2"))},
		{"same both", "entries 0 and 1 have the same join key", collect(entry("canary-a", "1"), entry("canary-a", "1"))},
		{"two without identifier", "same identifier", collect(entry("a", ""), entry("b", ""))},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b.t = t
			for _, s := range []struct{ label, step string }{
				{"unencrypted-data", encryptStep}, {"encrypted-data", reEncryptStep}, {"encrypted-data", decryptStep},
			} {
				b.put(s.label, tc.data)
				err := b.run(s.step)
				checkFailure(t, err, failure.Permanent, failure.CodeBadInput, tc.words)
				noCanary(t, err)
			}
		})
	}
}

// noCanary checks that an error tells nothing of the data.
func noCanary(t *testing.T, err error) {
	t.Helper()
	if err != nil && strings.Contains(err.Error(), "canary") {
		t.Errorf("the error quotes the data: %q", err)
	}
}

func TestBlindingRefusesWhatItCanNotRead(t *testing.T) {
	b := newBench(t)
	point := parsed(t, golden(t, "commutative/mp-single-blinded-join-keys.first"))[0].GetJoinKey().GetKey()
	offCurve := bytes.Clone(point)
	offCurve[0] = 7
	for _, tc := range []struct {
		name, key string
		data      []byte
		words     string
	}{
		{"not a collection", "some-key", []byte("canary: not a proto"), "is not a serialized JoinKeyAndIdCollection"},
		{"truncated", "some-key", golden(t, "commutative/mp-single-blinded-join-keys.first")[:40], "is not a serialized"},
		{"no point", "some-key", collect(entry("canary-no-point", "1")), "encrypted-data"},
		{"short point", "some-key", collect(entry(string(point[:32]), "1")), "encrypted-data"},
		{"wrong prefix", "some-key", collect(entry(string(offCurve), "1")), "encrypted-data"},
		{"empty key", "", collect(entry(string(point), "1")), "encryption-key"},
		{"zero key", "\x00\x00", collect(entry(string(point), "1")), "encryption-key"},
		{"key too large", strings.Repeat("\xff", 32), collect(entry(string(point), "1")), "encryption-key"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b.t = t
			b.put("encryption-key", []byte(tc.key))
			b.put("encrypted-data", tc.data)
			for _, s := range []string{reEncryptStep, decryptStep} {
				err := b.run(s)
				checkFailure(t, err, failure.Permanent, failure.CodeBadInput, tc.words)
				noCanary(t, err)
			}
		})
	}
}

func validateStep(maxSize, maxNew int) string {
	return in("current-data=now", "previous-data=before") + out("current-data=checked") +
		fmt.Sprintf("intersect_and_validate_step { max_size: %d maximum_new_items_allowed: %d }", maxSize, maxNew)
}

func TestIntersectAndValidate(t *testing.T) {
	three := collect(entry("a", "1"), entry("b", "2"), entry("c", "3"))
	two := collect(entry("a", "1"), entry("b", "2"))
	repeated := collect(entry("a", "1"), entry("b", "2"), entry("a", "1"), entry("b", "2"))
	moved := collect(entry("a", "1"), entry("b", "another id"))
	garbage := []byte("\xff garbage")
	for _, tc := range []struct {
		name            string
		first           bool
		maxSize, maxNew int
		now, before     []byte
		words           string // of the error; empty for success
	}{
		{"nothing new", false, 3, 0, three, three, ""},
		{"as many new as allowed", false, 3, 1, three, two, ""},
		{"one more than allowed", false, 3, 0, three, two, "1 join keys were not in the exchange before"},
		{"fewer than before", false, 3, 0, two, three, ""},
		{"exactly the size", false, 3, 2, three, two, ""},
		{"one more than the size", false, 2, 5, three, three, "3 join keys, but max_size is 2"},
		{"size is checked on the first date too", true, 2, 0, three, nil, "max_size is 2"},
		{"no size given", false, 0, 0, two, two, "max_size is 0"},
		{"all is new on the first date", true, 3, 0, three, nil, ""},
		{"the previous blob is not looked at on the first date", true, 3, 0, three, garbage, ""},
		{"nor if new ones can't be too many", false, 3, 3, three, garbage, ""},
		{"but else it is", false, 3, 2, three, garbage, "input previous-data is not"},
		{"empty now", false, 3, 0, nil, three, ""},
		{"both empty", false, 3, 0, nil, nil, ""},
		{"empty and no size", false, 0, 0, nil, nil, ""},
		{"all new later", false, 3, 2, three, nil, "3 join keys were not in the exchange before"},
		{"repeated entries count once for the size", false, 2, 0, repeated, two, ""},
		{"repeated entries count once for the new ones", false, 3, 1, repeated, collect(entry("a", "1")), ""},
		{"another identifier makes an entry new", false, 3, 0, moved, two, "1 join keys were not"},
		{"not a collection", false, 3, 0, garbage, two, "input current-data is not"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b := newBench(t)
			if !tc.first {
				b.date = secondDate
			}
			b.put("now", tc.now)
			b.put("before", tc.before)
			s := validateStep(tc.maxSize, tc.maxNew)
			if tc.words == "" {
				b.must(s)
				if got := b.get("checked"); !bytes.Equal(got, tc.now) {
					t.Errorf("the output is %x, want the input as it was", got)
				}
				return
			}
			code := failure.CodeOverlap
			if strings.HasPrefix(tc.words, "input") {
				code = failure.CodeBadInput
			}
			b.fails(s, failure.Permanent, code, tc.words)
		})
	}
}

func TestIntersectAndValidateNeedsThePreviousBlobEvenIfItIsNotRead(t *testing.T) {
	b := newBench(t)
	b.put("now", nil)
	b.fails(validateStep(1, 1), failure.Transient, failure.CodeMissingInput, "before")
}

func TestIdentifiersAreAssignedToShuffledKeys(t *testing.T) {
	const n = 200
	keys := &joinkeypb.JoinKeyCollection{}
	for i := range n {
		keys.JoinKeys = append(keys.JoinKeys, &joinkeypb.JoinKey{Key: fmt.Appendf(nil, "key-%03d", i)})
	}
	b := newBench(t)
	data, err := proto.Marshal(keys)
	if err != nil {
		t.Fatal(err)
	}
	b.put("join-keys", data)
	assign := in("join-keys") + out("shuffled-join-key-and-ids=shuffled") + "assign_join_key_ids_step {}"
	b.must(assign)
	var order []string
	for i, e := range parsed(t, b.get("shuffled")) {
		if got, want := string(e.GetJoinKeyIdentifier().GetId()), fmt.Sprintf("join-key-identifier-%d", i); got != want {
			t.Fatalf("entry %d has identifier %q, want %q", i, got, want)
		}
		order = append(order, string(e.GetJoinKey().GetKey()))
	}
	if slices.IsSorted(order) {
		t.Error("the keys are in the order of the input; they should be shuffled")
	}
	slices.Sort(order)
	if distinct := slices.Compact(order); len(distinct) != n {
		t.Errorf("%d different keys came out of %d", len(distinct), n)
	}
	b.put("join-keys", nil)
	b.fails(assign, failure.Permanent, failure.CodeBadInput, "at least one")
}

func TestLookupKeysNeedAPepper(t *testing.T) {
	b := newBench(t)
	b.put("join-keys", collection(1))
	b.put("pepper", nil)
	b.fails(lookupStep, failure.Permanent, failure.CodeBadInput, "pepper is empty")
}
