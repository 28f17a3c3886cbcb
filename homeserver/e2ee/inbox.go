package e2ee

import (
	"context"
	"fmt"
	"sync"
	"time"

	"causeway/homeserver/store"

	"maunium.net/go/mautrix/id"
)

// maxEmptyInboxes bounds how many devices are remembered to have nothing that waits.
const maxEmptyInboxes = 50_000

type inboxKey struct {
	user   id.UserID
	device id.DeviceID
}

// emptyInboxes remembers up to which position nothing waits for a device. Messages only ever come at positions past all that have been
// seen, so what is empty stays so, for as long as no other process can have written: for one generation.
type emptyInboxes struct {
	mu         sync.Mutex // guards upto and generation
	upto       map[inboxKey]int64
	generation int64 // of the database, for which upto holds
}

// in makes the memory one of a generation, and tells whether it is: what an older one has found is not to be remembered any more. The
// caller holds e.mu.
func (e *emptyInboxes) in(generation int64) bool {
	if e.generation < generation {
		clear(e.upto)
		e.generation = generation
	}
	return e.generation == generation
}

func (e *emptyInboxes) get(k inboxKey, generation int64) int64 {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.in(generation) {
		return 0
	}
	return e.upto[k]
}

func (e *emptyInboxes) put(k inboxKey, upto, generation int64) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.in(generation) {
		return
	}
	if len(e.upto) >= maxEmptyInboxes {
		clear(e.upto)
	}
	e.upto[k] = max(e.upto[k], upto)
}

// Acknowledge deletes the messages for a device up to a position: the device has them, as it has come back with a token of that position.
// It costs next to nothing when there are none, and may be called again.
func (s *Service) Acknowledge(ctx context.Context, user id.UserID, device id.DeviceID, upto int64) error {
	key, generation := inboxKey{user, device}, s.db.Generation()
	empty := s.empty.get(key, generation)
	if device == "" || upto <= empty {
		return nil
	}
	if empty > 0 && s.db.Quiet(store.FamilyToDevice, empty) {
		return nil
	}
	var userNID int64
	waiting, future := false, false
	err := s.db.View(ctx, func(tx *store.Tx) (err error) {
		if userNID, err = tx.LookupNID(string(user)); err != nil {
			return err
		}
		if waiting, err = tx.HasToDevice(userNID, device, upto); err != nil {
			return err
		}
		// A token from before the database was restored from a backup acknowledges nothing of what is there now.
		now, err := tx.StreamPos()
		future = upto > now
		return err
	})
	if err != nil {
		return fmt.Errorf("look for messages that %s has: %w", user, err)
	}
	if future {
		return nil
	}
	if waiting {
		err = s.db.Write(ctx, func(tx *store.Tx) error { return tx.DeleteToDevice(userNID, device, upto) })
		if err != nil {
			return fmt.Errorf("delete messages that %s has: %w", user, err)
		}
	}
	s.empty.put(key, upto, generation)
	return nil
}

// DropOld deletes the messages that have waited for longer than keep, for devices that have not been seen since; 0 keeps them for ever.
func (s *Service) DropOld(ctx context.Context, keep time.Duration) (store.Purged, error) {
	var all store.Purged
	if keep == 0 {
		return all, nil
	}
	beforeTS := s.now().Add(-keep).UnixMilli()
	for after, more := int64(0), true; more; {
		var dropped, bytes, last int64
		err := s.db.Write(ctx, func(tx *store.Tx) (err error) {
			dropped, bytes, last, more, err = tx.DropToDevice(after, beforeTS)
			return err
		})
		if err != nil {
			return all, fmt.Errorf("drop messages for devices that are gone: %w", err)
		}
		after = last
		all.Add(store.Purged{ToDevice: dropped, Bytes: bytes})
	}
	return all, nil
}
