package push

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"testing"

	"causeway/homeserver/event"
	"causeway/homeserver/notify"
	"causeway/homeserver/store"
	"causeway/homeserver/storetest"

	"maunium.net/go/mautrix/id"
)

// hall is one room, with people of this server in it, into which events are put.
type hall struct {
	t     testing.TB
	db    *store.DB
	s     *Service
	key   *event.Key
	room  id.RoomID
	nid   int64
	state int64
	nids  map[id.UserID]int64
	names map[id.UserID]string
	in    map[id.UserID]bool
	n     int64
	last  *event.PDU
}

type object = map[string]any

const creator = id.UserID("@creator:test")

func newHall(t testing.TB, db *store.DB, legacy bool, people ...id.UserID) *hall {
	h := &hall{
		t: t, db: db, s: New(Config{DB: db, Bus: new(notify.Local), LegacyMentions: legacy}), nids: make(map[id.UserID]int64),
		names: make(map[id.UserID]string), in: make(map[id.UserID]bool),
		key: &event.Key{ServerName: "test", KeyID: "ed25519:1", Private: ed25519.NewKeyFromSeed(make([]byte, 32))},
	}
	h.write(func(tx *store.Tx) error {
		for _, user := range append(people, creator) {
			u := &store.User{UserID: user}
			if err := tx.InsertUser(u); err != nil {
				return err
			}
			h.nids[user] = u.NID
		}
		return nil
	})
	h.put("m.room.create", creator, new(string), object{"room_version": "11"})
	h.member(creator, "")
	h.put("m.room.power_levels", creator, new(string), object{"users": object{string(creator): 100}})
	return h
}

func (h *hall) write(fn func(tx *store.Tx) error) {
	h.t.Helper()
	if err := h.db.Write(context.Background(), fn); err != nil {
		h.t.Fatal(err)
	}
}

func (h *hall) member(user id.UserID, name string) *store.PushActions {
	h.t.Helper()
	key := string(user)
	content := object{"membership": "join"}
	if name != "" {
		content["displayname"] = name
	}
	h.names[user], h.in[user] = name, true
	return h.put("m.room.member", user, &key, content)
}

// put stores an event as the room service does and returns its row, or nil when it has none.
func (h *hall) put(eventType string, sender id.UserID, stateKey *string, content any) *store.PushActions {
	h.t.Helper()
	h.write(func(tx *store.Tx) error { return h.putIn(tx, eventType, sender, stateKey, content) })
	return h.row(h.n)
}

func (h *hall) putIn(tx *store.Tx, eventType string, sender id.UserID, stateKey *string, content any) error {
	raw, err := json.Marshal(content)
	if err != nil {
		return err
	}
	version, err := event.LookupVersion("11")
	if err != nil {
		return err
	}
	if h.room == "" {
		h.room = "!hall:test"
		if h.nid, err = tx.InsertRoom(h.room, version, false); err != nil {
			return err
		}
	}
	b := event.Builder{RoomID: h.room, Sender: sender, Type: eventType, StateKey: stateKey, Content: raw, OriginServerTS: h.n + 1, Depth: h.n + 1}
	if h.last != nil {
		b.PrevEvents = []id.EventID{h.last.EventID}
	}
	if h.last, err = b.Build(version, h.key); err != nil {
		return err
	}
	if h.n, err = tx.NextPos(); err != nil {
		return err
	}
	e := &store.Event{PDU: h.last, NID: h.n, RoomNID: h.nid, Pos: h.n, StateBefore: h.state}
	was := ""
	if stateKey != nil {
		at, err := tx.StateNID(eventType, *stateKey)
		if err != nil {
			return err
		}
		if eventType == event.TypeMember {
			if m, err := tx.Membership(h.nid, id.UserID(*stateKey)); err == nil {
				was = m.Membership
			}
		}
		if h.state, err = tx.InsertStateSet(h.nid, h.state, store.StateSet{at: h.n}); err != nil {
			return err
		}
		if err := tx.SetRoomState(h.nid, h.n, h.state); err != nil {
			return err
		}
		if err := tx.SetCurrentState(h.nid, at, h.n); err != nil {
			return err
		}
		if eventType == event.TypeMember {
			if err := tx.SetMembership(store.Membership{RoomNID: h.nid, UserNID: at.Key, Membership: e.Membership(), EventNID: h.n, Pos: h.n}); err != nil {
				return err
			}
		}
	}
	e.StateAfter = h.state
	if err := tx.InsertEvent(e); err != nil {
		return err
	}
	return h.s.Judge(tx, store.Placed{Event: e, RoomBefore: e.StateBefore, RoomAfter: e.StateAfter, Was: was})
}

func (h *hall) row(pos int64) *store.PushActions {
	h.t.Helper()
	var rows []store.PushActions
	err := h.db.View(context.Background(), func(tx *store.Tx) (err error) {
		rows, err = tx.PushActionsAfter(h.nid, pos-1, pos, 1)
		return err
	})
	if err != nil {
		h.t.Fatal(err)
	}
	if len(rows) == 0 {
		return nil
	}
	return &rows[0]
}

func (h *hall) outcome(row *store.PushActions, user id.UserID) store.Outcome {
	if row == nil {
		return 0
	}
	return row.Of(h.nids[user])
}

func (h *hall) put1(user id.UserID, kind Kind, ruleID string, in RuleInput) {
	h.t.Helper()
	if err := h.s.PutRule(context.Background(), user, kind, ruleID, in, "", ""); err != nil {
		h.t.Fatal(err)
	}
}

func raws(all ...string) []json.RawMessage {
	out := make([]json.RawMessage, len(all))
	for i, one := range all {
		out[i] = json.RawMessage(one)
	}
	return out
}

const bob = id.UserID("@bob:test")

// ruleTests are of each default rule and each condition: what an event is to bob, alone in the room with its sender, @creator:test.
var ruleTests = []struct {
	name      string
	eventType string
	state     bool
	content   string
	rule      string // conditions of an override rule of bob's, without their brackets
	want      store.Outcome
	crowd     bool // there are more than two in the room
}{
	{"message in a room of two", "m.room.message", false, `{"body":"x"}`, "", 5, false},
	{"message", "m.room.message", false, `{"body":"x"}`, "", 1, true},
	{"encrypted in a room of two", "m.room.encrypted", false, `{}`, "", 5, false},
	{"encrypted", "m.room.encrypted", false, `{}`, "", 1, true},
	{"call", "m.call.invite", false, `{}`, "", 9, true},
	{"notice", "m.room.message", false, `{"body":"x","msgtype":"m.notice"}`, "", 0, false},
	{"mention", "m.room.message", false, `{"m.mentions":{"user_ids":["@x:test","@bob:test"]}}`, "", 7, true},
	{"mention in any type", "x", false, `{"m.mentions":{"user_ids":["@bob:test"]}}`, "", 7, true},
	{"mention of another", "m.room.message", false, `{"m.mentions":{"user_ids":["@bob:tes"]}}`, "", 1, true},
	{"mention that is none", "m.room.message", false, `{"m.mentions":{"user_ids":"@bob:test"}}`, "", 1, true},
	{"mention in an edit", "m.room.message", false, `{"m.mentions":{"user_ids":["@bob:test"]},"m.relates_to":{"rel_type":"m.replace"}}`, "", 7, true},
	{"name in the text", "m.room.message", false, `{"body":"bob"}`, "", 1, true},
	{"room mention", "m.room.message", false, `{"m.mentions":{"room":true}}`, "", 3, true},
	{"room mention that is none", "m.room.message", false, `{"m.mentions":{"room":"true"}}`, "", 1, true},
	{"tombstone", "m.room.tombstone", true, `{}`, "", 3, true},
	{"tombstone that is none", "m.room.tombstone", false, `{}`, "", 0, true},
	{"reaction", "m.reaction", false, `{}`, "", 0, false},
	{"server ACL", "m.room.server_acl", true, `{"allow":["*"]}`, "", 0, false},
	{"edit", "m.room.message", false, `{"m.relates_to":{"rel_type":"m.replace"}}`, "", 0, false},
	{"topic", "m.room.topic", true, `{"topic":"x"}`, "", 0, false},
	{"poll in a room of two", "org.matrix.msc3381.poll.start", false, `{}`, "", 5, false},
	{"poll", "org.matrix.msc3381.poll.start", false, `{}`, "", 1, true},
	{"end of a poll", "org.matrix.msc3381.poll.end", false, `{}`, "", 1, true},
	{"vote", "org.matrix.msc3381.poll.response", false, `{}`, "", 0, true},

	{"event_match", "x", false, `{"a":"Lunch plans"}`, `{"kind":"event_match","key":"content.a","pattern":"lunc?*"}`, 3, true},
	{"event_match of a part", "x", false, `{"a":"my lunch"}`, `{"kind":"event_match","key":"content.a","pattern":"lunch"}`, 0, true},
	{"event_match of no text", "x", false, `{"a":null}`, `{"kind":"event_match","key":"content.a","pattern":"*"}`, 0, true},
	{"event_match of nothing", "x", false, `{}`, `{"kind":"event_match","key":"content.a","pattern":"*"}`, 0, true},
	{"event_match of the body", "x", false, `{"body":"my lunch"}`, `{"kind":"event_match","key":"content.body","pattern":"lunch"}`, 3, true},
	{"event_match without a pattern", "x", false, `{"a":"b"}`, `{"kind":"event_match","key":"content.a"}`, 0, true},
	{"event_match of the sender", "x", false, `{}`, `{"kind":"event_match","key":"sender","pattern":"@creator:*"}`, 3, true},
	{"event_match of the room", "x", false, `{}`, `{"kind":"event_match","key":"room_id","pattern":"!hall:test"}`, 3, true},
	{"event_match of the state key", "x", true, `{}`, `{"kind":"event_match","key":"state_key","pattern":""}`, 3, true},
	{"event_match of no state key", "x", false, `{}`, `{"kind":"event_match","key":"state_key","pattern":""}`, 0, true},
	{"dots in names", "x", false, `{"a.b":{"c\\d":"e"}}`, `{"kind":"event_match","key":"content.a\\.b.c\\\\d","pattern":"e"}`, 3, true},
	{"other escapes", "x", false, `{"a\\x":"e"}`, `{"kind":"event_match","key":"content.a\\x","pattern":"e"}`, 3, true},
	{"quotes in names", "x", false, `{"a\"":"e"}`, `{"kind":"event_match","key":"content.a\"","pattern":"e"}`, 3, true},
	{"property_is true", "x", false, `{"m.federate":true}`, `{"kind":"event_property_is","key":"content.m\\.federate","value":true}`, 3, true},
	{"property_is of another type", "x", false, `{"m.federate":"true"}`, `{"kind":"event_property_is","key":"content.m\\.federate","value":true}`, 0, true},
	{"property_is an integer", "x", false, `{"a":1}`, `{"kind":"event_property_is","key":"content.a","value":1}`, 3, true},
	{"property_is null", "x", false, `{"a":null}`, `{"kind":"event_property_is","key":"content.a","value":null}`, 3, true},
	{"property_is null of nothing", "x", false, `{}`, `{"kind":"event_property_is","key":"content.a","value":null}`, 0, true},
	{"property_is is exact", "x", false, `{"a":"B"}`, `{"kind":"event_property_is","key":"content.a","value":"b"}`, 0, true},
	{"property_is no object", "x", false, `{"a":{}}`, `{"kind":"event_property_is","key":"content.a","value":{}}`, 0, true},
	{"property_is the type", "x", false, `{}`, `{"kind":"event_property_is","key":"type","value":"x"}`, 3, true},
	{"property_contains", "x", false, `{"a":["b",1]}`, `{"kind":"event_property_contains","key":"content.a","value":1}`, 3, true},
	{"property_contains not", "x", false, `{"a":["b",1]}`, `{"kind":"event_property_contains","key":"content.a","value":"1"}`, 0, true},
	{"property_contains of no list", "x", false, `{"a":"b"}`, `{"kind":"event_property_contains","key":"content.a","value":"b"}`, 0, true},
	{"display name", "x", false, `{"body":"hello BOB the builder!"}`, `{"kind":"contains_display_name"}`, 3, true},
	{"part of a display name", "x", false, `{"body":"hello bob"}`, `{"kind":"contains_display_name"}`, 0, true},
	{"member count", "x", false, `{}`, `{"kind":"room_member_count","is":"2"}`, 3, false},
	{"member count ==", "x", false, `{}`, `{"kind":"room_member_count","is":"==2"}`, 3, false},
	{"member count <", "x", false, `{}`, `{"kind":"room_member_count","is":"<2"}`, 0, false},
	{"member count >=", "x", false, `{}`, `{"kind":"room_member_count","is":">=3"}`, 3, true},
	{"member count of no sense", "x", false, `{}`, `{"kind":"room_member_count","is":"=>2"}`, 0, false},
	{"permission", "x", false, `{}`, `{"kind":"sender_notification_permission","key":"room"}`, 3, true},
	{"two conditions", "x", false, `{"a":"b"}`, `{"kind":"event_match","key":"type","pattern":"x"},{"kind":"event_match","key":"content.a","pattern":"c"}`, 0, true},
	{"unknown condition", "x", false, `{}`, `{"kind":"event_match","key":"type","pattern":"x"},{"kind":"org.example"}`, 0, true},
	{"room version", "x", false, `{}`, `{"kind":"org.matrix.msc3931.room_version_supports","feature":"org.example"}`, 0, true},
	{"no conditions", "x", false, `{}`, ` `, 3, true},
}

func TestRulesAndEvents(t *testing.T) {
	for _, crowd := range []bool{false, true} {
		h := newHall(t, storetest.New(t), false, bob, "@third:test")
		h.member(bob, "Bob the Builder")
		if crowd {
			h.member("@third:test", "")
		}
		for _, test := range ruleTests {
			if test.crowd != crowd {
				continue
			}
			if test.rule != "" {
				h.put1(bob, Override, "r", RuleInput{Actions: raws(`"notify"`, `{"set_tweak":"highlight"}`), Conditions: conditions(t, test.rule)})
			}
			var key *string
			if test.state {
				key = new(string)
			}
			row := h.put(test.eventType, creator, key, json.RawMessage(test.content))
			if got := h.outcome(row, bob); got != test.want {
				t.Errorf("%s: got outcome %d, want %d", test.name, got, test.want)
			}
			if got := h.outcome(row, creator); got != 0 {
				t.Errorf("%s: the sender has outcome %d", test.name, got)
			}
			if test.rule != "" {
				if err := h.s.DeleteRule(context.Background(), bob, Override, "r"); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
}

func conditions(t testing.TB, list string) []json.RawMessage {
	t.Helper()
	var all []json.RawMessage
	if err := json.Unmarshal([]byte(`[`+list+`]`), &all); err != nil {
		t.Fatal(err)
	}
	return all
}

func TestActions(t *testing.T) {
	for _, test := range []struct {
		actions []json.RawMessage
		want    verdict
	}{
		{raws(), verdict{}},
		{raws(`"dont_notify"`), verdict{}},
		{raws(`"coalesce"`), verdict{}},
		{raws(`"notify"`), verdict{outcome: 1}},
		{raws(`"coalesce"`, `"notify"`), verdict{outcome: 1}},
		{raws(`{"set_tweak":"highlight"}`), verdict{}},
		{raws(`"notify"`, `{"set_tweak":"highlight"}`), verdict{outcome: 3}},
		{raws(`"notify"`, `{"set_tweak":"highlight","value":false}`), verdict{outcome: 1, actions: `["notify",{"set_tweak":"highlight","value":false}]`}},
		{raws(`"notify"`, `{"value": "default", "set_tweak":"sound"}`), verdict{outcome: 5}},
		{raws(`"notify"`, `{"set_tweak":"sound","value":"cake.wav"}`), verdict{outcome: 1, actions: `["notify",{"set_tweak":"sound","value":"cake.wav"}]`}},
		{raws(`"notify"`, `{"set_tweak":"x","value":1.5}`), verdict{outcome: 1}},
	} {
		if got := compileActions(test.actions); got != test.want {
			t.Errorf("%s: got %+v, want %+v", test.actions, got, test.want)
		}
	}
}

// TestEveryoneAlone: judging all the people of a room at once comes to what judging each of them alone by a plain reading of their rules
// does, whatever the rules, names and events.
func TestEveryoneAlone(t *testing.T) {
	for _, legacy := range []bool{false, true} {
		t.Run(fmt.Sprintf("legacy %v", legacy), func(t *testing.T) {
			storetest.Each(t, func(t *testing.T, db *store.DB) {
				r := rand.New(rand.NewPCG(7, 7))
				var people []id.UserID
				for i := range 12 {
					people = append(people, id.UserID(fmt.Sprintf("@p%d:test", i)))
				}
				h := newHall(t, db, legacy, people...)
				for step := range 400 {
					h.randomStep(r, people, step)
				}
			})
		})
	}
}

func pick[T any](r *rand.Rand, list ...T) T { return list[r.IntN(len(list))] }

// randomStep changes something, or sends a message and compares.
func (h *hall) randomStep(r *rand.Rand, people []id.UserID, step int) {
	h.t.Helper()
	user := pick(r, people...)
	switch r.IntN(10) {
	case 0:
		h.member(user, pick(r, "", "Anna", "Anna Lena", "p1", "a*b", "Émile"))
	case 1:
		key := string(user)
		if h.in[user] {
			h.put("m.room.member", user, &key, object{"membership": "leave"})
			h.in[user] = false
		}
	case 2, 3:
		h.randomRule(r, user)
	case 4:
		rules, err := h.s.Ruleset(context.Background(), user)
		if err != nil {
			h.t.Fatal(err)
		}
		kind := pick(r, Override, Underride, Content)
		if list := *rules.of(kind); len(list) > 0 {
			rule := pick(r, list...)
			if rule.RuleID == masterRule && r.IntN(4) > 0 {
				return
			}
			if err := h.s.SetEnabled(context.Background(), user, kind, rule.RuleID, r.IntN(2) == 0); err != nil {
				h.t.Fatal(err)
			}
		}
	default:
		h.compare(r, people, step)
	}
}

func (h *hall) randomRule(r *rand.Rand, user id.UserID) {
	h.t.Helper()
	in := RuleInput{Actions: pick(r, raws(), raws(`"notify"`), raws(`"notify"`, `{"set_tweak":"highlight"}`), raws(`"notify"`, `{"set_tweak":"sound","value":"x.wav"}`),
		raws(`"dont_notify"`))}
	kind := pick(r, Override, Content, Room, Sender, Underride)
	ruleID := fmt.Sprint("r", r.IntN(4))
	switch kind {
	case Content:
		pattern := pick(r, "anna", "a*", "b?b", "*le", "É", "lunch time", "p1")
		in.Pattern = &pattern
	case Room:
		ruleID = pick(r, "!hall:test", "!other:test")
	case Sender:
		ruleID = pick(r, "@p1:test", string(creator))
	default:
		for range r.IntN(3) {
			in.Conditions = append(in.Conditions, json.RawMessage(pick(r,
				`{"kind":"event_match","key":"content.body","pattern":"lunch"}`, `{"kind":"event_match","key":"type","pattern":"m.*"}`,
				`{"kind":"event_match","key":"content.msgtype","pattern":"m.text"}`, `{"kind":"event_property_is","key":"content.n","value":1}`,
				`{"kind":"event_property_contains","key":"content.list","value":"a"}`, `{"kind":"contains_display_name"}`,
				`{"kind":"room_member_count","is":">6"}`, `{"kind":"sender_notification_permission","key":"room"}`, `{"kind":"x"}`)))
		}
	}
	h.put1(user, kind, ruleID, in)
}

func (h *hall) compare(r *rand.Rand, people []id.UserID, step int) {
	h.t.Helper()
	sender := creator
	if user := pick(r, people...); h.in[user] && r.IntN(2) == 0 {
		sender = user
	}
	content := object{"msgtype": pick(r, "m.text", "m.text", "m.notice"), "body": pick(r, "hello", "Anna, lunch time?", "p1 and p2", "@room", "bob ÉMILE émile", "a*b", "anna lena"),
		"n": r.IntN(2), "list": pick(r, []any{}, []any{"a", 1})}
	switch r.IntN(5) {
	case 0:
		content["m.mentions"] = object{"user_ids": []string{string(pick(r, people...)), string(pick(r, people...))}}
	case 1:
		content["m.mentions"] = object{"room": true}
	case 2:
		content["m.relates_to"] = object{"rel_type": "m.replace", "event_id": "$x"}
	}
	eventType := pick(r, "m.room.message", "m.room.message", "m.room.message", "m.reaction", "m.room.encrypted", "m.call.invite")
	row := h.put(eventType, sender, nil, content)
	var ev map[string]any
	raw, err := json.Marshal(object{"type": eventType, "sender": sender, "room_id": h.room, "content": content})
	if err != nil {
		h.t.Fatal(err)
	}
	if err := json.Unmarshal(raw, &ev); err != nil {
		h.t.Fatal(err)
	}
	room := refRoom{names: h.names, mayRoom: map[id.UserID]bool{creator: true}}
	for _, is := range h.in {
		if is {
			room.members++
		}
	}
	for user, in := range h.in {
		if !in || user == sender {
			continue
		}
		rules, err := h.s.Ruleset(context.Background(), user)
		if err != nil {
			h.t.Fatal(err)
		}
		want := refJudge(rules, user, ev, room)
		if got := h.outcome(row, user) & (store.Notifies | store.Highlights); got != want {
			h.t.Fatalf("step %d: %s of %s: %s is to %s %d, want %d", step, eventType, sender, raw, user, got, want)
		}
	}
}

// TestUndone: a transaction that comes to nothing leaves nothing in memory of who was in the room or what rules they had.
func TestUndone(t *testing.T) {
	h := newHall(t, storetest.New(t), false, bob)
	h.member(bob, "")
	if got := h.outcome(h.put("m.room.message", creator, nil, object{"body": "x"}), bob); got != 5 {
		t.Fatalf("got %d, want 5", got)
	}
	state, last, n := h.state, h.last, h.n
	err := h.db.Write(context.Background(), func(tx *store.Tx) error {
		h.state, h.last, h.n = state, last, n
		key := string(bob)
		if err := h.putIn(tx, "m.room.member", bob, &key, object{"membership": "leave"}); err != nil {
			return err
		}
		if _, _, err := tx.SetAccountData(bob, 0, AccountDataType, json.RawMessage(`{"global":{"override":[{"rule_id":".m.rule.master","default":true,"enabled":true,"actions":[]}]}}`)); err != nil {
			return err
		}
		if err := h.putIn(tx, "m.room.message", creator, nil, object{"body": "y"}); err != nil {
			return err
		}
		return context.Canceled
	})
	if err == nil {
		t.Fatal("the transaction was to fail")
	}
	h.state, h.last, h.n = state, last, n
	if got := h.outcome(h.put("m.room.message", creator, nil, object{"body": "z"}), bob); got != 5 {
		t.Errorf("got %d, want 5", got)
	}
}

// TestChangedInOneTransaction: rules that change in a transaction hold for what comes after them in it.
func TestChangedInOneTransaction(t *testing.T) {
	h := newHall(t, storetest.New(t), false, bob)
	h.member(bob, "")
	h.put("m.room.message", creator, nil, object{"body": "x"})
	var before, after int64
	h.write(func(tx *store.Tx) error {
		if err := h.putIn(tx, "m.room.message", creator, nil, object{"body": "y"}); err != nil {
			return err
		}
		before = h.n
		muted := `{"global":{"override":[{"rule_id":".m.rule.master","default":true,"enabled":true,"actions":[]}]}}`
		if _, _, err := tx.SetAccountData(bob, 0, AccountDataType, json.RawMessage(muted)); err != nil {
			return err
		}
		err := h.putIn(tx, "m.room.message", creator, nil, object{"body": "z"})
		after = h.n
		return err
	})
	for _, test := range []struct {
		pos  int64
		want store.Outcome
	}{{before, 5}, {after, 0}} {
		if got := h.outcome(h.row(test.pos), bob); got != test.want {
			t.Errorf("at %d: got %d, want %d", test.pos, got, test.want)
		}
	}
	if got := h.outcome(h.put("m.room.message", creator, nil, object{"body": "later"}), bob); got != 0 {
		t.Errorf("later: got %d, want 0", got)
	}
}
