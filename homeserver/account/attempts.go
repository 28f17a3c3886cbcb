package account

import (
	"container/list"
	"math"
	"net/http"
	"strconv"
	"sync"
	"time"

	"maunium.net/go/mautrix"
)

// maxAttempts bounds the accounts whose failed attempts are remembered. Past it the one that was idle for longest is forgotten.
const maxAttempts = 100_000

// attempts counts failed attempts to log in, by account: each costs, and one that succeeds settles all. An attempt is counted before it
// is known to have failed, so that those made at the same moment are no more than those made in turn. Names of nobody are counted like
// others, so that the count says nothing of who has an account.
type attempts struct {
	limit Limit

	mu   sync.Mutex // guards rows and idle
	rows map[string]*list.Element
	idle list.List // of *attempt, the newest in front
}

// attempt is a token bucket as the generic cell rate algorithm keeps it: fullMS is when it will be full again.
type attempt struct {
	key    string
	fullMS float64
}

func newAttempts(limit Limit) *attempts {
	return &attempts{limit: limit, rows: make(map[string]*list.Element)}
}

// take counts an attempt. The error is 429 M_LIMIT_EXCEEDED for one too many, which is not counted.
func (a *attempts) take(key string, nowMS int64) error {
	if a.limit.PerSecond <= 0 {
		return nil
	}
	interval := 1000 / a.limit.PerSecond
	a.mu.Lock()
	defer a.mu.Unlock()
	row := a.row(key)
	now, capacity := float64(nowMS), interval*float64(max(a.limit.Burst, 1))
	row.fullMS = min(max(row.fullMS, now), now+capacity) // a clock that was set back shuts nobody out for as long
	full := row.fullMS + interval
	if wait := full - now - capacity; wait > 0 {
		return limitExceeded("Too many attempts to log in to this account", time.Duration(math.Ceil(wait))*time.Millisecond)
	}
	row.fullMS = full
	return nil
}

func (a *attempts) row(key string) *attempt {
	if element, ok := a.rows[key]; ok {
		a.idle.MoveToFront(element)
		return element.Value.(*attempt)
	}
	if a.idle.Len() >= maxAttempts {
		delete(a.rows, a.idle.Remove(a.idle.Back()).(*attempt).key)
	}
	row := &attempt{key: key}
	a.rows[key] = a.idle.PushFront(row)
	return row
}

// settle forgets what was counted.
func (a *attempts) settle(key string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if element, ok := a.rows[key]; ok {
		a.idle.Remove(element)
		delete(a.rows, key)
	}
}

// limitExceeded is 429 M_LIMIT_EXCEEDED with the time to wait in both forms (Client-Server API, Rate limiting).
func limitExceeded(message string, wait time.Duration) error {
	return mautrix.RespError{
		StatusCode: http.StatusTooManyRequests, ErrCode: "M_LIMIT_EXCEEDED", Err: message,
		ExtraData:   map[string]any{"retry_after_ms": wait.Milliseconds()},
		ExtraHeader: map[string]string{"Retry-After": strconv.FormatInt(int64(math.Ceil(wait.Seconds())), 10)},
	}
}
