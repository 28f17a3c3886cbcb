package store

import (
	"database/sql"

	"causeway/homeserver/event"
	"causeway/homeserver/sqldb"

	"maunium.net/go/mautrix/id"
)

// AuditRelation is a row of relations.
type AuditRelation struct {
	RoomNID        int64
	Parent         int64      // 0 while it is not here
	Awaits         id.EventID // "" for NULL
	RelType        string
	TypeNID        int64
	SenderNID      int64
	Pos            int64
	OriginServerTS int64
	Fit            bool
	KeyHash        int64
}

// AuditRelations returns how events relate to others by the table, by event.
func (tx *Tx) AuditRelations(nids []int64) (map[int64]AuditRelation, error) {
	all := make(map[int64]AuditRelation)
	err := inBatches(nids, func(some []int64) error {
		query, args := sqldb.In(`SELECT event_nid, room_nid, parent_nid, awaits, rel_type, type_nid, sender_nid, pos, origin_server_ts, fit,
			key_hash FROM relations WHERE event_nid IN `, 1, some)
		return tx.Query(query, args, func(scan func(...any) error) error {
			var (
				nid, fit int64
				r        AuditRelation
				awaits   sql.NullString
			)
			err := scan(&nid, &r.RoomNID, &r.Parent, &awaits, &r.RelType, &r.TypeNID, &r.SenderNID, &r.Pos, &r.OriginServerTS, &fit, &r.KeyHash)
			r.Awaits, r.Fit = id.EventID(awaits.String), fit == 1
			all[nid] = r
			return err
		})
	})
	return all, err
}

// AuditThreads returns the roots of threads of which the table does not say what relations say, at most limit.
func (tx *Tx) AuditThreads(limit int) ([]int64, error) {
	roots, err := tx.ints(`SELECT x.parent_nid FROM (SELECT parent_nid, room_nid, MAX(pos) AS latest, COUNT(*) AS events FROM relations
			WHERE rel_type = '` + event.RelThread + `' AND parent_nid <> 0 GROUP BY parent_nid, room_nid) x
			LEFT JOIN threads t ON t.root_nid = x.parent_nid AND t.room_nid = x.room_nid AND t.latest = x.latest AND t.events = x.events
			WHERE t.root_nid IS NULL AND ` + notPurging + `
		UNION ALL SELECT x.root_nid FROM threads x WHERE NOT EXISTS (SELECT 1 FROM relations r WHERE r.parent_nid = x.root_nid
			AND r.rel_type = '` + event.RelThread + `') AND ` + notPurging + ` LIMIT ` + atLeast(limit))
	return roots[:min(len(roots), limit)], err
}
