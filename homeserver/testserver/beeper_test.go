package testserver_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"causeway/homeserver/doctor"
	"causeway/homeserver/testserver"
)

const batchSend = "/_matrix/client/unstable/com.beeper.backfill/rooms/<room>/batch_send"

// TestArbitraryMemberChange has a service move its users in rooms by its own token. com.beeper.arbitrary_member_change.
func TestArbitraryMemberChange(t *testing.T) {
	eachWithPuppets(t, "alice bob", func(s *script) {
		for _, name := range []string{"irc_a", "irc_b"} {
			s.get("irc POST /register", `{"type":"m.login.application_service","username":"`+name+`","inhibit_login":true}`)
		}
		s.get("limited POST /register", `{"type":"m.login.application_service","username":"lim_a","inhibit_login":true}`)
		s.words["room"] = s.text("irc POST /createRoom", `{"preset":"private_chat","invite":["@alice:test"]}`, "room_id")
		s.get("alice POST /rooms/<room>/join", ``)
		s.words["hers"] = s.text("alice POST /createRoom", `{"preset":"private_chat","invite":["@ircbot:test"]}`, "room_id")
		s.get("irc POST /rooms/<hers>/join", ``)
		const member = " PUT /rooms/<room>/state/m.room.member/"
		s.run([]step{
			{"a ghost joins a room that one is invited to", "irc" + member + "@irc_a:test?ts=1000", `{"membership":"join","displayname":"A"}`, 200, "event_id:eventid", ""},
			{"it is the ghost's", "alice GET /rooms/<room>/state/m.room.member/@irc_a:test?format=event", ``, 200, "sender=@irc_a:test origin_server_ts=1000 content/displayname=A content/membership=join", ""},
			{"a profile", "irc" + member + "@irc_a:test", `{"membership":"join","displayname":"B"}`, 200, "", ""},
			{"is the ghost's, too", "alice GET /rooms/<room>/state/m.room.member/@irc_a:test?format=event", ``, 200, "sender=@irc_a:test content/displayname=B", ""},
			{"a kick is a kick", "irc" + member + "@irc_a:test", `{"membership":"leave"}`, 200, "", ""},
			{"of the service", "alice GET /rooms/<room>/state/m.room.member/@irc_a:test?format=event", ``, 200, "sender=@ircbot:test content/membership=leave", ""},
			{"where the service may not kick", "irc PUT /rooms/<hers>/state/m.room.member/@irc_b:test", `{"membership":"join"}`, 200, "", ""},
			{"a ghost leaves", "irc PUT /rooms/<hers>/state/m.room.member/@irc_b:test", `{"membership":"leave"}`, 200, "", ""},
			{"by itself", "alice GET /rooms/<hers>/state/m.room.member/@irc_b:test?format=event", ``, 200, "sender=@irc_b:test content/membership=leave", ""},
			{"a person is not joined", "irc" + member + "<bob>", `{"membership":"join"}`, 403, "M_FORBIDDEN", ""},
			{"not even one who is invited", "irc" + member + "<bob>", `{"membership":"invite"}`, 200, "", ""},
			{"as said", "irc" + member + "<bob>", `{"membership":"join"}`, 403, "M_FORBIDDEN", ""},
			{"nor does a person get another name", "irc" + member + "<alice>", `{"membership":"join","displayname":"X"}`, 403, "M_FORBIDDEN", ""},
			{"or leave a room where the service may not kick", "irc PUT /rooms/<hers>/state/m.room.member/<alice>", `{"membership":"leave"}`, 403, "M_FORBIDDEN", ""},
			{"another service's ghost", "irc" + member + "@lim_a:test", `{"membership":"join"}`, 403, "M_FORBIDDEN", ""},
			{"nobody", "irc" + member + "@irc_none:test", `{"membership":"join"}`, 403, "M_FORBIDDEN", ""},
			{"by who is not in the room", "limited" + member + "@lim_a:test", `{"membership":"join"}`, 403, "M_FORBIDDEN", ""},
			{"by a person", "alice" + member + "<bob>", `{"membership":"join"}`, 403, "M_FORBIDDEN", ""},
			{"a ban holds", "irc POST /rooms/<room>/ban", `{"user_id":"@irc_a:test"}`, 200, "{}", ""},
			{"a ban holds here", "irc" + member + "@irc_a:test", `{"membership":"join"}`, 403, "M_FORBIDDEN", ""},
			{"the room goes on", "alice PUT /rooms/<room>/send/m.room.message/1", `{"body":"x"}`, 200, "event_id:eventid", ""},
		})
	})
}

// TestInitialMembers makes rooms with members. com.beeper.room_create_autojoin_invites.
func TestInitialMembers(t *testing.T) {
	eachWithPuppets(t, "alice", func(s *script) {
		var names []string
		for i := range 250 {
			name := fmt.Sprint("irc_", i)
			s.get("irc POST /register", `{"type":"m.login.application_service","username":"`+name+`","inhibit_login":true}`)
			names = append(names, `"@`+name+`:test"`)
		}
		members := strings.Join(append(names, `"@alice:test"`, `"@irc_none:test"`, `"@ircbot:test"`), ",")
		s.run([]step{
			{"members", "irc POST /createRoom", `{"preset":"private_chat","is_direct":true,"com.beeper.initial_members":[` + members + `],"invite":["@irc_0:test","@alice:test"]}`, 200, "room_id:roomid", "room=room_id"},
			{"a ghost", "irc GET /rooms/<room>/state/m.room.member/@irc_7:test?format=event", ``, 200, "content/membership=join sender=@irc_7:test unsigned/prev_content/membership=invite", ""},
			{"a person is invited", "irc GET /rooms/<room>/state/m.room.member/<alice>", ``, 200, "membership=invite is_direct=true", ""},
			{"so is nobody", "irc GET /rooms/<room>/state/m.room.member/@irc_none:test", ``, 200, "membership=invite", ""},
			{"the person is asked", "alice GET /sync", ``, 200, "rooms/invite/<room>:object", ""},
			{"invitations are taken", "irc POST /createRoom?user_id=@irc_1:test", `{"com.beeper.auto_join_invites":true,"invite":["@irc_2:test","@alice:test"]}`, 200, "", "auto=room_id"},
			{"by ghosts", "irc GET /rooms/<auto>/state/m.room.member/@irc_2:test?user_id=@irc_1:test", ``, 200, "membership=join", ""},
			{"not by persons", "irc GET /rooms/<auto>/state/m.room.member/<alice>?user_id=@irc_1:test", ``, 200, "membership=invite", ""},
			{"who may act for all", "puppets POST /createRoom", `{"com.beeper.auto_join_invites":true,"invite":["@alice:test","@irc_2:test"]}`, 200, "", "all=room_id"},
			{"has persons join", "alice GET /rooms/<all>/state/m.room.member/<alice>", ``, 200, "membership=join", ""},
			{"and not what is another's", "alice GET /rooms/<all>/state/m.room.member/@irc_2:test", ``, 200, "membership=invite", ""},
			{"a person makes rooms as ever", "alice POST /createRoom", `{"com.beeper.auto_join_invites":true,"com.beeper.initial_members":["@irc_1:test"],"invite":["@irc_2:test"]}`, 200, "", "plain=room_id"},
			{"whom it invites is invited", "alice GET /rooms/<plain>/state/m.room.member/@irc_2:test", ``, 200, "membership=invite", ""},
			{"and nobody else", "alice GET /rooms/<plain>/state/m.room.member/@irc_1:test", ``, 404, "M_NOT_FOUND", ""},
			{"no user", "irc POST /createRoom", `{"com.beeper.initial_members":["x"]}`, 400, "M_INVALID_PARAM", ""},
			{"too many for a person", "alice POST /createRoom", `{"invite":[` + members + `]}`, 400, "M_LIMIT_EXCEEDED", ""},
		})
		if joined := at(s.get("irc GET /rooms/<room>/joined_members", ""), "joined/*"); len(joined) != len(names)+1 {
			s.t.Errorf("%d are in the room, want %d", len(joined), len(names)+1)
		}
	})
}

// TestVersionsForServices tells services of what they alone can use.
func TestVersionsForServices(t *testing.T) {
	eachWithPuppets(t, "alice", func(s *script) {
		for who, want := range map[string]string{
			"nobody": "", "unknown": "", "alice": "", "irc": "com.beeper.arbitrary_member_change",
			"puppets": "com.beeper.arbitrary_member_change com.beeper.room_create_autojoin_invites",
		} {
			var got []string
			features := at(s.get(who+" GET /_matrix/client/versions", ""), "unstable_features")[0].(map[string]any)
			for flag, on := range features {
				if on == true && strings.HasPrefix(flag, "com.beeper.") && !strings.HasPrefix(flag, "com.beeper.msc") {
					got = append(got, flag)
				}
			}
			slices.Sort(got)
			if strings.Join(got, " ") != want || features["com.beeper.msc4169"] != true {
				s.t.Errorf("%s is told of %q, want %q", who, got, want)
			}
		}
	})
}

// TestBatchOfTransactions brings in what has been said by its transaction id already, and says what was brought in.
func TestBatchOfTransactions(t *testing.T) {
	eachWithPuppets(t, "alice", func(s *script) {
		s.get("irc POST /register", `{"type":"m.login.application_service","username":"irc_a","inhibit_login":true}`)
		s.words["room"] = s.text("irc POST /createRoom", `{"preset":"public_chat"}`, "room_id")
		s.get("irc POST /rooms/<room>/join?user_id=@irc_a:test", ``)
		s.run([]step{
			{"said live", "irc PUT /rooms/<room>/send/m.room.message/t1?user_id=@irc_a:test&ts=3500", `{"msgtype":"m.text","body":"live"}`, 200, "", "live=event_id"},
			{"is known in a batch", "irc POST " + batchSend, `{"forward":true,"events":[{"type":"m.room.message","sender":"@irc_a:test","origin_server_ts":3500,"unsigned":{"transaction_id":"t1"},"content":{"msgtype":"m.text","body":"live"}},{"type":"m.room.message","sender":"@irc_a:test","origin_server_ts":3600,"unsigned":{"transaction_id":"t2"},"content":{"msgtype":"m.text","body":"batch"}}]}`, 200, "event_ids/0=<live>", "batch=event_ids/1"},
			{"and the other way round", "irc PUT /rooms/<room>/send/m.room.message/t2?user_id=@irc_a:test", `{"msgtype":"m.text","body":"batch"}`, 200, "event_id=<batch>", ""},
			{"twice in a batch", "irc POST " + batchSend, `{"forward":true,"events":[{"type":"m.room.message","sender":"@irc_a:test","origin_server_ts":1,"unsigned":{"transaction_id":"t3"},"content":{}},{"type":"m.room.message","sender":"@irc_a:test","origin_server_ts":1,"unsigned":{"transaction_id":"t3"},"content":{}}]}`, 400, "M_INVALID_PARAM", ""},
			{"with a transaction id that is too long", "irc POST " + batchSend, `{"forward":true,"events":[{"type":"m.room.message","sender":"@irc_a:test","origin_server_ts":1,"unsigned":{"transaction_id":"` + strings.Repeat("t", 256) + `"},"content":{}}]}`, 400, "M_INVALID_PARAM", ""},
		})
	})
}

// TestBatchSend brings in what was said elsewhere. com.beeper.batch_sending.
func TestBatchSend(t *testing.T) {
	eachWithPuppets(t, "alice bob", func(s *script) {
		for _, name := range []string{"irc_a", "irc_b"} {
			s.get("irc POST /register", `{"type":"m.login.application_service","username":"`+name+`","inhibit_login":true}`)
		}
		s.words["room"] = s.text("irc POST /createRoom", `{"preset":"private_chat","invite":["@alice:test"]}`, "room_id")
		s.get("alice POST /rooms/<room>/join", ``)
		const events = `"events":[
			{"type":"m.room.message","sender":"@irc_a:test","origin_server_ts":1000,"event_id":"$one:irc","content":{"msgtype":"m.text","body":"one"}},
			{"type":"m.room.message","sender":"@irc_b:test","origin_server_ts":2000,"event_id":"$two:irc","content":{"msgtype":"m.text","body":"two","m.relates_to":{"m.in_reply_to":{"event_id":"$one:irc"}}}},
			{"type":"m.reaction","sender":"@irc_a:test","origin_server_ts":3000,"content":{"m.relates_to":{"rel_type":"m.annotation","event_id":"$two:irc","key":"+"}}}]`
		s.run([]step{
			{"before all", "irc POST " + batchSend, `{` + events + `}`, 400, "M_INVALID_PARAM", ""},
			{"first of all", "irc POST " + batchSend, `{"forward_if_no_messages":true,` + events + `}`, 200, "event_ids/2:eventid", "one=event_ids/0"},
			{"again", "irc POST " + batchSend, `{"forward_if_no_messages":true,` + events + `}`, 200, "event_ids/0=<one> event_ids/1:eventid", "two=event_ids/1"},
			{"and again", "irc POST " + batchSend, `{"forward":true,` + events + `}`, 200, "event_ids/0=<one> event_ids/1=<two>", "three=event_ids/2"},
			{"the time", "alice GET /rooms/<room>/event/<one>", ``, 200, "origin_server_ts=1000 sender=@irc_a:test content/body=one", ""},
			{"the reply", "alice GET /rooms/<room>/event/<two>", ``, 200, "origin_server_ts=2000 content/m.relates_to/m.in_reply_to/event_id=<one>", ""},
			{"the reaction", "alice GET /rooms/<room>/event/<three>", ``, 200, "origin_server_ts=3000 content/m.relates_to/event_id=<two> content/m.relates_to/key=+", ""},
			{"the join", "alice GET /rooms/<room>/state/m.room.member/@irc_b:test?format=event", ``, 200, "sender=@irc_b:test origin_server_ts=2000", ""},
			{"nobody is told", "alice GET /sync", ``, 200, "rooms/join/<room>/unread_notifications/notification_count=0", ""},
			{"others when there are some", "irc POST " + batchSend, `{"forward_if_no_messages":true,"events":[{"type":"m.room.message","sender":"@irc_a:test","origin_server_ts":1,"content":{}}]}`, 400, "M_INVALID_PARAM", ""},
			{"with a notification", "irc POST " + batchSend, `{"forward":true,"send_notification":true,"events":[{"type":"m.room.message","sender":"@irc_a:test","origin_server_ts":4000,"content":{"msgtype":"m.text","body":"four"}}]}`, 200, "", "four=event_ids/0"},
			{"people are told", "alice GET /sync", ``, 200, "rooms/join/<room>/unread_notifications/notification_count=1", ""},
			{"marked read for who is a person", "irc POST " + batchSend, `{"forward":true,"mark_read_by":"<alice>","events":[{"type":"m.room.message","sender":"@irc_a:test","origin_server_ts":5000,"content":{"body":"five"}}]}`, 200, "event_ids/0:eventid", ""},
			{"is not read", "alice GET /sync", ``, 200, "rooms/join/<room>/unread_notifications/notification_count=1", ""},
		})
		one := func(fields string) string {
			return `{"forward":true,"events":[{` + fields + `,"content":{"body":"x"}}]}`
		}
		const typ, ts = `"type":"m.room.message"`, `"origin_server_ts":1`
		s.run([]step{
			{"a person's", "irc POST " + batchSend, one(typ + `,"sender":"<alice>",` + ts), 403, "M_FORBIDDEN", ""},
			{"another server's", "irc POST " + batchSend, one(typ + `,"sender":"@irc_a:elsewhere",` + ts), 403, "M_FORBIDDEN", ""},
			{"nobody's", "irc POST " + batchSend, one(typ + `,"sender":"@irc_none:test",` + ts), 403, "M_FORBIDDEN", ""},
			{"no time", "irc POST " + batchSend, one(typ + `,"sender":"@irc_a:test"`), 400, "M_INVALID_PARAM", ""},
			{"a time before time", "irc POST " + batchSend, one(typ + `,"sender":"@irc_a:test","origin_server_ts":-1`), 400, "M_INVALID_PARAM", ""},
			{"no sender", "irc POST " + batchSend, one(typ + `,` + ts), 400, "M_BAD_JSON", ""},
			{"state", "irc POST " + batchSend, one(`"type":"m.room.name","state_key":"","sender":"@irc_a:test",` + ts), 400, "M_INVALID_PARAM", ""},
			{"a redaction", "irc POST " + batchSend, one(`"type":"m.room.redaction","sender":"@irc_a:test",` + ts), 400, "M_INVALID_PARAM", ""},
			{"of another room", "irc POST " + batchSend, one(typ + `,"room_id":"!x:test","sender":"@irc_a:test",` + ts), 400, "M_INVALID_PARAM", ""},
			{"nothing", "irc POST " + batchSend, `{"forward":true,"events":[]}`, 400, "M_INVALID_PARAM", ""},
			{"by a person", "alice POST " + batchSend, `{"forward":true,` + events + `}`, 403, "M_FORBIDDEN", ""},
			{"by who is not in the room", "limited POST " + batchSend, `{"forward":true,` + events + `}`, 403, "M_FORBIDDEN", ""},
			{"one of two may not be sent", "irc POST " + batchSend, `{"forward":true,"events":[
				{"type":"m.room.message","sender":"@irc_a:test","origin_server_ts":6000,"content":{"body":"lost"}},
				{"type":"m.room.message","sender":"@irc_a:test","origin_server_ts":6001,"content":{"body":"x","x":1.5}}]}`, 400, "errcode:string", ""},
			{"the room goes on", "irc PUT /rooms/<room>/send/m.room.message/after", `{"body":"after"}`, 200, "event_id:eventid", ""},
		})
		if got := s.allSaid("alice"); fmt.Sprint(got) != "[one two four five after]" {
			s.t.Errorf("the room says %q", got)
		}
	})
}

// allSaid returns the texts of a room's messages, oldest first.
func (s *script) allSaid(who string) []string {
	s.t.Helper()
	bodies := said(at(s.get(who+" GET /rooms/<room>/messages?dir=f&limit=1000", ""), "chunk")[0].([]any))
	return bodies
}

// TestLargeBatch sends a batch of several chunks many times at once, while others speak: each event is there once, in order.
func TestLargeBatch(t *testing.T) {
	eachWithPuppets(t, "alice", func(s *script) {
		s.get("irc POST /register", `{"type":"m.login.application_service","username":"irc_a","inhibit_login":true}`)
		s.words["room"] = s.text("irc POST /createRoom", `{"preset":"public_chat"}`, "room_id")
		s.get("alice POST /rooms/<room>/join", ``)
		var events, want []string
		for i := range 250 {
			body := fmt.Sprint("line ", i)
			want = append(want, body)
			events = append(events, fmt.Sprintf(`{"type":"m.room.message","sender":"@irc_a:test","origin_server_ts":%d,"event_id":"$%[1]d","content":{"body":%q,"m.relates_to":{"m.in_reply_to":{"event_id":"$%d"}}}}`, i, body, i-1))
		}
		var sending sync.WaitGroup
		answers := make([]string, 4)
		// One that is refused leaves nothing behind, whatever of others is under way.
		refused := `{"forward":true,"events":[` + events[7] + `,{"type":"a.b","sender":"@irc_a:test","origin_server_ts":1,"content":{"x":1.5}}]}`
		for i := range answers {
			sending.Go(func() {
				if a := s.ask("irc POST "+batchSend, refused); a.Status != 400 {
					t.Errorf("a batch with what is no event: %d %s", a.Status, a.Body)
				}
			})
			sending.Go(func() {
				answers[i] = string(s.ask("irc POST "+batchSend, `{"forward":true,"events":[`+strings.Join(events, ",")+`]}`).Body)
			})
			for k := range 10 {
				for _, request := range []string{"alice PUT /rooms/<room>/send/a.b/%d.%d", "irc PUT /rooms/<room>/state/a.b/%d.%d"} {
					sending.Go(func() {
						if a := s.ask(fmt.Sprintf(request, i, k), `{}`); a.Status != 200 {
							t.Errorf("one who speaks meanwhile: %d %s", a.Status, a.Body)
						}
					})
				}
			}
		}
		sending.Wait()
		if r, err := doctor.Run(t.Context(), s.DB, doctor.Options{ServerName: testserver.Name}); err != nil || !r.Sound() {
			t.Errorf("the database is not sound: %v, %+v", err, r)
		}
		for _, a := range answers[1:] {
			if a != answers[0] {
				s.t.Errorf("the answers are %s and %s", answers[0], a)
			}
		}
		if got := s.allSaid("alice"); !slices.Equal(got, want) {
			s.t.Errorf("the room says %q", got)
		}
		var out struct {
			EventIDs []string `json:"event_ids"`
		}
		if err := json.Unmarshal([]byte(answers[0]), &out); err != nil || len(out.EventIDs) != len(events) {
			s.t.Fatalf("%v: %s", err, answers[0])
		}
		s.words["last"], s.words["before"] = out.EventIDs[200], out.EventIDs[199]
		s.run([]step{{"a reply over chunks", "alice GET /rooms/<room>/event/<last>", ``, 200, "content/m.relates_to/m.in_reply_to/event_id=<before>", ""}})
	})
}

// TestBatchOfAPuppet brings in what a person said elsewhere, and has read there, by a service that may act for the person.
func TestBatchOfAPuppet(t *testing.T) {
	eachWithPuppets(t, "alice bob", func(s *script) {
		s.get("irc POST /register", `{"type":"m.login.application_service","username":"irc_a","inhibit_login":true}`)
		s.words["room"] = s.text("puppets POST /createRoom", `{"preset":"private_chat","invite":["<alice>","<bob>"]}`, "room_id")
		s.get("bob POST /rooms/<room>/join", ``)
		said := func(sender, body string, ts int) string {
			return fmt.Sprintf(`{"type":"m.room.message","sender":%q,"origin_server_ts":%d,"content":{"msgtype":"m.text","body":%q}}`, sender, ts, body)
		}
		const alice, bob = "@alice:test", "@bob:test"
		s.run([]step{
			{"what both said", "puppets POST " + batchSend, `{"forward":true,"send_notification":true,"events":[` + said(alice, "a", 1) + `,` + said(bob, "b", 2) + `,` + said(alice, "a", 1) + `]}`, 200, "event_ids/2:eventid", ""},
			{"the invitation is taken", "bob GET /rooms/<room>/state/m.room.member/<alice>?format=event", ``, 200, "sender=<alice> content/membership=join origin_server_ts=1", ""},
			{"bob has not read the last", "bob GET /sync", ``, 200, "rooms/join/<room>/unread_notifications/notification_count=1", ""},
			{"and reads", "puppets POST " + batchSend, `{"forward":true,"send_notification":true,"mark_read_by":"<bob>","events":[` + said(alice, "c", 3) + `]}`, 200, "", ""},
			{"all", "bob GET /sync", ``, 200, "rooms/join/<room>/unread_notifications/notification_count=0", ""},
			{"not for who is another service's", "puppets POST " + batchSend, `{"forward":true,"events":[` + said("@irc_a:test", "x", 4) + `]}`, 403, "M_EXCLUSIVE", ""},
			{"who is banned", "puppets POST /rooms/<room>/ban", `{"user_id":"<bob>"}`, 200, "{}", ""},
			{"does not come back so", "puppets POST " + batchSend, `{"forward":true,"events":[` + said(bob, "x", 5) + `]}`, 403, "M_FORBIDDEN", ""},
			{"in a room that is none", "puppets POST /_matrix/client/unstable/com.beeper.backfill/rooms/!none:test/batch_send", `{"forward":true,"events":[` + said(bob, "x", 5) + `]}`, 403, "M_FORBIDDEN", ""},
		})
		if got := s.allSaid("alice"); fmt.Sprint(got) != "[a b a c]" {
			s.t.Errorf("the room says %q", got)
		}
		s.run([]step{{"by who is not in the room", "puppets POST " + batchSend + "?user_id=<bob>", `{"forward":true,"events":[` + said(alice, "x", 6) + `]}`, 403, "M_FORBIDDEN", ""}})
	})
}
