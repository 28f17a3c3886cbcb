package roomgen

import (
	"bytes"
	"errors"
	"maps"
	"math/rand/v2"
	"testing"

	"causeway/homeserver/event"
	"causeway/homeserver/eventauth"
)

// TestNumbered takes states to integers and back, under different numbers.
func TestNumbered(t *testing.T) {
	room := generate(t, everything("12", 1))
	for name, n := range map[string]*Numbered{
		"in order": room.Numbered(), "in some order": room.Renumbered(rand.New(rand.NewPCG(1, 2))),
	} {
		t.Run(name, func(t *testing.T) {
			if len(n.Events) != len(room.Events) || len(n.IDs) != len(room.Events) {
				t.Errorf("got %d events with %d ids, want %d", len(n.Events), len(n.IDs), len(room.Events))
			}
			for number, list := range n.Auth {
				for _, auth := range list {
					if auth >= number {
						t.Errorf("event %d has the auth event %d", number, auth)
					}
				}
			}
			for i := range room.Events {
				s := room.Events[i].StateAfter
				if got := n.State(n.Set(s)); !maps.Equal(got, s) {
					t.Fatalf("event %d: got %v, want %v", i, got, s)
				}
			}
		})
	}
}

// TestLarge looks at the branches of a large room of each version.
func TestLarge(t *testing.T) {
	for _, v := range event.Versions() {
		const members, conflicts = 300, 200
		room, err := Large(members, conflicts, v.ID)
		if err != nil {
			t.Fatal(err)
		}
		if got, want := len(room.Events), members+conflicts+4; got != want {
			t.Errorf("version %s: got %d events, want %d", v.ID, got, want)
		}
		sets := room.TipStates()
		if len(sets) != 2 {
			t.Fatalf("version %s: got %d branches, want 2", v.ID, len(sets))
		}
		differ := map[string]int{}
		for k, eventID := range sets[0] {
			if sets[1][k] != eventID {
				differ[k.Type]++
			}
		}
		// Of the power levels there is one place, and some events of both branches.
		if got := differ[event.TypeMember] + differ["org.example.place"]; got < conflicts/2-5 || got > conflicts/2 {
			t.Errorf("version %s: got %d places that differ, want about %d", v.ID, got, conflicts/2)
		}
		if differ[event.TypePowerLevels] != 1 || differ[event.TypeMember] == 0 {
			t.Errorf("version %s: got conflicts %v, want some of members and of power levels", v.ID, differ)
		}
		if len(room.Resolved()) != len(sets[0]) {
			t.Errorf("version %s: got %d places, want %d", v.ID, len(room.Resolved()), len(sets[0]))
		}
	}
}

func TestLargeWithoutConflicts(t *testing.T) {
	room, err := Large(10, 0, "12")
	if err != nil {
		t.Fatal(err)
	}
	joined := 0
	for k := range room.Resolved() {
		if k.Type == event.TypeMember {
			joined++
		}
	}
	if joined != 10 || len(room.Tips()) != 1 {
		t.Errorf("got %d members and %d tips, want 10 and 1", joined, len(room.Tips()))
	}
	if _, err := Large(0, 0, "12"); !errors.Is(err, ErrOptions) {
		t.Errorf("got %v, want %v", err, ErrOptions)
	}
}

// TestRecording writes rooms down and reads them again.
func TestRecording(t *testing.T) {
	for _, version := range []string{"1", "5", "12"} {
		o := everything(version, 4)
		o.Flawed, o.Rejected = false, true
		room := generate(t, o)
		var file bytes.Buffer
		if err := room.Record("everything", o.Seed).Write(&file); err != nil {
			t.Fatal(err)
		}
		rec, err := ReadRecording(&file)
		if err != nil {
			t.Fatal(err)
		}
		if rec.Scenario != "everything" || rec.Seed != o.Seed {
			t.Errorf("got %s of seed %d", rec.Scenario, rec.Seed)
		}
		again, err := rec.Room()
		if err != nil {
			t.Fatal(err)
		}
		if len(again.Events) != len(room.Events) || !maps.Equal(again.Resolved(), room.Resolved()) {
			t.Fatalf("version %s: the room is another", version)
		}
		for i := range room.Events {
			got, want := &again.Events[i], &room.Events[i]
			if !bytes.Equal(got.PDU.JSON(), want.PDU.JSON()) || got.Server != want.Server || got.Rejected != want.Rejected || got.Flaw != want.Flaw {
				t.Errorf("version %s, event %d: got %s, want %s", version, i, got.PDU.JSON(), want.PDU.JSON())
			}
			if !maps.Equal(got.StateBefore, want.StateBefore) || !maps.Equal(got.StateAfter, want.StateAfter) {
				t.Errorf("version %s, event %d: the states differ", version, i)
			}
		}
	}
}

func TestBadRecording(t *testing.T) {
	for _, tc := range []struct {
		name   string
		change func(*Recording)
		want   error
	}{
		{"version", func(rec *Recording) { rec.Version = "0" }, event.ErrUnknownVersion},
		{"key", func(rec *Recording) { rec.Seed++ }, ErrRecording},
		{"event ID", func(rec *Recording) { rec.Events[2].EventID = "$x" }, ErrRecording},
		{"prev event", func(rec *Recording) { rec.Events = rec.Events[1:] }, ErrRecording},
		{"event", func(rec *Recording) { rec.Events[1].PDU = []byte(`{}`) }, event.ErrBadEvent},
	} {
		t.Run(tc.name, func(t *testing.T) {
			rec := generate(t, Options{Version: "11", Seed: 3}).Record("x", 3)
			tc.change(rec)
			if _, err := rec.Room(); !errors.Is(err, tc.want) {
				t.Errorf("got %v, want %v", err, tc.want)
			}
		})
	}
	if _, err := ReadRecording(bytes.NewReader([]byte("x"))); err == nil {
		t.Error("something that is no recording was read")
	}
}

// TestScenariosAreOfInterest is what recordings rely on.
func TestScenariosAreOfInterest(t *testing.T) {
	for _, scenario := range Scenarios() {
		room, o, err := scenario.Make(scenario.Versions[len(scenario.Versions)-1])
		if err != nil {
			t.Fatal(err)
		}
		if news(room) < 2 || len(room.Tips()) < 2 {
			t.Errorf("%s, seed %d: got %d resolutions with news and %d tips", scenario.Name, o.Seed, news(room), len(room.Tips()))
		}
	}
	none := Scenario{Name: "nothing", Options: Options{Servers: 1, Events: 1}}
	if _, _, err := none.Make("12"); !errors.Is(err, ErrOptions) {
		t.Errorf("got %v, want %v", err, ErrOptions)
	}
}

// TestView reads a state through the room.
func TestView(t *testing.T) {
	room := generate(t, Options{Version: "12"})
	view := room.StateMap(room.Resolved())
	if got := view.Get(eventauth.StateKey{Type: event.TypeCreate}); got != room.Events[0].PDU {
		t.Errorf("got create event %v, want %v", got, room.Events[0].PDU)
	}
	if got := view.Get(eventauth.StateKey{Type: "none"}); got != nil {
		t.Errorf("got %v, want nothing", got)
	}
	if room.Lookup("$none") != nil || room.PDU("$none") != nil {
		t.Error("an event that is not there was found")
	}
	if _, _, ok := room.PublicKey("s0.example", "ed25519:other"); ok {
		t.Error("a key that is not there was found")
	}
}
