package room

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"testing"

	"causeway/homeserver/event"
	"causeway/homeserver/eventauth"
	"causeway/homeserver/sqldb"
	"causeway/homeserver/store"
	"causeway/homeserver/storetest"

	"maunium.net/go/mautrix/id"
)

// elsewhere is what other servers have of a room: their keys, and the events that they made. It answers what a Fetcher is asked.
type elsewhere struct {
	t      *testing.T
	s      *Service
	roomID id.RoomID
	made   map[id.EventID]*event.PDU
	states map[id.EventID]eventauth.StateMap // before each
	clock  int64

	asked []string // what was fetched, by method
}

// dave and erin have accounts on servers of their own.
const (
	dave = id.UserID("@dave:remote")
	erin = id.UserID("@erin:other")
)

func newElsewhere(t *testing.T, s *Service, roomID id.RoomID) *elsewhere {
	w := &elsewhere{
		t: t, s: s, roomID: roomID, made: make(map[id.EventID]*event.PDU),
		states: make(map[id.EventID]eventauth.StateMap), clock: 1_700_000_100_000,
	}
	s.Keys, s.Fetch = w, w
	return w
}

func keyOf(server string) *event.Key {
	seed := make([]byte, ed25519.SeedSize)
	copy(seed, server)
	if server == "test" {
		seed = make([]byte, ed25519.SeedSize)
	}
	return &event.Key{ServerName: server, KeyID: "ed25519:1", Private: ed25519.NewKeyFromSeed(seed)}
}

func (w *elsewhere) Key(_ context.Context, server, keyID string) (ed25519.PublicKey, int64, bool) {
	return keyOf(server).Private.Public().(ed25519.PublicKey), 1 << 52, keyID == "ed25519:1"
}

func (w *elsewhere) Events(_ context.Context, _ string, _ id.RoomID, ids []id.EventID) ([]json.RawMessage, error) {
	w.asked = append(w.asked, fmt.Sprintf("events %d", len(ids)))
	var raws []json.RawMessage
	for _, eventID := range ids {
		if pdu := w.made[eventID]; pdu != nil {
			raws = append(raws, pdu.JSON())
		}
	}
	return raws, nil
}

func (w *elsewhere) MissingEvents(_ context.Context, _ string, _ id.RoomID, earliest, latest []id.EventID, limit int, _ int64) ([]json.RawMessage, error) {
	w.asked = append(w.asked, "missing")
	var raws []json.RawMessage
	for look := latest; len(look) > 0 && len(raws) < limit; {
		pdu := w.made[look[0]]
		look = look[1:]
		if pdu == nil {
			continue
		}
		for _, prev := range pdu.PrevEvents {
			if p := w.made[prev]; p != nil && !slices.Contains(earliest, prev) {
				raws = append(raws, p.JSON())
				look = append(slices.Clone(look), prev)
			}
		}
	}
	return raws, nil
}

func (w *elsewhere) StateIDs(_ context.Context, _ string, _ id.RoomID, at id.EventID) (state, auth []id.EventID, err error) {
	w.asked = append(w.asked, "state")
	for _, pdu := range w.states[at] {
		state = append(state, pdu.EventID)
		auth = append(auth, pdu.AuthEvents...)
	}
	return state, auth, nil
}

// now returns the current state of the room here, and its tips.
func (w *elsewhere) now() (eventauth.StateMap, []*event.PDU) {
	w.t.Helper()
	state := make(eventauth.StateMap)
	var tips []*event.PDU
	err := w.s.DB.View(context.Background(), func(tx *store.Tx) error {
		r, err := tx.Room(w.roomID)
		if err != nil {
			return err
		}
		all, err := tx.CurrentState(r.NID)
		if err != nil {
			return err
		}
		for _, e := range all {
			state[eventauth.StateKey{Type: e.Type, Key: *e.StateKey}] = e.PDU
		}
		ends, err := tx.Extremities(r.NID)
		for _, e := range ends {
			tips = append(tips, e.PDU)
		}
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return state, tips
}

// branch is a line of events that grows elsewhere.
type branch struct {
	w     *elsewhere
	tips  []*event.PDU
	state eventauth.StateMap
}

// from starts a branch at what the room is here now.
func (w *elsewhere) from() *branch {
	state, tips := w.now()
	return &branch{w: w, tips: tips, state: state}
}

func (b *branch) fork() *branch {
	state := make(eventauth.StateMap, len(b.state))
	for k, v := range b.state {
		state[k] = v
	}
	return &branch{w: b.w, tips: slices.Clone(b.tips), state: state}
}

// say makes an event at the end of the branch; it is not sent.
func (b *branch) say(sender id.UserID, eventType string, stateKey *string, content any) *event.PDU {
	b.w.t.Helper()
	raw, err := json.Marshal(content)
	if err != nil {
		b.w.t.Fatal(err)
	}
	version := b.tips[0].Version
	b.w.clock++
	draft := event.Builder{
		RoomID: b.w.roomID, Sender: sender, Type: eventType, StateKey: stateKey, Content: raw, OriginServerTS: b.w.clock,
		ReferenceHashes: make(map[id.EventID]string),
	}
	if eventType == event.TypeRedaction {
		draft.Redacts = content.(map[string]any)["redacts"].(id.EventID)
	}
	for _, k := range eventauth.Needed(version, sender, eventType, stateKey, raw) {
		if pdu := b.state[k]; pdu != nil {
			draft.AuthEvents = append(draft.AuthEvents, pdu.EventID)
			draft.ReferenceHashes[pdu.EventID] = pdu.ReferenceHash()
		}
	}
	for _, tip := range b.tips {
		draft.PrevEvents = append(draft.PrevEvents, tip.EventID)
		draft.ReferenceHashes[tip.EventID] = tip.ReferenceHash()
		draft.Depth = max(draft.Depth, tip.Depth+1)
	}
	pdu, err := draft.Build(version, keyOf(sender.Homeserver()))
	if err != nil {
		b.w.t.Fatal(err)
	}
	before := b.fork().state
	b.w.made[pdu.EventID], b.w.states[pdu.EventID] = pdu, before
	b.tips = []*event.PDU{pdu}
	if stateKey != nil {
		b.state[eventauth.StateKey{Type: eventType, Key: *stateKey}] = pdu
	}
	return pdu
}

func (b *branch) text(sender id.UserID, text string) *event.PDU {
	b.w.t.Helper()
	return b.say(sender, "m.room.message", nil, map[string]any{"msgtype": "m.text", "body": text})
}

func (b *branch) member(sender, user id.UserID, membership string) *event.PDU {
	b.w.t.Helper()
	key := string(user)
	return b.say(sender, event.TypeMember, &key, map[string]any{"membership": membership})
}

func (b *branch) name(sender id.UserID, name string) *event.PDU {
	b.w.t.Helper()
	key := ""
	return b.say(sender, "m.room.name", &key, map[string]any{"name": name})
}

// send hands events to this server.
func (w *elsewhere) send(pdus ...*event.PDU) []Received {
	w.t.Helper()
	var raws []json.RawMessage
	for _, pdu := range pdus {
		raws = append(raws, pdu.JSON())
	}
	got, err := w.s.Receive(w.t.Context(), "remote", w.roomID, raws)
	if err != nil {
		w.t.Fatal(err)
	}
	return got
}

// accept sends events which must all come to stand in the timeline.
func (w *elsewhere) accept(pdus ...*event.PDU) {
	w.t.Helper()
	for _, r := range w.send(pdus...) {
		if r.Err != nil || r.Status != 0 || r.Known {
			w.t.Fatalf("received %+v", r)
		}
	}
}

// tips returns the ids of the room's tips here, sorted.
func (w *elsewhere) tipIDs() []id.EventID {
	_, tips := w.now()
	var ids []id.EventID
	for _, pdu := range tips {
		ids = append(ids, pdu.EventID)
	}
	slices.Sort(ids)
	return ids
}

func sorted(pdus ...*event.PDU) []id.EventID {
	var ids []id.EventID
	for _, pdu := range pdus {
		ids = append(ids, pdu.EventID)
	}
	slices.Sort(ids)
	return ids
}

func (w *elsewhere) value(eventType, key string) string {
	state, _ := w.now()
	pdu := state.Get(eventauth.StateKey{Type: eventType, Key: key})
	switch {
	case pdu == nil:
		return ""
	case eventType == event.TypeMember:
		return pdu.Membership()
	}
	return pdu.ContentString("name")
}

// status reads what was kept of an event.
func (w *elsewhere) row(eventID id.EventID) *store.Event {
	w.t.Helper()
	var e *store.Event
	if err := w.s.DB.View(context.Background(), func(tx *store.Tx) (err error) {
		e, err = tx.EventByID(eventID)
		return err
	}); err != nil {
		w.t.Fatal(err)
	}
	return e
}

// eachVersion runs a test in a public room of alice's that dave and erin have joined, for versions of each kind, on each engine.
func eachVersion(t *testing.T, test func(t *testing.T, w *elsewhere)) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		versions := []string{"1", "2", "6", "11", "12"}
		if testing.Short() || db.Engine() == sqldb.Postgres { // the rules are the same ones, and it is slow to make rows durable
			versions = []string{"1", "12"}
		}
		for _, version := range versions {
			t.Run("version "+version, func(t *testing.T) {
				s := newService(db)
				roomID := mustCreate(t, s, CreateRequest{Preset: "public_chat", RoomVersion: version})
				w := newElsewhere(t, s, roomID)
				b := w.from()
				w.accept(b.member(dave, dave, "join"), b.member(erin, erin, "join"))
				test(t, w)
			})
		}
	})
}

func TestReceiveOnTheTip(t *testing.T) {
	eachVersion(t, func(t *testing.T, w *elsewhere) {
		b := w.from()
		one, two := b.text(dave, "one"), b.text(dave, "two")
		w.accept(one, two)
		if got := w.tipIDs(); !slices.Equal(got, sorted(two)) {
			t.Errorf("tips %v", got)
		}
		again := w.send(one)
		if !again[0].Known {
			t.Errorf("again: %+v", again[0])
		}
		if _, err := w.s.Send(t.Context(), as(alice), w.roomID, "m.room.message", "t", body("here")); err != nil {
			t.Fatal(err)
		}
		if e := w.row(w.tipIDs()[0]); !slices.Equal(e.PrevEvents, sorted(two)) {
			t.Errorf("the next event here comes after %v", e.PrevEvents)
		}
		timeline(t, w.s.DB, w.roomID)
	})
}

func TestReceiveFork(t *testing.T) {
	eachVersion(t, func(t *testing.T, w *elsewhere) {
		if _, err := w.s.SendState(t.Context(), as(alice), w.roomID, event.TypePowerLevels, "", w.levels(map[id.UserID]int{dave: 50, erin: 50})); err != nil {
			t.Fatal(err)
		}
		left := w.from()
		right := left.fork()
		a1 := left.name(dave, "left")
		b1 := right.text(erin, "aside")
		b2 := right.say(erin, "m.room.topic", new(string), map[string]any{"topic": "right"})
		w.accept(a1, b1, b2)
		if got := w.tipIDs(); !slices.Equal(got, sorted(a1, b2)) {
			t.Fatalf("tips %v, want %v", got, sorted(a1, b2))
		}
		if w.value("m.room.name", "") != "left" || w.row(b2.EventID).StateAfter == w.row(a1.EventID).StateAfter {
			t.Error("the branches do not have states of their own")
		}
		sent, err := w.s.Send(t.Context(), as(alice), w.roomID, "m.room.message", "t", body("together"))
		if err != nil {
			t.Fatal(err)
		}
		e := w.row(sent)
		got := slices.Sorted(slices.Values(e.PrevEvents))
		if !slices.Equal(got, sorted(a1, b2)) || !slices.Equal(w.tipIDs(), []id.EventID{sent}) {
			t.Errorf("the event here comes after %v, tips %v", got, w.tipIDs())
		}
		state, _ := w.now()
		for k, want := range map[string]*event.PDU{"m.room.name": a1, "m.room.topic": b2} {
			if got := state.Get(eventauth.StateKey{Type: k}); got == nil || got.EventID != want.EventID {
				t.Errorf("%s is not that of its branch", k)
			}
		}
		if w.current() != e.StateBefore {
			t.Error("the state before the event here is not the room's")
		}
	})
}

// current returns the room's current state set, having compared it with the tables that are derived from it.
func (w *elsewhere) current() (setID int64) {
	w.t.Helper()
	err := w.s.DB.View(context.Background(), func(tx *store.Tx) error {
		r, err := tx.Room(w.roomID)
		if err != nil {
			return err
		}
		setID = r.StateID
		set, err := tx.StateSet(setID)
		if err != nil {
			return err
		}
		events, err := tx.CurrentState(r.NID)
		if err != nil {
			return err
		}
		for _, e := range events {
			k, err := tx.LookupStateNID(e.Type, *e.StateKey)
			if err != nil {
				return err
			}
			if set[k] != e.NID {
				w.t.Errorf("current_state has %s for %s %q, and the set %d", e.EventID, e.Type, *e.StateKey, set[k])
			}
			if e.Type == event.TypeMember {
				m, err := tx.Membership(r.NID, id.UserID(*e.StateKey))
				if err != nil || m.EventNID != e.NID || m.Membership != e.Membership() {
					w.t.Errorf("membership of %s is %+v, %v", *e.StateKey, m, err)
				}
			}
		}
		if len(events) != len(set) {
			w.t.Errorf("current_state has %d places, the set %d", len(events), len(set))
		}
		last, err := tx.StateIDAt(r.NID, 1<<60)
		if last != setID {
			w.t.Errorf("room_states ends with %d, want %d", last, setID)
		}
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return setID
}

// levels returns power levels that alice may set.
func (w *elsewhere) levels(users map[id.UserID]int) json.RawMessage {
	state, _ := w.now()
	all := map[string]any{}
	for user, level := range users {
		all[string(user)] = level
	}
	if !state.Get(createKey).Version.PrivilegedCreators {
		all[string(alice)] = 100
	}
	raw, _ := json.Marshal(map[string]any{"users": all, "state_default": 50, "ban": 50, "kick": 50, "redact": 50})
	return raw
}

func TestReceiveConflict(t *testing.T) {
	eachVersion(t, func(t *testing.T, w *elsewhere) {
		if _, err := w.s.SendState(t.Context(), as(alice), w.roomID, event.TypePowerLevels, "", w.levels(map[id.UserID]int{dave: 60, erin: 50})); err != nil {
			t.Fatal(err)
		}
		fork := w.from()
		// Erin names the room and goes on; on the other branch dave has banned her before that.
		banned := fork.fork()
		ban := banned.member(dave, erin, "ban")
		named := fork.name(erin, "by erin")
		w.accept(named)
		w.accept(ban)
		if got := w.value(event.TypeMember, string(erin)); got != "ban" {
			t.Errorf("erin's membership is %q", got)
		}
		w.current()
		// What she says now on her branch is allowed there, and not by the room's state.
		late := fork.text(erin, "still here")
		got := w.send(late)[0]
		if got.Err != nil || got.Status != store.SoftFailed {
			t.Fatalf("received %+v", got)
		}
		if e := w.row(late.EventID); e.Pos != 0 || e.Reason == "" || e.StateBefore == 0 {
			t.Errorf("kept as %+v", e)
		}
		if slices.Contains(w.tipIDs(), late.EventID) {
			t.Error("a soft-failed event is a tip")
		}
		// Another who builds on it is heard, and takes the place of what is behind it.
		fork.member(dave, dave, "join")
		onTop := fork.text(dave, "on top")
		w.send(fork.w.made[onTop.PrevEvents[0]])
		w.send(onTop)
		if tips := w.tipIDs(); slices.Contains(tips, named.EventID) || !slices.Contains(tips, onTop.EventID) {
			t.Errorf("tips %v", tips)
		}
		w.current()
	})
}

func TestReceiveRejected(t *testing.T) {
	eachVersion(t, func(t *testing.T, w *elsewhere) {
		b := w.from()
		before := w.current()
		bad := b.name(erin, "not allowed") // needs 50
		got := w.send(bad)[0]
		if got.Err != nil || got.Status != store.Rejected || got.Reason == "" {
			t.Fatalf("received %+v", got)
		}
		if e := w.row(bad.EventID); e.Pos != 0 || e.StateAfter != e.StateBefore || e.StateBefore != before {
			t.Errorf("kept as %+v", e)
		}
		delete(b.state, eventauth.StateKey{Type: "m.room.name"})
		onTop := b.text(erin, "after it")
		if got := w.send(onTop)[0]; got.Err != nil || got.Status != 0 {
			t.Fatalf("on top: %+v", got)
		}
		if w.current() != before || !slices.Equal(w.tipIDs(), sorted(onTop)) {
			t.Errorf("state or tips %v are not as they should be", w.tipIDs())
		}
	})
}

func TestReceiveUnacceptable(t *testing.T) {
	eachVersion(t, func(t *testing.T, w *elsewhere) {
		b := w.from()
		good := b.text(dave, "hello")
		tamper := func(change func(map[string]any)) json.RawMessage {
			var all map[string]any
			if err := json.Unmarshal(good.JSON(), &all); err != nil {
				t.Fatal(err)
			}
			change(all)
			raw, _ := json.Marshal(all)
			return raw
		}
		for name, raw := range map[string]json.RawMessage{
			"no JSON":       json.RawMessage(`{`),
			"no signature":  tamper(func(m map[string]any) { delete(m, "signatures") }),
			"other sender":  tamper(func(m map[string]any) { m["sender"] = string(erin) }),
			"other room":    tamper(func(m map[string]any) { m["room_id"] = "!other:test" }),
			"depth is text": tamper(func(m map[string]any) { m["depth"] = "7" }),
		} {
			got, err := w.s.Receive(t.Context(), "remote", w.roomID, []json.RawMessage{raw})
			var bad *Unacceptable
			if err != nil || !errors.As(got[0].Err, &bad) {
				t.Errorf("%s: %+v, %v", name, got, err)
			}
		}
		// A content that is not what was hashed is taken away; the event itself stands.
		changed := tamper(func(m map[string]any) { m["content"] = map[string]any{"body": "other"} })
		got, err := w.s.Receive(t.Context(), "remote", w.roomID, []json.RawMessage{changed})
		if err != nil || got[0].Err != nil {
			t.Fatal(got, err)
		}
		if e := w.row(got[0].EventID); string(e.Content) != "{}" {
			t.Errorf("content %s", e.Content)
		}
	})
}

func TestReceiveFillsAGap(t *testing.T) {
	eachVersion(t, func(t *testing.T, w *elsewhere) {
		b := w.from()
		var all []*event.PDU
		for i := range 5 {
			all = append(all, b.text(dave, fmt.Sprint(i)))
		}
		w.accept(all[4])
		if !slices.Equal(w.asked, []string{"missing"}) {
			t.Errorf("asked for %v", w.asked)
		}
		for i, pdu := range all {
			if e := w.row(pdu.EventID); e.Status != 0 || e.Pos == 0 {
				t.Errorf("event %d: %+v", i, e)
			}
		}
		if !slices.Equal(w.tipIDs(), sorted(all[4])) {
			t.Errorf("tips %v", w.tipIDs())
		}
		timeline(t, w.s.DB, w.roomID)
	})
}

// A gap that cannot be filled is bridged by the other server's word for the state; what is missing may come later.
func TestReceiveOverAGap(t *testing.T) {
	eachVersion(t, func(t *testing.T, w *elsewhere) {
		b := w.from()
		first := b.text(dave, "lost")
		joined := b.member("@frank:other", "@frank:other", "join")
		last := b.text("@frank:other", "hello")
		w.made = map[id.EventID]*event.PDU{joined.EventID: joined, last.EventID: last} // nobody gives the first
		lost := w.made[joined.EventID]
		delete(w.made, joined.EventID)
		w.states[last.EventID] = b.state
		w.made[joined.EventID] = lost
		w.missingNothing()
		w.accept(last)
		if w.value(event.TypeMember, "@frank:other") != "join" {
			t.Error("frank is not in the room")
		}
		e := w.row(joined.EventID)
		if e.Status != store.Outlier {
			t.Errorf("the join is kept as %+v", e)
		}
		w.current()
		w.s.Fetch = w
		w.made[first.EventID] = first
		w.accept(first)
		w.accept(joined)
		if e := w.row(joined.EventID); e.Status != 0 || e.Pos == 0 {
			t.Errorf("the join now stands as %+v", e)
		}
		w.gaps(0)
		w.current()
	})
}

// missingNothing makes /get_missing_events answer with nothing.
func (w *elsewhere) missingNothing() { w.s.Fetch = noMissing{w} }

type noMissing struct{ *elsewhere }

func (noMissing) MissingEvents(context.Context, string, id.RoomID, []id.EventID, []id.EventID, int, int64) ([]json.RawMessage, error) {
	return nil, nil
}

func (w *elsewhere) gaps(want int) {
	w.t.Helper()
	err := w.s.DB.View(context.Background(), func(tx *store.Tx) error {
		nid, err := tx.RoomNID(w.roomID)
		if err != nil {
			return err
		}
		got, err := tx.Gaps(nid)
		if len(got) != want {
			w.t.Errorf("%d events of gaps, want %d", len(got), want)
		}
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

func TestReceiveFetchesAuthEvents(t *testing.T) {
	eachVersion(t, func(t *testing.T, w *elsewhere) {
		b := w.from()
		side := b.fork()
		join := side.member("@frank:other", "@frank:other", "join")
		text := side.text("@frank:other", "hello")
		w.missingNothing()
		w.accept(text)
		if e := w.row(join.EventID); e.Status != store.Outlier {
			t.Errorf("%+v", e)
		}
		w.gaps(1)
		// Without the server that has them, nothing is kept.
		ghost := b.fork()
		ghost.member("@gina:other", "@gina:other", "join")
		lost := ghost.text("@gina:other", "hello")
		w.made = map[id.EventID]*event.PDU{lost.EventID: lost}
		got := w.send(lost)[0]
		if !errors.Is(got.Err, errMissing) {
			t.Errorf("%+v", got)
		}
	})
}

func TestReceiveRedactions(t *testing.T) {
	eachVersion(t, func(t *testing.T, w *elsewhere) {
		b := w.from()
		text := b.text(dave, "secret")
		redaction := b.say(dave, event.TypeRedaction, nil, map[string]any{"redacts": text.EventID})
		w.accept(text, redaction)
		if e := w.row(text.EventID); e.RedactedBy == 0 || string(e.Content) != "{}" {
			t.Errorf("not redacted: %s", e.JSON())
		}
		// The redaction may come first.
		target := b.fork()
		late := target.text(dave, "secret too")
		early := b.say(dave, event.TypeRedaction, nil, map[string]any{"redacts": late.EventID})
		w.accept(early, late)
		if e := w.row(late.EventID); e.RedactedBy == 0 || string(e.Content) != "{}" {
			t.Errorf("not redacted: %s", e.JSON())
		}
		// Others' events are not theirs to redact.
		sent, err := w.s.Send(t.Context(), as(alice), w.roomID, "m.room.message", "x", body("mine"))
		if err != nil {
			t.Fatal(err)
		}
		b = w.from()
		w.send(b.say(erin, event.TypeRedaction, nil, map[string]any{"redacts": sent}))
		if e := w.row(sent); e.RedactedBy != 0 {
			t.Errorf("redacted: %s", e.JSON())
		}
	})
}

func TestManyTipsAreJoined(t *testing.T) {
	eachVersion(t, func(t *testing.T, w *elsewhere) {
		err := w.s.DB.Write(t.Context(), func(tx *store.Tx) error {
			return tx.InsertUser(&store.User{UserID: alice})
		})
		if err != nil && !errors.Is(err, store.ErrExists) {
			t.Fatal(err)
		}
		b := w.from()
		var all []*event.PDU
		for i := range maxTips + 5 {
			all = append(all, b.fork().text(dave, fmt.Sprint(i)))
		}
		w.accept(all...)
		tips := w.tipIDs()
		if len(tips) != 1 {
			t.Fatalf("%d tips", len(tips))
		}
		if e := w.row(tips[0]); e.Type != event.TypeDummy || e.Sender != alice || len(e.PrevEvents) != len(all) {
			t.Errorf("joined by %s of %s with %d prev_events", e.Type, e.Sender, len(e.PrevEvents))
		}
		w.current()
	})
}

// Where no user of this server may join the tips, an event from here names as many as it can.
func TestMoreTipsThanAnEventCanName(t *testing.T) {
	eachVersion(t, func(t *testing.T, w *elsewhere) {
		b := w.from()
		var all []*event.PDU
		for i := range event.MaxPrevEvents + 5 {
			fork := b.fork()
			all = append(all, fork.text(dave, fmt.Sprint(i)))
		}
		w.accept(all...)
		if got := len(w.tipIDs()); got != len(all) {
			t.Fatalf("%d tips, want %d", got, len(all))
		}
		for i, want := range []int{6, 1} {
			txn := fmt.Sprint("t", i)
			sent, err := w.s.Send(t.Context(), as(alice), w.roomID, "m.room.message", txn, body("here"))
			if err != nil {
				t.Fatal(err)
			}
			if e := w.row(sent); i == 0 && len(e.PrevEvents) != event.MaxPrevEvents || e.Pos == 0 {
				t.Errorf("%s comes after %d events, at position %d", sent, len(e.PrevEvents), e.Pos)
			}
			if got := len(w.tipIDs()); got != want {
				t.Errorf("%d tips are left, want %d", got, want)
			}
			if again, err := w.s.Send(t.Context(), as(alice), w.roomID, "m.room.message", txn, body("here")); err != nil || again != sent {
				t.Errorf("again: %s, %v", again, err)
			}
		}
		if err := w.s.Invite(t.Context(), as(alice), w.roomID, bob, ""); err != nil {
			t.Fatal(err)
		}
		w.current()
	})
}
