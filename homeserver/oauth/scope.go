package oauth

import (
	"slices"
	"strings"

	"causeway/homeserver/account"

	"github.com/zitadel/oidc/v3/pkg/oidc"
	"maunium.net/go/mautrix/id"
)

// Scope tokens (Client-Server API, Allocated scope tokens), and their names as of before MSC2967 was merged.
const (
	scopeAPI       = "urn:matrix:client:api:*"
	scopeDevice    = "urn:matrix:client:device:"
	unstableAPI    = "urn:matrix:org.matrix.msc2967.client:api:*"
	unstableDevice = "urn:matrix:org.matrix.msc2967.client:device:"
)

// deviceOf returns the device id that a scope token allocates.
func deviceOf(token string) (id.DeviceID, bool) {
	for _, prefix := range [...]string{scopeDevice, unstableDevice} {
		if device, ok := strings.CutPrefix(token, prefix); ok {
			return id.DeviceID(device), true
		}
	}
	return "", false
}

// knownScope tells whether a scope token is one of Matrix's.
func knownScope(token string) bool {
	_, device := deviceOf(token)
	return device || token == scopeAPI || token == unstableAPI
}

// scope is what a client asks for: the whole API, on one device. Others that it may ask for are not granted.
type scope struct {
	text   string // the tokens that are granted
	device id.DeviceID
}

// parseScope reads scope tokens. Client-Server API, "Device ID allocation": there is exactly one device. The error is invalid_scope.
func parseScope(tokens []string) (scope, error) {
	var (
		out     scope
		granted []string
		api     bool
	)
	for _, token := range tokens {
		if !knownScope(token) || slices.Contains(granted, token) {
			continue
		}
		granted = append(granted, token)
		device, ok := deviceOf(token)
		switch {
		case !ok:
			api = true
		case out.device != "" && out.device != device:
			return scope{}, oidc.ErrInvalidScope().WithDescription("the scope names two devices")
		default:
			out.device = device
		}
	}
	if !api || out.device == "" {
		return scope{}, oidc.ErrInvalidScope().WithDescription("the scope must be %s and %s with a device id", scopeAPI, scopeDevice)
	}
	if account.CheckDeviceID(out.device) != nil || strings.ContainsFunc(string(out.device), notInScope) {
		return scope{}, oidc.ErrInvalidScope().WithDescription("the device id is too long, or has characters that cannot be in a scope")
	}
	out.text = strings.Join(granted, " ")
	return out, nil
}

// notInScope tells whether a character cannot be in a scope token (RFC 6749, section 3.3).
func notInScope(r rune) bool { return r < 0x21 || r > 0x7e || r == '"' || r == '\\' }
