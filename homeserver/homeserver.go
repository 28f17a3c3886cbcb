// Package homeserver puts the services and the HTTP edges together into one server: New, Handler, Run. cmd/causeway calls it,
// and testserver. It holds no behaviour of its own.
package homeserver

import (
	"context"
	"errors"
	"net/http"
	"sync"

	"causeway/homeserver/account"
	"causeway/homeserver/clientapi"
	"causeway/homeserver/event"
	"causeway/homeserver/httpapi"
	"causeway/homeserver/notify"
	"causeway/homeserver/push"
	"causeway/homeserver/room"
	"causeway/homeserver/store"
	"causeway/homeserver/usersync"

	"github.com/rs/zerolog"
	"golang.org/x/sync/errgroup"
	"maunium.net/go/mautrix/id"
)

// Config is what a Server needs.
type Config struct {
	ServerName string
	PublicURL  string     // base URL for clients
	Key        *event.Key // signs events
	DB         *store.DB
	Bus        notify.Bus
	Log        zerolog.Logger

	OpenRegistration   bool
	DefaultRoomVersion string                          // of new rooms whose creator names none; "" for event.DefaultRoomVersion
	Limits             map[httpapi.Class]httpapi.Limit // nil for none
	ForwardedFor       bool                            // take clients' addresses from X-Forwarded-For

	Maintenance MaintenanceConfig
	Delayed     room.DelayedConfig

	StickyEvents bool // MSC4354

	// Of the application services. All but AppServices may be nil.
	AppServices account.AppServices
	Aliases     room.AliasQuerier
	AliasOwner  func(id.RoomAlias) string
	Pinger      clientapi.Pinger
}

// Server is a homeserver.
type Server struct {
	Accounts    *account.Service
	Maintenance *Maintenance

	rooms   *room.Service
	handler http.Handler
	closing chan struct{}
	once    sync.Once
}

// New returns a server on an open store.
func New(c Config) *Server {
	s := &Server{closing: make(chan struct{})}
	s.Accounts = account.New(account.Config{ServerName: c.ServerName, OpenRegistration: c.OpenRegistration}, c.DB, c.Bus, c.AppServices)
	pushes := push.New(c.DB, c.Bus)
	rooms := roomConfig(c)
	rooms.Follow = func(tx *store.Tx, user id.UserID, old, replacement *store.Room) error {
		return errors.Join(s.Accounts.FollowUpgrade(tx, user, old, replacement), pushes.FollowUpgrade(tx, user, old, replacement))
	}
	s.rooms = room.New(rooms)
	s.Maintenance = newMaintenance(c, s.rooms, grace)
	api := &clientapi.API{Services: clientapi.Services{
		ServerName: c.ServerName,
		PublicURL:  c.PublicURL,
		Accounts:   s.Accounts,
		Rooms:      s.rooms,
		Sync:       usersync.New(usersync.Config{DB: c.DB, Bus: c.Bus, Push: pushes, Retention: c.Maintenance.Retention.Policy(), StickyEvents: c.StickyEvents}),
		Push:       pushes,
		Pinger:     c.Pinger,
	}}
	s.handler = httpapi.NewMux(api.Routes(), httpapi.Options{
		Logger: c.Log, Identifier: clientapi.Identifier(s.Accounts), Closing: s.closing, Limits: c.Limits, ForwardedFor: c.ForwardedFor,
	})
	return s
}

func roomConfig(c Config) room.Config {
	return room.Config{
		ServerName: c.ServerName, Key: c.Key, DB: c.DB, Bus: c.Bus, Aliases: c.Aliases, AliasOwner: c.AliasOwner,
		DefaultVersion: c.DefaultRoomVersion, KeepRedacted: c.Maintenance.RedactedKeep,
		Delayed: c.Delayed, StickyEvents: c.StickyEvents,
	}
}

// Handler serves the Matrix APIs.
func (s *Server) Handler() http.Handler { return s.handler }

// Closing answers requests that wait, such as /sync, at once. New ones are still served.
func (s *Server) Closing() { s.once.Do(func() { close(s.closing) }) }

// Run does what the server does by itself until ctx ends. It returns nil then.
func (s *Server) Run(ctx context.Context) error {
	parts, ctx := errgroup.WithContext(ctx)
	parts.Go(func() error { return s.rooms.Run(ctx) })
	parts.Go(func() error { return s.Maintenance.Run(ctx) })
	return parts.Wait()
}
