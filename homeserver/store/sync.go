package store

import (
	"fmt"

	"causeway/homeserver/sqldb"
)

// Seat is a user's membership of a room with what tells whether there is news of the room.
type Seat struct {
	Membership
	StateID int64 // the room's current state set
	LastPos int64 // position of the room's newest event
	Since   int64 // position since which the user has had this membership; 0 since before that was kept
}

const seatColumns = `m.room_nid, m.user_nid, m.membership, m.event_nid, m.pos, m.forgotten, r.state_id, m.since`

// SeatsChanged returns a user's memberships, of any kind and forgotten ones too, of the rooms with events at
// after < pos ≤ upto. Its cost is that of the events in the range, whoever's they are: it is for short ranges.
func (tx *Tx) SeatsChanged(userNID, after, upto int64) ([]Seat, error) {
	// CROSS JOIN keeps SQLite from starting with the user's rooms, of which there may be thousands.
	return tx.seats(`SELECT `+seatColumns+`, c.last FROM (SELECT room_nid, MAX(pos) AS last FROM events
		WHERE pos > $1 AND pos <= $2 GROUP BY room_nid) c
		CROSS JOIN memberships m CROSS JOIN rooms r
		WHERE m.user_nid = $3 AND m.room_nid = c.room_nid AND r.nid = c.room_nid ORDER BY m.room_nid`, after, upto, userNID)
}

// SeatsChangedOf is SeatsChanged for several users at once, in no order of theirs.
func (tx *Tx) SeatsChangedOf(userNIDs []int64, after, upto int64) (all []Seat, err error) {
	err = inBatches(userNIDs, func(some []int64) error {
		query, args := sqldb.In(`SELECT `+seatColumns+`, c.last FROM (SELECT room_nid, MAX(pos) AS last FROM events
			WHERE pos > $1 AND pos <= $2 GROUP BY room_nid) c CROSS JOIN memberships m CROSS JOIN rooms r
			WHERE m.room_nid = c.room_nid AND r.nid = c.room_nid AND m.user_nid IN `, 3, some)
		seats, err := tx.seats(query+` ORDER BY m.room_nid`, append([]any{after, upto}, args...)...)
		all = append(all, seats...)
		return err
	})
	return all, err
}

// Seats returns a user's memberships that are joins or are newer than after. Its cost is that of the user's rooms. Forgotten
// rooms are among them only when they are newer than after, and never when after is 0.
func (tx *Tx) Seats(userNID, after int64) ([]Seat, error) {
	return tx.seats(`SELECT `+seatColumns+`, (SELECT COALESCE(MAX(e.pos), 0) FROM events e WHERE e.room_nid = m.room_nid)
		FROM memberships m CROSS JOIN rooms r
		WHERE m.user_nid = $1 AND (m.membership = 'join' OR m.pos > $2) AND (m.forgotten = 0 OR $2 > 0) AND r.nid = m.room_nid
		ORDER BY m.room_nid`, userNID, after)
}

// Seat returns a user's membership of one room. ErrNotFound when the user was never in it.
func (tx *Tx) Seat(userNID, roomNID int64) (Seat, error) {
	all, err := tx.seats(`SELECT `+seatColumns+`, (SELECT COALESCE(MAX(e.pos), 0) FROM events e WHERE e.room_nid = m.room_nid)
		FROM memberships m CROSS JOIN rooms r WHERE m.user_nid = $1 AND m.room_nid = $2 AND r.nid = m.room_nid`, userNID, roomNID)
	if err == nil && len(all) == 0 {
		err = fmt.Errorf("membership: %w", ErrNotFound)
	}
	if err != nil {
		return Seat{}, err
	}
	return all[0], nil
}

// SeatsIn returns the memberships of some users in some rooms, in no order. There are at most a few dozen rooms.
func (tx *Tx) SeatsIn(userNIDs, roomNIDs []int64) (all []Seat, err error) {
	err = inBatches(userNIDs, func(some []int64) error {
		query, rooms := sqldb.In(`SELECT `+seatColumns+`, (SELECT COALESCE(MAX(e.pos), 0) FROM events e WHERE e.room_nid = m.room_nid)
			FROM memberships m CROSS JOIN rooms r WHERE r.nid = m.room_nid AND m.room_nid IN `, 1, roomNIDs)
		query, users := sqldb.In(query+` AND m.user_nid IN `, len(rooms)+1, some)
		seats, err := tx.seats(query, append(rooms, users...)...)
		all = append(all, seats...)
		return err
	})
	return all, err
}

func (tx *Tx) seats(query string, args ...any) ([]Seat, error) {
	var all []Seat
	err := tx.Query(query, args, func(scan func(...any) error) error {
		var (
			s         Seat
			forgotten int64
		)
		if err := scan(&s.RoomNID, &s.UserNID, &s.Membership.Membership, &s.EventNID, &s.Pos, &forgotten, &s.StateID, &s.Since, &s.LastPos); err != nil {
			return fmt.Errorf("read a membership: %w", err)
		}
		s.Forgotten = forgotten != 0
		all = append(all, s)
		return nil
	})
	return all, err
}

// JoinedRooms returns the rooms that a user is in, in no order.
func (tx *Tx) JoinedRooms(userNID int64) ([]int64, error) {
	return tx.ints(`SELECT room_nid FROM memberships WHERE user_nid = $1 AND membership = 'join'`, userNID)
}

// MemberCounts returns how many users are in a room, and how many are invited.
func (tx *Tx) MemberCounts(roomNID int64) (joined, invited int64, err error) {
	err = tx.Query(`SELECT membership, COUNT(*) FROM memberships WHERE room_nid = $1 AND membership IN ('join', 'invite')
		GROUP BY membership`, []any{roomNID}, func(scan func(...any) error) error {
		var (
			membership string
			n          int64
		)
		if err := scan(&membership, &n); err != nil {
			return fmt.Errorf("count members: %w", err)
		}
		if membership == "join" {
			joined = n
		} else {
			invited = n
		}
		return nil
	})
	return joined, invited, err
}

// FirstMembers returns at most limit members of a room but for one user, oldest membership first: those who are joined or
// invited, or, with gone, those who left or are banned.
func (tx *Tx) FirstMembers(roomNID, exceptNID int64, gone bool, limit int) ([]Membership, error) {
	first, second := "join", "invite"
	if gone {
		first, second = "leave", "ban"
	}
	return tx.memberships(`SELECT `+membershipColumns+` FROM memberships WHERE room_nid = $1 AND user_nid <> $2
		AND membership IN ($3, $4) ORDER BY pos LIMIT $5`, roomNID, exceptNID, first, second, limit)
}
