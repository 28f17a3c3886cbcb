package stateres_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"maunium.net/go/mautrix/id"

	"causeway/homeserver/event"
	"causeway/homeserver/roomgen"
)

// roomsPerVersion is how many rooms of each version both implementations resolve; a tenth of them with -short.
const roomsPerVersion = 60

// someOptions returns options for room number n: the features are the bits of a number, so that all of them meet.
func someOptions(version string, n uint64) roomgen.Options {
	rng := rand.New(rand.NewPCG(n, 7))
	coin := func() bool { return rng.IntN(2) == 0 }
	return roomgen.Options{
		Version: version, Seed: n, Servers: 2 + rng.IntN(4), UsersPerServer: 1 + rng.IntN(3), Events: 15 + rng.IntN(45),
		Forks: 1 + rng.IntN(4), Extremities: rng.IntN(5), AdditionalCreators: rng.IntN(2),
		Bans: coin(), PowerStruggles: coin(), BadClocks: coin(), BadDepths: coin(), Knocks: coin(), Restricted: coin(),
		ThirdPartyInvites: coin(), Redactions: coin(), DuplicateStates: coin(), DeadBranches: coin(), StringLevels: coin(),
		NoPowerLevels: rng.IntN(8) == 0, Rejected: rng.IntN(4) == 0, SkipSignatures: true,
	}
}

// questions returns sets of states of the room to be resolved: those that merges and the tips ask for, and some that nothing asks for.
func questions(room *roomgen.Room, rng *rand.Rand) [][]roomgen.State {
	var all [][]roomgen.State
	for i := range room.Events {
		var sets []roomgen.State
		for _, prev := range room.Events[i].PDU.PrevEvents {
			sets = append(sets, room.Lookup(prev).StateAfter)
		}
		if len(sets) > 1 {
			all = append(all, sets)
		}
	}
	if tips := room.TipStates(); len(tips) > 1 {
		all = append(all, tips)
	}
	for range 6 {
		var sets []roomgen.State
		for range 2 + rng.IntN(3) {
			sets = append(sets, room.Events[rng.IntN(len(room.Events))].StateAfter)
		}
		all = append(all, sets)
	}
	return all
}

// TestAgreesWithReference resolves what comes up in hundreds of rooms, twice in this package, with the sets in another order and the
// events under other numbers, and once by the words of the specification.
func TestAgreesWithReference(t *testing.T) {
	for _, v := range event.Versions() {
		t.Run(v.ID, func(t *testing.T) {
			t.Parallel()
			rooms := roomsPerVersion
			if testing.Short() {
				rooms /= 10
			}
			for n := range uint64(rooms) {
				o := someOptions(v.ID, n)
				if n%2 == 0 {
					o.Resolve = referenceResolver
				}
				room, err := roomgen.Generate(o)
				if err != nil {
					t.Fatal(err)
				}
				rng := rand.New(rand.NewPCG(n, 11))
				numbered := []*roomgen.Numbered{room.Numbered(), room.Renumbered(rng)}
				for i, sets := range questions(room, rng) {
					if !agree(t, room, numbered, sets, rng) {
						t.Fatalf("room %d, question %d", n, i)
					}
				}
			}
		})
	}
}

// TestAgreesWithReferenceOnLarge resolves the branches of rooms of the shape that benchmarks use.
func TestAgreesWithReferenceOnLarge(t *testing.T) {
	for _, v := range event.Versions() {
		room, err := roomgen.Large(60, 60, v.ID)
		if err != nil {
			t.Fatal(err)
		}
		rng := rand.New(rand.NewPCG(1, 2))
		if !agree(t, room, []*roomgen.Numbered{room.Numbered(), room.Renumbered(rng)}, room.TipStates(), rng) {
			t.Errorf("version %s", v.ID)
		}
	}
}

// agree reports whether both implementations give one answer.
func agree(t *testing.T, room *roomgen.Room, numbered []*roomgen.Numbered, sets []roomgen.State, rng *rand.Rand) bool {
	t.Helper()
	want, err := referenceResolver(room, sets)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range numbered {
		set, err := n.Problem(sets...).Resolve()
		if err != nil {
			t.Error(err)
			return false
		}
		if got := n.State(set); !maps.Equal(got, want) {
			t.Errorf("%d states: %s", len(sets), difference(room, got, want))
			return false
		}
		sets = slices.Clone(sets)
		rng.Shuffle(len(sets), func(i, j int) { sets[i], sets[j] = sets[j], sets[i] })
	}
	return true
}

// difference describes where two states differ.
func difference(room *roomgen.Room, got, want roomgen.State) string {
	text := ""
	show := func(eventID id.EventID) string {
		p := room.PDU(eventID)
		if p == nil {
			return "nothing"
		}
		return fmt.Sprintf("%s by %s: %s", eventID, p.Sender, p.Content)
	}
	for k, eventID := range got {
		if want[k] != eventID {
			text += fmt.Sprintf("\n%s %q: got %s, want %s", k.Type, k.Key, show(eventID), show(want[k]))
		}
	}
	for k, eventID := range want {
		if got[k] == "" {
			text += fmt.Sprintf("\n%s %q: got nothing, want %s", k.Type, k.Key, show(eventID))
		}
	}
	return text
}

// TestReferenceIgnoresOrder holds the measure itself to what it must not depend on.
func TestReferenceIgnoresOrder(t *testing.T) {
	for _, v := range event.Versions() {
		t.Run(v.ID, func(t *testing.T) {
			for n := range uint64(10) {
				o := someOptions(v.ID, n)
				o.Resolve = referenceResolver
				room, err := roomgen.Generate(o)
				if err != nil {
					t.Fatal(err)
				}
				for _, sets := range questions(room, rand.New(rand.NewPCG(n, 13))) {
					forwards, err := referenceResolver(room, sets)
					if err != nil {
						t.Fatal(err)
					}
					slices.Reverse(sets)
					backwards, err := referenceResolver(room, sets)
					if err != nil {
						t.Fatal(err)
					}
					if !maps.Equal(forwards, backwards) {
						t.Fatalf("room %d: %s", n, difference(room, backwards, forwards))
					}
				}
			}
		})
	}
}
