package accountpages_test

import (
	"context"
	"io"
	"log"
	"net"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"causeway/homeserver"
	"causeway/homeserver/store"
	"causeway/homeserver/storetest"
	"causeway/homeserver/testserver"

	"github.com/emersion/go-message/mail"
	"github.com/emersion/go-smtp"
)

// patience is how long a test waits for a mail.
const patience = 30 * time.Second

// letter is a mail that came.
type letter struct{ to, text string }

// mailbox is an SMTP server.
type mailbox struct {
	letters chan letter
	port    int
}

// eachMailing runs a test on both databases, with a server that sends its mail to a mailbox.
func eachMailing(t *testing.T, test func(s *site, box *mailbox), change ...func(*homeserver.Config)) {
	t.Helper()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		box := newMailbox(t)
		all := append([]func(*homeserver.Config){func(c *homeserver.Config) {
			c.Mail, c.SMS, c.Identity = homeserver.DefaultMail(), homeserver.DefaultSMS(), homeserver.DefaultIdentity()
			c.Mail.Host, c.Mail.Port, c.Mail.TLS, c.Mail.From = "127.0.0.1", box.port, "none", "Causeway <matrix@test>"
		}}, change...)
		s := &site{Server: testserver.New(t, db, all...), t: t}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- s.Run(ctx) }()
		defer func() {
			cancel()
			if err := <-ended; err != nil {
				t.Error(err)
			}
		}()
		test(s, box)
	})
}

func newMailbox(t *testing.T) *mailbox {
	t.Helper()
	box := &mailbox{letters: make(chan letter, 1000)}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	box.port = listener.Addr().(*net.TCPAddr).Port
	server := smtp.NewServer(box)
	server.Domain, server.ErrorLog = "localhost", log.New(io.Discard, "", 0)
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	t.Cleanup(func() {
		_ = server.Close() // it ends the conversations, too
		<-served
	})
	return box
}

// NewSession implements smtp.Backend.
func (b *mailbox) NewSession(*smtp.Conn) (smtp.Session, error) { return &delivery{box: b}, nil }

type delivery struct {
	box *mailbox
	to  string
}

func (d *delivery) Reset()                                    {}
func (d *delivery) Logout() error                             { return nil }
func (d *delivery) Mail(string, *smtp.MailOptions) error      { return nil }
func (d *delivery) Rcpt(to string, _ *smtp.RcptOptions) error { d.to = to; return nil }

func (d *delivery) Data(r io.Reader) error {
	m, err := mail.CreateReader(r)
	if err != nil {
		return err
	}
	part, err := m.NextPart() // the plain text comes first
	if err != nil {
		return err
	}
	text, err := io.ReadAll(part.Body)
	d.box.letters <- letter{d.to, string(text)}
	if _, err := io.Copy(io.Discard, r); err != nil {
		return err
	}
	return err
}

var mailed = regexp.MustCompile(`https?://\S+`)

// link returns the address in the next letter, which must be to an address; "" for none.
func (b *mailbox) link(t *testing.T, to string) string {
	t.Helper()
	select {
	case l := <-b.letters:
		if l.to != to {
			t.Fatalf("a letter to %s, want one to %s: %s", l.to, to, l.text)
		}
		return mailed.FindString(l.text)
	case <-time.After(patience):
		t.Fatalf("no letter to %s", to)
		return ""
	}
}

// confirm follows the link of a letter, in some browser, and presses the button.
func (b *browser) confirm(link string) *page {
	b.t.Helper()
	return b.visit(link).want(200, "Is this your address?").form("/_causeway/threepid/confirm").send()
}

const (
	forgotPath = "/_causeway/account/forgot"
	newPath    = "/_causeway/account/new-password"
	joinPath   = "/_causeway/account/register"
	emailsPath = "/_causeway/account/emails"
	loginPath  = "/_causeway/account/login"
	another    = "another horse battery"
)

// giveEmail gives the user of a browser an address.
func (s *site) giveEmail(b *browser, box *mailbox, address string) {
	s.t.Helper()
	wait := b.open(emailsPath).form(emailsPath).send("email="+address).follow().want(200, "on its way to")
	b.confirm(box.link(s.t, strings.ToLower(address)))
	b.open(wait.address).want(200, "is confirmed").form(emailsPath+"/add").send().follow().want(200, "yours now", strings.ToLower(address))
}

// TestLostPassword chooses a new password by mail, and tries to have another's.
func TestLostPassword(t *testing.T) {
	eachMailing(t, func(s *site, box *mailbox) {
		alice, mallory := s.Register("alice"), s.Register("mallory")
		b, m := s.browser(), s.browser()
		b.open("/_causeway/account/").signIn("alice").want(200)
		m.open("/_causeway/account/").signIn("mallory").want(200)
		s.giveEmail(b, box, "Alice@example.org")
		s.giveEmail(m, box, "mallory@example.org")

		// The link, in another browser, and from a host that the attacker has named.
		a, lost := s.app(), s.browser()
		ask := lost.open(a.request("DEVICE")).want(200, "Forgot your password?")
		next := ask.form(loginPath).fields.Get("next")
		page := lost.open(forgotPath + "?next=" + url.QueryEscape(next))
		known := page.form(forgotPath).send("email=alice@EXAMPLE.org").follow().want(200, "If there is an account")
		link := box.link(t, "alice@example.org")
		unknown := page.form(forgotPath).send("email=nobody@example.org").follow().want(200)
		if known.text != unknown.text {
			t.Errorf("it shows whether there is an account:\n%s\n%s", known.text, unknown.text)
		}
		if got := box.link(t, "nobody@example.org"); got != "" {
			t.Errorf("nobody gets the link %s", got)
		}
		page.form(forgotPath).send("email=alice").want(400, "not an email address", `id="email-problem"`)
		page.form(forgotPath).send("email=a@example.org\r\nBcc: eve@example.org").want(400, "not an email address")
		page.form(forgotPath).send("email=").want(400, "not an email address")

		query := mustParse(t, link).Query()
		if !strings.HasPrefix(link, "http://test"+newPath+"?") || query.Get("sid") == "" || len(query.Get("token")) < 40 {
			t.Fatalf("the link is %s", link)
		}
		// By mallory's own link alice's password is not to be had, nor by a session of hers with a token of mallory's.
		m.open(forgotPath).form(forgotPath).send("email=mallory@example.org").want(303)
		theirs := box.link(t, "mallory@example.org")
		own := mustParse(t, theirs).Query()
		f := m.visit(theirs).want(200, string(mallory.ID)).form(newPath)
		for _, change := range [][]string{
			{"sid=" + query.Get("sid")}, {"token=" + query.Get("token")}, {"sid=" + query.Get("sid"), "token="}, {"sid=", "token="}, {"sid=x"}, {"token=x"},
		} {
			f.send(append(change, "new="+another, "new2="+another)...).want(404, "not valid")
		}
		m.visit(newPath+"?sid="+query.Get("sid")+"&token="+own.Get("token")).want(404, "not valid")
		m.visit(newPath).want(404, "Ask for another link")
		// The link is not one that confirms an address, nor the other way around.
		m.visit("/_causeway/threepid/confirm?" + query.Encode()).want(404)

		f = m.visit(link).want(200, string(alice.ID)).form(newPath)
		m.post(newPath, f.fields, "Origin", "https://evil.example").want(403)
		f.send("csrf=", "new="+another, "new2="+another).want(403)
		f.send("new="+another, "new2=x").want(400, `id="new2-problem"`)
		f.send("new=", "new2=").want(400, `id="new-problem"`)
		f.send("new="+strings.Repeat("x", 600), "new2="+strings.Repeat("x", 600)).want(400, `id="new-problem"`)
		if user, _ := s.whoami(alice.Token); user != alice.ID {
			t.Fatal("a session ended before there was a new password")
		}
		// The request of the browser that asked is not that of the one that followed the link.
		if to := f.send("new="+another, "new2="+another).want(303).header.Get("Location"); to != loginPath+"?done=password" {
			t.Errorf("sent to %s", to)
		}
		if user, _ := s.whoami(alice.Token); user != "" {
			t.Error("the device goes on")
		}
		b.open("/_causeway/account/").want(200, "Sign in")
		f.send("new="+password, "new2="+password).want(404, "has served already")
		m.visit(link).want(404)
		if user, _ := s.whoami(mallory.Token); user != mallory.ID {
			t.Error("another's session has ended")
		}

		// In the browser that asked it goes on, and the newest link is the only one.
		page = lost.open(forgotPath + "?next=" + url.QueryEscape(next))
		page.form(forgotPath).send("email=alice@example.org").want(303)
		old := box.link(t, "alice@example.org")
		page.form(forgotPath).send("email=alice@example.org").want(303)
		link = box.link(t, "alice@example.org")
		lost.visit(old).want(404)
		p := lost.visit(link).form(newPath).send("new="+password, "new2="+password, "devices=").follow().want(200, "Your password is changed")
		if got := p.form(loginPath).fields.Get("next"); got != next {
			t.Errorf("goes on to %q, want %q", got, next)
		}
		p.signIn("alice@example.org").want(200, "Allow Mailbox")

		// An address that the account has lost since, and a link that is too old.
		lost.open(forgotPath).form(forgotPath).send("email=alice@example.org").want(303)
		link = box.link(t, "alice@example.org")
		s.exec(`UPDATE threepid_sessions SET modified_ts = 1`)
		lost.visit(link).want(404, "expired")
	})
}

// TestPoisonedHost asks for mails by a Host of the attacker's own.
func TestPoisonedHost(t *testing.T) {
	eachMailing(t, func(s *site, box *mailbox) {
		s.Register("alice")
		b, evil := s.browser(), s.browser()
		b.open("/_causeway/account/").signIn("alice").want(200)
		s.giveEmail(b, box, "alice@example.org")
		evil.base = "http://evil.example"
		f := evil.open(forgotPath).form(forgotPath)
		if p := evil.post(f.action, url.Values{"csrf": f.fields["csrf"], "email": {"alice@example.org"}, "next": {"//evil.example/"}},
			"X-Forwarded-Host", "evil.example", "Forwarded", "host=evil.example"); p.status != 303 || strings.Contains(p.header.Get("Location"), "evil") {
			t.Fatalf("%d %s", p.status, p.header.Get("Location"))
		}
		if link := box.link(t, "alice@example.org"); !strings.HasPrefix(link, "http://test/_causeway/") || strings.Contains(link, "evil") {
			t.Errorf("the link is %s", link)
		}
		evil.open(joinPath + "/mail").form(joinPath + "/mail").send("email=bob@example.org").want(303)
		if link := box.link(t, "bob@example.org"); !strings.HasPrefix(link, "http://test/_causeway/") {
			t.Errorf("the link is %s", link)
		} else if to := s.browser().confirm(link).header.Get("Location"); !strings.HasPrefix(to, "http://test/_causeway/account/register?") {
			t.Errorf("confirming leads to %s", to)
		}
	})
}

// TestSignUpByMail makes accounts with an address where the configuration demands one.
func TestSignUpByMail(t *testing.T) {
	eachMailing(t, func(s *site, box *mailbox) {
		a, b, other := s.app(), s.browser(), s.browser()
		start := b.open(a.request("X", "prompt=create")).want(200, "First your email address").form(joinPath + "/mail")
		start.send("email=bob").want(400, `id="email-problem"`)
		start.send("csrf=", "email=bob@example.org").want(403)
		for _, headers := range [][]string{{"Origin", "https://evil.example"}, {"Origin", "", "Sec-Fetch-Site", "cross-site"}} {
			for _, path := range []string{joinPath, joinPath + "/mail", forgotPath, newPath, emailsPath, emailsPath + "/add", "/_causeway/account/email"} {
				b.post(path, start.fields, headers...).want(403)
			}
		}
		wait := start.send("email=Bob@example.org").follow().want(200, "on its way to <strong>bob@example.org")
		link := box.link(t, "bob@example.org")
		sid := mustParse(t, wait.address).Query().Get("sid")
		wait.form(joinPath) // a button, not a script
		b.open(wait.address+"&followed=yes").want(409, "not been followed")
		if p := b.post(joinPath, url.Values{"csrf": start.fields["csrf"], "sid": {sid}, "username": {"bob"}, "password": {password}, "password2": {password}}); p.status != 400 {
			t.Errorf("an address that is not confirmed makes an account: %d %s", p.status, p.text)
		}
		other.open(wait.address).want(404, "begun in another browser")
		p := other.confirm(link)
		if to := p.header.Get("Location"); to != wait.address {
			t.Errorf("confirming leads to %s, want %s", to, wait.address)
		}
		other.open(wait.address).want(200, "Go on in the browser in which you began")
		theirs := other.open(joinPath).form(joinPath + "/mail")
		other.post(joinPath, url.Values{"csrf": theirs.fields["csrf"], "sid": {sid}, "username": {"eve"}, "password": {password}, "password2": {password}}).want(404)
		f := b.open(wait.address).want(200, "bob@example.org, confirmed").form(joinPath)
		f.send("username=b ob", "password="+password, "password2="+password).want(400, `id="username-problem"`, `value="b ob"`)
		f.send("sid=", "username=bob", "password="+password, "password2="+password).want(400)
		f.send("username=bob", "password="+password, "password2="+password).follow().want(200, "Allow Mailbox", "@bob:test")
		b.open(emailsPath).want(200, "bob@example.org")
		if got := s.browser().open(loginPath).signIn("BOB@example.org"); got.status != 200 || !strings.Contains(got.text, "@bob:test") {
			t.Errorf("signing in by address: %d", got.status)
		}
		// The proof has served, and the address is somebody's: only the owner hears of that.
		b.open(wait.address).want(404)
		fresh := s.browser()
		taken := fresh.open(joinPath).form(joinPath+"/mail").send("email=bob@example.org").follow().want(200, "on its way to <strong>bob@example.org")
		if link := box.link(t, "bob@example.org"); link != "" {
			t.Errorf("a link to an address that is taken: %s", link)
		}
		fresh.open(taken.address + "&followed=yes").want(409)
		// And what fails to sign in says nothing.
		login := fresh.open(loginPath).form(loginPath)
		for _, name := range []string{"bob@example.org", "nobody@example.org", "bob", "nobody", "@bob:test", "bob@", "@", "a@b@c"} {
			login.send("username="+name, "password=wrong").want(403, "Invalid username or password")
		}
	}, func(c *homeserver.Config) { c.EmailRequired = true })
}

// TestOptionalMail makes an account without an address where none is needed.
func TestOptionalMail(t *testing.T) {
	eachMailing(t, func(s *site, box *mailbox) {
		b := s.browser()
		p := b.open(joinPath).want(200, "create it with an email address")
		p.form(joinPath).send("username=bob", "password="+password, "password2="+password).follow().want(200, "@bob:test")
		c := s.browser()
		wait := c.open(joinPath+"/mail").want(200, "without an email address").form(joinPath + "/mail").send("email=eve@example.org").follow()
		c.confirm(box.link(t, "eve@example.org"))
		c.open(wait.address).form(joinPath).send("username=eve", "password="+password, "password2="+password).follow().want(200, "@eve:test")
		c.open(emailsPath).want(200, "eve@example.org")
	})
}

// TestEmails has an attacker go after the addresses of an account.
func TestEmails(t *testing.T) {
	eachMailing(t, func(s *site, box *mailbox) {
		alice, mallory := s.Register("alice"), s.Register("mallory")
		b, m := s.browser(), s.browser()
		b.open("/_causeway/account/").signIn("alice").want(200)
		m.open("/_causeway/account/").signIn("mallory").want(200)
		s.giveEmail(b, box, "alice@example.org")
		// Another's address, and another's proof.
		wait := m.open(emailsPath).form(emailsPath).send("email=alice@example.org").follow().want(200, "on its way to <strong>alice@example.org")
		if link := box.link(t, "alice@example.org"); link != "" {
			t.Errorf("a link to an address of another account: %s", link)
		}
		f := b.open(emailsPath).form(emailsPath)
		mine := f.send("email=second@example.org").follow().want(200)
		s.browser().confirm(box.link(t, "second@example.org"))
		sid := mustParse(t, mine.address).Query().Get("sid")
		csrf := m.open(emailsPath).form(emailsPath).fields["csrf"]
		m.post(emailsPath+"/add", url.Values{"csrf": csrf, "sid": {sid}}).want(404)
		m.post(emailsPath+"/add", url.Values{"csrf": csrf, "sid": {mustParse(t, wait.address).Query().Get("sid")}}).want(409, "not been followed")
		m.visit("/_causeway/account/email?address=alice@example.org").want(404)
		m.post("/_causeway/account/email", url.Values{"csrf": csrf, "address": {"alice@example.org"}}).want(404)
		// It takes the password, if that was not given just now.
		s.exec(`UPDATE browser_sessions SET authenticated_ts = 1`)
		add := b.open(mine.address).want(200, "Your password").form(emailsPath + "/add")
		add.send().want(403, `id="password-problem"`)
		add.send("password=wrong").want(403)
		add.send("password="+password).follow().want(200, "second@example.org")
		add.send("password=" + password).want(404)
		remove := b.open("/_causeway/account/email?address=second@example.org").want(200, "Your password").form("/_causeway/account/email")
		remove.send("password=wrong").want(403, `id="password-problem"`)
		remove.send("password="+password).follow().want(200, "is removed")
		if page := b.open(emailsPath); strings.Contains(page.text, "second@") || !strings.Contains(page.text, "alice@") {
			t.Errorf("the addresses: %s", page.text)
		}
		for _, u := range []testserver.User{alice, mallory} {
			if user, _ := s.whoami(u.Token); user != u.ID {
				t.Errorf("%s is signed out", u.ID)
			}
		}
		// Mail is bounded by address, whoever asks, and the answer to a stranger is the same for everybody's.
		for _, address := range []string{"alice@example.org", "flood@example.org"} {
			refused := 0
			for range 7 {
				if p := s.browser().open(forgotPath).form(forgotPath).send("email=" + address); p.status == 429 {
					refused++
				} else if p.status != 303 {
					t.Errorf("%d %s", p.status, p.text)
				}
			}
			if refused == 0 {
				t.Errorf("seven mails to %s", address)
			}
		}
	})
}

// TestBrowsers signs browsers out, and goes after those of others.
func TestBrowsers(t *testing.T) {
	const path = "/_causeway/account/browsers"
	refs := regexp.MustCompile(`name="which" value="([0-9a-f]+)"`)
	each(t, func(s *site) {
		s.Register("alice")
		s.Register("mallory")
		one, two, three, m := s.browser(), s.browser(), s.browser(), s.browser()
		for _, b := range []*browser{one, two, three} {
			b.open("/_causeway/account/").signIn("alice").want(200)
		}
		m.open("/_causeway/account/").signIn("mallory").want(200)
		page := one.open(path).want(200, "this browser", "Last seen", "from 192.0.2.1")
		found := refs.FindAllStringSubmatch(page.text, -1)
		if len(found) != 2 {
			t.Fatalf("refs %v in %s", found, page.text)
		}
		csrf := m.open(path).form(path).fields["csrf"]
		m.post(path, url.Values{"csrf": csrf, "which": {found[0][1]}}).want(404)
		m.post(path, url.Values{"csrf": csrf, "which": {"others"}}).want(303)
		one.post(path, url.Values{"csrf": csrf, "which": {"others"}}).want(403)
		for _, b := range []*browser{one, two, three} {
			b.open(path).want(200, "@alice:test")
		}
		page.form(path).send("which="+found[0][1]).follow().want(200, "is signed out")
		out := 0
		for _, b := range []*browser{two, three} {
			if !strings.Contains(b.open(path).text, "@alice:test") {
				out++
			}
		}
		if out != 1 {
			t.Errorf("%d browsers are signed out, want 1", out)
		}
		s.exec(`UPDATE browser_sessions SET authenticated_ts = 1`)
		one.open(path).want(200, "Your password").form(path).send("which=others").want(403, `id="password-problem"`)
		one.open(path).form(path).send("which=others", "password="+password).follow().want(200, "All other browsers")
		one.open(path).want(200, "this browser")
		two.open(path).want(200, "Sign in")
		three.open(path).want(200, "Sign in")
		m.open(path).want(200, "@mallory:test")
	})
}

// TestRenameDevice gives a device another name, and tries to give one to another's.
func TestRenameDevice(t *testing.T) {
	const path = "/_causeway/account/device/name"
	each(t, func(s *site) {
		alice := s.Register("alice")
		s.Register("mallory")
		_, device := s.whoami(alice.Token)
		b, m := s.browser(), s.browser()
		b.open("/_causeway/account/").signIn("alice").want(200)
		m.open("/_causeway/account/").signIn("mallory").want(200)
		f := b.open("/_causeway/account/device?device_id=" + string(device)).form(path)
		f.send("name=<i>Laptop</i>").follow().want(200, "another name now", "<i>Laptop</i>")
		f.send("name="+strings.Repeat("x", 5000)).want(400, `id="name-problem"`)
		f.send("csrf=", "name=x").want(403)
		m.post(path, url.Values{"csrf": m.open("/_causeway/account/").forms[0].fields["csrf"], "device_id": {string(device)}, "name": {"x"}}).want(404)
		s.exec(`UPDATE users SET suspended = 1`)
		f.send("name=x").want(403, "suspended")
	})
}

// TestCaptchaPage solves a captcha, which is the one page that runs a script: that of the service, by a nonce.
func TestCaptchaPage(t *testing.T) {
	service := httptest.NewServer(captcha{})
	defer service.Close()
	each(t, func(s *site) {
		b := s.browser()
		p := b.open(joinPath).want(200, "takes JavaScript", `data-sitekey="public"`, `src="https://captcha.example/api.js"`)
		policy := p.header.Get("Content-Security-Policy")
		if !strings.Contains(policy, "script-src 'nonce-") || !strings.Contains(policy, "frame-ancestors 'none'") || !strings.Contains(policy, "form-action 'self'") {
			t.Errorf("the policy is %s", policy)
		}
		if again := b.open(joinPath).header.Get("Content-Security-Policy"); again == policy {
			t.Error("the nonce is the same twice")
		}
		f := p.form(joinPath)
		form := []string{"username=bob", "password=" + password, "password2=" + password, "agree=yes"}
		f.send(form...).want(400, `id="captcha-problem"`)
		f.send(append(form, "g-recaptcha-response=wrong")...).want(400, `id="captcha-problem"`, "nonce=")
		f.send(append(form, "g-recaptcha-response=right", "agree=")...).want(400, `id="agree-problem"`)
		f.send(append(form, "g-recaptcha-response=right")...).follow().want(200, "@bob:test")
	}, func(c *homeserver.Config) {
		c.Rules.Captcha.PublicKey, c.Rules.Captcha.PrivateKey = "public", "private"
		c.Rules.Captcha.VerifyURL, c.Rules.Captcha.ScriptURL = service.URL, "https://captcha.example/api.js"
		c.Rules.Terms = terms()
	})
}
