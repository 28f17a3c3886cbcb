package store

import (
	"database/sql"
	"errors"
	"fmt"
	"slices"

	"causeway/homeserver/sqldb"

	"maunium.net/go/mautrix/id"
)

// SlidingConnection is a row of sliding_connections.
type SlidingConnection struct {
	NID      int64
	UserNID  int64
	DeviceID id.DeviceID
	ConnID   string
	Base     int64 // the newest answer that the device is known to have
	Seq      int64 // the newest answer
	UsedTS   int64
	Configs  string // JSON
}

// SlidingRoom is a row of sliding_rooms.
type SlidingRoom struct {
	RoomNID    int64 // 0 for what belongs to no room
	Seq        int64
	Pos        int64 // the device knows the events up to here, 0 when it knows nothing of the room
	DataPos    int64
	ReceiptPos int64
	Config     int64
	Held       int64 // how many of the newest events it has been told in one piece
	Direct     bool
	Members    []int64
}

// InsertSlidingConnection adds a connection in the place of the device's others of the same name, and deletes those of the device that
// have not been used for longest where there are more than most of them.
func (tx *Tx) InsertSlidingConnection(c SlidingConnection, most int) error {
	nids, err := tx.ints(`SELECT nid FROM sliding_connections WHERE user_nid = $1 AND device_id = $2 AND conn_id <> $3
		ORDER BY used_ts DESC, nid DESC`, c.UserNID, string(c.DeviceID), c.ConnID)
	if err != nil {
		return err
	}
	old, err := tx.ints(`SELECT nid FROM sliding_connections WHERE user_nid = $1 AND device_id = $2 AND conn_id = $3`,
		c.UserNID, string(c.DeviceID), c.ConnID)
	if err != nil {
		return err
	}
	if err := tx.deleteSliding(append(old, nids[min(len(nids), most-1):]...)); err != nil {
		return err
	}
	return tx.Defer(`INSERT INTO sliding_connections (nid, user_nid, device_id, conn_id, base, seq, used_ts, configs)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`, c.NID, c.UserNID, string(c.DeviceID), c.ConnID, c.Base, c.Seq, c.UsedTS, c.Configs)
}

// SlidingConnection finds a connection with what the device knows by it, the rows of one room by number. ErrNotFound.
func (tx *Tx) SlidingConnection(userNID int64, deviceID id.DeviceID, connID string) (c SlidingConnection, rooms []SlidingRoom, err error) {
	c = SlidingConnection{UserNID: userNID, DeviceID: deviceID, ConnID: connID}
	found, err := tx.Row(`SELECT nid, base, seq, used_ts, configs FROM sliding_connections
		WHERE user_nid = $1 AND device_id = $2 AND conn_id = $3`, []any{userNID, string(deviceID), connID},
		&c.NID, &c.Base, &c.Seq, &c.UsedTS, &c.Configs)
	if err == nil && !found {
		err = fmt.Errorf("connection: %w", ErrNotFound)
	}
	if err != nil {
		return c, nil, err
	}
	err = tx.Query(`SELECT room_nid, seq, pos, data_pos, receipt_pos, config, held, direct, members FROM sliding_rooms
		WHERE conn_nid = $1 ORDER BY room_nid, seq`, []any{c.NID}, func(scan func(...any) error) error {
		var (
			r      SlidingRoom
			direct int64
			packed []byte
		)
		err := scan(&r.RoomNID, &r.Seq, &r.Pos, &r.DataPos, &r.ReceiptPos, &r.Config, &r.Held, &direct, &packed)
		if err != nil {
			return fmt.Errorf("read a room of a connection: %w", err)
		}
		r.Direct = direct != 0
		if r.Members, err = unpackInts(packed); err != nil {
			return fmt.Errorf("members told by a connection: %w", err)
		}
		rooms = append(rooms, r)
		return nil
	})
	return c, rooms, err
}

// UpdateSlidingConnection records the base, the newest answer, the time and the configs of a connection. ErrNotFound when it is gone.
func (tx *Tx) UpdateSlidingConnection(c SlidingConnection) error {
	n, err := tx.Exec(`UPDATE sliding_connections SET base = $2, seq = $3, used_ts = $4, configs = $5 WHERE nid = $1`,
		c.NID, c.Base, c.Seq, c.UsedTS, c.Configs)
	if err == nil && n == 0 {
		err = fmt.Errorf("connection: %w", ErrNotFound)
	}
	return err
}

// InsertSlidingRooms records what a device knows of rooms, but for those that are gone or about to go.
func (tx *Tx) InsertSlidingRooms(connNID int64, rooms []SlidingRoom) error {
	there, err := tx.roomsThere(rooms)
	if err != nil {
		return err
	}
	for _, r := range rooms {
		if r.RoomNID != 0 && !there[r.RoomNID] {
			continue
		}
		var direct int64
		if r.Direct {
			direct = 1
		}
		var members []byte
		if len(r.Members) > 0 {
			members = packInts(r.Members)
		}
		if err := tx.Defer(`INSERT INTO sliding_rooms (conn_nid, room_nid, seq, pos, data_pos, receipt_pos, config, held, direct, members)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)`, connNID, r.RoomNID, r.Seq, r.Pos, r.DataPos, r.ReceiptPos, r.Config,
			r.Held, direct, members); err != nil {
			return err
		}
	}
	return nil
}

// roomsThere returns which of the rooms exist and are not being purged.
func (tx *Tx) roomsThere(rooms []SlidingRoom) (map[int64]bool, error) {
	there := make(map[int64]bool, len(rooms))
	for some := range slices.Chunk(rooms, maxIn) {
		nids := make([]int64, len(some))
		for i, r := range some {
			nids[i] = r.RoomNID
		}
		query, args := sqldb.In(`SELECT nid FROM rooms WHERE purging = 0 AND nid IN `, 1, nids)
		found, err := tx.ints(query, args...)
		if err != nil {
			return nil, err
		}
		for _, nid := range found {
			there[nid] = true
		}
	}
	return there, nil
}

// DeleteSlidingRooms deletes rows of a connection, of each of which room and number count.
func (tx *Tx) DeleteSlidingRooms(connNID int64, rooms []SlidingRoom) error {
	for _, r := range rooms {
		if err := tx.Defer(`DELETE FROM sliding_rooms WHERE conn_nid = $1 AND room_nid = $2 AND seq = $3`, connNID, r.RoomNID, r.Seq); err != nil {
			return err
		}
	}
	return nil
}

// ExpireSliding deletes at most limit connections that have not been used since before a time, and tells how many.
func (tx *Tx) ExpireSliding(beforeTS int64, limit int) (int, error) {
	nids, err := tx.ints(`SELECT nid FROM sliding_connections WHERE used_ts < $1 ORDER BY used_ts LIMIT `+atLeast(limit), beforeTS)
	if err != nil {
		return 0, err
	}
	return len(nids), tx.deleteSliding(nids)
}

// deleteSlidingOf deletes the connections of a device that is deleted, or with keep of all the user's others.
func (tx *Tx) deleteSlidingOf(userNID int64, deviceID id.DeviceID, keep bool) error {
	which := `device_id = $2`
	if keep {
		which = `device_id <> $2`
	}
	nids, err := tx.ints(`SELECT nid FROM sliding_connections WHERE user_nid = $1 AND `+which, userNID, string(deviceID))
	if err != nil {
		return err
	}
	return tx.deleteSliding(nids)
}

func (tx *Tx) deleteSliding(nids []int64) error {
	for _, nid := range nids {
		if err := tx.Defer(`DELETE FROM sliding_rooms WHERE conn_nid = $1`, nid); err != nil {
			return err
		}
		if err := tx.Defer(`DELETE FROM sliding_connections WHERE nid = $1`, nid); err != nil {
			return err
		}
	}
	return nil
}

// SlidingSeat is a user's membership of a room with what the room list asks.
type SlidingSeat struct {
	Seat
	BumpPos  int64  // position of the newest event that brings the room to the fore, 0 for none
	RoomType string // "" for none
	Removed  bool   // the user is out, and it was somebody else who did it
}

// SlidingSeats returns a user's memberships of all rooms, forgotten ones too. Its cost is that of the user's rooms.
func (tx *Tx) SlidingSeats(userNID int64) ([]SlidingSeat, error) {
	return tx.slidingSeats(slidingSeatQuery, userNID)
}

// SlidingSeatsOf is SlidingSeats for some rooms.
func (tx *Tx) SlidingSeatsOf(userNID int64, rooms []int64) (all []SlidingSeat, err error) {
	err = inBatches(rooms, func(some []int64) error {
		query, args := sqldb.In(slidingSeatQuery+` AND m.room_nid IN `, 2, some)
		seats, err := tx.slidingSeats(query, append([]any{userNID}, args...)...)
		all = append(all, seats...)
		return err
	})
	return all, err
}

const slidingSeatQuery = `SELECT ` + seatColumns + `, (SELECT COALESCE(MAX(e.pos), 0) FROM events e WHERE e.room_nid = m.room_nid),
	r.bump_pos, r.room_type, CASE WHEN m.membership IN ('leave', 'ban') THEN
		(SELECT e.sender_nid FROM events e WHERE e.nid = m.event_nid) ELSE NULL END
	FROM memberships m CROSS JOIN rooms r WHERE m.user_nid = $1 AND r.nid = m.room_nid`

func (tx *Tx) slidingSeats(query string, args ...any) ([]SlidingSeat, error) {
	var all []SlidingSeat
	err := tx.Query(query, args, func(scan func(...any) error) error {
		var (
			s                 SlidingSeat
			forgotten, sender sql.NullInt64
			roomType          sql.NullString
		)
		if err := scan(&s.RoomNID, &s.UserNID, &s.Membership.Membership, &s.EventNID, &s.Pos, &forgotten, &s.StateID, &s.Since, &s.LastPos,
			&s.BumpPos, &roomType, &sender); err != nil {
			return fmt.Errorf("read a membership: %w", err)
		}
		s.RoomType, s.Forgotten = roomType.String, forgotten.Int64 != 0
		s.Removed = sender.Valid && sender.Int64 != s.UserNID
		all = append(all, s)
		return nil
	})
	return all, err
}

// StateHolders returns the rooms of a user whose current state has an event of a type, with an empty state key.
func (tx *Tx) StateHolders(userNID int64, eventType string) (map[int64]bool, error) {
	k, err := tx.LookupStateNID(eventType, "")
	if err != nil || k.Type == 0 || k.Key == 0 {
		return nil, err
	}
	nids, err := tx.ints(`SELECT s.room_nid FROM memberships m CROSS JOIN current_state s WHERE m.user_nid = $1
		AND s.room_nid = m.room_nid AND s.type_nid = $2 AND s.state_key_nid = $3`, userNID, k.Type, k.Key)
	holders := make(map[int64]bool, len(nids))
	for _, nid := range nids {
		holders[nid] = true
	}
	return holders, err
}

// bumps are the types of events that bring a room to the fore of the list of rooms (MSC4186, bump_stamp), with the names that some of
// them had before they were stable.
var bumps = map[string]bool{
	"m.room.create": true, "m.room.message": true, "m.room.encrypted": true, "m.sticker": true, "m.call.invite": true,
	"m.poll.start": true, "org.matrix.msc3381.poll.start": true, "m.beacon_info": true, "org.matrix.msc3672.beacon_info": true,
}

// noteForList keeps what the room list asks of a room up to date with an event that has come.
func (tx *Tx) noteForList(e *Event) error {
	if e.IsStateOf("m.room.create", "") && e.Status&Rejected == 0 {
		if err := tx.Defer(`UPDATE rooms SET room_type = $2 WHERE nid = $1`, e.RoomNID, nullString(e.ContentString("type"))); err != nil {
			return err
		}
	}
	if e.Pos == 0 || e.Status != 0 || !bumps[e.Type] {
		return nil
	}
	return tx.Defer(`UPDATE rooms SET bump_pos = $2 WHERE nid = $1 AND bump_pos < $2`, e.RoomNID, e.Pos)
}

// fillBumps does noteForList for rooms of before migration 12.
func (tx *Tx) fillBumps() (more bool, err error) {
	rooms, err := tx.ints(`SELECT nid FROM rooms WHERE bump_pos = 0 ORDER BY nid LIMIT 500`)
	if err != nil || len(rooms) == 0 {
		return false, err
	}
	var types []any
	in := ""
	for eventType := range bumps {
		nid, err := tx.LookupNID(eventType)
		if err != nil {
			return false, err
		}
		if nid != 0 {
			types = append(types, nid)
			in += fmt.Sprintf(", $%d", len(types)+1)
		}
	}
	for _, nid := range rooms {
		pos := sql.NullInt64{}
		if in != "" {
			if _, err := tx.Row(`SELECT pos FROM events WHERE room_nid = $1 AND pos IS NOT NULL AND type_nid IN (`+in[2:]+`)
				ORDER BY pos DESC LIMIT 1`, append([]any{nid}, types...), &pos); err != nil {
				return false, err
			}
		}
		var roomType sql.NullString
		create, err := tx.CurrentStateEvent(nid, "m.room.create", "")
		if err == nil {
			roomType = nullString(create.ContentString("type"))
		} else if !errors.Is(err, ErrNotFound) {
			return false, err
		}
		// A room without any must not come up again: 1 is older than all.
		if _, err := tx.Exec(`UPDATE rooms SET bump_pos = $2, room_type = $3 WHERE nid = $1`, nid, max(1, pos.Int64), roomType); err != nil {
			return false, err
		}
	}
	return len(rooms) == maxChore, nil
}
