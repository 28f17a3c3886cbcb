package account

import (
	"net/http"

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
