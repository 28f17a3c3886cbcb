package testserver_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"

	"causeway/appservice/sender"
	"causeway/homeserver"
	"causeway/homeserver/httpapi"
	"causeway/registration"

	"github.com/rs/zerolog"
)

// ghostMaker is an application service that makes the ghosts that it is asked for. Those whose names have "none" in them there are not, those
// with "liar" it says to have made, and for those with "hang" it does not answer before let go.
type ghostMaker struct {
	name  string
	token string
	hs    http.Handler
	hung  chan struct{} // a query that hangs has come
	let   chan struct{} // closed to let go
	txns  chan string   // bodies of transactions

	mu    sync.Mutex // guards asked
	asked []string
}

func newGhostMaker(reg *registration.Registration) *ghostMaker {
	return &ghostMaker{name: reg.ID, token: reg.ASToken, hung: make(chan struct{}, 100), let: make(chan struct{}), txns: make(chan string, 1000)}
}

func (g *ghostMaker) RoundTrip(r *http.Request) (*http.Response, error) {
	answer := func(status int) (*http.Response, error) {
		body := `{}`
		if status != http.StatusOK {
			body = `{"errcode":"M_NOT_FOUND","error":"no such ghost"}`
		}
		return &http.Response{StatusCode: status, Header: make(http.Header), Body: io.NopCloser(strings.NewReader(body)), Request: r}, nil
	}
	if r.Method == http.MethodPut {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return nil, err
		}
		g.txns <- string(body)
		return answer(http.StatusOK)
	}
	user, isQuery := strings.CutPrefix(r.URL.Path, "/_matrix/app/v1/users/")
	if !isQuery {
		return answer(http.StatusNotFound)
	}
	g.mu.Lock()
	g.asked = append(g.asked, user)
	g.mu.Unlock()
	if strings.Contains(user, "hang") {
		g.hung <- struct{}{}
		select {
		case <-g.let:
		case <-r.Context().Done():
			return nil, r.Context().Err()
		}
	}
	if strings.Contains(user, "none") || strings.Contains(user, "second") && g.name == "irc" {
		return answer(http.StatusNotFound)
	}
	if !strings.Contains(user, "liar") {
		localpart, _, _ := strings.Cut(user[1:], ":")
		if err := g.register(r.Context(), localpart); err != nil {
			return nil, err
		}
	}
	return answer(http.StatusOK)
}

// register makes the ghost and names it, as a service does before it answers.
func (g *ghostMaker) register(ctx context.Context, localpart string) error {
	for _, request := range [][3]string{
		{"POST", "/register", `{"type":"m.login.application_service","username":"` + localpart + `","inhibit_login":true}`},
		{"PUT", "/profile/@" + localpart + ":test/displayname?user_id=@" + localpart + ":test", `{"displayname":"Ghost-` + localpart + `"}`},
	} {
		r, err := http.NewRequestWithContext(ctx, request[0], "http://test/_matrix/client/v3"+request[1], strings.NewReader(request[2]))
		if err != nil {
			return err
		}
		r.Header.Set("Authorization", "Bearer "+g.token)
		w := httptest.NewRecorder()
		g.hs.ServeHTTP(w, r)
		if w.Code != http.StatusOK {
			return fmt.Errorf("%s %s: %d %s", request[0], request[1], w.Code, w.Body)
		}
	}
	return nil
}

// queries returns whom the service was asked for since the last call.
func (g *ghostMaker) queries() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	all := strings.Join(g.asked, " ")
	g.asked = nil
	return all
}

// haunted is a server with two services that make ghosts, of which both share @shared_.
type haunted struct {
	irc, limited *ghostMaker
	send         *sender.Sender
}

// eachHaunted is each with such services, whose tokens are "irc" and "limited".
func eachHaunted(t *testing.T, names string, test func(s *script, h *haunted)) {
	t.Helper()
	irc, limited := services(t).ByID("irc"), services(t).ByID("limited")
	irc.URL, limited.URL = "http://irc.invalid", "http://limited.invalid"
	limited.Namespaces.Users = append(limited.Namespaces.Users, registration.Namespace{Regex: "@shared_.*"})
	set, err := registration.NewSet(irc, limited)
	if err != nil {
		t.Fatal(err)
	}
	var h *haunted
	each(t, names, func(s *script) {
		for _, g := range []*ghostMaker{h.irc, h.limited} {
			s.tokens[g.name], g.hs = g.token, s.Handler()
		}
		test(s, h)
	}, func(c *homeserver.Config) {
		h = &haunted{irc: newGhostMaker(irc), limited: newGhostMaker(limited)}
		c.AppServices = func() *registration.Set { return set }
		h.send = sender.New(sender.Options{
			DB: c.DB, Bus: c.Bus, ServerName: c.ServerName, Registrations: c.AppServices, Log: zerolog.Nop(),
			Transport: func(reg *registration.Registration) http.RoundTripper {
				if reg.ID == "irc" {
					return h.irc
				}
				return h.limited
			},
		})
		c.Users = h.send
	})
}

// TestSummon invites, and asks for the profiles of, users that there are not. Application Service API, "Querying".
func TestSummon(t *testing.T) {
	eachHaunted(t, "alice bob", func(s *script, h *haunted) {
		s.words["room"] = s.text("alice POST /createRoom", `{}`, "room_id")
		member := func(user, name string) {
			s.t.Helper()
			want := "membership=invite displayname=" + name
			if name == "" {
				want = "membership=invite displayname:absent"
			}
			s.must(user, s.get("alice GET /rooms/<room>/state/m.room.member/"+user, ""), want)
		}
		asked := func(what, irc, limited string) {
			s.t.Helper()
			if got, also := h.irc.queries(), h.limited.queries(); got != irc || also != limited {
				s.t.Errorf("%s: irc was asked for %q and limited for %q, want %q and %q", what, got, also, irc, limited)
			}
		}
		invite := func(who, user string, status int) {
			s.t.Helper()
			if a := s.ask(who+" POST /rooms/<room>/invite", `{"user_id":"`+user+`"}`); a.Status != status {
				s.t.Fatalf("%s invites %s: got %d %s, want %d", who, user, a.Status, a.Body, status)
			}
		}
		invite("alice", "@irc_a:test", 200)
		asked("an invitation", "@irc_a:test", "")
		member("@irc_a:test", "Ghost-irc_a")
		invite("alice", "@irc_a:test", 200)
		asked("of who is there", "", "")
		invite("alice", "@irc_none:test", 200)
		asked("of who there is not", "@irc_none:test", "")
		member("@irc_none:test", "")
		invite("alice", "@irc_none:test", 200)
		asked("of who there is not, again", "", "")
		invite("alice", "@irc_liar:test", 200)
		asked("of who is said to be there", "@irc_liar:test", "")
		invite("bob", "@irc_b:test", 403)
		asked("by a stranger", "", "")
		invite("alice", "@shared_second:test", 200)
		asked("of who the second makes", "@shared_second:test", "@shared_second:test")
		member("@shared_second:test", "Ghost-shared_second")
		invite("alice", "@nobodys:test", 200)
		invite("alice", "@irc_a:elsewhere", 403)
		asked("of who is no service's", "", "")
		s.get("alice PUT /rooms/<room>/state/m.room.member/@irc_state:test", `{"membership":"invite"}`)
		asked("by state", "@irc_state:test", "")
		s.get("alice GET /profile/@irc_state:test", "")

		room := s.text("alice POST /createRoom", `{"invite":["@irc_c:test","@bob:test","@limitedbot:test","@irc_c:test"],"is_direct":true}`, "room_id")
		asked("a new room", "@irc_c:test", "")
		s.words["room"] = room
		member("@irc_c:test", "Ghost-irc_c")

		s.run([]step{
			{"a profile", "alice GET /profile/@irc_d:test", ``, 200, "displayname=Ghost-irc_d", ""},
			{"a field", "alice GET /profile/@irc_e:test/displayname", ``, 200, "displayname=Ghost-irc_e", ""},
			{"another's", "alice GET /profile/@irc_none2:test", ``, 404, "M_NOT_FOUND", ""},
			{"again", "alice GET /profile/@irc_none2:test", ``, 404, "M_NOT_FOUND", ""},
			{"by a stranger", "nobody GET /profile/@irc_f:test", ``, 404, "M_NOT_FOUND", ""},
			{"by the service itself", "irc GET /profile/@irc_f:test", ``, 404, "M_NOT_FOUND", ""},
			{"of who has nothing", "alice GET /profile/@bob:test/x.y", ``, 404, "M_NOT_FOUND", ""},
		})
		asked("profiles", "@irc_d:test @irc_e:test @irc_none2:test", "")

		s.get("irc POST /createRoom", `{"invite":["@irc_g:test","@lim_a:test"]}`)
		asked("by a service", "", "@lim_a:test")
	})
}

// TestSummonFromOneThatHangs has a service not answer: who waits for it is alone in that, and is served when it answers.
func TestSummonFromOneThatHangs(t *testing.T) {
	eachHaunted(t, "alice bob", func(s *script, h *haunted) {
		if err := h.send.Prepare(s.t.Context()); err != nil {
			s.t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		var running sync.WaitGroup
		running.Go(func() { _ = h.send.Run(ctx) })
		s.t.Cleanup(func() { cancel(); running.Wait() })

		s.words["room"] = s.text("alice POST /createRoom", `{"preset":"public_chat","invite":["@ircbot:test"]}`, "room_id")
		s.get("bob POST /join/<room>", "")
		answers := make(chan string, 2)
		for _, user := range []string{"@irc_hang:test", "@irc_hang:test"} {
			go func() {
				a := s.ask("alice POST /rooms/<room>/invite", `{"user_id":"`+user+`"}`)
				answers <- fmt.Sprint(a.Status)
			}()
		}
		<-h.irc.hung
		// Meanwhile the room goes on, others are invited, and the service gets its transactions.
		s.get("bob PUT /rooms/<room>/send/m.room.message/1", `{"msgtype":"m.text","body":"meanwhile"}`)
		s.get("alice POST /rooms/<room>/invite", `{"user_id":"@irc_quick:test"}`)
		for got := ""; !strings.Contains(got, "meanwhile") || !strings.Contains(got, "irc_quick"); {
			got += <-h.irc.txns
			if strings.Contains(got, "irc_hang") {
				s.t.Fatal("the invitation did not wait")
			}
		}
		select {
		case a := <-answers:
			s.t.Fatalf("the invitation was answered with %s before the service was", a)
		default:
		}
		close(h.irc.let)
		for range 2 {
			if a := <-answers; a != "200" {
				s.t.Errorf("the invitation was answered with %s", a)
			}
		}
		if got := h.irc.queries(); strings.Count(got, "hang") != 1 {
			s.t.Errorf("the service was asked for %s, want one question for two who wait", got)
		}
		s.must("the ghost", s.get("alice GET /rooms/<room>/state/m.room.member/"+url.PathEscape("@irc_hang:test"), ""),
			"membership=invite displayname=Ghost-irc_hang")
	})
}

// TestSummonLimits asks for profiles of users that there are not: each may be a question to a service, and another ghost.
func TestSummonLimits(t *testing.T) {
	each(t, "alice", func(s *script) {
		for range 5 {
			if a := s.ask("alice GET /profile/@alice:test/x.y", ``); a.Status != 404 {
				s.t.Fatalf("of who is there: %d %s", a.Status, a.Body)
			}
		}
		for _, want := range []int{404, 429} {
			if a := s.ask("alice GET /profile/@irc_x:test", ``); a.Status != want {
				s.t.Errorf("of who is not there: got %d %s, want %d", a.Status, a.Body, want)
			}
		}
	}, func(c *homeserver.Config) {
		c.Limits = map[httpapi.Class]httpapi.Limit{httpapi.ClassRead: {PerSecond: 0.0001, Burst: 25}}
	})
}
