package e2e

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"

	"github.com/panelmatch/panelmatch/cmd/panelmatch/internal/demo"
	"github.com/panelmatch/panelmatch/engine"
	"github.com/panelmatch/panelmatch/engine/provider"
	"github.com/panelmatch/panelmatch/engine/workflow"
	calocal "github.com/panelmatch/panelmatch/providers/ca/local"
	kmslocal "github.com/panelmatch/panelmatch/providers/kms/local"
	mapblob "github.com/panelmatch/panelmatch/providers/secretmap/blob"
	"github.com/panelmatch/panelmatch/providers/storage/file"
	"github.com/panelmatch/panelmatch/schema/manifest"
	"github.com/panelmatch/panelmatch/schema/wire/joinkeypb"
)

func TestMain(m *testing.M) {
	flag.Parse()
	// These tests wait more than they work.
	if err := flag.Set("test.parallel", "16"); err != nil {
		panic(err)
	}
	code := m.Run()
	removeBinary()
	if code == 0 {
		if err := goleak.Find(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

// providers is what the daemons of these tests are built with: the part of the binary's table that
// needs nothing but files.
func providers() provider.Table {
	return provider.Table{
		Storage:              []provider.Factory[provider.Storage]{file.Factory()},
		KMS:                  []provider.Factory[provider.KMS]{kmslocal.Factory()},
		CertificateAuthority: []provider.Factory[provider.CertificateAuthority]{calocal.Factory()},
		SecretMap:            []provider.Factory[provider.SecretMap]{mapblob.Factory()},
	}
}

// The inputs, in which the tests look for what must stay secret.
const (
	pepper = "canary-hkdf-pepper"
	edpKey = "canary-key"
)

var joinKeys = []*joinkeypb.JoinKeyAndId{
	joinKey("canary-join-key-1", "canary-join-key-id-1"), joinKey("canary-join-key-2", "canary-join-key-id-2"),
	joinKey("canary-join-key-3", "canary-join-key-id-3"),
}

func joinKey(key, id string) *joinkeypb.JoinKeyAndId {
	return &joinkeypb.JoinKeyAndId{JoinKey: &joinkeypb.JoinKey{Key: []byte(key)}, JoinKeyIdentifier: &joinkeypb.JoinKeyIdentifier{Id: []byte(id)}}
}

func collection(entries ...*joinkeypb.JoinKeyAndId) []byte {
	b, err := proto.Marshal(&joinkeypb.JoinKeyAndIdCollection{JoinKeyAndIds: entries})
	if err != nil {
		panic(err)
	}
	return b
}

// fast are settings with which nothing waits long.
func fast() []string {
	return []string{
		"run.pollInterval=20ms", "run.inputInterval=20ms",
		"run.retry.initial=10ms", "run.retry.max=50ms", "run.retry.maxAttempts=2", "run.shutdownGrace=5s",
	}
}

// world is a directory with two parties.
type world struct {
	t       testing.TB
	dir     string
	flow    string
	dates   []workflow.Date // oldest first; the last is today
	mp, edp *party
}

// party is one of the two.
type party struct {
	w        *world
	id       string
	role     manifest.Party
	manifest string
	storage  string // of private blobs
	// set are settings beside the fast ones.
	set []string
	log *logBuffer
	// engines are those that have been made, by their settings.
	engines map[string]*engine.Engine
}

// newWorld makes two parties for exchanges on the given number of days, the last of them today.
// Inputs that are not given are the usual ones.
func newWorld(t testing.TB, flow string, days int, inputs map[string][]byte) *world {
	t.Helper()
	dir, err := os.MkdirTemp(t.TempDir(), "world-")
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, dir: dir, flow: flow}
	today := workflow.DateOf(time.Now())
	for i := range days {
		w.dates = append(w.dates, today.AddDays(i+1-days))
	}
	all := map[string][]byte{
		"edp-hkdf-pepper": []byte(pepper), "edp-commutative-deterministic-key": []byte(edpKey),
		"mp-plaintext-join-keys": collection(joinKeys...),
	}
	for label, data := range inputs {
		all[label] = data
	}
	for label, data := range all {
		w.write(filepath.Join("inputs", label), data)
	}
	if _, err := demo.Prepare(t.Context(), demo.Options{Dir: dir, Workflow: flow, Providers: providers()}, w.dates); err != nil {
		t.Fatal(err)
	}
	w.addParties()
	return w
}

// addParties names the parties of the world's manifests.
func (w *world) addParties() {
	for _, p := range []*party{{id: "mp1", role: manifest.ModelProvider}, {id: "edp1", role: manifest.DataProvider}} {
		p.w, p.log, p.engines = w, &logBuffer{}, map[string]*engine.Engine{}
		p.manifest = filepath.Join(w.dir, p.id+".yaml")
		p.storage = filepath.Join(w.dir, p.id, "private-storage")
		p.set = []string{fmt.Sprintf("coordinator.checkpoint.lookback=%dh", 24*len(w.dates))}
		if p.role == manifest.ModelProvider {
			w.mp = p
		} else {
			w.edp = p
		}
	}
}

func (w *world) parties() []*party { return []*party{w.mp, w.edp} }

// write writes a file below the world's directory.
func (w *world) write(name string, data []byte) {
	w.t.Helper()
	path := filepath.Join(w.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		w.t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o600); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) today() workflow.Date { return w.dates[len(w.dates)-1] }

// workflow is the one that the parties agreed on.
func (w *world) workflow() *workflow.Workflow {
	w.t.Helper()
	doc, diags := workflow.Parse(readFile(w.t, w.mp.stored()), workflow.ParseOptions{Format: workflow.InternalBinary})
	if err := diags.Err(); err != nil {
		w.t.Fatal(err)
	}
	return doc.Workflow
}

// engine loads the party's manifest and makes its engine.
func (p *party) engine(set ...string) *engine.Engine {
	p.w.t.Helper()
	set = slices.Concat(fast(), p.set, set)
	id := strings.Join(set, "\n")
	if e := p.engines[id]; e != nil {
		return e
	}
	loaded, diags := manifest.Load(p.w.t.Context(), manifest.Sources{Files: []string{p.manifest}, Environ: []string{}, Set: set})
	if err := diags.Err(); err != nil {
		p.w.t.Fatal(err)
	}
	e, diags := engine.New(loaded.Manifest, providers())
	if err := diags.Err(); err != nil {
		p.w.t.Fatal(err)
	}
	p.engines[id] = e
	return e
}

// logBuffer keeps a daemon's log.
type logBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logBuffer) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(b)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

func (p *party) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(p.log, &slog.HandlerOptions{Level: slog.LevelInfo}))
}

// patience is how long a test waits for something that must happen.
const patience = time.Minute

var errEnough = errors.New("the test has seen enough")

// cron runs the party as a cron job does, to its end, and returns the job's error.
func (p *party) cron() error {
	p.w.t.Helper()
	ctx, cancel := context.WithTimeout(p.w.t.Context(), patience)
	defer cancel()
	err := p.engine("run.mode=CRON_JOB").Run(ctx, engine.RunOptions{Log: p.logger()})
	if ctx.Err() != nil {
		p.w.t.Fatalf("the job of %s did not end; its log:\n%s", p.id, p.log)
	}
	return err
}

// mustCron is cron for a job that has to end well.
func (p *party) mustCron() {
	p.w.t.Helper()
	if err := p.cron(); err != nil {
		p.w.t.Fatalf("the job of %s: %v", p.id, err)
	}
}

// cronUntilDone runs the parties' jobs in turns until all exchanges have succeeded.
func (w *world) cronUntilDone() {
	w.t.Helper()
	for range 10 {
		for _, p := range w.parties() {
			p.mustCron()
		}
		if w.done() {
			return
		}
	}
	w.t.Fatalf("the exchanges did not end; logs:\n%s\n%s", w.mp.log, w.edp.log)
}

// daemons runs the daemons of some parties until the condition holds, which is asked again and again.
func daemons(until func() bool, parties ...*party) {
	w := parties[0].w
	w.t.Helper()
	ctx, stop := context.WithCancelCause(w.t.Context())
	defer stop(nil)
	errs := make([]error, len(parties))
	var running sync.WaitGroup
	for i, p := range parties {
		e := p.engine("run.mode=DAEMON")
		running.Go(func() {
			errs[i] = e.Run(ctx, engine.RunOptions{Log: p.logger()})
			stop(errEnough)
		})
	}
	deadline := time.Now().Add(patience)
	held := until()
	for ; !held && ctx.Err() == nil && time.Now().Before(deadline); held = until() {
		time.Sleep(5 * time.Millisecond)
	}
	stop(errEnough)
	running.Wait()
	if err := errors.Join(errs...); err != nil {
		w.t.Fatalf("a daemon ended: %v", err)
	}
	if !held {
		w.t.Fatalf("what the test waits for did not happen; logs:\n%s\n%s", w.mp.log, w.edp.log)
	}
}

// done reports whether both parties say that the exchanges of all dates have succeeded.
func (w *world) done() bool {
	for _, date := range w.dates {
		for _, p := range w.parties() {
			if cp := p.checkpoint(date); cp == nil || cp.GetExchangeState() != succeeded {
				return false
			}
		}
	}
	return true
}
