// Command causeway-bench puts load on a Matrix homeserver, any of them,
// through its client-server API, and measures what its users would feel and
// what it costs the machine.
//
// This package holds the workloads, the sampling of a process and the tables
// that come out. It is called by people and by what keeps docs/benchmarks.md.
// It never uses a Matrix library or a package of the server: it shares the
// processor with what it measures, so requests are built by hand. It talks to
// no address but the one it is given.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	cmd := rootCommand(os.Stdout, os.Stderr)
	if err := cmd.ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "causeway-bench:", err)
		os.Exit(1)
	}
}
