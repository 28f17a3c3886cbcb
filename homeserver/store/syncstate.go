package store

import "causeway/homeserver/sqldb"

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
