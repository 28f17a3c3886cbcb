package store

import (
	"sync"
	"sync/atomic"

	"causeway/homeserver/sqldb"
)

// maxNewestRooms bounds the rooms of which it is remembered that they have had an event.
const maxNewestRooms = 200_000

// newestRooms is newest for the events of each room: there may be events up to the bound of a room, and there are none after it.
type newestRooms struct {
	mu         sync.RWMutex // guards upto and floor
	upto       map[int64]int64
	floor      int64        // the bound of all rooms that are not in upto
	generation atomic.Int64 // for which they hold
}

// touchRoom is touch for an event of a room.
func (tx *Tx) touchRoom(roomNID, pos int64) {
	n := &tx.db.newestRooms
	n.mu.Lock()
	defer n.mu.Unlock()
	if pos <= n.upto[roomNID] {
		return
	}
	if len(n.upto) >= maxNewestRooms {
		for _, bound := range n.upto {
			n.floor = max(n.floor, bound)
		}
		clear(n.upto)
	}
	n.upto[roomNID] = pos
}

// learn sets the bound of all rooms.
func (n *newestRooms) learn(pos, generation int64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.upto, n.floor = make(map[int64]int64), pos
	n.generation.Store(generation)
}

// awake returns those of rooms that may have events after a position.
func (n *newestRooms) awake(rooms []int64, after int64) []int64 {
	n.mu.RLock()
	defer n.mu.RUnlock()
	if n.floor > after {
		return rooms
	}
	kept := rooms[:0]
	for _, room := range rooms {
		if n.upto[room] > after {
			kept = append(kept, room)
		}
	}
	return kept
}

// SeatsNews returns a user's memberships that are newer than after, and those joins whose rooms may have events after it. Its cost is
// that of a glance at the user's rooms, and of a query for each of those few.
func (tx *Tx) SeatsNews(userNID, after int64) ([]Seat, error) {
	if tx.db.newestRooms.generation.Load() != tx.db.Generation() {
		return tx.Seats(userNID, after)
	}
	// The bounds are older than none of the rows that this transaction sees.
	quiet, err := tx.ints(`SELECT room_nid FROM memberships WHERE user_nid = $1 AND membership = 'join' AND pos <= $2`, userNID, after)
	if err != nil {
		return nil, err
	}
	awake := tx.db.newestRooms.awake(quiet, after)
	if len(awake) > maxIn {
		return tx.Seats(userNID, after)
	}
	fresh, err := tx.ints(`SELECT room_nid FROM memberships WHERE user_nid = $1 AND pos > $2`, userNID, after)
	if err != nil {
		return nil, err
	}
	var all []Seat
	err = inBatches(append(awake, fresh...), func(some []int64) error {
		query, args := sqldb.In(`SELECT `+seatColumns+`, (SELECT COALESCE(MAX(e.pos), 0) FROM events e WHERE e.room_nid = m.room_nid)
			FROM memberships m CROSS JOIN rooms r WHERE m.user_nid = $1 AND r.nid = m.room_nid AND m.room_nid IN `, 2, some)
		seats, err := tx.seats(query+` ORDER BY m.room_nid`, append([]any{userNID}, args...)...)
		all = append(all, seats...)
		return err
	})
	return all, err
}
