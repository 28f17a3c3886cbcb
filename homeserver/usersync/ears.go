package usersync

import (
	"slices"
	"sync"

	"causeway/homeserver/event"
	"causeway/homeserver/notify"
	"causeway/homeserver/store"
)

// maxEars bounds the users whose bells are kept in memory.
const maxEars = 20_000

// ears remembers which bells concern a user, so that parking does not read the list of the user's rooms each time.
type ears struct {
	mu         sync.Mutex // guards users, what is in them, and generation
	users      map[int64]*hearing
	generation int64 // of the database, for which they hold
}

// hearing is the bells of one user as of a position of the stream.
type hearing struct {
	asOf int64
	keys []notify.Key // the user, then the rooms joined; never changed in place
}

// keys returns the bells of a user as of upto or later. seats are the user's rooms with events at after < pos ≤ upto.
func (e *ears) keys(tx *store.Tx, userNID, after, upto int64, seats []store.Seat) ([]notify.Key, error) {
	e.mu.Lock()
	generation := tx.Generation()
	if e.generation != generation {
		clear(e.users)
		e.generation = generation
	}
	h := e.users[userNID]
	if h != nil && h.asOf >= after {
		if upto > h.asOf {
			h.follow(seats, upto)
		}
		defer e.mu.Unlock()
		return h.keys, nil
	}
	e.mu.Unlock()
	rooms, err := tx.JoinedRooms(userNID)
	if err != nil {
		return nil, err
	}
	h = &hearing{asOf: upto, keys: make([]notify.Key, 1, len(rooms)+1)}
	h.keys[0] = notify.Key{Kind: notify.User, NID: userNID}
	for _, nid := range rooms {
		h.keys = append(h.keys, notify.Key{Kind: notify.Room, NID: nid})
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.users) >= maxEars {
		clear(e.users)
	}
	if e.generation == generation {
		e.users[userNID] = h
	}
	return h.keys, nil
}

// known returns the bells of a user as of a position or later, if they are in memory.
func (e *ears) known(userNID, pos int64) []notify.Key {
	e.mu.Lock()
	defer e.mu.Unlock()
	if h := e.users[userNID]; h != nil && h.asOf >= pos {
		return h.keys
	}
	return nil
}

// heard carries the bells of a user on to upto, if they are in memory. seats are as for keys.
func (e *ears) heard(userNID, after, upto int64, seats []store.Seat) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if h := e.users[userNID]; h != nil && h.asOf >= after && upto > h.asOf {
		h.follow(seats, upto)
	}
}

// follow takes in the memberships that changed. The caller holds ears.mu.
func (h *hearing) follow(seats []store.Seat, upto int64) {
	for _, s := range seats {
		if s.Pos <= h.asOf {
			continue
		}
		key := notify.Key{Kind: notify.Room, NID: s.RoomNID}
		at := slices.Index(h.keys, key)
		joined := s.Membership.Membership == event.MembershipJoin
		switch {
		case joined && at < 0:
			h.keys = append(slices.Clone(h.keys), key)
		case !joined && at >= 0:
			h.keys = slices.Delete(slices.Clone(h.keys), at, at+1)
		}
	}
	h.asOf = upto
}
