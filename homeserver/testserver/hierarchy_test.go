package testserver_test

import (
	"fmt"
	"strings"
	"testing"
)

// tree returns the rooms of a hierarchy by their names, each space with its children in brackets.
func (s *script) tree(page any) string {
	names := make(map[string]string, len(s.words))
	for name, value := range s.words {
		names[value] = name
	}
	var all []string
	for _, r := range at(page, "rooms/*") {
		name := names[plain(at(r, "room_id")[0])]
		var children []string
		for _, key := range at(r, "children_state/*/state_key") {
			children = append(children, names[plain(key)])
		}
		if len(children) > 0 {
			name += "(" + strings.Join(children, " ") + ")"
		}
		all = append(all, name)
	}
	return strings.Join(all, " ")
}

// link puts a room into a space, behind those that are there. more are further members of the link's content.
func (s *script) link(space, room, more string) {
	s.t.Helper()
	if s.said++; !strings.Contains(more, "order") {
		more += fmt.Sprintf(`,"order":"x%03d"`, s.said)
	}
	s.get(fmt.Sprintf("alice PUT /rooms/<%s>/state/m.space.child/<%s>", space, room), `{"via":["test"]`+more+`}`)
}

const (
	spaceBody  = `{"preset":"public_chat","creation_content":{"type":"m.space"}}`
	publicBody = `{"preset":"public_chat"}`
)

// TestHierarchy walks through a space. Client-Server API, GET /rooms/{roomId}/hierarchy.
func TestHierarchy(t *testing.T) {
	each(t, "alice bob carol dave", func(s *script) {
		for _, name := range strings.Fields("root sub subsub") {
			s.room("alice", name, spaceBody)
		}
		for _, name := range strings.Fields("r1 r2 r3 r4 r5") {
			s.room("alice", name, publicBody)
		}
		s.room("alice", "private", `{"preset":"private_chat"}`)
		s.room("alice", "hiddenspace", `{"preset":"private_chat","creation_content":{"type":"m.space"}}`)
		s.room("alice", "readable", `{"preset":"private_chat","initial_state":[{"type":"m.room.history_visibility","content":{"history_visibility":"world_readable"}}]}`)
		s.room("alice", "knockable", `{"preset":"private_chat","initial_state":[{"type":"m.room.join_rules","content":{"join_rule":"knock"}}]}`)
		s.room("alice", "restricted", s.fill(`{"preset":"private_chat","initial_state":[{"type":"m.room.join_rules","content":{"join_rule":"restricted","allow":[{"type":"m.room_membership","room_id":"<private>"}]}}]}`, plainText))
		s.link("root", "r1", `,"suggested":true`)
		s.link("root", "sub", ``)
		s.link("root", "r2", `,"suggested":true`)
		s.link("sub", "subsub", ``)
		s.link("subsub", "r3", ``)
		s.link("subsub", "r4", ``)
		s.link("subsub", "root", ``) // a circle
		s.link("r2", "r5", ``)       // r2 is no space
		s.get("alice PUT /rooms/<root>/state/m.space.child/<r5>", `{}`)
		s.get("alice PUT /rooms/<root>/state/m.space.child/!gone", `{"via":"test"}`)

		path := " GET /_matrix/client/v1/rooms/<root>/hierarchy"
		tree := func(request, want string) any {
			t.Helper()
			page := s.get(request, "")
			if got := s.tree(page); got != want {
				s.t.Errorf("%s: got %s, want %s", request, got, want)
			}
			return page
		}
		whole := "root(r1 sub r2) r1 sub(subsub) subsub(r3 r4 root) r3 r4 r2"
		tree("alice"+path, whole)
		tree("bob"+path, whole)
		tree("bob GET /_matrix/client/unstable/org.matrix.msc2946/rooms/<root>/hierarchy", whole)
		tree("alice"+path+"?max_depth=1", "root(r1 sub r2) r1 sub(subsub) r2")
		tree("alice"+path+"?max_depth=0", "root(r1 sub r2)")
		tree("alice"+path+"?suggested_only=true", "root(r1 r2) r1 r2")
		page := tree("alice"+path+"?limit=4", "root(r1 sub r2) r1 sub(subsub) subsub(r3 r4 root)")
		s.words["next"] = plain(at(page, "next_batch")[0])
		page = tree("alice"+path+"?from=<next>&limit=2", "r3 r4")
		tree("alice"+path+"?from=<next>", "r3 r4 r2")
		s.words["last"] = plain(at(page, "next_batch")[0])
		page = tree("alice"+path+"?from=<last>&limit=1", "r2")
		if next := at(page, "next_batch"); len(next) != 0 {
			t.Errorf("the last page has next_batch %v", next)
		}
		s.run(hierarchySteps)

		// The order of children.
		for i, name := range strings.Fields("private hiddenspace readable knockable restricted") {
			s.link("root", name, fmt.Sprintf(`,"order":"%c"`, 'e'-i))
		}
		s.link("hiddenspace", "r5", ``)
		all := "root(restricted knockable readable hiddenspace private r1 sub r2)"
		rest := " r1 sub(subsub) subsub(r3 r4 root) r3 r4 r2"
		tree("carol"+path, all+" knockable readable"+rest)
		tree("alice"+path, all+" restricted knockable readable hiddenspace(r5) r5 private"+rest)
		s.get("alice POST /rooms/<private>/invite", `{"user_id":"<carol>"}`)
		tree("carol"+path, all+" knockable readable private"+rest)
		s.get("carol POST /rooms/<private>/join", `{}`)
		tree("carol"+path, all+" restricted knockable readable private"+rest)
		s.get("carol POST /rooms/<private>/leave", `{}`)
		tree("carol"+path, all+" knockable readable"+rest)
		s.get("alice POST /rooms/<r1>/ban", `{"user_id":"<dave>"}`)
		tree("dave"+path, all+" knockable readable"+strings.TrimPrefix(rest, " r1"))
		s.get("alice PUT /rooms/<root>/state/m.room.join_rules/", `{"join_rule":"invite"}`)
		s.run([]step{{"a space that one may not know of", "dave" + path, ``, 403, "M_FORBIDDEN", ""}})
		s.get("alice PUT /rooms/<sub>/state/m.space.child/<r4>", `{"via":["test"],"order":"`+strings.Repeat("x", 51)+`"}`)
		s.get("alice PUT /rooms/<sub>/state/m.space.child/<r3>", `{"via":["test"],"order":"é"}`)
		s.get("alice PUT /rooms/<sub>/state/m.space.child/<r2>", `{"via":["test"],"order":"a"}`)
		page = s.get("bob GET /_matrix/client/v1/rooms/<sub>/hierarchy?max_depth=0", "")
		if got, want := s.tree(page), "sub(r2 subsub r"; !strings.HasPrefix(got, want) {
			t.Errorf("with orders that are none: got %s, want %s…", got, want)
		}
	})
}

func plainText(s string) string { return s }

var hierarchySteps = []step{
	{"the fields of a space", "bob GET /_matrix/client/v1/rooms/<root>/hierarchy?limit=1", ``, 200, "rooms/0/room_id=<root> rooms/0/room_type=m.space rooms/0/num_joined_members=1 rooms/0/world_readable=false rooms/0/guest_can_join=false rooms/0/join_rule=public rooms/0/room_version=12 rooms/0/membership:absent rooms/0/children_state/0/type=m.space.child rooms/0/children_state/0/state_key=<r1> rooms/0/children_state/0/sender=<alice> rooms/0/children_state/0/origin_server_ts:integer rooms/0/children_state/0/content/suggested=true rooms/0/children_state/0/event_id:absent next_batch:string", "token=next_batch"},
	{"a room has no children", "bob GET /_matrix/client/v1/rooms/<r2>/hierarchy", ``, 200, "rooms/0/room_id=<r2> rooms/0/children_state:empty rooms/1:absent next_batch:absent", ""},
	{"without a token", "nobody GET /_matrix/client/v1/rooms/<root>/hierarchy", ``, 401, "M_MISSING_TOKEN", ""},
	{"of no room", "bob GET /_matrix/client/v1/rooms/!none:test/hierarchy", ``, 403, "M_FORBIDDEN", ""},
	{"a private room", "bob GET /_matrix/client/v1/rooms/<private>/hierarchy", ``, 403, "M_FORBIDDEN", ""},
	{"with another's page", "alice GET /_matrix/client/v1/rooms/<root>/hierarchy?from=<token>", ``, 400, "M_INVALID_PARAM", ""},
	{"with another space's page", "bob GET /_matrix/client/v1/rooms/<sub>/hierarchy?from=<token>", ``, 400, "M_INVALID_PARAM", ""},
	{"with no page", "bob GET /_matrix/client/v1/rooms/<root>/hierarchy?from=x", ``, 400, "M_INVALID_PARAM", ""},
	{"another depth", "bob GET /_matrix/client/v1/rooms/<root>/hierarchy?from=<token>&max_depth=1", ``, 400, "M_INVALID_PARAM", ""},
	{"other rooms", "bob GET /_matrix/client/v1/rooms/<root>/hierarchy?from=<token>&suggested_only=true", ``, 400, "M_INVALID_PARAM", ""},
	{"no limit", "bob GET /_matrix/client/v1/rooms/<root>/hierarchy?limit=0", ``, 400, "M_INVALID_PARAM", ""},
	{"a limit that is none", "bob GET /_matrix/client/v1/rooms/<root>/hierarchy?limit=x", ``, 400, "M_INVALID_PARAM", ""},
	{"a depth below zero", "bob GET /_matrix/client/v1/rooms/<root>/hierarchy?max_depth=-1", ``, 400, "M_INVALID_PARAM", ""},
	{"suggested somehow", "bob GET /_matrix/client/v1/rooms/<root>/hierarchy?suggested_only=1", ``, 400, "M_INVALID_PARAM", ""},
}

// TestRoomSummary asks for summaries of rooms. Client-Server API, GET /room_summary/{roomIdOrAlias}.
func TestRoomSummary(t *testing.T) {
	each(t, "alice bob carol", func(s *script) {
		s.room("alice", "space", spaceBody)
		s.room("alice", "public", `{"preset":"public_chat","name":"Name","topic":"Topic","room_alias_name":"pub","room_version":"10"}`)
		s.room("alice", "private", `{"preset":"private_chat","initial_state":[{"type":"m.room.encryption","content":{"algorithm":"m.megolm.v1.aes-sha2"}}]}`)
		s.room("alice", "readable", `{"preset":"private_chat","initial_state":[{"type":"m.room.history_visibility","content":{"history_visibility":"world_readable"}}]}`)
		s.room("alice", "knockable", `{"preset":"private_chat","initial_state":[{"type":"m.room.join_rules","content":{"join_rule":"knock"}}]}`)
		s.room("alice", "restricted", s.fill(`{"room_version":"8","preset":"private_chat","initial_state":[{"type":"m.room.join_rules","content":{"join_rule":"restricted","allow":[{"type":"m.room_membership","room_id":"<space>"}]}}]}`, plainText))
		s.run(summarySteps)
	})
}

var summarySteps = []step{
	{"all fields", "alice GET /_matrix/client/v1/room_summary/<public>", ``, 200, "room_id=<public> name=Name topic=Topic canonical_alias=#pub:test num_joined_members=1 world_readable=false guest_can_join=false join_rule=public room_type:absent room_version=10 encryption:absent allowed_room_ids:absent membership=join", ""},
	{"by its alias", "bob GET /_matrix/client/v1/room_summary/%23pub:test", ``, 200, "room_id=<public> membership=leave", ""},
	{"as a stranger", "nobody GET /_matrix/client/v1/room_summary/<public>", ``, 200, "room_id=<public> membership:absent", ""},
	{"a space", "nobody GET /_matrix/client/v1/room_summary/<space>", ``, 200, "room_type=m.space", ""},
	{"a readable one, as a stranger", "nobody GET /_matrix/client/v1/room_summary/<readable>", ``, 200, "world_readable=true join_rule=invite", ""},
	{"a knockable one, as a stranger", "nobody GET /_matrix/client/v1/room_summary/<knockable>", ``, 200, "join_rule=knock", ""},
	{"an encrypted one", "alice GET /_matrix/client/v1/room_summary/<private>", ``, 200, "encryption=m.megolm.v1.aes-sha2 membership=join allowed_room_ids:absent", ""},
	{"a private one", "bob GET /_matrix/client/v1/room_summary/<private>", ``, 404, "M_NOT_FOUND", ""},
	{"a private one, as a stranger", "nobody GET /_matrix/client/v1/room_summary/<private>", ``, 404, "M_NOT_FOUND", ""},
	{"a restricted one", "alice GET /_matrix/client/v1/room_summary/<restricted>", ``, 200, "join_rule=restricted allowed_room_ids/0=<space> allowed_room_ids/1:absent", ""},
	{"a restricted one that one may not join", "bob GET /_matrix/client/v1/room_summary/<restricted>", ``, 404, "M_NOT_FOUND", ""},
	{"a restricted one, as a stranger", "nobody GET /_matrix/client/v1/room_summary/<restricted>", ``, 404, "M_NOT_FOUND", ""},
	{"into the space", "bob POST /join/<space>", `{}`, 200, "room_id=<space>", ""},
	{"a restricted one that one may join", "bob GET /_matrix/client/v1/room_summary/<restricted>", ``, 200, "join_rule=restricted membership=leave", ""},
	{"invite", "alice POST /rooms/<private>/invite", `{"user_id":"<bob>"}`, 200, "{}", ""},
	{"an invitation", "bob GET /_matrix/client/v1/room_summary/<private>", ``, 200, "membership=invite", ""},
	{"knock", "carol POST /knock/<knockable>", `{}`, 200, "room_id=<knockable>", ""},
	{"after knocking", "carol GET /_matrix/client/v1/room_summary/<knockable>", ``, 200, "membership=knock", ""},
	{"ban", "alice POST /rooms/<public>/ban", `{"user_id":"<carol>"}`, 200, "{}", ""},
	{"banned", "carol GET /_matrix/client/v1/room_summary/<public>", ``, 404, "M_NOT_FOUND", ""},
	{"no room", "alice GET /_matrix/client/v1/room_summary/!none:test", ``, 404, "M_NOT_FOUND", ""},
	{"no alias", "alice GET /_matrix/client/v1/room_summary/%23none:test", ``, 404, "M_NOT_FOUND", ""},
	{"nothing", "alice GET /_matrix/client/v1/room_summary/x", ``, 404, "M_NOT_FOUND", ""},
	{"an unknown token", "unknown GET /_matrix/client/v1/room_summary/<public>", ``, 401, "M_UNKNOWN_TOKEN", ""},
	{"before it was specified", "alice GET /_matrix/client/unstable/im.nheko.summary/summary/<private>", ``, 200, "room_id=<private> im.nheko.summary.room_version=12 im.nheko.summary.encryption=m.megolm.v1.aes-sha2", ""},
	{"before that", "nobody GET /_matrix/client/unstable/im.nheko.summary/rooms/<public>/summary", ``, 200, "room_id=<public> membership:absent", ""},
}
