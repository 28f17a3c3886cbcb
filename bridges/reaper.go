package bridges

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/robfig/cron/v3"
	"maunium.net/go/mautrix/id"
)

// Reaper is the part of the configuration about rooms in which nobody is left but the bridge.
type Reaper struct {
	// Schedule is when rooms are looked at, as cron says it, in the machine's time zone; "" for never.
	Schedule string `yaml:"schedule"`
	// After is for how long nobody must have been there before the bridge leaves too.
	After time.Duration `yaml:"after"`
}

// DefaultReaper looks every night, and waits for a month.
func DefaultReaper() Reaper { return Reaper{Schedule: "45 4 * * *", After: 30 * 24 * time.Hour} }

// Validate checks the configuration; errors name the field.
func (r Reaper) Validate() error {
	if r.Schedule == "" {
		return nil
	}
	if _, err := cron.ParseStandard(r.Schedule); err != nil {
		return fmt.Errorf(`schedule: %q is not a time as of cron, such as "45 4 * * *"`, r.Schedule)
	}
	if r.After <= 0 {
		return errors.New("after: must be above 0")
	}
	return nil
}

// reap looks for deserted rooms at each time of the schedule, until ctx ends.
func (b *Bridge) reap(ctx context.Context) {
	if b.opts.Reaper.Schedule == "" {
		return
	}
	schedule, err := cron.ParseStandard(b.opts.Reaper.Schedule)
	if err != nil {
		b.log.Err(err).Msg("schedule of the reaper") // Validate would have told
		return
	}
	for {
		timer := time.NewTimer(time.Until(schedule.Next(time.Now())))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return
		}
		if err := b.reapOnce(ctx, time.Now()); err != nil && ctx.Err() == nil {
			b.log.Err(err).Msg("look for rooms that nobody is in")
		}
	}
}

// reapOnce looks at all rooms: those of portals, and others that the bot is in. A room that cannot be asked about is
// left as it is.
func (b *Bridge) reapOnce(ctx context.Context, now time.Time) error {
	rooms := map[id.RoomID]bool{}
	portals, err := b.v2.GetAllPortalsWithMXID(ctx)
	if err != nil {
		return fmt.Errorf("list the portals: %w", err)
	}
	for _, portal := range portals {
		rooms[portal.MXID] = true
	}
	joined, err := b.conn.Bot.JoinedRooms(ctx)
	if err != nil {
		return fmt.Errorf("list the rooms of the bot: %w", err)
	}
	for _, room := range joined.JoinedRooms {
		rooms[room] = true
	}
	for room := range rooms {
		if b.policies.follows(room) {
			continue
		}
		if err := b.look(ctx, room, now); err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			b.log.Err(err).Stringer("room_id", room).Msg("look whether anybody is in a room")
		}
	}
	return nil
}

// look notes whether a room is deserted, and has it unbridged when it has been for long.
func (b *Bridge) look(ctx context.Context, room id.RoomID, now time.Time) error {
	// What the bridge remembers may be wrong, and this cannot be taken back.
	members, err := b.conn.Bot.JoinedMembers(ctx, room)
	if err != nil {
		return err
	}
	people, err := b.persons(ctx, slices.Collect(maps.Keys(members.Joined)))
	if err != nil {
		return err
	}
	if len(people) > 0 {
		_, err := b.raw.Exec(ctx, `DELETE FROM host_deserted WHERE room_id=$1`, room)
		return err
	}
	_, err = b.raw.Exec(ctx, `INSERT INTO host_deserted (room_id, since_ts) VALUES ($1, $2) ON CONFLICT (room_id) DO NOTHING`,
		room, now.UnixMilli())
	if err != nil {
		return err
	}
	var since int64
	if err := b.raw.QueryRow(ctx, `SELECT since_ts FROM host_deserted WHERE room_id=$1`, room).Scan(&since); err != nil {
		return err
	}
	if now.Sub(time.UnixMilli(since)) < b.opts.Reaper.After {
		return nil
	}
	return b.Unbridge(ctx, room, "nobody is left in it")
}
