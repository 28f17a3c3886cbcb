package testserver_test

import "testing"

// TestOddThreads sends what names a thread that no database could hold: it is in the main timeline, and its receipt too.
func TestOddThreads(t *testing.T) {
	each(t, "alice bob", func(s *script) {
		s.words["room"] = s.text("alice POST /createRoom", `{"preset":"public_chat"}`, "room_id")
		s.get("bob POST /rooms/<room>/join", "")
		s.run([]step{
			{"a NUL", "alice PUT /rooms/<room>/send/m.room.message/1",
				`{"msgtype":"m.text","body":"x","m.relates_to":{"rel_type":"m.thread","event_id":"$a\u0000b"}}`, 200, "event_id:string", "odd=event_id"},
			{"its receipt", "bob POST /rooms/<room>/receipt/m.read/<odd>", `{"thread_id":"main"}`, 200, "", ""},
		})
	})
}
