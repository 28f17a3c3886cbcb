// Command causeway is a Matrix homeserver with bridges in one binary.
//
// This package holds the command line, the configuration file and the wiring
// of the parts (app.go, the only file that knows everyone). It is called by
// people, by service managers and by the end-to-end tests. It never holds
// behaviour of the server itself: that lives below homeserver, appservice,
// bridges, registration and sfu.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// The first signal asks for an orderly stop. From then on signals have
	// their default effect again, so that a second one ends the process at once.
	context.AfterFunc(ctx, stop)
	os.Exit(run(ctx, os.Args[1:], streams{in: os.Stdin, out: os.Stdout, err: os.Stderr}))
}
