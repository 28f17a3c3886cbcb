package testserver_test

import (
	"fmt"
	"strings"
	"testing"

	"causeway/homeserver/store"
)

const (
	msc3391 = "/_matrix/client/unstable/org.matrix.msc3391"
	msc4133 = "/_matrix/client/unstable/uk.tcpip.msc4133"
)

// TestUserData has tags, deleted account data, OpenID tokens and all fields of profiles.
func TestUserData(t *testing.T) {
	each(t, "alice bob", func(s *script) {
		s.words["room"] = s.text("alice POST /createRoom", `{"preset":"public_chat"}`, "room_id")
		s.run(tagSteps)
		s.run(deletionSteps)
		s.run(openIDSteps)
		s.run(profileFieldSteps)
	})
}

// TestAccountDataTellsNothingOfRooms has one who has nothing to do with a room keep something for it: the answer does not tell whether
// there is such a room.
func TestAccountDataTellsNothingOfRooms(t *testing.T) {
	each(t, "alice bob carol", func(s *script) {
		s.words["room"] = s.text("alice POST /createRoom", `{"invite":["<carol>"]}`, "room_id")
		for request, want := range map[string]int{
			"GET /user/<bob>/rooms/<room>/tags":                               200,
			"PUT /user/<bob>/rooms/<room>/tags/x":                             404,
			"DELETE /user/<bob>/rooms/<room>/tags/x":                          404,
			"GET /user/<bob>/rooms/<room>/account_data/x.y":                   404,
			"PUT /user/<bob>/rooms/<room>/account_data/x.y":                   404,
			"DELETE " + msc3391 + "/user/<bob>/rooms/<room>/account_data/x.y": 404,
			"GET /user/<alice>/rooms/<room>/account_data/x.y":                 403,
			"PUT /user/<alice>/rooms/<room>/account_data/x.y":                 403,
		} {
			for _, body := range []string{`{}`, `{"x":1}`, `{"x":"` + strings.Repeat("x", 200<<10) + `"}`} {
				there := s.ask("bob "+request, body)
				none := s.ask("bob "+strings.ReplaceAll(request, "<room>", "!none:test"), body)
				got := strings.ReplaceAll(string(there.Body), s.words["room"], "!none:test")
				if there.Status != want || none.Status != want || got != string(none.Body) {
					s.t.Errorf("%s %.10s: %d %s, and of none %d %s; want %d", request, body, there.Status, there.Body, none.Status, none.Body, want)
				}
			}
		}
		s.run([]step{
			{"who is invited", "carol PUT /user/<carol>/rooms/<room>/tags/x", `{}`, 200, "{}", ""},
			{"who declines", "carol POST /rooms/<room>/leave", `{}`, 200, "{}", ""},
			{"changes it", "carol PUT /user/<carol>/rooms/<room>/tags/y", `{}`, 200, "{}", ""},
			{"who leaves", "alice POST /rooms/<room>/leave", `{}`, 200, "{}", ""},
			{"and forgets", "alice POST /rooms/<room>/forget", `{}`, 200, "{}", ""},
			{"may keep something yet", "alice PUT /user/<alice>/rooms/<room>/account_data/x.y", `{"x":1}`, 200, "{}", ""},
			{"and see it", "alice GET /user/<alice>/rooms/<room>/account_data/x.y", ``, 200, "x=1", ""},
			{"and delete it", "alice DELETE " + msc3391 + "/user/<alice>/rooms/<room>/account_data/x.y", ``, 200, "{}", ""},
		})
	})
}

var tagSteps = []step{
	{"sync", "alice GET /sync?timeout=0", ``, 200, "next_batch:string", "since=next_batch"},
	{"none", "alice GET /user/<alice>/rooms/<room>/tags", ``, 200, "tags:object tags/u.work:absent", ""},
	{"none of a room that is not there", "alice GET /user/<alice>/rooms/!none:test/tags", ``, 200, "tags:object", ""},
	{"set", "alice PUT /user/<alice>/rooms/<room>/tags/u.work", `{"order":0.5,"x":[1]}`, 200, "{}", ""},
	{"set one without an order", "alice PUT /user/<alice>/rooms/<room>/tags/m.favourite", `{}`, 200, "{}", ""},
	{"get", "alice GET /user/<alice>/rooms/<room>/tags", ``, 200, "tags/u.work/order=0.5 tags/u.work/x/0=1 tags/m.favourite:object tags/m.favourite/order:absent", ""},
	{"they are account data", "alice GET /user/<alice>/rooms/<room>/account_data/m.tag", ``, 200, "tags/u.work/order=0.5", ""},
	{"devices are told", "alice GET /sync?timeout=0&since=<since>", ``, 200, "rooms/join/<room>/account_data/events/0/type=m.tag rooms/join/<room>/account_data/events/0/content/tags/u.work/order=0.5", ""},
	{"without a token", "nobody GET /user/<alice>/rooms/<room>/tags", ``, 401, "M_MISSING_TOKEN", ""},
	{"another user's", "bob GET /user/<alice>/rooms/<room>/tags", ``, 403, "M_FORBIDDEN", ""},
	{"set another user's", "bob PUT /user/<alice>/rooms/<room>/tags/x", `{}`, 403, "M_FORBIDDEN", ""},
	{"delete another user's", "bob DELETE /user/<alice>/rooms/<room>/tags/x", ``, 403, "M_FORBIDDEN", ""},
	{"order of the wrong type", "alice PUT /user/<alice>/rooms/<room>/tags/x", `{"order":"0.5"}`, 400, "M_BAD_JSON", ""},
	{"order too large", "alice PUT /user/<alice>/rooms/<room>/tags/x", `{"order":1.5}`, 400, "M_INVALID_PARAM", ""},
	{"order below zero", "alice PUT /user/<alice>/rooms/<room>/tags/x", `{"order":-0.1}`, 400, "M_INVALID_PARAM", ""},
	{"no object", "alice PUT /user/<alice>/rooms/<room>/tags/x", `[]`, 400, "M_BAD_JSON", ""},
	{"malformed", "alice PUT /user/<alice>/rooms/<room>/tags/x", `{`, 400, "M_NOT_JSON", ""},
	{"name too long", "alice PUT /user/<alice>/rooms/<room>/tags/" + strings.Repeat("x", 256), `{}`, 400, "M_INVALID_PARAM", ""},
	{"too large", "alice PUT /user/<alice>/rooms/<room>/tags/x", hugeBody, 413, "M_TOO_LARGE", ""},
	{"of a room that is not there", "alice PUT /user/<alice>/rooms/!none:test/tags/x", `{}`, 404, "M_NOT_FOUND", ""},
	{"of no room ID", "alice PUT /user/<alice>/rooms/nonsense/tags/x", `{}`, 400, "M_INVALID_PARAM", ""},
	{"delete", "alice DELETE /user/<alice>/rooms/<room>/tags/u.work", ``, 200, "{}", ""},
	{"delete what is not there", "alice DELETE /user/<alice>/rooms/<room>/tags/u.work", ``, 200, "{}", ""},
	{"what is left", "alice GET /user/<alice>/rooms/<room>/tags", ``, 200, "tags/u.work:absent tags/m.favourite:object", ""},
	{"nonsense as account data", "alice PUT /user/<alice>/rooms/<room>/account_data/m.tag", `{"tags":7}`, 200, "{}", ""},
	{"is no tags", "alice GET /user/<alice>/rooms/<room>/tags", ``, 200, "tags:object", ""},
	{"and can be mended", "alice PUT /user/<alice>/rooms/<room>/tags/u.work", `{}`, 200, "{}", ""},
	{"get", "alice GET /user/<alice>/rooms/<room>/tags", ``, 200, "tags/u.work:object", ""},
}

var deletionSteps = []step{
	{"set", "alice PUT /user/<alice>/account_data/x.y", `{"k":1}`, 200, "{}", ""},
	{"set for the room", "alice PUT /user/<alice>/rooms/<room>/account_data/x.y", `{"k":2}`, 200, "{}", ""},
	{"sync", "alice GET /sync?timeout=0", ``, 200, "next_batch:string", "since=next_batch"},
	{"without a token", "nobody DELETE " + msc3391 + "/user/<alice>/account_data/x.y", ``, 401, "M_MISSING_TOKEN", ""},
	{"another user's", "bob DELETE " + msc3391 + "/user/<alice>/account_data/x.y", ``, 403, "M_FORBIDDEN", ""},
	{"the server's own", "alice DELETE " + msc3391 + "/user/<alice>/account_data/m.push_rules", ``, 405, "M_BAD_JSON", ""},
	{"the server's own for a room", "alice DELETE " + msc3391 + "/user/<alice>/rooms/<room>/account_data/m.fully_read", ``, 405, "M_BAD_JSON", ""},
	{"of a room that is not there", "alice DELETE " + msc3391 + "/user/<alice>/rooms/!none:test/account_data/x.y", ``, 404, "M_NOT_FOUND", ""},
	{"delete", "alice DELETE " + msc3391 + "/user/<alice>/account_data/x.y", ``, 200, "{}", ""},
	{"delete for the room", "alice DELETE " + msc3391 + "/user/<alice>/rooms/<room>/account_data/x.y", ``, 200, "{}", ""},
	{"delete what is not there", "alice DELETE " + msc3391 + "/user/<alice>/account_data/x.y", ``, 200, "{}", ""},
	{"gone", "alice GET /user/<alice>/account_data/x.y", ``, 404, "M_NOT_FOUND", ""},
	{"gone for the room", "alice GET /user/<alice>/rooms/<room>/account_data/x.y", ``, 404, "M_NOT_FOUND", ""},
	{"devices are told", "alice GET /sync?timeout=0&since=<since>", ``, 200, "account_data/events/0/type=x.y account_data/events/0/content:object account_data/events/0/content/k:absent account_data/events/1:absent rooms/join/<room>/account_data/events/0/type=x.y rooms/join/<room>/account_data/events/0/content/k:absent", ""},
	{"with the full state, too", "alice GET /sync?timeout=0&full_state=true&since=<since>", ``, 200, "account_data/events/0/type=x.y rooms/join/<room>/account_data/events/0/type=x.y rooms/join/<room>/account_data/events/1/type=m.tag", ""},
	{"set anew", "alice PUT /user/<alice>/account_data/x.y", `{"k":3}`, 200, "{}", ""},
	{"get", "alice GET /user/<alice>/account_data/x.y", ``, 200, "k=3", ""},
	{"an empty object deletes", "alice PUT /user/<alice>/account_data/x.y", ` { } `, 200, "{}", ""},
	{"gone", "alice GET /user/<alice>/account_data/x.y", ``, 404, "M_NOT_FOUND", ""},
	{"delete by v3", "alice DELETE /user/<alice>/rooms/<room>/account_data/m.tag", ``, 200, "{}", ""},
	{"the flag", "nobody GET /_matrix/client/versions", ``, 200, "unstable_features/org.matrix.msc3391=true", ""},
}

var openIDSteps = []step{
	{"token", "alice POST /user/<alice>/openid/request_token", `{}`, 200, "access_token:string token_type=Bearer matrix_server_name=test expires_in=3600", "token openid=access_token"},
	{"without a body", "alice POST /user/<alice>/openid/request_token", ``, 200, "access_token:string", ""},
	{"it is no access token", "openid GET /account/whoami", ``, 401, "M_UNKNOWN_TOKEN", ""},
	{"without a token", "nobody POST /user/<alice>/openid/request_token", `{}`, 401, "M_MISSING_TOKEN", ""},
	{"another user's", "bob POST /user/<alice>/openid/request_token", `{}`, 403, "M_FORBIDDEN", ""},
	{"malformed", "alice POST /user/<alice>/openid/request_token", `{`, 400, "M_NOT_JSON", ""},
}

var profileFieldSteps = []step{
	{"none", "nobody GET /profile/<alice>/m.tz", ``, 404, "M_NOT_FOUND", ""},
	{"set", "alice PUT /profile/<alice>/m.tz", `{"m.tz":"Europe/London"}`, 200, "{}", ""},
	{"any JSON", "alice PUT /profile/<alice>/com.example.hat-size", `{"com.example.hat-size":{"cm":[58]}}`, 200, "{}", ""},
	{"null is a value", "alice PUT /profile/<alice>/com.example.nothing", `{"com.example.nothing":null}`, 200, "{}", ""},
	{"get", "nobody GET /profile/<alice>/m.tz", ``, 200, "m.tz=Europe/London com.example.nothing:absent", ""},
	{"get null", "nobody GET /profile/<alice>/com.example.nothing", ``, 200, "com.example.nothing:null", ""},
	{"get all", "nobody GET /profile/<alice>", ``, 200, "m.tz=Europe/London com.example.hat-size/cm/0=58 com.example.nothing:null", ""},
	{"by the old path", "bob GET " + msc4133 + "/profile/<alice>/m.tz", ``, 200, "m.tz=Europe/London", ""},
	{"set by the old path", "bob PUT " + msc4133 + "/profile/<bob>/m.tz", `{"m.tz":"UTC"}`, 200, "{}", ""},
	{"delete by the old path", "bob DELETE " + msc4133 + "/profile/<bob>/m.tz", ``, 200, "{}", ""},
	{"gone", "bob GET /profile/<bob>/m.tz", ``, 404, "M_NOT_FOUND", ""},
	{"delete what is not there", "bob DELETE /profile/<bob>/m.tz", ``, 200, "{}", ""},
	{"another user's", "bob PUT /profile/<alice>/m.tz", `{"m.tz":"UTC"}`, 403, "M_FORBIDDEN", ""},
	{"delete another user's", "bob DELETE /profile/<alice>/m.tz", ``, 403, "M_FORBIDDEN", ""},
	{"without a token", "nobody PUT /profile/<alice>/m.tz", `{"m.tz":"UTC"}`, 401, "M_MISSING_TOKEN", ""},
	{"another field", "alice PUT /profile/<alice>/m.tz", `{"m.tv":"UTC"}`, 400, "M_MISSING_PARAM", ""},
	{"no name of a field", "alice PUT /profile/<alice>/Hat", `{"Hat":1}`, 400, "M_INVALID_PARAM", ""},
	{"no name of a field", "nobody GET /profile/<alice>/1x", ``, 400, "M_INVALID_PARAM", ""},
	{"delete no name of a field", "alice DELETE /profile/<alice>/%20", ``, 400, "M_INVALID_PARAM", ""},
	{"name too long", "alice PUT /profile/<alice>/" + strings.Repeat("x", 256), `{"` + strings.Repeat("x", 256) + `":1}`, 400, "M_KEY_TOO_LARGE", ""},
	{"too large", "alice PUT /profile/<alice>/com.example.big", `{"com.example.big":"` + strings.Repeat("x", 65_500) + `"}`, 400, "M_PROFILE_TOO_LARGE", ""},
	{"nor with the rest", "alice PUT /profile/<alice>/com.example.big", `{"com.example.big":"` + strings.Repeat("x", 65_200) + `"}`, 200, "{}", ""},
	{"a name that is too large with it", "alice PUT /profile/<alice>/displayname", `{"displayname":"` + strings.Repeat("n", 250) + `"}`, 400, "M_PROFILE_TOO_LARGE", ""},
	{"delete", "alice DELETE /profile/<alice>/com.example.big", ``, 200, "{}", ""},
	{"the name fits now", "alice PUT /profile/<alice>/displayname", `{"displayname":"` + strings.Repeat("n", 250) + `"}`, 200, "{}", ""},
	{"what is left", "nobody GET /profile/<alice>", ``, 200, "m.tz=Europe/London displayname:string com.example.big:absent", ""},
}

// TestReports reports what a user sees, and what is not there.
func TestReports(t *testing.T) {
	each(t, "alice bob carol dave", func(s *script) {
		s.words["room"] = s.text("alice POST /createRoom", `{"preset":"public_chat"}`, "room_id")
		s.words["event"] = s.text("alice PUT /rooms/<room>/send/m.room.message/1", `{"body":"ugly"}`, "event_id")
		s.get("bob POST /rooms/<room>/join", `{}`)
		s.get("dave POST /rooms/<room>/join", `{}`)
		s.get("dave POST /rooms/<room>/leave", `{}`)
		s.run(reportSteps)
		var got []string
		err := s.DB.View(t.Context(), func(tx *store.Tx) error {
			all, _, err := tx.Reports(0, 100)
			for _, r := range all {
				score := int64(1)
				if r.Score != nil {
					score = *r.Score
				}
				got = append(got, fmt.Sprintf("%s %t %t %s %d %s", r.By, r.RoomNID != 0, r.EventID != "", r.User, score, r.Reason))
			}
			return err
		})
		want := []string{
			"@bob:test true true @alice:test -50 rude", "@bob:test true true @alice:test 1 ", "@carol:test true false  1 bad",
			"@carol:test false false @alice:test 1 ", "@carol:test false false @none:test 1 x",
		}
		if err != nil || strings.Join(got, "\n") != strings.Join(want, "\n") {
			t.Errorf("got %q (%v), want %q", got, err, want)
		}
	})
}

var reportSteps = []step{
	{"an event", "bob POST /rooms/<room>/report/<event>", `{"reason":"rude","score":-50}`, 200, "{}", ""},
	{"without a reason", "bob POST /rooms/<room>/report/<event>", `{}`, 200, "{}", ""},
	{"without a token", "nobody POST /rooms/<room>/report/<event>", `{}`, 401, "M_MISSING_TOKEN", ""},
	{"without a body", "bob POST /rooms/<room>/report/<event>", ``, 400, "M_NOT_JSON", ""},
	{"score of the wrong type", "bob POST /rooms/<room>/report/<event>", `{"score":"x"}`, 400, "M_BAD_JSON", ""},
	{"score out of range", "bob POST /rooms/<room>/report/<event>", `{"score":-101}`, 400, "M_INVALID_PARAM", ""},
	{"reason of the wrong type", "bob POST /rooms/<room>/report/<event>", `{"reason":7}`, 400, "M_BAD_JSON", ""},
	{"reason too long", "bob POST /rooms/<room>/report/<event>", `{"reason":"` + strings.Repeat("x", 4001) + `"}`, 413, "M_TOO_LARGE", ""},
	{"reason with a NUL", "bob POST /rooms/<room>/report/<event>", `{"reason":"\u0000"}`, 400, "M_INVALID_PARAM", ""},
	{"no such event", "bob POST /rooms/<room>/report/$none", `{}`, 404, "M_NOT_FOUND", ""},
	{"no such room", "bob POST /rooms/!none:test/report/<event>", `{}`, 404, "M_NOT_FOUND", ""},
	{"by one who is not in the room", "carol POST /rooms/<room>/report/<event>", `{}`, 404, "M_NOT_FOUND", ""},
	{"by one who left", "dave POST /rooms/<room>/report/<event>", `{}`, 404, "M_NOT_FOUND", ""},

	{"a room", "carol POST /rooms/<room>/report", `{"reason":"bad"}`, 200, "{}", ""},
	{"a room, no reason", "carol POST /rooms/<room>/report", `{}`, 400, "M_MISSING_PARAM", ""},
	{"a room, no token", "nobody POST /rooms/<room>/report", `{"reason":""}`, 401, "M_MISSING_TOKEN", ""},
	{"a room that is not there", "carol POST /rooms/!none:test/report", `{"reason":""}`, 200, "{}", ""},

	{"a user", "carol POST /users/<alice>/report", `{"reason":""}`, 200, "{}", ""},
	{"a user who is not there", "carol POST /users/@none:test/report", `{"reason":"x"}`, 200, "{}", ""},
	{"no user", "carol POST /users/nobody/report", `{"reason":"x"}`, 400, "M_INVALID_PARAM", ""},
	{"a user, no reason", "carol POST /users/<alice>/report", `{}`, 400, "M_MISSING_PARAM", ""},
	{"a user, no token", "nobody POST /users/<alice>/report", `{"reason":""}`, 401, "M_MISSING_TOKEN", ""},
}
