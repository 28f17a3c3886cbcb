package oauth_test

import (
	"encoding/json"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"causeway/homeserver/oauth"
	"causeway/homeserver/store"
	"causeway/homeserver/storetest"
	"causeway/homeserver/testserver"
)

// TestDeviceCodeExpiresMeanwhile has a device code expire between the look at it and the tokens.
func TestDeviceCodeExpiresMeanwhile(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		server := testserver.New(t, db)
		alice := server.Register("alice")
		s := oauth.New(oauth.Config{PublicURL: "http://test", DB: db, Accounts: server.Accounts})
		call := func(path string, form url.Values) (out struct {
			DeviceCode string `json:"device_code"`
			UserCode   string `json:"user_code"`
			Token      string `json:"access_token"`
			Error      string `json:"error"`
		}) {
			t.Helper()
			r := httptest.NewRequestWithContext(t.Context(), "POST", path, strings.NewReader(form.Encode()))
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			w := httptest.NewRecorder()
			s.ServeHTTP(w, r)
			if err := json.Unmarshal(w.Body.Bytes(), &out); err != nil {
				t.Fatalf("%v in %s", err, w.Body)
			}
			return out
		}
		client, err := s.Register(t.Context(), []byte(`{"client_uri":"https://tv.example","grant_types":["urn:ietf:params:oauth:grant-type:device_code"]}`))
		if err != nil {
			t.Fatal(err)
		}
		codes := call(oauth.PathDeviceRequest, url.Values{"client_id": {client.ClientID}, "scope": {"urn:matrix:client:api:* urn:matrix:client:device:TV"}})
		request, err := s.DeviceRequest(t.Context(), codes.UserCode)
		if err != nil {
			t.Fatal(err)
		}
		cookie, err := server.Accounts.SignIn(t.Context(), "alice", "correct horse battery", "")
		if err != nil {
			t.Fatal(err)
		}
		browser, ok, err := server.Accounts.Browser(t.Context(), cookie)
		if err != nil || !ok || browser.UserID != alice.ID {
			t.Fatalf("signed in as %q, %v, %v", browser.UserID, ok, err)
		}
		if err := s.Decide(t.Context(), request, browser, true); err != nil {
			t.Fatal(err)
		}
		var looks atomic.Int64
		start := time.Now()
		s.SetNow(func() int64 {
			if looks.Add(1) == 1 {
				return start.Add(10 * time.Second).UnixMilli()
			}
			return start.Add(time.Hour).UnixMilli()
		})
		got := call(oauth.PathToken, url.Values{
			"grant_type": {"urn:ietf:params:oauth:grant-type:device_code"}, "device_code": {codes.DeviceCode}, "client_id": {client.ClientID},
		})
		if got.Error != "expired_token" || got.Token != "" {
			t.Errorf("got %+v", got)
		}
		if looks.Load() < 2 {
			t.Errorf("the code was looked at once")
		}
	})
}
