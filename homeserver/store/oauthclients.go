package store

import (
	"fmt"

	"maunium.net/go/mautrix/id"
)

// OAuthClient is a client that registered itself.
type OAuthClient struct {
	ID        string
	Hash      [32]byte // of Metadata
	Metadata  []byte   // JSON
	CreatedTS int64
	UsedTS    int64
}

// InsertOAuthClient adds a client.
func (tx *Tx) InsertOAuthClient(c OAuthClient) error {
	_, err := tx.Exec(`INSERT INTO oauth_clients (id, hash, metadata, created_ts, used_ts) VALUES ($1, $2, $3, $4, $5)`,
		c.ID, c.Hash[:], string(c.Metadata), c.CreatedTS, c.UsedTS)
	return err
}

// OAuthClient finds a client. ErrNotFound.
func (tx *Tx) OAuthClient(clientID string) (OAuthClient, error) {
	return tx.oauthClient(`id = $1`, clientID)
}

// OAuthClientByHash finds the client that registered with metadata of this SHA-256. ErrNotFound.
func (tx *Tx) OAuthClientByHash(hash [32]byte) (OAuthClient, error) {
	return tx.oauthClient(`hash = $1`, hash[:])
}

func (tx *Tx) oauthClient(which string, arg any) (OAuthClient, error) {
	var (
		c        OAuthClient
		hash     []byte
		metadata string
	)
	found, err := tx.Row(`SELECT id, hash, metadata, created_ts, used_ts FROM oauth_clients WHERE `+which, []any{arg},
		&c.ID, &hash, &metadata, &c.CreatedTS, &c.UsedTS)
	if err == nil && !found {
		err = fmt.Errorf("OAuth client: %w", ErrNotFound)
	}
	copy(c.Hash[:], hash)
	c.Metadata = []byte(metadata)
	return c, err
}

// UseOAuthClient notes that somebody sets out to sign in by a client.
func (tx *Tx) UseOAuthClient(clientID string, ts int64) error {
	_, err := tx.Exec(`UPDATE oauth_clients SET used_ts = $2 WHERE id = $1`, clientID, ts)
	return err
}

// noOAuthDevice holds for clients that no device was made for.
const noOAuthDevice = `NOT EXISTS (SELECT 1 FROM devices d WHERE d.oauth_client = oauth_clients.id)`

// MakeRoomForOAuthClient deletes clients that no device was made for: those that were last used before a time, and, where there are limit
// clients or more, that which was unused for longest. ErrTooMany when there are still so many.
func (tx *Tx) MakeRoomForOAuthClient(usedBefore int64, limit int) error {
	if _, err := tx.Exec(`DELETE FROM oauth_clients WHERE used_ts < $1 AND `+noOAuthDevice, usedBefore); err != nil {
		return err
	}
	var n int
	if _, err := tx.Row(`SELECT COUNT(*) FROM oauth_clients`, nil, &n); err != nil || n < limit {
		return err
	}
	deleted, err := tx.Exec(`DELETE FROM oauth_clients WHERE id = (SELECT id FROM oauth_clients WHERE ` + noOAuthDevice + ` ORDER BY used_ts LIMIT 1)`)
	if err == nil && (deleted == 0 || n > limit) {
		err = fmt.Errorf("OAuth clients: %w", ErrTooMany)
	}
	return err
}

// HasDeviceOfOAuthClient tells whether a user has a device that is for an OAuth client.
func (tx *Tx) HasDeviceOfOAuthClient(userNID int64, client string) (bool, error) {
	var one int64
	return tx.Row(`SELECT 1 FROM devices WHERE user_nid = $1 AND oauth_client = $2 LIMIT 1`, []any{userNID, client}, &one)
}

// SetDeviceOrigin notes which OAuth client a device is for, and which application service logged it in, "" for none. What the device was
// allowed before, under another session, it is no more.
func (tx *Tx) SetDeviceOrigin(userNID int64, device id.DeviceID, client, appService string) error {
	_, err := tx.Exec(`UPDATE devices SET oauth_client = $3, appservice = $4, reset_until_ts = NULL WHERE user_nid = $1 AND device_id = $2`,
		userNID, string(device), nullString(client), nullString(appService))
	return err
}
