package testserver_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// TestTwoUsersConverse does what two browser clients do from the first request to the last, in their order.
func TestTwoUsersConverse(t *testing.T) {
	each(t, "", func(s *script) {
		s.run(startSteps("alice", "Alice"))
		s.run(startSteps("bob", "Bob"))
		s.since("alice", lazily)
		s.since("bob", lazily)

		// Alice opens a direct chat.
		s.words["room"] = s.text("alice POST /createRoom", `{"preset":"trusted_private_chat","visibility":"private","is_direct":true,
			"invite":["@bob:test"],"initial_state":[{"type":"m.room.guest_access","state_key":"","content":{"guest_access":"can_join"}}]}`, "room_id")
		s.get("alice PUT /user/<alice>/account_data/m.direct", `{"@bob:test":["<room>"]}`)
		mine := s.since("alice", lazily)
		s.must("alice's new room", s.inRoom(mine, "join"), "timeline/events/0/type=m.room.create summary/m.invited_member_count=1 summary/m.heroes/0=@bob:test")
		s.must("her note of it", mine, "account_data/events/0/type=m.direct account_data/events/0/content/@bob:test/0="+s.words["room"])

		// Bob sees who invites him, and goes in.
		s.must("the invitation", s.inRoom(s.since("bob", lazily), "invite"), "invite_state/events/*:stripped")
		s.get("bob POST /join/<room>?server_name=test", `{}`)
		s.get("bob PUT /user/<bob>/account_data/m.direct", `{"@alice:test":["<room>"]}`)
		s.must("bob's new room", s.inRoom(s.since("bob", lazily), "join"), "summary/m.joined_member_count=2 summary/m.heroes/0=@alice:test timeline/events/*:syncevent")
		s.must("bob came", s.inRoom(s.since("alice", lazily), "join"), "timeline/events/0/type=m.room.member timeline/events/0/content/displayname=Bob timeline/events/0/unsigned/prev_content/membership=invite")

		s.talk()
		s.edit()

		// Bob scrolls up to the beginning, by pages of a screen.
		var all []string
		for from := ""; ; {
			page := s.get("bob GET /rooms/<room>/messages?dir=b&limit=5&filter={%22lazy_load_members%22:true}"+from, "")
			all = append(all, said(at(page, "chunk/*"))...)
			if len(at(page, "end")) == 0 {
				break
			}
			from = "&from=" + textAt(s.t, page, "end")
		}
		if got, want := strings.Join(reversed(all), " "), "0 1 2 3 4 5 6 7 8 9 10 11 * better"; got != want {
			s.t.Errorf("scrolled: got %q, want %q", got, want)
		}

		// They part. Bob cannot hear what is said then.
		s.get("bob POST /rooms/<room>/leave", `{}`)
		s.get("bob POST /rooms/<room>/forget", ``)
		s.get("alice PUT /rooms/<room>/send/m.room.message/last", `{"msgtype":"m.text","body":"alone"}`)
		s.must("bob is out", s.since("bob", lazily), "rooms/join:absent")
		s.must("alice sees it", s.inRoom(s.since("alice", lazily), "join"), "timeline/events/0/content/membership=leave timeline/events/1/content/body=alone summary/m.joined_member_count=1")
		s.get("bob POST /logout", "")
		s.must("the token is gone", decode(s.t, s.ask("bob GET /sync", "").Body), "M_UNKNOWN_TOKEN")
	})
}

const lazily = "filter=<filter>&timeout=0&use_state_after=false"

// startSteps are what a client does before its first sync. The filter, which is the same for both users, is kept as <filter>.
func startSteps(name, displayName string) []step {
	const flow = `"auth":{"type":"m.login.dummy"}`
	login := fmt.Sprintf(`{"type":"m.login.password","identifier":{"type":"m.id.user","user":%q},"password":"correct horse battery","device_id":"BROWSER","initial_device_display_name":"Browser"}`, name)
	return []step{
		{"well-known", "nobody GET /.well-known/matrix/client", ``, 200, "m.homeserver/base_url=http://test", ""},
		{"versions", "nobody GET /_matrix/client/versions", ``, 200, "versions/*:string", ""},
		{"flows", "nobody GET /login", ``, 200, "flows/0/type=m.login.password", ""},
		{"available", "nobody GET /register/available?username=" + name, ``, 200, "available=true", ""},
		{"register", "nobody POST /register", fmt.Sprintf(`{"username":%q,"password":"correct horse battery","inhibit_login":true,%s}`, name, flow), 200, "user_id:userid", name + "=user_id"},
		{"login", "nobody POST /login", login, 200, "user_id:userid access_token:string device_id=BROWSER", "token " + name + "=access_token"},
		{"whoami", name + " GET /account/whoami", ``, 200, "user_id:userid device_id=BROWSER", ""},
		{"capabilities", name + " GET /capabilities", ``, 200, "capabilities/m.room_versions/default:string capabilities/m.change_password/enabled:bool", ""},
		{"push rules", name + " GET /pushrules/", ``, 200, "global/override:array global/underride:array", ""},
		{"name", name + " PUT /profile/<" + name + ">/displayname", fmt.Sprintf(`{"displayname":%q}`, displayName), 200, "{}", ""},
		{"filter", name + " POST /user/<" + name + ">/filter", `{"room":{"state":{"lazy_load_members":true},"timeline":{"limit":20}}}`, 200, "filter_id:string", "filter=filter_id"},
	}
}

// talk has the two send by turns, each seeing the other's words as soon as they are said and their own come back by their
// transaction id.
func (s *script) talk() {
	s.t.Helper()
	names := []string{"alice", "bob"}
	s.since("bob", lazily)
	for n := range 12 {
		speaker, hearer := names[n%2], names[(n+1)%2]
		txn := fmt.Sprintf("m%d.%d", 1700000000000+n, n)
		s.words["said"] = s.text(speaker+" PUT /rooms/<room>/send/m.room.message/"+txn, fmt.Sprintf(`{"msgtype":"m.text","body":"%d"}`, n), "event_id")
		s.must("heard", s.inRoom(s.since(hearer, lazily), "join"),
			fmt.Sprintf("timeline/events/0/content/body=%d timeline/events/0/event_id=%s timeline/events/0/unsigned/transaction_id:absent timeline/events/1:absent", n, s.words["said"]))
		s.must("echo", s.inRoom(s.since(speaker, lazily), "join"), "timeline/events/0/event_id="+s.words["said"]+" timeline/events/0/unsigned/transaction_id="+txn)
	}
}

// edit replaces the last message, reacts to it, takes the reaction back and names the room.
func (s *script) edit() {
	s.t.Helper()
	s.get("bob PUT /rooms/<room>/send/m.room.message/edit", `{"msgtype":"m.text","body":"* better","m.new_content":{"msgtype":"m.text","body":"better"},
		"m.relates_to":{"rel_type":"m.replace","event_id":"<said>"}}`)
	s.words["reaction"] = s.text("alice PUT /rooms/<room>/send/m.reaction/react", `{"m.relates_to":{"rel_type":"m.annotation","event_id":"<said>","key":"👍"}}`, "event_id")
	s.get("alice PUT /rooms/<room>/redact/<reaction>/unreact", `{}`)
	s.get("bob PUT /rooms/<room>/state/m.room.name/", `{"name":"Tea"}`)
	room := s.inRoom(s.since("alice", lazily), "join")
	if got, want := types(at(room, "timeline/events/*")), []string{"m.room.message", "m.reaction", "m.room.redaction", "m.room.name"}; !slices.Equal(got, want) {
		s.t.Errorf("got %q, want %q", got, want)
	}
	s.must("the edit", room, "timeline/events/0/content/m.relates_to/event_id="+s.words["said"]+" timeline/events/1/content/m.relates_to:absent timeline/events/1/unsigned/redacted_because:object")
}
