package clientapi_test

import (
	"strings"
	"testing"

	"causeway/homeserver/clientapi"
)

// Why a route is in no class of the rate limits.
const (
	constant = "answers from memory what is the same for all"
	counts   = "counts attempts for itself, by what they are attempts at"
	ends     = "can be done once: the token is gone then"
	waits    = "waits for news, and a client asks again at once"
	secret   = "takes a nonce each time, and those are limited"
	ours     = "is for application services, which the operator trusts"
	one      = "reads one row of the user's own"
)

// unlimited are those routes, "METHOD /path" below /_matrix/client/ and the version, with the reason.
var unlimited = map[string]string{
	"GET /.well-known/matrix/client":                         constant,
	"GET /.well-known/matrix/support":                        constant,
	"GET /_matrix/client/versions":                           constant,
	"GET /.well-known/oauth-authorization-server":            constant,
	"GET /.well-known/openid-configuration":                  constant,
	"GET /auth_metadata":                                     constant,
	"GET /org.matrix.msc2965/auth_metadata":                  constant,
	"GET /org.matrix.msc2965/auth_issuer":                    constant,
	"GET /login":                                             constant,
	"POST /login":                                            counts,
	"POST /register":                                         counts,
	"GET /_matrix/static/client/login/{$}":                   constant,
	"POST /_synapse/admin/v1/register":                       secret,
	"POST /account/password":                                 counts,
	"POST /logout":                                           ends,
	"POST /logout/all":                                       ends,
	"GET /sync":                                              waits,
	"POST /sync":                                             waits,
	"POST /org.matrix.simplified_msc3575/sync":               waits,
	"GET /events":                                            waits,
	"POST /appservice/{appserviceId}/ping":                   ours,
	"POST /causeway/service_users":                           ours,
	"PUT /directory/list/appservice/{networkId}/{roomId}":    ours,
	"DELETE /directory/list/appservice/{networkId}/{roomId}": ours,

	"GET /account/3pid":                                     one,
	"GET /account/whoami":                                   one,
	"GET /presence/{userId}/status":                         one,
	"GET /pushrules/{$}":                                    one,
	"GET /pushrules/global/{$}":                             one,
	"GET /pushrules/global/{kind}/{ruleId}":                 one,
	"GET /pushrules/global/{kind}/{ruleId}/actions":         one,
	"GET /pushrules/global/{kind}/{ruleId}/enabled":         one,
	"GET /user/{userId}/account_data/{type}":                one,
	"GET /user/{userId}/filter/{filterId}":                  one,
	"GET /user/{userId}/rooms/{roomId}/account_data/{type}": one,
	"GET /user/{userId}/rooms/{roomId}/tags":                one,
}

// someCalls are calls of which only the routes matter.
type someCalls struct{ clientapi.Calls }

func (someCalls) Delegates() bool { return true }

// TestWhatCostsIsLimited sees to it that each route has a class of the rate limits, or a reason for having none.
func TestWhatCostsIsLimited(t *testing.T) {
	prefix := strings.NewReplacer("/_matrix/client/(v3|r0)", "", "/_matrix/client/v1", "", "/_matrix/client/v4", "", "/_matrix/client/unstable", "")
	found := make(map[string]bool)
	for _, route := range (&clientapi.API{Services: clientapi.Services{Calls: someCalls{}}}).Routes() {
		name := route.Method + " " + prefix.Replace(route.Path)
		free := unlimited[name] != ""
		found[name] = true
		switch limited := route.Endpoint.Class() != ""; {
		case !limited && !free:
			t.Errorf("%s is in no class of the rate limits", name)
		case limited && free:
			t.Errorf("%s is in class %s, and said to be in none", name, route.Endpoint.Class())
		}
	}
	for name := range unlimited {
		if !found[name] {
			t.Errorf("there is no route %s", name)
		}
	}
}
