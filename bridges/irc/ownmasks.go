package irc

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"

	"maunium.net/go/mautrix/bridgev2/database"
	"maunium.net/go/mautrix/id"
)

// maxMasks is how many masks of one person are remembered.
const maxMasks = 16

// masks are the nick!user@host by which our people are known, or were: by them their lines are known again in the history of a
// channel, also after a restart.
type masks struct {
	mu     sync.Mutex // guards what follows
	users  map[string]id.UserID
	byUser map[id.UserID][]string // newest last
}

// owner returns who of us has or had a mask.
func (x *masks) owner(mask string) (id.UserID, bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	user, ok := x.users[mask]
	return user, ok
}

// add enters a mask and returns all of the person, or nil when it was known.
func (x *masks) add(user id.UserID, mask string) []string {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.users[mask] == user {
		return nil
	}
	x.enter(user, mask)
	return slices.Clone(x.byUser[user])
}

func (x *masks) enter(user id.UserID, mask string) {
	if x.users == nil {
		x.users, x.byUser = map[string]id.UserID{}, map[id.UserID][]string{}
	}
	x.users[mask] = user
	list := append(x.byUser[user], mask)
	for len(list) > maxMasks {
		if x.users[list[0]] == user {
			delete(x.users, list[0])
		}
		list = list[1:]
	}
	x.byUser[user] = list
}

// masksKey is where the masks of a person are kept; the user ID follows.
func (n *network) masksKey() string { return "irc_masks/" + n.name + "/" }

// loadMasks reads the masks of before.
func (n *network) loadMasks(ctx context.Context) error {
	rows, err := n.conn.br.DB.Query(ctx, `SELECT key, value FROM kv_store WHERE bridge_id=$1 AND key LIKE $2`,
		n.conn.br.ID, n.masksKey()+"%")
	if err != nil {
		return fmt.Errorf("load the masks of %s: %w", n.name, err)
	}
	defer rows.Close()
	n.masks.mu.Lock()
	defer n.masks.mu.Unlock()
	for rows.Next() {
		var key, value string
		if err := rows.Scan(&key, &value); err != nil {
			return fmt.Errorf("load the masks of %s: %w", n.name, err)
		}
		var list []string
		if err := json.Unmarshal([]byte(value), &list); err != nil {
			return fmt.Errorf("masks of %s: %w", key, err)
		}
		user := id.UserID(strings.TrimPrefix(key, n.masksKey()))
		for _, mask := range list {
			n.masks.enter(user, mask)
		}
	}
	return rows.Err()
}

// noteMask notes our mask before anything is said under it, and reports whether that has to be waited for.
func (c *client) noteMask(m *membership) bool {
	list := c.newMask()
	if list == nil && !c.notingMask {
		return false
	}
	m.unready = true
	if list != nil {
		c.notingMask = true
		sess := c.sess
		c.lookups.Go(func() {
			c.net.keepMasks(c.ctx, c.user, list)
			c.box.add(maskNoted{sess: sess})
		})
	}
	return true
}

// newMask enters our mask, and returns what is to be stored, if it is new.
func (c *client) newMask() []string {
	if mask := c.mask(); mask != "" {
		return c.net.masks.add(c.user, mask)
	}
	return nil
}

// storeMasks writes the masks of a person down.
func (n *network) storeMasks(ctx context.Context, user id.UserID, list []string) {
	value, _ := json.Marshal(list)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lookupTimeout)
	defer cancel()
	n.conn.br.DB.KV.Set(ctx, database.Key(n.masksKey()+user.String()), string(value))
}

// maskChanged notes a mask that we have got while we are there.
func (c *client) maskChanged() {
	if !c.tellsPast() || c.phase != up {
		return
	}
	if list := c.newMask(); list != nil {
		c.lookups.Go(func() { c.net.keepMasks(c.ctx, c.user, list) })
	}
}

// maskNoted is the end of noting.
type maskNoted struct{ sess *session }

func (r maskNoted) apply(c *client) {
	if c.sess != r.sess {
		return
	}
	c.notingMask = false
	for _, m := range c.channels {
		if m.unready && m.state == joined {
			m.unready = false
			c.sendWaiting(m)
		}
	}
}
