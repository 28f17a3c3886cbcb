package account

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"

	"causeway/homeserver/store"
)

// ssoStage is completed on the pages, by whoever comes back from a provider.
func (s *Service) ssoStage(context.Context, operation, *uiaSession, *AuthData) error {
	return &stageError{"M_FORBIDDEN", "Sign in on the page of this stage first"}
}

// StageBySSO is what the page of the stage m.login.sso shows: the operation, and the providers by which it can be confirmed.
type StageBySSO struct {
	What, User string
	Providers  []IdentityProvider
	Done       bool
}

// SSOStage returns what the page of the stage m.login.sso shows. Errors: 404 M_NOT_FOUND where there is no such stage; 400 M_INVALID_PARAM for a
// session that is not there.
func (s *Service) SSOStage(ctx context.Context, session string) (StageBySSO, error) {
	if !s.external() {
		return StageBySSO{}, notFound("There is no such stage")
	}
	op, ok := s.uia.askedFor(session, s.now())
	if !ok {
		return StageBySSO{}, errNoSession()
	}
	page := StageBySSO{User: string(op.user), Done: slices.Contains(s.uia.get(op, session, s.now()).completed, typeSSO)}
	page.What, _, _ = strings.Cut(op.name, ": ")
	err := s.db.View(ctx, func(tx *store.Tx) error {
		user, err := tx.User(op.user)
		if err != nil {
			return err
		}
		page.Providers, err = s.linkedProviders(tx, user.NID)
		return err
	})
	return page, err
}

func errNoSession() error { return invalidParam("There is no such session, or it has expired") }

// CompleteSSOStage completes the stage m.login.sso of a session for somebody at a provider, who has to be the user of the operation. Errors: 403
// M_FORBIDDEN when they are not, 400 M_INVALID_PARAM.
func (s *Service) CompleteSSOStage(ctx context.Context, session string, who External) error {
	op, ok := s.uia.askedFor(session, s.now())
	if !ok {
		return errNoSession()
	}
	err := s.db.View(ctx, func(tx *store.Tx) error {
		user, err := linkedUser(tx, who)
		if errors.Is(err, store.ErrNotFound) || err == nil && user.UserID != op.user {
			return matrixError(http.StatusForbidden, "M_FORBIDDEN", "You have signed in as somebody else than %s", op.user)
		}
		return err
	})
	if err != nil {
		return err
	}
	done := s.uia.get(op, session, s.now())
	if !slices.Contains(done.completed, typeSSO) {
		done.completed = append(slices.Clone(done.completed), typeSSO)
	}
	s.uia.put(op, done, s.now())
	return nil
}
