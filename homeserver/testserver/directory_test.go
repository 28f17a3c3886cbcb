package testserver_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// TestDirectory lists rooms and looks for them. Client-Server API, "Published room directory".
func TestDirectory(t *testing.T) {
	eachWithServices(t, "alice bob carol", func(s *script) {
		s.run(directorySteps)
		s.run(searchSteps)
		s.run(networkSteps)
	})
}

var directorySteps = []step{
	{"nothing yet", "nobody GET /publicRooms", ``, 200, "chunk:empty next_batch:absent prev_batch:absent total_room_count_estimate=0", ""},
	{"a room", "alice POST /createRoom", `{"preset":"public_chat","name":"Wombles","topic":"Tidybag","room_alias_name":"wombles","initial_state":[
		{"type":"m.room.avatar","content":{"url":"mxc://a/b"}},{"type":"m.room.history_visibility","content":{"history_visibility":"world_readable"}},
		{"type":"m.room.guest_access","content":{"guest_access":"can_join"}}]}`, 200, "room_id:roomid", "wombles=room_id"},
	{"bob joins", "bob POST /join/<wombles>", ``, 200, "room_id:roomid", ""},
	{"private", "nobody GET /directory/list/room/<wombles>", ``, 200, "visibility=private", ""},
	{"of no room", "nobody GET /directory/list/room/!none:test", ``, 404, "M_NOT_FOUND", ""},
	{"publish without a token", "nobody PUT /directory/list/room/<wombles>", `{"visibility":"public"}`, 401, "M_MISSING_TOKEN", ""},
	{"publish without power", "bob PUT /directory/list/room/<wombles>", `{"visibility":"public"}`, 403, "M_FORBIDDEN", ""},
	{"publish a stranger's", "carol PUT /directory/list/room/<wombles>", `{"visibility":"public"}`, 403, "M_FORBIDDEN", ""},
	{"publish no room", "alice PUT /directory/list/room/!none:test", `{"visibility":"public"}`, 404, "M_NOT_FOUND", ""},
	{"publish without a body", "alice PUT /directory/list/room/<wombles>", ``, 400, "M_NOT_JSON", ""},
	{"publish somehow", "alice PUT /directory/list/room/<wombles>", `{"visibility":"x"}`, 400, "M_BAD_JSON", ""},
	{"publish of the wrong type", "alice PUT /directory/list/room/<wombles>", `{"visibility":1}`, 400, "M_BAD_JSON", ""},
	{"with another method", "alice DELETE /directory/list/room/<wombles>", ``, 405, "M_UNRECOGNIZED", ""},
	{"publish", "alice PUT /directory/list/room/<wombles>", `{}`, 200, "{}", ""},
	{"public", "carol GET /directory/list/room/<wombles>", ``, 200, "visibility=public", ""},
	{"a listed room", "nobody GET /publicRooms", ``, 200, "chunk/1:absent chunk/0/room_id=<wombles> chunk/0/name=Wombles chunk/0/topic=Tidybag chunk/0/avatar_url=mxc://a/b chunk/0/canonical_alias=#wombles:test chunk/0/num_joined_members=2 chunk/0/world_readable=true chunk/0/guest_can_join=true chunk/0/join_rule=public chunk/0/room_type:absent total_room_count_estimate=1", ""},
	{"by r0", "alice GET /_matrix/client/r0/publicRooms?server=test", ``, 200, "chunk/0/room_id:roomid", ""},
	{"of another server", "alice GET /publicRooms?server=elsewhere", ``, 404, "M_NOT_FOUND", ""},
	{"of another server, searching", "alice POST /publicRooms?server=elsewhere", `{}`, 404, "M_NOT_FOUND", ""},
	{"a limit that is none", "alice GET /publicRooms?limit=-1", ``, 400, "M_INVALID_PARAM", ""},
	{"a token that is none", "alice GET /publicRooms?since=x", ``, 400, "M_INVALID_PARAM", ""},
	{"with another method", "alice PUT /publicRooms", `{}`, 405, "M_UNRECOGNIZED", ""},
	{"unpublish", "alice PUT /directory/list/room/<wombles>", `{"visibility":"private"}`, 200, "{}", ""},
	{"gone", "nobody GET /publicRooms", ``, 200, "chunk:empty", ""},
	{"publish again", "alice PUT /directory/list/room/<wombles>", `{"visibility":"public"}`, 200, "{}", ""},
	{"a bare room", "alice POST /createRoom", `{"visibility":"public","preset":"private_chat","room_version":"7","name":"100%_of \"it\""}`, 200, "room_id:roomid", "bare=room_id"},
	{"a knock room", "alice PUT /rooms/<bare>/state/m.room.join_rules", `{"join_rule":"knock"}`, 200, "event_id:eventid", ""},
	{"an empty room", "alice POST /createRoom", `{"visibility":"public","name":"Empty"}`, 200, "room_id:roomid", "empty=room_id"},
	{"left", "alice POST /rooms/<empty>/leave", ``, 200, "{}", ""},
	{"the bigger one first", "nobody GET /publicRooms", ``, 200, "chunk/0/room_id=<wombles> chunk/1/room_id=<bare> chunk/1/join_rule=knock chunk/1/num_joined_members=1 chunk/1/world_readable=false chunk/1/guest_can_join=true chunk/1/topic:absent chunk/1/canonical_alias:absent chunk/2:absent", ""},
}

var searchSteps = []step{
	{"search without a token", "nobody POST /publicRooms", `{}`, 401, "M_MISSING_TOKEN", ""},
	{"search without a body", "alice POST /publicRooms", ``, 400, "M_NOT_JSON", ""},
	{"search for all", "alice POST /publicRooms", `{}`, 200, "chunk/0/room_id=<wombles> chunk/1/room_id=<bare>", ""},
	{"by the name", "alice POST /publicRooms", `{"filter":{"generic_search_term":"womBLE"}}`, 200, "chunk/0/room_id=<wombles> chunk/1:absent", ""},
	{"by the topic", "alice POST /publicRooms", `{"filter":{"generic_search_term":"tidyb"}}`, 200, "chunk/0/room_id=<wombles> chunk/1:absent", ""},
	{"by the alias", "alice POST /publicRooms", `{"filter":{"generic_search_term":"#WOMBLES"}}`, 200, "chunk/0/room_id=<wombles> chunk/1:absent", ""},
	{"for what needs to be escaped", "alice POST /publicRooms", `{"filter":{"generic_search_term":"0%_of \"i"}}`, 200, "chunk/0/room_id=<bare> chunk/1:absent", ""},
	{"for what stands elsewhere in the event", "alice POST /publicRooms", `{"filter":{"generic_search_term":"origin_server_ts"}}`, 200, "chunk:empty next_batch:absent", ""},
	{"for nothing that is there", "alice POST /publicRooms", `{"filter":{"generic_search_term":"zzz"}}`, 200, "chunk:empty next_batch:absent", ""},
	{"for too much", "alice POST /publicRooms", `{"filter":{"generic_search_term":"` + strings.Repeat("x", 257) + `"}}`, 400, "M_INVALID_PARAM", ""},
	{"a name in other letters", "alice PUT /rooms/<bare>/state/m.room.name", `{"name":"Größe ÜBER alles 🌉"}`, 200, "event_id:eventid", ""},
	{"in their other case", "alice POST /publicRooms", `{"filter":{"generic_search_term":"gRÖSSE"}}`, 200, "chunk:empty", ""},
	{"in their other case", "alice POST /publicRooms", `{"filter":{"generic_search_term":"über ALLES 🌉"}}`, 200, "chunk/0/room_id=<bare> chunk/1:absent", ""},
	{"a space", "alice POST /createRoom", `{"visibility":"public","name":"Space","creation_content":{"type":"m.space"}}`, 200, "room_id:roomid", "space=room_id"},
	{"spaces", "alice POST /publicRooms", `{"filter":{"room_types":["m.space"]}}`, 200, "chunk/0/room_id=<space> chunk/0/room_type=m.space chunk/1:absent", ""},
	{"rooms without a type", "alice POST /publicRooms", `{"filter":{"room_types":[null]}}`, 200, "chunk/0/room_id=<wombles> chunk/1/room_id=<bare> chunk/2:absent", ""},
	{"both", "alice POST /publicRooms", `{"filter":{"room_types":[null,"m.space"]}}`, 200, "chunk/2:object chunk/3:absent", ""},
	{"other types", "alice POST /publicRooms", `{"filter":{"room_types":["m.room"]}}`, 200, "chunk:empty", ""},
	{"a type and a term", "alice POST /publicRooms", `{"filter":{"room_types":["m.space"],"generic_search_term":"wombles"}}`, 200, "chunk:empty", ""},
	{"types of the wrong type", "alice POST /publicRooms", `{"filter":{"room_types":[1]}}`, 400, "M_BAD_JSON", ""},
	{"a page of one", "alice POST /publicRooms", `{"limit":1,"filter":{"room_types":[null]}}`, 200, "chunk/0/room_id=<wombles> chunk/1:absent prev_batch:absent", "next=next_batch"},
	{"the next", "alice POST /publicRooms", `{"limit":1,"filter":{"room_types":[null]},"since":"<next>"}`, 200, "chunk/0/room_id=<bare> chunk/1:absent next_batch:absent", "prev=prev_batch"},
	{"and back", "alice POST /publicRooms", `{"limit":1,"filter":{"room_types":[null]},"since":"<prev>"}`, 200, "chunk/0/room_id=<wombles> chunk/1:absent prev_batch:absent next_batch:string", ""},
}

var networkSteps = []step{
	{"a ghost", "irc POST /register", `{"type":"m.login.application_service","username":"irc_ghost","inhibit_login":true}`, 200, "user_id:userid", ""},
	{"a portal", "irc POST /createRoom", `{"preset":"public_chat","name":"Portal"}`, 200, "room_id:roomid", "portal=room_id"},
	{"list it, as a person", "alice PUT /directory/list/appservice/net/<portal>", `{"visibility":"public"}`, 403, "M_FORBIDDEN", ""},
	{"list it, as a stranger", "nobody PUT /directory/list/appservice/net/<portal>", `{"visibility":"public"}`, 401, "M_MISSING_TOKEN", ""},
	{"list it somehow", "irc PUT /directory/list/appservice/net/<portal>", `{"visibility":"x"}`, 400, "M_BAD_JSON", ""},
	{"list it nowhere", "irc PUT /directory/list/appservice/net/<portal>", `{}`, 400, "M_MISSING_PARAM", ""},
	{"list no room", "irc PUT /directory/list/appservice/net/!none:test", `{"visibility":"public"}`, 404, "M_NOT_FOUND", ""},
	{"list another's room", "irc PUT /directory/list/appservice/net/<bare>", `{"visibility":"public"}`, 403, "M_FORBIDDEN", ""},
	{"list it", "irc PUT /directory/list/appservice/net/<portal>", `{"visibility":"public"}`, 200, "{}", ""},
	{"list it again", "irc PUT /directory/list/appservice/net/<portal>", `{"visibility":"public"}`, 200, "{}", ""},
	{"with another method", "irc GET /directory/list/appservice/net/<portal>", ``, 405, "M_UNRECOGNIZED", ""},
	{"the server's list has it not", "alice POST /publicRooms", `{"filter":{"generic_search_term":"portal"}}`, 200, "chunk:empty", ""},
	{"the network's has", "alice POST /publicRooms", `{"third_party_instance_id":"irc|net"}`, 200, "chunk/0/room_id=<portal> chunk/1:absent total_room_count_estimate=1", ""},
	{"another network's has not", "alice POST /publicRooms", `{"third_party_instance_id":"limited|net"}`, 200, "chunk:empty", ""},
	{"all of them", "alice POST /publicRooms", `{"include_all_networks":true}`, 200, "chunk/3:object chunk/4:absent total_room_count_estimate=5", ""},
	{"both at once", "alice POST /publicRooms", `{"include_all_networks":true,"third_party_instance_id":"irc|net"}`, 400, "M_INVALID_PARAM", ""},
	{"the portal is upgraded", "irc POST /rooms/<portal>/upgrade", `{"new_version":"12"}`, 200, "replacement_room:roomid", "replaced=replacement_room"},
	{"and listed still", "alice POST /publicRooms", `{"third_party_instance_id":"irc|net"}`, 200, "chunk/0/room_id=<replaced> chunk/1:absent", ""},
	{"take it out", "irc PUT /directory/list/appservice/net/<replaced>", `{"visibility":"private"}`, 200, "{}", ""},
	{"gone", "alice POST /publicRooms", `{"third_party_instance_id":"irc|net"}`, 200, "chunk:empty", ""},
}

// TestDirectoryPages goes through the directory in pages, there and back.
func TestDirectoryPages(t *testing.T) {
	each(t, "alice bob", func(s *script) {
		const rooms, size = 23, 5
		for i := range rooms {
			s.words["room"] = s.text("alice POST /createRoom", fmt.Sprintf(`{"preset":"public_chat","visibility":"public","name":"%d"}`, i), "room_id")
			if i%3 == 0 {
				s.get("bob POST /join/<room>", "")
			}
		}
		whole := names(s.get("nobody GET /publicRooms", ""))
		if len(whole) != rooms {
			t.Fatalf("got %d rooms, want %d", len(whole), rooms)
		}
		var forward, back []string
		query := fmt.Sprintf("nobody GET /publicRooms?limit=%d", size)
		page := s.get(query, "")
		for {
			forward = append(forward, names(page)...)
			next := at(page, "next_batch")
			if len(next) == 0 {
				break
			}
			page = s.get(query+"&since="+plain(next[0]), "")
		}
		for {
			back = slices.Concat(names(page), back)
			prev := at(page, "prev_batch")
			if len(prev) == 0 {
				break
			}
			page = s.get(query+"&since="+plain(prev[0]), "")
		}
		if !slices.Equal(forward, whole) || !slices.Equal(back, whole) {
			t.Errorf("in pages got %v, and back %v, want %v", forward, back, whole)
		}
	})
}

func names(page any) []string {
	var all []string
	for _, name := range at(page, "chunk/*/name") {
		all = append(all, plain(name))
	}
	return all
}
