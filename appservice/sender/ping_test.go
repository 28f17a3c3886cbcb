package sender

import (
	"errors"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"causeway/homeserver/storetest"

	"maunium.net/go/mautrix"
)

func TestPing(t *testing.T) {
	cases := []struct {
		name, service string
		reply         reply
		wantStatus    int
		wantCode      string
	}{
		{"well", "irc", reply{status: 200, body: "{}"}, 0, ""},
		{"bad token", "irc", reply{status: 403, body: `{"errcode":"M_FORBIDDEN"}`}, 502, "M_BAD_STATUS"},
		{"refused", "irc", reply{err: errors.New("dial 10.0.0.1: refused")}, 502, "M_CONNECTION_FAILED"},
		{"no URL", "deaf", reply{}, 400, "M_URL_NOT_SET"},
		{"unknown", "nobody", reply{}, 404, "M_NOT_FOUND"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			h := newHouse(t, storetest.New(t))
			service := newService()
			service.answers(c.reply.status, c.reply.body, c.reply.err)
			deaf := register(t, "deaf", `{}`)
			deaf.URL = ""
			s := h.sender(service, newSet(t, ircRegistration(t), deaf))
			_, err := s.Ping(t.Context(), c.service, `txn "1"`)
			var e mautrix.RespError
			if err != nil && !errors.As(err, &e) {
				t.Fatalf("error is %v, want a Matrix error", err)
			}
			if e.StatusCode != c.wantStatus || e.ErrCode != c.wantCode {
				t.Errorf("ping said %d %s, want %d %s", e.StatusCode, e.ErrCode, c.wantStatus, c.wantCode)
			}
			if c.wantCode == "M_BAD_STATUS" && (e.ExtraData["status"] != 403 || e.ExtraData["body"] != c.reply.body) {
				t.Errorf("ping told %v, want status and body", e.ExtraData)
			}
			if c.service != "irc" {
				return
			}
			const want = `{"transaction_id":"txn \"1\""}`
			if r := service.next(t); r.method != http.MethodPost || r.path != "/_matrix/app/v1/ping" || string(r.body) != want {
				t.Errorf("ping is %s %s %s, want POST %s", r.method, r.path, r.body, want)
			}
		})
	}
}

func TestPingDuration(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, storetest.New(t))
		slow := &slowService{service: newService(), pause: 1234 * time.Millisecond}
		s := h.sender(slow, newSet(t, ircRegistration(t)))
		if got, err := s.Ping(t.Context(), "irc", ""); got != 1234 || err != nil {
			t.Errorf("ping took %d ms, %v; want 1234", got, err)
		}
		if r := slow.next(t); string(r.body) != `{}` {
			t.Errorf("ping without transaction id is %s, want {}", r.body)
		}
		slow.pause = time.Hour
		_, err := s.Ping(t.Context(), "irc", "")
		var e mautrix.RespError
		if !errors.As(err, &e) || e.StatusCode != http.StatusGatewayTimeout || e.ErrCode != "M_CONNECTION_TIMEOUT" {
			t.Errorf("a ping without answer is %v, want 504 M_CONNECTION_TIMEOUT", err)
		}
	})
}
