package testserver_test

import (
	"net/http"
	"strings"
	"testing"

	"causeway/homeserver"
)

// TestAuthMetadata asks where the OAuth endpoints are. Client-Server API, GET /auth_metadata.
func TestAuthMetadata(t *testing.T) {
	paths := []string{
		"/_matrix/client/v1/auth_metadata", "/_matrix/client/unstable/org.matrix.msc2965/auth_metadata",
		"/.well-known/oauth-authorization-server", "/.well-known/openid-configuration",
	}
	each(t, "", func(s *script) {
		for _, path := range paths {
			var out struct {
				Issuer  string   `json:"issuer"`
				Token   string   `json:"token_endpoint"`
				Methods []string `json:"code_challenge_methods_supported"`
				Account string   `json:"account_management_uri"`
				Actions []string `json:"account_management_actions_supported"`
			}
			s.OK("GET", path, "", nil, &out)
			if out.Issuer != "http://test/" || !strings.HasPrefix(out.Token, "http://test/_causeway/") || out.Account != "http://test/_causeway/account/" {
				t.Errorf("%s: %+v", path, out)
			}
			if strings.Join(out.Methods, " ") != "S256" {
				t.Errorf("%s: challenges by %q, want S256 alone", path, out.Methods)
			}
			if actions := strings.Join(out.Actions, " "); !strings.Contains(actions, "org.matrix.device_delete") {
				t.Errorf("%s: actions %s", path, actions)
			}
		}
		var issuer struct {
			Issuer string `json:"issuer"`
		}
		if s.OK("GET", "/_matrix/client/unstable/org.matrix.msc2965/auth_issuer", "", nil, &issuer); issuer.Issuer != "http://test/" {
			t.Errorf("issuer %q", issuer.Issuer)
		}
	})
	each(t, "", func(s *script) {
		for _, path := range append(paths, "/_matrix/client/unstable/org.matrix.msc2965/auth_issuer", "/_causeway/account/") {
			if a := s.Do("GET", path, "", nil); a.Status != http.StatusNotFound || a.Code() != "M_UNRECOGNIZED" {
				t.Errorf("%s without OAuth: %d %s", path, a.Status, a.Body)
			}
		}
	}, func(c *homeserver.Config) { c.OAuth.Enabled = false })
}
