package testserver_test

import "testing"

// TestInvitePermission invites users who do not want to be invited (Client-Server API, "Invite permission"; MSC4155).
func TestInvitePermission(t *testing.T) {
	each(t, "alice bob carol", func(s *script) {
		for _, room := range []string{"one", "two", "three", "four"} {
			s.words[room] = s.text("alice POST /createRoom", `{}`, "room_id")
		}
		s.run(invitePermissionSteps)
	})
}

const invitesList = `{"lists":{"all":{"timeline_limit":1,"required_state":{},"range":[0,9]}}}`

var invitePermissionSteps = []step{
	{"invite", "alice POST /rooms/<one>/invite", `{"user_id":"<bob>"}`, 200, "{}", ""},
	{"bob sees it", "bob GET /sync?timeout=0", ``, 200, "rooms/invite/<one>:object", ""},
	{"he is notified of it", "bob GET /notifications", ``, 200, "notifications/0/room_id=<one>", ""},
	{"and has it in his list", "bob POST /_matrix/client/v4/sync", invitesList, 200, "lists/all/count=1", ""},
	{"bob blocks all", "bob PUT /user/<bob>/account_data/m.invite_permission_config", `{"default_action":"block"}`, 200, "{}", ""},
	{"what has come is nothing to be notified of", "bob GET /notifications", ``, 200, "notifications:empty", ""},
	{"nor in his list", "bob POST /_matrix/client/v4/sync", invitesList, 200, "lists/all/count=0", ""},
	{"invite", "alice POST /rooms/<two>/invite", `{"user_id":"<bob>"}`, 403, "M_INVITE_BLOCKED", ""},
	{"invite by the state", "alice PUT /rooms/<two>/state/m.room.member/<bob>", `{"membership":"invite"}`, 403, "M_INVITE_BLOCKED", ""},
	{"create a room", "alice POST /createRoom", `{"invite":["<bob>"]}`, 403, "M_INVITE_BLOCKED", ""},
	{"who may not invite does not learn of it", "carol POST /rooms/<two>/invite", `{"user_id":"<bob>"}`, 403, "M_FORBIDDEN", ""},
	{"bob does not see the old one", "bob GET /sync?timeout=0", ``, 200, "rooms/invite:absent", ""},
	{"but it is there", "alice GET /rooms/<one>/state/m.room.member/<bob>", ``, 200, "membership=invite", ""},
	{"and can be accepted", "bob POST /rooms/<one>/join", `{}`, 200, "room_id=<one>", ""},
	{"bob blocks none", "bob PUT /user/<bob>/account_data/m.invite_permission_config", `{}`, 200, "{}", ""},
	{"bob ignores alice", "bob PUT /user/<bob>/account_data/org.matrix.msc4155.invite_permission_config", `{"ignored_users":["@ali*"]}`, 200, "{}", ""},
	{"sync", "bob GET /sync?timeout=0", ``, 200, "rooms/invite:absent", "since=next_batch"},
	{"invite, which is not refused", "alice POST /rooms/<three>/invite", `{"user_id":"<bob>"}`, 200, "{}", ""},
	{"bob does not see it", "bob GET /sync?timeout=0&since=<since>", ``, 200, "rooms:absent", ""},
	{"nor in a new session", "bob GET /sync?timeout=0", ``, 200, "rooms/invite:absent", ""},
	{"bob blocks the server", "bob PUT /user/<bob>/account_data/org.matrix.msc4155.invite_permission_config", `{"allowed_users":["<carol>"],"blocked_servers":["te*"]}`, 200, "{}", ""},
	{"invite", "alice POST /rooms/<four>/invite", `{"user_id":"<bob>"}`, 403, "M_INVITE_BLOCKED", ""},
	{"carol's room", "carol POST /createRoom", `{"invite":["<bob>"]}`, 200, "room_id:roomid", "carols=room_id"},
	{"bob sees carol's", "bob GET /sync?timeout=0", ``, 200, "rooms/invite/<carols>:object rooms/invite/<three>:absent", ""},

	{"by email", "alice POST /rooms/<two>/invite", `{"medium":"email","address":"a@b.c","id_server":"x","id_access_token":"y"}`, 403, "M_THREEPID_DENIED", ""},
	{"by nothing", "alice POST /rooms/<two>/invite", `{}`, 400, "M_MISSING_PARAM", ""},
	{"create a room, by email", "alice POST /createRoom", `{"invite_3pid":[{"medium":"email","address":"a@b.c","id_server":"x","id_access_token":"y"}]}`, 403, "M_THREEPID_DENIED", ""},
	{"the state of one", "alice PUT /rooms/<two>/state/m.room.third_party_invite/x", `{"display_name":"a...@b","key_validity_url":"https://x","public_key":"abc"}`, 200, "event_id:eventid", ""},
}
