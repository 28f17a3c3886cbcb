package sender

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"causeway/homeserver/storetest"

	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/id"
)

// reply is what one service answers to a query.
type reply struct {
	status int
	body   string
	err    error
}

var queryCases = []struct {
	name        string
	irc, second reply
	want        bool
	wantStatus  int // 0 for no error
	wantCode    string
	wantText    string // is part of the message
	wantAsked   [2]int // requests to each
}{
	{name: "made", irc: reply{status: 200, body: "{}"}, want: true, wantAsked: [2]int{1, 0}},
	{name: "made by the second", irc: reply{status: 404}, second: reply{status: 200}, want: true, wantAsked: [2]int{1, 1}},
	{name: "no", irc: reply{status: 404, body: "<html>"}, second: reply{status: 404, body: `{"errcode":"M_UNRECOGNIZED","error":"Unrecognized"}`},
		wantAsked: [2]int{1, 1}},
	{name: "no, and why", irc: reply{status: 404, body: `{"errcode":"M_NOT_FOUND","error":"Unknown network\nnosuchnet"}`}, second: reply{status: 404},
		wantStatus: 404, wantCode: "M_NOT_FOUND", wantText: "Unknown network nosuchnet", wantAsked: [2]int{1, 1}},
	{name: "code of its own", irc: reply{status: 404, body: `{"errcode":"COM.EXAMPLE.NOT_FOUND","error":"Nothing here"}`}, second: reply{status: 404},
		wantStatus: 404, wantCode: "M_NOT_FOUND", wantText: "Nothing here", wantAsked: [2]int{1, 1}},
	{name: "failure, then made", irc: reply{err: errors.New("refused")}, second: reply{status: 200}, want: true, wantAsked: [2]int{queryTries, 1}},
	{name: "unreachable", irc: reply{err: errors.New("dial 10.0.0.1: refused")}, second: reply{status: 404},
		wantStatus: 502, wantCode: "M_CONNECTION_FAILED", wantText: "irc", wantAsked: [2]int{queryTries, 1}},
	{name: "500", irc: reply{status: 404, body: `{"errcode":"M_NOT_FOUND","error":"no"}`}, second: reply{status: 500, body: "panic"},
		wantStatus: 502, wantCode: "M_BAD_STATUS", wantText: "second answered with status 500: Internal Server Error", wantAsked: [2]int{1, 1}},
	{name: "Matrix error", irc: reply{status: 403, body: `{"errcode":"M_FORBIDDEN","error":"Bad token"}`}, second: reply{status: 404},
		wantStatus: 502, wantCode: "M_BAD_STATUS", wantText: "Bad token", wantAsked: [2]int{1, 1}},
	{name: "redirection", irc: reply{status: 302}, second: reply{status: 404}, wantStatus: 502, wantCode: "M_BAD_STATUS", wantAsked: [2]int{1, 1}},
}

func TestQuery(t *testing.T) {
	for _, c := range queryCases {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				irc, second := newService(), newService()
				irc.answers(c.irc.status, c.irc.body, c.irc.err)
				second.answers(c.second.status, c.second.body, c.second.err)
				h := newHouse(t, storetest.New(t))
				namespaces := `{"users":[{"regex":"@irc_.*"}],"aliases":[{"regex":"#irc_.*"}]}`
				s := h.senderOf(map[string]http.RoundTripper{"irc": irc, "second": second, "third": nil},
					newSet(t, register(t, "irc", namespaces), register(t, "third", `{}`), register(t, "second", namespaces)))
				got, err := s.QueryAlias(t.Context(), "#irc_libera_#a/b?ü:test", "")
				checkQuery(t, got, err, c.want, c.wantStatus, c.wantCode, c.wantText)
				if asked := [2]int{len(irc.requests), len(second.requests)}; asked != c.wantAsked {
					t.Errorf("the services got %v requests, want %v", asked, c.wantAsked)
				}
				const path = "/_matrix/app/v1/rooms/%23irc_libera_%23a%2Fb%3F%C3%BC:test"
				if r := irc.next(t); r.method != http.MethodGet || r.path != path || r.token != "Bearer hs-irc" {
					t.Errorf("query is %s %s with %q, want GET %s with hs_token", r.method, r.path, r.token, path)
				}
				for len(irc.requests) > 0 {
					<-irc.requests
				}
				got, err = s.QueryUser(t.Context(), ghost, "")
				checkQuery(t, got, err, c.want, c.wantStatus, c.wantCode, c.wantText)
				if r := irc.next(t); r.path != "/_matrix/app/v1/users/@irc_nick:test" {
					t.Errorf("query is %s, want the user's", r.path)
				}
			})
		})
	}
}

func checkQuery(t *testing.T, got bool, err error, want bool, status int, code, text string) {
	t.Helper()
	var e mautrix.RespError
	if err != nil && !errors.As(err, &e) {
		t.Fatalf("error is %v, want a Matrix error", err)
	}
	if got != want || e.StatusCode != status || e.ErrCode != code || !strings.Contains(e.Err, text) {
		t.Errorf("query said %v, %d %s %q; want %v, %d %s %q", got, e.StatusCode, e.ErrCode, e.Err, want, status, code, text)
	}
	if strings.Contains(e.Err, "10.0.0.1") {
		t.Errorf("%q tells an address", e.Err)
	}
}

func TestQueryNobody(t *testing.T) {
	h := newHouse(t, storetest.New(t))
	service := newService()
	s := h.sender(service, newSet(t, ircRegistration(t)))
	if got, err := s.QueryAlias(t.Context(), "#else:test", ""); got || err != nil {
		t.Errorf("query said %v, %v; want no", got, err)
	}
	for _, user := range []id.UserID{"@else:test", "@irc_nick:elsewhere"} {
		if got, err := s.QueryUser(t.Context(), user, ""); got || err != nil {
			t.Errorf("query said %v, %v; want no", got, err)
		}
	}
	if n := len(service.requests); n != 0 {
		t.Errorf("the service got %d requests, want none", n)
	}
}

func TestQueryTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, storetest.New(t))
		hung := &hangingService{tries: make(chan time.Time, 10)}
		s := h.sender(hung, newSet(t, ircRegistration(t)))
		start := time.Now()
		got, err := s.QueryAlias(t.Context(), "#irc_x:test", "")
		checkQuery(t, got, err, false, http.StatusRequestTimeout, "M_CONNECTION_TIMEOUT", "irc")
		if took := time.Since(start); took != queryTimeout {
			t.Errorf("the query took %v, want %v", took, queryTimeout)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := s.QueryAlias(ctx, "#irc_x:test", ""); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a client that has gone gets %v, want its own context's error", err)
		}
	})
}

// TestQueryDuringTransaction asks while the service does not acknowledge.
func TestQueryDuringTransaction(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, storetest.New(t))
		slow := &slowTransactions{service: newService()}
		s := h.sender(slow, newSet(t, ircRegistration(t)))
		stop := h.start(s)
		h.room("bridged").say(ghost, "hello")
		slow.next(t)
		start := time.Now()
		if found, err := s.QueryAlias(t.Context(), "#irc_x:test", ""); !found || err != nil {
			t.Errorf("query said %v, %v; want yes", found, err)
		}
		if took := time.Since(start); took != 0 {
			t.Errorf("the query took %v, want it not to wait", took)
		}
		stop()
	})
}

// slowTransactions never acknowledges a transaction, and answers everything else.
type slowTransactions struct{ *service }

func (s *slowTransactions) RoundTrip(r *http.Request) (*http.Response, error) {
	res, err := s.service.RoundTrip(r)
	if r.Method == http.MethodPut {
		<-r.Context().Done()
		return nil, r.Context().Err()
	}
	return res, err
}
