// Package ephemeral holds what is said of users beside the events: who is typing (Typing), up to where they have read (Receipts), which
// threads they follow (Threads), and who is there (Presence). clientapi calls it to say so, and usersync to show it, by interfaces of its own. It decides nothing about
// who may see an event: that it asks of Eyes.
package ephemeral

import (
	"errors"
	"fmt"

	"causeway/homeserver/event"
	"causeway/homeserver/store"

	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/id"
)

// matrixError makes an error that the client sees.
func matrixError(status int, code, format string, args ...any) error {
	return mautrix.RespError{StatusCode: status, ErrCode: code, Err: fmt.Sprintf(format, args...)}
}

// joinedRoom returns the integer of a room that a user must be in. The error is 403 M_FORBIDDEN, which does not tell whether there is
// such a room.
func joinedRoom(tx *store.Tx, user id.UserID, roomID id.RoomID) (int64, error) {
	forbidden := matrixError(403, "M_FORBIDDEN", "You are not in %s", roomID)
	roomNID, err := tx.RoomNID(roomID)
	if err != nil {
		return 0, err
	}
	if roomNID == 0 {
		return 0, forbidden
	}
	joined, err := isJoined(tx, user, roomNID)
	if err == nil && !joined {
		err = forbidden
	}
	return roomNID, err
}

func isJoined(tx *store.Tx, user id.UserID, roomNID int64) (bool, error) {
	seat, err := tx.Membership(roomNID, user)
	if errors.Is(err, store.ErrNotFound) {
		return false, nil
	}
	return err == nil && seat.Membership == event.MembershipJoin, err
}
