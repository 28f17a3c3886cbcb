package room

import (
	"encoding/json"
	"testing"

	"causeway/homeserver/event"
	"causeway/homeserver/eventauth"
	"causeway/homeserver/store"
	"causeway/homeserver/storetest"

	"maunium.net/go/mautrix/id"
)

// What remote, whose user dave joins and leaves, is given of messages sent before, while and after he is there.
func TestViewForServer(t *testing.T) {
	const whole, redacted, hidden = eventauth.Whole, eventauth.Redacted, eventauth.Hidden
	tests := []struct {
		visibility string
		before     [3]eventauth.View // of the message before he came: while he is there, after he left, to a server that never was
		during     [3]eventauth.View
		after      [3]eventauth.View
	}{
		{"world_readable", [3]eventauth.View{whole, whole, whole}, [3]eventauth.View{whole, whole, whole}, [3]eventauth.View{whole, whole, whole}},
		{"shared", [3]eventauth.View{whole, hidden, hidden}, [3]eventauth.View{whole, whole, hidden}, [3]eventauth.View{whole, hidden, hidden}},
		{"invited", [3]eventauth.View{redacted, hidden, hidden}, [3]eventauth.View{whole, whole, hidden}, [3]eventauth.View{whole, hidden, hidden}},
		{"joined", [3]eventauth.View{redacted, hidden, hidden}, [3]eventauth.View{whole, whole, hidden}, [3]eventauth.View{redacted, hidden, hidden}},
	}
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		for _, test := range tests {
			t.Run(test.visibility, func(t *testing.T) {
				s := newService(db)
				content, _ := json.Marshal(map[string]string{"history_visibility": test.visibility})
				roomID := mustCreate(t, s, CreateRequest{Preset: "public_chat", InitialState: []InitialState{
					{Type: event.TypeHistoryVisibility, Content: content},
				}})
				w := newElsewhere(t, s, roomID)
				say := func() id.EventID {
					t.Helper()
					sent, err := s.Send(t.Context(), as(alice), roomID, "m.room.message", "", body("hello"))
					if err != nil {
						t.Fatal(err)
					}
					return sent
				}
				move := func(membership string) {
					t.Helper()
					b := w.from()
					w.accept(b.member(dave, dave, membership))
				}
				view := func(server string, eventID id.EventID) eventauth.View {
					t.Helper()
					views, err := s.ViewForServer(t.Context(), server, roomID, []*store.Event{w.row(eventID)})
					if err != nil {
						t.Fatal(err)
					}
					return views[0]
				}
				before := say()
				move("join")
				during := say()
				while := [2]eventauth.View{view("remote", before), view("remote", during)}
				move("leave")
				after := say()
				for _, c := range []struct {
					name  string
					event id.EventID
					now   eventauth.View
					want  [3]eventauth.View
				}{{"before", before, while[0], test.before}, {"during", during, while[1], test.during}} {
					got := [3]eventauth.View{c.now, view("remote", c.event), view("never.test", c.event)}
					if got != c.want {
						t.Errorf("%s: %v, want %v", c.name, got, c.want)
					}
				}
				if got := view("remote", after); got != test.after[1] {
					t.Errorf("after: %v, want %v", got, test.after[1])
				}
				move("join")
				if test.visibility == "invited" { // he was neither there nor invited
					test.after[0] = redacted
				}
				if got := view("remote", after); got != test.after[0] {
					t.Errorf("after, when he is back: %v, want %v", got, test.after[0])
				}
				keepOut(t, s, roomID, "remote")
				if got := view("remote", during); got != hidden {
					t.Errorf("to a server that is kept out: %v", got)
				}
			})
		}
	})
}

func keepOut(t *testing.T, s *Service, roomID id.RoomID, server string) {
	t.Helper()
	acl, _ := json.Marshal(map[string]any{"allow": []string{"*"}, "deny": []string{server}})
	if _, err := s.SendState(t.Context(), as(alice), roomID, "m.room.server_acl", "", acl); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]bool{server: false, server + ":8448": false, "other": true} {
		if got, err := s.ServerAllowed(t.Context(), roomID, name); err != nil || got != want {
			t.Errorf("%s is allowed: %v, %v", name, got, err)
		}
	}
}
