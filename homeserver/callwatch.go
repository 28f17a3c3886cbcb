package homeserver

import (
	"context"
	"time"

	"causeway/homeserver/event"
	"causeway/homeserver/notify"
	"causeway/homeserver/store"

	"github.com/rs/zerolog"
	"maunium.net/go/mautrix/id"
)

// CallWatcher hears at once what may end somebody's part in a call. Its methods must not block.
type CallWatcher interface {
	// Watches tells whether anything that happens in a room matters; that of room "" asks whether there are any calls.
	Watches(room id.RoomID) bool
	// AccessChanged tells that what a user may do in the calls of a room may have changed: of all of the room for user "", and of a user
	// in all rooms for room "".
	AccessChanged(room id.RoomID, user id.UserID)
}

const (
	// callsInterval is how often the stream is looked at without a signal.
	callsInterval = 10 * time.Second
	// callsBatch bounds the events that are read at once.
	callsBatch = 1000
)

// callStream follows the stream of events for who may be in calls.
type callStream struct {
	db      *store.DB
	watcher CallWatcher
	pos     int64
}

// followCalls tells the watcher of members who come and go, and of power levels, until ctx ends. What happened before it began needs no
// telling: whoever comes into a call is looked at then.
func (s *Server) followCalls(ctx context.Context) error {
	c := &callStream{db: s.db, watcher: s.callWatch, pos: -1}
	return notify.Follow(ctx, s.bus, callsInterval, func(ctx context.Context) error {
		if err := c.look(ctx); err != nil && ctx.Err() == nil {
			zerolog.Ctx(ctx).Err(err).Msg("What changes for calls could not be read, and is read later")
		}
		return nil
	}, notify.Events)
}

// look reads what is new, and tells what of it matters.
func (c *callStream) look(ctx context.Context) error {
	for {
		var changes []callChange
		pos, more := c.pos, false
		watching := c.watcher.Watches("") // before the position: who takes a seat after it is looked at anyway
		err := c.db.View(ctx, func(tx *store.Tx) (err error) {
			changes, pos, more = nil, c.pos, false
			if pos < 0 || !watching {
				pos, err = tx.StreamPos()
				return err
			}
			changes, pos, more, err = c.read(tx)
			return err
		})
		if err != nil {
			return err
		}
		c.pos = pos
		for _, change := range changes {
			c.watcher.AccessChanged(change.room, change.user)
		}
		if !more {
			return nil
		}
	}
}

// callChange is a room, or a user in it, whose access may have changed.
type callChange struct {
	room id.RoomID
	user id.UserID
}

func (c *callStream) read(tx *store.Tx) (changes []callChange, pos int64, more bool, err error) {
	if pos, err = tx.StreamPos(); err != nil {
		return nil, 0, false, err
	}
	rows, err := tx.StreamIDs(c.pos, callsBatch)
	if err != nil {
		return nil, 0, false, err
	}
	if more = len(rows) == callsBatch; more {
		pos = rows[len(rows)-1].Pos
	}
	member, err := tx.LookupNID(event.TypeMember)
	if err != nil {
		return nil, 0, false, err
	}
	levels, err := tx.LookupNID(event.TypePowerLevels)
	if err != nil {
		return nil, 0, false, err
	}
	for _, row := range rows {
		if row.StateKeyNID == 0 || row.TypeNID != member && row.TypeNID != levels {
			continue
		}
		room, err := tx.RoomID(row.RoomNID)
		if err != nil {
			return nil, 0, false, err
		}
		if !c.watcher.Watches(room) {
			continue
		}
		change := callChange{room: room}
		if row.TypeNID == member {
			user, err := tx.Text(row.StateKeyNID)
			if err != nil {
				return nil, 0, false, err
			}
			change.user = id.UserID(user)
		}
		changes = append(changes, change)
	}
	return changes, pos, more, nil
}
