package accountpages_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"

	"causeway/homeserver/accountpages"
	"causeway/homeserver/httpapi"
	"causeway/homeserver/oauth"

	"maunium.net/go/mautrix/id"
)

// TestCodeRace brings a code several times at once. One may have tokens for it, which then end, since another had the code, too.
func TestCodeRace(t *testing.T) {
	each(t, func(s *site) {
		s.Register("alice")
		a, b := s.app(), s.browser()
		b.open("/_causeway/account/").signIn("alice").want(200)
		form := url.Values{
			"grant_type": {"authorization_code"}, "code": {b.allow(a, "DEVICE")}, "redirect_uri": {a.redirect}, "client_id": {a.id}, "code_verifier": {a.verifier},
		}.Encode()
		answers := make([]*httptest.ResponseRecorder, 8)
		var all sync.WaitGroup
		for i := range answers {
			all.Go(func() {
				r := httptest.NewRequestWithContext(t.Context(), "POST", "/_causeway/oauth2/token", strings.NewReader(form))
				r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
				answers[i] = httptest.NewRecorder()
				s.Handler().ServeHTTP(answers[i], r)
			})
		}
		all.Wait()
		served := 0
		for _, w := range answers {
			if w.Code == http.StatusOK {
				served++
			} else if !strings.Contains(w.Body.String(), "invalid_grant") {
				t.Errorf("refused with %d %s", w.Code, w.Body)
			}
		}
		if served != 1 {
			t.Errorf("%d had tokens for one code", served)
		}
	})
}

// TestDeactivation ends an account on a server whose users can do that.
func TestDeactivation(t *testing.T) {
	each(t, func(s *site) {
		alice := s.Register("alice")
		var ended []id.UserID
		config := accountpages.Config{
			ServerName: "test", PublicURL: "http://test", Accounts: s.Accounts,
			OAuth: oauth.New(oauth.Config{PublicURL: "http://test", DB: s.DB, Accounts: s.Accounts, Deactivation: true}),
			Deactivate: func(_ context.Context, user id.UserID, erase bool) error {
				if erase {
					ended = append(ended, user)
				}
				return nil
			},
		}
		if actions := strings.Join(config.OAuth.Metadata().AccountActions, " "); !strings.Contains(actions, "org.matrix.account_deactivate") {
			t.Errorf("actions %s", actions)
		}
		s.handler = httpapi.NewMux(accountpages.New(config).Routes(), httpapi.Options{})
		b := s.browser()
		b.open("/_causeway/account/?action=org.matrix.account_deactivate").signIn("alice").want(200, "cannot be undone")
		f := b.visit("/_causeway/account/deactivate").form("/_causeway/account/deactivate")
		f.send("password="+password).want(400, "Tick the box")
		f.send("password=wrong", "sure=yes").want(403, "not the right one")
		if len(ended) != 0 {
			t.Fatalf("ended %v without the password", ended)
		}
		f.send("password="+password, "sure=yes", "erase=yes").want(200, "Your account is gone")
		if len(ended) != 1 || ended[0] != alice.ID {
			t.Errorf("ended %v, want %s", ended, alice.ID)
		}
		b.visit("/_causeway/account/").want(200, "Sign in")

		config.Deactivate = nil
		s.handler = httpapi.NewMux(accountpages.New(config).Routes(), httpapi.Options{})
		token := b.open("/_causeway/account/").signIn("alice").form("/_causeway/account/").fields.Get("csrf")
		b.visit("/_causeway/account/deactivate").want(200, "cannot be ended here")
		b.post("/_causeway/account/deactivate", url.Values{"csrf": {token}, "sure": {"yes"}, "password": {password}}).want(http.StatusNotFound)
	})
}
