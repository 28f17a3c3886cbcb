package roomgen

import (
	"bytes"
	"errors"
	"maps"
	"slices"
	"testing"

	"maunium.net/go/mautrix/id"

	"causeway/homeserver/event"
	"causeway/homeserver/eventauth"
)

// everything is a room in which all that can happen may happen.
func everything(version string, seed uint64) Options {
	return Options{
		Version: version, Seed: seed, Servers: 4, UsersPerServer: 3, Events: 80, Forks: 3, Extremities: 5, AdditionalCreators: 1,
		Bans: true, PowerStruggles: true, BadClocks: true, BadDepths: true, Knocks: true, Restricted: true, ThirdPartyInvites: true,
		Redactions: true, DuplicateStates: true, DeadBranches: true, StringLevels: true, Rejected: true, Flawed: true,
	}
}

func generate(t *testing.T, o Options) *Room {
	t.Helper()
	room, err := Generate(o)
	if err != nil {
		t.Fatal(err)
	}
	return room
}

// TestEventsAreWhatTheySay holds every event of rooms of all versions to the checks of a server that receives it: the sound ones pass
// all of them, each of the flawed fails the check that its flaw names.
func TestEventsAreWhatTheySay(t *testing.T) {
	for _, v := range event.Versions() {
		t.Run(v.ID, func(t *testing.T) {
			for seed := range uint64(3) {
				room := generate(t, everything(v.ID, seed))
				seen := map[id.EventID]bool{}
				for i := range room.Events {
					e := &room.Events[i]
					if got := failure(room, e, seen); got != e.Flaw {
						t.Errorf("seed %d, event %d, %s %s: got flaw %q, want %q", seed, i, e.PDU.Type, e.PDU.Content, got, e.Flaw)
					}
					if want := e.Flaw != Sound && e.Flaw != WrongHash; e.Rejected != want {
						t.Errorf("seed %d, event %d: got rejected %t, want %t", seed, i, e.Rejected, want)
					}
					if event.ServerOf(e.PDU.Sender) != e.Server || e.PDU.RoomID != room.RoomID {
						t.Errorf("seed %d, event %d: of %s in %s by %s", seed, i, e.PDU.Sender, e.PDU.RoomID, e.Server)
					}
					seen[e.PDU.EventID] = true
				}
			}
		})
	}
}

// failure returns the first flaw of e that a server finds which has seen those that are in seen.
func failure(room *Room, e *Event, seen map[id.EventID]bool) Flaw {
	p := e.PDU
	if event.CheckSignatures(p, room.PublicKey) != nil {
		return BadSignature
	}
	if p.VerifyHash() != nil {
		return WrongHash
	}
	for _, prev := range p.PrevEvents {
		if !seen[prev] {
			return "unknown prev event"
		}
	}
	var auth []*event.PDU
	for _, eventID := range p.AuthEvents {
		if !seen[eventID] {
			return UnknownAuth
		}
		auth = append(auth, room.PDU(eventID))
	}
	rejected := false
	if eventauth.CheckAuthEvents(p, auth, func(eventID id.EventID) bool {
		rejected = rejected || room.Lookup(eventID).Rejected
		return rejected
	}) != nil {
		if rejected {
			return RejectedAuth
		}
		return "wrong auth events"
	}
	byAuth := eventauth.NewStateMap(auth...)
	if room.Version.RoomIDIsCreateHash {
		byAuth[eventauth.StateKey{Type: event.TypeCreate}] = room.Events[0].PDU
	}
	allowed := eventauth.Check(p, room.StateMap(e.StateBefore)) == nil
	if allowed && eventauth.Check(p, byAuth) != nil {
		return MissingAuth
	}
	if !allowed {
		return Forbidden
	}
	return Sound
}

// TestStatesFollow compares the states of events with those of the events before them.
func TestStatesFollow(t *testing.T) {
	for _, v := range event.Versions() {
		room := generate(t, everything(v.ID, 7))
		for i := range room.Events {
			e := &room.Events[i]
			var sets []State
			for _, prev := range e.PDU.PrevEvents {
				sets = append(sets, room.Lookup(prev).StateAfter)
			}
			before := State{}
			if len(sets) > 0 {
				before = sets[0]
			}
			if len(sets) > 1 {
				var err error
				if before, err = resolve(room, sets); err != nil {
					t.Fatal(err)
				}
			}
			if !maps.Equal(e.StateBefore, before) {
				t.Errorf("version %s, event %d: got state before %v, want %v", v.ID, i, e.StateBefore, before)
			}
			after := maps.Clone(before)
			if e.PDU.StateKey != nil && !e.Rejected {
				after[eventauth.StateKey{Type: e.PDU.Type, Key: *e.PDU.StateKey}] = e.PDU.EventID
			}
			if !maps.Equal(e.StateAfter, after) {
				t.Errorf("version %s, event %d: got state after %v, want %v", v.ID, i, e.StateAfter, after)
			}
		}
	}
}

// TestSameOptionsSameRoom makes rooms twice.
func TestSameOptionsSameRoom(t *testing.T) {
	for _, v := range event.Versions() {
		first, second := generate(t, everything(v.ID, 5)), generate(t, everything(v.ID, 5))
		same := slices.EqualFunc(first.Events, second.Events, func(x, y Event) bool { return bytes.Equal(x.PDU.JSON(), y.PDU.JSON()) })
		if !same || !maps.Equal(first.Resolved(), second.Resolved()) {
			t.Errorf("version %s: two rooms of the same options differ", v.ID)
		}
		other := generate(t, everything(v.ID, 6))
		if bytes.Equal(first.Events[3].PDU.JSON(), other.Events[3].PDU.JSON()) {
			t.Errorf("version %s: two rooms of different seeds do not differ", v.ID)
		}
	}
}

// TestOptionsHaveEffect looks in rooms with one option for what it asks for, and makes sure that it is not there without.
func TestOptionsHaveEffect(t *testing.T) {
	membership := func(m string) func(*Room, *Event) bool {
		return func(_ *Room, e *Event) bool { return e.PDU.Membership() == m }
	}
	flaw := func(f Flaw) func(*Room, *Event) bool { return func(_ *Room, e *Event) bool { return e.Flaw == f } }
	evType := func(name string) func(*Room, *Event) bool {
		return func(_ *Room, e *Event) bool { return e.PDU.Type == name }
	}
	for _, tc := range []struct {
		name, version string
		set           func(*Options)
		found         func(*Room, *Event) bool
	}{
		{"forks", "12", func(o *Options) { o.Forks = 3 }, func(_ *Room, e *Event) bool { return len(e.PDU.PrevEvents) > 1 }},
		{"additional creators", "12", func(o *Options) { o.AdditionalCreators = 1 }, func(_ *Room, e *Event) bool {
			return e.PDU.Type == event.TypeCreate && e.PDU.ContentValue("additional_creators") != nil
		}},
		{"bad clocks", "6", func(o *Options) { o.BadClocks = true }, func(_ *Room, e *Event) bool { return e.PDU.OriginServerTS > 1<<52 }},
		{"bad depths", "1", func(o *Options) { o.BadDepths = true }, func(_ *Room, e *Event) bool { return e.PDU.Depth > 1<<40 }},
		{"knocks", "10", func(o *Options) { o.Knocks = true }, membership(event.MembershipKnock)},
		{"restricted", "10", func(o *Options) { o.Restricted = true }, func(_ *Room, e *Event) bool { return e.PDU.AuthorisedVia() != "" }},
		{"third-party invites", "2", func(o *Options) { o.ThirdPartyInvites = true }, func(_ *Room, e *Event) bool {
			return e.PDU.Type == event.TypeMember && e.PDU.ContentValue("third_party_invite") != nil
		}},
		{"redactions", "11", func(o *Options) { o.Redactions = true }, func(_ *Room, e *Event) bool { return e.PDU.Redacts != "" }},
		{"redactions of old", "1", func(o *Options) { o.Redactions = true }, evType(event.TypeRedaction)},
		{"string levels", "9", func(o *Options) { o.StringLevels = true }, func(_ *Room, e *Event) bool {
			return e.PDU.Type == event.TypePowerLevels && bytes.Contains(e.PDU.Content, []byte(`:"`))
		}},
		{"rejected", "12", func(o *Options) { o.Rejected = true }, flaw(Forbidden)},
		{"wrong hash", "12", func(o *Options) { o.Flawed = true }, flaw(WrongHash)},
		{"bad signature", "1", func(o *Options) { o.Flawed = true }, flaw(BadSignature)},
		{"missing auth", "3", func(o *Options) { o.Flawed = true }, flaw(MissingAuth)},
		{"unknown auth", "3", func(o *Options) { o.Flawed = true }, flaw(UnknownAuth)},
		{"rejected auth", "2", func(o *Options) { o.Flawed = true }, flaw(RejectedAuth)},
		{"on a rejected event", "2", func(o *Options) { o.Flawed = true }, func(r *Room, e *Event) bool {
			return slices.ContainsFunc(e.PDU.PrevEvents, func(prev id.EventID) bool { return r.Lookup(prev).Rejected })
		}},
		{"duplicate states", "12", func(o *Options) { o.DuplicateStates = true }, repeats},
	} {
		t.Run(tc.name, func(t *testing.T) {
			o := Options{Version: tc.version, Events: 60, SkipSignatures: true}
			if n := count(t, o, tc.found); n != 0 && tc.name != "duplicate states" {
				t.Errorf("without the option: got %d, want none", n)
			}
			tc.set(&o)
			if n := count(t, o, tc.found); n == 0 {
				t.Error("got none, want some")
			}
		})
	}
}

// count returns how many events of some rooms are found.
func count(t *testing.T, o Options, found func(*Room, *Event) bool) (n int) {
	t.Helper()
	for o.Seed = range 5 {
		room := generate(t, o)
		for i := range room.Events {
			if found(room, &room.Events[i]) {
				n++
			}
		}
	}
	return n
}

// repeats reports whether e sets what was set already.
func repeats(r *Room, e *Event) bool {
	if e.PDU.StateKey == nil {
		return false
	}
	was := r.PDU(e.StateBefore[eventauth.StateKey{Type: e.PDU.Type, Key: *e.PDU.StateKey}])
	return was != nil && bytes.Equal(was.Content, e.PDU.Content)
}

// TestTips counts the branches that rooms end with.
func TestTips(t *testing.T) {
	for _, tc := range []struct {
		name string
		o    Options
		want int
	}{
		{"one branch", Options{}, 1},
		{"forks are merged", Options{Forks: 1, Extremities: 1, Seed: 2}, 1},
		{"branches", Options{Extremities: 7}, 7},
		{"more than an event can join", Options{Extremities: 40}, 40},
	} {
		t.Run(tc.name, func(t *testing.T) {
			room := generate(t, tc.o)
			if got := len(room.Tips()); got != tc.want {
				t.Errorf("got %d tips, want %d", got, tc.want)
			}
			if got := len(room.TipStates()); got != tc.want {
				t.Errorf("got %d states, want %d", got, tc.want)
			}
		})
	}
}

func TestBadOptions(t *testing.T) {
	for _, tc := range []struct {
		name string
		o    Options
		want error
	}{
		{"version", Options{Version: "0"}, event.ErrUnknownVersion},
		{"servers", Options{Servers: -1}, ErrOptions},
		{"too many servers", Options{Servers: maxServers + 1}, ErrOptions},
		{"users", Options{UsersPerServer: -1}, ErrOptions},
		{"events", Options{Events: -1}, ErrOptions},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if _, err := Generate(tc.o); !errors.Is(err, tc.want) {
				t.Errorf("got %v, want %v", err, tc.want)
			}
		})
	}
	t.Run("resolver", func(t *testing.T) {
		broken := errors.New("broken")
		o := Options{Forks: 3, Extremities: 3, Resolve: func(*Room, []State) (State, error) { return nil, broken }}
		if _, err := Generate(o); !errors.Is(err, broken) {
			t.Errorf("got %v, want %v", err, broken)
		}
	})
}
