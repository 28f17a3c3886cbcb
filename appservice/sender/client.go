package sender

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

const (
	// maxAnswerBytes bounds what is read of an answer.
	maxAnswerBytes = 64 << 10
	// maxErrorText bounds the bytes of an application service's error message that are shown to clients.
	maxErrorText = 500

	dialTimeout  = 10 * time.Second
	idleTimeout  = 90 * time.Second
	maxIdleConns = 4 // per service
)

// newTransport returns the transport to the services that run elsewhere.
func newTransport() *http.Transport {
	return &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           (&net.Dialer{Timeout: dialTimeout, KeepAlive: 30 * time.Second}).DialContext,
		TLSHandshakeTimeout:   dialTimeout,
		ForceAttemptHTTP2:     true,
		MaxIdleConnsPerHost:   maxIdleConns,
		IdleConnTimeout:       idleTimeout,
		ExpectContinueTimeout: time.Second,
	}
}

// networkTo returns the transport to the address of a service. Those behind a Unix socket have one each.
func (s *Sender) networkTo(address string) http.RoundTripper {
	socket, ok := socketPath(address)
	if !ok {
		return s.network
	}
	transport := newTransport()
	transport.Proxy = nil
	transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{Timeout: dialTimeout}).DialContext(ctx, "unix", socket)
	}
	return transport
}

// socketPath returns the path of an address unix:///path, and false for every other address.
func socketPath(address string) (string, bool) {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "unix" {
		return "", false
	}
	return u.Path, true
}

// client talks to one application service.
type client struct {
	*matcher
	base      string // "" when the service has no URL
	http      *http.Client
	inProcess bool
}

func newClient(m *matcher, transport http.RoundTripper, inProcess bool) *client {
	base := strings.TrimRight(m.reg.URL, "/")
	if _, ok := socketPath(m.reg.URL); ok {
		base = "http://localhost" // a name that nobody looks up
	}
	return &client{
		matcher: m,
		base:    base,
		http: &http.Client{
			Transport: transport,
			// A redirection would hand hs_token to a stranger.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		inProcess: inProcess,
	}
}

// answer is what an application service answered.
type answer struct {
	status int
	body   []byte // its first maxAnswerBytes
}

// call makes a request of the Application Service API. path is escaped already. An error means that no answer came.
func (c *client) call(ctx context.Context, method, path string, body []byte) (answer, error) {
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, bytes.NewReader(body))
	if err != nil {
		return answer{}, fmt.Errorf("application service %s: %w", c.reg.ID, err)
	}
	req.Header.Set("Authorization", "Bearer "+c.reg.HSToken)
	req.Header.Set("User-Agent", "Causeway")
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	res, err := c.http.Do(req)
	if err != nil {
		return answer{}, fmt.Errorf("application service %s: %w", c.reg.ID, err)
	}
	defer res.Body.Close()
	a := answer{status: res.StatusCode}
	if a.body, err = io.ReadAll(io.LimitReader(res.Body, maxAnswerBytes)); err != nil {
		return answer{}, fmt.Errorf("application service %s: read its answer: %w", c.reg.ID, err)
	}
	return a, nil
}

// matrixError returns code and message of an answer that is a Matrix error, and "" for any other. The message is a stranger's
// text: it comes back in one line of bounded length.
func (a answer) matrixError() (code, message string) {
	var e struct {
		ErrCode string `json:"errcode"`
		Error   string `json:"error"`
	}
	if json.Unmarshal(a.body, &e) != nil || e.ErrCode == "" {
		return "", ""
	}
	return clean(e.ErrCode), clean(e.Error)
}

// clean makes a stranger's text fit to be shown and logged.
func clean(s string) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return ' '
		case r == utf8.RuneError || !unicode.IsPrint(r):
			return -1
		}
		return r
	}, s)
	s = strings.TrimSpace(s)
	if len(s) <= maxErrorText {
		return s
	}
	cut := maxErrorText
	for !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut] + "…"
}
