// Package inproc is an HTTP transport between two parts of one process: an
// http.RoundTripper that calls an http.Handler, without a socket.
//
// A bridge in the homeserver's process talks to the homeserver through it, and
// the homeserver hands application service transactions to such a bridge. Both
// see ordinary requests and responses, so that the same bridge runs apart by
// changing a URL.
//
// The package never looks into what it carries, and passes no context values
// across: a bridge's logger or database transaction is not the homeserver's.
package inproc

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"sync/atomic"
)

// RemoteAddr is the address that handlers see requests come from.
const RemoteAddr = "inproc"

var (
	// ErrNoHandler is returned while no handler is set, as connection refused is
	// on a network.
	ErrNoHandler = errors.New("inproc: no handler is set")
	// ErrClosed is returned after [Transport.Close].
	ErrClosed = errors.New("inproc: transport is closed")
	// ErrAborted is returned when the handler panicked or ended without an
	// answer, as it is when a server cuts the connection.
	ErrAborted = errors.New("inproc: handler ended without an answer")
)

// Transport calls a handler for each request. [New] makes one; the zero value
// is one without a handler. It is safe for concurrent use.
type Transport struct {
	handler atomic.Pointer[http.Handler]

	mu      sync.Mutex // guards closed, and that no request is added behind it
	closed  bool
	running sync.WaitGroup
}

// New returns a transport to h. A nil h is set later with
// [Transport.SetHandler], for wiring that goes round in a circle.
func New(h http.Handler) *Transport {
	t := &Transport{}
	t.SetHandler(h)
	return t
}

// SetHandler makes h the handler of the requests that begin from now on; nil
// takes the handler away.
func (t *Transport) SetHandler(h http.Handler) {
	if h == nil {
		t.handler.Store(nil)
		return
	}
	t.handler.Store(&h)
}

// Close refuses further requests and waits for the running handlers, those
// included whose callers have given up, to return.
func (t *Transport) Close() {
	t.mu.Lock()
	t.closed = true
	t.mu.Unlock()
	t.running.Wait()
}

// begin counts a request in.
func (t *Transport) begin() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.closed {
		t.running.Add(1)
	}
	return !t.closed
}

// RoundTrip implements http.RoundTripper. The handler runs in a goroutine of
// its own, under a context that ends with that of the request; its whole
// response is held in memory. When the context ends first, RoundTrip returns the
// context's error at once and the response is dropped.
func (t *Transport) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL == nil {
		closeBody(r)
		return nil, errors.New("inproc: request has no URL")
	}
	if err := r.Context().Err(); err != nil {
		closeBody(r)
		return nil, err
	}
	handler := t.handler.Load()
	if handler == nil {
		closeBody(r)
		return nil, fmt.Errorf("%s %s: %w", r.Method, r.URL.Path, ErrNoHandler)
	}
	if !t.begin() {
		closeBody(r)
		return nil, fmt.Errorf("%s %s: %w", r.Method, r.URL.Path, ErrClosed)
	}
	ctx, cancel := context.WithCancel(context.Background())
	stop := context.AfterFunc(r.Context(), cancel)
	body := newBody(r)
	w := &response{header: make(http.Header), head: r.Method == http.MethodHead}
	done := make(chan error, 1)
	go func() {
		defer t.running.Done()
		err := ErrAborted // what remains after runtime.Goexit
		defer func() {
			stop()
			cancel()
			_ = body.Close()
			done <- err
		}()
		err = call(*handler, w, arrived(ctx, r, body))
	}()
	select {
	case err := <-done:
		if err != nil {
			return nil, fmt.Errorf("%s %s: %w", r.Method, r.URL.Path, err)
		}
		return w.result(r), nil
	case <-r.Context().Done():
		// The handler may be reading the body, and must not wait for more of it.
		_ = body.Close()
		return nil, r.Context().Err()
	}
}

func closeBody(r *http.Request) {
	if r.Body != nil {
		_ = r.Body.Close()
	}
}

// call runs the handler and turns its panic into an error.
func call(h http.Handler, w http.ResponseWriter, r *http.Request) (err error) {
	defer func() {
		switch p := recover(); p {
		case nil:
		case http.ErrAbortHandler:
			err = ErrAborted
		default:
			err = fmt.Errorf("%w: panic: %v", ErrAborted, p)
		}
	}()
	h.ServeHTTP(w, r)
	return nil
}

// arrived returns the request as a server would have read it from the wire.
func arrived(ctx context.Context, sent *http.Request, body *body) *http.Request {
	header := make(http.Header, len(sent.Header)+1)
	for key, values := range sent.Header {
		key = http.CanonicalHeaderKey(key)
		header[key] = append(header[key], values...)
	}
	header.Del("Host")
	r := &http.Request{
		Method: sent.Method, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		URL: &url.URL{
			Path: sent.URL.Path, RawPath: sent.URL.RawPath,
			RawQuery: sent.URL.RawQuery, ForceQuery: sent.URL.ForceQuery,
		},
		RequestURI: sent.URL.RequestURI(),
		Header:     header, Host: sent.Host, RemoteAddr: RemoteAddr,
		Body: body, ContentLength: body.length,
	}
	if r.Method == "" {
		r.Method = http.MethodGet
	}
	if r.URL.Path == "" {
		r.URL.Path = "/"
	}
	if r.Host == "" {
		r.Host = sent.URL.Host
	}
	header.Del("Content-Length")
	switch {
	case body.length > 0, body.length == 0 && announcesNoBody(r.Method):
		header["Content-Length"] = []string{strconv.FormatInt(body.length, 10)}
	case body.length < 0:
		r.TransferEncoding = []string{"chunked"}
	}
	if body.length == 0 {
		r.Body = http.NoBody
	}
	return r.WithContext(ctx)
}

// announcesNoBody tells whether clients send Content-Length: 0 with a method, as
// a body was to be expected (RFC 9110, section 8.6).
func announcesNoBody(method string) bool {
	return method == http.MethodPost || method == http.MethodPut || method == http.MethodPatch
}
