package focus

import (
	"sync"
	"time"

	"maunium.net/go/mautrix/id"
)

// How many tokens and delegations a user may ask for: a client asks once for each SFU of a call, and again after each interruption.
const (
	perRequest    = 2 * time.Second // in the long run
	burst         = 30              // at once
	maxRemembered = 10_000          // users whose requests are counted
)

// limiter counts requests by user.
type limiter struct {
	mu   sync.Mutex // guards full
	full map[id.UserID]time.Time
}

func newLimiter() limiter { return limiter{full: map[id.UserID]time.Time{}} }

// take counts a request, and returns how long to wait when it is too many.
func (l *limiter) take(user id.UserID, now time.Time) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.full) >= maxRemembered {
		for u, at := range l.full {
			if !at.After(now) {
				delete(l.full, u)
			}
		}
	}
	full := l.full[user]
	if full.Before(now) {
		full = now
	}
	full = full.Add(perRequest)
	if wait := full.Sub(now) - burst*perRequest; wait > 0 {
		return wait
	}
	l.full[user] = full
	return 0
}
