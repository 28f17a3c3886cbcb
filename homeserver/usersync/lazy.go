package usersync

import (
	"maps"
	"slices"
	"sync"

	"causeway/homeserver/event"
	"causeway/homeserver/store"

	"maunium.net/go/mautrix/id"
)

// Bounds of what is remembered of the members that clients were sent.
const (
	maxChains       = 20_000    // devices
	maxSentMembers  = 1_000_000 // members of rooms, of all devices together
	maxChainMembers = 50_000    // of one device
	maxChainSteps   = 4         // answers to one since token, of which the client has perhaps not read all
)

// sentMembers remembers, for devices that load members lazily, which members of which rooms they were sent, so that they are not sent
// again ("redundant membership events": Client-Server API, "Lazy-loading room members"). Changes of a member are told in any case.
//
// What an answer held is known to the client once it comes back with that answer's next_batch, and not before: it may never have read
// the answer. So there is what the client knows at a token, and beside it what each answer to that token has added. A client that
// comes back with any other token is taken to know nothing, as is one whose filter has changed, and all after a restart: it is then
// sent more than it needs, which does no harm.
type sentMembers struct {
	mu     sync.Mutex // guards chains and all that is in them
	chains map[chainKey]*chain
	total  int // the size of all chains
}

type chainKey struct {
	user   id.UserID
	device id.DeviceID
}

// chain is what one device was sent.
type chain struct {
	filter uint64
	at     int64 // the client has come with this token, 0 for none
	known  map[roomMember]struct{}
	steps  []chainStep // answers to the token
	size   int         // members in known, and members and rooms in steps
}

// chainStep is what an answer with the next_batch upto has added.
type chainStep struct {
	upto  int64
	fresh []int64 // rooms whose members the client was to forget
	added []roomMember
}

type roomMember struct{ room, member int64 }

// come notes that a device has come with a token, 0 for none.
func (s *sentMembers) come(key chainKey, filter uint64, since int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.chains[key]
	if c != nil && c.filter == filter && since != 0 {
		if c.at == since {
			return // once more
		}
		for _, step := range c.steps {
			if step.upto == since {
				if s.advance(c, step); c.size > maxChainMembers {
					break
				}
				s.fit()
				return
			}
		}
	}
	s.drop(key)
	s.shed()
	s.chains[key] = &chain{filter: filter, at: since, known: make(map[roomMember]struct{})}
}

// fit forgets devices where all together hold too much. The caller holds mu.
func (s *sentMembers) fit() {
	if s.total > maxSentMembers {
		s.shed()
	}
}

// weigh counts what a chain holds. The caller holds mu.
func (s *sentMembers) weigh(c *chain) {
	size := len(c.known)
	for _, step := range c.steps {
		size += step.size()
	}
	s.total += size - c.size
	c.size = size
}

func (a chainStep) size() int { return len(a.added) + len(a.fresh) }

// shed forgets devices, whichever, until the bounds are kept. The caller holds mu.
func (s *sentMembers) shed() {
	for any := range s.chains {
		if len(s.chains) < maxChains && s.total <= maxSentMembers {
			return
		}
		s.drop(any)
	}
}

// advance makes an answer part of what the client knows. The caller holds mu.
func (s *sentMembers) advance(c *chain, step chainStep) {
	if len(step.fresh) > 0 {
		fresh := make(map[int64]bool, len(step.fresh))
		for _, room := range step.fresh {
			fresh[room] = true
		}
		maps.DeleteFunc(c.known, func(rm roomMember, _ struct{}) bool { return fresh[rm.room] })
	}
	for _, rm := range step.added {
		c.known[rm] = struct{}{}
	}
	c.at, c.steps = step.upto, nil
	s.weigh(c)
}

// drop forgets a device. The caller holds mu.
func (s *sentMembers) drop(key chainKey) {
	if c := s.chains[key]; c != nil {
		s.total -= c.size
		delete(s.chains, key)
	}
}

// unknown returns those of the members of a room that a device which came with a token was not sent.
func (s *sentMembers) unknown(key chainKey, filter uint64, since, room int64, members []int64) []int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.chains[key]
	if c == nil || c.filter != filter || c.at != since || len(c.known) == 0 {
		return members
	}
	kept := members[:0]
	for _, member := range members {
		if _, ok := c.known[roomMember{room, member}]; !ok {
			kept = append(kept, member)
		}
	}
	return kept
}

// sent notes what an answer to a token has. Of two answers with the same next_batch, which the client cannot tell apart, what both have.
// Where that is too much, the oldest answers are not remembered: a client that comes back with one of those knows nothing.
func (s *sentMembers) sent(key chainKey, filter uint64, since int64, step chainStep) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.chains[key]
	if c == nil || c.filter != filter || c.at != since || step.upto == since {
		return
	}
	if i := slices.IndexFunc(c.steps, func(other chainStep) bool { return other.upto == step.upto }); i >= 0 {
		step = c.steps[i].both(step)
		c.steps = slices.Delete(c.steps, i, i+1)
	}
	c.steps = append(c.steps, step)
	for s.weigh(c); len(c.steps) > maxChainSteps || c.size > maxChainMembers && len(c.steps) > 0; s.weigh(c) {
		c.steps = slices.Delete(c.steps, 0, 1)
	}
	s.fit()
}

// both returns what a client knows that has read one of two answers.
func (a chainStep) both(b chainStep) chainStep {
	in := make(map[roomMember]bool, len(b.added))
	for _, rm := range b.added {
		in[rm] = true
	}
	fresh := slices.Concat(a.fresh, b.fresh)
	slices.Sort(fresh)
	kept := chainStep{upto: a.upto, fresh: slices.Compact(fresh)}
	for _, rm := range a.added {
		if in[rm] {
			kept.added = append(kept.added, rm)
		}
	}
	return kept
}

// remembers tells whether the pass is for a device whose members are remembered.
func (p *pass) remembers() bool {
	state := p.filter.Room.State
	return state.lazy() && !state.RedundantMembers
}

func (p *pass) chainKey() chainKey { return chainKey{p.req.User, p.req.Device} }

// redundant takes out of wanted the members that the client was sent before.
func (r *roomPass) redundant(full bool, wanted []int64) []int64 {
	if full || !r.remembers() {
		return wanted
	}
	return r.s.sent.unknown(r.chainKey(), r.filter.sum, r.since, r.seat.RoomNID, wanted)
}

// noteMembers notes which members the client is told of the room.
func (r *roomPass) noteMembers(full bool, state []*store.Event) error {
	if !r.remembers() {
		return nil
	}
	if full {
		r.lazy.fresh = append(r.lazy.fresh, r.seat.RoomNID)
	}
	told := state
	if r.req.StateAfter == "" { // else what the timeline says is not the state
		told = append(state[:len(state):len(state)], r.t.shown...)
	}
	for _, e := range told {
		if e.Type != event.TypeMember || e.StateKey == nil {
			continue
		}
		member, err := r.tx.LookupNID(*e.StateKey)
		if err != nil {
			return err
		}
		r.lazy.added = append(r.lazy.added, roomMember{r.seat.RoomNID, member})
	}
	return nil
}
