package store

import (
	"causeway/homeserver/event"

	"maunium.net/go/mautrix/id"
)

// InsertEdge records that an event comes after prev.
func (tx *Tx) InsertEdge(prev, nid int64) error {
	return tx.Defer(`INSERT INTO edges (prev_nid, event_nid) VALUES ($1, $2)`, prev, nid)
}

// InsertGap records that one of the prev_events of an event is not here.
func (tx *Tx) InsertGap(roomNID, nid int64, prev id.EventID) error {
	if nobodys(string(prev)) {
		return errNUL
	}
	return tx.Defer(`INSERT INTO gaps (event_nid, prev, room_nid) VALUES ($1, $2, $3) ON CONFLICT (event_nid, prev) DO NOTHING`,
		nid, string(prev), roomNID)
}

// DeleteGap says that a prev_event of an event is here now.
func (tx *Tx) DeleteGap(nid int64, prev id.EventID) error {
	return tx.Defer(`DELETE FROM gaps WHERE event_nid = $1 AND prev = $2`, nid, string(prev))
}

// Gaps returns the events of a room some of whose prev_events are not here.
func (tx *Tx) Gaps(roomNID int64) ([]*Event, error) {
	return tx.events(`SELECT `+eventColumns+` FROM events e WHERE e.nid IN (SELECT event_nid FROM gaps WHERE room_nid = $1)
		ORDER BY e.nid`, []any{roomNID})
}

// GapsAt returns events that come after one which is not here, a hundred at most.
func (tx *Tx) GapsAt(prev id.EventID) ([]*Event, error) {
	if nobodys(string(prev)) {
		return nil, nil
	}
	return tx.events(`SELECT `+eventColumns+` FROM gaps g JOIN events e ON e.nid = g.event_nid WHERE g.prev = $1
		ORDER BY e.nid LIMIT 100`, []any{string(prev)})
}

// PrevEvents returns the events that an event comes after, as far as they have a place here.
func (tx *Tx) PrevEvents(e *Event) ([]*Event, error) {
	found, err := tx.EventsByID(e.PrevEvents)
	placed := found[:0]
	for _, prev := range found {
		if prev.RoomNID == e.RoomNID && prev.Status&Outlier == 0 {
			placed = append(placed, prev)
		}
	}
	return placed, err
}

// LocalMembers returns at most limit users with an account here who are in a room.
func (tx *Tx) LocalMembers(roomNID int64, limit int) ([]int64, error) {
	return tx.ints(`SELECT m.user_nid FROM memberships m JOIN users u ON u.nid = m.user_nid
		WHERE m.room_nid = $1 AND m.membership = 'join' ORDER BY m.pos LIMIT `+atLeast(limit), roomNID)
}

// Extremities returns the events of a room that no other event comes after.
func (tx *Tx) Extremities(roomNID int64) ([]*Event, error) {
	return tx.events(`SELECT `+eventColumns+` FROM extremities x JOIN events e ON e.nid = x.event_nid
		WHERE x.room_nid = $1 ORDER BY e.nid`, []any{roomNID})
}

// ReplaceExtremities makes nid an extremity of a room in the place of gone, which must be extremities. With nid 0 they only go.
func (tx *Tx) ReplaceExtremities(roomNID int64, gone []int64, nid int64) error {
	if len(gone) == 1 && nid != 0 {
		return tx.DeferOne(`UPDATE extremities SET event_nid = $3 WHERE room_nid = $1 AND event_nid = $2`, roomNID, gone[0], nid)
	}
	for _, g := range gone {
		if err := tx.DeferOne(`DELETE FROM extremities WHERE room_nid = $1 AND event_nid = $2`, roomNID, g); err != nil {
			return err
		}
	}
	if nid == 0 {
		return nil
	}
	return tx.Defer(`INSERT INTO extremities (room_nid, event_nid) VALUES ($1, $2)`, roomNID, nid)
}

// CountExtremities returns how many extremities a room has.
func (tx *Tx) CountExtremities(roomNID int64) (n int, err error) {
	_, err = tx.Row(`SELECT COUNT(*) FROM extremities WHERE room_nid = $1`, []any{roomNID}, &n)
	return n, err
}

// MembersOfServer returns the memberships of a room of the users of a server.
func (tx *Tx) MembersOfServer(roomNID int64, server string) ([]Membership, error) {
	if nobodys(server) {
		return nil, nil
	}
	all, err := tx.memberships(`SELECT `+membershipColumns+` FROM memberships m JOIN strings s ON s.nid = m.user_nid
		WHERE m.room_nid = $1 AND substr(s.value, length(s.value) - length($2) + 1) = $2`, roomNID, ":"+server)
	if err != nil {
		return nil, err
	}
	kept := all[:0]
	for _, m := range all {
		user, err := tx.Text(m.UserNID)
		if err != nil {
			return nil, err
		}
		if event.ServerOf(user) == server { // and not of example.org:8448 for a server that calls itself 8448
			kept = append(kept, m)
		}
	}
	return kept, nil
}
