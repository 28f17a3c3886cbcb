package usersync

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"causeway/homeserver/store"

	"maunium.net/go/mautrix/id"
)

const (
	// maxSlidingConnections bounds the connections of a device.
	maxSlidingConnections = 16
	// SlidingKeep is how long a connection is kept that nobody uses.
	SlidingKeep = 7 * 24 * time.Hour
	// slidingTouch is how old the record of the last use of a connection may be, where nothing else is to be recorded.
	slidingTouch = 12 * time.Hour
	// maxSlidingConfigs bounds the forms of required_state that a connection remembers.
	maxSlidingConfigs = 64
	// maxSlidingMemory bounds the rooms, the memberships, and the patterns of required_state, that the connections in memory hold
	// together. Others are read from the database when they are used.
	maxSlidingMemory = 500_000
)

// errUnknownPos has the client begin anew.
var errUnknownPos = matrixError(400, "M_UNKNOWN_POS", "This position of the connection is not known, or no longer: begin anew")

// slidingPos is a position of a connection: the device knows what the answer seq told, and all that lives outside of connections up
// to stream. typing is the serial number of what is known of who is typing.
type slidingPos struct {
	stream, typing, conn, seq int64
}

// A position begins as a token, and serves as one for /messages (MSC4186, "Connections").
func (p slidingPos) String() string {
	dst := appendToken(nil, p.stream)
	for _, n := range [...]int64{p.typing, p.conn, p.seq} {
		dst = strconv.AppendInt(append(dst, '_'), n, 10)
	}
	return string(dst)
}

func parseSlidingPos(s string) (p slidingPos, ok bool) {
	parts := strings.Split(s, "_")
	if len(parts) != 4 || len(parts[0]) < 2 || parts[0][0] != tokenPrefix {
		return p, false
	}
	parts[0] = parts[0][1:]
	for i, into := range [...]*int64{&p.stream, &p.typing, &p.conn, &p.seq} {
		n, err := strconv.ParseUint(parts[i], 10, 63)
		if err != nil {
			return p, false
		}
		*into = int64(n)
	}
	return p, true
}

// connKey names a connection.
type connKey struct {
	user   id.UserID
	device id.DeviceID
	connID string
}

// slidingConn is a connection: what a device knows by it. What is in memory is what is in the database, and may be put out of memory
// whenever nobody holds mu.
//
// The device has the answer number row.Base, by which it knows rooms. The answer number next it may have or not; by that it knows the
// rooms of pending in the place of those. The next request says which.
type slidingConn struct {
	key   connKey
	users int // requests at work or parked; guarded, as is size, by slidingConns.mu
	size  int

	mu         sync.Mutex // guards what follows
	loaded     bool
	generation int64 // of the database, for which it was loaded
	row        store.SlidingConnection
	rooms      map[int64]*store.SlidingRoom // never changed in place
	next       int64                        // row.Seq, where the device may have that answer; 0 where it is at row.Base
	pending    map[int64]*store.SlidingRoom // what the device knows by that answer
	obsolete   []store.SlidingRoom          // rows to delete with the next write
	wishes     map[int64]stateWish
	wishIDs    map[string]int64
	settled    settlement
	later      settlement // what settled becomes when the answer next has arrived
	views      [2]typingView
	turn       int64 // the newest of a settlement
	seats      keptSeats
	stuck      [2]stickySet

	over chan struct{} // closed when another request takes the place of the one that waits
}

// settlement says that a request of a digest has been told all that there is up to a position. It is the zero value where that is not
// known.
type settlement struct {
	digest [sha256.Size]byte
	pos    int64
	turn   int64             // another one whenever the rooms were chosen
	rooms  map[int64]bool    // those that the request was about; never changed in place
	counts map[string]int    // the length of each list; never changed in place
	sticky store.StickyPlace // see slidingSticky
	live   int64             // where not all was told: the position of the answer before, since when the rest is news; 0 for all was
}

// typingView is the rooms in which a device knows who is typing, by the answer that has a position.
type typingView struct {
	pos   slidingPos
	turn  int64          // that of the settlement which the answer made
	rooms map[int64]bool // never changed in place; nil for not known
}

// view returns what a device knows of who is typing at a position.
func (c *slidingConn) view(pos slidingPos) typingView {
	for _, v := range c.views {
		if v.pos == pos {
			return v
		}
	}
	return typingView{}
}

// noteView keeps the view of an answer, besides that of the answer before, which is the one that the device has if this one is lost.
func (c *slidingConn) noteView(before slidingPos, v typingView) {
	i := 0
	if c.views[0].pos == before && before != v.pos {
		i = 1
	}
	c.views[i] = v
}

// slidingConns are the connections in memory.
type slidingConns struct {
	mu   sync.Mutex // guards all, and users and size of each
	all  map[connKey]*slidingConn
	size int // of all together
}

// acquire returns a connection, which may have to be loaded. release must follow.
func (s *slidingConns) acquire(key connKey) *slidingConn {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.all[key]
	if c == nil {
		c = &slidingConn{key: key}
		s.all[key] = c
	}
	c.users++
	return c
}

func (s *slidingConns) release(c *slidingConn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c.users--
	s.weigh(c, false)
	if s.size <= maxSlidingMemory {
		return
	}
	for _, other := range s.all {
		if s.weigh(other, true); s.size <= maxSlidingMemory/2 {
			return
		}
	}
}

// weigh counts what a connection holds, after putting it out of memory if that is wanted, and lets go of one that holds nothing. One
// that is at work has its turn later. The caller holds mu.
func (s *slidingConns) weigh(c *slidingConn, unload bool) {
	if !c.mu.TryLock() {
		return
	}
	defer c.mu.Unlock()
	if unload {
		c.unload()
	}
	size := 0
	if c.loaded {
		size = 1 + len(c.rooms) + len(c.pending) + len(c.seats.all) + c.patterns()
	}
	s.size += size - c.size
	if c.size = size; size == 0 && c.users == 0 {
		delete(s.all, c.key)
	}
}

// unload puts the connection out of memory. The caller holds mu.
func (c *slidingConn) unload() {
	c.loaded = false
	c.rooms, c.pending, c.obsolete, c.wishes, c.wishIDs = nil, nil, nil, nil, nil
	c.settled, c.later, c.views, c.seats, c.stuck = settlement{}, settlement{}, [2]typingView{}, keptSeats{}, [2]stickySet{}
}

// begin makes the connection a new one, of which the device knows nothing.
func (c *slidingConn) begin(userNID, generation int64) {
	c.loaded, c.generation = true, generation
	c.row = store.SlidingConnection{UserNID: userNID, DeviceID: c.key.device, ConnID: c.key.connID}
	c.rooms, c.next, c.pending, c.obsolete = make(map[int64]*store.SlidingRoom), 0, nil, nil
	c.wishes, c.wishIDs = make(map[int64]stateWish), make(map[string]int64)
	c.settled, c.later, c.views, c.seats, c.stuck = settlement{}, settlement{}, [2]typingView{}, keptSeats{}, [2]stickySet{}
}

// load reads the connection from the database, if it is not in memory. The error is errUnknownPos when there is none.
func (c *slidingConn) load(tx *store.Tx, userNID, generation int64) error {
	if c.loaded && c.generation == generation {
		return nil
	}
	row, rooms, err := tx.SlidingConnection(userNID, c.key.device, c.key.connID)
	if errors.Is(err, store.ErrNotFound) {
		return errUnknownPos
	}
	if err != nil {
		return err
	}
	c.begin(userNID, generation)
	if c.row = row; row.Seq > row.Base {
		c.next = row.Seq
	}
	var wishes map[int64]stateWish
	if err := json.Unmarshal([]byte(row.Configs), &wishes); err != nil {
		return fmt.Errorf("configs of connection %d: %w", row.NID, err)
	}
	for configID, wish := range wishes {
		name, err := wish.name()
		if err != nil {
			return err
		}
		c.wishes[configID], c.wishIDs[name] = wish, configID
	}
	for _, r := range rooms {
		if r.Seq > row.Base {
			if c.pending == nil {
				c.pending = make(map[int64]*store.SlidingRoom)
			}
			c.pending[r.RoomNID] = &r
			continue
		}
		c.learn(&r)
	}
	return nil
}

// learn notes what the device knows of a room, in the place of what it knew.
func (c *slidingConn) learn(r *store.SlidingRoom) {
	if old := c.rooms[r.RoomNID]; old != nil {
		c.obsolete = append(c.obsolete, store.SlidingRoom{RoomNID: old.RoomNID, Seq: old.Seq})
	}
	c.rooms[r.RoomNID] = r
}

// resume goes to a position that the device has. The error is errUnknownPos.
func (c *slidingConn) resume(p slidingPos) error {
	switch {
	case p.conn != c.row.NID || p.seq == 0 || p.seq != c.row.Base && (p.seq != c.next || c.next == 0):
		return errUnknownPos
	case p.seq == c.next:
		for _, r := range c.pending {
			c.learn(r)
		}
		c.row.Base, c.settled = c.next, c.later
	case c.next != 0:
		// The answer was lost. Its number is not used again.
		for _, r := range c.pending {
			c.obsolete = append(c.obsolete, store.SlidingRoom{RoomNID: r.RoomNID, Seq: r.Seq})
		}
		c.settled = settlement{}
	}
	c.next, c.pending, c.later = 0, nil, settlement{}
	return nil
}

// name is the wish as JSON, the same for wishes that are the same.
func (w stateWish) name() (string, error) {
	parts := make([]string, len(w))
	for i, q := range w {
		raw, err := json.Marshal(q)
		if err != nil {
			return "", err
		}
		parts[i] = string(raw)
	}
	slices.Sort(parts)
	return "[" + strings.Join(slices.Compact(parts), ",") + "]", nil
}

// config returns the number of a wish, a new one if need be. The error is errUnknownPos where a client goes on to invent others.
func (c *slidingConn) config(w stateWish) (int64, error) {
	name, err := w.name()
	if err != nil {
		return 0, err
	}
	if configID, ok := c.wishIDs[name]; ok {
		return configID, nil
	}
	if len(c.wishes) >= maxSlidingConfigs {
		return 0, errUnknownPos
	}
	next := int64(1)
	for configID := range c.wishes {
		next = max(next, configID+1)
	}
	c.wishes[next], c.wishIDs[name] = w, next
	return next, nil
}

// forgetConfigs drops the wishes that no room is told by.
func (c *slidingConn) forgetConfigs() {
	used := make(map[int64]bool)
	for _, rooms := range [...]map[int64]*store.SlidingRoom{c.rooms, c.pending} {
		for _, r := range rooms {
			used[r.Config] = true
		}
	}
	maps.DeleteFunc(c.wishIDs, func(_ string, configID int64) bool { return !used[configID] })
	maps.DeleteFunc(c.wishes, func(configID int64, _ stateWish) bool { return !used[configID] })
}

// patterns is how many patterns the wishes have, each of which takes about as much memory as a room.
func (c *slidingConn) patterns() (n int) {
	for _, wish := range c.wishes {
		for _, q := range wish {
			n += len(q.Include) + len(q.Exclude)
		}
	}
	return n
}

// configsJSON is the wishes as they are stored.
func (c *slidingConn) configsJSON() (string, error) {
	raw, err := json.Marshal(c.wishes)
	return string(raw), err
}

// expireAtOnce bounds the connections that one transaction deletes.
const expireAtOnce = 50

// ExpireSliding deletes the connections of sliding sync that have not been used for SlidingKeep.
func ExpireSliding(ctx context.Context, db *store.DB, now time.Time) error {
	for n := expireAtOnce; n >= expireAtOnce; {
		err := db.Write(ctx, func(tx *store.Tx) (err error) {
			n, err = tx.ExpireSliding(now.Add(-SlidingKeep).UnixMilli(), expireAtOnce)
			return err
		})
		if err != nil {
			return fmt.Errorf("delete unused connections: %w", err)
		}
	}
	return nil
}
