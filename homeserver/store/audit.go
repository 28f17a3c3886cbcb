package store

import (
	"database/sql"
	"slices"

	"causeway/homeserver/sqldb"

	"maunium.net/go/mautrix/id"
)

// The Audit methods are those by which a database is examined. They read rows as they are, where the other methods rely on what
// must hold of them.

// AuditRoom is a row of rooms.
type AuditRoom struct {
	NID     int64
	RoomID  id.RoomID
	Version string
	StateID int64
	Purging bool
	Sweep   Sweep // what a purge has left to be swept
}

// AuditRooms returns at most limit rooms whose integer is greater than after, in its order.
func (tx *Tx) AuditRooms(after int64, limit int) ([]AuditRoom, error) {
	var all []AuditRoom
	err := tx.Query(`SELECT nid, room_id, version, state_id, purging, sweep FROM rooms WHERE nid > $1 ORDER BY nid LIMIT `+atLeast(limit),
		[]any{after}, func(scan func(...any) error) error {
			var (
				r       AuditRoom
				purging int64
			)
			err := scan(&r.NID, &r.RoomID, &r.Version, &r.StateID, &purging, &r.Sweep)
			r.Purging = purging != 0
			all = append(all, r)
			return err
		})
	return all[:min(len(all), limit)], err
}

// AuditPlace is what is known of where an event stands, without what it says.
type AuditPlace struct {
	NID, Pos    int64 // Pos is 0 for NULL
	Place       StateNID
	State       bool // it has a state key
	StateBefore int64
	StateAfter  int64
	Status      Status
}

// AuditPlaces returns all events of a room, in the order of their integers.
func (tx *Tx) AuditPlaces(roomNID int64) ([]AuditPlace, error) {
	var all []AuditPlace
	err := tx.Query(`SELECT nid, pos, type_nid, state_key_nid, state_before, state_after, status FROM events WHERE room_nid = $1`,
		[]any{roomNID}, func(scan func(...any) error) error {
			var (
				p        AuditPlace
				pos, key sql.NullInt64
			)
			err := scan(&p.NID, &pos, &p.Place.Type, &key, &p.StateBefore, &p.StateAfter, &p.Status)
			p.Pos, p.Place.Key, p.State = pos.Int64, key.Int64, key.Valid
			all = append(all, p)
			return err
		})
	slices.SortFunc(all, func(a, b AuditPlace) int { return compareInts(a.NID, b.NID) })
	return all, err
}

func compareInts(a, b int64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// AuditEvent is a row of events but for its AuditPlace.
type AuditEvent struct {
	NID            int64
	EventID        id.EventID
	TypeNID        int64
	StateKeyNID    int64 // 0 for NULL
	SenderNID      int64
	Depth          int64
	OriginServerTS int64
	Replaces       int64 // 0 for NULL
	RedactedBy     int64 // 0 for NULL
	JSON           []byte
}

// AuditEvents reads events by their integers, in their order.
func (tx *Tx) AuditEvents(nids []int64) ([]AuditEvent, error) {
	all := make([]AuditEvent, 0, len(nids))
	err := inBatches(nids, func(some []int64) error {
		query, args := sqldb.In(`SELECT nid, event_id, type_nid, state_key_nid, sender_nid, depth, origin_server_ts, replaces_nid,
			redacted_by, json FROM events WHERE nid IN `, 1, some)
		return tx.Query(query, args, func(scan func(...any) error) error {
			var (
				e                  AuditEvent
				key, replaces, red sql.NullInt64
			)
			err := scan(&e.NID, &e.EventID, &e.TypeNID, &key, &e.SenderNID, &e.Depth, &e.OriginServerTS, &replaces, &red, &e.JSON)
			e.StateKeyNID, e.Replaces, e.RedactedBy = key.Int64, replaces.Int64, red.Int64
			all = append(all, e)
			return err
		})
	})
	slices.SortFunc(all, func(a, b AuditEvent) int { return compareInts(a.NID, b.NID) })
	return all, err
}

// AuditTexts returns the texts behind integers; those that are not there are left out.
func (tx *Tx) AuditTexts(nids []int64) (map[int64]string, error) {
	texts := make(map[int64]string, len(nids))
	err := inBatches(nids, func(some []int64) error {
		query, args := sqldb.In(`SELECT nid, value FROM strings WHERE nid IN `, 1, some)
		return tx.Query(query, args, func(scan func(...any) error) error {
			var (
				nid  int64
				text string
			)
			err := scan(&nid, &text)
			texts[nid] = text
			return err
		})
	})
	for nid, text := range texts {
		tx.db.names.put(nid, text)
	}
	return texts, err
}

// AuditAuth returns the packed auth events of events, by event; nil for a row that cannot be unpacked.
func (tx *Tx) AuditAuth(nids []int64) (map[int64][]int64, error) {
	all := make(map[int64][]int64, len(nids))
	err := tx.packedAuth(nids, func(nid int64, packed []byte) error {
		auth, err := unpackInts(packed)
		if err == nil && auth == nil {
			auth = []int64{}
		}
		all[nid] = auth
		return nil
	})
	return all, err
}

// AuditEdges calls visit for the edges that begin at the given events.
func (tx *Tx) AuditEdges(prevs []int64, visit func(prev, event int64)) error {
	return inBatches(prevs, func(some []int64) error {
		query, args := sqldb.In(`SELECT prev_nid, event_nid FROM edges WHERE prev_nid IN `, 1, some)
		return tx.auditPairs(query, args, visit)
	})
}

// AuditRoomStates calls visit for the states that a room has had, oldest first.
func (tx *Tx) AuditRoomStates(roomNID int64, visit func(pos, stateID int64)) error {
	return tx.auditPairs(`SELECT pos, state_id FROM room_states WHERE room_nid = $1 ORDER BY pos`, []any{roomNID}, visit)
}

func (tx *Tx) auditPairs(query string, args []any, visit func(a, b int64)) error {
	return tx.Query(query, args, func(scan func(...any) error) error {
		var a, b int64
		if err := scan(&a, &b); err != nil {
			return err
		}
		visit(a, b)
		return nil
	})
}

// AuditExtremities returns the events that a room's table of extremities names.
func (tx *Tx) AuditExtremities(roomNID int64) ([]int64, error) {
	return tx.ints(`SELECT event_nid FROM extremities WHERE room_nid = $1`, roomNID)
}

// AuditGaps calls visit for what a room's table of gaps says: an event, and one before it that is not here or has no place.
func (tx *Tx) AuditGaps(roomNID int64, visit func(event int64, prev id.EventID)) error {
	return tx.Query(`SELECT event_nid, prev FROM gaps WHERE room_nid = $1`, []any{roomNID}, func(scan func(...any) error) error {
		var (
			event int64
			prev  id.EventID
		)
		err := scan(&event, &prev)
		visit(event, prev)
		return err
	})
}

// AuditCurrentState returns what the table of a room's current state says.
func (tx *Tx) AuditCurrentState(roomNID int64) (StateSet, error) {
	set := make(StateSet)
	err := tx.Query(`SELECT type_nid, state_key_nid, event_nid FROM current_state WHERE room_nid = $1`, []any{roomNID},
		func(scan func(...any) error) error {
			var (
				k     StateNID
				event int64
			)
			err := scan(&k.Type, &k.Key, &event)
			set[k] = event
			return err
		})
	return set, err
}

// AuditStrings returns the integers of all texts, in their order.
func (tx *Tx) AuditStrings() ([]int64, error) {
	return tx.ints(`SELECT nid FROM strings ORDER BY nid`)
}

// auditUsers are the columns, but for those of events, that hold the integers of user ids.
var auditUsers = []string{
	`SELECT DISTINCT user_nid FROM memberships`, `SELECT nid FROM users`, `SELECT DISTINCT user_nid FROM account_data`,
	`SELECT DISTINCT sender_nid FROM to_device`, `SELECT user_nid FROM device_changes`,
	`SELECT DISTINCT thread_nid FROM push_actions WHERE thread_nid <> 0`, // of the roots' ids
	`SELECT DISTINCT user_nid FROM receipts`, `SELECT user_nid FROM presence`,
	`SELECT DISTINCT user_nid FROM delayed_events`, `SELECT DISTINCT user_nid FROM reports`,
	`SELECT DISTINCT user_nid FROM openid_tokens`, `SELECT DISTINCT user_nid FROM profile_fields`,
	`SELECT DISTINCT user_nid FROM thread_subscriptions`, `SELECT DISTINCT about_nid FROM signature_changes`,
	`SELECT DISTINCT signer_nid FROM user_signatures`, `SELECT DISTINCT user_nid FROM user_signatures`,
	`SELECT DISTINCT user_nid FROM oauth_codes`, `SELECT DISTINCT user_nid FROM browser_sessions`, `SELECT DISTINCT user_nid FROM sso_links`,
	`SELECT DISTINCT user_nid FROM oauth_device_codes WHERE user_nid IS NOT NULL`,
	`SELECT DISTINCT user_nid FROM call_seats`,
	`SELECT DISTINCT user_nid FROM login_tokens`, `SELECT user_nid FROM departures`, `SELECT DISTINCT user_nid FROM accepted_terms`,
}

// AuditUsers calls visit with the integers of users who are named by other tables than events, some more than once.
func (tx *Tx) AuditUsers(visit func(nid int64)) error {
	for _, query := range auditUsers {
		err := tx.Query(query, nil, func(scan func(...any) error) error {
			var nid int64
			err := scan(&nid)
			visit(nid)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}
