package store

import "causeway/homeserver/sqldb"

// HasEventOf tells whether the timeline of a room has an event of one of some types that is no state event.
func (tx *Tx) HasEventOf(roomNID int64, types ...string) (bool, error) {
	var nids []int64
	for _, t := range types {
		nid, err := tx.LookupNID(t)
		if err != nil {
			return false, err
		}
		if nid != 0 {
			nids = append(nids, nid)
		}
	}
	if len(nids) == 0 {
		return false, nil
	}
	query, args := sqldb.In(`SELECT nid FROM events WHERE room_nid = $1 AND pos IS NOT NULL AND state_key_nid IS NULL AND type_nid IN `, 2, nids)
	var nid int64
	return tx.Row(query+` ORDER BY pos LIMIT 1`, append([]any{roomNID}, args...), &nid)
}
