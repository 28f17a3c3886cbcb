package store

import (
	"cmp"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"causeway/homeserver/sqldb"
)

// Placed is an event that has just got its place in a room's timeline, with what that did to the room.
type Placed struct {
	*Event
	RoomBefore int64  // the current state set of the room
	RoomAfter  int64  // that which it has now
	Was        string // of a member event: the membership of its user in RoomBefore
	Branches   bool   // memberships other than that of the event may have changed, or another event than this decides
}

// PushActions is whom an event concerns: a row of push_actions.
type PushActions struct {
	RoomNID    int64
	Pos        int64 // of the event
	ThreadNID  int64 // of the id of the thread's root, 0 for the main timeline
	SenderNID  int64
	Base       Outcome // of all who were in the room, but for the sender and those in Exceptions
	Exceptions []PushException
}

// PushException is the outcome of one user.
type PushException struct {
	UserNID int64
	Outcome Outcome
}

// Of returns the outcome of a user who was in the room.
func (a *PushActions) Of(userNID int64) Outcome {
	if a.SenderNID == userNID {
		return 0
	}
	for _, x := range a.Exceptions {
		if x.UserNID == userNID {
			return x.Outcome
		}
	}
	return a.Base
}

// InsertPushActions records whom an event concerns.
func (tx *Tx) InsertPushActions(a PushActions) error {
	return tx.Defer(`INSERT INTO push_actions (room_nid, pos, thread_nid, sender_nid, base, exceptions) VALUES ($1, $2, $3, $4, $5, $6)`,
		a.RoomNID, a.Pos, a.ThreadNID, a.SenderNID, int64(a.Base), packExceptions(a.Exceptions))
}

// packExceptions returns nil for none.
func packExceptions(all []PushException) []byte {
	if len(all) == 0 {
		return nil
	}
	slices.SortFunc(all, func(a, b PushException) int { return cmp.Compare(a.UserNID, b.UserNID) })
	packed := make([]byte, 0, 4*len(all))
	last := int64(0)
	for _, x := range all {
		packed = binary.AppendUvarint(packed, uint64(x.UserNID-last))
		packed = binary.AppendUvarint(packed, uint64(x.Outcome))
		last = x.UserNID
	}
	return packed
}

var errExceptions = errors.New("the exceptions of a row of push_actions cannot be read")

// eachException calls visit with each of the exceptions, until it returns false.
func eachException(packed []byte, visit func(PushException) bool) error {
	last := int64(0)
	for len(packed) > 0 {
		step, n := binary.Uvarint(packed)
		if n <= 0 {
			return errExceptions
		}
		outcome, m := binary.Uvarint(packed[n:])
		if m <= 0 {
			return errExceptions
		}
		packed = packed[n+m:]
		last += int64(step)
		if !visit(PushException{last, Outcome(outcome)}) {
			return nil
		}
	}
	return nil
}

// silence has an event concern nobody any more. That its sender was there when it was sent remains.
func (tx *Tx) silence(eventNID int64) error {
	n, err := tx.Exec(`UPDATE push_actions SET base = 0, exceptions = NULL WHERE room_nid = (SELECT room_nid FROM events WHERE nid = $1)
		AND pos = (SELECT pos FROM events WHERE nid = $1)`, eventNID)
	if err != nil || n == 0 {
		return err
	}
	var roomNID int64
	if _, err := tx.Row(`SELECT room_nid FROM events WHERE nid = $1`, []any{eventNID}, &roomNID); err != nil {
		return err
	}
	return tx.unsettle(roomNID)
}

// deletePushActions deletes the rows of events that lose their place in the timeline.
func (tx *Tx) deletePushActions(roomNID int64, events []*Event) error {
	positions := make([]int64, 0, len(events))
	for _, e := range events {
		if e.Pos != 0 {
			positions = append(positions, e.Pos)
		}
	}
	if len(positions) == 0 {
		return nil
	}
	err := inBatches(positions, func(some []int64) error {
		query, args := sqldb.In(`DELETE FROM push_actions WHERE room_nid = $1 AND pos IN `, 2, some)
		return tx.Defer(query, append([]any{roomNID}, args...)...)
	})
	if err != nil {
		return err
	}
	return tx.unsettle(roomNID)
}

// People returns the users of this server who are in a room and are no application service's.
func (tx *Tx) People(roomNID int64) ([]int64, error) {
	return tx.ints(`SELECT m.user_nid FROM memberships m JOIN users u ON u.nid = m.user_nid
		WHERE m.room_nid = $1 AND m.membership = 'join' AND u.appservice IS NULL`, roomNID)
}

// IsPerson tells whether a user is of this server, and no application service's.
func (tx *Tx) IsPerson(userNID int64) (bool, error) {
	var one int64
	return tx.Row(`SELECT 1 FROM users WHERE nid = $1 AND appservice IS NULL`, []any{userNID}, &one)
}

// Persons returns those of the given users of whom IsPerson is true, in no order.
func (tx *Tx) Persons(userNIDs []int64) (persons []int64, err error) {
	err = inBatches(userNIDs, func(some []int64) error {
		query, args := sqldb.In(`SELECT nid FROM users WHERE appservice IS NULL AND nid IN `, 1, some)
		found, err := tx.ints(query, args...)
		persons = append(persons, found...)
		return err
	})
	return persons, err
}

// AccountDataOfUsers calls visit for what the given users have of some types of account data that belongs to no room.
func (tx *Tx) AccountDataOfUsers(userNIDs []int64, dataTypes []string, visit func(userNID int64, dataType string, content json.RawMessage) error) error {
	return inBatches(userNIDs, func(some []int64) error {
		query, types := sqldb.In(`SELECT user_nid, type, content FROM account_data WHERE room_nid = 0 AND deleted = 0 AND type IN `, 1, dataTypes)
		query, args := sqldb.In(query+` AND user_nid IN `, len(types)+1, some)
		return tx.Query(query, append(types, args...), func(scan func(...any) error) error {
			var (
				nid               int64
				dataType, content string
			)
			if err := scan(&nid, &dataType, &content); err != nil {
				return fmt.Errorf("read account data: %w", err)
			}
			return visit(nid, dataType, json.RawMessage(content))
		})
	})
}

// WatchAccountData has f called in each write transaction in which account data of a user changes that belongs to no room. It is for
// those who remember what they made of it, and must be called before there are writes.
func (db *DB) WatchAccountData(f func(tx *Tx, userNID int64, dataType string)) {
	db.watching = append(db.watching, f)
}

// watched tells who watches that account data changes.
func (tx *Tx) watched(userNID, roomNID int64, dataType string) {
	if roomNID != 0 {
		return
	}
	for _, f := range tx.db.watching {
		f(tx, userNID, dataType)
	}
}
