package roomgen

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"

	"maunium.net/go/mautrix/id"

	"causeway/homeserver/event"
	"causeway/homeserver/eventauth"
)

// world is a room while it is made, and the servers in it.
type world struct {
	smith
	o       Options
	rng     *rand.Rand
	clock   int64 // milliseconds; the right time
	servers []*server
	users   []id.UserID // of all servers

	states  []State // all distinct ones there were, by number
	before  []int   // by event, the number of the state before it
	after   []int
	known   map[string]int // the number of a resolved state, by those that it was resolved from
	secrets []invitation   // third-party invites
	grudges []grudge       // of bans that were not heard of
}

// server is one of the servers, with what it has heard of the room.
type server struct {
	name  string
	users []id.UserID
	heard []bool // by event
	tips  []int  // its forward extremities
	group int    // it hears servers of the same group
	skew  int64  // its clock minus the right time, milliseconds
	stuck bool   // its clock stands still
}

func newWorld(o Options, v *event.RoomVersion) *world {
	room := &Room{Version: v, Keys: make(map[string]*event.Key), index: make(map[id.EventID]int), resolve: o.Resolve}
	w := &world{
		smith: smith{room: room, quick: o.SkipSignatures}, o: o, clock: 1_700_000_000_000,
		rng: rand.New(rand.NewPCG(o.Seed, 0x726f6f6d)), known: make(map[string]int), states: []State{{}},
	}
	w.opaque = w.randomText
	for i := range o.Servers {
		s := &server{name: fmt.Sprintf("s%d.example", i)}
		for j := range o.UsersPerServer {
			user := id.UserID(fmt.Sprintf("@u%d:%s", j, s.name))
			s.users = append(s.users, user)
			w.users = append(w.users, user)
		}
		w.servers = append(w.servers, s)
		room.Keys[s.name] = newKey(o.Seed, s.name)
		if o.BadClocks && i > 0 {
			s.skew, s.stuck = badSkews[w.rng.IntN(len(badSkews))], w.rng.IntN(3) == 0
		}
	}
	return w
}

// year is in milliseconds.
const year = 365 * 24 * 3600 * 1000

var badSkews = []int64{0, -10 * year, 10 * year, -3_600_000, 3_600_000, -year}

// randomText returns letters that are not said twice.
func (w *world) randomText() string {
	var raw [12]byte
	binary.LittleEndian.PutUint64(raw[:], w.rng.Uint64())
	binary.LittleEndian.PutUint32(raw[8:], uint32(len(w.room.Events)))
	return base64.RawURLEncoding.EncodeToString(raw[:])
}

// chance is true once in n times.
func (w *world) chance(n int) bool { return w.rng.IntN(n) == 0 }

// pick returns one of list, or the zero value when there is none.
func pick[T any](w *world, list []T) T {
	if len(list) == 0 {
		var none T
		return none
	}
	return list[w.rng.IntN(len(list))]
}

func (w *world) serverOf(user id.UserID) *server {
	for _, s := range w.servers {
		if s.name == event.ServerOf(user) {
			return s
		}
	}
	return nil
}

// hear tells s of the event. Those that were rejected are no extremities.
func (w *world) hear(s *server, i int) {
	for len(s.heard) <= i {
		s.heard = append(s.heard, false)
	}
	if s.heard[i] || w.room.Events[i].Rejected {
		return
	}
	s.heard[i] = true
	for _, prev := range w.room.Events[i].PDU.PrevEvents {
		if at := slices.Index(s.tips, w.room.index[prev]); at >= 0 {
			s.tips = slices.Delete(s.tips, at, at+1)
		}
	}
	s.tips = append(s.tips, i)
}

// tell makes the event known to the group of its server.
func (w *world) tell(from *server, i int) {
	for _, s := range w.servers {
		if s.group == from.group {
			w.hear(s, i)
		}
	}
}

// merge lets all servers hear all that any of them has heard.
func (w *world) merge() {
	for _, s := range w.servers {
		s.group = 0
	}
	for i := range w.room.Events {
		heard := slices.ContainsFunc(w.servers, func(s *server) bool { return i < len(s.heard) && s.heard[i] })
		if !heard {
			continue
		}
		for _, s := range w.servers {
			w.hear(s, i)
		}
	}
}

// stateBefore returns the number of the state before an event on prev.
func (w *world) stateBefore(prev []int) (int, error) {
	var numbers []int
	for _, i := range prev {
		numbers = append(numbers, w.after[i])
	}
	slices.Sort(numbers)
	numbers = slices.Compact(numbers)
	switch len(numbers) {
	case 0:
		return 0, nil
	case 1:
		return numbers[0], nil
	}
	key := fmt.Sprint(numbers)
	if number, ok := w.known[key]; ok {
		return number, nil
	}
	var sets []State
	for _, number := range numbers {
		sets = append(sets, w.states[number])
	}
	resolved, err := w.room.resolve(w.room, sets)
	if err != nil {
		return 0, err
	}
	w.known[key] = w.newState(resolved)
	return w.known[key], nil
}

func (w *world) newState(s State) int {
	w.states = append(w.states, s)
	return len(w.states) - 1
}

// now returns the state that s believes the room to be in.
func (w *world) now(s *server) (State, error) {
	number, err := w.stateBefore(w.prevOf(s))
	if err != nil {
		return nil, err
	}
	return w.states[number], nil
}

// prevOf returns what an event of s has as its prev events: its extremities, the latest of them when there are too many.
func (w *world) prevOf(s *server) []int {
	return s.tips[max(0, len(s.tips)-event.MaxPrevEvents):]
}

// site returns where an event of s on prev stands, but for its auth events.
func (w *world) site(s *server, prev []int) site {
	w.clock += 1 + w.rng.Int64N(5000)
	at := site{ts: w.clock + s.skew}
	if s.stuck {
		at.ts = s.skew + 1_700_000_000_000
	}
	if w.o.BadClocks && w.chance(8) {
		at.ts = pick(w, []int64{0, 1, 1<<53 - 1, w.clock + 50*year})
	}
	for _, i := range prev {
		p := w.room.Events[i].PDU
		at.prev = append(at.prev, p.EventID)
		at.depth = max(at.depth, p.Depth)
	}
	at.depth = min(at.depth+1, maxDepth)
	if w.o.BadDepths && len(prev) > 0 && w.chance(5) {
		at.depth = pick(w, []int64{0, 1, 2, maxDepth, maxDepth / 2, w.rng.Int64N(100)})
	}
	return at
}

// maxDepth is the highest depth. Room version 6, "Canonical JSON".
const maxDepth = 1<<53 - 1

// record adds the event to the room, with the states around it.
func (w *world) record(from *server, p *event.PDU, before int, flaw Flaw, rejected bool) int {
	after := before
	if p.StateKey != nil && !rejected {
		next := make(State, len(w.states[before])+1)
		for k, eventID := range w.states[before] {
			next[k] = eventID
		}
		next[eventauth.StateKey{Type: p.Type, Key: *p.StateKey}] = p.EventID
		after = w.newState(next)
	}
	w.before, w.after = append(w.before, before), append(w.after, after)
	return w.room.add(Event{
		PDU: p, Server: from.name, StateBefore: w.states[before], StateAfter: w.states[after], Rejected: rejected, Flaw: flaw,
	})
}
