// Package homeserver puts the services and the HTTP edges together into one server: New, Handler, Run. cmd/causeway calls it,
// and testserver. It holds no behaviour of its own.
package homeserver

import (
	"context"
	"net/http"
	"sync"

	"causeway/homeserver/account"
	"causeway/homeserver/clientapi"
	"causeway/homeserver/ephemeral"
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
	Presence    PresenceConfig

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

	rooms    *room.Service
	typing   *ephemeral.Typing
	presence *ephemeral.Presence

	handler http.Handler
	closing chan struct{}
	once    sync.Once
}

// New returns a server on an open store.
func New(c Config) *Server {
	s := &Server{closing: make(chan struct{})}
	s.Accounts = account.New(account.Config{ServerName: c.ServerName, OpenRegistration: c.OpenRegistration}, c.DB, c.Bus, c.AppServices)
	s.rooms = room.New(roomConfig(c))
	s.Maintenance = newMaintenance(c, s.rooms, grace)
	pushes := push.New(c.DB, c.Bus)
	s.presence = ephemeral.NewPresence(ephemeral.PresenceConfig(c.Presence), c.DB, c.Bus)
	s.typing = ephemeral.NewTyping(c.DB, c.Bus, s.presence.Active)
	reading := usersync.Config{
		DB: c.DB, Bus: c.Bus, Push: pushes, Retention: c.Maintenance.Retention.Policy(), Typing: s.typing, PresenceMembers: c.Presence.MaxRoomMembers,
	}
	if c.Presence.Enabled {
		reading.Presence = s.presence
	}
	reads := usersync.New(reading)
	api := &clientapi.API{Services: clientapi.Services{
		ServerName: c.ServerName,
		PublicURL:  c.PublicURL,
		Accounts:   s.Accounts,
		Rooms:      s.rooms,
		Sync:       reads,
		Push:       pushes,
		Pinger:     c.Pinger,
		Typing:     s.typing,
		Receipts:   ephemeral.NewReceipts(c.DB, c.Bus, reads, s.presence.Active),
		Presence:   s.presence,
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
	parts.Go(func() error { return s.typing.Run(ctx) })
	parts.Go(func() error { return s.presence.Run(ctx) })
	return parts.Wait()
}
