package testserver_test

import (
	"strings"
	"testing"

	"causeway/homeserver"
)

// presences returns what a sync says of users, as "user state message", in the order of their names.
func (s *script) presences(v any) string {
	s.t.Helper()
	all := make(map[string]string)
	for _, e := range at(v, "presence/events/*") {
		s.must("presence", e, "type=m.presence sender:userid content/presence:string content/currently_active:bool event_id:absent")
		line := s.word(textAt(s.t, e, "sender")) + " " + textAt(s.t, e, "content/presence")
		for _, message := range at(e, "content/status_msg") {
			line += " " + plain(message)
		}
		all[s.word(textAt(s.t, e, "sender"))] += line
	}
	var lines []string
	for _, name := range []string{"alice", "bob", "carol", "dave"} {
		if all[name] != "" {
			lines = append(lines, all[name])
		}
	}
	return strings.Join(lines, ", ")
}

const quietly = "set_presence=offline"

// TestPresence says who is there and reads it. Client-Server API, "Presence".
func TestPresence(t *testing.T) {
	each(t, "alice bob carol dave", func(s *script) {
		s.words["room"] = s.text("alice POST /createRoom", `{"preset":"public_chat"}`, "room_id")
		s.get("bob POST /rooms/<room>/join", "")
		s.run(presenceSteps)
		for _, row := range []struct{ name, sync, want string }{
			{"oneself, and who shares a room", "alice GET /sync?" + quietly, "alice org.matrix.msc3026.busy, bob unavailable out"},
			{"the other", "bob GET /sync?" + quietly, "alice org.matrix.msc3026.busy, bob unavailable out"},
			{"a stranger", "dave GET /sync?" + quietly, ""},
			{"types", `alice GET /sync?` + quietly + `&filter={"presence":{"types":["m.presence"]}}`, "alice org.matrix.msc3026.busy, bob unavailable out"},
			{"no types", `alice GET /sync?` + quietly + `&filter={"presence":{"types":[]}}`, ""},
			{"not these types", `alice GET /sync?` + quietly + `&filter={"presence":{"not_types":["m.pres*"]}}`, ""},
			{"senders", `alice GET /sync?` + quietly + `&filter={"presence":{"senders":["@bob:test"]}}`, "bob unavailable out"},
			{"not these senders", `alice GET /sync?` + quietly + `&filter={"presence":{"not_senders":["@bob:test"]}}`, "alice org.matrix.msc3026.busy"},
			{"a limit", `alice GET /sync?` + quietly + `&filter={"presence":{"limit":0}}`, ""},
			{"a limit: the newest", `alice GET /sync?` + quietly + `&filter={"presence":{"limit":1}}`, "alice org.matrix.msc3026.busy"},
		} {
			if got := s.presences(s.get(row.sync, "")); got != row.want {
				s.t.Errorf("%s: got %q, want %q", row.name, got, row.want)
			}
		}
	})
}

var presenceSteps = []step{
	{"none yet", "alice GET /presence/<alice>/status", ``, 200, "presence=offline", ""},
	{"of who shares a room", "alice GET /presence/<bob>/status", ``, 200, "presence=offline currently_active=false", ""},
	{"without a token", "nobody GET /presence/<alice>/status", ``, 401, "M_MISSING_TOKEN", ""},
	{"of who shares none", "alice GET /presence/<dave>/status", ``, 403, "M_FORBIDDEN", ""},
	{"by a stranger", "dave GET /presence/<alice>/status", ``, 403, "M_FORBIDDEN", ""},
	{"of nobody", "alice GET /presence/@nobody:test/status", ``, 404, "M_NOT_FOUND", ""},
	{"no user ID", "alice GET /presence/nonsense/status", ``, 404, "M_NOT_FOUND", ""},
	{"set another's", "alice PUT /presence/<bob>/status", `{"presence":"online"}`, 403, "M_FORBIDDEN", ""},
	{"set without a token", "nobody PUT /presence/<alice>/status", `{"presence":"online"}`, 401, "M_MISSING_TOKEN", ""},
	{"no state", "alice PUT /presence/<alice>/status", `{}`, 400, "M_MISSING_PARAM", ""},
	{"no such state", "alice PUT /presence/<alice>/status", `{"presence":"asleep"}`, 400, "M_INVALID_PARAM", ""},
	{"state of the wrong type", "alice PUT /presence/<alice>/status", `{"presence":1}`, 400, "M_BAD_JSON", ""},
	{"message of the wrong type", "alice PUT /presence/<alice>/status", `{"presence":"online","status_msg":1}`, 400, "M_BAD_JSON", ""},
	{"message too long", "alice PUT /presence/<alice>/status", `{"presence":"online","status_msg":"` + strings.Repeat("x", 1025) + `"}`, 400, "M_INVALID_PARAM", ""},
	{"message with a NUL", "alice PUT /presence/<alice>/status", `{"presence":"online","status_msg":"\u0000"}`, 400, "M_INVALID_PARAM", ""},
	{"bad JSON", "alice PUT /presence/<alice>/status", `{`, 400, "M_NOT_JSON", ""},
	{"sync with no such state", "alice GET /sync?set_presence=asleep", ``, 400, "M_INVALID_PARAM", ""},
	{"online", "alice PUT /presence/<alice>/status", `{"presence":"online","status_msg":"Ünterwegs 🐎"}`, 200, "{}", ""},
	{"is online", "bob GET /presence/<alice>/status", ``, 200, "presence=online currently_active=true last_active_ago:integer status_msg:string", ""},
	{"unavailable, with the message", "alice PUT /presence/<alice>/status", `{"presence":"unavailable"}`, 200, "{}", ""},
	{"is unavailable", "alice GET /_matrix/client/r0/presence/<alice>/status", ``, 200, "presence=unavailable currently_active=false last_active_ago:integer status_msg:string", ""},
	{"without the message", "alice PUT /presence/<alice>/status", `{"presence":"online","status_msg":null}`, 200, "{}", ""},
	{"has none", "alice GET /presence/<alice>/status", ``, 200, "presence=online status_msg:absent", ""},
	{"bob", "bob PUT /presence/<bob>/status", `{"presence":"unavailable","status_msg":"out"}`, 200, "{}", ""},
	{"dave", "dave PUT /presence/<dave>/status", `{"presence":"offline"}`, 200, "{}", ""},
	{"busy", "alice PUT /presence/<alice>/status", `{"presence":"org.matrix.msc3026.busy"}`, 200, "{}", ""},
	{"is busy", "bob GET /presence/<alice>/status", ``, 200, "presence=org.matrix.msc3026.busy", ""},
	{"the flag", "nobody GET /_matrix/client/versions", ``, 200, "unstable_features/org.matrix.msc3026.busy_presence=true", ""},
}

// TestPresenceBySync comes and goes by what syncs say.
func TestPresenceBySync(t *testing.T) {
	each(t, "alice bob carol", func(s *script) {
		s.words["room"] = s.text("alice POST /createRoom", `{"preset":"public_chat"}`, "room_id")
		s.get("bob POST /rooms/<room>/join", "")
		s.since("bob", quietly)
		for _, row := range []struct{ name, request, body, want string }{
			{"a sync", "alice GET /sync", "", "alice online"},
			{"and another", "alice GET /sync", "", ""},
			{"quietly", "alice GET /sync?" + quietly, "", ""},
			{"unavailable", "alice GET /sync?set_presence=unavailable", "", "alice unavailable"},
			{"online again", "alice GET /sync?set_presence=online", "", "alice online"},
			{"by her own word", "alice PUT /presence/<alice>/status", `{"presence":"unavailable","status_msg":"tea"}`, "alice unavailable tea"},
			{"which a sync that says the same as before does not undo", "alice GET /sync?set_presence=online", "", ""},
			{"nor does what she says herself again", "alice PUT /presence/<alice>/status", `{"presence":"unavailable"}`, ""},
			{"another message", "alice PUT /presence/<alice>/status", `{"presence":"unavailable","status_msg":""}`, "alice unavailable"},
			{"busy", "alice PUT /presence/<alice>/status", `{"presence":"org.matrix.msc3026.busy"}`, "alice org.matrix.msc3026.busy"},
			{"busy stays", "alice GET /sync?set_presence=unavailable", "", ""},
			{"offline", "alice PUT /presence/<alice>/status", `{"presence":"offline"}`, "alice offline"},
			{"offline stays", "alice GET /sync?set_presence=unavailable", "", ""},
			{"until a device says otherwise", "alice GET /sync?set_presence=online", "", "alice online"},
		} {
			s.get(row.request, row.body)
			if got := s.presences(s.since("bob", quietly)); got != row.want {
				s.t.Errorf("%s: got %q, want %q", row.name, got, row.want)
			}
		}
		// Whoever comes to share a room is told of those who are there, and they are told of them.
		s.get("carol PUT /presence/<carol>/status", `{"presence":"unavailable"}`)
		s.since("carol", quietly)
		s.must("nothing of strangers", s.since("bob", quietly), "presence/events:empty")
		s.get("carol POST /rooms/<room>/join", "")
		if got, want := s.presences(s.since("carol", quietly)), "alice online, carol unavailable"; got != want {
			s.t.Errorf("who comes: got %q, want %q", got, want)
		}
		if got, want := s.presences(s.since("bob", quietly)), "carol unavailable"; got != want {
			s.t.Errorf("who was there: got %q, want %q", got, want)
		}
		s.must("once", s.since("bob", quietly), "presence/events:empty")
		s.get("bob PUT /user/<bob>/account_data/m.ignored_user_list", `{"ignored_users":{"@carol:test":{}}}`)
		s.get("carol PUT /presence/<carol>/status", `{"presence":"online"}`)
		s.must("not of whom one ignores", s.since("bob", quietly), "presence/events:empty")
		s.must("not at first either", s.get("bob GET /sync?"+quietly, ""), "presence/events/0/sender=@alice:test presence/events/1:absent")
		s.get("alice POST /rooms/<room>/leave", "")
		s.get("alice PUT /presence/<alice>/status", `{"presence":"unavailable"}`)
		s.must("not of who has left", s.since("bob", quietly), "presence/events:empty")
	})
}

// TestPresenceWakes parks a sync, and has a presence end it.
func TestPresenceWakes(t *testing.T) {
	bus := newWaiting()
	each(t, "alice bob", func(s *script) {
		s.words["room"] = s.text("alice POST /createRoom", `{"preset":"public_chat"}`, "room_id")
		s.get("bob POST /rooms/<room>/join", "")
		s.since("bob", "")
		parked := s.park(bus, "bob")
		s.get("alice PUT /presence/<alice>/status", `{"presence":"online","status_msg":"here"}`)
		if got, want := s.presences(s.unpark("bob", parked)), "alice online here"; got != want {
			s.t.Errorf("got %q, want %q", got, want)
		}
	}, bus.use)
}

// TestPresenceInLargeRooms has a room grow past the size in which presence is told.
func TestPresenceInLargeRooms(t *testing.T) {
	each(t, "alice bob carol", func(s *script) {
		s.words["room"] = s.text("alice POST /createRoom", `{"preset":"public_chat"}`, "room_id")
		s.get("bob POST /rooms/<room>/join", "")
		s.since("bob", quietly)
		s.get("alice PUT /presence/<alice>/status", `{"presence":"online"}`)
		s.must("a small room", s.since("bob", quietly), "presence/events/0/sender=@alice:test")
		s.get("carol POST /rooms/<room>/join", "")
		s.since("bob", quietly)
		s.get("alice PUT /presence/<alice>/status", `{"presence":"unavailable"}`)
		s.must("a large room", s.since("bob", quietly), "presence/events:empty")
		s.must("a large room, at first", s.get("bob GET /sync?"+quietly, ""), "presence/events:empty")
		s.must("who comes into a large room", s.get("carol GET /sync?"+quietly, ""), "presence/events:empty")
		s.must("on request all the same", s.get("bob GET /presence/<alice>/status", ""), "presence=unavailable")
	}, func(c *homeserver.Config) { c.Presence.MaxRoomMembers = 2 })
}

// TestPresenceOff switches presence off.
func TestPresenceOff(t *testing.T) {
	each(t, "alice bob", func(s *script) {
		s.words["room"] = s.text("alice POST /createRoom", `{"preset":"public_chat"}`, "room_id")
		s.get("bob POST /rooms/<room>/join", "")
		s.run([]step{
			{"said", "alice PUT /presence/<alice>/status", `{"presence":"online"}`, 200, "{}", ""},
			{"and not heard", "bob GET /presence/<alice>/status", ``, 200, "presence=offline", ""},
			{"nor by sync", "bob GET /sync", ``, 200, "presence/events:empty", ""},
			{"a sync's word is checked all the same", "alice GET /sync?set_presence=x", ``, 400, "M_INVALID_PARAM", ""},
		})
	}, func(c *homeserver.Config) { c.Presence.Enabled = false })
}
