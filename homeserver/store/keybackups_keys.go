package store

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"maunium.net/go/mautrix/id"
)

// SessionName names the key of a session in a backup.
type SessionName struct {
	RoomID    id.RoomID
	SessionID id.SessionID
}

// BackedUpKey is a key in a backup, encrypted, and what is known of it.
type BackedUpKey struct {
	SessionName
	FirstMessageIndex int64
	ForwardedCount    int64
	Verified          bool
	SessionData       json.RawMessage // nil where it was not asked for
	Bytes             int64           // that SessionData has
}

// KeysInBackup returns those of some keys that are in a backup, without their data.
func (tx *Tx) KeysInBackup(b *KeyBackup, names []SessionName) (map[SessionName]BackedUpKey, error) {
	have := make(map[SessionName]BackedUpKey)
	err := inBatches(names, func(some []SessionName) error {
		query, args := pairsIn(`SELECT room_id, session_id, first_message_index, forwarded_count, is_verified, '', OCTET_LENGTH(session_data)
			FROM key_backup_keys WHERE keys_nid = $1 AND (room_id, session_id) IN (VALUES `, b.KeysNID, some)
		return tx.backedUpKeys(query, args, func(k BackedUpKey) { have[k.SessionName] = k })
	})
	return have, err
}

// pairsIn appends "($2, $3), …)" for names to a query whose first parameter is set. The list is padded to a power of two, as In does it.
func pairsIn(query string, set int64, names []SessionName) (string, []any) {
	n := 1
	for n < len(names) {
		n *= 2
	}
	var b strings.Builder
	b.WriteString(query)
	args := make([]any, 1, 1+2*n)
	args[0] = set
	for i := range n {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString("($" + strconv.Itoa(2+2*i) + ", $" + strconv.Itoa(3+2*i) + ")")
		name := names[min(i, len(names)-1)]
		args = append(args, string(name.RoomID), string(name.SessionID))
	}
	b.WriteByte(')')
	return b.String(), args
}

// PutKeyInBackup puts a key into a backup, in the place of the one of that session. The count is the caller's to store.
func (tx *Tx) PutKeyInBackup(b *KeyBackup, k BackedUpKey) error {
	return tx.Defer(`INSERT INTO key_backup_keys (keys_nid, room_id, session_id, first_message_index, forwarded_count, is_verified, session_data)
		VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (keys_nid, room_id, session_id) DO UPDATE SET
		first_message_index = excluded.first_message_index, forwarded_count = excluded.forwarded_count,
		is_verified = excluded.is_verified, session_data = excluded.session_data`,
		b.KeysNID, string(k.RoomID), string(k.SessionID), k.FirstMessageIndex, k.ForwardedCount, boolInt(k.Verified), string(k.SessionData))
}

// DeleteKeysFromBackup deletes the keys of a room from a backup, or one of them when session is not "", and returns how many there were and
// how many bytes their data had. The count is the caller's to store.
func (tx *Tx) DeleteKeysFromBackup(b *KeyBackup, room id.RoomID, session id.SessionID) (keys, bytes int64, err error) {
	where, args := ` FROM key_backup_keys WHERE keys_nid = $1 AND room_id = $2`, []any{b.KeysNID, string(room)}
	if session != "" {
		where, args = where+` AND session_id = $3`, append(args, string(session))
	}
	if _, err = tx.Row(`SELECT COUNT(*), COALESCE(SUM(OCTET_LENGTH(session_data)), 0)`+where, args, &keys, &bytes); err != nil || keys == 0 {
		return 0, 0, err
	}
	_, err = tx.Exec(`DELETE`+where, args...)
	return keys, bytes, err
}

// KeyInBackup returns one key of a backup. ErrNotFound.
func (tx *Tx) KeyInBackup(b *KeyBackup, name SessionName) (k BackedUpKey, err error) {
	found := false
	err = tx.backedUpKeys(`SELECT `+backedUpColumns+` FROM key_backup_keys WHERE keys_nid = $1 AND room_id = $2 AND session_id = $3`,
		[]any{b.KeysNID, string(name.RoomID), string(name.SessionID)}, func(one BackedUpKey) { k, found = one, true })
	if err == nil && !found {
		err = fmt.Errorf("key in a backup: %w", ErrNotFound)
	}
	return k, err
}

// KeysOfBackup returns up to limit keys of a backup, by room and session, that come after one of them; or those of one room, when room is
// not "".
func (tx *Tx) KeysOfBackup(b *KeyBackup, room id.RoomID, after SessionName, limit int) ([]BackedUpKey, error) {
	where, args := `(room_id, session_id) > ($2, $3)`, []any{b.KeysNID, string(after.RoomID), string(after.SessionID)}
	if room != "" {
		where, args = `room_id = $2 AND session_id > $3`, []any{b.KeysNID, string(room), string(after.SessionID)}
	}
	var all []BackedUpKey
	err := tx.backedUpKeys(`SELECT `+backedUpColumns+` FROM key_backup_keys WHERE keys_nid = $1 AND `+where+
		` ORDER BY room_id, session_id LIMIT `+strconv.Itoa(limit), args, func(k BackedUpKey) { all = append(all, k) })
	return all, err
}

const backedUpColumns = `room_id, session_id, first_message_index, forwarded_count, is_verified, session_data, OCTET_LENGTH(session_data)`

func (tx *Tx) backedUpKeys(query string, args []any, visit func(BackedUpKey)) error {
	return tx.Query(query, args, func(scan func(...any) error) error {
		var (
			k                   BackedUpKey
			room, session, data string
			verified            int64
		)
		if err := scan(&room, &session, &k.FirstMessageIndex, &k.ForwardedCount, &verified, &data, &k.Bytes); err != nil {
			return fmt.Errorf("read keys of a backup: %w", err)
		}
		k.RoomID, k.SessionID, k.Verified = id.RoomID(room), id.SessionID(session), verified != 0
		if data != "" {
			k.SessionData = json.RawMessage(data)
		}
		visit(k)
		return nil
	})
}
