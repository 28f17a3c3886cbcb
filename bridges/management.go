package bridges

import (
	"context"
	"fmt"
	"sync"

	"maunium.net/go/mautrix/id"
)

// gates keep apart what bridgev2 does not: an event of a user, for which it looks whether the room is their management room, and
// the making of that room.
type gates struct {
	mu    sync.Mutex // guards users
	users map[id.UserID]*sync.RWMutex
}

// of returns the gate of a user: held for reading while an event of theirs is handled.
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
