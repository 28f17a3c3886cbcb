package account

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"causeway/homeserver/notify"
	"causeway/homeserver/store"

	"maunium.net/go/mautrix/id"
)

// Bounds on account data.
const (
	maxAccountDataBytes     = 128 << 10 // of one content
	maxAccountDataTypeBytes = 255
	maxAccountDataRows      = 10_000 // of one user, all rooms together
	// maxAccountDataTotal bounds the same in bytes: the first answer of /sync has all of it.
	maxAccountDataTotal = 16 << 20
)

// serverManaged are the types that a client changes by other endpoints (Client-Server API, Client Config, Server Behaviour).
var serverManaged = map[string]bool{"m.fully_read": true, "m.push_rules": true}

// AccountData returns what a user keeps under a type, in a room or in none (""). Errors: M_NOT_FOUND, M_INVALID_PARAM.
func (s *Service) AccountData(ctx context.Context, user id.UserID, room id.RoomID, dataType string) (content json.RawMessage, err error) {
	if err := checkRoomID(room); err != nil {
		return nil, err
	}
	err = s.db.View(ctx, func(tx *store.Tx) error {
		roomNID, err := roomNID(tx, room)
		if err != nil {
			return err
		}
		content, err = tx.AccountData(user, roomNID, dataType)
		return err
	})
	if errors.Is(err, store.ErrNotFound) {
		return nil, notFound("Account data not found.")
	}
	return content, err
}

// SetAccountData keeps content, a JSON object, under a type, in a room or in none (""). An empty object deletes (MSC3391). Errors: 405
// M_BAD_JSON for types that the server manages, M_NOT_FOUND for a room with which the user has nothing to do, M_TOO_LARGE,
// M_INVALID_PARAM.
func (s *Service) SetAccountData(ctx context.Context, user id.UserID, room id.RoomID, dataType string, content json.RawMessage) error {
	if err := checkDataType(room, dataType); err != nil {
		return err
	}
	var compact bytes.Buffer
	if err := json.Compact(&compact, content); err != nil {
		return matrixError(http.StatusBadRequest, "M_NOT_JSON", "The body is not JSON")
	}
	if compact.String() == "{}" {
		return s.DeleteAccountData(ctx, user, room, dataType)
	}
	return s.changeAccountData(ctx, user, room, dataType, func(json.RawMessage) (json.RawMessage, error) { return compact.Bytes(), nil })
}

// DeleteAccountData deletes what a user keeps under a type, in a room or in none (""). It is no error when there is nothing. Errors: as
// those of SetAccountData. MSC3391.
func (s *Service) DeleteAccountData(ctx context.Context, user id.UserID, room id.RoomID, dataType string) error {
	if err := checkDataType(room, dataType); err != nil {
		return err
	}
	return s.changeAccountData(ctx, user, room, dataType, func(json.RawMessage) (json.RawMessage, error) { return nil, nil })
}

func checkDataType(room id.RoomID, dataType string) error {
	if err := checkRoomID(room); err != nil {
		return err
	}
	if dataType == "" || len(dataType) > maxAccountDataTypeBytes || !storable(dataType) {
		return invalidParam("The type must be text of 1 to %d bytes", maxAccountDataTypeBytes)
	}
	if serverManaged[dataType] {
		return matrixError(http.StatusMethodNotAllowed, "M_BAD_JSON", "Cannot set %s through this API.", dataType)
	}
	return nil
}

// changeAccountData puts what change makes of account data, empty when there is none, in its place: nil deletes it. change may run more
// than once.
func (s *Service) changeAccountData(ctx context.Context, user id.UserID, room id.RoomID, dataType string, change func(json.RawMessage) (json.RawMessage, error)) error {
	var signal notify.Signal
	err := s.db.Write(ctx, func(tx *store.Tx) error {
		signal = notify.Signal{}
		roomNID, old, err := oldAccountData(tx, user, room, dataType)
		if err != nil {
			return err
		}
		content, err := change(old)
		if err != nil || content == nil && len(old) == 0 {
			return err
		}
		nid, pos, err := keepAccountData(tx, user, roomNID, dataType, content)
		signal = notify.Signal{Key: notify.Key{Kind: notify.User, NID: nid}, Pos: pos}
		return err
	})
	if err != nil {
		return fmt.Errorf("set account data of %s: %w", user, err)
	}
	if signal.Pos != 0 {
		s.bus.Publish(signal)
	}
	return nil
}

// oldAccountData returns what there is before a change, nil for nothing. The error is M_NOT_FOUND for a room with which the user has
// nothing to do: they were never a member of it, invited, banned or knocking, and keep nothing of this type for it. It does not tell
// whether there is such a room.
func oldAccountData(tx *store.Tx, user id.UserID, room id.RoomID, dataType string) (nid int64, old json.RawMessage, err error) {
	if nid, err = roomNID(tx, room); err == nil {
		old, err = tx.AccountData(user, nid, dataType)
		if errors.Is(err, store.ErrNotFound) {
			if err = nil; room != "" {
				_, err = tx.Membership(nid, user)
			}
		}
	}
	if errors.Is(err, store.ErrNotFound) {
		err = notFound("You have nothing to do with a room %s", room)
	}
	return nid, old, err
}

// keepAccountData stores content, within bounds, or deletes what there is when it is nil.
func keepAccountData(tx *store.Tx, user id.UserID, roomNID int64, dataType string, content json.RawMessage) (userNID, pos int64, err error) {
	if content == nil {
		return tx.DeleteAccountData(user, roomNID, dataType)
	}
	if len(content) > maxAccountDataBytes {
		return 0, 0, matrixError(http.StatusRequestEntityTooLarge, "M_TOO_LARGE", "Account data is larger than %d bytes", maxAccountDataBytes)
	}
	if err := checkRoomFor(tx, user, roomNID, dataType, len(content)); err != nil {
		return 0, 0, err
	}
	return tx.SetAccountData(user, roomNID, dataType, content)
}

// checkRoomFor refuses content of so many bytes when the user would have too much.
func checkRoomFor(tx *store.Tx, user id.UserID, roomNID int64, dataType string, size int) error {
	old, err := tx.AccountData(user, roomNID, dataType)
	if err != nil && !errors.Is(err, store.ErrNotFound) || err == nil && size <= len(old) {
		return err
	}
	rows, total, err := tx.AccountDataSize(user)
	if err == nil && (len(old) == 0 && rows >= maxAccountDataRows || total+size-len(old) > maxAccountDataTotal) {
		err = matrixError(http.StatusForbidden, "M_RESOURCE_LIMIT_EXCEEDED", "A user can have %d items of account data, of %d bytes together",
			maxAccountDataRows, maxAccountDataTotal)
	}
	return err
}

// roomNID returns 0 for no room. ErrNotFound.
func roomNID(tx *store.Tx, room id.RoomID) (int64, error) {
	if room == "" {
		return 0, nil
	}
	nid, err := tx.RoomNID(room)
	if err == nil && nid == 0 {
		err = fmt.Errorf("room %s: %w", room, store.ErrNotFound)
	}
	return nid, err
}

func checkRoomID(room id.RoomID) error {
	if room != "" && (room[0] != '!' || len(room) > 255 || !storable(string(room))) {
		return invalidParam("The room ID is not valid")
	}
	return nil
}
