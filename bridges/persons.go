package bridges

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/bridgev2"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"
)

// In a room with two bridges, each sees the other's ghosts as users of the homeserver. They are no people: a ghost needs no login to a second
// network, keeps no room alive, and is not told what it could do. Which they are is in the registrations, which the homeserver has.

const (
	// foreignKept is for how long it is remembered whether a user is another service's: registrations change rarely.
	foreignKept = time.Minute
	// maxForeign bounds the users about whom that is remembered, and maxForeignAsked those that are asked about at a time.
	maxForeign      = 10_000
	maxForeignAsked = 1000
)

// foreign remembers which users other application services of the homeserver have to themselves.
type foreign struct {
	mu    sync.Mutex // guards what follows
	known map[id.UserID]foreignUser
	never bool // the homeserver does not tell
}

type foreignUser struct {
	is    bool
	until time.Time
}

// own reports whether a user is the bot, or a ghost of this bridge.
func (b *Bridge) own(user id.UserID) bool {
	return user == b.conn.Bot.UserID || b.v2.IsGhostMXID(user)
}

// isForeign reports whether a user is one that another application service has to itself, a ghost of another bridge perhaps.
func (b *Bridge) isForeign(ctx context.Context, user id.UserID) (bool, error) {
	if b.own(user) {
		return false, nil
	}
	found, err := b.foreigners(ctx, []id.UserID{user})
	return found[user], err
}

// persons are those of some users that are people.
func (b *Bridge) persons(ctx context.Context, users []id.UserID) (people []id.UserID, err error) {
	found, err := b.foreigners(ctx, users)
	if err != nil {
		return nil, err
	}
	for _, user := range users {
		if !b.own(user) && !found[user] {
			people = append(people, user)
		}
	}
	return people, nil
}

// foreigners are those of some users that are other application services'. It asks the homeserver about those of whom it does not know.
func (b *Bridge) foreigners(ctx context.Context, users []id.UserID) (map[id.UserID]bool, error) {
	found := map[id.UserID]bool{}
	unknown := b.foreign.look(users, found, b.opts.ServerName)
	for len(unknown) > 0 {
		some := unknown[:min(len(unknown), maxForeignAsked)]
		unknown = unknown[len(some):]
		theirs, err := b.askForeign(ctx, some)
		if err != nil {
			return nil, err
		}
		b.foreign.learn(some, theirs)
		for _, user := range theirs {
			found[user] = true
		}
	}
	return found, nil
}

// look puts those that are known to be foreign into found, and returns those of whom it is not known.
func (f *foreign) look(users []id.UserID, found map[id.UserID]bool, serverName string) (unknown []id.UserID) {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := time.Now()
	for _, user := range users {
		if f.never || user.Homeserver() != serverName {
			continue
		}
		if is, known := f.known[user]; known && now.Before(is.until) {
			found[user] = is.is
			continue
		}
		unknown = append(unknown, user)
	}
	return unknown
}

func (f *foreign) learn(asked, theirs []id.UserID) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.known)+len(asked) > maxForeign || f.known == nil {
		f.known = map[id.UserID]foreignUser{}
	}
	until := time.Now().Add(foreignKept)
	for _, user := range asked {
		f.known[user] = foreignUser{until: until}
	}
	for _, user := range theirs {
		f.known[user] = foreignUser{is: true, until: until}
	}
}

// askForeign asks the homeserver. One of another make does not know of that: then there are no foreign users.
func (b *Bridge) askForeign(ctx context.Context, users []id.UserID) ([]id.UserID, error) {
	var resp struct {
		Users []id.UserID `json:"users"`
	}
	url := b.conn.Bot.BuildClientURL("unstable", "causeway", "service_users")
	_, err := b.conn.Bot.MakeRequest(ctx, http.MethodPost, url, map[string]any{"users": users}, &resp)
	if refused, is := errors.AsType[mautrix.HTTPError](err); is && refused.IsStatus(http.StatusNotFound) {
		b.foreign.mu.Lock()
		defer b.foreign.mu.Unlock()
		b.foreign.never = true
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("ask which users are application services': %w", err)
	}
	return resp.Users, nil
}

// ignores reports whether an event is one of another service's user that this bridge is to be silent about: a command, for those are for
// people, or a line in a room where nobody speaks for others. bridgev2 would tell each ghost that it is not logged in. Where it cannot be
// found out, the event goes its way as one of a person does.
func (b *Bridge) ignores(ctx context.Context, evt *event.Event) bool {
	if evt.StateKey != nil || evt.Type.Class != event.MessageEventType {
		return false
	}
	is, err := b.isForeign(ctx, evt.Sender)
	if err != nil || !is {
		return false
	}
	if evt.Type == event.EventMessage && strings.HasPrefix(evt.Content.AsMessage().Body, b.v2.Config.CommandPrefix) {
		return true
	}
	portal, err := b.v2.GetPortalByMXID(ctx, evt.RoomID)
	if err != nil || portal == nil || portal.Relay != nil {
		return err == nil && portal == nil
	}
	user, err := b.v2.GetUserByMXID(ctx, evt.Sender)
	if err != nil || user == nil {
		return false
	}
	_, _, err = portal.FindPreferredLogin(ctx, user, false) // by its being in this chat, and not in another
	return errors.Is(err, bridgev2.ErrNotLoggedIn)
}
