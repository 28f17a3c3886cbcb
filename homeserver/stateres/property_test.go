package stateres_test

import (
	"errors"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"causeway/homeserver/event"
	"causeway/homeserver/roomgen"
	"causeway/homeserver/stateres"
)

// mustResolve resolves states of a room, in the version's way or another.
func mustResolve(t *testing.T, n *roomgen.Numbered, version *event.RoomVersion, sets ...roomgen.State) stateres.Set {
	t.Helper()
	p := n.Problem(sets...)
	p.Version = version
	got, err := p.Resolve()
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// What holds of any resolution: the order and number of the states are of no account, doing it twice is doing it once, what all
// agree on stays, and nothing comes from elsewhere.
func TestProperties(t *testing.T) {
	for _, v := range event.Versions() {
		t.Run(v.ID, func(t *testing.T) {
			t.Parallel()
			rooms := uint64(20)
			if testing.Short() {
				rooms = 3
			}
			for seed := range rooms {
				room, err := roomgen.Generate(someOptions(v.ID, 1000+seed))
				if err != nil {
					t.Fatal(err)
				}
				rng := rand.New(rand.NewPCG(seed, 3))
				n := room.Renumbered(rng)
				for _, sets := range questions(room, rng) {
					checkProperties(t, n, v, sets, rng)
				}
			}
		})
	}
}

func checkProperties(t *testing.T, n *roomgen.Numbered, v *event.RoomVersion, sets []roomgen.State, rng *rand.Rand) {
	t.Helper()
	want := mustResolve(t, n, v, sets...)
	doubled := append(slices.Clone(sets), sets...)
	rng.Shuffle(len(doubled), func(i, j int) { doubled[i], doubled[j] = doubled[j], doubled[i] })
	if got := mustResolve(t, n, v, doubled...); !maps.Equal(got, want) {
		t.Errorf("each state twice, in another order: %v, want %v", got, want)
	}
	result := n.State(want)
	if got := mustResolve(t, n, v, result, result); !maps.Equal(got, want) {
		t.Errorf("resolved again: %v, want %v", got, want)
	}
	p := n.Problem(sets...)
	unconflicted, _ := stateres.Split(p.Sets)
	for k, id := range unconflicted {
		if want[k] != id {
			t.Errorf("%v is %d, and all agreed on %d", k, want[k], id)
		}
	}
	for k, id := range want {
		if e := n.Events[id]; e == nil || e.Place != k || e.Rejected {
			t.Errorf("%v is %+v", k, e)
		}
	}
}

// Where only messages' company is in conflict, that is no power event, nothing that is authorised by what is in conflict, and no part of
// the auth chains, it does not matter whether the algorithm starts from what all agree on: versions 2 and 2.1 agree.
func TestVersionsAgree(t *testing.T) {
	agreed := 0
	for _, id := range []string{"2", "6", "10", "11"} {
		older, err := event.LookupVersion(id)
		if err != nil {
			t.Fatal(err)
		}
		newer := *older
		newer.StateRes = event.StateResV21
		rooms := uint64(150)
		if testing.Short() {
			rooms = 20
		}
		for seed := range rooms {
			room, err := roomgen.Generate(roomgen.Options{
				Version: id, Seed: seed, Events: 40, Forks: 4, Extremities: int(seed % 4), SkipSignatures: true,
			})
			if err != nil {
				t.Fatal(err)
			}
			n := room.Numbered()
			for _, sets := range questions(room, rand.New(rand.NewPCG(seed, 5))) {
				if !plain(n, sets) {
					continue
				}
				agreed++
				before, after := mustResolve(t, n, older, sets...), mustResolve(t, n, &newer, sets...)
				if !maps.Equal(before, after) {
					t.Errorf("version %s, seed %d: %v and %v", id, seed, before, after)
				}
			}
		}
	}
	if agreed < 100 && !testing.Short() {
		t.Errorf("only %d resolutions were of the kind in question", agreed)
	}
}

// plain tells whether conflicts are of ordinary state alone, which is authorised by what all agree on.
func plain(n *roomgen.Numbered, sets []roomgen.State) bool {
	unconflicted, conflicted := stateres.Split(n.Problem(sets...).Sets)
	if len(conflicted) == 0 {
		return false
	}
	agreed := make(map[int64]bool)
	for _, id := range unconflicted {
		agreed[id] = true
	}
	for _, ids := range conflicted {
		for _, id := range ids {
			switch n.Events[id].PDU.Type {
			case event.TypePowerLevels, event.TypeJoinRules, event.TypeMember, event.TypeThirdPartyInvite, event.TypeCreate:
				return false
			}
			for _, a := range n.Auth[id] {
				if !agreed[a] {
					return false
				}
			}
		}
	}
	return true
}

func TestWhatIsMissing(t *testing.T) {
	room, err := roomgen.Generate(roomgen.Options{Version: "11", Forks: 3, Extremities: 3, Bans: true, SkipSignatures: true})
	if err != nil {
		t.Fatal(err)
	}
	n := room.Numbered()
	full := n.Problem(room.TipStates()...)
	want, err := full.Resolve()
	if err != nil {
		t.Fatal(err)
	}
	p := n.Problem(room.TipStates()...)
	p.Auth, p.Events = map[int64][]int64{}, map[int64]*stateres.Event{}
	var missing *stateres.MissingError
	if _, err := p.Resolve(); !errors.As(err, &missing) {
		t.Fatalf("with nothing loaded: %v", err)
	}
	rounds := 0
	for ids := p.MissingAuth(); len(ids) > 0; ids = p.MissingAuth() {
		for _, id := range ids {
			p.Auth[id] = n.Auth[id]
		}
		rounds++
	}
	if _, err := p.Resolve(); !errors.As(err, &missing) {
		t.Fatalf("without events: %v", err)
	}
	for ids := p.MissingEvents(); len(ids) > 0; ids = p.MissingEvents() {
		for _, id := range ids {
			p.Events[id] = n.Events[id]
		}
		rounds++
	}
	got, err := p.Resolve()
	if err != nil || !maps.Equal(got, want) {
		t.Errorf("%v, %v, want %v", got, err, want)
	}
	if len(p.Events) >= len(n.Events) || rounds > 2*len(n.Events) {
		t.Errorf("%d of %d events were asked for, in %d rounds", len(p.Events), len(n.Events), rounds)
	}
}

// FuzzResolve makes graphs of bytes that no honest server would: the answer is the same each time, holds only events that are there, and
// comes without a panic.
func FuzzResolve(f *testing.F) {
	rooms := make(map[string]*roomgen.Numbered)
	for _, version := range []string{"1", "2", "6", "11", "12"} {
		room, err := roomgen.Generate(roomgen.Options{
			Version: version, Seed: 1, Events: 60, Forks: 3, Extremities: 3, Bans: true, PowerStruggles: true, BadClocks: true,
			Knocks: true, Restricted: true, ThirdPartyInvites: true, Rejected: true, SkipSignatures: true,
		})
		if err != nil {
			f.Fatal(err)
		}
		rooms[version] = room.Numbered()
	}
	f.Add("12", uint8(2), []byte("\x01\x02\x03\x04\x05\x06\x07\x08\x09\x10\x11\x12\x13\x14\x15\x16"))
	f.Add("2", uint8(3), []byte("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"))
	f.Add("1", uint8(70), []byte("\xff\xfe\xfd\x00\x01\x02"))
	f.Fuzz(func(t *testing.T, version string, count uint8, raw []byte) {
		n := rooms[version]
		if n == nil {
			return
		}
		p := oddProblem(n, int(count), raw)
		first, err := p.Resolve()
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			slices.Reverse(p.Sets)
			again := stateres.Problem{Version: p.Version, Sets: p.Sets, Auth: p.Auth, Events: p.Events, Place: p.Place}
			second, err := again.Resolve()
			if err != nil || !maps.Equal(first, second) {
				t.Fatalf("%v, then %v, %v", first, second, err)
			}
		}
		for k, id := range first {
			if p.Events[id] == nil || p.Events[id].Place != k {
				t.Fatalf("%v is %d", k, id)
			}
		}
	})
}

// oddProblem makes sets, edges and rejections of the bytes, over the state events of a room.
func oddProblem(n *roomgen.Numbered, count int, raw []byte) *stateres.Problem {
	p := n.Problem()
	p.Events, p.Auth = maps.Clone(p.Events), maps.Clone(p.Auth)
	var ids []int64
	for id, e := range n.Events {
		if e.PDU.StateKey == nil {
			delete(p.Events, id)
			continue
		}
		ids = append(ids, id)
	}
	slices.Sort(ids)
	next := func() (b byte) {
		if len(raw) > 0 {
			b, raw = raw[0], raw[1:]
		}
		return b
	}
	pick := func() int64 { return ids[(int(next())<<8|int(next()))%len(ids)] }
	for range count {
		set := stateres.Set{}
		for range next() % 16 {
			id := pick()
			set[n.Events[id].Place] = id
		}
		p.Sets = append(p.Sets, set)
	}
	for len(raw) > 0 {
		id := pick()
		switch next() % 3 {
		case 0:
			e := *p.Events[id]
			e.Rejected = !e.Rejected
			p.Events[id] = &e
		default:
			p.Auth[id] = append(slices.Clone(p.Auth[id]), pick()) // circles among them
		}
	}
	return p
}
