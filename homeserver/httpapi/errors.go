package httpapi

import (
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"time"

	"maunium.net/go/mautrix"
)

// Error returns a mautrix.RespError: an error that the client is to see, with
// an HTTP status, a code such as "M_FORBIDDEN", and a sentence for people.
func Error(status int, code string, format string, args ...any) error {
	return respError(status, code, format, args...)
}

func respError(status int, code, format string, args ...any) mautrix.RespError {
	message := format
	if len(args) > 0 {
		message = fmt.Sprintf(format, args...)
	}
	return mautrix.RespError{StatusCode: status, ErrCode: code, Err: message}
}

// NotJSON returns 400 M_NOT_JSON: the body is not JSON at all.
func NotJSON(format string, args ...any) error {
	return respError(http.StatusBadRequest, "M_NOT_JSON", format, args...)
}

// BadJSON returns 400 M_BAD_JSON: the body is JSON of the wrong shape. The
// message should name the field.
func BadJSON(format string, args ...any) error {
	return respError(http.StatusBadRequest, "M_BAD_JSON", format, args...)
}

// MissingParam returns 400 M_MISSING_PARAM for a parameter, or a field of the
// body, that has to be there.
func MissingParam(name string) error {
	return respError(http.StatusBadRequest, "M_MISSING_PARAM", "Missing %s", name)
}

// InvalidParam returns 400 M_INVALID_PARAM: a parameter has a value that it
// cannot have.
func InvalidParam(format string, args ...any) error {
	return respError(http.StatusBadRequest, "M_INVALID_PARAM", format, args...)
}

// TooLarge returns 413 M_TOO_LARGE.
func TooLarge(format string, args ...any) error {
	return respError(http.StatusRequestEntityTooLarge, "M_TOO_LARGE", format, args...)
}

// UserSuspended returns 403 M_USER_SUSPENDED.
func UserSuspended() error {
	return respError(http.StatusForbidden, "M_USER_SUSPENDED", "You cannot do this while your account is suspended")
}

// Forbidden returns 403 M_FORBIDDEN.
func Forbidden(format string, args ...any) error {
	return respError(http.StatusForbidden, "M_FORBIDDEN", format, args...)
}

// NotFound returns 404 M_NOT_FOUND: the endpoint is there, what it was asked for
// is not.
func NotFound(format string, args ...any) error {
	return respError(http.StatusNotFound, "M_NOT_FOUND", format, args...)
}

// Unrecognized returns 404 M_UNRECOGNIZED: there is no such endpoint.
func Unrecognized() error {
	return respError(http.StatusNotFound, "M_UNRECOGNIZED", "Unrecognized request")
}

// MissingToken returns 401 M_MISSING_TOKEN.
func MissingToken() error {
	return respError(http.StatusUnauthorized, "M_MISSING_TOKEN", "Missing access token")
}

// UnknownToken returns 401 M_UNKNOWN_TOKEN. With softLogout the client keeps
// its keys and only logs in again (Client-Server API, Soft logout).
func UnknownToken(softLogout bool) error {
	e := respError(http.StatusUnauthorized, "M_UNKNOWN_TOKEN", "Unknown access token")
	if softLogout {
		e.ExtraData = map[string]any{"soft_logout": true}
	}
	return e
}

// LimitExceeded returns 429 M_LIMIT_EXCEEDED with the time to wait in both forms
// (Client-Server API, Rate limiting): the Retry-After header, in whole seconds,
// and retry_after_ms.
func LimitExceeded(wait time.Duration) error {
	wait = max(wait, time.Millisecond)
	e := respError(http.StatusTooManyRequests, "M_LIMIT_EXCEEDED", "Too many requests")
	e.ExtraData = map[string]any{"retry_after_ms": wait.Milliseconds()}
	e.ExtraHeader = map[string]string{
		"Retry-After": strconv.FormatInt(int64(math.Ceil(wait.Seconds())), 10),
	}
	return e
}

// ErrorBody returns an error that is answered with this status and with body,
// marshalled as [JSON] does it, in place of errcode and error. User-interactive
// authentication asks for its next stage in this way, with 401.
func ErrorBody(status int, body any) error { return &bodyError{status, body} }

type bodyError struct {
	status int
	body   any
}

func (e *bodyError) Error() string { return "answered with HTTP status " + strconv.Itoa(e.status) }

// visible returns the part of err that the client may see, and false when
// there is none.
func visible(err error) (mautrix.RespError, bool) {
	// The Matrix error of another server that we were the client of is not our
	// answer, unless the handler makes it so.
	var theirs mautrix.HTTPError
	if errors.As(err, &theirs) {
		return mautrix.RespError{}, false
	}
	var value mautrix.RespError
	if errors.As(err, &value) {
		return value, true
	}
	var pointer *mautrix.RespError
	if errors.As(err, &pointer) {
		return *pointer, true
	}
	return mautrix.RespError{}, false
}

// statuses are those of the specification for codes whose errors come without.
var statuses = map[string]int{
	"M_BAD_STATE":               http.StatusForbidden,
	"M_BAD_STATUS":              http.StatusBadGateway,
	"M_CONNECTION_FAILED":       http.StatusBadGateway,
	"M_CONNECTION_TIMEOUT":      http.StatusGatewayTimeout,
	"M_FORBIDDEN":               http.StatusForbidden,
	"M_GUEST_ACCESS_FORBIDDEN":  http.StatusForbidden,
	"M_LIMIT_EXCEEDED":          http.StatusTooManyRequests,
	"M_MISSING_TOKEN":           http.StatusUnauthorized,
	"M_NOT_FOUND":               http.StatusNotFound,
	"M_RESOURCE_LIMIT_EXCEEDED": http.StatusForbidden,
	"M_TOO_LARGE":               http.StatusRequestEntityTooLarge,
	"M_UNKNOWN":                 http.StatusInternalServerError,
	"M_UNKNOWN_TOKEN":           http.StatusUnauthorized,
	"M_UNRECOGNIZED":            http.StatusNotFound,
	"M_USER_DEACTIVATED":        http.StatusForbidden,
	"M_USER_LOCKED":             http.StatusUnauthorized,
	"M_USER_SUSPENDED":          http.StatusForbidden,
	"M_WRONG_ROOM_KEYS_VERSION": http.StatusForbidden,
}

func statusOf(e mautrix.RespError) int {
	if e.StatusCode != 0 {
		return e.StatusCode
	}
	if status, ok := statuses[e.ErrCode]; ok {
		return status
	}
	return http.StatusBadRequest
}
