package store

import (
	"fmt"
	"strings"

	"causeway/homeserver/sqldb"

	"maunium.net/go/mautrix/id"
)

// BeginPurge makes a room gone for everybody: nothing finds it any more. What is left of it, PurgeRoomSome deletes. It returns
// ErrNotFound when there is no such room. On a room that is being purged already it does nothing.
func (tx *Tx) BeginPurge(roomID id.RoomID) (roomNID int64, err error) {
	if nobodys(string(roomID)) {
		return 0, fmt.Errorf("room %q: %w", roomID, ErrNotFound)
	}
	found, err := tx.Row(`SELECT nid FROM rooms WHERE room_id = $1`, []any{string(roomID)}, &roomNID)
	if err == nil && !found {
		err = fmt.Errorf("room %s: %w", roomID, ErrNotFound)
	}
	if err != nil {
		return 0, err
	}
	if err := tx.touchSeats(0); err != nil {
		return 0, err
	}
	for _, query := range []string{
		`UPDATE rooms SET purging = 1, published = 0 WHERE nid = $1`,
		`DELETE FROM aliases WHERE room_nid = $1`, `DELETE FROM directory WHERE room_nid = $1`,
		`DELETE FROM memberships WHERE room_nid = $1`, `DELETE FROM extremities WHERE room_nid = $1`,
		`DELETE FROM current_state WHERE room_nid = $1`, `DELETE FROM awaited_redactions WHERE room_nid = $1`,
		`DELETE FROM delayed_events WHERE room_nid = $1`, `DELETE FROM reports WHERE room_nid = $1`,
		`DELETE FROM call_seats WHERE room_nid = $1`,
		`DELETE FROM sticky_events WHERE room_nid = $1`, `DELETE FROM thread_subscriptions WHERE room_nid = $1`,
		`DELETE FROM identity_invites WHERE room_id = (SELECT room_id FROM rooms WHERE nid = $1)`,
	} {
		if err := tx.Defer(query, roomNID); err != nil {
			return 0, err
		}
	}
	return roomNID, nil
}

// RoomsInPurge returns the rooms whose purge has begun.
func (tx *Tx) RoomsInPurge() ([]int64, error) {
	return tx.ints(`SELECT nid FROM rooms WHERE purging = 1 ORDER BY nid`)
}

// roomTables are the tables with rows of a room that BeginPurge leaves, in the order in which they are emptied, but for events. Each
// has a column room_nid; key is what tells its rows from each other.
var roomTables = []struct{ table, key string }{
	{"redacted_originals", "event_nid"},
	{"gaps", "event_nid"},
	{"sliding_rooms", "conn_nid"},
	{"room_states", "pos"},
	{"push_actions", "pos"},
	{"state_sets", "id"},
	{"receipts", "pos"},
}

// PurgeRoomSome deletes some of what is left of a room whose purge has begun. more tells that there is more; when there is not, the
// room is gone, and its id as free as any.
func (tx *Tx) PurgeRoomSome(roomNID int64) (done Purged, more bool, err error) {
	nids, err := tx.ints(`SELECT nid FROM events WHERE room_nid = $1 LIMIT `+atLeast(maxPurge), roomNID)
	if err != nil {
		return Purged{}, false, err
	}
	if len(nids) > 0 {
		done.Events = int64(len(nids))
		if done.Bytes, err = tx.sumIn(`SELECT COALESCE(SUM(OCTET_LENGTH(json)), 0) FROM events WHERE nid IN `, nids); err != nil {
			return Purged{}, false, err
		}
		if err := tx.unindex(nids...); err != nil {
			return Purged{}, false, err
		}
		for _, query := range []string{
			`DELETE FROM edges WHERE prev_nid IN `, `DELETE FROM event_auth WHERE event_nid IN `,
			`DELETE FROM relations WHERE event_nid IN `, `DELETE FROM threads WHERE root_nid IN `, `DELETE FROM events WHERE nid IN `,
		} {
			if err := tx.execIn(query, nids); err != nil {
				return Purged{}, false, err
			}
		}
		return done, true, nil
	}
	for _, t := range roomTables {
		done, some, err := tx.purgeTable(roomNID, t.table, t.key)
		if err != nil || some {
			return done, true, err
		}
	}
	if err := tx.Defer(`DELETE FROM account_data WHERE room_nid = $1`, roomNID); err != nil {
		return Purged{}, false, err
	}
	if err := tx.DeferOne(`DELETE FROM rooms WHERE nid = $1`, roomNID); err != nil {
		return Purged{}, false, err
	}
	tx.AfterCommit(func() { tx.db.rooms.drop(roomNID) })
	return Purged{Rooms: 1}, false, nil
}

// purgeTable deletes some of a room's rows of a table, if there are any.
func (tx *Tx) purgeTable(roomNID int64, table, key string) (done Purged, some bool, err error) {
	keys, err := tx.ints(`SELECT `+key+` FROM `+table+` WHERE room_nid = $1 LIMIT `+atLeast(maxPurge), roomNID)
	if err != nil || len(keys) == 0 {
		return Purged{}, false, err
	}
	n := int64(len(keys))
	switch table {
	case "redacted_originals":
		done.Originals = n
	case "state_sets":
		done.StateSets = n
		done.Bytes, err = tx.sumIn(`SELECT COALESCE(SUM(LENGTH(entries)), 0) FROM state_sets WHERE id IN `, keys)
	}
	if err != nil {
		return Purged{}, false, err
	}
	query, args := sqldb.In(`DELETE FROM `+table+` WHERE room_nid = $1 AND `+key+` IN `, 2, keys)
	return done, true, tx.Defer(query, append([]any{roomNID}, args...)...)
}

// drop forgets a room that is gone.
func (r *roomVersions) drop(nid int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.rows, nid)
}

// LocalSeats returns the memberships that users of this server have of a room, but for those who left or are banned.
func (tx *Tx) LocalSeats(roomNID int64) ([]Membership, error) {
	return tx.memberships(`SELECT m.room_nid, m.user_nid, m.membership, m.event_nid, m.pos, m.forgotten FROM memberships m
		JOIN users u ON u.nid = m.user_nid WHERE m.room_nid = $1 AND m.membership IN ('join', 'invite', 'knock')`, roomNID)
}

// ForgottenRooms returns the rooms that no user of this server is in, invited to or knocking at, and that all of those who left have
// forgotten, since before a time in milliseconds. nowTS is the present. The time is that of the newest membership of a user of this
// server, or of the newest event where there never was one; a time that is yet to come is not believed.
func (tx *Tx) ForgottenRooms(beforeTS, nowTS int64) ([]id.RoomID, error) {
	var all []id.RoomID
	err := tx.Query(`SELECT r.room_id, COALESCE((SELECT MAX(e.origin_server_ts) FROM memberships m JOIN users u ON u.nid = m.user_nid
			JOIN events e ON e.nid = m.event_nid WHERE m.room_nid = r.nid AND e.origin_server_ts <= $1),
			(SELECT MAX(e.origin_server_ts) FROM events e WHERE e.room_nid = r.nid AND e.origin_server_ts <= $1), 0)
		FROM rooms r WHERE r.purging = 0 AND NOT EXISTS (SELECT 1 FROM memberships m JOIN users u ON u.nid = m.user_nid
			WHERE m.room_nid = r.nid AND (m.forgotten = 0 AND u.appservice IS NULL OR m.membership IN ('join', 'invite', 'knock')))
		ORDER BY r.nid`, []any{nowTS + clockSlack}, func(scan func(...any) error) error {
		var (
			roomID string
			ts     int64
		)
		if err := scan(&roomID, &ts); err != nil {
			return err
		}
		if ts < beforeTS {
			all = append(all, id.RoomID(roomID))
		}
		return nil
	})
	return all, err
}

// RoomRetention is a room with what its state says of how long messages are kept.
type RoomRetention struct {
	RoomNID int64
	RoomID  id.RoomID
	Content []byte // of the m.room.retention event, nil for none
}

// RoomRetentions returns all rooms, or, with onlyThoseWho, those whose state says something of retention.
func (tx *Tx) RoomRetentions(onlyThoseWho bool) ([]RoomRetention, error) {
	k, err := tx.LookupStateNID("m.room.retention", "")
	if err != nil {
		return nil, err
	}
	var all []RoomRetention
	var nids []int64
	err = tx.Query(`SELECT r.nid, r.room_id, COALESCE(s.event_nid, 0) FROM rooms r LEFT JOIN current_state s ON s.room_nid = r.nid
		AND s.type_nid = $1 AND s.state_key_nid = $2 WHERE r.purging = 0 ORDER BY r.nid`, []any{k.Type, k.Key},
		func(scan func(...any) error) error {
			var (
				r      RoomRetention
				roomID string
				nid    int64
			)
			if err := scan(&r.RoomNID, &roomID, &nid); err != nil {
				return err
			}
			r.RoomID = id.RoomID(roomID)
			if nid != 0 || !onlyThoseWho {
				all, nids = append(all, r), append(nids, nid)
			}
			return nil
		})
	if err != nil {
		return nil, err
	}
	for i, nid := range nids {
		if nid == 0 {
			continue
		}
		e, err := tx.EventByNID(nid)
		if err != nil {
			return nil, err
		}
		all[i].Content = e.Content
	}
	return all, nil
}

// purgeTables are the tables that purges delete from.
var purgeTables = strings.Fields(`events event_auth relations threads edges state_sets room_states current_state memberships redacted_originals
	gaps account_data receipts awaited_redactions sliding_rooms rooms aliases strings appservice_pending
	search_index user_words push_actions delayed_events reports sticky_events thread_subscriptions identity_invites`)
