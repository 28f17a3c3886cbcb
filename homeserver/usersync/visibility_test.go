package usersync

import (
	"context"
	"slices"
	"testing"

	"causeway/homeserver/event"
	"causeway/homeserver/store"

	"maunium.net/go/mautrix/id"
)

// TestVisibility shows, for each history visibility and each course of a user's membership, which of the messages that were
// sent in between the user may see. Client-Server API, "Room History Visibility".
func TestVisibility(t *testing.T) {
	// A message follows each of these: m0 before any, m1 after the first, and so on.
	courses := []struct {
		name  string
		steps []string
		sees  map[string][]string
	}{
		{"joins", []string{"join"}, map[string][]string{
			"world_readable": {"m0", "m1"}, "shared": {"m0", "m1"}, "invited": {"m1"}, "joined": {"m1"},
		}},
		{"invited, joins", []string{"invite", "join"}, map[string][]string{
			"world_readable": {"m0", "m1", "m2"}, "shared": {"m0", "m1", "m2"}, "invited": {"m1", "m2"}, "joined": {"m2"},
		}},
		{"joins, leaves", []string{"join", "leave"}, map[string][]string{
			"world_readable": {"m0", "m1"}, "shared": {"m0", "m1"}, "invited": {"m1"}, "joined": {"m1"},
		}},
		{"joins, is banned, unbanned", []string{"join", "ban", "leave"}, map[string][]string{
			"world_readable": {"m0", "m1"}, "shared": {"m0", "m1"}, "invited": {"m1"}, "joined": {"m1"},
		}},
		{"joins, leaves, joins", []string{"join", "leave", "join"}, map[string][]string{
			"world_readable": {"m0", "m1", "m2", "m3"}, "shared": {"m0", "m1", "m2", "m3"},
			"invited": {"m1", "m3"}, "joined": {"m1", "m3"},
		}},
		{"joins, leaves, is invited, rejects", []string{"join", "leave", "invite", "leave"}, map[string][]string{
			"world_readable": {"m0", "m1"}, "shared": {"m0", "m1"}, "invited": {"m1"}, "joined": {"m1"},
		}},
		{"is invited", []string{"invite"}, map[string][]string{"world_readable": {"m0", "m1"}}},
		{"rejects", []string{"invite", "leave"}, map[string][]string{"world_readable": {"m0", "m1", "m2"}}},
		{"never there", nil, map[string][]string{"world_readable": {"m0"}}},
		{"knocks", []string{"knock"}, map[string][]string{"world_readable": {"m0", "m1"}}},
	}
	each(t, func(t *testing.T, w *world) {
		for _, visibility := range []string{"world_readable", "shared", "invited", "joined", "nonsense"} {
			for _, c := range courses {
				p := w.room(alice, visibility)
				messages := []*store.Event{p.text(alice, "m0")}
				for i, step := range c.steps {
					by := bob
					if step == "invite" || step == "ban" {
						by = alice
					}
					p.member(by, bob, step)
					messages = append(messages, p.text(alice, "m"+string(rune('1'+i))))
				}
				pages := c.sees[visibility]
				if visibility == "nonsense" { // not understood: shared
					pages = c.sees["shared"]
				}
				// Pages end where the user left; what anybody may see, or an invited user, can still be asked for by its id.
				single := pages
				if visibility == "world_readable" {
					single = nil
					for i := range messages {
						single = append(single, "m"+string(rune('0'+i)))
					}
				} else if visibility == "invited" && slices.Equal(c.steps, []string{"join", "leave", "invite", "leave"}) {
					single = []string{"m1", "m3"}
				}
				checkVisible(t, w, p, c.name+", "+visibility, messages, single, pages)
			}
		}
	})
}

// checkVisible compares all ways to read messages with what bob should see, one by one and in pages.
func checkVisible(t *testing.T, w *world, p *place, name string, messages []*store.Event, wantSingle, want []string) {
	t.Helper()
	ctx, viewer := context.Background(), Viewer{User: bob}
	var single []string
	for _, m := range messages {
		raw, err := w.s.Event(ctx, viewer, p.id, m.EventID)
		if err != nil {
			wantCode(t, err, "M_NOT_FOUND")
			if _, err := w.s.Context(ctx, viewer, p.id, m.EventID, 3, nil); err == nil {
				t.Errorf("%s: context of an event that is hidden", name)
			}
			continue
		}
		var e clientEvent
		w.unmarshal(raw, &e)
		single = append(single, briefOne(e))
	}
	wantList(t, name+": single", single, wantSingle)

	for _, backwards := range []bool{true, false} {
		raw, err := w.s.Messages(ctx, MessagesRequest{Viewer: viewer, RoomID: p.id, Backwards: backwards, Limit: 50})
		if len(want) == 0 {
			wantCode(t, err, "M_FORBIDDEN")
			for _, err := range readState(w, p) {
				wantCode(t, err, "M_FORBIDDEN")
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		var page pageAnswer
		w.unmarshal(raw, &page)
		got := slices.DeleteFunc(page.brief(), func(s string) bool { return len(s) != 2 })
		if backwards {
			slices.Reverse(got)
		}
		wantList(t, name+": page", got, want)
	}
	if len(want) > 0 {
		for _, err := range readState(w, p) {
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

// readState tries all ways to read state as bob.
func readState(w *world, p *place) []error {
	ctx, viewer := context.Background(), Viewer{User: bob}
	_, err1 := w.s.State(ctx, viewer, p.id)
	_, err2 := w.s.StateEvent(ctx, viewer, p.id, event.TypeCreate, "", false)
	_, err3 := w.s.Members(ctx, MembersRequest{Viewer: viewer, RoomID: p.id})
	return []error{err1, err2, err3}
}

// TestVisibilityChanges has the visibility change along the way.
func TestVisibilityChanges(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		p := w.room(alice, "joined")
		p.text(alice, "joined")
		p.set(alice, event.TypeHistoryVisibility, "", obj{"history_visibility": "shared"})
		p.text(alice, "shared")
		p.set(alice, event.TypeHistoryVisibility, "", obj{"history_visibility": "world_readable"})
		p.text(alice, "world")
		p.set(alice, event.TypeHistoryVisibility, "", obj{"history_visibility": "invited"})
		p.text(alice, "invited")
		p.join(bob)
		want := list("create", "alice:join", "history_visibility=joined", "history_visibility=shared", "shared",
			"history_visibility=world_readable", "world", "history_visibility=invited", "bob:join")
		wantList(t, "all at once", w.page(MessagesRequest{Viewer: Viewer{User: bob}, RoomID: p.id, Limit: 50}).brief(), want)
		slices.Reverse(want)
		got, from := []string(nil), ""
		for range 50 {
			page := w.page(MessagesRequest{Viewer: Viewer{User: bob}, RoomID: p.id, From: from, Limit: 1, Backwards: true})
			got = append(got, page.brief()...)
			if from = page.End; from == "" {
				break
			}
		}
		wantList(t, "one by one", got, want)
	})
}

// TestStateAfterLeaving has somebody outside of a room hear of their own membership, which must not show them the room's state.
func TestStateAfterLeaving(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx, viewer := context.Background(), Viewer{User: bob}
		for _, visibility := range []string{"shared", "invited", "joined"} {
			p := w.room(alice, visibility)
			p.join(bob)
			p.member(bob, bob, "leave")
			p.join(carol)
			ban := p.member(alice, bob, "ban")
			raw, err := w.s.Context(ctx, viewer, p.id, ban.EventID, 3, nil)
			if err != nil {
				t.Fatal(err)
			}
			var around struct{ State []clientEvent }
			w.unmarshal(raw, &around)
			if len(around.State) > 0 {
				t.Errorf("%s: got state %v, want none", visibility, brief(around.State))
			}

			// Nor when they have come since, if the history before that is hidden.
			if visibility != "joined" {
				continue
			}
			p.member(alice, bob, "leave")
			invite := p.member(alice, bob, "invite")
			p.join(bob)
			_, err = w.s.Members(ctx, MembersRequest{Viewer: viewer, RoomID: p.id, At: token(invite.Pos)})
			wantCode(t, err, "M_FORBIDDEN")
		}
	})
}

// TestAnotherBranch has an event arrive late, from a branch of the room's history on which the user is still in the room.
func TestAnotherBranch(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		p := w.room(alice, "joined")
		p.join(bob)
		before := p.stateID
		p.member(alice, bob, "ban")
		after := p.stateID
		p.stateID = before
		late := p.text(carol, "late")
		p.stateID = after
		_, err := w.s.Event(context.Background(), Viewer{User: bob}, p.id, late.EventID)
		wantCode(t, err, "M_NOT_FOUND")

		// And the other way round: bob is in the room, but was not on the branch.
		q := w.room(alice, "joined")
		before = q.stateID
		q.join(bob)
		after = q.stateID
		q.stateID = before
		late = q.text(alice, "late")
		q.stateID = after
		q.text(alice, "now")
		_, err = w.s.Event(context.Background(), Viewer{User: bob}, q.id, late.EventID)
		wantCode(t, err, "M_NOT_FOUND")
		r := w.client(bob).filter(`{"room": {"timeline": {"limit": 3}}}`).sync().joined(t, q)
		wantList(t, "timeline", brief(r.Timeline.Events), list("history_visibility=joined", "bob:join", "now"))
	})
}

func TestStrangers(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		p, q := w.room(alice, "shared"), w.room(bob, "shared")
		e := p.text(alice, "secret")
		ctx := context.Background()
		for _, tt := range []struct {
			name   string
			roomID id.RoomID
		}{{"another's room", p.id}, {"no room", "!none"}} {
			for _, err := range readState(w, &place{w: w, id: tt.roomID}) {
				wantCode(t, err, "M_FORBIDDEN")
			}
			_, err := w.s.JoinedMembers(ctx, bob, tt.roomID, nil)
			wantCode(t, err, "M_FORBIDDEN")
			_, err = w.s.Event(ctx, Viewer{User: bob}, tt.roomID, e.EventID)
			wantCode(t, err, "M_NOT_FOUND")
		}
		// An event cannot be read through another room.
		_, err := w.s.Event(ctx, Viewer{User: bob}, q.id, e.EventID)
		wantCode(t, err, "M_NOT_FOUND")
		_, err = w.s.Context(ctx, Viewer{User: bob}, q.id, e.EventID, 10, nil)
		wantCode(t, err, "M_NOT_FOUND")
	})
}
