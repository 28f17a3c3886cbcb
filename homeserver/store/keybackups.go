package store

import (
	"encoding/json"
	"fmt"
)

// KeyBackup is a version of the backup that a user has of the keys of encrypted rooms.
type KeyBackup struct {
	UserNID   int64
	Version   int64 // from 1 on, for each user
	Algorithm string
	AuthData  json.RawMessage
	KeysNID   int64 // names its set of keys, until all are deleted at once
	ETag      int64 // another one whenever the keys are others
	Count     int64 // of its keys
	Bytes     int64 // that the session data of its keys have
}

// KeyBackupTotals is what a user has in all backups together.
type KeyBackupTotals struct {
	Versions, Keys, Bytes int64
}

// InsertKeyBackup adds a backup without keys to those of a user, and returns it with its version, which no backup of the user had before.
func (tx *Tx) InsertKeyBackup(userNID int64, algorithm string, authData json.RawMessage) (*KeyBackup, error) {
	b := &KeyBackup{UserNID: userNID, Algorithm: algorithm, AuthData: authData}
	if _, err := tx.Row(`INSERT INTO key_backup_versions (user_nid, newest) VALUES ($1, 1)
		ON CONFLICT (user_nid) DO UPDATE SET newest = key_backup_versions.newest + 1 RETURNING newest`, []any{userNID}, &b.Version); err != nil {
		return nil, err
	}
	var err error
	if b.KeysNID, err = tx.NextPos(); err != nil {
		return nil, err
	}
	_, err = tx.Exec(`INSERT INTO key_backups (user_nid, version, algorithm, auth_data, keys_nid, etag, count, bytes)
		VALUES ($1, $2, $3, $4, $5, 0, 0, 0)`, userNID, b.Version, algorithm, string(authData), b.KeysNID)
	return b, err
}

// KeyBackup returns a version of a user's backup. ErrNotFound.
func (tx *Tx) KeyBackup(userNID, version int64) (*KeyBackup, error) {
	return tx.keyBackup(`version = $2`, userNID, version)
}

// CurrentKeyBackup returns the newest version of a user's backup. ErrNotFound when there is none.
func (tx *Tx) CurrentKeyBackup(userNID int64) (*KeyBackup, error) {
	return tx.keyBackup(`version = (SELECT MAX(version) FROM key_backups WHERE user_nid = $1)`, userNID)
}

func (tx *Tx) keyBackup(where string, args ...any) (*KeyBackup, error) {
	var (
		b    KeyBackup
		auth string
	)
	found, err := tx.Row(`SELECT user_nid, version, algorithm, auth_data, keys_nid, etag, count, bytes FROM key_backups
		WHERE user_nid = $1 AND `+where, args, &b.UserNID, &b.Version, &b.Algorithm, &auth, &b.KeysNID, &b.ETag, &b.Count, &b.Bytes)
	if err == nil && !found {
		err = fmt.Errorf("key backup: %w", ErrNotFound)
	}
	b.AuthData = json.RawMessage(auth)
	return &b, err
}

// NewestKeyBackupVersion returns the newest version that a user's backup ever had, 0 for none.
func (tx *Tx) NewestKeyBackupVersion(userNID int64) (version int64, err error) {
	_, err = tx.Row(`SELECT newest FROM key_backup_versions WHERE user_nid = $1`, []any{userNID}, &version)
	return version, err
}

// KeyBackupTotals returns what a user has in all backups.
func (tx *Tx) KeyBackupTotals(userNID int64) (t KeyBackupTotals, err error) {
	_, err = tx.Row(`SELECT COUNT(*), CAST(COALESCE(SUM(count), 0) AS BIGINT), CAST(COALESCE(SUM(bytes), 0) AS BIGINT)
		FROM key_backups WHERE user_nid = $1`, []any{userNID}, &t.Versions, &t.Keys, &t.Bytes)
	return t, err
}

// SetKeyBackupAuthData changes how the keys of a backup are said to be encrypted, and by whom.
func (tx *Tx) SetKeyBackupAuthData(b *KeyBackup, authData json.RawMessage) error {
	return tx.DeferOne(`UPDATE key_backups SET auth_data = $1 WHERE user_nid = $2 AND version = $3`, string(authData), b.UserNID, b.Version)
}

// SetKeyBackupState stores what b says of the keys: KeysNID, ETag, Count and Bytes.
func (tx *Tx) SetKeyBackupState(b *KeyBackup) error {
	return tx.DeferOne(`UPDATE key_backups SET keys_nid = $1, etag = $2, count = $3, bytes = $4 WHERE user_nid = $5 AND version = $6`,
		b.KeysNID, b.ETag, b.Count, b.Bytes, b.UserNID, b.Version)
}

// DeleteKeyBackup deletes a backup with its keys. more says that there are so many that SweepKeyBackups has to delete the rest.
func (tx *Tx) DeleteKeyBackup(b *KeyBackup) (more bool, err error) {
	if _, err := tx.Exec(`DELETE FROM key_backups WHERE user_nid = $1 AND version = $2`, b.UserNID, b.Version); err != nil {
		return false, err
	}
	return tx.dropKeySet(b.KeysNID)
}

// DeleteBackups deletes all that a user has in backups, and what versions there were. What is too much for one transaction is left
// to SweepKeyBackups.
func (tx *Tx) DeleteBackups(userNID int64) error {
	sets, err := tx.ints(`SELECT keys_nid FROM key_backups WHERE user_nid = $1`, userNID)
	if err != nil {
		return err
	}
	for _, table := range [...]string{"key_backups", "key_backup_versions"} {
		if _, err := tx.Exec(`DELETE FROM `+table+` WHERE user_nid = $1`, userNID); err != nil {
			return err
		}
	}
	for _, set := range sets {
		if _, err := tx.dropKeySet(set); err != nil {
			return err
		}
	}
	return nil
}

// ClearKeyBackup deletes all keys of a backup, whose etag and so on are the caller's to store. more is that of DeleteKeyBackup.
func (tx *Tx) ClearKeyBackup(b *KeyBackup) (more bool, err error) {
	old := b.KeysNID
	if b.KeysNID, err = tx.NextPos(); err != nil {
		return false, err
	}
	return tx.dropKeySet(old)
}

// maxKeysDropped is how many keys of backups one transaction deletes, of those that are deleted all together: other writes wait for it.
const maxKeysDropped = 10_000

// dropKeySet deletes a set of keys, or a part of it, and dooms the rest.
func (tx *Tx) dropKeySet(set int64) (more bool, err error) {
	if more, err = tx.dropKeys(set); err != nil || !more {
		return more, err
	}
	return true, tx.Defer(`INSERT INTO key_backup_doomed (keys_nid) VALUES ($1)`, set)
}

// dropKeys deletes a part of a set of keys, and tells whether there are more.
func (tx *Tx) dropKeys(set int64) (more bool, err error) {
	var room, session string
	more, err = tx.Row(fmt.Sprintf(`SELECT room_id, session_id FROM key_backup_keys WHERE keys_nid = $1
		ORDER BY room_id, session_id LIMIT 1 OFFSET %d`, maxKeysDropped), []any{set}, &room, &session)
	if err != nil {
		return more, err
	}
	if more {
		_, err = tx.Exec(`DELETE FROM key_backup_keys WHERE keys_nid = $1 AND (room_id, session_id) < ($2, $3)`, set, room, session)
	} else {
		_, err = tx.Exec(`DELETE FROM key_backup_keys WHERE keys_nid = $1`, set)
	}
	return more, err
}

// SweepKeyBackups deletes a part of the keys of backups that were deleted, and tells whether there may be more.
func (tx *Tx) SweepKeyBackups() (more bool, err error) {
	var set int64
	found, err := tx.Row(`SELECT keys_nid FROM key_backup_doomed ORDER BY keys_nid LIMIT 1`, nil, &set)
	if err != nil || !found {
		return false, err
	}
	more, err = tx.dropKeys(set)
	if err == nil && !more {
		_, err = tx.Exec(`DELETE FROM key_backup_doomed WHERE keys_nid = $1`, set)
	}
	return true, err
}
