package accountpages_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"causeway/homeserver/sso"
)

// TestSSOLinkFromElsewhere has somebody follow a link that signs in, or makes an account, without having asked for either.
func TestSSOLinkFromElsewhere(t *testing.T) {
	provider := newIDP(t)
	here(t, func(s *site) {
		s.Register("bob")
		b := s.browser()
		b.visit("/_causeway/account/").signIn("bob").want(200, "@bob:test")
		b.visit(start("id")).through(provider, "alice").want(200, "Create an account?", "@alice:test", "You are signed in here as @bob:test")
		s.count(1, `SELECT COUNT(*) FROM users`)
		// Nor for a client.
		s.browser().visit(start("id", "redirectUrl", clientAddress)).through(provider, "alice").want(200, "Create an account?")
		s.count(1, `SELECT COUNT(*) FROM users`)

		other := s.browser()
		other.visit(start("id")).through(provider, "alice").create().want(200, "@alice:test")
		s.count(2, `SELECT COUNT(*) FROM users`)
		f := b.visit(start("id")).through(provider, "alice").want(200, "Sign in here?", "Continue as @alice:test", "You are signed in here as @bob:test").form(sso.PathContinue)
		b.visit("/_causeway/account/").want(200, "@bob:test")
		b.post(sso.PathContinue, url.Values{"id": f.fields["id"]}).want(403)
		b.post(sso.PathContinue, f.fields, "Origin", "https://evil.example").want(403)
		b.visit("/_causeway/account/").want(200, "@bob:test")
		f.send().follow().want(200, "@alice:test")

		// A button is as good as the page, in the browser that it was shown to, and for what it was shown for.
		c := s.browser()
		p := c.visit("/_causeway/account/devices").want(200, "Sign in")
		to := hrefOf(t, p, "Continue with The id")
		if !strings.HasPrefix(to, "http://test"+sso.PathStart) {
			t.Errorf("it leads to %s, which need not be the host that the provider sends people back to", to)
		}
		s.browser().visit(to).through(provider, "alice").want(200, "Sign in here?")
		c.visit(to+"&again=yes").through(provider, "alice").want(200, "Sign in here?")
		c.visit(strings.Replace(to, "devices", "emails", 1)).through(provider, "alice").want(200, "Sign in here?")
		c.visit(to).through(provider, "alice").want(200, "Devices", "@alice:test")
	}, provider.provider("id"))
}

// TestSSODeclined has somebody say no at the provider: they get to the other ways, and back to the client with nothing.
func TestSSODeclined(t *testing.T) {
	provider := newIDP(t)
	here(t, func(s *site) {
		decline := func(b *browser, to string) *page {
			q := mustParse(t, provider.answer(t, b.visit(to).header.Get("Location"), "alice")).Query()
			return b.visit(sso.PathBack+"id?"+url.Values{"state": q["state"], "error": {"access_denied"}}.Encode()).want(403, "You did not sign in with The id")
		}
		const other = "Try again, or choose another way"
		b := s.browser()
		p := decline(b, start("id", "redirectUrl", clientAddress, "action", "register"))
		if to := hrefOf(t, p, "go back to app.example.com"); to != clientAddress {
			t.Errorf("the client is at %s", to)
		}
		b.visit(hrefOf(t, p, other)).want(200, "Continue with The id", "Continue with a password", "Create an account")
		if p = decline(b, start("id", "next", "/_causeway/account/devices")); strings.Contains(p.text, "go back to") {
			t.Error("it leads to a client that there is not")
		}
		b.visit(hrefOf(t, p, other)).want(200, "Continue with The id", `value="/_causeway/account/devices"`)
		s.Register("bob")
		b.visit("/_causeway/account/").signIn("bob")
		b.visit(hrefOf(t, decline(b, start("id", "link", "yes")), other)).want(200, "Linked accounts", "@bob:test")
		b.visit(hrefOf(t, decline(b, start("id", "again", "yes", "next", "/_causeway/account/password")), other)).want(200, "Change your password")
	}, provider.provider("id"))
}

// TestSSOClientByIPv6 takes people to a client that no policy can name.
func TestSSOClientByIPv6(t *testing.T) {
	provider := newIDP(t)
	here(t, func(s *site) {
		const client = "http://[::1]:1234/back?x=1"
		p := s.browser().visit(start("id", "redirectUrl", client)).through(provider, "alice").create().want(200, "Sign in to an application on this device ([::1]:1234)?")
		if policy := p.header.Get("Content-Security-Policy"); !strings.Contains(policy, "form-action 'self';") {
			t.Errorf("the policy is %q", policy)
		}
		p = p.form(sso.PathContinue).send().want(200, "Go on in the application", `<meta http-equiv="refresh" content="0;url=`+client)
		to := hrefOf(t, p, "go on to an application on this device ([::1]:1234)")
		if status, _ := s.login(to); status != 200 || !strings.HasPrefix(to, client+"&loginToken=") {
			t.Errorf("got %d by %s", status, to)
		}
	}, provider.provider("id"))
}

// TestSSOGivenName has a provider give people their names, and others nothing but ask for one.
func TestSSOGivenName(t *testing.T) {
	provider := newIDP(t)
	asks := provider.provider("asks")
	asks.AskUsername = true
	here(t, func(s *site) {
		p := s.browser().visit(start("id")).through(provider, "alice").want(200, "Create an account?", "@alice:test")
		p.form(sso.PathContinue).send("username=root").follow().want(200, "@alice:test")
		p = s.browser().visit(start("asks")).through(provider, "carol").want(200, "Choose your name", `value="carol"`)
		p.form(sso.PathContinue).send("username=caroline").follow().want(200, "@caroline:test")
	}, provider.provider("id"), asks)
}

// TestSSOEmailAfterAWhile has somebody without a password add an address who has to sign in again in between.
func TestSSOEmailAfterAWhile(t *testing.T) {
	provider := newIDP(t)
	eachMailing(t, func(s *site, box *mailbox) {
		b, other := s.browser(), s.browser()
		b.visit(start("id")).through(provider, "alice").create().want(200, "@alice:test")
		other.visit(start("id")).through(provider, "alice").enter().want(200, "@alice:test")
		wait := b.open(emailsPath).form(emailsPath).send("email=new@example.org").follow().want(200, "on its way to")
		s.browser().confirm(box.link(t, "new@example.org"))
		for range 2 {
			s.exec(`UPDATE browser_sessions SET authenticated_ts = 1`)
			p := b.open(wait.address).want(200, "is confirmed", "Sign in again")
			if strings.Contains(p.text, "Add it to my account") {
				t.Error("there is a button that does nothing")
			}
			p = p.form(emailsPath+"/add").send().want(403, "Sign in again")
			b.visit(hrefOf(t, p, "Continue with The id")).through(provider, "alice").want(200, "is confirmed", "Add it to my account")
		}
		other.open(wait.address).want(200, "in which you began")
		b.open(wait.address).form(emailsPath+"/add").send().follow().want(200, "yours now", "new@example.org")
	}, with(provider.provider("id")))
}

// TestBackToThePage has people sign in between a form and its page, and come back to that page.
func TestBackToThePage(t *testing.T) {
	provider := newIDP(t)
	here(t, func(s *site) {
		b := s.browser()
		b.visit(start("id")).through(provider, "alice").create().want(200, "@alice:test")
		s.exec(`UPDATE browser_sessions SET authenticated_ts = 1`)
		const account = "/_causeway/account/"
		stranger := s.browser()
		token := stranger.visit(account).form(account + "login").fields["csrf"]
		for path, test := range map[string]struct{ field, want string }{
			"emails/add":  {"sid", "emails?sid=x%26y"},
			"email":       {"address", "email?address=x%26y"},
			"device":      {"device_id", "device?device_id=x%26y"},
			"device/name": {"device_id", "device?device_id=x%26y"},
			"reset":       {"device_id", "reset?device_id=x%26y"},
			"password":    {"x", "password"},
			"browsers":    {"x", "browsers"},
		} {
			fields := url.Values{"csrf": token, test.field: {"x&y"}}
			p := stranger.post(account+path, fields).want(200)
			if next := p.form(account + "login").fields.Get("next"); next != account+test.want {
				t.Errorf("POST %s leads on to %s", path, next)
			}
		}
		// The same where it is shown once more, and the provider is what one goes on by.
		_, token1 := s.login(s.browser().visit(start("id", "redirectUrl", clientAddress)).through(provider, "alice").confirm().header.Get("Location"))
		_, device := s.whoami(token1)
		p := b.visit(account + "device?device_id=" + string(device)).form(account + "device").send().want(http.StatusForbidden)
		b.visit(hrefOf(t, p, "Continue with The id")).through(provider, "alice").want(200, string(device), "Sign this device out")
	}, provider.provider("id"))
}
