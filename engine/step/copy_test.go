package step_test

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/panelmatch/panelmatch/engine/blob"
	"github.com/panelmatch/panelmatch/engine/failure"
	"github.com/panelmatch/panelmatch/engine/provider"
)

const (
	blobMode     = "copy_options { label_type: BLOB }"
	manifestMode = "copy_options { label_type: MANIFEST }"
)

func toShared(mode string, labels ...string) string {
	return strings.Join(labels, "") + "copy_to_shared_storage_step { " + mode + " }"
}

func fromShared(mode string, labels ...string) string {
	return strings.Join(labels, "") + "copy_from_shared_storage_step { " + mode + " }"
}

func TestExportedBlobsAreSignedAndImportedOnesKeepTheirSignature(t *testing.T) {
	for _, data := range []string{"", "some bytes", strings.Repeat("many bytes ", 1<<18)} {
		b := newBench(t)
		b.put("mp-data", []byte(data))
		b.must(toShared(blobMode, in("data=mp-data", "certificate-resource-name=mp-certificate"), out("anything=data")))
		if got := string(b.shared.blobs["data"]); got != data {
			t.Errorf("%d bytes are shared, want %d", len(got), len(data))
		}
		b.must(fromShared(blobMode, in("whatever=data"), out("x=copied")))
		if got := string(b.get("copied")); got != data {
			t.Errorf("%d bytes were imported, want %d", len(got), len(data))
		}
		want, _, err := b.shared.signature("data")
		if err != nil {
			t.Fatal(err)
		}
		if got := b.get("copied.signature"); !bytes.Equal(got, want) {
			t.Errorf("the signature beside the copy is %x, want the bare %x", got, want)
		}
	}
}

func TestAnImportReplacesWhatAnEarlierAttemptLeft(t *testing.T) {
	b := newBench(t)
	b.put("copied", []byte("of an earlier attempt, and longer"))
	b.partner("data", []byte("new"))
	b.must(fromShared(blobMode, in("data"), out("x=copied")))
	if got := string(b.get("copied")); got != "new" {
		t.Errorf("imported %q", got)
	}
}

// tampering is what may have happened to a blob of the partner in shared storage.
var tampering = []struct {
	name   string
	do     func(b *bench, key string)
	class  failure.Class
	code   failure.Code
	absent bool
}{
	{"a bit flipped", func(b *bench, key string) {
		b.shared.blobs[key] = bytes.Clone(b.shared.blobs[key])
		b.shared.blobs[key][0] ^= 1
	}, failure.Permanent, failure.CodeSignature, false},
	{"truncated", func(b *bench, key string) { b.shared.blobs[key] = b.shared.blobs[key][:5] }, failure.Permanent, failure.CodeSignature, false},
	{"emptied", func(b *bench, key string) { b.shared.blobs[key] = nil }, failure.Permanent, failure.CodeSignature, false},
	{"longer", func(b *bench, key string) { b.shared.blobs[key] = append(bytes.Clone(b.shared.blobs[key]), 0) }, failure.Permanent, failure.CodeSignature, false},
	{"the signature of another blob", func(b *bench, key string) {
		b.partner("other", []byte("other bytes"))
		b.shared.blobs[blob.SignatureKey(key)] = b.shared.blobs[blob.SignatureKey("other")]
	}, failure.Permanent, failure.CodeSignature, false},
	{"absent", func(b *bench, key string) { delete(b.shared.blobs, key) }, failure.Transient, failure.CodeMissingInput, true},
	{"signature absent", func(b *bench, key string) { delete(b.shared.blobs, blob.SignatureKey(key)) }, failure.Transient, failure.CodeMissingInput, true},
}

func TestATamperedBlobIsNotImported(t *testing.T) {
	for _, tc := range tampering {
		t.Run(tc.name, func(t *testing.T) {
			b := newBench(t)
			b.partner("data", []byte("canary data of the partner"))
			tc.do(b, "data")
			err := b.run(fromShared(blobMode, in("data"), out("x=copied")))
			checkFailure(t, err, tc.class, tc.code, "import data")
			noCanary(t, err)
		})
	}
}

// shards puts a manifest and its shards there as the partner does.
func (b *bench) partnerShards(label, base string, n int) {
	b.t.Helper()
	b.partner(label, fmt.Appendf(nil, "%s-*-of-%d", base, n))
	for i := range n {
		b.partner(fmt.Sprintf("%s-%0*d-of-%d", base, len(strconv.Itoa(n)), i, n), fmt.Appendf(nil, "canary shard %d", i))
	}
}

func TestManifestsTravelWithTheirShards(t *testing.T) {
	b := newBench(t)
	b.put("mp-events", []byte("mp-events-*-of-10"))
	for i := range 10 {
		b.put(fmt.Sprintf("mp-events-%02d-of-10", i), fmt.Appendf(nil, "shard %d", i))
	}
	b.must(toShared(manifestMode, in("x=mp-events"), out("x=events")))
	if got := string(b.shared.blobs["events"]); got != "mp-events-*-of-10" {
		t.Errorf("the shared manifest is %q", got)
	}

	partner := newBench(t)
	partner.shared = b.shared
	partner.must(fromShared(manifestMode, in("events"), out("x=edp-events")))
	if got := string(partner.get("edp-events")); got != "mp-events-*-of-10" {
		t.Errorf("the imported manifest is %q", got)
	}
	for i := range 10 {
		name := fmt.Sprintf("mp-events-%02d-of-10", i)
		if got, want := string(partner.get(name)), fmt.Sprintf("shard %d", i); got != want {
			t.Errorf("shard %d is %q", i, got)
		}
		want, _, err := b.shared.signature(name)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(partner.get(name+".signature"), want) {
			t.Errorf("shard %d has another signature beside it", i)
		}
	}
}

func TestManifestsAreReadInEveryForm(t *testing.T) {
	for _, text := range []string{"x-*-of-3", "x-?-of-3", "x-*-of-3\n", "  x-*-of-03 "} {
		b := newBench(t)
		b.partnerShards("data", "x", 3)
		b.partner("data", []byte(text))
		b.must(fromShared(manifestMode, in("data"), out("x=copied")))
		if got := string(b.get("copied")); got != text {
			t.Errorf("manifest %q was imported as %q", text, got)
		}
		b.get("x-2-of-3")
	}
}

func TestManifestsThatMakeNoSenseAreRefused(t *testing.T) {
	for _, text := range []string{
		"", "x", "x-*-of-", "x-*-of--1", "x-?-of-10", "-*-of-1", "../x-*-of-1", "a/b-*-of-1", "x-*-of-1 y-*-of-1",
		"x-*-of-99999999999999999999", "x-*-of-2147483647", "x-*-of-4294967297", "canary\xff-*-of-1", strings.Repeat("x", 300) + "-*-of-1", strings.Repeat(" ", 2000),
	} {
		b := newBench(t)
		b.partner("data", []byte(text))
		b.fails(fromShared(manifestMode, in("data"), out("x=copied")), failure.Permanent, failure.CodeBadInput, "manifest")
		b.put("mp-data", []byte(text))
		code := failure.CodeBadInput
		if len(text) > 1024 {
			code = failure.CodeLimit
		}
		b.fails(toShared(manifestMode, in("x=mp-data"), out("x=data")), failure.Permanent, code, "mp-data")
	}
}

func TestOnlyManifestsThatAPartnerCanReadAreExported(t *testing.T) {
	for _, text := range []string{"x-?-of-3", "x-*-of-3\n", " x-*-of-3", "x-*-of-03", "x-*-of-0"} {
		b := newBench(t)
		for i := range 3 {
			b.put(fmt.Sprintf("x-%d-of-3", i), nil)
		}
		b.put("mp-data", []byte(text))
		b.fails(toShared(manifestMode, in("x=mp-data"), out("x=data")), failure.Permanent, failure.CodeBadInput, "can't be exported")
		if len(b.shared.blobs) != 0 {
			t.Errorf("manifest %q: something was shared", text)
		}
	}
}

func TestAHugeNumberOfShardsDoesNoHarm(t *testing.T) {
	b := newBench(t)
	// As many as a name may have: no shard is there, so the first look ends it.
	b.partner("data", []byte("x-*-of-1048576"))
	b.fails(fromShared(manifestMode, in("data"), out("x=copied")), failure.Transient, failure.CodeMissingInput, "names shard x-")
}

func TestATamperedShardKeepsTheManifestOut(t *testing.T) {
	for _, tc := range tampering {
		t.Run(tc.name, func(t *testing.T) {
			b := newBench(t)
			b.partnerShards("data", "x", 30)
			tc.do(b, "x-17-of-30")
			err := b.runUnchecked(t.Context(), parseStep(t, fromShared(manifestMode, in("data"), out("x=copied"))))
			checkFailure(t, err, tc.class, tc.code, "x-17-of-30")
			noCanary(t, err)
			b.onlyWholeShards(30, "x-17-of-30")

			// And when the partner has put it right, another attempt completes.
			b.partner("x-17-of-30", []byte("canary shard 17"))
			b.must(fromShared(manifestMode, in("data"), out("x=copied")))
			if got := string(b.get("x-17-of-30")); got != "canary shard 17" {
				t.Errorf("shard 17 is %q", got)
			}
		})
	}
}

// onlyWholeShards checks what a failed import of a manifest leaves: nothing but whole shards as the
// partner signed them. Nobody reads those without the manifest, which comes last.
func (b *bench) onlyWholeShards(n int, bad string) {
	b.t.Helper()
	good := map[string]string{}
	for i := range n {
		good[fmt.Sprintf("x-%02d-of-%d", i, n)] = fmt.Sprintf("canary shard %d", i)
	}
	delete(good, bad)
	for key, data := range b.blobs() {
		label := strings.TrimPrefix(key, b.private().Prefix()+"/")
		if strings.HasSuffix(label, ".signature") {
			continue
		}
		if want, ok := good[label]; !ok || data != want {
			b.t.Errorf("after the failure there is %s with %q", label, data)
		}
	}
}

func TestShardsAreOfTheManifestsAuthor(t *testing.T) {
	b := newBench(t)
	b.partnerShards("data", "x", 3)
	if err := b.shared.sign("edp1:2", "x-1-of-3", []byte("canary shard 1")); err != nil {
		t.Fatal(err)
	}
	err := b.runUnchecked(t.Context(), parseStep(t, fromShared(manifestMode, in("data"), out("x=copied"))))
	checkFailure(t, err, failure.Permanent, failure.CodeSignature, "x-1-of-3")
}

func TestShardsThatWouldOverwriteBlobsOfOursAreRefused(t *testing.T) {
	mine := func(t *testing.T, labels ...string) *bench {
		b := newBench(t)
		for i, l := range labels {
			b.others = append(b.others, parseStep(t, fmt.Sprintf("step_id: %q ", fmt.Sprintf("mine-%d", i))+out("x="+l)+"input_step {}"))
			b.put(l, []byte("ours"))
		}
		return b
	}
	for _, tc := range []struct {
		name, manifest string
		labels         []string
	}{
		{"a shard is a label of ours", "x-*-of-3", []string{"y", "x-1-of-3"}},
		{"the base is a label of ours, so its shards may be ours too", "mp-events-*-of-3", []string{"mp-events"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b := mine(t, tc.labels...)
			b.partnerShards("data", strings.TrimSuffix(tc.manifest, "-*-of-3"), 3)
			b.fails(fromShared(manifestMode, in("data"), out("x=copied")), failure.Permanent, failure.CodeBadInput, "mine-")
		})
	}
	t.Run("the step's own output is no collision", func(t *testing.T) {
		b := mine(t, "y")
		b.partnerShards("data", "x", 3)
		b.must(fromShared(manifestMode, in("data"), out("x=x")))
	})
	t.Run("a shard is the step's own output", func(t *testing.T) {
		b := mine(t, "y")
		b.partnerShards("data", "x", 3)
		b.fails(fromShared(manifestMode, in("data"), out("x=x-1-of-3")), failure.Permanent, failure.CodeBadInput, "x-1-of-3")
	})
	t.Run("a shard is an input that an operator provides", func(t *testing.T) {
		b := newBench(t)
		b.others = append(b.others, parseStep(t, `step_id: "reader" `+in("a=x-0-of-3")+out("b=z")+"hybrid_encrypt_step {}"))
		b.put("x-0-of-3", []byte("ours"))
		b.partnerShards("data", "x", 3)
		b.fails(fromShared(manifestMode, in("data"), out("x=copied")), failure.Permanent, failure.CodeBadInput, "x-0-of-3")
	})
}

func TestAMissingShardOfOursIsAnErrorThatNamesIt(t *testing.T) {
	b := newBench(t)
	b.put("mp-data", []byte("x-*-of-12"))
	for i := range 12 {
		if i != 7 {
			b.put(fmt.Sprintf("x-%02d-of-12", i), nil)
		}
	}
	b.fails(toShared(manifestMode, in("x=mp-data"), out("x=data")), failure.Transient, failure.CodeMissingInput, "x-07-of-12")
}

func TestCopyStepsNeedTheirLabels(t *testing.T) {
	for _, mode := range []string{blobMode, manifestMode} {
		b := newBench(t)
		b.put("a", nil)
		b.put("b", nil)
		b.partner("a", nil)
		for _, s := range []struct{ step, words string }{
			{toShared(mode, out("x=c")), "exactly one input, and has 0"},
			{toShared(mode, in("certificate-resource-name=a"), out("x=c")), "exactly one input, and has 0"},
			{toShared(mode, in("a", "b"), out("x=c")), "exactly one input, and has 2"},
			{toShared(mode, in("a")), "exactly one output, and has 0"},
			{toShared(mode, in("a"), out("x=c", "y=d")), "exactly one output, and has 2"},
			{fromShared(mode, out("x=c")), "exactly one input, and has 0"},
			{fromShared(mode, in("a", "b"), out("x=c")), "exactly one input, and has 2"},
			{fromShared(mode, in("a", "certificate-resource-name=b"), out("x=c")), "exactly one input, and has 2"},
			{fromShared(mode, in("a")), "exactly one output, and has 0"},
			{fromShared(mode, in("a"), out("x=c", "y=d")), "exactly one output, and has 2"},
		} {
			b.fails(s.step, failure.Permanent, failure.CodeWorkflow, s.words)
		}
	}
}

func TestCopyStepsRefuseLabelsThatAreNotTheirs(t *testing.T) {
	for _, label := range []string{
		"../x", "/x", "a/../x", "x.signature", "done-tasks/x", "checkpoints/mp-checkpoint", "checkpoints/edp-checkpoint", "certificates/mp1:1", "checkpoints",
	} {
		b := newBench(t)
		b.put("a", []byte("x"))
		if err := b.shared.sign(partners, label, nil); err != nil {
			t.Fatal(err)
		}
		before := len(b.shared.blobs)
		b.fails(toShared(blobMode, in("a"), out("x="+label)), failure.Permanent, failure.CodeWorkflow, "blob key")
		b.fails(fromShared(blobMode, in("x="+label), out("x=c")), failure.Permanent, failure.CodeWorkflow, "blob key")
		if len(b.shared.blobs) != before || len(b.shared.blobs[label]) != 0 {
			t.Errorf("shared storage has changed for %q", label)
		}
	}
	b := newBench(t)
	b.partner("data", nil)
	for _, label := range []string{"../x", "/x", "x.signature", "done-tasks/x"} {
		b.fails(fromShared(blobMode, in("data"), out("x="+label)), failure.Permanent, failure.CodeWorkflow, "blob key")
	}
}

func TestAManifestExportWaitsForTheCertificate(t *testing.T) {
	b := newBench(t)
	b.put("mp-data", []byte("x-*-of-1"))
	b.put("x-0-of-1", nil)
	s := toShared(manifestMode, in("x=mp-data", "certificate-resource-name=cert"), out("x=data"))
	b.fails(s, failure.Transient, failure.CodeMissingInput, "cert")
	b.put("cert", []byte("mp1:1"))
	b.must(s)
}

func TestAnExportThatFailsInTheMiddleCanBeRepeated(t *testing.T) {
	b := newBench(t)
	b.put("mp-data", []byte("x-*-of-5"))
	for i := range 5 {
		b.put(fmt.Sprintf("x-%d-of-5", i), fmt.Appendf(nil, "shard %d", i))
	}
	b.shared.writeErr = func(key string) error {
		if key == "x-3-of-5" {
			return fmt.Errorf("%w: the connection broke", provider.ErrTransient)
		}
		return nil
	}
	s := toShared(manifestMode, in("x=mp-data"), out("x=data"))
	b.fails(s, failure.Transient, failure.CodeStorage, "x-3-of-5")
	b.shared.writeErr = nil
	b.must(s)
	var keys []string
	for key := range b.shared.blobs {
		if !strings.HasSuffix(key, ".signature") {
			keys = append(keys, key)
		}
	}
	if len(keys) != 6 {
		slices.Sort(keys)
		t.Errorf("shared: %q", keys)
	}
	b.shared.writeErr = func(string) error { return errors.New("read-only") }
	if err := b.run(s); err == nil {
		t.Error("the export succeeded although nothing can be written")
	}
}

func TestSharedStorageThatCanNotBeOpenedFailsTheStep(t *testing.T) {
	b := newBench(t)
	b.put("a", nil)
	b.fails(fromShared(blobMode, in("nothing-there"), out("x=c")), failure.Transient, failure.CodeMissingInput, "nothing-there")
}
