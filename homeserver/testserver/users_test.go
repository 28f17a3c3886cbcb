package testserver_test

import (
	"strings"
	"testing"
)

// TestUsers keeps things for users, which are nobody else's.
func TestUsers(t *testing.T) {
	each(t, "alice bob carol", func(s *script) {
		s.words["room"] = s.text("alice POST /createRoom", `{"preset":"public_chat"}`, "room_id")
		s.run(accountDataSteps)
		s.run(profileSteps)
	})
}

var accountDataSteps = []step{
	{"none", "alice GET /user/<alice>/account_data/x.y", ``, 404, "M_NOT_FOUND", ""},
	{"set", "alice PUT /user/<alice>/account_data/x.y", `{"k":"žš"}`, 200, "{}", ""},
	{"get", "alice GET /user/<alice>/account_data/x.y", ``, 200, "k=žš", ""},
	{"type with a slash", "alice PUT /user/<alice>/account_data/x%2Fy", `{"k":1}`, 200, "{}", ""},
	{"type with a slash", "alice GET /user/<alice>/account_data/x%2Fy", ``, 200, "k=1", ""},
	{"another user's", "bob GET /user/<alice>/account_data/x.y", ``, 403, "M_FORBIDDEN", ""},
	{"set another user's", "bob PUT /user/<alice>/account_data/x.y", `{}`, 403, "M_FORBIDDEN", ""},
	{"without a token", "nobody GET /user/<alice>/account_data/x.y", ``, 401, "M_MISSING_TOKEN", ""},
	{"malformed", "alice PUT /user/<alice>/account_data/x.y", `{`, 400, "M_NOT_JSON", ""},
	{"an array", "alice PUT /user/<alice>/account_data/x.y", `[]`, 400, "M_BAD_JSON", ""},
	{"without a body", "alice PUT /user/<alice>/account_data/x.y", ``, 400, "M_NOT_JSON", ""},
	{"the server's own", "alice PUT /user/<alice>/account_data/m.push_rules", `{}`, 405, "M_BAD_JSON", ""},
	{"the server's own", "alice PUT /user/<alice>/account_data/m.fully_read", `{}`, 405, "M_BAD_JSON", ""},
	{"too large", "alice PUT /user/<alice>/account_data/x.y", hugeBody, 413, "M_TOO_LARGE", ""},
	{"none for a room", "alice GET /user/<alice>/rooms/<room>/account_data/x.y", ``, 404, "M_NOT_FOUND", ""},
	{"set for a room", "alice PUT /user/<alice>/rooms/<room>/account_data/x.y", `{"k":2}`, 200, "{}", ""},
	{"get for a room", "alice GET /user/<alice>/rooms/<room>/account_data/x.y", ``, 200, "k=2", ""},
	{"another user's for a room", "bob GET /user/<alice>/rooms/<room>/account_data/x.y", ``, 403, "M_FORBIDDEN", ""},
	{"set another user's for a room", "bob PUT /user/<alice>/rooms/<room>/account_data/x.y", `{}`, 403, "M_FORBIDDEN", ""},
	{"for no room ID", "alice PUT /user/<alice>/rooms/nonsense/account_data/x.y", `{}`, 400, "M_INVALID_PARAM", ""},
	{"the server's own for a room", "alice PUT /user/<alice>/rooms/<room>/account_data/m.fully_read", `{}`, 405, "M_BAD_JSON", ""},

	{"filter", "alice POST /user/<alice>/filter", `{"room":{"timeline":{"limit":3}}}`, 200, "filter_id:string", "filter=filter_id"},
	{"get a filter", "alice GET /user/<alice>/filter/<filter>", ``, 200, "room/timeline/limit=3", ""},
	{"no such filter", "alice GET /user/<alice>/filter/999", ``, 404, "M_NOT_FOUND", ""},
	{"no filter ID", "alice GET /user/<alice>/filter/x", ``, 404, "M_NOT_FOUND", ""},
	{"another user's filter", "bob GET /user/<alice>/filter/<filter>", ``, 403, "M_FORBIDDEN", ""},
	{"filter for another user", "bob POST /user/<alice>/filter", `{}`, 403, "M_FORBIDDEN", ""},
	{"another user's filter as one's own", "bob GET /user/<bob>/filter/<filter>", ``, 404, "M_NOT_FOUND", ""},
	{"filter of the wrong type", "alice POST /user/<alice>/filter", `{"room":1}`, 400, "M_BAD_JSON", ""},
	{"filter without a body", "alice POST /user/<alice>/filter", ``, 400, "M_NOT_JSON", ""},
}

var profileSteps = []step{
	{"a member", "bob POST /rooms/<room>/join", ``, 200, "room_id:roomid", ""},
	{"empty profile", "nobody GET /profile/<alice>", ``, 200, "{}", ""},
	{"no name", "bob GET /profile/<alice>/displayname", ``, 404, "M_NOT_FOUND", ""},
	{"no picture", "nobody GET /profile/<alice>/avatar_url", ``, 404, "M_NOT_FOUND", ""},
	{"no such user", "nobody GET /profile/@none:test", ``, 404, "M_NOT_FOUND", ""},
	{"no user ID", "nobody GET /profile/nonsense", ``, 400, "M_INVALID_PARAM", ""},
	{"name", "alice PUT /profile/<alice>/displayname", `{"displayname":"Älïce 🐎"}`, 200, "{}", ""},
	{"picture", "alice PUT /profile/<alice>/avatar_url", `{"avatar_url":"mxc://test/a"}`, 200, "{}", ""},
	{"get", "nobody GET /profile/<alice>", ``, 200, "displayname:string avatar_url=mxc://test/a", ""},
	{"get the name", "bob GET /profile/<alice>/displayname", ``, 200, "displayname:string avatar_url:absent", ""},
	{"get by r0", "bob GET /_matrix/client/r0/profile/<alice>/avatar_url", ``, 200, "avatar_url=mxc://test/a", ""},
	{"no such field", "bob GET /profile/<alice>/x.y", ``, 404, "M_NOT_FOUND", ""},
	{"another user's", "bob PUT /profile/<alice>/displayname", `{"displayname":"x"}`, 403, "M_FORBIDDEN", ""},
	{"delete another user's", "bob DELETE /profile/<alice>/displayname", ``, 403, "M_FORBIDDEN", ""},
	{"without a token", "nobody PUT /profile/<alice>/displayname", `{"displayname":"x"}`, 401, "M_MISSING_TOKEN", ""},
	{"without the field", "alice PUT /profile/<alice>/displayname", `{}`, 400, "M_MISSING_PARAM", ""},
	{"of the wrong type", "alice PUT /profile/<alice>/displayname", `{"displayname":1}`, 400, "M_BAD_JSON", ""},
	{"malformed", "alice PUT /profile/<alice>/displayname", `{`, 400, "M_NOT_JSON", ""},
	{"too long", "alice PUT /profile/<alice>/displayname", `{"displayname":"` + strings.Repeat("x", 300) + `"}`, 400, "M_INVALID_PARAM", ""},
	{"in the room", "bob GET /rooms/<room>/state/m.room.member/<alice>", ``, 200, "membership=join displayname:string avatar_url=mxc://test/a", ""},
	{"among the members", "bob GET /rooms/<room>/joined_members", ``, 200, "joined/@alice:test/display_name:string joined/@alice:test/avatar_url=mxc://test/a", ""},
	{"bob's name", "bob PUT /profile/<bob>/displayname", `{"displayname":"Bob"}`, 200, "{}", ""},
	{"bob in the room", "alice GET /rooms/<room>/state/m.room.member/<bob>", ``, 200, "displayname=Bob", ""},
	{"carol is invited", "alice POST /rooms/<room>/invite", `{"user_id":"<carol>"}`, 200, "{}", ""},
	{"carol's name", "carol PUT /profile/<carol>/displayname", `{"displayname":"Carol"}`, 200, "{}", ""},
	{"no change for who is invited", "alice GET /rooms/<room>/state/m.room.member/<carol>", ``, 200, "membership=invite", ""},
	{"bob leaves", "bob POST /rooms/<room>/leave", ``, 200, "{}", ""},
	{"bob changes his name", "bob PUT /profile/<bob>/displayname", `{"displayname":"Robert"}`, 200, "{}", ""},
	{"which the room does not learn", "alice GET /rooms/<room>/state/m.room.member/<bob>", ``, 200, "membership=leave", ""},
	{"until he comes back", "bob POST /rooms/<room>/join", ``, 200, "room_id:roomid", ""},
	{"and then does", "alice GET /rooms/<room>/state/m.room.member/<bob>", ``, 200, "membership=join displayname=Robert", ""},
	{"remove the picture", "alice DELETE /profile/<alice>/avatar_url", ``, 200, "{}", ""},
	{"gone", "nobody GET /profile/<alice>", ``, 200, "displayname:string avatar_url:absent", ""},
	{"gone from the room", "bob GET /rooms/<room>/state/m.room.member/<alice>", ``, 200, "displayname:string avatar_url:absent", ""},
}
