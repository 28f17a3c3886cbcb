package testserver_test

import "testing"

// TestUpgrade replaces rooms by such of other versions. Client-Server API, "Room Upgrades".
func TestUpgrade(t *testing.T) {
	each(t, "alice bob carol dave", func(s *script) {
		s.run(upgradeRefusedSteps)
		s.run(upgradeSteps)
		s.run(upgradeTwelveSteps)
		s.run(upgradeSpaceSteps)
		s.run(downgradeSteps)
	})
}

var upgradeRefusedSteps = []step{
	{"a room", "alice POST /createRoom", `{"preset":"public_chat","room_version":"10"}`, 200, "room_id:roomid", "room=room_id"},
	{"bob joins", "bob POST /join/<room>", ``, 200, "room_id:roomid", ""},
	{"without a token", "nobody POST /rooms/<room>/upgrade", `{"new_version":"11"}`, 401, "M_MISSING_TOKEN", ""},
	{"without a body", "alice POST /rooms/<room>/upgrade", ``, 400, "M_NOT_JSON", ""},
	{"malformed", "alice POST /rooms/<room>/upgrade", `{`, 400, "M_NOT_JSON", ""},
	{"without a version", "alice POST /rooms/<room>/upgrade", `{}`, 400, "M_MISSING_PARAM", ""},
	{"version of the wrong type", "alice POST /rooms/<room>/upgrade", `{"new_version":11}`, 400, "M_BAD_JSON", ""},
	{"unknown version", "alice POST /rooms/<room>/upgrade", `{"new_version":"999"}`, 400, "M_UNSUPPORTED_ROOM_VERSION", ""},
	{"creators of the wrong type", "alice POST /rooms/<room>/upgrade", `{"new_version":"12","additional_creators":"<bob>"}`, 400, "M_BAD_JSON", ""},
	{"creators who are none", "alice POST /rooms/<room>/upgrade", `{"new_version":"12","additional_creators":["bob"]}`, 400, "M_INVALID_PARAM", ""},
	{"no room", "alice POST /rooms/!none:test/upgrade", `{"new_version":"11"}`, 404, "M_NOT_FOUND", ""},
	{"by a stranger", "carol POST /rooms/<room>/upgrade", `{"new_version":"11"}`, 403, "M_FORBIDDEN", ""},
	{"without power", "bob POST /rooms/<room>/upgrade", `{"new_version":"11"}`, 403, "M_FORBIDDEN", ""},
	{"with another method", "alice GET /rooms/<room>/upgrade", ``, 405, "M_UNRECOGNIZED", ""},
	{"nothing happened", "alice GET /rooms/<room>/state/m.room.tombstone", ``, 404, "M_NOT_FOUND", ""},
	{"a room as its own replacement", "alice PUT /rooms/<room>/state/m.room.tombstone", `{"body":"x","replacement_room":"<room>"}`, 400, "M_INVALID_PARAM", ""},
}

var upgradeSteps = []step{
	{"a room with all there is", "alice POST /createRoom", `{"preset":"public_chat","visibility":"public","room_version":"9","name":"N","topic":"T",
		"room_alias_name":"main","creation_content":{"m.federate":false,"x.y":1},"power_level_content_override":{"invite":20,"x.y":[1],"events":{"m.room.tombstone":60,"m.room.message":5,"m.room.canonical_alias":50},"users":{"<alice>":100,"<bob>":60}},
		"initial_state":[{"type":"m.room.encryption","content":{"algorithm":"m.megolm.v1.aes-sha2"}},{"type":"m.room.avatar","content":{"url":"mxc://a/b"}},
		{"type":"m.room.server_acl","content":{"allow":["*"]}},{"type":"m.room.history_visibility","content":{"history_visibility":"joined"}},
		{"type":"m.room.guest_access","content":{"guest_access":"can_join"}},{"type":"x.y","state_key":"z","content":{"a":"b"}}]}`, 200, "room_id:roomid", "room=room_id"},
	{"bob joins", "bob POST /join/<room>", ``, 200, "room_id:roomid", ""},
	{"carol joins", "carol POST /join/<room>", ``, 200, "room_id:roomid", ""},
	{"carol is banned", "bob POST /rooms/<room>/ban", `{"user_id":"<carol>","reason":"rude"}`, 200, "{}", ""},
	{"another alias", "bob PUT /directory/room/%23other:test", `{"room_id":"<room>"}`, 200, "{}", ""},
	{"canonical", "bob PUT /rooms/<room>/state/m.room.canonical_alias", `{"alias":"#main:test","alt_aliases":["#other:test"]}`, 200, "event_id:eventid", ""},
	{"a message", "bob PUT /rooms/<room>/send/m.room.message/1", `{"body":"last"}`, 200, "event_id:eventid", "last=event_id"},
	{"upgrade, with less power than the room's events take", "bob POST /rooms/<room>/upgrade", `{"new_version":"11","additional_creators":["nonsense"]}`, 200, "replacement_room:roomid", "new=replacement_room"},

	{"its create event", "bob GET /rooms/<new>/state/m.room.create?format=event", ``, 200, "sender=@bob:test content/room_version=11 content/m.federate=false content/x.y:absent content/type:absent content/additional_creators:absent content/creator:absent content/predecessor/room_id=<room>", ""},
	{"its predecessor's last event", "bob GET /rooms/<new>/state/m.room.create", ``, 200, "predecessor/event_id=<last>", ""},
	{"its member", "bob GET /rooms/<new>/joined_members", ``, 200, "joined/@bob:test:object joined/@alice:test:absent", ""},
	{"its name", "bob GET /rooms/<new>/state/m.room.name", ``, 200, "name=N", ""},
	{"its topic", "bob GET /rooms/<new>/state/m.room.topic", ``, 200, "topic=T", ""},
	{"its avatar", "bob GET /rooms/<new>/state/m.room.avatar", ``, 200, "url=mxc://a/b", ""},
	{"its encryption", "bob GET /rooms/<new>/state/m.room.encryption", ``, 200, "algorithm=m.megolm.v1.aes-sha2", ""},
	{"its server ACL", "bob GET /rooms/<new>/state/m.room.server_acl", ``, 200, "allow/0=*", ""},
	{"its history visibility", "bob GET /rooms/<new>/state/m.room.history_visibility", ``, 200, "history_visibility=joined", ""},
	{"its guest access", "bob GET /rooms/<new>/state/m.room.guest_access", ``, 200, "guest_access=can_join", ""},
	{"its join rules", "bob GET /rooms/<new>/state/m.room.join_rules", ``, 200, "join_rule=public", ""},
	{"its power levels", "bob GET /rooms/<new>/state/m.room.power_levels", ``, 200, "users/@alice:test=100 users/@bob:test=60 invite=20 events/m.room.tombstone=60 events/m.room.message=5 x.y/0=1", ""},
	{"its bans", "bob GET /rooms/<new>/state/m.room.member/<carol>", ``, 200, "membership=ban reason=rude", ""},
	{"its canonical alias", "bob GET /rooms/<new>/state/m.room.canonical_alias", ``, 200, "alias=#main:test alt_aliases/0=#other:test", ""},
	{"no state of others", "bob GET /rooms/<new>/state/x.y/z", ``, 404, "M_NOT_FOUND", ""},
	{"the alias has moved", "carol GET /directory/room/%23main:test", ``, 200, "room_id=<new>", ""},
	{"so has the other", "carol GET /directory/room/%23other:test", ``, 200, "room_id=<new>", ""},
	{"it is in the directory", "nobody GET /directory/list/room/<new>", ``, 200, "visibility=public", ""},
	{"the old one is not", "nobody GET /directory/list/room/<room>", ``, 200, "visibility=private", ""},

	{"the tombstone", "alice GET /rooms/<room>/state/m.room.tombstone", ``, 200, "body:string replacement_room=<new>", ""},
	{"the old room's aliases", "alice GET /rooms/<room>/state/m.room.canonical_alias", ``, 200, "{}", ""},
	{"the old room's power levels", "alice GET /rooms/<room>/state/m.room.power_levels", ``, 200, "users/@alice:test=100 users/@bob:test=60 events_default=50 invite=50 events/m.room.message=50 events/m.room.tombstone=60 x.y/0=1", ""},
	{"dave joins the old room", "dave POST /join/<room>", ``, 200, "room_id:roomid", ""},
	{"and cannot speak", "dave PUT /rooms/<room>/send/m.room.message/1", `{"body":"hello?"}`, 403, "M_FORBIDDEN", ""},
	{"nor invite", "dave POST /rooms/<room>/invite", `{"user_id":"<carol>"}`, 403, "M_FORBIDDEN", ""},
	{"the banned stay out", "carol POST /join/%23main:test", `{}`, 403, "M_FORBIDDEN", ""},
	{"the others follow", "alice POST /join/%23main:test", `{}`, 200, "room_id=<new>", ""},
	{"with their power", "alice PUT /rooms/<new>/state/m.room.server_acl", `{"allow":["a"]}`, 200, "event_id:eventid", ""},
	{"upgrade again", "alice POST /rooms/<room>/upgrade", `{"new_version":"11"}`, 403, "M_FORBIDDEN", ""},
}

var upgradeTwelveSteps = []step{
	{"from 11 to 12", "alice POST /createRoom", `{"preset":"public_chat","room_version":"11","power_level_content_override":{"users":{"<alice>":100,"<bob>":100,"<carol>":50}}}`, 200, "room_id:roomid", "room=room_id"},
	{"bob joins", "bob POST /join/<room>", ``, 200, "room_id:roomid", ""},
	{"upgrade", "bob POST /rooms/<room>/upgrade", `{"new_version":"12","additional_creators":["<dave>","<dave>","<bob>"]}`, 200, "replacement_room:roomid", "new=replacement_room"},
	{"its create event", "bob GET /rooms/<new>/state/m.room.create", ``, 200, "room_version=12 predecessor/room_id=<room> predecessor/event_id:absent additional_creators/0=@dave:test additional_creators/1:absent", ""},
	{"creators have no level", "bob GET /rooms/<new>/state/m.room.power_levels", ``, 200, "users/@alice:test=100 users/@carol:test=50 users/@bob:test:absent users/@dave:test:absent events/m.room.tombstone=150", ""},
	{"alice follows", "alice POST /join/<new>", ``, 200, "room_id=<new>", ""},
	{"she cannot make herself a creator", "alice POST /rooms/<new>/upgrade", `{"new_version":"12"}`, 403, "M_FORBIDDEN", ""},
	{"unless she is let", "bob PUT /rooms/<new>/state/m.room.power_levels", `{"users":{"<alice>":160},"state_default":155}`, 200, "event_id:eventid", ""},
	{"from 12 to 12", "alice POST /rooms/<new>/upgrade", `{"new_version":"12"}`, 200, "replacement_room:roomid", "third=replacement_room"},
	{"creators are not taken over", "alice GET /rooms/<third>/state/m.room.create", ``, 200, "predecessor/room_id=<new> additional_creators:absent", ""},
	{"nor have they levels", "alice GET /rooms/<third>/state/m.room.power_levels", ``, 200, "users={} events/m.room.tombstone=156 state_default=155", ""},
}

var upgradeSpaceSteps = []step{
	{"a space", "alice POST /createRoom", `{"name":"S","creation_content":{"type":"m.space"},"room_version":"11","initial_state":[
		{"type":"m.space.child","state_key":"!a:test","content":{"via":["test"],"order":"a"}},{"type":"m.space.child","state_key":"!gone:test","content":{}}]}`, 200, "room_id:roomid", "space=room_id"},
	{"sync", "alice GET /sync?timeout=0", ``, 200, "rooms/join/<space>:object", "since=next_batch"},
	{"upgrade", "alice POST /rooms/<space>/upgrade", `{"new_version":"12"}`, 200, "replacement_room:roomid", "new=replacement_room"},
	{"sync, with both rooms", "alice GET /sync?timeout=0&since=<since>", ``, 200, "rooms/join/<new>/timeline/events/0/type=m.room.create rooms/join/<space>/timeline/events/0/type=m.room.tombstone rooms/join/<space>/timeline/events/0/content/replacement_room=<new> rooms/join/<space>/timeline/events/1/type=m.room.power_levels", ""},
	{"its type", "alice GET /rooms/<new>/state/m.room.create", ``, 200, "type=m.space", ""},
	{"its child", "alice GET /rooms/<new>/state/m.space.child/!a:test", ``, 200, "via/0=test order=a", ""},
	{"not its former child", "alice GET /rooms/<new>/state/m.space.child/!gone:test", ``, 404, "M_NOT_FOUND", ""},
	{"private as before", "alice GET /directory/list/room/<new>", ``, 200, "visibility=private", ""},
	{"its door as before", "alice GET /rooms/<new>/state/m.room.join_rules", ``, 200, "join_rule=invite", ""},
}

var downgradeSteps = []step{
	{"a room of version 12", "alice POST /createRoom", `{"room_version":"12","creation_content":{"additional_creators":["<bob>"]},"initial_state":[{"type":"m.room.join_rules","content":{"join_rule":"knock_restricted","allow":[]}}]}`, 200, "room_id:roomid", "room=room_id"},
	{"to version 6", "alice POST /rooms/<room>/upgrade", `{"new_version":"6"}`, 200, "replacement_room:roomid", "new=replacement_room"},
	{"its create event", "alice GET /rooms/<new>/state/m.room.create", ``, 200, "room_version=6 creator=@alice:test", ""},
	{"creators have all power", "alice GET /rooms/<new>/state/m.room.power_levels", ``, 200, "users/@alice:test=150 users/@bob:test=150 events/m.room.tombstone=150", ""},
	{"a join rule that it knows", "alice GET /rooms/<new>/state/m.room.join_rules", ``, 200, "join_rule=invite", ""},
	{"and to version 1", "alice POST /rooms/<new>/upgrade", `{"new_version":"1"}`, 200, "replacement_room:roomid", "first=replacement_room"},
	{"where it goes on", "alice PUT /rooms/<first>/send/m.room.message/1", `{"body":"x"}`, 200, "event_id:eventid", ""},
}
