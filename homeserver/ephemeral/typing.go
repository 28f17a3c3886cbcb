package ephemeral

import (
	"context"
	"slices"
	"sync"
	"time"

	"causeway/homeserver/notify"
	"causeway/homeserver/store"

	"github.com/rs/zerolog"
	"maunium.net/go/mautrix/id"
)

// How long a user is typing who does not say so again.
const (
	defaultTyping = 30 * time.Second
	maxTyping     = 2 * time.Minute
)

const (
	// maxTypists bounds those who are shown typing in one room. More are not news to anybody.
	maxTypists = 100
	// maxTypingChanges bounds the changes that are remembered for devices that have not heard of them.
	maxTypingChanges = 4096
)

// Typing knows who is typing where. It is kept in memory alone: after a restart, nobody types. Each change has a serial, which begins
// with the time of the start in milliseconds, so that it grows over restarts.
type Typing struct {
	db     *store.DB
	bus    notify.Bus
	active func(id.UserID) // told of users who begin to type

	mu      sync.Mutex // guards what follows, and what is in it
	serial  int64      // of the newest change
	floor   int64      // changes up to this serial are not remembered any more
	rooms   map[int64]*typists
	changes []typingChange // after floor, oldest first
	closed  bool

	ending   chan struct{} // closed when Run ends
	watchers sync.WaitGroup
}

// typingChange says that a room's typists changed.
type typingChange struct{ serial, roomNID int64 }

// typists are the users who type in a room.
type typists struct {
	shown []id.UserID // in the order in which they began; never changed in place
	each  map[id.UserID]*typist
}

type typist struct {
	until   time.Time
	stopped chan struct{}
}

// NewTyping returns a Typing. active, if not nil, is told of users who begin to type.
func NewTyping(db *store.DB, bus notify.Bus, active func(id.UserID)) *Typing {
	now := time.Now().UnixMilli()
	return &Typing{db: db, bus: bus, active: active, serial: now, floor: now, rooms: make(map[int64]*typists), ending: make(chan struct{})}
}

// Run waits until ctx ends, and then for what was begun. It returns nil.
func (t *Typing) Run(ctx context.Context) error {
	<-ctx.Done()
	t.mu.Lock()
	if !t.closed {
		t.closed = true
		close(t.ending)
	}
	t.mu.Unlock()
	t.watchers.Wait()
	return nil
}

// SetTyping says that a user types in a room, for some time unless it is said again (0 for the usual 30 seconds, at most 2 minutes), or
// types no longer. Client-Server API, PUT /rooms/{roomId}/typing/{userId}. The error is 403 M_FORBIDDEN for users who are not in the
// room.
func (t *Typing) SetTyping(ctx context.Context, user id.UserID, roomID id.RoomID, typing bool, timeout time.Duration) error {
	var roomNID, userNID int64
	err := t.db.View(ctx, func(tx *store.Tx) (err error) {
		if roomNID, err = joinedRoom(tx, user, roomID); err != nil {
			return err
		}
		userNID, err = tx.LookupNID(string(user))
		return err
	})
	if err != nil {
		return err
	}
	if !typing {
		t.stop(roomNID, user)
		return nil
	}
	if timeout <= 0 {
		timeout = defaultTyping
	}
	t.start(context.WithoutCancel(ctx), roomNID, userNID, user, time.Now().Add(min(timeout, maxTyping)))
	if t.active != nil {
		t.active(user)
	}
	return nil
}

func (t *Typing) start(ctx context.Context, roomNID, userNID int64, user id.UserID, until time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	room := t.rooms[roomNID]
	if room == nil {
		room = &typists{each: make(map[id.UserID]*typist)}
	}
	if already := room.each[user]; already != nil {
		already.until = until
		return
	}
	if len(room.shown) >= maxTypists || t.closed {
		return
	}
	t.rooms[roomNID] = room
	it := &typist{until: until, stopped: make(chan struct{})}
	room.each[user] = it
	room.shown = append(slices.Clip(room.shown), user)
	t.changed(roomNID)
	// Registered now, so that a departure is not missed.
	bell := t.bus.Register(notify.Key{Kind: notify.User, NID: userNID})
	t.watchers.Go(func() { t.watch(ctx, roomNID, user, it, bell) })
}

// watch ends a user's typing when the time is over, or when the user is no longer in the room.
func (t *Typing) watch(ctx context.Context, roomNID int64, user id.UserID, it *typist, bell *notify.Bell) {
	defer bell.Close()
	timer := time.NewTimer(t.left(it))
	defer timer.Stop()
	// Looked at once to begin with: the user may have left before the bell was there.
	for t.stillIn(ctx, roomNID, user) {
		for rung := false; !rung; {
			select {
			case <-it.stopped:
				return
			case <-t.ending:
				return
			case <-timer.C:
				left := t.left(it)
				if left <= 0 {
					t.stop(roomNID, user)
					return
				}
				timer.Reset(left)
			case <-bell.C:
				rung = true
			}
		}
	}
	t.stop(roomNID, user)
}

// stillIn tells whether a user is in a room. When that cannot be read, the end of their time is left to end their typing.
func (t *Typing) stillIn(ctx context.Context, roomNID int64, user id.UserID) (joined bool) {
	err := t.db.View(ctx, func(tx *store.Tx) (err error) {
		joined, err = isJoined(tx, user, roomNID)
		return err
	})
	if err != nil {
		zerolog.Ctx(ctx).Err(err).Stringer("user_id", user).Msg("Reading whether a user who types is in the room")
	}
	return joined || err != nil
}

// left returns how long a user types yet.
func (t *Typing) left(it *typist) time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	return time.Until(it.until)
}

func (t *Typing) stop(roomNID int64, user id.UserID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	room := t.rooms[roomNID]
	if room == nil || room.each[user] == nil {
		return
	}
	close(room.each[user].stopped)
	delete(room.each, user)
	room.shown = slices.DeleteFunc(slices.Clone(room.shown), func(u id.UserID) bool { return u == user })
	if len(room.shown) == 0 {
		delete(t.rooms, roomNID)
	}
	t.changed(roomNID)
}

// changed records that a room's typists are others now, and rings. The caller holds t.mu: Publish never blocks.
func (t *Typing) changed(roomNID int64) {
	t.serial++
	if len(t.changes) >= maxTypingChanges {
		half := len(t.changes) / 2
		t.floor = t.changes[half-1].serial
		t.changes = slices.Clone(t.changes[half:])
	}
	t.changes = append(t.changes, typingChange{t.serial, roomNID})
	t.bus.Publish(notify.Signal{Key: notify.Key{Kind: notify.Room, NID: roomNID}})
}

// TypingSince returns who types in the rooms where that has changed after a serial, by room, and the serial up to which that holds. The
// lists must not be changed. When it is not known any more what has changed since, because the serial is too old, or of another
// process, known is false, and the rooms are those where somebody types.
func (t *Typing) TypingSince(serial int64) (rooms map[int64][]id.UserID, upto int64, known bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if serial == t.serial {
		return nil, t.serial, true
	}
	if serial < t.floor || serial > t.serial {
		rooms = make(map[int64][]id.UserID, len(t.rooms))
		for nid, room := range t.rooms {
			rooms[nid] = room.shown
		}
		return rooms, t.serial, false
	}
	rooms = make(map[int64][]id.UserID)
	for _, c := range slices.Backward(t.changes) {
		if c.serial <= serial {
			break
		}
		if _, have := rooms[c.roomNID]; have {
			continue
		}
		rooms[c.roomNID] = nil
		if room := t.rooms[c.roomNID]; room != nil {
			rooms[c.roomNID] = room.shown
		}
	}
	return rooms, t.serial, true
}
