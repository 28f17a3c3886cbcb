package httpapi

import (
	"cmp"
	"crypto/rand"
	"encoding/hex"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"
)

// Options are the settings of a [Mux]. The zero value works, without anyone
// who could log in.
type Options struct {
	// Logger is put into the context of every request, with a request_id.
	Logger zerolog.Logger
	// Identifier knows the access tokens. When it is nil every token is unknown.
	Identifier Identifier
	// Seen is told of each request whose token is good, before the request is
	// served. It must not block.
	Seen func(*Request)
	// QueryTokens allows the token in the access_token parameter, which the
	// specification deprecates, as it ends in other people's logs.
	QueryTokens bool
	// Closing is closed when the server begins to shut down.
	Closing <-chan struct{}
	// MaxBody is the limit on bodies for endpoints that set none of their own,
	// in bytes; 0 is DefaultMaxBody.
	MaxBody int64
	// BodyTimeout is the time for a body that is read whole, and for each part of
	// one that a Raw endpoint streams; 0 is 30 seconds. A Server.ReadTimeout
	// beside it would end long polls.
	BodyTimeout time.Duration
	// AnswerTimeout is how long a client may take nothing of an answer that is
	// being written; 0 is 30 seconds.
	AnswerTimeout time.Duration
	// Limits are the rate limits by class. A class that is not there is free.
	Limits map[Class]Limit
	// Unlimited tells whether an access token is that of an application service
	// that no rate limit holds back, when it acts as a user ("" for its own); it
	// is asked on routes that look at no token. It reads memory alone, as anybody
	// may send anything. It may be nil.
	Unlimited func(token, asUser string) bool
	// ForwardedFor takes the client's address from the X-Forwarded-For header,
	// which only a reverse proxy in front makes trustworthy.
	ForwardedFor bool
}

// Mux serves tables of routes. [NewMux] makes one.
type Mux struct {
	options   Options
	routes    http.ServeMux
	methods   []string // value of Access-Control-Allow-Methods
	limiter   *limiter
	processID string
	requests  atomic.Uint64
}

// NewMux returns the handler of a table. It panics when two rows serve the same
// requests or when a path is no pattern, as those are faults of the program.
func NewMux(routes []Route, options Options) *Mux {
	options.MaxBody = cmp.Or(options.MaxBody, DefaultMaxBody)
	options.BodyTimeout = cmp.Or(options.BodyTimeout, defaultBodyTimeout)
	options.AnswerTimeout = cmp.Or(options.AnswerTimeout, defaultAnswerTimeout)
	random := make([]byte, 4)
	_, _ = rand.Read(random) // never returns an error
	m := &Mux{options: options, limiter: newLimiter(options.Limits), processID: hex.EncodeToString(random)}
	// Client-Server API, Web Browser Clients.
	methods := []string{"GET", "POST", "PUT", "DELETE", "OPTIONS"}
	for i := range routes {
		route := &row{mux: m, Route: routes[i]}
		if route.Endpoint.serve == nil {
			panic("httpapi: route without an endpoint: " + route.Method + " " + route.Route.Path)
		}
		for _, path := range expand(route.Route.Path) {
			m.routes.Handle(route.Method+" "+path, route)
		}
		if !slices.Contains(methods, route.Method) {
			methods = append(methods, route.Method)
		}
	}
	m.methods = []string{strings.Join(methods, ", ")}
	return m
}

// row is a route as ServeMux calls it.
type row struct {
	mux *Mux
	Route
}

// ServeHTTP implements http.Handler.
func (m *Mux) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	header := w.Header()
	header["Access-Control-Allow-Origin"] = corsOrigin
	header["Access-Control-Allow-Methods"] = m.methods
	header["Access-Control-Allow-Headers"] = corsAllowHeaders
	if r.Method == http.MethodOptions {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	x := &exchange{}
	x.w = responseWriter{ResponseWriter: w, exchange: x}
	x.request = Request{
		Request: r, mux: m, endpoint: &noEndpoint, w: w,
		number: m.requests.Add(1), started: time.Now(),
	}
	defer x.finish()
	x.ctx = m.options.Logger.Hook(logHook{&x.request}).WithContext(r.Context())
	x.request.Request = r.WithContext(x.ctx)
	if r.ContentLength != 0 {
		x.request.awaitBody()
	}
	m.routes.ServeHTTP(&x.w, x.request.Request)
	if !x.w.routed {
		x.unrouted()
	}
}
