package testserver_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"causeway/homeserver"

	"github.com/emersion/go-message/mail"
	"github.com/emersion/go-smtp"
)

// patience is how long a test waits for what must come.
const patience = 20 * time.Second

// letter is a mail that came to a mailbox, or a text message.
type letter struct {
	From, To, Subject, MessageID string
	Header                       string // as it came
	Text, HTML                   string
}

var webAddress = regexp.MustCompile(`http://test/\S+`)

// link returns the path and query of the address in a letter.
func (l letter) link(t *testing.T) string {
	t.Helper()
	u, err := url.Parse(webAddress.FindString(l.Text))
	if err != nil || u.Path == "" {
		t.Fatalf("no link in %q", l.Text)
	}
	if u.Fragment != "" {
		return u.Path + "#" + u.EscapedFragment()
	}
	return u.RequestURI()
}

// mailbox is an SMTP server and a gateway for text messages that keep what they get.
type mailbox struct {
	t       *testing.T
	letters chan letter
	texts   chan map[string]string
	server  *smtp.Server
	address *net.TCPAddr
	gateway *httptest.Server

	mu    sync.Mutex // guards fault
	fault func(to string) error
}

func newMailbox(t *testing.T) *mailbox {
	t.Helper()
	box := &mailbox{t: t, letters: make(chan letter, 1000), texts: make(chan map[string]string, 1000)}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	box.address = listener.Addr().(*net.TCPAddr)
	box.server = smtp.NewServer(box)
	box.server.Domain, box.server.AllowInsecureAuth, box.server.EnableSMTPUTF8 = "localhost", true, true
	box.server.ErrorLog = log.New(io.Discard, "", 0) // a client that hangs up is no error of the test
	served := make(chan error, 1)
	go func() { served <- box.server.Serve(listener) }()
	box.gateway = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var in map[string]string
		if err := json.NewDecoder(r.Body).Decode(&in); err != nil || r.Header.Get("Authorization") != "Bearer secret" {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		box.texts <- in
	}))
	t.Cleanup(func() {
		box.gateway.Close()
		if err := box.server.Close(); err != nil {
			t.Error(err)
		}
		if err := <-served; err != nil && !errors.Is(err, smtp.ErrServerClosed) {
			t.Error(err)
		}
	})
	return box
}

// configure has a homeserver send its mail to the box.
func (b *mailbox) configure(c *homeserver.Config) {
	c.Mail, c.SMS, c.Identity = homeserver.DefaultMail(), homeserver.DefaultSMS(), homeserver.DefaultIdentity()
	c.Mail.Host, c.Mail.Port, c.Mail.TLS, c.Mail.From = "127.0.0.1", b.address.Port, "none", "Causeway <matrix@test>"
	c.SMS.URL, c.SMS.Token = b.gateway.URL, "secret"
}

// NewSession implements smtp.Backend.
func (b *mailbox) NewSession(*smtp.Conn) (smtp.Session, error) { return &delivery{box: b}, nil }

// next returns the next letter, which must be to an address.
func (b *mailbox) next(to string) letter {
	b.t.Helper()
	select {
	case l := <-b.letters:
		if l.To != to {
			b.t.Fatalf("got a letter to %q, want one to %q", l.To, to)
		}
		return l
	case <-time.After(patience):
		b.t.Fatalf("no letter to %s", to)
		return letter{}
	}
}

// text returns the next text message, which must be to a number.
func (b *mailbox) text(to string) string {
	b.t.Helper()
	select {
	case m := <-b.texts:
		if m["to"] != to || m["id"] == "" {
			b.t.Fatalf("got %v, want a message to %s", m, to)
		}
		return m["text"]
	case <-time.After(patience):
		b.t.Fatalf("no text message to %s", to)
		return ""
	}
}

// delivery is an SMTP session.
type delivery struct {
	box      *mailbox
	from, to string
}

func (d *delivery) Reset()        {}
func (d *delivery) Logout() error { return nil }

func (d *delivery) Mail(from string, _ *smtp.MailOptions) error {
	d.from = from
	return nil
}

func (d *delivery) Rcpt(to string, _ *smtp.RcptOptions) error {
	d.to = to
	d.box.mu.Lock()
	defer d.box.mu.Unlock()
	if d.box.fault != nil {
		return d.box.fault(to)
	}
	return nil
}

func (d *delivery) Data(r io.Reader) error {
	raw, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	l := letter{From: d.from, To: d.to}
	l.Header, _, _ = strings.Cut(string(raw), "\r\n\r\n")
	m, err := mail.CreateReader(strings.NewReader(string(raw)))
	if err != nil {
		return err
	}
	if l.Subject, err = m.Header.Subject(); err != nil {
		return err
	}
	if l.MessageID, err = m.Header.MessageID(); err != nil {
		return err
	}
	for {
		p, err := m.NextPart()
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
		body, err := io.ReadAll(p.Body)
		if err != nil {
			return err
		}
		if strings.HasPrefix(p.Header.Get("Content-Type"), "text/html") {
			l.HTML = string(body)
		} else {
			l.Text = string(body)
		}
	}
	d.box.letters <- l
	return nil
}

// eachWithMail runs a script on each engine, with a server that runs and sends its mail to a box.
func eachWithMail(t *testing.T, names string, test func(s *script, box *mailbox), change ...func(*homeserver.Config)) {
	t.Helper()
	box := newMailbox(t)
	all := append([]func(*homeserver.Config){box.configure}, change...)
	each(t, names, func(s *script) {
		box.t = s.t
		ctx, cancel := context.WithCancel(s.t.Context())
		ended := make(chan error, 1)
		go func() { ended <- s.Run(ctx) }()
		defer func() {
			cancel()
			if err := <-ended; err != nil {
				s.t.Error(err)
			}
		}()
		test(s, box)
		if len(box.letters) > 0 {
			l := <-box.letters
			s.t.Errorf("a letter too many: to %s, %q", l.To, l.Subject)
		}
	}, all...)
}

// page asks for a page as a browser does, with a form unless that is nil.
func (s *script) page(method, path string, form url.Values) *httptest.ResponseRecorder {
	s.t.Helper()
	r := httptest.NewRequestWithContext(s.t.Context(), method, path, strings.NewReader(form.Encode()))
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	w := httptest.NewRecorder()
	s.Handler().ServeHTTP(w, r)
	return w
}

// confirm follows the link of a letter and presses the button.
func (s *script) confirm(l letter) *httptest.ResponseRecorder {
	s.t.Helper()
	link := l.link(s.t)
	if w := s.page("GET", link, nil); w.Code != 200 || !strings.Contains(w.Body.String(), `<button type="submit">`) {
		s.t.Fatalf("the page of %s: %d %s", link, w.Code, w.Body)
	}
	u, err := url.Parse(link)
	if err != nil {
		s.t.Fatal(err)
	}
	return s.page("POST", u.Path, u.Query())
}

// addEmail gives a user an email address.
func (s *script) addEmail(box *mailbox, name, address string) {
	s.t.Helper()
	s.words["sid"] = s.text(name+" POST /account/3pid/email/requestToken", `{"client_secret":"add-`+name+`","email":"`+address+`","send_attempt":1}`, "sid")
	if w := s.confirm(box.next(strings.ToLower(address))); w.Code != 200 {
		s.t.Fatalf("confirm: %d %s", w.Code, w.Body)
	}
	body := `{"sid":"<sid>","client_secret":"add-` + name + `","auth":{"type":"m.login.password","identifier":{"type":"m.id.user","user":"` + name + `"},"password":"correct horse battery"}}`
	s.get(name+" POST /account/3pid/add", body)
}
