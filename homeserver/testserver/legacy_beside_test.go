package testserver_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"causeway/homeserver"
)

// beside returns what /events tells beside events, one line each, in their order.
func (s *script) beside(v any) string {
	s.t.Helper()
	var lines []string
	for _, e := range at(v, "chunk/*") {
		kind := textAt(s.t, e, "type")
		line := strings.TrimPrefix(kind, "m.")
		switch kind {
		case "m.receipt":
			s.must(kind, e, "room_id:roomid content:object event_id:absent sender:absent")
			line += " " + s.word(textAt(s.t, e, "room_id"))
			for _, name := range []string{"alice", "bob", "carol"} {
				for _, receipt := range []string{"m.read", "m.read.private"} {
					if len(at(e, "content/"+s.words["event"]+"/"+receipt+"/"+s.words[name]+"/ts")) > 0 {
						line += " " + name + " " + receipt
					}
				}
			}
		case "m.presence":
			s.must(kind, e, "content/presence:string content/currently_active:bool event_id:absent room_id:absent")
			line += " " + s.word(textAt(s.t, e, "sender")) + " " + textAt(s.t, e, "content/presence")
		case "m.typing":
			s.must(kind, e, "room_id:roomid content/user_ids:array event_id:absent sender:absent")
			line += " " + s.word(textAt(s.t, e, "room_id"))
			for _, user := range at(e, "content/user_ids/*") {
				line += " " + s.word(plain(user))
			}
		}
		lines = append(lines, line)
	}
	slices.Sort(lines)
	return strings.Join(lines, ", ")
}

// TestLegacyBeside reads receipts and presence by GET /events, as those see them who are in a room, have left it, or never were in it.
func TestLegacyBeside(t *testing.T) {
	each(t, "alice bob carol dave", func(s *script) {
		s.words["room"] = s.text("alice POST /createRoom", `{"preset":"public_chat"}`, "room_id")
		s.words["other"] = s.text("carol POST /createRoom", `{"preset":"public_chat"}`, "room_id")
		for _, user := range []string{"bob", "carol", "dave"} {
			s.get(user+" POST /rooms/<room>/join", ``)
		}
		s.get("alice PUT /rooms/<room>/state/m.room.history_visibility", `{"history_visibility":"world_readable"}`)
		s.get("dave POST /rooms/<other>/join", ``)
		s.words["event"] = s.text("alice PUT /rooms/<room>/send/m.room.message/1", `{"body":"one"}`, "event_id")
		s.words["elsewhere"] = s.text("carol PUT /rooms/<other>/send/m.room.message/1", `{"body":"two"}`, "event_id")
		s.get("carol POST /rooms/<room>/leave", ``)
		start := s.text("alice GET /events", ``, "end")
		for _, request := range []string{
			"alice POST /rooms/<room>/receipt/m.read/<event>", "bob POST /rooms/<room>/receipt/m.read.private/<event>",
			"dave POST /rooms/<other>/receipt/m.read/<elsewhere>",
		} {
			s.get(request, `{}`)
		}
		s.get("alice PUT /presence/<alice>/status", `{"presence":"online"}`)
		s.get("carol PUT /presence/<carol>/status", `{"presence":"unavailable"}`)
		for _, row := range []struct{ user, want string }{
			{"alice", "presence alice online, receipt room alice m.read"},
			{"bob", "presence alice online, receipt room alice m.read bob m.read.private"},
			{"carol", "presence carol unavailable, receipt other"},
			{"dave", "presence alice online, presence carol unavailable, receipt other, receipt room alice m.read"},
		} {
			v := s.get(row.user+" GET /events?from="+start, ``)
			if got := s.beside(v); got != row.want {
				s.t.Errorf("%s: got %q, want %q", row.user, got, row.want)
			}
			if got := s.beside(s.get(row.user+" GET /events?from="+textAt(s.t, v, "end"), ``)); got != "" {
				s.t.Errorf("%s: got %q once more", row.user, got)
			}
			// Who has left may look into the room still; of those in it they are told nothing.
			if got := s.beside(s.get(row.user+" GET /events?room_id=<room>&from="+start, ``)); got != "" {
				s.t.Errorf("%s is told %q of the room alone", row.user, got)
			}
		}
		s.get("dave PUT /user/<dave>/account_data/m.ignored_user_list", `{"ignored_users":{"<alice>":{}}}`)
		if got, want := s.beside(s.get("dave GET /events?from="+start, ``)), "presence carol unavailable, receipt other"; got != want {
			s.t.Errorf("who ignores alice: got %q, want %q", got, want)
		}
	}, withLegacy)
}

// TestLegacyBesideWakes parks GET /events, and has each kind of news end it.
func TestLegacyBesideWakes(t *testing.T) {
	var bus *waiting
	each(t, "alice bob", func(s *script) {
		s.words["room"] = s.text("alice POST /createRoom", `{"preset":"public_chat"}`, "room_id")
		s.words["other"] = s.text("alice POST /createRoom", `{}`, "room_id")
		s.get("bob POST /rooms/<room>/join", ``)
		s.words["event"] = s.text("alice PUT /rooms/<room>/send/m.room.message/1", `{"body":"one"}`, "event_id")
		end := s.text("bob GET /events", ``, "end")
		for _, row := range []struct{ name, request, body, want string }{
			{"typing", "alice PUT /rooms/<room>/typing/<alice>", `{"typing":true,"timeout":120000}`, "typing room alice"},
			{"typing no more", "alice PUT /rooms/<room>/typing/<alice>", `{"typing":false}`, "typing room"},
			{"a receipt", "alice POST /rooms/<room>/receipt/m.read/<event>", `{}`, "receipt room alice m.read"},
			{"presence", "alice PUT /presence/<alice>/status", `{"presence":"unavailable"}`, "presence alice unavailable"},
		} {
			bus.drain()
			answered := make(chan []byte, 1)
			go func() {
				answered <- s.Do(http.MethodGet, "/_matrix/client/v3/events?timeout=600000&from="+end, s.tokens["bob"], nil).Body
			}()
			<-bus.registered
			s.get("alice PUT /rooms/<other>/typing/<alice>", `{"typing":true}`)
			s.get(row.request, row.body)
			v := decode(s.t, <-answered)
			if got := s.beside(v); got != row.want {
				s.t.Errorf("%s: got %q, want %q", row.name, got, row.want)
			}
			end = textAt(s.t, v, "end")
			if got := s.beside(s.get("bob GET /events?from="+end, ``)); got != "" {
				s.t.Errorf("%s: got %q once more", row.name, got)
			}
		}
	}, withLegacy, func(c *homeserver.Config) { bus = newWaiting(); bus.use(c) })
}
