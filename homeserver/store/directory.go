package store

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"unicode/utf8"

	"causeway/homeserver/sqldb"

	"maunium.net/go/mautrix/id"
)

// DirectoryRoom is a room in a directory, with its place in the order: most members first, then by room id.
type DirectoryRoom struct {
	NID    int64
	RoomID id.RoomID
	Joined int64 // users who are in it
}

// DirectoryQuery asks for rooms of a directory. Rooms that nobody is in are in none.
type DirectoryQuery struct {
	Network string // the list of an application service's network; "" for the list of this server
	All     bool   // the rooms of all lists
	// Mentions narrows the search to rooms that meet each of them.
	Mentions []Mention
	// From is where to begin, itself left out; nil for the first room. With Backwards the rooms before it are returned, nearest first.
	From      *DirectoryRoom
	Backwards bool
	Limit     int
}

// Mention is that one of a room's state events, of one of the types and with an empty state key, has one of the texts somewhere in
// its JSON. Letters are compared without their case. It is a sieve, not a test: rooms pass that have the text elsewhere in such an
// event, or something else in the place of its letters that are not ASCII.
type Mention struct{ Types, Texts []string }

// list appends what makes a room one of the directory's to a query over rooms r.
func (q *DirectoryQuery) list(query string, args []any) (string, []any) {
	switch {
	case q.All:
		return query + ` AND (r.published = 1 OR r.nid IN (SELECT room_nid FROM directory))`, args
	case q.Network != "":
		args = append(args, q.Network)
		return query + ` AND r.nid IN (SELECT room_nid FROM directory WHERE network = $` + strconv.Itoa(len(args)) + `)`, args
	}
	return query + ` AND r.published = 1`, args
}

// DirectoryRooms returns rooms of a directory in its order, or, backwards, against it.
func (tx *Tx) DirectoryRooms(q DirectoryQuery) ([]DirectoryRoom, error) {
	// Both parts are made before what comes after them: rooms are looked at once, and members of those counted once that are found.
	query, args := q.list(`WITH found AS MATERIALIZED (SELECT r.nid, r.room_id FROM rooms r WHERE r.purging = 0`, nil)
	var err error
	for _, mention := range q.Mentions {
		if query, args, err = tx.mentions(query, args, mention); err != nil {
			return nil, err
		}
	}
	query += `), counted AS MATERIALIZED (SELECT f.nid, f.room_id,
		(SELECT COUNT(*) FROM memberships m WHERE m.room_nid = f.nid AND m.membership = 'join') AS joined FROM found f)
		SELECT nid, room_id, joined FROM counted WHERE joined > 0`
	order := ` ORDER BY joined DESC, room_id LIMIT `
	before, after := "<", ">"
	if q.Backwards {
		order = ` ORDER BY joined, room_id DESC LIMIT `
		before, after = ">", "<"
	}
	if q.From != nil {
		n := len(args)
		query += fmt.Sprintf(` AND (joined %s $%d OR joined = $%d AND room_id %s $%d)`, before, n+1, n+1, after, n+2)
		args = append(args, q.From.Joined, string(q.From.RoomID))
	}
	rooms := make([]DirectoryRoom, 0, q.Limit)
	err = tx.Query(query+order+strconv.Itoa(q.Limit), args, func(scan func(...any) error) error {
		var (
			r      DirectoryRoom
			roomID string
		)
		if err := scan(&r.NID, &roomID, &r.Joined); err != nil {
			return fmt.Errorf("read the directory: %w", err)
		}
		r.RoomID = id.RoomID(roomID)
		rooms = append(rooms, r)
		return nil
	})
	return rooms, err
}

// mentions appends the condition that a room r meets a mention.
func (tx *Tx) mentions(query string, args []any, m Mention) (string, []any, error) {
	key, err := tx.LookupNID("")
	if err != nil {
		return "", nil, err
	}
	types, err := tx.lookupAll(m.Types)
	if err != nil {
		return "", nil, err
	}
	args = append(args, key)
	query += ` AND EXISTS (SELECT 1 FROM current_state s JOIN events e ON e.nid = s.event_nid
		WHERE s.room_nid = r.nid AND s.state_key_nid = $` + strconv.Itoa(len(args)) + ` AND s.type_nid IN `
	query, more := sqldb.In(query, len(args)+1, types)
	args = append(args, more...)
	for i, text := range m.Texts {
		args = append(args, likePattern(text))
		operator := " OR "
		if i == 0 {
			operator = " AND ("
		}
		query += operator + `lower(e.json) LIKE $` + strconv.Itoa(len(args)) + ` ESCAPE '!'`
	}
	return query + `))`, args, nil
}

// likePattern returns the pattern that finds text in JSON that was put into lower case. Neither engine knows the case of letters
// beyond ASCII: anything may stand for those.
func likePattern(text string) string {
	b := make([]byte, 0, len(text)+8)
	b = append(b, '%')
	for _, r := range text {
		switch {
		case r >= utf8.RuneSelf || r < ' ':
			b = append(b, '%')
		case r == '"' || r == '\\':
			b = append(b, '\\', byte(r))
		case r == '%' || r == '_' || r == '!':
			b = append(b, '!', byte(r))
		case 'A' <= r && r <= 'Z':
			b = append(b, byte(r)+'a'-'A')
		default:
			b = append(b, byte(r))
		}
	}
	return string(append(b, '%'))
}

// DirectoryCount returns how many rooms a directory has, whatever the query mentions.
func (tx *Tx) DirectoryCount(q DirectoryQuery) (int64, error) {
	query, args := q.list(`SELECT COUNT(*) FROM rooms r WHERE r.purging = 0`, nil)
	var n int64
	_, err := tx.Row(query, args, &n)
	return n, err
}

// lookupAll returns the integers of strings, 0 for those that the database has never seen.
func (tx *Tx) lookupAll(all []string) ([]int64, error) {
	nids := make([]int64, len(all))
	for i, s := range all {
		var err error
		if nids[i], err = tx.LookupNID(s); err != nil {
			return nil, err
		}
	}
	return nids, nil
}

// StateOfRooms returns the current state events of the given types, with an empty state key, of several rooms, in no order.
func (tx *Tx) StateOfRooms(rooms []int64, types []string) ([]*Event, error) {
	key, err := tx.LookupNID("")
	if err != nil {
		return nil, err
	}
	nids, err := tx.lookupAll(types)
	if err != nil {
		return nil, err
	}
	var all []*Event
	for some := range slices.Chunk(rooms, 128) {
		query, args := sqldb.In(`SELECT `+eventColumns+` FROM current_state s JOIN events e ON e.nid = s.event_nid
			WHERE s.room_nid IN `, 1, some)
		query, more := sqldb.In(query+` AND s.type_nid IN `, len(args)+1, nids)
		args = append(append(args, more...), key)
		found, err := tx.events(query+` AND s.state_key_nid = $`+strconv.Itoa(len(args)), args)
		if err != nil {
			return nil, err
		}
		all = append(all, found...)
	}
	return all, nil
}

// SetPublished puts a room into the directory of this server, or takes it out.
func (tx *Tx) SetPublished(roomNID int64, published bool) error {
	var flag int64
	if published {
		flag = 1
	}
	_, err := tx.Exec(`UPDATE rooms SET published = $2 WHERE nid = $1`, roomNID, flag)
	return err
}

// SetListed puts a room into the directory of an application service's network, or takes it out.
func (tx *Tx) SetListed(network string, roomNID int64, listed bool) error {
	query := `DELETE FROM directory WHERE network = $1 AND room_nid = $2`
	if listed {
		query = `INSERT INTO directory (network, room_nid) VALUES ($1, $2) ON CONFLICT (network, room_nid) DO NOTHING`
	}
	_, err := tx.Exec(query, network, roomNID)
	return err
}

// MoveNames gives the aliases of a room, and its places in the directories of networks, to another.
func (tx *Tx) MoveNames(from, to int64) error {
	if _, err := tx.Exec(`UPDATE aliases SET room_nid = $2 WHERE room_nid = $1`, from, to); err != nil {
		return err
	}
	_, err := tx.Exec(`UPDATE directory SET room_nid = $2 WHERE room_nid = $1`, from, to)
	return err
}

// FindMember returns a user of whom match is true and who is in a room, "" when there is none.
func (tx *Tx) FindMember(roomNID int64, match func(id.UserID) bool) (id.UserID, error) {
	var member id.UserID
	err := tx.Query(`SELECT s.value FROM memberships m JOIN strings s ON s.nid = m.user_nid
		WHERE m.room_nid = $1 AND m.membership = 'join'`, []any{roomNID}, func(scan func(...any) error) error {
		var name string
		if err := scan(&name); err != nil {
			return fmt.Errorf("read a member: %w", err)
		}
		if !match(id.UserID(name)) {
			return nil
		}
		member = id.UserID(name)
		return errFound
	})
	if errors.Is(err, errFound) {
		err = nil
	}
	return member, err
}

// BannedMembers returns the m.room.member events of at most limit users who are banned from a room, newest first.
func (tx *Tx) BannedMembers(roomNID int64, limit int) ([]*Event, error) {
	return tx.events(`SELECT `+eventColumns+` FROM memberships m JOIN events e ON e.nid = m.event_nid
		WHERE m.room_nid = $1 AND m.membership = 'ban' ORDER BY m.pos DESC LIMIT `+strconv.Itoa(limit), []any{roomNID})
}
