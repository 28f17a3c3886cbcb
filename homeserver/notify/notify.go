// Package notify is the doorbell: it tells those who wait that rows may have changed. Rows are the truth. A signal only ends
// a wait; it may be lost, doubled or late, so every reader also looks when its ticker fires. The services publish after
// their commit; usersync and the followers of the stream wait. It stores nothing and delivers nothing.
package notify

import "sync"

// Kind says what a Key names.
type Kind byte

// The kinds of keys.
const (
	Room   Kind = 'r' // events, receipts and the like in a room; NID is the room's
	User   Kind = 'u' // what concerns one user; NID is the user's
	Stream Kind = 's' // any event at all; NID is 0
	All    Kind = 'a' // whatever is published; NID is 0
)

// Key names what changed.
type Key struct {
	Kind Kind
	NID  int64
}

// Events is the key that rings for every event.
var Events = Key{Kind: Stream}

// Anything is the key that rings whenever any other does. Nobody publishes it.
var Anything = Key{Kind: All}

// Signal says that rows of Key up to position Pos are committed.
type Signal struct {
	Key Key
	Pos int64
}

// UserAndRooms returns signals for a user and for rooms that the user is in: those who share one have to hear of it, too.
func UserAndRooms(userNID int64, rooms []int64, pos int64) []Signal {
	signals := make([]Signal, 1, len(rooms)+1)
	signals[0] = Signal{Key: Key{Kind: User, NID: userNID}, Pos: pos}
	for _, nid := range rooms {
		signals = append(signals, Signal{Key: Key{Kind: Room, NID: nid}, Pos: pos})
	}
	return signals
}

// Bus carries signals from writers to those who wait.
type Bus interface {
	// Publish rings for each signal. It never blocks.
	Publish(signals ...Signal)
	// Register returns a bell that rings for any of the keys. Register, then read, then wait.
	Register(keys ...Key) *Bell
}

// Bell rings on C. It is closed by Close, and must be.
type Bell struct {
	C     <-chan struct{}
	c     chan struct{}
	keys  []Key
	local *Local
}

// Local is the Bus of a single process. The zero value is ready.
type Local struct {
	mu    sync.Mutex // guards bells
	bells map[Key]map[*Bell]struct{}
}

// Register implements Bus.
func (l *Local) Register(keys ...Key) *Bell {
	c := make(chan struct{}, 1)
	b := &Bell{C: c, c: c, keys: keys, local: l}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.bells == nil {
		l.bells = make(map[Key]map[*Bell]struct{})
	}
	for _, k := range keys {
		set := l.bells[k]
		if set == nil {
			set = make(map[*Bell]struct{})
			l.bells[k] = set
		}
		set[b] = struct{}{}
	}
	return b
}

// Publish implements Bus.
func (l *Local) Publish(signals ...Signal) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range signals {
		l.ring(s.Key)
	}
	if len(signals) > 0 {
		l.ring(Anything)
	}
}

// ring rings the bells of a key. The caller holds mu.
func (l *Local) ring(k Key) {
	for b := range l.bells[k] {
		select {
		case b.c <- struct{}{}:
		default: // it rings already
		}
	}
}

// Close takes the bell from the bus.
func (b *Bell) Close() {
	b.local.mu.Lock()
	defer b.local.mu.Unlock()
	for _, k := range b.keys {
		delete(b.local.bells[k], b)
		if len(b.local.bells[k]) == 0 {
			delete(b.local.bells, k)
		}
	}
}
