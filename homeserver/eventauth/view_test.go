package eventauth

import (
	"strings"
	"testing"

	"causeway/homeserver/event"
)

var (
	allVisibilities = []string{"world_readable", "shared", "invited", "joined"}
	letterOf        = map[View]string{Whole: "w", Redacted: "r", Hidden: "-"}
)

// views returns a letter for each of allVisibilities: w for whole, r for redacted, - for hidden.
func views(view func(visibility string) View) string {
	var s strings.Builder
	for _, visibility := range allVisibilities {
		s.WriteString(letterOf[view(visibility)])
	}
	return s.String()
}

// memberHistories is every membership at an event with every one afterwards, and what the user sees of somebody else's event by each
// visibility.
var memberHistories = []struct {
	at          string
	joinedAfter bool
	plain       string // of an ordinary sender
	erased      string // of an erased one
}{
	{"join", false, "wwww", "wwww"},
	{"join", true, "wwww", "wwww"},
	{"invite", false, "w-w-", "r-w-"},
	{"invite", true, "www-", "rrw-"},
	{"leave", false, "w---", "r---"},
	{"leave", true, "ww--", "rr--"},
	{"ban", false, "w---", "r---"},
	{"ban", true, "ww--", "rr--"},
	{"knock", false, "w---", "r---"},
	{"knock", true, "ww--", "rr--"},
	{"", false, "w---", "r---"},
	{"", true, "ww--", "rr--"},
}

// Client-Server API, "Room History Visibility" and "Ignoring Users"; MSC4025. Every visibility, membership at the event, membership
// after it, of ordinary, erased and ignored senders, for a message and a state event.
func TestViewFor(t *testing.T) {
	const user = "@u:x"
	r := newRoom(t, "12", "")
	message := r.build(ev{"@bob:here", "m.room.message", none, `{"membership":"join"}`}, nil)
	state := r.build(ev{"@bob:here", "m.room.topic", "", `{"history_visibility":"world_readable"}`}, nil)
	otherJoin := r.build(member("@bob:here", "@bob:here", "join"), nil)
	for _, h := range memberHistories {
		for _, tc := range []struct {
			name            string
			p               *event.PDU
			erased, ignored bool
			want            string
		}{
			{"message", message, false, false, h.plain},
			{"state", state, false, false, h.plain},
			{"other's membership", otherJoin, false, false, h.plain},
			{"message, erased", message, true, false, h.erased},
			{"state, erased", state, true, false, h.erased},
			{"other's membership, erased", otherJoin, true, false, h.erased},
			{"message, ignored", message, false, true, "----"},
			{"state, ignored", state, false, true, h.plain},
			{"message, erased and ignored", message, true, true, "----"},
			{"state, erased and ignored", state, true, true, h.erased},
		} {
			in := VisibilityInput{
				Event: tc.p, User: user, Membership: h.at, JoinedAfter: h.joinedAfter, SenderErased: tc.erased, SenderIgnored: tc.ignored,
			}
			got := views(func(visibility string) View { in.Visibility = visibility; return ViewFor(in) })
			if got != tc.want {
				t.Errorf("%s, at %q, joined after %v: got %s, want %s", tc.name, h.at, h.joinedAfter, got, tc.want)
			}
			// What is not understood is shared.
			for _, odd := range []string{"", "unknown"} {
				in.Visibility = odd
				if got := letterOf[ViewFor(in)]; got != tc.want[1:2] {
					t.Errorf("%s, at %q, joined after %v, visibility %q: got %s, want %s", tc.name, h.at, h.joinedAfter, odd, got, tc.want[1:2])
				}
			}
		}
	}
}

// The events that change what the rules depend on, and one's own.
func TestViewForChanges(t *testing.T) {
	const user = "@u:x"
	change := func(visibility string) ev {
		return ev{"@mod:here", event.TypeHistoryVisibility, "", `{"history_visibility":"` + visibility + `"}`}
	}
	for _, tc := range []struct {
		name          string
		e             ev
		at            string
		joinedAfter   bool
		plain, erased string
	}{
		{"to world_readable, outside", change("world_readable"), "", false, "wwww", "rrrr"},
		{"to shared, joined after", change("shared"), "", true, "wwww", "rrrr"},
		{"to shared, outside", change("shared"), "", false, "w---", "r---"},
		{"to invited, invited", change("invited"), "invite", false, "wwww", "wwww"},
		{"to joined, joined after", change("joined"), "", true, "ww--", "rr--"},
		{"to joined, member", change("joined"), "join", false, "wwww", "wwww"},
		{"own join", member(user, user, "join"), "", false, "wwww", "wwww"},
		{"own leave", member(user, user, "leave"), "join", false, "wwww", "wwww"},
		{"own ban, by an erased user", member("@mod:here", user, "ban"), "join", false, "wwww", "wwww"},
		{"own invite", member("@mod:here", user, "invite"), "", false, "w-w-", "w-w-"},
		{"own ban from outside", member("@mod:here", user, "ban"), "leave", false, "w---", "w---"},
		{"own message", ev{user, "m.room.message", none, `{}`}, "join", false, "wwww", "wwww"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			in := VisibilityInput{Event: newRoom(t, "12", "").build(tc.e, nil), User: user, Membership: tc.at, JoinedAfter: tc.joinedAfter}
			look := func() string {
				return views(func(visibility string) View { in.Visibility = visibility; return ViewFor(in) })
			}
			if got := look(); got != tc.plain {
				t.Errorf("got %s, want %s", got, tc.plain)
			}
			in.SenderErased = true
			if got := look(); got != tc.erased {
				t.Errorf("erased: got %s, want %s", got, tc.erased)
			}
			in.SenderErased, in.SenderIgnored = false, true
			if got := look(); got != tc.plain {
				t.Errorf("ignored: got %s, want %s", got, tc.plain)
			}
		})
	}
}

// Visible is ViewFor for ordinary senders.
func TestVisibleIsView(t *testing.T) {
	p := newRoom(t, "12", "").build(ev{"@bob:here", "m.room.message", none, `{}`}, nil)
	for _, h := range memberHistories {
		for _, visibility := range allVisibilities {
			in := VisibilityInput{Event: p, User: "@u:x", Visibility: visibility, Membership: h.at, JoinedAfter: h.joinedAfter}
			if got, want := Visible(in), ViewFor(in) == Whole; got != want {
				t.Errorf("%s, %+v: got %v, want %v", visibility, h, got, want)
			}
		}
	}
}

// Every visibility, for a server with and without users that were joined, invited, or are in the room.
func TestVisibleToServer(t *testing.T) {
	r := newRoom(t, "12", "")
	message := r.build(ev{"@bob:here", "m.room.message", none, `{}`}, nil)
	state := r.build(ev{"@bob:here", "m.room.topic", "", `{}`}, nil)
	for _, tc := range []struct {
		joined, invited, inRoom bool
		plain, erased           string
	}{
		{false, false, false, "w---", "r---"},
		{false, false, true, "wwrr", "rrrr"},
		{false, true, false, "w-w-", "r-w-"},
		{false, true, true, "wwwr", "rrwr"},
		{true, false, false, "wwww", "wwww"},
		{true, false, true, "wwww", "wwww"},
		{true, true, false, "wwww", "wwww"},
		{true, true, true, "wwww", "wwww"},
	} {
		for _, p := range []*event.PDU{message, state} {
			in := ServerVisibilityInput{Event: p, Server: "there", Joined: tc.joined, Invited: tc.invited, InRoom: tc.inRoom}
			look := func() string {
				return views(func(visibility string) View { in.Visibility = visibility; return VisibleToServer(in) })
			}
			if got := look(); got != tc.plain {
				t.Errorf("%s, %+v: got %s, want %s", p.Type, tc, got, tc.plain)
			}
			in.SenderErased = true
			if got := look(); got != tc.erased {
				t.Errorf("%s, erased, %+v: got %s, want %s", p.Type, tc, got, tc.erased)
			}
			// Its own events are never kept from a server.
			in.Server = "here"
			if got := look(); got != "wwww" {
				t.Errorf("%s, own, %+v: got %s", p.Type, tc, got)
			}
		}
	}
}

func TestVisibleToServerChanges(t *testing.T) {
	change := func(visibility string) ev {
		return ev{"@mod:here", event.TypeHistoryVisibility, "", `{"history_visibility":"` + visibility + `"}`}
	}
	for _, tc := range []struct {
		name            string
		e               ev
		invited, inRoom bool
		want            string
	}{
		{"to world_readable", change("world_readable"), false, false, "wwww"},
		{"to shared, in the room", change("shared"), false, true, "wwww"},
		{"to shared, outside", change("shared"), false, false, "w---"},
		{"to invited, invited", change("invited"), true, false, "wwww"},
		{"to invited, in the room", change("invited"), false, true, "wwrr"},
		{"to joined, in the room", change("joined"), false, true, "wwrr"},
		{"visibility that is not the room's", ev{"@mod:here", event.TypeHistoryVisibility, "x", `{"history_visibility":"world_readable"}`}, false, false, "w---"},
		{"join of its user, by another", member("@mod:here", "@u:there", "join"), false, false, "wwww"},
		{"invite of its user", member("@mod:here", "@u:there", "invite"), false, false, "w-w-"},
		{"invite of its user, in the room", member("@mod:here", "@u:there", "invite"), false, true, "wwwr"},
		{"ban of its user", member("@mod:here", "@u:there", "ban"), false, true, "wwrr"},
		{"join of somebody else", member("@mod:here", "@u:elsewhere", "join"), false, true, "wwrr"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			in := ServerVisibilityInput{Event: newRoom(t, "12", "").build(tc.e, nil), Server: "there", Invited: tc.invited, InRoom: tc.inRoom}
			got := views(func(visibility string) View { in.Visibility = visibility; return VisibleToServer(in) })
			if got != tc.want {
				t.Errorf("got %s, want %s", got, tc.want)
			}
		})
	}
}
