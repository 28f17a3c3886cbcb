package room

import (
	"context"
	"sync"
	"time"

	"causeway/homeserver/store"

	"maunium.net/go/mautrix/id"
)

const (
	// maxHeads and maxKeptBytes bound the rooms kept in memory beyond those in use, and about what all of them take: the rooms that
	// have been idle the longest are forgotten, and read again when they are needed. A room of a few speakers takes some 20 kB, so
	// the two bounds meet.
	maxHeads     = 2000
	maxKeptBytes = 32 << 20
)

// idleHead is how long a room that nobody uses stays in memory, and sweepEvery how often it is looked for.
const (
	idleHead   = 5 * time.Minute
	sweepEvery = time.Minute
)

// Run forgets rooms that have been idle, sends delayed events when they are due, and has guests leave rooms that have been closed to
// them, until ctx ends, and returns nil then.
func (s *Service) Run(ctx context.Context) error {
	var parts sync.WaitGroup
	defer parts.Wait()
	parts.Go(func() { s.runDelayed(ctx) })
	ticker := time.NewTicker(sweepEvery)
	defer ticker.Stop()
	for {
		s.expel(ctx)
		select {
		case <-ctx.Done():
			return nil
		case <-s.guests:
		case <-ticker.C:
			s.sweep(s.Now().Add(-idleHead).UnixMilli())
		}
	}
}

// head returns the tip of a room, kept in memory until release.
func (s *Service) head(roomID id.RoomID) *head {
	s.mu.Lock()
	defer s.mu.Unlock()
	h := s.heads[roomID]
	if h == nil || h.stale(s.DB) {
		if h != nil {
			s.forget(h)
		}
		s.evict(maxHeads-1, maxKeptBytes)
		h = &head{roomID: roomID, generation: s.DB.Generation()}
		s.heads[roomID] = h
	}
	s.use(h)
	return h
}

// stale tells that what is here is not what is stored.
func (h *head) stale(db *store.DB) bool { return h.failed.Load() || h.generation != db.Generation() }

func (s *Service) retain(h *head) {
	s.mu.Lock()
	s.use(h)
	s.mu.Unlock()
}

// use counts a user of a head. The caller holds s.mu.
func (s *Service) use(h *head) {
	h.refs++
	if h.idle != nil {
		s.idle.Remove(h.idle)
		h.idle = nil
	}
}

func (s *Service) release(h *head) {
	s.mu.Lock()
	defer s.mu.Unlock()
	h.refs--
	if s.heads[h.roomID] != h { // it is not kept: made for a new room, or forgotten
		return
	}
	if h.failed.Load() {
		s.forget(h)
		return
	}
	bytes := int(h.bytes.Load())
	s.kept += bytes - h.kept
	h.kept = bytes
	if h.refs == 0 {
		h.usedTS, h.idle = s.Now().UnixMilli(), s.idle.PushBack(h)
	}
	s.evict(maxHeads, maxKeptBytes)
}

// sweep forgets rooms that nobody has used since.
func (s *Service) sweep(sinceTS int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for h := s.oldest(); h != nil && h.usedTS < sinceTS; h = s.oldest() {
		s.forget(h)
	}
}

// evict forgets rooms that nobody uses at the moment until no more than so many rooms and bytes are left. The caller holds s.mu.
func (s *Service) evict(rooms, bytes int) {
	for h := s.oldest(); h != nil && (len(s.heads) > rooms || s.kept > bytes); h = s.oldest() {
		s.forget(h)
	}
}

// oldest returns the head that has been idle the longest, nil when all are in use. The caller holds s.mu.
func (s *Service) oldest() *head {
	if first := s.idle.Front(); first != nil {
		return first.Value.(*head)
	}
	return nil
}

// forget has the room read anew by whoever needs it next; who uses the head has it still. The caller holds s.mu.
func (s *Service) forget(h *head) {
	delete(s.heads, h.roomID)
	s.kept -= h.kept
	h.kept = 0
	if h.idle != nil {
		s.idle.Remove(h.idle)
		h.idle = nil
	}
}
