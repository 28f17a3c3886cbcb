package store_test

import (
	"fmt"
	"testing"

	"causeway/homeserver/store"
	"causeway/homeserver/storetest"

	"maunium.net/go/mautrix/id"
)

// TestOwners reads whose the accounts are, a few at a time, without those that have ended.
func TestOwners(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		write(t, db, func(tx *store.Tx) error {
			for i, service := range []string{"", "irc", "", "irc"} {
				if err := tx.InsertUser(&store.User{UserID: id.UserID(fmt.Sprintf("@u%d:test", i)), AppService: service}); err != nil {
					return err
				}
			}
			_, err := tx.Deactivate("@u2:test", false)
			return err
		})
		var got []string
		for after := int64(0); ; {
			var some []store.Owner
			err := db.View(t.Context(), func(tx *store.Tx) (err error) {
				some, err = tx.Owners(after, 2)
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
			for _, owner := range some {
				got = append(got, fmt.Sprintf("%s %q", owner.UserID, owner.AppService))
				after = owner.NID
			}
			if len(some) < 2 {
				break
			}
		}
		if fmt.Sprint(got) != `[@u0:test "" @u1:test "irc" @u3:test "irc"]` {
			t.Errorf("got %v", got)
		}
	})
}
