package probe

import (
	"context"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"
)

const (
	// renewBefore is how long before its end a certificate should have been renewed.
	renewBefore = 14 * 24 * time.Hour
	// maxApart is how far clocks may be apart. SFUs take tokens whose time has come or gone by ten seconds; what comes on top is that a Date
	// has seconds only, and the way of the answer.
	maxApart = 15 * time.Second
)

// adviseURL is what to do when the server tells clients another address than that by which they reach it.
const adviseURL = "Set public_url to the address by which clients reach the server; start the server again."

func (r *run) at(path string) string { return r.base.String() + path }

// server looks whether the server is there, at its certificate, and at its clock.
func (r *run) server(ctx context.Context) bool {
	asked := time.Now()
	a, err := r.ask(ctx, http.MethodGet, r.at("/_matrix/client/versions"), "", nil)
	if err != nil {
		if text := certificateWords(err); text != "" {
			r.fail("certificate", "Have the reverse proxy serve a certificate of a public authority, with its whole chain, and have it renewed by itself.",
				"Clients do not trust %s: %s.", r.base.Host, text)
			return false
		}
		r.fail("server", "Look whether the server and its reverse proxy run, and whether a firewall lets this port through.",
			"%s cannot be reached: %s.", r.base, words(err))
		return false
	}
	middle := asked.Add(time.Since(asked) / 2)
	var versions struct {
		Versions []string `json:"versions"`
	}
	if err := a.decode(&versions); err != nil || len(versions.Versions) == 0 {
		r.fail("server", "Look whether the reverse proxy hands on /_matrix/ to the server.", "There is no Matrix server at %s: %v.", r.base, orNothing(err))
		return false
	}
	r.ok("server", "%s is a Matrix server.", r.base)
	r.certificate(a)
	r.clock(a, middle)
	return true
}

func orNothing(err error) string {
	if err == nil {
		return "it names no versions"
	}
	return err.Error()
}

func (r *run) certificate(a *answer) {
	switch {
	case a.tls != nil && len(a.tls.PeerCertificates) > 0:
		until := a.tls.PeerCertificates[0].NotAfter
		if left := time.Until(until); left < renewBefore {
			r.warn("certificate", "Look why it is not renewed by itself.", "The certificate ends soon, at %s.", until.UTC().Format(time.RFC1123))
			return
		}
		r.ok("certificate", "The certificate is trusted, and valid until %s.", until.UTC().Format("2 January 2006"))
	case isHere(r.base.Hostname()):
		r.skip("certificate", "The server is asked on this machine, without encryption.")
	default:
		r.warn("certificate", "Put a reverse proxy with a certificate before the server, and set public_url to its https:// address.",
			"%s is not encrypted: browsers give no microphone and no camera to pages that come this way, and the access tokens of calls can be read.", r.base)
	}
}

// isHere tells whether a host is this machine.
func isHere(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.Unmap().IsLoopback()
}

func (r *run) clock(a *answer, at time.Time) {
	date, err := http.ParseTime(a.header.Get("Date"))
	if err != nil {
		r.skip("clock", "The server does not tell its time.")
		return
	}
	apart := date.Add(500 * time.Millisecond).Sub(at).Round(time.Second)
	if apart.Abs() > maxApart {
		how := "ahead of"
		if apart < 0 {
			how = "behind"
		}
		r.fail("clock", "Have both set their clocks by NTP (timedatectl set-ntp true): access tokens and memberships of calls begin and end by them.",
			"The clock of the server is %s %s that of this computer.", apart.Abs(), how)
		return
	}
	r.ok("clock", "The clocks of the server and of this computer agree.")
}

// focus is a transport of calls as a server tells of it.
type focus struct {
	Type       string `json:"type"`
	ServiceURL string `json:"livekit_service_url"`
}

// serviceOf is the first address of a service among transports.
func serviceOf(all []focus) string {
	for _, f := range all {
		if f.Type == "livekit" && f.ServiceURL != "" {
			return strings.TrimRight(f.ServiceURL, "/")
		}
	}
	return ""
}

// wellKnown looks at what clients find that know no address but the name of the server.
func (r *run) wellKnown(ctx context.Context) {
	a, err := r.ask(ctx, http.MethodGet, r.at("/.well-known/matrix/client"), "", nil)
	if err != nil {
		r.fail("well_known", "Have the reverse proxy hand on /.well-known/matrix/ to the server.", "/.well-known/matrix/client cannot be reached: %s.", words(err))
		return
	}
	var said struct {
		Homeserver struct {
			BaseURL string `json:"base_url"`
		} `json:"m.homeserver"`
		Foci []focus `json:"org.matrix.msc4143.rtc_foci"`
	}
	if err := a.decode(&said); err != nil {
		r.fail("well_known", "Have the reverse proxy hand on /.well-known/matrix/ to the server.", "/.well-known/matrix/client does not tell where the server is: %v.", err)
		return
	}
	r.service = serviceOf(said.Foci)
	told := strings.TrimRight(said.Homeserver.BaseURL, "/")
	switch {
	case told != "" && !sameAddress(told, r.base.String()):
		r.fail("well_known", adviseURL, "Clients are told that the server is at %s, but it is asked at %s.", told, r.base)
	case a.foreign():
		r.fail("well_known", "Have the proxy answer /.well-known/matrix/client with Access-Control-Allow-Origin: *.",
			"Clients in browsers cannot read /.well-known/matrix/client: it lacks Access-Control-Allow-Origin.")
	case r.service == "":
		r.fail("well_known", adviseCalls, "/.well-known/matrix/client names no transport for group calls (org.matrix.msc4143.rtc_foci): clients that look there alone can make none.")
	default:
		r.ok("well_known", "/.well-known/matrix/client names the transport for group calls, %s.", r.service)
	}
}

// sameAddress compares two addresses, but for ports that need not be named.
func sameAddress(a, b string) bool {
	x, err1 := url.Parse(a)
	y, err2 := url.Parse(b)
	return err1 == nil && err2 == nil && x.Scheme == y.Scheme && strings.EqualFold(x.Hostname(), y.Hostname()) && portOf(x) == portOf(y) &&
		strings.TrimRight(x.Path, "/") == strings.TrimRight(y.Path, "/")
}

func portOf(u *url.URL) string {
	switch port := u.Port(); {
	case port != "":
		return port
	case u.Scheme == "https" || u.Scheme == "wss":
		return "443"
	}
	return "80"
}
