// Package room holds one room's life: create, send, join, leave, invite, state, aliases. It is called by the HTTP edges and by
// federation. Every event comes into a room's timeline through append or, on a branch of its own, put; what follows from an event
// (sync, application services) follows from reading the stream, and is not done here; but whom it concerns, a Judge decides in its
// transaction.
package room

import (
	"cmp"
	"container/list"
	"context"
	"fmt"
	"sync"
	"time"

	"causeway/homeserver/event"
	"causeway/homeserver/notify"
	"causeway/homeserver/store"

	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/id"
)

// AliasQuerier asks the application services for a room alias that nobody has made yet.
type AliasQuerier interface {
	// QueryAlias is true when a service has made the alias now. A Matrix error says why a service would not. The service
	// except is not asked.
	QueryAlias(ctx context.Context, alias id.RoomAlias, except string) (bool, error)
}

// Judge decides whom an event concerns.
type Judge interface {
	// Judge is called when an event has got its place in a room's timeline, in the transaction that stores it: so what follows from it
	// is there when the event is.
	Judge(tx *store.Tx, in store.Placed) error
}

// Config is what a Service needs.
type Config struct {
	ServerName string
	Key        *event.Key // signs events
	DB         *store.DB
	Bus        notify.Bus
	Aliases    AliasQuerier // may be nil
	// Summon has the application services make a user that there is not and that somebody invites. The service except is not asked. May be nil.
	Summon func(ctx context.Context, user id.UserID, except string) bool
	// AliasOwner names the application service that alone may make an alias, "" for none. May be nil.
	AliasOwner func(id.RoomAlias) string
	// DefaultVersion is the version of a new room when its creator names none; "" for event.DefaultRoomVersion.
	DefaultVersion string
	// KeepRedacted is how long the content of redacted events is kept where only the operator sees it; 0 for not at all.
	KeepRedacted time.Duration
	Delayed      DelayedConfig
	// StickyEvents is whether events may be sticky (MSC4354).
	StickyEvents bool
	// Follow takes what a user keeps with a room over to the one that replaces it, in the transaction in which the user joins that. It
	// runs as often as the user joins. May be nil.
	Follow func(tx *store.Tx, user id.UserID, old, replacement *store.Room) error
	// Fetch and Keys reach other servers. Both may be nil: then nothing is taken from elsewhere.
	Fetch Fetcher
	Keys  KeyRing
	// Spaces tells of rooms of spaces that this server is not in. May be nil: then they are left out.
	Spaces RemoteSpaces
	// Judge decides whom an event concerns. May be nil.
	Judge Judge
	// Identities finds people by their addresses. May be nil: then nobody is invited by one.
	Identities Identities
	Now        func() time.Time
}

// Service acts on rooms.
type Service struct {
	Config

	resolver    *Resolver
	walks       spaceWalks
	wakeDelayed chan struct{} // holds one while the scheduler of delayed events has to look again
	receiving   roomLocks     // held by who receives events of a room from elsewhere, or deletes what they might build on

	guests chan struct{} // there may be guests where no guest may be

	mu    sync.Mutex // guards all below, and some of each head
	heads map[id.RoomID]*head
	idle  list.List // of heads that nobody uses, the longest idle first
	kept  int       // about how many bytes all heads take, as of their last release
}

// New returns a Service.
func New(c Config) *Service {
	if c.Now == nil {
		c.Now = time.Now
	}
	c.DefaultVersion = cmp.Or(c.DefaultVersion, event.DefaultRoomVersion)
	c.Delayed.setDefaults()
	return &Service{
		Config: c, resolver: NewResolver(c.DB), heads: make(map[id.RoomID]*head), wakeDelayed: make(chan struct{}, 1),
		guests: make(chan struct{}, 1),
	}
}

// By says on whose behalf a method acts.
type By struct {
	User       id.UserID
	AppService string // id of the application service that acts for the user, "" when the user acts
	// ActFor returns nil for those whom the application service may act for as well, and the error to answer with for others. It is nil for
	// people, and where a service does no more than they do.
	ActFor    func(ctx context.Context, user id.UserID) error
	Device    string // scope of transaction ids: the device, or the application service
	Guest     bool   // the user is a guest
	Suspended bool   // the user may say nothing, and leave
	StickyMS  *int64 // for how long what is sent is to be sticky (MSC4354), in milliseconds; nil when it is not
	TS        int64  // origin_server_ts of what is sent, in milliseconds; 0 is now (Application Service API, "Timestamp massaging")
}

func (s *Service) ts(by By) int64 {
	if by.TS != 0 {
		return by.TS
	}
	return s.Now().UnixMilli()
}

// matrixError makes an error that the client sees.
func matrixError(status int, code, format string, args ...any) error {
	return mautrix.RespError{StatusCode: status, ErrCode: code, Err: fmt.Sprintf(format, args...)}
}
