package account

import (
	"context"
	"fmt"
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

// UsersOf returns what tells whether a user is one whom an application service may act for, itself included; nil when there is no service
// of that id.
func (s *Service) UsersOf(appService string) func(id.UserID) bool {
	reg := s.appServices().ByID(appService)
	if reg == nil {
		return nil
	}
	return func(user id.UserID) bool { return s.inReach(reg, user) == nil }
}

// covers tells whether a user is of this server, and either an application service itself or in one of its namespaces.
func (s *Service) covers(reg *registration.Registration, user id.UserID) bool {
	return user.Homeserver() == s.cfg.ServerName && reg.MatchesUser(user)
}

// limited tells whether an application service is rate-limited when it acts for a user, "" for its sender, which never is.
func (s *Service) limited(reg *registration.Registration, user id.UserID) bool {
	return reg.RateLimited && user != "" && user != s.userID(reg.SenderLocalpart)
}

// sessionLimited tells whether who has logged in is rate-limited. The users of an application service are as they are when it acts for them.
func (s *Service) sessionLimited(session store.Session) bool {
	if session.AppService == "" {
		return true
	}
	reg := s.appServices().ByID(session.AppService)
	return reg == nil || s.limited(reg, session.UserID)
}

// Unlimited tells whether an access token is that of an application service that no rate limit holds back when it acts for a user, ""
// for its sender.
func (s *Service) Unlimited(token string, asUser id.UserID) bool {
	reg := s.appServices().ByToken(token)
	return reg != nil && !s.limited(reg, asUser) && (asUser == "" || s.covers(reg, asUser))
}

// ServiceOf returns the registration of the application service whose as_token a token is, nil for others.
func (s *Service) ServiceOf(token string) *registration.Registration {
	if token == "" {
		return nil
	}
	return s.appServices().ByToken(token)
}

// anybody is a name that nobody is likely to have chosen a namespace for.
const anybody = "any.name-of/a=person"

// CoversAll tells whether an application service may act for all users of this server, as one for double puppeting may.
func (s *Service) CoversAll(reg *registration.Registration) bool {
	return s.covers(reg, s.userID(anybody))
}

// Manages tells whether the account of a user is an application service's to manage: it has made it, or has it to itself, and it is no
// person's, whom it may speak for all the same.
func (s *Service) Manages(ctx context.Context, appService string, user id.UserID) (bool, error) {
	u, err := s.user(ctx, user)
	if err != nil {
		return false, fmt.Errorf("look up whose account %s is: %w", user, err)
	}
	if u.AppService == "" {
		return false, nil
	}
	reg := s.appServices().ByID(appService)
	return u.AppService == appService || reg != nil && reg.ExclusiveUser(user), nil
}

// MayActFor returns nil when an application service may act for a user of its own. Errors: 403 M_FORBIDDEN, M_EXCLUSIVE,
// M_USER_DEACTIVATED, M_USER_SUSPENDED; 401 M_USER_LOCKED.
func (s *Service) MayActFor(ctx context.Context, appService string, user id.UserID) error {
	reg := s.appServices().ByID(appService)
	if reg == nil {
		return unknownToken()
	}
	if err := s.inReach(reg, user); err != nil {
		return err
	}
	if user == s.userID(reg.SenderLocalpart) {
		if err := s.ensureSender(ctx, user, reg.ID); err != nil {
			return err
		}
	}
	who := Identity{UserID: user}
	if err := s.checkGhost(ctx, &who); err != nil {
		return err
	}
	if who.IsSuspended {
		return matrixError(http.StatusForbidden, "M_USER_SUSPENDED", "%s is suspended", user)
	}
	return who.Locked
}

// inReach refuses users outside of an application service's namespaces, and those that another has to itself.
func (s *Service) inReach(reg *registration.Registration, user id.UserID) error {
	switch {
	case !s.covers(reg, user):
		return forbidden("Application service cannot masquerade as this user")
	case !reg.ExclusiveUser(user) && s.exclusiveTo(user) != "":
		return matrixError(http.StatusForbidden, "M_EXCLUSIVE", "The user is in a namespace of another application service")
	}
	return nil
}

// exclusiveTo returns the id of the application service that has a user of this server to itself, or "".
func (s *Service) exclusiveTo(user id.UserID) string {
	if owner := s.appServices().ExclusiveOwnerOfUser(user); owner != nil {
		return owner.ID
	}
	return ""
}

// OfServices returns those of some users that an application service has to itself, services themselves included.
func (s *Service) OfServices(users []id.UserID) []id.UserID {
	found := []id.UserID{}
	for _, user := range users {
		if user.Homeserver() == s.cfg.ServerName && s.exclusiveTo(user) != "" {
			found = append(found, user)
		}
	}
	return found
}

// orphaned tells whether a session is that of an application service that is not registered any more: what it may not do with its as_token,
// it may not do with the sessions of its users. Those of accounts that it made come back with the registration, or with one that has the user
// to itself under another id; those into which it logged somebody else's user, a person perhaps, last while it may act for that user.
func (s *Service) orphaned(session store.Session) bool {
	services := s.appServices()
	if session.AppService != "" && services.ByID(session.AppService) == nil && services.ExclusiveOwnerOfUser(session.UserID) == nil {
		return true
	}
	if session.LoggedInBy == "" || session.LoggedInBy == session.AppService {
		return false
	}
	reg := services.ByID(session.LoggedInBy)
	return reg == nil || s.inReach(reg, session.UserID) != nil
}

// takenOver tells whether a name that a person has was given to one of this server's own bridges since: it acts as that user, and what people
// on its network say, and what the bridge itself may do in rooms, must not be the word of whoever took the name in time. Their sessions come
// back when the bridge goes. What a file gives to a service may be meant to have been people's.
func (s *Service) takenOver(user id.UserID) bool {
	return s.appServices().BuiltInOwnerOfUser(user) != nil
}

// EndServices has the requests that wait on behalf of application services looked at again whose registrations, in the form given,
// hold no more.
func (s *Service) EndServices(former []*registration.Registration) {
	s.watches.endIf(func(user id.UserID) bool {
		return slices.ContainsFunc(former, func(reg *registration.Registration) bool { return s.covers(reg, user) })
	})
}
