package sender

import (
	"context"
	"net/http"
	"net/url"
	"time"

	"maunium.net/go/mautrix/id"
)

// queryTimeout bounds the wait for the answer of one application service to a query: it may have to reach another network and
// to create a room before it answers.
const queryTimeout = time.Minute

// A service that cannot be reached is tried again, for it may be restarting. "The homeserver should retry several times."
const (
	queryTries = 3
	queryPause = 500 * time.Millisecond
)

// QueryAlias asks the application services in whose namespaces alias is, one after the other, whether there shall be a room of
// that name; true means that one of them has made it by now. When all of them say no, and one says why, the error is 404
// M_NOT_FOUND with its words. Other errors, mautrix.RespError as well, name the service that could not be asked: 408
// M_CONNECTION_TIMEOUT, 502 M_CONNECTION_FAILED, 502 M_BAD_STATUS. Transactions go on meanwhile. The service except, which is
// the one that wants to know, is not asked: it would ask back.
// Application Service API, "Querying".
func (s *Sender) QueryAlias(ctx context.Context, alias id.RoomAlias, except string) (bool, error) {
	path := "/_matrix/app/v1/rooms/" + url.PathEscape(string(alias))
	return s.query(ctx, func(c *client) bool { return c.reg.ID != except && c.matchAlias(alias) }, func(ctx context.Context, c *client) (bool, string, error) {
		return s.ask(ctx, c, path)
	})
}

// asker asks one service. refusal is the reason that it gives for a no, or "".
type asker func(ctx context.Context, c *client) (found bool, refusal string, err error)

// query asks those of the services that concerns. The first failure, and the first refusal in words, are remembered while the
// others are asked.
func (s *Sender) query(ctx context.Context, concerns func(*client) bool, ask asker) (bool, error) {
	var (
		failure error
		refusal string
	)
	for _, c := range s.clients() {
		if c.base == "" || !concerns(c) {
			continue
		}
		found, why, err := ask(ctx, c)
		if found {
			return true, nil
		}
		if ctx.Err() != nil {
			return false, ctx.Err()
		}
		if failure == nil {
			failure = err
		}
		if refusal == "" {
			refusal = why
		}
	}
	if failure == nil && refusal != "" {
		failure = respError(http.StatusNotFound, "M_NOT_FOUND", "%s", refusal)
	}
	return false, failure
}

// ask asks one service, as an asker does.
func (s *Sender) ask(ctx context.Context, c *client, path string) (found bool, refusal string, err error) {
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	a, err := c.call(ctx, http.MethodGet, path, nil)
	for try := 1; err != nil && !isTimeout(err) && try < queryTries && sleep(ctx, queryPause); try++ {
		a, err = c.call(ctx, http.MethodGet, path, nil)
	}
	switch {
	case isTimeout(err):
		return false, "", respError(http.StatusRequestTimeout, "M_CONNECTION_TIMEOUT", "Application service %s did not answer in time", c.reg.ID)
	case err != nil:
		return false, "", s.unreachable(c, err)
	case a.status == http.StatusOK:
		return true, "", nil
	}
	code, message := a.matrixError()
	if a.status == http.StatusNotFound {
		if code == "M_UNRECOGNIZED" { // the service knows no queries: nothing that a person could use
			message = ""
		}
		return false, message, nil
	}
	if message == "" {
		message = http.StatusText(a.status)
	}
	return false, "", respError(http.StatusBadGateway, "M_BAD_STATUS", "Application service %s answered with status %d: %s", c.reg.ID, a.status, message)
}
