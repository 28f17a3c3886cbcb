package clientapi

import (
	"context"
	"errors"
	"net/http/httptest"
	"strings"
	"testing"

	"causeway/homeserver/httpapi"

	"maunium.net/go/mautrix"
)

// pinger answers for the application service "irc".
type pinger struct{ err error }

func (p pinger) Ping(_ context.Context, appServiceID, txnID string) (int64, error) {
	if appServiceID != "irc" || txnID != "meow" {
		return 0, errors.New("pinged " + appServiceID + " with " + txnID)
	}
	return 123, p.err
}

func TestPingAppService(t *testing.T) {
	refused := mautrix.RespError{StatusCode: 502, ErrCode: "M_CONNECTION_FAILED", Err: "no"}
	cases := []struct {
		name, token, path, txn string
		pinger                 pinger
		want                   int64
		wantCode               string
	}{
		{"well", "irc", "irc", "meow", pinger{}, 123, ""},
		{"another service", "xmpp", "irc", "meow", pinger{}, 0, "M_FORBIDDEN"},
		{"a person", "", "irc", "meow", pinger{}, 0, "M_FORBIDDEN"},
		{"a person, no service", "", "", "meow", pinger{}, 0, "M_FORBIDDEN"},
		{"long transaction id", "irc", "irc", strings.Repeat("m", maxPingTxnID+1), pinger{}, 0, "M_INVALID_PARAM"},
		{"refused", "irc", "irc", "meow", pinger{err: refused}, 123, "M_CONNECTION_FAILED"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			r := httptest.NewRequest("POST", "/", nil)
			r.SetPathValue("appserviceId", c.path)
			request := &httpapi.Request{Request: r, Requester: &httpapi.Requester{AppService: c.token}}
			a := &API{Services: Services{Pinger: c.pinger}}
			got, err := a.pingAppService(t.Context(), request, pingRequest{TransactionID: c.txn})
			var e mautrix.RespError
			if err != nil && !errors.As(err, &e) {
				t.Fatalf("error is %v, want a Matrix error", err)
			}
			if got.DurationMS != c.want || e.ErrCode != c.wantCode {
				t.Errorf("ping said %d ms, %q; want %d, %q", got.DurationMS, e.ErrCode, c.want, c.wantCode)
			}
		})
	}
}
