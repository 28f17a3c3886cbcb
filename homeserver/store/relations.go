package store

import (
	"fmt"
	"slices"

	"causeway/homeserver/event"
	"causeway/homeserver/sqldb"

	"maunium.net/go/mautrix/id"
)

// insertRelation records how an event of the timeline relates to another, if it does. A parent in another room is none. Client-Server
// API, "Forming relationships between events".
func (tx *Tx) insertRelation(e *Event) error {
	if e.Pos == 0 {
		return nil
	}
	r, ok := e.Relation()
	if !ok {
		return nil
	}
	fit := 0
	if r.Fit {
		fit = 1
	}
	err := tx.Defer(`INSERT INTO relations (event_nid, room_nid, parent_nid, awaits, rel_type, type_nid, sender_nid, pos, origin_server_ts,
			fit, key_hash)
		SELECT c.nid, c.room_nid, COALESCE(p.nid, 0), CASE WHEN p.nid IS NULL THEN $2 END, $3, c.type_nid, c.sender_nid, c.pos,
			c.origin_server_ts, $4, $5
		FROM events c LEFT JOIN events p ON p.event_id = $2
		WHERE c.nid = $1 AND c.pos IS NOT NULL AND c.redacted_by IS NULL AND (p.nid IS NULL OR p.room_nid = c.room_nid AND p.nid <> c.nid)
		ON CONFLICT (event_nid) DO NOTHING`, e.NID, string(r.Parent), r.Type, fit, r.KeyHash)
	if err != nil || r.Type != event.RelThread {
		return err
	}
	return tx.Defer(`INSERT INTO threads (root_nid, room_nid, latest, events)
		SELECT r.parent_nid, r.room_nid, r.pos, 1 FROM relations r WHERE r.event_nid = $1 AND r.parent_nid <> 0
		ON CONFLICT (root_nid) DO UPDATE SET events = threads.events + 1,
			latest = CASE WHEN excluded.latest > threads.latest THEN excluded.latest ELSE threads.latest END`, e.NID)
}

// AdoptChildren gives an event from elsewhere, which has just been stored, the events that have waited for it.
func (tx *Tx) AdoptChildren(e *Event) error {
	if len(e.EventID) > event.MaxFieldBytes {
		return nil
	}
	// Of another room, they relate to nothing.
	if err := tx.Defer(`DELETE FROM relations WHERE awaits = $1 AND room_nid <> $2`, string(e.EventID), e.RoomNID); err != nil {
		return err
	}
	if err := tx.Defer(`UPDATE relations SET parent_nid = $2, awaits = NULL WHERE awaits = $1`, string(e.EventID), e.NID); err != nil {
		return err
	}
	return tx.Defer(`INSERT INTO threads (root_nid, room_nid, latest, events)
		SELECT parent_nid, room_nid, MAX(pos), COUNT(*) FROM relations WHERE parent_nid = $1 AND rel_type = '`+event.RelThread+`'
		GROUP BY parent_nid, room_nid
		ON CONFLICT (root_nid) DO UPDATE SET events = excluded.events, latest = excluded.latest`, e.NID)
}

// dropRelations takes events away from what they relate to: they are redacted, deleted, or not in the timeline any more.
func (tx *Tx) dropRelations(nids []int64) error {
	type loss struct{ root, events int64 }
	var losses []loss
	err := inBatches(nids, func(some []int64) error {
		query, args := sqldb.In(`SELECT parent_nid, COUNT(*) FROM relations WHERE rel_type = '`+event.RelThread+`' AND parent_nid <> 0
			AND event_nid IN `, 1, some)
		return tx.Query(query+` GROUP BY parent_nid`, args, func(scan func(...any) error) error {
			var l loss
			err := scan(&l.root, &l.events)
			losses = append(losses, l)
			return err
		})
	})
	if err != nil {
		return fmt.Errorf("read which threads lose events: %w", err)
	}
	if err := tx.execIn(`DELETE FROM relations WHERE event_nid IN `, nids); err != nil {
		return err
	}
	for _, l := range losses {
		err := tx.Defer(`UPDATE threads SET events = events - $2, latest = COALESCE((SELECT r.pos FROM relations r WHERE r.parent_nid = $1
			AND r.rel_type = '`+event.RelThread+`' ORDER BY r.pos DESC LIMIT 1), 0) WHERE root_nid = $1`, l.root, l.events)
		if err != nil {
			return err
		}
		if err := tx.Defer(`DELETE FROM threads WHERE root_nid = $1 AND events <= 0`, l.root); err != nil {
			return err
		}
	}
	return nil
}

// orphanRelations has what relates to events that are about to be deleted wait for them.
func (tx *Tx) orphanRelations(nids []int64) error {
	err := tx.execIn(`UPDATE relations SET awaits = (SELECT e.event_id FROM events e WHERE e.nid = relations.parent_nid), parent_nid = 0
		WHERE parent_nid <> 0 AND parent_nid IN `, nids)
	if err != nil {
		return err
	}
	return tx.execIn(`DELETE FROM threads WHERE root_nid IN `, nids)
}

// fillRelations records the relations of events of before migration 7, after the one that the chore has come to.
func (tx *Tx) fillRelations() (more bool, err error) {
	var upto int64
	if _, err := tx.Row(`SELECT upto FROM chores WHERE name = 'relations'`, nil, &upto); err != nil {
		return false, err
	}
	// Without the LIKE, each event would have to be parsed.
	events, err := tx.events(`SELECT `+eventColumns+` FROM events e WHERE e.nid > $1 AND e.pos IS NOT NULL AND e.redacted_by IS NULL
		AND e.json LIKE '%"m.relates_to":%' ORDER BY e.nid LIMIT `+atLeast(maxChore), []any{upto})
	if err != nil || len(events) == 0 {
		return false, err
	}
	for _, e := range events {
		if err := tx.insertRelation(e); err != nil {
			return false, err
		}
	}
	return true, tx.Defer(`UPDATE chores SET upto = $1 WHERE name = 'relations'`, events[len(events)-1].NID)
}

// Annotated tells whether a user has annotated an event with a key, of which keyHash is that of event.Relation, by an event of a type.
func (tx *Tx) Annotated(parent id.EventID, sender id.UserID, eventType string, keyHash int64) (bool, error) {
	senderNID, err := tx.LookupNID(string(sender))
	if err != nil {
		return false, err
	}
	typeNID, err := tx.LookupNID(eventType)
	if err != nil {
		return false, err
	}
	var one int64
	return tx.Row(`SELECT 1 FROM events p JOIN relations r ON r.parent_nid = p.nid AND r.rel_type = '`+event.RelAnnotation+`'
		WHERE p.event_id = $1 AND r.sender_nid = $2 AND r.type_nid = $3 AND r.key_hash = $4 LIMIT 1`,
		[]any{string(parent), senderNID, typeNID, keyHash}, &one)
}

// FitChildren returns some of the events that relate to one by certain types, nil for any, and meet what their type asks for: of
// replacements, those by the sender of the one and of its type. Newest first, at most limit.
func (tx *Tx) FitChildren(parent *Event, relTypes []string, limit int) ([]id.EventID, error) {
	query := `SELECT c.event_id FROM relations r JOIN events c ON c.nid = r.event_nid JOIN events p ON p.nid = r.parent_nid
		WHERE r.parent_nid = $1 AND r.fit = 1 AND (r.rel_type <> '` + event.RelReplace + `' OR r.sender_nid = p.sender_nid AND r.type_nid = p.type_nid)`
	args := []any{parent.NID}
	if relTypes = slices.DeleteFunc(relTypes, nobodys); relTypes != nil && len(relTypes) == 0 {
		return nil, nil
	}
	if relTypes != nil {
		list, more := sqldb.In(``, 2, relTypes)
		query, args = query+` AND r.rel_type IN `+list, append(args, more...)
	}
	var all []id.EventID
	err := tx.Query(query+` ORDER BY r.pos DESC LIMIT `+atLeast(limit), args, func(scan func(...any) error) error {
		var eventID string
		err := scan(&eventID)
		all = append(all, id.EventID(eventID))
		return err
	})
	return all[:min(len(all), limit)], err
}
