package testserver_test

import "testing"

// TestDocumentedErrors has each endpoint answer with the errors that the specification says of it alone, beside those of TestRefusals.
func TestDocumentedErrors(t *testing.T) {
	each(t, "alice bob mallory", func(s *script) {
		s.words["room"] = s.text("alice POST /createRoom", `{"preset":"private_chat","invite":["<bob>"]}`, "room_id")
		s.get("bob POST /join/<room>", `{}`)
		s.words["event"] = s.text("alice PUT /rooms/<room>/send/m.room.message/1", `{"body":"x"}`, "event_id")
		s.words["thread"] = s.text("alice PUT /rooms/<room>/send/m.room.message/2", `{"body":"y","m.relates_to":{"rel_type":"m.thread","event_id":"<event>"}}`, "event_id")
		s.words["other"] = s.text("alice PUT /rooms/<room>/send/m.room.message/3", `{"body":"z"}`, "event_id")
		s.get("alice PUT /rooms/<room>/send/m.reaction/4", `{"m.relates_to":{"rel_type":"m.annotation","event_id":"<event>","key":"x"}}`)
		s.get("alice PUT /directory/room/%23taken:test", `{"room_id":"<room>"}`)
		s.run(documentedErrors)
	})
}

var documentedErrors = []step{
	{"server's account data", "alice PUT /user/<alice>/account_data/m.push_rules", `{}`, 405, "M_BAD_JSON", ""},
	{"server's account data of a room", "alice PUT /user/<alice>/rooms/<room>/account_data/m.fully_read", `{}`, 405, "M_BAD_JSON", ""},
	{"account data of no room", "alice PUT /user/<alice>/rooms/nonsense/account_data/x", `{}`, 400, "M_INVALID_PARAM", ""},
	{"look for it", "alice GET /user/<alice>/rooms/nonsense/account_data/x", ``, 400, "M_INVALID_PARAM", ""},
	{"account data that is not there", "alice GET /user/<alice>/account_data/x", ``, 404, "M_NOT_FOUND", ""},
	{"no filter", "alice GET /user/<alice>/filter/77", ``, 404, "M_NOT_FOUND", ""},
	{"a filter of no name", "alice GET /user/<alice>/filter/nonsense", ``, 404, "M_NOT_FOUND", ""},

	{"ban without the power", "bob POST /rooms/<room>/ban", `{"user_id":"<alice>"}`, 403, "M_FORBIDDEN", ""},
	{"unban without the power", "bob POST /rooms/<room>/unban", `{"user_id":"@x:test"}`, 403, "M_FORBIDDEN", ""},
	{"unban who is not banned", "alice POST /rooms/<room>/unban", `{"user_id":"<bob>"}`, 403, "M_FORBIDDEN", ""},
	{"kick without the power", "bob POST /rooms/<room>/kick", `{"user_id":"<alice>"}`, 403, "M_FORBIDDEN", ""},
	{"kick who is not in", "alice POST /rooms/<room>/kick", `{"user_id":"<mallory>"}`, 403, "M_FORBIDDEN", ""},
	{"invite who is in", "alice POST /rooms/<room>/invite", `{"user_id":"<bob>"}`, 403, "M_FORBIDDEN", ""},
	{"join uninvited", "mallory POST /join/<room>", `{}`, 403, "M_FORBIDDEN", ""},
	{"knock where one may not", "mallory POST /knock/<room>", `{}`, 403, "M_FORBIDDEN", ""},
	{"knock nowhere", "mallory POST /knock/%23none:test", `{}`, 404, "M_NOT_FOUND", ""},
	{"forget a room that one is in", "alice POST /rooms/<room>/forget", `{}`, 400, "M_UNKNOWN", ""},
	{"upgrade without the power", "bob POST /rooms/<room>/upgrade", `{"new_version":"11"}`, 403, "M_FORBIDDEN", ""},
	{"upgrade to no version", "alice POST /rooms/<room>/upgrade", `{"new_version":"nonsense"}`, 400, "M_UNSUPPORTED_ROOM_VERSION", ""},
	{"a room of no version", "alice POST /createRoom", `{"room_version":"nonsense"}`, 400, "M_UNSUPPORTED_ROOM_VERSION", ""},
	{"a room with a taken alias", "alice POST /createRoom", `{"room_alias_name":"taken"}`, 400, "M_ROOM_IN_USE", ""},

	{"a taken alias", "alice PUT /directory/room/%23taken:test", `{"room_id":"<room>"}`, 409, "M_UNKNOWN", ""},
	{"no alias", "alice PUT /directory/room/nonsense", `{"room_id":"<room>"}`, 400, "M_INVALID_PARAM", ""},
	{"look for no alias", "alice GET /directory/room/nonsense", ``, 400, "M_INVALID_PARAM", ""},
	{"an alias of nothing", "alice GET /directory/room/%23none:test", ``, 404, "M_NOT_FOUND", ""},
	{"delete an alias of nothing", "alice DELETE /directory/room/%23none:test", ``, 404, "M_NOT_FOUND", ""},
	{"publish no room", "alice PUT /directory/list/room/!none:test", `{}`, 404, "M_NOT_FOUND", ""},
	{"is no room published", "nobody GET /directory/list/room/!none:test", ``, 404, "M_NOT_FOUND", ""},

	{"no type of login", "nobody POST /login", `{"type":"x.y"}`, 400, "M_UNKNOWN", ""},
	{"a wrong password", "nobody POST /login", `{"type":"m.login.password","identifier":{"type":"m.id.user","user":"alice"},"password":"x"}`, 403, "M_FORBIDDEN", ""},
	{"a taken name", "nobody POST /register", `{"username":"alice","password":"x","auth":{"type":"m.login.dummy"}}`, 400, "M_USER_IN_USE", ""},
	{"no name", "nobody POST /register", `{"username":"A B","password":"x","auth":{"type":"m.login.dummy"}}`, 400, "M_INVALID_USERNAME", ""},
	{"is a taken name free", "nobody GET /register/available?username=alice", ``, 400, "M_USER_IN_USE", ""},
	{"is no name free", "nobody GET /register/available?username=A%20B", ``, 400, "M_INVALID_USERNAME", ""},
	{"a password without the old one", "alice POST /account/password", `{"new_password":"correct horse"}`, 401, "flows:array session:string", ""},

	{"presence of a stranger", "mallory GET /presence/<alice>/status", ``, 403, "M_FORBIDDEN", ""},
	{"no presence", "alice PUT /presence/<alice>/status", `{"presence":"nonsense"}`, 400, "M_INVALID_PARAM", ""},
	{"no field of a profile", "alice PUT /profile/<alice>/A%20B", `{"A B":1}`, 400, "M_INVALID_PARAM", ""},
	{"rooms shared with oneself", "alice GET /_matrix/client/v1/mutual_rooms?user_id=<alice>", ``, 400, "M_INVALID_PARAM", ""},
	{"rooms shared from nowhere", "alice GET /_matrix/client/v1/mutual_rooms?user_id=<bob>&from=nonsense", ``, 400, "M_INVALID_PARAM", ""},

	{"a receipt of no type", "alice POST /rooms/<room>/receipt/nonsense/<event>", `{}`, 400, "M_INVALID_PARAM", ""},
	{"in a thread of no name", "alice POST /rooms/<room>/receipt/m.read/<thread>", `{"thread_id":""}`, 400, "M_INVALID_PARAM", ""},
	{"in a thread that it is not in", "alice POST /rooms/<room>/receipt/m.read/<other>", `{"thread_id":"<event>"}`, 400, "M_INVALID_PARAM", ""},
	{"a marker in a thread", "alice POST /rooms/<room>/receipt/m.fully_read/<thread>", `{"thread_id":"<event>"}`, 400, "M_INVALID_PARAM", ""},

	{"the same reaction", "alice PUT /rooms/<room>/send/m.reaction/5", `{"m.relates_to":{"rel_type":"m.annotation","event_id":"<event>","key":"x"}}`, 400, "M_DUPLICATE_ANNOTATION", ""},
	{"an alias that is none", "alice PUT /rooms/<room>/state/m.room.canonical_alias", `{"alias":"nonsense"}`, 400, "M_INVALID_PARAM", ""},
	{"an alias of another room", "alice PUT /rooms/<room>/state/m.room.canonical_alias", `{"alias":"#none:test"}`, 400, "M_BAD_ALIAS", ""},
	{"no such state", "alice GET /rooms/<room>/state/x.y", ``, 404, "M_NOT_FOUND", ""},
	{"a report of no event", "alice POST /rooms/<room>/report/$none", `{"reason":"x"}`, 404, "M_NOT_FOUND", ""},
	{"messages from nowhere", "alice GET /rooms/<room>/messages?dir=b&from=nonsense", ``, 400, "M_INVALID_PARAM", ""},
	{"messages nowhere to", "alice GET /rooms/<room>/messages?dir=x", ``, 400, "M_INVALID_PARAM", ""},
	{"relations from nowhere", "alice GET /_matrix/client/v1/rooms/<room>/relations/<event>?from=nonsense", ``, 400, "M_INVALID_PARAM", ""},
	{"threads from nowhere", "alice GET /_matrix/client/v1/rooms/<room>/threads?from=nonsense", ``, 400, "M_INVALID_PARAM", ""},
	{"threads of nobody's", "alice GET /_matrix/client/v1/rooms/<room>/threads?include=nonsense", ``, 400, "M_INVALID_PARAM", ""},
	{"a hierarchy from nowhere", "alice GET /_matrix/client/v1/rooms/<room>/hierarchy?from=nonsense", ``, 400, "M_INVALID_PARAM", ""},
	{"at no time", "alice GET /_matrix/client/v1/rooms/<room>/timestamp_to_event?dir=b&ts=soon", ``, 400, "M_INVALID_PARAM", ""},
	{"at a time before all", "alice GET /_matrix/client/v1/rooms/<room>/timestamp_to_event?dir=b&ts=1", ``, 404, "M_NOT_FOUND", ""},
	{"notifications from nowhere", "alice GET /notifications?from=nonsense", ``, 400, "M_INVALID_PARAM", ""},
	{"sync since never", "alice GET /sync?since=nonsense", ``, 400, "M_INVALID_PARAM", ""},
	{"sliding sync from nowhere", "alice POST /_matrix/client/v4/sync", `{"pos":"nonsense"}`, 400, "M_UNKNOWN_POS", ""},
	{"as it was", "alice POST /_matrix/client/unstable/org.matrix.simplified_msc3575/sync?pos=nonsense", `{}`, 400, "M_UNKNOWN_POS", ""},
	{"changes of keys since never", "alice GET /keys/changes?from=nonsense&to=s0", ``, 400, "M_INVALID_PARAM", ""},
	{"rooms from nowhere", "alice GET /publicRooms?since=nonsense", ``, 400, "M_INVALID_PARAM", ""},
	{"search from nowhere", "alice POST /search?next_batch=nonsense", `{"search_categories":{"room_events":{"search_term":"x"}}}`, 400, "M_INVALID_PARAM", ""},
	{"nothing to search for", "alice POST /search", `{"search_categories":{"room_events":{}}}`, 400, "M_MISSING_PARAM", ""},
}
