package testserver_test

import (
	"net/http"
	"strings"
	"testing"

	"causeway/homeserver"
)

// newWaiting returns a bus that tells of bells.
func newWaiting() *waiting { return &waiting{registered: make(chan struct{}, 1)} }

// use makes it a server's bus.
func (w *waiting) use(c *homeserver.Config) { c.Bus = w }

// park makes a user's sync from where the last one ended, and returns once it waits.
func (s *script) park(bus *waiting, user string) <-chan []byte {
	s.t.Helper()
	answered := make(chan []byte, 1)
	bus.drain()
	go func() {
		answered <- s.Do(http.MethodGet, "/_matrix/client/v3/sync?timeout=600000&since="+s.words[user+" since"], s.tokens[user], nil).Body
	}()
	<-bus.registered
	return answered
}

// unpark waits for the answer.
func (s *script) unpark(user string, answered <-chan []byte) any {
	s.t.Helper()
	v := decode(s.t, <-answered)
	s.words[user+" since"] = textAt(s.t, v, "next_batch")
	return v
}

// typists returns who types in <room> as of a sync, "none" for nobody, and "" when it does not say.
func (s *script) typists(v any) string {
	s.t.Helper()
	said := ""
	for _, e := range at(v, "rooms/join/"+s.words["room"]+"/ephemeral/events/*") {
		if plain(at(e, "type")[0]) != "m.typing" {
			continue
		}
		s.must("typing", e, "room_id:absent sender:absent content/user_ids:array")
		said = "none"
		var all []string
		for _, user := range at(e, "content/user_ids/*") {
			all = append(all, s.word(plain(user)))
		}
		if len(all) > 0 {
			said = strings.Join(all, " ")
		}
	}
	return said
}

// TestTyping types and reads it by /sync. Client-Server API, "Typing Notifications".
func TestTyping(t *testing.T) {
	each(t, "alice bob carol dave", func(s *script) {
		s.words["room"] = s.text("alice POST /createRoom", `{"preset":"public_chat"}`, "room_id")
		s.get("bob POST /rooms/<room>/join", "")
		s.get("carol POST /rooms/<room>/join", "")
		s.get("carol PUT /user/<carol>/account_data/m.ignored_user_list", `{"ignored_users":{"@alice:test":{}}}`)
		s.run([]step{
			{"without a token", "nobody PUT /rooms/<room>/typing/<alice>", `{"typing":true}`, 401, "M_MISSING_TOKEN", ""},
			{"for another", "alice PUT /rooms/<room>/typing/<bob>", `{"typing":true}`, 403, "M_FORBIDDEN", ""},
			{"a stranger", "dave PUT /rooms/<room>/typing/<dave>", `{"typing":true}`, 403, "M_FORBIDDEN", ""},
			{"no such room", "alice PUT /rooms/!nowhere:test/typing/<alice>", `{"typing":true}`, 403, "M_FORBIDDEN", ""},
			{"without typing", "alice PUT /rooms/<room>/typing/<alice>", `{"timeout":1000}`, 400, "M_MISSING_PARAM", ""},
			{"of the wrong type", "alice PUT /rooms/<room>/typing/<alice>", `{"typing":"yes"}`, 400, "M_BAD_JSON", ""},
			{"bad JSON", "alice PUT /rooms/<room>/typing/<alice>", `{`, 400, "M_NOT_JSON", ""},
		})
		names := []string{"alice", "bob", "carol", "dave"}
		for _, name := range names {
			if got := s.typists(s.since(name, "")); got != "" {
				s.t.Errorf("%s's first sync: %q", name, got)
			}
		}
		for _, step := range []struct{ name, request, body, alice, bob, carol string }{
			{"alice", "alice PUT /rooms/<room>/typing/<alice>", `{"typing":true,"timeout":100000}`, "alice", "alice", "none"},
			{"again", "alice PUT /rooms/<room>/typing/<alice>", `{"typing":true}`, "", "", ""},
			{"bob too", "bob PUT /_matrix/client/r0/rooms/<room>/typing/<bob>", `{"typing":true,"timeout":0}`, "alice bob", "alice bob", "bob"},
			{"alice ends", "alice PUT /rooms/<room>/typing/<alice>", `{"typing":false}`, "bob", "bob", "bob"},
			{"and again", "alice PUT /rooms/<room>/typing/<alice>", `{"typing":false}`, "", "", ""},
		} {
			s.must(step.name, s.get(step.request, step.body), "{}")
			for i, want := range []string{step.alice, step.bob, step.carol, ""} {
				if got := s.typists(s.since(names[i], "")); got != want {
					s.t.Errorf("%s: %s sees %q, want %q", step.name, names[i], got, want)
				}
			}
		}
		for _, row := range []struct{ query, want string }{
			{"", "bob"},
			{`?filter={"room":{"ephemeral":{"types":["m.typing"]}}}`, "bob"},
			{`?filter={"room":{"ephemeral":{"types":["m.receipt"]}}}`, ""},
			{`?filter={"room":{"ephemeral":{"not_types":["*"]}}}`, ""},
			{`?full_state=true&since=<alice since>`, "none"}, // bob's words below
		} {
			if row.want == "none" {
				s.get("bob PUT /rooms/<room>/typing/<bob>", `{"typing":false}`)
			}
			if got := s.typists(s.get("alice GET /sync"+s.fill(row.query, func(v string) string { return v }), "")); got != row.want {
				s.t.Errorf("%s: got %q, want %q", row.query, got, row.want)
			}
		}
		// A token that says nothing of typing, as those of pages do, is good for a sync.
		position, _, _ := strings.Cut(s.words["alice since"], "_")
		if got := s.typists(s.get("alice GET /sync?since="+position, "")); got != "" {
			s.t.Errorf("since a page's token: got %q", got)
		}
		// And that of a sync is good for pages.
		s.must("a page from a sync's token", s.get("alice GET /rooms/<room>/messages?dir=b&from=<alice since>", ""), "chunk/*:event")
		s.must("members at a sync's token", s.get("alice GET /rooms/<room>/members?at=<alice since>", ""), "chunk/*:state")
		// Who comes into the room sees who types there.
		s.get("bob PUT /rooms/<room>/typing/<bob>", `{"typing":true}`)
		s.since("dave", "")
		s.get("dave POST /rooms/<room>/join", "")
		if got := s.typists(s.since("dave", "")); got != "bob" {
			s.t.Errorf("who comes sees %q, want bob", got)
		}
		// Whoever restarts the server ends all typing.
		again := &script{Server: s.Server, t: s.t, tokens: s.tokens, words: s.words}
		again.words["alice since"] = position + "_t1"
		again.get("bob PUT /rooms/<room>/typing/<bob>", `{"typing":false}`)
		again.get("alice PUT /rooms/<room>/send/m.room.message/m", `{"body":"x"}`)
		if got := again.typists(again.since("alice", "")); got != "none" {
			s.t.Errorf("since the token of an earlier process: got %q, want none", got)
		}
	})
}

// TestTypingWakes parks a sync, and has typing end it: its beginning, its end, the end of its time, and the user's departure.
func TestTypingWakes(t *testing.T) {
	bus := newWaiting()
	each(t, "alice bob", func(s *script) {
		s.words["room"] = s.text("alice POST /createRoom", `{"preset":"public_chat"}`, "room_id")
		s.get("bob POST /rooms/<room>/join", "")
		s.since("bob", "")
		over := false
		for _, row := range []struct{ request, body, want string }{
			{"alice PUT /rooms/<room>/typing/<alice>", `{"typing":true}`, "alice"},
			{"alice PUT /rooms/<room>/typing/<alice>", `{"typing":false}`, "none"},
			{"alice PUT /rooms/<room>/typing/<alice>", `{"typing":true,"timeout":1}`, "alice"},
			{"", "", "none"}, // by itself
			{"alice PUT /rooms/<room>/typing/<alice>", `{"typing":true,"timeout":100000}`, "alice"},
		} {
			if row.request == "" {
				if over {
					continue
				}
				if got := s.typists(s.since("bob", "timeout=600000")); got != row.want {
					s.t.Errorf("when the time is over: got %q, want %q", got, row.want)
				}
				continue
			}
			parked := s.park(bus, "bob")
			s.get(row.request, row.body)
			got := s.typists(s.unpark("bob", parked))
			over = strings.Contains(row.body, `"timeout":1}`) && got == "none" // a millisecond may be over before the sync has read
			if got != row.want && !over {
				s.t.Errorf("%s %s: got %q, want %q", row.request, row.body, got, row.want)
			}
		}
		s.get("alice POST /rooms/<room>/leave", "")
		got := ""
		for range 2 { // the departure, and the end of the typing, unless they come together
			if got = s.typists(s.since("bob", "timeout=600000")); got != "" {
				break
			}
		}
		if got != "none" {
			s.t.Errorf("when alice has left: got %q, want none", got)
		}
	}, bus.use)
}
