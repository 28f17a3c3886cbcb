package httpapi

import (
	"context"
	"net/http"
	"strings"
)

// Access says who may call a route.
type Access int

const (
	// Public routes look at no token at all.
	Public Access = iota
	// Optional routes serve strangers too; a token that is sent must be valid.
	Optional
	// Guest routes need the token of a user, of a guest, or of an application
	// service.
	Guest
	// User routes need the token of a user or of an application service, and
	// refuse guests.
	User
	// AppService routes need the as_token of an application service.
	AppService
	// Admin routes need the token of a user who administers this server.
	Admin
)

// Route is one row of a routing table: {"GET", "/v3/rooms/{roomId}/members",
// User, JSON(a.members)}.
//
// Path follows the patterns of net/http.ServeMux, without method or host, with
// two additions:
//
//   - The first "(a|b)" of a path stands for one row per alternative, so that
//     "/_matrix/client/(v3|r0)/sync" serves both paths.
//   - A path that ends in "/{$}" is served with and without the trailing slash.
//     With a second row that ends in "/{stateKey}", this is how the empty state
//     key is reached; [Request.Path] of a name absent from the row is "".
type Route struct {
	Method   string
	Path     string
	Access   Access
	Endpoint Endpoint
}

// Under returns the routes with prefix put before each path. The prefix may
// hold the alternatives "(a|b)" that the rows then need not.
func Under(prefix string, routes []Route) []Route {
	under := make([]Route, len(routes))
	for i, route := range routes {
		route.Path = prefix + route.Path
		under[i] = route
	}
	return under
}

// expand returns the ServeMux paths that one row's path stands for.
func expand(path string) []string {
	paths := []string{path}
	if before, rest, ok := strings.Cut(path, "("); ok {
		alternatives, after, closed := strings.Cut(rest, ")")
		if !closed {
			panic("httpapi: unclosed ( in path " + path)
		}
		paths = paths[:0]
		for alternative := range strings.SplitSeq(alternatives, "|") {
			paths = append(paths, before+alternative+after)
		}
	}
	for _, p := range paths {
		if bare, ok := strings.CutSuffix(p, "/{$}"); ok && bare != "" {
			paths = append(paths, bare)
		}
	}
	return paths
}

// Endpoint is what a route calls: a handler with the limits that hold for it.
// [JSON], [Dynamic] and [Raw] make one.
type Endpoint struct {
	serve        func(ctx context.Context, w http.ResponseWriter, r *Request) error
	class        Class
	maxBody      int64
	bodyOptional bool
	evenLocked   bool
	noSuspended  bool
}

// Limited returns the endpoint with its requests counted in a class of the
// rate limiter. An endpoint without a class is not limited.
func (e Endpoint) Limited(class Class) Endpoint {
	e.class = class
	return e
}

// Class returns the class that [Endpoint.Limited] set, "" for none.
func (e Endpoint) Class() Class { return e.class }

// MaxBody returns the endpoint with a limit of its own on the body, in bytes,
// in place of [Options.MaxBody].
func (e Endpoint) MaxBody(n int64) Endpoint {
	e.maxBody = n
	return e
}

// BodyOptional returns the endpoint with an absent body taken for "{}".
// Otherwise it is M_NOT_JSON.
func (e Endpoint) BodyOptional() Endpoint {
	e.bodyOptional = true
	return e
}

// EvenLocked returns the endpoint open to users whose account is locked
// (Client-Server API, "Account locking").
func (e Endpoint) EvenLocked() Endpoint {
	e.evenLocked = true
	return e
}

// NotSuspended returns the endpoint closed to users who are suspended
// (Client-Server API, "Account suspension").
func (e Endpoint) NotSuspended() Endpoint {
	e.noSuspended = true
	return e
}

// Handler is a handler that decodes for itself, with [Request.Decode], and
// returns a value to be marshalled as [JSON] does it.
type Handler func(ctx context.Context, r *Request) (any, error)

// JSON makes an endpoint of a function from a decoded body to an answer.
//
// The body must be a JSON object and is decoded into In. In may be [Empty], and
// the body is then discarded unread, or json.RawMessage, and the bytes are
// handed over as they came once they are known to be valid JSON.
//
// Out is marshalled without HTML escaping and sent with status 200. Out may be
// json.RawMessage or an [Appender], both of which must hold valid JSON and are
// sent without another look, or a [Response], which brings its own status.
//
// An error is shown to the client when it is or wraps a mautrix.RespError
// ([Error] and its relatives make them) or comes from [ErrorBody]. Every other
// one is logged and shown as M_UNKNOWN.
func JSON[In, Out any](f func(ctx context.Context, r *Request, in In) (Out, error)) Endpoint {
	return Endpoint{serve: func(ctx context.Context, w http.ResponseWriter, r *Request) error {
		var in In
		if err := r.Decode(&in); err != nil {
			return err
		}
		out, err := f(ctx, r, in)
		if err != nil {
			return err
		}
		return write(w, http.StatusOK, out)
	}}
}

// Dynamic makes an endpoint of a [Handler].
func Dynamic(h Handler) Endpoint {
	return Endpoint{serve: func(ctx context.Context, w http.ResponseWriter, r *Request) error {
		out, err := h(ctx, r)
		if err != nil {
			return err
		}
		return write(w, http.StatusOK, out)
	}}
}

// Raw makes an endpoint of a function that reads the body and writes the answer
// for itself: uploads, downloads, redirects, web pages. r.Body yields M_TOO_LARGE
// as its error past the endpoint's limit. An error returned before anything was
// written is answered as [JSON] does it; later, the connection is cut, so that
// the client does not take a part for the whole.
func Raw(f func(ctx context.Context, w http.ResponseWriter, r *Request) error) Endpoint {
	return Endpoint{serve: func(ctx context.Context, w http.ResponseWriter, r *Request) error {
		r.streamBody()
		return f(ctx, w, r)
	}}
}
