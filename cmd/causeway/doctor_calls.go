package main

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"causeway/sfu/probe"

	"github.com/spf13/cobra"
)

// callsOptions are the flags of `doctor calls`.
type callsOptions struct {
	url, user, password, token string
	ca                         string
	wait                       time.Duration
	json                       bool
}

// errCalls ends the command with exitFailure. What is wrong has been printed.
var errCalls = errors.New("something is wrong with calls")

func (c *cli) doctorCallsCommand() *cobra.Command {
	var o callsOptions
	cmd := &cobra.Command{
		Use:   "calls",
		Short: "Test calls as a client does, from this computer, and say what is blocked",
		Long: "Test calls as a client does: how it finds them, access tokens, signalling, and sound and\n" +
			"picture by UDP, by TCP and by TURN. What does not work is said in words, with what to do.\n" +
			"Run it on a computer from which somebody cannot call, or at least outside of the server's\n" +
			"own network: what is blocked in between is not seen on the server itself.\n\n" +
			"With an account, a private room is made for the test, and left and forgotten after it.\n\n" +
			"The exit code is 0 when calls work, 1 when something failed, and 2 when nothing could\n" +
			"be tested.",
		Args: usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error { return c.doctorCalls(cmd.Context(), o) },
	}
	f := cmd.Flags()
	f.StringVar(&o.url, "url", "", "the address of the server for clients (default that of the configuration)")
	f.StringVar(&o.user, "user", "", "the user who calls; without --password, the password is read from the terminal or from standard input")
	f.StringVar(&o.password, "password", "", "the password (other users of this machine can see it while the command runs)")
	f.StringVar(&o.token, "token", "", "an access token in the place of a user and a password (the same holds of it)")
	f.StringVar(&o.ca, "ca", "", "a file of certificates to trust, beside those of the system")
	f.DurationVar(&o.wait, "wait", 8*time.Second, "how long each connection may take")
	f.BoolVar(&o.json, "json", false, "print what was found as JSON")
	return cmd
}

func (c *cli) doctorCalls(ctx context.Context, o callsOptions) error {
	switch {
	case o.token != "" && o.user != "":
		return usageError{errors.New("give either --token or --user")}
	case o.password != "" && o.user == "":
		return usageError{errors.New("--password needs --user")}
	case o.wait <= 0:
		return usageError{errors.New("--wait must be more than nothing")}
	}
	if o.url == "" {
		cfg, err := c.loadConfig(defaultsWhenMissing)
		if err != nil {
			return err
		}
		o.url = cfg.BaseURL()
	}
	if o.user != "" && o.password == "" {
		password, err := c.readPassword(false)
		if err != nil {
			return usageError{err}
		}
		o.password = password
	}
	roots, err := trusted(o.ca)
	if err != nil {
		return usageError{err}
	}
	options := probe.Options{URL: o.url, User: o.user, Password: o.password, Token: o.token, Roots: roots, Wait: o.wait}
	lines := &checkLines{w: c.out}
	if !o.json {
		lines.print("Calls of %s, as clients on this computer have them:\n", o.url)
		options.Done = lines.check
	}
	report, err := probe.Run(ctx, options)
	if err != nil {
		return usageError{err}
	}
	if o.json {
		out := json.NewEncoder(c.out)
		out.SetIndent("", "  ")
		lines.err = out.Encode(report)
	} else {
		lines.end(report)
	}
	if lines.err == nil && report.Count(probe.Failed) > 0 {
		return errCalls
	}
	return lines.err
}

// checkLines prints what was tested, each as soon as it is known.
type checkLines struct {
	w   io.Writer
	err error
}

func (l *checkLines) print(format string, args ...any) {
	if l.err == nil {
		_, l.err = fmt.Fprintf(l.w, format+"\n", args...)
	}
}

func (l *checkLines) check(c probe.Check) {
	word := string(c.Status)
	if c.Status == probe.Failed {
		word = strings.ToUpper(word)
	}
	l.print("  %-8s %s", word, c.Text)
	if c.Advice != "" {
		l.print("           What to do: %s", c.Advice)
	}
}

func (l *checkLines) end(r *probe.Report) {
	failed, warnings, skipped := r.Count(probe.Failed), r.Count(probe.Warning), r.Count(probe.Skipped)
	switch {
	case failed > 0:
		l.print("\n%d of %d checks failed.", failed, len(r.Checks))
		if r.Blocked {
			l.print("Nobody can be in a group call from here.")
		}
	case warnings == 1:
		l.print("\nCalls work, but not for everybody: there is a warning.")
	case warnings > 0:
		l.print("\nCalls work, but not for everybody: there are %d warnings.", warnings)
	case skipped > 0:
		l.print("\nNothing is wrong with what was tested.")
	default:
		l.print("\nCalls work.")
	}
}

// trusted are the certificates of the system and those of a file, nil for the former alone.
func trusted(file string) (*x509.CertPool, error) {
	if file == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read the certificates to trust: %w", err)
	}
	roots, err := x509.SystemCertPool()
	if err != nil {
		roots = x509.NewCertPool()
	}
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s has no certificates", file)
	}
	return roots, nil
}
