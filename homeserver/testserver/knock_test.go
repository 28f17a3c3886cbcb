package testserver_test

import "testing"

// TestKnock knocks on rooms. Client-Server API, "Knocking on rooms".
func TestKnock(t *testing.T) {
	each(t, "alice bob carol", func(s *script) {
		for _, version := range []string{"7", "12"} {
			s.words["version"], s.words["rule"] = version, "knock"
			s.run(knockSteps)
		}
		for _, version := range []string{"10", "12"} {
			s.words["version"], s.words["rule"] = version, "knock_restricted"
			s.run(knockSteps)
		}
	})
}

var knockSteps = []step{
	{"a room", "alice POST /createRoom", `{"room_version":"<version>","preset":"private_chat"}`, 200, "room_id:roomid", "room=room_id"},
	{"an alias", "alice PUT /directory/room/%23k<version><rule>:test", `{"room_id":"<room>"}`, 200, "{}", ""},
	{"without a token", "nobody POST /knock/<room>", `{}`, 401, "M_MISSING_TOKEN", ""},
	{"on a room that is closed", "bob POST /knock/<room>", `{}`, 403, "M_FORBIDDEN", ""},
	{"open the door", "alice PUT /rooms/<room>/state/m.room.join_rules", `{"join_rule":"<rule>"}`, 200, "event_id:eventid", ""},
	{"join", "bob POST /join/<room>", `{}`, 403, "M_FORBIDDEN", ""},
	{"on no room", "bob POST /knock/!none:test", `{}`, 404, "M_NOT_FOUND", ""},
	{"on no alias", "bob POST /knock/%23none:test", `{}`, 404, "M_NOT_FOUND", ""},
	{"on nonsense", "bob POST /knock/nonsense", `{}`, 400, "M_INVALID_PARAM", ""},
	{"malformed", "bob POST /knock/<room>", `{`, 400, "M_NOT_JSON", ""},
	{"with a reason of the wrong type", "bob POST /knock/<room>", `{"reason":1}`, 400, "M_BAD_JSON", ""},
	{"with another method", "bob GET /knock/<room>", ``, 405, "M_UNRECOGNIZED", ""},
	{"a name", "bob PUT /profile/<bob>/displayname", `{"displayname":"Bob"}`, 200, "{}", ""},
	{"knock", "bob POST /knock/<room>?server_name=a&via=b", `{"reason":"open"}`, 200, "room_id=<room>", ""},
	{"what the members see", "alice GET /rooms/<room>/state/m.room.member/<bob>", ``, 200, "membership=knock reason=open displayname=Bob", ""},
	{"knock again, by the alias", "bob POST /knock/%23k<version><rule>:test", `{"reason":"please"}`, 200, "room_id=<room>", ""},
	{"join", "bob POST /join/<room>", `{}`, 403, "M_FORBIDDEN", ""},
	{"read", "bob GET /rooms/<room>/messages?dir=b", ``, 403, "M_FORBIDDEN", ""},
	{"not in it", "bob GET /joined_rooms", ``, 200, "joined_rooms:array", ""},
	{"take it back", "bob POST /rooms/<room>/leave", ``, 200, "{}", ""},
	{"what the members see", "alice GET /rooms/<room>/state/m.room.member/<bob>", ``, 200, "membership=leave", ""},
	{"and again", "bob POST /knock/<room>", ``, 200, "room_id=<room>", ""},
	{"another cannot answer", "carol POST /rooms/<room>/kick", `{"user_id":"<bob>"}`, 403, "M_FORBIDDEN", ""},
	{"no", "alice POST /rooms/<room>/kick", `{"user_id":"<bob>","reason":"no"}`, 200, "{}", ""},
	{"and again", "bob POST /knock/<room>", `{}`, 200, "room_id=<room>", ""},
	{"yes", "alice POST /rooms/<room>/invite", `{"user_id":"<bob>"}`, 200, "{}", ""},
	{"knock when invited", "bob POST /knock/<room>", `{}`, 403, "M_FORBIDDEN", ""},
	{"join", "bob POST /join/<room>", `{}`, 200, "room_id=<room>", ""},
	{"knock when in it", "bob POST /knock/<room>", `{"reason":"x"}`, 403, "M_FORBIDDEN", ""},
	{"ban", "alice POST /rooms/<room>/ban", `{"user_id":"<bob>"}`, 200, "{}", ""},
	{"knock when banned", "bob POST /knock/<room>", `{}`, 403, "M_FORBIDDEN", ""},
}

// TestRestricted joins rooms that are restricted to the members of others. Client-Server API, "Restricted rooms".
func TestRestricted(t *testing.T) {
	each(t, "alice bob carol dave", func(s *script) {
		for _, version := range []string{"8", "9", "11", "12"} {
			s.words["version"], s.words["rule"], s.words["level"] = version, "restricted", `"@alice:test":100,`
			if version == "12" {
				s.words["level"] = "" // she is above all levels
			}
			s.run(restrictedSteps)
		}
		s.words["version"], s.words["rule"], s.words["level"] = "10", "knock_restricted", `"@alice:test":100,`
		s.run(restrictedSteps)
		s.words["version"], s.words["rule"] = "7", "restricted"
		s.run(unrestrictedSteps)
		s.words["version"], s.words["rule"] = "9", "knock_restricted"
		s.run(unrestrictedSteps)
	})
}

const restrictedRoom = `{"room_version":"<version>","preset":"private_chat","initial_state":[{"type":"m.room.join_rules","content":{"join_rule":"<rule>","allow":[
	{"type":"x.y","room_id":"<other>"},7,{"type":"m.room_membership"},{"type":"m.room_membership","room_id":"!none:test"},{"type":"m.room_membership","room_id":"<other>","via":["test"]}]}}]}`

var restrictedSteps = []step{
	{"another room", "dave POST /createRoom", `{"preset":"public_chat"}`, 200, "room_id:roomid", "other=room_id"},
	{"a room", "alice POST /createRoom", restrictedRoom, 200, "room_id:roomid", "room=room_id"},
	{"join who is not in the other", "bob POST /join/<room>", `{}`, 403, "M_FORBIDDEN", ""},
	{"join the other", "bob POST /join/<other>", `{}`, 200, "room_id:roomid", ""},
	{"join", "bob POST /join/<room>", `{"reason":"why"}`, 200, "room_id=<room>", ""},
	{"by whom", "bob GET /rooms/<room>/state/m.room.member/<bob>", ``, 200, "membership=join reason=why join_authorised_via_users_server=@alice:test", ""},
	{"change one's name", "bob PUT /rooms/<room>/state/m.room.member/<bob>", `{"membership":"join","displayname":"B","join_authorised_via_users_server":"@dave:test"}`, 200, "event_id:eventid", ""},
	{"by nobody", "bob GET /rooms/<room>/state/m.room.member/<bob>", ``, 200, "displayname=B join_authorised_via_users_server:absent", ""},
	{"leave both", "bob POST /rooms/<room>/leave", ``, 200, "{}", ""},
	{"leave both", "bob POST /rooms/<other>/leave", ``, 200, "{}", ""},
	{"and stay out", "bob POST /rooms/<room>/join", `{}`, 403, "M_FORBIDDEN", ""},
	{"vouch for oneself", "bob PUT /rooms/<room>/state/m.room.member/<bob>", `{"membership":"join","join_authorised_via_users_server":"<alice>"}`, 403, "M_FORBIDDEN", ""},
	{"be invited", "alice POST /rooms/<room>/invite", `{"user_id":"<bob>"}`, 200, "{}", ""},
	{"join", "bob POST /join/<room>", `{}`, 200, "room_id=<room>", ""},
	{"by nobody", "bob GET /rooms/<room>/state/m.room.member/<bob>", ``, 200, "membership=join join_authorised_via_users_server:absent", ""},
	{"only with power", "alice PUT /rooms/<room>/state/m.room.power_levels", `{"users":{<level>"<bob>":40},"invite":50}`, 200, "event_id:eventid", ""},
	{"carol joins the other", "carol POST /join/<other>", `{}`, 200, "room_id:roomid", ""},
	{"carol joins by a state event", "carol PUT /rooms/<room>/state/m.room.member/<carol>", `{"membership":"join","x.y":1}`, 200, "event_id:eventid", ""},
	{"by whom", "carol GET /rooms/<room>/state/m.room.member/<carol>", ``, 200, "membership=join x.y=1 join_authorised_via_users_server=@alice:test", ""},
	{"the only one with power leaves", "alice POST /rooms/<room>/leave", ``, 200, "{}", ""},
	{"dave joins", "dave POST /join/<room>", `{}`, 400, "M_UNABLE_TO_GRANT_JOIN", ""},
}

var unrestrictedSteps = []step{
	{"another room", "bob POST /createRoom", `{"preset":"public_chat"}`, 200, "room_id:roomid", "other=room_id"},
	{"a room of a version without such rules", "alice POST /createRoom", restrictedRoom, 200, "room_id:roomid", "room=room_id"},
	{"join", "bob POST /join/<room>", `{}`, 403, "M_FORBIDDEN", ""},
}
