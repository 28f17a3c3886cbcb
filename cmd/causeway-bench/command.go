package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"time"

	"github.com/spf13/cobra"
)

// Bounds of what a run may ask of a machine.
const (
	maxSenders  = 4096
	maxDuration = time.Hour
	maxRate     = 100_000
)

// options are the flags that every workload shares.
type options struct {
	url      string
	token    string
	users    []string
	duration time.Duration
	pid      int
	json     bool

	out, log io.Writer
}

func rootCommand(out, log io.Writer) *cobra.Command {
	root := &cobra.Command{
		Use:           "causeway-bench",
		Short:         "Put load on a Matrix homeserver through its client-server API",
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.SetOut(out)
	root.SetErr(log)
	root.AddCommand(sendCommand(out, log), deliverCommand(out, log), suiteCommand(out, log), readsCommand(out, log))
	return root
}

func sendCommand(out, log io.Writer) *cobra.Command {
	o := &options{out: out, log: log}
	load := sendLoad{}
	cmd := &cobra.Command{
		Use:   "send",
		Short: "Senders that each send the next message once the last is acknowledged",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			load.duration = o.duration
			return o.run(cmd.Context(), load.senders, &load)
		},
	}
	o.flags(cmd)
	cmd.Flags().IntVar(&load.senders, "senders", 32, "how many users send at once")
	cmd.Flags().IntVar(&load.rooms, "rooms", 0, "how many rooms they share (0: each has its own)")
	cmd.Flags().IntVar(&load.size, "size", 64, "bytes of text in a message")
	return cmd
}

func deliverCommand(out, log io.Writer) *cobra.Command {
	o := &options{out: out, log: log}
	load := deliverLoad{}
	cmd := &cobra.Command{
		Use:   "deliver",
		Short: "Messages at a constant rate, timed from their PUT to the reader's /sync",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			load.duration = o.duration
			return o.run(cmd.Context(), 2, &load)
		},
	}
	o.flags(cmd)
	cmd.Flags().Float64Var(&load.rate, "rate", 100, "messages a second, whether or not the server keeps up")
	cmd.Flags().IntVar(&load.size, "size", 64, "bytes of text in a message")
	return cmd
}

func (o *options) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&o.url, "url", "http://127.0.0.1:8008", "the homeserver's address")
	f.StringVar(&o.token, "token", "", "register users with this registration token instead of the dummy flow")
	f.StringSliceVar(&o.users, "users", nil, "log these users in instead of registering any: name:password,…")
	f.DurationVar(&o.duration, "duration", 10*time.Second, "how long the load lasts")
	f.IntVar(&o.pid, "pid", 0, "measure processor time and memory of this process")
	f.BoolVar(&o.json, "json", false, "print JSON instead of a table")
}

// load is something to do to a homeserver. prepare is called once, then run;
// only run is measured.
type load interface {
	prepare(ctx context.Context, s *site, users []*user) error
	run(ctx context.Context) (Result, error)
}

// run makes the users, runs one load beside the sampling of the process, and
// prints the outcome.
func (o *options) run(ctx context.Context, users int, l load) error {
	s, err := o.site(users)
	if err != nil {
		return err
	}
	defer s.close()
	accounts, err := s.accounts(ctx, users, o.token, o.users)
	if err != nil {
		return err
	}
	if err := l.prepare(ctx, s, accounts); err != nil {
		return err
	}
	result, err := measure(ctx, o.pid, l.run)
	if err != nil {
		return err
	}
	return Report{Results: []Result{result}}.write(o.out, o.json)
}

// site checks the flags and prepares the connections.
func (o *options) site(users int) (*site, error) {
	u, err := url.Parse(o.url)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, fmt.Errorf("--url %q is not an http:// or https:// address", o.url)
	}
	if users < 1 || users > maxSenders {
		return nil, fmt.Errorf("--senders must be from 1 to %d", maxSenders)
	}
	if o.duration <= 0 || o.duration > maxDuration {
		return nil, fmt.Errorf("--duration must be more than 0 and no more than %s", maxDuration)
	}
	if len(o.users) > 0 && o.token != "" {
		return nil, errors.New("--users and --token exclude each other")
	}
	return newSite(u), nil
}
