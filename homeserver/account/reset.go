package account

import (
	"context"
	"errors"
	"fmt"

	"causeway/homeserver/mail"
	"causeway/homeserver/store"

	"maunium.net/go/mautrix/id"
)

// Names of operations that an address authenticates for.
const (
	opRegister = "register"
	opReset    = "reset password"
)

// ResetPassword gives somebody who has lost the password a new one, after user-interactive authentication by an address of the account, and
// ends the sessions of the user unless told not to (Client-Server API, POST /account/password). Errors: *Challenge, M_MISSING_PARAM,
// M_INVALID_PARAM, and 401 M_MISSING_TOKEN where nobody can be written to.
func (s *Service) ResetPassword(ctx context.Context, in PasswordRequest) error {
	op := operation{name: opReset}
	if s.sends(mail.Email) {
		op.flows = append(op.flows, Flow{Stages: []string{typeEmail}})
	}
	if s.sends(mail.MSISDN) {
		op.flows = append(op.flows, Flow{Stages: []string{typeMSISDN}})
	}
	if len(op.flows) == 0 {
		return matrixError(401, "M_MISSING_TOKEN", "Missing access token")
	}
	session, err := s.authenticate(ctx, op, in.Auth)
	if err != nil {
		return err
	}
	hash, err := s.newPassword(ctx, in)
	if err != nil {
		return err
	}
	user, err := s.resetPassword(ctx, session, hash, in.LogoutDevices == nil || *in.LogoutDevices)
	var failed *stageError
	if err == nil || errors.As(err, &failed) {
		s.uia.drop(op, session)
	}
	if failed != nil {
		session.completed = nil
		return op.challenge(session, failed.code, failed.message)
	}
	if err != nil {
		return fmt.Errorf("reset the password of %s: %w", user, err)
	}
	return nil
}

// resetPassword sets the password of the user of a proven address.
func (s *Service) resetPassword(ctx context.Context, session *uiaSession, hash string, logout bool) (user id.UserID, err error) {
	proven := session.threepids[len(session.threepids)-1]
	var change store.DeviceChange
	err = s.db.Write(ctx, func(tx *store.Tx) (err error) {
		change, err = setLostPassword(tx, proven, hash, logout)
		return err
	})
	s.forget(proven.owner)
	if err == nil {
		s.devicesChanged(change)
	}
	return proven.owner, err
}

// setLostPassword sets the password of the user of a proven address, who must have it still. The proof has served then.
func setLostPassword(tx *store.Tx, proven provenThreepid, hash string, logout bool) (change store.DeviceChange, err error) {
	gone := &stageError{"M_THREEPID_AUTH_FAILED", "The proof has served already, or has expired"}
	if _, err := tx.ThreepidSession(proven.sid); errors.Is(err, store.ErrNotFound) {
		return change, gone
	} else if err != nil {
		return change, err
	}
	owner, err := tx.ThreepidOwner(proven.Medium, proven.Address)
	if errors.Is(err, store.ErrNotFound) || err == nil && owner != proven.owner {
		return change, gone
	}
	if err != nil {
		return change, err
	}
	u, err := tx.User(proven.owner)
	if err != nil {
		return change, err
	}
	if err := tx.DeleteThreepidSession(proven.sid); err != nil {
		return change, err
	}
	if err := tx.SetPassword(u.NID, hash); err != nil || !logout {
		return change, err
	}
	return tx.DeleteDevices(u.NID, "")
}
