package testserver

import "strings"

// Why an endpoint of the specification is not served yet: the part of the product that it belongs to.
const (
	mediaPush = "media and push"
	peers     = "federation"
)

// pending are the endpoints that are not served yet, a prefix of their paths each, with the reason.
var pending = map[string]string{
	"GET /_matrix/client/v1/media/":         mediaPush,
	"GET /_matrix/media/":                   mediaPush,
	"PUT /_matrix/media/":                   mediaPush,
	"POST /_matrix/media/":                  mediaPush,
	"GET /_matrix/client/v3/pushers":        mediaPush,
	"POST /_matrix/client/v3/pushers/":      mediaPush,
	"GET /.well-known/matrix/policy_server": peers,
}

// Pending returns why an endpoint, "METHOD /path", is not served yet, and "" when it has to be.
func Pending(endpoint string) string {
	for prefix, why := range pending {
		if strings.HasPrefix(endpoint, prefix) {
			return why
		}
	}
	return ""
}
