package ephemeral

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"causeway/homeserver/notify"
	"causeway/homeserver/store"

	"github.com/rs/zerolog"
	"maunium.net/go/mautrix/id"
)

// The states of presence. Client-Server API, "Presence"; busy is of MSC3026.
const (
	Online      = "online"
	Unavailable = "unavailable"
	Offline     = "offline"
	Busy        = "org.matrix.msc3026.busy"
)

const (
	// idleAfter is how long after the last activity of an online user they are taken for idle. Client-Server API, "Idle timeout".
	idleAfter = 5 * time.Minute
	// offlineAfter is how long after the last /sync has ended a user is taken for gone.
	offlineAfter = 30 * time.Second
	// silentAfter is the same for users who say that they are there and do not sync, as those of bridges.
	silentAfter = 5 * time.Minute
	// maxStatusBytes bounds a status message.
	maxStatusBytes = 1024
)

// PresenceConfig says who hears of presence.
type PresenceConfig struct {
	Enabled bool
	// MaxRoomMembers is the size of the rooms, in members, in which it is told. Nobody waits for it in larger ones.
	MaxRoomMembers int
}

// Presence knows who is there. What others see is stored when a user's state or status message changes, and not before: a user who is
// there and goes on being there costs nothing. Who is offline is not in memory.
type Presence struct {
	config PresenceConfig
	db     *store.DB
	bus    notify.Bus

	mu     sync.Mutex // guards people, due and closed
	people map[id.UserID]*person
	due    []id.UserID // whose timers have fired
	closed bool
	wake   chan struct{} // due has grown
}

// NewPresence returns a Presence. Run ends what has not been said again for some time.
func NewPresence(config PresenceConfig, db *store.DB, bus notify.Bus) *Presence {
	return &Presence{config: config, db: db, bus: bus, people: make(map[id.UserID]*person), wake: make(chan struct{}, 1)}
}

// PresenceStatus is the presence of a user. Client-Server API, GET /presence/{userId}/status.
type PresenceStatus struct {
	Presence        string `json:"presence"`
	LastActiveAgo   *int64 `json:"last_active_ago,omitempty"` // in milliseconds
	StatusMsg       string `json:"status_msg,omitempty"`
	CurrentlyActive bool   `json:"currently_active"`
}

// Status returns the presence of a user for one who shares a room with them. Errors: 404 M_NOT_FOUND for nobody, 403 M_FORBIDDEN for
// somebody else's.
func (s *Presence) Status(ctx context.Context, reader, user id.UserID) (PresenceStatus, error) {
	var row store.Presence
	err := s.db.View(ctx, func(tx *store.Tx) error {
		if reader != user {
			if err := mayAsk(tx, reader, user); err != nil {
				return err
			}
		}
		if !s.config.Enabled {
			return nil
		}
		var err error
		if row, err = tx.Presence(user); errors.Is(err, store.ErrNotFound) {
			err = nil
		}
		return err
	})
	if err != nil {
		return PresenceStatus{}, err
	}
	if row.State == "" {
		row.State = Offline
	}
	status := PresenceStatus{Presence: row.State, StatusMsg: row.StatusMsg, CurrentlyActive: row.State == Online}
	if last := max(row.LastActiveTS, s.LastActive(user)); last > 0 {
		ago := max(0, time.Now().UnixMilli()-last)
		status.LastActiveAgo = &ago
	}
	return status, nil
}

// mayAsk returns an error when a user may not know of another's presence.
func mayAsk(tx *store.Tx, reader, user id.UserID) error {
	exists, err := tx.UserExists(user)
	if err == nil && !exists {
		err = matrixError(404, "M_NOT_FOUND", "There is no user %s here", user)
	}
	if err != nil {
		return err
	}
	a, err := tx.LookupNID(string(reader))
	if err != nil {
		return err
	}
	b, err := tx.LookupNID(string(user))
	if err != nil {
		return err
	}
	shared, err := tx.ShareRoom(a, b)
	if err == nil && !shared {
		err = matrixError(403, "M_FORBIDDEN", "You share no room with %s", user)
	}
	return err
}

// SetStatus records what a user says of being there (Client-Server API, PUT /presence/{userId}/status). statusMsg is nil to keep the
// message that there is, and "" for none. The error is 400 M_INVALID_PARAM.
func (s *Presence) SetStatus(ctx context.Context, user id.UserID, state string, statusMsg *string) error {
	if err := CheckState(state); err != nil {
		return err
	}
	if statusMsg != nil && (len(*statusMsg) > maxStatusBytes || strings.Contains(*statusMsg, "\x00")) {
		return matrixError(400, "M_INVALID_PARAM", "status_msg must be text of at most %d bytes", maxStatusBytes)
	}
	if !s.config.Enabled {
		return nil
	}
	p, release, err := s.person(ctx, user)
	if err != nil {
		return err
	}
	defer release()
	return s.change(ctx, p, p.told(state, statusMsg))
}

// CheckState returns 400 M_INVALID_PARAM for what is no state of presence.
func CheckState(state string) error {
	switch state {
	case Online, Unavailable, Offline, Busy:
		return nil
	}
	return matrixError(400, "M_INVALID_PARAM", "presence must be %s, %s, %s or %s", Online, Unavailable, Offline, Busy)
}

// Syncing says that a device begins to sync, and what it says of its user: online, unavailable or busy. ended is called when the request
// ends. A device that says offline, or nothing, is not heard of. Errors are logged: nobody's messages wait for presence.
func (s *Presence) Syncing(ctx context.Context, user id.UserID, device id.DeviceID, state string) (ended func()) {
	if !s.config.Enabled || state == Offline || CheckState(state) != nil {
		return func() {}
	}
	p, release, err := s.person(ctx, user)
	if err == nil {
		err = s.change(ctx, p, p.syncing(device, state))
		release()
	}
	if p == nil {
		logError(ctx, user, err)
		return func() {}
	}
	if err != nil {
		logError(ctx, user, err)
	}
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.ended(device)
		s.arm(p)
	}
}

func logError(ctx context.Context, user id.UserID, err error) {
	if ctx.Err() == nil {
		zerolog.Ctx(ctx).Err(err).Stringer("user_id", user).Msg("Recording a presence")
	}
}

// Active says that a user does something that others may know of. Who is idle comes online by it (Client-Server API, "Idle timeout").
// It makes nobody come online who does not sync, or wants to be taken for offline; of who is online already, the time is kept.
func (s *Presence) Active(user id.UserID) {
	s.mu.Lock()
	p := s.people[user]
	s.mu.Unlock()
	if p == nil || p.absent.Load() {
		return
	}
	p.lastActive.Store(time.Now().UnixMilli())
	if p.idle.Load() && !p.acted.Swap(true) {
		s.poke(user)
	}
}

// LastActive returns when a user who is there was last active, in milliseconds, 0 when that is not known to be later than what is
// stored.
func (s *Presence) LastActive(user id.UserID) int64 {
	s.mu.Lock()
	p := s.people[user]
	s.mu.Unlock()
	if p == nil {
		return 0
	}
	return p.lastActive.Load()
}

// person returns a user as of what is stored, locked until release is called.
func (s *Presence) person(ctx context.Context, user id.UserID) (p *person, release func(), err error) {
	for {
		s.mu.Lock()
		p = s.people[user]
		if p == nil {
			p = newPerson(user)
			s.people[user] = p
		}
		s.mu.Unlock()
		p.mu.Lock()
		if !p.gone {
			break
		}
		p.mu.Unlock() // it has just been taken out of memory
	}
	if !p.loaded {
		if err := s.load(ctx, p); err != nil {
			s.arm(p)
			p.mu.Unlock()
			return nil, nil, err
		}
	}
	return p, func() { s.arm(p); p.mu.Unlock() }, nil
}

func (s *Presence) load(ctx context.Context, p *person) error {
	return s.db.View(ctx, func(tx *store.Tx) error {
		row, err := tx.Presence(p.user)
		if errors.Is(err, store.ErrNotFound) {
			err = nil
		}
		if err == nil {
			p.take(row)
		}
		return err
	})
}

// change stores a state and status message if they are others than before, and rings for those who see it. The caller holds p.mu.
func (s *Presence) change(ctx context.Context, p *person, to stated) error {
	if to == p.stated {
		return nil
	}
	var (
		rooms        []int64
		userNID, pos int64
	)
	row := store.Presence{State: to.state, StatusMsg: to.message, LastActiveTS: p.lastActive.Load()}
	err := s.db.Write(ctx, func(tx *store.Tx) (err error) {
		userNID, pos, err = tx.SetPresence(p.user, row)
		return err
	})
	if err != nil {
		return fmt.Errorf("store the presence of %s: %w", p.user, err)
	}
	p.state(to)
	if pos == 0 {
		return nil // the account has ended
	}
	err = s.db.View(ctx, func(tx *store.Tx) (err error) {
		rooms, err = tx.SmallRooms(userNID, s.config.MaxRoomMembers)
		return err
	})
	signals := []notify.Signal{{Key: notify.Key{Kind: notify.User, NID: userNID}, Pos: pos}}
	for _, nid := range rooms {
		signals = append(signals, notify.Signal{Key: notify.Key{Kind: notify.Room, NID: nid}, Pos: pos})
	}
	s.bus.Publish(signals...)
	return err
}
