package testserver_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// readers are those who look at the room that visibilityRoom makes, by what they have to do with it.
var readers = []string{"stranger", "invited", "joined", "returned", "left", "kicked", "banned"}

// insight is what a reader may see of the five messages and of the topics that go with them.
type insight struct {
	page  string // the messages in /messages and in a sync
	event string // the messages by /event and /context
	topic string // the topic in the state, "" when the state may not be read
}

// Client-Server API, "Room History Visibility", "Server behaviour": the rules in their order, of messages 1 before the invitation,
// 2 between the invitation and the join, 3 in the room, 4 after leaving, and 5 after who returned has returned. Where the room is
// world_readable a user who left reads the whole of it by event, as a stranger does; pages end where the user left.
var insights = map[string]map[string]insight{
	"world_readable": {
		"stranger": {"12345", "12345", "five"}, "invited": {"12345", "12345", "five"},
		"joined": {"12345", "12345", "five"}, "returned": {"12345", "12345", "five"},
		"left": {"123", "12345", "three"}, "kicked": {"123", "12345", "three"}, "banned": {"123", "12345", "three"},
	},
	"shared": {
		"stranger": {}, "invited": {},
		"joined": {"12345", "12345", "five"}, "returned": {"12345", "12345", "five"},
		"left": {"123", "123", "three"}, "kicked": {"123", "123", "three"}, "banned": {"123", "123", "three"},
	},
	"invited": {
		"stranger": {}, "invited": {},
		"joined": {"2345", "2345", "five"}, "returned": {"235", "235", "five"},
		"left": {"23", "23", "three"}, "kicked": {"23", "23", "three"}, "banned": {"23", "23", "three"},
	},
	"joined": {
		"stranger": {}, "invited": {},
		"joined": {"345", "345", "five"}, "returned": {"35", "35", "five"},
		"left": {"3", "3", "three"}, "kicked": {"3", "3", "three"}, "banned": {"3", "3", "three"},
	},
}

// TestWhoMayRead has every reader look at a room of every history visibility through every endpoint.
func TestWhoMayRead(t *testing.T) {
	each(t, "alice "+strings.Join(readers, " "), func(s *script) {
		outer := s.t
		for _, visibility := range []string{"world_readable", "shared", "invited", "joined"} {
			s.t = outer
			s.visibilityRoom(visibility)
			for _, reader := range readers {
				outer.Run(visibility+"/"+reader, func(t *testing.T) {
					s.t = t
					s.look(reader, insights[visibility][reader])
				})
			}
		}
	})
}

func (s *script) say(n int, word string) {
	s.t.Helper()
	s.words[fmt.Sprint("topic ", n)] = s.text("alice PUT /rooms/<room>/state/m.room.topic", `{"topic":"`+word+`"}`, "event_id")
	s.words[fmt.Sprint("message ", n)] = s.text(fmt.Sprintf("alice PUT /rooms/<room>/send/m.room.message/%d", n), fmt.Sprintf(`{"body":"%d"}`, n), "event_id")
}

// visibilityRoom makes the room, with its five messages and the comings and goings between them. Everybody syncs before.
func (s *script) visibilityRoom(visibility string) {
	s.t.Helper()
	for _, reader := range readers {
		s.since(reader, "")
	}
	s.words["room"] = s.text("alice POST /createRoom", `{"preset":"public_chat","initial_state":[
		{"type":"m.room.history_visibility","content":{"history_visibility":"`+visibility+`"}}]}`, "room_id")
	s.say(1, "one")
	for _, reader := range readers[1:] {
		s.get("alice POST /rooms/<room>/invite", `{"user_id":"<`+reader+`>"}`)
	}
	s.say(2, "two")
	for _, reader := range readers[2:] {
		s.get(reader+" POST /rooms/<room>/join", "")
	}
	s.say(3, "three")
	s.get("left POST /rooms/<room>/leave", "")
	s.get("returned POST /rooms/<room>/leave", "")
	s.get("alice POST /rooms/<room>/kick", `{"user_id":"<kicked>"}`)
	s.get("alice POST /rooms/<room>/ban", `{"user_id":"<banned>"}`)
	s.say(4, "four")
	s.get("returned POST /rooms/<room>/join", "")
	s.say(5, "five")
	s.since("alice", "")
}

// look compares what a reader gets from each endpoint with what the reader may get.
func (s *script) look(reader string, may insight) {
	s.lookAtPages(reader, may)
	s.lookAtEvents(reader, may)
	s.lookAtState(reader, may)
	s.lookAtSync(reader, may)
}

func (s *script) lookAtPages(reader string, may insight) {
	s.t.Helper()
	for _, dir := range []string{"b", "f", "b&from=<alice since>", "f&to=<alice since>"} {
		a := s.ask(reader+" GET /rooms/<room>/messages?limit=100&dir="+dir, "")
		if may.topic == "" {
			s.refused("messages", a.Status, a.Code(), http.StatusForbidden, "M_FORBIDDEN")
			continue
		}
		bodies := said(at(decode(s.t, a.Body), "chunk/*"))
		if dir[0] == 'b' {
			bodies = reversed(bodies)
		}
		if got := strings.Join(bodies, ""); got != may.page {
			s.t.Errorf("messages %s: got %d with %q, want %q", dir, a.Status, got, may.page)
		}
	}
}

func (s *script) lookAtEvents(reader string, may insight) {
	s.t.Helper()
	for n := range 5 {
		body := fmt.Sprint(n + 1)
		a := s.ask(reader+" GET /rooms/<room>/event/<message "+body+">", "")
		c := s.ask(reader+" GET /rooms/<room>/context/<message "+body+">?limit=100", "")
		if !strings.Contains(may.event, body) {
			s.refused("event "+body, a.Status, a.Code(), http.StatusNotFound, "M_NOT_FOUND")
			s.refused("context "+body, c.Status, c.Code(), http.StatusNotFound, "M_NOT_FOUND")
			topic := s.ask(reader+" GET /rooms/<room>/event/<topic "+body+">", "")
			s.refused("topic "+body, topic.Status, topic.Code(), http.StatusNotFound, "M_NOT_FOUND")
			continue
		}
		if a.Status != http.StatusOK || check(decode(s.t, a.Body), ":event content/body="+body) != "" {
			s.t.Errorf("event %s: got %d %s", body, a.Status, a.Body)
		}
		if c.Status != http.StatusOK || check(decode(s.t, c.Body), "event:event event/content/body="+body) != "" {
			s.t.Errorf("context %s: got %d %s", body, c.Status, c.Body)
			continue
		}
		around := decode(s.t, c.Body)
		for _, word := range append(said(at(around, "events_before/*")), said(at(around, "events_after/*"))...) {
			if !strings.Contains(may.event, word) {
				s.t.Errorf("context %s shows %s, want only %q", body, word, may.event)
			}
		}
		if !strings.Contains(may.page, body) {
			continue
		}
		for _, e := range at(around, "state/*") {
			if topic := at(e, "content/topic"); len(topic) == 1 && may.topic == "three" && (topic[0] == "four" || topic[0] == "five") {
				s.t.Errorf("context %s has the topic %s, of after the user had left", body, topic[0])
			}
		}
	}
}

func (s *script) lookAtState(reader string, may insight) {
	s.t.Helper()
	for _, row := range []struct{ path, want string }{
		{"state/m.room.topic", "topic=" + may.topic},
		{"state/m.room.topic/?format=event", ":state content/topic=" + may.topic},
		{"state", "*:state"},
		{"members", "chunk/*:state"},
	} {
		a := s.ask(reader+" GET /rooms/<room>/"+row.path, "")
		if may.topic == "" {
			s.refused(row.path, a.Status, a.Code(), http.StatusForbidden, "M_FORBIDDEN")
			continue
		}
		if problem := check(decode(s.t, a.Body), row.want); a.Status != http.StatusOK || problem != "" {
			s.t.Errorf("%s: got %d, %s", row.path, a.Status, problem)
		}
		for _, topic := range at(decode(s.t, a.Body), "*/content/topic") {
			if topic != may.topic {
				s.t.Errorf("%s: got the topic %s, want %s", row.path, topic, may.topic)
			}
		}
	}
	a := s.ask(reader+" GET /rooms/<room>/joined_members", "")
	if reader != "joined" && reader != "returned" {
		s.refused("joined_members", a.Status, a.Code(), http.StatusForbidden, "M_FORBIDDEN")
	} else if len(at(decode(s.t, a.Body), "joined/*")) != 3 {
		s.t.Errorf("joined_members: got %d %s", a.Status, a.Body)
	}
	if may.topic == "" {
		return
	}
	// Those who are out see who was in when they went: who left did so before who returned, the others after.
	want := "join"
	if reader == "kicked" || reader == "banned" {
		want = "leave"
	}
	for _, e := range at(s.get(reader+" GET /rooms/<room>/members", ""), "chunk/*") {
		if got := textAt(s.t, e, "content/membership"); textAt(s.t, e, "state_key") == s.words["returned"] && got != want {
			s.t.Errorf("members: who returned has %s, want %s", got, want)
		}
	}
}

func (s *script) lookAtSync(reader string, may insight) {
	s.t.Helper()
	const filter = `filter={"room":{"include_leave":true,"timeline":{"limit":100}}}`
	s.lookAtRooms("initial", reader, s.get(reader+" GET /sync?"+filter, ""), may)
	s.lookAtRooms("incremental", reader, s.get(reader+" GET /sync?since=<"+reader+" since>&"+filter, ""), may)
}

func (s *script) lookAtRooms(kind, reader string, v any, may insight) {
	s.t.Helper()
	section := map[string]string{"stranger": "", "invited": "invite", "joined": "join", "returned": "join"}
	want, ok := section[reader]
	if !ok {
		want = "leave"
	}
	for _, name := range []string{"join", "invite", "leave"} {
		room := at(v, "rooms/"+name+"/"+s.words["room"])
		if (len(room) == 1) != (name == want) {
			s.t.Errorf("%s sync: in %s %t, want %t", kind, name, len(room) == 1, name == want)
		}
		if len(room) == 0 {
			continue
		}
		if got := strings.Join(said(at(room[0], "timeline/events/*")), ""); name != "invite" && got != may.page {
			s.t.Errorf("%s sync: got %q, want %q", kind, got, may.page)
		}
		for _, e := range at(room[0], "state/events/*") {
			if topic := at(e, "content/topic"); len(topic) == 1 && want == "leave" && (topic[0] == "four" || topic[0] == "five") {
				s.t.Errorf("%s sync has the topic %s, of after the user had left", kind, topic[0])
			}
		}
	}
}

func (s *script) refused(what string, status int, code string, wantStatus int, wantCode string) {
	s.t.Helper()
	if status != wantStatus || code != wantCode {
		s.t.Errorf("%s: got %d %q, want %d %s", what, status, code, wantStatus, wantCode)
	}
}
