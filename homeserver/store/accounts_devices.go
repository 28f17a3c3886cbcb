package store

import (
	"database/sql"
	"errors"
	"fmt"

	"maunium.net/go/mautrix/id"
)

// Session is what an access token stands for.
type Session struct {
	UserID   id.UserID
	UserNID  int64
	DeviceID id.DeviceID
	Admin    bool
	Guest    bool

	ExpiresTS int64  // of the token, 0 for never
	Refreshed []byte // see AccessToken
	Locked    bool
	Suspended bool
	// ValidUntilTS is when the account ends, 0 for never.
	ValidUntilTS int64
	// OAuthClient is the client that the device was made for by OAuth, "" for none.
	OAuthClient string
	// AppService is the application service that made the account, "" for none.
	AppService string
	// LoggedInBy is the application service that logged the device in, "" for none.
	LoggedInBy string
}

// ErrKeyName is the error of a device whose id is the name of one of its user's cross-signing keys.
var ErrKeyName = errors.New("the device id is the name of a cross-signing key")

// EnsureDevice adds a device to a user unless there is one of this id. displayName counts for a new one only. ErrKeyName.
func (tx *Tx) EnsureDevice(userNID int64, deviceID id.DeviceID, displayName string, ts int64) error {
	if taken, err := tx.IsCrossSigningKey(userNID, string(deviceID)); err != nil {
		return err
	} else if taken { // Client-Server API, POST /login: who sees a signature by that name could not tell whose it is
		return ErrKeyName
	}
	_, err := tx.Exec(`INSERT INTO devices (user_nid, device_id, display_name, created_ts) VALUES ($1, $2, $3, $4)
		ON CONFLICT (user_nid, device_id) DO NOTHING`, userNID, string(deviceID), nullString(displayName), ts)
	return err
}

// HasDevice tells whether a device belongs to a user.
func (tx *Tx) HasDevice(userID id.UserID, deviceID id.DeviceID) (bool, error) {
	nid, err := tx.LookupNID(string(userID))
	if err != nil || nid == 0 {
		return false, err
	}
	var one int64
	return tx.Row(`SELECT 1 FROM devices WHERE user_nid = $1 AND device_id = $2`, []any{nid, string(deviceID)}, &one)
}

// InsertAccessToken records the SHA-256 of a token for a device, in the place of the device's other tokens.
func (tx *Tx) InsertAccessToken(hash [32]byte, userNID int64, deviceID id.DeviceID, ts int64) error {
	if err := tx.EndTokens(userNID, deviceID); err != nil {
		return err
	}
	return tx.AddAccessToken(AccessToken{Hash: hash, UserNID: userNID, DeviceID: deviceID, CreatedTS: ts})
}

// SessionByToken finds whose the token with this SHA-256 is. ErrNotFound.
func (tx *Tx) SessionByToken(hash [32]byte) (Session, error) {
	var (
		s                 Session
		userID, deviceID  string
		admin, guest      int64
		locked, suspended int64
		expires, valid    sql.NullInt64
		client, service   sql.NullString
		loggedInBy        sql.NullString
	)
	found, err := tx.Row(`SELECT t.user_nid, n.value, t.device_id, u.admin, u.guest, t.expires_ts, t.refreshed, u.locked, u.suspended,
		u.valid_until_ts, u.appservice, d.oauth_client, d.appservice
		FROM access_tokens t JOIN users u ON u.nid = t.user_nid JOIN strings n ON n.nid = t.user_nid
		LEFT JOIN devices d ON d.user_nid = t.user_nid AND d.device_id = t.device_id WHERE t.hash = $1`, []any{hash[:]},
		&s.UserNID, &userID, &deviceID, &admin, &guest, &expires, &s.Refreshed, &locked, &suspended, &valid, &service, &client, &loggedInBy)
	if err == nil && !found {
		err = fmt.Errorf("access token: %w", ErrNotFound)
	}
	s.UserID, s.DeviceID, s.Admin, s.Guest = id.UserID(userID), id.DeviceID(deviceID), admin != 0, guest != 0
	s.Locked, s.Suspended, s.ExpiresTS, s.ValidUntilTS, s.OAuthClient = locked != 0, suspended != 0, expires.Int64, valid.Int64, client.String
	s.AppService, s.LoggedInBy = service.String, loggedInBy.String
	return s, err
}
