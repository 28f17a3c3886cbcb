package testserver_test

import (
	"fmt"
	"testing"
)

// TestRelationsThatAreNotSeen has a user be away from a room whose history is that of its members of the time: what relates to an event
// meanwhile is no business of theirs, wherever it would be told.
func TestRelationsThatAreNotSeen(t *testing.T) {
	each(t, "alice bob carol", func(s *script) {
		s.words["room"] = s.text("alice POST /createRoom", `{"preset":"public_chat","initial_state":[{"type":"m.room.history_visibility","content":{"history_visibility":"joined"}}]}`, "room_id")
		s.get("bob POST /rooms/<room>/join", ``)
		s.message("alice", "room", "root", "")
		s.message("alice", "room", "edit", edits("root"))
		s.message("alice", "room", "quiet root", "")
		s.get("bob POST /rooms/<room>/leave", ``)
		nextMillisecond()
		s.message("alice", "room", "hidden edit", edits("root"))
		s.message("alice", "room", "hidden reply", relates("m.thread", "root"))
		s.message("alice", "room", "hidden reference", relates("m.reference", "root"))
		s.message("alice", "room", "hidden quiet reply", relates("m.thread", "quiet root"))
		const v1, event, bundle = "/_matrix/client/v1/rooms/<room>", "/rooms/<room>/event/<root>", "unsigned/m.relations/"
		s.run([]step{
			{"away: only what was there", "bob GET " + event, ``, 200, bundle + "m.replace/event_id=<edit> " + bundle + "m.thread:absent " + bundle + "m.reference:absent", ""},
			{"away: relations", "bob GET " + v1 + "/relations/<root>", ``, 200, "chunk/0/event_id=<edit> chunk/1:absent", ""},
			{"away: indirect relations", "bob GET " + v1 + "/relations/<root>?recurse=true", ``, 200, "chunk/0/event_id=<edit> chunk/1:absent", ""},
			{"away: threads", "bob GET " + v1 + "/threads", ``, 200, "chunk:empty next_batch:absent", ""},
			{"come back", "bob POST /rooms/<room>/join", ``, 200, "room_id:roomid", ""},
		})
		nextMillisecond()
		s.message("alice", "room", "reply", relates("m.thread", "root"))
		s.message("alice", "room", "reference", relates("m.reference", "root"))
		s.run([]step{
			{"back: no edit of the time between", "bob GET " + event, ``, 200, bundle + "m.replace/event_id=<edit>", ""},
			{"back: the thread", "bob GET " + event, ``, 200, bundle + "m.thread/count=1 " + bundle + "m.thread/latest_event/event_id=<reply>", ""},
			{"back: references", "bob GET " + event, ``, 200, bundle + "m.reference/chunk/0/event_id=<reference> " + bundle + "m.reference/chunk/1:absent", ""},
			{"back: relations", "bob GET " + v1 + "/relations/<root>", ``, 200, "chunk/0/event_id=<reference> chunk/1/event_id=<reply> chunk/2/event_id=<edit> chunk/3:absent", ""},
			{"back: threads", "bob GET " + v1 + "/threads", ``, 200, "chunk/0/event_id=<root> chunk/1:absent", ""},
			{"who was there sees all", "alice GET " + event, ``, 200, bundle + "m.replace/event_id=<hidden edit> " + bundle + "m.thread/count=2 " + bundle + "m.reference/chunk/1:object", ""},
			{"what came before is no event", "carol POST /rooms/<room>/join", ``, 200, "room_id:roomid", ""},
			{"to who came late", "carol GET " + v1 + "/relations/<root>", ``, 404, "M_NOT_FOUND", ""},
			{"and no thread", "carol GET " + v1 + "/threads", ``, 200, "chunk:empty", ""},
			{"ban", "alice POST /rooms/<room>/ban", `{"user_id":"<bob>"}`, 200, "{}", ""},
			{"the banned read what they saw", "bob GET " + v1 + "/threads", ``, 200, "chunk/0/event_id=<root> chunk/1:absent", ""},
			{"goes on", "alice PUT /rooms/<room>/send/m.room.message/on", `{"body":"on",` + relates("m.thread", "root") + `}`, 200, "event_id:eventid", ""},
			{"and nothing since", "bob GET " + v1 + "/relations/<root>/m.thread", ``, 200, "chunk/0/event_id=<reply> chunk/1:absent", ""},
		})
	})
}

// TestTimestampToEvent finds events by their time. Client-Server API, GET /rooms/{roomId}/timestamp_to_event.
func TestTimestampToEvent(t *testing.T) {
	eachWithServices(t, "alice bob carol", func(s *script) {
		s.words["room"] = s.text("irc POST /createRoom?ts=1000000000000", `{"preset":"public_chat"}`, "room_id")
		s.get("alice POST /rooms/<room>/join", ``)
		for i, ts := range []string{"1300000000000", "1200000000000", "1200000000000", "1100000000000"} {
			word := fmt.Sprint("message ", i)
			s.words[word] = s.text(fmt.Sprintf("irc PUT /rooms/<room>/send/m.room.message/%d?ts=%s", i, ts), `{"body":"b"}`, "event_id")
		}
		const jump = " GET /_matrix/client/v1/rooms/<room>/timestamp_to_event"
		s.run([]step{
			{"on the spot, forwards", "alice" + jump + "?dir=f&ts=1200000000000", ``, 200, "event_id=<message 1> origin_server_ts=1200000000000", ""},
			{"on the spot, backwards", "alice" + jump + "?dir=b&ts=1200000000000", ``, 200, "event_id=<message 2> origin_server_ts=1200000000000", ""},
			{"between, forwards", "alice" + jump + "?dir=f&ts=1200000000001", ``, 200, "event_id=<message 0> origin_server_ts=1300000000000", ""},
			{"between, backwards", "alice" + jump + "?dir=b&ts=1199999999999", ``, 200, "event_id=<message 3> origin_server_ts=1100000000000", ""},
			{"by the name of the proposal", "alice GET /_matrix/client/unstable/org.matrix.msc3030/rooms/<room>/timestamp_to_event?dir=b&ts=1199999999999", ``, 200, "event_id=<message 3>", ""},
			{"before all", "alice" + jump + "?dir=b&ts=999999999999", ``, 404, "M_NOT_FOUND", ""},
			{"after all", "alice" + jump + "?dir=f&ts=9000000000000", ``, 404, "M_NOT_FOUND", ""},
			{"without a time", "alice" + jump + "?dir=f", ``, 400, "M_MISSING_PARAM", ""},
			{"without a direction", "alice" + jump + "?ts=1", ``, 400, "M_MISSING_PARAM", ""},
			{"a bad time", "alice" + jump + "?dir=f&ts=x", ``, 400, "M_INVALID_PARAM", ""},
			{"a bad direction", "alice" + jump + "?dir=x&ts=1", ``, 400, "M_INVALID_PARAM", ""},
			{"without a token", "nobody" + jump + "?dir=f&ts=1", ``, 401, "M_MISSING_TOKEN", ""},
			{"a stranger", "carol" + jump + "?dir=f&ts=1", ``, 403, "M_FORBIDDEN", ""},
			{"no such room", "alice GET /_matrix/client/v1/rooms/!none/timestamp_to_event?dir=f&ts=1", ``, 403, "M_FORBIDDEN", ""},
			{"ignore the sender", "alice PUT /user/<alice>/account_data/m.ignored_user_list", `{"ignored_users":{"@ircbot:test":{}}}`, 200, "{}", ""},
			{"nothing of theirs", "alice GET /rooms/<room>/state/m.room.member/<alice>?format=event", ``, 200, ":state", "join=event_id"},
			{"but the next", "alice" + jump + "?dir=f&ts=1050000000000", ``, 200, "event_id=<join>", ""},
			{"hide the history", "irc PUT /rooms/<room>/state/m.room.history_visibility?ts=1400000000000", `{"history_visibility":"joined"}`, 200, "event_id:eventid", ""},
			{"not for bob", "irc PUT /rooms/<room>/send/m.room.message/5?ts=1500000000000", `{"body":"b"}`, 200, "event_id:eventid", ""},
			{"bob comes", "bob POST /rooms/<room>/join", ``, 200, "room_id:roomid", ""},
			{"for bob", "irc PUT /rooms/<room>/send/m.room.message/6?ts=1500000000000", `{"body":"b"}`, 200, "event_id:eventid", "for bob=event_id"},
			{"bob sees the second", "bob" + jump + "?dir=f&ts=1450000000000", ``, 200, "event_id=<for bob>", ""},
			{"bob leaves", "bob POST /rooms/<room>/leave", ``, 200, "{}", ""},
			{"after bob", "irc PUT /rooms/<room>/send/m.room.message/7?ts=1600000000000", `{"body":"b"}`, 200, "event_id:eventid", ""},
			{"bob does not see it", "bob" + jump + "?dir=b&ts=1700000000000", ``, 200, "event_id=<for bob>", ""},
		})
	})
}
