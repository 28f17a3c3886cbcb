package e2ee

import (
	"context"
	"fmt"
	"sync"

	"causeway/homeserver/store"

	"maunium.net/go/mautrix/id"
)

// maxPersonal bounds how many devices are remembered to be people's.
const maxPersonal = 50_000

// personalDevices remembers devices of which it does not matter whether they sync. One of an application service's account is not
// among them: it may be deleted and made again under the same id.
type personalDevices struct {
	mu  sync.Mutex // guards all
	all map[inboxKey]struct{}
}

func (p *personalDevices) has(device inboxKey) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	_, known := p.all[device]
	return known
}

func (p *personalDevices) add(device inboxKey) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.all) >= maxPersonal {
		clear(p.all)
	}
	p.all[device] = struct{}{}
}

// Syncs says that a device asks /sync for its messages. Those for a device of an account that an application service made also go to the
// service, and are otherwise deleted when the service has them; a device that syncs gets them here all the same (MSC4203, "when to
// delete a to-device message"). For people it costs next to nothing but the first time, and one query for others.
func (s *Service) Syncs(ctx context.Context, user id.UserID, device id.DeviceID) error {
	key := inboxKey{user, device}
	if device == "" || s.personal.has(key) {
		return nil
	}
	var (
		userNID         int64
		stored, matters bool
	)
	err := s.db.View(ctx, func(tx *store.Tx) (err error) {
		if userNID, err = tx.LookupNID(string(user)); err != nil {
			return err
		}
		stored, matters, err = tx.Syncs(userNID, device)
		return err
	})
	if err == nil && matters && !stored {
		err = s.db.Write(ctx, func(tx *store.Tx) error { return tx.SetSyncs(userNID, device) })
	}
	if err != nil {
		return fmt.Errorf("record that a device of %s syncs: %w", user, err)
	}
	if !matters {
		s.personal.add(key)
	}
	return nil
}
