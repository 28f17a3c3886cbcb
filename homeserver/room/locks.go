package room

import (
	"context"
	"sync"

	"maunium.net/go/mautrix/id"
)

// roomLocks is a lock for each room. The zero roomLocks is ready.
type roomLocks struct {
	mu   sync.Mutex // guards held
	held map[id.RoomID]*roomLock
}

type roomLock struct {
	taken chan struct{} // holds an element while the lock is held
	users int           // who hold it or wait; guarded by roomLocks.mu
}

// lock waits until the room's lock is free and takes it, unless ctx ends before. What it returns gives it back.
func (l *roomLocks) lock(ctx context.Context, roomID id.RoomID) (unlock func(), err error) {
	l.mu.Lock()
	if l.held == nil {
		l.held = make(map[id.RoomID]*roomLock)
	}
	room := l.held[roomID]
	if room == nil {
		room = &roomLock{taken: make(chan struct{}, 1)}
		l.held[roomID] = room
	}
	room.users++
	l.mu.Unlock()
	select {
	case room.taken <- struct{}{}:
	case <-ctx.Done():
		l.leave(roomID, room)
		return nil, ctx.Err()
	}
	return func() {
		<-room.taken
		l.leave(roomID, room)
	}, nil
}

func (l *roomLocks) leave(roomID id.RoomID, room *roomLock) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if room.users--; room.users == 0 {
		delete(l.held, roomID)
	}
}
