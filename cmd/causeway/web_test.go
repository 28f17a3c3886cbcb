package main

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"testing"
)

func TestTrustProxies(t *testing.T) {
	proxies := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
	for _, test := range []struct {
		name, remote string
		sent, want   []string
	}{
		{"a proxy", "10.1.2.3:4", []string{"192.0.2.1"}, []string{"192.0.2.1"}},
		{"a proxy, by IPv6", "[::ffff:10.1.2.3]:4", []string{"192.0.2.1"}, []string{"192.0.2.1"}},
		{"somebody else", "192.0.2.9:4", []string{"192.0.2.1"}, nil},
		{"somebody else, behind an empty one", "192.0.2.9:4", []string{"", "192.0.2.1"}, nil},
		{"no address", "", []string{"192.0.2.1"}, nil},
		{"no header", "192.0.2.9:4", nil, nil},
	} {
		var got []string
		handler := trustProxies(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			got = r.Header["X-Forwarded-For"]
		}), proxies)
		r := httptest.NewRequest("GET", "/", nil)
		r.RemoteAddr = test.remote
		if test.sent != nil {
			r.Header["X-Forwarded-For"] = test.sent
		}
		handler.ServeHTTP(httptest.NewRecorder(), r)
		if !slices.Equal(got, test.want) {
			t.Errorf("%s: %q, want %q", test.name, got, test.want)
		}
	}
}
