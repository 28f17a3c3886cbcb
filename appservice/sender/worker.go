package sender

import (
	"context"
	"errors"
	"time"

	"causeway/homeserver/store"

	"github.com/rs/zerolog"
	"maunium.net/go/mautrix/id"
)

const (
	// saveEvery bounds the positions, and saveAfter the time, that the stored cursor lags behind while nothing is of interest.
	// After a crash this much of the stream is looked at again; nothing is sent again because of it.
	saveEvery = 1000
	saveAfter = 5 * time.Second
	// maxScan bounds the events that are looked at before what was found is sent and the cursor is stored.
	maxScan = 5000
	// storeRetry is the pause after an error of the database.
	storeRetry = time.Second
)

// worker sends to one application service: it follows the stream, makes transactions of what is of interest, and delivers them
// one at a time. A transaction is stored, as bytes, before it is sent. Its acknowledgement is stored as soon as it is known what
// comes next, both in one write. So nothing is skipped, and a transaction that is sent again is the same as before.
type worker struct {
	client   *client
	db       *store.DB
	feed     *feed
	interest *interest
	log      zerolog.Logger
	jitter   func(time.Duration) time.Duration
	kick     chan struct{} // holds one
	alive    chan struct{} // holds one
	health   health
	beside   beside

	cursor store.AppService     // as it is to be stored
	dirty  bool                 // the cursor must be stored before anything else happens
	saved  int64                // the position that is stored
	lagged time.Time            // when the cursor first moved away from saved, zero when it has not
	acked  *store.AppServiceTxn // a transaction of which it is not stored yet that it was acknowledged

	pos    int64            // the stream was looked at up to here
	more   bool             // there may be more to look at right away
	wanted []store.EventIDs // of interest, not read yet
	queue  []item           // of interest, in no transaction yet, in the order of the stream
}

// run works until ctx ends.
func (w *worker) run(ctx context.Context) {
	if !w.try(ctx, "read the cursor", w.load) {
		return
	}
	for {
		if w.cursor.Pending != nil {
			if !w.deliver(ctx) {
				break
			}
			w.acked = w.cursor.Pending
			w.cursor.Pos, w.cursor.Pending, w.dirty = w.cursor.Pending.Upto, nil, true
		}
		news := w.feed.wait()
		if !w.try(ctx, "follow the stream", w.scan) || !w.try(ctx, "store the cursor", w.advance) {
			break
		}
		if w.cursor.Pending == nil && !w.more {
			w.rest(ctx, news)
		}
	}
	if w.dirty || w.cursor.Pos > w.saved {
		// ctx has ended, but what is known is still stored.
		if err := w.save(context.WithoutCancel(ctx)); err != nil {
			w.log.Err(err).Msg("Cannot store the cursor")
		}
	}
}

// try repeats a step until it works; false means that ctx ended first.
func (w *worker) try(ctx context.Context, what string, step func(context.Context) error) bool {
	for ctx.Err() == nil {
		err := step(ctx)
		if err == nil {
			return true
		}
		if ctx.Err() != nil {
			break
		}
		w.log.Err(err).Str("step", what).Msg("The database does not answer as it should")
		sleep(ctx, storeRetry)
	}
	return false
}

// load reads the cursor.
func (w *worker) load(ctx context.Context) (err error) {
	w.cursor, err = openCursor(ctx, w.db, w.client.reg.ID)
	w.pos, w.saved = w.cursor.Pos, w.cursor.Pos
	if p := w.cursor.Pending; p != nil {
		w.pos = p.Upto
	}
	w.health.moved(w.pos, w.cursor)
	return err
}

// openCursor reads the cursor of a service. One that was never seen begins at the end of the stream.
func openCursor(ctx context.Context, db *store.DB, serviceID string) (cursor store.AppService, err error) {
	err = db.View(ctx, func(tx *store.Tx) (err error) {
		cursor, err = tx.AppService(serviceID)
		return err
	})
	if !errors.Is(err, store.ErrNotFound) {
		return cursor, err
	}
	err = db.Write(ctx, func(tx *store.Tx) error {
		pos, err := tx.StreamPos()
		if err != nil {
			return err
		}
		cursor = store.AppService{ID: serviceID, Pos: pos}
		return tx.SaveAppService(cursor)
	})
	return cursor, err
}

// advance makes the next transaction, if there is something to send, and stores the cursor, if that is due.
func (w *worker) advance(ctx context.Context) error {
	switch {
	case w.cursor.Pending != nil: // made before, but not stored
	case len(w.queue) > 0 || len(w.beside.typing) > 0:
		if err := w.makeTxn(ctx); err != nil {
			return err
		}
	case w.pos > w.cursor.Pos:
		if w.cursor.Pos = w.pos; w.lagged.IsZero() {
			w.lagged = time.Now()
		}
	}
	w.health.moved(w.pos, w.cursor)
	if !w.dirty && w.cursor.Pos-w.saved < saveEvery && (w.lagged.IsZero() || time.Since(w.lagged) < saveAfter) {
		return nil
	}
	return w.save(ctx)
}

// makeTxn makes a transaction of what is first in the queue, and of what is live.
func (w *worker) makeTxn(ctx context.Context) error {
	live, err := w.takeTyping(ctx)
	if err != nil {
		return err
	}
	n, size := taken(w.queue)
	body, upto := buildBody(w.queue[:n], live, size), w.pos
	if n < len(w.queue) {
		upto = w.queue[n-1].pos
	}
	if w.queue = w.queue[n:]; len(w.queue) == 0 {
		w.queue = nil
	}
	// Transaction ids are never those of an earlier life of this database, emptied or restored since: a service would take
	// the new for the old and drop it.
	w.cursor.Txn = max(w.cursor.Txn+1, time.Now().UnixMilli())
	w.cursor.Pending, w.dirty = &store.AppServiceTxn{Txn: w.cursor.Txn, Upto: upto, Body: body}, true
	return nil
}

// save stores the cursor with the pending transaction. What was acknowledged is forgotten with it.
func (w *worker) save(ctx context.Context) error {
	cursor, acked := w.cursor, w.acked
	var has map[id.UserID][]id.DeviceID
	if acked != nil && w.beside.devices {
		var err error
		if has, err = recipients(acked.Body); err != nil {
			return err
		}
	}
	err := w.db.Write(ctx, func(tx *store.Tx) error {
		if has != nil {
			if err := w.forget(tx, has, acked.Upto); err != nil {
				return err
			}
		}
		return tx.SaveAppService(cursor)
	})
	if err == nil {
		w.dirty, w.saved, w.lagged, w.acked = false, cursor.Pos, time.Time{}, nil
	}
	return err
}

// rest waits for news, or until the cursor is to be stored.
func (w *worker) rest(ctx context.Context, news <-chan struct{}) {
	var due <-chan time.Time
	if !w.lagged.IsZero() {
		timer := time.NewTimer(time.Until(w.lagged.Add(saveAfter)))
		defer timer.Stop()
		due = timer.C
	}
	select {
	case <-ctx.Done():
	case <-news:
	case <-due:
	}
}
