package store

import (
	"fmt"

	"causeway/homeserver/sqldb"

	"maunium.net/go/mautrix/id"
)

// The types of receipts that are stored.
const (
	ReceiptRead        = "m.read"
	ReceiptReadPrivate = "m.read.private" // shown to nobody but its user
)

// Receipt says up to where a user has read a room, or a thread of it.
type Receipt struct {
	RoomNID  int64
	UserNID  int64
	Type     string
	Thread   string // "" for the whole room, event.MainThread, or the event id of a thread's root
	EventID  id.EventID
	EventPos int64 // position of the event, 0 while it has none
	TS       int64 // when it was read, in milliseconds
	Pos      int64 // of the receipt in the stream
}

// SetReceipt stores a receipt unless the user has read further already, and returns its position, 0 when it was not stored.
func (tx *Tx) SetReceipt(r Receipt) (pos int64, err error) {
	var old int64
	found, err := tx.Row(`SELECT event_pos FROM receipts WHERE room_nid = $1 AND user_nid = $2 AND type = $3 AND thread = $4`,
		[]any{r.RoomNID, r.UserNID, r.Type, r.Thread}, &old)
	if err != nil || found && r.EventPos <= old {
		return 0, err
	}
	if pos, err = tx.NextPos(); err != nil {
		return 0, err
	}
	tx.touch(FamilyReceipts, pos)
	_, err = tx.Exec(`INSERT INTO receipts (room_nid, user_nid, type, thread, event_id, event_pos, ts, pos)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (room_nid, user_nid, type, thread)
		DO UPDATE SET event_id = excluded.event_id, event_pos = excluded.event_pos, ts = excluded.ts, pos = excluded.pos`,
		r.RoomNID, r.UserNID, r.Type, r.Thread, string(r.EventID), r.EventPos, r.TS, pos)
	return pos, err
}

const receiptColumns = `r.room_nid, r.user_nid, r.type, r.thread, r.event_id, r.event_pos, r.ts, r.pos`

// ofReader lets a user see the receipts of table r that are anybody's business, or are the user's own.
const ofReader = `(r.type <> '` + ReceiptReadPrivate + `' OR r.user_nid = $1)`

// RoomsWithReceipts returns the rooms that a user is in with receipts, which the user may see, at after < pos ≤ upto, those of others
// among them. With short its cost is that of the receipts in the range, whoever's they are, else that of the user's rooms.
func (tx *Tx) RoomsWithReceipts(userNID, after, upto int64, short bool) ([]int64, error) {
	if short {
		return tx.ints(`SELECT DISTINCT r.room_nid FROM receipts r CROSS JOIN memberships m WHERE r.pos > $2 AND r.pos <= $3
			AND `+ofReader+` AND m.user_nid = $1 AND m.room_nid = r.room_nid AND m.membership = 'join'`, userNID, after, upto)
	}
	return tx.ints(`SELECT m.room_nid FROM memberships m WHERE m.user_nid = $1 AND m.membership = 'join' AND EXISTS (SELECT 1
		FROM receipts r WHERE r.room_nid = m.room_nid AND r.pos > $2 AND r.pos <= $3 AND `+ofReader+`)`, userNID, after, upto)
}

// Receipts returns at most limit receipts of a room that a user may see with after < pos ≤ upto, newest first: with members, only
// those of users who are in the room.
func (tx *Tx) Receipts(roomNID, readerNID, after, upto int64, members bool, limit int) ([]Receipt, error) {
	query := `SELECT ` + receiptColumns + ` FROM receipts r
		WHERE r.room_nid = $2 AND r.pos > $3 AND r.pos <= $4 AND ` + ofReader
	if members {
		query += ` AND EXISTS (SELECT 1 FROM memberships m WHERE m.user_nid = r.user_nid AND m.room_nid = $2 AND m.membership = 'join')`
	}
	all, err := tx.receipts(query+` ORDER BY r.pos DESC LIMIT `+atLeast(limit), readerNID, roomNID, after, upto)
	return all[:min(len(all), limit)], err
}

// ReceiptsBetween returns the receipts of all rooms at after < pos ≤ upto, those among them that only their users may see, newest first,
// at most limit.
func (tx *Tx) ReceiptsBetween(after, upto int64, limit int) ([]Receipt, error) {
	all, err := tx.receipts(`SELECT `+receiptColumns+` FROM receipts r WHERE r.pos > $1 AND r.pos <= $2 ORDER BY r.pos DESC LIMIT `+atLeast(limit), after, upto)
	return all[:min(len(all), limit)], err
}

func (tx *Tx) receipts(query string, args ...any) (all []Receipt, err error) {
	err = tx.Query(query, args, func(scan func(...any) error) error {
		var r Receipt
		err := scan(&r.RoomNID, &r.UserNID, &r.Type, &r.Thread, &r.EventID, &r.EventPos, &r.TS, &r.Pos)
		all = append(all, r)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read receipts: %w", err)
	}
	return all, nil
}

// JoinedAmong returns those of the given rooms that a user is in, in no order.
func (tx *Tx) JoinedAmong(userNID int64, rooms []int64) (joined []int64, err error) {
	if len(rooms) > maxIn {
		all, err := tx.JoinedRooms(userNID)
		if err != nil {
			return nil, err
		}
		among := make(map[int64]bool, len(rooms))
		for _, nid := range rooms {
			among[nid] = true
		}
		for _, nid := range all {
			if among[nid] {
				joined = append(joined, nid)
			}
		}
		return joined, nil
	}
	if len(rooms) == 0 {
		return nil, nil
	}
	query, args := sqldb.In(`SELECT room_nid FROM memberships WHERE user_nid = $1 AND membership = 'join' AND room_nid IN `, 2, rooms)
	return tx.ints(query, append([]any{userNID}, args...)...)
}

// dropReceipts deletes what says up to where a user has read: what is nobody else's business or, with all, everything.
func (tx *Tx) dropReceipts(userNID int64, all bool) error {
	query := `DELETE FROM receipts WHERE user_nid = $1 AND room_nid IN (SELECT room_nid FROM memberships WHERE user_nid = $1)`
	if !all {
		query += ` AND type = '` + ReceiptReadPrivate + `'`
	}
	_, err := tx.Exec(query, userNID)
	return err
}
