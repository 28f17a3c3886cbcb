//go:build goexperiment.jsonv2 || go1.27

package eventauth_test

import (
	"crypto/ed25519"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"maunium.net/go/mautrix/federation/pdu"
	"maunium.net/go/mautrix/id"

	"causeway/homeserver/event"
	"causeway/homeserver/eventauth"
)

const (
	creator    = "@creator:a"
	additional = "@second:b" // an additional creator, where there are some
	anyPrev    = "$0123456789abcdefghijklmnopqrstuvwxyz_-ABCDE"
)

var people = []string{creator, additional, "@admin:a", "@mod:b", "@user:a", "@user:b", "@user:c", "@ODD é:c"}

// world is a room in a state that need not have come about lawfully, and what makes events for it.
type world struct {
	*rand.Rand
	t        *testing.T
	v        *event.RoomVersion
	keys     map[string]*event.Key
	identity *event.Key // of an identity server
	create   *event.PDU
	state    eventauth.StateMap
	tokens   []string // state keys of third-party invites
	theirs   map[*event.PDU]*pdu.PDU
}

func newWorld(t *testing.T, v *event.RoomVersion, seed uint64) *world {
	w := &world{
		Rand: rand.New(rand.NewPCG(seed, 7)), t: t, v: v, keys: make(map[string]*event.Key), state: make(eventauth.StateMap),
		theirs: make(map[*event.PDU]*pdu.PDU),
	}
	for _, server := range []string{"a", "b", "c"} {
		w.keys[server] = newKey(server)
	}
	w.identity = newKey("identity")
	content := map[string]any{"room_version": v.ID}
	if v.CreatorField {
		content["creator"] = creator
		w.sometimes(6, func() { content["creator"] = "@user:a" })
	}
	if v.PrivilegedCreators {
		w.sometimes(2, func() { content["additional_creators"] = []string{additional} })
	}
	w.sometimes(6, func() { content["m.federate"] = w.IntN(2) == 0 })
	w.create = w.build(creator, event.TypeCreate, ptr(""), content, nil, nil)
	w.state[eventauth.StateKey{Type: event.TypeCreate}] = w.create
	w.settle()
	return w
}

func newKey(server string) *event.Key {
	var seed [ed25519.SeedSize]byte
	copy(seed[:], server)
	return &event.Key{ServerName: server, KeyID: "ed25519:1", Private: ed25519.NewKeyFromSeed(seed[:])}
}

func ptr(s string) *string { return &s }

// sometimes calls do once in n times.
func (w *world) sometimes(n int, do func()) {
	if w.IntN(n) == 0 {
		do()
	}
}

func pick[T any](w *world, from ...T) T { return from[w.IntN(len(from))] }

// settle gives the room its state.
func (w *world) settle() {
	for _, user := range people {
		if membership := pick(w, "", "join", "join", "join", "join", "invite", "leave", "ban", "knock"); membership != "" {
			w.put(user, event.TypeMember, user, map[string]any{"membership": membership})
		}
	}
	if w.IntN(8) > 0 {
		rule := pick[any](w, "public", "invite", "knock", "restricted", "knock_restricted", "private", "restricted")
		w.put(creator, event.TypeJoinRules, "", map[string]any{"join_rule": rule})
	}
	w.sometimes(20, func() { w.put(creator, event.TypeJoinRules, "", map[string]any{"join_rule": 5}) })
	if w.IntN(6) > 0 {
		levels := w.put(creator, event.TypePowerLevels, "", w.randomLevels())
		if _, err := levels.PowerLevels(); err != nil {
			delete(w.state, eventauth.StateKey{Type: event.TypePowerLevels}) // that could not have been accepted
		}
	}
	for range w.IntN(3) {
		token := fmt.Sprintf("token%d", w.IntN(3))
		w.tokens = append(w.tokens, token)
		public := strings.TrimRight(encode(w.identity), "=")
		w.put(pick(w, people...), event.TypeThirdPartyInvite, token, pick(w,
			map[string]any{"public_key": public}, map[string]any{"public_keys": []any{map[string]any{"public_key": public}}}, map[string]any{}))
	}
}

func (w *world) put(sender, evType, key string, content map[string]any) *event.PDU {
	p := w.build(sender, evType, &key, content, []id.EventID{anyPrev}, nil)
	w.state[eventauth.StateKey{Type: evType, Key: key}] = p
	return p
}

// build makes an event that the sender's server has signed.
func (w *world) build(sender, evType string, key *string, content map[string]any, prev, auth []id.EventID) *event.PDU {
	w.t.Helper()
	raw, err := json.Marshal(content)
	if err != nil {
		w.t.Fatal(err)
	}
	b := &event.Builder{
		RoomID: "!room:a", Sender: id.UserID(sender), Type: evType, StateKey: key, Content: raw, PrevEvents: prev, AuthEvents: auth,
		Depth: 9, OriginServerTS: 1700000000000 + int64(w.IntN(1000)), ReferenceHashes: make(map[id.EventID]string),
	}
	if w.create != nil {
		b.RoomID = w.create.RoomID
	}
	for _, ref := range append(append([]id.EventID(nil), prev...), auth...) {
		b.ReferenceHashes[ref] = "x"
	}
	if evType == event.TypeRedaction {
		b.Redacts = id.EventID(pick(w, "$x:a", "$x:b", anyPrev))
	}
	p, err := b.Build(w.v, w.keys[event.ServerOf(sender)])
	if err != nil {
		w.t.Fatalf("build %s of %s %s: %v", evType, sender, raw, err)
	}
	return p
}

// level returns something to stand where a level does.
func (w *world) level() any {
	if !w.v.IntegerPowerLevels {
		switch w.IntN(12) {
		case 0:
			return pick[any](w, "50", " +50 ", "0100", "-1")
		case 1:
			return pick[any](w, "x", "", "5 0", "50.5", nil, []int{50}, map[string]int{})
		}
	}
	if w.v.FloatingPowerLevels && w.IntN(12) == 0 {
		return pick[any](w, 50.57, -0.5, 99.999, 1e2+0.5)
	}
	if w.IntN(60) == 0 {
		return pick[any](w, nil, "50", true, false, []int{}, map[string]int{})
	}
	return pick(w, -1, 0, 0, 1, 49, 50, 50, 51, 99, 100, 100, 101, 1<<53-1)
}

func (w *world) randomLevels() map[string]any {
	content := make(map[string]any)
	for _, name := range event.LevelNames {
		w.sometimes(3, func() { content[name] = w.level() })
	}
	for _, name := range []string{"events", "notifications"} {
		w.sometimes(2, func() {
			entries := make(map[string]any)
			for _, key := range []string{"m.room.message", event.TypePowerLevels, "m.room.topic", "room", event.TypeThirdPartyInvite} {
				w.sometimes(3, func() { entries[key] = w.level() })
			}
			content[name] = entries
		})
	}
	w.sometimes(40, func() { content[pick(w, "events", "notifications", "users")] = pick[any](w, nil, []int{}, 5, "x") })
	users := make(map[string]any)
	for _, user := range people {
		if creators := w.v.PrivilegedCreators && (user == creator || user == additional); !creators || w.IntN(40) == 0 {
			w.sometimes(2, func() { users[user] = w.level() })
		}
	}
	w.sometimes(40, func() { users[pick(w, "user", "@user", "", "@a:b_c")] = 0 })
	if _, odd := content["users"]; !odd {
		content["users"] = users
	}
	return content
}

// changedLevels returns the room's levels with a few changes.
func (w *world) changedLevels() map[string]any {
	content := make(map[string]any)
	if now := w.state.Get(eventauth.StateKey{Type: event.TypePowerLevels}); now != nil && w.IntN(5) > 0 {
		if err := json.Unmarshal(now.Content, &content); err != nil {
			w.t.Fatal(err)
		}
	}
	other := w.randomLevels()
	for range 1 + w.IntN(2) {
		name := pick(w, "users", "users", "users", "events", "notifications", pick(w, event.LevelNames[:]...))
		entries, isMap := content[name].(map[string]any)
		others, otherIsMap := other[name].(map[string]any)
		if !isMap || !otherIsMap {
			if value, ok := other[name]; ok {
				content[name] = value
			} else {
				delete(content, name)
			}
			continue
		}
		for _, key := range append([]string{"m.room.message", "m.room.topic", "room"}, people...) {
			if w.IntN(4) > 0 {
				continue
			}
			if value, ok := others[key]; ok {
				entries[key] = value
			} else {
				delete(entries, key)
			}
		}
	}
	return content
}

// candidate makes an event that may or may not be allowed: of any type, by anybody, about anybody.
func (w *world) candidate() *event.PDU {
	sender, target := pick(w, people...), pick(w, people...)
	prev := []id.EventID{anyPrev}
	var p *event.PDU
	switch n := w.IntN(20); {
	case n < 8:
		w.sometimes(2, func() { target = sender })
		p = w.membership(sender, target)
	case n < 13:
		w.sometimes(2, func() { sender = creator })
		p = w.build(sender, event.TypePowerLevels, ptr(""), w.changedLevels(), prev, nil)
	case n < 14:
		p = w.build(sender, event.TypeThirdPartyInvite, ptr("token9"), map[string]any{}, prev, nil)
	case n < 15:
		p = w.build(sender, event.TypeRedaction, nil, map[string]any{}, prev, nil)
	case n < 16:
		p = w.build(sender, event.TypeAliases, pick(w, nil, ptr("a"), ptr("b"), ptr("c")), map[string]any{}, prev, nil)
	case n < 17:
		p = w.creation(sender)
	default:
		evType := pick(w, "m.room.message", "m.room.topic", event.TypeJoinRules, event.TypeHistoryVisibility, "x")
		p = w.build(sender, evType, pick(w, nil, ptr(""), ptr(sender), ptr(target), ptr("other")), map[string]any{}, prev, nil)
	}
	return p
}

// membership makes a membership event of every kind.
func (w *world) membership(sender, target string) *event.PDU {
	content := map[string]any{"membership": pick[any](w, "join", "join", "join", "invite", "invite", "leave", "ban", "knock")}
	w.sometimes(40, func() { content["membership"] = pick[any](w, nil, 5, "x", "Join") })
	w.sometimes(60, func() { delete(content, "membership") })
	via := ""
	w.sometimes(3, func() {
		via = pick(w, people...)
		content["join_authorised_via_users_server"] = via
	})
	w.sometimes(60, func() { content["join_authorised_via_users_server"] = pick[any](w, nil, 5, "nobody") })
	w.sometimes(6, func() { content["third_party_invite"] = w.thirdPartyInvite(target) })
	key := ptr(target)
	w.sometimes(60, func() { key = nil })
	prev := []id.EventID{anyPrev}
	w.sometimes(5, func() { prev = []id.EventID{w.create.EventID} })
	w.sometimes(20, func() { prev = append(prev, w.create.EventID) })
	p := w.build(sender, event.TypeMember, key, content, prev, nil)
	if via != "" && w.IntN(3) > 0 {
		signed, err := p.Sign(w.keys[event.ServerOf(via)])
		if err != nil {
			w.t.Fatal(err)
		}
		p = signed
	}
	return p
}

func (w *world) thirdPartyInvite(target string) any {
	signed := map[string]any{"mxid": target, "token": pick(w, append([]string{"token8"}, w.tokens...)...)}
	w.sometimes(8, func() { delete(signed, pick(w, "mxid", "token")) })
	w.sometimes(8, func() { signed["mxid"] = creator })
	raw, err := json.Marshal(signed)
	if err != nil {
		w.t.Fatal(err)
	}
	key := w.identity
	w.sometimes(4, func() { key = newKey("another identity") })
	if raw, err = event.SignJSON(raw, key); err != nil {
		w.t.Fatal(err)
	}
	if w.IntN(10) == 0 {
		return pick[any](w, nil, map[string]any{}, map[string]any{"signed": 5})
	}
	return map[string]any{"display_name": "x", "signed": json.RawMessage(raw)}
}

// creation makes a create event, of the same room where its ID is given.
func (w *world) creation(sender string) *event.PDU {
	content := map[string]any{"creator": sender}
	w.sometimes(5, func() { delete(content, "creator") })
	w.sometimes(5, func() { content["creator"] = pick[any](w, nil, 5) })
	w.sometimes(2, func() { content["room_version"] = pick[any](w, w.v.ID, w.v.ID, "999", 5) })
	w.sometimes(4, func() {
		content["additional_creators"] = pick[any](w, []any{}, []any{"@x:y"}, []any{"x"}, []any{5}, "@x:y", nil, []any{"@x:y", "@:z"}, []any{"@a:b_c"})
	})
	var prev []id.EventID
	w.sometimes(4, func() { prev = []id.EventID{anyPrev} })
	return w.build(sender, event.TypeCreate, ptr(""), content, prev, nil)
}

// withAuthEvents returns p again with auth events, right ones or not quite.
func (w *world) withAuthEvents(p *event.PDU) (*event.PDU, []*event.PDU) {
	var auth []*event.PDU
	for _, k := range eventauth.NeededBy(p) {
		if e := w.state.Get(k); e != nil && w.IntN(30) > 0 {
			auth = append(auth, e)
		}
	}
	w.sometimes(12, func() {
		if e := w.state.Get(eventauth.StateKey{Type: event.TypeMember, Key: pick(w, people...)}); e != nil {
			auth = append(auth, e)
		}
	})
	w.sometimes(20, func() {
		auth = append(auth, pick(w, w.create, w.build(creator, "m.room.message", nil, map[string]any{}, nil, nil)))
	})
	w.sometimes(20, func() {
		elsewhere := *w
		elsewhere.create = nil
		e := elsewhere.build(string(p.Sender), event.TypeMember, ptr(string(p.Sender)), map[string]any{"membership": "join"}, nil, nil)
		if e.RoomID == p.RoomID {
			e.RoomID = "!elsewhere:a"
		}
		auth = append(auth[:0:0], append([]*event.PDU{e}, auth...)...)
	})
	if len(auth) > event.MaxAuthEvents {
		auth = auth[:event.MaxAuthEvents]
	}
	ids := make([]id.EventID, len(auth))
	for i, e := range auth {
		ids[i] = e.EventID
	}
	var content map[string]any
	if err := json.Unmarshal(p.Content, &content); err != nil {
		w.t.Fatal(err)
	}
	q := w.build(string(p.Sender), p.Type, p.StateKey, content, p.PrevEvents, ids)
	for _, server := range []string{"a", "b", "c"} {
		if len(p.SignatureKeyIDs(server)) > 0 && server != event.ServerOf(p.Sender) {
			signed, err := q.Sign(w.keys[server])
			if err != nil {
				w.t.Fatal(err)
			}
			q = signed
		}
	}
	return q, auth
}
