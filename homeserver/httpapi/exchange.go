package httpapi

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"runtime/debug"
	"time"

	"github.com/rs/zerolog"
)

// exchange is a request with its answer, from the first step to the log line.
type exchange struct {
	request Request
	w       responseWriter
	ctx     context.Context // the request's, with the logger in it
}

// noEndpoint stands in until a route has taken the request over.
var noEndpoint Endpoint

// statusClientGone stands in the log for requests whose client hung up.
const statusClientGone = 499

// ServeHTTP takes a request over from ServeMux.
func (route *row) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	x := w.(*responseWriter).exchange
	x.w.routed = true
	x.request.endpoint, x.request.access = &route.Endpoint, route.Access
	if err := x.serve(route); err != nil {
		x.fail(err)
	}
}

// serve takes the steps of a request in order.
func (x *exchange) serve(route *row) error {
	r := &x.request
	if !storable(r.URL.Path) {
		return InvalidParam("The path is not UTF-8, or holds a NUL")
	}
	if err := r.authenticate(x.ctx, route.Access); err != nil {
		return err
	}
	if err := r.limit(route.Endpoint.class); err != nil {
		return err
	}
	return route.Endpoint.serve(x.ctx, &x.w, r)
}

// unrouted answers when ServeMux knew no row for the request: 404 for an
// unknown path, 405 for an unknown method of a known one (Client-Server API,
// Common error codes, M_UNRECOGNIZED). Redirects of ServeMux, to a path without
// double slashes, are unknown paths to us.
func (x *exchange) unrouted() {
	status := x.w.status
	x.w.routed, x.w.status = true, 0
	header := x.w.Header()
	header.Del("Location")
	header.Del("X-Content-Type-Options")
	if status != http.StatusMethodNotAllowed {
		x.fail(Unrecognized())
		return
	}
	header.Set("Allow", header.Get("Allow")+", OPTIONS")
	x.fail(Error(http.StatusMethodNotAllowed, "M_UNRECOGNIZED", "The method is not supported here"))
}

// fail answers with an error.
func (x *exchange) fail(err error) {
	if x.w.status != 0 {
		// A part of another answer is out already.
		x.logError(err)
		panic(http.ErrAbortHandler)
	}
	if body, ok := errors.AsType[*bodyError](err); ok {
		if err = write(&x.w, body.status, body.body); err == nil {
			return
		}
	}
	if shown, ok := visible(err); ok {
		status := statusOf(shown)
		if status >= http.StatusInternalServerError {
			x.logError(err)
		}
		for key, value := range shown.ExtraHeader {
			x.w.Header().Set(key, value)
		}
		_ = write(&x.w, status, matrixError{shown})
		return
	}
	if x.ctx.Err() != nil {
		// The client hung up, and nobody is left to answer. Should somebody be,
		// as when the server is made to end, an empty 200 would be a lie.
		x.w.status = statusClientGone
		panic(http.ErrAbortHandler)
	}
	x.logError(err)
	x.internalError()
}

// internalError answers without a word of what happened, but with the id under
// which the log tells it.
func (x *exchange) internalError() {
	_ = write(&x.w, http.StatusInternalServerError, matrixError{
		respError(http.StatusInternalServerError, "M_UNKNOWN", "Internal server error (request %s)", x.request.ID()),
	})
}

// finish sees to a panic of the handler and logs the request. It is deferred.
func (x *exchange) finish() {
	abort := false
	if p := recover(); p != nil {
		abort = x.panicked(p)
	}
	x.log()
	if abort {
		// net/http takes this as the order to cut the connection, so that the
		// client does not take a part for the whole.
		panic(http.ErrAbortHandler)
	}
}

// panicked answers for a handler that panicked with p, and tells whether it is
// too late for that.
func (x *exchange) panicked(p any) (abort bool) {
	if p == http.ErrAbortHandler {
		return true
	}
	zerolog.Ctx(x.ctx).Error().Str("route", x.request.Pattern).
		Interface("panic", p).Str("stack", string(debug.Stack())).Msg("Handler panicked")
	if x.w.status != 0 {
		return true
	}
	x.w.routed = true
	x.internalError()
	return false
}

// logError logs an error that the client sees nothing of, unless its cause is
// that the client hung up.
func (x *exchange) logError(err error) {
	if x.ctx.Err() == nil {
		x.describe(zerolog.Ctx(x.ctx).Err(err)).Msg("Request ended in an error")
	}
}

// log writes the line of a request. The query, the path and the body stay out
// of it, for what people put there.
func (x *exchange) log() {
	line := zerolog.Ctx(x.ctx).Debug()
	if line == nil {
		return
	}
	x.describe(line).Str("method", x.request.Method).Int("status", x.w.status).
		Dur("duration", time.Since(x.request.started)).Msg("Request")
}

func (x *exchange) describe(line *zerolog.Event) *zerolog.Event {
	line.Str("route", cmp.Or(x.request.Pattern, "unknown"))
	if x.request.Requester != nil {
		line.Stringer("user_id", x.request.Requester.UserID)
	}
	return line
}

// logHook adds the request_id to every line that is logged for a request. It
// costs nothing where nothing is logged.
type logHook struct{ r *Request }

// Run implements zerolog.Hook.
func (h logHook) Run(e *zerolog.Event, _ zerolog.Level, _ string) {
	e.Str("request_id", h.r.ID())
}
