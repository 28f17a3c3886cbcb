package account

import (
	"net/http"
	"slices"

	"causeway/homeserver/store"
	"causeway/registration"

	"maunium.net/go/mautrix/id"
)

// AppServices returns the registrations that hold now. They change while the server runs.
type AppServices func() *registration.Set

// appServiceOf returns whose the as_token of a request is.
func (s *Service) appServiceOf(token string) (*registration.Registration, error) {
	if token == "" {
		return nil, matrixError(http.StatusUnauthorized, "M_MISSING_TOKEN", "Missing access token")
	}
	reg := s.appServices().ByToken(token)
	if reg == nil {
		return nil, unknownToken()
	}
	return reg, nil
}

// UsersOf returns what tells whether a user is one of an application service's, itself included; nil when there is no service
// of that id.
func (s *Service) UsersOf(appService string) func(id.UserID) bool {
	reg := s.appServices().ByID(appService)
	if reg == nil {
		return nil
	}
	return func(user id.UserID) bool { return s.covers(reg, user) }
}

// covers tells whether a user is of this server, and either an application service itself or in one of its namespaces.
func (s *Service) covers(reg *registration.Registration, user id.UserID) bool {
	return user.Homeserver() == s.cfg.ServerName && reg.MatchesUser(user)
}

// exclusiveTo returns the id of the application service that has a user of this server to itself, or "".
func (s *Service) exclusiveTo(user id.UserID) string {
	if owner := s.appServices().ExclusiveOwnerOfUser(user); owner != nil {
		return owner.ID
	}
	return ""
}

// orphaned tells whether the account of a session was made by an application service that is not registered any more: what it
// may not do with its as_token, it may not do with the sessions of its users. They come back with the registration, or with one
// that has the user to itself under another id.
func (s *Service) orphaned(session store.Session) bool {
	services := s.appServices()
	return services.ByID(session.AppService) == nil && services.ExclusiveOwnerOfUser(session.UserID) == nil
}

// EndServices has the requests that wait on behalf of application services looked at again whose registrations, in the form given,
// hold no more.
func (s *Service) EndServices(former []*registration.Registration) {
	s.watches.endIf(func(user id.UserID) bool {
		return slices.ContainsFunc(former, func(reg *registration.Registration) bool { return s.covers(reg, user) })
	})
}
