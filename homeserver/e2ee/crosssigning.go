package e2ee

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"causeway/homeserver/event"
	"causeway/homeserver/notify"
	"causeway/homeserver/store"

	"maunium.net/go/mautrix/id"
)

// maxSigningKeyBytes bounds a cross-signing key.
const maxSigningKeyBytes = 16 << 10

// SigningKeysRequest is the body of POST /keys/device_signing/upload. Each key may be absent.
type SigningKeysRequest struct {
	Master      json.RawMessage `json:"master_key"`
	SelfSigning json.RawMessage `json:"self_signing_key"`
	UserSigning json.RawMessage `json:"user_signing_key"`
}

// Confirm has the user prove once more who they are, before what was uploaded replaces keys. what names the keys. done is called when that
// is done.
type Confirm func(ctx context.Context, what string) (done func(), err error)

// errUnconfirmed is the error of a transaction that would replace keys before the user has confirmed it.
var errUnconfirmed = errors.New("the user has not confirmed that the keys are to be replaced")

// UploadSigningKeys takes cross-signing keys of a user (Client-Server API, POST /keys/device_signing/upload). The user has to confirm it
// unless there is no master key yet, or the keys are those that are there (MSC3967). A new master key ends the other keys that it does not
// come with, and all signatures that they made; a new key of the others ends those that the old one made. Errors: those of confirm,
// M_BAD_JSON, M_INVALID_PARAM, M_INVALID_SIGNATURE, M_MISSING_PARAM when there is no master key, M_FORBIDDEN for a key whose name is that
// of a device, M_TOO_LARGE.
func (s *Service) UploadSigningKeys(ctx context.Context, user id.UserID, in SigningKeysRequest, confirm Confirm) error {
	up, err := checkSigningKeys(user, in)
	if err != nil {
		return err
	}
	done := func() {}
	var signals []notify.Signal
	write := func(tx *store.Tx) (err error) {
		signals, err = up.store(tx)
		return err
	}
	err = s.db.Write(ctx, write)
	if errors.Is(err, errUnconfirmed) {
		if done, err = confirm(ctx, up.name()); err != nil {
			return err
		}
		up.confirmed = true
		err = s.db.Write(ctx, write)
	}
	if err != nil {
		return fmt.Errorf("store cross-signing keys of %s: %w", user, err)
	}
	s.bus.Publish(signals...)
	done()
	return nil
}

// signingKey is a cross-signing key as it was uploaded.
type signingKey struct {
	usage  string
	public string // unpadded base64
	key    ed25519.PublicKey
	signed signed
}

// signingUpload is a request that has been checked.
type signingUpload struct {
	user      id.UserID
	keys      map[string]*signingKey // by usage
	confirmed bool
}

func checkSigningKeys(user id.UserID, in SigningKeysRequest) (*signingUpload, error) {
	up := &signingUpload{user: user, keys: make(map[string]*signingKey)}
	for _, part := range [...]struct {
		usage string
		raw   json.RawMessage
	}{{store.UsageMaster, in.Master}, {store.UsageSelfSigning, in.SelfSigning}, {store.UsageUserSigning, in.UserSigning}} {
		if len(part.raw) == 0 || string(part.raw) == "null" {
			continue
		}
		key, err := checkSigningKey(user, part.usage, part.raw)
		if err != nil {
			return nil, err
		}
		up.keys[part.usage] = key
	}
	return up, nil
}

// checkSigningKey follows the Client-Server API, CrossSigningKey.
func checkSigningKey(user id.UserID, usage string, raw json.RawMessage) (*signingKey, error) {
	s, err := readSigned(raw, user)
	if err != nil {
		return nil, err
	}
	owner, hasOwner := event.Text(event.Field(s.part, "user_id"))
	keys, hasKeys := textsOf(s.part, "keys")
	usages := event.Field(s.part, "usage")
	_, hasUsages := countTexts(usages)
	switch {
	case !hasOwner || !hasKeys || !hasUsages:
		return nil, badJSON("A %s key needs user_id, usage and keys, of the types that they should have", usage)
	case id.UserID(owner) != user:
		return nil, invalidParam("The %s key is not this user's", usage)
	case !bytes.Equal(usages, fmt.Appendf(nil, `["%s"]`, usage)):
		return nil, invalidParam("The usage of the %s key is another", usage)
	case len(keys) != 1:
		return nil, invalidParam("The %s key must have one key", usage)
	case len(s.part) > maxSigningKeyBytes:
		return nil, tooLarge("A cross-signing key can have %d bytes", maxSigningKeyBytes)
	}
	for name, text := range keys {
		clean, ok := unpadded(text, ed25519.PublicKeySize)
		if !ok || clean != text || name != signingAlgorithm+text {
			return nil, invalidParam("The %s key must be an ed25519 key in unpadded base64, by that name", usage)
		}
		return &signingKey{usage: usage, public: text, key: publicKey(text), signed: s}, nil
	}
	return nil, nil // keys has one
}

// name names the keys, so that what the user confirms is these and no others.
func (up *signingUpload) name() string {
	hash := sha256.New()
	for _, usage := range [...]string{store.UsageMaster, store.UsageSelfSigning, store.UsageUserSigning} {
		if k := up.keys[usage]; k != nil {
			hash.Write(append([]byte(usage), k.signed.part...))
		}
	}
	return "cross-signing keys " + base64.RawStdEncoding.EncodeToString(hash.Sum(nil))
}

// store stores the keys that are new, and returns whom that concerns.
func (up *signingUpload) store(tx *store.Tx) ([]notify.Signal, error) {
	userNID, err := holder(tx, up.user)
	if err != nil {
		return nil, err
	}
	have, err := tx.CrossSigningKeys(userNID)
	if err != nil {
		return nil, err
	}
	rows, err := up.rows(userNID, have)
	if err != nil || len(rows) == 0 {
		return nil, err
	}
	if _, has := have[store.UsageMaster]; has && !up.confirmed {
		return nil, errUnconfirmed
	}
	if err := up.distinct(tx, have, rows[0].Usage == store.UsageMaster); err != nil {
		return nil, err
	}
	visible := false
	for _, row := range rows { // the master key is the first
		if err := tx.DropSignatures(userNID, row.Usage); err != nil {
			return nil, err
		}
		if err := tx.SetCrossSigningKey(row); err != nil {
			return nil, err
		}
		visible = visible || row.Usage != store.UsageUserSigning
	}
	if rows[0].Usage == store.UsageMaster {
		if err := up.signMaster(tx, userNID); err != nil {
			return nil, err
		}
	}
	return tell(tx, userNID, visible, []int64{userNID})
}

// rows returns the keys that are new, the master key first, once their signatures are verified. With a new master key all are.
func (up *signingUpload) rows(userNID int64, have map[string]store.CrossSigningKey) (rows []store.CrossSigningKey, err error) {
	master := up.keys[store.UsageMaster]
	public := have[store.UsageMaster].PublicKey
	if master != nil {
		public = master.public
		if part := master.signed.part; !bytes.Equal(part, have[store.UsageMaster].JSON) {
			rows = append(rows, store.CrossSigningKey{UserNID: userNID, Usage: store.UsageMaster, PublicKey: public, JSON: part})
		}
	}
	if public == "" {
		return nil, matrixError(http.StatusBadRequest, "M_MISSING_PARAM", "There is no master key")
	}
	fresh := len(rows) > 0
	for _, usage := range [...]string{store.UsageSelfSigning, store.UsageUserSigning} {
		key := up.keys[usage]
		if key == nil {
			continue
		}
		if _, right := key.signed.by(signingAlgorithm+public, publicKey(public)); !right {
			return nil, invalidSignature("The %s key is not signed by the master key", usage)
		}
		row := store.CrossSigningKey{UserNID: userNID, Usage: usage, PublicKey: key.public, JSON: key.signed.with(up.user, signingAlgorithm+public)}
		if fresh || !bytes.Equal(row.JSON, have[usage].JSON) {
			rows = append(rows, row)
		}
	}
	return rows, nil
}

// distinct sees to it that no two keys, nor a key and a device, have the same name: who sees a signature by that name could not tell whose
// it is. afresh says that with the master key, what there is goes. Client-Server API, "Key and signature security".
func (up *signingUpload) distinct(tx *store.Tx, have map[string]store.CrossSigningKey, afresh bool) error {
	var names []string
	for _, usage := range [...]string{store.UsageMaster, store.UsageSelfSigning, store.UsageUserSigning} {
		name := have[usage].PublicKey
		if key := up.keys[usage]; key != nil {
			name = key.public
			if taken, err := tx.HasDevice(up.user, id.DeviceID(name)); err != nil {
				return err
			} else if taken {
				return matrixError(http.StatusForbidden, "M_FORBIDDEN", "The %s key has the name of a device", usage)
			}
		} else if afresh {
			continue
		}
		if name != "" && slices.Contains(names, name) {
			return invalidParam("The %s key is that of another usage", usage)
		}
		names = append(names, name)
	}
	return nil
}

// signMaster stores the signatures by the user's devices that a new master key came with. Those by what is no device with keys count for
// nothing.
func (up *signingUpload) signMaster(tx *store.Tx, userNID int64) error {
	master := up.keys[store.UsageMaster]
	for name := range master.signed.signatures {
		device := id.DeviceID(strings.TrimPrefix(name, signingAlgorithm))
		if keyID(device) != name {
			continue
		}
		stored, err := tx.DeviceKeys(userNID, device)
		if errors.Is(err, store.ErrNotFound) {
			continue
		}
		if err != nil {
			return err
		}
		keys, err := storedDeviceKeys(By{User: up.user, Device: device}, stored)
		if err != nil {
			return err
		}
		if _, right := master.signed.by(name, keys.key); !right {
			return invalidSignature("The master key is not signed by %s, although it says so", device)
		}
		if err := tx.SignMaster(userNID, device, master.signed.signatures[name]); err != nil {
			return err
		}
	}
	return nil
}

// tell records that keys or signatures changed, and returns the signals for those who have to hear of it: all who share a room with the
// user when everybody sees what changed, else the user alone, for whom it is about some users.
func tell(tx *store.Tx, userNID int64, visible bool, about []int64) ([]notify.Signal, error) {
	if visible {
		change, err := tx.DevicesChanged(userNID)
		return notify.UserAndRooms(userNID, change.Rooms, change.Pos), err
	}
	pos, err := tx.SignaturesChanged(userNID, about)
	return []notify.Signal{{Key: notify.Key{Kind: notify.User, NID: userNID}, Pos: pos}}, err
}
