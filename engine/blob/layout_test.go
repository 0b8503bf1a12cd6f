package blob_test

import (
	"strings"
	"testing"
	"time"

	"github.com/panelmatch/panelmatch/engine/blob"
	"github.com/panelmatch/panelmatch/engine/workflow"
	"github.com/panelmatch/panelmatch/schema/manifest"
)

var day = workflow.Date{Year: 2024, Month: time.January, Day: 31}

// These names are the protocol: a change here is a partner that finds nothing.
func TestKeysAreThoseOfTheReference(t *testing.T) {
	key := blob.ExchangeKey{RecurringExchange: "rX-1_a", Date: day}
	certificate, err := blob.CertificateKey("edp1:0a1b2c3d-1111-4222-8333-444455556666")
	if err != nil {
		t.Fatal(err)
	}
	root, err := blob.UseCaseKey(manifest.RootCertificates, "dataProviders/abc")
	if err != nil {
		t.Fatal(err)
	}
	private, err := blob.UseCaseKey(manifest.PrivateKeys, key.Path())
	if err != nil {
		t.Fatal(err)
	}
	prefix, err := blob.RecurringExchangePrefix("rX-1_a")
	if err != nil {
		t.Fatal(err)
	}
	for got, want := range map[string]string{
		key.Path():               "recurringExchanges/rX-1_a/exchanges/2024-01-31",
		prefix:                   "recurringExchanges/rX-1_a/exchanges/",
		blob.SignatureKey("a/b"): "a/b.signature",
		blob.DoneKey("step"):     "done-tasks/step",
		blob.CheckpointKey(manifest.DataProvider):  "checkpoints/edp-checkpoint",
		blob.CheckpointKey(manifest.ModelProvider): "checkpoints/mp-checkpoint",
		certificate: "certificates/edp1:0a1b2c3d-1111-4222-8333-444455556666",
		root:        "root-x509-certificates/dataProviders/abc",
		private:     "private-keys/recurringExchanges/rX-1_a/exchanges/2024-01-31",
		string(blob.PrivateKeyAssociatedData(key.Path())): "private-keys/recurringExchanges/rX-1_a/exchanges/2024-01-31",
	} {
		if got != want {
			t.Errorf("%q; want %q", got, want)
		}
	}
}

func TestAnExchangesStoreIsBelowItsPathAndThePrefix(t *testing.T) {
	for prefix, want := range map[string]string{
		"":        "recurringExchanges/rx/exchanges/2024-01-31/k",
		"panel/a": "panel/a/recurringExchanges/rx/exchanges/2024-01-31/k",
	} {
		f := &faulty{}
		base, _ := f.store(t, blob.Options{Prefix: prefix})
		s, err := base.Exchange(blob.ExchangeKey{RecurringExchange: "rx", Date: day})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.PutBytes(t.Context(), "k", nil); err != nil {
			t.Fatal(err)
		}
		if _, ok := f.blobs[want]; !ok {
			t.Errorf("blobs %v; want %q", f.blobs, want)
		}
	}
}

func TestExchangeKeysAreParsedStrictly(t *testing.T) {
	for _, path := range []string{"recurringExchanges/rx/exchanges/2024-01-31", "recurringExchanges/A-b_C9x.2/exchanges/0001-12-01"} {
		k, err := blob.ParseExchangeKey(path)
		if err != nil || k.Path() != path || k.String() != path {
			t.Errorf("%q = %v, %v", path, k, err)
		}
	}
	for _, path := range []string{
		"", "recurringExchanges/rx", "recurringExchanges/rx/exchanges", "recurringExchanges//exchanges/2024-01-31",
		"recurringExchanges/../exchanges/2024-01-31", "recurringExchanges/rx/exchanges/2024-02-30",
		"recurringExchanges/rx/exchanges/2024-1-31", "recurringExchanges/rx/exchanges/2024-01-31/", "/recurringExchanges/rx/exchanges/2024-01-31",
		"recurringExchanges/rx/exchanges/-", "recurringexchanges/rx/exchanges/2024-01-31", "recurringExchanges/r\nx/exchanges/2024-01-31",
		"dataProviders/d/recurringExchanges/rx/exchanges/2024-01-31",
	} {
		if k, err := blob.ParseExchangeKey(path); err == nil {
			t.Errorf("%q = %v", path, k)
		}
	}
	a, b := blob.ExchangeKey{RecurringExchange: "a", Date: day}, blob.ExchangeKey{RecurringExchange: "b"}
	if a.Compare(b) >= 0 || b.Compare(a) <= 0 || a.Compare(a) != 0 {
		t.Error("order")
	}
}

func TestLabelsMayNotBeTheEnginesOwnBlobs(t *testing.T) {
	for label, want := range map[string][3]bool{ // as a key, as a label, as a label in shared storage
		"mp-plaintext":             {true, true, true},
		"data-0-of-1":              {true, true, true},
		"a/b c":                    {true, true, true},
		"done-tasks-of-mine":       {true, true, true},
		"checkpoints/edp":          {true, true, false},
		"checkpoints":              {true, true, false},
		"certificates/x":           {true, true, false},
		"a.signature":              {true, false, false},
		"done-tasks/x":             {true, false, false},
		"done-tasks":               {true, false, false},
		"":                         {},
		"/etc/passwd":              {},
		"a/../done-tasks/x":        {},
		"./done-tasks/x":           {},
		"a//b":                     {},
		"a/":                       {},
		"a\x7fb":                   {},
		`a\b`:                      {},
		"\xc3":                     {},
		strings.Repeat("x", 256):   {},
		strings.Repeat("a/", 512):  {},
		strings.Repeat("ab/", 342): {},
	} {
		got := [3]bool{blob.CheckKey(label) == nil, blob.CheckLabel(label) == nil, blob.CheckSharedLabel(label) == nil}
		if got != want {
			t.Errorf("%.40q: %v; want %v", label, got, want)
		}
	}
}

func TestCertificateNamesAreCutAtTheLastColon(t *testing.T) {
	owner, id, err := blob.ParseCertificateName("edp:1:uuid")
	if err != nil || owner != "edp:1" || id != "uuid" {
		t.Errorf("%q, %q, %v", owner, id, err)
	}
	for _, name := range []string{"", ":", "a:", ":b", "ab", "a/b:c", "../x:y", "a:\x00"} {
		if key, err := blob.CertificateKey(name); err == nil {
			t.Errorf("%q has the key %q", name, key)
		}
	}
	if _, err := blob.UseCaseKey(manifest.PrivateKeys, "../x"); err == nil {
		t.Error("a name that leads out is accepted")
	}
	if _, err := blob.UseCaseKey("other", "x"); err == nil {
		t.Error("an unknown use case is accepted")
	}
}

func FuzzParseExchangeKey(f *testing.F) {
	f.Add("recurringExchanges/rx/exchanges/2024-01-31")
	f.Add("recurringExchanges/../exchanges/2024-01-31")
	f.Fuzz(func(t *testing.T, path string) {
		k, err := blob.ParseExchangeKey(path)
		if err != nil {
			return
		}
		if k.Path() != path {
			t.Fatalf("%q became %q", path, k.Path())
		}
		if err := blob.CheckKey(path); err != nil {
			t.Fatal(err)
		}
	})
}
