package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"

	"causeway/homeserver/store"
	"causeway/registration"

	"golang.org/x/sync/errgroup"
)

const (
	// lateAfter is from when on what waits for a service is called late.
	lateAfter = 10 * time.Minute
	// knockTimeout bounds the wait for a service to take a connection, and maxKnocks how many are tried at a time.
	knockTimeout = 3 * time.Second
	maxKnocks    = 16
	// ownersPerRead bounds the accounts that are read at a time.
	ownersPerRead = 1000
)

// servicesReport is what the doctor finds about application services.
type servicesReport struct {
	servicesStatus
	Problems []serviceProblem `json:"problems"`
	Warnings []string         `json:"warnings,omitempty"`
}

// serviceProblem is something that is wrong with one.
type serviceProblem struct {
	Service string `json:"service"`
	Text    string `json:"text"`
	Advice  string `json:"advice"`
}

// sound tells that nothing is wrong, as far as was looked.
func (r *servicesReport) sound() bool { return r == nil || len(r.Problems)+len(r.Faults) == 0 }

func (r *servicesReport) problem(service, advice, format string, args ...any) {
	r.Problems = append(r.Problems, serviceProblem{service, fmt.Sprintf(format, args...), advice})
}

// examineServices looks at the files, at the services themselves, and at what a running server tells of them.
func (c *cli) examineServices(ctx context.Context, cfg *Config, db *store.DB) (*servicesReport, error) {
	all, err := c.askServices(ctx, cfg)
	if err != nil {
		return nil, err
	}
	r := &servicesReport{servicesStatus: all}
	files, err := registration.LoadDir(cfg.AppServices.Dir)
	if faults, ok := errors.AsType[registration.Faults](err); ok {
		r.Faults = faults // as they are now, be they in force or not
	} else if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	for _, reg := range files {
		for _, warning := range reg.Warnings {
			r.Warnings = append(r.Warnings, warning.Error())
		}
		info, err := os.Stat(filepath.Join(cfg.AppServices.Dir, reg.File))
		if err == nil && info.Mode().Perm()&0o004 != 0 {
			r.Warnings = append(r.Warnings, reg.File+": can be read by everybody on this machine, tokens and all; chmod o-r keeps them out")
		}
	}
	r.late(time.Now())
	r.knock(ctx)
	return r, r.intrusions(ctx, db, files)
}

// late names those whose process is down, and those for which something has been waiting for long.
func (r *servicesReport) late(now time.Time) {
	for _, s := range r.Services {
		if p := s.Process; p != nil && p.Down {
			r.problem(s.ID, "Look into the server's log for what the bridge says before it ends; it is started again every minute.",
				"is down: its process has crashed %d times in a row: %s", p.Crashes, p.LastWords)
			continue
		}
		waits := now.Sub(time.UnixMilli(cmp.Or(s.OldestTS, s.FailingTS, now.UnixMilli())))
		if waits <= lateAfter {
			continue
		}
		reason := ""
		if s.LastError != "" {
			reason = ": " + s.LastError
		}
		r.problem(s.ID, "Look into the log of the service; nothing is lost, it is sent all once it answers.",
			"is behind by %s%s", ageText(waits), reason)
	}
}

// knock tries to connect to each service.
func (r *servicesReport) knock(ctx context.Context) {
	var (
		mu    sync.Mutex // guards failed
		group errgroup.Group
	)
	failed := make(map[string]error)
	group.SetLimit(maxKnocks)
	for _, s := range r.Services {
		if s.URL == "" || s.BuiltIn {
			continue
		}
		group.Go(func() error {
			if err := connect(ctx, s.URL); err != nil {
				mu.Lock()
				defer mu.Unlock()
				failed[s.ID] = err
			}
			return nil
		})
	}
	_ = group.Wait()
	for _, s := range r.Services {
		if err := failed[s.ID]; err != nil {
			r.problem(s.ID, "Start the service, or correct url in "+s.From+".", "cannot be reached at %s: %s", s.URL, connectText(err))
		}
	}
}

// connect opens a connection to a service and closes it.
func connect(ctx context.Context, service string) error {
	u, err := url.Parse(service)
	if err != nil {
		return err
	}
	network, address := "tcp", u.Host
	switch port := u.Port(); {
	case u.Scheme == "unix":
		network, address = "unix", u.Path
	case port == "" && u.Scheme == "https":
		address = net.JoinHostPort(u.Hostname(), "443")
	case port == "":
		address = net.JoinHostPort(u.Hostname(), "80")
	}
	dialer := net.Dialer{Timeout: knockTimeout}
	conn, err := dialer.DialContext(ctx, network, address)
	if err != nil {
		return err
	}
	return conn.Close()
}

// connectText is why there is no connection, in words.
func connectText(err error) string {
	var (
		lookup  *net.DNSError
		timeout net.Error
	)
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return "nothing listens there"
	case errors.Is(err, os.ErrNotExist):
		return "there is no such socket"
	case errors.As(err, &lookup):
		return "there is no host " + lookup.Name
	case errors.As(err, &timeout) && timeout.Timeout():
		return fmt.Sprintf("there was no answer in %s", knockTimeout)
	}
	return err.Error()
}

// intrusions names services that have accounts to themselves that they did not make: those of files, and, of a server that runs, its own.
func (r *servicesReport) intrusions(ctx context.Context, db *store.DB, files []*registration.Registration) error {
	all := slices.Clone(files)
	for _, s := range r.Services {
		if s.BuiltIn {
			all = append(all, &registration.Registration{ID: s.ID, SenderLocalpart: s.Sender, Namespaces: s.Namespaces, BuiltIn: true})
		}
	}
	type found struct {
		count   int
		example store.Owner
	}
	of := make(map[string]*found)
	for after := int64(0); ; {
		var owners []store.Owner
		err := db.View(ctx, func(tx *store.Tx) (err error) {
			owners, err = tx.Owners(after, ownersPerRead)
			return err
		})
		if err != nil {
			return err
		}
		for _, owner := range owners {
			for _, reg := range all {
				if owner.AppService == reg.ID || !reg.ExclusiveUser(owner.UserID) {
					continue
				}
				if of[reg.ID] == nil {
					of[reg.ID] = &found{example: owner}
				}
				of[reg.ID].count++
			}
		}
		if len(owners) < ownersPerRead {
			break
		}
		after = owners[len(owners)-1].NID
	}
	for _, reg := range all {
		if f := of[reg.ID]; f != nil {
			maker := "a person"
			if f.example.AppService != "" {
				maker = "the service " + f.example.AppService
			}
			advice := "Narrow its namespaces in " + reg.File + ", or deactivate the accounts if they are not needed."
			if reg.BuiltIn {
				advice = "Nobody can sign in to these accounts while the bridge is there: give their people other ones."
			}
			r.problem(reg.ID, advice,
				"has accounts to itself that it did not make and can act as (%d, such as %s of %s)", f.count, f.example.UserID, maker)
		}
	}
	return nil
}

// print writes the report for people to read.
func (r *servicesReport) print(w io.Writer) error {
	if r == nil {
		return nil
	}
	var failure error
	line := func(format string, args ...any) {
		if failure == nil {
			_, failure = fmt.Fprintf(w, format+"\n", args...)
		}
	}
	running := "as the running server knows them"
	if !r.Running {
		running = "from their files; no server runs, so it is not known whether they are behind"
	}
	if len(r.Services) == 0 && len(r.Faults) == 0 {
		line("\nThere are no application services.")
		return failure
	}
	line("\nApplication services: %d, %s", len(r.Services), running)
	for _, p := range r.Problems {
		line("  %s %s", p.Service, p.Text)
		line("    What to do: %s", p.Advice)
	}
	for _, fault := range r.Faults {
		line("  %s", fault)
	}
	for _, warning := range r.Warnings {
		line("  warning: %s", warning)
	}
	if r.sound() {
		line("  Nothing is wrong with them.")
	}
	return failure
}
