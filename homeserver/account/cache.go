package account

import (
	"sync"

	"causeway/homeserver/store"

	"maunium.net/go/mautrix/id"
)

// Bounds on what is remembered.
const (
	maxCachedSessions = 20_000
	maxKnownUsers     = 100_000
)

// sessionCache remembers sessions by the hash of their tokens.
//
// What a reader found before a session ended must not be remembered after it. So a reader takes the number of the endings
// before it reads, and what it read is remembered only if there was none since.
type sessionCache struct {
	mu      sync.RWMutex // guards the rest
	max     int
	rows    map[[32]byte]store.Session
	endings uint64
}

func newSessionCache(limit int) *sessionCache {
	return &sessionCache{max: limit, rows: make(map[[32]byte]store.Session)}
}

func (c *sessionCache) get(hash [32]byte) (session store.Session, endings uint64, ok bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	session, ok = c.rows[hash]
	return session, c.endings, ok
}

func (c *sessionCache) put(hash [32]byte, session store.Session, endings uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.endings != endings {
		return
	}
	if len(c.rows) >= c.max {
		for any := range c.rows {
			delete(c.rows, any)
			break
		}
	}
	c.rows[hash] = session
}

// forget drops the sessions of a user, some of which have ended.
func (c *sessionCache) forget(user id.UserID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.endings++
	for hash, session := range c.rows {
		if session.UserID == user {
			delete(c.rows, hash)
		}
	}
}

// knownUsers remembers users of whom something holds. Of those that exist it is never wrong: accounts do not go away. Where it can cease
// to hold, who read it takes the number of the removals first, as with sessionCache.
type knownUsers struct {
	mu       sync.RWMutex // guards the rest
	max      int
	ids      map[id.UserID]struct{}
	removals uint64
}

func newKnownUsers(limit int) *knownUsers {
	return &knownUsers{max: limit, ids: make(map[id.UserID]struct{})}
}

func (k *knownUsers) has(user id.UserID) bool {
	ok, _ := k.get(user)
	return ok
}

func (k *knownUsers) get(user id.UserID) (ok bool, removals uint64) {
	k.mu.RLock()
	defer k.mu.RUnlock()
	_, ok = k.ids[user]
	return ok, k.removals
}

func (k *knownUsers) add(user id.UserID) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.insert(user)
}

// addUnless is add, unless there were removals since.
func (k *knownUsers) addUnless(user id.UserID, removals uint64) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.removals == removals {
		k.insert(user)
	}
}

func (k *knownUsers) insert(user id.UserID) {
	if len(k.ids) >= k.max {
		clear(k.ids)
	}
	k.ids[user] = struct{}{}
}

func (k *knownUsers) remove(user id.UserID) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.removals++
	delete(k.ids, user)
}
