package clientapi

import (
	"context"
	"encoding/json"
	"maps"
	"net/url"

	"causeway/homeserver/httpapi"
)

// maxNetworkName bounds the name of a network, in bytes.
const maxNetworkName = 255

func noNetwork() error { return httpapi.NotFound("No application service serves such a network") }

// protocols is GET /thirdparty/protocols.
func (a *API) protocols(ctx context.Context, _ *httpapi.Request, _ httpapi.Empty) (json.RawMessage, error) {
	if a.Networks == nil {
		return json.RawMessage(`{}`), nil
	}
	return a.Networks.Protocols(ctx)
}

// networkName returns the network in the path.
func (a *API) networkName(r *httpapi.Request) (string, error) {
	name := r.Path("protocol")
	if a.Networks == nil || name == "" || len(name) > maxNetworkName {
		return "", noNetwork()
	}
	return name, nil
}

// protocol is GET /thirdparty/protocol/{protocol}.
func (a *API) protocol(ctx context.Context, r *httpapi.Request, _ httpapi.Empty) (json.RawMessage, error) {
	name, err := a.networkName(r)
	if err != nil {
		return nil, err
	}
	return a.Networks.Protocol(ctx, name)
}

// ofRequest are the parameters that are none of the fields that a network is asked for: the token is nobody else's business, and whom an
// application service acts for is none of the question.
var ofRequest = []string{"user_id", "device_id", "org.matrix.msc3202.device_id", "ts"}

// fields are the parameters that describe a user or a place on a network.
func fields(r *httpapi.Request) url.Values {
	query := maps.Clone(r.URL.Query())
	query.Del("access_token")
	if r.Requester.AppService != "" {
		for _, name := range ofRequest {
			query.Del(name)
		}
	}
	return query
}

// networkUsers is GET /thirdparty/user/{protocol}.
func (a *API) networkUsers(ctx context.Context, r *httpapi.Request, _ httpapi.Empty) (json.RawMessage, error) {
	name, err := a.networkName(r)
	if err != nil {
		return nil, err
	}
	return a.Networks.Users(ctx, name, fields(r))
}

// networkLocations is GET /thirdparty/location/{protocol}.
func (a *API) networkLocations(ctx context.Context, r *httpapi.Request, _ httpapi.Empty) (json.RawMessage, error) {
	name, err := a.networkName(r)
	if err != nil {
		return nil, err
	}
	return a.Networks.Locations(ctx, name, fields(r))
}

// networkUsersOf is GET /thirdparty/user.
func (a *API) networkUsersOf(ctx context.Context, r *httpapi.Request, _ httpapi.Empty) (json.RawMessage, error) {
	query, err := a.oneParameter(r, "userid")
	if err != nil {
		return nil, err
	}
	return a.Networks.Users(ctx, "", query)
}

// networkLocationsOf is GET /thirdparty/location.
func (a *API) networkLocationsOf(ctx context.Context, r *httpapi.Request, _ httpapi.Empty) (json.RawMessage, error) {
	query, err := a.oneParameter(r, "alias")
	if err != nil {
		return nil, err
	}
	return a.Networks.Locations(ctx, "", query)
}

func (a *API) oneParameter(r *httpapi.Request, name string) (url.Values, error) {
	switch value := r.Query(name); {
	case value == "":
		return nil, httpapi.MissingParam(name)
	case a.Networks == nil:
		return nil, noNetwork()
	default:
		return url.Values{name: {value}}, nil
	}
}
