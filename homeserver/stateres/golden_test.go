package stateres_test

import (
	"crypto/ed25519"
	"encoding/base64"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"maunium.net/go/mautrix/id"

	"causeway/homeserver/event"
	"causeway/homeserver/eventauth"
	"causeway/homeserver/roomgen"
)

// TestRecordedRooms resolves the rooms of testdata, which `go run ./homeserver/roomgen/record` has written, and compares the states
// with those that are written there: those before each merge, and that over the tips. Both implementations must find them. All else that
// the recordings say is verified as well, so that they serve as vectors of event and eventauth too.
func TestRecordedRooms(t *testing.T) {
	names, err := filepath.Glob(filepath.Join("testdata", "*.json.gz"))
	if err != nil {
		t.Fatal(err)
	}
	recorded := map[string]bool{}
	for _, name := range names {
		base := strings.TrimSuffix(filepath.Base(name), ".json.gz")
		recorded[base] = true
		t.Run(base, func(t *testing.T) {
			rec := readRecording(t, name)
			if got := rec.Version + "-" + rec.Scenario; got != base {
				t.Errorf("the recording is of %s", got)
			}
			room, err := rec.Room()
			if err != nil {
				t.Fatal(err)
			}
			for i := range room.Events {
				checkRecordedEvent(t, rec, room, &room.Events[i])
			}
			checkRecordedStates(t, rec, room)
		})
	}
	for _, scenario := range roomgen.Scenarios() {
		for _, version := range scenario.Versions {
			if base := version + "-" + scenario.Name; !recorded[base] {
				t.Errorf("%s is not recorded", base)
			}
		}
	}
}

func readRecording(t *testing.T, name string) *roomgen.Recording {
	t.Helper()
	file, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	rec, err := roomgen.ReadRecording(file)
	if err != nil {
		t.Fatal(err)
	}
	return rec
}

// checkRecordedEvent makes the checks that a server makes of an event that it receives. Parsing has already compared the event ID.
func checkRecordedEvent(t *testing.T, rec *roomgen.Recording, room *roomgen.Room, e *roomgen.Event) {
	t.Helper()
	p := e.PDU
	if p.RoomID != rec.RoomID {
		t.Errorf("%s: got room %s, want %s", p.EventID, p.RoomID, rec.RoomID)
	}
	if err := p.VerifyHash(); err != nil {
		t.Errorf("%s: %v", p.EventID, err)
	}
	servers := []string{e.Server}
	if via := p.AuthorisedVia(); via != "" {
		servers = append(servers, event.ServerOf(via))
	}
	for _, server := range servers {
		checkSignature(t, rec, p, server)
	}
	var auth []*event.PDU
	for _, eventID := range p.AuthEvents {
		auth = append(auth, room.PDU(eventID))
	}
	if err := eventauth.CheckAuthEvents(p, auth, func(id.EventID) bool { return false }); err != nil {
		t.Errorf("%s: %v", p.EventID, err)
	}
	byAuth := eventauth.NewStateMap(auth...)
	if room.Version.RoomIDIsCreateHash {
		byAuth[eventauth.StateKey{Type: event.TypeCreate}] = room.Events[0].PDU
	}
	if err := eventauth.Check(p, byAuth); err != nil {
		t.Errorf("%s by its auth events: %v", p.EventID, err)
	}
	if err := eventauth.Check(p, room.StateMap(e.StateBefore)); err != nil {
		t.Errorf("%s by the state before it: %v", p.EventID, err)
	}
}

func checkSignature(t *testing.T, rec *roomgen.Recording, p *event.PDU, server string) {
	t.Helper()
	public, err := base64.RawStdEncoding.DecodeString(rec.Keys[server])
	if err != nil {
		t.Fatal(err)
	}
	keyIDs := p.SignatureKeyIDs(server)
	if len(keyIDs) != 1 {
		t.Fatalf("%s: got %d signatures of %s, want 1", p.EventID, len(keyIDs), server)
	}
	if err := event.VerifySignature(p, server, keyIDs[0], ed25519.PublicKey(public)); err != nil {
		t.Errorf("%s: %v", p.EventID, err)
	}
}

// checkRecordedStates resolves what the recording says was resolved.
func checkRecordedStates(t *testing.T, rec *roomgen.Recording, room *roomgen.Room) {
	t.Helper()
	numbered := room.Numbered()
	merges := 0
	check := func(what string, sets []roomgen.State, want roomgen.State) {
		t.Helper()
		set, err := numbered.Problem(sets...).Resolve()
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		if got := numbered.State(set); !maps.Equal(got, want) {
			t.Errorf("%s: %s", what, difference(room, got, want))
		}
		if got, err := referenceResolver(room, sets); err != nil || !maps.Equal(got, want) {
			t.Errorf("%s, by the specification's words: %v %s", what, err, difference(room, got, want))
		}
	}
	for i := range room.Events {
		e := &room.Events[i]
		var sets []roomgen.State
		for _, prev := range e.PDU.PrevEvents {
			sets = append(sets, room.Lookup(prev).StateAfter)
		}
		if len(sets) > 1 {
			merges++
			check("before "+string(e.PDU.EventID), sets, e.StateBefore)
		}
	}
	if merges == 0 {
		t.Error("the room has no merge")
	}
	if got := room.Tips(); len(got) != len(rec.Tips) {
		t.Errorf("got %d tips, want %d", len(got), len(rec.Tips))
	}
	sets := room.TipStates()
	if len(sets) < 2 {
		t.Errorf("got %d tips, want several", len(sets))
	}
	check("over the tips", sets, room.Resolved())
}
