package account

import (
	"context"
	"errors"
	"fmt"

	"causeway/homeserver/store"

	"github.com/rs/zerolog"
	"maunium.net/go/mautrix/id"
)

// prove returns the user of an id when a password is theirs, and nil when it is not, or when nobody has that id. It takes the same time
// for all of these. named is what the client names the user by, which attempts are counted for. clientIP is where the attempt comes from, ""
// for unknown. The error is 429 M_LIMIT_EXCEEDED when there were too many attempts, whoever's id it is.
func (s *Service) prove(ctx context.Context, userID id.UserID, named, password, clientIP string) (*store.User, error) {
	if len(userID) > maxUserIDBytes {
		userID, named = "", "" // nobody's: it is not worth being remembered
	}
	var (
		user     *store.User
		imported string
		known    bool
	)
	err := s.db.View(ctx, func(tx *store.Tx) (err error) {
		if imported, err = tx.ImportedPassword(); err != nil {
			return err
		}
		if user, err = tx.User(userID); errors.Is(err, store.ErrNotFound) {
			user, err = &store.User{UserID: userID}, nil // asked for like any other
		}
		if err == nil {
			known, err = tx.SeenAt(user.NID, clientIP)
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("look up whose password it is: %w", err)
	}
	key := named
	if known {
		// Who has been here from this address is not shut out by those who try from elsewhere.
		key += "\n" + clientIP
	}
	if err := s.attempts.take(key, s.now()); err != nil {
		return nil, err
	}
	stored := user.Password
	if len(password) > maxPasswordBytes {
		stored, password = "", ""
	}
	right, err := s.passwords.verify(ctx, stored, password, imported)
	if err != nil || !right || user.Deactivated {
		return nil, err
	}
	s.attempts.settle(key)
	if s.passwords.outdated(stored) && !s.renewHash(ctx, user, password) {
		return s.prove(ctx, userID, named, password, clientIP) // there is another hash by now, which may be of the same password
	}
	return user, nil
}

// renewHash puts a hash of today in the place of one that came from another server, or is of other parameters. That it does not succeed
// is no reason to keep the user out: the next login tries again. It is false when the user's hash is another meanwhile.
func (s *Service) renewHash(ctx context.Context, user *store.User, password string) bool {
	replaced := false
	hash, err := s.passwords.hash(ctx, password)
	if err == nil {
		err = s.db.Write(ctx, func(tx *store.Tx) (err error) {
			replaced, err = tx.ReplacePassword(user.NID, user.Password, hash)
			return err
		})
	}
	switch {
	case err == nil && replaced:
		user.Password = hash
	case err != nil:
		zerolog.Ctx(ctx).Warn().Err(err).Stringer("user_id", user.UserID).Msg("A password hash of old could not be renewed")
	}
	return err != nil || replaced
}
