package e2ee

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"causeway/homeserver/store"

	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/id"
)

// BackedUpKey is the key of a session as it is in a backup (Client-Server API, KeyBackupData). All of it has to be there.
type BackedUpKey struct {
	FirstMessageIndex *int64          `json:"first_message_index"`
	ForwardedCount    *int64          `json:"forwarded_count"`
	IsVerified        *bool           `json:"is_verified"`
	SessionData       json.RawMessage `json:"session_data"`
}

// RoomBackup are the keys of a room.
type RoomBackup struct {
	Sessions map[id.SessionID]BackedUpKey `json:"sessions"`
}

// RoomsBackup are the keys of all rooms.
type RoomsBackup struct {
	Rooms map[id.RoomID]RoomBackup `json:"rooms"`
}

// maxCounter is the largest integer that Matrix has (Appendices, Canonical JSON).
const maxCounter = 1<<53 - 1

// check returns a key as it is stored.
func (k BackedUpKey) check(name store.SessionName) (store.BackedUpKey, error) {
	stored := store.BackedUpKey{SessionName: name}
	switch {
	case !isName(string(name.RoomID)) || !isName(string(name.SessionID)):
		return stored, invalidParam("The id of a room or a session can have %d bytes", maxNameBytes)
	case k.FirstMessageIndex == nil:
		return stored, missingParam("first_message_index")
	case k.ForwardedCount == nil:
		return stored, missingParam("forwarded_count")
	case k.IsVerified == nil:
		return stored, missingParam("is_verified")
	case absent(k.SessionData):
		return stored, missingParam("session_data")
	case *k.FirstMessageIndex < 0 || *k.FirstMessageIndex > maxCounter || *k.ForwardedCount < 0 || *k.ForwardedCount > maxCounter:
		return stored, invalidParam("first_message_index and forwarded_count are from 0 to 2^53-1")
	}
	data, err := compactObject("session_data", k.SessionData, maxSessionDataBytes)
	stored.FirstMessageIndex, stored.ForwardedCount, stored.Verified = *k.FirstMessageIndex, *k.ForwardedCount, *k.IsVerified
	stored.SessionData, stored.Bytes = data, int64(len(data))
	return stored, err
}

// check returns the keys as they are stored, in the order of their names.
func (in RoomsBackup) check() ([]store.BackedUpKey, error) {
	if in.Rooms == nil {
		return nil, missingParam("rooms")
	}
	total := 0
	for _, room := range in.Rooms {
		if room.Sessions == nil {
			return nil, missingParam("sessions")
		}
		total += len(room.Sessions)
	}
	if total > maxKeysPerRequest {
		return nil, tooLarge("One request can put %d keys into a backup", maxKeysPerRequest)
	}
	keys := make([]store.BackedUpKey, 0, total)
	for roomID, room := range in.Rooms {
		for sessionID, key := range room.Sessions {
			k, err := key.check(store.SessionName{RoomID: roomID, SessionID: sessionID})
			if err != nil {
				return nil, err
			}
			keys = append(keys, k)
		}
	}
	slices.SortFunc(keys, func(a, b store.BackedUpKey) int {
		return cmp.Or(strings.Compare(string(a.RoomID), string(b.RoomID)), strings.Compare(string(a.SessionID), string(b.SessionID)))
	})
	return keys, nil
}

// better tells whether a key takes the place of another of the same session (Client-Server API, "Server-side key backups"): one that is
// verified is better than one that is not, then one that reads from further back, then one that came by fewer hands.
func better(key, than store.BackedUpKey) bool {
	switch {
	case key.Verified != than.Verified:
		return key.Verified
	case key.FirstMessageIndex != than.FirstMessageIndex:
		return key.FirstMessageIndex < than.FirstMessageIndex
	}
	return key.ForwardedCount < than.ForwardedCount
}

// BackUp puts keys into the current version of a backup, each unless the one that is there is as good, and returns what the backup
// has then (Client-Server API, PUT /room_keys/keys). Errors: M_MISSING_PARAM, M_BAD_JSON, M_INVALID_PARAM, M_TOO_LARGE, M_NOT_FOUND,
// M_WRONG_ROOM_KEYS_VERSION for a version that is not the current one.
func (s *Service) BackUp(ctx context.Context, by By, version string, in RoomsBackup) (result BackupState, err error) {
	keys, err := in.check()
	if err != nil {
		return result, err
	}
	err = s.db.Write(ctx, func(tx *store.Tx) error {
		b, err := writable(tx, by, version)
		if err != nil {
			return err
		}
		if err := s.putKeys(tx, b, keys); err != nil {
			return err
		}
		result = state(b)
		return nil
	})
	if err != nil {
		return result, fmt.Errorf("back up keys of %s: %w", by.User, err)
	}
	return result, nil
}

// writable returns a version of a backup, if it is the one to which keys go.
func writable(tx *store.Tx, by By, version string) (*store.KeyBackup, error) {
	userNID, err := owner(tx, by)
	if err != nil {
		return nil, err
	}
	b, err := findBackup(tx, userNID, version)
	if err != nil {
		return nil, err
	}
	current, err := currentBackup(tx, userNID)
	if err != nil {
		return nil, err
	}
	if b.Version != current.Version {
		return nil, mautrix.RespError{
			StatusCode: http.StatusForbidden, ErrCode: "M_WRONG_ROOM_KEYS_VERSION", Err: "This is not the current version of the backup",
			ExtraData: map[string]any{"current_version": versionName(current.Version)},
		}
	}
	return b, nil
}

// putKeys stores those of some keys that are better than what is there, and what b is then.
func (s *Service) putKeys(tx *store.Tx, b *store.KeyBackup, keys []store.BackedUpKey) error {
	names := make([]store.SessionName, len(keys))
	for i, k := range keys {
		names[i] = k.SessionName
	}
	have, err := tx.KeysInBackup(b, names)
	if err != nil {
		return err
	}
	var added store.KeyBackupTotals
	changed := false
	for _, k := range keys {
		old, there := have[k.SessionName]
		if there && !better(k, old) {
			continue
		}
		if !there {
			added.Keys++
		}
		added.Bytes += k.Bytes - old.Bytes
		changed = true
		if err := tx.PutKeyInBackup(b, k); err != nil {
			return err
		}
	}
	if !changed {
		return nil
	}
	totals, err := tx.KeyBackupTotals(b.UserNID)
	if err != nil {
		return err
	}
	// What only replaces keys is always taken.
	if limit := s.maxBackups; added.Keys > 0 && (totals.Keys+added.Keys > limit.Keys || totals.Bytes+added.Bytes > limit.Bytes) {
		return tooLarge("There can be %d keys in backups, with %d bytes", limit.Keys, limit.Bytes)
	}
	b.Count, b.Bytes, b.ETag = b.Count+added.Keys, b.Bytes+added.Bytes, b.ETag+1
	return tx.SetKeyBackupState(b)
}

// DeleteBackedUp deletes keys from a version of a backup, and returns what the backup has then: that of a session, or, when session is "",
// those of a room, or, when both are "", all (Client-Server API, DELETE /room_keys/keys). Errors: M_NOT_FOUND.
func (s *Service) DeleteBackedUp(ctx context.Context, by By, version string, room id.RoomID, session id.SessionID) (result BackupState, err error) {
	more := false
	err = s.db.Write(ctx, func(tx *store.Tx) error {
		userNID, err := owner(tx, by)
		if err != nil {
			return err
		}
		b, err := findBackup(tx, userNID, version)
		if err != nil {
			return err
		}
		keys, bytes := b.Count, b.Bytes
		if room == "" {
			if keys > 0 {
				more, err = tx.ClearKeyBackup(b)
			}
		} else {
			keys, bytes, err = tx.DeleteKeysFromBackup(b, room, session)
		}
		if err == nil && keys > 0 {
			b.Count, b.Bytes, b.ETag = b.Count-keys, b.Bytes-bytes, b.ETag+1
			err = tx.SetKeyBackupState(b)
		}
		result = state(b)
		return err
	})
	if err == nil && more {
		err = s.SweepBackups(ctx)
	}
	if err != nil {
		return result, fmt.Errorf("delete backed up keys of %s: %w", by.User, err)
	}
	return result, nil
}
