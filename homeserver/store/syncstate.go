package store

import (
	"database/sql"
	"encoding/binary"
	"fmt"

	"causeway/homeserver/sqldb"
)

// StateIDAt returns the state set after the newest event of a room with pos ≤ upto, or 0 when there is none.
func (tx *Tx) StateIDAt(roomNID, upto int64) (int64, error) {
	var setID int64
	_, err := tx.Row(`SELECT state_after FROM events WHERE room_nid = $1 AND pos <= $2 ORDER BY pos DESC LIMIT 1`,
		[]any{roomNID, upto}, &setID)
	return setID, err
}

// StateDelta returns what has to be put over state set from to get state set to. With from 0 that is the whole of to. Places
// that from holds and to does not are not told of.
func (tx *Tx) StateDelta(from, to int64) (StateSet, error) {
	delta := make(StateSet)
	if from == to || to == 0 {
		return delta, nil
	}
	last, err := tx.collectState(delta, from, to)
	if err != nil || last == from {
		return delta, err
	}
	// from is no ancestor of to: the chain was cut short, or the sets are of different branches.
	old, err := tx.StateDelta(0, from)
	if err != nil {
		return nil, err
	}
	for k, event := range delta {
		if old[k] == event {
			delete(delta, k)
		}
	}
	return delta, nil
}

// collectState adds to out the entries of set to and of its ancestors, up to but not including stop. It returns where it
// stopped: stop, or 0 when stop is no ancestor.
func (tx *Tx) collectState(out StateSet, stop, to int64) (last int64, err error) {
	seen := false
	err = tx.Query(`WITH RECURSIVE chain (parent, entries, n) AS (
		SELECT parent, entries, 0 FROM state_sets WHERE id = $1
		UNION ALL
		SELECT s.parent, s.entries, c.n + 1 FROM chain c JOIN state_sets s ON s.id = c.parent WHERE c.parent <> $2
		) SELECT parent, entries FROM chain ORDER BY n`, []any{to, stop}, func(scan func(...any) error) error {
		var (
			parent sql.NullInt64
			packed []byte
		)
		if err := scan(&parent, &packed); err != nil {
			return fmt.Errorf("read a state set: %w", err)
		}
		seen, last = true, parent.Int64
		return unpackState(packed, func(k StateNID, event int64) {
			if _, newer := out[k]; !newer {
				out[k] = event
			}
		})
	})
	if err == nil && !seen {
		err = fmt.Errorf("state set %d: %w", to, ErrNotFound)
	}
	return last, err
}

func unpackState(packed []byte, visit func(StateNID, int64)) error {
	for len(packed) > 0 {
		var k StateNID
		var event int64
		for _, field := range []*int64{&k.Type, &k.Key, &event} {
			v, n := binary.Varint(packed)
			if n <= 0 {
				return errBadStateSet
			}
			*field, packed = v, packed[n:]
		}
		visit(k, event)
	}
	return nil
}

// CurrentStateExcept returns the events of a room's current state but for those of one type, in no order.
func (tx *Tx) CurrentStateExcept(roomNID int64, eventType string) ([]*Event, error) {
	nid, err := tx.LookupNID(eventType)
	if err != nil {
		return nil, err
	}
	return tx.events(`SELECT `+eventColumns+` FROM current_state s JOIN events e ON e.nid = s.event_nid
		WHERE s.room_nid = $1 AND s.type_nid <> $2`, []any{roomNID, nid})
}

// CurrentStateOfKeys returns the events of one type and some state keys in a room's current state, in no order.
func (tx *Tx) CurrentStateOfKeys(roomNID int64, eventType string, keyNIDs []int64) ([]*Event, error) {
	nid, err := tx.LookupNID(eventType)
	if err != nil || nid == 0 || len(keyNIDs) == 0 {
		return nil, err
	}
	query, args := sqldb.In(`SELECT `+eventColumns+` FROM current_state s JOIN events e ON e.nid = s.event_nid
		WHERE s.room_nid = $1 AND s.type_nid = $2 AND s.state_key_nid IN `, 3, keyNIDs)
	return tx.events(query, append([]any{roomNID, nid}, args...))
}

// MemberEvents returns the m.room.member events of the users with a membership of a room, in no order.
func (tx *Tx) MemberEvents(roomNID int64, membership string) ([]*Event, error) {
	return tx.events(`SELECT `+eventColumns+` FROM memberships m JOIN events e ON e.nid = m.event_nid
		WHERE m.room_nid = $1 AND m.membership = $2`, []any{roomNID, membership})
}
