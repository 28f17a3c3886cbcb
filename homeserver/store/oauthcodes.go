package store

import (
	"database/sql"
	"fmt"

	"maunium.net/go/mautrix/id"
)

// OAuthCode is an authorization code as it is stored.
type OAuthCode struct {
	Hash        [32]byte
	UserNID     int64
	DeviceID    id.DeviceID
	Client      string
	Scope       string
	RedirectURI string
	Challenge   string // of PKCE, by S256
	ExpiresTS   int64
	Used        bool // the device's tokens came by it
}

// AddOAuthCode records a code. Codes that expired before a time go, and of the user's codes all but the newest keep.
func (tx *Tx) AddOAuthCode(c OAuthCode, expiredBefore int64, keep int) error {
	if _, err := tx.Exec(`DELETE FROM oauth_codes WHERE expires_ts < $1`, expiredBefore); err != nil {
		return err
	}
	if _, err := tx.Exec(`INSERT INTO oauth_codes (hash, user_nid, device_id, client, scope, redirect_uri, challenge, expires_ts, used)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 0)`, c.Hash[:], c.UserNID, string(c.DeviceID), c.Client, c.Scope, c.RedirectURI, c.Challenge, c.ExpiresTS); err != nil {
		return err
	}
	_, err := tx.Exec(`DELETE FROM oauth_codes WHERE user_nid = $1 AND expires_ts < (SELECT expires_ts FROM oauth_codes
		WHERE user_nid = $1 ORDER BY expires_ts DESC LIMIT 1 OFFSET $2)`, c.UserNID, keep-1)
	return err
}

// OAuthCode finds a code by its SHA-256. ErrNotFound.
func (tx *Tx) OAuthCode(hash [32]byte) (OAuthCode, error) {
	c := OAuthCode{Hash: hash}
	var used int64
	found, err := tx.Row(`SELECT user_nid, device_id, client, scope, redirect_uri, challenge, expires_ts, used FROM oauth_codes WHERE hash = $1`,
		[]any{hash[:]}, &c.UserNID, &c.DeviceID, &c.Client, &c.Scope, &c.RedirectURI, &c.Challenge, &c.ExpiresTS, &used)
	if err == nil && !found {
		err = fmt.Errorf("authorization code: %w", ErrNotFound)
	}
	c.Used = used != 0
	return c, err
}

// UseOAuthCode notes that a code was used, for the tokens that its device has from now on.
func (tx *Tx) UseOAuthCode(hash [32]byte) error {
	_, err := tx.Exec(`UPDATE oauth_codes SET used = 1 WHERE hash = $1`, hash[:])
	return err
}

// States of a device code.
const (
	DeviceCodePending  = 0
	DeviceCodeApproved = 1
	DeviceCodeDenied   = 2
)

// OAuthDeviceCode is a device code as it is stored.
type OAuthDeviceCode struct {
	Hash       [32]byte
	UserCode   [32]byte // its SHA-256
	Client     string
	DeviceID   id.DeviceID
	Scope      string
	State      int64
	UserNID    int64 // who decided, 0 for nobody yet
	ExpiresTS  int64
	PollTS     int64 // when the client may ask next
	IntervalMS int64
}

// AddOAuthDeviceCode records a device code. Codes that expired before a time go. ErrTooMany when there are limit codes then; ErrExists when
// the user code is taken.
func (tx *Tx) AddOAuthDeviceCode(c OAuthDeviceCode, expiredBefore int64, limit int) error {
	if _, err := tx.Exec(`DELETE FROM oauth_device_codes WHERE expires_ts < $1`, expiredBefore); err != nil {
		return err
	}
	var n int
	if _, err := tx.Row(`SELECT COUNT(*) FROM oauth_device_codes`, nil, &n); err != nil {
		return err
	}
	if n >= limit {
		return fmt.Errorf("device codes: %w", ErrTooMany)
	}
	_, err := tx.Exec(`INSERT INTO oauth_device_codes (hash, user_code, client, device_id, scope, state, expires_ts, poll_ts, interval_ms)
		VALUES ($1, $2, $3, $4, $5, 0, $6, $7, $8)`, c.Hash[:], c.UserCode[:], c.Client, string(c.DeviceID), c.Scope, c.ExpiresTS, c.PollTS, c.IntervalMS)
	return err
}

// OAuthDeviceCode finds a device code by its SHA-256. ErrNotFound.
func (tx *Tx) OAuthDeviceCode(hash [32]byte) (OAuthDeviceCode, error) {
	return tx.oauthDeviceCode(`hash = $1`, hash)
}

// OAuthDeviceCodeByUserCode finds a device code by the SHA-256 of its user code. ErrNotFound.
func (tx *Tx) OAuthDeviceCodeByUserCode(hash [32]byte) (OAuthDeviceCode, error) {
	return tx.oauthDeviceCode(`user_code = $1`, hash)
}

func (tx *Tx) oauthDeviceCode(which string, key [32]byte) (OAuthDeviceCode, error) {
	var (
		c              OAuthDeviceCode
		hash, userCode []byte
		user           sql.NullInt64
	)
	found, err := tx.Row(`SELECT hash, user_code, client, device_id, scope, state, user_nid, expires_ts, poll_ts, interval_ms FROM oauth_device_codes
		WHERE `+which, []any{key[:]}, &hash, &userCode, &c.Client, &c.DeviceID, &c.Scope, &c.State, &user, &c.ExpiresTS, &c.PollTS, &c.IntervalMS)
	if err == nil && !found {
		err = fmt.Errorf("device code: %w", ErrNotFound)
	}
	copy(c.Hash[:], hash)
	copy(c.UserCode[:], userCode)
	c.UserNID = user.Int64
	return c, err
}

// DecideOAuthDeviceCode records what a user decided. ErrNotFound when there is no such code that waits for that.
func (tx *Tx) DecideOAuthDeviceCode(hash [32]byte, state, userNID int64) error {
	n, err := tx.Exec(`UPDATE oauth_device_codes SET state = $2, user_nid = $3 WHERE hash = $1 AND state = 0`, hash[:], state, userNID)
	if err == nil && n == 0 {
		err = fmt.Errorf("device code: %w", ErrNotFound)
	}
	return err
}

// PollOAuthDeviceCode records when a client may ask next.
func (tx *Tx) PollOAuthDeviceCode(hash [32]byte, pollTS, intervalMS int64) error {
	_, err := tx.Exec(`UPDATE oauth_device_codes SET poll_ts = $2, interval_ms = $3 WHERE hash = $1`, hash[:], pollTS, intervalMS)
	return err
}

// DeleteOAuthDeviceCode deletes a device code.
func (tx *Tx) DeleteOAuthDeviceCode(hash [32]byte) error {
	_, err := tx.Exec(`DELETE FROM oauth_device_codes WHERE hash = $1`, hash[:])
	return err
}
