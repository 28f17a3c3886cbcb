package store

import (
	"encoding/json"
	"fmt"

	"causeway/homeserver/sqldb"

	"maunium.net/go/mautrix/id"
)

// The usages of cross-signing keys.
const (
	UsageMaster      = "master"
	UsageSelfSigning = "self_signing"
	UsageUserSigning = "user_signing"
)

// CrossSigningKey is a cross-signing key of a user.
type CrossSigningKey struct {
	UserNID   int64
	Usage     string
	PublicKey string          // unpadded base64
	JSON      json.RawMessage // canonical, without "unsigned"; a master key is without signatures
}

// SetCrossSigningKey puts a key in the place of the one that a user has for the usage. The signatures by the old one, and of it, are
// DropSignatures' affair.
func (tx *Tx) SetCrossSigningKey(k CrossSigningKey) error {
	_, err := tx.Exec(`INSERT INTO cross_signing_keys (user_nid, usage, public_key, json) VALUES ($1, $2, $3, $4)
		ON CONFLICT (user_nid, usage) DO UPDATE SET public_key = excluded.public_key, json = excluded.json`,
		k.UserNID, k.Usage, k.PublicKey, string(k.JSON))
	return err
}

// CrossSigningKeys returns the keys of a user by their usage.
func (tx *Tx) CrossSigningKeys(userNID int64) (map[string]CrossSigningKey, error) {
	keys := make(map[string]CrossSigningKey)
	err := tx.CrossSigningKeysOf([]int64{userNID}, func(k CrossSigningKey) { keys[k.Usage] = k })
	return keys, err
}

// CrossSigningKeysOf calls visit with the cross-signing keys of some users, but for those whose account is deactivated: an upload that was
// under way then may have come after it.
func (tx *Tx) CrossSigningKeysOf(userNIDs []int64, visit func(CrossSigningKey)) error {
	return inBatches(userNIDs, func(some []int64) error {
		query, args := sqldb.In(`SELECT k.user_nid, k.usage, k.public_key, k.json FROM cross_signing_keys k
			WHERE NOT EXISTS (SELECT 1 FROM users u WHERE u.nid = k.user_nid AND u.deactivated = 1) AND k.user_nid IN `, 1, some)
		return tx.Query(query, args, func(scan func(...any) error) error {
			var (
				k   CrossSigningKey
				raw string
			)
			if err := scan(&k.UserNID, &k.Usage, &k.PublicKey, &raw); err != nil {
				return fmt.Errorf("read cross-signing keys: %w", err)
			}
			k.JSON = json.RawMessage(raw)
			visit(k)
			return nil
		})
	})
}

// IsCrossSigningKey tells whether a name is the public part of a cross-signing key of a user. No device can have it: both are names of
// keys (Client-Server API, "Cross-signing").
func (tx *Tx) IsCrossSigningKey(userNID int64, name string) (bool, error) {
	var one int64
	return tx.Row(`SELECT 1 FROM cross_signing_keys WHERE user_nid = $1 AND public_key = $2`, []any{userNID, name}, &one)
}

// DropSignatures deletes the signatures by the key that a user has for a usage, of others' keys or of devices, and, when it is the master
// key, those of it; with it go the user's other keys, which it has signed.
func (tx *Tx) DropSignatures(userNID int64, usage string) error {
	queries := map[string][]string{
		UsageSelfSigning: {`DELETE FROM device_signatures WHERE user_nid = $1`},
		UsageUserSigning: {`DELETE FROM user_signatures WHERE signer_nid = $1`},
		UsageMaster: {
			`DELETE FROM master_signatures WHERE user_nid = $1`, `DELETE FROM user_signatures WHERE user_nid = $1 OR signer_nid = $1`,
			`DELETE FROM device_signatures WHERE user_nid = $1`, `DELETE FROM cross_signing_keys WHERE user_nid = $1 AND usage <> 'master'`,
		},
	}
	for _, query := range queries[usage] {
		if _, err := tx.Exec(query, userNID); err != nil {
			return fmt.Errorf("drop the signatures of a %s key: %w", usage, err)
		}
	}
	return nil
}

// SignDevice records the signature of a device by its user's self-signing key.
func (tx *Tx) SignDevice(userNID int64, device id.DeviceID, signature string) error {
	return tx.Defer(`INSERT INTO device_signatures (user_nid, device_id, signature) VALUES ($1, $2, $3)
		ON CONFLICT (user_nid, device_id) DO UPDATE SET signature = excluded.signature`, userNID, string(device), signature)
}

// UnsignDevice deletes what a device has signed, and the signature of it: its keys have changed.
func (tx *Tx) UnsignDevice(userNID int64, device id.DeviceID) error {
	for _, table := range [...]string{"device_signatures", "master_signatures"} {
		if _, err := tx.Exec(`DELETE FROM `+table+` WHERE user_nid = $1 AND device_id = $2`, userNID, string(device)); err != nil {
			return err
		}
	}
	return nil
}

// SignMaster records the signature of a user's master key by a device of theirs.
func (tx *Tx) SignMaster(userNID int64, device id.DeviceID, signature string) error {
	return tx.Defer(`INSERT INTO master_signatures (user_nid, device_id, signature) VALUES ($1, $2, $3)
		ON CONFLICT (user_nid, device_id) DO UPDATE SET signature = excluded.signature`, userNID, string(device), signature)
}

// SignUser records the signature of a user's master key by another user's user-signing key.
func (tx *Tx) SignUser(signerNID, userNID int64, signature string) error {
	return tx.Defer(`INSERT INTO user_signatures (signer_nid, user_nid, signature) VALUES ($1, $2, $3)
		ON CONFLICT (signer_nid, user_nid) DO UPDATE SET signature = excluded.signature`, signerNID, userNID, signature)
}

// KeySignature is a signature of a device's keys, or of a master key.
type KeySignature struct {
	UserNID   int64       // whose key is signed
	DeviceID  id.DeviceID // of a device's signature, or of the signature of a device
	Signature string
}

// DeviceSignaturesOf calls visit with the signatures, by self-signing keys, of the devices of some users.
func (tx *Tx) DeviceSignaturesOf(userNIDs []int64, visit func(KeySignature)) error {
	return tx.keySignatures(`SELECT user_nid, device_id, signature FROM device_signatures WHERE user_nid IN `, nil, userNIDs, visit)
}

// MasterSignaturesOf calls visit with the signatures, by their own devices, of the master keys of some users.
func (tx *Tx) MasterSignaturesOf(userNIDs []int64, visit func(KeySignature)) error {
	return tx.keySignatures(`SELECT user_nid, device_id, signature FROM master_signatures WHERE user_nid IN `, nil, userNIDs, visit)
}

// UserSignaturesBy calls visit with the signatures, by one user's user-signing key, of the master keys of some users.
func (tx *Tx) UserSignaturesBy(signerNID int64, userNIDs []int64, visit func(KeySignature)) error {
	return tx.keySignatures(`SELECT user_nid, '', signature FROM user_signatures WHERE signer_nid = $1 AND user_nid IN `, []any{signerNID}, userNIDs, visit)
}

func (tx *Tx) keySignatures(query string, first []any, userNIDs []int64, visit func(KeySignature)) error {
	return inBatches(userNIDs, func(some []int64) error {
		query, args := sqldb.In(query, len(first)+1, some)
		return tx.Query(query, append(first[:len(first):len(first)], args...), func(scan func(...any) error) error {
			var (
				k      KeySignature
				device string
			)
			if err := scan(&k.UserNID, &device, &k.Signature); err != nil {
				return fmt.Errorf("read signatures of keys: %w", err)
			}
			k.DeviceID = id.DeviceID(device)
			visit(k)
			return nil
		})
	})
}

// SignaturesChanged records that something about some users changed that a user alone can see: the user's signatures of their master keys,
// or, about the user, the user-signing key. It returns the position.
func (tx *Tx) SignaturesChanged(userNID int64, about []int64) (int64, error) {
	pos, err := tx.NextPos()
	if err != nil {
		return 0, err
	}
	tx.touch(FamilyDeviceLists, pos)
	for _, nid := range about {
		if err := tx.Defer(`INSERT INTO signature_changes (user_nid, about_nid, pos) VALUES ($1, $2, $3)
			ON CONFLICT (user_nid, about_nid) DO UPDATE SET pos = excluded.pos`, userNID, nid, pos); err != nil {
			return 0, err
		}
	}
	return pos, nil
}

// DropCrossSigning deletes the cross-signing keys of a user, and all signatures by them and of them. DevicesChanged has to follow.
func (tx *Tx) DropCrossSigning(userNID int64) error {
	if err := tx.DropSignatures(userNID, UsageMaster); err != nil {
		return err
	}
	_, err := tx.Exec(`DELETE FROM cross_signing_keys WHERE user_nid = $1`, userNID)
	return err
}
