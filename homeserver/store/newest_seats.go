package store

import "sync"

// maxNewestSeats bounds the users of whom it is remembered that a membership has changed without an event.
const maxNewestSeats = 50_000

// newestSeats is newest for changes of memberships of which no event of their rooms tells: rooms that are forgotten or purged. What
// happened before the database was opened, nobody who keeps memberships in memory has to ask.
type newestSeats struct {
	mu    sync.RWMutex // guards what follows
	users map[int64]int64
	floor int64 // the bound of all users
}

// touchSeats says that memberships of a user, or of all users for 0, are about to change without an event. It takes a position, so that
// what was read before can be told from what is read after.
func (tx *Tx) touchSeats(userNID int64) error {
	pos, err := tx.NextPos()
	if err != nil {
		return err
	}
	n := &tx.db.newestSeats
	n.mu.Lock()
	defer n.mu.Unlock()
	if userNID == 0 || len(n.users) >= maxNewestSeats {
		n.floor = max(n.floor, pos)
		clear(n.users)
		return nil
	}
	if n.users == nil {
		n.users = make(map[int64]int64)
	}
	n.users[userNID] = max(n.users[userNID], pos)
	return nil
}

// SeatsQuiet tells that after a position no membership of a user has changed but by events. It holds for one generation.
func (tx *Tx) SeatsQuiet(userNID, after int64) bool {
	n := &tx.db.newestSeats
	n.mu.RLock()
	defer n.mu.RUnlock()
	return n.floor <= after && n.users[userNID] <= after
}
