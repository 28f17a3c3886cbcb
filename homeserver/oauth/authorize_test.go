package oauth

import (
	"net/url"
	"strings"
	"testing"

	"github.com/zitadel/oidc/v3/pkg/oidc"
)

// TestResponseURL looks at where answers go, for each kind of address that a client can have. Client-Server API, "Callback".
func TestResponseURL(t *testing.T) {
	const answer = "code=c&iss=https%3A%2F%2Fmatrix.example%2F&state=a+b%26c"
	s := New(Config{PublicURL: "https://matrix.example/"})
	tests := []struct{ redirect, mode, want string }{
		{"https://example.com/back", "", "https://example.com/back?" + answer},
		{"https://example.com/back", "query", "https://example.com/back?" + answer},
		{"https://example.com/back", "fragment", "https://example.com/back#" + answer},
		{"https://example.com/?a=b", "query", "https://example.com/?a=b&" + answer},
		{"https://example.com/?a=b", "fragment", "https://example.com/?a=b#" + answer},
		{"com.example.app:/back", "query", "com.example.app:/back?" + answer},
		{"com.example.app:/", "fragment", "com.example.app:/#" + answer},
		{"com.example:back", "query", "com.example:back?" + answer},
		{"http://[::1]:1234/back", "query", "http://[::1]:1234/back?" + answer},
	}
	for _, test := range tests {
		a := &Authorization{request: oidc.AuthRequest{
			RedirectURI: test.redirect, ResponseMode: oidc.ResponseMode(test.mode), ResponseType: oidc.ResponseTypeCode, State: "a b&c",
		}}
		got, err := s.responseURL(a, codeResponse{Code: "c"})
		if err != nil {
			t.Fatal(err)
		}
		if got != test.want {
			t.Errorf("%s by %q: got %s, want %s", test.redirect, test.mode, got, test.want)
		}
		if u, err := url.Parse(got); err != nil || !strings.HasPrefix(test.redirect, u.Scheme+":") {
			t.Errorf("%s: %v", got, err)
		}
	}
}

// TestRedirects asks whether an address is the client's, beyond what the tests of the pages have.
func TestRedirects(t *testing.T) {
	native := &client{ClientMetadata: ClientMetadata{ApplicationType: applicationNative, RedirectURIs: []string{"http://localhost/back", "http://[::1]/back?a=b"}}}
	web := &client{ClientMetadata: ClientMetadata{ApplicationType: applicationWeb, RedirectURIs: []string{"http://localhost/back"}}}
	for _, test := range []struct {
		client *client
		uri    string
		want   bool
	}{
		{native, "http://localhost/back", true},
		{native, "http://localhost:1/back", true},
		{native, "http://[::1]:65535/back?a=b", true},
		{native, "http://[::1]:65535/back", false},
		{native, "http://[::1]:123456/back?a=b", false},
		{native, "http://localhost:/back", false},
		{native, "http://localhost:1/back/", false},
		{native, "http://localhost:1/back?", false},
		{native, "http://localhost:1/b%61ck", false},
		{native, "http://LOCALHOST:1/back", false},
		{native, "http://localhost.:1/back", false},
		{native, "http://localhost:1/back#", false},
		{native, "http://a@localhost:1/back", false},
		{native, "http://localhost:1\\@evil.example/back", false},
		{native, "https://localhost:1/back", false},
		{native, "http://127.0.0.1:1/back", false},
		{native, "", false},
		{web, "http://localhost:1/back", false},
	} {
		if got := test.client.redirects(test.uri); got != test.want {
			t.Errorf("%s: %t, want %t", test.uri, got, test.want)
		}
	}
}
