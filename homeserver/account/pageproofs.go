package account

import (
	"context"
	"errors"
	"fmt"

	"causeway/homeserver/mail"
	"causeway/homeserver/store"
	"causeway/homeserver/threepid"

	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/id"
)

// ResetPath is that of the page on which somebody who has lost the password chooses another, where the link of a mail leads.
const ResetPath = threepid.ResetPath

// Purpose says what a proof is good for.
type Purpose = threepid.Purpose

// Purposes for which people show on pages that an email address is theirs.
const (
	ForRegistration = threepid.Register
	ForAccount      = threepid.Add
	ForPassword     = threepid.Reset
)

// CanMail tells whether people can be sent mail.
func (s *Service) CanMail() bool { return s.sends(mail.Email) }

// PageProof is what somebody asks for who is to show, on a page, that an email address is theirs.
type PageProof struct {
	Purpose  Purpose
	Address  string
	Secret   string    // of the browser: no other goes on with it
	User     id.UserID // who is signed in, "" for nobody
	ClientIP string
	// Return makes the address of the page to go on on, of the id of the proof. For ForPassword it is remembered alone.
	Return func(sid string) string
}

// AskProof sends a mail to an address, with a link by which its owner confirms it, or chooses a new password. Each time it is another link, and
// the one of before serves no more. That an address is somebody's already, or nobody's, its owner alone learns, by the mail. Errors: 400
// M_INVALID_PARAM, M_THREEPID_MEDIUM_NOT_SUPPORTED, 429 M_LIMIT_EXCEEDED; where the configuration has strangers told, M_THREEPID_IN_USE and
// M_THREEPID_NOT_FOUND.
func (s *Service) AskProof(ctx context.Context, in PageProof) (sid string, err error) {
	if !s.CanMail() {
		return "", matrixError(400, "M_THREEPID_MEDIUM_NOT_SUPPORTED", "This server sends no mail")
	}
	attempt, requester := s.now(), in.ClientIP
	if in.User != "" {
		requester = string(in.User)
	}
	if in.Address == "" {
		return "", invalidParam("This is not an email address")
	}
	answer, err := s.cfg.Threepids.RequestToken(ctx, threepid.TokenRequest{
		Secret: in.Secret, Email: in.Address, SendAttempt: &attempt, Medium: mail.Email, Purpose: in.Purpose, User: in.User, Requester: requester,
		Return: in.Return,
	})
	return answer.SID, err
}

// ShownProof is a proof that somebody has asked for.
type ShownProof struct {
	Address   string
	Confirmed bool
}

// Proof returns a proof that was asked for with a secret, by a user or, with "", by a stranger. Errors: 404 M_NO_VALID_SESSION, 400
// M_SESSION_EXPIRED.
func (s *Service) Proof(ctx context.Context, purpose Purpose, sid, secret string, user id.UserID) (p ShownProof, err error) {
	if s.cfg.Threepids == nil {
		return p, threepid.ErrNoSession
	}
	err = s.db.View(ctx, func(tx *store.Tx) error {
		session, err := s.cfg.Threepids.Begun(tx, purpose, sid, secret, user)
		if err == nil {
			p = ShownProof{Address: session.Address, Confirmed: session.ValidatedTS != 0}
		}
		return err
	})
	return p, err
}

// Confirmed tells whether an address was confirmed in a proof, wherever that was asked for.
func (s *Service) Confirmed(ctx context.Context, purpose Purpose, sid string) (confirmed bool, err error) {
	err = s.db.View(ctx, func(tx *store.Tx) error {
		session, err := tx.ThreepidSession(sid)
		if errors.Is(err, store.ErrNotFound) {
			return nil
		}
		confirmed = err == nil && session.Purpose == string(purpose) && session.ValidatedTS != 0
		return err
	})
	return confirmed, err
}

// AddProven gives the account of whoever is signed in in a browser an address that was proven with a secret. Errors: 403
// M_THREEPID_AUTH_FAILED, M_RESOURCE_LIMIT_EXCEEDED, 400 M_THREEPID_IN_USE.
func (s *Service) AddProven(ctx context.Context, b Browser, sid, secret string) error {
	if s.cfg.Threepids == nil {
		return threepid.ErrNoSession
	}
	err := s.db.Write(ctx, func(tx *store.Tx) error {
		if err := b.Check(tx, s.now()); err != nil {
			return err
		}
		return s.addThreepid(tx, b.UserID, AddThreepidRequest{SID: sid, Secret: secret})
	})
	if _, refused := errors.AsType[mautrix.RespError](err); err != nil && !refused {
		return fmt.Errorf("add an address to %s: %w", b.UserID, err)
	}
	return err
}

// LostPassword is what the link of a mail is for, by which somebody chooses a new password.
type LostPassword struct {
	User id.UserID
	// Next is what was remembered for who asked for the mail, "" in a browser that is not theirs.
	Next string
}

// errLink is the error of a link that does not serve.
func errLink() error {
	return matrixError(404, "M_NO_VALID_SESSION", "The link is not valid, has served already, or has expired")
}

// lostPassword reads what a link is for.
func (s *Service) lostPassword(tx *store.Tx, sid, token, secret string) (lost LostPassword, proven provenThreepid, err error) {
	session, mine, err := s.cfg.Threepids.ResetLink(tx, sid, token, secret)
	if _, refused := errors.AsType[mautrix.RespError](err); refused {
		return lost, proven, errLink()
	}
	if err != nil {
		return lost, proven, err
	}
	owner, err := tx.ThreepidOwner(session.Medium, session.Address)
	if errors.Is(err, store.ErrNotFound) {
		return lost, proven, errLink()
	}
	lost.User = owner
	if mine {
		lost.Next = session.NextLink
	}
	return lost, provenThreepid{sid: sid, owner: owner, Threepid: store.Threepid{Medium: session.Medium, Address: session.Address}}, err
}

// LostPassword returns what a link is for. secret is that of the browser in which it was followed. The error is 404 M_NO_VALID_SESSION.
func (s *Service) LostPassword(ctx context.Context, sid, token, secret string) (lost LostPassword, err error) {
	if s.cfg.Threepids == nil {
		return lost, errLink()
	}
	err = s.db.View(ctx, func(tx *store.Tx) error {
		lost, _, err = s.lostPassword(tx, sid, token, secret)
		return err
	})
	return lost, err
}

// ReplacePassword gives the user a new password whom a link is for, which has served then, and signs all browsers out, and all devices unless
// keepDevices. Errors: 404 M_NO_VALID_SESSION, M_MISSING_PARAM, M_INVALID_PARAM.
func (s *Service) ReplacePassword(ctx context.Context, sid, token, secret, password string, keepDevices bool) (lost LostPassword, err error) {
	// First whether it is worth a hash.
	if _, err := s.LostPassword(ctx, sid, token, secret); err != nil {
		return lost, err
	}
	hash, err := s.newPassword(ctx, PasswordRequest{NewPassword: password})
	if err != nil {
		return lost, err
	}
	var change store.DeviceChange
	err = s.db.Write(ctx, func(tx *store.Tx) (err error) {
		var proven provenThreepid
		if lost, proven, err = s.lostPassword(tx, sid, token, secret); err != nil {
			return err
		}
		change, err = setLostPassword(tx, proven, hash, !keepDevices)
		return err
	})
	s.forget(lost.User)
	if _, failed := errors.AsType[*stageError](err); failed {
		return LostPassword{}, errLink()
	}
	if _, refused := errors.AsType[mautrix.RespError](err); err != nil && !refused {
		return LostPassword{}, fmt.Errorf("replace the password of %s: %w", lost.User, err)
	}
	if err != nil {
		return LostPassword{}, err
	}
	s.attempts.settle(string(lost.User)) // those were at the password of before
	s.devicesChanged(change)
	return lost, nil
}

// TakesNewUsers tells whether a stranger can make an account at present: whether everybody can, or there is a registration token that can be
// used.
func (s *Service) TakesNewUsers(ctx context.Context) (bool, error) {
	open := s.cfg.OpenRegistration
	if open {
		return true, nil
	}
	err := s.db.View(ctx, func(tx *store.Tx) (err error) {
		open, err = tx.HasUsableToken(s.now())
		return err
	})
	return open, err
}

// CaptchaScript returns the address of the script that shows captchas.
func (s *Service) CaptchaScript() string { return s.cfg.Rules.Captcha.ScriptURL }
