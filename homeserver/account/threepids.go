package account

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"causeway/homeserver/mail"
	"causeway/homeserver/store"
	"causeway/homeserver/threepid"

	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/id"
)

// Bounds of addresses.
const (
	maxThreepids = 50  // of one account
	maxSIDBytes  = 255 // of the name of a session (Appendices, "Opaque Identifiers")
)

// Identities are the identity services that users may publish their addresses by.
type Identities interface {
	// Bind publishes an address, that a session at the service has validated, as the user's, and returns it. token is the user's at the
	// service. Errors are Matrix errors.
	Bind(ctx context.Context, server, token string, user id.UserID, sid, secret string) (medium, address, at string, err error)
	// Unbind takes back what was published, and tells whether the service did.
	Unbind(ctx context.Context, server string, user id.UserID, medium, address string) (bool, error)
}

// CanHaveThreepids tells whether accounts can have addresses: whether any can be validated.
func (s *Service) CanHaveThreepids() bool {
	return s.sends("email") || s.sends("msisdn")
}

// RequestToken sends a token to an address: threepid.Service.RequestToken.
func (s *Service) RequestToken(ctx context.Context, in threepid.TokenRequest) (threepid.TokenResponse, error) {
	return s.cfg.Threepids.RequestToken(ctx, in)
}

// Threepid is an address or number of an account.
type Threepid = store.Threepid

// Threepids returns the addresses of a user.
func (s *Service) Threepids(ctx context.Context, user id.UserID) ([]Threepid, error) {
	all := []Threepid{}
	err := s.db.View(ctx, func(tx *store.Tx) error {
		u, err := tx.User(user)
		if err != nil {
			return err
		}
		found, err := tx.Threepids(u.NID)
		all = append(all[:0], found...)
		return err
	})
	return all, err
}

// AddThreepidRequest is the body of POST /account/3pid/add.
type AddThreepidRequest struct {
	Auth   *AuthData `json:"auth"`
	SID    string    `json:"sid"`
	Secret string    `json:"client_secret"`
}

// AddThreepid gives an account an address that a session has validated, after user-interactive authentication: by an address one gets a
// new password. Errors: *Challenge, M_MISSING_PARAM, M_THREEPID_IN_USE, those of threepid.Service.Validated as M_THREEPID_AUTH_FAILED, and
// M_LIMIT_EXCEEDED.
func (s *Service) AddThreepid(ctx context.Context, who Requester, in AddThreepidRequest) error {
	switch {
	case in.SID == "":
		return missingParam("sid")
	case in.Secret == "":
		return missingParam("client_secret")
	case len(in.SID) > maxSIDBytes: // it becomes part of what is remembered of the proof
		return invalidParam("sid has more than %d bytes", maxSIDBytes)
	case s.cfg.Threepids == nil:
		return threepid.ErrNoSession
	}
	done, err := s.Confirm(ctx, who, "add an address: "+in.SID, in.Auth)
	if err != nil {
		return err
	}
	err = s.db.Write(ctx, func(tx *store.Tx) error { return s.addThreepid(tx, who.UserID, in) })
	var refused mautrix.RespError
	if err != nil && !errors.As(err, &refused) {
		return fmt.Errorf("add an address to %s: %w", who.UserID, err)
	}
	if err == nil {
		done()
	}
	return err
}

func (s *Service) addThreepid(tx *store.Tx, userID id.UserID, in AddThreepidRequest) error {
	session, err := s.cfg.Threepids.Validated(tx, threepid.Add, in.SID, in.Secret, userID)
	var refused mautrix.RespError
	if errors.As(err, &refused) {
		return matrixError(403, "M_THREEPID_AUTH_FAILED", "%s", refused.Err)
	}
	if err != nil {
		return err
	}
	user, err := tx.User(userID)
	if err != nil {
		return err
	}
	all, err := tx.Threepids(user.NID)
	if err != nil {
		return err
	}
	if len(all) >= maxThreepids {
		return matrixError(403, "M_RESOURCE_LIMIT_EXCEEDED", "An account can have %d addresses", maxThreepids)
	}
	err = s.own(tx, user.NID, userID, store.Threepid{Medium: session.Medium, Address: session.Address, ValidatedTS: session.ValidatedTS})
	if errors.Is(err, store.ErrExists) {
		owner, err := tx.ThreepidOwner(session.Medium, session.Address)
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return err
		}
		if owner != userID {
			return matrixError(400, "M_THREEPID_IN_USE", "The address is that of another account")
		}
	} else if err != nil {
		return err
	}
	return tx.DeleteThreepidSession(session.SID)
}

// BindRequest is the body of POST /account/3pid/bind, and of the deprecated POST /account/3pid.
type BindRequest struct {
	SID     string `json:"sid"`
	Secret  string `json:"client_secret"`
	Server  string `json:"id_server"`
	IDToken string `json:"id_access_token"`
}

// BindThreepid publishes an address of a user by an identity service. Errors: M_MISSING_PARAM, M_SERVER_NOT_TRUSTED, and those of the service.
func (s *Service) BindThreepid(ctx context.Context, user id.UserID, in BindRequest) error {
	for _, field := range []struct{ name, value string }{
		{"client_secret", in.Secret}, {"id_server", in.Server}, {"id_access_token", in.IDToken}, {"sid", in.SID},
	} {
		if field.value == "" {
			return missingParam(field.name)
		}
	}
	if s.cfg.Identities == nil {
		return matrixError(400, "M_SERVER_NOT_TRUSTED", "This server works with no identity service")
	}
	medium, address, at, err := s.cfg.Identities.Bind(ctx, in.Server, in.IDToken, user, in.SID, in.Secret)
	if err != nil {
		return err
	}
	return s.db.Write(ctx, func(tx *store.Tx) error {
		u, err := tx.User(user)
		if err != nil {
			return err
		}
		return tx.InsertThreepidBind(u.NID, medium, address, at)
	})
}

// UnbindRequest is the body of POST /account/3pid/unbind and POST /account/3pid/delete.
type UnbindRequest struct {
	Server  string `json:"id_server"`
	Medium  string `json:"medium"`
	Address string `json:"address"`
}

func (in *UnbindRequest) check() error {
	switch {
	case in.Medium == "":
		return missingParam("medium")
	case in.Address == "":
		return missingParam("address")
	}
	address, err := threepid.Normal(in.Medium, in.Address)
	if err != nil {
		return invalidParam("There is no such address")
	}
	in.Address = address
	return nil
}

// UnbindThreepid takes back what was published of a user by an identity service: by the one that is named, or by those that it was
// published by. unbound is false when one of them would not, or there is none.
func (s *Service) UnbindThreepid(ctx context.Context, user id.UserID, in UnbindRequest) (unbound bool, err error) {
	if err := in.check(); err != nil {
		return false, err
	}
	servers := []string{in.Server}
	var nid int64
	err = s.db.View(ctx, func(tx *store.Tx) error {
		u, err := tx.User(user)
		if err != nil {
			return err
		}
		nid = u.NID
		if in.Server == "" {
			servers, err = tx.ThreepidBinds(nid, in.Medium, in.Address)
		}
		return err
	})
	if err != nil || len(servers) == 0 || s.cfg.Identities == nil {
		return false, err
	}
	unbound = true
	for _, server := range servers {
		ok, err := s.cfg.Identities.Unbind(ctx, server, user, in.Medium, in.Address)
		if err != nil {
			return false, err
		}
		unbound = unbound && ok
		if !ok {
			continue
		}
		if err := s.db.Write(ctx, func(tx *store.Tx) error { return tx.DeleteThreepidBind(nid, in.Medium, in.Address, server) }); err != nil {
			return false, err
		}
	}
	return unbound, nil
}

// unbindAll takes back all that was published of a user: by the services that it was published by, and by the one that is named, "" for
// none. all is false when one of them would not.
func (s *Service) unbindAll(ctx context.Context, user id.UserID, server string) (all bool, err error) {
	var binds []store.ThreepidBind
	err = s.db.View(ctx, func(tx *store.Tx) error {
		u, err := tx.User(user)
		if err != nil {
			return err
		}
		if binds, err = tx.AllThreepidBinds(u.NID); err != nil || server == "" {
			return err
		}
		owned, err := tx.Threepids(u.NID)
		for _, t := range owned {
			if b := (store.ThreepidBind{Medium: t.Medium, Address: t.Address, Server: server}); !slices.Contains(binds, b) {
				binds = append(binds, b)
			}
		}
		return err
	})
	if err != nil {
		return false, fmt.Errorf("look up what %s has published: %w", user, err)
	}
	all = len(binds) == 0 || s.cfg.Identities != nil
	for _, b := range binds {
		if s.cfg.Identities == nil {
			break
		}
		ok, err := s.cfg.Identities.Unbind(ctx, b.Server, user, b.Medium, b.Address)
		if err != nil {
			return false, fmt.Errorf("take back what %s has published: %w", user, err)
		}
		all = all && ok
	}
	return all, nil
}

// DeleteThreepid takes an address from an account, and back what was published of it. unbound as of UnbindThreepid.
func (s *Service) DeleteThreepid(ctx context.Context, user id.UserID, in UnbindRequest) (unbound bool, err error) {
	return s.deleteThreepid(ctx, user, in, func(*store.Tx) error { return nil })
}

// RemoveEmail takes an email address from whoever is signed in in a browser. Errors: 403 M_FORBIDDEN when they are not any more, and those of
// [Service.DeleteThreepid].
func (s *Service) RemoveEmail(ctx context.Context, b Browser, address string) error {
	_, err := s.deleteThreepid(ctx, b.UserID, UnbindRequest{Medium: mail.Email, Address: address}, func(tx *store.Tx) error { return b.Check(tx, s.now()) })
	return err
}

func (s *Service) deleteThreepid(ctx context.Context, user id.UserID, in UnbindRequest, may func(*store.Tx) error) (unbound bool, err error) {
	if err := in.check(); err != nil {
		return false, err
	}
	err = s.db.Write(ctx, func(tx *store.Tx) error {
		if err := may(tx); err != nil {
			return err
		}
		u, err := tx.User(user)
		if err != nil {
			return err
		}
		_, err = tx.DeleteThreepid(u.NID, in.Medium, in.Address)
		return err
	})
	if err != nil {
		if _, refused := errors.AsType[mautrix.RespError](err); refused {
			return false, err
		}
		return false, fmt.Errorf("take an address from %s: %w", user, err)
	}
	return s.UnbindThreepid(ctx, user, in)
}
