package checkpoint_test

import (
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/panelmatch/panelmatch/engine/blob"
	"github.com/panelmatch/panelmatch/engine/workflow"
	"github.com/panelmatch/panelmatch/schema/manifest"
	"github.com/panelmatch/panelmatch/schema/wire/internalpb"
)

// FuzzPartnersCheckpoint gives a claim any bytes in place of the partner's
// checkpoint, as they lie there and as properly signed content. It must not
// panic, hang, hand out a step of the partner's or one whose prerequisites are
// not done, or write anything without a claim.
func FuzzPartnersCheckpoint(f *testing.F) {
	fingerprint := func(w []byte) []byte { x := workflow.FingerprintOf(w); return x[:] }
	add := func(w []byte, steps ...string) {
		cp := &internalpb.ExchangeCheckpoint{
			Party: internalpb.ExchangeWorkflow_MODEL_PROVIDER, RecurringExchangeId: "rx",
			ExchangeDate: workflow.Date{Year: 2000, Month: 1, Day: 1}.Proto(), WorkflowFingerprint: fingerprint(w),
			ExchangeState: internalpb.ExchangeCheckpoint_IN_PROGRESS,
		}
		for i, id := range steps {
			cp.ProgressEntries = append(cp.ProgressEntries, &internalpb.ExchangeCheckpoint_ProgressEntry{
				Attempt: &internalpb.ExchangeStepAttempt{StepId: id, StepIndex: int32(i), AttemptNumber: 1, State: internalpb.ExchangeStepAttempt_SUCCEEDED},
			})
		}
		b, err := proto.Marshal(cp)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b, true)
		f.Add(b, false)
	}
	w := serialized(f, today, "@daily", twoParty)
	add(w)
	add(w, "mp-key")
	add(w, "mp-key", "mp-export")
	add(w, "mp-export")
	add(w, "mp-key", "mp-export", "dp-import")
	add([]byte("another workflow"), "mp-key")
	f.Add([]byte{}, true)
	f.Add([]byte{0xff, 0xff}, false)

	f.Fuzz(func(t *testing.T, content []byte, signed bool) {
		synctest.Test(t, func(t *testing.T) {
			m := newMemory()
			dp := newParty(t, m, manifest.DataProvider, stored{"rx": w}, "rx")
			key := blob.ExchangeKey{RecurringExchange: "rx", Date: workflow.Date{Year: 2000, Month: 1, Day: 1}}
			if signed {
				var err error
				content, err = proto.Marshal(&internalpb.SignedExchangeCheckpoint{
					SerializedCheckpoint: content, Signature: append([]byte("mp"), content...),
					SignatureAlgorithmOid: "1.2.840.10045.4.3.2", CertName: "mp:1",
				})
				if err != nil {
					t.Fatal(err)
				}
			}
			if err := m.Write(t.Context(), key, blob.CheckpointKey(manifest.ModelProvider), content, ""); err != nil {
				t.Fatal(err)
			}
			start := time.Now()
			a, err := dp.Claim(t.Context(), nil)
			if d := time.Since(start); d > time.Minute {
				t.Errorf("the claim took %v", d)
			}
			_, _, own := m.Read(t.Context(), key, blob.CheckpointKey(manifest.DataProvider))
			if (a == nil) != (own != nil) {
				t.Errorf("claimed %s (%v), and our own checkpoint says %v", name(a), err, own)
			}
			if a != nil && (err != nil || name(a) != "rx 2000-01-01 dp-import/1") {
				t.Errorf("claimed %s, %v", name(a), err)
			}
		})
	})
}
