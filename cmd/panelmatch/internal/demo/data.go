package demo

import (
	"context"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/panelmatch/panelmatch/engine"
	"github.com/panelmatch/panelmatch/engine/apply"
	"github.com/panelmatch/panelmatch/engine/blob"
	"github.com/panelmatch/panelmatch/engine/crypto/commutative"
	"github.com/panelmatch/panelmatch/engine/graph"
	"github.com/panelmatch/panelmatch/engine/workflow"
	"github.com/panelmatch/panelmatch/schema/manifest"
	"github.com/panelmatch/panelmatch/schema/wire/joinkeypb"
)

// The synthetic data: who is on the panel, and about whom there are events.
const (
	panelSize  = 12
	eventIDs   = 20
	firstEvent = 8 // of the panel's keys, those from here on have events
)

func panelKey(i int) string { return fmt.Sprintf("person-%02d@example.com", i) }

// setUp does what each party's operator would: `panelmatch apply`, which stores the workflow, both root
// certificates and the inputs of the party's steps.
func (d *run) setUp(ctx context.Context) error {
	for _, s := range d.doc.Workflow.Steps {
		if s.Kind != workflow.Input {
			continue
		}
		for _, label := range s.OutputLabels() {
			if err := writeOnce(filepath.Join(d.Dir, "inputs", label), func() ([]byte, error) { return sample(label) }); err != nil {
				return err
			}
		}
	}
	// Opening a party's graph makes its certificate authority, whose root certificate the other one needs.
	opened := make([]*graph.Opened, len(d.parties))
	for i, p := range d.parties {
		e, diags := engine.New(p.loaded.Manifest, d.Providers)
		err := diags.Err()
		if err == nil {
			opened[i], err = e.Open(ctx, engine.OpenOptions{Log: d.Log})
		}
		if err != nil {
			return err
		}
		defer opened[i].Close() //nolint:errcheck // what was written is written
	}
	for i, p := range d.parties {
		plan, err := apply.Plan(ctx, p.loaded.Manifest, opened[i], apply.Options{Lookback: time.Since(d.dates[0].Time())})
		if err != nil {
			return fmt.Errorf("%s: %w", p.manifest, err)
		}
		if err := apply.Apply(ctx, plan); err != nil {
			return fmt.Errorf("%s: %w", p.manifest, err)
		}
	}
	d.Step("each party has the workflow, the partner's root certificate and its own inputs")
	return nil
}

// writeOnce makes a file unless it is there.
func writeOnce(path string, content func() ([]byte, error)) error {
	if _, err := os.Stat(path); err == nil {
		return nil
	}
	data, err := content()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, data, 0o600)
}

// sample makes the input of the given label.
func sample(label string) ([]byte, error) {
	switch label {
	case "mp-plaintext-join-keys":
		c := &joinkeypb.JoinKeyAndIdCollection{}
		for i := range panelSize {
			c.JoinKeyAndIds = append(c.JoinKeyAndIds, &joinkeypb.JoinKeyAndId{
				JoinKey:           &joinkeypb.JoinKey{Key: []byte(panelKey(i))},
				JoinKeyIdentifier: &joinkeypb.JoinKeyIdentifier{Id: fmt.Appendf(nil, "panelist-%02d", i)},
			})
		}
		return proto.Marshal(c)
	case "edp-commutative-deterministic-key":
		key, err := commutative.GenerateKey()
		if err != nil {
			return nil, err
		}
		return key.Bytes(), nil
	case "edp-hkdf-pepper":
		return []byte("a pepper that the demo made up"), nil
	}
	return nil, fmt.Errorf("the demo has no data for the input %s", label)
}

// Result is what there is to see after the exchange.
type Result struct {
	Workflow string `json:"workflow"`
	Date     string `json:"date"`
	// Panel and Events count the synthetic data: join keys of the panel, ids with events.
	Panel  int `json:"panel,omitempty"`
	Events int `json:"events,omitempty"`
	// Matches are the panel's members about whom the data provider has events.
	Matches []Match `json:"matches,omitempty"`
	Blobs   []Blob  `json:"blobs"`
}

// Match is one member of the panel whose key both parties know under the same pseudonym.
type Match struct {
	ID      string `json:"id"`
	JoinKey string `json:"joinKey"`
	// Pseudonym is the join key as the data provider's key blinds it, shortened.
	Pseudonym string `json:"pseudonym"`
}

// Blob is one blob that the exchange left.
type Blob struct {
	// Place is whose storage it lies in.
	Place string `json:"place"`
	Where string `json:"where"`
	Key   string `json:"key"`
	Size  int64  `json:"size"`
}

// report collects what the exchange left. Only the demo may look into both parties' storage.
func (d *run) report(ctx context.Context) (*Result, error) {
	date := d.dates[len(d.dates)-1]
	r := &Result{Workflow: d.Workflow, Date: date.String()}
	private := map[manifest.Party]*blob.Store{}
	for i, p := range d.parties {
		e, diags := engine.New(p.loaded.Manifest, d.Providers)
		if err := diags.Err(); err != nil {
			return nil, err
		}
		opened, err := e.Open(ctx, engine.OpenOptions{Log: d.Log})
		if err != nil {
			return nil, err
		}
		defer opened.Close() //nolint:errcheck // opened for reading only
		s, place, err := p.private(ctx, opened, date)
		if err != nil {
			return nil, err
		}
		private[p.role] = s
		if err := r.list(ctx, p.title+", private", s, place); err != nil {
			return nil, err
		}
		if i == len(d.parties)-1 {
			place, err := opened.Exchange(ctx, RecurringExchange, graph.Shared)
			if err != nil {
				return nil, err
			}
			shared, err := place.Store(blob.ExchangeKey{RecurringExchange: RecurringExchange, Date: date}, blob.Options{Name: "shared storage"})
			if err != nil {
				return nil, err
			}
			if err := r.list(ctx, "shared", shared, place); err != nil {
				return nil, err
			}
		}
	}
	if _, ok := d.doc.Workflow.Step("remove-blinding"); !ok {
		return r, nil
	}
	return r, r.match(ctx, private)
}

func (r *Result) list(ctx context.Context, title string, s *blob.Store, place graph.Place) error {
	for info, err := range s.List(ctx, "") {
		if err != nil {
			return err
		}
		r.Blobs = append(r.Blobs, Blob{Place: title, Where: place.Label, Key: s.Prefix() + "/" + info.Key, Size: info.Size})
	}
	return nil
}

// match compares what the model provider holds at the end, its join keys under the data provider's
// blinding, with the data provider's own ids under the same. In a real exchange each party does that with
// what it has; here it shows that the exchange did its work.
func (r *Result) match(ctx context.Context, private map[manifest.Party]*blob.Store) error {
	const limit = 16 << 20
	read := func(p manifest.Party, label string) ([]byte, error) { return private[p].GetBytes(ctx, label, limit) }
	blinded, plain := &joinkeypb.JoinKeyAndIdCollection{}, &joinkeypb.JoinKeyAndIdCollection{}
	for label, into := range map[string]*joinkeypb.JoinKeyAndIdCollection{"mp-decrypted-join-keys": blinded, "mp-plaintext-join-keys": plain} {
		b, err := read(manifest.ModelProvider, label)
		if err != nil {
			return err
		}
		if err := proto.Unmarshal(b, into); err != nil {
			return fmt.Errorf("%s: %w", label, err)
		}
	}
	keyBytes, err := read(manifest.DataProvider, "edp-commutative-deterministic-key")
	if err != nil {
		return err
	}
	key, err := commutative.ParseKey(keyBytes)
	if err != nil {
		return err
	}
	ids := make([][]byte, eventIDs)
	for i := range ids {
		ids[i] = []byte(panelKey(firstEvent + i))
	}
	own, err := commutative.New(key, commutative.Options{}).All(ctx, commutative.Encrypt, ids)
	if err != nil {
		return err
	}
	known := map[string]bool{}
	for _, g := range own {
		known[string(g)] = true
	}
	plaintext := map[string]string{}
	for _, e := range plain.GetJoinKeyAndIds() {
		plaintext[string(e.GetJoinKeyIdentifier().GetId())] = string(e.GetJoinKey().GetKey())
	}
	r.Panel, r.Events = len(plain.GetJoinKeyAndIds()), eventIDs
	for _, e := range blinded.GetJoinKeyAndIds() {
		if g := e.GetJoinKey().GetKey(); known[string(g)] {
			id := string(e.GetJoinKeyIdentifier().GetId())
			r.Matches = append(r.Matches, Match{ID: id, JoinKey: plaintext[id], Pseudonym: hex.EncodeToString(g[:6]) + "…"})
		}
	}
	slices.SortFunc(r.Matches, func(a, b Match) int { return strings.Compare(a.ID, b.ID) })
	return nil
}
