package room

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"causeway/homeserver/event"
	"causeway/homeserver/eventauth"
	"causeway/homeserver/roomgen"
	"causeway/homeserver/sqldb"
	"causeway/homeserver/store"
	"causeway/homeserver/storetest"

	"maunium.net/go/mautrix/id"
)

// generated answers for the servers of a generated room.
type generated struct{ *roomgen.Room }

func (g generated) Key(_ context.Context, server, keyID string) (ed25519.PublicKey, int64, bool) {
	key := g.Keys[server]
	if key == nil || key.KeyID != keyID {
		return nil, 0, false
	}
	return key.Private.Public().(ed25519.PublicKey), 1 << 62, true
}

func (g generated) Events(_ context.Context, _ string, _ id.RoomID, ids []id.EventID) ([]json.RawMessage, error) {
	var raws []json.RawMessage
	for _, eventID := range ids {
		if pdu := g.PDU(eventID); pdu != nil {
			raws = append(raws, pdu.JSON())
		}
	}
	return raws, nil
}

func (g generated) MissingEvents(_ context.Context, _ string, _ id.RoomID, earliest, latest []id.EventID, limit int, _ int64) ([]json.RawMessage, error) {
	var raws []json.RawMessage
	seen := make(map[id.EventID]bool)
	for look := slices.Clone(latest); len(look) > 0 && len(raws) < limit; look = look[1:] {
		e := g.Lookup(look[0])
		if e == nil {
			continue
		}
		for _, prev := range e.PDU.PrevEvents {
			if p := g.PDU(prev); p != nil && !seen[prev] && !slices.Contains(earliest, prev) {
				seen[prev] = true
				raws, look = append(raws, p.JSON()), append(look, prev)
			}
		}
	}
	return raws, nil
}

func (g generated) StateIDs(_ context.Context, _ string, _ id.RoomID, at id.EventID) (state, auth []id.EventID, err error) {
	e := g.Lookup(at)
	if e == nil {
		return nil, nil, fmt.Errorf("no event %s", at)
	}
	seen := make(map[id.EventID]bool)
	var chain func(id.EventID)
	chain = func(eventID id.EventID) {
		pdu := g.PDU(eventID)
		if pdu == nil {
			return
		}
		for _, a := range pdu.AuthEvents {
			if !seen[a] {
				seen[a] = true
				auth = append(auth, a)
				chain(a)
			}
		}
	}
	for _, eventID := range e.StateBefore {
		state = append(state, eventID)
		chain(eventID)
	}
	return state, auth, nil
}

// everything is a room with all that can go wrong in one. An invitation by email that is redacted no longer authorises what it did, and
// whether it was depends on what came first: no room has both.
func everything(version string, seed uint64) roomgen.Options {
	return roomgen.Options{
		Version: version, Seed: seed, Events: 60, Forks: 3, Extremities: 3, Bans: true, PowerStruggles: true, BadClocks: true, BadDepths: true,
		Knocks: true, Restricted: true, ThirdPartyInvites: seed%2 == 0, Redactions: seed%2 == 1, DuplicateStates: true, DeadBranches: true,
		StringLevels: true, Rejected: true, Flawed: true,
	}
}

// Each event of a generated room gets the states that the generator says, and is accepted or not as it says, in whatever order it comes
// and whatever is missing before it.
func TestReceiveGeneratedRooms(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		for i, v := range event.Versions() {
			for n := range uint64(4) {
				if (i+int(n))%2 != 0 {
					continue // of each version one in order, and one out of order
				}
				if testing.Short() && i%4 != 3 {
					continue
				}
				if db.Engine() == sqldb.Postgres && (i+int(n))%4 != 0 {
					continue // the rules are the same ones, and the database is slow to make rows durable
				}
				g, err := roomgen.Generate(everything(v.ID, uint64(4*i)+n))
				if err != nil {
					t.Fatal(err)
				}
				t.Run(fmt.Sprintf("version %s room %d", v.ID, n), func(t *testing.T) { receiveAll(t, db, g, n > 1) })
			}
		}
	})
}

func receiveAll(t *testing.T, db *store.DB, g *roomgen.Room, shuffled bool) {
	s := newService(db)
	s.Keys, s.Fetch = generated{g}, generated{g}
	adopt(t, s, g)
	rest := g.Events[1:]
	if shuffled { // what comes before an event is then often missing, and fetched
		r := rand.New(rand.NewPCG(1, uint64(len(rest))))
		rest = slices.Clone(rest)
		for i := range rest {
			j := min(i+r.IntN(4), len(rest)-1)
			rest[i], rest[j] = rest[j], rest[i]
		}
	}
	for _, e := range rest {
		got, err := s.Receive(t.Context(), e.Server, g.RoomID, []json.RawMessage{e.PDU.JSON()})
		if err != nil {
			t.Fatal(err)
		}
		checkReceived(t, got[0], &e)
	}
	if !shuffled {
		compareStates(t, db, g)
	}
	checkCurrent(t, s, g.RoomID)
}

func adopt(t *testing.T, s *Service, g *roomgen.Room) {
	t.Helper()
	first := g.Events[0]
	err := s.Adopt(t.Context(), Adoption{RoomID: g.RoomID, Version: g.Version, Create: first.PDU.JSON()})
	if err != nil {
		t.Fatal(err)
	}
}

func checkReceived(t *testing.T, got Received, e *roomgen.Event) {
	t.Helper()
	switch {
	case e.Flaw == roomgen.BadSignature || e.Flaw == roomgen.UnknownAuth:
		if got.Err == nil {
			t.Errorf("%s (%s) was taken: %+v", e.PDU.EventID, e.Flaw, got)
		}
	case got.Err != nil:
		t.Errorf("%s of %s (%s): %v", e.PDU.Type, e.PDU.Sender, e.Flaw, got.Err)
	case e.Rejected != (got.Status&store.Rejected != 0):
		t.Errorf("%s of %s (%s): rejected %v, want %v: %s", e.PDU.Type, e.PDU.Sender, e.Flaw, !e.Rejected, e.Rejected, got.Reason)
	}
}

// compareStates compares the states around each event with the generator's.
func compareStates(t *testing.T, db *store.DB, g *roomgen.Room) {
	t.Helper()
	err := db.View(t.Context(), func(tx *store.Tx) error {
		for i := range g.Events {
			e := &g.Events[i]
			if e.Flaw == roomgen.BadSignature || e.Flaw == roomgen.UnknownAuth {
				continue
			}
			row, err := tx.EventByID(e.PDU.EventID)
			if err != nil {
				return err
			}
			for _, side := range []struct {
				name string
				set  int64
				want roomgen.State
			}{{"before", row.StateBefore, e.StateBefore}, {"after", row.StateAfter, e.StateAfter}} {
				if diff := stateDiff(t, tx, side.set, side.want); diff != "" {
					t.Errorf("state %s event %d (%s of %s): %s", side.name, i, e.PDU.Type, e.PDU.Sender, diff)
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func stateDiff(t *testing.T, tx *store.Tx, setID int64, want roomgen.State) string {
	t.Helper()
	got, err := stateOf(tx, setID)
	if err != nil {
		t.Fatal(err)
	}
	for k, eventID := range want {
		if got[k] != eventID {
			return fmt.Sprintf("%v is %q, want %q", k, got[k], eventID)
		}
	}
	for k, eventID := range got {
		if want[k] == "" {
			return fmt.Sprintf("%v is %q, want nothing", k, eventID)
		}
	}
	return ""
}

// stateOf reads a state set as the events that it holds.
func stateOf(tx *store.Tx, setID int64) (roomgen.State, error) {
	set, err := tx.StateSet(setID)
	if err != nil {
		return nil, err
	}
	nids := make([]int64, 0, len(set))
	for _, nid := range set {
		nids = append(nids, nid)
	}
	events, err := tx.EventsByNID(nids)
	state := make(roomgen.State, len(events))
	for _, e := range events {
		state[eventauth.StateKey{Type: e.Type, Key: *e.StateKey}] = e.EventID
	}
	return state, err
}

// checkCurrent compares the room's current state with the resolution over its tips, and with the tables that are derived from it.
func checkCurrent(t *testing.T, s *Service, roomID id.RoomID) {
	t.Helper()
	w := &elsewhere{t: t, s: s, roomID: roomID}
	current := w.current()
	err := s.DB.View(t.Context(), func(tx *store.Tx) error {
		r, err := tx.Room(roomID)
		if err != nil {
			return err
		}
		tips, err := tx.Extremities(r.NID)
		if err != nil {
			return err
		}
		var sets []int64
		for _, e := range tips {
			sets = append(sets, e.StateAfter)
		}
		resolved, err := NewResolver(s.DB).Resolve(t.Context(), r.NID, r.Version, sets)
		if err != nil {
			return err
		}
		again, err := rebase(tx, resolved, current)
		if len(again.Changes) != 0 {
			t.Errorf("the current state differs from that of the %d tips at %v", len(tips), again.Changes)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
