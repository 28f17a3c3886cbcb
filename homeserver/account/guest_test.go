package account

import (
	"context"
	"testing"

	"causeway/homeserver/store"
	"causeway/homeserver/storetest"
)

// TestGuestWhoCannotBePromoted comes with tokens of guests that are good for nothing any more, or not for now.
func TestGuestWhoCannotBePromoted(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		ctx := context.Background()
		s := newService(db, true)
		s.cfg.Guests, s.cfg.Lifetimes.SessionMS = true, 1000
		now := int64(1_700_000_000_000)
		s.now = func() int64 { return now }
		for _, test := range []struct {
			name, want string
			happens    func(guest Login) error
		}{
			{"nothing happens", "", func(Login) error { return nil }},
			{"it expires", "M_UNKNOWN_TOKEN", func(Login) error { now += 1000; return nil }},
			{"it is locked", "M_USER_LOCKED", func(guest Login) error {
				err := db.Write(ctx, func(tx *store.Tx) error { return tx.SetLocked(guest.UserID, true) })
				s.forget(guest.UserID)
				return err
			}},
			{"it ends", "M_UNKNOWN_TOKEN", func(guest Login) error { return s.EndAccount(ctx, guest.UserID, false) }},
			{"it ends while the request is on its way", "M_USER_IN_USE", func(guest Login) error {
				// The session is one that was read before.
				err := db.Write(ctx, func(tx *store.Tx) error { _, err := tx.Deactivate(guest.UserID, false); return err })
				return err
			}},
		} {
			guest, err := s.Register(ctx, RegisterRequest{Kind: "guest"})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := s.Identify(ctx, guest.AccessToken, "", ""); err != nil {
				t.Fatal(err)
			}
			if err := test.happens(guest); err != nil {
				t.Fatal(err)
			}
			localpart := guest.UserID.Localpart()
			_, err = s.Register(ctx, RegisterRequest{Username: localpart, Password: "secret", GuestToken: guest.AccessToken, Auth: &AuthData{Type: typeDummy}})
			if codeOf(err) != test.want {
				t.Errorf("%s: got %v, want %q", test.name, err, test.want)
			}
		}
	})
}
