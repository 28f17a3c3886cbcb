package store

import (
	"encoding/json"
	"fmt"

	"maunium.net/go/mautrix/id"
)

// KeyID names a one-time key or a fallback key of a device: "algorithm:id".
type KeyID struct{ Algorithm, ID string }

func (k KeyID) String() string { return k.Algorithm + ":" + k.ID }

// OneTimeKey is a key that one other device gets, or, when it is a fallback key, those that come when there is none left.
type OneTimeKey struct {
	KeyID
	JSON    json.RawMessage // canonical
	Claimed bool            // a fallback key: used
}

// keptClaims is how many of the one-time keys of a device that were given out last are remembered.
const keptClaims = 200

// OneTimeKeys returns the one-time keys of a device, those among them that were given out not long ago.
func (tx *Tx) OneTimeKeys(userNID int64, device id.DeviceID) (map[KeyID]OneTimeKey, error) {
	return tx.oneTimeKeys(`SELECT algorithm, key_id, json, claimed FROM one_time_keys WHERE user_nid = $1 AND device_id = $2`, userNID, device)
}

// FallbackKeys returns the fallback keys of a device, at most one for an algorithm.
func (tx *Tx) FallbackKeys(userNID int64, device id.DeviceID) (map[KeyID]OneTimeKey, error) {
	return tx.oneTimeKeys(`SELECT algorithm, key_id, json, used FROM fallback_keys WHERE user_nid = $1 AND device_id = $2`, userNID, device)
}

func (tx *Tx) oneTimeKeys(query string, userNID int64, device id.DeviceID) (map[KeyID]OneTimeKey, error) {
	all := make(map[KeyID]OneTimeKey)
	err := tx.Query(query, []any{userNID, string(device)}, func(scan func(...any) error) error {
		var (
			k       OneTimeKey
			keys    string
			claimed int64
		)
		if err := scan(&k.Algorithm, &k.ID, &keys, &claimed); err != nil {
			return fmt.Errorf("read one-time keys: %w", err)
		}
		k.JSON, k.Claimed = json.RawMessage(keys), claimed != 0
		all[k.KeyID] = k
		return nil
	})
	return all, err
}

// InsertOneTimeKeys adds one-time keys to a device, behind those that it has. A key of the same id that was given out is forgotten for
// it. CountKeys has to follow.
func (tx *Tx) InsertOneTimeKeys(userNID int64, device id.DeviceID, keys []OneTimeKey) error {
	if len(keys) == 0 {
		return nil
	}
	pos, err := tx.NextPos()
	if err != nil {
		return err
	}
	for _, k := range keys {
		if err := tx.Defer(`INSERT INTO one_time_keys (user_nid, device_id, algorithm, key_id, json, pos, claimed)
			VALUES ($1, $2, $3, $4, $5, $6, 0) ON CONFLICT (user_nid, device_id, algorithm, key_id)
			DO UPDATE SET json = excluded.json, pos = excluded.pos, claimed = 0`,
			userNID, string(device), k.Algorithm, k.ID, string(k.JSON), pos); err != nil {
			return err
		}
	}
	_, err = tx.Exec(fmt.Sprintf(`DELETE FROM one_time_keys WHERE user_nid = $1 AND device_id = $2 AND claimed > 0 AND claimed <= (
		SELECT claimed FROM one_time_keys WHERE user_nid = $1 AND device_id = $2 AND claimed > 0 ORDER BY claimed DESC LIMIT 1 OFFSET %d)`,
		keptClaims), userNID, string(device))
	return err
}

// SetFallbackKey puts an unused fallback key in the place of the one that a device has for the algorithm. CountKeys has to follow.
func (tx *Tx) SetFallbackKey(userNID int64, device id.DeviceID, k OneTimeKey) error {
	_, err := tx.Exec(`INSERT INTO fallback_keys (user_nid, device_id, algorithm, key_id, json, used) VALUES ($1, $2, $3, $4, $5, 0)
		ON CONFLICT (user_nid, device_id, algorithm) DO UPDATE SET key_id = excluded.key_id, json = excluded.json, used = 0`,
		userNID, string(device), k.Algorithm, k.ID, string(k.JSON))
	return err
}

// DeleteOneTimeKeys deletes the one-time keys and the fallback keys of a device. CountKeys has to follow.
func (tx *Tx) DeleteOneTimeKeys(userNID int64, device id.DeviceID) error {
	for _, table := range [...]string{"one_time_keys", "fallback_keys"} {
		if _, err := tx.Exec(`DELETE FROM `+table+` WHERE user_nid = $1 AND device_id = $2`, userNID, string(device)); err != nil {
			return err
		}
	}
	return nil
}

// ClaimKey gives out the one-time key of a device that was uploaded first, and never again; or the fallback key, when there is none.
// pos is that of the change to the device's counts, 0 for none. ErrNotFound when there is neither.
func (tx *Tx) ClaimKey(userNID int64, device id.DeviceID, algorithm string) (k OneTimeKey, pos int64, err error) {
	k.Algorithm = algorithm
	var (
		keys string
		used int64
	)
	// There is one writer, so nobody else claims meanwhile. The stream moves for a change only, not for whatever is asked for.
	found, err := tx.Row(`SELECT key_id, json FROM one_time_keys WHERE user_nid = $1 AND device_id = $2 AND algorithm = $3 AND claimed = 0
		ORDER BY pos, key_id LIMIT 1`, []any{userNID, string(device), algorithm}, &k.ID, &keys)
	if err != nil {
		return k, 0, err
	}
	claim, oneTime := `UPDATE one_time_keys SET claimed = $5`, found
	if !found {
		claim = `UPDATE fallback_keys SET used = $5`
		found, err = tx.Row(`SELECT key_id, json, used FROM fallback_keys WHERE user_nid = $1 AND device_id = $2 AND algorithm = $3`,
			[]any{userNID, string(device), algorithm}, &k.ID, &keys, &used)
		if err == nil && !found {
			err = fmt.Errorf("one-time key: %w", ErrNotFound)
		}
	}
	k.JSON = json.RawMessage(keys)
	if err != nil || used != 0 {
		return k, 0, err
	}
	if pos, err = tx.NextPos(); err != nil {
		return k, 0, err
	}
	mark := int64(1)
	if oneTime {
		mark = pos
	}
	if _, err := tx.Exec(claim+` WHERE user_nid = $1 AND device_id = $2 AND algorithm = $3 AND key_id = $4`,
		userNID, string(device), algorithm, k.ID, mark); err != nil {
		return k, 0, err
	}
	return k, pos, tx.CountKeys(userNID, device, pos)
}
