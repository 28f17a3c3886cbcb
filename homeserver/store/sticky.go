package store

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
