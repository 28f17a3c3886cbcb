package store

import (
	"database/sql"
	"fmt"
	"strconv"

	"causeway/homeserver/event"
	"causeway/homeserver/sqldb"

	"maunium.net/go/mautrix/id"
)

// Event is an event with what the server knows of it.
type Event struct {
	*event.PDU
	NID         int64
	RoomNID     int64
	Pos         int64 // position in the stream, 0 for an outlier
	StateBefore int64 // state set
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

// InsertEvent adds an event. When the event, or its transaction id, is there already, the write ends with ErrExists.
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
	hasTxn := e.TxnID != ""
	txnID := nullString(e.TxnID)
	// Not NULL even when empty, or the index would not hold them together.
	txnDevice, txnTarget := sql.NullString{String: e.TxnDevice, Valid: hasTxn}, sql.NullString{String: string(e.TxnTarget), Valid: hasTxn}
	return tx.Defer(`INSERT INTO events (nid, room_nid, pos, event_id, type_nid, state_key_nid, sender_nid, depth,
		origin_server_ts, state_before, state_after, replaces_nid, redacted_by, txn_device, txn_id, txn_target, json)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, NULL, $13, $14, $15, $16)`,
		e.NID, e.RoomNID, nullInt(e.Pos), string(e.EventID), typeNID, stateKeyNID, senderNID, e.Depth,
		e.OriginServerTS, e.StateBefore, e.StateAfter, nullInt(e.Replaces), txnDevice, txnID, txnTarget, string(e.JSON()))
}

const eventColumns = `e.nid, e.room_nid, e.pos, e.event_id, e.state_before, e.state_after, e.replaces_nid, e.redacted_by,
	e.txn_device, e.txn_id, e.json`

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
		AND room_nid = (SELECT nid FROM rooms WHERE room_id = $4) AND type_nid = $5 AND txn_target = $6`,
		[]any{sender, t.Device, t.ID, string(t.RoomID), eventType, string(t.Target)}, &eventID)
	if err == nil && !found {
		err = fmt.Errorf("transaction %s: %w", t.ID, ErrNotFound)
	}
	return id.EventID(eventID), err
}

// EventsByNID finds events by their integers, in no order.
func (tx *Tx) EventsByNID(nids []int64) ([]*Event, error) {
	var all []*Event
	for len(nids) > 0 {
		n := min(len(nids), 512)
		query, args := sqldb.In(`SELECT `+eventColumns+` FROM events e WHERE e.nid IN `, 1, nids[:n])
		some, err := tx.events(query, args)
		if err != nil {
			return nil, err
		}
		all, nids = append(all, some...), nids[n:]
	}
	return all, nil
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

// RedactEvent puts the redacted form in the place of an event's JSON, and remembers which event asked for it.
func (tx *Tx) RedactEvent(nid, redaction int64, json []byte) error {
	_, err := tx.Exec(`UPDATE events SET redacted_by = $2, json = $3 WHERE nid = $1`, nid, redaction, string(json))
	return err
}

// InsertEdge records that an event comes after prev.
func (tx *Tx) InsertEdge(prev, nid int64) error {
	return tx.Defer(`INSERT INTO edges (prev_nid, event_nid) VALUES ($1, $2)`, prev, nid)
}

// Extremities returns the events of a room that no other event comes after.
func (tx *Tx) Extremities(roomNID int64) ([]*Event, error) {
	return tx.events(`SELECT `+eventColumns+` FROM extremities x JOIN events e ON e.nid = x.event_nid
		WHERE x.room_nid = $1 ORDER BY e.nid`, []any{roomNID})
}

// ReplaceExtremities makes nid an extremity of a room in the place of gone, which must be extremities.
func (tx *Tx) ReplaceExtremities(roomNID int64, gone []int64, nid int64) error {
	if len(gone) == 1 {
		return tx.DeferOne(`UPDATE extremities SET event_nid = $3 WHERE room_nid = $1 AND event_nid = $2`, roomNID, gone[0], nid)
	}
	for _, g := range gone {
		if err := tx.DeferOne(`DELETE FROM extremities WHERE room_nid = $1 AND event_nid = $2`, roomNID, g); err != nil {
			return err
		}
	}
	return tx.Defer(`INSERT INTO extremities (room_nid, event_nid) VALUES ($1, $2)`, roomNID, nid)
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
			txnDevice, txnID          sql.NullString
			eventID, raw              string
		)
		if err := scan(&e.NID, &e.RoomNID, &pos, &eventID, &e.StateBefore, &e.StateAfter, &replaces, &redactedBy,
			&txnDevice, &txnID, &raw); err != nil {
			return fmt.Errorf("read an event: %w", err)
		}
		e.Pos, e.Replaces, e.RedactedBy = pos.Int64, replaces.Int64, redactedBy.Int64
		e.TxnDevice, e.TxnID = txnDevice.String, txnID.String
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
