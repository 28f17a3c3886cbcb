package main

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"causeway/homeserver"
	"causeway/homeserver/doctor"
	"causeway/homeserver/store"

	"github.com/spf13/cobra"
)

// doctorOptions are the flags of `doctor`.
type doctorOptions struct {
	quick, json bool
	rooms       string // how many to show, or "all"
}

// These end the command with exitFailure. What is wrong has been printed.
var (
	errUnsound  = errors.New("the database has faults")
	errServices = errors.New("something is wrong with application services")
)

func (c *cli) doctorCommand() *cobra.Command {
	var o doctorOptions
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Tell what takes how much space in the database, and verify all of it",
		Long: "Examine the database: bytes by table and by room, then everything that must hold of\n" +
			"events, signatures, states, members and references. Then the application services: their\n" +
			"files, whether each is there, and whether it is behind. Nothing is changed, and the server\n" +
			"may run meanwhile: one snapshot is read, beside which the database grows somewhat.\n\n" +
			"The exit code is 0 when nothing is wrong, 1 when there are faults, and 2 when the\n" +
			"database could not be examined.",
		Args: usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error { return c.doctor(cmd.Context(), o) },
	}
	f := cmd.Flags()
	f.BoolVar(&o.quick, "quick", false, "tell sizes only, verify nothing")
	f.BoolVar(&o.json, "json", false, "print the whole report as JSON")
	f.StringVar(&o.rooms, "rooms", "10", "how many rooms to show, the largest first, or all")
	cmd.AddCommand(c.doctorCallsCommand())
	return cmd
}

// doctor examines the database and prints what it finds. Every failure to look is an error of usage: its exit code is 2.
func (c *cli) doctor(ctx context.Context, o doctorOptions) error {
	rooms := -1
	if o.rooms != "all" {
		n, err := strconv.Atoi(o.rooms)
		if err != nil || n < 0 {
			return usageError{fmt.Errorf("--rooms is %q: it must be a number, or all", o.rooms)}
		}
		rooms = n
	}
	cfg, err := c.loadConfig(defaultsWhenMissing)
	if err != nil {
		return err
	}
	report, services, err := c.examine(ctx, cfg, o)
	if err != nil {
		return usageError{err}
	}
	if o.json {
		out := json.NewEncoder(c.out)
		out.SetIndent("", "  ")
		err = out.Encode(struct {
			*doctor.Report
			Services *servicesReport `json:"application_services,omitempty"`
		}{report, services})
	} else if err = report.Print(c.out, rooms); err == nil {
		err = services.print(c.out)
	}
	switch {
	case err != nil:
	case !report.Sound():
		err = errUnsound
	case !services.sound():
		err = errServices
	}
	return err
}

func (c *cli) examine(ctx context.Context, cfg *Config, o doctorOptions) (report *doctor.Report, services *servicesReport, err error) {
	db, err := store.OpenReadOnly(ctx, cfg.Database)
	if err != nil {
		return nil, nil, err
	}
	defer closing(&err, db.Close)
	keys, known, err := ownKeys(cfg)
	if err != nil {
		return nil, nil, err
	}
	if !known {
		fmt.Fprintln(c.err, "causeway: the signing key is not in the data directory: signatures are not verified")
	}
	progress := newProgress(c.err)
	defer progress.clear()
	report, err = doctor.Run(ctx, db, doctor.Options{Quick: o.quick, ServerName: cfg.ServerName, Keys: keys, Progress: progress.show})
	if err == nil && !o.quick {
		services, err = c.examineServices(ctx, cfg, db)
	}
	return report, services, err
}

// ownKeys finds the public key of this server, and no other's. The signing key is not made if it is not there.
func ownKeys(cfg *Config) (keys func(server, keyID string) (ed25519.PublicKey, bool), known bool, err error) {
	path := filepath.Join(cfg.DataDir, "signing.key")
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return nil, false, nil
	}
	key, err := homeserver.LoadSigningKey(path, cfg.ServerName)
	if err != nil {
		return nil, false, err
	}
	public, ok := key.Private.Public().(ed25519.PublicKey)
	return func(server, keyID string) (ed25519.PublicKey, bool) {
		return public, ok && server == cfg.ServerName && keyID == key.KeyID
	}, true, nil
}

// progress shows on a terminal how far a long command has come.
type progress struct {
	w       io.Writer // nil for none
	next    time.Time
	written bool
}

// progressEvery is how often the line of progress is written anew.
const progressEvery = 200 * time.Millisecond

func newProgress(w io.Writer) *progress {
	p := &progress{next: time.Now().Add(progressEvery)}
	if isTerminal(w) {
		p.w = w
	}
	return p
}

func (p *progress) show(done, total int64) {
	now := time.Now()
	if p.w == nil || now.Before(p.next) {
		return
	}
	p.next, p.written = now.Add(progressEvery), true
	fmt.Fprintf(p.w, "\r%d of %d events (%d %%)\x1b[K", done, total, 100*done/max(total, 1))
}

// clear takes the line away.
func (p *progress) clear() {
	if p.written {
		fmt.Fprint(p.w, "\r\x1b[K")
	}
}
