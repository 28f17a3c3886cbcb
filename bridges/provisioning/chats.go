package provisioning

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"

	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/bridgev2"
	"maunium.net/go/mautrix/bridgev2/provisionutil"
)

// maxIdentifier bounds the name, number or address by which somebody is looked for, in bytes.
const maxIdentifier = 1000

// capabilities are bridgev2's, and what is only here.
type capabilities struct {
	bridgev2.ProvisioningCapabilities
	// RoomLinks tells that there is /v3/room_links.
	RoomLinks bool `json:"causeway.room_links"`
}

// capabilities is GET /v3/capabilities: what the network says, and what the person's login can do beyond.
func (a *API) capabilities(_ context.Context, p person) (any, error) {
	can := capabilities{ProvisioningCapabilities: a.bridge.Network.GetCapabilities().Provisioning}
	_, can.RoomLinks = a.bridge.Network.(RoomLinker)
	login := p.GetDefaultLogin()
	if login == nil {
		return can, nil
	}
	if _, ok := login.Client.(bridgev2.IdentifierResolvingNetworkAPI); ok {
		can.ResolveIdentifier.CreateDM = true
	}
	if _, ok := login.Client.(bridgev2.ContactListingNetworkAPI); ok {
		can.ResolveIdentifier.ContactList = true
	}
	if _, ok := login.Client.(bridgev2.UserSearchingNetworkAPI); ok {
		can.ResolveIdentifier.Search = true
	}
	return can, nil
}

// contacts is GET /v3/contacts.
func (a *API) contacts(ctx context.Context, p person) (any, error) {
	login, err := a.login(p)
	if err != nil {
		return nil, err
	}
	return provisionutil.GetContactList(ctx, login)
}

// searchUsers is POST /v3/search_users.
func (a *API) searchUsers(ctx context.Context, p person) (any, error) {
	var in struct {
		Query string `json:"query"`
	}
	if err := decode(p, &in); err != nil {
		return nil, err
	}
	login, err := a.login(p)
	if err != nil {
		return nil, err
	}
	return provisionutil.SearchUsers(ctx, login, in.Query)
}

// resolve is GET /v3/resolve_identifier/{identifier}.
func (a *API) resolve(ctx context.Context, p person) (any, error) {
	found, err := a.find(ctx, p, false)
	if err != nil {
		return nil, err
	}
	return found, nil
}

// createDM is POST /v3/create_dm/{identifier}.
func (a *API) createDM(ctx context.Context, p person) (any, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), createWait)
	defer cancel()
	found, err := a.find(ctx, p, true)
	if err != nil {
		return nil, err
	}
	if found.JustCreated {
		return created{found}, nil
	}
	return found, nil
}

// find looks somebody up on the network, and makes a chat with them if wanted.
func (a *API) find(ctx context.Context, p person, chat bool) (*provisionutil.RespResolveIdentifier, error) {
	identifier := p.pathValue("identifier")
	if len(identifier) > maxIdentifier {
		return nil, mautrix.MInvalidParam.WithMessage("The identifier is too long")
	}
	login, err := a.login(p)
	if err != nil {
		return nil, err
	}
	found, err := provisionutil.ResolveIdentifier(ctx, login, identifier, chat)
	switch {
	case err != nil:
		return nil, err
	case found == nil:
		return nil, mautrix.MNotFound.WithMessage("There is nobody of this name on the network")
	}
	return found, nil
}

// decode reads the body of a request.
func decode(p person, into any) error {
	err := json.NewDecoder(p.r.Body).Decode(into)
	_, ours := errors.AsType[*http.MaxBytesError](err)
	_, theirs := errors.AsType[mautrix.RespError](err) // the homeserver's, where no socket is between
	if ours || theirs {
		return mautrix.MTooLarge.WithMessage("The request is too large").WithStatus(http.StatusRequestEntityTooLarge)
	}
	if err != nil {
		return mautrix.MNotJSON.WithMessage("The body is not the JSON that it should be")
	}
	return nil
}
