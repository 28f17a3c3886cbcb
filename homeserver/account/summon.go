package account

import (
	"context"

	"github.com/rs/zerolog"
	"maunium.net/go/mautrix/id"
)

// UserQuerier asks the application services for a user that nobody has made yet.
type UserQuerier interface {
	// QueryUser is true when a service says that it has made the user now. The service except is not asked.
	QueryUser(ctx context.Context, user id.UserID, except string) (bool, error)
}

// Summon has the application services asked for a user of this server that there is not, and reports whether there is one now. Who is there
// already is not asked for. except is the service that acts for whoever wants to know, "" for none. It may take as long as a service takes
// to answer, and is not for use in a transaction. A service that cannot be asked is as one that says no.
// Application Service API, "Querying".
func (s *Service) Summon(ctx context.Context, user id.UserID, except string) bool {
	if s.cfg.Users == nil || user.Homeserver() != s.cfg.ServerName || !storable(string(user)) || len(user) > maxUserIDBytes {
		return false
	}
	exists, err := s.UserExists(ctx, user)
	if err != nil || exists {
		return false
	}
	made, err := s.cfg.Users.QueryUser(ctx, user, except)
	if err != nil {
		zerolog.Ctx(ctx).Debug().Err(err).Stringer("user_id", user).Msg("No application service makes a user that somebody looks for")
	}
	if !made {
		return false
	}
	exists, err = s.UserExists(ctx, user)
	return err == nil && exists
}
