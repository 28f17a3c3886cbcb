package testserver_test

import (
	"fmt"
	"strings"
	"testing"

	"causeway/homeserver"
)

// whom returns the localparts of the users whom somebody finds.
func (s *script) whom(who, term string) string {
	s.t.Helper()
	page := s.get(who+" POST /user_directory/search", `{"search_term":`+quoted(term)+`}`)
	var all []string
	for _, userID := range at(page, "results/*/user_id") {
		all = append(all, strings.TrimSuffix(strings.TrimPrefix(plain(userID), "@"), ":test"))
	}
	return strings.Join(all, " ")
}

func (s *script) call(who, name string) {
	s.t.Helper()
	s.get(who+" PUT /profile/<"+who+">/displayname", `{"displayname":`+quoted(name)+`}`)
}

// TestUserDirectory looks for users. Client-Server API, POST /user_directory/search.
func TestUserDirectory(t *testing.T) {
	each(t, "alice bob eve carol_ann mallory alicia", func(s *script) {
		s.call("alice", "Alice Cooper")
		s.call("bob", "Böb Smith")
		s.call("carol_ann", "日本花子")
		s.room("alice", "public", publicBody)
		s.room("bob", "private", `{"preset":"private_chat","invite":["`+s.words["alice"]+`"]}`)
		s.get("alice POST /join/<private>", `{}`)
		s.get("alice PUT /rooms/<private>/state/m.room.member/<alice>", `{"membership":"join","displayname":"Freddy"}`)
		for _, test := range []struct{ who, term, want string }{
			{"eve", "Alice Cooper", "alice"}, {"eve", "cooper", "alice"}, {"eve", "COOP", "alice"}, {"eve", "ali", "alice"}, {"eve", "@alice:test", "alice"},
			{"eve", "@ali", "alice"}, {"eve", "alice smith", ""}, {"eve", "Freddy", ""}, {"bob", "Freddy", ""}, {"bob", "alice", "alice"}, {"bob", "@alice", "alice"},
			{"alice", "bob", "bob"}, {"alice", "BÖB", "bob"}, {"alice", "smi", "bob"}, {"eve", "bob", ""}, {"eve", "smith", ""}, {"alice", "alice", ""},
			{"eve", "", ""}, {"eve", "%", ""}, {"eve", "@", ""}, {"eve", "lice", ""}, {"eve", "a\x00li", ""}, {"eve", strings.Repeat("a", 5000), ""},
		} {
			if got := s.whom(test.who, test.term); got != test.want {
				t.Errorf("%s looks for %.20q: got %q, want %q", test.who, test.term, got, test.want)
			}
		}
		// Who comes into an open room is found, and by all the words of the name.
		for _, who := range []string{"carol_ann", "alicia"} {
			s.get(who+" POST /join/<public>", `{}`)
		}
		for term, want := range map[string]string{
			"ann": "carol_ann", "carol_ann": "carol_ann", "花子": "carol_ann", "日本": "carol_ann", "alic": "alice alicia", "alicia": "alicia", "alice": "alice",
		} {
			if got := s.whom("eve", term); got != want {
				t.Errorf("eve looks for %q: got %q, want %q", term, got, want)
			}
		}
		s.call("alicia", "Zoe")
		if got := s.whom("eve", "zoe") + s.whom("eve", "alicia"); got != "aliciaalicia" {
			t.Errorf("after a change of name: got %s", got)
		}
		s.call("alicia", "")
		if got := s.whom("eve", "zoe"); got != "" {
			t.Errorf("by a name that was given up: got %s", got)
		}
		s.run(directoryForms)
		// Nobody finds those in a room that has been closed.
		s.get("alice PUT /rooms/<public>/state/m.room.join_rules/", `{"join_rule":"invite"}`)
		if got := s.whom("eve", "alice"); got != "" {
			t.Errorf("in a closed room: got %s", got)
		}
		s.get("alice PUT /rooms/<public>/state/m.room.history_visibility/", `{"history_visibility":"world_readable"}`)
		if got := s.whom("eve", "alice"); got != "alice" {
			t.Errorf("in a readable room: got %s", got)
		}
		s.get("alice POST /rooms/<public>/leave", `{}`)
		if got := s.whom("eve", "alice"); got != "" {
			t.Errorf("after leaving it: got %s", got)
		}
	})
}

var directoryForms = []step{
	{"all fields", "eve POST /user_directory/search", `{"search_term":"cooper"}`, 200, "limited=false results/0/user_id=<alice> results/0/display_name:string results/0/avatar_url:absent results/1:absent", ""},
	{"a limit", "eve POST /user_directory/search", `{"search_term":"alic","limit":1}`, 200, "limited=true results/0:object results/1:absent", ""},
	{"a limit of nothing", "eve POST /user_directory/search", `{"search_term":"alic","limit":-1}`, 200, "limited=false results/1:object", ""},
	{"no term", "eve POST /user_directory/search", `{}`, 400, "M_MISSING_PARAM", ""},
	{"a term that is none", "eve POST /user_directory/search", `{"search_term":1}`, 400, "M_BAD_JSON", ""},
	{"nobody", "eve POST /user_directory/search", `{"search_term":"x"}`, 200, "limited=false results:empty", ""},
	{"without a token", "nobody POST /user_directory/search", `{"search_term":"x"}`, 401, "M_MISSING_TOKEN", ""},
	{"another method", "eve GET /user_directory/search", ``, 405, "M_UNRECOGNIZED", ""},
}

func TestUserDirectoryOfAll(t *testing.T) {
	each(t, "alice bob", func(s *script) {
		if got := s.whom("alice", "bob"); got != "bob" {
			t.Errorf("got %q, want bob", got)
		}
	}, func(c *homeserver.Config) { c.UserDirectory.SearchAllUsers = true })
}

// TestMutualRooms asks for the rooms that two users share. Client-Server API, GET /mutual_rooms.
func TestMutualRooms(t *testing.T) {
	each(t, "alice bob carol", func(s *script) {
		for i := range 3 {
			s.room("alice", fmt.Sprint("room", i), publicBody)
			s.get(fmt.Sprintf("bob POST /join/<room%d>", i), `{}`)
		}
		s.get("bob POST /rooms/<room0>/leave", `{}`)
		s.room("alice", "invited", `{"invite":["`+s.words["bob"]+`"]}`)
		page := s.get("bob GET /_matrix/client/v1/mutual_rooms?user_id=<alice>", "")
		got := map[string]bool{}
		for _, roomID := range at(page, "joined/*") {
			got[plain(roomID)] = true
		}
		if len(got) != 2 || !got[s.words["room1"]] || !got[s.words["room2"]] {
			t.Errorf("got %v", page)
		}
		s.run(mutualSteps)
	})
}

var mutualSteps = []step{
	{"the count", "bob GET /_matrix/client/v1/mutual_rooms?user_id=<alice>", ``, 200, "count=2 next_batch:absent", ""},
	{"the older path", "alice GET /_matrix/client/unstable/uk.half-shot.msc2666/user/mutual_rooms?user_id=<bob>", ``, 200, "count=2 joined/1:roomid", ""},
	{"its token", "alice GET /_matrix/client/unstable/uk.half-shot.msc2666/user/mutual_rooms?user_id=<bob>&batch_token=x", ``, 400, "M_INVALID_PARAM", ""},
	{"a page further", "alice GET /_matrix/client/unstable/uk.half-shot.msc2666/user/mutual_rooms?user_id=<bob>&batch_token=!~", ``, 200, "count=2 joined:empty next_batch_token:absent", ""},
	{"the older path without a user", "alice GET /_matrix/client/unstable/uk.half-shot.msc2666/user/mutual_rooms", ``, 400, "M_MISSING_PARAM", ""},
	{"none", "carol GET /_matrix/client/v1/mutual_rooms?user_id=<alice>", ``, 200, "count=0 joined:empty", ""},
	{"nobody", "carol GET /_matrix/client/v1/mutual_rooms?user_id=@nobody:elsewhere", ``, 200, "count=0 joined:empty", ""},
	{"oneself", "alice GET /_matrix/client/v1/mutual_rooms?user_id=<alice>", ``, 400, "M_INVALID_PARAM", ""},
	{"no user id", "alice GET /_matrix/client/v1/mutual_rooms?user_id=bob", ``, 400, "M_INVALID_PARAM", ""},
	{"nothing", "alice GET /_matrix/client/v1/mutual_rooms", ``, 400, "M_MISSING_PARAM", ""},
	{"a token that is none", "alice GET /_matrix/client/v1/mutual_rooms?user_id=<bob>&from=x", ``, 400, "M_INVALID_PARAM", ""},
	{"without a token", "nobody GET /_matrix/client/v1/mutual_rooms?user_id=<bob>", ``, 401, "M_MISSING_TOKEN", ""},
}
