// Command panelmatch matches a panel against events without either owner
// showing the other its data: a Panel Exchange Client that is configured by a
// manifest. `panelmatch help` lists what it does.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"golang.org/x/term"

	"github.com/panelmatch/panelmatch/cmd/panelmatch/internal/cli"
)

// version is set by the linker.
var version = "devel"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := cli.Run(ctx, os.Args[1:], cli.Env{
		In:        os.Stdin,
		Out:       os.Stdout,
		Err:       os.Stderr,
		Environ:   os.Environ(),
		Terminal:  term.IsTerminal(int(os.Stdout.Fd())),
		Color:     term.IsTerminal(int(os.Stderr.Fd())) && os.Getenv("NO_COLOR") == "",
		Providers: providers(),
		Version:   version,
	})
	stop()
	os.Exit(code)
}
