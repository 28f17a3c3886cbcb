package account

import (
	"context"
	"errors"

	"causeway/homeserver/store"

	"maunium.net/go/mautrix/id"
)

// InCall tells whether a user may use the account and one of its devices ("" for none), and so be in a call; and whether they may say
// anything there, which they may not while they are suspended. Who is nobody's is no error.
func (s *Service) InCall(ctx context.Context, user id.UserID, device id.DeviceID) (usable, mute bool, err error) {
	err = s.db.View(ctx, func(tx *store.Tx) error {
		usable, mute = false, false
		u, err := tx.User(user)
		if err != nil || u.Deactivated || barred(u.Locked, u.ValidUntilTS, s.now()) != nil {
			return err
		}
		usable, mute = true, u.Suspended
		if device != "" {
			usable, err = tx.HasDevice(user, device)
		}
		return err
	})
	if errors.Is(err, store.ErrNotFound) {
		return false, false, nil
	}
	return usable, mute, err
}
