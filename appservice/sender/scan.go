package sender

import (
	"context"
	"time"

	"causeway/homeserver/store"
)

// scan looks at the stream from pos on and puts what is of interest into the queue, until the queue has enough for a
// transaction, the stream ends or maxScan is reached. After an error it goes on where it was.
func (w *worker) scan(ctx context.Context) error {
	if w.beside.wanted() {
		return w.scanBeside(ctx)
	}
	w.more = true
	for seen := 0; len(w.queue) < maxTxnEvents && seen < maxScan; {
		if len(w.wanted) > 0 {
			if err := w.db.View(ctx, w.readWanted); err != nil {
				return err
			}
			continue
		}
		s, ok, err := w.feed.next(ctx, w.pos, w.interest.hasAliases())
		if err != nil {
			return err
		}
		if !ok {
			w.more = false
			return nil
		}
		if err := w.scanSegment(ctx, s); err != nil {
			return err
		}
		seen += len(s.rows)
	}
	return nil
}

// scanSegment looks at a piece of the stream. Mostly nothing in it is of interest, and the database is left alone.
func (w *worker) scanSegment(ctx context.Context, s segment) error {
	for len(s.rows) > 0 && w.interest.boring(s.rows[0], s.aliases[s.rows[0].RoomNID]) {
		w.pos, s.rows = s.rows[0].Pos, s.rows[1:]
	}
	if len(s.rows) == 0 {
		w.pos = s.upto
		return nil
	}
	return w.db.View(ctx, func(tx *store.Tx) error {
		for _, row := range s.rows {
			want, err := w.interest.decide(tx, row, s.aliases[row.RoomNID])
			if err != nil {
				return err
			}
			w.pos = row.Pos
			if want {
				w.wanted = append(w.wanted, row)
			}
			if len(w.queue)+len(w.wanted) >= maxTxnEvents {
				return w.readWanted(tx)
			}
		}
		w.pos = s.upto
		return w.readWanted(tx)
	})
}

// readWanted moves the events of interest to the queue, in the form in which they are sent.
func (w *worker) readWanted(tx *store.Tx) error {
	if len(w.wanted) == 0 {
		return nil
	}
	events, err := loadEvents(tx, w.wanted)
	if err != nil {
		return err
	}
	w.queue, w.wanted = append(w.queue, events.items(time.Now().UnixMilli())...), w.wanted[:0]
	return nil
}
