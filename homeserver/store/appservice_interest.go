package store

import (
	"database/sql"
	"errors"
	"fmt"
	"strconv"

	"causeway/homeserver/event"
	"causeway/homeserver/sqldb"

	"maunium.net/go/mautrix/id"
)

// EventIDs is an event as integers: enough to tell whom it concerns without reading its JSON.
type EventIDs struct {
	Pos, NID, RoomNID, TypeNID, SenderNID int64
	StateKeyNID                           int64 // 0 for a message event
	HasAlias                              bool  // the room has an alias
}

// StreamIDs returns at most limit events of all rooms with pos > after, oldest first.
func (tx *Tx) StreamIDs(after int64, limit int) ([]EventIDs, error) {
	var all []EventIDs
	// The limit is part of the text: SQLite prepares a statement anew whenever a parameter of its LIMIT is bound.
	query := `SELECT e.pos, e.nid, e.room_nid, e.type_nid, e.sender_nid, e.state_key_nid,
		(SELECT 1 FROM aliases a WHERE a.room_nid = e.room_nid LIMIT 1)
		FROM events e WHERE e.pos > $1 ORDER BY e.pos LIMIT ` + strconv.Itoa(limit)
	err := tx.Query(query, []any{after}, func(scan func(...any) error) error {
		var (
			e               EventIDs
			stateKey, alias sql.NullInt64
		)
		if err := scan(&e.Pos, &e.NID, &e.RoomNID, &e.TypeNID, &e.SenderNID, &stateKey, &alias); err != nil {
			return fmt.Errorf("read the stream: %w", err)
		}
		e.StateKeyNID, e.HasAlias = stateKey.Int64, alias.Valid
		all = append(all, e)
		return nil
	})
	return all, err
}

// AliasesOfRooms returns the aliases of several rooms, by room. Rooms without one are left out.
func (tx *Tx) AliasesOfRooms(rooms []int64) (map[int64][]id.RoomAlias, error) {
	aliases := make(map[int64][]id.RoomAlias)
	for len(rooms) > 0 {
		n := min(len(rooms), 512)
		query, args := sqldb.In(`SELECT room_nid, alias FROM aliases WHERE room_nid IN `, 1, rooms[:n])
		rooms = rooms[n:]
		err := tx.Query(query, args, func(scan func(...any) error) error {
			var (
				room  int64
				alias string
			)
			if err := scan(&room, &alias); err != nil {
				return fmt.Errorf("read an alias: %w", err)
			}
			aliases[room] = append(aliases[room], id.RoomAlias(alias))
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return aliases, nil
}

// errFound ends a query early.
var errFound = errors.New("found")

// MemberAt finds a user of whom match is true and who was joined to or invited to a room when the stream was at pos, and
// returns its integer, or 0 when there was none. first, unless it is "", is looked for before all others. The room's state
// as it is now is the start, and the member events after pos are taken back.
func (tx *Tx) MemberAt(roomNID, pos int64, first id.UserID, match func(id.UserID) bool) (int64, error) {
	changed, err := tx.membersBefore(roomNID, pos)
	if err != nil {
		return 0, err
	}
	if first != "" {
		m, err := tx.Membership(roomNID, first)
		if err != nil && !errors.Is(err, ErrNotFound) {
			return 0, err
		}
		if _, later := changed[m.UserNID]; err == nil && !later && inRoom(m.Membership) {
			return m.UserNID, nil
		}
	}
	for user, replaced := range changed {
		name, err := tx.Text(user)
		if err != nil {
			return 0, err
		}
		if replaced == 0 || !match(id.UserID(name)) {
			continue
		}
		before, err := tx.EventByNID(replaced)
		if err != nil {
			return 0, err
		}
		if inRoom(before.Membership()) {
			return user, nil
		}
	}
	return tx.memberIn(roomNID, `('join', 'invite')`, changed, match)
}

// memberIn finds a matching user whose membership now is one of a list in SQL, and who is not in except.
func (tx *Tx) memberIn(roomNID int64, memberships string, except map[int64]int64, match func(id.UserID) bool) (int64, error) {
	var found int64
	err := tx.Query(`SELECT m.user_nid, s.value FROM memberships m JOIN strings s ON s.nid = m.user_nid
		WHERE m.room_nid = $1 AND m.membership IN `+memberships, []any{roomNID}, func(scan func(...any) error) error {
		var (
			user int64
			name string
		)
		if err := scan(&user, &name); err != nil {
			return fmt.Errorf("read a member: %w", err)
		}
		if _, later := except[user]; later || !match(id.UserID(name)) {
			return nil
		}
		found = user
		return errFound
	})
	if err != nil && !errors.Is(err, errFound) {
		return 0, err
	}
	return found, nil
}

// membersBefore returns the users of a room whose membership changed after pos, each with the member event that the first of
// the changes replaced, or 0 when it replaced none.
func (tx *Tx) membersBefore(roomNID, pos int64) (map[int64]int64, error) {
	typeNID, err := tx.LookupNID(event.TypeMember)
	if err != nil {
		return nil, err
	}
	changed := make(map[int64]int64)
	err = tx.Query(`SELECT state_key_nid, replaces_nid FROM events WHERE room_nid = $1 AND pos > $2 AND type_nid = $3
		AND state_key_nid IS NOT NULL ORDER BY pos`, []any{roomNID, pos, typeNID}, func(scan func(...any) error) error {
		var (
			user     int64
			replaces sql.NullInt64
		)
		if err := scan(&user, &replaces); err != nil {
			return fmt.Errorf("read a change of membership: %w", err)
		}
		if _, earlier := changed[user]; !earlier {
			changed[user] = replaces.Int64
		}
		return nil
	})
	return changed, err
}

func inRoom(membership string) bool { return membership == "join" || membership == "invite" }
