package testserver_test

import (
	"slices"
	"testing"

	"causeway/homeserver"
	"causeway/homeserver/room"
)

// flags are those of GET /versions that a client may ask for, and what is answered where the configuration is that of New.
var flags = map[string]bool{
	// matrix-js-sdk 43.
	"org.matrix.msc2285.stable":               true,
	"org.matrix.msc4108":                      true, // logging in by QR code
	"io.element.msc4388":                      true, // the same, its successor
	"org.matrix.msc3266":                      true,
	"org.matrix.msc3440.stable":               true,
	"org.matrix.msc3715.stable":               true,
	"org.matrix.msc3771":                      true,
	"org.matrix.msc3773":                      true,
	"org.matrix.msc3856.stable":               true,
	"org.matrix.msc3912":                      true,
	"org.matrix.msc3952_intentional_mentions": true,
	"org.matrix.msc3981":                      true,
	"org.matrix.msc4140":                      true,
	"uk.half-shot.msc2666.query_mutual_rooms": true,
	"uk.tcpip.msc4133":                        true,
	"uk.tcpip.msc4133.stable":                 true,
	"org.matrix.msc4354":                      false, // sticky events are switched on by the operator
	"org.matrix.msc3440":                      false, // threads by the names before they were merged
	"org.matrix.msc3715":                      false,
	"org.matrix.msc3881":                      false, // pushers that can be switched off
	"org.matrix.msc3882":                      true,  // tokens to log in with
	"org.matrix.msc4429.stable":               false, // profiles in /sync
	"uk.half-shot.msc2666":                    false, // the paths before query_mutual_rooms
	"uk.half-shot.msc2666.mutual_rooms":       false,

	// matrix-rust-sdk.
	"org.matrix.simplified_msc3575": true,
	"org.matrix.msc4380.stable":     true,
	"org.matrix.msc4028":            false, // push of what is encrypted
	"org.matrix.msc4306":            false, // the operator decides whether threads that one does not follow are silent
	"uk.timedout.msc4323":           true,  // suspending users

	// Element Call and others.
	"org.matrix.msc3391":                             true,
	"org.matrix.msc3827.stable":                      true,
	"org.matrix.msc3874":                             true,
	"org.matrix.msc4140.stable":                      true,
	"org.matrix.msc4222":                             true,
	"org.matrix.msc3026.busy_presence":               true,
	"org.matrix.msc3030":                             true,
	"org.matrix.msc4155":                             true,
	"com.beeper.msc4169":                             true,
	"fi.mau.msc2659.stable":                          true,
	"uk.half-shot.msc2666.query_mutual_rooms.stable": true,
	"org.matrix.msc3814":                             true,  // dehydrated devices
	"org.matrix.msc3916.stable":                      false, // media that needs a token
	"org.matrix.msc4143":                             true,  // transports of calls
	"com.beeper.msc4437":                             false, // replacing a whole profile
	"fi.mau.msc2815":                                 false, // what redacted events said
}

// TestVersions asks for the versions and the flags. Client-Server API, GET /versions.
func TestVersions(t *testing.T) {
	ask := func(s *script) (versions []string, features map[string]bool) {
		var out struct {
			Versions []string        `json:"versions"`
			Features map[string]bool `json:"unstable_features"`
		}
		s.OK("GET", "/_matrix/client/versions", "", nil, &out)
		return out.Versions, out.Features
	}
	each(t, "", func(s *script) {
		versions, features := ask(s)
		want := []string{
			"r0.6.1", "v1.1", "v1.2", "v1.3", "v1.4", "v1.5", "v1.6", "v1.7", "v1.8", "v1.9", "v1.10", "v1.11", "v1.12", "v1.13", "v1.14",
			"v1.15", "v1.16", "v1.17", "v1.18", "v1.19",
		}
		if !slices.Equal(versions, want) {
			t.Errorf("got versions %q, want %q", versions, want)
		}
		for flag, want := range flags {
			if features[flag] != want {
				t.Errorf("got %s %t, want %t", flag, features[flag], want)
			}
		}
	})
	each(t, "", func(s *script) {
		_, features := ask(s)
		for flag, want := range map[string]bool{"org.matrix.msc4354": true, "org.matrix.msc4140": false, "org.matrix.msc4140.stable": false, "org.matrix.msc4306": true} {
			if features[flag] != want {
				t.Errorf("configured: got %s %t, want %t", flag, features[flag], want)
			}
		}
	}, func(c *homeserver.Config) {
		c.StickyEvents, c.Delayed, c.Push.ThreadSubscriptions = true, room.DelayedConfig{Off: true}, true
	})
}
