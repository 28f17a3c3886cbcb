package testserver_test

import (
	"net/http"
	"testing"

	"causeway/homeserver"
)

func withLegacy(c *homeserver.Config) {
	c.Legacy = homeserver.LegacyConfig{QueryTokens: true, Events: true}
}

// TestLegacyOff has what is deprecated look as if it were not there.
func TestLegacyOff(t *testing.T) {
	each(t, "alice", func(s *script) {
		s.run([]step{
			{"events", "alice GET /events", ``, 404, "M_UNRECOGNIZED", ""},
			{"one event", "alice GET /events/$x", ``, 404, "M_UNRECOGNIZED", ""},
			{"all rooms", "alice GET /initialSync", ``, 404, "M_UNRECOGNIZED", ""},
			{"by r0", "alice GET /_matrix/client/r0/initialSync", ``, 404, "M_UNRECOGNIZED", ""},
			{"without a token", "nobody GET /events", ``, 401, "M_MISSING_TOKEN", ""},
			{"a token in the query", "nobody GET /account/whoami?access_token=" + s.tokens["alice"], ``, 401, "M_MISSING_TOKEN", ""},
		})
	})
}

// TestLegacy uses what there was before /sync, as clients of that time did.
func TestLegacy(t *testing.T) {
	each(t, "alice bob carol", func(s *script) {
		s.run([]step{
			{"a token in the query", "nobody GET /account/whoami?access_token=" + s.tokens["alice"], ``, 200, "user_id=<alice>", ""},
			{"a wrong one", "nobody GET /account/whoami?access_token=x", ``, 401, "M_UNKNOWN_TOKEN", ""},
			{"nothing yet", "bob GET /initialSync", ``, 200, "end:string rooms:empty presence:array account_data:array", ""},
			{"a bad limit", "bob GET /initialSync?limit=-1", ``, 400, "M_INVALID_PARAM", ""},
			{"a bad archived", "bob GET /initialSync?archived=1", ``, 400, "M_INVALID_PARAM", ""},
			{"a room", "alice POST /createRoom", `{"preset":"public_chat","visibility":"public"}`, 200, "", "room=room_id"},
			{"another", "alice POST /createRoom", `{"invite":["<bob>"]}`, 200, "", "other=room_id"},
			{"in", "bob POST /rooms/<room>/join", `{}`, 200, "", ""},
			{"data", "bob PUT /user/<bob>/rooms/<room>/account_data/m.tag", `{"tags":{}}`, 200, "", ""},
			{"a message", "alice PUT /rooms/<room>/send/m.room.message/1", `{"body":"one"}`, 200, "", "event=event_id"},
		})
		all := s.get("bob GET /initialSync?limit=2", "")
		s.words["end"] = textAt(s.t, all, "end")
		for _, room := range at(all, "rooms/*") {
			if textAt(s.t, room, "room_id") == s.words["room"] {
				s.must("the room", room, `membership=join visibility=public messages/chunk/0:event messages/chunk/1/content/body=one messages/chunk/2:absent
					messages/start:string messages/end:string state/*:state account_data/0/type=m.tag`)
			} else {
				s.must("the invitation", room, "membership=invite invite:state invite/content/membership=invite messages:absent state:absent")
			}
		}
		s.run([]step{
			{"the room alone", "bob GET /rooms/<room>/initialSync?limit=1", ``, 200, "room_id=<room> membership=join visibility=public messages/chunk/0/content/body=one messages/chunk/1:absent state/*:state account_data/0/type=m.tag", ""},
			{"of strangers", "carol GET /rooms/<room>/initialSync", ``, 403, "M_FORBIDDEN", ""},
			{"that is none", "carol GET /rooms/!x:test/initialSync", ``, 403, "M_FORBIDDEN", ""},
			{"one event", "bob GET /events/<event>", ``, 200, "content/body=one room_id=<room>", ""},
			{"of strangers", "carol GET /events/<event>", ``, 404, "M_NOT_FOUND", ""},
			{"that is none", "bob GET /events/$x", ``, 404, "M_NOT_FOUND", ""},
			{"nothing new", "bob GET /events?from=<end>", ``, 200, "start=<end> end:string chunk:empty", ""},
			{"a bad token", "bob GET /events?from=x", ``, 400, "M_INVALID_PARAM", ""},
			{"a bad timeout", "bob GET /events?timeout=x", ``, 400, "M_INVALID_PARAM", ""},
			{"two", "alice PUT /rooms/<room>/send/m.room.message/2", `{"body":"two"}`, 200, "", ""},
			{"behind the back", "alice PUT /rooms/<other>/send/m.room.message/3", `{"body":"hidden"}`, 200, "", ""},
			{"what is new", "bob GET /events?from=<end>&timeout=1000", ``, 200, "chunk/0/content/body=two chunk/0/room_id=<room> chunk/1:absent", "end=end"},
			{"in", "bob POST /rooms/<other>/join", `{}`, 200, "", ""},
			{"from one's coming on", "bob GET /events?from=<end>&timeout=1000", ``, 200, "chunk/0/content/membership=join chunk/0/room_id=<other> chunk/1:absent", "end=end"},
			{"out", "bob POST /rooms/<room>/leave", `{}`, 200, "", ""},
			{"after", "alice PUT /rooms/<room>/send/m.room.message/4", `{"body":"after"}`, 200, "", ""},
			{"to one's going", "bob GET /events?from=<end>&timeout=1000", ``, 200, "chunk/0/content/membership=leave chunk/1:absent", "end=end"},
			{"gone", "bob GET /events?from=<end>", ``, 200, "chunk:empty", ""},
			{"archived", "bob GET /initialSync?archived=true&limit=1", ``, 200, "rooms/0/room_id:roomid rooms/1/room_id:roomid rooms/2:absent", ""},
			{"not archived", "bob GET /initialSync?limit=1", ``, 200, "rooms/0/room_id=<other> rooms/1:absent", ""},
		})
		for _, room := range at(s.get("bob GET /initialSync?archived=true&limit=1", ""), "rooms/*") {
			if textAt(s.t, room, "room_id") == s.words["room"] {
				s.must("archived", room, "membership=leave messages/chunk/0/content/membership=leave messages/chunk/1:absent")
			}
		}
	}, withLegacy)
}

// TestPeeking looks into a room without being in it, as far as it is world readable. Client-Server API, "Room Previews".
func TestPeeking(t *testing.T) {
	bus := &waiting{registered: make(chan struct{}, 1)}
	each(t, "alice carol", func(s *script) {
		s.words["room"] = s.text("alice POST /createRoom", `{"preset":"public_chat"}`, "room_id")
		s.words["secret"] = s.text("alice PUT /rooms/<room>/send/m.room.message/1", `{"body":"secret"}`, "event_id")
		s.get("alice PUT /rooms/<room>/state/m.room.history_visibility", `{"history_visibility":"world_readable"}`)
		s.words["open"] = s.text("alice PUT /rooms/<room>/send/m.room.message/2", `{"body":"open"}`, "event_id")
		s.run([]step{
			{"messages", "carol GET /rooms/<room>/messages?dir=b&limit=100", ``, 200, "chunk/0/content/body=open chunk/1/type=m.room.history_visibility chunk/2:absent", ""},
			{"event", "carol GET /rooms/<room>/event/<open>", ``, 200, "content/body=open", ""},
			{"event of before", "carol GET /rooms/<room>/event/<secret>", ``, 404, "M_NOT_FOUND", ""},
			{"context", "carol GET /rooms/<room>/context/<open>", ``, 200, "event/content/body=open events_before/1:absent", ""},
			{"context of before", "carol GET /rooms/<room>/context/<secret>", ``, 404, "M_NOT_FOUND", ""},
			{"state", "carol GET /rooms/<room>/state", ``, 200, "*:state", ""},
			{"members", "carol GET /rooms/<room>/members", ``, 200, "chunk/0:state", ""},
			{"joined members", "carol GET /rooms/<room>/joined_members", ``, 403, "M_FORBIDDEN", ""},
			{"initial sync", "carol GET /rooms/<room>/initialSync", ``, 200, "messages/chunk/1/content/body=open messages/chunk/2:absent membership:absent", "end=messages/end"},
			{"without a token", "nobody GET /rooms/<room>/initialSync", ``, 401, "M_MISSING_TOKEN", ""},
			{"events of before", "carol GET /events?room_id=<room>&from=s0", ``, 200, "chunk/0/type=m.room.history_visibility chunk/1/content/body=open chunk/2:absent", ""},
			{"nothing new", "carol GET /events?room_id=<room>&from=<end>", ``, 200, "chunk:empty", ""},
		})
		bus.drain()
		answers := make(chan any, 1)
		go func() {
			a := s.ask("carol GET /events?room_id=<room>&timeout=60000&from=<end>", "")
			if a.Status != http.StatusOK {
				t.Errorf("%d %s", a.Status, a.Body)
			}
			answers <- decode(t, a.Body)
		}()
		<-bus.registered
		s.get("alice PUT /rooms/<room>/send/m.room.message/3", `{"body":"news"}`)
		s.must("news", <-answers, "chunk/0/content/body=news chunk/1:absent")

		s.get("alice PUT /rooms/<room>/state/m.room.history_visibility", `{"history_visibility":"shared"}`)
		s.run([]step{
			{"closed: messages", "carol GET /rooms/<room>/messages?dir=b", ``, 403, "M_FORBIDDEN", ""},
			{"closed: initial sync", "carol GET /rooms/<room>/initialSync", ``, 403, "M_FORBIDDEN", ""},
			{"closed: events", "carol GET /events?room_id=<room>&from=s0", ``, 403, "M_FORBIDDEN", ""},
			{"closed: event", "carol GET /rooms/<room>/event/<open>", ``, 404, "M_NOT_FOUND", ""},
			{"closed: members", "carol GET /rooms/<room>/members", ``, 403, "M_FORBIDDEN", ""},
		})
	}, func(c *homeserver.Config) { c.Bus = bus })
}
