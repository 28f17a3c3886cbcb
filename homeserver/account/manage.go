package account

import (
	"context"
	"fmt"

	"causeway/homeserver/store"

	"maunium.net/go/mautrix/id"
)

// Requester is who makes a request, as far as it matters to the management of an account.
type Requester struct {
	UserID       id.UserID
	DeviceID     id.DeviceID
	ByAppService bool
	ClientIP     string // where the request comes from, "" for unknown
}

// PasswordRequest is the body of POST /account/password.
type PasswordRequest struct {
	Auth          *AuthData `json:"auth"`
	NewPassword   string    `json:"new_password"`
	LogoutDevices *bool     `json:"logout_devices"` // true when absent
}

// ChangePassword gives the user a new password, after user-interactive authentication with the old one, and ends the user's
// other sessions unless told not to. Errors: *Challenge, M_MISSING_PARAM, M_INVALID_PARAM, and M_FORBIDDEN for application
// services, whose users have no passwords.
func (s *Service) ChangePassword(ctx context.Context, who Requester, in PasswordRequest) error {
	if who.ByAppService {
		return forbidden("An application service cannot change passwords")
	}
	done, err := s.Confirm(ctx, who, "change your password", in.Auth)
	if err != nil {
		return err
	}
	hash, err := s.newPassword(ctx, in)
	if err != nil {
		return err
	}
	var change store.DeviceChange
	err = s.db.Write(ctx, func(tx *store.Tx) error {
		change = store.DeviceChange{}
		user, err := tx.User(who.UserID)
		if err != nil {
			return err
		}
		if err := tx.SetPassword(user.NID, hash); err != nil {
			return err
		}
		if in.LogoutDevices == nil || *in.LogoutDevices {
			change, err = tx.DeleteDevices(user.NID, who.DeviceID)
		}
		return err
	})
	s.forget(who.UserID)
	if err != nil {
		return fmt.Errorf("change the password of %s: %w", who.UserID, err)
	}
	s.devicesChanged(change)
	done()
	return nil
}

// newPassword returns the PHC string of the password that a request asks for.
func (s *Service) newPassword(ctx context.Context, in PasswordRequest) (string, error) {
	if in.NewPassword == "" {
		return "", missingParam("new_password")
	}
	if err := s.checkPassword(in.NewPassword); err != nil {
		return "", err
	}
	return s.passwords.hash(ctx, in.NewPassword)
}

// Abilities is what a user can do with the account.
type Abilities struct {
	ChangePassword bool
	GetLoginToken  bool
}

// Abilities returns what a user can do with the account, for GET /capabilities: what takes a proof can be done by who has one.
func (s *Service) Abilities(ctx context.Context, who Requester) (Abilities, error) {
	if who.ByAppService {
		return Abilities{}, nil
	}
	user, err := s.user(ctx, who.UserID)
	if err != nil {
		return Abilities{}, fmt.Errorf("look up %s: %w", who.UserID, err)
	}
	flows, err := s.proofs(ctx, user)
	return Abilities{ChangePassword: user.Password != "", GetLoginToken: len(flows) > 0}, err
}
