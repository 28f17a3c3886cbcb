package usersync

import (
	"testing"

	"causeway/homeserver/store"
)

// TestSlidingForgotten has a room leave the list because it is forgotten, of which no event tells.
func TestSlidingForgotten(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		p, q := w.room(bob, "shared"), w.room(alice, "shared")
		p.join(alice)
		d := w.device(alice, true)
		d.sync(all(1))
		p.member(bob, alice, "leave") // a room that one is removed from is in the list
		d.sync(all(1)).room(t, p)
		count := func(when string, want int) {
			t.Helper()
			if got := d.sync(all(1)).Lists["all"].Count; got != want {
				t.Errorf("%s: %d rooms, want %d", when, got, want)
			}
		}
		count("removed", 2)
		w.write(func(tx *store.Tx) error { return tx.Forget(p.nid, w.nid(alice)) })
		count("forgotten", 1)
		q.text(alice, "news")
		count("after news", 1)
		p.join(alice)
		count("joined again", 2)
	})
}

// TestSlidingSeatsKept has more happen than is followed, and has a connection that was put out of memory go on.
func TestSlidingSeatsKept(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		p, other := w.room(alice, "shared"), w.room(bob, "shared")
		d := w.device(alice, true)
		d.sync(all(3))
		kept := func() keptSeats { return w.s.slidings.all[connKey{alice, "D", ""}].seats }
		before := kept()
		p.text(alice, "1")
		wantList(t, "followed", brief(d.sync(all(3)).room(t, p).Timeline), list("1"))
		if now := kept(); now.asOf <= before.asOf || now.all[p.nid].LastPos != p.last.Pos || len(now.all) != 1 {
			t.Errorf("kept are %+v", now)
		}
		other.texts(bob, "elsewhere", shortRange)
		other.member(bob, alice, "invite")
		p.text(alice, "2")
		a := d.sync(all(3))
		wantList(t, "long after", brief(a.room(t, p).Timeline), list("2"))
		if a.room(t, other); len(kept().all) != 2 {
			t.Errorf("kept are %+v", kept())
		}
		w.s.slidings.all[connKey{alice, "D", ""}].unload()
		p.text(alice, "3")
		wantList(t, "out of memory", brief(d.sync(all(3)).room(t, p).Timeline), list("3"))
	})
}
