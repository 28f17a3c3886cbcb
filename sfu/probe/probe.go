// Package probe tests the calls of a Matrix server as a client would use them, from where it runs: what the server tells of calls, the access
// tokens, the signalling, and media by each way that there is. Of what does not work it says in words what is blocked, and what to do about it.
// `causeway doctor calls` prints that.
//
// It knows nothing of the server but what a client knows, so that it works with any.
package probe

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Status is what came of a check.
type Status string

// What can come of one. Of a warning, calls go on to work for most.
const (
	OK      Status = "ok"
	Failed  Status = "failed"
	Warning Status = "warning"
	Skipped Status = "skipped"
)

// Check is one thing that was tested.
type Check struct {
	Name   string `json:"name"`
	Status Status `json:"status"`
	Text   string `json:"text"`
	Advice string `json:"advice,omitempty"` // what to do
}

// Report is what was found.
type Report struct {
	URL    string  `json:"url"`
	Checks []Check `json:"checks"`
	// Blocked is whether a client came into a call, and media got through by no way at all: nobody can be in a group call from here.
	Blocked bool `json:"blocked"`
}

// Count is of how many checks that came.
func (r *Report) Count(s Status) (n int) {
	for _, c := range r.Checks {
		if c.Status == s {
			n++
		}
	}
	return n
}

// Options say what is to be tested, and who tests it.
type Options struct {
	// URL is the address of the server for clients.
	URL string
	// User and Password are of an account of it, or Token is an access token of one. Without either, some things cannot be tested.
	User, Password, Token string
	// Roots are whose certificates are good; nil for those of the system.
	Roots *x509.CertPool
	// Wait is how long each connection may take; 8 seconds by default.
	Wait time.Duration
	// Done is called after each check, if it is not nil.
	Done func(Check)
}

const (
	// defaultWait is longer than clients need for a connection where nothing is in the way.
	defaultWait = 8 * time.Second
	// askWithin bounds a request with its answer, and tidyWithin what is done at the end.
	askWithin  = 15 * time.Second
	tidyWithin = 15 * time.Second
)

// run is a test under way.
type run struct {
	Options
	base   *url.URL
	client *http.Client
	report *Report

	token, user, device string // of the account
	own                 bool   // the session was made for the test
	room                string
	service             string        // where access tokens come from, livekit_service_url
	media               string        // the WebSocket address of the SFU
	jwt                 string        // an access token of the SFU
	legacy              bool          // it is of the older service
	reached             bool          // signalling works
	through             bool          // media has got through to the SFU, by whatever way
	servers             []credentials // of TURN, as the SFU tells of them
}

// Run tests the calls of a server. A test that cannot be made at all is an error.
func Run(ctx context.Context, o Options) (*Report, error) {
	base, err := url.Parse(strings.TrimRight(o.URL, "/"))
	if err != nil || base.Host == "" || base.Scheme != "https" && base.Scheme != "http" {
		return nil, fmt.Errorf("%q is no https:// address", o.URL)
	}
	if o.Wait == 0 {
		o.Wait = defaultWait
	}
	transport := &http.Transport{Proxy: http.ProxyFromEnvironment, TLSClientConfig: &tls.Config{RootCAs: o.Roots}}
	defer transport.CloseIdleConnections()
	r := &run{
		Options: o, base: base, report: &Report{URL: base.String()},
		client: &http.Client{Transport: transport, Timeout: askWithin},
	}
	if !r.server(ctx) {
		return r.report, nil
	}
	r.wellKnown(ctx)
	if !r.login(ctx) {
		r.withoutLogin(ctx)
		return r.report, nil
	}
	defer r.tidy(ctx)
	if r.transports(ctx) && r.makeRoom(ctx) {
		r.tokens(ctx)
		if r.jwt != "" && r.validate(ctx) {
			r.direct(ctx)
		}
	}
	r.turn(ctx)
	r.report.Blocked = r.reached && !r.through
	return r.report, nil
}

// add tells of a check.
func (r *run) add(c Check) {
	r.report.Checks = append(r.report.Checks, c)
	if r.Done != nil {
		r.Done(c)
	}
}

func (r *run) ok(name, format string, args ...any) {
	r.add(Check{Name: name, Status: OK, Text: fmt.Sprintf(format, args...)})
}

func (r *run) fail(name, advice, format string, args ...any) {
	r.add(Check{Name: name, Status: Failed, Text: fmt.Sprintf(format, args...), Advice: advice})
}

func (r *run) warn(name, advice, format string, args ...any) {
	r.add(Check{Name: name, Status: Warning, Text: fmt.Sprintf(format, args...), Advice: advice})
}

func (r *run) skip(name, format string, args ...any) {
	r.add(Check{Name: name, Status: Skipped, Text: fmt.Sprintf(format, args...)})
}
