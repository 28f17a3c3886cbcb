package store

import (
	"database/sql"
	"fmt"

	"causeway/homeserver/sqldb"

	"maunium.net/go/mautrix/id"
)

// Purged counts what was deleted.
type Purged struct {
	Rooms     int64
	Events    int64
	StateSets int64
	Originals int64 // of redacted events, whose time was over
	ToDevice  int64 // messages for devices that nobody has seen for long
	Bytes     int64 // of the events' and messages' text and the sets' entries: less than what the database loses
}

// Add adds what other counts.
func (p *Purged) Add(other Purged) {
	p.Rooms += other.Rooms
	p.Events += other.Events
	p.StateSets += other.StateSets
	p.Originals += other.Originals
	p.ToDevice += other.ToDevice
	p.Bytes += other.Bytes
}

// maxPurge bounds the events that one transaction deletes, so that those who send into other rooms never wait long.
const maxPurge = 400

// deleteEvents deletes events with all that belongs to them. Events that come after one of them get a gap. No event of the room's
// state or its auth chain may be among them.
func (tx *Tx) deleteEvents(roomNID int64, events []*Event) (Purged, error) {
	if len(events) == 0 {
		return Purged{}, nil
	}
	done := Purged{Events: int64(len(events))}
	nids := make([]int64, 0, len(events))
	for _, e := range events {
		nids = append(nids, e.NID)
		done.Bytes += int64(len(e.JSON()))
	}
	if err := tx.cutEdges(roomNID, events, nids); err != nil {
		return done, err
	}
	if err := tx.deletePushActions(roomNID, events); err != nil {
		return done, err
	}
	return done, tx.deleteRows(roomNID, nids)
}

// cutEdges takes events out of the graph.
func (tx *Tx) cutEdges(roomNID int64, events []*Event, nids []int64) error {
	if err := tx.openGaps(roomNID, events, nids); err != nil {
		return err
	}
	if err := tx.execIn(`DELETE FROM edges WHERE prev_nid IN `, nids); err != nil {
		return err
	}
	var prevs []id.EventID
	for _, e := range events {
		prevs = append(prevs, e.PrevEvents...)
	}
	before, err := tx.NIDsOf(prevs)
	if err != nil {
		return err
	}
	for _, e := range events {
		for _, prev := range e.PrevEvents {
			if nid := before[prev]; nid != 0 {
				if err := tx.Defer(`DELETE FROM edges WHERE prev_nid = $1 AND event_nid = $2`, nid, e.NID); err != nil {
					return err
				}
			}
		}
	}
	query, args := sqldb.In(`DELETE FROM gaps WHERE room_nid = $1 AND event_nid IN `, 2, nids)
	return tx.Defer(query, append([]any{roomNID}, args...)...)
}

// openGaps records what comes after events that lose their place, and is not among them.
func (tx *Tx) openGaps(roomNID int64, events []*Event, nids []int64) error {
	ids := make(map[int64]id.EventID, len(events))
	for _, e := range events {
		ids[e.NID] = e.EventID
	}
	type edge struct{ prev, after int64 }
	var edges []edge
	err := inBatches(nids, func(some []int64) error {
		query, args := sqldb.In(`SELECT prev_nid, event_nid FROM edges WHERE prev_nid IN `, 1, some)
		return tx.Query(query, args, func(scan func(...any) error) error {
			var x edge
			err := scan(&x.prev, &x.after)
			edges = append(edges, x)
			return err
		})
	})
	if err != nil {
		return err
	}
	for _, x := range edges {
		if _, goes := ids[x.after]; goes {
			continue
		}
		if err := tx.InsertGap(roomNID, x.after, ids[x.prev]); err != nil {
			return err
		}
	}
	return nil
}

// deleteRows deletes events, which have no edges, and what is stored of each in other tables.
func (tx *Tx) deleteRows(roomNID int64, nids []int64) error {
	if err := tx.dropRelations(nids); err != nil {
		return err
	}
	if err := tx.orphanRelations(nids); err != nil {
		return err
	}
	if err := tx.unindex(nids...); err != nil {
		return err
	}
	for _, query := range []string{
		`DELETE FROM event_auth WHERE event_nid IN `, `DELETE FROM redacted_originals WHERE event_nid IN `,
		`DELETE FROM sticky_events WHERE event_nid IN `, `DELETE FROM events WHERE nid IN `,
	} {
		if err := tx.execIn(query, nids); err != nil {
			return err
		}
	}
	query, args := sqldb.In(`DELETE FROM awaited_redactions WHERE room_nid = $1 AND redaction_nid IN `, 2, nids)
	return tx.Defer(query, append([]any{roomNID}, args...)...)
}

// execIn runs a statement that ends in IN with some values, of which there may be none.
func (tx *Tx) execIn(query string, values []int64) error {
	return inBatches(values, func(some []int64) error {
		query, args := sqldb.In(query, 1, some)
		return tx.Defer(query, args...)
	})
}

// demote makes outliers of events, which are still needed for their authority or as what a state holds: they lose their place in
// the graph and the timeline, and with it the state sets. That one was rejected is remembered.
func (tx *Tx) demote(roomNID int64, events []*Event) error {
	if len(events) == 0 {
		return nil
	}
	nids := make([]int64, 0, len(events))
	for _, e := range events {
		nids = append(nids, e.NID)
	}
	if err := tx.cutEdges(roomNID, events, nids); err != nil {
		return err
	}
	if err := tx.dropRelations(nids); err != nil {
		return err
	}
	if err := tx.unindex(nids...); err != nil {
		return err
	}
	if err := tx.deletePushActions(roomNID, events); err != nil {
		return err
	}
	return tx.execIn(fmt.Sprintf(`UPDATE events SET pos = NULL, status = (status & %d) | %d, state_before = 0, state_after = 0,
		replaces_nid = NULL WHERE nid IN `, Rejected, Outlier), nids)
}

// PurgePoint is a place in a room's timeline: all before the position goes.
type PurgePoint struct {
	RoomNID int64
	Pos     int64 // the first position that stays
}

// PurgePointAt returns the point before which a room's history is purged so that an event is the first that stays. ErrNotFound
// when the room's timeline has no such event.
func (tx *Tx) PurgePointAt(roomNID int64, eventID id.EventID) (PurgePoint, error) {
	e, err := tx.EventByID(eventID)
	if err == nil && (e.RoomNID != roomNID || e.Pos == 0) {
		err = fmt.Errorf("event %s: %w", eventID, ErrNotFound)
	}
	if err != nil {
		return PurgePoint{}, err
	}
	return PurgePoint{RoomNID: roomNID, Pos: e.Pos}, nil
}

// PurgePointBefore returns the point before which all events of a room are older than a time, in milliseconds. A sender who claims a
// later time than the true one keeps what is older, too; who claims an earlier one has no say. The newest event always stays.
// nowTS is the present, and what claims to be of more than a day later claims nothing.
func (tx *Tx) PurgePointBefore(roomNID, beforeTS, nowTS int64) (PurgePoint, error) {
	var first, last sql.NullInt64
	_, err := tx.Row(`SELECT MIN(pos) FROM events WHERE room_nid = $1 AND pos IS NOT NULL AND origin_server_ts >= $2
		AND origin_server_ts <= $3`, []any{roomNID, beforeTS, nowTS + clockSlack}, &first)
	if err != nil {
		return PurgePoint{}, err
	}
	if !first.Valid {
		if _, err := tx.Row(`SELECT MAX(pos) FROM events WHERE room_nid = $1`, []any{roomNID}, &last); err != nil {
			return PurgePoint{}, err
		}
		first = last
	}
	return PurgePoint{RoomNID: roomNID, Pos: first.Int64}, nil
}

// clockSlack is how far a sender's clock may be ahead to be believed, in milliseconds.
const clockSlack = 24 * 60 * 60 * 1000

// isExtremity returns the extremities of a room among events.
func (tx *Tx) isExtremity(roomNID int64) (map[int64]bool, error) {
	nids, err := tx.ints(`SELECT event_nid FROM extremities WHERE room_nid = $1`, roomNID)
	all := make(map[int64]bool, len(nids))
	for _, nid := range nids {
		all[nid] = true
	}
	return all, err
}

// redactionNeeded tells whether a redaction is what explains the state of an event that stays. stays is asked about events in the
// timeline that are no state.
func (tx *Tx) redactionNeeded(redaction *Event, stays func(*Event) bool) (bool, error) {
	if redaction.Redacts == "" {
		return false, nil
	}
	targets, err := tx.EventsByID([]id.EventID{redaction.Redacts})
	if err != nil || len(targets) == 0 {
		return false, err
	}
	target := targets[0]
	return target.RedactedBy == redaction.NID && (target.StateKey != nil || stays(target)), nil
}
