package e2e

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/panelmatch/panelmatch/schema/manifest"
)

// seed repeats the random moments of a run, as far as the machine allows.
var seed = flag.Uint64("seed", 0, "seed of the random moments; 0 for another one each time")

var (
	buildDir  string
	buildOnce sync.Once
	buildErr  error
)

// binary builds the real binary, once.
func binary(t testing.TB) string {
	t.Helper()
	buildOnce.Do(func() {
		if buildDir, buildErr = os.MkdirTemp("", "panelmatch-e2e-"); buildErr != nil {
			return
		}
		cmd := exec.Command("go", "build", "-o", filepath.Join(buildDir, "panelmatch"), "github.com/panelmatch/panelmatch/cmd/panelmatch")
		if out, err := cmd.CombinedOutput(); err != nil {
			buildErr = fmt.Errorf("go build: %w\n%s", err, out)
		}
	})
	if buildErr != nil {
		t.Fatal(buildErr)
	}
	return filepath.Join(buildDir, "panelmatch")
}

func removeBinary() {
	if buildDir != "" {
		os.RemoveAll(buildDir) //nolint:errcheck // a temporary directory
	}
}

// process is a party's daemon in a process of its own.
type process struct {
	party *party
	said  int // bytes in the party's log before it started
	cmd   *exec.Cmd
	done  chan struct{}
	err   error // after done
}

// start starts `panelmatch run`. What it says is added to the party's log.
func (p *party) start(mode manifest.RunMode) *process {
	p.w.t.Helper()
	args := []string{"run", p.manifest}
	for _, set := range slices.Concat(fast(), p.set, []string{"run.mode=" + string(mode)}) {
		args = append(args, "--set", set)
	}
	cmd := exec.Command(binary(p.w.t), args...)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + p.w.dir}
	cmd.Stderr = p.log
	pr := &process{party: p, said: len(p.log.String()), cmd: cmd, done: make(chan struct{})}
	if err := cmd.Start(); err != nil {
		p.w.t.Fatal(err)
	}
	go func() {
		defer close(pr.done)
		pr.err = cmd.Wait()
	}()
	return pr
}

// kill ends the process as a power failure does, and waits until it is gone.
func (pr *process) kill() {
	pr.cmd.Process.Kill() //nolint:errcheck // fails only if it is gone already
	<-pr.done
}

// stop ends the process as Kubernetes does, and returns how it ended. It waits until the process is far
// enough to know of signals.
func (pr *process) stop() error {
	for len(pr.party.log.String()) == pr.said && !pr.ended() {
		time.Sleep(time.Millisecond)
	}
	if err := pr.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	<-pr.done
	return pr.err
}

// ended reports whether the process is gone.
func (pr *process) ended() bool {
	select {
	case <-pr.done:
		return true
	default:
		return false
	}
}

// killer runs worlds whose daemons are killed.
type killer struct {
	t     *testing.T
	rng   *rand.Rand
	kills int // still to come
}

func newKiller(t *testing.T, kills int) *killer {
	s := *seed
	if s == 0 {
		s = uint64(time.Now().UnixNano())
	}
	t.Logf("-seed %d", s)
	return &killer{t, rand.New(rand.NewPCG(s, 0)), kills} //nolint:gosec // moments are no secrets
}

func (k *killer) mode() manifest.RunMode {
	if k.rng.IntN(2) == 0 {
		return manifest.CronJob
	}
	return manifest.Daemon
}

// moment waits for the next moment to kill at: after some time, or right after the parties have written
// some more files.
func (k *killer) moment(w *world) {
	if k.rng.IntN(3) == 0 {
		time.Sleep(time.Duration(k.rng.IntN(500)) * time.Millisecond)
		return
	}
	more := k.rng.IntN(8)
	before := len(files(k.t, w.dir))
	for end := time.Now().Add(2 * time.Second); time.Now().Before(end) && len(files(k.t, w.dir)) <= before+more; {
		time.Sleep(time.Duration(k.rng.IntN(2000)) * time.Microsecond)
	}
}

// world runs exchanges of some days, and kills daemons while it can, until all have succeeded.
func (k *killer) world(flow string, days int) *world {
	w := newWorld(k.t, flow, days, nil)
	running := make([]*process, 2)
	for i, p := range w.parties() {
		running[i] = p.start(k.mode())
	}
	deadline := time.Now().Add(3 * patience)
	for !w.done() {
		if time.Now().After(deadline) {
			k.t.Fatalf("the exchanges did not end; logs:\n%s\n%s", w.mp.log, w.edp.log)
		}
		if k.kills > 0 {
			k.moment(w)
			victims := []int{k.rng.IntN(2)}
			if k.rng.IntN(5) == 0 {
				victims = []int{0, 1}
			}
			for _, i := range victims {
				if !running[i].ended() {
					k.kills--
				}
				running[i].kill()
			}
		} else {
			time.Sleep(10 * time.Millisecond)
		}
		for i, p := range w.parties() {
			if running[i].ended() {
				running[i] = p.start(k.mode())
			}
		}
	}
	for i, p := range w.parties() {
		if err := running[i].stop(); err != nil {
			k.t.Errorf("the daemon of %s ended after SIGTERM with %v; log:\n%s", p.id, err, p.log)
		}
	}
	return w
}

func testKills(t *testing.T, kills int) {
	undisturbed := newWorld(t, "double-blind", 1, nil)
	undisturbed.cronUntilDone()
	want := readFile(t, undisturbed.mp.private(undisturbed.today(), "mp-decrypted-join-keys"))

	k := newKiller(t, kills)
	worlds := 0
	for ; k.kills > 0; worlds++ {
		flow, shared, days := "double-blind", 2, 4
		if worlds%4 == 3 {
			flow, shared = "mini", 1
		}
		w := k.world(flow, days)
		w.checkEnd(shared)
		w.oneCertificateEach()
		if flow == "mini" {
			checkMini(t, w)
			continue
		}
		checkDoubleBlind(t, w)
		for _, date := range w.dates {
			if got := readFile(t, w.mp.private(date, "mp-decrypted-join-keys")); !bytes.Equal(got, want) {
				t.Errorf("%s ended with other join keys than the undisturbed exchange", date)
			}
		}
	}
	t.Logf("%d kills over %d exchanges", kills-k.kills, worlds*4)
}

func TestKilledDaemonsLoseNothing(t *testing.T) {
	t.Parallel()
	testKills(t, 10)
}
