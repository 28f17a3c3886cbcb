package e2ee

import (
	"slices"
	"testing"

	"causeway/homeserver/store"

	"maunium.net/go/mautrix/id"
)

// TestSyncs has transactions acknowledge messages for devices of a service's accounts, one of which asks /sync itself, and of a person.
func TestSyncs(t *testing.T) {
	each(t, func(b *bench) {
		quiet := By{User: "@irc_quiet:test", Device: "Q", Scope: "Q"}
		syncing := By{User: "@irc_syncing:test", Device: "S", Scope: "S"}
		for _, by := range []By{quiet, syncing} {
			b.write(func(tx *store.Tx) error {
				u := store.User{UserID: by.User, AppService: "irc", CreatedTS: 1}
				if err := tx.InsertUser(&u); err != nil {
					return err
				}
				return tx.EnsureDevice(u.NID, by.Device, "", 1)
			})
		}
		for range 2 { // the second time, people are known; the device of the service has been made again
			b.write(func(tx *store.Tx) error {
				nid, err := tx.LookupNID(string(syncing.User))
				if err != nil {
					return err
				}
				if _, err := tx.DeleteDevice(nid, syncing.Device); err != nil {
					return err
				}
				return tx.EnsureDevice(nid, syncing.Device, "", 1)
			})
			for _, by := range []By{syncing, bob, {User: syncing.User}, {User: syncing.User, Device: "unknown"}, {User: "@nobody:test", Device: "N"}} {
				if err := b.s.Syncs(t.Context(), by.User, by.Device); err != nil {
					t.Fatalf("%s %s syncs: %v", by.User, by.Device, err)
				}
			}
		}
		for _, c := range []struct {
			to       By
			service  string
			wantLeft []string
		}{
			{quiet, "irc", nil},
			{quiet, "other", []string{"alice 1"}},
			{syncing, "irc", []string{"alice 1"}},
			{bob, "irc", []string{"alice 1"}},
		} {
			b.send(alice, c.to, 1)
			_, upto := b.waiting(c.to)
			b.write(func(tx *store.Tx) error {
				nid, err := tx.LookupNID(string(c.to.User))
				if err != nil {
					return err
				}
				return tx.DeleteServiceMail(c.service, store.ServiceDevice{UserNID: nid, DeviceID: c.to.Device}, upto)
			})
			if got, _ := b.waiting(c.to); !slices.Equal(got, c.wantLeft) {
				t.Errorf("after %s has acknowledged, what waits for %s is %q, want %q", c.service, c.to.User, got, c.wantLeft)
			}
			if err := b.s.Acknowledge(t.Context(), c.to.User, c.to.Device, upto); err != nil {
				t.Fatal(err)
			}
			if got, _ := b.waiting(c.to); len(got) > 0 {
				t.Errorf("after a /sync, %q waits for %s", got, c.to.User)
			}
		}
	})
}

func TestPersonalDevicesAreBounded(t *testing.T) {
	p := personalDevices{all: make(map[inboxKey]struct{})}
	for i := range maxPersonal + 5 {
		p.add(inboxKey{id.UserID(rune(i)), "D"})
	}
	if len(p.all) > maxPersonal {
		t.Errorf("there are %d, want at most %d", len(p.all), maxPersonal)
	}
}
