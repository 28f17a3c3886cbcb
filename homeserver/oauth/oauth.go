// Package oauth is the OAuth 2.0 authorization server (Client-Server API, OAuth 2.0 API): clients that register themselves, requests for
// authorization, codes, device codes, and the endpoints that clients exchange them at. Package accountpages calls it for what happens in a
// browser, and serves its endpoints; clientapi tells clients where they are. The messages of the protocol are read and written by
// zitadel/oidc; what is issued are tokens of package account. It shows nothing to people, and asks nobody for a password.
package oauth

import (
	"context"
	"net/http"
	"strings"
	"time"

	"causeway/homeserver/account"
	"causeway/homeserver/store"

	"github.com/rs/zerolog"
	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"
	"github.com/zitadel/schema"
)

// Paths of the endpoints, below the public URL.
const (
	Prefix            = "/_causeway/oauth2"
	PathAuthorize     = Prefix + "/authorize"
	PathToken         = Prefix + "/token"
	PathRevoke        = Prefix + "/revoke"
	PathRegister      = Prefix + "/register"
	PathDeviceRequest = Prefix + "/device_authorization"
	PathDevice        = Prefix + "/device" // where people type the code that their device shows
	PathAccount       = "/_causeway/account/"
)

// Config is what a Service needs.
type Config struct {
	PublicURL string // base URL of the server
	DB        *store.DB
	Accounts  *account.Service
	// Deactivation tells that users can end their accounts on the account page.
	Deactivation bool
}

// Service is the authorization server.
type Service struct {
	cfg      Config
	protocol http.Handler
	encoder  *schema.Encoder
	decoder  *schema.Decoder
	now      func() int64 // milliseconds since 1970
}

// New returns an authorization server whose clients and codes are kept in the database.
func New(cfg Config) *Service {
	cfg.PublicURL = strings.TrimRight(cfg.PublicURL, "/")
	s := &Service{cfg: cfg, encoder: oidc.NewEncoder(), decoder: schema.NewDecoder(), now: func() int64 { return time.Now().UnixMilli() }}
	s.decoder.IgnoreUnknownKeys(true)
	s.protocol = op.RegisterServer(protocol{s: s}, op.Endpoints{
		Token:               op.NewEndpoint(PathToken),
		Revocation:          op.NewEndpoint(PathRevoke),
		DeviceAuthorization: op.NewEndpoint(PathDeviceRequest),
	}, op.WithServerCORSOptions(nil)) // CORS is that of the whole server
	return s
}

// internal logs an error that is no fault of the client's, and returns what the client hears of it.
func internal(ctx context.Context, err error) error {
	zerolog.Ctx(ctx).Err(err).Msg("OAuth request ended in an error")
	return op.NewStatusError(oidc.ErrServerError().WithDescription("internal error"), http.StatusInternalServerError)
}
