package store_test

import (
	"context"
	"errors"
	"testing"

	"causeway/homeserver/store"
	"causeway/homeserver/storetest"

	"maunium.net/go/mautrix/id"
)

// TestDevicesOfUsers keeps, renames and sees devices.
func TestDevicesOfUsers(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		user := &store.User{UserID: "@alice:test"}
		err := db.Write(context.Background(), func(tx *store.Tx) error {
			if err := tx.InsertUser(user); err != nil {
				return err
			}
			for i, device := range []id.DeviceID{"B", "A"} {
				if err := tx.EnsureDevice(user.NID, device, "", int64(i)); err != nil {
					return err
				}
			}
			if _, err := tx.RenameDevice(user.NID, "NONE", "x"); !errors.Is(err, store.ErrNotFound) {
				t.Errorf("rename none: %v", err)
			}
			if change, err := tx.RenameDevice(user.NID, "A", "Name"); err != nil || change.Pos != 0 {
				t.Errorf("rename one without keys: %+v, %v", change, err)
			}
			if err := tx.SetDeviceKeys(user.NID, "A", []byte(`{}`)); err != nil {
				return err
			}
			if change, err := tx.RenameDevice(user.NID, "A", "Name"); err != nil || change.Pos == 0 || change.UserNID != user.NID {
				t.Errorf("rename one with keys: %+v, %v", change, err)
			}
			for _, seen := range []store.Sighting{{TS: 5, IP: "1.2.3.4", Agent: "x"}, {TS: 4, IP: "old"}} {
				for _, device := range []id.DeviceID{"A", "NONE"} {
					if err := tx.SetLastSeen(user.UserID, device, seen); err != nil {
						return err
					}
				}
			}
			return tx.SetLastSeen("@nobody:test", "A", store.Sighting{TS: 1})
		})
		if err != nil {
			t.Fatal(err)
		}
		err = db.View(context.Background(), func(tx *store.Tx) error {
			all, err := tx.Devices(user.NID)
			want := store.Device{DeviceID: "A", DisplayName: "Name", CreatedTS: 1, LastSeen: store.Sighting{TS: 5, IP: "1.2.3.4", Agent: "x"}}
			if err != nil || len(all) != 2 || all[0].DeviceID != "B" || all[1] != want {
				t.Errorf("all: %+v, %v", all, err)
			}
			if one, err := tx.Device(user.NID, "A"); err != nil || one != want {
				t.Errorf("one: %+v, %v", one, err)
			}
			if _, err := tx.Device(user.NID, "NONE"); !errors.Is(err, store.ErrNotFound) {
				t.Errorf("none: %v", err)
			}
			for ips, want := range map[string]bool{"1.2.3.4": true, "old": false, "": false} {
				if got, err := tx.SeenAt(user.NID, ips); err != nil || got != want {
					t.Errorf("seen at %q: %v, %v", ips, got, err)
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	})
}

// TestLoginTokens keeps the newest tokens, each for one use.
func TestLoginTokens(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		user := &store.User{UserID: "@alice:test"}
		hash := func(i int) [32]byte { return [32]byte{byte(i)} }
		err := db.Write(context.Background(), func(tx *store.Tx) error {
			if err := tx.InsertUser(user); err != nil {
				return err
			}
			for i := range 5 {
				if err := tx.InsertLoginToken(hash(i), user.NID, 0, int64(100+i), 3); err != nil {
					return err
				}
			}
			for i, want := range []bool{false, false, true, true, true} {
				nid, err := tx.UseLoginToken(hash(i), 10)
				if got := err == nil && nid == user.NID; got != want {
					t.Errorf("token %d: %d, %v", i, nid, err)
				}
				if _, err := tx.UseLoginToken(hash(i), 10); !errors.Is(err, store.ErrNotFound) {
					t.Errorf("token %d, once more: %v", i, err)
				}
			}
			if err := tx.InsertLoginToken(hash(9), user.NID, 0, 100, 3); err != nil {
				return err
			}
			if _, err := tx.UseLoginToken(hash(9), 100); !errors.Is(err, store.ErrNotFound) {
				t.Errorf("an expired token: %v", err)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	})
}
