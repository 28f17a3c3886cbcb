package httpapi

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"maunium.net/go/mautrix/id"
)

// Requester is whom a request was found to come from. It is not changed once
// it is handed out, so that an [Identifier] may keep and share it.
type Requester struct {
	UserID   id.UserID
	DeviceID id.DeviceID
	// AppService is the id of the application service whose token was used,
	// and "" for people.
	AppService string
	// RateLimited is false for those whom no rate limit holds back.
	RateLimited bool
	IsAdmin     bool
	IsGuest     bool
	// Locked is why the account cannot be used for now, and nil when it can:
	// the error that all endpoints but those that are [Endpoint.EvenLocked]
	// answer with.
	Locked error
	// IsSuspended says that the user may do nothing that others notice
	// (Client-Server API, "Account suspension").
	IsSuspended bool
	// TS is the time, in milliseconds since 1970, that an application service
	// wants its event to carry, and 0 when it asked for none
	// (Application Service API, Timestamp massaging). This package fills it in;
	// an Identifier leaves it 0.
	TS int64
}

// Request is an HTTP request on its way to a handler.
type Request struct {
	*http.Request
	// Requester is nil on Public routes, and on Optional ones without a token.
	Requester *Requester

	mux      *Mux
	endpoint *Endpoint
	access   Access
	w        http.ResponseWriter
	number   uint64
	started  time.Time
	query    url.Values // nil until asked for
	body     []byte     // set once bodyRead
	bodyRead bool

	noDeadlines bool // found out that the transport has none
}

// Path returns the percent-decoded value of a wildcard of the route's path, and
// "" when the row has none of this name.
func (r *Request) Path(name string) string { return r.PathValue(name) }

// Query returns the first value of a query parameter, and "" when it is absent.
func (r *Request) Query(name string) string {
	if r.URL.RawQuery == "" {
		return ""
	}
	return r.queryValues().Get(name)
}

// QueryAll returns all values of a query parameter that may be repeated.
func (r *Request) QueryAll(name string) []string {
	if r.URL.RawQuery == "" {
		return nil
	}
	return r.queryValues()[name]
}

// HasQuery tells whether a query parameter is there, be it empty.
func (r *Request) HasQuery(name string) bool {
	return r.URL.RawQuery != "" && r.queryValues().Has(name)
}

// QueryInt returns an integer query parameter, or absent when there is none.
// The error is 400 M_INVALID_PARAM when the value is not an integer or is
// negative; no parameter of the specification is.
func (r *Request) QueryInt(name string, absent int64) (int64, error) {
	value := r.Query(name)
	if value == "" {
		return absent, nil
	}
	n, err := strconv.ParseInt(value, 10, 64)
	if err != nil || n < 0 {
		return 0, InvalidParam("Query parameter %s must be a whole number, not below zero", name)
	}
	return n, nil
}

// QueryBool returns a boolean query parameter, or absent when there is none. The
// error is 400 M_INVALID_PARAM for anything but "true" and "false".
func (r *Request) QueryBool(name string, absent bool) (bool, error) {
	switch r.Query(name) {
	case "":
		return absent, nil
	case "true":
		return true, nil
	case "false":
		return false, nil
	}
	return false, InvalidParam("Query parameter %s must be true or false", name)
}

// queryValues parses the query once. Parameters that cannot be decoded are left
// out, as are those that are not UTF-8 or hold a NUL, which no database takes.
func (r *Request) queryValues() url.Values {
	if r.query != nil {
		return r.query
	}
	r.query = r.URL.Query()
	for name, values := range r.query {
		for _, value := range values {
			if !storable(value) {
				delete(r.query, name)
				break
			}
		}
	}
	return r.query
}

// Closing is closed when the server begins to shut down: whoever waits for
// something on behalf of a client answers at once with what there is. It is nil,
// and so never ready, when [Options.Closing] is.
func (r *Request) Closing() <-chan struct{} { return r.mux.options.Closing }

// ID names the request in logs and in errors shown to the client.
func (r *Request) ID() string {
	return r.mux.processID + "-" + strconv.FormatUint(r.number, 36)
}

// ClientIP is the address that the client came from, as text, without port.
// Behind a reverse proxy it is right only with [Options.ForwardedFor].
func (r *Request) ClientIP() string {
	if r.mux.options.ForwardedFor {
		// Only the last entry was written by our own proxy; those before it are
		// the client's to forge.
		if values := r.Header["X-Forwarded-For"]; len(values) > 0 {
			last := values[len(values)-1]
			return strings.TrimSpace(last[strings.LastIndexByte(last, ',')+1:])
		}
	}
	return hostOf(r.RemoteAddr)
}

// hostOf cuts the port from an address, and the brackets of an IPv6 one. What
// has no port, as the address of a Unix socket, stays whole.
func hostOf(address string) string {
	colon := strings.LastIndexByte(address, ':')
	if colon < 0 {
		return address
	}
	return strings.Trim(address[:colon], "[]")
}

// storable tells whether every database takes s for text.
func storable(s string) bool {
	return utf8.ValidString(s) && strings.IndexByte(s, 0) < 0
}
