package usersync

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"causeway/homeserver/store"

	"maunium.net/go/mautrix/id"
)

func TestInitial(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		p := w.room(alice, "shared")
		p.set(alice, "m.room.topic", "", obj{"topic": "one"})
		p.join(bob)
		p.texts(alice, "m", 12)

		r := w.client(alice).sync().joined(t, p)
		wantList(t, "timeline", brief(r.Timeline.Events), list("m2", "m3", "m4", "m5", "m6", "m7", "m8", "m9", "m10", "m11"))
		wantList(t, "state", brief(r.State.Events), list("create", "alice:join", "history_visibility=shared", "topic=one", "bob:join"))
		if !r.Timeline.Limited || r.Timeline.PrevBatch == "" {
			t.Errorf("limited %v, prev_batch %q", r.Timeline.Limited, r.Timeline.PrevBatch)
		}
		if r.Summary["m.joined_member_count"] != 2.0 || r.Summary["m.invited_member_count"] != 0.0 {
			t.Errorf("summary %v", r.Summary)
		}
		if got, want := r.Summary["m.heroes"], "[@bob:test]"; fmt.Sprint(got) != want {
			t.Errorf("heroes %v, want %s", got, want)
		}
		for _, e := range r.Timeline.Events {
			if e.RoomID != "" || e.Unsigned["membership"] != "join" || e.Unsigned["age"] != float64(2_000_000-e.TS) {
				t.Errorf("event %+v", e)
			}
		}
	})
}

func TestInitialOfANewRoom(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		p := w.room(alice, "")
		p.text(alice, "hello")
		r := w.client(alice).sync().joined(t, p)
		wantList(t, "timeline", brief(r.Timeline.Events), list("create", "alice:join", "hello"))
		wantList(t, "state", brief(r.State.Events), list())
		if r.Timeline.Limited || r.Timeline.PrevBatch != "" {
			t.Errorf("limited %v, prev_batch %q", r.Timeline.Limited, r.Timeline.PrevBatch)
		}
		if a := w.client(bob).sync(); !a.empty() {
			t.Errorf("a stranger sees %+v", a)
		}
	})
}

func TestIncremental(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		p, other := w.room(alice, "shared"), w.room(bob, "shared")
		c := w.client(alice)
		c.sync()
		if a := c.sync(); !a.empty() {
			t.Errorf("nothing happened, and there is %+v", a)
		}
		p.text(alice, "one")
		other.text(bob, "not for alice")
		p.set(alice, "m.room.name", "", obj{"name": "N"})
		a := c.sync()
		r := a.joined(t, p)
		wantList(t, "timeline", brief(r.Timeline.Events), list("one", "name=N"))
		wantList(t, "state", brief(r.State.Events), list())
		if len(a.Rooms.Join) != 1 || r.Timeline.Limited || r.Timeline.PrevBatch == "" || r.Ephemeral == nil || r.Unread == nil {
			t.Errorf("answer %+v", r)
		}
		if a := c.sync(); !a.empty() {
			t.Errorf("nothing happened, and there is %+v", a)
		}
	})
}

func TestGap(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		p := w.room(alice, "shared")
		p.set(alice, "m.room.topic", "", obj{"topic": "old"})
		for _, tt := range []struct {
			name, stateAfter string
			state            []string
		}{
			{"state", "", list("name=N", "topic=new", "carol:join")},
			{"state_after", StateAfter, list("name=N", "carol:join", "topic=newest")},
			{"unstable", StateAfterUnstable, list("name=N", "carol:join", "topic=newest")},
		} {
			c := w.client(alice).filter(`{"room": {"timeline": {"limit": 4}}}`)
			c.req.StateAfter = tt.stateAfter
			c.sync()
			p.text(alice, "lost")
			p.set(alice, "m.room.name", "", obj{"name": "N"})
			p.set(alice, "m.room.topic", "", obj{"topic": "newish"})
			p.set(alice, "m.room.topic", "", obj{"topic": "new"})
			p.join(carol)
			p.texts(alice, "m", 3)
			p.set(alice, "m.room.topic", "", obj{"topic": "newest"})
			r := c.sync().joined(t, p)
			wantList(t, tt.name+": timeline", brief(r.Timeline.Events), list("m0", "m1", "m2", "topic=newest"))
			if !r.Timeline.Limited {
				t.Errorf("%s: not limited", tt.name)
			}
			lists := map[string]*eventList{"": r.State, StateAfter: r.StateAfter, StateAfterUnstable: r.Unstable}
			for name, l := range lists {
				if (l != nil) != (name == tt.stateAfter) {
					t.Errorf("%s: field %q is %v", tt.name, name, l)
				}
			}
			wantList(t, tt.name, brief(lists[tt.stateAfter].Events), tt.state)
			// The gap can be filled.
			c.req.Filter = nil
			wantList(t, "filled", w.page(MessagesRequest{
				Viewer: Viewer{User: alice}, RoomID: p.id, From: r.Timeline.PrevBatch, Backwards: true, Limit: 6,
			}).brief(), list("carol:join", "topic=new", "topic=newish", "name=N", "lost", prevOf(tt.stateAfter)))
			p.member(carol, carol, "leave")
		}
	})
}

// prevOf is what stood before the gap of TestGap.
func prevOf(stateAfter string) string {
	if stateAfter == "" {
		return "topic=old"
	}
	return "carol:leave"
}

func TestStateAfterWithoutAGap(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		p := w.room(alice, "shared")
		c := w.client(alice)
		c.req.StateAfter = StateAfter
		r := c.sync().joined(t, p)
		wantList(t, "whole state", brief(r.StateAfter.Events), list("create", "alice:join", "history_visibility=shared"))
		p.text(alice, "x")
		p.set(alice, "m.room.topic", "", obj{"topic": "a"})
		p.set(alice, "m.room.topic", "", obj{"topic": "b"})
		r = c.sync().joined(t, p)
		wantList(t, "timeline", brief(r.Timeline.Events), list("x", "topic=a", "topic=b"))
		wantList(t, "state", brief(r.StateAfter.Events), list("topic=b"))
		p.text(alice, "y")
		r = c.sync().joined(t, p)
		wantList(t, "state of a message", brief(r.StateAfter.Events), list())
	})
}

func TestFullState(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		p := w.room(alice, "shared")
		c := w.client(alice)
		c.sync()
		p.text(alice, "x")
		c.req.FullState = true
		r := c.sync().joined(t, p)
		wantList(t, "timeline", brief(r.Timeline.Events), list("x"))
		wantList(t, "state", brief(r.State.Events), list("create", "alice:join", "history_visibility=shared"))
		r = c.sync().joined(t, p)
		wantList(t, "empty timeline", brief(r.Timeline.Events), list())
		wantList(t, "state again", brief(r.State.Events), list("create", "alice:join", "history_visibility=shared"))
	})
}

func TestNewlyJoined(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		for _, tt := range []struct {
			visibility string
			timeline   []string
			state      []string
		}{
			{"shared", list("before1", "bob:join", "after"), list("create", "alice:join", "history_visibility=shared")},
			// The event that hides what comes after it is judged by what was before it, too.
			{"joined", list("history_visibility=joined", "bob:join", "after"), list("create", "alice:join")},
			{"world_readable", list("before1", "bob:join", "after"), list("create", "alice:join", "history_visibility=world_readable")},
		} {
			p := w.room(alice, tt.visibility)
			c := w.client(bob).filter(`{"room": {"timeline": {"limit": 3}}}`)
			c.sync()
			p.texts(alice, "before", 2)
			p.join(bob)
			p.text(alice, "after")
			r := c.sync().joined(t, p)
			wantList(t, tt.visibility+": timeline", brief(r.Timeline.Events), tt.timeline)
			wantList(t, tt.visibility+": state", brief(r.State.Events), tt.state)
			if !r.Timeline.Limited || r.Summary["m.joined_member_count"] != 2.0 {
				t.Errorf("%s: limited %v, summary %v", tt.visibility, r.Timeline.Limited, r.Summary)
			}
			p.text(alice, "more")
			r = c.sync().joined(t, p)
			wantList(t, tt.visibility+": later", brief(r.Timeline.Events), list("more"))
			if r.Timeline.Limited || r.Summary != nil {
				t.Errorf("%s later: limited %v, summary %v", tt.visibility, r.Timeline.Limited, r.Summary)
			}
		}
	})
}

func TestLeaving(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		for _, tt := range []struct {
			name string
			by   id.UserID
			how  string
		}{{"left", bob, "leave"}, {"kicked", alice, "leave"}, {"banned", alice, "ban"}} {
			p := w.room(alice, "shared")
			p.join(bob)
			c := w.client(bob)
			c.sync()
			p.text(alice, "heard")
			p.member(tt.by, bob, tt.how)
			p.text(alice, "not heard")
			p.set(alice, "m.room.topic", "", obj{"topic": "secret"})
			a := c.sync()
			r := a.left(t, p)
			wantList(t, tt.name, brief(r.Timeline.Events), list("heard", "bob:"+tt.how))
			wantList(t, tt.name+": state", brief(r.State.Events), list())
			if len(a.Rooms.Join) != 0 {
				t.Errorf("%s: still among those joined", tt.name)
			}
			p.text(alice, "still not heard")
			if a := c.sync(); !a.empty() {
				t.Errorf("%s: shown again: %+v", tt.name, a.Rooms)
			}
			if a := w.client(bob).sync(); !a.empty() {
				t.Errorf("%s: in an initial sync: %+v", tt.name, a.Rooms)
			}
			r = w.client(bob).filter(`{"room": {"include_leave": true}}`).sync().left(t, p)
			wantList(t, tt.name+" with include_leave", brief(r.Timeline.Events),
				list("create", "alice:join", "history_visibility=shared", "bob:join", "heard", "bob:"+tt.how))
			r = w.client(bob).filter(`{"room": {"include_leave": true, "timeline": {"limit": 2}}}`).sync().left(t, p)
			wantList(t, tt.name+" with include_leave and limit: state", brief(r.State.Events),
				list("create", "alice:join", "history_visibility=shared", "bob:join"))
		}
	})
}

func TestCameAndWent(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		p := w.room(alice, "joined")
		c := w.client(bob)
		c.sync()
		p.text(alice, "before")
		p.join(bob)
		p.text(alice, "during")
		p.member(bob, bob, "leave")
		p.text(alice, "after")
		p.member(alice, bob, "ban")
		r := c.filter(`{"room": {"timeline": {"limit": 2}}}`).sync().left(t, p)
		wantList(t, "timeline", brief(r.Timeline.Events), list("during", "bob:leave", "bob:ban"))
		wantList(t, "state", brief(r.State.Events), list("create", "alice:join", "history_visibility=joined", "bob:join"))
		p.member(alice, bob, "leave")
		r = c.sync().left(t, p)
		wantList(t, "unban", brief(r.Timeline.Events), list("bob:leave"))
		wantList(t, "state of the unban", brief(r.State.Events), list())
	})
}

// TestOutWithStateAfter has what a client which takes no state from the timeline is told of its not being in a room any more.
func TestOutWithStateAfter(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		p := w.room(alice, "joined")
		c := w.client(bob).filter(`{"room": {"timeline": {"limit": 2}}}`)
		c.req.StateAfter = StateAfter
		c.sync()
		p.join(bob)
		p.member(bob, bob, "leave")
		p.member(alice, bob, "ban")
		r := c.sync().left(t, p)
		wantList(t, "came and went: timeline", brief(r.Timeline.Events), list("bob:join", "bob:leave", "bob:ban"))
		wantList(t, "came and went: state", brief(r.StateAfter.Events), list("create", "alice:join", "history_visibility=joined", "bob:ban"))
		for _, membership := range []string{"leave", "ban", "leave"} {
			p.member(alice, bob, membership)
			r = c.sync().left(t, p)
			wantList(t, "out: timeline", brief(r.Timeline.Events), list("bob:"+membership))
			wantList(t, "out: state", brief(r.StateAfter.Events), list("bob:"+membership))
		}
	})
}

func TestRejoin(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		for _, visibility := range []string{"shared", "joined"} {
			p := w.room(alice, visibility)
			p.join(bob)
			c := w.client(bob)
			c.sync()
			p.text(alice, "one")
			p.member(bob, bob, "leave")
			p.text(alice, "away")
			p.set(alice, "m.room.topic", "", obj{"topic": "away"})
			p.join(bob)
			p.text(alice, "two")
			r := c.sync().joined(t, p)
			want, state := list("one", "bob:leave", "away", "topic=away", "bob:join", "two"), list()
			if visibility == "joined" {
				want, state = list("one", "bob:leave", "bob:join", "two"), list("topic=away")
			}
			wantList(t, visibility, brief(r.Timeline.Events), want)
			wantList(t, visibility+": state", brief(r.State.Events), state)

			// Left in one answer, back in another.
			p.member(bob, bob, "leave")
			c.sync().left(t, p)
			p.text(alice, "away again")
			p.join(bob)
			r = c.sync().joined(t, p)
			if !r.Timeline.Limited || len(r.State.Events)+len(r.Timeline.Events) < 4 {
				t.Errorf("%s: back again: %+v", visibility, r)
			}
		}
	})
}

func TestInvites(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		p := w.room(alice, "shared")
		p.set(alice, "m.room.name", "", obj{"name": "N"})
		p.set(alice, "m.room.join_rules", "", obj{"join_rule": "invite"})
		p.set(alice, "m.room.topic", "", obj{"topic": "T"})
		p.set(alice, "m.room.power_levels", "", obj{"users": obj{}})
		c := w.client(bob)
		c.sync()
		p.member(alice, bob, "invite")
		p.set(alice, "m.room.topic", "", obj{"topic": "not yours"})
		want := list("create", "alice:join", "name=N", "join_rules", "topic=T", "bob:invite")
		a := c.sync()
		wantList(t, "invite_state", brief(a.Rooms.Invite[p.id].InviteState.Events), want)
		create := a.Rooms.Invite[p.id].InviteState.Events[0]
		if create.EventID != "" || create.Sender != alice || create.StateKey == nil || create.Content["room_version"] != "12" {
			t.Errorf("create event %+v", create)
		}
		if a := c.sync(); !a.empty() {
			t.Errorf("the invitation is shown again: %+v", a)
		}
		wantList(t, "initial", brief(w.client(bob).sync().Rooms.Invite[p.id].InviteState.Events), want)

		p.text(alice, "private")
		p.member(bob, bob, "leave")
		r := c.sync().left(t, p)
		wantList(t, "rejected", brief(r.Timeline.Events), list("bob:leave"))
		wantList(t, "rejected: state", brief(r.State.Events), list())
		if a := c.sync(); !a.empty() {
			t.Errorf("the rejection is shown again: %+v", a)
		}
		if a := w.client(bob).filter(`{"room": {"include_leave": true}}`).sync(); !a.empty() {
			t.Errorf("a room never joined is shown: %+v", a)
		}

		p.member(bob, bob, "knock")
		wantList(t, "knock_state", brief(c.sync().Rooms.Knock[p.id].KnockState.Events),
			list("create", "name=N", "join_rules", "topic=not yours", "bob:knock"))
		p.member(alice, bob, "invite")
		p.join(bob)
		if a := c.sync(); a.joined(t, p) == nil || len(a.Rooms.Invite) != 0 {
			t.Errorf("invited and joined: %+v", a.Rooms)
		}
	})
}

func TestForgotten(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		p := w.room(alice, "shared")
		p.join(bob)
		c := w.client(bob)
		c.sync()
		p.member(bob, bob, "leave")
		bobNID := w.nid(bob)
		err := w.db.Write(context.Background(), func(tx *store.Tx) error { return tx.Forget(p.nid, bobNID) })
		if err != nil {
			t.Fatal(err)
		}
		// Another device must still learn that the room is left.
		wantList(t, "leave", brief(c.sync().left(t, p).Timeline.Events), list("bob:leave"))
		if a := w.client(bob).filter(`{"room": {"include_leave": true}}`).sync(); !a.empty() {
			t.Errorf("a forgotten room is shown: %+v", a)
		}
		_, err = w.s.Messages(context.Background(), MessagesRequest{Viewer: Viewer{User: bob}, RoomID: p.id, Backwards: true, Limit: 5})
		wantCode(t, err, "M_FORBIDDEN")
	})
}

func TestTokens(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		p := w.room(alice, "shared")
		for _, bad := range []string{"x", "s", "s-1", "s1.5", "s 1", "t12", "s99999999999999999999", "12", "s+1", "s1s"} {
			_, err := w.s.Sync(context.Background(), Request{User: alice, Since: bad})
			wantCode(t, err, "M_INVALID_PARAM")
		}
		// The database was restored from a backup: the client starts anew.
		a := w.sync(Request{User: alice, Since: "s9999999"})
		if len(a.joined(t, p).Timeline.Events) != 3 || a.NextBatch == "s9999999" {
			t.Errorf("a token of the future: %+v", a)
		}
	})
}

func FuzzParseToken(f *testing.F) {
	for _, s := range []string{"s0", "s1", "s9223372036854775807", "s9223372036854775808", "", "s", "x1", "s-1", "s01",
		"s1_2", "s1_", "s_1", "s1_2_3", "s1_-2", "s9223372036854775807_9223372036854775807", "s9223372036854775807_92233720368547758070"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		pos, err := parseToken("since", s)
		if err == nil && pos < 0 {
			t.Errorf("%q is %d", s, pos)
		}
		if err == nil {
			if again, err := parseToken("since", token(pos)); err != nil || again != pos {
				t.Errorf("%q: %d, then %d, %v", s, pos, again, err)
			}
		}
	})
}

// TestLongAnswer has the timelines of an answer that is long already be short, and what they leave out be found.
func TestLongAnswer(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.s.longSync = 1
		p, q := w.room(alice, "shared"), w.room(alice, "shared")
		c := w.client(alice)
		for _, name := range list("initial", "gap") {
			p.texts(alice, name, 3)
			q.set(alice, "m.room.topic", "", obj{"topic": name})
			q.texts(alice, name, 3)
			a := c.sync()
			if r := a.joined(t, p); len(r.Timeline.Events) < 3 {
				t.Errorf("%s: the first timeline is cut: %v", name, brief(r.Timeline.Events))
			}
			r := a.joined(t, q)
			wantList(t, name, brief(r.Timeline.Events), list(name+"2"))
			if state := brief(r.State.Events); !r.Timeline.Limited || !slices.Contains(state, "topic="+name) {
				t.Errorf("%s: limited %t, state %v", name, r.Timeline.Limited, state)
			}
			wantList(t, "the rest", w.page(MessagesRequest{
				Viewer: Viewer{User: alice}, RoomID: q.id, From: r.Timeline.PrevBatch, Backwards: true, Limit: 2,
			}).brief(), list(name+"1", name+"0"))
		}
	})
}
