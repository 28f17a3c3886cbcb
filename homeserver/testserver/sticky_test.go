package testserver_test

import (
	"fmt"
	"testing"

	"causeway/homeserver"
	"causeway/homeserver/store"
)

// TestStickyEvents sends sticky events (MSC4354) and looks who is told of them.
func TestStickyEvents(t *testing.T) {
	each(t, "alice bob carol dave", func(s *script) {
		s.words["room"] = s.text("alice POST /createRoom", `{"preset":"public_chat","initial_state":[{"type":"m.room.history_visibility","state_key":"","content":{"history_visibility":"joined"}}]}`, "room_id")
		s.get("dave POST /rooms/<room>/join", `{}`)
		s.run(stickySteps)
		n := 0
		err := s.DB.Write(t.Context(), func(tx *store.Tx) error {
			if _, err := tx.Exec(`UPDATE sticky_events SET expires_ts = 1`); err != nil {
				return err
			}
			_, err := tx.Row(`SELECT COUNT(*) FROM sticky_events`, nil, &n)
			return err
		})
		if err != nil || n != 3 {
			t.Errorf("%d sticky events (%v), want 3", n, err)
		}
		s.run(unstuckSteps)
		if err := s.DB.Write(t.Context(), func(tx *store.Tx) error { return tx.PruneSticky(2) }); err != nil {
			t.Error(err)
		}
	}, func(c *homeserver.Config) { c.StickyEvents = true })
}

const none = `&filter={"room":{"timeline":{"limit":1}}}`

var stickySteps = []step{
	{"the flag", "nobody GET /_matrix/client/versions", ``, 200, "unstable_features/org.matrix.msc4354=true", ""},
	{"before", "dave GET /sync?timeout=0", ``, 200, "rooms/join/<room>/msc4354_sticky:absent", "since=next_batch"},
	{"send", "alice PUT /rooms/<room>/send/m.rtc.member/1?org.matrix.msc4354.sticky_duration_ms=600000", `{"in":1}`, 200, "event_id:eventid", "event=event_id"},
	{"too long", "alice PUT /rooms/<room>/send/m.rtc.member/2?org.matrix.msc4354.sticky_duration_ms=3600001", `{}`, 400, "M_INVALID_PARAM", ""},
	{"below zero", "alice PUT /rooms/<room>/send/m.rtc.member/2?org.matrix.msc4354.sticky_duration_ms=-1", `{}`, 400, "M_INVALID_PARAM", ""},
	{"nonsense", "alice PUT /rooms/<room>/state/a.b/?org.matrix.msc4354.sticky_duration_ms=x", `{}`, 400, "M_INVALID_PARAM", ""},
	{"not at all", "alice PUT /rooms/<room>/send/m.rtc.member/3?org.matrix.msc4354.sticky_duration_ms=0", `{}`, 200, "event_id:eventid", ""},
	{"the event", "alice GET /rooms/<room>/event/<event>", ``, 200, "msc4354_sticky/duration_ms=600000 unsigned/msc4354_sticky_duration_ttl_ms:integer content/in=1", ""},
	{"state", "alice PUT /rooms/<room>/state/a.b/?org.matrix.msc4354.sticky_duration_ms=600000", `{"s":1}`, 200, "event_id:eventid", "state=event_id"},
	{"in the timeline", "dave GET /sync?timeout=0&since=<since>", ``, 200, "rooms/join/<room>/timeline/events/0/msc4354_sticky/duration_ms=600000 rooms/join/<room>/timeline/events/0/unsigned/msc4354_sticky_duration_ttl_ms:integer rooms/join/<room>/msc4354_sticky:absent", ""},
	{"beside the timeline", "dave GET /sync?timeout=0&since=<since>" + none, ``, 200, "rooms/join/<room>/timeline/events/0/event_id=<state> rooms/join/<room>/timeline/limited=true rooms/join/<room>/msc4354_sticky/events/0/event_id=<event> rooms/join/<room>/msc4354_sticky/events/0/unsigned/msc4354_sticky_duration_ttl_ms:integer rooms/join/<room>/msc4354_sticky/events/1:absent", "next=next_batch"},
	{"once", "dave GET /sync?timeout=0&since=<next>" + none, ``, 200, "rooms:absent", ""},
	{"who is not in the room", "bob GET /sync?timeout=0" + none, ``, 200, "rooms:absent", ""},
	{"join", "bob POST /rooms/<room>/join", `{}`, 200, "room_id=<room>", ""},
	{"who comes later, whatever the history visibility", "bob GET /sync?timeout=0" + none, ``, 200, "rooms/join/<room>/msc4354_sticky/events/0/event_id=<event> rooms/join/<room>/msc4354_sticky/events/1/event_id=<state> rooms/join/<room>/msc4354_sticky/events/2:absent", ""},
	{"but not in the history", "bob GET /rooms/<room>/event/<event>", ``, 404, "M_NOT_FOUND", ""},
	{"ignore", "bob PUT /user/<bob>/account_data/m.ignored_user_list", `{"ignored_users":{"<alice>":{}}}`, 200, "{}", ""},
	{"none of an ignored user", "bob GET /sync?timeout=0" + none, ``, 200, "rooms/join/<room>:object rooms/join/<room>/msc4354_sticky:absent", ""},
	{"another", "alice PUT /rooms/<room>/send/m.rtc.member/4?org.matrix.msc4354.sticky_duration_ms=600000", `{"in":2}`, 200, "event_id:eventid", "gone=event_id"},
	{"redact", "alice PUT /rooms/<room>/redact/<gone>/5", `{}`, 200, "event_id:eventid", ""},
	{"it is not sticky", "alice GET /rooms/<room>/event/<gone>", ``, 200, "msc4354_sticky:absent unsigned/msc4354_sticky_duration_ttl_ms:absent", ""},
	{"delayed", "alice PUT /rooms/<room>/send/m.rtc.member/6?org.matrix.msc4140.delay=60000&org.matrix.msc4354.sticky_duration_ms=600000", `{"in":3}`, 200, "delay_id:string", "delay=delay_id"},
	{"and sent", "nobody POST " + msc4140 + "/delayed_events/<delay>/send", `{}`, 200, "{}", ""},
	{"it is sticky", "alice GET " + msc4140 + "/delayed_events/<delay>", ``, 200, "finalised/event_id:eventid", "late=finalised/event_id"},
	{"it is", "alice GET /rooms/<room>/event/<late>", ``, 200, "msc4354_sticky/duration_ms=600000", ""},
}

var unstuckSteps = []step{
	{"join", "carol POST /rooms/<room>/join", `{}`, 200, "room_id=<room>", ""},
	{"when they have run out", "carol GET /sync?timeout=0" + none, ``, 200, "rooms/join/<room>:object rooms/join/<room>/msc4354_sticky:absent", ""},
}

// TestSlidingStickyEvents has sliding sync tell of sticky events beside timelines (MSC4480).
func TestSlidingStickyEvents(t *testing.T) {
	on := func(c *homeserver.Config) { c.StickyEvents = true }
	bothForms(t, "alice bob carol", func(s *script, form string) {
		s.words["room"] = s.text("alice POST /createRoom", `{"preset":"public_chat","initial_state":[{"type":"m.room.history_visibility","state_key":"","content":{"history_visibility":"joined"}}]}`, "room_id")
		for n, word := range []string{"first", "second"} {
			s.words[word] = s.text(fmt.Sprint("alice PUT /rooms/<room>/send/m.rtc.member/", n, "?org.matrix.msc4354.sticky_duration_ms=600000"), `{"in":1}`, "event_id")
		}
		rule, x, events := `"timeline_limit":1,"required_state":{}`, "extensions/"+stickyExtension, "/rooms/<room>/events"
		if form == oldSliding {
			rule = `"timeline_limit":1,"required_state":[],"ranges":[[0,9]]`
		}
		ask := func(more string) string {
			return `{"lists":{"l":{` + rule + `}},"extensions":{"` + stickyExtension + `":{"enabled":true` + more + `}}}`
		}
		s.get("bob POST /rooms/<room>/join", `{}`)
		s.must("not asked for", s.slide("bob", form, `{"lists":{"l":{`+rule+`}}}`), x+":absent")
		s.words["bob pos"] = ""
		v := s.slide("bob", form, ask(`,"limit":1`))
		s.must("who comes later", v, x+"/next_batch:string "+s.fill(x+events+"/0/event_id=<first> "+x+events+"/0/sender=<alice> "+x+events+
			"/0/type=m.rtc.member "+x+events+"/0/content/in=1 "+x+events+"/0/origin_server_ts:integer "+x+events+"/0/msc4354_sticky/duration_ms=600000 "+
			x+events+"/0/unsigned/msc4354_sticky_duration_ttl_ms:integer "+x+events+"/1:absent", plainText))
		since := fmt.Sprintf(`,"since":%q`, textAt(s.t, v, x+"/next_batch"))
		for range 2 {
			v = s.lostSlide("bob", form, ask(since))
			s.must("the rest", v, s.fill(x+events+"/0/event_id=<second> "+x+events+"/1:absent", plainText))
		}
		since = fmt.Sprintf(`,"since":%q`, textAt(s.t, v, x+"/next_batch"))
		s.must("nothing more", s.slide("bob", form, ask(since)), x+":absent")
		s.must("a stranger", s.slide("carol", form, ask("")), x+":absent")
		for name, wrong := range map[string]string{"since": `,"since":"nonsense"`, "type": `,"since":1`, "limit": `,"limit":0`} {
			s.must(name, decode(s.t, s.ask("bob "+form, ask(wrong)).Body), "M_INVALID_PARAM")
		}
	}, on)
}

const stickyExtension = "org.matrix.msc4354.sticky_events"

// Without the switch nothing is sticky.
func TestStickyOff(t *testing.T) {
	each(t, "alice", func(s *script) {
		s.words["room"] = s.text("alice POST /createRoom", `{}`, "room_id")
		s.run([]step{
			{"no flag", "nobody GET /_matrix/client/versions", ``, 200, "unstable_features/org.matrix.msc4354:absent", ""},
			{"send", "alice PUT /rooms/<room>/send/m.rtc.member/1?org.matrix.msc4354.sticky_duration_ms=600000", `{}`, 200, "event_id:eventid", "event=event_id"},
			{"the event", "alice GET /rooms/<room>/event/<event>", ``, 200, "msc4354_sticky:absent", ""},
			{"sliding sync", "alice POST " + "/_matrix/client/v4/sync", `{"extensions":{"` + stickyExtension + `":{"enabled":true,"since":"x"}}}`, 200,
				"extensions/" + stickyExtension + ":absent", ""},
		})
	})
}
