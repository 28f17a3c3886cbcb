package eventauth

import (
	"testing"

	"causeway/homeserver/event"
)

// Client-Server API, "Room History Visibility".
func TestVisible(t *testing.T) {
	visibilities := []string{"world_readable", "shared", "invited", "joined"}
	// For each membership before the event and whether the user joined after it, the answer for each of visibilities.
	for _, tc := range []struct {
		membership  string
		joinedAfter bool
		want        [4]bool
	}{
		{"join", false, [4]bool{true, true, true, true}},
		{"join", true, [4]bool{true, true, true, true}},
		{"invite", false, [4]bool{true, false, true, false}},
		{"invite", true, [4]bool{true, true, true, false}},
		{"leave", false, [4]bool{true, false, false, false}},
		{"leave", true, [4]bool{true, true, false, false}},
		{"ban", false, [4]bool{true, false, false, false}},
		{"ban", true, [4]bool{true, true, false, false}},
		{"knock", false, [4]bool{true, false, false, false}},
		{"", false, [4]bool{true, false, false, false}},
		{"", true, [4]bool{true, true, false, false}},
	} {
		r := newRoom(t, "12", "")
		message := r.build(ev{"@bob:here", "m.room.message", none, `{"membership":"join"}`}, nil)
		for i, visibility := range visibilities {
			in := VisibilityInput{Event: message, User: "@u:x", Visibility: visibility, Membership: tc.membership, JoinedAfter: tc.joinedAfter}
			if got := Visible(in); got != tc.want[i] {
				t.Errorf("%s, %q, joined after %v: got %v, want %v", visibility, tc.membership, tc.joinedAfter, got, tc.want[i])
			}
		}
		for _, visibility := range []string{"", "unknown"} {
			in := VisibilityInput{Event: message, User: "@u:x", Visibility: visibility, Membership: tc.membership, JoinedAfter: tc.joinedAfter}
			if got := Visible(in); got != tc.want[1] {
				t.Errorf("visibility %q is not taken for shared", visibility)
			}
		}
	}
}

// The rules for the events that change what the rules depend on.
func TestVisibleChanges(t *testing.T) {
	const user = "@u:x"
	change := func(visibility string) ev {
		return ev{"@mod:here", event.TypeHistoryVisibility, "", `{"history_visibility":"` + visibility + `"}`}
	}
	for _, tc := range []struct {
		name                   string
		e                      ev
		visibility, membership string
		joinedAfter            bool
		want                   bool
	}{
		{"from world_readable to joined", change("joined"), "world_readable", "", false, true},
		{"from joined to world_readable", change("world_readable"), "joined", "", false, true},
		{"from joined to shared, not joined after", change("shared"), "joined", "", false, false},
		{"from joined to shared, joined after", change("shared"), "joined", "", true, true},
		{"from shared to joined, joined after", change("joined"), "shared", "", true, true},
		{"from joined to invited, invited", change("invited"), "joined", "invite", false, true},
		{"from joined to invited, left", change("invited"), "joined", "leave", false, false},
		{"visibility with a state key is none", ev{"@mod:here", event.TypeHistoryVisibility, "x", `{"history_visibility":"world_readable"}`}, "joined", "", false, false},
		{"own join", member(user, user, "join"), "joined", "", false, true},
		{"own leave", member(user, user, "leave"), "joined", "join", false, true},
		{"own ban", member("@mod:here", user, "ban"), "joined", "join", false, true},
		{"own ban from outside", member("@mod:here", user, "ban"), "joined", "leave", false, false},
		{"own invite, invited", member("@mod:here", user, "invite"), "invited", "", false, true},
		{"own invite, joined", member("@mod:here", user, "invite"), "joined", "", false, false},
		{"own rejected invite", member(user, user, "leave"), "invited", "invite", false, true},
		{"own knock", member(user, user, "knock"), "shared", "", false, false},
		{"other's join", member("@o:x", "@o:x", "join"), "joined", "", false, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := newRoom(t, "12", "").build(tc.e, nil)
			in := VisibilityInput{Event: p, User: user, Visibility: tc.visibility, Membership: tc.membership, JoinedAfter: tc.joinedAfter}
			if got := Visible(in); got != tc.want {
				t.Errorf("got %v, want %v", got, tc.want)
			}
		})
	}
}
