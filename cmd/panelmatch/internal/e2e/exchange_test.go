package e2e

import (
	"bytes"
	"crypto/ecdsa"
	"maps"
	"strings"
	"testing"

	"github.com/panelmatch/panelmatch/schema/manifest"
)

func TestExchangesRunToTheirEnd(t *testing.T) {
	for _, tc := range []struct {
		flow   string
		shared int // blobs that are shared, each day
		check  func(t *testing.T, w *world)
	}{
		{"mini", 1, checkMini},
		{"double-blind", 2, checkDoubleBlind},
	} {
		for _, mode := range []manifest.RunMode{manifest.Daemon, manifest.CronJob} {
			t.Run(tc.flow+" "+string(mode), func(t *testing.T) {
				t.Parallel()
				w := newWorld(t, tc.flow, 3, nil)
				if mode == manifest.Daemon {
					daemons(w.done, w.parties()...)
				} else {
					w.cronUntilDone()
				}
				w.checkEnd(tc.shared)
				tc.check(t, w)
			})
		}
	}
}

// checkEnd checks what must hold after any exchanges that went well.
func (w *world) checkEnd(shared int) {
	w.t.Helper()
	wf := w.workflow()
	for _, date := range w.dates {
		for _, p := range w.parties() {
			cp := p.checkpoint(date)
			if cp.GetExchangeState() != succeeded {
				w.t.Errorf("%s of %s ended as %s", date, p.id, cp.GetExchangeState())
			}
			for _, s := range wf.StepsOf(p.role) {
				a := p.last(date, s.ID)
				if a.GetState() != attemptSucceeded || int(a.GetStepIndex()) != s.Index {
					w.t.Errorf("%s of %s: step %s ended as %s, with index %d", date, p.id, s.ID, a.GetState(), a.GetStepIndex())
				}
				if b := readFile(w.t, p.private(date, "done-tasks/"+s.ID)); len(b) != 0 {
					w.t.Errorf("the done marker of %s has %d bytes", s.ID, len(b))
				}
			}
			for _, e := range cp.GetProgressEntries() {
				if e.GetStartTime() == nil || e.GetEndTime() == nil || e.GetEndTime().AsTime().Before(e.GetStartTime().AsTime()) {
					w.t.Errorf("%s of %s: step %s began %v and ended %v", date, p.id, e.GetAttempt().GetStepId(), e.GetStartTime(), e.GetEndTime())
				}
			}
		}
	}
	if got := w.verifyShared(); got != shared*len(w.dates) {
		w.t.Errorf("%d blobs are shared, want %d", got, shared*len(w.dates))
	}
	var secrets []string
	for _, date := range w.dates {
		for _, p := range w.parties() {
			key, ok := p.identity(date).key.(*ecdsa.PrivateKey)
			if !ok {
				w.t.Fatalf("%s has another kind of key", p.id)
			}
			scalar, err := key.Bytes()
			if err != nil {
				w.t.Fatal(err)
			}
			secrets = append(secrets, string(scalar))
		}
	}
	w.noSecrets(secrets...)
}

func checkMini(t *testing.T, w *world) {
	for _, date := range w.dates {
		if got := readFile(t, w.mp.private(date, "mp-hkdf-pepper")); string(got) != pepper {
			t.Errorf("%s: the model provider has %q", date, got)
		}
		if name := string(readFile(t, w.edp.private(date, "edp-certificate-resource-name"))); !strings.HasPrefix(name, "edp1:") {
			t.Errorf("%s: the certificate is called %q", date, name)
		} else {
			w.certificate(date, name)
		}
	}
}

func checkDoubleBlind(t *testing.T, w *world) {
	want := blinded(t)
	var keys [][]byte
	for _, date := range w.dates {
		if got := byID(t, readFile(t, w.mp.private(date, "mp-decrypted-join-keys"))); !maps.Equal(got, want) {
			t.Errorf("%s: the model provider ends with %x, want %x", date, got, want)
		}
		key := readFile(t, w.mp.private(date, "mp-commutative-deterministic-key"))
		for _, k := range keys {
			if bytes.Equal(k, key) {
				t.Errorf("%s: the key is that of another date", date)
			}
		}
		keys = append(keys, key)
		for _, label := range []string{"mp-double-blinded-join-keys", "edp-double-blinded-join-keys"} {
			p := w.mp
			if strings.HasPrefix(label, "edp") {
				p = w.edp
			}
			if got := readFile(t, p.private(date, label)); !bytes.Equal(got, readFile(t, w.shared(date, "double-blinded-join-keys"))) {
				t.Errorf("%s: %s is not what was shared", date, label)
			}
		}
	}
}
