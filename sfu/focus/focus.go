// Package focus is what stands between Matrix and an SFU: it makes access tokens for members of rooms (MSC4195, and the older
// service that clients call /sfu/get), puts out who may not be in a call any more, and ends the membership of who has left one
// without saying so (MSC4140, delegated delayed events). The wiring gives it the homeserver and the SFU, ours, a LiveKit elsewhere or
// several machines of ours (Nodes), as small interfaces; clients reach it by its Handler, and by the client-server API, which calls Token and Delegate.
//
// It knows no media, no events and no database. All that it keeps is who has a seat in which call: a row for each, so that a token that
// was made before a ban is known after a restart. Which call is on which machine is asked of those after one.
package focus

import (
	"context"
	"errors"
	"hash/maphash"
	"sync"
	"time"

	"github.com/rs/zerolog"
	"maunium.net/go/mautrix/id"
)

// Access is what a user may do in the calls of a room.
type Access struct {
	// Joined is whether the user is in the room, and may use the account and the device.
	Joined bool
	// ByState is whether the user may say so by the state event org.matrix.msc3401.call.member, and by that may send sound and
	// picture; BySticky by the sticky event m.rtc.member, or org.matrix.msc4143.rtc.member.
	ByState, BySticky bool
}

// Membership tells who may be in a call.
type Membership interface {
	// Access returns what a user of this server may do in the calls of a room. A device that is not the user's, as after its logout,
	// may do nothing. A room that is not known is no error.
	Access(ctx context.Context, room id.RoomID, user id.UserID, device id.DeviceID) (Access, error)
}

// OpenID tells whose an OpenID token of this server is. An unknown token is an error that is a Matrix error.
type OpenID interface {
	OpenIDUser(ctx context.Context, token string) (id.UserID, error)
}

// RemoteOpenID asks another server whose an OpenID token is.
type RemoteOpenID interface {
	RemoteOpenIDUser(ctx context.Context, server, token string) (id.UserID, error)
}

// Grant is what an access token allows.
type Grant struct {
	Room     string // the alias
	Identity string
	Publish  bool
	Create   bool // the room may be made by it
}

// Minter makes an access token, which is valid for a time.
type Minter func(g Grant, valid time.Duration) (string, error)

// SFU is where the media is.
type SFU interface {
	// Open makes a room, unless it is there, and returns the WebSocket address at which clients find it. It is called before a token for
	// it is handed out.
	Open(ctx context.Context, room string) (url string, err error)
	// Remove puts a participant out, if it is there.
	Remove(ctx context.Context, room, identity string) error
	// SetPublish changes whether a participant may send anything, at once.
	SetPublish(ctx context.Context, room, identity string, publish bool) error
	// Present returns who is in a room.
	Present(ctx context.Context, room string) (identities []string, err error)
}

// Elsewhere is an SFU that asks nobody whether a token still holds, and tells by signed webhooks who comes and goes.
type Elsewhere interface {
	SFU
	// verify finds out whether a webhook is of that SFU, by its Authorization header and the base64 of the SHA-256 of its body.
	verify(authorization, sum string) error
	// speaksFor is whether the part of it that says that it is called node, "" for one without parts, may tell of a room.
	speaksFor(node, room string) bool
	// ours is whether nobody comes into its calls but by this service: who is there without a seat is put out.
	ours() bool
	// askAll finds out, before anything is served, what runs there; run watches over it until ctx ends. Both tell the service what has changed.
	askAll(ctx context.Context, s *Service)
	run(ctx context.Context, s *Service)
}

// Delay is a delayed event (MSC4140).
type Delay struct {
	RoomID id.RoomID
	After  time.Duration
}

// Delays acts on the delayed events of users of this server. Errors are Matrix errors, but for those of the database.
type Delays interface {
	DelayedEvent(ctx context.Context, user id.UserID, delayID string) (Delay, error)
	RestartDelayed(ctx context.Context, user id.UserID, delayID string) error
	SendDelayed(ctx context.Context, user id.UserID, delayID string) error
	CancelDelayed(ctx context.Context, user id.UserID, delayID string) error
}

// Seat is that somebody may be in a call by an identity, since a token was made for it.
type Seat struct {
	Alias, Identity string
	RoomID          id.RoomID
	UserID          id.UserID
	DeviceID        id.DeviceID
	// Legacy is whether membership is said by state.
	Legacy  bool
	UntilTS int64 // until when a token of it is valid
	// DelayID is the delayed event that is sent when the participant has left, "" for none, and DelayMS after what time it goes
	// by itself.
	DelayID string
	DelayMS int64
}

// Ledger keeps seats over a restart. SaveSeat puts one in the place of that with the same alias and identity.
type Ledger interface {
	Seats(ctx context.Context) ([]Seat, error)
	SaveSeat(ctx context.Context, seat Seat) error
	DropSeat(ctx context.Context, alias, identity string) error
}

// Config is what a Service needs.
type Config struct {
	ServerName string
	OpenID     OpenID
	Remote     RemoteOpenID // nil: users of other servers are refused
	Membership Membership
	Mint       Minter
	SFU        SFU
	Delays     Delays // nil: the endpoint for delegation is not there
	Ledger     Ledger
	// Elsewhere is what SFU is, too, when that is no part of this process: a LiveKit or Nodes. nil for one that asks Admit, and tells by
	// Joined and Left who comes and goes.
	Elsewhere Elsewhere
	Log       zerolog.Logger
}

// Bounds.
const (
	// tokenLife is how long an access token is valid.
	tokenLife = time.Hour
	// maxSeats bounds the seats of one user, and maxAllSeats those of all.
	maxSeats    = 64
	maxAllSeats = 100_000
	// maxName bounds what clients make up: slots, devices, members, ids of delayed events. In bytes.
	maxName = 255
)

// Service makes tokens and watches over who uses them.
type Service struct {
	cfg    Config
	limits limiter

	mu          sync.Mutex // guards what follows
	seats       map[key]*seat
	byUser      map[id.UserID]int // how many seats there are
	byRoom      map[id.RoomID]int
	delegations map[key]*delegation
	dirty       map[key]bool // seats whose access is to be looked at again
	everything  bool         // all of them
	prepared    bool         // the seats of before a restart were read
	away        bool         // the SFU elsewhere does not answer: see reached

	recording [16]chan struct{} // one is filled while the row of a seat is written: see record
	hashing   maphash.Seed

	look chan struct{} // rings for dirty
	due  chan struct{} // rings for delegations
	poll chan struct{} // rings when the SFU is to be asked who is there
}

// key names a seat.
type key struct{ alias, identity string }

// seat is a Seat with what holds while the process runs.
type seat struct {
	Seat
	here    int  // how many participants there are by it: one that takes the place of another may come before that has gone
	publish bool // whether the SFU lets them send anything; unsure is that it was not told
	unsure  bool
	// barred is that they may not be in the call, and have a token by which LiveKit would let them in: they are put out when they come.
	barred bool
	sids   map[string]bool // the participants that are here, as LiveKit calls them
	came   int             // how many there have been
}

// New makes a service. Run must run, too.
func New(cfg Config) *Service {
	s := &Service{
		cfg: cfg, limits: newLimiter(), seats: map[key]*seat{}, byUser: map[id.UserID]int{}, byRoom: map[id.RoomID]int{},
		delegations: map[key]*delegation{}, dirty: map[key]bool{}, hashing: maphash.MakeSeed(), look: make(chan struct{}, 1), due: make(chan struct{}, 1),
		poll: make(chan struct{}, 1),
	}
	for i := range s.recording {
		s.recording[i] = make(chan struct{}, 1)
	}
	return s
}

// Run watches over calls until ctx ends, and returns nil then.
func (s *Service) Run(ctx context.Context) error {
	if err := s.Prepare(ctx); err != nil {
		return err
	}
	var running sync.WaitGroup
	running.Go(func() { s.watchAccess(ctx) })
	running.Go(func() { s.watchDelays(ctx) })
	if s.cfg.Elsewhere != nil {
		running.Go(func() { s.watchPresence(ctx) })
		running.Go(func() { s.cfg.Elsewhere.run(ctx, s) })
	}
	running.Wait()
	return nil
}

// Prepare reads the seats of before a restart. It is called before anything is served, so that those who come back at once are not told that their
// token is good for nothing, after which clients do not try again. Run does it where it was not.
func (s *Service) Prepare(ctx context.Context) error {
	s.mu.Lock()
	prepared := s.prepared
	s.mu.Unlock()
	if s.cfg.Elsewhere != nil && !prepared {
		s.cfg.Elsewhere.askAll(ctx, s)
	}
	if s.cfg.Ledger == nil || prepared {
		return nil
	}
	rows, err := s.cfg.Ledger.Seats(ctx)
	if err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return errors.Join(errors.New("read who has seats in calls"), err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, row := range rows {
		k := key{row.Alias, row.Identity}
		if s.seats[k] != nil {
			continue // a token was made since
		}
		// The SFU may have given newer tokens than we know of.
		row.UntilTS = max(row.UntilTS, time.Now().Add(tokenLife).UnixMilli())
		s.place(k, row)
		if row.DelayID != "" {
			s.delegations[k] = newDelegation(row)
		}
	}
	s.everything, s.prepared = true, true
	return nil
}

// ring rings a bell.
func ring(bell chan struct{}) {
	select {
	case bell <- struct{}{}:
	default: // it rings already
	}
}
