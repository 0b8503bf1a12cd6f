//go:build integration

package e2e

import (
	"fmt"
	"regexp"
	"testing"
	"time"

	"github.com/panelmatch/panelmatch/schema/manifest"
)

// TestIdleMemory prints what the daemon holds when all exchanges are done and it only polls: memory in KiB.
func TestIdleMemory(t *testing.T) {
	w := newWorld(t, "mini", 3, nil)
	w.cronUntilDone()
	w.edp.log = &logBuffer{}
	pr := w.edp.start(manifest.Daemon)
	defer pr.kill()
	time.Sleep(2 * time.Second)
	status := string(readFile(t, fmt.Sprintf("/proc/%d/status", pr.cmd.Process.Pid)))
	for _, field := range []string{"VmRSS", "VmHWM", "RssAnon", "Threads"} {
		if m := regexp.MustCompile(`(?m)^` + field + `:\s+(\d+)`).FindStringSubmatch(status); m != nil {
			t.Logf("%s %s", field, m[1])
		}
	}
}
