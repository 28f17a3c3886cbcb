package testserver_test

import "testing"

// TestFollowUpgrade joins a room that replaces another, and finds there what was kept with the old one.
func TestFollowUpgrade(t *testing.T) {
	each(t, "alice bob", func(s *script) {
		s.words["room"] = s.text("alice POST /createRoom", `{"preset":"public_chat"}`, "room_id")
		s.get("bob POST /rooms/<room>/join", `{}`)
		s.run(followSteps)
	})
}

// TestFollowTombstone replaces a room as clients did before there was /upgrade, by a room that its maker is in before the old one says so.
func TestFollowTombstone(t *testing.T) {
	each(t, "alice bob carol", func(s *script) {
		s.words["room"] = s.text("alice POST /createRoom", `{"preset":"public_chat"}`, "room_id")
		s.get("bob POST /rooms/<room>/join", `{}`)
		s.run(tombstoneSteps)
	})
}

var tombstoneSteps = []step{
	{"alice's rule", "alice PUT /pushrules/global/room/<room>", `{"actions":["dont_notify"]}`, 200, "{}", ""},
	{"alice's tag", "alice PUT /user/<alice>/rooms/<room>/tags/u.x", `{"order":0.2}`, 200, "{}", ""},
	{"bob's tag", "bob PUT /user/<bob>/rooms/<room>/tags/u.y", `{"order":0.3}`, 200, "{}", ""},
	{"a new room", "alice POST /createRoom", `{"preset":"public_chat","creation_content":{"predecessor":{"room_id":"<room>"}}}`, 200, "", "new=room_id"},
	{"another, which replaces none", "alice POST /createRoom", `{"preset":"public_chat"}`, 200, "", "other=room_id"},
	{"bob is early", "bob POST /rooms/<new>/join", `{}`, 200, "", ""},
	{"sync", "alice GET /sync?timeout=0", ``, 200, "next_batch:string", "since=next_batch"},
	{"a room that does not say so", "alice PUT /rooms/<room>/state/m.room.tombstone", `{"body":"gone","replacement_room":"<other>"}`, 200, "event_id:string", ""},
	{"has nothing", "alice GET /user/<alice>/rooms/<other>/tags", ``, 200, "tags/u.x:absent", ""},
	{"bob cannot replace the room", "bob PUT /rooms/<room>/state/m.room.tombstone", `{"body":"gone","replacement_room":"<new>"}`, 403, "M_FORBIDDEN", ""},
	{"and nothing comes of it", "bob GET /user/<bob>/rooms/<new>/tags", ``, 200, "tags/u.y:absent", ""},
	{"alice can", "alice PUT /rooms/<room>/state/m.room.tombstone", `{"body":"gone","replacement_room":"<new>"}`, 200, "event_id:string", ""},
	{"alice has her rule", "alice GET /pushrules/global/room/<new>", ``, 200, "rule_id=<new>", ""},
	{"alice has her tag", "alice GET /user/<alice>/rooms/<new>/tags", ``, 200, "tags/u.x/order=0.2", ""},
	{"her devices are told", "alice GET /sync?timeout=0&since=<since>", ``, 200, "account_data/events/0/type=m.push_rules rooms/join/<new>/account_data/events/0/type=m.tag", ""},
	{"bob has his tag", "bob GET /user/<bob>/rooms/<new>/tags", ``, 200, "tags/u.y/order=0.3", ""},
	{"a room of another's", "carol POST /createRoom", `{"preset":"public_chat","creation_content":{"predecessor":{"room_id":"<new>"}}}`, 200, "", "trap=room_id"},
	{"alice looks at it", "alice POST /rooms/<trap>/join", `{}`, 200, "", ""},
	{"carol's own room", "carol POST /createRoom", `{"preset":"public_chat"}`, 200, "", "hers=room_id"},
	{"says that the room replaces it", "carol PUT /rooms/<hers>/state/m.room.tombstone", `{"body":"gone","replacement_room":"<trap>"}`, 200, "event_id:string", ""},
	{"and nothing is copied", "alice GET /user/<alice>/rooms/<trap>/tags", ``, 200, "tags/u.x:absent", ""},
}

var followSteps = []step{
	{"alice's tags", "alice PUT /user/<alice>/rooms/<room>/tags/m.favourite", `{"order":0.1}`, 200, "{}", ""},
	{"bob's tags", "bob PUT /user/<bob>/rooms/<room>/tags/u.x", `{"order":0.2}`, 200, "{}", ""},
	{"bob's conversation", "bob PUT /user/<bob>/account_data/m.direct", `{"<alice>":["!other:test","<room>"],"@eve:test":["!other:test"],"odd":7}`, 200, "{}", ""},
	{"bob's rule", "bob PUT /pushrules/global/room/<room>", `{"actions":["notify"]}`, 200, "{}", ""},
	{"bob's override", "bob PUT /pushrules/global/override/<room>", `{"conditions":[{"kind":"event_match","key":"room_id","pattern":"<room>"}],"actions":[]}`, 200, "{}", ""},
	{"a room that only says so", "alice POST /createRoom", `{"preset":"public_chat","creation_content":{"predecessor":{"room_id":"<room>"}}}`, 200, "room_id:roomid", "fake=room_id"},
	{"bob joins it", "bob POST /rooms/<fake>/join", `{}`, 200, "", ""},
	{"and finds nothing", "bob GET /user/<bob>/rooms/<fake>/tags", ``, 200, "tags/u.x:absent", ""},
	{"upgrade", "alice POST /rooms/<room>/upgrade", `{"new_version":"11"}`, 200, "replacement_room:roomid", "new=replacement_room"},
	{"alice has her tags", "alice GET /user/<alice>/rooms/<new>/tags", ``, 200, "tags/m.favourite/order=0.1", ""},
	{"bob has none yet", "bob GET /user/<bob>/rooms/<new>/tags", ``, 200, "tags/u.x:absent", ""},
	{"sync", "bob GET /sync?timeout=0", ``, 200, "next_batch:string", "since=next_batch"},
	{"bob joins", "bob POST /rooms/<new>/join", `{}`, 200, "", ""},
	{"bob has his tags", "bob GET /user/<bob>/rooms/<new>/tags", ``, 200, "tags/u.x/order=0.2", ""},
	{"bob's conversation", "bob GET /user/<bob>/account_data/m.direct", ``, 200, "@alice:test/2=<new> @eve:test/1:absent odd=7", ""},
	{"bob's rule", "bob GET /pushrules/global/room/<new>", ``, 200, "rule_id=<new> actions/0=notify", ""},
	{"bob's override", "bob GET /pushrules/global/override/<new>", ``, 200, "rule_id=<new> conditions/0/pattern=<new> enabled=true", ""},
	{"those of the old room stay", "bob GET /pushrules/global/override/<room>", ``, 200, "conditions/0/pattern=<room>", ""},
	{"bob's devices are told", "bob GET /sync?timeout=0&since=<since>", ``, 200, "rooms/join/<new>/account_data/events/0/type=m.tag account_data/events/*/type:string account_data/events/1:object", ""},
	{"bob takes his tag away", "bob DELETE /user/<bob>/rooms/<new>/tags/u.x", ``, 200, "{}", ""},
	{"leaves", "bob POST /rooms/<new>/leave", `{}`, 200, "{}", ""},
	{"comes back", "bob POST /rooms/<new>/join", `{}`, 200, "", ""},
	{"and it stays away", "bob GET /user/<bob>/rooms/<new>/tags", ``, 200, "tags/u.x:absent", ""},
}
