package store

import (
	"database/sql"
	"fmt"
	"maps"
	"slices"

	"causeway/homeserver/event"
	"causeway/homeserver/sqldb"

	"maunium.net/go/mautrix/id"
)

// Garbage is what of a room nothing refers to.
type Garbage struct {
	RoomNID  int64
	Sets     []int64 // newest first: a set is newer than its parent
	Outliers []int64 // newest first: an event is newer than its auth events

	upto  int64   // the newest position when it was found
	stale []int64 // events whose replaces_nid is one of the outliers
}

// sweep finds the garbage of one room.
type sweep struct {
	tx      *Tx
	roomNID int64

	sets map[int64]bool // that something refers to, with their ancestors
	live map[int64]bool // events that are not garbage
	look []int64        // live ones whose auth events have not been looked at

	outliers  []int64         // all of them, oldest first
	redactors map[int64]int64 // targets of redactions, by the redaction
	replaces  map[int64]int64
}

// FindGarbage finds the state sets of a room that nothing refers to, and, with outliers, the outliers that neither a state set nor
// the auth chain of anything needs, nor explain a redaction. The caller keeps events from elsewhere from being received
// until the garbage is deleted. Events that are made here meanwhile build on the current state, and so on nothing of it, but
// for a state that comes up again: such a set is left to the next sweep.
func (tx *Tx) FindGarbage(roomNID int64, outliers bool) (*Garbage, error) {
	s := &sweep{
		tx: tx, roomNID: roomNID, sets: make(map[int64]bool), live: make(map[int64]bool),
		redactors: make(map[int64]int64), replaces: make(map[int64]int64),
	}
	if err := s.roots(); err != nil {
		return nil, err
	}
	g := &Garbage{RoomNID: roomNID}
	var err error
	if g.upto, err = tx.StreamPos(); err != nil {
		return nil, err
	}
	sets, err := tx.ints(`SELECT id FROM state_sets WHERE room_nid = $1 ORDER BY id DESC`, roomNID)
	if err != nil {
		return nil, err
	}
	for _, setID := range sets {
		if !s.sets[setID] {
			g.Sets = append(g.Sets, setID)
		}
	}
	if !outliers {
		return g, nil
	}
	if err := s.messagesAuth(); err != nil {
		return nil, err
	}
	if err := s.spread(); err != nil {
		return nil, err
	}
	for _, nid := range slices.Backward(s.outliers) {
		if !s.live[nid] {
			g.Outliers = append(g.Outliers, nid)
		}
	}
	for nid, replaced := range s.replaces {
		if _, gone := slices.BinarySearchFunc(g.Outliers, replaced, func(a, b int64) int { return compareInts(b, a) }); gone {
			g.stale = append(g.stale, nid)
		}
	}
	return g, nil
}

// keep makes events live.
func (s *sweep) keep(nids ...int64) {
	for _, nid := range nids {
		if nid != 0 && !s.live[nid] {
			s.live[nid] = true
			s.look = append(s.look, nid)
		}
	}
}

// roots finds the sets that something refers to, and the events that are live for themselves.
func (s *sweep) roots() error {
	refs := make(map[int64]bool)
	err := s.tx.Query(`SELECT nid, state_key_nid, state_before, state_after, replaces_nid, redacted_by, status FROM events
		WHERE room_nid = $1`, []any{s.roomNID}, func(scan func(...any) error) error {
		var (
			nid, before, after      int64
			key, replaces, redacted sql.NullInt64
			status                  Status
		)
		if err := scan(&nid, &key, &before, &after, &replaces, &redacted, &status); err != nil {
			return err
		}
		refs[before], refs[after] = true, true
		if redacted.Valid {
			s.redactors[redacted.Int64] = nid
			s.live[nid] = status&Outlier == 0 && !key.Valid
		}
		if replaces.Valid {
			s.replaces[nid] = replaces.Int64
		}
		switch {
		case status&Outlier != 0:
			s.outliers = append(s.outliers, nid)
		case key.Valid:
			s.keep(nid)
		} // messages' auth events are in their JSON: see messagesAuth
		return nil
	})
	if err != nil {
		return err
	}
	slices.Sort(s.outliers)
	for query, add := range map[string]func(int64){
		`SELECT state_id FROM rooms WHERE nid = $1`:                        func(setID int64) { refs[setID] = true },
		`SELECT state_id FROM room_states WHERE room_nid = $1`:             func(setID int64) { refs[setID] = true },
		`SELECT event_nid FROM current_state WHERE room_nid = $1`:          func(nid int64) { s.keep(nid) },
		`SELECT event_nid FROM memberships WHERE room_nid = $1`:            func(nid int64) { s.keep(nid) },
		`SELECT event_nid FROM extremities WHERE room_nid = $1`:            func(nid int64) { s.keep(nid) },
		`SELECT redaction_nid FROM awaited_redactions WHERE room_nid = $1`: func(nid int64) { s.keep(nid) },
	} {
		found, err := s.tx.ints(query, s.roomNID)
		if err != nil {
			return err
		}
		for _, n := range found {
			add(n)
		}
	}
	return s.markSets(refs)
}

// markSets marks sets with their ancestors, and what all of these hold.
func (s *sweep) markSets(refs map[int64]bool) error {
	delete(refs, 0)
	next := slices.Collect(maps.Keys(refs))
	for len(next) > 0 {
		some := next
		next = nil
		rows, err := s.tx.setRows(some)
		if err != nil {
			return err
		}
		for _, row := range rows {
			s.sets[row.id] = true
			if err := unpackState(row.packed, func(_ StateNID, event int64) bool { s.keep(event); return true }); err != nil {
				return fmt.Errorf("state set %d: %w", row.id, err)
			}
			if row.parent != 0 && !s.sets[row.parent] && !refs[row.parent] {
				refs[row.parent] = true
				next = append(next, row.parent)
			}
		}
	}
	return nil
}

// messagesAuth makes the auth events of messages live. Those of a message that was made here are in the state before it; with one
// from elsewhere that need not be so.
func (s *sweep) messagesAuth() error {
	r, err := s.tx.RoomByNID(s.roomNID)
	if err != nil {
		return err
	}
	named := make(map[id.EventID]bool)
	err = s.tx.Query(`SELECT e.event_id, e.json FROM events e WHERE e.room_nid = $1 AND e.state_key_nid IS NULL AND e.status & 1 = 0
		AND NOT EXISTS (SELECT 1 FROM users u WHERE u.nid = e.sender_nid)`, []any{s.roomNID}, func(scan func(...any) error) error {
		var eventID, raw string
		if err := scan(&eventID, &raw); err != nil {
			return err
		}
		pdu, err := event.ParseTrusted(r.Version, id.EventID(eventID), []byte(raw))
		if err != nil {
			return fmt.Errorf("event %s: %w", eventID, err)
		}
		for _, a := range pdu.AuthEvents {
			named[a] = true
		}
		return nil
	})
	if err != nil {
		return err
	}
	return s.keepByID(slices.Collect(maps.Keys(named)))
}

func (s *sweep) keepByID(ids []id.EventID) error {
	nids, err := s.tx.NIDsOf(ids)
	for _, nid := range nids {
		s.keep(nid)
	}
	return err
}

// spread makes live what live events need: their auth chains, and the redactions among the outliers by which they were pruned.
func (s *sweep) spread() error {
	for len(s.look) > 0 {
		for len(s.look) > 0 {
			some := s.look
			s.look = nil
			auth, err := s.tx.AuthEvents(some)
			if err != nil {
				return err
			}
			for _, nids := range auth {
				s.keep(nids...)
			}
		}
		if err := s.keepRedactions(); err != nil {
			return err
		}
	}
	return nil
}

func (s *sweep) keepRedactions() error {
	var fresh []int64
	for _, nid := range s.outliers {
		if target := s.redactors[nid]; target != 0 && s.live[target] && !s.live[nid] {
			s.keep(nid)
			fresh = append(fresh, nid)
		}
	}
	events, err := s.tx.EventsByNID(fresh)
	if err != nil {
		return err
	}
	var ids []id.EventID
	for _, e := range events {
		ids = append(ids, e.AuthEvents...)
	}
	return s.keepByID(ids)
}

// setRows reads state sets by their ids: parents and entries.
func (tx *Tx) setRows(ids []int64) ([]stateRow, error) {
	var all []stateRow
	err := inBatches(ids, func(some []int64) error {
		query, args := sqldb.In(`SELECT id, parent, entries FROM state_sets WHERE id IN `, 1, some)
		return tx.Query(query, args, func(scan func(...any) error) error {
			var (
				row    stateRow
				parent sql.NullInt64
			)
			err := scan(&row.id, &parent, &row.packed)
			row.parent = parent.Int64
			all = append(all, row)
			return err
		})
	})
	return all, err
}

// DeleteGarbage deletes some of what FindGarbage found, first the sets. rest is what is left, nil for nothing.
func (tx *Tx) DeleteGarbage(g *Garbage) (done Purged, rest *Garbage, err error) {
	next := *g
	switch {
	case len(g.Sets) > 0:
		done, err = tx.deleteSets(g, cut(&next.Sets))
	case len(g.stale) > 0:
		err = tx.execIn(`UPDATE events SET replaces_nid = NULL WHERE nid IN `, cut(&next.stale))
	case len(g.Outliers) > 0:
		some := cut(&next.Outliers)
		done.Events = int64(len(some))
		if done.Bytes, err = tx.sumIn(`SELECT COALESCE(SUM(OCTET_LENGTH(json)), 0) FROM events WHERE nid IN `, some); err == nil {
			err = tx.deleteRows(g.RoomNID, some)
		}
	}
	if len(next.Sets)+len(next.stale)+len(next.Outliers) == 0 {
		return done, nil, err
	}
	return done, &next, err
}

// cut takes the first of a list, as many as one transaction deletes.
func cut(list *[]int64) []int64 {
	some := (*list)[:min(len(*list), maxPurge)]
	*list = (*list)[len(some):]
	return some
}

// freshSets returns the state sets to which something of a room refers that has come after a position.
func (tx *Tx) freshSets(roomNID, upto int64) (map[int64]bool, error) {
	refs := make(map[int64]bool)
	for _, query := range []string{
		`SELECT state_before FROM events WHERE nid > $2 AND room_nid = $1`, `SELECT state_before FROM events WHERE room_nid = $1 AND pos > $2`,
		`SELECT state_after FROM events WHERE nid > $2 AND room_nid = $1`, `SELECT state_after FROM events WHERE room_nid = $1 AND pos > $2`,
		`SELECT state_id FROM room_states WHERE room_nid = $1 AND pos > $2`,
	} {
		found, err := tx.ints(query, roomNID, upto)
		if err != nil {
			return nil, err
		}
		for _, setID := range found {
			refs[setID] = true
		}
	}
	delete(refs, 0)
	return refs, nil
}

// deleteSets deletes state sets, but for those that have come to be used since they were found.
func (tx *Tx) deleteSets(g *Garbage, some []int64) (done Purged, err error) {
	refs, err := tx.freshSets(g.RoomNID, g.upto)
	if err != nil {
		return Purged{}, err
	}
	used := sweep{tx: tx, roomNID: g.RoomNID, sets: make(map[int64]bool), live: make(map[int64]bool)}
	if err := used.markSets(refs); err != nil {
		return Purged{}, err
	}
	gone := make([]int64, 0, len(some))
	for _, setID := range some {
		if !used.sets[setID] {
			gone = append(gone, setID)
		}
	}
	if len(gone) == 0 {
		return Purged{}, nil
	}
	done.StateSets = int64(len(gone))
	if done.Bytes, err = tx.sumIn(`SELECT COALESCE(SUM(LENGTH(entries)), 0) FROM state_sets WHERE id IN `, gone); err != nil {
		return Purged{}, err
	}
	return done, tx.execIn(`DELETE FROM state_sets WHERE id IN `, gone)
}

// sumIn returns the one number that a query over values that are all different gives.
func (tx *Tx) sumIn(query string, values []int64) (sum int64, err error) {
	err = inBatches(values, func(some []int64) error {
		query, args := sqldb.In(query, 1, some)
		var part int64
		_, err := tx.Row(query, args, &part)
		sum += part
		return err
	})
	return sum, err
}
