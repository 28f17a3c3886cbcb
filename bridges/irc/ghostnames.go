package irc

import (
	"context"
	"hash/maphash"
	"strings"
	"sync"

	"maunium.net/go/mautrix/bridgev2"
	"maunium.net/go/mautrix/bridgev2/networkid"
)

// ghostNames guards the names of ghosts, which bridgev2 sets without a lock, while those of one account are in many rooms. Whatever
// sets or reads one goes through here; and who comes into a room that bridgev2 makes has a name before, so that it has none to set.
type ghostNames struct {
	seed  maphash.Seed
	locks [64]sync.Mutex // of all ghosts with one hash
}

func newGhostNames() *ghostNames { return &ghostNames{seed: maphash.MakeSeed()} }

func (g *ghostNames) lock(ghost networkid.UserID) *sync.Mutex {
	return &g.locks[maphash.String(g.seed, string(ghost))%uint64(len(g.locks))]
}

// of is what a ghost is called, or empty.
func (g *ghostNames) of(ghost *bridgev2.Ghost) string {
	mu := g.lock(ghost.ID)
	mu.Lock()
	defer mu.Unlock()
	return ghost.Name
}

// set gives a ghost a name, unless that is so already or keeps, which may be nil, says that the name it has is to stay.
func (g *ghostNames) set(ctx context.Context, ghost *bridgev2.Ghost, name string, keeps func(name string) bool) {
	mu := g.lock(ghost.ID)
	mu.Lock()
	defer mu.Unlock()
	if ghost.Name == name && ghost.NameSet || keeps != nil && keeps(ghost.Name) {
		return
	}
	ghost.UpdateInfo(ctx, &bridgev2.UserInfo{Name: &name})
}

// ensure names a ghost that has no name yet by its nick or account, and returns what it is called.
func (g *ghostNames) ensure(ctx context.Context, ghost *bridgev2.Ghost) string {
	_, nick, _ := splitID(string(ghost.ID))
	g.set(ctx, ghost, strings.TrimPrefix(nick, accountPrefix), func(name string) bool { return name != "" })
	return g.of(ghost)
}

// calledBy is what a ghost is called that may not exist, or empty.
func (c *Connector) calledBy(ctx context.Context, user networkid.UserID) string {
	ghost, err := c.br.GetExistingGhostByID(ctx, user)
	if err != nil || ghost == nil {
		return ""
	}
	return c.names.of(ghost)
}
