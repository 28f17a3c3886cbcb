package store

import (
	"cmp"
	"slices"

	"causeway/homeserver/sqldb"
)

// InsertSticky remembers until when an event is sticky (MSC4354).
func (tx *Tx) InsertSticky(roomNID, eventNID, pos, expiresTS int64) error {
	return tx.Defer(`INSERT INTO sticky_events (event_nid, room_nid, pos, expires_ts) VALUES ($1, $2, $3, $4)
		ON CONFLICT (event_nid) DO UPDATE SET pos = excluded.pos`, eventNID, roomNID, pos, expiresTS)
}

// StickyEvents returns the events of a room at after < pos ≤ upto that are sticky at a time, oldest first, and of those the newest limit.
func (tx *Tx) StickyEvents(roomNID, after, upto, nowTS int64, limit int) ([]*Event, error) {
	nids, err := tx.ints(`SELECT event_nid FROM (SELECT event_nid, pos FROM sticky_events WHERE room_nid = $1 AND pos > $2 AND pos <= $3
		AND expires_ts > $4 ORDER BY pos DESC LIMIT `+atLeast(limit)+`) AS newest ORDER BY pos`, roomNID, after, upto, nowTS)
	if err != nil || len(nids) == 0 {
		return nil, err
	}
	found, err := tx.EventsByNID(nids)
	if err != nil {
		return nil, err
	}
	byNID := make(map[int64]*Event, len(found))
	for _, e := range found {
		byNID[e.NID] = e
	}
	all := make([]*Event, 0, len(found))
	for _, nid := range nids {
		if e := byNID[nid]; e != nil {
			all = append(all, e)
		}
	}
	return all, nil
}

// PruneSticky forgets the events that are not sticky any more.
func (tx *Tx) PruneSticky(nowTS int64) error {
	_, err := tx.Exec(`DELETE FROM sticky_events WHERE expires_ts <= $1`, nowTS)
	return err
}

// StickyPlace is where a sticky event comes in the order in which a user may be told of it: when it came, or when the user came into the
// room, if that was later. Pos is its position.
type StickyPlace struct{ Due, Pos int64 }

// Before tells whether a place comes before another.
func (p StickyPlace) Before(q StickyPlace) bool {
	return p.Due < q.Due || p.Due == q.Due && p.Pos < q.Pos
}

// StickyDue is a sticky event of a room that a user is in.
type StickyDue struct {
	StickyPlace
	RoomNID, EventNID int64
}

// StickyDueIn returns the first events in some of a user's rooms, at most limit, that come after a place and up to a position, and are
// sticky at a time.
func (tx *Tx) StickyDueIn(userNID int64, rooms []int64, after StickyPlace, upto, nowTS int64, limit int) (all []StickyDue, err error) {
	err = inBatches(rooms, func(some []int64) error {
		query, args := sqldb.In(`SELECT due, pos, room_nid, event_nid FROM (SELECT s.event_nid, s.room_nid, s.pos,
				CASE WHEN m.since > s.pos THEN m.since ELSE s.pos END AS due
			FROM memberships m CROSS JOIN sticky_events s WHERE m.user_nid = $1 AND m.membership = 'join' AND s.room_nid = m.room_nid
				AND s.pos <= $2 AND s.expires_ts > $3 AND m.room_nid IN `, 6, some)
		query += `) x WHERE due <= $2 AND (due > $4 OR due = $4 AND pos > $5) ORDER BY due, pos LIMIT ` + atLeast(limit)
		return tx.Query(query, append([]any{userNID, upto, nowTS, after.Due, after.Pos}, args...), func(scan func(...any) error) error {
			var d StickyDue
			err := scan(&d.Due, &d.Pos, &d.RoomNID, &d.EventNID)
			all = append(all, d)
			return err
		})
	})
	slices.SortFunc(all, func(a, b StickyDue) int {
		return cmp.Or(cmp.Compare(a.Due, b.Due), cmp.Compare(a.Pos, b.Pos))
	})
	return all[:min(len(all), limit)], err
}
