package doctor_test

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"causeway/homeserver/doctor"
	"causeway/homeserver/event"
	"causeway/homeserver/notify"
	"causeway/homeserver/room"
	"causeway/homeserver/roomgen"
	"causeway/homeserver/sqldb"
	"causeway/homeserver/store"
	"causeway/homeserver/storetest"

	"maunium.net/go/mautrix/id"
)

// others are the servers of a generated room, as they answer who asks for what is missing.
type others struct{ *roomgen.Room }

func (o others) Key(_ context.Context, server, keyID string) (ed25519.PublicKey, int64, bool) {
	return o.PublicKey(server, keyID)
}

func (o others) Events(_ context.Context, _ string, _ id.RoomID, ids []id.EventID) (raws []json.RawMessage, err error) {
	for _, eventID := range ids {
		if pdu := o.PDU(eventID); pdu != nil {
			raws = append(raws, pdu.JSON())
		}
	}
	return raws, nil
}

func (o others) MissingEvents(context.Context, string, id.RoomID, []id.EventID, []id.EventID, int, int64) ([]json.RawMessage, error) {
	return nil, nil
}

func (o others) StateIDs(_ context.Context, _ string, _ id.RoomID, at id.EventID) (state, auth []id.EventID, err error) {
	for _, eventID := range o.Lookup(at).StateBefore {
		state = append(state, eventID)
	}
	seen := make(map[id.EventID]bool)
	for look := state; len(look) > 0; look = look[1:] {
		for _, a := range o.PDU(look[0]).AuthEvents {
			if o.PDU(a) != nil && !seen[a] {
				seen[a] = true
				auth, look = append(auth, a), append(look[:len(look):len(look)], a)
			}
		}
	}
	return state, auth, nil
}

// receive has a server that is in none of the branches come to know a generated room. Some events come late, so that there are gaps.
func receive(t *testing.T, db *store.DB, g *roomgen.Room, r *rand.Rand, late int) {
	t.Helper()
	_, private, _ := ed25519.GenerateKey(nil)
	s := room.New(room.Config{
		ServerName: "test", Key: &event.Key{ServerName: "test", KeyID: "ed25519:test", Private: private},
		DB: db, Bus: new(notify.Local), KeepRedacted: time.Hour, Fetch: others{g}, Keys: others{g},
	})
	first := g.Events[0]
	if err := s.Adopt(t.Context(), room.Adoption{RoomID: g.RoomID, Version: g.Version, Create: first.PDU.JSON()}); err != nil {
		t.Fatal(err)
	}
	send := func(e roomgen.Event) {
		if _, err := s.Receive(t.Context(), e.Server, g.RoomID, []json.RawMessage{e.PDU.JSON()}); err != nil {
			t.Fatal(err)
		}
	}
	var held []roomgen.Event
	for _, e := range g.Events[1:] {
		if r.IntN(100) < late {
			held = append(held, e)
			continue
		}
		send(e)
		if len(held) > 3 {
			send(held[0])
			held = held[1:]
		}
	}
}

// generate makes a room in which everything happens.
func generate(t *testing.T, version int, seed uint64) *roomgen.Room {
	t.Helper()
	g, err := roomgen.Generate(roomgen.Options{
		Version: fmt.Sprint(version), Seed: seed, Servers: 3, Events: 80, Forks: 4, Extremities: 3, Bans: true, PowerStruggles: true, BadClocks: true,
		BadDepths: true, Knocks: true, Restricted: true, Redactions: true, DeadBranches: true, DuplicateStates: true, Rejected: true,
		Flawed: true, ThirdPartyInvites: true, StringLevels: seed%2 == 0, AdditionalCreators: 1,
	})
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// Rooms that fork, with events that are rejected, soft-failed, redacted, and missing, are sound.
func TestRoomsThatForkAreSound(t *testing.T) {
	each(t, func(t *testing.T, p place) {
		versions := []int{1, 2, 3, 6, 8, 10, 11, 12}
		if p.db.Engine() == sqldb.Postgres { // the rows are the same, and take longer
			versions = []int{1, 10, 12}
		}
		if testing.Short() {
			versions = []int{1, 12}
		}
		for _, version := range versions {
			for _, late := range []int{0, 10} {
				seed := uint64(100*version + late)
				receive(t, p.db, generate(t, version, seed), rand.New(rand.NewPCG(seed, 0)), late)
			}
		}
		// The servers of the rooms have the same names, and keys of their own in each room.
		keys := func(server, keyID string) (ed25519.PublicKey, bool) { return nil, false }
		r, err := doctor.Run(t.Context(), p.db, doctor.Options{Keys: keys})
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range r.Faults {
			for _, e := range f.Examples {
				t.Errorf("%s: %s", f.Kind, e)
			}
		}
		enough := 20
		if testing.Short() {
			enough = 5
		}
		if r.Checked.Resolutions < int64(enough) || r.Checked.Signatures != 0 || r.Checked.SignaturesUnchecked < int64(20*enough) {
			t.Errorf("looked at %+v", r.Checked)
		}
	})
}

// The signatures of other servers are verified as far as their keys are known.
func TestSignaturesOfOthers(t *testing.T) {
	db := storetest.New(t)
	g := generate(t, 10, 7)
	receive(t, db, g, rand.New(rand.NewPCG(7, 0)), 0)
	for _, test := range []struct {
		name   string
		keys   func(server, keyID string) (ed25519.PublicKey, bool)
		faults bool
	}{
		{"theirs", func(server, keyID string) (ed25519.PublicKey, bool) {
			key, _, ok := g.PublicKey(server, keyID)
			return key, ok
		}, false},
		{"wrong ones", func(string, string) (ed25519.PublicKey, bool) { return make([]byte, ed25519.PublicKeySize), true }, true},
	} {
		r, err := doctor.Run(t.Context(), db, doctor.Options{Keys: test.keys})
		if err != nil {
			t.Fatal(err)
		}
		if r.Sound() == test.faults || r.Checked.Signatures < r.Checked.Events || r.Checked.SignaturesUnchecked > 0 {
			t.Errorf("%s: %d faults, looked at %+v", test.name, r.FaultCount(), r.Checked)
		}
	}
}
