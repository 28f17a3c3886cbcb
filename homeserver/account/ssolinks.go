package account

import (
	"context"
	"errors"
	"slices"

	"causeway/homeserver/store"
)

// maxSSOLinks bounds the links of one user.
const maxSSOLinks = 20

// Links returns who a user is at providers.
func (s *Service) Links(ctx context.Context, b Browser) (all []Link, err error) {
	err = s.db.View(ctx, func(tx *store.Tx) error {
		links, err := tx.SSOLinks(b.UserNID)
		all = s.shownLinks(links)
		return err
	})
	return all, err
}

// Link is who a user is at a provider.
type Link struct {
	store.SSOLink
	Provider IdentityProvider // zero for one that this server has no more
}

func (s *Service) shownLinks(links []store.SSOLink) []Link {
	all := make([]Link, len(links))
	for i, l := range links {
		all[i] = Link{SSOLink: l}
		if j := slices.IndexFunc(s.cfg.SSO.Providers, func(p IdentityProvider) bool { return p.Issuer == l.Issuer }); j >= 0 {
			all[i].Provider = s.cfg.SSO.Providers[j]
		}
	}
	return all
}

// linkedProviders are those by which a user can prove who they are.
func (s *Service) linkedProviders(tx *store.Tx, userNID int64) (all []IdentityProvider, err error) {
	links, err := tx.SSOLinks(userNID)
	for _, l := range s.shownLinks(links) {
		if l.Provider.ID != "" && !slices.Contains(all, l.Provider) {
			all = append(all, l.Provider)
		}
	}
	return all, err
}

// Link links whoever is signed in in a browser to who they are at a provider. Errors: 403 M_FORBIDDEN; 400 M_INVALID_PARAM when somebody is
// linked to that already, or the user to too many.
func (s *Service) Link(ctx context.Context, b Browser, who External) error {
	return s.db.Write(ctx, func(tx *store.Tx) error {
		if err := b.Check(tx, s.now()); err != nil {
			return err
		}
		links, err := tx.SSOLinks(b.UserNID)
		if err != nil {
			return err
		}
		if len(links) >= maxSSOLinks {
			return invalidParam("You have linked too many already")
		}
		err = tx.InsertSSOLink(store.SSOLink{Issuer: who.Issuer, Subject: who.Subject, UserNID: b.UserNID, Label: who.Label, LinkedTS: s.now()})
		if errors.Is(err, store.ErrExists) {
			return invalidParam("This is linked to an account here already")
		}
		return err
	})
}

// Unlink undoes Link, unless there is no other way in. The user is signed out in all other browsers: it is not known which of them came by the
// link. Errors: 403 M_FORBIDDEN, 404 M_NOT_FOUND, 400 M_INVALID_PARAM.
func (s *Service) Unlink(ctx context.Context, b Browser, issuer, subject string) error {
	return s.db.Write(ctx, func(tx *store.Tx) error {
		if err := b.Check(tx, s.now()); err != nil {
			return err
		}
		err := tx.DeleteSSOLink(b.UserNID, issuer, subject)
		if errors.Is(err, store.ErrNotFound) {
			return notFound("You have no such link")
		}
		if err != nil {
			return err
		}
		if err := tx.EndOtherBrowserSessions(b.UserNID, b.hash); err != nil {
			return err
		}
		user, err := tx.UserByNID(b.UserNID)
		if err != nil || user.Password != "" {
			return err
		}
		left, err := s.linkedProviders(tx, b.UserNID)
		if err == nil && len(left) == 0 {
			err = invalidParam("This is your only way to sign in. Choose a password first, or link another")
		}
		return err
	})
}
