package testserver_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// standing is what a reader has to do with the room that visibilityRoom makes.
type standing struct {
	name    string
	section string // of /sync
	stayed  bool   // the section has what happened while the reader was in the room
	member  bool   // is in the room now
}

var standings = []standing{
	{name: "stranger"},
	{name: "invited", section: "invite"},
	{name: "declined", section: "leave"},  // the invitation
	{name: "withdrawn", section: "leave"}, // was the invitation
	{name: "knocking", section: "knock"},
	{name: "admitted", section: "join", stayed: true, member: true}, // after knocking
	{name: "joined", section: "join", stayed: true, member: true},
	{name: "ignorer", section: "join", stayed: true, member: true}, // of who says it all
	{name: "returned", section: "join", stayed: true, member: true},
	{name: "pardoned", section: "join", stayed: true, member: true}, // was banned, and has come back
	{name: "left", section: "leave", stayed: true},
	{name: "kicked", section: "leave", stayed: true},
	{name: "banned", section: "leave", stayed: true},
	{name: "unbanned", section: "leave", stayed: true}, // and has not come back
	{name: "forgetful", section: "leave", stayed: true},
}

// readers are the names of standings.
func readers() []string {
	names := make([]string, len(standings))
	for i, st := range standings {
		names[i] = st.name
	}
	return names
}

// insight is what a reader may see of the five messages and of the topics that go with them.
type insight struct {
	page  string // the messages in /messages and in a sync
	event string // the messages by /event and /context
	topic string // the topic in the state, "" when the state may not be read
}

// Client-Server API, "Room History Visibility", "Server behaviour": the rules in their order, of messages 1 before the invitation or
// the knock, 2 between that and the join, 3 in the room, 4 after leaving, and 5 after who returned has returned. Only who has been in
// the room reads it, unless it is world_readable. Where it is, a user who left reads the whole of it by event, as a stranger does;
// pages end where the user left.
var insights = map[string]map[string]insight{
	"world_readable": {
		"stranger invited declined withdrawn knocking forgetful": {"12345", "12345", "five"},
		"joined admitted returned pardoned":                      {"12345", "12345", "five"},
		"left kicked banned unbanned":                            {"123", "12345", "three"},
		"ignorer":                                                {"", "", "five"},
	},
	"shared": {
		"stranger invited declined withdrawn knocking forgetful": {},
		"joined admitted returned pardoned":                      {"12345", "12345", "five"},
		"left kicked banned unbanned":                            {"123", "123", "three"},
		"ignorer":                                                {"", "", "five"},
	},
	"invited": {
		"stranger invited declined withdrawn knocking forgetful": {},
		"joined":                      {"2345", "2345", "five"},
		"admitted":                    {"345", "345", "five"},
		"returned pardoned":           {"235", "235", "five"},
		"left kicked banned unbanned": {"23", "23", "three"},
		"ignorer":                     {"", "", "five"},
	},
	"joined": {
		"stranger invited declined withdrawn knocking forgetful": {},
		"joined admitted":             {"345", "345", "five"},
		"returned pardoned":           {"35", "35", "five"},
		"left kicked banned unbanned": {"3", "3", "three"},
		"ignorer":                     {"", "", "five"},
	},
}

// TestWhoMayRead has every reader look at a room of every history visibility through every endpoint.
func TestWhoMayRead(t *testing.T) {
	each(t, "alice "+strings.Join(readers(), " "), func(s *script) {
		outer := s.t
		s.get("ignorer PUT /user/<ignorer>/account_data/m.ignored_user_list", `{"ignored_users":{"<alice>":{}}}`)
		for _, visibility := range []string{"world_readable", "shared", "invited", "joined"} {
			s.t = outer
			s.visibilityRoom(visibility)
			for names, may := range insights[visibility] {
				for _, st := range standings {
					if slices.Contains(strings.Fields(names), st.name) {
						outer.Run(visibility+"/"+st.name, func(t *testing.T) {
							s.t = t
							s.look(st, may)
						})
					}
				}
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
	for _, reader := range readers() {
		s.since(reader, "")
	}
	s.words["room"] = s.text("alice POST /createRoom", `{"preset":"public_chat","initial_state":[
		{"type":"m.room.history_visibility","content":{"history_visibility":"`+visibility+`"}},
		{"type":"m.room.join_rules","content":{"join_rule":"knock"}}]}`, "room_id")
	s.say(1, "one")
	for _, st := range standings[1:] {
		if st.name == "knocking" || st.name == "admitted" {
			s.get(st.name+" POST /knock/<room>", "")
		} else {
			s.alice("invite", st.name)
		}
	}
	s.say(2, "two")
	s.get("declined POST /rooms/<room>/leave", "")
	s.alice("kick", "withdrawn")
	s.alice("invite", "admitted")
	s.get("alice PUT /rooms/<room>/state/m.room.join_rules", `{"join_rule":"public"}`)
	for _, st := range standings {
		if st.stayed {
			s.get(st.name+" POST /rooms/<room>/join", "")
		}
	}
	s.say(3, "three")
	for _, name := range []string{"left", "returned", "forgetful"} {
		s.get(name+" POST /rooms/<room>/leave", "")
	}
	s.get("forgetful POST /rooms/<room>/forget", "{}")
	s.alice("kick", "kicked")
	for _, name := range []string{"banned", "unbanned", "pardoned"} {
		s.alice("ban", name)
	}
	s.say(4, "four")
	s.alice("unban", "unbanned")
	s.alice("unban", "pardoned")
	s.get("returned POST /rooms/<room>/join", "")
	s.get("pardoned POST /rooms/<room>/join", "")
	s.say(5, "five")
	s.since("alice", "")
}

// alice does something to a user's membership.
func (s *script) alice(action, name string) {
	s.t.Helper()
	s.get("alice POST /rooms/<room>/"+action, `{"user_id":"<`+name+`>"}`)
}

// look compares what a reader gets from each endpoint with what the reader may get.
func (s *script) look(st standing, may insight) {
	s.lookAtPages(st.name, may)
	s.lookAtEvents(st.name, may)
	s.lookAtState(st, may)
	s.lookAtSync(st, may)
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
			switch {
			case reader != "ignorer":
				s.refused("topic "+body, topic.Status, topic.Code(), http.StatusNotFound, "M_NOT_FOUND")
			case body == "5" && topic.Status != http.StatusOK:
				s.t.Errorf("topic 5, which is state whoever set it: got %d %s", topic.Status, topic.Body)
			}
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

func (s *script) lookAtState(st standing, may insight) {
	s.t.Helper()
	reader := st.name
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
	if !st.member {
		s.refused("joined_members", a.Status, a.Code(), http.StatusForbidden, "M_FORBIDDEN")
	} else if len(at(decode(s.t, a.Body), "joined/*")) != 6 {
		s.t.Errorf("joined_members: got %d %s", a.Status, a.Body)
	}
	if may.topic == "" {
		return
	}
	// Those who are out see who was in when they went: who left did so before who returned, the others after.
	want := "join"
	if may.topic == "three" && reader != "left" {
		want = "leave"
	}
	for _, e := range at(s.get(reader+" GET /rooms/<room>/members", ""), "chunk/*") {
		if got := textAt(s.t, e, "content/membership"); textAt(s.t, e, "state_key") == s.words["returned"] && got != want {
			s.t.Errorf("members: who returned has %s, want %s", got, want)
		}
	}
}

func (s *script) lookAtSync(st standing, may insight) {
	s.t.Helper()
	const filter = `filter={"room":{"include_leave":true,"timeline":{"limit":100}}}`
	if !st.stayed {
		may.page = ""
	}
	initial := st.section
	if st.section == "leave" && !st.stayed || st.name == "forgetful" {
		initial = "" // there is nothing to go back to
	}
	s.lookAtRooms("initial", st, initial, s.get(st.name+" GET /sync?"+filter, ""), may)
	if st.name == "forgetful" {
		return // other devices of theirs hear of the leave, see usersync
	}
	s.lookAtRooms("incremental", st, st.section, s.get(st.name+" GET /sync?since=<"+st.name+" since>&"+filter, ""), may)
}

func (s *script) lookAtRooms(kind string, st standing, want string, v any, may insight) {
	s.t.Helper()
	for _, name := range []string{"join", "invite", "knock", "leave"} {
		room := at(v, "rooms/"+name+"/"+s.words["room"])
		if (len(room) == 1) != (name == want) {
			s.t.Errorf("%s sync: in %s %t, want %t", kind, name, len(room) == 1, name == want)
		}
		if len(room) == 0 {
			continue
		}
		if name == "invite" || name == "knock" {
			stripped := at(room[0], name+"_state/events/*")
			if problem := check(room[0], name+"_state/events/*:stripped"); problem != "" || len(at(stripped, "0/content/room_version")) != 1 {
				s.t.Errorf("%s sync: %s_state begins without a create event, or %s: %v", kind, name, problem, stripped)
			}
			continue
		}
		if got := s.timeline(st.name, room[0]); got != may.page {
			s.t.Errorf("%s sync: got %q, want %q", kind, got, may.page)
		}
		for _, e := range at(room[0], "state/events/*") {
			if topic := at(e, "content/topic"); len(topic) == 1 && want == "leave" && (topic[0] == "four" || topic[0] == "five") {
				s.t.Errorf("%s sync has the topic %s, of after the user had left", kind, topic[0])
			}
		}
	}
}

// timeline returns the messages of a room in /sync, with those of the gap before it: where what a reader may not see has changed the
// state, the timeline begins behind that.
func (s *script) timeline(reader string, room any) string {
	s.t.Helper()
	bodies := said(at(room, "timeline/events/*"))
	if check(room, "timeline/limited=true timeline/prev_batch:string") == "" {
		s.words["gap"] = textAt(s.t, room, "timeline/prev_batch")
		page := s.get(reader+" GET /rooms/<room>/messages?limit=100&dir=b&from=<gap>", "")
		bodies = append(reversed(said(at(page, "chunk/*"))), bodies...)
	}
	return strings.Join(bodies, "")
}

func (s *script) refused(what string, status int, code string, wantStatus int, wantCode string) {
	s.t.Helper()
	if status != wantStatus || code != wantCode {
		s.t.Errorf("%s: got %d %q, want %d %s", what, status, code, wantStatus, wantCode)
	}
}
