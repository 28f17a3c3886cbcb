package sender

import (
	"context"
	"errors"
	"net/http"
	"net/url"

	"maunium.net/go/mautrix/id"
)

// QueryUser asks the application services in whose namespaces user is, one after the other, whether there shall be such a user; true means
// that one of them has made it by now. Errors are as those of QueryAlias. The service except, which acts for somebody, is not asked: it would
// wait for itself. Nor is one asked for its own bot.
//
// Anybody who is logged in has services asked, by any name, so what a service says is remembered for a while, and whoever asks the same
// meanwhile waits for the same answer. Application Service API, "Querying".
func (s *Sender) QueryUser(ctx context.Context, user id.UserID, except string) (bool, error) {
	path := "/_matrix/app/v1/users/" + url.PathEscape(string(user))
	return s.query(ctx, func(c *client) bool {
		return c.reg.ID != except && c.bot != user && c.matchUser(user)
	}, func(ctx context.Context, c *client) (bool, string, error) {
		return s.askOnce(ctx, question{client: c, path: path, kept: answerKept})
	})
}

// refusal is a no with a reason.
type refusal string

func (r refusal) Error() string { return string(r) }

// askOnce is ask for what may be asked again and again.
func (s *Sender) askOnce(ctx context.Context, q question) (found bool, why string, err error) {
	l := s.users.look(q, s.askUser)
	if l == nil {
		return false, "", respError(http.StatusServiceUnavailable, "M_CONNECTION_TIMEOUT", "The application services are being asked too much")
	}
	select {
	case <-l.done:
	case <-ctx.Done():
		return false, "", ctx.Err()
	}
	if no, is := errors.AsType[refusal](l.err); is {
		return false, string(no), nil
	}
	return l.err == nil, "", l.err
}

// askUser asks on behalf of all who wait for it, whoever of them goes: it ends by itself.
func (s *Sender) askUser(q question, l *lookup) {
	kept := q.kept
	found, why, err := s.ask(context.Background(), q.client, q.path)
	switch {
	case err != nil:
		kept = failureKept
	case !found:
		err = refusal(why)
	}
	s.users.settle(l, nil, err, kept)
}
