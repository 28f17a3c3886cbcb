package usersync

import (
	"testing"
)

func TestSlidingFirst(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		p := w.room(alice, "shared")
		p.join(bob)
		p.texts(bob, "m", 3)
		d := w.device(alice, true)
		a := d.sync(all(2, obj{"type": "m.room.create", "state_key": ""}))
		if got := a.Lists["all"].Count; got != 1 {
			t.Errorf("count %d, want 1", got)
		}
		r := a.room(t, p)
		wantList(t, "timeline", brief(r.Timeline), list("m1", "m2"))
		wantList(t, "state", r.state(), list("create"))
		if !r.Initial || !r.Limited || r.NumLive != 0 || r.Membership != "join" || *r.Joined != 2 || *r.Invited != 0 || r.Bump != p.last.Pos {
			t.Errorf("got %s", r.raw)
		}
		wantList(t, "lists", r.Lists, list("all"))
		if len(r.Heroes) != 1 || r.Heroes[0]["user_id"] != string(bob) {
			t.Errorf("heroes %v", r.Heroes)
		}
		d.sync(all(2, obj{"type": "m.room.create", "state_key": ""})).none(t)
		p.text(bob, "m3")
		r = d.sync(all(2, obj{"type": "m.room.create", "state_key": ""})).room(t, p)
		wantList(t, "timeline", brief(r.Timeline), list("m3"))
		if r.Initial || r.Limited || r.NumLive != 1 || r.Joined != nil || len(r.Required) != 0 {
			t.Errorf("got %s", r.raw)
		}
	})
}
