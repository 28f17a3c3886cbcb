package bridges

import (
	"context"
	"fmt"
	"sync"

	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"
)

// gates keep apart what bridgev2 does not: an event of a user, for which it looks whether the room is their management room, and
// what makes a room that, or none.
type gates struct {
	mu    sync.Mutex // guards users
	users map[id.UserID]*sync.RWMutex
}

// of returns the gate of a user: held for reading while an event of theirs is handled, and for writing while one is that may change which room
// is their management room.
func (g *gates) of(user id.UserID) *sync.RWMutex {
	g.mu.Lock()
	defer g.mu.Unlock()
	gate := g.users[user]
	if gate == nil {
		gate = new(sync.RWMutex)
		if g.users == nil {
			g.users = map[id.UserID]*sync.RWMutex{}
		}
		g.users[user] = gate
	}
	return gate
}

// changesManagementRoom reports whether bridgev2 may take a room for the sender's management room on account of an event, or not for that any
// more: the bot is invited, or one of them leaves.
func (b *Bridge) changesManagementRoom(ctx context.Context, evt *event.Event) bool {
	if evt.Type != event.StateMember {
		return false
	}
	user := id.UserID(evt.GetStateKey())
	switch evt.Content.AsMember().Membership {
	case event.MembershipInvite:
		return user == b.conn.Bot.UserID
	case event.MembershipLeave:
		if user != b.conn.Bot.UserID && user != evt.Sender {
			return false
		}
		portal, err := b.v2.GetPortalByMXID(ctx, evt.RoomID)
		return err != nil || portal == nil
	}
	return false
}

// ManagementRoom is the room of a user with the bot, which is made the first time.
func (h *Host) ManagementRoom(ctx context.Context, user id.UserID) (id.RoomID, error) {
	u, err := h.b.v2.GetUserByMXID(ctx, user)
	if err != nil {
		return "", fmt.Errorf("load user %s: %w", user, err)
	}
	gate := h.b.gates.of(user)
	gate.Lock()
	defer gate.Unlock()
	room, err := u.GetManagementRoom(ctx)
	if err != nil {
		return "", fmt.Errorf("management room of %s: %w", user, err)
	}
	return room, nil
}
