package room

import (
	"causeway/homeserver/event"
	"causeway/homeserver/store"
)

// CheckSticky refuses a time for which no event can be sticky. MSC4354.
func CheckSticky(durationMS int64) error {
	if durationMS < 0 || durationMS > event.MaxStickyMS {
		return matrixError(400, "M_INVALID_PARAM", "An event can be sticky for 0 to %d milliseconds", event.MaxStickyMS)
	}
	return nil
}

// sticky is for how long what is sent is sticky, 0 when it is not.
func (s *Service) sticky(by By) int64 {
	if by.StickyMS == nil || !s.StickyEvents {
		return 0
	}
	return *by.StickyMS
}

// writeSticky remembers a sticky event that has a place in the timeline, so that those are found who have not seen it.
func (s *Service) writeSticky(tx *store.Tx, e *store.Event) error {
	if !s.StickyEvents || e.StickyMS == 0 || e.Pos == 0 {
		return nil
	}
	now := s.Now().UnixMilli()
	until := e.StickyUntil(now)
	if until <= now {
		return nil
	}
	return tx.InsertSticky(e.RoomNID, e.NID, e.Pos, until)
}
