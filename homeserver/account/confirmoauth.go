package account

import (
	"context"
	"errors"
	"net/url"

	"causeway/homeserver/store"

	"maunium.net/go/mautrix/id"

	"github.com/rs/zerolog"
)

// ReplaceKeys begins what [Service.Confirm] is asked for when a user's cross-signing keys are to be replaced. It is the one operation that
// who came by OAuth can confirm, on the account page (Client-Server API, OAuth authentication).
const ReplaceKeys = "replace "

// ActionResetKeys is the action of the account page by which a user allows that (Client-Server API, Account management URL actions).
const ActionResetKeys = "org.matrix.cross_signing_reset"

// byOAuth tells whether a device was made for an OAuth client.
func (s *Service) byOAuth(ctx context.Context, user *store.User, device id.DeviceID) (bool, error) {
	var found store.SignedIn
	err := s.db.View(ctx, func(tx *store.Tx) (err error) {
		found, err = tx.SignedInDevice(user.NID, device)
		return err
	})
	if errors.Is(err, store.ErrNotFound) {
		return false, nil
	}
	return found.OAuthClient != "", err
}

// confirmByOAuth has a user allow an operation on the account page. The client completes the stage with the session alone.
func (s *Service) confirmByOAuth(ctx context.Context, op operation, auth *AuthData) (done func(), err error) {
	params := map[string]any{"url": s.cfg.AccountURL + "?action=" + url.QueryEscape(ActionResetKeys)}
	op.flows = []Flow{{Stages: []string{typeOAuth}}, {Stages: []string{typeOAuthUnstable}}}
	op.params = map[string]any{typeOAuth: params, typeOAuthUnstable: params}
	if auth != nil && auth.Type == "" && auth.Session != "" {
		withType := *auth
		withType.Type = typeOAuth
		auth = &withType
	}
	session, err := s.authenticate(ctx, op, auth)
	if err != nil {
		return nil, err
	}
	if !s.CrossSigningResetAllowed(ctx, op.user) { // it was when the stage was completed
		s.uia.drop(op, session)
		return nil, op.challenge(&uiaSession{id: session.id}, "M_FORBIDDEN", notAllowed)
	}
	return func() {
		s.uia.drop(op, session)
		if err := s.endReset(ctx, op.user); err != nil { // it ends by itself soon
			zerolog.Ctx(ctx).Err(err).Stringer("user_id", op.user).Msg("Taking back the permission to replace cross-signing keys")
		}
	}, nil
}

// oauthStage is completed once the user has allowed the operation on the account page.
func (s *Service) oauthStage(ctx context.Context, op operation, _ *uiaSession, _ *AuthData) error {
	if !s.CrossSigningResetAllowed(ctx, op.user) {
		return &stageError{"M_FORBIDDEN", notAllowed}
	}
	return nil
}

const notAllowed = "Allow this on the account page first"
