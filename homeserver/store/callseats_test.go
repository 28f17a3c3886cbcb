package store_test

import (
	"fmt"
	"testing"

	"causeway/homeserver/event"
	"causeway/homeserver/store"
	"causeway/homeserver/storetest"
)

// TestCallSeats keeps seats in calls, which go with their room and with their user's account.
func TestCallSeats(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		version, err := event.LookupVersion("11")
		if err != nil {
			t.Fatal(err)
		}
		alice := store.CallSeat{Alias: "A", Identity: "a", RoomID: "!r:test", UserID: "@alice:test", DeviceID: "D", UntilTS: 5}
		bob := store.CallSeat{Alias: "A", Identity: "b", RoomID: "!r:test", UserID: "@bob:test", Legacy: true, DelayID: "d", DelayMS: 7}
		write(t, db, func(tx *store.Tx) error {
			for _, user := range []store.User{{UserID: alice.UserID}, {UserID: bob.UserID}} {
				if err := tx.InsertUser(&user); err != nil {
					return err
				}
			}
			if _, err := tx.InsertRoom("!r:test", version, false); err != nil {
				return err
			}
			if err := tx.SaveCallSeat(alice); err != nil {
				return err
			}
			return tx.SaveCallSeat(bob)
		})
		check := func(name string, want ...store.CallSeat) {
			t.Helper()
			var got []store.CallSeat
			err := db.View(t.Context(), func(tx *store.Tx) (err error) {
				got, err = tx.CallSeats()
				return err
			})
			if err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("%s: got %+v (%v), want %+v", name, got, err, want)
			}
		}
		check("as they were saved", alice, bob)
		alice.UntilTS, alice.DelayID, alice.DelayMS = 9, "e", 8
		write(t, db, func(tx *store.Tx) error { return tx.SaveCallSeat(alice) })
		check("changed", alice, bob)
		write(t, db, func(tx *store.Tx) error { return tx.DropCallSeat("A", "a") })
		check("dropped", bob)
		write(t, db, func(tx *store.Tx) error {
			_, err := tx.Deactivate(bob.UserID, false)
			return err
		})
		check("after an account has ended")
		err = db.Write(t.Context(), func(tx *store.Tx) error {
			return tx.SaveCallSeat(store.CallSeat{Alias: "A", Identity: "c", RoomID: "!none:test", UserID: "@alice:test"})
		})
		if err == nil {
			t.Error("a seat in a call of no room was saved")
		}
	})
}
