package store

import (
	"fmt"
	"sync"
)

// maxUnsettled bounds the rooms of which it is remembered when what is before changed.
const maxUnsettled = 10_000

// unsettled remembers, by room, the position of the stream at which rows of push_actions changed or went that were there before. Who
// remembers a count from before that position has to count anew. Like newest, it is raised before the commit.
type unsettled struct {
	mu    sync.Mutex // guards rooms and all
	rooms map[int64]int64
	all   int64 // of the rooms that are not among rooms
}

// unsettle says that rows of a room change or go. The position is one that no snapshot has seen yet.
func (tx *Tx) unsettle(roomNID int64) error {
	pos, err := tx.StreamPos()
	if _, taken := tx.Value(streamKey{}).(*counter); err == nil && !taken {
		pos, err = tx.NextPos()
	}
	if err != nil {
		return err
	}
	u := &tx.db.unsettled
	u.mu.Lock()
	defer u.mu.Unlock()
	if len(u.rooms) >= maxUnsettled {
		for _, at := range u.rooms {
			u.all = max(u.all, at)
		}
		clear(u.rooms)
	}
	if u.rooms == nil {
		u.rooms = make(map[int64]int64)
	}
	u.rooms[roomNID] = max(pos, u.rooms[roomNID])
	return nil
}

// Settled tells that the rows of push_actions of a room at or before a position are those that there were when this was the newest
// position of the stream. It knows of this process alone: see Generation.
func (tx *Tx) Settled(roomNID, pos int64) bool {
	u := &tx.db.unsettled
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.all <= pos && u.rooms[roomNID] <= pos
}

// Generation changes when another process may have written. See sqldb.DB.Generation.
func (tx *Tx) Generation() int64 { return tx.db.Generation() }

// Unread counts the events that a user has been notified of.
type Unread struct {
	Notifications int64
	Highlights    int64 // of these
}

// Add counts one outcome.
func (u *Unread) Add(o Outcome) {
	if o&Notifies != 0 {
		u.Notifications++
	}
	if o&Highlights != 0 {
		u.Highlights++
	}
}

// The types of receipts that mark notifications as read. Client-Server API, "Marking notifications as read".
const readReceipts = `('m.read', 'm.read.private')`

// ReadMarks returns how far a user has read a room, by the thread of the receipts: the position of the event.
func (tx *Tx) ReadMarks(roomNID, userNID int64) (map[string]int64, error) {
	marks := make(map[string]int64)
	err := tx.Query(`SELECT thread, event_pos FROM receipts WHERE room_nid = $1 AND user_nid = $2 AND type IN `+readReceipts,
		[]any{roomNID, userNID}, func(scan func(...any) error) error {
			var (
				thread string
				pos    int64
			)
			if err := scan(&thread, &pos); err != nil {
				return fmt.Errorf("read a receipt: %w", err)
			}
			if pos > marks[thread] {
				marks[thread] = pos
			}
			return nil
		})
	return marks, err
}

// AllReadMarks is ReadMarks for all the rooms that a user is in. Rooms without receipts are left out.
func (tx *Tx) AllReadMarks(userNID int64) (map[int64]map[string]int64, error) {
	all := make(map[int64]map[string]int64)
	err := tx.Query(`SELECT r.room_nid, r.thread, r.event_pos FROM memberships m CROSS JOIN receipts r WHERE m.user_nid = $1
		AND m.membership = 'join' AND r.room_nid = m.room_nid AND r.user_nid = $1 AND r.type IN `+readReceipts,
		[]any{userNID}, func(scan func(...any) error) error {
			var (
				room, pos int64
				thread    string
			)
			if err := scan(&room, &thread, &pos); err != nil {
				return fmt.Errorf("read a receipt: %w", err)
			}
			if all[room] == nil {
				all[room] = make(map[string]int64)
			}
			if pos > all[room][thread] {
				all[room][thread] = pos
			}
			return nil
		})
	return all, err
}

// RoomsRead returns the rooms in which a user has given a receipt at after < pos ≤ upto that marks notifications as read, with the position
// of the newest such receipt. short is for short ranges: its cost is that of the receipts in the range, whoever's they are, and otherwise
// that of the user's rooms.
func (tx *Tx) RoomsRead(userNID, after, upto int64, short bool) (map[int64]int64, error) {
	query := `SELECT r.room_nid, MAX(r.pos) FROM memberships m CROSS JOIN receipts r WHERE m.user_nid = $1 AND m.membership = 'join'
		AND r.room_nid = m.room_nid AND r.user_nid = $1 AND r.pos > $2 AND r.pos <= $3 AND r.type IN ` + readReceipts + ` GROUP BY r.room_nid`
	if short {
		query = `SELECT room_nid, MAX(pos) FROM receipts WHERE pos > $2 AND pos <= $3 AND user_nid = $1 AND type IN ` + readReceipts +
			` GROUP BY room_nid`
	}
	rooms := make(map[int64]int64)
	err := tx.Query(query, []any{userNID, after, upto}, func(scan func(...any) error) error {
		var room, pos int64
		if err := scan(&room, &pos); err != nil {
			return fmt.Errorf("read a receipt: %w", err)
		}
		rooms[room] = pos
		return nil
	})
	return rooms, err
}

// pushRange chooses rows of one thread of a room (0: the main timeline).
const pushRange = ` FROM push_actions WHERE room_nid = $1 AND thread_nid = $2 AND pos > $3 AND pos <= $4`

// LastSaid returns the position of the last event in a thread of a room that a user has sent at after < pos ≤ upto, or 0.
func (tx *Tx) LastSaid(roomNID, threadNID, userNID, after, upto int64) (pos int64, err error) {
	_, err = tx.Row(`SELECT COALESCE(MAX(pos), 0)`+threadHint(threadNID)+` AND sender_nid = $5`, []any{roomNID, threadNID, after, upto, userNID}, &pos)
	return pos, err
}

// UnreadOf counts what a user has been notified of in a thread of a room at after < pos ≤ upto, and since they sent something themselves.
func (tx *Tx) UnreadOf(roomNID, threadNID, userNID, after, upto int64) (Unread, error) {
	for after < upto {
		var (
			u          Unread
			said       int64 // position of what the user has sent last
			exceptions int64 // how many rows have some
		)
		args := []any{roomNID, threadNID, after, upto, userNID}
		from := threadHint(threadNID)
		_, err := tx.Row(`SELECT COALESCE(SUM(CASE WHEN exceptions IS NULL AND sender_nid <> $5 THEN base & 1 ELSE 0 END), 0),
			COALESCE(SUM(CASE WHEN exceptions IS NULL AND sender_nid <> $5 THEN (base >> 1) & 1 ELSE 0 END), 0),
			COUNT(exceptions), COALESCE(MAX(CASE WHEN sender_nid = $5 THEN pos ELSE 0 END), 0)`+from,
			args, &u.Notifications, &u.Highlights, &exceptions, &said)
		if err != nil {
			return u, fmt.Errorf("count notifications: %w", err)
		}
		if said > 0 {
			after = said
			continue
		}
		if exceptions > 0 {
			err = tx.countExceptions(from, args, userNID, &u)
		}
		return u, err
	}
	return Unread{}, nil
}

// countExceptions counts the rows that have exceptions.
func (tx *Tx) countExceptions(from string, args []any, userNID int64, u *Unread) error {
	return tx.Query(`SELECT base, exceptions`+from+` AND sender_nid <> $5 AND exceptions IS NOT NULL`, args, func(scan func(...any) error) error {
		var (
			base   int64
			packed []byte
		)
		if err := scan(&base, &packed); err != nil {
			return err
		}
		outcome, err := outcomeOf(Outcome(base), packed, userNID)
		u.Add(outcome)
		return err
	})
}

// threadHint is pushRange in words from which SQLite sees that the index of threads serves.
func threadHint(threadNID int64) string {
	if threadNID == 0 {
		return pushRange
	}
	return pushRange + ` AND thread_nid <> 0`
}

// outcomeOf returns the outcome of a user who is not the sender.
func outcomeOf(base Outcome, packed []byte, userNID int64) (Outcome, error) {
	err := eachException(packed, func(x PushException) bool {
		if x.UserNID == userNID {
			base = x.Outcome
		}
		return x.UserNID < userNID
	})
	return base, err
}

// ThreadNews is what is new in a thread.
type ThreadNews struct {
	ThreadNID int64 // of the id of its root
	Said      int64 // position of the last event that the user has sent, or 0
	Newest    int64 // position of the last event of another, or 0
}

// ThreadsWithNews returns the threads of a room with events at after < pos ≤ upto.
func (tx *Tx) ThreadsWithNews(roomNID, userNID, after, upto int64) ([]ThreadNews, error) {
	var all []ThreadNews
	err := tx.Query(`SELECT thread_nid, MAX(CASE WHEN sender_nid = $2 THEN pos ELSE 0 END), MAX(CASE WHEN sender_nid = $2 THEN 0 ELSE pos END)
		FROM push_actions WHERE room_nid = $1 AND thread_nid <> 0 AND pos > $3 AND pos <= $4 GROUP BY thread_nid`,
		[]any{roomNID, userNID, after, upto}, func(scan func(...any) error) error {
			var t ThreadNews
			err := scan(&t.ThreadNID, &t.Said, &t.Newest)
			all = append(all, t)
			return err
		})
	return all, err
}

const pushColumns = `room_nid, pos, thread_nid, sender_nid, base, exceptions`

// PushActionsAfter returns the rows of a room at after < pos ≤ upto, oldest first, at most limit or somewhat more.
func (tx *Tx) PushActionsAfter(roomNID, after, upto int64, limit int) ([]PushActions, error) {
	return tx.pushActions(`SELECT `+pushColumns+` FROM push_actions WHERE room_nid = $1 AND pos > $2 AND pos <= $3 ORDER BY pos LIMIT `+
		atLeast(limit), roomNID, after, upto)
}

// PushActionsBefore returns the rows of a room at after < pos < before, newest first, at most limit or somewhat more.
func (tx *Tx) PushActionsBefore(roomNID, after, before int64, limit int) ([]PushActions, error) {
	return tx.pushActions(`SELECT `+pushColumns+` FROM push_actions WHERE room_nid = $1 AND pos > $2 AND pos < $3 ORDER BY pos DESC LIMIT `+
		atLeast(limit), roomNID, after, before)
}

func (tx *Tx) pushActions(query string, args ...any) ([]PushActions, error) {
	var all []PushActions
	err := tx.Query(query, args, func(scan func(...any) error) error {
		var (
			a      PushActions
			base   int64
			packed []byte
		)
		if err := scan(&a.RoomNID, &a.Pos, &a.ThreadNID, &a.SenderNID, &base, &packed); err != nil {
			return fmt.Errorf("read whom an event concerns: %w", err)
		}
		a.Base = Outcome(base)
		err := eachException(packed, func(x PushException) bool {
			a.Exceptions = append(a.Exceptions, x)
			return true
		})
		all = append(all, a)
		return err
	})
	return all, err
}

// NotifiedRoom is a room with events that may have concerned a user.
type NotifiedRoom struct {
	RoomNID int64
	Since   int64 // the position at which the user came into it
	Newest  int64 // the position of the newest of the events
}

// NotifiedRooms returns the rooms that a user is in that have rows of push_actions since the user came, before a position.
func (tx *Tx) NotifiedRooms(userNID, before int64) ([]NotifiedRoom, error) {
	var all []NotifiedRoom
	err := tx.Query(`SELECT m.room_nid, m.since, COALESCE((SELECT MAX(p.pos) FROM push_actions p WHERE p.room_nid = m.room_nid
		AND p.pos < $2 AND p.pos > m.since), 0) FROM memberships m WHERE m.user_nid = $1 AND m.membership = 'join'`, []any{userNID, before},
		func(scan func(...any) error) error {
			var r NotifiedRoom
			err := scan(&r.RoomNID, &r.Since, &r.Newest)
			if r.Newest > 0 {
				all = append(all, r)
			}
			return err
		})
	return all, err
}

// InvitesOf returns the newest invitations of a user that are open, before a position, newest first: their rooms and events.
func (tx *Tx) InvitesOf(userNID, before int64, limit int) ([]Membership, error) {
	return tx.memberships(`SELECT `+membershipColumns+` FROM memberships WHERE user_nid = $1 AND membership = 'invite' AND forgotten = 0
		AND pos < $2 ORDER BY pos DESC LIMIT `+atLeast(limit), userNID, before)
}
