package e2ee

import (
	"bytes"
	"maps"

	"causeway/homeserver/store"
)

// storeIdentity stores the identity keys where they are new, and a signature by the user's self-signing key that came with them. What
// one-time keys a device has of another identity nobody could use, nor what signed the old one: they go. The key by which a device signs
// stays what it is, once the device has signed with it, and signs all that follows: others have verified it, and trust whatever it signs. The
// specification does not say so, but clients take another one for an attack. Keys that are not signed nobody trusts; there are test suites
// that upload, and replace, them.
func (up *upload) storeIdentity(tx *store.Tx, userNID int64) (change store.DeviceChange, err error) {
	if up.keys == nil && up.signer == nil {
		return change, nil
	}
	old, err := up.stored(tx, userNID)
	if err != nil {
		return change, err
	}
	if up.keys == nil {
		if old == nil || !old.key.Equal(up.signer) {
			return change, invalidSignature("The device's own key is another one by now")
		}
		return change, nil
	}
	same := old != nil && bytes.Equal(old.json, up.keys.json)
	if !same {
		if err := up.replace(tx, userNID, old); err != nil {
			return change, err
		}
	}
	signed, err := up.selfSign(tx, userNID)
	if err != nil || same && !signed {
		return change, err
	}
	return tx.DevicesChanged(userNID)
}

// replace puts the identity keys in the place of others, nil for none.
func (up *upload) replace(tx *store.Tx, userNID int64, old *deviceKeys) error {
	if old != nil {
		switch {
		case old.signed && !old.key.Equal(up.keys.key):
			return invalidParam("The key by which a device signs cannot change: log in as a new device")
		case old.signed && !up.keys.signed:
			return invalidSignature("device_keys are not signed by the device's own key, as those before were")
		}
		if err := tx.UnsignDevice(userNID, up.by.Device); err != nil {
			return err
		}
		if !maps.Equal(old.keys, up.keys.keys) {
			if err := tx.DeleteOneTimeKeys(userNID, up.by.Device); err != nil {
				return err
			}
		}
	}
	return tx.SetDeviceKeys(userNID, up.by.Device, up.keys.json)
}

// selfSign stores the signature by the user's self-signing key, if the identity keys came with one, and tells whether it is news.
func (up *upload) selfSign(tx *store.Tx, userNID int64) (news bool, err error) {
	if len(up.keys.other.signatures) == 0 {
		return false, nil
	}
	keys, err := tx.CrossSigningKeys(userNID)
	if err != nil {
		return false, err
	}
	key, has := keys[store.UsageSelfSigning]
	keyID := signingAlgorithm + key.PublicKey
	if there, right := up.keys.other.by(keyID, publicKey(key.PublicKey)); !has || !there {
		return false, nil
	} else if !right {
		return false, invalidSignature("device_keys are not signed by the self-signing key, although they say so")
	}
	signature := up.keys.other.signatures[keyID]
	err = tx.DeviceSignaturesOf([]int64{userNID}, func(k store.KeySignature) {
		has = has && (k.DeviceID != up.by.Device || k.Signature != signature)
	})
	if err != nil || !has {
		return false, err
	}
	return true, tx.SignDevice(userNID, up.by.Device, signature)
}
