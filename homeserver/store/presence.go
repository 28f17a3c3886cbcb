package store

import (
	"fmt"
	"strconv"

	"causeway/homeserver/sqldb"

	"maunium.net/go/mautrix/id"
)

// Presence is what is stored of whether a user is there.
type Presence struct {
	UserNID      int64
	State        string // online, unavailable, offline, or org.matrix.msc3026.busy
	StatusMsg    string
	LastActiveTS int64 // in milliseconds, 0 when it is not known
	Pos          int64
}

const presenceColumns = `p.user_nid, p.state, p.status_msg, p.last_active_ts, p.pos`

// SetPresence stores the presence of a user at a new position of the stream, which it returns with the user's integer. Of one whose account
// is deactivated nothing is stored any more, and the position is 0.
func (tx *Tx) SetPresence(user id.UserID, p Presence) (userNID, pos int64, err error) {
	if userNID, err = tx.NID(string(user)); err != nil {
		return 0, 0, err
	}
	var one int64
	if ended, err := tx.Row(`SELECT 1 FROM users WHERE nid = $1 AND deactivated = 1`, []any{userNID}, &one); err != nil || ended {
		return userNID, 0, err
	}
	if pos, err = tx.NextPos(); err != nil {
		return 0, 0, err
	}
	tx.touch(FamilyPresence, pos)
	_, err = tx.Exec(`INSERT INTO presence (user_nid, state, status_msg, last_active_ts, pos) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (user_nid) DO UPDATE SET state = excluded.state, status_msg = excluded.status_msg,
		last_active_ts = excluded.last_active_ts, pos = excluded.pos`, userNID, p.State, p.StatusMsg, p.LastActiveTS, pos)
	return userNID, pos, err
}

// Presence returns the presence of a user. ErrNotFound when there never was any.
func (tx *Tx) Presence(user id.UserID) (Presence, error) {
	nid, err := tx.LookupNID(string(user))
	if err != nil {
		return Presence{}, err
	}
	all, err := tx.presences(`SELECT `+presenceColumns+` FROM presence p WHERE p.user_nid = $1`, nid)
	if err == nil && len(all) == 0 {
		err = fmt.Errorf("presence of %s: %w", user, ErrNotFound)
	}
	if err != nil {
		return Presence{}, err
	}
	return all[0], nil
}

// PresentUsers returns the users that are stored as anything but offline.
func (tx *Tx) PresentUsers() ([]Presence, error) {
	return tx.presences(`SELECT ` + presenceColumns + ` FROM presence p WHERE p.state <> 'offline'`)
}

// ShareRoom tells whether two users are in a room together.
func (tx *Tx) ShareRoom(a, b int64) (bool, error) {
	var one int64
	return tx.Row(`SELECT 1 FROM memberships a CROSS JOIN memberships b WHERE a.user_nid = $1 AND a.membership = 'join'
		AND b.user_nid = $2 AND b.room_nid = a.room_nid AND b.membership = 'join' LIMIT 1`, []any{a, b}, &one)
}

// smallRoom holds of a room, that of a membership by its name in the query, with at most so many members.
func smallRoom(membership string, members int) string {
	return `NOT EXISTS (SELECT 1 FROM memberships s WHERE s.room_nid = ` + membership + `.room_nid AND s.membership = 'join' LIMIT 1 OFFSET ` +
		strconv.Itoa(members) + `)`
}

// SmallRooms returns the rooms with at most so many members that a user is in.
func (tx *Tx) SmallRooms(userNID int64, members int) ([]int64, error) {
	return tx.ints(`SELECT a.room_nid FROM memberships a WHERE a.user_nid = $1 AND a.membership = 'join' AND `+smallRoom("a", members), userNID)
}

// near holds of a presence of user $1, and of those who are in a room with $1 of at most so many members. Only the rooms that they share
// are measured: the condition is about b, which makes it come last.
func near(members int) string {
	return `(p.user_nid = $1 OR EXISTS (SELECT 1 FROM memberships a CROSS JOIN memberships b WHERE a.user_nid = p.user_nid
		AND a.membership = 'join' AND b.user_nid = $1 AND b.room_nid = a.room_nid AND b.membership = 'join' AND ` + smallRoom("b", members) + `))`
}

// PresenceNear returns at most limit presences at after < pos ≤ upto of a user, and of those who are in a room with the user of at most
// so many members, newest first. With short its cost is that of the presences in the range, whoever's they are, else that of
// the user's rooms.
func (tx *Tx) PresenceNear(userNID, after, upto int64, short bool, members, limit int) ([]Presence, error) {
	whose := near(members)
	if !short {
		whose = `(p.user_nid = $1 OR p.user_nid IN (SELECT c.user_nid FROM memberships a CROSS JOIN memberships c WHERE a.user_nid = $1
			AND a.membership = 'join' AND c.room_nid = a.room_nid AND c.membership = 'join' AND ` + smallRoom("a", members) + `))`
	}
	all, err := tx.presences(`SELECT `+presenceColumns+` FROM presence p WHERE p.pos > $2 AND p.pos <= $3 AND `+whose+
		` ORDER BY p.pos DESC LIMIT `+atLeast(limit), userNID, after, upto)
	return all[:min(len(all), limit)], err
}

// PresenceOf returns the presences, up to a position, of those of the given users who are in a room with a user of at most so many
// members.
func (tx *Tx) PresenceOf(userNID int64, users []int64, upto int64, members int) (all []Presence, err error) {
	err = inBatches(users, func(some []int64) error {
		query, args := sqldb.In(`SELECT `+presenceColumns+` FROM presence p WHERE p.pos <= $2 AND `+near(members)+` AND p.user_nid IN `, 3, some)
		found, err := tx.presences(query, append([]any{userNID, upto}, args...)...)
		all = append(all, found...)
		return err
	})
	return all, err
}

// PresenceIn returns at most limit presences, up to a position, of the members of a room, none when they are more than so many.
func (tx *Tx) PresenceIn(roomNID, upto int64, members, limit int) ([]Presence, error) {
	all, err := tx.presences(`SELECT `+presenceColumns+` FROM memberships a CROSS JOIN presence p WHERE a.room_nid = $1
		AND a.membership = 'join' AND p.user_nid = a.user_nid AND p.pos <= $2 AND `+smallRoom("a", members)+
		` ORDER BY p.pos DESC LIMIT `+atLeast(limit), roomNID, upto)
	return all[:min(len(all), limit)], err
}

func (tx *Tx) presences(query string, args ...any) ([]Presence, error) {
	var all []Presence
	err := tx.Query(query, args, func(scan func(...any) error) error {
		var p Presence
		err := scan(&p.UserNID, &p.State, &p.StatusMsg, &p.LastActiveTS, &p.Pos)
		all = append(all, p)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read presence: %w", err)
	}
	return all, nil
}

// endPresence makes a user offline, without a word, whose account ends: those in the same rooms hear of it. Once the user has left these,
// dropPresence deletes what is left.
func (tx *Tx) endPresence(userNID int64) error {
	var one int64
	if was, err := tx.Row(`SELECT 1 FROM presence WHERE user_nid = $1`, []any{userNID}, &one); err != nil || !was {
		return err
	}
	pos, err := tx.NextPos()
	if err != nil {
		return err
	}
	tx.touch(FamilyPresence, pos)
	_, err = tx.Exec(`UPDATE presence SET state = 'offline', status_msg = '', last_active_ts = 0, pos = $2 WHERE user_nid = $1`, userNID, pos)
	return err
}

func (tx *Tx) dropPresence(userNID int64) error {
	_, err := tx.Exec(`DELETE FROM presence WHERE user_nid = $1`, userNID)
	return err
}
