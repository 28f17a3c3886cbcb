package irc

import (
	"context"
	"strings"

	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/format"
	"maunium.net/go/mautrix/id"
)

// maxLater is the number of things that may wait to be done by the clerk.
const maxLater = 1024

// clerk does, one after the other, what clients want done in Matrix and in the database beside the rooms, so that they need
// not wait for it.
type clerk struct {
	jobs chan func(ctx context.Context)
	stop chan struct{} // closed when nothing comes any more
	done chan struct{}
}

func startClerk(ctx context.Context) *clerk {
	k := &clerk{jobs: make(chan func(context.Context), maxLater), stop: make(chan struct{}), done: make(chan struct{})}
	go k.run(ctx)
	return k
}

func (k *clerk) run(ctx context.Context) {
	defer close(k.done)
	for {
		select {
		case job := <-k.jobs:
			job(ctx)
		case <-ctx.Done():
			return
		case <-k.stop:
			for {
				select {
				case job := <-k.jobs:
					job(ctx)
				default:
					return
				}
			}
		}
	}
}

// close has the clerk do what is left, as long as ctx lasts.
func (k *clerk) close(ctx context.Context) {
	close(k.stop)
	select {
	case <-k.done:
	case <-ctx.Done():
	}
}

// later has something done soon. It never waits; when far too much is waiting already, it is not done, and the log says so.
func (c *Connector) later(job func(ctx context.Context)) {
	if c.clerk == nil {
		return // in tests without bridgev2
	}
	select {
	case c.clerk.jobs <- job:
	default:
		c.br.Log.Error().Msg("too much to be done beside the rooms, something is left out")
	}
}

// tell says something to a user in their own room with the bot, which nobody else reads.
func (n *network) tell(user id.UserID, text string) {
	if n.isBot(user) {
		n.log.Warn().Str("text", text).Msg("the bot's connection")
		return
	}
	n.conn.later(func(ctx context.Context) {
		if err := n.conn.tell(ctx, user, text); err != nil {
			n.log.Err(err).Stringer("user_id", user).Msg("tell a user something")
		}
	})
}

func (c *Connector) tell(ctx context.Context, user id.UserID, text string) error {
	room, err := c.host.ManagementRoom(ctx, user)
	if err != nil {
		return err
	}
	content := format.RenderMarkdown(strings.ReplaceAll(text, "!irc", c.br.Config.CommandPrefix), true, false)
	content.MsgType = event.MsgNotice
	_, err = c.br.Bot.SendMessage(ctx, room, event.EventMessage, &event.Content{Parsed: &content}, nil)
	return err
}
