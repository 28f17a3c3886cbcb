package sender

import (
	"context"
	"slices"
	"sort"
	"sync"
	"time"

	"causeway/homeserver/store"

	"github.com/rs/zerolog"
	"maunium.net/go/mautrix/id"
)

const (
	// readLimit bounds the rows of the stream that are read at once.
	readLimit = 1000
	// maxFeedRows bounds the rows that the feed keeps for those who follow it closely.
	maxFeedRows = 8 * readLimit
	// readGap, for each event that the last look found, is the least time until the next look, and maxReadGap its bound: on a
	// busy server one look then serves many events. After a quiet moment there is no wait.
	readGap    = time.Millisecond
	maxReadGap = 4 * readGap
	// tick is how often everybody looks although no bell rang: a signal may be lost.
	tick = 5 * time.Second
)

// feed reads the stream once for all services. It keeps the newest rows in memory; whoever is further behind reads the
// database itself. The rows are integers only, so they are cheap to read and to keep.
type feed struct {
	db    *store.DB
	log   zerolog.Logger
	read  time.Time     // of the last look; used by look only
	pause time.Duration // from then on; used by look only

	// What lookBeside has seen; used by it only.
	besideSeen, typingSeen int64

	mu       sync.Mutex    // guards all below
	live     Live          // nil for none
	segments []segment     // without gaps, oldest first; the newest ends at end
	end      int64         // the stream has been read up to here
	aliases  bool          // somebody wants the aliases of the rooms
	beside   bool          // somebody wants to know of more than events
	idle     bool          // nobody follows: only the end counts
	changed  chan struct{} // closed when there are new rows
}

// segment is a piece of the stream: all its events with after < pos ≤ upto. It is shared and must not be changed.
type segment struct {
	after, upto int64
	rows        []store.EventIDs
	aliases     map[int64][]id.RoomAlias // of the rows' rooms, as they were when the rows were read; nil when nobody wanted them
}

func newFeed(db *store.DB, log zerolog.Logger) *feed {
	return &feed{db: db, log: log, changed: make(chan struct{})}
}

// open puts the feed at the end of the stream.
func (f *feed) open(ctx context.Context) error {
	var end int64
	err := f.db.View(ctx, func(tx *store.Tx) (err error) {
		end, err = tx.StreamPos()
		return err
	})
	f.mu.Lock()
	defer f.mu.Unlock()
	f.end = end
	return err
}

// want says whether anybody follows, whether aliases count, and whether more than events does.
func (f *feed) want(followed, aliases, beside bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.idle, f.aliases, f.beside = !followed, aliases, beside
}

// look reads what is new. An error is logged: the next bell or tick tries again.
func (f *feed) look(ctx context.Context) error {
	if gap := f.pause - time.Since(f.read); gap > 0 && !sleep(ctx, gap) {
		return nil
	}
	f.read, f.pause = time.Now(), 0
	for {
		found, err := f.extend(ctx)
		if err != nil && ctx.Err() == nil {
			f.log.Err(err).Msg("Cannot read the stream")
		}
		f.pause = min(f.pause+time.Duration(found)*readGap, maxReadGap)
		if err != nil || found < readLimit {
			return nil
		}
	}
}

// extend reads one segment and tells how many events it has.
func (f *feed) extend(ctx context.Context) (found int, err error) {
	f.mu.Lock()
	end, idle, aliases := f.end, f.idle, f.aliases
	f.mu.Unlock()
	next := segment{}
	err = f.db.View(ctx, func(tx *store.Tx) (err error) {
		if idle {
			next.upto, err = tx.StreamPos()
		} else {
			next, err = readSegment(tx, end, aliases)
		}
		return err
	})
	if err != nil {
		return 0, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case idle:
		f.segments, f.end = nil, next.upto
		f.announce() // to whoever began to follow meanwhile
	case len(next.rows) > 0:
		f.push(next)
	}
	return len(next.rows), nil
}

// attend says who knows what is live.
func (f *feed) attend(live Live) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.live = live
}

// lookBeside wakes those who follow when there is something new beside events. Mostly there is not, which costs no query.
func (f *feed) lookBeside(ctx context.Context) error {
	f.mu.Lock()
	beside, live := f.beside, f.live
	f.mu.Unlock()
	if !beside {
		return nil
	}
	news := false
	if live != nil {
		_, serial, _ := live.TypingSince(f.typingSeen)
		news, f.typingSeen = serial != f.typingSeen, serial
	}
	if !allQuiet(f.db, f.besideSeen) {
		var end int64
		err := f.db.View(ctx, func(tx *store.Tx) (err error) {
			end, err = tx.StreamPos()
			return err
		})
		if err != nil {
			if ctx.Err() == nil {
				f.log.Err(err).Msg("Cannot read the stream")
			}
			return nil
		}
		news, f.besideSeen = true, end
	}
	if !news {
		return nil
	}
	f.mu.Lock()
	f.announce()
	f.mu.Unlock()
	sleep(ctx, maxReadGap) // what comes meanwhile is looked at together
	return nil
}

// allQuiet tells that nothing that is sent beside events has a position after the given one.
func allQuiet(db *store.DB, after int64) bool {
	for _, family := range [...]store.Family{store.FamilyReceipts, store.FamilyPresence, store.FamilyToDevice, store.FamilyDeviceLists, store.FamilyKeyCounts} {
		if !db.Quiet(family, after) {
			return false
		}
	}
	return true
}

// announce wakes those who wait. The caller holds mu.
func (f *feed) announce() {
	close(f.changed)
	f.changed = make(chan struct{})
}

// push adds a segment that begins at end. The caller holds mu.
func (f *feed) push(s segment) {
	f.end = s.upto
	f.segments = append(f.segments, s)
	kept := 0
	for i := len(f.segments) - 1; i >= 0; i-- {
		if kept += len(f.segments[i].rows); kept > maxFeedRows {
			f.segments = slices.Clone(f.segments[i+1:])
			break
		}
	}
	f.announce()
}

// position returns how far the stream has been read.
func (f *feed) position() int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.end
}

// wait returns a channel that is closed when rows newer than those that next gives now are there.
func (f *feed) wait() <-chan struct{} {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.changed
}

// next returns a piece of the stream that begins at after, or false when nothing is newer. aliases says whether the caller needs
// the rooms' aliases.
func (f *feed) next(ctx context.Context, after int64, aliases bool) (segment, bool, error) {
	f.mu.Lock()
	end := f.end
	s, kept := f.find(after)
	f.mu.Unlock()
	if after >= end {
		return segment{}, false, nil
	}
	if kept && (!aliases || s.aliases != nil) {
		first := sort.Search(len(s.rows), func(i int) bool { return s.rows[i].Pos > after })
		s.after, s.rows = after, s.rows[first:]
		return s, true, nil
	}
	err := f.db.View(ctx, func(tx *store.Tx) (err error) {
		s, err = readSegment(tx, after, aliases)
		return err
	})
	return s, err == nil && len(s.rows) > 0, err
}

// find returns the segment that goes on after a position. The caller holds mu.
func (f *feed) find(after int64) (segment, bool) {
	if len(f.segments) == 0 || after < f.segments[0].after || after >= f.end {
		return segment{}, false
	}
	return f.segments[sort.Search(len(f.segments), func(i int) bool { return f.segments[i].upto > after })], true
}

// readSegment reads the stream from after on. Positions become visible in order, so that what lies before the last row is all
// there.
func readSegment(tx *store.Tx, after int64, aliases bool) (segment, error) {
	rows, err := tx.StreamIDs(after, readLimit)
	s := segment{after: after, upto: after, rows: rows}
	if err != nil || len(rows) == 0 {
		return s, err
	}
	s.upto = rows[len(rows)-1].Pos
	if !aliases {
		return s, nil
	}
	s.aliases, err = aliasesOf(tx, rows)
	return s, err
}

// sleep waits and tells whether the time passed before ctx ended.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
