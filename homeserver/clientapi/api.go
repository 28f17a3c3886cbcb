// Package clientapi serves /_matrix/client and /_matrix/media: routes.go is the whole API on a page, and each chapter of the
// specification has a file of handlers. A handler decodes, calls one service method, and answers. It holds no behaviour of
// its own and no SQL.
package clientapi

import (
	"context"
	"encoding/json"
	"net/url"

	"causeway/homeserver/account"
	"causeway/homeserver/e2ee"
	"causeway/homeserver/ephemeral"
	"causeway/homeserver/identity"
	"causeway/homeserver/oauth"
	"causeway/homeserver/push"
	"causeway/homeserver/rendezvous"
	"causeway/homeserver/room"
	"causeway/homeserver/search"
	"causeway/homeserver/threepid"
	"causeway/homeserver/usersync"
)

// Pinger asks an application service for a sign of life (Application Service API, "Pinging").
type Pinger interface {
	// Ping returns how long the answer took, in milliseconds. Errors are Matrix errors.
	Ping(ctx context.Context, appServiceID, txnID string) (durationMS int64, err error)
}

// Networks asks the application services about the networks that they bridge. Answers are those of the endpoints in whole; errors are Matrix
// errors. Client-Server API, "Third-party Networks".
type Networks interface {
	Protocols(ctx context.Context) (json.RawMessage, error)
	Protocol(ctx context.Context, name string) (json.RawMessage, error)
	// Users and Locations look up what the query says on a network, or by an id of this server when protocol is "".
	Users(ctx context.Context, protocol string, query url.Values) (json.RawMessage, error)
	Locations(ctx context.Context, protocol string, query url.Values) (json.RawMessage, error)
}

// Services are what the handlers call.
type Services struct {
	ServerName string
	PublicURL  string // base URL for clients, for .well-known
	// IdentityURL is the base URL of the identity service, "" for none.
	IdentityURL string
	Support     Support
	Accounts    *account.Service
	Rooms       *room.Service
	Sync        *usersync.Service
	Search      *search.Service
	Push        *push.Service
	E2EE        *e2ee.Service
	Pinger      Pinger
	Networks    Networks // nil for none
	TURN        TURN     // nil for none
	TURNGuests  bool     // whether guests may use it
	Threepids   *threepid.Service
	Identity    *identity.Service // nil for none, or one elsewhere
	OldEvents   bool              // serve GET /events, /events/{eventId} and /initialSync

	Typing   *ephemeral.Typing
	Receipts *ephemeral.Receipts
	Threads  *ephemeral.Threads
	Presence *ephemeral.Presence
	OAuth    *oauth.Service // nil for none

	Meetings   *rendezvous.Service
	Rendezvous RendezvousPolicy

	Calls Calls // nil for a server without group calls
}

// API is the client-server API over the services.
type API struct {
	Services
}
