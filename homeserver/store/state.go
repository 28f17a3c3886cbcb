package store

import (
	"fmt"

	"causeway/homeserver/sqldb"

	"maunium.net/go/mautrix/id"
)

// SetCurrentState makes an event the current one for its type and state key.
func (tx *Tx) SetCurrentState(roomNID int64, k StateNID, event int64) error {
	return tx.Defer(`INSERT INTO current_state (room_nid, type_nid, state_key_nid, event_nid) VALUES ($1, $2, $3, $4)
		ON CONFLICT (room_nid, type_nid, state_key_nid) DO UPDATE SET event_nid = excluded.event_nid`,
		roomNID, k.Type, k.Key, event)
}

// ClearCurrentState takes a type and state key out of the current state.
func (tx *Tx) ClearCurrentState(roomNID int64, k StateNID) error {
	return tx.Defer(`DELETE FROM current_state WHERE room_nid = $1 AND type_nid = $2 AND state_key_nid = $3`, roomNID, k.Type, k.Key)
}

// CurrentState returns the events of a room's current state, in no order.
func (tx *Tx) CurrentState(roomNID int64) ([]*Event, error) {
	return tx.events(`SELECT `+eventColumns+` FROM current_state s JOIN events e ON e.nid = s.event_nid
		WHERE s.room_nid = $1`, []any{roomNID})
}

// CurrentStateOfType returns the events of one type in a room's current state.
func (tx *Tx) CurrentStateOfType(roomNID int64, eventType string) ([]*Event, error) {
	nid, err := tx.LookupNID(eventType)
	if err != nil || nid == 0 {
		return nil, err
	}
	return tx.events(`SELECT `+eventColumns+` FROM current_state s JOIN events e ON e.nid = s.event_nid
		WHERE s.room_nid = $1 AND s.type_nid = $2`, []any{roomNID, nid})
}

// CurrentStateEvent returns the event that holds a type and state key now. ErrNotFound.
func (tx *Tx) CurrentStateEvent(roomNID int64, eventType, stateKey string) (*Event, error) {
	k, err := tx.LookupStateNID(eventType, stateKey)
	if err != nil {
		return nil, err
	}
	return tx.oneEvent(`SELECT `+eventColumns+` FROM current_state s JOIN events e ON e.nid = s.event_nid
		WHERE s.room_nid = $1 AND s.type_nid = $2 AND s.state_key_nid = $3`, roomNID, k.Type, k.Key)
}

// LookupStateNID returns the integers of a type and state key; 0 for what the database has never seen.
func (tx *Tx) LookupStateNID(eventType, stateKey string) (k StateNID, err error) {
	if k.Type, err = tx.LookupNID(eventType); err != nil {
		return k, err
	}
	k.Key, err = tx.LookupNID(stateKey)
	return k, err
}

// StateNID returns the integers of a type and state key, and makes those that are new.
func (tx *Tx) StateNID(eventType, stateKey string) (k StateNID, err error) {
	if k.Type, err = tx.NID(eventType); err != nil {
		return k, err
	}
	k.Key, err = tx.NID(stateKey)
	return k, err
}

// Membership is a user's current membership of a room.
type Membership struct {
	RoomNID    int64
	UserNID    int64
	Membership string // join, invite, leave, ban or knock
	EventNID   int64  // 0 when branches met and none of them is left: the user is out since Pos
	Pos        int64  // of the event
	Forgotten  bool
}

const membershipColumns = `room_nid, user_nid, membership, event_nid, pos, forgotten`

// SetMembership records a user's membership of a room.
func (tx *Tx) SetMembership(m Membership) error {
	// Where branches met, the membership may be of an older event: it has changed now all the same.
	pos, err := tx.StreamPos()
	if err != nil {
		return err
	}
	tx.touch(FamilyMemberships, max(pos, m.Pos))
	return tx.Defer(`INSERT INTO memberships (user_nid, room_nid, membership, event_nid, pos, forgotten, since)
		VALUES ($1, $2, $3, $4, $5, 0, $5) ON CONFLICT (user_nid, room_nid) DO UPDATE SET
		since = CASE WHEN memberships.membership = excluded.membership THEN memberships.since ELSE excluded.since END,
		membership = excluded.membership, event_nid = excluded.event_nid, pos = excluded.pos, forgotten = 0`,
		m.UserNID, m.RoomNID, m.Membership, m.EventNID, m.Pos)
}

// Forget hides a room that a user has left.
func (tx *Tx) Forget(roomNID, userNID int64) error {
	if err := tx.touchSeats(userNID); err != nil {
		return err
	}
	_, err := tx.Exec(`UPDATE memberships SET forgotten = 1 WHERE user_nid = $1 AND room_nid = $2`, userNID, roomNID)
	return err
}

// Membership returns a user's membership of a room. ErrNotFound when the user was never in it.
func (tx *Tx) Membership(roomNID int64, user id.UserID) (Membership, error) {
	nid, err := tx.LookupNID(string(user))
	if err != nil {
		return Membership{}, err
	}
	all, err := tx.memberships(`SELECT `+membershipColumns+` FROM memberships WHERE user_nid = $1 AND room_nid = $2`, nid, roomNID)
	if err == nil && len(all) == 0 {
		err = fmt.Errorf("membership of %s: %w", user, ErrNotFound)
	}
	if err != nil {
		return Membership{}, err
	}
	return all[0], nil
}

// MembershipsOf returns a user's memberships of all rooms, forgotten ones left out.
func (tx *Tx) MembershipsOf(user id.UserID) ([]Membership, error) {
	nid, err := tx.LookupNID(string(user))
	if err != nil || nid == 0 {
		return nil, err
	}
	return tx.memberships(`SELECT `+membershipColumns+` FROM memberships WHERE user_nid = $1 AND forgotten = 0`, nid)
}

// Members returns the users of a room with the given membership ("" for all).
func (tx *Tx) Members(roomNID int64, membership string) ([]Membership, error) {
	if membership == "" {
		return tx.memberships(`SELECT `+membershipColumns+` FROM memberships WHERE room_nid = $1`, roomNID)
	}
	return tx.memberships(`SELECT `+membershipColumns+` FROM memberships WHERE room_nid = $1 AND membership = $2`, roomNID, membership)
}

func (tx *Tx) memberships(query string, args ...any) ([]Membership, error) {
	var all []Membership
	err := tx.Query(query, args, func(scan func(...any) error) error {
		var (
			m         Membership
			forgotten int64
		)
		if err := scan(&m.RoomNID, &m.UserNID, &m.Membership, &m.EventNID, &m.Pos, &forgotten); err != nil {
			return fmt.Errorf("read a membership: %w", err)
		}
		m.Forgotten = forgotten != 0
		all = append(all, m)
		return nil
	})
	return all, err
}

// CurrentStateOfTypes returns the events of some types in a room's current state: all of them, or, with keyless, those with an empty
// state key.
func (tx *Tx) CurrentStateOfTypes(roomNID int64, types []string, keyless bool) ([]*Event, error) {
	nids := make([]int64, 0, len(types))
	for _, eventType := range types {
		nid, err := tx.LookupNID(eventType)
		if err != nil {
			return nil, err
		}
		if nid != 0 {
			nids = append(nids, nid)
		}
	}
	if len(nids) == 0 {
		return nil, nil
	}
	query := `SELECT ` + eventColumns + ` FROM current_state s JOIN events e ON e.nid = s.event_nid WHERE s.room_nid = $1`
	args := []any{roomNID}
	if keyless {
		empty, err := tx.LookupNID("")
		if err != nil {
			return nil, err
		}
		query, args = query+` AND s.state_key_nid = $2`, append(args, empty)
	}
	query, in := sqldb.In(query+` AND s.type_nid IN `, len(args)+1, nids)
	return tx.events(query, append(args, in...))
}

// CurrentStateOfKey returns the events of all types with a state key in a room's current state. It looks at all of that state.
func (tx *Tx) CurrentStateOfKey(roomNID int64, stateKey string) ([]*Event, error) {
	nid, err := tx.LookupNID(stateKey)
	if err != nil || nid == 0 {
		return nil, err
	}
	return tx.events(`SELECT `+eventColumns+` FROM current_state s JOIN events e ON e.nid = s.event_nid
		WHERE s.room_nid = $1 AND s.state_key_nid = $2`, []any{roomNID, nid})
}
