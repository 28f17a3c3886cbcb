package mail

import (
	"context"
	"crypto/x509"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"causeway/homeserver/store"
	"causeway/homeserver/storetest"

	"github.com/emersion/go-smtp"
)

// clock is a time that a test sets.
type clock struct {
	mu  sync.Mutex // guards now
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// newTestService returns a service that sends to x, by a clock of its own.
func newTestService(db *store.DB, x *exchange, mode string) (*Service, *clock) {
	c := &clock{now: time.UnixMilli(1_800_000_000_000)}
	config := DefaultConfig()
	config.Host, config.Port, config.TLS, config.From = "127.0.0.1", x.port, mode, "Ünïcode <matrix@example.org>"
	return New(Options{Config: config, SMS: DefaultSMSConfig(), ServerName: "example.org", DB: db, Roots: x.pool, Now: c.Now}), c
}

func queue(t *testing.T, s *Service, m Message) error {
	t.Helper()
	return s.DB.Write(t.Context(), func(tx *store.Tx) error { return s.Queue(tx, m) })
}

func toAlice(text string) Message {
	return Message{Medium: Email, Address: "alice@example.org", Requester: "1.2.3.4", Letter: Letter{Subject: "Grüße", Paragraphs: []string{text}}}
}

// waiting returns when the next message is due, 0 for none.
func waiting(t *testing.T, s *Service) (next int64) {
	t.Helper()
	if err := s.DB.View(t.Context(), func(tx *store.Tx) (err error) {
		next, err = tx.NextOutbox()
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return next
}

func round(t *testing.T, s *Service) {
	t.Helper()
	if _, _, err := s.round(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// Mail goes out by each kind of encryption, to a server whose certificate holds, with a login that is right.
func TestSendsBySMTP(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		for _, mode := range []string{StartTLS, Implicit, NoTLS} {
			x := newExchange(t, mode)
			s, c := newTestService(db, x, mode)
			if mode != NoTLS {
				s.User, s.Password = "causeway", "right"
			}
			if err := queue(t, s, toAlice("Hello from "+mode)); err != nil {
				t.Fatal(err)
			}
			round(t, s)
			got := x.got()
			if len(got) != 1 || !strings.Contains(got[0], "Hello from "+mode) || !strings.Contains(got[0], "=?utf-8?q?Gr=C3=BC=C3=9Fe?=") {
				t.Errorf("%s: got %q", mode, got)
			}
			if mode != NoTLS && x.user != "causeway" {
				t.Errorf("%s: logged in as %q", mode, x.user)
			}
			if waiting(t, s) != 0 {
				t.Errorf("%s: the message waits still", mode)
			}
			c.pass(2 * time.Hour)
		}
	})
}

// A server that shows another certificate, or takes no encryption, is told nothing.
func TestEncryptionIsNotOptional(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		plain := newExchange(t, NoTLS)
		for name, x := range map[string]*exchange{
			"another certificate": {port: newExchange(t, StartTLS).port, pool: x509.NewCertPool()},
			"no encryption":       {port: plain.port, pool: plain.pool},
		} {
			s, _ := newTestService(db, x, StartTLS)
			err := s.smtp(t.Context(), store.OutboxMessage{NID: 1, Medium: Email, Address: "alice@example.org"}, Letter{Paragraphs: []string{"x"}})
			if err == nil || errors.Is(err, errRefused) {
				t.Errorf("%s: got %v, want an error that may be mended", name, err)
			}
		}
		if got := plain.got(); len(got) != 0 {
			t.Errorf("got %q", got)
		}
	})
}

// What fails for now is tried again, later each time, and given up after a day; what is refused is not.
func TestRetries(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		x := newExchange(t, NoTLS)
		s, c := newTestService(db, x, NoTLS)
		x.set(&smtp.SMTPError{Code: 451, EnhancedCode: smtp.EnhancedCode{4, 7, 1}, Message: "greylisted"}, nil)
		if err := queue(t, s, toAlice("patience")); err != nil {
			t.Fatal(err)
		}
		for i, want := range []time.Duration{time.Minute, 2 * time.Minute, 4 * time.Minute} {
			round(t, s)
			if got := time.Duration(waiting(t, s)-c.Now().UnixMilli()) * time.Millisecond; got != want {
				t.Errorf("after try %d: waits %s, want %s", i+1, got, want)
			}
			round(t, s) // too early
			c.pass(want)
		}
		x.set(nil, nil)
		round(t, s)
		if got := x.got(); len(got) != 1 || waiting(t, s) != 0 {
			t.Errorf("got %q", got)
		}
		x.set(&smtp.SMTPError{Code: 451, Message: "never"}, nil)
		if err := queue(t, s, toAlice("in vain")); err != nil {
			t.Fatal(err)
		}
		began := c.Now()
		for tries := 0; waiting(t, s) != 0; tries++ {
			round(t, s)
			c.pass(time.Hour)
			if tries > 40 {
				t.Fatal("it is never given up")
			}
		}
		if after := c.Now().Sub(began); after < giveUp || after > giveUp+3*time.Hour {
			t.Errorf("given up after %s", after)
		}
		x.set(&smtp.SMTPError{Code: 550, Message: "no such user alice"}, nil)
		if err := queue(t, s, toAlice("to nobody")); err != nil {
			t.Fatal(err)
		}
		round(t, s)
		if waiting(t, s) != 0 {
			t.Error("what was refused waits still")
		}
	})
}

// A process that dies once the server has a message sends it again, under the same name.
func TestDyingInBetween(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		x := newExchange(t, NoTLS)
		s, c := newTestService(db, x, NoTLS)
		if err := queue(t, s, toAlice("once")); err != nil {
			t.Fatal(err)
		}
		x.set(nil, &smtp.SMTPError{Code: 451, Message: "the answer is lost"})
		round(t, s)
		x.set(nil, nil)
		round(t, s)
		if n := len(x.got()); n != 1 {
			t.Fatalf("sent %d times at once", n)
		}
		c.pass(time.Minute)
		again, _ := newTestService(db, x, NoTLS) // another process
		again.Now = c.Now
		round(t, again)
		got := x.got()
		if len(got) != 2 {
			t.Fatalf("sent %d times", len(got))
		}
		id := func(m string) string {
			_, after, _ := strings.Cut(m, "Message-Id: ")
			line, _, _ := strings.Cut(after, "\r\n")
			return line
		}
		if id(got[0]) == "" || id(got[0]) != id(got[1]) {
			t.Errorf("the names are %q and %q", id(got[0]), id(got[1]))
		}
	})
}

// What was sent is gone from the database, and what was done with is forgotten.
func TestNothingIsKept(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		x := newExchange(t, NoTLS)
		s, c := newTestService(db, x, NoTLS)
		if err := queue(t, s, toAlice("secret token")); err != nil {
			t.Fatal(err)
		}
		round(t, s)
		count := func(query string) (n int) {
			if err := db.View(t.Context(), func(tx *store.Tx) error {
				_, err := tx.Row(query, nil, &n)
				return err
			}); err != nil {
				t.Fatal(err)
			}
			return n
		}
		if n := count(`SELECT COUNT(*) FROM outbox WHERE message LIKE '%secret%'`); n != 0 {
			t.Error("the message is kept")
		}
		c.pass(25 * time.Hour)
		s.prune(t.Context(), c.Now())
		if n := count(`SELECT COUNT(*) FROM outbox`); n != 0 {
			t.Errorf("%d rows are kept", n)
		}
	})
}

// One address gets few messages, one requester causes few more, and both may go on the next day.
func TestLimits(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		s, c := newTestService(db, &exchange{port: 1}, NoTLS)
		for hour, want := range []int{5, 5, 5, 0} {
			n := 0
			for range 10 {
				if err := queue(t, s, toAlice("x")); err == nil {
					n++
				} else if !errors.Is(err, ErrTooMany) {
					t.Fatal(err)
				}
			}
			if n != want {
				t.Errorf("hour %d: %d messages, want %d", hour, n, want)
			}
			c.pass(time.Hour + time.Second)
		}
		n := 0
		for i := range 40 {
			m := toAlice("x")
			m.Address = string(rune('a'+i%26)) + string(rune('a'+i/26)) + "@example.org"
			if queue(t, s, m) == nil {
				n++
			}
		}
		if n != maxPerRequesterHour {
			t.Errorf("one requester has caused %d messages in an hour, want %d", n, maxPerRequesterHour)
		}
		c.pass(25 * time.Hour)
		if err := queue(t, s, toAlice("x")); err != nil {
			t.Errorf("the next day: %v", err)
		}
	})
}

// What people are called cannot become a header.
func TestHeadersCannotBeInjected(t *testing.T) {
	s := New(Options{Config: Config{From: "Matrix <matrix@example.org>"}, ServerName: "example.org"})
	for _, evil := range []string{"x\r\nBcc: eve@example.org", "x\nBcc: eve@example.org", "x\rBcc: eve@example.org", "x\u2028Bcc: eve@example.org"} {
		if raw, err := s.email(store.OutboxMessage{Medium: Email, Address: "a@example.org" + evil}, Letter{Subject: "x"}); err == nil {
			t.Errorf("an address with more in it became %q", raw)
		}
		raw, err := s.email(store.OutboxMessage{Medium: Email, Address: "a@example.org"}, Letter{Subject: evil, Paragraphs: []string{evil + "\r\n.\r\nMAIL FROM:<x>"}, Link: evil, LinkText: evil})
		if err != nil {
			t.Fatal(err)
		}
		header, _, _ := strings.Cut(string(raw), "\r\n\r\n")
		for line := range strings.SplitSeq(header, "\r\n") {
			if strings.HasPrefix(line, "Bcc") || strings.ContainsAny(line, "\r\n") {
				t.Errorf("%q has the line %q", evil, line)
			}
		}
	}
}

// Domains are said in ASCII, and who has a name that is not gets mail by SMTPUTF8.
func TestEnvelope(t *testing.T) {
	for _, c := range []struct {
		address, to string
		utf8        bool
	}{
		{"a@example.org", "a@example.org", false},
		{"a@bücher.example", "a@xn--bcher-kva.example", false},
		{"jürg@example.org", "jürg@example.org", true},
		{"a", "", false},
	} {
		to, utf8, err := envelope(c.address)
		if to != c.to || utf8 != c.utf8 || (err != nil) != (c.to == "") {
			t.Errorf("%s: got %q, %t, %v", c.address, to, utf8, err)
		}
	}
}

// The gateway gets each text message until it takes it.
func TestGateway(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		var (
			mu     sync.Mutex // guards the rest
			status = http.StatusServiceUnavailable
			bodies []string
		)
		gateway := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			mu.Lock()
			defer mu.Unlock()
			bodies = append(bodies, r.Header.Get("Authorization")+" "+string(body))
			w.WriteHeader(status)
		}))
		defer gateway.Close()
		s, c := newTestService(db, &exchange{port: 1}, NoTLS)
		s.SMS.URL, s.SMS.Token = gateway.URL, "secret"
		if err := queue(t, s, Message{Medium: MSISDN, Address: "41446681800", Requester: "x", Letter: Letter{Paragraphs: []string{"123456"}}}); err != nil {
			t.Fatal(err)
		}
		round(t, s)
		if waiting(t, s) == 0 {
			t.Error("the gateway was out of order, and the message is gone")
		}
		mu.Lock()
		status = http.StatusOK
		mu.Unlock()
		c.pass(time.Minute)
		round(t, s)
		if waiting(t, s) != 0 {
			t.Error("the message waits still")
		}
		if len(bodies) != 2 || bodies[0] != bodies[1] || !strings.HasPrefix(bodies[0], `Bearer secret {"to":"+41446681800","text":"123456","id":"`) {
			t.Errorf("got %q", bodies)
		}
	})
}

// Run sends what is queued while it runs, and what was queued before.
func TestRun(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		x := newExchange(t, NoTLS)
		s, _ := newTestService(db, x, NoTLS)
		s.Now = time.Now
		if err := queue(t, s, toAlice("before")); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		ended := make(chan error, 1)
		go func() { ended <- s.Run(ctx) }()
		<-x.arrived
		if err := queue(t, s, toAlice("meanwhile")); err != nil {
			t.Fatal(err)
		}
		<-x.arrived
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if got := x.got(); len(got) != 2 {
			t.Errorf("got %d messages", len(got))
		}
	})
}

func TestValidate(t *testing.T) {
	good := DefaultConfig()
	good.Host, good.From = "mail.example.org", "matrix@example.org"
	if err := good.Validate(); err != nil {
		t.Error(err)
	}
	if err := DefaultConfig().Validate(); err != nil {
		t.Error(err)
	}
	for key, change := range map[string]func(*Config){
		"from":          func(c *Config) { c.From = "nobody" },
		"tls":           func(c *Config) { c.TLS = "maybe" },
		"port":          func(c *Config) { c.Port = 0 },
		"timeout":       func(c *Config) { c.Timeout = 0 },
		"next_links[0]": func(c *Config) { c.NextLinks = []string{"javascript:x"} },
		"web_client":    func(c *Config) { c.WebClient = "app" },
	} {
		c := good
		change(&c)
		if err := c.Validate(); err == nil || !strings.HasPrefix(err.Error(), key+": ") {
			t.Errorf("%s: got %v", key, err)
		}
	}
	clear := good
	clear.TLS, clear.User = NoTLS, "me"
	if err := clear.Validate(); err == nil {
		t.Error("a password may go over the network in the clear")
	}
}
