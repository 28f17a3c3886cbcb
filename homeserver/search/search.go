// Package search finds messages by their words, and users by their names. It keeps the index of messages and the words of users up to
// date by following the stream, and is called by clientapi. What a user may see is not decided here: each event that the index finds
// goes through a Reader, which is usersync's.
package search

import (
	"context"
	"encoding/json"
	"fmt"
	"sync/atomic"
	"time"

	"causeway/homeserver/notify"
	"causeway/homeserver/store"

	"github.com/rs/zerolog"
	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/id"
)

// Reader shows one user what they may see, in one transaction.
type Reader interface {
	// Rooms returns the rooms in which the user may look for events.
	Rooms() ([]int64, error)
	// See returns what the user sees of an event of one of these rooms, if the request's filter lets it pass, and nil for nothing.
	See(e *store.Event) (*store.Event, error)
	// AppendEvent appends an event that See has returned, as the client sees it.
	AppendEvent(dst []byte, e *store.Event) ([]byte, error)
	// AppendContext appends an object with what happened around an event: events_before, events_after, start, end and, if it is asked
	// for, profile_info.
	AppendContext(dst []byte, e *store.Event, before, after int, profiles bool) ([]byte, error)
	// AppendState appends an array of the state of a room that the user may read.
	AppendState(dst []byte, roomNID int64) ([]byte, error)
}

// Config is what a Service needs.
type Config struct {
	DB  *store.DB
	Bus notify.Bus
	// Open returns what shows events to a user, with a RoomEventFilter as the client sent it, nil for none. The error may be one that the
	// client sees.
	Open func(tx *store.Tx, user id.UserID, device id.DeviceID, filter json.RawMessage) (Reader, error)
	// AllUsers lets everybody find every user of this server.
	AllUsers bool
}

// Service finds messages and users. It is safe for concurrent use.
type Service struct {
	Config

	key  atomic.Pointer[indexKey]
	turn chan struct{} // holds one while somebody brings the index up to date
	// known is of whoever has the turn.
	known known
}

// indexKey is the key of the words in the index.
type indexKey struct {
	secret     [32]byte
	generation int64 // of the database in which it was read
}

// known is what is remembered of the index, for one generation of the database: in another, what was written last may be undone, and
// what is there may be another process's.
type known struct {
	generation int64
	reached    int64           // all events up to here are in the index
	openStates map[int64]int64 // the current state sets by which rooms were last found to be open or not
}

func newKnown(generation int64) known {
	return known{generation: generation, openStates: make(map[int64]int64)}
}

// New returns a Service.
func New(c Config) *Service {
	return &Service{Config: c, turn: make(chan struct{}, 1), known: newKnown(c.DB.Generation())}
}

const (
	// settle is how long Run lets events gather before it puts them into the index. Who searches does not wait for that.
	settle = 500 * time.Millisecond
	// lookInterval is how often Run looks without having been rung for.
	lookInterval = time.Minute
)

// Run keeps the index up to date until ctx ends. It returns nil then.
func (s *Service) Run(ctx context.Context) error {
	return notify.Follow(ctx, s.Bus, lookInterval, func(ctx context.Context) error {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(settle):
		}
		err := s.catchUp(ctx)
		for more := true; more && err == nil; {
			more, err = s.unindex(ctx)
		}
		if err != nil && ctx.Err() == nil {
			zerolog.Ctx(ctx).Error().Err(err).Msg("The index of messages and users is not up to date; the next attempt follows")
		}
		return nil
	}, notify.Events)
}

// matrixError makes an error that the client sees.
func matrixError(status int, code, format string, args ...any) error {
	return mautrix.RespError{StatusCode: status, ErrCode: code, Err: fmt.Sprintf(format, args...)}
}
