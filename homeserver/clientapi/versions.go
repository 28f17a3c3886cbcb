package clientapi

import (
	"context"
	"maps"
	"strings"

	"causeway/homeserver/httpapi"
)

// specVersions are the versions of the specification that clients may count on.
var specVersions = []string{
	"r0.6.1", "v1.1", "v1.2", "v1.3", "v1.4", "v1.5", "v1.6", "v1.7", "v1.8", "v1.9", "v1.10",
}

// unstableFeatures are proposals, some of them merged long ago, whose flags clients ask for.
var unstableFeatures = map[string]bool{
	"fi.mau.msc2659.stable":                          true, // pinging an application service
	"org.matrix.msc3440.stable":                      true, // threads
	"org.matrix.msc3856":                             true, // listing threads
	"org.matrix.msc3874":                             true, // filtering by rel_types
	"org.matrix.msc3912":                             true, // redacting what relates to an event along with it
	"org.matrix.msc3981":                             true, // recurse in /relations
	"org.matrix.msc3391":                             true, // deleting account data
	"uk.half-shot.msc2666.query_mutual_rooms":        true, // rooms in common
	"uk.half-shot.msc2666.query_mutual_rooms.stable": true,
	"uk.tcpip.msc4133":                               true, // fields of profiles
	"uk.tcpip.msc4133.stable":                        true,
	"org.matrix.msc3026.busy_presence":               true,
	"org.matrix.simplified_msc3575":                  true, // sliding sync as of before it was merged (MSC4186)
	"org.matrix.msc4155":                             true, // whose invitations are welcome
	"org.matrix.msc4380.stable":                      true, // the same, as of version 1.18
}

type versionsResponse struct {
	Versions         []string        `json:"versions"`
	UnstableFeatures map[string]bool `json:"unstable_features"`
}

// versions is GET /versions.
func (a *API) versions(context.Context, *httpapi.Request, httpapi.Empty) (versionsResponse, error) {
	features := maps.Clone(unstableFeatures)
	maps.Copy(features, a.configuredFeatures())
	return versionsResponse{Versions: specVersions, UnstableFeatures: features}, nil
}

// configuredFeatures are the flags of what the operator can switch off or on.
func (a *API) configuredFeatures() map[string]bool {
	delayed := !a.Rooms.Config.Delayed.Off
	features := map[string]bool{"org.matrix.msc4140": delayed, "org.matrix.msc4140.stable": delayed}
	if a.Rooms.Config.StickyEvents {
		features["org.matrix.msc4354"] = true
	}
	return features
}

type wellKnownResponse struct {
	Homeserver wellKnownHomeserver `json:"m.homeserver"`
}

type wellKnownHomeserver struct {
	BaseURL string `json:"base_url"`
}

// wellKnownClient is GET /.well-known/matrix/client.
func (a *API) wellKnownClient(context.Context, *httpapi.Request, httpapi.Empty) (wellKnownResponse, error) {
	if a.PublicURL == "" {
		return wellKnownResponse{}, httpapi.NotFound("This server does not say where it is")
	}
	return wellKnownResponse{wellKnownHomeserver{BaseURL: strings.TrimRight(a.PublicURL, "/")}}, nil
}
