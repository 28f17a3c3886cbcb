package account

import (
	"net/http"

	"causeway/homeserver/store"

	"maunium.net/go/mautrix"
)

// barred returns why an account cannot be used for now, nil when it can.
func barred(locked bool, validUntilTS, now int64) error {
	switch {
	case locked:
		// Client-Server API, "Account locking".
		return mautrix.RespError{StatusCode: http.StatusUnauthorized, ErrCode: "M_USER_LOCKED", Err: "This account has been locked",
			ExtraData: map[string]any{"soft_logout": true}}
	case validUntilTS != 0 && validUntilTS <= now:
		// The code and the status are Synapse's, which clients know: the specification has none.
		return matrixError(http.StatusForbidden, "ORG_MATRIX_EXPIRED_ACCOUNT", "This account has expired")
	}
	return nil
}

// mayBegin returns why no session of a user can begin, who has proven who they are.
func (s *Service) mayBegin(user *store.User) error {
	if user.Deactivated {
		return matrixError(http.StatusForbidden, "M_USER_DEACTIVATED", "This account has been deactivated")
	}
	if user.AppService == "" && s.takenOver(user.UserID) {
		return matrixError(http.StatusForbidden, "M_EXCLUSIVE", "This name belongs to a bridge of this server by now")
	}
	return barred(user.Locked, user.ValidUntilTS, s.now())
}
