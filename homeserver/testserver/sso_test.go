package testserver_test

import (
	"net/http"
	"strings"
	"testing"

	"causeway/homeserver"
	"causeway/homeserver/sso"
)

// TestSSORedirect is what clients see of signing in by providers (Client-Server API, SSO client login/authentication).
func TestSSORedirect(t *testing.T) {
	const redirect = "/_matrix/client/v3/login/sso/redirect"
	refused := []struct {
		path   string
		status int
		code   string
	}{
		{"?x", 400, "M_MISSING_PARAM"}, {"/one?x", 400, "M_MISSING_PARAM"}, {"?redirectUrl=javascript:alert(1)", 400, "M_INVALID_PARAM"},
		{"/one?redirectUrl=data:x", 400, "M_INVALID_PARAM"}, {"/three?redirectUrl=https://app.example/", 404, "M_NOT_FOUND"},
	}
	each(t, "", func(s *script) {
		var flows struct {
			Flows []struct {
				Type      string
				Providers []map[string]string `json:"identity_providers"`
				Preferred bool                `json:"oauth_aware_preferred"`
				Before    bool                `json:"org.matrix.msc3824.delegated_oidc_compatibility"`
			}
		}
		s.OK("GET", "/_matrix/client/v3/login", "", nil, &flows)
		flow := flows.Flows[len(flows.Flows)-1]
		if flow.Type != "m.login.sso" || len(flow.Providers) != 2 || flow.Providers[0]["id"] != "one" || flow.Providers[0]["icon"] != "mxc://test/x" ||
			flow.Providers[0]["brand"] != "github" || flow.Providers[1]["name"] != "Two" || !flow.Preferred || !flow.Before {
			t.Errorf("the flow is %+v", flow)
		}
		for path, to := range map[string]string{
			"?redirectUrl=https://app.example/&action=register":      "http://test/_causeway/account/sso?action=register&redirectUrl=https%3A%2F%2Fapp.example%2F",
			"/two?redirectUrl=https://app.example/%23/x&action=else": "http://test/_causeway/account/sso/start?provider=two&redirectUrl=https%3A%2F%2Fapp.example%2F%23%2Fx",
		} {
			if a := s.Do("GET", redirect+path, "", nil); a.Status != http.StatusFound || a.Header.Get("Location") != to {
				t.Errorf("%s: got %d to %s, want %s", path, a.Status, a.Header.Get("Location"), to)
			}
		}
		for _, r := range refused {
			if a := s.Do("GET", redirect+r.path, "", nil); a.Status != r.status || a.Code() != r.code {
				t.Errorf("%s: got %d %s, want %d %s", r.path, a.Status, a.Body, r.status, r.code)
			}
		}
		if a := s.Do("GET", "/_matrix/client/v3/auth/m.login.sso/fallback/web?session=x", "", nil); a.Status != 400 {
			t.Errorf("the page of no session: got %d", a.Status)
		}
	}, func(c *homeserver.Config) {
		c.SSO.Preferred = true
		c.SSO.Providers = []sso.Provider{
			{ID: "one", Name: "One", Icon: "mxc://test/x", Brand: "github", Issuer: "https://one.example", ClientID: "x", ClientSecret: "x"},
			{ID: "two", Name: "Two", Issuer: "https://two.example", ClientID: "x", Auth: sso.AuthNone},
		}
	})
	each(t, "", func(s *script) { // without providers
		for _, path := range []string{"?redirectUrl=https://app.example/", "/one?redirectUrl=https://app.example/"} {
			if a := s.Do("GET", redirect+path, "", nil); a.Status != 404 {
				t.Errorf("%s: got %d", path, a.Status)
			}
		}
		if a := s.Do("GET", "/_matrix/client/v3/login", "", nil); strings.Contains(string(a.Body), "sso") {
			t.Errorf("the types of login are %s", a.Body)
		}
		if a := s.Do("GET", "/_matrix/client/v3/auth/m.login.sso/fallback/web?session=x", "", nil); a.Status != 404 {
			t.Errorf("the page of the stage: got %d", a.Status)
		}
	})
}
