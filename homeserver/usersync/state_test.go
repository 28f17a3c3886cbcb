package usersync

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"maunium.net/go/mautrix/id"
)

func TestMembers(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		p := w.room(alice, "shared")
		early := token(p.last.Pos)
		p.join(bob)
		p.member(alice, carol, "invite")
		p.member(bob, bob, "leave")
		p.member(alice, "@d:test", "ban")
		ask := func(req MembersRequest) []string {
			t.Helper()
			req.RoomID = p.id
			raw, err := w.s.Members(context.Background(), req)
			if err != nil {
				t.Fatal(err)
			}
			var m struct {
				Chunk []clientEvent `json:"chunk"`
			}
			w.unmarshal(raw, &m)
			return sorted(brief(m.Chunk))
		}
		a, b := Viewer{User: alice}, Viewer{User: bob}
		for _, tt := range []struct {
			name string
			req  MembersRequest
			want []string
		}{
			{"all", MembersRequest{Viewer: a}, list("alice:join", "bob:leave", "carol:invite", "d:ban")},
			{"join", MembersRequest{Viewer: a, Membership: "join"}, list("alice:join")},
			{"not leave", MembersRequest{Viewer: a, NotMembership: "leave"}, list("alice:join", "carol:invite", "d:ban")},
			{"either", MembersRequest{Viewer: a, Membership: "leave", NotMembership: "join"}, list("bob:leave", "carol:invite", "d:ban")},
			{"at", MembersRequest{Viewer: a, At: early}, list("alice:join")},
			{"at the future", MembersRequest{Viewer: a, At: "s99999", Membership: "ban"}, list("d:ban")},
			{"of who left", MembersRequest{Viewer: b}, list("alice:join", "bob:leave", "carol:invite")},
			{"of who left, at", MembersRequest{Viewer: b, At: early}, list("alice:join")},
		} {
			wantList(t, tt.name, ask(tt.req), tt.want)
		}
		_, err := w.s.Members(context.Background(), MembersRequest{Viewer: a, RoomID: p.id, At: "nonsense"})
		wantCode(t, err, "M_INVALID_PARAM")
		_, err = w.s.Members(context.Background(), MembersRequest{Viewer: Viewer{User: carol}, RoomID: p.id})
		wantCode(t, err, "M_FORBIDDEN")

		q := w.room(alice, "joined")
		q.text(alice, "x")
		before := token(q.last.Pos)
		q.join(bob)
		_, err = w.s.Members(context.Background(), MembersRequest{Viewer: b, RoomID: q.id, At: before})
		wantCode(t, err, "M_FORBIDDEN")
		_, err = w.s.Members(context.Background(), MembersRequest{Viewer: b, RoomID: q.id, At: "s1"})
		wantCode(t, err, "M_FORBIDDEN")
	})
}

func TestState(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		p := w.room(alice, "shared")
		p.set(alice, "m.room.topic", "", obj{"topic": "with bob"})
		p.join(bob)
		p.set(alice, "x.y", "with bob", obj{"v": 1})
		p.member(bob, bob, "leave")
		p.set(alice, "m.room.topic", "", obj{"topic": "without bob"})
		p.set(alice, "x.z", "", obj{"v": 2})
		ask := func(user id.UserID) []string {
			t.Helper()
			raw, err := w.s.State(context.Background(), Viewer{User: user}, p.id)
			if err != nil {
				t.Fatal(err)
			}
			var events []clientEvent
			w.unmarshal(raw, &events)
			if len(events) > 0 && events[0].RoomID != p.id {
				t.Errorf("room_id %q", events[0].RoomID)
			}
			return brief(events)
		}
		wantList(t, "now", ask(alice), list("create", "alice:join", "history_visibility=shared", "x.y", "bob:leave", "topic=without bob", "x.z"))
		wantList(t, "when bob left", ask(bob), list("create", "alice:join", "history_visibility=shared", "topic=with bob", "x.y", "bob:leave"))

		one := func(user id.UserID, eventType, stateKey string, whole bool) (string, error) {
			raw, err := w.s.StateEvent(context.Background(), Viewer{User: user}, p.id, eventType, stateKey, whole)
			return string(raw), err
		}
		for _, tt := range []struct {
			user     id.UserID
			evType   string
			stateKey string
			want     string // "" for M_NOT_FOUND
		}{
			{alice, "m.room.topic", "", `{"topic":"without bob"}`},
			{bob, "m.room.topic", "", `{"topic":"with bob"}`},
			{alice, "x.y", "with bob", `{"v":1}`},
			{alice, "x.y", "", ""},
			{alice, "x.never", "seen", ""},
			{bob, "x.z", "", ""},
			{bob, "x.never", "", ""},
		} {
			got, err := one(tt.user, tt.evType, tt.stateKey, false)
			if tt.want == "" {
				wantCode(t, err, "M_NOT_FOUND")
			} else if got != tt.want || err != nil {
				t.Errorf("%s %s %q: got %s, %v, want %s", tt.user, tt.evType, tt.stateKey, got, err, tt.want)
			}
		}
		raw, err := one(alice, "m.room.topic", "", true)
		if err != nil {
			t.Fatal(err)
		}
		var whole clientEvent
		w.unmarshal([]byte(raw), &whole)
		if briefOne(whole) != "topic=without bob" || whole.RoomID != p.id || whole.Unsigned["replaces_state"] == nil {
			t.Errorf("whole event %s", raw)
		}
	})
}

func TestJoinedMembers(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		p := w.room(alice, "shared")
		p.send(say{sender: bob, eventType: "m.room.member", key: key(string(bob)), content: obj{
			"membership": "join", "displayname": `B"ob`, "avatar_url": "mxc://x/y",
		}})
		p.member(alice, carol, "invite")
		raw, err := w.s.JoinedMembers(context.Background(), alice, p.id, nil)
		want := `{"joined":{"@alice:test":{"display_name":null,"avatar_url":null},"@bob:test":{"display_name":"B\"ob","avatar_url":"mxc://x/y"}}}`
		if string(raw) != want || err != nil {
			t.Errorf("got %s, %v, want %s", raw, err, want)
		}
		_, err = w.s.JoinedMembers(context.Background(), carol, p.id, nil)
		wantCode(t, err, "M_FORBIDDEN")
		if _, err = w.s.JoinedMembers(context.Background(), "@bot:test", p.id, func(u id.UserID) bool { return u == bob }); err != nil {
			t.Errorf("an application service whose user is in the room: %v", err)
		}
	})
}

func TestJoinedRooms(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		var want []string
		for range 3 {
			p := w.room(alice, "shared")
			want = append(want, string(p.id))
		}
		w.room(bob, "shared").member(bob, alice, "invite")
		w.room(alice, "shared").member(alice, alice, "leave")
		got, err := w.s.JoinedRooms(context.Background(), alice)
		if err != nil {
			t.Fatal(err)
		}
		slices.Sort(got)
		if fmt.Sprint(got) != fmt.Sprint(sorted(want)) {
			t.Errorf("got %v, want %v", got, want)
		}
		if got, err := w.s.JoinedRooms(context.Background(), "@nobody:test"); err != nil || got == nil || len(got) != 0 {
			t.Errorf("a stranger: %v, %v", got, err)
		}
	})
}
