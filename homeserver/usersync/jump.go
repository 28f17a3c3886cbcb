package usersync

import (
	"context"

	"causeway/homeserver/store"

	"maunium.net/go/mautrix/id"
)

// maxJump bounds the events that are looked at for one that the user may see.
const maxJump = 5000

// EventAtTime returns the event of a room closest to a time, in milliseconds, not before it, or with backwards not after it, that the
// user may see (Client-Server API, GET /rooms/{roomId}/timestamp_to_event). Errors: M_FORBIDDEN, M_NOT_FOUND.
func (s *Service) EventAtTime(ctx context.Context, by Viewer, roomID id.RoomID, ts int64, backwards bool) (eventID id.EventID, originServerTS int64, err error) {
	err = s.db.View(ctx, func(tx *store.Tx) error {
		r, err := s.open(tx, by.User, roomID)
		if err != nil {
			return err
		}
		q := store.ByTime{RoomNID: r.roomNID, TS: ts, Pos: 0, Upto: r.upto, Backwards: backwards, Limit: DefaultPage}
		if backwards {
			q.Pos = forever
		}
		for looked := 0; looked < maxJump; q.Limit = scanPage {
			events, err := tx.TimelineByTime(q)
			if err != nil {
				return err
			}
			for _, e := range events {
				seen, err := r.see(e)
				if err != nil {
					return err
				}
				if seen != nil {
					eventID, originServerTS = e.EventID, e.OriginServerTS
					return nil
				}
				q.TS, q.Pos = e.OriginServerTS, e.Pos
			}
			if looked += len(events); len(events) < q.Limit {
				break
			}
		}
		return matrixError(404, "M_NOT_FOUND", "Unable to find an event from %d on in this direction", ts)
	})
	return eventID, originServerTS, err
}
