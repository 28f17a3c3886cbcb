package account

import (
	"context"

	"causeway/homeserver/store"
)

// Confirm has a user prove once more who they are, before they do something that whoever has got hold of a token must not do: delete
// devices, replace keys, end the account. what names the operation as people are told of it ("sign out devices"), and behind ": " whatever it
// is about, so that what was completed for one does not count for another. done is to be called when the operation has been carried out: the session has served then. An application service
// needs no confirmation for its users (Application Service API, "Managing devices and end-to-end encryption"). Errors: *Challenge, to
// be answered with 401; 403 M_FORBIDDEN for a user who has no way to prove it.
func (s *Service) Confirm(ctx context.Context, who Requester, what string, auth *AuthData) (done func(), err error) {
	if byOAuth, err := s.byOAuth(ctx, who, what); err != nil {
		return nil, err
	} else if byOAuth {
		return s.confirmByOAuth(ctx, who, what, auth)
	}
	session, op, err := s.confirmed(ctx, who, what, auth)
	if err != nil {
		return nil, err
	}
	return func() { s.uia.drop(op, session) }, nil
}

// confirmed is Confirm, which returns the session; nil for an application service.
func (s *Service) confirmed(ctx context.Context, who Requester, what string, auth *AuthData) (*uiaSession, operation, error) {
	if who.ByAppService {
		return nil, operation{}, nil
	}
	user, err := s.user(ctx, who.UserID)
	if err != nil {
		return nil, operation{}, err
	}
	flows, err := s.proofs(ctx, user)
	if err != nil {
		return nil, operation{}, err
	}
	op := operation{name: what, user: who.UserID, flows: flows, password: user.Password, clientIP: who.ClientIP}
	if len(op.flows) == 0 {
		return nil, op, forbidden("There is no way for you to prove who you are: you have no password")
	}
	session, err := s.authenticate(ctx, op, auth)
	return session, op, err
}

// proofs are the ways in which a user can prove who they are.
func (s *Service) proofs(ctx context.Context, user *store.User) (flows []Flow, err error) {
	if user.Password != "" {
		flows = append(flows, Flow{Stages: []string{typePassword}})
	}
	if !s.external() {
		return flows, nil
	}
	err = s.db.View(ctx, func(tx *store.Tx) error {
		linked, err := s.linkedProviders(tx, user.NID)
		if len(linked) > 0 {
			flows = append(flows[:len(flows):len(flows)], Flow{Stages: []string{typeSSO}})
		}
		return err
	})
	return flows, err
}
