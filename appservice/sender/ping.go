package sender

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"maunium.net/go/mautrix"
)

// pingTimeout bounds the wait for the answer to a ping.
const pingTimeout = 30 * time.Second

// Ping asks an application service for a sign of life and returns how long the answer took, in milliseconds. When it answers,
// what waits for it is sent at once. Errors are mautrix.RespError: M_NOT_FOUND, M_URL_NOT_SET, M_CONNECTION_FAILED,
// M_CONNECTION_TIMEOUT, and M_BAD_STATUS with the status and body of the answer. Application Service API, "Pinging".
func (s *Sender) Ping(ctx context.Context, appServiceID, txnID string) (durationMS int64, err error) {
	c := s.client(appServiceID)
	switch {
	case c == nil:
		return 0, respError(http.StatusNotFound, "M_NOT_FOUND", "There is no application service %s", clean(appServiceID))
	case c.base == "":
		return 0, respError(http.StatusBadRequest, "M_URL_NOT_SET", "Application service %s has no URL in its registration", appServiceID)
	}
	request := struct {
		TransactionID string `json:"transaction_id,omitempty"`
	}{txnID}
	body, err := json.Marshal(request)
	if err != nil {
		return 0, fmt.Errorf("ping application service %s: %w", appServiceID, err)
	}
	reqCtx, cancel := context.WithTimeout(ctx, pingTimeout)
	defer cancel()
	start := time.Now()
	a, err := c.call(reqCtx, http.MethodPost, "/_matrix/app/v1/ping", body)
	switch {
	case err != nil && ctx.Err() != nil:
		return 0, ctx.Err()
	case isTimeout(err):
		return 0, respError(http.StatusGatewayTimeout, "M_CONNECTION_TIMEOUT", "Application service %s did not answer in time", appServiceID)
	case err != nil:
		return 0, s.unreachable(c, err)
	case a.status != http.StatusOK:
		e := respError(http.StatusBadGateway, "M_BAD_STATUS", "Application service %s answered the ping with status %d", appServiceID, a.status)
		e.ExtraData = map[string]any{"status": a.status, "body": clean(string(a.body))}
		return 0, e
	}
	s.Kick(appServiceID)
	return time.Since(start).Milliseconds(), nil
}

// unreachable tells a client that no connection could be made. The reason, which may name addresses of this network, goes to
// the log.
func (s *Sender) unreachable(c *client, err error) error {
	s.opt.Log.Warn().Err(err).Str("appservice", c.reg.ID).Msg("Application service cannot be reached")
	return respError(http.StatusBadGateway, "M_CONNECTION_FAILED", "Application service %s cannot be reached", c.reg.ID)
}

func isTimeout(err error) bool {
	var timeout net.Error
	return errors.Is(err, context.DeadlineExceeded) || errors.As(err, &timeout) && timeout.Timeout()
}

func respError(status int, code, format string, args ...any) mautrix.RespError {
	return mautrix.RespError{StatusCode: status, ErrCode: code, Err: fmt.Sprintf(format, args...)}
}
