package accountpages_test

import (
	"log/slog"
	"net/url"
	"strings"
	"sync"
	"testing"

	"causeway/homeserver"

	"github.com/rs/zerolog"
)

// record is what was logged.
type record struct {
	mu   sync.Mutex // guards text
	text strings.Builder
}

func (r *record) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text.Write(p)
}

// TestNothingSecretIsLogged goes through all flows, with what goes wrong in them, and looks for passwords, codes and tokens in the log, be
// it that of the OAuth library, which the program switches off.
func TestNothingSecretIsLogged(t *testing.T) {
	var log record
	each(t, func(s *site) {
		slog.SetDefault(slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})))
		defer slog.SetDefault(slog.New(slog.DiscardHandler))
		s.Register("alice")
		a, tv, b := s.app(), s.app(tvClient), s.browser()
		secrets := []string{password, verifier, "wrong-password"}

		f := b.open(a.request("DEVICE")).form("/_causeway/account/login")
		f.send("username=alice", "password=wrong-password").want(403)
		f.send("username=alice", "password="+password).want(303)
		b.visit(a.request("DEVICE", "code_challenge_method=plain")).want(400)
		code := b.allow(a, "DEVICE")
		a.exchange(code, "code_verifier=wrong-verifier")
		got := a.exchange(code)
		next := s.token("grant_type=refresh_token", "refresh_token="+got.RefreshToken, "client_id="+a.id)
		s.token("grant_type=refresh_token", "refresh_token=wrong-refresh", "client_id="+a.id)
		s.whoami(next.AccessToken)
		s.call("revoke", "token="+next.AccessToken)
		a.exchange(code)
		g := tv.device("TV")
		tv.poll(g.DeviceCode)
		b.post("/_causeway/account/", nil).want(403)
		const link = "/_causeway/account/new-password?sid=secret-sid&token=secret-link"
		b.visit(link).want(404)
		lost := s.browser().open("/_causeway/account/forgot")
		lost.browser.post("/_causeway/account/new-password", url.Values{"csrf": {formless(lost)}, "sid": {"secret-sid"}, "token": {"secret-link"}, "new": {"new-password"}})
		secrets = append(secrets, "secret-sid", "secret-link", "=new-password")
		for _, c := range b.client.Jar.Cookies(mustParse(t, "http://test/_causeway/account/")) {
			secrets = append(secrets, c.Value)
		}
		secrets = append(secrets, code, got.AccessToken, got.RefreshToken, next.AccessToken, next.RefreshToken, g.DeviceCode, g.UserCode, "wrong-verifier", "wrong-refresh")
		for _, secret := range secrets {
			if secret == "" || strings.Contains(log.text.String(), secret) {
				t.Errorf("the log has %q", secret)
			}
		}
		if !strings.Contains(log.text.String(), "/_causeway/oauth2/token") {
			t.Errorf("the log has no requests")
		}
	}, func(c *homeserver.Config) { c.Log = zerolog.New(&log).Level(zerolog.TraceLevel) })
}

// formless returns the token for forms of a page that has none, by one that has.
func formless(p *page) string {
	return p.browser.open("/_causeway/account/login").forms[0].fields.Get("csrf")
}
