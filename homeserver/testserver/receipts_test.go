package testserver_test

import (
	"fmt"
	"strings"
	"testing"
)

// receiptsOf returns what an m.receipt event of a room in a sync says, as "event type user thread", sorted by how they come; "" for no
// event. Events and users are given by their words.
func (s *script) receiptsOf(v any) string {
	s.t.Helper()
	var all []string
	for _, e := range at(v, "rooms/join/"+s.words["room"]+"/ephemeral/events/*") {
		if plain(at(e, "type")[0]) != "m.receipt" {
			continue
		}
		s.must("receipts", e, "room_id:absent sender:absent content/*/*/*/ts:integer")
		for _, word := range []string{"one", "two", "three", "root", "reply", "reaction"} {
			for _, kind := range []string{"m.read", "m.read.private"} {
				for _, name := range []string{"alice", "bob", "carol", "dave"} {
					user := "@" + name + ":test"
					for _, r := range at(e, "content/"+s.words[word]+"/"+kind+"/"+user) {
						line := strings.TrimSpace(strings.Join([]string{word, kind, name}, " "))
						for _, thread := range at(r, "thread_id") {
							line += " in " + s.word(plain(thread))
						}
						all = append(all, line)
					}
				}
			}
		}
	}
	return strings.Join(all, ", ")
}

// word returns the word that stands for a value, or the value.
func (s *script) word(value string) string {
	for word, v := range s.words {
		if v == value {
			return word
		}
	}
	return value
}

func (s *script) keepSaid(user, word, content string) {
	s.t.Helper()
	s.words[word] = s.text(fmt.Sprintf("%s PUT /rooms/<room>/send/m.room.message/%s", user, word), content, "event_id")
}

// TestReceipts sends receipts and reads them by /sync. Client-Server API, "Receipts".
func TestReceipts(t *testing.T) {
	each(t, "alice bob carol dave", func(s *script) {
		s.words["room"] = s.text("alice POST /createRoom", `{"preset":"public_chat"}`, "room_id")
		s.words["other"] = s.text("dave POST /createRoom", `{}`, "room_id")
		s.words["elsewhere"] = s.text("dave PUT /rooms/<other>/send/m.room.message/x", `{"body":"elsewhere"}`, "event_id")
		for _, name := range []string{"bob", "carol"} {
			s.get(name+" POST /rooms/<room>/join", "")
		}
		s.keepSaid("alice", "one", `{"body":"1"}`)
		s.keepSaid("alice", "two", `{"body":"2"}`)
		s.keepSaid("alice", "root", `{"body":"root"}`)
		s.keepSaid("bob", "reply", `{"body":"reply","m.relates_to":{"rel_type":"m.thread","event_id":"<root>"}}`)
		s.words["reaction"] = s.text("bob PUT /rooms/<room>/send/m.reaction/r", `{"m.relates_to":{"rel_type":"m.annotation","event_id":"<reply>","key":"x"}}`, "event_id")
		s.run(receiptErrors)
		for _, name := range []string{"alice", "bob", "carol"} {
			if got := s.receiptsOf(s.since(name, "")); got != "" {
				s.t.Fatalf("%s's first sync: %q", name, got)
			}
		}

		for _, step := range []struct{ name, request, body, alice, bob string }{
			{"public", "bob POST /rooms/<room>/receipt/m.read/<two>", ``, "two m.read bob", "two m.read bob"},
			{"again", "bob POST /rooms/<room>/receipt/m.read/<two>", `{}`, "", ""},
			{"backwards", "bob POST /rooms/<room>/receipt/m.read/<one>", `{}`, "", ""},
			{"private", "bob POST /rooms/<room>/receipt/m.read.private/<root>", `{}`, "", "root m.read.private bob"},
			{"threaded", "bob POST /rooms/<room>/receipt/m.read/<reply>", `{"thread_id":"<root>"}`, "reply m.read bob in root", "reply m.read bob in root"},
			{"threaded, by a reaction", "bob POST /rooms/<room>/receipt/m.read/<reaction>", `{"thread_id":"<root>"}`, "reaction m.read bob in root", "reaction m.read bob in root"},
			{"the root in its thread, backwards", "bob POST /rooms/<room>/receipt/m.read/<root>", `{"thread_id":"<root>"}`, "", ""},
			{"main", "bob POST /rooms/<room>/receipt/m.read/<root>", `{"thread_id":"main"}`, "root m.read bob in main", "root m.read bob in main"},
			{"by r0", "bob POST /_matrix/client/r0/rooms/<room>/receipt/m.read/<root>", ``, "root m.read bob", "root m.read bob"},
			{"markers", "bob POST /rooms/<room>/read_markers", `{"m.fully_read":"<one>","m.read":"<reply>","m.read.private":"<reply>"}`, "reply m.read bob", "reply m.read bob, reply m.read.private bob"},
			{"no markers", "bob POST /rooms/<room>/read_markers", `{}`, "", ""},
		} {
			s.must(step.name, s.get(step.request, step.body), "{}")
			if got := s.receiptsOf(s.since("alice", "")); got != step.alice {
				s.t.Errorf("%s: alice sees %q, want %q", step.name, got, step.alice)
			}
			if got := s.receiptsOf(s.since("bob", "")); got != step.bob {
				s.t.Errorf("%s: bob sees %q, want %q", step.name, got, step.bob)
			}
		}
		// The first sync has all, but for those of who left. Of two receipts at one event, it is the one without a thread (MSC4102).
		if got, want := s.receiptsOf(s.get("carol GET /sync", "")), "root m.read bob in main, reply m.read bob, reaction m.read bob in root"; got != want {
			s.t.Errorf("carol's first sync: got %q, want %q", got, want)
		}
		s.get("bob POST /rooms/<room>/receipt/m.read/<reaction>", "")
		if got, want := s.receiptsOf(s.get("carol GET /sync", "")), "root m.read bob in main, reaction m.read bob"; got != want {
			s.t.Errorf("two receipts at one event: got %q, want %q", got, want)
		}
		for _, f := range []string{`{"room":{"ephemeral":{"types":[]}}}`, `{"room":{"ephemeral":{"not_types":["m.rec*"]}}}`, `{"room":{"ephemeral":{"not_rooms":["<room>"]}}}`, `{"room":{"ephemeral":{"limit":0}}}`} {
			if got := s.receiptsOf(s.get("carol GET /sync?filter="+s.fill(f, func(v string) string { return v }), "")); got != "" {
				s.t.Errorf("filter %s: got %q", f, got)
			}
		}
		s.get("carol PUT /user/<carol>/account_data/m.ignored_user_list", `{"ignored_users":{"@bob:test":{}}}`)
		if got := s.receiptsOf(s.get("carol GET /sync", "")); got != "" {
			s.t.Errorf("carol ignores bob, and sees %q", got)
		}
		s.get("bob POST /rooms/<room>/leave", "")
		if got := s.receiptsOf(s.get("alice GET /sync", "")); got != "" {
			s.t.Errorf("bob has left, and alice sees %q", got)
		}
	})
}

var receiptErrors = []step{
	{"without a token", "nobody POST /rooms/<room>/receipt/m.read/<one>", `{}`, 401, "M_MISSING_TOKEN", ""},
	{"a stranger", "dave POST /rooms/<room>/receipt/m.read/<one>", `{}`, 403, "M_FORBIDDEN", ""},
	{"no such room", "alice POST /rooms/!nowhere:test/receipt/m.read/<one>", `{}`, 403, "M_FORBIDDEN", ""},
	{"no such event", "alice POST /rooms/<room>/receipt/m.read/$nothing", `{}`, 404, "M_NOT_FOUND", ""},
	{"another room's event", "alice POST /rooms/<room>/receipt/m.read/<elsewhere>", `{}`, 404, "M_NOT_FOUND", ""},
	{"no event ID", "alice POST /rooms/<room>/receipt/m.read/x", `{}`, 404, "M_NOT_FOUND", ""},
	{"no such type", "alice POST /rooms/<room>/receipt/m.seen/<one>", `{}`, 400, "M_INVALID_PARAM", ""},
	{"bad JSON", "alice POST /rooms/<room>/receipt/m.read/<one>", `{`, 400, "M_NOT_JSON", ""},
	{"no object", "alice POST /rooms/<room>/receipt/m.read/<one>", `[]`, 400, "M_BAD_JSON", ""},
	{"empty thread", "alice POST /rooms/<room>/receipt/m.read/<one>", `{"thread_id":""}`, 400, "M_INVALID_PARAM", ""},
	{"thread of the wrong type", "alice POST /rooms/<room>/receipt/m.read/<one>", `{"thread_id":1}`, 400, "M_INVALID_PARAM", ""},
	{"null for a thread", "alice POST /rooms/<room>/receipt/m.read/<one>", `{"thread_id":null}`, 400, "M_INVALID_PARAM", ""},
	{"no thread", "alice POST /rooms/<room>/receipt/m.read/<one>", `{"thread_id":"nonsense"}`, 400, "M_INVALID_PARAM", ""},
	{"another thread", "alice POST /rooms/<room>/receipt/m.read/<reply>", `{"thread_id":"<one>"}`, 400, "M_INVALID_PARAM", ""},
	{"not in main", "alice POST /rooms/<room>/receipt/m.read/<reply>", `{"thread_id":"main"}`, 400, "M_INVALID_PARAM", ""},
	{"a reaction not in main", "alice POST /rooms/<room>/receipt/m.read/<reaction>", `{"thread_id":"main"}`, 400, "M_INVALID_PARAM", ""},
	{"fully read with a thread", "alice POST /rooms/<room>/receipt/m.fully_read/<one>", `{"thread_id":"main"}`, 400, "M_INVALID_PARAM", ""},
	{"markers of a stranger", "dave POST /rooms/<room>/read_markers", `{"m.fully_read":"<one>"}`, 403, "M_FORBIDDEN", ""},
	{"markers at nothing", "alice POST /rooms/<room>/read_markers", `{"m.read":"<one>","m.fully_read":"$nothing"}`, 404, "M_NOT_FOUND", ""},
	{"markers of the wrong type", "alice POST /rooms/<room>/read_markers", `{"m.read":1}`, 400, "M_BAD_JSON", ""},
	{"markers without a body", "alice POST /rooms/<room>/read_markers", ``, 400, "M_NOT_JSON", ""},
}

// TestReceiptsOfWhatIsNotSeen has users mark what they may not see.
func TestReceiptsOfWhatIsNotSeen(t *testing.T) {
	each(t, "alice bob carol", func(s *script) {
		s.words["room"] = s.text("alice POST /createRoom", `{"preset":"public_chat","initial_state":[{"type":"m.room.history_visibility","content":{"history_visibility":"joined"}}]}`, "room_id")
		s.keepSaid("alice", "one", `{"body":"before bob"}`)
		s.get("bob POST /rooms/<room>/join", "")
		s.get("carol POST /rooms/<room>/join", "")
		s.keepSaid("alice", "two", `{"body":"with bob"}`)
		s.get("carol POST /rooms/<room>/leave", "")
		s.run([]step{
			{"before one's time", "bob POST /rooms/<room>/receipt/m.read/<one>", ``, 404, "M_NOT_FOUND", ""},
			{"fully read before one's time", "bob POST /rooms/<room>/read_markers", `{"m.fully_read":"<one>"}`, 404, "M_NOT_FOUND", ""},
			{"within", "bob POST /rooms/<room>/receipt/m.read/<two>", ``, 200, "{}", ""},
			{"who left", "carol POST /rooms/<room>/receipt/m.read/<two>", ``, 403, "M_FORBIDDEN", ""},
			{"ban", "alice POST /rooms/<room>/ban", `{"user_id":"<carol>"}`, 200, "{}", ""},
			{"who is banned", "carol POST /rooms/<room>/receipt/m.read/<two>", ``, 403, "M_FORBIDDEN", ""},
			{"who is banned, typing", "carol PUT /rooms/<room>/typing/<carol>", `{"typing":true}`, 403, "M_FORBIDDEN", ""},
		})
		if got := plain(s.get("carol GET /sync?filter={\"room\":{\"include_leave\":true}}", "")); strings.Contains(got, "m.receipt") {
			s.t.Errorf("one who left sees receipts: %s", got)
		}
	})
}

// TestFullyRead moves the marker by both endpoints. Client-Server API, "Fully read markers".
func TestFullyRead(t *testing.T) {
	each(t, "alice bob", func(s *script) {
		s.words["room"] = s.text("alice POST /createRoom", `{"preset":"public_chat"}`, "room_id")
		s.get("bob POST /rooms/<room>/join", "")
		for _, word := range []string{"one", "two", "three"} {
			s.keepSaid("alice", word, `{"body":"x"}`)
		}
		s.since("alice", "")
		s.since("bob", "")
		const marker = "alice GET /user/<alice>/rooms/<room>/account_data/m.fully_read"
		s.run([]step{
			{"none yet", marker, ``, 404, "M_NOT_FOUND", ""},
			{"set", "alice POST /rooms/<room>/read_markers", `{"m.fully_read":"<two>"}`, 200, "{}", ""},
			{"is", marker, ``, 200, "event_id=<two>", ""},
			{"backwards", "alice POST /rooms/<room>/read_markers", `{"m.fully_read":"<one>"}`, 200, "{}", ""},
			{"is still", marker, ``, 200, "event_id=<two>", ""},
			{"by the other endpoint", "alice POST /rooms/<room>/receipt/m.fully_read/<three>", ``, 200, "{}", ""},
			{"moved", marker, ``, 200, "event_id=<three>", ""},
			{"not by account data", "alice PUT /user/<alice>/rooms/<room>/account_data/m.fully_read", `{"event_id":"<one>"}`, 405, "M_BAD_JSON", ""},
		})
		s.must("alice's devices hear of it", s.inRoom(s.since("alice", ""), "join"),
			"account_data/events/0/type=m.fully_read account_data/events/0/content/event_id="+s.words["three"]+" ephemeral/events:empty")
		s.must("nobody else does", s.since("bob", ""), "rooms:absent")
	})
}

// TestReceiptsWake parks a sync, and has receipts end it.
func TestReceiptsWake(t *testing.T) {
	bus := newWaiting()
	each(t, "alice bob", func(s *script) {
		s.words["room"] = s.text("alice POST /createRoom", `{"preset":"public_chat"}`, "room_id")
		s.get("bob POST /rooms/<room>/join", "")
		s.keepSaid("alice", "one", `{"body":"x"}`)
		s.since("bob", "")
		for _, row := range []struct{ name, request, want string }{
			{"another's", "alice POST /rooms/<room>/receipt/m.read/<one>", "one m.read alice"},
			{"one's own, private", "bob POST /rooms/<room>/receipt/m.read.private/<one>", "one m.read.private bob"},
		} {
			parked := s.park(bus, "bob")
			s.get(row.request, "")
			if got := s.receiptsOf(s.unpark("bob", parked)); got != row.want {
				s.t.Errorf("%s: got %q, want %q", row.name, got, row.want)
			}
		}
	}, bus.use)
}
