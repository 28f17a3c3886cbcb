package testserver_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"causeway/homeserver"
	"causeway/homeserver/notify"
)

// since makes a user's sync from where the last one ended. Its token is kept as "<user> since".
func (s *script) since(user, more string) any {
	s.t.Helper()
	query, word := more, user+" since"
	if token, ok := s.words[word]; ok {
		query += "&since=" + token
	}
	v := s.get(user+" GET /sync?"+strings.TrimPrefix(query, "&"), "")
	s.words[word] = textAt(s.t, v, "next_batch")
	return v
}

// inRoom returns what a sync has of <room> in a section.
func (s *script) inRoom(v any, section string) any {
	s.t.Helper()
	found := at(v, "rooms/"+section+"/"+s.words["room"])
	if len(found) != 1 {
		s.t.Fatalf("the room is not in %s: %v", section, v)
	}
	return found[0]
}

// must fails when check finds a problem.
func (s *script) must(what string, v any, want string) {
	s.t.Helper()
	if problem := check(v, want); problem != "" {
		s.t.Fatalf("%s: %s in %s", what, problem, plain(v))
	}
}

func types(events []any) []string {
	var all []string
	for _, e := range events {
		for _, v := range at(e, "type") {
			all = append(all, plain(v))
		}
	}
	return all
}

// TestSync follows a room by /sync from the invitation to the end. Client-Server API, "Syncing".
func TestSync(t *testing.T) {
	each(t, "alice bob", func(s *script) {
		s.must("before anything", s.since("bob", ""), "next_batch:string rooms:absent")
		s.words["room"] = s.text("alice POST /createRoom", `{"name":"N","preset":"private_chat"}`, "room_id")
		initial := s.inRoom(s.since("alice", ""), "join")
		s.must("initial", initial, `timeline/events/*:syncevent timeline/limited=false state/events:empty ephemeral/events:array account_data/events:array
			unread_notifications/highlight_count:integer unread_notifications/notification_count:integer summary/m.joined_member_count=1`)
		if got := types(at(initial, "timeline/events/*")); got[0] != "m.room.create" || got[1] != "m.room.member" || got[len(got)-1] != "m.room.name" {
			s.t.Errorf("initial: got %q", got)
		}
		s.must("nothing new", s.since("alice", ""), "rooms:absent")

		s.get("alice POST /rooms/<room>/invite", `{"user_id":"<bob>","reason":"r"}`)
		invited := s.inRoom(s.since("bob", ""), "invite")
		s.must("invite", invited, "invite_state/events/*:stripped state:absent timeline:absent")
		for _, want := range []string{"m.room.create", "m.room.join_rules", "m.room.name", "m.room.member"} {
			if got := types(at(invited, "invite_state/events/*")); !slices.Contains(got, want) {
				s.t.Errorf("invite_state: got %q, want %s among them", got, want)
			}
		}
		s.must("the invitation once", s.since("bob", ""), "rooms:absent")

		s.get("bob POST /rooms/<room>/join", "")
		joined := s.inRoom(s.since("bob", ""), "join")
		s.must("join", joined, "timeline/events/*:syncevent summary/m.joined_member_count=2 summary/m.invited_member_count=0")
		all := append(at(joined, "state/events/*"), at(joined, "timeline/events/*")...)
		for _, want := range []string{"m.room.create", "m.room.power_levels", "m.room.name", "m.room.member"} {
			if !slices.Contains(types(all), want) {
				s.t.Errorf("join: got %q, want %s among them", types(all), want)
			}
		}

		s.since("alice", "")
		s.words["event"] = s.text("bob PUT /rooms/<room>/send/m.room.message/t", `{"body":"hello"}`, "event_id")
		s.must("message", s.inRoom(s.since("alice", ""), "join"),
			"timeline/events/0:syncevent timeline/events/0/content/body=hello timeline/events/1:absent timeline/limited=false state/events:empty timeline/events/0/unsigned/transaction_id:absent")
		s.must("message, to its sender", s.inRoom(s.since("bob", ""), "join"), "timeline/events/0/unsigned/transaction_id=t")

		s.get("alice PUT /rooms/<room>/redact/<event>/r", `{"reason":"spam"}`)
		s.must("redaction", s.inRoom(s.since("bob", ""), "join"),
			"timeline/events/0/type=m.room.redaction timeline/events/0/redacts="+s.words["event"]+" timeline/events/0/content/redacts="+s.words["event"])
		for _, e := range at(s.inRoom(s.get("bob GET /sync", ""), "join"), "timeline/events/*") {
			if textAt(s.t, e, "event_id") == s.words["event"] {
				s.must("what is redacted", e, "content/body:absent unsigned/redacted_because/content/reason=spam")
			}
		}

		s.get("alice PUT /rooms/<room>/state/m.room.topic", `{"topic":"T"}`)
		s.must("topic", s.inRoom(s.since("bob", "use_state_after=true"), "join"),
			"state:absent state_after/events/0:syncstate state_after/events/0/type=m.room.topic timeline/events/0:syncstate")
		s.must("full state", s.inRoom(s.since("bob", "full_state=true"), "join"), "state/events/5:syncstate timeline/events:empty")

		s.get("bob POST /rooms/<room>/leave", "")
		s.get("alice PUT /rooms/<room>/send/m.room.message/after", `{"body":"behind the back"}`)
		left := s.since("bob", "")
		s.must("leave", s.inRoom(left, "leave"), "timeline/events/0:syncevent timeline/events/0/content/membership=leave timeline/events/1:absent state/events:array")
		s.must("leave", left, "rooms/join:absent rooms/invite:absent")
		s.must("gone", s.since("bob", ""), "rooms:absent")
		s.must("gone from the initial one", s.get("bob GET /sync", ""), "rooms:absent")
	})
}

// TestSyncGap has a client come back after more events than a sync shows. Pages from prev_batch, until what the client has, fill
// the gap without a hole or a double.
func TestSyncGap(t *testing.T) {
	const sent = 47
	each(t, "alice bob", func(s *script) {
		s.words["room"] = s.text("alice POST /createRoom", `{"preset":"public_chat"}`, "room_id")
		s.get("bob POST /rooms/<room>/join", "")
		s.since("bob", "")
		before := s.words["bob since"]
		var want []string
		for n := range sent {
			want = append(want, fmt.Sprint(n))
			s.get(fmt.Sprintf("alice PUT /rooms/<room>/send/m.room.message/%d", n), fmt.Sprintf(`{"body":"%d"}`, n))
			if n%10 == 5 {
				s.get("alice PUT /rooms/<room>/state/m.room.topic", fmt.Sprintf(`{"topic":"%d"}`, n))
			}
		}
		room := s.inRoom(s.since("bob", `filter={"room":{"timeline":{"limit":7}}}`), "join")
		s.must("gap", room, "timeline/limited=true timeline/prev_batch:string timeline/events/6:syncevent timeline/events/7:absent state/events/0/type=m.room.topic state/events/1:absent")
		all := reversed(said(at(room, "timeline/events/*")))
		for from := textAt(s.t, room, "timeline/prev_batch"); from != ""; {
			page := s.get("bob GET /rooms/<room>/messages?dir=b&limit=9&from="+from+"&to="+before, "")
			all = append(all, said(at(page, "chunk/*"))...)
			if from = ""; len(at(page, "end")) > 0 && len(at(page, "chunk/*")) > 0 {
				from = textAt(s.t, page, "end")
			}
		}
		if got := reversed(all); !slices.Equal(got, want) {
			s.t.Errorf("got %q, want %q", got, want)
		}
		// The other way, from where the client was.
		all = nil
		for from := before; from != ""; {
			page := s.get("bob GET /rooms/<room>/messages?dir=f&limit=9&from="+from, "")
			all = append(all, said(at(page, "chunk/*"))...)
			if from = ""; len(at(page, "end")) > 0 {
				from = textAt(s.t, page, "end")
			}
		}
		if !slices.Equal(all, want) {
			s.t.Errorf("forwards: got %q, want %q", all, want)
		}
	})
}

// waiting is a bus that tells when somebody registers a bell.
type waiting struct {
	notify.Local
	registered chan struct{}
}

// drain forgets who registered so far.
func (w *waiting) drain() {
	select {
	case <-w.registered:
	default:
	}
}

// Register implements notify.Bus.
func (w *waiting) Register(keys ...notify.Key) *notify.Bell {
	bell := w.Local.Register(keys...)
	select {
	case w.registered <- struct{}{}:
	default:
	}
	return bell
}

// TestLongPoll parks a sync, which each kind of news must end. The news comes once the sync has registered its bell; one that
// missed it would come back with the old token, after its timeout.
func TestLongPoll(t *testing.T) {
	news := []struct{ name, request, body, want string }{
		{"message", "alice PUT /rooms/<room>/send/m.room.message/1", `{"body":"x"}`, "rooms/join/*/timeline/events/0/content/body=x"},
		{"state", "alice PUT /rooms/<room>/state/m.room.topic", `{"topic":"x"}`, "rooms/join/*/timeline/events/0/content/topic=x"},
		{"account data", "bob PUT /user/<bob>/account_data/x.y", `{"x":1}`, "account_data/events/0/type=x.y account_data/events/0/content/x=1"},
		{"account data of a room", "bob PUT /user/<bob>/rooms/<room>/account_data/x.y", `{"x":1}`, "rooms/join/*/account_data/events/0/content/x=1"},
		{"push rules", "bob PUT /pushrules/global/room/<room>", `{"actions":[]}`, "account_data/events/0/type=m.push_rules"},
		{"name", "alice PUT /profile/<alice>/displayname", `{"displayname":"A"}`, "rooms/join/*/timeline/events/0/content/displayname=A"},
		{"invite", "alice POST /rooms/<other>/invite", `{"user_id":"<bob>"}`, "rooms/invite/*/invite_state/events/*:stripped"},
		{"invite withdrawn", "alice POST /rooms/<other>/kick", `{"user_id":"<bob>"}`, "rooms/leave/*/timeline/events/0/content/membership=leave"},
		{"one's own leaving", "bob POST /rooms/<room>/leave", ``, "rooms/leave/*/timeline/events/0/content/membership=leave"},
	}
	bus := &waiting{registered: make(chan struct{}, 1)}
	each(t, "alice bob", func(s *script) {
		s.words["room"] = s.text("alice POST /createRoom", `{"preset":"public_chat"}`, "room_id")
		s.words["other"] = s.text("alice POST /createRoom", `{"preset":"private_chat"}`, "room_id")
		s.get("bob POST /rooms/<room>/join", "")
		s.since("bob", "")
		for _, row := range news {
			answered := make(chan []byte, 1)
			bus.drain()
			go func() {
				a := s.Do(http.MethodGet, "/_matrix/client/v3/sync?timeout=600000&since="+s.words["bob since"], s.tokens["bob"], nil)
				answered <- a.Body
			}()
			<-bus.registered
			s.get(row.request, row.body)
			v := decode(s.t, <-answered)
			if problem := check(v, row.want); problem != "" {
				s.t.Errorf("%s: %s in %s", row.name, problem, plain(v))
			}
			s.words["bob since"] = textAt(s.t, v, "next_batch")
		}
		answered := make(chan int, 1)
		bus.drain()
		go func() {
			answered <- s.Do(http.MethodGet, "/_matrix/client/v3/sync?timeout=600000&since="+s.words["bob since"], s.tokens["bob"], nil).Status
		}()
		<-bus.registered
		s.Closing()
		if status := <-answered; status != http.StatusOK {
			s.t.Errorf("closing: got %d", status)
		}
	}, func(c *homeserver.Config) { c.Bus = bus })
}

// TestSyncParameters asks for syncs that cannot be.
func TestSyncParameters(t *testing.T) {
	each(t, "alice bob", func(s *script) {
		s.run([]step{
			{"without a token", "nobody GET /sync", ``, 401, "M_MISSING_TOKEN", ""},
			{"since malformed", "alice GET /sync?since=x", ``, 400, "M_INVALID_PARAM", ""},
			{"timeout malformed", "alice GET /sync?timeout=x", ``, 400, "M_INVALID_PARAM", ""},
			{"timeout negative", "alice GET /sync?timeout=-1", ``, 400, "M_INVALID_PARAM", ""},
			{"full_state malformed", "alice GET /sync?full_state=x", ``, 400, "M_INVALID_PARAM", ""},
			{"filter malformed", "alice GET /sync?filter={", ``, 400, "M_INVALID_PARAM", ""},
			{"filter of the wrong type", `alice GET /sync?filter={"room":1}`, ``, 400, "M_INVALID_PARAM", ""},
			{"unknown filter", "alice GET /sync?filter=77", ``, 400, "M_INVALID_PARAM", ""},
			{"keep a filter", "alice POST /user/<alice>/filter", `{"room":{"rooms":[]}}`, 200, "filter_id:string", "filter=filter_id"},
			{"use it", "alice GET /sync?filter=<filter>", ``, 200, "next_batch:string rooms:absent", ""},
			{"another's filter", "bob GET /sync?filter=<filter>", ``, 400, "M_INVALID_PARAM", ""},
			{"by r0", "alice GET /_matrix/client/r0/sync", ``, 200, "next_batch:string account_data/events/0/type=m.push_rules", ""},
			{"presence", "alice GET /sync?set_presence=offline", ``, 200, "next_batch:string", ""},
		})
	})
}
