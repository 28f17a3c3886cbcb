package store

import (
	"database/sql"
	"fmt"
	"slices"
	"strconv"

	"causeway/homeserver/sqldb"

	"maunium.net/go/mautrix/id"
)

// FoundUser is a user with their profile.
type FoundUser struct {
	NID         int64
	UserID      id.UserID
	DisplayName string
	AvatarURL   string
}

// wordsDue marks a user whose words for the directory have to be made anew.
func (tx *Tx) wordsDue(userNID int64) error {
	return tx.Defer(`INSERT INTO user_words_due (user_nid) VALUES ($1) ON CONFLICT (user_nid) DO NOTHING`, userNID)
}

// UsersDue returns at most limit of the users whose words have to be made anew.
func (tx *Tx) UsersDue(limit int) ([]FoundUser, error) {
	return tx.foundUsers(`SELECT u.nid, s.value, u.displayname, u.avatar_url FROM user_words_due d JOIN users u ON u.nid = d.user_nid
		JOIN strings s ON s.nid = u.nid WHERE u.deactivated = 0 ORDER BY d.user_nid LIMIT ` + strconv.Itoa(limit))
}

// SetUserWords replaces the words by which a user is found.
func (tx *Tx) SetUserWords(userNID int64, words []string) error {
	if err := tx.Defer(`DELETE FROM user_words WHERE user_nid = $1`, userNID); err != nil {
		return err
	}
	for _, word := range words {
		if err := tx.Defer(`INSERT INTO user_words (word, user_nid) VALUES ($1, $2)`, word, userNID); err != nil {
			return err
		}
	}
	return tx.Defer(`DELETE FROM user_words_due WHERE user_nid = $1`, userNID)
}

// UserWord is a word by which a user is found.
type UserWord struct {
	Word    string
	UserNID int64
}

// prefixEnd is greater than any word that begins with what it is put behind.
const prefixEnd = "\U0010FFFF"

// UserWords returns at most limit words that begin with a prefix, in their order, from one on that is left out itself; the zero value is for
// the first.
func (tx *Tx) UserWords(prefix string, after UserWord, limit int) ([]UserWord, error) {
	from := max(prefix, after.Word)
	var all []UserWord
	err := tx.Query(`SELECT word, user_nid FROM user_words WHERE word >= $1 AND word < $2 AND (word > $1 OR user_nid > $3)
		ORDER BY word, user_nid LIMIT `+strconv.Itoa(limit), []any{from, prefix + prefixEnd, after.UserNID},
		func(scan func(...any) error) error {
			var w UserWord
			if err := scan(&w.Word, &w.UserNID); err != nil {
				return fmt.Errorf("read the words of users: %w", err)
			}
			all = append(all, w)
			return nil
		})
	return all, err
}

// WithPrefix returns those of some users who have a word that begins with a prefix.
func (tx *Tx) WithPrefix(users []int64, prefix string) ([]int64, error) {
	return tx.usersIn(users, `SELECT DISTINCT user_nid FROM user_words WHERE word >= $1 AND word < $2 AND user_nid IN `,
		prefix, prefix+prefixEnd)
}

// InSight returns those of some users who are in an open room, or in one with the asker.
func (tx *Tx) InSight(users []int64, asker int64) ([]int64, error) {
	return tx.usersIn(users, `SELECT DISTINCT m.user_nid FROM memberships m JOIN rooms r ON r.nid = m.room_nid WHERE m.membership = 'join'
		AND (r.open = 1 OR EXISTS (SELECT 1 FROM memberships o WHERE o.user_nid = $1 AND o.room_nid = m.room_nid
			AND o.membership = 'join')) AND m.user_nid IN `, asker)
}

// usersIn runs a query that ends in IN for some users.
func (tx *Tx) usersIn(users []int64, query string, args ...any) (all []int64, err error) {
	err = inBatches(users, func(some []int64) error {
		query, more := sqldb.In(query, len(args)+1, some)
		found, err := tx.ints(query, append(args[:len(args):len(args)], more...)...)
		all = append(all, found...)
		return err
	})
	return all, err
}

// FoundUsers returns the profiles of users, but for those who are erased or whose account is deactivated, in no order.
func (tx *Tx) FoundUsers(users []int64) (all []FoundUser, err error) {
	err = inBatches(users, func(some []int64) error {
		query, args := sqldb.In(`SELECT u.nid, s.value, u.displayname, u.avatar_url FROM users u JOIN strings s ON s.nid = u.nid
			WHERE u.erased = 0 AND u.deactivated = 0 AND u.nid IN `, 1, some)
		found, err := tx.foundUsers(query, args...)
		all = append(all, found...)
		return err
	})
	return all, err
}

func (tx *Tx) foundUsers(query string, args ...any) ([]FoundUser, error) {
	var all []FoundUser
	err := tx.Query(query, args, func(scan func(...any) error) error {
		var (
			u            FoundUser
			userID       string
			name, avatar sql.NullString
		)
		if err := scan(&u.NID, &userID, &name, &avatar); err != nil {
			return fmt.Errorf("read the directory of users: %w", err)
		}
		u.UserID, u.DisplayName, u.AvatarURL = id.UserID(userID), name.String, avatar.String
		all = append(all, u)
		return nil
	})
	return all, err
}

// SetOpen records whether anybody may join a room or read it.
func (tx *Tx) SetOpen(roomNID int64, open bool) error {
	return tx.Defer(`UPDATE rooms SET open = $2 WHERE nid = $1`, roomNID, boolInt(open))
}

// OpenRooms returns which of some rooms are recorded as open, and the current state set of each.
func (tx *Tx) OpenRooms(rooms []int64) (open map[int64]bool, states map[int64]int64, err error) {
	open, states = make(map[int64]bool, len(rooms)), make(map[int64]int64, len(rooms))
	err = inBatches(rooms, func(some []int64) error {
		query, args := sqldb.In(`SELECT nid, open, state_id FROM rooms WHERE purging = 0 AND nid IN `, 1, some)
		return tx.Query(query, args, func(scan func(...any) error) error {
			var nid, flag, stateID int64
			if err := scan(&nid, &flag, &stateID); err != nil {
				return fmt.Errorf("read which rooms are open: %w", err)
			}
			open[nid], states[nid] = flag != 0, stateID
			return nil
		})
	})
	return open, states, err
}

// InAnyRoom tells whether a user is in one of some rooms.
func (tx *Tx) InAnyRoom(userNID int64, rooms []id.RoomID) (bool, error) {
	known := make([]string, 0, len(rooms))
	for _, roomID := range rooms {
		if !nobodys(string(roomID)) {
			known = append(known, string(roomID))
		}
	}
	for some := range slices.Chunk(known, maxIn) {
		var one int64
		query, args := sqldb.In(`SELECT 1 FROM rooms r JOIN memberships m ON m.room_nid = r.nid WHERE m.user_nid = $1 AND m.membership = 'join'
			AND r.room_id IN `, 2, some)
		found, err := tx.Row(query+` LIMIT 1`, append([]any{userNID}, args...), &one)
		if err != nil || found {
			return found, err
		}
	}
	return false, nil
}

// MutualRooms returns at most limit of the rooms that both users are in, in the order of their ids, from after one on, and how many there
// are in all.
func (tx *Tx) MutualRooms(a, b int64, after id.RoomID, limit int) (rooms []id.RoomID, total int64, err error) {
	from := ` FROM memberships m JOIN memberships o ON o.room_nid = m.room_nid JOIN rooms r ON r.nid = m.room_nid
		WHERE m.user_nid = $1 AND m.membership = 'join' AND o.user_nid = $2 AND o.membership = 'join'`
	if _, err := tx.Row(`SELECT COUNT(*)`+from, []any{a, b}, &total); err != nil {
		return nil, 0, err
	}
	names, err := tx.texts(`SELECT r.room_id`+from+` AND r.room_id > $3 ORDER BY r.room_id LIMIT `+strconv.Itoa(limit), a, b, string(after))
	for _, name := range names {
		rooms = append(rooms, id.RoomID(name))
	}
	return rooms, total, err
}
