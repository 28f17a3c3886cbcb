package store

import (
	"database/sql"
	"fmt"

	"maunium.net/go/mautrix/id"
)

// CallSeat is that somebody may be in a group call, since an access token for it was made.
type CallSeat struct {
	Alias, Identity string
	RoomID          id.RoomID
	UserID          id.UserID
	DeviceID        id.DeviceID
	Legacy          bool // membership is said by state
	UntilTS         int64
	DelayID         string // "" for none
	DelayMS         int64
}

// SaveCallSeat stores a seat, in the place of that of the same alias and identity. ErrNotFound when there is no such room.
func (tx *Tx) SaveCallSeat(s CallSeat) error {
	room, err := tx.RoomNID(s.RoomID)
	if err == nil && room == 0 {
		err = fmt.Errorf("room %s: %w", s.RoomID, ErrNotFound)
	}
	if err != nil {
		return err
	}
	user, err := tx.NID(string(s.UserID))
	if err != nil {
		return err
	}
	_, err = tx.Exec(`INSERT INTO call_seats (alias, identity, room_nid, user_nid, device_id, legacy, until_ts, delay_id, delay_ms)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT (alias, identity) DO UPDATE SET room_nid = excluded.room_nid,
		user_nid = excluded.user_nid, device_id = excluded.device_id, legacy = excluded.legacy, until_ts = excluded.until_ts,
		delay_id = excluded.delay_id, delay_ms = excluded.delay_ms`,
		s.Alias, s.Identity, room, user, string(s.DeviceID), boolInt(s.Legacy), s.UntilTS, nullString(s.DelayID), s.DelayMS)
	return err
}

// DropCallSeat deletes a seat, if it is there.
func (tx *Tx) DropCallSeat(alias, identity string) error {
	_, err := tx.Exec(`DELETE FROM call_seats WHERE alias = $1 AND identity = $2`, alias, identity)
	return err
}

// CallSeats returns all seats.
func (tx *Tx) CallSeats() ([]CallSeat, error) {
	var all []CallSeat
	err := tx.Query(`SELECT c.alias, c.identity, r.room_id, u.value, c.device_id, c.legacy, c.until_ts, c.delay_id, c.delay_ms
		FROM call_seats c JOIN rooms r ON r.nid = c.room_nid JOIN strings u ON u.nid = c.user_nid ORDER BY c.alias, c.identity`, nil,
		func(scan func(...any) error) error {
			var (
				s                  CallSeat
				room, user, device string
				legacy             int64
				delay              sql.NullString
			)
			if err := scan(&s.Alias, &s.Identity, &room, &user, &device, &legacy, &s.UntilTS, &delay, &s.DelayMS); err != nil {
				return fmt.Errorf("read who has seats in calls: %w", err)
			}
			s.RoomID, s.UserID, s.DeviceID, s.Legacy, s.DelayID = id.RoomID(room), id.UserID(user), id.DeviceID(device), legacy != 0, delay.String
			all = append(all, s)
			return nil
		})
	return all, err
}
