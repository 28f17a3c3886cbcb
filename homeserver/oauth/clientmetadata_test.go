package oauth

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
)

func TestParseClientMetadata(t *testing.T) {
	const web, native = `"application_type":"web"`, `"application_type":"native"`
	with := func(kind, redirect string) string {
		return fmt.Sprintf(`{"client_uri":"https://example.com/",%s,"redirect_uris":[%q]}`, kind, redirect)
	}
	tests := []struct{ name, body, want string }{ // want is the error, "" for none
		{"least", `{"client_uri":"https://example.com","redirect_uris":["https://example.com/"]}`, ""},
		{"no JSON", `x`, "invalid_client_metadata"},
		{"no object", `[]`, "invalid_client_metadata"},
		{"wrong types", `{"client_uri":1}`, "invalid_client_metadata"},
		{"no client_uri", `{"redirect_uris":["https://example.com/"]}`, "invalid_client_metadata"},
		{"client_uri by http", `{"client_uri":"http://example.com","redirect_uris":["http://example.com/"]}`, "invalid_client_metadata"},
		{"client_uri with a user", `{"client_uri":"https://u:p@example.com","redirect_uris":["https://example.com/"]}`, "invalid_client_metadata"},
		{"a domain of everybody", `{"client_uri":"https://com","redirect_uris":["https://example.com/"]}`, "invalid_client_metadata"},
		{"a domain of many", `{"client_uri":"https://co.uk","redirect_uris":["https://evil.co.uk/"]}`, "invalid_client_metadata"},
		{"a private domain of many", `{"client_uri":"https://github.io","redirect_uris":["https://evil.github.io/"]}`, "invalid_client_metadata"},
		{"a client below it", `{"client_uri":"https://me.github.io","redirect_uris":["https://me.github.io/"]}`, ""},
		{"another application", `{"client_uri":"https://example.com","application_type":"x","redirect_uris":["https://example.com/"]}`, "invalid_client_metadata"},
		{"a secret", `{"client_uri":"https://example.com","token_endpoint_auth_method":"client_secret_basic","redirect_uris":["https://example.com/"]}`, "invalid_client_metadata"},
		{"public", `{"client_uri":"https://example.com","token_endpoint_auth_method":"none","redirect_uris":["https://example.com/"]}`, ""},
		{"nowhere to go", `{"client_uri":"https://example.com"}`, "invalid_redirect_uri"},
		{"a device", `{"client_uri":"https://example.com","grant_types":["urn:ietf:params:oauth:grant-type:device_code"]}`, ""},
		{"no grant that there is", `{"client_uri":"https://example.com","grant_types":["password"]}`, "invalid_client_metadata"},
		{"no response type that there is", `{"client_uri":"https://example.com","response_types":["token"],"redirect_uris":["https://example.com/"]}`, "invalid_client_metadata"},
		{"another's logo", `{"client_uri":"https://example.com","logo_uri":"https://evil.example/x.png","redirect_uris":["https://example.com/"]}`, "invalid_client_metadata"},
		{"terms by http", `{"client_uri":"https://example.com","tos_uri":"http://example.com/","redirect_uris":["https://example.com/"]}`, "invalid_client_metadata"},
		{"a policy that is a script", `{"client_uri":"https://example.com","policy_uri":"javascript:alert(1)","redirect_uris":["https://example.com/"]}`, "invalid_client_metadata"},
		{"a long name", `{"client_uri":"https://example.com","client_name":"` + strings.Repeat("x", 201) + `","redirect_uris":["https://example.com/"]}`, "invalid_client_metadata"},
		{"a name that turns around", `{"client_uri":"https://example.com","client_name":"a\u202eb","redirect_uris":["https://example.com/"]}`, "invalid_client_metadata"},
		{"many addresses", `{"client_uri":"https://example.com","redirect_uris":[` + strings.TrimSuffix(strings.Repeat(`"https://example.com/",`, 21), ",") + `]}`, "invalid_redirect_uri"},
		{"all too large", `{"client_uri":"https://example.com","x":"` + strings.Repeat("x", MaxClientMetadata) + `"}`, "invalid_client_metadata"},

		// Client-Server API, Redirect URI validation, with its examples.
		{"web", with(web, "https://example.com/callback"), ""},
		{"web below", with(web, "https://app.example.com/callback"), ""},
		{"web, a port and a query", with(web, "https://example.com:5173/?query=value"), ""},
		{"web, a fragment", with(web, "https://example.com/callback#fragment"), "invalid_redirect_uri"},
		{"web, an empty fragment", with(web, "https://example.com/callback#"), "invalid_redirect_uri"},
		{"web by http", with(web, "http://example.com/callback"), "invalid_redirect_uri"},
		{"web on the machine", with(web, "http://localhost/"), "invalid_redirect_uri"},
		{"web, an own scheme", with(web, "com.example.app:/callback"), "invalid_redirect_uri"},
		{"web, another host", with(web, "https://evilexample.com/"), "invalid_redirect_uri"},
		{"web, above", with(web, "https://com/"), "invalid_redirect_uri"},
		{"web, a user", with(web, "https://user@example.com/"), "invalid_redirect_uri"},
		{"web, a backslash", with(web, `https://example.com\@evil.example/`), "invalid_redirect_uri"},
		{"web, a host that ends a policy", with(web, "https://a;b.example.com/"), "invalid_redirect_uri"},
		{"web, a wildcard", with(web, "https://*.example.com/"), "invalid_redirect_uri"},
		{"web, the server's parameter", with(web, "https://example.com/?state=x"), "invalid_redirect_uri"},
		{"web, not ASCII", with(web, "https://exämple.com/"), "invalid_redirect_uri"},
		{"native", with(native, "com.example.app:/callback"), ""},
		{"native, the domain itself", with(native, "com.example:/"), ""},
		{"native, no slash", with(native, "com.example:callback"), ""},
		{"native on the machine", with(native, "http://localhost/callback"), ""},
		{"native by address", with(native, "http://127.0.0.1/callback"), ""},
		{"native by IPv6", with(native, "http://[::1]/callback"), ""},
		{"native, claimed", with(native, "https://app.example.com/"), ""},
		{"native, another scheme", with(native, "example:/callback"), "invalid_redirect_uri"},
		{"native, a scheme that begins so", with(native, "com.example2:/callback"), "invalid_redirect_uri"},
		{"native, a host", with(native, "com.example.app://callback"), "invalid_redirect_uri"},
		{"native, an empty host", with(native, "com.example.app:///callback"), "invalid_redirect_uri"},
		{"native, a claimed host of the machine", with(native, "https://localhost/callback"), "invalid_redirect_uri"},
		{"native, a port", with(native, "http://localhost:1234/callback"), "invalid_redirect_uri"},
		{"native, another loopback", with(native, "http://127.0.0.2/callback"), "invalid_redirect_uri"},
		{"native, a user", with(native, "http://u@localhost/callback"), "invalid_redirect_uri"},
		{"native, a script", with(native, "javascript:alert(1)"), "invalid_redirect_uri"},
		{"native, a fragment", with(native, "com.example.app:/callback#x"), "invalid_redirect_uri"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			m, err := ParseClientMetadata([]byte(test.body))
			var got string
			var refused *RegistrationError
			if errors.As(err, &refused) {
				got = refused.Code
			}
			if got != test.want {
				t.Errorf("got %q (%v), want %q", got, err, test.want)
			}
			if err == nil && (m.AuthMethod != "none" || m.ApplicationType == "" || len(m.GrantTypes) == 0) {
				t.Errorf("not filled in: %+v", m)
			}
		})
	}
}

// FuzzParseClientMetadata looks for metadata that are taken, and mean something else when they are read again.
func FuzzParseClientMetadata(f *testing.F) {
	f.Add([]byte(`{"client_uri":"https://example.com/","client_name":"x","redirect_uris":["https://app.example.com/?a=b"]}`))
	f.Add([]byte(`{"client_uri":"https://example.com","application_type":"native","redirect_uris":["com.example.app:/x","http://[::1]/"]}`))
	f.Add([]byte(`{"client_uri":"https://[::1]:8/","redirect_uris":["https://[::1]/"]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		m, err := ParseClientMetadata(body)
		if err != nil {
			if _, ok := errors.AsType[*RegistrationError](err); !ok {
				t.Fatalf("error %v", err)
			}
			return
		}
		raw, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		again, err := ParseClientMetadata(raw)
		if err != nil {
			t.Fatalf("%s is taken, and not as it is kept: %v", body, err)
		}
		if kept, _ := json.Marshal(again); string(kept) != string(raw) {
			t.Fatalf("%s becomes %s", raw, kept)
		}
		c := &client{ClientMetadata: *m}
		for _, uri := range m.RedirectURIs {
			if !c.redirects(uri) {
				t.Errorf("%q is registered, and not taken", uri)
			}
		}
		if c.redirects("https://evil.example/") && !strings.Contains(string(body), "evil.example") {
			t.Errorf("%s: answers go elsewhere", raw)
		}
	})
}

func FuzzScope(f *testing.F) {
	f.Add("urn:matrix:client:api:* urn:matrix:client:device:ABC")
	f.Add("openid urn:matrix:org.matrix.msc2967.client:api:* urn:matrix:org.matrix.msc2967.client:device:ABC")
	f.Fuzz(func(t *testing.T, text string) {
		s, err := parseScope(strings.Fields(text))
		if err != nil {
			return
		}
		again, err := parseScope(strings.Fields(s.text))
		if err != nil || again != s || s.device == "" || len(s.device) > 255 {
			t.Errorf("%q is %+v, and then %+v (%v)", text, s, again, err)
		}
	})
}
