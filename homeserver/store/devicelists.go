package store

import (
	"causeway/homeserver/sqldb"
)

// DeviceChange says that the identity keys of a user's devices have changed.
type DeviceChange struct {
	UserNID int64
	Pos     int64   // 0 when nothing changed
	Rooms   []int64 // the rooms that the user is in: who else is, has to hear of it
}

// DevicesChanged records that identity keys of a user changed, were added or are gone, that a device with such keys has another display
// name, or that the master key, the self-signing key or a signature that everybody can see is another.
func (tx *Tx) DevicesChanged(userNID int64) (DeviceChange, error) {
	pos, err := tx.NextPos()
	if err != nil {
		return DeviceChange{}, err
	}
	tx.touch(FamilyDeviceLists, pos)
	if _, err := tx.Exec(`INSERT INTO device_changes (user_nid, pos) VALUES ($1, $2)
		ON CONFLICT (user_nid) DO UPDATE SET pos = excluded.pos`, userNID, pos); err != nil {
		return DeviceChange{}, err
	}
	rooms, err := tx.JoinedRooms(userNID)
	return DeviceChange{UserNID: userNID, Pos: pos, Rooms: rooms}, err
}

// sharesRoom holds of a user b.user_nid who is in a room that the user $1 is in. It begins with the rooms of the other user.
const sharesRoom = `memberships b CROSS JOIN memberships a WHERE b.membership = 'join' AND a.user_nid = $1 AND a.room_nid = b.room_nid
	AND a.membership = 'join'`

// DeviceChangesFor returns the users whose devices or cross-signing keys changed after a position and who share a room with a user now, or
// are that user; and those of whom something changed that this user alone can see.
func (tx *Tx) DeviceChangesFor(userNID, after int64) ([]int64, error) {
	return tx.ints(`SELECT d.user_nid FROM device_changes d WHERE d.pos > $2 AND (d.user_nid = $1
		OR EXISTS (SELECT 1 FROM `+sharesRoom+` AND b.user_nid = d.user_nid))
		UNION SELECT about_nid FROM signature_changes WHERE user_nid = $1 AND pos > $2`, userNID, after)
}

// SharingRoom returns those of some users who share a room with a user now.
func (tx *Tx) SharingRoom(userNID int64, others []int64) (map[int64]bool, error) {
	sharing := make(map[int64]bool)
	err := inBatches(others, func(some []int64) error {
		query, args := sqldb.In(`SELECT DISTINCT b.user_nid FROM `+sharesRoom+` AND b.user_nid IN `, 2, some)
		nids, err := tx.ints(query, append([]any{userNID}, args...)...)
		for _, nid := range nids {
			sharing[nid] = true
		}
		return err
	})
	return sharing, err
}

// JoinedUsers returns the users who are in a room, in no order.
func (tx *Tx) JoinedUsers(roomNID int64) ([]int64, error) {
	return tx.ints(`SELECT user_nid FROM memberships WHERE room_nid = $1 AND membership = 'join'`, roomNID)
}

// Texts returns the strings behind integers that NID gave; those that are not there are left out.
func (tx *Tx) Texts(nids []int64) (map[int64]string, error) {
	texts := make(map[int64]string, len(nids))
	var unknown []int64
	for _, nid := range nids {
		if s, ok := tx.db.names.text(nid); ok {
			texts[nid] = s
		} else {
			unknown = append(unknown, nid)
		}
	}
	err := inBatches(unknown, func(some []int64) error {
		query, args := sqldb.In(`SELECT nid, value FROM strings WHERE nid IN `, 1, some)
		return tx.Query(query, args, func(scan func(...any) error) error {
			var (
				nid int64
				s   string
			)
			err := scan(&nid, &s)
			texts[nid] = s
			return err
		})
	})
	return texts, err
}
