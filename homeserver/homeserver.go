// Package homeserver puts the services and the HTTP edges together into one server: New, Handler, Run. cmd/causeway calls it,
// and testserver. It holds no behaviour of its own.
package homeserver

import (
	"context"
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
	Guests             bool // everybody may have a guest's account
	Legacy             LegacyConfig
	DefaultRoomVersion string                          // of new rooms whose creator names none; "" for event.DefaultRoomVersion
	Limits             map[httpapi.Class]httpapi.Limit // nil for none
	ForwardedFor       bool                            // take clients' addresses from X-Forwarded-For

	Maintenance MaintenanceConfig

	// Of the application services. All but AppServices may be nil.
	AppServices account.AppServices
	Aliases     room.AliasQuerier
	AliasOwner  func(id.RoomAlias) string
	Pinger      clientapi.Pinger
}

// LegacyConfig allows what the specification deprecates and old clients need. All of it is off by default.
type LegacyConfig struct {
	// QueryTokens allows the access token in the query, from where it gets into other people's logs.
	QueryTokens bool `yaml:"query_tokens"`
	// Events serves what there was before /sync: GET /events, /events/{eventId} and /initialSync.
	Events bool `yaml:"events"`
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
	s.Accounts = account.New(account.Config{ServerName: c.ServerName, OpenRegistration: c.OpenRegistration, Guests: c.Guests}, c.DB, c.Bus, c.AppServices)
	s.rooms = room.New(roomConfig(c))
	s.Maintenance = newMaintenance(c, s.rooms, grace)
	pushes := push.New(c.DB, c.Bus)
	api := &clientapi.API{Services: clientapi.Services{
		ServerName: c.ServerName,
		PublicURL:  c.PublicURL,
		Accounts:   s.Accounts,
		Rooms:      s.rooms,
		Sync:       usersync.New(usersync.Config{DB: c.DB, Bus: c.Bus, Push: pushes, Retention: c.Maintenance.Retention.Policy()}),
		Push:       pushes,
		Pinger:     c.Pinger,
		OldEvents:  c.Legacy.Events,
	}}
	s.handler = httpapi.NewMux(api.Routes(), httpapi.Options{
		Logger: c.Log, Identifier: clientapi.Identifier(s.Accounts), Closing: s.closing, Limits: c.Limits, ForwardedFor: c.ForwardedFor,
		QueryTokens: c.Legacy.QueryTokens,
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
	return parts.Wait()
}
