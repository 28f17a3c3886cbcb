package usersync

import (
	"fmt"
	"testing"

	"maunium.net/go/mautrix/id"
)

// forms runs a test for both forms.
func forms(t *testing.T, test func(t *testing.T, w *world, stable bool)) {
	each(t, func(t *testing.T, w *world) {
		test(t, w, true)
		test(t, w, false)
	})
}

// listOf is a request of either form for a range of all rooms.
func listOf(stable bool, from, upto, limit int, required any) obj {
	l := obj{"timeline_limit": limit, "required_state": required}
	if stable {
		l["range"] = []int{from, upto}
	} else {
		l["ranges"] = [][]int{{from, upto}}
	}
	return obj{"lists": obj{"l": l}}
}

func none(stable bool) any {
	if stable {
		return obj{}
	}
	return []any{}
}

func (a *slidingAnswer) briefRooms(places ...*place) []string {
	out := []string{}
	for i, p := range places {
		if a.Rooms[p.id] != nil {
			out = append(out, fmt.Sprint(i))
		}
	}
	return out
}

func TestSlidingWindow(t *testing.T) {
	forms(t, func(t *testing.T, w *world, stable bool) {
		w.forgetRooms(alice)
		var ps []*place
		for range 4 {
			ps = append(ps, w.room(alice, "shared"))
		}
		d := w.device(alice, stable)
		a := d.sync(listOf(stable, 0, 1, 5, none(stable)))
		wantList(t, "the newest", a.briefRooms(ps...), list("2", "3"))
		if a.Lists["l"].Count != 4 {
			t.Errorf("count %d", a.Lists["l"].Count)
		}
		// Growing tells what comes in, and nothing twice.
		wantList(t, "one more", d.sync(listOf(stable, 0, 2, 5, none(stable))).briefRooms(ps...), list("1"))
		// An event that is no activity brings a room to the top all the same, but not its bump_stamp.
		bump := ps[0].last.Pos
		ps[0].text(alice, "x")
		stamp := ps[0].last.Pos
		ps[0].set(alice, "x.y", "", obj{})
		r := d.sync(listOf(stable, 0, 0, 5, none(stable))).room(t, ps[0])
		if r.Bump != stamp || stamp == bump {
			t.Errorf("bump_stamp %d, want %d", r.Bump, stamp)
		}
		// What happens outside of the window is told when the room comes in again, from where it was left.
		ps[3].texts(alice, "gap", 3)
		ps[2].text(alice, "y")
		wantList(t, "the top", d.sync(listOf(stable, 0, 0, 5, none(stable))).briefRooms(ps...), list("2"))
		r = d.sync(listOf(stable, 0, 1, 5, none(stable))).room(t, ps[3])
		wantList(t, "the rest", brief(r.Timeline), list("gap0", "gap1", "gap2"))
		if r.Initial || r.Limited || r.NumLive != 0 {
			t.Errorf("got %s", r.raw)
		}
	})
}

func TestSlidingExpandedTimeline(t *testing.T) {
	forms(t, func(t *testing.T, w *world, stable bool) {
		w.forgetRooms(alice)
		p := w.room(alice, "shared")
		p.texts(alice, "m", 5)
		d := w.device(alice, stable)
		d.sync(listOf(stable, 0, 9, 1, none(stable)))
		p.texts(alice, "n", 1)
		d.sync(listOf(stable, 0, 9, 1, none(stable)))
		d.sync(listOf(stable, 0, 9, 2, none(stable))).none(t) // it has two already
		r := d.sync(listOf(stable, 0, 9, 4, none(stable))).room(t, p)
		wantList(t, "timeline", brief(r.Timeline), list("m2", "m3", "m4", "n0"))
		if r.Expanded != stable || r.OldExpanded == stable || r.Initial || r.NumLive != 0 || !r.Limited {
			t.Errorf("got %s", r.raw)
		}
		d.sync(listOf(stable, 0, 9, 4, none(stable))).none(t)
		d.sync(listOf(stable, 0, 9, 1, none(stable))).none(t)
		d.sync(listOf(stable, 0, 9, 4, none(stable))).none(t)
	})
}

func TestSlidingRequiredState(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		p := w.room(alice, "shared")
		p.join(bob)
		p.set(alice, "m.room.topic", "", obj{"topic": "1"})
		p.set(alice, "x.y", "a", obj{})
		p.set(alice, "x.y", "b", obj{})
		for _, tt := range []struct {
			name   string
			stable bool
			state  any
			want   []string
		}{
			{"nothing", true, obj{}, list()},
			{"a place", true, obj{"include": []obj{{"type": "m.room.topic", "state_key": ""}}}, list("topic=1")},
			{"a type", true, obj{"include": []obj{{"type": "x.y"}}}, list("x.y", "x.y")},
			{"a key", true, obj{"include": []obj{{"state_key": "b"}}}, list("x.y")},
			{"all", true, obj{"include": []obj{{}}}, list("alice:join", "bob:join", "create", "history_visibility=shared", "topic=1", "x.y", "x.y")},
			{"all but", true, obj{"include": []obj{{}}, "exclude": []obj{{"type": "m.room.member"}, {"state_key": "a"}}},
				list("create", "history_visibility=shared", "topic=1", "x.y")},
			{"lazy", true, obj{"include": []obj{{}}, "lazy_members": true}, list("alice:join", "create", "history_visibility=shared", "topic=1", "x.y", "x.y")},
			{"lazy is not excluded", true, obj{"exclude": []obj{{}}, "lazy_members": true}, list("alice:join")},
			{"lazy and one more", true, obj{"include": []obj{{"type": "m.room.member", "state_key": bob}}, "lazy_members": true}, list("alice:join", "bob:join")},
			{"old: a place", false, [][]string{{"m.room.topic", ""}}, list("topic=1")},
			{"old: a type", false, [][]string{{"x.y", "*"}}, list("x.y", "x.y")},
			{"old: a key", false, [][]string{{"*", "b"}}, list("x.y")},
			{"old: me", false, [][]string{{"m.room.member", "$ME"}}, list("alice:join")},
			{"old: lazy", false, [][]string{{"m.room.member", "$LAZY"}}, list("alice:join")},
			{"old: all", false, [][]string{{"*", "*"}}, list("alice:join", "bob:join", "create", "history_visibility=shared", "topic=1", "x.y", "x.y")},
			{"old: all, lazy", false, [][]string{{"*", "*"}, {"m.room.member", "$LAZY"}},
				list("alice:join", "create", "history_visibility=shared", "topic=1", "x.y", "x.y")},
			{"old: members, lazy", false, [][]string{{"m.room.member", "*"}, {"m.room.member", "$LAZY"}}, list("alice:join", "bob:join")},
		} {
			r := w.device(alice, tt.stable).sync(listOf(tt.stable, 0, 9, 1, tt.state)).room(t, p)
			wantList(t, tt.name, r.state(), tt.want)
		}
	})
}

func TestSlidingStateChanges(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		p := w.room(alice, "shared")
		p.set(alice, "m.room.topic", "", obj{"topic": "1"})
		p.set(alice, "x.y", "", obj{})
		topic, other := obj{"type": "m.room.topic"}, obj{"type": "x.y"}
		d := w.device(alice, true)
		d.sync(all(1, topic))
		wantList(t, "grown", d.sync(all(1, topic, other)).room(t, p).state(), list("x.y"))
		d.sync(all(1, other)).none(t)
		p.set(alice, "m.room.topic", "", obj{"topic": "2"})
		wantList(t, "shrunk", d.sync(all(1, other)).room(t, p).state(), list())
		wantList(t, "grown again", d.sync(all(1, other, topic)).room(t, p).state(), list("topic=2"))
		// The name, once it is there, changes and goes.
		p.set(alice, "m.room.name", "", obj{"name": "N"})
		p.set(alice, "m.room.avatar", "", obj{"url": "mxc://a/b"})
		r := d.sync(all(1)).room(t, p)
		if r.Name == nil || *r.Name != "N" || r.Avatar == nil || *r.Avatar != "mxc://a/b" || r.Heroes != nil {
			t.Errorf("got %s", r.raw)
		}
		p.set(alice, "m.room.name", "", obj{})
		p.set(alice, "m.room.avatar", "", obj{})
		r = d.sync(all(1)).room(t, p)
		if string(r.raw["name"]) != "null" || string(r.raw["avatar"]) != "null" {
			t.Errorf("got %s", r.raw)
		}
	})
}

func TestSlidingLazyMembers(t *testing.T) {
	forms(t, func(t *testing.T, w *world, stable bool) {
		w.forgetRooms(alice)
		p := w.room(alice, "shared")
		for i := range 5 {
			p.join(id.UserID(fmt.Sprintf("@u%d:test", i)))
		}
		var lazy any = obj{"lazy_members": true}
		if !stable {
			lazy = [][]string{{"m.room.member", "$LAZY"}}
		}
		d := w.device(alice, stable)
		sync := func() *slidingRoomAnswer { return d.sync(listOf(stable, 0, 9, 2, lazy)).room(t, p) }
		p.text("@u0:test", "a")
		p.text("@u1:test", "b")
		wantList(t, "senders", sync().state(), list("u0:join", "u1:join"))
		p.text("@u1:test", "c")
		wantList(t, "known", sync().state(), list())
		p.text("@u2:test", "d")
		wantList(t, "new", sync().state(), list("u2:join"))
		// Without a gap all changes are told, and who is spoken of.
		p.member("@u3:test", "@u3:test", "leave")
		wantList(t, "changed", sync().state(), list("u3:leave"))
		// With a gap, the senders again, and of the changes those of whom the client has heard.
		p.member("@u2:test", "@u2:test", "leave")
		p.member("@u4:test", "@u4:test", "leave")
		p.text("@u1:test", "e")
		p.text("@u1:test", "f")
		r := sync()
		wantList(t, "gap", r.state(), list("u1:join", "u2:leave"))
		if !r.Limited {
			t.Errorf("got %s", r.raw)
		}
	})
}

func TestSlidingComingAndGoing(t *testing.T) {
	forms(t, func(t *testing.T, w *world, stable bool) {
		w.forgetRooms(bob)
		p := w.room(alice, "shared")
		p.set(alice, "m.room.topic", "", obj{"topic": "before"})
		p.set(alice, "x.secret", "", obj{})
		var state any = obj{"include": []obj{{}}}
		if !stable {
			state = [][]string{{"*", "*"}}
		}
		d := w.device(bob, stable)
		sync := func() *slidingAnswer { return d.sync(listOf(stable, 0, 9, 10, state)) }
		sync().none(t)
		p.member(alice, bob, "invite")
		r := sync().room(t, p)
		stripped := r.InviteState
		if stable {
			stripped = r.Stripped
		}
		wantList(t, "stripped state", sorted(brief(stripped)), list("alice:join", "bob:invite", "create", "topic=before"))
		if len(r.Timeline)+len(r.Required) > 0 || r.Joined != nil || r.Heroes != nil || !r.Initial {
			t.Errorf("an invitation shows %s", r.raw)
		}
		p.text(alice, "not yet his")
		sync().none(t)
		p.member(bob, bob, "leave")
		r = sync().room(t, p)
		if stable {
			wantList(t, "declined", brief(r.Stripped), list("bob:leave"))
		} else {
			wantList(t, "declined", brief(r.Timeline), list("bob:leave"))
			wantList(t, "declined", r.state(), list("bob:leave"))
		}
		if r.InviteState != nil || stable && len(r.Timeline)+len(r.Required) > 0 {
			t.Errorf("declined shows %s", r.raw)
		}
		sync().none(t)
		p.member(alice, bob, "invite")
		p.join(bob)
		r = sync().room(t, p)
		wantList(t, "state", r.state(), list("alice:join", "bob:join", "create", "history_visibility=shared", "topic=before", "x.secret"))
		if !r.Initial || *r.Joined != 2 {
			t.Errorf("joined shows %s", r.raw)
		}
		p.text(alice, "his")
		p.member(alice, bob, "ban")
		p.text(alice, "secret")
		p.set(alice, "m.room.topic", "", obj{"topic": "secret"})
		p.set(alice, "m.room.name", "", obj{"name": "secret"})
		r = sync().room(t, p)
		wantList(t, "banned", brief(r.Timeline), list("his", "bob:ban"))
		wantList(t, "banned", r.state(), list("bob:ban"))
		if r.Name != nil || r.Joined != nil || r.Heroes != nil {
			t.Errorf("banned shows %s", r.raw)
		}
		sync().none(t)
		p.text(alice, "secret, too")
		sync().none(t)
		// A client that begins now hears of the ban, and of the room as it was.
		fresh := w.device(bob, stable)
		fresh.name = "E"
		r = fresh.sync(listOf(stable, 0, 9, 3, state)).room(t, p)
		wantList(t, "begun late", brief(r.Timeline)[1:], list("his", "bob:ban"))
		wantList(t, "begun late", r.state(), list("alice:join", "bob:ban", "create", "history_visibility=shared", "topic=before", "x.secret"))
		// Pardoned, he is still out, and has left by another's hand.
		p.member(alice, bob, "leave")
		r = sync().room(t, p)
		wantList(t, "pardoned", brief(r.Timeline), list("bob:leave"))
	})
}

func TestSlidingLeaving(t *testing.T) {
	forms(t, func(t *testing.T, w *world, stable bool) {
		w.forgetRooms(bob)
		p, q := w.room(alice, "shared"), w.room(alice, "shared")
		p.join(bob)
		q.join(bob)
		d := w.device(bob, stable)
		sync := func() *slidingAnswer { return d.sync(listOf(stable, 0, 9, 10, none(stable))) }
		sync()
		p.member(bob, bob, "leave")
		a := sync()
		if r := a.room(t, p); stable && r.Membership != "leave" {
			t.Errorf("got %s", r.raw)
		}
		a = sync()
		if a.none(t); a.Lists["l"].Count != 1 {
			t.Errorf("count %d, want 1", a.Lists["l"].Count)
		}
		a = w.device(bob, stable).sync(listOf(stable, 0, 9, 10, none(stable)))
		wantList(t, "for others", a.briefRooms(p, q), list("1"))
	})
}

// TestSlidingStrangers asks for rooms by their ids.
func TestSlidingStrangers(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		hidden, open, joined, left := w.room(alice, "shared"), w.room(alice, "world_readable"), w.room(alice, "joined"), w.room(alice, "joined")
		joined.text(alice, "before")
		joined.join(bob)
		left.join(bob)
		left.text(alice, "his")
		left.member(bob, bob, "leave")
		left.text(alice, "secret")
		everything := obj{"include": []obj{{}}}
		a := w.device(bob, true).sync(subscribe(10, everything, hidden, open, joined, left, &place{id: "!nowhere"}, &place{id: "x\x00"}))
		wantList(t, "rooms", a.briefRooms(hidden, open, joined, left), list("2", "3"))
		wantList(t, "joined", brief(a.room(t, joined).Timeline), list("create", "alice:join", "history_visibility=joined", "bob:join"))
		wantList(t, "left", brief(a.room(t, left).Timeline)[3:], list("bob:join", "his", "bob:leave"))
		if r := a.room(t, joined); r.Lists != nil {
			t.Errorf("lists %v", r.Lists)
		}
		w.ignore(bob, `{"ignored_users":{"@carol:test":{}}}`)
		p := w.room(carol, "shared")
		p.member(carol, bob, "invite")
		w.device(bob, true).sync(subscribe(10, everything, p)).none(t)
		a = w.device(bob, true).sync(all(1))
		wantList(t, "listed", a.briefRooms(p, joined), list("1"))
		carols := joined
		carols.join(carol)
		carols.text(carol, "ignored")
		a = w.device(bob, true).sync(subscribe(2, obj{}, joined))
		wantList(t, "without those ignored", brief(a.room(t, joined).Timeline), list("bob:join", "carol:join"))
	})
}
