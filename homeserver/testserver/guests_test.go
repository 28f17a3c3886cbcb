package testserver_test

import (
	"context"
	"fmt"
	"testing"

	"causeway/homeserver"
)

func withGuests(c *homeserver.Config) { c.Guests = true }

// TestGuests has guests do what they may, and not more. Client-Server API, "Guest Access".
func TestGuests(t *testing.T) {
	each(t, "alice bob", func(s *script) {
		s.words["closed"] = s.text("alice POST /createRoom", `{"preset":"public_chat"}`, "room_id")
		s.words["open"] = s.text("alice POST /createRoom", `{"preset":"public_chat","room_alias_name":"open","initial_state":[
			{"type":"m.room.guest_access","content":{"guest_access":"can_join"}}]}`, "room_id")
		s.words["world"] = s.text("alice POST /createRoom", `{"preset":"public_chat","initial_state":[
			{"type":"m.room.history_visibility","content":{"history_visibility":"world_readable"}}]}`, "room_id")
		for _, room := range []string{"closed", "open", "world"} {
			s.words[room+" event"] = s.text("alice PUT /rooms/<"+room+">/send/m.room.message/t", `{"body":"hello"}`, "event_id")
		}
		s.run(guestSteps)
	}, withGuests)
}

var guestSteps = []step{
	{
		"register", "nobody POST /register?kind=guest", `{"username":"mallory","password":"p","device_id":"MINE","inhibit_login":true,"initial_device_display_name":"x"}`,
		200, "user_id:userid access_token:string device_id:string home_server:string", "token guest=access_token",
	},
	{"whoami", "guest GET /account/whoami", ``, 200, "user_id:userid device_id:string is_guest=true", "guest=user_id"},
	{"whoami of a person", "alice GET /account/whoami", ``, 200, "is_guest=false", ""},
	{"the device is not the client's to choose", "guest GET /account/whoami", ``, 200, "device_id:string", "device=device_id"},
	{"sync", "guest GET /sync", ``, 200, "next_batch:string rooms:absent", ""},

	{"make a room", "guest POST /createRoom", `{}`, 403, "M_GUEST_ACCESS_FORBIDDEN", ""},
	{"set a password", "guest POST /account/password", `{"new_password":"x"}`, 403, "M_GUEST_ACCESS_FORBIDDEN", ""},
	{"the directory", "guest PUT /directory/room/%23x:test", `{"room_id":"<open>"}`, 403, "M_GUEST_ACCESS_FORBIDDEN", ""},
	{"account data", "guest PUT /user/<guest>/account_data/x", `{}`, 403, "M_GUEST_ACCESS_FORBIDDEN", ""},
	{"all rooms at once", "guest GET /initialSync", ``, 403, "M_GUEST_ACCESS_FORBIDDEN", ""},
	{"avatar", "guest PUT /profile/<guest>/avatar_url", `{"avatar_url":"mxc://a/b"}`, 403, "M_GUEST_ACCESS_FORBIDDEN", ""},
	{"no avatar", "guest DELETE /profile/<guest>/avatar_url", ``, 403, "M_GUEST_ACCESS_FORBIDDEN", ""},
	{"name", "guest PUT /profile/<guest>/displayname", `{"displayname":"Guest"}`, 200, "{}", ""},
	{"another's name", "guest PUT /profile/<alice>/displayname", `{"displayname":"Guest"}`, 403, "M_FORBIDDEN", ""},

	{"keys", "guest POST /keys/upload", `{"one_time_keys":{}}`, 200, "one_time_key_counts:object", ""},
	{"another's keys", "guest POST /keys/query", `{"device_keys":{"<alice>":[]}}`, 200, "device_keys:object", ""},
	{"a key of another's", "guest POST /keys/claim", `{"one_time_keys":{}}`, 200, "one_time_keys:object", ""},
	{"to a device", "guest PUT /sendToDevice/x.y/1", `{"messages":{"<alice>":{"*":{"from":"a guest"}}}}`, 200, "{}", ""},
	{"arrives", "alice GET /sync", ``, 200, "to_device/events/0/content/from:string to_device/events/0/sender=<guest>", ""},
	{"who is typing", "guest PUT /rooms/<world>/typing/<guest>", `{"typing":true}`, 403, "M_GUEST_ACCESS_FORBIDDEN", ""},
	{"search", "guest POST /search", `{"search_categories":{}}`, 403, "M_GUEST_ACCESS_FORBIDDEN", ""},

	{"read a room that all may read", "guest GET /rooms/<world>/messages?dir=b", ``, 200, "chunk/0/content/body=hello", ""},
	{"its state", "guest GET /rooms/<world>/state", ``, 200, "*:state", ""},
	{"one of its state", "guest GET /rooms/<world>/state/m.room.create", ``, 200, "room_version:string", ""},
	{"its members", "guest GET /rooms/<world>/members", ``, 200, "chunk/*:state", ""},
	{"an event", "guest GET /rooms/<world>/event/<world event>", ``, 200, "content/body=hello", ""},
	{"around an event", "guest GET /rooms/<world>/context/<world event>", ``, 200, "event:event state/*:state", ""},
	{"in one look", "guest GET /rooms/<world>/initialSync", ``, 200, "room_id:roomid membership:absent messages/chunk/*:event messages/end:string state/*:state", ""},
	{"as it happens", "guest GET /events?room_id=<world>&from=s0", ``, 200, "start:string end:string chunk/*:event", ""},
	{"speak there", "guest PUT /rooms/<world>/send/m.room.message/1", `{"body":"x"}`, 403, "M_FORBIDDEN", ""},
	{"read a room that is shared", "guest GET /rooms/<open>/messages?dir=b", ``, 403, "M_FORBIDDEN", ""},
	{"its look", "guest GET /rooms/<open>/initialSync", ``, 403, "M_FORBIDDEN", ""},
	{"its events", "guest GET /events?room_id=<open>", ``, 403, "M_FORBIDDEN", ""},

	{"join", "guest POST /rooms/<open>/join", `{}`, 200, "room_id:roomid", ""},
	{"speak", "guest PUT /rooms/<open>/send/x.y/1", `{"body":"x"}`, 200, "event_id:eventid", ""},
	{"set state", "guest PUT /rooms/<open>/state/m.room.member/<guest>", `{"membership":"join","displayname":"G"}`, 200, "event_id:eventid", ""},
	{"state without the power", "guest PUT /rooms/<open>/state/m.room.name", `{"name":"x"}`, 403, "M_FORBIDDEN", ""},
	{"a name goes into the room", "guest PUT /profile/<guest>/displayname", `{"displayname":"H"}`, 200, "{}", ""},
	{"and is there", "bob POST /rooms/<open>/join", `{}`, 200, "room_id:roomid", ""},
	{"for others to see", "bob GET /rooms/<open>/state/m.room.member/<guest>", ``, 200, "membership=join displayname=H", ""},
	{"leave", "guest POST /rooms/<open>/leave", `{}`, 200, "{}", ""},
	{"join by alias", "guest POST /join/%23open:test", `{}`, 200, "room_id:roomid", ""},
	{"invite", "guest POST /rooms/<open>/invite", `{"user_id":"<bob>"}`, 403, "M_GUEST_ACCESS_FORBIDDEN", ""},

	{"upload keys", "guest POST /keys/upload", `{}`, 200, "one_time_key_counts:object", ""},
	{"ask for keys", "guest POST /keys/query", `{"device_keys":{"<alice>":[]}}`, 200, "device_keys:object", ""},
	{"claim keys", "guest POST /keys/claim", `{"one_time_keys":{}}`, 200, "one_time_keys:object", ""},
	{"send to devices", "guest PUT /sendToDevice/x.y/1", `{"messages":{"<alice>":{"*":{"body":"x"}}}}`, 200, "{}", ""},

	{"join where no guests are", "guest POST /rooms/<closed>/join", `{}`, 403, "M_GUEST_ACCESS_FORBIDDEN", ""},
	{"join there by state", "guest PUT /rooms/<closed>/state/m.room.member/<guest>", `{"membership":"join"}`, 403, "M_GUEST_ACCESS_FORBIDDEN", ""},
	{"an invitation", "alice POST /rooms/<closed>/invite", `{"user_id":"<guest>"}`, 200, "{}", ""},
	{"does not help", "guest POST /rooms/<closed>/join", `{}`, 403, "M_GUEST_ACCESS_FORBIDDEN", ""},
	{
		"nor does it to join later", "guest PUT /rooms/<closed>/delayed_event/m.room.member/1",
		`{"delay_ms":60000,"state_key":"<guest>","content":{"membership":"join"}}`, 200, "delay_id:string", "late=delay_id",
	},
	{"which is seen then", "guest POST /_matrix/client/v1/delayed_events/<late>/send", `{}`, 403, "M_GUEST_ACCESS_FORBIDDEN", ""},
	{"a person may", "bob POST /rooms/<closed>/join", `{}`, 200, "room_id:roomid", ""},
}

// TestGuestBecomesPerson upgrades a guest's account. Client-Server API, "Guest Access", guest_access_token.
func TestGuestBecomesPerson(t *testing.T) {
	each(t, "alice", func(s *script) {
		s.run([]step{
			{"register", "nobody POST /register?kind=guest", `{}`, 200, "user_id:userid", "token guest=access_token"},
			{"whoami", "guest GET /account/whoami", ``, 200, "is_guest=true", "guest=user_id"},
			{"a password of one's own", "nobody POST /login", `{"type":"m.login.password","identifier":{"type":"m.id.user","user":"<guest>"},"password":"x"}`, 403, "M_FORBIDDEN", ""},
		})
		body := func(name string) string {
			return fmt.Sprintf(`{"username":%q,"password":"correct horse battery","guest_access_token":"<token guest>","auth":{"type":"m.login.dummy"}}`, name)
		}
		local := s.words["guest"][1 : len(s.words["guest"])-len(":test")]
		s.run([]step{
			{"another name", "nobody POST /register", body("other"), 403, "M_FORBIDDEN", ""},
			{"its own", "nobody POST /register", body(local), 200, "user_id=<guest> access_token:string device_id:string", "token person=access_token"},
			{"a person now", "person GET /account/whoami", ``, 200, "user_id=<guest> is_guest=false", ""},
			{"on the old device too", "guest GET /account/whoami", ``, 200, "user_id=<guest> is_guest=false", ""},
			{"may make rooms", "person POST /createRoom", `{}`, 200, "room_id:roomid", ""},
			{"may log in", "nobody POST /login", `{"type":"m.login.password","identifier":{"type":"m.id.user","user":"<guest>"},"password":"correct horse battery"}`, 200, "access_token:string", ""},
			{"only once", "nobody POST /register", body(local), 403, "M_FORBIDDEN", ""},
		})
	}, withGuests)
}

func TestNoGuests(t *testing.T) {
	each(t, "", func(s *script) {
		s.run([]step{
			{"register", "nobody POST /register?kind=guest", `{}`, 403, "M_GUEST_ACCESS_FORBIDDEN", ""},
			{"an unknown kind", "nobody POST /register?kind=x", `{}`, 400, "M_INVALID_PARAM", ""},
		})
	})
}

// TestGuestsAreMadeToLeave closes rooms to guests, while the server runs and while it does not.
func TestGuestsAreMadeToLeave(t *testing.T) {
	each(t, "alice bob", func(s *script) {
		s.run([]step{{"register", "nobody POST /register?kind=guest", `{}`, 200, "", "token guest=access_token"}})
		open := `{"preset":"public_chat","initial_state":[{"type":"m.room.guest_access","content":{"guest_access":"can_join"}}]}`
		rooms := []string{"one", "two"}
		for _, room := range rooms {
			s.words[room] = s.text("alice POST /createRoom", open, "room_id")
			s.get("guest POST /rooms/<"+room+">/join", `{}`)
			s.get("bob POST /rooms/<"+room+">/join", `{}`)
		}
		since := s.text("guest GET /sync", "", "next_batch")
		s.get("alice PUT /rooms/<one>/state/m.room.guest_access", `{"guest_access":"forbidden"}`)
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- s.Run(ctx) }()
		defer func() {
			stop()
			if err := <-ended; err != nil {
				t.Error(err)
			}
		}()
		await := func(room string) {
			t.Helper()
			for len(s.words[room]) > 0 {
				v := s.get("guest GET /sync?timeout=60000&since="+since, "")
				since = textAt(s.t, v, "next_batch")
				if left := at(v, "rooms/leave/"+s.words[room]); len(left) == 1 {
					s.must(room, left[0], "timeline/events/0:syncevent")
					return
				}
			}
		}
		await("one") // closed before the server ran
		s.get("guest PUT /rooms/<two>/send/m.room.message/1", `{"body":"still here"}`)
		s.get("alice PUT /rooms/<two>/state/m.room.guest_access", `{"guest_access":"forbidden"}`)
		await("two")
		if got := at(s.get("bob GET /rooms/<two>/joined_members", ""), "joined"); len(got) != 1 || len(got[0].(map[string]any)) != 2 {
			s.t.Errorf("joined: %v, want alice and bob", got)
		}
	}, withGuests)
}
