package store

import (
	"fmt"

	"causeway/homeserver/sqldb"

	"maunium.net/go/mautrix/id"
)

// Alias is a name of a room.
type Alias struct {
	Alias   id.RoomAlias
	RoomID  id.RoomID
	Creator id.UserID
}

// InsertAlias names a room. ErrExists when the alias is taken.
func (tx *Tx) InsertAlias(alias id.RoomAlias, roomNID int64, creator id.UserID, ts int64) error {
	_, err := tx.Exec(`INSERT INTO aliases (alias, room_nid, creator, ts) VALUES ($1, $2, $3, $4)`,
		string(alias), roomNID, string(creator), ts)
	if sqldb.IsUniqueViolation(err) {
		return fmt.Errorf("alias %s: %w", alias, ErrExists)
	}
	return err
}

// Alias finds the room behind an alias. ErrNotFound.
func (tx *Tx) Alias(alias id.RoomAlias) (Alias, error) {
	if nobodys(string(alias)) {
		return Alias{}, fmt.Errorf("alias %q: %w", alias, ErrNotFound)
	}
	var roomID, creator string
	found, err := tx.Row(`SELECT r.room_id, a.creator FROM aliases a JOIN rooms r ON r.nid = a.room_nid WHERE a.alias = $1`,
		[]any{string(alias)}, &roomID, &creator)
	if err == nil && !found {
		err = fmt.Errorf("alias %s: %w", alias, ErrNotFound)
	}
	return Alias{Alias: alias, RoomID: id.RoomID(roomID), Creator: id.UserID(creator)}, err
}

// AliasesOf returns the aliases of a room, sorted.
func (tx *Tx) AliasesOf(roomNID int64) ([]id.RoomAlias, error) {
	all := []id.RoomAlias{}
	err := tx.Query(`SELECT alias FROM aliases WHERE room_nid = $1 ORDER BY alias`, []any{roomNID}, func(scan func(...any) error) error {
		var alias string
		if err := scan(&alias); err != nil {
			return err
		}
		all = append(all, id.RoomAlias(alias))
		return nil
	})
	return all, err
}

// DeleteAlias takes a name from a room. ErrNotFound.
func (tx *Tx) DeleteAlias(alias id.RoomAlias) error {
	n, err := tx.Exec(`DELETE FROM aliases WHERE alias = $1`, string(alias))
	if err == nil && n == 0 {
		err = fmt.Errorf("alias %s: %w", alias, ErrNotFound)
	}
	return err
}
