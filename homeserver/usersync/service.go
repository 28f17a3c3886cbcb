// Package usersync tells clients what they have not seen: /sync, and every other reading of a room's events and state. It is
// called by clientapi. What a user may see is decided here and nowhere else, by the viewer of visibility.go. All that it writes is
// what it has told on connections of sliding sync, and, through its Inbox, what has arrived. It follows nothing on its own: a request
// is its only life.
package usersync

import (
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"causeway/homeserver/notify"
	"causeway/homeserver/retention"
	"causeway/homeserver/store"

	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/id"
)

// PushRules makes the m.push_rules event that clients expect among their account data.
type PushRules interface {
	// AccountData returns the content of m.push_rules. stored is what the account data of that type holds, nil when nothing.
	AccountData(user id.UserID, stored json.RawMessage) (json.RawMessage, error)
}

// typePushRules is the account data that PushRules makes.
const typePushRules = "m.push_rules"

// Config is what a Service needs.
type Config struct {
	DB   *store.DB
	Bus  notify.Bus
	Push PushRules // may be nil
	// Inbox is told which messages devices have; may be nil.
	Inbox Inbox
	// Typing and Presence may be nil. Presence is not told in rooms of more than PresenceMembers.
	Typing          Typing
	Presence        Presence
	PresenceMembers int
	// Retention says which messages are too old to be shown, though nobody has deleted them yet.
	Retention retention.Policy
	// StickyEvents is whether clients are told of sticky events that they have not seen (MSC4354).
	StickyEvents bool
	Now          func() time.Time // nil for time.Now
}

// Service reads rooms for users. It is safe for concurrent use.
type Service struct {
	db    *store.DB
	bus   notify.Bus
	push  PushRules
	inbox Inbox
	keeps retention.Policy
	now   func() time.Time

	typing          Typing
	presence        Presence
	presenceMembers int
	sticky          bool

	ears    ears
	filters filterCache
	counts  counts
	sent    sentMembers
	woken   together

	slidings    slidingConns
	slidingBody int // maxSlidingBody
	longSync    int // longSync
}

// New returns a Service.
func New(c Config) *Service {
	if c.Now == nil {
		c.Now = time.Now
	}
	return &Service{
		db: c.DB, bus: c.Bus, push: c.Push, inbox: c.Inbox, keeps: c.Retention, now: c.Now, sticky: c.StickyEvents,
		typing: c.Typing, presence: c.Presence, presenceMembers: c.PresenceMembers,
		sent:    sentMembers{chains: make(map[chainKey]*chain)},
		ears:    ears{users: make(map[int64]*hearing)},
		filters: filterCache{mu: sync.RWMutex{}, filters: make(map[filterKey]*Filter)},

		slidings:    slidingConns{all: make(map[connKey]*slidingConn)},
		slidingBody: maxSlidingBody,
		longSync:    longSync,
	}
}

// matrixError makes an error that the client sees.
func matrixError(status int, code, format string, args ...any) error {
	return mautrix.RespError{StatusCode: status, ErrCode: code, Err: fmt.Sprintf(format, args...)}
}
