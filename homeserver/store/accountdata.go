package store

import (
	"encoding/json"
	"fmt"

	"maunium.net/go/mautrix/id"
)

// AccountData is one row of a user's account data.
type AccountData struct {
	RoomNID int64 // 0 for what belongs to no room
	Type    string
	Content json.RawMessage // an object; {} of one that is deleted
	Pos     int64
	Deleted bool // it is for those who may not have heard that it is
}

// SetAccountData stores account data of a user at a new position of the stream, which it returns with the user's integer.
func (tx *Tx) SetAccountData(user id.UserID, roomNID int64, dataType string, content json.RawMessage) (userNID, pos int64, err error) {
	if userNID, err = tx.NID(string(user)); err != nil {
		return 0, 0, err
	}
	if pos, err = tx.NextPos(); err != nil {
		return 0, 0, err
	}
	tx.touch(FamilyAccountData, pos)
	tx.watched(userNID, roomNID, dataType)
	_, err = tx.Exec(`INSERT INTO account_data (user_nid, room_nid, type, content, pos, deleted) VALUES ($1, $2, $3, $4, $5, 0)
		ON CONFLICT (user_nid, room_nid, type) DO UPDATE SET content = excluded.content, pos = excluded.pos, deleted = 0`,
		userNID, roomNID, dataType, string(content), pos)
	return userNID, pos, err
}

// maxDeleted bounds the account data of a user that is deleted and remembered: of what was deleted before, a device that was away for
// long does not hear.
const maxDeleted = 1000

// DeleteAccountData deletes account data of a user at a new position of the stream, which it returns with the user's integer.
// ErrNotFound when there is none.
func (tx *Tx) DeleteAccountData(user id.UserID, roomNID int64, dataType string) (userNID, pos int64, err error) {
	if _, err := tx.AccountData(user, roomNID, dataType); err != nil {
		return 0, 0, err
	}
	if userNID, pos, err = tx.SetAccountData(user, roomNID, dataType, json.RawMessage(`{}`)); err != nil {
		return 0, 0, err
	}
	_, err = tx.Exec(`UPDATE account_data SET deleted = 1 WHERE user_nid = $1 AND room_nid = $2 AND type = $3`, userNID, roomNID, dataType)
	if err != nil {
		return 0, 0, err
	}
	_, err = tx.Exec(`DELETE FROM account_data WHERE user_nid = $1 AND deleted = 1 AND pos <= (SELECT pos FROM account_data
		WHERE user_nid = $1 AND deleted = 1 ORDER BY pos DESC LIMIT 1 OFFSET $2)`, userNID, maxDeleted)
	return userNID, pos, err
}

// AccountData returns the content of one type of a user's account data. ErrNotFound.
func (tx *Tx) AccountData(user id.UserID, roomNID int64, dataType string) (json.RawMessage, error) {
	nid, err := tx.LookupNID(string(user))
	if err != nil {
		return nil, err
	}
	var content string
	found, err := tx.Row(`SELECT content FROM account_data WHERE user_nid = $1 AND room_nid = $2 AND type = $3
		AND deleted = 0`, []any{nid, roomNID, dataType}, &content)
	if err == nil && !found {
		err = fmt.Errorf("account data: %w", ErrNotFound)
	}
	return json.RawMessage(content), err
}

// AccountDataSince returns a user's account data, of all rooms and none, with since < pos ≤ upto, oldest first. What is deleted is among
// it, but for those who know of nothing (since is 0).
func (tx *Tx) AccountDataSince(user id.UserID, since, upto int64) ([]AccountData, error) {
	nid, err := tx.LookupNID(string(user))
	if err != nil || nid == 0 {
		return nil, err
	}
	var all []AccountData
	err = tx.Query(`SELECT room_nid, type, content, pos, deleted FROM account_data WHERE user_nid = $1 AND pos > $2
		AND pos <= $3 AND ($2 > 0 OR deleted = 0) ORDER BY pos`, []any{nid, since, upto}, func(scan func(...any) error) error {
		var (
			row     AccountData
			content string
			deleted int64
		)
		if err := scan(&row.RoomNID, &row.Type, &content, &row.Pos, &deleted); err != nil {
			return fmt.Errorf("read account data: %w", err)
		}
		row.Content, row.Deleted = json.RawMessage(content), deleted != 0
		all = append(all, row)
		return nil
	})
	return all, err
}

// AccountDataSize returns how many rows of account data a user has, and the bytes of their contents together.
func (tx *Tx) AccountDataSize(user id.UserID) (rows, bytes int, err error) {
	nid, err := tx.LookupNID(string(user))
	if err != nil || nid == 0 {
		return 0, 0, err
	}
	_, err = tx.Row(`SELECT COUNT(*), COALESCE(SUM(OCTET_LENGTH(content)), 0) FROM account_data
		WHERE user_nid = $1 AND deleted = 0`, []any{nid}, &rows, &bytes)
	return rows, bytes, err
}

// RoomAccountData returns the account data of one type that a user has for rooms, by room.
func (tx *Tx) RoomAccountData(userNID int64, dataType string) (map[int64]json.RawMessage, error) {
	all := make(map[int64]json.RawMessage)
	err := tx.Query(`SELECT room_nid, content FROM account_data WHERE user_nid = $1 AND type = $2 AND room_nid <> 0`,
		[]any{userNID, dataType}, func(scan func(...any) error) error {
			var (
				roomNID int64
				content string
			)
			if err := scan(&roomNID, &content); err != nil {
				return fmt.Errorf("read account data: %w", err)
			}
			all[roomNID] = json.RawMessage(content)
			return nil
		})
	return all, err
}

// RoomAccountDataUpTo returns a user's account data of a room, or of none, with pos ≤ upto.
func (tx *Tx) RoomAccountDataUpTo(userNID, roomNID, upto int64) ([]AccountData, error) {
	var all []AccountData
	err := tx.Query(`SELECT type, content, pos FROM account_data WHERE user_nid = $1 AND room_nid = $2 AND pos <= $3 ORDER BY pos`,
		[]any{userNID, roomNID, upto}, func(scan func(...any) error) error {
			var content string
			row := AccountData{RoomNID: roomNID}
			if err := scan(&row.Type, &content, &row.Pos); err != nil {
				return fmt.Errorf("read account data: %w", err)
			}
			row.Content = json.RawMessage(content)
			all = append(all, row)
			return nil
		})
	return all, err
}
