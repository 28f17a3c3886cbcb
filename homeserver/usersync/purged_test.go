package usersync

import (
	"context"
	"slices"
	"testing"

	"causeway/homeserver/store"

	"maunium.net/go/mautrix/id"
)

// purge deletes the room's history before a position, as the room service does it.
func (p *place) purge(before int64) {
	p.w.t.Helper()
	point := store.PurgePoint{RoomNID: p.nid, Pos: before}
	p.w.write(func(tx *store.Tx) error {
		for next, more := int64(0), true; more; more = next != 0 {
			var err error
			if _, next, err = tx.PurgeMessages(point, next); err != nil {
				return err
			}
		}
		pinned, err := tx.PinnedEvents(p.nid)
		if err != nil {
			return err
		}
		for next, more := int64(0), true; more; more = next != 0 {
			if next, err = tx.DemoteState(point, next, pinned); err != nil {
				return err
			}
		}
		for more := true; more && err == nil; {
			more, err = tx.TrimRoomStates(point)
		}
		return err
	})
}

// TestPurged reads a room of which only the end is left.
func TestPurged(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		p := w.room(alice, "shared")
		p.join(bob, carol)
		p.set(alice, "m.room.topic", "", obj{"topic": "one"})
		gone := p.text(alice, "gone")
		after, classic, fresh := w.client(alice), w.client(alice), w.client(alice)
		after.req.StateAfter = StateAfter
		after.sync()
		classic.sync()
		old := token(p.last.Pos)
		p.member(carol, carol, "leave")
		p.set(alice, "m.room.topic", "", obj{"topic": "two"})
		p.texts(alice, "lost", 3)
		p.text(alice, "last")
		fresh.sync()
		p.purge(p.last.Pos)
		p.member(bob, bob, "leave")

		state := list("create", "alice:join", "history_visibility=shared", "carol:leave", "topic=two")
		r := classic.sync().joined(t, p)
		wantList(t, "timeline", brief(r.Timeline.Events), list("last", "bob:leave"))
		wantList(t, "state", sorted(brief(r.State.Events)), sorted(append(state, "bob:join")))
		if !r.Timeline.Limited {
			t.Error("nothing says that there was more")
		}
		r = after.sync().joined(t, p)
		wantList(t, "state_after", sorted(brief(r.StateAfter.Events)), sorted(append(state, "bob:leave")))
		r = fresh.sync().joined(t, p)
		wantList(t, "of one who was up to date", brief(r.Timeline.Events), list("bob:leave"))
		if r.Timeline.Limited || len(r.State.Events) != 0 {
			t.Errorf("limited %t, state %v", r.Timeline.Limited, brief(r.State.Events))
		}
		r = w.client(alice).sync().joined(t, p)
		wantList(t, "initial timeline", brief(r.Timeline.Events), list("last", "bob:leave"))
		wantList(t, "initial state", sorted(brief(r.State.Events)), sorted(append(state, "bob:join")))
		readPurged(t, p, old, gone, len(state)+1)
	})
}

// readPurged reads a room of which two events are left in the timeline as alice. old is a token from before them, gone an event of
// before, and size what the state holds.
func readPurged(t *testing.T, p *place, old string, gone *store.Event, size int) {
	t.Helper()
	ctx, w, viewer := context.Background(), p.w, Viewer{User: alice}
	for _, req := range []MessagesRequest{{Backwards: true}, {Backwards: true, From: token(p.last.Pos)}, {}, {From: old}, {From: "s1"}} {
		req.Viewer, req.RoomID, req.Limit = viewer, p.id, 50
		page := w.page(req)
		if page.End != "" || len(page.Chunk) != 2 {
			t.Errorf("from %q, backwards %t: got %v, end %q", req.From, req.Backwards, page.brief(), page.End)
		}
	}
	if page := w.page(MessagesRequest{Viewer: viewer, RoomID: p.id, From: old, Backwards: true, Limit: 5}); page.End != "" || len(page.Chunk) != 0 {
		t.Errorf("before what is left: got %v, end %q", page.brief(), page.End)
	}
	for _, e := range []*store.Event{gone, p.state[[2]string{"m.room.topic", ""}]} {
		_, err := w.s.Event(ctx, viewer, p.id, e.EventID)
		wantCode(t, err, "M_NOT_FOUND")
		_, err = w.s.Context(ctx, viewer, p.id, e.EventID, 5, nil)
		wantCode(t, err, "M_NOT_FOUND")
	}
	for _, at := range []string{old, "s1"} {
		if _, err := w.s.Members(ctx, MembersRequest{Viewer: viewer, RoomID: p.id, At: at}); err != nil {
			t.Errorf("members at %s: %v", at, err)
		}
	}
	raw, err := w.s.Context(ctx, viewer, p.id, p.last.EventID, 10, nil)
	if err != nil {
		t.Fatal(err)
	}
	var around struct{ State, Events_before []clientEvent }
	w.unmarshal(raw, &around)
	wantList(t, "context", brief(around.Events_before), list("last"))
	if len(around.State) != size {
		t.Errorf("state of the context: %v", brief(around.State))
	}
}

// TestPurgedStay has those look who left before what is left, and after. What users of this server were shown when they went is kept.
func TestPurgedStay(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		const dave, erin = id.UserID("@dave:test"), id.UserID("@erin:test")
		w.write(func(tx *store.Tx) error { return tx.InsertUser(&store.User{UserID: dave}) })
		w.write(func(tx *store.Tx) error { return tx.InsertUser(&store.User{UserID: erin}) })
		p := w.room(alice, "shared")
		p.set(alice, "m.room.topic", "", obj{"topic": "old"})
		p.join(bob, carol, dave)
		b := w.client(bob)
		b.sync()
		p.text(alice, "lost")
		p.member(bob, bob, "leave")
		p.member(dave, dave, "leave")
		p.member(alice, erin, "invite")
		p.set(alice, "m.room.topic", "", obj{"topic": "new"})
		p.texts(alice, "m", 3)
		p.purge(p.last.Pos)
		p.member(carol, carol, "leave")
		p.text(alice, "now")

		r := b.sync().left(t, p)
		wantList(t, "bob's timeline", brief(r.Timeline.Events), list())
		wantList(t, "bob's state", brief(r.State.Events), list("bob:leave"))
		if a := w.client(bob).filter(`{"room": {"include_leave": true}}`).sync(); !a.empty() {
			t.Errorf("a stay that was purged is shown: %+v", a)
		}
		_, err := w.s.Messages(context.Background(), MessagesRequest{Viewer: Viewer{User: bob}, RoomID: p.id, Limit: 5})
		wantCode(t, err, "M_FORBIDDEN")

		for _, tt := range []struct {
			user     id.UserID
			timeline []string
			topic    string
		}{
			{carol, list("dave:leave", "m2", "carol:leave"), `{"topic":"new"}`},
			{dave, list("dave:leave"), `{"topic":"old"}`},
		} {
			page := w.page(MessagesRequest{Viewer: Viewer{User: tt.user}, RoomID: p.id, Limit: 50})
			wantList(t, string(tt.user)+": page", slices.DeleteFunc(page.brief(), func(s string) bool { return s == "erin:invite" }), tt.timeline)
			topic, err := w.s.StateEvent(context.Background(), Viewer{User: tt.user}, p.id, "m.room.topic", "", false)
			if err != nil || string(topic) != tt.topic {
				t.Errorf("%s: topic %s, %v, want %s", tt.user, topic, err, tt.topic)
			}
			r := w.client(tt.user).filter(`{"room": {"include_leave": true}}`).sync().left(t, p)
			last := r.Timeline.Events[len(r.Timeline.Events)-1]
			if briefOne(last) != tt.timeline[len(tt.timeline)-1] {
				t.Errorf("%s: timeline %v", tt.user, brief(r.Timeline.Events))
			}
		}
		wantList(t, "erin's invitation", brief(w.client(erin).sync().Rooms.Invite[p.id].InviteState.Events),
			list("create", "alice:join", "topic=old", "erin:invite"))
	})
}
