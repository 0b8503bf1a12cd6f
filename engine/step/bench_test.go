package step_test

import (
	"bytes"
	"context"
	"crypto"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"gocloud.dev/blob/memblob"
	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"

	"github.com/panelmatch/panelmatch/engine/blob"
	"github.com/panelmatch/panelmatch/engine/failure"
	"github.com/panelmatch/panelmatch/engine/provider"
	"github.com/panelmatch/panelmatch/engine/step"
	"github.com/panelmatch/panelmatch/engine/trust"
	"github.com/panelmatch/panelmatch/engine/workflow"
	"github.com/panelmatch/panelmatch/schema/manifest"
	"github.com/panelmatch/panelmatch/schema/wire/internalpb"
	"github.com/panelmatch/panelmatch/schema/wire/protocolpb"
)

// The dates of the bench's exchange, which is daily.
var (
	firstDate  = workflow.Date{Year: 2024, Month: 1, Day: 31}
	secondDate = workflow.Date{Year: 2024, Month: 2, Day: 1}
)

// bench is where one step runs: a party's private storage, by date, and the storage that it shares.
type bench struct {
	t      *testing.T
	bucket provider.Storage
	shared *signedStorage
	date   workflow.Date
	// others are further steps of the party's workflow.
	others []workflow.Step
	limits manifest.Limits
	certs  step.Certificates
}

func newBench(t *testing.T) *bench {
	t.Helper()
	bucket := memblob.OpenBucket(nil)
	t.Cleanup(func() { bucket.Close() })
	return &bench{t: t, bucket: bucket, shared: newSignedStorage(t), date: firstDate}
}

func (b *bench) store(ctx context.Context, key blob.ExchangeKey) (*blob.Store, error) {
	return blob.ForExchange(b.bucket, key, blob.Options{Name: "private storage"})
}

func (b *bench) key(d workflow.Date) blob.ExchangeKey {
	return blob.ExchangeKey{RecurringExchange: "rx", Date: d}
}

// private is the private storage of the bench's date.
func (b *bench) private() *blob.Store {
	s, err := b.store(b.t.Context(), b.key(b.date))
	if err != nil {
		b.t.Fatal(err)
	}
	return s
}

func (b *bench) put(label string, data []byte) {
	b.t.Helper()
	if err := b.private().PutBytes(b.t.Context(), label, data); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) get(label string) []byte {
	b.t.Helper()
	data, err := b.private().GetBytes(b.t.Context(), label, 1<<26)
	if err != nil {
		b.t.Fatal(err)
	}
	return data
}

// blobs are all blobs of private storage, of all dates, by their whole names.
func (b *bench) blobs() map[string]string {
	b.t.Helper()
	out := map[string]string{}
	for it := b.bucket.List(nil); ; {
		o, err := it.Next(b.t.Context())
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			b.t.Fatal(err)
		}
		data, err := b.bucket.ReadAll(b.t.Context(), o.Key)
		if err != nil {
			b.t.Fatal(err)
		}
		out[o.Key] = string(data)
	}
}

// run runs one step, as a text proto says it, and returns its error. A step that fails must leave
// private storage as it was.
func (b *bench) run(text string) error {
	b.t.Helper()
	before := b.blobs()
	err := b.runUnchecked(b.t.Context(), parseStep(b.t, text))
	if err != nil && !maps.Equal(before, b.blobs()) {
		b.t.Errorf("the step failed (%v), but private storage has changed: there is %q", err, slices.Sorted(maps.Keys(b.blobs())))
	}
	return err
}

func (b *bench) runUnchecked(ctx context.Context, s workflow.Step) error {
	s.Index = len(b.others)
	env := &step.Env{
		Exchange:      b.key(b.date),
		Workflow:      &workflow.Workflow{Steps: append(slices.Clone(b.others), s), FirstExchangeDate: firstDate, Schedule: workflow.Daily},
		Step:          s,
		Private:       b.private(),
		Shared:        func(context.Context) (step.Shared, error) { return b.shared, nil },
		PrivateOf:     b.store,
		Certificates:  b.certs,
		Limits:        b.limits,
		InputInterval: time.Millisecond,
		Log:           slog.New(slog.DiscardHandler),
	}
	return step.Steps().Run(ctx, env)
}

// must is run for a step that has to succeed.
func (b *bench) must(text string) {
	b.t.Helper()
	if err := b.run(text); err != nil {
		b.t.Fatal(err)
	}
}

// fails runs a step that has to fail with a class and a code, and words that help.
func (b *bench) fails(text string, class failure.Class, code failure.Code, words string) {
	b.t.Helper()
	checkFailure(b.t, b.run(text), class, code, words)
}

func checkFailure(t *testing.T, err error, class failure.Class, code failure.Code, words string) {
	t.Helper()
	if err == nil {
		t.Errorf("the step succeeded; want %s %s", class, code)
		return
	}
	if gotClass, gotCode := failure.Of(err); gotClass != class || gotCode != code {
		t.Errorf("error %q is %s %s, want %s %s", err, gotClass, gotCode, class, code)
	}
	if !strings.Contains(err.Error(), words) {
		t.Errorf("error %q does not say %q", err, words)
	}
}

// parseStep reads a step in the internal schema's text form. The party is the MP unless it says otherwise.
func parseStep(t testing.TB, text string) workflow.Step {
	t.Helper()
	m := &internalpb.ExchangeWorkflow_Step{StepId: "the-step", Party: internalpb.ExchangeWorkflow_MODEL_PROVIDER}
	over := &internalpb.ExchangeWorkflow_Step{}
	if err := prototext.Unmarshal([]byte(text), over); err != nil {
		t.Fatal(err)
	}
	proto.Merge(m, over)
	w, diags := workflow.FromInternal(&internalpb.ExchangeWorkflow{
		Steps: []*internalpb.ExchangeWorkflow_Step{m},
		ExchangeIdentifiers: &internalpb.ExchangeWorkflow_ExchangeIdentifiers{
			DataProviderId: "edp1", ModelProviderId: "mp1", SharedStorageOwner: internalpb.ExchangeWorkflow_MODEL_PROVIDER,
		},
		FirstExchangeDate:  firstDate.Proto(),
		RepetitionSchedule: &internalpb.ExchangeWorkflow_Schedule{CronExpression: string(workflow.Daily)},
	})
	if err := diags.Err(); err != nil {
		t.Fatal(err)
	}
	return w.Steps[0]
}

// in and out write labels, given as key=label, in a step's text form; a word alone is key and label.
func in(labels ...string) string  { return labelText("input_labels", labels) }
func out(labels ...string) string { return labelText("output_labels", labels) }

func labelText(field string, labels []string) string {
	var text strings.Builder
	for _, l := range labels {
		key, value, ok := strings.Cut(l, "=")
		if !ok {
			value = key
		}
		fmt.Fprintf(&text, "%s { key: %q value: %q }\n", field, key, value)
	}
	return text.String()
}

func golden(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", filepath.FromSlash(name)))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// signedStorage is shared storage in memory whose signatures are real: each blob lies beside a
// NamedSignature, by the key of a certificate's name.
type signedStorage struct {
	mu    sync.Mutex
	blobs map[string][]byte
	keys  map[string]crypto.Signer // by certificate name
	// writeErr, if set, may fail the write of a key.
	writeErr func(key string) error
}

// The names of the parties' certificates.
const (
	ours     = "mp1:1"
	partners = "edp1:1"
)

const algorithm = trust.ECDSAWithSHA256

func newSignedStorage(t *testing.T) *signedStorage {
	s := &signedStorage{blobs: map[string][]byte{}, keys: map[string]crypto.Signer{}}
	for _, name := range []string{ours, partners, "edp1:2"} {
		key, err := trust.GenerateKey(manifest.Keys{})
		if err != nil {
			t.Fatal(err)
		}
		s.keys[name] = key
	}
	return s
}

var _ step.Shared = (*signedStorage)(nil)

func (s *signedStorage) Write(_ context.Context, key string, src io.Reader) error {
	if s.writeErr != nil {
		if err := s.writeErr(key); err != nil {
			return err
		}
	}
	data, err := io.ReadAll(src)
	if err != nil {
		return err
	}
	return s.sign(ours, key, data)
}

func (s *signedStorage) sign(certificate, key string, data []byte) error {
	sig, err := trust.Sign(algorithm, s.keys[certificate], data)
	if err != nil {
		return err
	}
	named, err := proto.Marshal(&protocolpb.NamedSignature{Signature: sig, CertificateName: certificate})
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.blobs[key], s.blobs[blob.SignatureKey(key)] = data, named
	return nil
}

// partner puts a blob there as the partner does.
func (b *bench) partner(key string, data []byte) {
	b.t.Helper()
	if err := b.shared.sign(partners, key, data); err != nil {
		b.t.Fatal(err)
	}
}

// signature returns the bare signature of a blob and the name of its certificate.
func (s *signedStorage) signature(key string) ([]byte, string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b, ok := s.blobs[blob.SignatureKey(key)]
	if !ok {
		return nil, "", fmt.Errorf("signature of %s: %w", key, provider.ErrNotFound)
	}
	named := &protocolpb.NamedSignature{}
	if err := proto.Unmarshal(b, named); err != nil {
		return nil, "", err
	}
	return named.GetSignature(), named.GetCertificateName(), nil
}

func (s *signedStorage) Author(_ context.Context, key string) (step.Author, error) {
	_, name, err := s.signature(key)
	if err != nil {
		return nil, err
	}
	return author{s, s.keys[name]}, nil
}

type author struct {
	s   *signedStorage
	key crypto.Signer
}

func (a author) Read(_ context.Context, key string) (*blob.Spool, []byte, error) {
	sig, _, err := a.s.signature(key)
	if err != nil {
		return nil, nil, err
	}
	a.s.mu.Lock()
	data, ok := a.s.blobs[key]
	a.s.mu.Unlock()
	if !ok {
		return nil, nil, fmt.Errorf("%s: %w", key, provider.ErrNotFound)
	}
	if err := trust.Verify(algorithm, a.key.Public(), data, sig); err != nil {
		return nil, nil, failure.New(failure.Permanent, failure.CodeSignature, fmt.Errorf("%s: %w", key, err))
	}
	spool := blob.NewSpool(blob.Scratch{})
	if _, err := io.Copy(spool, bytes.NewReader(data)); err != nil {
		return nil, nil, err
	}
	return spool, sig, nil
}
