package usersync

import (
	"maps"
	"sync"

	"causeway/homeserver/store"

	"maunium.net/go/mautrix/id"
)

// maxCounts bounds the rooms of users whose counts are kept in memory.
const maxCounts = 200_000

// maxFollowed bounds the rows by which a count is brought up to date one by one. Past that, the database counts.
const maxFollowed = 512

// threadMain is the thread of receipts for the main timeline. Client-Server API, "Threaded read receipts".
const threadMain = "main"

var noMarks = map[string]int64{}

// counts remembers what users have not read. What it remembers is right as of a position, and carried on from there; the rows of
// push_actions and receipts are the truth.
type counts struct {
	mu         sync.Mutex // guards all
	all        map[countKey]*count
	generation int64
}

type countKey struct{ roomNID, userNID int64 }

// count is what a user has not read of a room as of a position. It is not changed.
type count struct {
	upto    int64
	since   int64                  // when the user came into the room
	marks   map[string]int64       // how far they have read, by the thread of the receipt
	threads map[int64]store.Unread // by the integer of the root's id, 0 for the main timeline; nothing unread is left out
}

// counting is one question for a count.
type counting struct {
	tx      *store.Tx
	roomNID int64
	userNID int64
	since   int64
	upto    int64            // the newest position of the snapshot
	quiet   int64            // the room has no events after this position
	marks   map[string]int64 // nil for not read yet
}

// of returns the count as of the question's snapshot.
func (cs *counts) of(c *counting) (*count, error) {
	key := countKey{c.roomNID, c.userNID}
	generation := c.tx.Generation()
	cs.mu.Lock()
	if cs.generation != generation || cs.all == nil {
		cs.all, cs.generation = make(map[countKey]*count), generation
	}
	old := cs.all[key]
	cs.mu.Unlock()
	now, err := c.count(old)
	if err != nil {
		return nil, err
	}
	cs.mu.Lock()
	defer cs.mu.Unlock()
	if newer := cs.all[key]; cs.generation == generation && (newer == nil || newer.upto <= now.upto) {
		if len(cs.all) >= maxCounts {
			clear(cs.all)
		}
		cs.all[key] = now
	}
	return now, nil
}

// count counts, from an older count if that serves.
func (c *counting) count(old *count) (*count, error) {
	usable := old != nil && old.upto <= c.upto && old.since == c.since && c.tx.Settled(c.roomNID, old.upto)
	if c.marks == nil {
		if usable && readNothing(c.tx, c.roomNID, c.userNID, old.upto, c.upto) {
			c.marks = old.marks
		} else {
			var err error
			if c.marks, err = c.tx.ReadMarks(c.roomNID, c.userNID); err != nil {
				return nil, err
			}
		}
	}
	if !usable || old.marks[""] != c.marks[""] {
		return c.anew()
	}
	now := &count{upto: c.upto, since: c.since, marks: c.marks, threads: maps.Clone(old.threads)}
	if err := c.reread(old, now); err != nil || c.quiet <= old.upto {
		return now, err
	}
	rows, err := pushActionsAfter(c.tx, c.roomNID, old.upto, c.upto, maxFollowed)
	if err != nil {
		return nil, err
	}
	if len(rows) >= maxFollowed {
		return c.anew()
	}
	for i := range rows {
		if err := c.follow(now, &rows[i]); err != nil {
			return nil, err
		}
	}
	return now, nil
}

// floor is the position up to which nothing of any thread is unread.
func (c *counting) floor() int64 { return max(c.since, c.marks[""]) }

// anew has the database count everything.
func (c *counting) anew() (*count, error) {
	now := &count{upto: c.upto, since: c.since, marks: c.marks, threads: make(map[int64]store.Unread)}
	if c.quiet <= c.floor() {
		return now, nil
	}
	if err := c.countThread(now, 0, threadMain, c.upto); err != nil {
		return nil, err
	}
	threads, err := c.tx.ThreadsWithNews(c.roomNID, c.userNID, c.floor(), c.upto)
	if err != nil {
		return nil, err
	}
	for _, t := range threads {
		if t.Newest <= t.Said {
			continue
		}
		root, err := c.tx.Text(t.ThreadNID)
		if err != nil {
			return nil, err
		}
		if t.Newest <= c.marks[root] {
			continue
		}
		if err := c.countThread(now, t.ThreadNID, root, c.upto); err != nil {
			return nil, err
		}
	}
	return now, nil
}

// countThread counts what is unread of one thread up to a position. By sending something the user has read what came before
// (Client-Server API, "Marking notifications as read").
func (c *counting) countThread(now *count, threadNID int64, thread string, upto int64) error {
	unread, err := c.tx.UnreadOf(c.roomNID, threadNID, c.userNID, max(c.floor(), c.marks[thread]), upto)
	if err == nil {
		now.set(threadNID, unread)
	}
	return err
}

func (n *count) set(threadNID int64, unread store.Unread) {
	if unread == (store.Unread{}) {
		delete(n.threads, threadNID)
	} else {
		n.threads[threadNID] = unread
	}
}

// reread counts the threads anew in which the user has read on since an older count, up to where that one ends.
func (c *counting) reread(old, now *count) error {
	for _, marks := range [...]map[string]int64{c.marks, old.marks} {
		for thread := range marks {
			if old.marks[thread] == c.marks[thread] {
				continue
			}
			threadNID := int64(0)
			if thread != threadMain {
				var err error
				if threadNID, err = c.tx.LookupNID(thread); err != nil {
					return err
				}
				if threadNID == 0 {
					continue
				}
			}
			if err := c.countThread(now, threadNID, thread, old.upto); err != nil {
				return err
			}
		}
	}
	return nil
}

// follow counts one more event.
func (c *counting) follow(now *count, row *store.PushActions) error {
	if row.SenderNID == c.userNID {
		delete(now.threads, row.ThreadNID)
		return nil
	}
	thread := threadMain
	if row.ThreadNID != 0 {
		var err error
		if thread, err = c.tx.Text(row.ThreadNID); err != nil {
			return err
		}
	}
	if row.Pos <= max(c.floor(), c.marks[thread]) {
		return nil
	}
	unread := now.threads[row.ThreadNID]
	unread.Add(row.Of(c.userNID))
	now.set(row.ThreadNID, unread)
	return nil
}

// unread returns the count with the ids of the threads.
func (n *count) unread(tx *store.Tx) (Unread, error) {
	u := Unread{Main: n.threads[0]}
	for threadNID, unread := range n.threads {
		if threadNID == 0 {
			continue
		}
		root, err := tx.Text(threadNID)
		if err != nil {
			return u, err
		}
		if u.Threads == nil {
			u.Threads = make(map[id.EventID]store.Unread)
		}
		u.Threads[id.EventID(root)] = unread
	}
	return u, nil
}
