package oauth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"time"

	"causeway/homeserver/store"

	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"
)

// client is a registered client as the library sees it (op.Client).
type client struct {
	id string
	ClientMetadata
}

// client finds a registered client. The error is invalid_client.
func (s *Service) client(ctx context.Context, clientID string) (*client, error) {
	var row store.OAuthClient
	err := s.cfg.DB.View(ctx, func(tx *store.Tx) (err error) {
		row, err = tx.OAuthClient(clientID)
		return err
	})
	if errors.Is(err, store.ErrNotFound) {
		return nil, oidc.ErrInvalidClient().WithDescription("there is no such client")
	}
	if err != nil {
		return nil, internal(ctx, fmt.Errorf("look up an OAuth client: %w", err))
	}
	c := &client{id: row.ID}
	if err := json.Unmarshal(row.Metadata, &c.ClientMetadata); err != nil {
		return nil, internal(ctx, fmt.Errorf("read the metadata of OAuth client %s: %w", row.ID, err))
	}
	return c, nil
}

// name is what people are shown.
func (m *ClientMetadata) name() string {
	if m.ClientName != "" {
		return m.ClientName
	}
	return m.host()
}

// host is that of client_uri.
func (m *ClientMetadata) host() string {
	u, err := url.Parse(m.ClientURI)
	if err != nil {
		return ""
	}
	return u.Hostname()
}

// redirects tells whether a client may have its answers at an address: one that it registered, to the letter, or, for a native one, with
// another port on the machine itself (RFC 8252, section 7.3). The library looks at less: not at the host, nor at who would be logged in.
func (c *client) redirects(uri string) bool {
	if slices.Contains(c.ClientMetadata.RedirectURIs, uri) {
		return true
	}
	if c.ClientMetadata.ApplicationType != applicationNative {
		return false
	}
	u, err := parseURI(uri)
	if err != nil || u.Scheme != "http" || !hostForm.MatchString(u.Host) {
		return false
	}
	if u.Port() == "" {
		return false
	}
	u.Host = u.Host[:len(u.Host)-len(u.Port())-1]
	return slices.Contains(c.ClientMetadata.RedirectURIs, u.String()) && slices.Contains(loopbackHosts, u.Host)
}

// What follows implements op.Client.

func (c *client) GetID() string                                                { return c.id }
func (c *client) RedirectURIs() []string                                       { return c.ClientMetadata.RedirectURIs }
func (c *client) PostLogoutRedirectURIs() []string                             { return nil }
func (c *client) AuthMethod() oidc.AuthMethod                                  { return oidc.AuthMethodNone }
func (c *client) LoginURL(string) string                                       { return "" }
func (c *client) AccessTokenType() op.AccessTokenType                          { return op.AccessTokenTypeBearer }
func (c *client) IDTokenLifetime() time.Duration                               { return 0 }
func (c *client) DevMode() bool                                                { return false }
func (c *client) IsScopeAllowed(token string) bool                             { return knownScope(token) }
func (c *client) IDTokenUserinfoClaimsAssertion() bool                         { return false }
func (c *client) ClockSkew() time.Duration                                     { return 0 }
func (c *client) RestrictAdditionalIdTokenScopes() func([]string) []string     { return none }
func (c *client) RestrictAdditionalAccessTokenScopes() func([]string) []string { return none }

func none([]string) []string { return nil }

func (c *client) ApplicationType() op.ApplicationType {
	if c.ClientMetadata.ApplicationType == applicationNative {
		return op.ApplicationTypeNative
	}
	return op.ApplicationTypeWeb
}

func (c *client) ResponseTypes() []oidc.ResponseType {
	if len(c.ClientMetadata.ResponseTypes) == 0 {
		return nil
	}
	return []oidc.ResponseType{oidc.ResponseTypeCode}
}

func (c *client) GrantTypes() (all []oidc.GrantType) {
	for _, g := range c.ClientMetadata.GrantTypes {
		all = append(all, oidc.GrantType(g))
	}
	return all
}
