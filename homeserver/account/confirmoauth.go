package account

import (
	"context"
	"errors"
	"net/url"
	"strings"

	"causeway/homeserver/store"
)

// ReplaceKeys begins what [Service.Confirm] is asked for when a user's cross-signing keys are to be replaced; which keys follows behind ": ".
// It is the one operation that who came by OAuth can confirm, on the account page (Client-Server API, OAuth authentication).
const ReplaceKeys = "replace cross-signing keys"

// ActionResetKeys is the action of the account page by which a user allows that (Client-Server API, Account management URL actions).
const ActionResetKeys = "org.matrix.cross_signing_reset"

// byOAuth tells whether an operation is to be confirmed on the account page: it is the one that can be, and the device was made for an
// OAuth client.
func (s *Service) byOAuth(ctx context.Context, who Requester, what string) (bool, error) {
	if who.ByAppService || s.cfg.AccountURL == "" || !strings.HasPrefix(what, ReplaceKeys) {
		return false, nil
	}
	var found store.SignedIn
	err := s.db.View(ctx, func(tx *store.Tx) error {
		user, err := tx.User(who.UserID)
		if err != nil {
			return err
		}
		found, err = tx.SignedInDevice(user.NID, who.DeviceID)
		return err
	})
	if errors.Is(err, store.ErrNotFound) {
		return false, nil
	}
	return found.OAuthClient != "", err
}

// confirmByOAuth has a user allow an operation to the device that asks, which the address of the account page names. The client completes the
// stage with the session alone.
func (s *Service) confirmByOAuth(ctx context.Context, who Requester, what string, auth *AuthData) (done func(), err error) {
	page := url.Values{"action": {ActionResetKeys}, "device_id": {string(who.DeviceID)}}
	params := map[string]any{"url": s.cfg.AccountURL + "?" + page.Encode()}
	op := operation{
		name: what, user: who.UserID, device: who.DeviceID, flows: []Flow{{Stages: []string{typeOAuth}}, {Stages: []string{typeOAuthUnstable}}},
		params: map[string]any{typeOAuth: params, typeOAuthUnstable: params},
	}
	if auth != nil && auth.Type == "" && auth.Session != "" {
		withType := *auth
		withType.Type = typeOAuth
		auth = &withType
	}
	session, err := s.authenticate(ctx, op, auth)
	if err != nil {
		return nil, err
	}
	// Before the keys are stored, so that what the user allowed serves once. It was allowed when the stage was completed.
	allowed, err := s.takeReset(ctx, op.user, op.device)
	if err != nil {
		return nil, err
	}
	s.uia.drop(op, session)
	if !allowed {
		return nil, op.challenge(&uiaSession{id: session.id}, "M_FORBIDDEN", notAllowed)
	}
	return func() {}, nil
}

// oauthStage is completed once the user has allowed the operation to the device on the account page.
func (s *Service) oauthStage(ctx context.Context, op operation, _ *uiaSession, _ *AuthData) error {
	if !s.CrossSigningResetAllowed(ctx, op.user, op.device) {
		return &stageError{"M_FORBIDDEN", notAllowed}
	}
	return nil
}

const notAllowed = "Allow this on the account page first"
