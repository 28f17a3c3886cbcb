package store

import (
	"database/sql"
	"fmt"
	"strconv"

	"causeway/homeserver/event"
	"causeway/homeserver/sqldb"

	"maunium.net/go/mautrix/id"
)

// Status says why an event is not in its room's timeline; 0 for one that is. Server-Server API, "Checks performed on receipt of a
// PDU".
type Status int64

// The bits of a Status.
const (
	Outlier    Status = 1 << iota // held for its authority alone: where it stands in the room is not known, or no longer
	Rejected                      // not allowed by its auth events or by the state before it
	SoftFailed                    // allowed where it stands, but not by the room's state when it came
)

// Event is an event with what the server knows of it.
type Event struct {
	*event.PDU
	NID         int64
	RoomNID     int64
	Pos         int64 // position in the stream, 0 for an event with a Status
	Status      Status
	Reason      string  // why it is rejected or soft-failed
	Auth        []int64 // its auth events; of a state event that is inserted
	StateBefore int64   // state set
	StateAfter  int64
	Replaces    int64 // of a state event: the event whose place it took, or 0
	RedactedBy  int64 // the redaction's nid, or 0
	TxnDevice   string
	TxnID       string
	TxnTarget   id.EventID // of an event that /redact made: its target, which is part of the scope of the transaction id
}

// Txn is the transaction id of a request that makes an event, with its scope: the device and the path (Client-Server API,
// "Transaction identifiers").
type Txn struct {
	Sender     id.UserID
	Device, ID string
	RoomID     id.RoomID
	Type       string
	Target     id.EventID // of /redact
}

// InsertEvent adds an event, with what it relates to. When the event, or its transaction id, is there already, the write ends with ErrExists.
func (tx *Tx) InsertEvent(e *Event) error {
	typeNID, err := tx.NID(e.Type)
	if err != nil {
		return err
	}
	senderNID, err := tx.NID(string(e.Sender))
	if err != nil {
		return err
	}
	var stateKeyNID sql.NullInt64
	if e.StateKey != nil {
		nid, err := tx.NID(*e.StateKey)
		if err != nil {
			return err
		}
		stateKeyNID = sql.NullInt64{Int64: nid, Valid: true}
	}
	if e.StateKey != nil {
		if err := tx.insertAuth(e.NID, e.Auth); err != nil {
			return err
		}
	}
	if e.Pos != 0 {
		tx.touchRoom(e.RoomNID, e.Pos)
	}
	if err := tx.noteForList(e); err != nil {
		return err
	}
	hasTxn := e.TxnID != ""
	txnID := nullString(e.TxnID)
	// Not NULL even when empty, or the index would not hold them together.
	txnDevice, txnTarget := sql.NullString{String: e.TxnDevice, Valid: hasTxn}, sql.NullString{String: string(e.TxnTarget), Valid: hasTxn}
	err = tx.Defer(`INSERT INTO events (nid, room_nid, pos, event_id, type_nid, state_key_nid, sender_nid, depth,
		origin_server_ts, state_before, state_after, replaces_nid, redacted_by, txn_device, txn_id, txn_target, json, status, reason)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, NULL, $13, $14, $15, $16, $17, $18)`,
		e.NID, e.RoomNID, nullInt(e.Pos), string(e.EventID), typeNID, stateKeyNID, senderNID, e.Depth,
		e.OriginServerTS, e.StateBefore, e.StateAfter, nullInt(e.Replaces), txnDevice, txnID, txnTarget, string(e.JSON()),
		int64(e.Status), nullString(e.Reason))
	if err != nil {
		return err
	}
	return tx.insertRelation(e)
}

// PlaceEvent gives an event that is stored as an outlier its place in the room: pos, states, status and reason; and its content, of
// which perhaps not all had come. What it relates to goes with its place.
func (tx *Tx) PlaceEvent(e *Event) error {
	if e.Pos != 0 {
		tx.touchRoom(e.RoomNID, e.Pos)
	}
	if err := tx.noteForList(e); err != nil {
		return err
	}
	err := tx.DeferOne(`UPDATE events SET pos = $2, state_before = $3, state_after = $4, replaces_nid = $5, status = $6, reason = $7,
		json = CASE WHEN redacted_by IS NULL THEN $8 ELSE json END WHERE nid = $1`, e.NID, nullInt(e.Pos), e.StateBefore, e.StateAfter, nullInt(e.Replaces), int64(e.Status),
		nullString(e.Reason), string(e.JSON()))
	if err != nil {
		return err
	}
	return tx.insertRelation(e)
}

// insertAuth records the auth events of a state event.
func (tx *Tx) insertAuth(nid int64, auth []int64) error {
	return tx.Defer(`INSERT INTO event_auth (event_nid, auth) VALUES ($1, $2)`, nid, packInts(auth))
}

// AuthEvents returns the auth events of state events, by event. Events that are not there are left out.
func (tx *Tx) AuthEvents(nids []int64) (map[int64][]int64, error) {
	all := make(map[int64][]int64, len(nids))
	err := tx.packedAuth(nids, func(nid int64, packed []byte) (err error) {
		if all[nid], err = unpackInts(packed); err != nil {
			err = fmt.Errorf("auth events of event %d: %w", nid, err)
		}
		return err
	})
	return all, err
}

// packedAuth calls visit for each of the events whose auth events are stored.
func (tx *Tx) packedAuth(nids []int64, visit func(nid int64, packed []byte) error) error {
	return inBatches(nids, func(some []int64) error {
		query, args := sqldb.In(`SELECT event_nid, auth FROM event_auth WHERE event_nid IN `, 1, some)
		return tx.Query(query, args, func(scan func(...any) error) error {
			var (
				nid    int64
				packed []byte
			)
			if err := scan(&nid, &packed); err != nil {
				return fmt.Errorf("read auth events: %w", err)
			}
			return visit(nid, packed)
		})
	})
}

// maxIn bounds the values of one query. SQLite's driver takes time that grows with their square.
const maxIn = 64

// inBatches calls fn with parts of values.
func inBatches[T any](values []T, fn func([]T) error) error {
	for len(values) > 0 {
		n := min(len(values), maxIn)
		if err := fn(values[:n]); err != nil {
			return err
		}
		values = values[n:]
	}
	return nil
}

const eventColumns = `e.nid, e.room_nid, e.pos, e.event_id, e.state_before, e.state_after, e.replaces_nid, e.redacted_by,
	e.txn_device, e.txn_id, e.status, e.reason, e.json`

// EventByID finds an event by its id. ErrNotFound.
func (tx *Tx) EventByID(eventID id.EventID) (*Event, error) {
	if nobodys(string(eventID)) {
		return nil, fmt.Errorf("event %q: %w", eventID, ErrNotFound)
	}
	return tx.oneEvent(`SELECT `+eventColumns+` FROM events e WHERE e.event_id = $1`, string(eventID))
}

// EventByNID finds an event by its integer. ErrNotFound.
func (tx *Tx) EventByNID(nid int64) (*Event, error) {
	return tx.oneEvent(`SELECT `+eventColumns+` FROM events e WHERE e.nid = $1`, nid)
}

// EventIDByTxn returns the event that a request made. ErrNotFound. It is one query once the sender and the type are known.
func (tx *Tx) EventIDByTxn(t Txn) (id.EventID, error) {
	sender, err := tx.LookupNID(string(t.Sender))
	if err != nil {
		return "", err
	}
	eventType, err := tx.LookupNID(t.Type)
	if err != nil {
		return "", err
	}
	var eventID string
	found, err := tx.Row(`SELECT event_id FROM events WHERE sender_nid = $1 AND txn_device = $2 AND txn_id = $3
		AND room_nid = (SELECT nid FROM rooms WHERE room_id = $4 AND purging = 0) AND type_nid = $5 AND txn_target = $6`,
		[]any{sender, t.Device, t.ID, string(t.RoomID), eventType, string(t.Target)}, &eventID)
	if err == nil && !found {
		err = fmt.Errorf("transaction %s: %w", t.ID, ErrNotFound)
	}
	return id.EventID(eventID), err
}

// EventsByNID finds events by their integers, in no order. Those that are not there are left out.
func (tx *Tx) EventsByNID(nids []int64) (all []*Event, err error) {
	err = inBatches(nids, func(some []int64) error {
		query, args := sqldb.In(`SELECT `+eventColumns+` FROM events e WHERE e.nid IN `, 1, some)
		events, err := tx.events(query, args)
		all = append(all, events...)
		return err
	})
	return all, err
}

// EventsByID finds events by their ids, in no order. Those that are not there are left out.
func (tx *Tx) EventsByID(ids []id.EventID) (all []*Event, err error) {
	known := make([]string, 0, len(ids))
	for _, eventID := range ids {
		if !nobodys(string(eventID)) {
			known = append(known, string(eventID))
		}
	}
	err = inBatches(known, func(some []string) error {
		query, args := sqldb.In(`SELECT `+eventColumns+` FROM events e WHERE e.event_id IN `, 1, some)
		events, err := tx.events(query, args)
		all = append(all, events...)
		return err
	})
	return all, err
}

// NIDsOf returns the integers of events, by their ids. Those that are not there are left out.
func (tx *Tx) NIDsOf(ids []id.EventID) (map[id.EventID]int64, error) {
	nids := make(map[id.EventID]int64, len(ids))
	known := make([]string, 0, len(ids))
	for _, eventID := range ids {
		if !nobodys(string(eventID)) {
			known = append(known, string(eventID))
		}
	}
	err := inBatches(known, func(some []string) error {
		query, args := sqldb.In(`SELECT event_id, nid FROM events WHERE event_id IN `, 1, some)
		return tx.Query(query, args, func(scan func(...any) error) error {
			var (
				eventID string
				nid     int64
			)
			if err := scan(&eventID, &nid); err != nil {
				return fmt.Errorf("read the integer of an event: %w", err)
			}
			nids[id.EventID(eventID)] = nid
			return nil
		})
	})
	return nids, err
}

// TimelineBefore returns at most limit events of a room with from ≤ pos ≤ upto, newest first.
func (tx *Tx) TimelineBefore(roomNID, from, upto int64, limit int) ([]*Event, error) {
	all, err := tx.events(`SELECT `+eventColumns+` FROM events e WHERE e.room_nid = $1 AND e.pos >= $2 AND e.pos <= $3
		ORDER BY e.pos DESC LIMIT `+atLeast(limit), []any{roomNID, from, upto})
	return all[:min(len(all), limit)], err
}

// TimelineAfter returns at most limit events of a room with from ≤ pos ≤ upto, oldest first.
func (tx *Tx) TimelineAfter(roomNID, from, upto int64, limit int) ([]*Event, error) {
	all, err := tx.events(`SELECT `+eventColumns+` FROM events e WHERE e.room_nid = $1 AND e.pos >= $2 AND e.pos <= $3
		ORDER BY e.pos LIMIT `+atLeast(limit), []any{roomNID, from, upto})
	return all[:min(len(all), limit)], err
}

// RoomsChanged returns the rooms with events at after < pos ≤ upto.
func (tx *Tx) RoomsChanged(after, upto int64) ([]int64, error) {
	return tx.ints(`SELECT DISTINCT room_nid FROM events WHERE pos > $1 AND pos <= $2`, after, upto)
}

// LastPos returns the position of the newest event of a room with pos ≤ upto, or 0.
func (tx *Tx) LastPos(roomNID, upto int64) (int64, error) {
	var pos sql.NullInt64
	_, err := tx.Row(`SELECT MAX(pos) FROM events WHERE room_nid = $1 AND pos <= $2`, []any{roomNID, upto}, &pos)
	return pos.Int64, err
}

func (tx *Tx) oneEvent(query string, args ...any) (*Event, error) {
	all, err := tx.events(query, args)
	if err != nil {
		return nil, err
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("event: %w", ErrNotFound)
	}
	return all[0], nil
}

func (tx *Tx) events(query string, args []any) ([]*Event, error) {
	var (
		all  []*Event
		raws []string
		ids  []string
	)
	err := tx.Query(query, args, func(scan func(...any) error) error {
		var (
			e                         Event
			pos, replaces, redactedBy sql.NullInt64
			txnDevice, txnID, reason  sql.NullString
			status                    int64
			eventID, raw              string
		)
		if err := scan(&e.NID, &e.RoomNID, &pos, &eventID, &e.StateBefore, &e.StateAfter, &replaces, &redactedBy,
			&txnDevice, &txnID, &status, &reason, &raw); err != nil {
			return fmt.Errorf("read an event: %w", err)
		}
		e.Pos, e.Replaces, e.RedactedBy = pos.Int64, replaces.Int64, redactedBy.Int64
		e.TxnDevice, e.TxnID = txnDevice.String, txnID.String
		e.Status, e.Reason = Status(status), reason.String
		all, raws, ids = append(all, &e), append(raws, raw), append(ids, eventID)
		return nil
	})
	if err != nil {
		return nil, err
	}
	// Parsed only now: a connection reads one result at a time, and identity may have to ask for the room's version.
	for i, e := range all {
		row, err := tx.identity(e.RoomNID)
		if err != nil {
			return nil, err
		}
		if e.PDU, err = event.ParseTrusted(row.version, id.EventID(ids[i]), []byte(raws[i])); err != nil {
			return nil, fmt.Errorf("event %s: %w", ids[i], err)
		}
	}
	return all, nil
}

func (tx *Tx) ints(query string, args ...any) ([]int64, error) {
	var all []int64
	err := tx.Query(query, args, func(scan func(...any) error) error {
		var n int64
		if err := scan(&n); err != nil {
			return err
		}
		all = append(all, n)
		return nil
	})
	return all, err
}

// atLeast is a LIMIT of n or somewhat more, in the text of a statement: one that is bound has SQLite prepare the statement anew
// each time, and few different ones keep the prepared statements few.
func atLeast(n int) string {
	limit := 1
	for limit < n {
		limit *= 2
	}
	return strconv.Itoa(limit)
}

func nullInt(n int64) sql.NullInt64 { return sql.NullInt64{Int64: n, Valid: n != 0} }

func nullString(s string) sql.NullString { return sql.NullString{String: s, Valid: s != ""} }
