package account

import (
	"context"
	"crypto/sha256"
	"errors"
	"net/http"
	"time"

	"causeway/homeserver/store"

	"maunium.net/go/mautrix/id"
)

// Bounds of OpenID tokens.
const (
	openIDLifetime  = time.Hour
	maxOpenIDTokens = 100 // of one user: those before expire early
)

// OpenIDToken is by what a user proves to others who they are (Client-Server API, "OpenID").
type OpenIDToken struct {
	AccessToken      string `json:"access_token"`
	TokenType        string `json:"token_type"`
	MatrixServerName string `json:"matrix_server_name"`
	ExpiresIn        int64  `json:"expires_in"` // seconds
}

// RequestOpenIDToken makes a token by which others can ask this server who its owner is. It is good for nothing else. device is the one that
// asks, "" for none; when it is logged out, the token is of no use.
func (s *Service) RequestOpenIDToken(ctx context.Context, user id.UserID, device id.DeviceID) (OpenIDToken, error) {
	token, hash := randomToken(accessTokenPrefix)
	now := s.now()
	err := s.db.Write(ctx, func(tx *store.Tx) error {
		return tx.InsertOpenIDToken(hash, user, device, now, now+openIDLifetime.Milliseconds(), maxOpenIDTokens)
	})
	return OpenIDToken{
		AccessToken: token, TokenType: "Bearer", MatrixServerName: s.cfg.ServerName, ExpiresIn: int64(openIDLifetime.Seconds()),
	}, err
}

// OpenIDUser returns whose an OpenID token is. Errors: 401 M_UNKNOWN_TOKEN. It is for GET /_matrix/federation/v1/openid/userinfo and
// those who answer for this server in other ways.
func (s *Service) OpenIDUser(ctx context.Context, token string) (user id.UserID, err error) {
	err = s.db.View(ctx, func(tx *store.Tx) (err error) {
		user, err = tx.OpenIDUser(sha256.Sum256([]byte(token)), s.now())
		return err
	})
	if errors.Is(err, store.ErrNotFound) {
		return "", matrixError(http.StatusUnauthorized, "M_UNKNOWN_TOKEN", "The token is not known, or has expired")
	}
	return user, err
}
