package usersync

import (
	"strings"
	"testing"

	"causeway/homeserver/store"
)

// TestSlidingPurgedState has the state be purged that a device knows.
func TestSlidingPurgedState(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		p := w.room(alice, "shared")
		p.join(bob)
		d := w.device(alice, true)
		everything := obj{}
		d.sync(all(2, everything))
		p.set(alice, "m.room.topic", "", obj{"topic": "two"})
		p.texts(alice, "lost", 3)
		p.text(alice, "last")
		p.purge(p.last.Pos)
		r := d.sync(all(2, everything)).room(t, p)
		wantList(t, "state", r.state(), list("alice:join", "bob:join", "create", "history_visibility=shared", "topic=two"))
		wantList(t, "timeline", brief(r.Timeline), list("last"))
		if !r.Initial {
			t.Errorf("got %s", r.raw)
		}
		d.sync(all(2, everything)).none(t)
	})
}

// TestSlidingPurgedRoom has a room go that devices know of, and then the account.
func TestSlidingPurgedRoom(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.write(func(tx *store.Tx) error { return tx.InsertUser(&store.User{UserID: alice}) })
		p, q := w.room(alice, "shared"), w.room(alice, "shared")
		d := w.device(alice, true)
		d.sync(all(1))
		d.sync(all(1))
		w.write(func(tx *store.Tx) error {
			if _, err := tx.BeginPurge(p.id); err != nil {
				return err
			}
			for more := true; more; {
				var err error
				if _, more, err = tx.PurgeRoomSome(p.nid); err != nil {
					return err
				}
			}
			return nil
		})
		d.sync(all(1)).none(t)
		q.text(alice, "still here")
		a := d.sync(all(1))
		if a.room(t, q); len(a.Rooms) != 1 || a.Lists["all"].Count != 1 {
			t.Errorf("got %+v", a)
		}
		w.restart()
		d.sync(all(1)).none(t)
		w.noOrphans()
		w.write(func(tx *store.Tx) error {
			_, err := tx.DeleteDevices(w.nid(alice), "E")
			return err
		})
		w.noOrphans()
		if _, err := d.try(all(2)); err == nil {
			w.restart()
			_, err = d.try(all(2))
			wantCode(t, err, "M_UNKNOWN_POS")
		}
	})
}

func (w *world) noOrphans() {
	w.t.Helper()
	w.view(func(tx *store.Tx) error {
		orphans, err := tx.AuditOrphans(5)
		for _, o := range orphans {
			if strings.HasPrefix(o.Table, "sliding") {
				w.t.Errorf("orphans: %+v", o)
			}
		}
		return err
	})
}
