package testserver_test

import "testing"

// TestAliasRules sets and removes the aliases of rooms, and what the rooms' state says of them. Client-Server API, "Room aliases" and
// "m.room.canonical_alias".
func TestAliasRules(t *testing.T) {
	eachWithServices(t, "alice bob carol", func(s *script) {
		if _, err := s.Accounts.CreateUser(t.Context(), "root", "correct horse battery", true); err != nil {
			t.Fatal(err)
		}
		s.tokens["root"] = s.text("nobody POST /login",
			`{"type":"m.login.password","identifier":{"type":"m.id.user","user":"root"},"password":"correct horse battery"}`, "access_token")
		s.run(aliasRuleSteps)
		s.run(adminSteps)
	})
}

var aliasRuleSteps = []step{
	{"a room with another's alias", "alice POST /createRoom", `{"initial_state":[{"type":"m.room.canonical_alias","content":{"alias":"#none:test"}}]}`, 400, "M_BAD_ALIAS", ""},
	{"as an alternative", "alice POST /createRoom", `{"room_alias_name":"own","initial_state":[{"type":"m.room.canonical_alias","content":{"alias":"#own:test","alt_aliases":["#none:test"]}}]}`, 400, "M_BAD_ALIAS", ""},
	{"of another server", "alice POST /createRoom", `{"initial_state":[{"type":"m.room.canonical_alias","content":{"alias":"#none:elsewhere"}}]}`, 400, "M_BAD_ALIAS", ""},
	{"of the wrong type", "alice POST /createRoom", `{"initial_state":[{"type":"m.room.canonical_alias","content":{"alias":["#none:test"]}}]}`, 400, "M_BAD_JSON", ""},
	{"the alias was not made", "alice GET /directory/room/%23own:test", ``, 404, "M_NOT_FOUND", ""},
	{"its own", "alice POST /createRoom", `{"preset":"public_chat","room_alias_name":"own","initial_state":[{"type":"m.room.canonical_alias","content":{"alt_aliases":["#own:test"]}}]}`, 200, "room_id:roomid", "room=room_id"},
	{"as it was said", "alice GET /rooms/<room>/state/m.room.canonical_alias", ``, 200, "alias:absent alt_aliases/0=#own:test", ""},
	{"bob joins", "bob POST /join/<room>", ``, 200, "room_id:roomid", ""},
	{"more aliases", "bob PUT /directory/room/%23second:test", `{"room_id":"<room>"}`, 200, "{}", ""},
	{"more aliases", "alice PUT /directory/room/%23third:test", `{"room_id":"<room>"}`, 200, "{}", ""},
	{"all of them", "alice PUT /rooms/<room>/state/m.room.canonical_alias", `{"alias":"#third:test","alt_aliases":["#own:test","#second:test","#third:test"],"x.y":1}`, 200, "event_id:eventid", ""},
	{"another's alias, as a member", "bob DELETE /directory/room/%23own:test", ``, 403, "M_FORBIDDEN", ""},
	{"one's own, without the power to change the state", "bob DELETE /directory/room/%23second:test", ``, 200, "{}", ""},
	{"which stays", "alice GET /rooms/<room>/state/m.room.canonical_alias", ``, 200, "alt_aliases/1=#second:test", ""},
	{"with the power", "alice DELETE /directory/room/%23third:test", ``, 200, "{}", ""},
	{"which changes", "alice GET /rooms/<room>/state/m.room.canonical_alias", ``, 200, "alias:absent alt_aliases/0=#own:test alt_aliases/1=#second:test alt_aliases/2:absent x.y=1", ""},
	{"another method", "alice POST /directory/room/%23own:test", `{}`, 405, "M_UNRECOGNIZED", ""},
	{"of another server", "alice DELETE /directory/room/%23own:elsewhere", ``, 400, "M_INVALID_PARAM", ""},
}

var adminSteps = []step{
	{"an administrator removes any", "root DELETE /directory/room/%23own:test", ``, 200, "{}", ""},
	{"gone", "bob GET /directory/room/%23own:test", ``, 404, "M_NOT_FOUND", ""},
	{"which is not in the room", "alice GET /rooms/<room>/state/m.room.canonical_alias", ``, 200, "alt_aliases/0=#own:test", ""},
	{"one that is gone", "root DELETE /directory/room/%23own:test", ``, 404, "M_NOT_FOUND", ""},
	{"malformed", "root DELETE /directory/room/own", ``, 400, "M_INVALID_PARAM", ""},
	{"publish any", "root PUT /directory/list/room/<room>", `{"visibility":"public"}`, 200, "{}", ""},
	{"published", "nobody GET /directory/list/room/<room>", ``, 200, "visibility=public", ""},
	{"but none that there is not", "root PUT /directory/list/room/!none:test", `{"visibility":"public"}`, 404, "M_NOT_FOUND", ""},
	{"a service's alias", "irc PUT /directory/room/%23irc_x:test", `{"room_id":"<room>"}`, 403, "M_FORBIDDEN", ""},
	{"the service joins", "irc POST /join/<room>", ``, 200, "room_id:roomid", ""},
	{"a service's alias", "irc PUT /directory/room/%23irc_x:test", `{"room_id":"<room>"}`, 200, "{}", ""},
	{"is the service's", "alice DELETE /directory/room/%23irc_x:test", ``, 400, "M_EXCLUSIVE", ""},
	{"and the administrator's", "root DELETE /directory/room/%23irc_x:test", ``, 200, "{}", ""},
	{"every version, the last the default", "alice GET /capabilities", ``, 200, "capabilities/m.room_versions/default=12 capabilities/m.room_versions/available/1=stable capabilities/m.room_versions/available/6=stable capabilities/m.room_versions/available/12=stable", ""},
}
