package account

import (
	"context"
	"strings"
	"sync"
	"time"

	"causeway/homeserver/store"

	"github.com/rs/zerolog"
	"maunium.net/go/mautrix/id"
)

// When and from where devices are seen is kept in memory, and written all together once in a while: a device costs at most one row a
// minute, however much it asks for.
const (
	seenEvery    = time.Minute
	maxSeen      = 50_000 // devices in memory; past it no further ones are noted until the next writing
	maxSeenBatch = 500    // rows of one transaction
	maxSeenBytes = 255    // of an address, and of a User-Agent
)

// sightings remembers which devices were seen since they were last written.
type sightings struct {
	mu   sync.Mutex // guards rows
	rows map[sightingKey]store.Sighting
}

type sightingKey struct {
	user   id.UserID
	device id.DeviceID
}

func newSightings() *sightings { return &sightings{rows: make(map[sightingKey]store.Sighting)} }

func (k *sightings) of(user id.UserID, device id.DeviceID) (store.Sighting, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	seen, ok := k.rows[sightingKey{user, device}]
	return seen, ok
}

func (k *sightings) note(key sightingKey, seen store.Sighting) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if _, ok := k.rows[key]; ok || len(k.rows) < maxSeen {
		k.rows[key] = seen
	}
}

func (k *sightings) take() map[sightingKey]store.Sighting {
	k.mu.Lock()
	defer k.mu.Unlock()
	rows := k.rows
	k.rows = make(map[sightingKey]store.Sighting)
	return rows
}

// Saw notes that a device made a request, from an address and with a User-Agent. It costs no I/O.
func (s *Service) Saw(user id.UserID, device id.DeviceID, ip, agent string) {
	if device == "" {
		return
	}
	s.seen.note(sightingKey{user, device}, store.Sighting{TS: s.now(), IP: clean(ip), Agent: clean(agent)})
}

// clean makes of what came in a header what every database takes for text.
func clean(s string) string {
	if len(s) > maxSeenBytes {
		s = s[:maxSeenBytes]
	}
	return strings.ToValidUTF8(strings.ReplaceAll(s, "\x00", ""), "")
}

// writeSeen writes what was seen since the last time.
func (s *Service) writeSeen(ctx context.Context) {
	rows := s.seen.take()
	batch := make(map[sightingKey]store.Sighting, min(len(rows), maxSeenBatch))
	flush := func() {
		err := s.db.Write(ctx, func(tx *store.Tx) error {
			for key, seen := range batch {
				if err := tx.SetLastSeen(key.user, key.device, seen); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil && ctx.Err() == nil {
			zerolog.Ctx(ctx).Err(err).Msg("When devices were last seen could not be written")
		}
		clear(batch)
	}
	for key, seen := range rows {
		if batch[key] = seen; len(batch) == maxSeenBatch {
			flush()
		}
	}
	if len(batch) > 0 {
		flush()
	}
}
