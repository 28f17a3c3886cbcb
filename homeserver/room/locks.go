package room

import (
	"sync"

	"maunium.net/go/mautrix/id"
)

// roomLocks is a lock for each room. The zero roomLocks is ready.
type roomLocks struct {
	mu   sync.Mutex // guards held
	held map[id.RoomID]*roomLock
}

type roomLock struct {
	sync.Mutex
	users int // who hold it or wait; guarded by roomLocks.mu
}

// lock waits until the room's lock is free and takes it. What it returns gives it back.
func (l *roomLocks) lock(roomID id.RoomID) (unlock func()) {
	l.mu.Lock()
	if l.held == nil {
		l.held = make(map[id.RoomID]*roomLock)
	}
	room := l.held[roomID]
	if room == nil {
		room = new(roomLock)
		l.held[roomID] = room
	}
	room.users++
	l.mu.Unlock()
	room.Lock()
	return func() {
		room.Unlock()
		l.mu.Lock()
		defer l.mu.Unlock()
		if room.users--; room.users == 0 {
			delete(l.held, roomID)
		}
	}
}
