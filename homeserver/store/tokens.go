package store

import (
	"database/sql"
	"fmt"

	"maunium.net/go/mautrix/id"
)

// AccessToken is a token as it is stored. Of tokens there are but their SHA-256.
type AccessToken struct {
	Hash      [32]byte
	UserNID   int64
	DeviceID  id.DeviceID
	CreatedTS int64
	ExpiresTS int64  // 0 for never
	Refreshed []byte // the hash of the refresh token by which it came, until it is used; nil for none
}

// RefreshToken is a refresh token as it is stored.
type RefreshToken struct {
	Hash      [32]byte
	UserNID   int64
	DeviceID  id.DeviceID
	Client    string // the OAuth client that it is for, "" for none
	CreatedTS int64
	ExpiresTS int64  // 0 for never
	Parent    []byte // the hash of the one by which it came, until it is known that the client has this one; nil for none
	Used      bool   // the client has the one that came in its place, or this one was dropped
	DroppedTS int64  // when the one by which it came was used again, before the client had used this one; 0 for never
}

// States of refresh tokens. A dropped one has in expires_ts when that was.
const (
	tokenUsed    = 1
	tokenDropped = 2
)

// keptUsedTokens is how many refresh tokens of a device are remembered that were used, and how many that were dropped.
const keptUsedTokens = 20

// AddAccessToken records a token beside the device's others.
func (tx *Tx) AddAccessToken(t AccessToken) error {
	_, err := tx.Exec(`INSERT INTO access_tokens (hash, user_nid, device_id, created_ts, expires_ts, refreshed) VALUES ($1, $2, $3, $4, $5, $6)`,
		t.Hash[:], t.UserNID, string(t.DeviceID), t.CreatedTS, nullInt(t.ExpiresTS), nullBlob(t.Refreshed))
	return err
}

// AddRefreshToken records a refresh token beside the device's others.
func (tx *Tx) AddRefreshToken(t RefreshToken) error {
	_, err := tx.Exec(`INSERT INTO refresh_tokens (hash, user_nid, device_id, client, created_ts, expires_ts, parent, used)
		VALUES ($1, $2, $3, $4, $5, $6, $7, 0)`, t.Hash[:], t.UserNID, string(t.DeviceID), t.Client, t.CreatedTS, nullInt(t.ExpiresTS), nullBlob(t.Parent))
	return err
}

// RefreshToken finds a refresh token by its SHA-256. ErrNotFound.
func (tx *Tx) RefreshToken(hash [32]byte) (RefreshToken, error) {
	t := RefreshToken{Hash: hash}
	var (
		expires sql.NullInt64
		used    int64
	)
	found, err := tx.Row(`SELECT user_nid, device_id, client, created_ts, expires_ts, parent, used FROM refresh_tokens WHERE hash = $1`,
		[]any{hash[:]}, &t.UserNID, &t.DeviceID, &t.Client, &t.CreatedTS, &expires, &t.Parent, &used)
	if err == nil && !found {
		err = fmt.Errorf("refresh token: %w", ErrNotFound)
	}
	if t.Used = used != 0; used == tokenDropped {
		t.DroppedTS = expires.Int64
	} else {
		t.ExpiresTS = expires.Int64
	}
	return t, err
}

// EndTokens deletes all tokens of a device. The device stays. The authorization codes that tokens of it came by are forgotten: when one is
// used a second time, the tokens that it would end are gone.
func (tx *Tx) EndTokens(userNID int64, device id.DeviceID) error {
	for _, table := range [...]string{"access_tokens", "refresh_tokens"} {
		if _, err := tx.Exec(`DELETE FROM `+table+` WHERE user_nid = $1 AND device_id = $2`, userNID, string(device)); err != nil {
			return err
		}
	}
	_, err := tx.Exec(`DELETE FROM oauth_codes WHERE user_nid = $1 AND device_id = $2 AND used = 1`, userNID, string(device))
	return err
}

// DropHeirs ends the tokens that came by a refresh token of a device, and that the client has not used. The refresh tokens among them are
// remembered: who comes with one later did get it, so that two have the parent. The first are, when there are many: of those that somebody
// makes to push them out, no trace is needed.
func (tx *Tx) DropHeirs(parent *RefreshToken, nowTS int64) error {
	if _, err := tx.Exec(`DELETE FROM access_tokens WHERE refreshed = $1`, parent.Hash[:]); err != nil {
		return err
	}
	var dropped int
	if _, err := tx.Row(`SELECT COUNT(*) FROM refresh_tokens WHERE user_nid = $1 AND device_id = $2 AND used = $3`,
		[]any{parent.UserNID, string(parent.DeviceID), tokenDropped}, &dropped); err != nil {
		return err
	}
	if dropped >= keptUsedTokens {
		_, err := tx.Exec(`DELETE FROM refresh_tokens WHERE parent = $1`, parent.Hash[:])
		return err
	}
	_, err := tx.Exec(`UPDATE refresh_tokens SET used = $2, expires_ts = $3, parent = NULL WHERE parent = $1`, parent.Hash[:], tokenDropped, nowTS)
	return err
}

// ConfirmHeirs says that the client has the tokens that came by a refresh token: that one is used, and the device's older access tokens
// are gone.
func (tx *Tx) ConfirmHeirs(userNID int64, device id.DeviceID, parent []byte) error {
	if _, err := tx.Exec(`DELETE FROM access_tokens WHERE user_nid = $1 AND device_id = $2 AND (refreshed IS NULL OR refreshed <> $3)`,
		userNID, string(device), parent); err != nil {
		return err
	}
	for _, query := range [...]string{
		`UPDATE access_tokens SET refreshed = NULL WHERE refreshed = $1`, `UPDATE refresh_tokens SET parent = NULL WHERE parent = $1`,
		fmt.Sprintf(`UPDATE refresh_tokens SET used = %d WHERE hash = $1`, tokenUsed),
	} {
		if _, err := tx.Exec(query, parent); err != nil {
			return err
		}
	}
	_, err := tx.Exec(fmt.Sprintf(`DELETE FROM refresh_tokens WHERE user_nid = $1 AND device_id = $2 AND used <> 0 AND created_ts < (
		SELECT MIN(created_ts) FROM (SELECT created_ts FROM refresh_tokens WHERE user_nid = $1 AND device_id = $2 AND used = 1
			ORDER BY created_ts DESC LIMIT %d) x)`, keptUsedTokens), userNID, string(device))
	return err
}

// nullBlob stores nothing as NULL.
func nullBlob(b []byte) any {
	if b == nil {
		return nil
	}
	return b
}
