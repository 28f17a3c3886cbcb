package focus

import (
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"time"

	"maunium.net/go/mautrix"
)

func matrixError(status int, code, format string, args ...any) error {
	return mautrix.RespError{StatusCode: status, ErrCode: code, Err: fmt.Sprintf(format, args...)}
}

// What clients are told. None of it says whether a room, a user or a device exists (MSC4195, "Error handling and information disclosure").
var (
	errUnauthorized = matrixError(http.StatusUnauthorized, "M_UNAUTHORIZED",
		"You may not come into this call: you are not joined to the room, or the device is not yours")
	errOpenID       = matrixError(http.StatusUnauthorized, "M_UNAUTHORIZED", "The OpenID token is not valid")
	errNotYou       = matrixError(http.StatusForbidden, "M_FORBIDDEN", "A token is for yourself and your own device alone")
	errElsewhere    = matrixError(http.StatusForbidden, "M_FORBIDDEN", "This server takes no users of other servers into its calls: it has no federation")
	errListens      = matrixError(http.StatusForbidden, "M_FORBIDDEN", "You may only listen in this call")
	errUnrecognized = matrixError(http.StatusNotFound, "M_UNRECOGNIZED", "Unrecognized request")
	errMethod       = matrixError(http.StatusMethodNotAllowed, "M_UNRECOGNIZED", "Unrecognized request")
	errFull         = matrixError(http.StatusTooManyRequests, "M_LIMIT_EXCEEDED", "Too many tokens for calls are in use")
)

func badJSON(format string, args ...any) error {
	return matrixError(http.StatusBadRequest, "M_BAD_JSON", format, args...)
}

func tooSoon(wait time.Duration) error {
	wait = max(wait, time.Millisecond)
	return mautrix.RespError{
		StatusCode: http.StatusTooManyRequests, ErrCode: "M_LIMIT_EXCEEDED", Err: "Too many requests",
		ExtraData:   map[string]any{"retry_after_ms": wait.Milliseconds()},
		ExtraHeader: map[string]string{"Retry-After": strconv.FormatInt(int64(math.Ceil(wait.Seconds())), 10)},
	}
}

// refused returns an error as a client may see it, when it may.
func refused(err error) (mautrix.RespError, bool) {
	var r mautrix.RespError
	ok := errors.As(err, &r)
	return r, ok
}
