package identity

import (
	"context"
	"errors"
	"net/http"
	"slices"

	"causeway/homeserver/event"
	"causeway/homeserver/store"
	"causeway/homeserver/threepid"

	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/id"
)

// Gateway is the homeserver's way to the identity service that it works with: the built-in one, or another. Others that clients name are
// not asked: a homeserver that sends requests to wherever it is told to is of use to attackers.
type Gateway struct {
	local  *Service // nil for another
	remote *remote
}

// NewGateway returns the way to the built-in service.
func NewGateway(local *Service) *Gateway { return &Gateway{local: local} }

// NewRemoteGateway returns the way to another service, by its base URL. key signs what the homeserver asks of it.
func NewRemoteGateway(baseURL string, key *event.Key, client *http.Client) *Gateway {
	return &Gateway{remote: newRemote(baseURL, key, client)}
}

// BaseURL returns the address of the service, for clients.
func (g *Gateway) BaseURL() string {
	if g.local != nil {
		return g.local.PublicURL
	}
	return g.remote.base
}

// Trust returns 400 M_SERVER_NOT_TRUSTED unless a name is that of the service.
func (g *Gateway) Trust(server string) error {
	if g.local != nil && g.local.is(server) || g.remote != nil && g.remote.is(server) {
		return nil
	}
	return matrixError(400, "M_SERVER_NOT_TRUSTED", "This server works with another identity service")
}

// authorise returns whose a token is at the built-in service: it must be the user's own.
func (g *Gateway) authorise(ctx context.Context, token string, user id.UserID) error {
	owner, err := g.local.Identify(ctx, token)
	if err != nil {
		return err
	}
	if owner != user {
		return matrixError(403, "M_FORBIDDEN", "id_access_token is not that of %s", user)
	}
	return g.local.MustAccept(ctx, user)
}

// Bind implements account.Identities.
func (g *Gateway) Bind(ctx context.Context, server, token string, user id.UserID, sid, secret string) (medium, address, at string, err error) {
	if err := g.Trust(server); err != nil {
		return "", "", "", err
	}
	var a Association
	if g.local != nil {
		if err := g.authorise(ctx, token, user); err != nil {
			return "", "", "", forClient(err)
		}
		a, _, err = g.local.Bind(ctx, user, sid, secret, user)
	} else {
		a, err = g.remote.bind(ctx, token, user, sid, secret)
	}
	return a.Medium, a.Address, server, err
}

// forClient returns an error about the token at the identity service so that a client does not take it for one about its own.
func forClient(err error) error {
	var refused mautrix.RespError
	if errors.As(err, &refused) && (refused.StatusCode == http.StatusUnauthorized || slices.Contains(ofSessions, refused.ErrCode)) {
		return matrixError(403, "M_FORBIDDEN", "id_access_token is not valid")
	}
	return err
}

// ofSessions are codes by which clients take their own session to have ended, whatever the status.
var ofSessions = []string{"M_UNKNOWN_TOKEN", "M_MISSING_TOKEN", "M_USER_LOCKED", "M_USER_DEACTIVATED", "M_USER_SUSPENDED"}

// Unbind implements account.Identities.
func (g *Gateway) Unbind(ctx context.Context, server string, user id.UserID, medium, address string) (bool, error) {
	if g.Trust(server) != nil {
		return false, nil
	}
	if g.remote != nil {
		return g.remote.unbind(ctx, user, medium, address)
	}
	err := g.local.DB.Write(ctx, func(tx *store.Tx) error {
		_, err := tx.DeleteBinding(medium, address, user)
		return err
	})
	return err == nil, err
}

// Find implements room.Identities: it returns the user whose an address is published to be, "" for nobody.
func (g *Gateway) Find(ctx context.Context, server, token string, by id.UserID, medium, address string) (user id.UserID, err error) {
	if err := g.Trust(server); err != nil {
		return "", err
	}
	normal, err := threepid.Normal(medium, address)
	if err != nil {
		return "", matrixError(400, "M_INVALID_PARAM", "This is not an address that people can be invited by")
	}
	if g.remote != nil {
		return g.remote.find(ctx, token, medium, normal)
	}
	if err := g.authorise(ctx, token, by); err != nil {
		return "", forClient(err)
	}
	err = g.local.DB.View(ctx, func(tx *store.Tx) error {
		user, err = tx.BindingOf(medium, normal)
		return err
	})
	if errors.Is(err, store.ErrNotFound) {
		return "", nil
	}
	return user, err
}

// Store has the service keep an invitation, and write to the address.
func (g *Gateway) Store(ctx context.Context, token string, in InviteRequest) (StoredInvite, error) {
	if g.remote != nil {
		return g.remote.store(ctx, token, in)
	}
	if err := g.authorise(ctx, token, in.Sender); err != nil {
		return StoredInvite{}, forClient(err)
	}
	return g.local.StoreInvite(ctx, in.Sender, in)
}
