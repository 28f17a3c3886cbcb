package store

import (
	"fmt"

	"maunium.net/go/mautrix/id"
)

// PromoteGuest makes a guest's account that of a person. ErrNotFound when it is no guest's, or has ended.
func (tx *Tx) PromoteGuest(userNID int64, password string, admin bool) error {
	n, err := tx.Exec(`UPDATE users SET guest = 0, password = $2, admin = $3 WHERE nid = $1 AND guest = 1 AND deactivated = 0`,
		userNID, nullString(password), boolInt(admin))
	if err == nil && n == 0 {
		err = fmt.Errorf("guest %d: %w", userNID, ErrNotFound)
	}
	return err
}

// IsGuest tells whether a user has a guest's account.
func (tx *Tx) IsGuest(user id.UserID) (bool, error) {
	nid, err := tx.LookupNID(string(user))
	if err != nil || nid == 0 {
		return false, err
	}
	var one int64
	return tx.Row(`SELECT 1 FROM users WHERE nid = $1 AND guest = 1`, []any{nid}, &one)
}

// GuestSeat is a guest in a room.
type GuestSeat struct {
	UserID  id.UserID
	RoomNID int64
}

// GuestSeats returns which guests are in which rooms, by room. Its cost is that of the guests' memberships.
func (tx *Tx) GuestSeats() ([]GuestSeat, error) {
	var all []GuestSeat
	err := tx.Query(`SELECT n.value, m.room_nid FROM users u CROSS JOIN memberships m CROSS JOIN strings n
		WHERE u.guest = 1 AND m.user_nid = u.nid AND m.membership = 'join' AND n.nid = u.nid ORDER BY m.room_nid`, nil,
		func(scan func(...any) error) error {
			var (
				s      GuestSeat
				userID string
			)
			if err := scan(&userID, &s.RoomNID); err != nil {
				return fmt.Errorf("read a guest's membership: %w", err)
			}
			s.UserID = id.UserID(userID)
			all = append(all, s)
			return nil
		})
	return all, err
}
