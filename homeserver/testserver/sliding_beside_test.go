package testserver_test

import (
	"fmt"
	"strings"
	"testing"

	"causeway/homeserver"
)

// slidingBody is the body of a request that goes on from where a user's last answer ended.
func (s *script) slidingBody(user string, timeout int, body string) string {
	head := fmt.Sprintf(`{"timeout":%d,`, timeout)
	if pos := s.words[user+" pos"]; pos != "" {
		head += fmt.Sprintf(`"pos":%q,`, pos)
	}
	return head + strings.TrimPrefix(body, "{")
}

// lostSlide asks for what is new, and does not get the answer.
func (s *script) lostSlide(user, form, body string) any {
	s.t.Helper()
	return s.get(user+" "+form, s.slidingBody(user, 0, body))
}

// slide asks for what is new.
func (s *script) slide(user, form, body string) any {
	s.t.Helper()
	v := s.lostSlide(user, form, body)
	s.words[user+" pos"] = textAt(s.t, v, "pos")
	return v
}

// parkSlide makes a request, and returns once it waits.
func (s *script) parkSlide(bus *waiting, user, form, body string) <-chan []byte {
	s.t.Helper()
	answered := make(chan []byte, 1)
	bus.drain()
	method, path, _ := strings.Cut(form, " ")
	raw := s.fill(s.slidingBody(user, 600_000, body), func(v string) string { return v })
	go func() { answered <- s.Do(method, path, s.tokens[user], raw).Body }()
	<-bus.registered
	return answered
}

// letters returns what the messages in an answer have for n.
func letters(v any) string {
	var got []string
	for _, n := range at(v, "extensions/to_device/events/*/content/n") {
		got = append(got, plain(n))
	}
	return strings.Join(got, " ")
}

// bothForms runs a script by both forms of sliding sync, on both engines.
func bothForms(t *testing.T, names string, test func(s *script, form string), change ...func(*homeserver.Config)) {
	for name, form := range map[string]string{"stable": sliding, "unstable": oldSliding} {
		t.Run(name, func(t *testing.T) {
			each(t, names, func(s *script) { test(s, form) }, change...)
		})
	}
}

// TestSlidingToDevice receives messages in parts. MSC3885.
func TestSlidingToDevice(t *testing.T) {
	bothForms(t, "alice bob", func(s *script, form string) {
		s.devices("alice", "bob")
		ask := func(since string) string {
			if since != "" {
				since = fmt.Sprintf(`"since":%q,`, since)
			}
			return `{"extensions":{"to_device":{` + since + `"enabled":true,"limit":2}}}`
		}
		s.must("nothing", s.slide("bob", form, ask("")), "extensions/to_device/next_batch:string extensions/to_device/events:empty")
		for n := range 5 {
			s.get(fmt.Sprintf("alice PUT /sendToDevice/my.type/%d", n), fmt.Sprintf(`{"messages":{"<bob>":{"<bob device>":{"n":%d}}}}`, n))
		}
		since, before := "", ""
		for _, want := range []string{"0 1", "2 3", "4", ""} {
			for range 2 {
				if got := letters(s.lostSlide("bob", form, ask(since))); got != want {
					s.t.Fatalf("since %q: got %q, want %q", since, got, want)
				}
			}
			v := s.slide("bob", form, ask(since))
			if got := letters(v); got != want {
				s.t.Fatalf("since %q: got %q, want %q", since, got, want)
			}
			if want != "" {
				s.must(want, v, "extensions/to_device/events/*/type=my.type extensions/to_device/events/*/sender="+s.words["alice"])
			}
			if len(at(v, "extensions/to_device/next_batch")) > 0 {
				before, since = since, textAt(s.t, v, "extensions/to_device/next_batch")
			}
		}
		s.must("what was acknowledged is gone", s.lostSlide("bob", form, ask(before)), "extensions/to_device/events/0:absent")
		// Another connection may begin anew with the token, and one that does not ask gets nothing.
		s.get("alice PUT /sendToDevice/my.type/5", `{"messages":{"<bob>":{"*":{"n":5}}}}`)
		s.must("not asked for", s.slide("bob", form, `{"extensions":{"to_device":{"enabled":false}}}`), "extensions/to_device:absent")
		s.words["bob pos"] = ""
		for _, token := range []string{since, "s9999999999"} { // that of a database which was since restored
			if got := letters(s.slide("bob", form, ask(token))); got != "5" {
				s.t.Errorf("since %q: got %q, want 5", token, got)
			}
		}
		for name, x := range map[string]string{"token": `{"enabled":true,"since":"nonsense"}`, "limit": `{"enabled":true,"limit":-1}`} {
			a := s.ask("bob "+form, `{"extensions":{"to_device":`+x+`}}`)
			s.must(name, decode(s.t, a.Body), "M_INVALID_PARAM")
		}
	})
}

// TestSlidingEncryption follows whose devices have changed, and the device's own keys. MSC3884.
func TestSlidingEncryption(t *testing.T) {
	bothForms(t, "alice bob carol", func(s *script, form string) {
		s.devices("alice", "bob", "carol")
		s.words["room"] = s.text("alice POST /createRoom", `{"preset":"public_chat"}`, "room_id")
		s.get("bob POST /rooms/<room>/join", "")
		s.uploadDevice("bob")
		s.get("bob POST /keys/upload", `{"one_time_keys":{"signed_curve25519:A":`+s.signedKey("bob", "a")+`}}`)
		const ask = `{"extensions":{"e2ee":{"enabled":true}}}`
		s.must("the first answer", s.slide("bob", form, ask), `extensions/e2ee/device_one_time_keys_count/signed_curve25519=1
			extensions/e2ee/device_unused_fallback_key_types:empty extensions/e2ee/device_lists:absent`)
		s.must("nothing new", s.slide("bob", form, ask), "extensions/e2ee/device_lists:absent")
		s.get("alice POST /keys/upload", `{"device_keys":`+s.deviceKeys("alice", "1")+`}`)
		s.must("keys, lost", s.lostSlide("bob", form, ask), "extensions/e2ee/device_lists/changed/0="+s.words["alice"])
		s.must("keys", s.slide("bob", form, ask), "extensions/e2ee/device_lists/changed/0="+s.words["alice"]+
			" extensions/e2ee/device_lists/left:empty extensions/e2ee/device_one_time_keys_count/signed_curve25519=1")
		s.must("nothing new", s.slide("bob", form, ask), "extensions/e2ee/device_lists:absent")
		s.get("carol POST /rooms/<room>/join", "")
		s.must("carol comes", s.slide("bob", form, ask), "extensions/e2ee/device_lists/changed/0="+s.words["carol"])
		s.get("carol POST /rooms/<room>/leave", "")
		s.must("carol goes", s.slide("bob", form, ask), "extensions/e2ee/device_lists/left/0="+s.words["carol"])
		s.get("carol POST /keys/upload", `{"device_keys":`+s.deviceKeys("carol", "1")+`}`)
		s.must("none of his business", s.slide("bob", form, ask), "extensions/e2ee/device_lists:absent")
		s.get("alice POST /keys/claim", `{"one_time_keys":{"<bob>":{"<bob device>":"signed_curve25519"}}}`)
		s.must("a claim", s.slide("bob", form, ask), "extensions/e2ee/device_one_time_keys_count/signed_curve25519=0")
	})
}

// slidingReceipts returns what the extension receipts says of <room>, as receiptsOf does.
func (s *script) slidingReceipts(v any) string {
	s.t.Helper()
	var events []any
	for _, e := range at(v, "extensions/receipts/rooms/"+s.words["room"]) {
		s.must("receipts", e, "type=m.receipt content:object")
		events = append(events, e)
	}
	inSync := map[string]any{"rooms": map[string]any{"join": map[string]any{s.words["room"]: map[string]any{"ephemeral": map[string]any{"events": events}}}}}
	return s.receiptsOf(inSync)
}

// TestSlidingReceipts reads receipts. MSC3960.
func TestSlidingReceipts(t *testing.T) {
	bothForms(t, "alice bob carol dave", func(s *script, form string) {
		s.words["room"] = s.text("alice POST /createRoom", `{"preset":"public_chat"}`, "room_id")
		for _, name := range []string{"bob", "carol"} {
			s.get(name+" POST /rooms/<room>/join", "")
		}
		s.get("carol PUT /user/<carol>/account_data/m.ignored_user_list", `{"ignored_users":{"<bob>":{}}}`)
		s.keepSaid("alice", "one", `{"body":"1"}`)
		s.keepSaid("alice", "two", `{"body":"2"}`)
		s.keepSaid("alice", "three", `{"body":"3"}`)
		room := `"room_subscriptions":{"<room>":{"timeline_limit":1,"required_state":{}}},`
		if form == oldSliding {
			room = `"room_subscriptions":{"<room>":{"timeline_limit":1,"required_state":[]}},`
		}
		ask := func(x string) string { return `{` + room + `"extensions":{"receipts":{"enabled":true` + x + `}}}` }
		s.get("bob POST /rooms/<room>/receipt/m.read/<one>", `{}`)
		s.get("bob POST /rooms/<room>/receipt/m.read.private/<two>", `{}`)
		names := []string{"alice", "bob", "carol", "dave"}
		look := func(what, x string, want ...string) {
			s.t.Helper()
			for i, name := range names {
				if got := s.slidingReceipts(s.lostSlide(name, form, ask(x))); got != want[i] {
					s.t.Errorf("%s, lost: %s sees %q, want %q", what, name, got, want[i])
				}
				if got := s.slidingReceipts(s.slide(name, form, ask(x))); got != want[i] {
					s.t.Errorf("%s: %s sees %q, want %q", what, name, got, want[i])
				}
			}
		}
		look("the first answer", "", "one m.read bob", "one m.read bob, two m.read.private bob", "", "")
		look("nothing new", "", "", "", "", "")
		s.get("alice POST /rooms/<room>/receipt/m.read/<two>", `{}`)
		look("alice reads", "", "two m.read alice", "two m.read alice", "two m.read alice", "")
		s.get("alice POST /rooms/<room>/receipt/m.read/<three>", `{}`)
		look("not for lists alone", `,"rooms":[]`, "", "", "", "")
		look("for all that is subscribed", `,"rooms":["*"]`, "three m.read alice", "three m.read alice", "three m.read alice", "")
		look("for the room", `,"rooms":["<room>"]`, "", "", "", "")
		// Who has left hears no more, and who comes back hears all.
		s.get("carol POST /rooms/<room>/leave", "")
		s.get("bob POST /rooms/<room>/receipt/m.read/<two>", `{}`)
		look("carol has left", "", "two m.read bob", "two m.read bob", "", "")
		s.get("carol POST /rooms/<room>/join", "")
		look("carol is back", "", "", "", "three m.read alice", "")
	})
}

// TestSlidingReceiptsOfLists has a room come into a list that the device knew before.
func TestSlidingReceiptsOfLists(t *testing.T) {
	each(t, "alice bob", func(s *script) {
		s.words["room"] = s.text("alice POST /createRoom", `{"preset":"public_chat"}`, "room_id")
		s.get("bob POST /rooms/<room>/join", "")
		s.keepSaid("alice", "one", `{"body":"1"}`)
		s.words["other"] = s.text("alice POST /createRoom", `{}`, "room_id")
		ask := func(last int) string {
			return fmt.Sprintf(`{"lists":{"l":{"timeline_limit":1,"required_state":{},"range":[0,%d]}},"extensions":{"receipts":{"enabled":true,"lists":["l"]},
				"typing":{"enabled":true}}}`, last)
		}
		s.slide("alice", sliding, ask(1))
		s.slide("alice", sliding, ask(0))
		s.get("bob POST /rooms/<room>/receipt/m.read/<one>", `{}`)
		s.get("bob PUT /rooms/<room>/typing/<bob>", `{"typing":true}`)
		s.must("out of view", s.slide("alice", sliding, ask(0)), "extensions/receipts:absent extensions/typing:absent")
		v := s.slide("alice", sliding, ask(1))
		if got := s.slidingReceipts(v); got != "one m.read bob" {
			s.t.Errorf("in view: got %q", got)
		}
		s.must("in view", v, "rooms/<room>:absent extensions/typing/rooms/"+s.words["room"]+"/content/user_ids/0="+s.words["bob"])
		s.must("nothing new", s.slide("alice", sliding, ask(1)), "extensions/receipts:absent extensions/typing:absent")
	})
}

// TestSlidingTyping reads who is typing. MSC3961.
func TestSlidingTyping(t *testing.T) {
	bothForms(t, "alice bob carol dave", func(s *script, form string) {
		s.words["room"] = s.text("alice POST /createRoom", `{"preset":"public_chat"}`, "room_id")
		for _, name := range []string{"bob", "carol"} {
			s.get(name+" POST /rooms/<room>/join", "")
		}
		s.get("carol PUT /user/<carol>/account_data/m.ignored_user_list", `{"ignored_users":{"<bob>":{}}}`)
		room := `"room_subscriptions":{"<room>":{"timeline_limit":1,"required_state":{}}},`
		if form == oldSliding {
			room = `"room_subscriptions":{"<room>":{"timeline_limit":1,"required_state":[]}},`
		}
		names := []string{"alice", "carol", "dave"}
		look := func(what, x string, want ...string) {
			s.t.Helper()
			for i, name := range names {
				got := ""
				for _, e := range at(s.slide(name, form, `{`+room+`"extensions":{"typing":{"enabled":true`+x+`}}}`), "extensions/typing/rooms/"+s.words["room"]) {
					s.must("typing", e, "type=m.typing content/user_ids:array")
					got = "none"
					for _, user := range at(e, "content/user_ids/*") {
						got = s.word(plain(user))
					}
				}
				if got != want[i] {
					s.t.Errorf("%s: %s sees %q, want %q", what, name, got, want[i])
				}
			}
		}
		look("the first answer", "", "", "", "")
		s.get("bob PUT /rooms/<room>/typing/<bob>", `{"typing":true,"timeout":100000}`)
		look("bob types", "", "bob", "none", "")
		look("and goes on", "", "", "", "")
		s.get("bob PUT /rooms/<room>/typing/<bob>", `{"typing":false}`)
		look("ends", "", "none", "none", "")
		s.get("bob PUT /rooms/<room>/typing/<bob>", `{"typing":true,"timeout":100000}`)
		for _, name := range names {
			s.words[name+" pos"] = ""
		}
		look("for who begins", "", "bob", "none", "")
		look("of lists alone", `,"rooms":[]`, "", "", "")
	})
}

// TestSlidingCounts reads how much is unread, which the unstable form tells.
func TestSlidingCounts(t *testing.T) {
	each(t, "alice bob", func(s *script) {
		s.words["room"] = s.text("alice POST /createRoom", `{"preset":"public_chat"}`, "room_id")
		s.get("bob POST /rooms/<room>/join", "")
		s.words["quiet"] = s.text("bob POST /createRoom", `{}`, "room_id")
		const ask = `{"lists":{"l":{"timeline_limit":1,"required_state":[],"ranges":[[0,9]]}}}`
		count := func(notifications, highlights int) string {
			return fmt.Sprintf("rooms/%s/notification_count=%d rooms/%s/highlight_count=%d", s.words["room"], notifications, s.words["room"], highlights)
		}
		s.must("the first answer", s.slide("bob", oldSliding, ask), count(0, 0))
		s.keepSaid("alice", "one", `{"msgtype":"m.text","body":"1"}`)
		s.must("a message", s.slide("bob", oldSliding, ask), count(1, 0))
		s.keepSaid("alice", "two", `{"msgtype":"m.text","body":"2","m.mentions":{"user_ids":["<bob>"]}}`)
		s.must("a mention", s.slide("bob", oldSliding, ask), count(2, 1))
		s.must("nothing", s.slide("bob", oldSliding, ask), "rooms/*:absent")
		s.get("bob POST /rooms/<room>/receipt/m.read.private/<one>", `{}`)
		s.must("read elsewhere, lost", s.lostSlide("bob", oldSliding, ask), count(1, 1)+" rooms/"+s.words["quiet"]+":absent")
		s.must("read elsewhere", s.slide("bob", oldSliding, ask), count(1, 1)+" rooms/"+s.words["room"]+"/timeline:absent rooms/"+s.words["room"]+"/initial:absent")
		s.must("told", s.slide("bob", oldSliding, ask), "rooms/*:absent")
		s.get("bob POST /rooms/<room>/receipt/m.read/<two>", `{}`)
		s.must("read", s.slide("bob", oldSliding, strings.Replace(ask, "9", "8", 1)), count(0, 0)) // another request
		s.must("told", s.slide("bob", oldSliding, ask), "rooms/*:absent")
		s.get("alice POST /rooms/<room>/receipt/m.read/<two>", `{}`)
		s.must("another reads", s.slide("bob", oldSliding, ask), "rooms/*:absent")
	})
}

// TestSlidingWakesBeside parks a request, which each kind of news beside events must end.
func TestSlidingWakesBeside(t *testing.T) {
	bus := newWaiting()
	bothForms(t, "alice bob", func(s *script, form string) {
		s.devices("alice", "bob")
		s.words["room"] = s.text("alice POST /createRoom", `{"preset":"public_chat"}`, "room_id")
		s.get("bob POST /rooms/<room>/join", "")
		s.keepSaid("alice", "one", `{"body":"1"}`)
		s.keepSaid("alice", "two", `{"body":"2"}`)
		s.uploadDevice("bob")
		s.get("bob POST /keys/upload", `{"one_time_keys":{"signed_curve25519:A":`+s.signedKey("bob", "a")+`}}`)
		room, alice, bob := s.words["room"], s.words["alice"], s.words["bob"]
		rows := []struct{ name, request, body, want string }{
			{"a message", "alice PUT /sendToDevice/t/1", `{"messages":{"<bob>":{"*":{"n":1}}}}`, "extensions/to_device/events/0/content/n=1"},
			{"typing", "alice PUT /rooms/<room>/typing/<alice>", `{"typing":true}`, "extensions/typing/rooms/" + room + "/content/user_ids/0=" + alice},
			{"its end", "alice PUT /rooms/<room>/typing/<alice>", `{"typing":false}`, "extensions/typing/rooms/" + room + "/content/user_ids:empty"},
			{"a receipt", "alice POST /rooms/<room>/receipt/m.read/<two>", `{}`, "extensions/receipts/rooms/" + room + "/content/*/m.read/" + alice + ":object"},
			{"one's own", "bob POST /rooms/<room>/receipt/m.read.private/<two>", `{}`, "extensions/receipts/rooms/" + room + "/content/*/m.read.private/" + bob + ":object"},
			{"a claim", "alice POST /keys/claim", `{"one_time_keys":{"<bob>":{"<bob device>":"signed_curve25519"}}}`, "extensions/e2ee/device_one_time_keys_count/signed_curve25519=0"},
			{"keys", "alice POST /keys/upload", `{"device_keys":` + s.deviceKeys("alice", "1") + `}`, "extensions/e2ee/device_lists/changed/0=" + alice},
			{"a sign out", "alice POST /logout", "", "extensions/e2ee/device_lists/changed/0=" + alice},
		}
		rule := `"timeline_limit":1,"required_state":{}`
		if form == oldSliding {
			rule = `"timeline_limit":1,"required_state":[],"ranges":[[0,9]]`
		}
		ask := `{"lists":{"l":{` + rule + `}},"extensions":{"to_device":{"enabled":true<since>},"e2ee":{"enabled":true},"receipts":{"enabled":true},"typing":{"enabled":true}}}`
		s.words["since"] = ""
		next := func(v any) {
			if token := at(v, "extensions/to_device/next_batch"); len(token) > 0 {
				s.words["since"] = fmt.Sprintf(`,"since":%q`, plain(token[0]))
			}
			s.words["bob pos"] = textAt(s.t, v, "pos")
		}
		next(s.slide("bob", form, ask))
		next(s.slide("bob", form, ask))
		for _, row := range rows {
			answered := s.parkSlide(bus, "bob", form, ask)
			s.get(row.request, row.body)
			v := decode(s.t, <-answered)
			s.must(row.name, v, row.want)
			next(v)
		}
	}, bus.use)
}

// TestSlidingWakesForCounts has what the user reads elsewhere end a wait of a client that asks for no receipts.
func TestSlidingWakesForCounts(t *testing.T) {
	bus := newWaiting()
	each(t, "alice bob", func(s *script) {
		s.words["room"] = s.text("alice POST /createRoom", `{"preset":"public_chat"}`, "room_id")
		s.get("bob POST /rooms/<room>/join", "")
		s.keepSaid("alice", "one", `{"msgtype":"m.text","body":"1"}`)
		const ask = `{"lists":{"l":{"timeline_limit":1,"required_state":[],"ranges":[[0,9]]}}}`
		s.slide("bob", oldSliding, ask)
		answered := s.parkSlide(bus, "bob", oldSliding, ask)
		s.get("alice POST /rooms/<room>/receipt/m.read/<one>", `{}`) // nothing to him
		s.get("bob POST /rooms/<room>/receipt/m.read/<one>", `{}`)
		s.must("read", decode(s.t, <-answered), "rooms/"+s.words["room"]+"/notification_count=0")
	}, bus.use)
}

// TestSlidingPresence has who uses sliding sync be there, unless they say otherwise.
func TestSlidingPresence(t *testing.T) {
	bothForms(t, "alice bob", func(s *script, form string) {
		const status = "alice GET /presence/<alice>/status"
		s.slide("alice", form, `{"set_presence":"offline"}`)
		s.must("offline", s.get(status, ""), "presence=offline")
		s.slide("alice", form, `{"set_presence":"unavailable"}`)
		s.must("unavailable", s.get(status, ""), "presence=unavailable")
		s.slide("alice", form, `{"lists":{}}`)
		s.must("online", s.get(status, ""), "presence=online")
	})
}

// TestSlidingUnwantedInvitations keeps invitations from who does not want them.
func TestSlidingUnwantedInvitations(t *testing.T) {
	each(t, "alice bob", func(s *script) {
		s.words["room"] = s.text("alice POST /createRoom", `{"invite":["<bob>"]}`, "room_id")
		const ask = `{"lists":{"l":{"timeline_limit":1,"required_state":{}}}}`
		s.must("wanted", s.slide("bob", sliding, ask), "lists/l/count=1 rooms/"+s.words["room"]+"/stripped_state:array")
		s.get("bob PUT /user/<bob>/account_data/m.invite_permission_config", `{"default_action":"block"}`)
		s.must("unwanted", s.slide("bob", sliding, ask), "lists/l/count=0")
		s.words["bob pos"] = ""
		s.must("for who begins", s.slide("bob", sliding, ask), "lists/l/count=0 rooms/*:absent")
		s.must("by its id", s.slide("bob", sliding, `{"room_subscriptions":{"<room>":{"timeline_limit":1,"required_state":{}}}}`), "rooms/*:absent")
	})
}
