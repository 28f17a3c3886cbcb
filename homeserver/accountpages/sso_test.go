package accountpages_test

import (
	"html"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"causeway/homeserver"
	"causeway/homeserver/account"
	"causeway/homeserver/sso"
)

// start is the address at which a browser sets out for a provider.
func start(provider string, params ...string) string {
	q := url.Values{"provider": {provider}}
	for i := 0; i+1 < len(params); i += 2 {
		q.Set(params[i], params[i+1])
	}
	return sso.PathStart + "?" + q.Encode()
}

const clientAddress = "https://app.example.com/?hs=test#/login"

// login logs in with a login token that a browser was sent to a client with.
func (s *site) login(to string) (status int, token string) {
	s.t.Helper()
	u := mustParse(s.t, to)
	a := s.Do("POST", "/_matrix/client/v3/login", "", map[string]any{"type": "m.login.token", "token": u.Query().Get("loginToken")})
	var out struct {
		Token string `json:"access_token"`
	}
	if a.Status == 200 {
		a.Decode(s.t, &out)
	}
	return a.Status, out.Token
}

// confirm says yes to the page that asks whether to go on to the client.
func (p *page) confirm() *page {
	p.browser.t.Helper()
	return p.create().want(200, "Sign in to app.example.com?").form(sso.PathContinue).send()
}

// create says yes to the page that asks whether to make an account, where that is asked.
func (p *page) create() *page {
	p.browser.t.Helper()
	if !strings.Contains(p.text, "Create an account?") {
		return p
	}
	return p.form(sso.PathContinue).send().follow()
}

// enter says yes to the page that asks whether to be signed in, or whether to make an account.
func (p *page) enter() *page {
	p.browser.t.Helper()
	if p = p.create(); strings.Contains(p.text, "Sign in here?") {
		return p.form(sso.PathContinue).send().follow()
	}
	return p
}

// TestSSOForClient has a client without OAuth sign people in by a provider: those who are new, and those who come again.
func TestSSOForClient(t *testing.T) {
	provider := newIDP(t)
	each(t, func(s *site) {
		a := s.Do("GET", "/_matrix/client/v3/login/sso/redirect/id?redirectUrl="+url.QueryEscape(clientAddress), "", nil)
		if a.Status != http.StatusFound {
			t.Fatalf("got %d %s", a.Status, a.Body)
		}
		for range 2 { // the first time makes the account
			b := s.browser()
			p := b.visit(start("id", "redirectUrl", clientAddress)).through(provider, "alice").confirm()
			to := p.header.Get("Location")
			if p.status != http.StatusSeeOther || !strings.HasPrefix(to, "https://app.example.com/?hs=test&loginToken=") || !strings.HasSuffix(to, "#/login") {
				t.Fatalf("got %d to %s", p.status, to)
			}
			status, token := s.login(to)
			if user, _ := s.whoami(token); status != 200 || user != "@alice:test" {
				t.Errorf("got %d and %s", status, user)
			}
			if status, _ := s.login(to); status != 403 {
				t.Errorf("the second use of a login token is answered with %d", status)
			}
			var profile struct {
				Name string `json:"displayname"`
			}
			s.OK("GET", "/_matrix/client/v3/profile/@alice:test", token, nil, &profile)
			if profile.Name != "Name of alice" {
				t.Errorf("the name is %q", profile.Name)
			}
			b.visit("/_causeway/account/").want(200, "Sign in") // a browser that was on its way to a client is not signed in here
		}
	}, with(provider.provider("id")))
}

// TestSSONewName has people come whose name is taken, is no name, or who have none: they choose one, and are nobody else by it.
func TestSSONewName(t *testing.T) {
	provider := newIDP(t)
	each(t, func(s *site) {
		s.Register("alice")
		b := s.browser()
		p := b.visit(start("id", "redirectUrl", clientAddress)).through(provider, "alice").want(200, "Choose your name", "<strong>alice</strong>", `value="alice"`)
		p = p.form(sso.PathContinue).send("username=alice").want(400, "This name is taken.", `id="username-problem"`)
		p = p.form(sso.PathContinue).send("username=UPPER CASE").want(400)
		p = p.form(sso.PathContinue).send("username=").want(400)
		p = p.form(sso.PathContinue).send("username=alice2").follow().confirm()
		_, token := s.login(p.header.Get("Location"))
		if user, _ := s.whoami(token); user != "@alice2:test" {
			t.Errorf("got %s", user)
		}
		provider.change(func() { provider.claims["preferred_username"] = "Ålice of Göteborg" })
		defer provider.change(func() { delete(provider.claims, "preferred_username") })
		s.browser().visit(start("id", "redirectUrl", clientAddress)).through(provider, "x1").want(200, "Choose your name", `value="lice.of.gteborg"`)
		provider.change(func() { provider.claims["preferred_username"] = nil })
		s.browser().visit(start("id", "redirectUrl", clientAddress)).through(provider, "x2").want(200, "Choose your name", `value=""`)
	}, with(provider.provider("id")))
}

// TestSSOTerms has the documents accepted by those who come from a provider, too.
func TestSSOTerms(t *testing.T) {
	provider := newIDP(t)
	each(t, func(s *site) {
		p := s.browser().visit(start("id", "redirectUrl", clientAddress)).through(provider, "alice").want(200, "I agree to", "Privacy Policy")
		p = p.form(sso.PathContinue).send("username=alice").want(400, "have to accept")
		p.form(sso.PathContinue).send("username=alice", "agree=yes").follow().confirm()
		s.count(1, `SELECT COUNT(*) FROM accepted_terms`)
	}, with(provider.provider("id")), func(c *homeserver.Config) {
		c.Rules.Terms = map[string]account.Policy{"privacy": {Version: "1", Languages: map[string]account.Document{"en": {Name: "Privacy Policy", URL: "https://example.org/"}}}}
	})
}

// TestSSOForBrowser signs people in to the server's own pages, and by them to an OAuth client.
func TestSSOForBrowser(t *testing.T) {
	provider := newIDP(t)
	each(t, func(s *site) {
		app := s.app()
		b := s.browser()
		p := b.visit(app.request("PHONE")).want(200, "Continue with The id")
		p = b.visit(hrefOf(t, p, "Continue with The id")).through(provider, "alice").create().want(200, "Mailbox", "@alice:test")
		code := p.form("/_causeway/oauth2/authorize").send("answer=allow").answer(app.redirect).Get("code")
		if got := app.exchange(code); got.Status != 200 {
			t.Errorf("got %+v", got)
		}
		// Who has no password chooses one, having signed in again: a provider that lets people pass does not ask who they are.
		b.visit("/_causeway/account/browsers").want(200, "Signed in "+time.Now().UTC().Format("2 January 2006"))
		p = b.visit("/_causeway/account/password").want(200, "sign in again first")
		fields := url.Values{"new": {"correct horse"}, "new2": {"correct horse"}, "csrf": {p.form("/_causeway/account/logout").fields.Get("csrf")}}
		b.post("/_causeway/account/password", fields).want(403, "Sign in again")
		b.post("/_causeway/account/deactivate", url.Values{"sure": {"yes"}, "csrf": fields["csrf"]}).want(403, "Sign in again")
		p = b.visit("/_causeway/account/password").want(200, "sign in again first")
		again := b.visit(hrefOf(t, p, "Continue with The id"))
		if q := mustParse(t, again.header.Get("Location")).Query(); q.Get("prompt") != "login" || q.Get("max_age") != "0" {
			t.Errorf("the provider is asked for %v", q)
		}
		p = again.through(provider, "alice").want(200, "Choose password")
		p.form("/_causeway/account/password").send("new=correct horse", "new2=correct horse").follow().want(200, "You have a password now")
		s.browser().visit("/_causeway/account/").form("/_causeway/account/login").send("username=alice", "password=correct horse").follow().want(200, "@alice:test")
	}, with(provider.provider("id")))
}

// hrefOf is where the link with a text leads.
func hrefOf(t *testing.T, p *page, text string) string {
	t.Helper()
	before, _, ok := strings.Cut(p.text, `>`+text+`</a>`)
	if !ok {
		t.Fatalf("no link %q in %s", text, p.text)
	}
	to, _, _ := strings.Cut(before[strings.LastIndex(before, `href="`)+len(`href="`):], `"`)
	return html.UnescapeString(to)
}

// TestSSOLink has somebody with a password link the account, come by that, and unlink it.
func TestSSOLink(t *testing.T) {
	provider := newIDP(t)
	each(t, func(s *site) {
		s.Register("alice")
		b := s.browser()
		p := b.visit("/_causeway/account/linked").want(200, "Sign in").signIn("alice").want(200, "not linked to any other")
		p = b.visit(hrefOf(t, p, "Continue with The id")).through(provider, "a").want(200, "Link your account?", "<strong>a</strong>", "@alice:test")
		p.form(sso.PathContinue).send().follow().want(200, "The account is linked", "a, since")
		s.exec(`UPDATE browser_sessions SET authenticated_ts = 1`)
		// Another who is signed in as the same person there cannot have it, and is told so.
		s.Register("bob")
		other := s.browser()
		other.visit("/_causeway/account/linked").signIn("bob")
		other.visit(start("id", "link", "yes")).through(provider, "a").form(sso.PathContinue).send().want(400, "linked to an account here already")

		again := s.browser()
		again.visit(start("id")).through(provider, "a").enter().want(200, "@alice:test")
		unlink := b.visit("/_causeway/account/linked").form("/_causeway/account/linked")
		unlink.send("password=wrong").want(403)
		unlink.send("password="+password).follow().want(200, "not linked any more", "signed out in all other browsers")
		again.visit("/_causeway/account/").want(200, "No account yet?")
		s.count(0, `SELECT COUNT(*) FROM sso_links`)

		// The only way in stays.
		carol := s.browser()
		carol.visit(start("id", "again", "yes")).through(provider, "carol").enter().want(200, "@carol:test")
		carol.visit("/_causeway/account/linked").form("/_causeway/account/linked").send().want(400, "only way to sign in")
		s.count(1, `SELECT COUNT(*) FROM sso_links`)
	}, with(provider.provider("id")))
}

// TestSSOPolicy has the operator say who may come.
func TestSSOPolicy(t *testing.T) {
	provider := newIDP(t)
	closed := provider.provider("closed")
	closed.NoNewAccounts, closed.NoLinking = true, true
	each(t, func(s *site) {
		s.browser().visit(start("closed", "redirectUrl", clientAddress)).through(provider, "alice").want(403, "Nobody here has linked")
		s.Register("alice")
		b := s.browser()
		b.visit("/_causeway/account/").signIn("alice")
		b.visit(start("closed", "link", "yes")).want(403, "cannot be linked")
		s.count(0, `SELECT COUNT(*) FROM sso_links`)
	}, with(closed))
}

// TestSSOTrusted sends people to clients that the operator trusts at once.
func TestSSOTrusted(t *testing.T) {
	provider := newIDP(t)
	each(t, func(s *site) {
		p := s.browser().visit(start("id", "redirectUrl", "https://app.example.com/x/y?z")).through(provider, "alice")
		if policy := p.header.Get("Content-Security-Policy"); !strings.Contains(policy, "form-action 'self' https://app.example.com;") {
			t.Errorf("the policy is %q", policy)
		}
		p = p.want(200, "Create an account?", "@alice:test").create()
		if to := p.header.Get("Location"); p.status != 303 || !strings.HasPrefix(to, "https://app.example.com/x/y?z&loginToken=") {
			t.Errorf("got %d to %s", p.status, to)
		}
		for _, other := range []string{"https://app.example.com/xy", "https://app.example.com.evil.example/x/", "http://app.example.com/x/", "https://app.example.com/x/../", "https://app.example.com/x/%2e%2e/y"} {
			s.browser().visit(start("id", "redirectUrl", other)).through(provider, "alice").want(200, "Sign in to")
		}
	}, with(provider.provider("id")), func(c *homeserver.Config) { c.SSO.TrustedClients = []string{"https://app.example.com/x"} })
}

// TestSSOChoice lets people choose between providers and a password.
func TestSSOChoice(t *testing.T) {
	provider := newIDP(t)
	each(t, func(s *site) {
		s.Register("alice")
		b := s.browser()
		choose := sso.PathChoose + "?redirectUrl=" + url.QueryEscape(clientAddress)
		p := b.visit(choose).want(200, "Continue with The one", "Continue with The two", "Continue with a password", "app.example.com")
		p = b.visit(hrefOf(t, p, "Continue with a password")).signIn("alice").want(200, "Sign in to app.example.com?")
		if policy := p.header.Get("Content-Security-Policy"); !strings.Contains(policy, "form-action 'self' https://app.example.com;") {
			t.Errorf("the policy is %q", policy)
		}
		p = p.form(sso.PathChoose).send()
		status, token := s.login(p.header.Get("Location"))
		if user, _ := s.whoami(token); status != 200 || user != "@alice:test" {
			t.Errorf("got %d %s", status, user)
		}
		b.visit(choose).want(200, "Continue as @alice:test")
	}, with(provider.provider("one"), provider.provider("two")))
}

// TestSSOOpenWay warns of clients to which the way is not encrypted.
func TestSSOOpenWay(t *testing.T) {
	provider := newIDP(t)
	here(t, func(s *site) {
		const warning = "is not encrypted"
		for address, warned := range map[string]bool{"http://evil.example.com/steal": true, "http://localhost:1/": false, clientAddress: false} {
			p := s.browser().visit(start("id", "redirectUrl", address)).through(provider, "alice").create().want(200, "Sign in to")
			if strings.Contains(p.text, warning) != warned || warned && strings.Contains(p.text, "on this device") {
				t.Errorf("%s: got %s", address, p.text)
			}
		}
	}, provider.provider("id"))
}

// TestSSOStage has somebody without a password confirm what takes a proof.
func TestSSOStage(t *testing.T) {
	provider := newIDP(t)
	each(t, func(s *site) {
		_, token := s.login(s.browser().visit(start("id", "redirectUrl", clientAddress)).through(provider, "alice").confirm().header.Get("Location"))
		_, other := s.login(s.browser().visit(start("id", "redirectUrl", clientAddress)).through(provider, "alice").confirm().header.Get("Location"))
		_, device := s.whoami(other)
		remove := func(session string) (int, string) {
			body := map[string]any{}
			if session != "" {
				body["auth"] = map[string]any{"session": session}
			}
			a := s.Do("DELETE", "/_matrix/client/v3/devices/"+string(device), token, body)
			var out struct {
				Session string
				Flows   []struct{ Stages []string }
			}
			a.Decode(t, &out)
			if a.Status == 401 && (len(out.Flows) != 1 || out.Flows[0].Stages[0] != "m.login.sso") {
				t.Errorf("the flows are %+v", out.Flows)
			}
			return a.Status, out.Session
		}
		_, session := remove("")
		page := "/_matrix/client/v3/auth/m.login.sso/fallback/web?session=" + session
		b := s.browser()
		p := b.visit(page).want(200, "@alice:test", "Continue with The id")
		// Somebody else comes back: nothing is completed.
		b.visit(hrefOf(t, p, "Continue with The id")).through(provider, "mallory").want(200, "Confirm").form(sso.PathContinue).send().want(403, "somebody else")
		if status, _ := remove(session); status != 401 {
			t.Fatalf("another's proof is answered with %d", status)
		}
		p = b.visit(hrefOf(t, p, "Continue with The id")).through(provider, "alice").want(200, "Confirm that it is you", "@alice:test")
		if status, _ := remove(session); status != 401 {
			t.Fatalf("who came back and did not confirm is answered with %d", status)
		}
		// The page that says so is of the other handler.
		p = p.form(sso.PathContinue).send()
		b.visit(p.header.Get("Location")).want(200, "onAuthDone")
		if status, _ := remove(session); status != 200 {
			t.Errorf("after the stage: got %d", status)
		}
	}, with(provider.provider("id")))
}

// TestSSOWithoutOAuth signs people in on a server that is no OAuth server.
func TestSSOWithoutOAuth(t *testing.T) {
	provider := newIDP(t)
	each(t, func(s *site) {
		p := s.browser().visit(start("id", "redirectUrl", clientAddress)).through(provider, "alice").confirm()
		if status, _ := s.login(p.header.Get("Location")); status != 200 {
			t.Errorf("the login is answered with %d", status)
		}
		s.browser().visit("/_causeway/account/linked").want(200, "Continue with The id")
		if a := s.Do("POST", "/_causeway/oauth2/token", "", ""); a.Status != 404 {
			t.Errorf("the token endpoint answers %d", a.Status)
		}
	}, with(provider.provider("id")), func(c *homeserver.Config) { c.OAuth.Enabled = false })
}

// TestSSODown has a provider that does not answer, and then does.
func TestSSODown(t *testing.T) {
	provider := newIDP(t)
	each(t, func(s *site) {
		provider.change(func() { provider.status = 503 })
		s.browser().visit(start("id", "redirectUrl", clientAddress)).want(502, "The id cannot be reached")
		s.Register("alice")
		s.browser().visit("/_causeway/account/").signIn("alice").want(200, "@alice:test")
		provider.change(func() { provider.status = 0 })
	}, with(provider.provider("id")))
}
