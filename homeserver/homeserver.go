// Package homeserver puts the services and the HTTP edges together into one server: New, Handler, Run. cmd/causeway calls it,
// and testserver. It holds no behaviour of its own.
package homeserver

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"

	"causeway/homeserver/account"
	"causeway/homeserver/accountpages"
	"causeway/homeserver/callstatus"
	"causeway/homeserver/clientapi"
	"causeway/homeserver/e2ee"
	"causeway/homeserver/ephemeral"
	"causeway/homeserver/event"
	"causeway/homeserver/httpapi"
	"causeway/homeserver/identity"
	"causeway/homeserver/mail"
	"causeway/homeserver/networks"
	"causeway/homeserver/notify"
	"causeway/homeserver/oauth"
	"causeway/homeserver/push"
	"causeway/homeserver/rendezvous"
	"causeway/homeserver/room"
	"causeway/homeserver/search"
	"causeway/homeserver/store"
	"causeway/homeserver/usersync"

	"github.com/rs/zerolog"
	"golang.org/x/sync/errgroup"
	"maunium.net/go/mautrix/id"
)

// Config is what a Server needs.
type Config struct {
	ServerName string
	PublicURL  string // base URL for clients
	Support    clientapi.Support
	Key        *event.Key // signs events
	DB         *store.DB
	Bus        notify.Bus
	Log        zerolog.Logger

	OpenRegistration   bool
	Guests             bool // everybody may have a guest's account
	Sessions           account.SessionsConfig
	Rules              account.RegistrationRules // of those who make an account for themselves
	JWT                account.JWTConfig
	Legacy             LegacyConfig
	DefaultRoomVersion string                          // of new rooms whose creator names none; "" for event.DefaultRoomVersion
	Limits             map[httpapi.Class]httpapi.Limit // nil for none
	ForwardedFor       bool                            // take clients' addresses from X-Forwarded-For

	Maintenance   MaintenanceConfig
	UserDirectory UserDirectoryConfig
	Push          PushConfig
	Presence      PresenceConfig
	Delayed       room.DelayedConfig

	StickyEvents bool // MSC4354

	OAuth OAuthConfig
	SSO   SSOConfig

	EmailRequired bool // an account takes an email address
	Mail          MailConfig
	Roots         *x509.CertPool // for the SMTP server and the gateway, nil for the machine's
	SMS           SMSConfig
	Identity      IdentityConfig

	// Of the application services. All but AppServices may be nil.
	AppServices account.AppServices
	Aliases     room.AliasQuerier
	Users       account.UserQuerier
	AliasOwner  func(id.RoomAlias) string
	Pinger      clientapi.Pinger
	Alive       func(appServiceID string) // told of each request of a service; must not block
	Networks    clientapi.Networks

	TURN       clientapi.TURN // nil for none
	TURNGuests bool           // whether guests may use it
	// Calls are group calls, nil for none, and CallWatch hears who may not be in one any more.
	Calls     clientapi.Calls
	CallWatch CallWatcher
	// CallStatus tells administrators which calls run; nil where that is not known.
	CallStatus callstatus.Source

	// Bridges are those of this server, whose networks users sign in to.
	Bridges []networks.Bridge

	QuickPasswords bool // account.Config has it, for tests alone
}

// UserDirectoryConfig says who finds whom.
type UserDirectoryConfig struct {
	// SearchAllUsers lets everybody find every user of this server.
	SearchAllUsers bool `yaml:"search_all_users"`
}

// PushConfig is of the push rules.
type PushConfig struct {
	// LegacyMentions adds the default rules of before Matrix 1.17 that find a user's name, or @room, in the text of messages that do not
	// say whom they mention.
	LegacyMentions bool `yaml:"legacy_mentions"`
	// ThreadSubscriptions has users hear of the threads that they follow, and of others only when they are mentioned (MSC4306). It is for
	// communities whose clients all know of it: who uses another hears of no thread.
	ThreadSubscriptions bool `yaml:"thread_subscriptions"`
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

	rooms    *room.Service
	search   *search.Service
	typing   *ephemeral.Typing
	presence *ephemeral.Presence
	mail     *mail.Service
	identity *identity.Service // nil for none, or another server's

	db        *store.DB
	bus       notify.Bus
	callWatch CallWatcher // nil for none

	handler http.Handler
	closing chan struct{}
	once    sync.Once
}

// PathAccount is where people find the pages of their accounts, where OAuth 2.0 is served.
const PathAccount = oauth.PathAccount

// New returns a server on an open store.
func New(c Config) *Server {
	s := &Server{closing: make(chan struct{}), db: c.DB, bus: c.Bus, callWatch: c.CallWatch}
	outside := s.newOutside(c)
	s.Accounts = account.New(outside.accounts(s.accountConfig(c)), c.DB, c.Bus, c.AppServices)
	pushes := push.New(push.Config{DB: c.DB, Bus: c.Bus, LegacyMentions: c.Push.LegacyMentions, ThreadSubscriptions: c.Push.ThreadSubscriptions})
	rooms := roomConfig(c, pushes)
	rooms.Identities = outside.rooms()
	rooms.Summon = func(ctx context.Context, user id.UserID, except string) bool {
		return s.Accounts.Summon(ctx, user, except)
	}
	rooms.Follow = func(tx *store.Tx, user id.UserID, old, replacement *store.Room) error {
		return errors.Join(s.Accounts.FollowUpgrade(tx, user, old, replacement), pushes.FollowUpgrade(tx, user, old, replacement))
	}
	s.rooms = room.New(rooms)
	devices := e2ee.New(e2ee.Config{ServerName: c.ServerName, DB: c.DB, Bus: c.Bus})
	s.Maintenance = newMaintenance(c, s.rooms, devices, grace)
	s.presence = ephemeral.NewPresence(ephemeral.PresenceConfig(c.Presence), c.DB, c.Bus)
	s.typing = ephemeral.NewTyping(c.DB, c.Bus, s.presence.Active)
	reading := usersync.Config{
		DB: c.DB, Bus: c.Bus, Push: pushes, Inbox: devices, Retention: c.Maintenance.Retention.Policy(),
		Typing: s.typing, PresenceMembers: c.Presence.MaxRoomMembers, StickyEvents: c.StickyEvents,
	}
	if c.Presence.Enabled {
		reading.Presence = s.presence
	}
	reads := usersync.New(reading)
	s.search = search.New(search.Config{DB: c.DB, Bus: c.Bus, AllUsers: c.UserDirectory.SearchAllUsers,
		Open: func(tx *store.Tx, user id.UserID, device id.DeviceID, filter json.RawMessage) (search.Reader, error) {
			return reads.Findings(tx, usersync.Viewer{User: user, Device: device}, filter)
		}})
	api := &clientapi.API{Services: clientapi.Services{
		ServerName: c.ServerName,
		PublicURL:  c.PublicURL,
		Support:    c.Support,
		Accounts:   s.Accounts,
		Rooms:      s.rooms,
		Sync:       reads,
		Search:     s.search,
		Push:       pushes,
		E2EE:       devices,
		Pinger:     c.Pinger,
		Networks:   c.Networks,
		TURN:       c.TURN,
		TURNGuests: c.TURNGuests,
		Threepids:  outside.threepids,
		Identity:   outside.service,
		OldEvents:  c.Legacy.Events,
		Typing:     s.typing,
		Receipts:   ephemeral.NewReceipts(c.DB, c.Bus, reads, s.presence.Active),
		Threads:    ephemeral.NewThreads(c.DB, c.Bus, reads),
		Presence:   s.presence,
		Meetings:   rendezvous.New(),
		Rendezvous: c.OAuth.rendezvous(),
		Calls:      c.Calls,
	}}
	api.IdentityURL = outside.identityURL()
	bridged := networks.New(c.Bridges)
	routes := slices.Concat(api.Routes(), outside.routes(), bridged.Routes(), callstatus.Routes(c.CallStatus))
	if c.OAuth.Enabled {
		api.OAuth = oauth.New(oauth.Config{PublicURL: c.PublicURL, DB: c.DB, Accounts: s.Accounts, Deactivation: true})
	}
	if providers := c.SSO.service(c.PublicURL); api.OAuth != nil || providers != nil {
		routes = append(routes, accountpages.New(accountpages.Config{
			ServerName: c.ServerName, PublicURL: c.PublicURL, Accounts: s.Accounts, OAuth: api.OAuth, SSO: providers, Rooms: s.rooms, Networks: bridged,
			Deactivate: s.Accounts.EndAccount, Contact: c.Support.Contact(), Calls: c.CallStatus,
		}).Routes()...)
	}
	s.handler = httpapi.NewMux(routes, httpapi.Options{
		Logger: c.Log, Identifier: clientapi.Identifier(s.Accounts), Closing: s.closing, Limits: c.Limits, ForwardedFor: c.ForwardedFor,
		QueryTokens: c.Legacy.QueryTokens, Seen: clientapi.Seen(s.Accounts, c.Alive), Unlimited: clientapi.Unlimited(s.Accounts),
	})
	return s
}

func (s *Server) accountConfig(c Config) account.Config {
	accounts := account.Config{
		ServerName: c.ServerName, OpenRegistration: c.OpenRegistration, Guests: c.Guests,
		Lifetimes: c.Sessions.Lifetimes(), Rules: c.Rules, JWT: c.JWT, Attempts: account.Limit(c.Limits[httpapi.ClassLoginTo]), QuickPasswords: c.QuickPasswords,
		Depart: func(ctx context.Context, user id.UserID) error { return s.rooms.Depart(ctx, user) },
		Users:  c.Users,
	}
	accounts.SSO = c.SSO.account()
	if c.CallWatch != nil {
		accounts.SessionsChanged = func(user id.UserID) { c.CallWatch.AccessChanged("", user) }
	}
	if c.OAuth.Enabled {
		accounts.AccountURL = strings.TrimRight(c.PublicURL, "/") + oauth.PathAccount
	}
	return accounts
}

func roomConfig(c Config, judge room.Judge) room.Config {
	return room.Config{
		ServerName: c.ServerName, Key: c.Key, DB: c.DB, Bus: c.Bus, Aliases: c.Aliases, AliasOwner: c.AliasOwner,
		DefaultVersion: c.DefaultRoomVersion, KeepRedacted: c.Maintenance.RedactedKeep, Judge: judge,
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
	parts.Go(func() error { return s.Accounts.Run(ctx) })
	parts.Go(func() error { return s.search.Run(ctx) })
	parts.Go(func() error { return s.Maintenance.Run(ctx) })
	parts.Go(func() error { return s.typing.Run(ctx) })
	parts.Go(func() error { return s.presence.Run(ctx) })
	parts.Go(func() error { return s.mail.Run(ctx) })
	if s.callWatch != nil {
		parts.Go(func() error { return s.followCalls(ctx) })
	}
	if s.identity != nil {
		parts.Go(func() error { return s.identity.Run(ctx) })
	}
	return parts.Wait()
}
