package identity

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"causeway/homeserver/event"
	"causeway/homeserver/store"
	"causeway/homeserver/threepid"

	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/id"
)

// associationMS is how long an association is said to be valid for.
const associationMS = 100 * 365 * 24 * 60 * 60 * 1000

// Validated is the answer to GET /3pid/getValidated3pid.
type Validated struct {
	Medium      string `json:"medium"`
	Address     string `json:"address"`
	ValidatedTS int64  `json:"validated_at"`
}

// Validated returns the address that a session has validated. Errors: M_MISSING_PARAMS, threepid.ErrNoSession, ErrExpired, ErrNotValidated.
func (s *Service) Validated(ctx context.Context, user id.UserID, sid, secret string) (v Validated, err error) {
	switch {
	case sid == "":
		return v, missingParam("sid")
	case secret == "":
		return v, missingParam("client_secret")
	}
	err = s.DB.View(ctx, func(tx *store.Tx) error {
		session, err := s.Threepids.Validated(tx, threepid.Identity, sid, secret, user)
		if err == nil {
			v = Validated{session.Medium, session.Address, session.ValidatedTS}
		}
		return err
	})
	return v, err
}

// Association is what the service signs about an address.
type Association struct {
	Address   string    `json:"address"`
	Medium    string    `json:"medium"`
	MXID      id.UserID `json:"mxid"`
	NotBefore int64     `json:"not_before"`
	NotAfter  int64     `json:"not_after"`
	TS        int64     `json:"ts"`
}

// Bind publishes that the address that a session has validated is a user's, who must be the one that asks, signs it, and has the user get
// the invitations that waited for the address. Errors as of Validated, and 403 M_FORBIDDEN.
func (s *Service) Bind(ctx context.Context, by id.UserID, sid, secret string, user id.UserID) (a Association, signed json.RawMessage, err error) {
	if user == "" {
		return a, nil, missingParam("mxid")
	}
	if by != user {
		return a, nil, matrixError(403, "M_FORBIDDEN", "The access token is not that of %s", user)
	}
	validated, err := s.Validated(ctx, by, sid, secret)
	if err != nil {
		return a, nil, err
	}
	nowTS := s.Now().UnixMilli()
	a = Association{Address: validated.Address, Medium: validated.Medium, MXID: user, NotBefore: nowTS, NotAfter: nowTS + associationMS, TS: nowTS}
	raw, err := json.Marshal(a)
	if err != nil {
		return a, nil, err
	}
	err = s.DB.Write(ctx, func(tx *store.Tx) error {
		if _, err := s.Threepids.Validated(tx, threepid.Identity, sid, secret, by); err != nil {
			return err
		}
		key, err := s.key(tx)
		if err != nil {
			return err
		}
		if signed, err = event.SignJSON(raw, key); err != nil {
			return err
		}
		pepper, err := s.pepper(tx)
		if err != nil {
			return err
		}
		if err := tx.PutBinding(store.Binding{Medium: a.Medium, Address: a.Address, User: user, Hash: hashOf(a.Medium, a.Address, pepper), TS: nowTS}); err != nil {
			return err
		}
		return s.Claim(tx, user, a.Medium, a.Address)
	})
	var refused mautrix.RespError
	if err != nil && !errors.As(err, &refused) {
		err = fmt.Errorf("publish an address of %s: %w", user, err)
	}
	return a, signed, err
}

// Claim has a user get the invitations that wait for an address of theirs. It is part of the transaction by which the address becomes
// theirs.
func (s *Service) Claim(tx *store.Tx, user id.UserID, medium, address string) error {
	n, err := tx.ClaimIdentityInvites(medium, address, user, s.Now().UnixMilli())
	if err == nil && n > 0 {
		tx.AfterCommit(s.look)
	}
	return err
}

// UnbindRequest is the body of POST /3pid/unbind.
type UnbindRequest struct {
	SID      string    `json:"sid"`
	Secret   string    `json:"client_secret"`
	MXID     id.UserID `json:"mxid"`
	Threepid *struct {
		Medium  string `json:"medium"`
		Address string `json:"address"`
	} `json:"threepid"`
}

// Unbind takes back that an address is a user's, for whoever shows to read what comes to it, or for the user's homeserver, when byServer
// is its name. Errors: M_MISSING_PARAMS, 403 M_FORBIDDEN.
func (s *Service) Unbind(ctx context.Context, by id.UserID, byServer string, in UnbindRequest) error {
	switch {
	case in.MXID == "":
		return missingParam("mxid")
	case in.Threepid == nil || in.Threepid.Medium == "" || in.Threepid.Address == "":
		return missingParam("threepid")
	}
	address, err := threepid.Normal(in.Threepid.Medium, in.Threepid.Address)
	if err != nil {
		return matrixError(400, "M_INVALID_PARAM", "There is no such address")
	}
	if byServer == "" {
		v, err := s.Validated(ctx, by, in.SID, in.Secret)
		if err != nil {
			return matrixError(403, "M_FORBIDDEN", "It takes a valid session, or the signature of the homeserver")
		}
		if v.Medium != in.Threepid.Medium || v.Address != address {
			return matrixError(403, "M_FORBIDDEN", "The session is that of another address")
		}
	} else if event.ServerOf(in.MXID) != byServer {
		return matrixError(403, "M_FORBIDDEN", "%s does not speak for %s", byServer, in.MXID)
	}
	return s.DB.Write(ctx, func(tx *store.Tx) error {
		_, err := tx.DeleteBinding(in.Threepid.Medium, address, in.MXID)
		return err
	})
}
