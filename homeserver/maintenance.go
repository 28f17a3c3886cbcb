package homeserver

import (
	"context"
	"errors"
	"fmt"
	"time"

	"causeway/homeserver/e2ee"
	"causeway/homeserver/retention"
	"causeway/homeserver/room"
	"causeway/homeserver/store"
	"causeway/homeserver/threepid"
	"causeway/homeserver/usersync"

	"github.com/robfig/cron/v3"
	"github.com/rs/zerolog"
	"maunium.net/go/mautrix/id"
)

// MaintenanceConfig says when the server tidies up, and what it deletes then.
type MaintenanceConfig struct {
	// Schedule is when, as cron says it, in the machine's time zone; "" for never.
	Schedule string `yaml:"schedule"`
	// RedactedKeep is how long the content of redacted events is kept where only the operator can read it; 0 for not at all.
	RedactedKeep time.Duration `yaml:"redacted_keep"`
	// PurgeForgotten is whether rooms are deleted that nobody here is in any more and all have forgotten, and ForgottenKeep how
	// long after.
	PurgeForgotten bool          `yaml:"purge_forgotten"`
	ForgottenKeep  time.Duration `yaml:"forgotten_keep"`
	// ToDeviceKeep is how long messages wait for a device that does not come for them, 0 for ever.
	ToDeviceKeep time.Duration   `yaml:"to_device_keep"`
	Retention    RetentionConfig `yaml:"retention"`
}

// RetentionConfig says how long messages are kept. 0 is for ever, and no limit.
type RetentionConfig struct {
	Enabled         bool          `yaml:"enabled"`
	DefaultLifetime time.Duration `yaml:"default_lifetime"`
	MinLifetime     time.Duration `yaml:"min_lifetime"`
	MaxLifetime     time.Duration `yaml:"max_lifetime"`
}

// Policy is the configured retention, as those who apply it want it.
func (c RetentionConfig) Policy() retention.Policy {
	return retention.Policy{Enabled: c.Enabled, Default: c.DefaultLifetime, Min: c.MinLifetime, Max: c.MaxLifetime}
}

// minLifetime is the shortest time for which a configuration can have messages kept: less would be a mistake.
const minLifetime = time.Minute

// minToDeviceKeep is the shortest time for which a configuration can have messages wait: a device that is off for a weekend is not gone.
const minToDeviceKeep = 7 * 24 * time.Hour

// Validate returns what is wrong, an error a line, each of which begins with the key that it is about.
func (c MaintenanceConfig) Validate() error {
	var errs []error
	bad := func(key, format string, args ...any) { errs = append(errs, fmt.Errorf(key+": "+format, args...)) }
	if _, err := c.schedule(); err != nil {
		bad("schedule", "%w", err)
	}
	for key, d := range map[string]time.Duration{"redacted_keep": c.RedactedKeep, "forgotten_keep": c.ForgottenKeep} {
		if d < 0 {
			bad(key, "must not be negative")
		}
	}
	if c.ToDeviceKeep != 0 && c.ToDeviceKeep < minToDeviceKeep {
		bad("to_device_keep", "must be 0, or %s at least", minToDeviceKeep)
	}
	r := c.Retention
	for key, d := range map[string]time.Duration{
		"default_lifetime": r.DefaultLifetime, "min_lifetime": r.MinLifetime, "max_lifetime": r.MaxLifetime,
	} {
		if d != 0 && d < minLifetime {
			bad("retention."+key, "must be 0, or %s at least", minLifetime)
		}
	}
	if r.MaxLifetime != 0 && r.MinLifetime > r.MaxLifetime {
		bad("retention.min_lifetime", "must not be more than max_lifetime")
	}
	return errors.Join(errs...)
}

// schedule parses Schedule. It is nil when there is none.
func (c MaintenanceConfig) schedule() (cron.Schedule, error) {
	if c.Schedule == "" {
		return nil, nil
	}
	s, err := cron.ParseStandard(c.Schedule)
	if err != nil {
		return nil, fmt.Errorf(`%q is not a time as of cron (%w): minute, hour, day, month, day of the week (0 is Sunday), such as "30 3 * * *"`, c.Schedule, err)
	}
	if s.Next(time.Now()).IsZero() {
		return nil, fmt.Errorf("%q is a time that never comes", c.Schedule)
	}
	return s, nil
}

// Maintenance deletes what is to be deleted, by the clock and when it is told to, and gives back the space that it took. Only one of
// its methods works at a time; the others wait for it.
type Maintenance struct {
	config MaintenanceConfig
	db     *store.DB
	rooms  *room.Service
	e2ee   *e2ee.Service
	// grace is how long users who are made to leave a room have to hear of it before the room is gone.
	grace time.Duration
	busy  chan struct{} // holds one while somebody works
}

// grace is what clients that are connected need many times over.
const grace = 3 * time.Second

// NewMaintenance returns the maintenance of a database without a server, as of a configuration of which it needs the server's name and
// key, the database, and Maintenance. A room that is purged with users in it goes without giving them time to hear of it.
func NewMaintenance(c Config) *Maintenance {
	return newMaintenance(c, room.New(roomConfig(c, nil)), e2ee.New(e2ee.Config{ServerName: c.ServerName, DB: c.DB, Bus: c.Bus}), 0)
}

func newMaintenance(c Config, rooms *room.Service, devices *e2ee.Service, grace time.Duration) *Maintenance {
	return &Maintenance{config: c.Maintenance, db: c.DB, rooms: rooms, e2ee: devices, grace: grace, busy: make(chan struct{}, 1)}
}

// What purges take and return.
type (
	// Before says up to where a room's history is purged.
	Before = room.Before
	// Occupied is the error of a purge of a room that users of this server are in.
	Occupied = room.Occupied
)

// Outcome is what was deleted, and what it did to the size of the database.
type Outcome struct {
	store.Purged
	SizeBefore, SizeAfter int64 // of the database, in bytes
	// Held is why some of what was deleted is still to be found in the database's files, nil when it is not.
	Held error
}

// maxIdle is how long the maintenance sleeps at once: while the machine sleeps, timers stand still.
const maxIdle = 10 * time.Minute

// Run ends the purges that were interrupted, and then does what is scheduled, until ctx ends. It returns nil then.
func (m *Maintenance) Run(ctx context.Context) error {
	log := zerolog.Ctx(ctx).With().Str("part", "maintenance").Logger()
	ctx = log.WithContext(ctx)
	if out, err := m.Resume(ctx); err != nil && ctx.Err() == nil {
		log.Error().Err(err).Msg("Rooms whose purge was interrupted are not purged yet")
	} else if out.Rooms > 0 {
		out.log(log.Info()).Msg("Rooms whose purge was interrupted are gone")
	}
	if err := m.e2ee.SweepBackups(ctx); err != nil && ctx.Err() == nil {
		log.Error().Err(err).Msg("Keys of deleted backups are not deleted yet")
	}
	schedule, err := m.config.schedule()
	if err != nil {
		return fmt.Errorf("the schedule of the maintenance: %w", err)
	}
	if schedule == nil {
		<-ctx.Done()
		return nil
	}
	for next := schedule.Next(time.Now()); ; {
		timer := time.NewTimer(min(time.Until(next), maxIdle))
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-timer.C:
		}
		if time.Now().Before(next) {
			continue
		}
		m.runLogged(ctx)
		next = schedule.Next(time.Now())
	}
}

func (m *Maintenance) runLogged(ctx context.Context) {
	log := zerolog.Ctx(ctx)
	started := time.Now()
	out, err := m.All(ctx)
	switch {
	case err != nil && ctx.Err() != nil:
		log.Info().Msg("The maintenance was interrupted, and goes on the next time")
	case err != nil:
		out.log(log.Error()).Err(err).Msg("The maintenance could not do everything")
	default:
		out.log(log.Info()).Dur("took", time.Since(started)).Msg("The maintenance is done")
	}
	if out.Held != nil {
		log.Warn().Err(out.Held).Msg("Deleted content is still in the database's files, until the next maintenance")
	}
}

func (o Outcome) log(e *zerolog.Event) *zerolog.Event {
	return e.Int64("rooms", o.Rooms).Int64("events", o.Events).Int64("state_sets", o.StateSets).Int64("originals", o.Originals).
		Int64("to_device", o.ToDevice).
		Int64("bytes", o.Bytes).Int64("size_before", o.SizeBefore).Int64("size_after", o.SizeAfter)
}

// All does what is scheduled: the content of redacted events, expired messages, messages for devices that are gone, forgotten rooms. What fails does not keep the rest from
// being done.
func (m *Maintenance) All(ctx context.Context) (Outcome, error) {
	return m.work(ctx, func(ctx context.Context) (store.Purged, error) {
		var all store.Purged
		var errs []error
		steps := []func(context.Context) (store.Purged, error){m.redacted, m.expired, m.undelivered}
		if m.config.PurgeForgotten {
			steps = append(steps, m.forgotten)
		}
		for _, step := range append(steps, m.rooms.ResumePurges, m.connections, m.backups, m.proofs) {
			done, err := step(ctx)
			all.Add(done)
			errs = append(errs, err)
		}
		return all, errors.Join(errs...)
	})
}

func (m *Maintenance) redacted(ctx context.Context) (store.Purged, error) {
	return m.rooms.PurgeRedacted(ctx, m.config.RedactedKeep)
}

func (m *Maintenance) expired(ctx context.Context) (store.Purged, error) {
	return m.rooms.ApplyRetention(ctx, m.config.Retention.Policy())
}

func (m *Maintenance) undelivered(ctx context.Context) (store.Purged, error) {
	return m.e2ee.DropOld(ctx, m.config.ToDeviceKeep)
}

func (m *Maintenance) forgotten(ctx context.Context) (store.Purged, error) {
	return m.rooms.PurgeForgotten(ctx, m.config.ForgottenKeep)
}

// connections deletes the connections of sliding sync that nobody uses any more.
func (m *Maintenance) connections(ctx context.Context) (store.Purged, error) {
	return store.Purged{}, usersync.ExpireSliding(ctx, m.db, time.Now())
}

// backups ends the deletion of key backups that was interrupted.
func (m *Maintenance) backups(ctx context.Context) (store.Purged, error) {
	return store.Purged{}, m.e2ee.SweepBackups(ctx)
}

// proofs deletes what is left of proofs that have expired.
func (m *Maintenance) proofs(ctx context.Context) (store.Purged, error) {
	return store.Purged{}, threepid.Expire(ctx, m.db, time.Now())
}

// Resume ends the purges of rooms that were interrupted.
func (m *Maintenance) Resume(ctx context.Context) (Outcome, error) {
	return m.workIf(ctx, m.rooms.ResumePurges, func(done store.Purged) bool { return done != store.Purged{} })
}

// PurgeRoom deletes a room. See room.Service.Purge for what becomes of users of this server who are in it, and for the errors.
func (m *Maintenance) PurgeRoom(ctx context.Context, roomID id.RoomID, evict bool) (Outcome, error) {
	return m.work(ctx, func(ctx context.Context) (store.Purged, error) { return m.rooms.Purge(ctx, roomID, evict, m.grace) })
}

// PurgeHistory deletes the history of a room before a point. See room.Service.PurgeHistory.
func (m *Maintenance) PurgeHistory(ctx context.Context, roomID id.RoomID, before Before) (Outcome, error) {
	return m.work(ctx, func(ctx context.Context) (store.Purged, error) { return m.rooms.PurgeHistory(ctx, roomID, before) })
}

// PurgeForgotten deletes the rooms that nobody here is in and all have forgotten, as long ago as is configured.
func (m *Maintenance) PurgeForgotten(ctx context.Context) (Outcome, error) {
	return m.work(ctx, m.forgotten)
}

// PurgeRedacted deletes what redacted events said, of those that were redacted as long ago as is configured.
func (m *Maintenance) PurgeRedacted(ctx context.Context) (Outcome, error) {
	return m.work(ctx, m.redacted)
}

// Compact writes the whole database anew, without free space. Nobody else may use it meanwhile: it is for a server that is stopped.
func (m *Maintenance) Compact(ctx context.Context) (Outcome, error) {
	return m.measured(ctx, func() (store.Purged, error) { return store.Purged{}, m.db.Compact(ctx) })
}

// work deletes something, when nobody else does, and frees its space; and that of what was redacted since, too, which is not there any
// more and may still be in the files.
func (m *Maintenance) work(ctx context.Context, purge func(context.Context) (store.Purged, error)) (Outcome, error) {
	return m.workIf(ctx, purge, func(store.Purged) bool { return true })
}

func (m *Maintenance) workIf(ctx context.Context, purge func(context.Context) (store.Purged, error), shrink func(store.Purged) bool) (Outcome, error) {
	select {
	case m.busy <- struct{}{}:
		defer func() { <-m.busy }()
	case <-ctx.Done():
		return Outcome{}, ctx.Err()
	}
	var held error
	out, err := m.measured(ctx, func() (store.Purged, error) {
		done, err := purge(ctx)
		if !shrink(done) {
			return done, err
		}
		shrinkErr := m.db.Shrink(ctx)
		if errors.Is(shrinkErr, store.ErrLogKept) {
			held, shrinkErr = shrinkErr, nil
		}
		return done, errors.Join(err, shrinkErr)
	})
	out.Held = held
	return out, err
}

func (m *Maintenance) measured(ctx context.Context, do func() (store.Purged, error)) (out Outcome, err error) {
	if out.SizeBefore, err = m.db.Size(ctx); err != nil {
		return out, err
	}
	out.Purged, err = do()
	after, sizeErr := m.db.Size(ctx)
	out.SizeAfter = after
	return out, errors.Join(err, sizeErr)
}
