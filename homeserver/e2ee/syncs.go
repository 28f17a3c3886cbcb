package e2ee

import (
	"context"
	"fmt"
	"sync"

	"causeway/homeserver/store"

	"maunium.net/go/mautrix/id"
)

// maxKnownSyncers bounds how many devices are remembered to sync.
const maxKnownSyncers = 50_000

// knownSyncers remembers the devices of which it is stored, where it matters, that they sync.
type knownSyncers struct {
	mu  sync.Mutex // guards all
	all map[inboxKey]struct{}
}

// has tells whether a device is known.
func (k *knownSyncers) has(device inboxKey) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	_, known := k.all[device]
	return known
}

func (k *knownSyncers) add(device inboxKey) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.all) >= maxKnownSyncers {
		clear(k.all)
	}
	k.all[device] = struct{}{}
}

// Syncs says that a device asks /sync for its messages. Those for a device of an account that an application service made also go to the
// service, and are otherwise deleted when the service has them; a device that syncs gets them here all the same (MSC4203, "when to
// delete a to-device message"). It costs next to nothing but for the first time.
func (s *Service) Syncs(ctx context.Context, user id.UserID, device id.DeviceID) error {
	key := inboxKey{user, device}
	if device == "" || s.syncers.has(key) {
		return nil
	}
	var userNID int64
	unknown := false
	err := s.db.View(ctx, func(tx *store.Tx) (err error) {
		if userNID, err = tx.LookupNID(string(user)); err != nil {
			return err
		}
		unknown, err = tx.NeedsSyncs(userNID, device)
		return err
	})
	if err == nil && unknown {
		err = s.db.Write(ctx, func(tx *store.Tx) error { return tx.SetSyncs(userNID, device) })
	}
	if err != nil {
		return fmt.Errorf("record that a device of %s syncs: %w", user, err)
	}
	s.syncers.add(key)
	return nil
}
