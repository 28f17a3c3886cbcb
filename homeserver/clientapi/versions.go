package clientapi

import (
	"context"
	"maps"
	"strings"

	"causeway/homeserver/httpapi"
)

// specVersions are the versions of the specification that clients may count on.
var specVersions = []string{
	"r0.6.1", "v1.1", "v1.2", "v1.3", "v1.4", "v1.5", "v1.6", "v1.7", "v1.8", "v1.9", "v1.10", "v1.11", "v1.12", "v1.13", "v1.14", "v1.15",
	"v1.16", "v1.17", "v1.18", "v1.19",
}

// unstableFeatures are proposals, most of them merged by now, whose flags clients ask for. What the operator switches on or off is among
// configuredFeatures.
var unstableFeatures = map[string]bool{
	"com.beeper.msc4169":                             true, // redacting by /send
	"fi.mau.msc2659.stable":                          true, // pinging an application service
	"org.matrix.msc2285.stable":                      true, // receipts that others do not see
	"org.matrix.msc3026.busy_presence":               true,
	"org.matrix.msc3030":                             true, // the event at a time
	"org.matrix.msc3266":                             true, // summaries of rooms, at the path of Matrix 1.15
	"org.matrix.msc3391":                             true, // deleting account data
	"org.matrix.msc3440.stable":                      true, // threads
	"org.matrix.msc3715.stable":                      true, // dir in /relations
	"org.matrix.msc3771":                             true, // receipts by thread
	"org.matrix.msc3773":                             true, // unread counts by thread
	"org.matrix.msc3814":                             true, // dehydrated devices
	"org.matrix.msc3827.stable":                      true, // the directory of rooms by type
	"org.matrix.msc3856":                             true, // listing threads
	"org.matrix.msc3856.stable":                      true,
	"org.matrix.msc3874":                             true, // filtering by rel_types
	"org.matrix.msc3882":                             true, // tokens to log in with
	"org.matrix.msc3912":                             true, // redacting what relates to an event along with it
	"org.matrix.msc3952_intentional_mentions":        true,
	"org.matrix.msc3981":                             true, // recurse in /relations
	"org.matrix.msc4155":                             true, // whose invitations are welcome
	"org.matrix.msc4222":                             true, // state_after in /sync
	"org.matrix.msc4380.stable":                      true, // whose invitations are welcome, as of Matrix 1.18
	"org.matrix.simplified_msc3575":                  true, // sliding sync as of before it was merged (MSC4186)
	"uk.half-shot.msc2666.query_mutual_rooms":        true, // rooms that one shares with another
	"uk.half-shot.msc2666.query_mutual_rooms.stable": true,
	"uk.tcpip.msc4133":                               true, // fields of profiles
	"uk.tcpip.msc4133.stable":                        true,
	"uk.timedout.msc4323":                            true, // suspending and locking users
}

type versionsResponse struct {
	Versions         []string        `json:"versions"`
	UnstableFeatures map[string]bool `json:"unstable_features"`
}

// versions is GET /versions. Application services are told of more than others.
func (a *API) versions(_ context.Context, r *httpapi.Request, _ httpapi.Empty) (versionsResponse, error) {
	features := maps.Clone(unstableFeatures)
	maps.Copy(features, a.configuredFeatures())
	if service := a.Accounts.ServiceOf(bearer(r)); service != nil {
		maps.Copy(features, serviceFeatures(service.BuiltIn, a.Accounts.CoversAll(service)))
	}
	return versionsResponse{Versions: specVersions, UnstableFeatures: features}, nil
}

// configuredFeatures are the flags of what the operator can switch off or on.
func (a *API) configuredFeatures() map[string]bool {
	delayed := !a.Rooms.Config.Delayed.Off
	features := map[string]bool{"org.matrix.msc4140": delayed, "org.matrix.msc4140.stable": delayed}
	maps.Copy(features, a.rendezvousFeatures())
	if a.Rooms.Config.StickyEvents {
		features["org.matrix.msc4354"] = true
	}
	if a.Calls != nil {
		features["org.matrix.msc4143"] = true
	}
	if a.Push.ThreadSubscriptions {
		features["org.matrix.msc4306"] = true
	}
	return features
}

type wellKnownResponse struct {
	Homeserver     wellKnownHomeserver  `json:"m.homeserver"`
	IdentityServer *wellKnownHomeserver `json:"m.identity_server,omitempty"`
	// CallTransports are for clients that look for them here alone, and not yet by GET /rtc/transports.
	CallTransports []CallTransport `json:"org.matrix.msc4143.rtc_foci,omitempty"`
}

type wellKnownHomeserver struct {
	BaseURL string `json:"base_url"`
}

// wellKnownClient is GET /.well-known/matrix/client.
func (a *API) wellKnownClient(context.Context, *httpapi.Request, httpapi.Empty) (wellKnownResponse, error) {
	if a.PublicURL == "" {
		return wellKnownResponse{}, httpapi.NotFound("This server does not say where it is")
	}
	out := wellKnownResponse{Homeserver: wellKnownHomeserver{BaseURL: strings.TrimRight(a.PublicURL, "/")}}
	if a.IdentityURL != "" {
		out.IdentityServer = &wellKnownHomeserver{BaseURL: a.IdentityURL}
	}
	if a.Calls != nil {
		out.CallTransports = a.Calls.Transports()
	}
	return out, nil
}
