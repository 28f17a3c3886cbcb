package room

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"causeway/homeserver/event"
	"causeway/homeserver/eventauth"
	"causeway/homeserver/store"
	"causeway/homeserver/storetest"

	"maunium.net/go/mautrix/id"
)

// craft makes another event of one, as a server may that follows no rules: change is given its fields. It is not sent.
func (w *elsewhere) craft(pdu *event.PDU, change func(map[string]any)) *event.PDU {
	w.t.Helper()
	var fields map[string]any
	if err := json.Unmarshal(pdu.JSON(), &fields); err != nil {
		w.t.Fatal(err)
	}
	delete(fields, "hashes")
	delete(fields, "signatures")
	change(fields)
	raw, err := json.Marshal(fields)
	if err != nil {
		w.t.Fatal(err)
	}
	if raw, err = event.HashAndSign(pdu.Version, raw, keyOf(pdu.Sender.Homeserver())); err != nil {
		w.t.Fatal(err)
	}
	made, err := event.Parse(pdu.Version, raw)
	if err != nil {
		w.t.Fatal(err)
	}
	w.made[made.EventID], w.states[made.EventID] = made, w.states[pdu.EventID]
	return made
}

// refs is a list of references as it stands in an event.
func refs(v *event.RoomVersion, ids ...id.EventID) []any {
	list := []any{}
	for _, eventID := range ids {
		if v.ReferencePairs {
			list = append(list, []any{eventID, map[string]string{"sha256": "x"}})
		} else {
			list = append(list, eventID)
		}
	}
	return list
}

// forget has nobody have an event any more.
func (w *elsewhere) forget(pdus ...*event.PDU) {
	for _, pdu := range pdus {
		delete(w.made, pdu.EventID)
	}
}

// An event that claims to come after nothing has no state before it, and what names it as one of its prev_events must not take the
// room's state away.
func TestHostileEventsAfterNothing(t *testing.T) {
	const mallory = id.UserID("@mallory:test")
	eachVersion(t, func(t *testing.T, w *elsewhere) {
		if _, err := w.s.SendState(t.Context(), as(alice), w.roomID, event.TypeJoinRules, "", json.RawMessage(`{"join_rule":"invite"}`)); err != nil {
			t.Fatal(err)
		}
		if err := w.s.Ban(t.Context(), as(alice), w.roomID, mallory, ""); err != nil {
			t.Fatal(err)
		}
		before, tips := w.now()
		b := w.from()
		nothing := w.craft(b.fork().text(dave, "nothing"), func(f map[string]any) { f["prev_events"] = []any{} })
		both := w.craft(b.fork().text(dave, "both"), func(f map[string]any) {
			f["prev_events"] = refs(nothing.Version, nothing.EventID, tips[0].EventID)
		})
		t.Logf("%+v", w.send(nothing, both))
		after, _ := w.now()
		for k, want := range before {
			if got := after[k]; got == nil || got.EventID != want.EventID {
				t.Errorf("%s %q is not what it was", k.Type, k.Key)
			}
		}
	})
}

// An event that is here as part of a state, and then comes for itself, is not in conflict with itself: older power levels do not come
// back by it.
func TestHostileOutlierThatArrives(t *testing.T) {
	eachVersion(t, func(t *testing.T, w *elsewhere) {
		if w.from().tips[0].Version.StateRes == event.StateResV1 {
			return // there the greater depth wins
		}
		levels := func(erins int, daves int) {
			t.Helper()
			content := w.levels(map[id.UserID]int{dave: daves, erin: erins})
			if _, err := w.s.SendState(t.Context(), as(alice), w.roomID, event.TypePowerLevels, "", content); err != nil {
				t.Fatal(err)
			}
		}
		levels(90, 50)
		b := w.from()
		old := b.say(erin, event.TypePowerLevels, new(string), w.levels(map[id.UserID]int{dave: 60, erin: 90}))
		lost := b.text(erin, "lost")
		last := b.text(erin, "last")
		w.forget(lost)
		w.accept(last)
		if _, err := w.s.Send(t.Context(), as(alice), w.roomID, "m.room.message", "", body("joins the branches")); err != nil {
			t.Fatal(err)
		}
		levels(90, 0)
		before, _ := w.now()
		t.Logf("%+v", w.send(old))
		after, _ := w.now()
		if got, want := after[powerKey].EventID, before[powerKey].EventID; got != want {
			t.Errorf("the power levels are those of %s, want those of %s", got, want)
		}
		w.current()
	})
}

// In versions 1 and 2 a server can give two events the same id.
func TestHostileTwoEventsOfOneID(t *testing.T) {
	eachVersion(t, func(t *testing.T, w *elsewhere) {
		if w.from().tips[0].Version.EventIDs != event.EventIDGiven {
			return
		}
		if _, err := w.s.SendState(t.Context(), as(alice), w.roomID, event.TypePowerLevels, "", w.levels(map[id.UserID]int{dave: 50, erin: 100})); err != nil {
			t.Fatal(err)
		}
		b := w.from()
		join := b.fork().say(dave, event.TypeMember, ptr(string(dave)), map[string]any{"membership": "join", "displayname": "x"})
		kick := b.member(dave, "@victim:test", "ban")
		lost, last := b.text(erin, "lost"), b.text(erin, "last")
		w.forget(lost)
		w.accept(last)
		other := w.craft(join, func(f map[string]any) { f["event_id"] = kick.EventID })
		t.Logf("%+v", w.send(other))
		w.current()
		state, _ := w.now()
		if e := state[memberKey(dave)]; e == nil || *e.StateKey != string(dave) {
			t.Error("the membership of dave is lost")
		}
		err := w.s.DB.View(t.Context(), func(tx *store.Tx) error {
			r, err := tx.Room(w.roomID)
			if err != nil {
				return err
			}
			set, err := tx.StateSet(r.StateID)
			if err != nil {
				return err
			}
			for place, nid := range set {
				e, err := tx.EventByNID(nid)
				if err != nil {
					return err
				}
				if k, err := tx.LookupStateNID(e.Type, *e.StateKey); err != nil || k != place {
					t.Errorf("%s %q stands at another place of the state than its own", e.Type, *e.StateKey)
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	})
}

func ptr[T any](v T) *T { return &v }

// tamper changes what a server gives of an event. The signature, which covers what redaction leaves, still holds.
type tamper struct {
	*elsewhere
	with func(json.RawMessage) json.RawMessage
}

func (f tamper) Events(ctx context.Context, server string, roomID id.RoomID, ids []id.EventID) ([]json.RawMessage, error) {
	raws, err := f.elsewhere.Events(ctx, server, roomID, ids)
	for i := range raws {
		raws[i] = f.with(raws[i])
	}
	return raws, err
}

// A server that gives an event of another with other content, which is then kept redacted, does not take the content away for good.
func TestHostileContentComesLater(t *testing.T) {
	eachVersion(t, func(t *testing.T, w *elsewhere) {
		if _, err := w.s.SendState(t.Context(), as(alice), w.roomID, event.TypePowerLevels, "", w.levels(map[id.UserID]int{dave: 50, erin: 100})); err != nil {
			t.Fatal(err)
		}
		b := w.from()
		name := b.name(dave, "honest")
		lost, last := b.text(erin, "lost"), b.text(erin, "last")
		w.forget(lost)
		w.s.Fetch = tamper{w, func(raw json.RawMessage) json.RawMessage {
			var fields map[string]any
			_ = json.Unmarshal(raw, &fields)
			if fields["type"] == "m.room.name" {
				fields["content"] = map[string]any{"name": "forged"}
			}
			raw, _ = json.Marshal(fields)
			return raw
		}}
		w.accept(last)
		t.Logf("%+v", w.send(name))
		if got := w.row(name.EventID); got.Status != 0 || got.ContentString("name") != "honest" {
			t.Errorf("status %d, content %s", got.Status, got.Content)
		}
	})
}

// Rule 3.1: two entries of auth_events for one place are too many, also when they are the same.
func TestHostileDuplicateAuthEvents(t *testing.T) {
	eachVersion(t, func(t *testing.T, w *elsewhere) {
		b := w.from()
		pdu := b.fork().text(dave, "twice")
		twice := w.craft(pdu, func(f map[string]any) {
			f["auth_events"] = refs(pdu.Version, append(slices.Clone(pdu.AuthEvents), pdu.AuthEvents[0])...)
		})
		if got := w.send(twice)[0]; got.Err != nil || got.Status != store.Rejected {
			t.Errorf("%+v, want it rejected", got)
		}
	})
}

// In versions 1 and 2 events can come after each other in a circle. That takes no tip away that is of another branch.
func TestHostileCircleOfPrevEvents(t *testing.T) {
	const mallory = id.UserID("@mallory:test")
	eachVersion(t, func(t *testing.T, w *elsewhere) {
		if w.from().tips[0].Version.EventIDs != event.EventIDGiven {
			return
		}
		fork := w.from()
		if err := w.s.Ban(t.Context(), as(alice), w.roomID, mallory, ""); err != nil {
			t.Fatal(err)
		}
		banned := w.from()
		w.accept(fork.text(dave, "aside"))
		tip, b := banned.tips[0].EventID, id.EventID("$b"+fork.tips[0].Version.ID+":remote")
		first := w.craft(banned.fork().text(dave, "first"), func(f map[string]any) {
			f["event_id"], f["prev_events"] = "$a"+fork.tips[0].Version.ID+":remote", refs(fork.tips[0].Version, tip, b)
		})
		w.accept(first)
		if got := w.value(event.TypeMember, string(mallory)); got != "ban" {
			t.Fatalf("mallory: %q", got)
		}
		second := w.craft(banned.fork().text(dave, "second"), func(f map[string]any) {
			f["event_id"], f["prev_events"] = b, refs(fork.tips[0].Version, first.EventID)
		})
		t.Logf("%+v", w.send(second))
		if got := w.value(event.TypeMember, string(mallory)); got != "ban" {
			t.Errorf("mallory: %q, tips %v", got, w.tipIDs())
		}
	})
}

// What a redaction names may be as long as an event; it is kept all the same.
func TestHostileLongTargetOfARedaction(t *testing.T) {
	eachVersion(t, func(t *testing.T, w *elsewhere) {
		random := make([]byte, 20_000)
		for i := range random {
			random[i] = byte(rand.Uint32())
		}
		target := "$" + base64.RawURLEncoding.EncodeToString(random) + ":remote"
		b := w.from()
		short := b.fork().say(dave, event.TypeRedaction, nil, map[string]any{"redacts": id.EventID("$x:remote")})
		w.accept(w.craft(short, func(f map[string]any) {
			if f["redacts"] = target; short.Version.RedactsInContent {
				delete(f, "redacts")
				f["content"] = map[string]any{"redacts": target}
			}
		}))
	})
}

// slow never answers before its caller gives up.
type slow struct {
	*elsewhere
	asked chan struct{} // closed when it is asked
}

func (f slow) Events(ctx context.Context, _ string, _ id.RoomID, _ []id.EventID) ([]json.RawMessage, error) {
	close(f.asked)
	<-ctx.Done()
	return nil, ctx.Err()
}

// While a server keeps this one waiting for what an event builds on, whoever sends another event of the room does not wait longer than
// they want to.
func TestHostileSlowServer(t *testing.T) {
	db := storetest.New(t)
	s := newService(db)
	w := newElsewhere(t, s, mustCreate(t, s, CreateRequest{Preset: "public_chat"}))
	b := w.from()
	w.accept(b.member(dave, dave, "join"))
	remote := slow{w, make(chan struct{})}
	s.Fetch = remote
	honest := b.fork().text(dave, "honest")
	lure := w.craft(b.fork().text(dave, "lure"), func(f map[string]any) {
		f["auth_events"] = refs(honest.Version, "$aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa")
	})
	long, giveUp := context.WithCancel(t.Context())
	attacked := make(chan struct{})
	go func() {
		defer close(attacked)
		_, _ = s.Receive(long, "remote", w.roomID, []json.RawMessage{lure.JSON()})
	}()
	defer func() { giveUp(); <-attacked }()
	<-remote.asked
	short, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	done := make(chan struct{})
	go func() {
		_, _ = s.Receive(short, "other", w.roomID, []json.RawMessage{honest.JSON()})
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(5 * time.Second):
		t.Error("the other server's event still waits, long after its context ended")
		giveUp()
		<-done
	}
}

// A room has one create event. In the versions before 12, where the server of its creator can make another, that one is of no account.
func TestHostileSecondCreateEvent(t *testing.T) {
	const mallory = id.UserID("@mallory:remote")
	for _, version := range []string{"1", "2", "6", "11"} {
		t.Run("version "+version, func(t *testing.T) {
			s := newService(storetest.New(t))
			v, err := event.LookupVersion(version)
			if err != nil {
				t.Fatal(err)
			}
			const roomID = id.RoomID("!room:remote")
			w := newElsewhere(t, s, roomID)
			create := func(creator id.UserID) *event.PDU {
				raw, _ := json.Marshal(map[string]any{"creator": creator, "room_version": version})
				b := event.Builder{RoomID: roomID, Sender: creator, Type: event.TypeCreate, StateKey: new(string), Content: raw, Depth: 1, OriginServerTS: 1_700_000_000_000 + w.clock%1000}
				w.clock++
				pdu, err := b.Build(v, keyOf("remote"))
				if err != nil {
					t.Fatal(err)
				}
				w.made[pdu.EventID], w.states[pdu.EventID] = pdu, eventauth.StateMap{}
				return pdu
			}
			// erin, of another server, has the power; dave, who made the room, has left it.
			first := create(dave)
			if err := s.Adopt(t.Context(), Adoption{RoomID: roomID, Version: v, Create: first.JSON()}); err != nil {
				t.Fatal(err)
			}
			b := &branch{w: w, tips: []*event.PDU{first}, state: eventauth.StateMap{createKey: first}}
			w.accept(b.member(dave, dave, "join"),
				b.say(dave, event.TypePowerLevels, new(string), map[string]any{"users": map[id.UserID]int{dave: 100, erin: 100}}),
				b.say(dave, event.TypeJoinRules, new(string), map[string]any{"join_rule": "public"}),
				b.member(erin, erin, "join"),
				b.say(dave, event.TypePowerLevels, new(string), map[string]any{"users": map[id.UserID]int{erin: 100}}),
				b.member(dave, dave, "leave"), b.name(erin, "erin's"))
			before, _ := w.now()

			again := create(mallory)
			f := &branch{w: w, tips: []*event.PDU{again}, state: eventauth.StateMap{createKey: again}}
			f.member(mallory, mallory, "join")
			f.say(mallory, event.TypePowerLevels, new(string), map[string]any{"users": map[id.UserID]int{mallory: 100}})
			f.name(mallory, "mallory's")
			last := f.text(mallory, "taken over")
			got, err := s.Receive(t.Context(), "remote", roomID, []json.RawMessage{last.JSON()})
			t.Logf("%+v, %v", got, err)
			after, _ := w.now()
			for k, want := range before {
				if got := after[k]; got == nil || got.EventID != want.EventID {
					t.Errorf("%s %q is not what it was", k.Type, k.Key)
				}
			}
			for k := range after {
				if before[k] == nil {
					t.Errorf("%s %q was not there", k.Type, k.Key)
				}
			}
		})
	}
}
