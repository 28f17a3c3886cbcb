package irc

import "time"

// bucket paces the lines of one connection: burst at once, then one for each interval, as servers count against
// flooding (RFC 1459, 8.10). A line may cost more than one: it goes out when there is one, and the others wait until what it owes is
// paid. So nothing is ever too much to be sent. The zero interval means no limit.
type bucket struct {
	burst    int
	interval time.Duration
	tokens   float64
	at       time.Time // when tokens was right
}

func newBucket(burst int, interval time.Duration, now time.Time) bucket {
	return bucket{burst: burst, interval: interval, tokens: float64(burst), at: now}
}

// take takes a token if there is one.
func (b *bucket) take(now time.Time) bool {
	if b.interval <= 0 {
		return true
	}
	b.refill(now)
	if b.tokens < 1 {
		return false
	}
	b.tokens--
	return true
}

// next says when there will be a token.
func (b *bucket) next(now time.Time) time.Time {
	b.refill(now)
	if b.interval <= 0 || b.tokens >= 1 {
		return now
	}
	// A nanosecond more than the fraction needs, or rounding could leave the token short when the time comes.
	return now.Add(time.Duration((1-b.tokens)*float64(b.interval)) + 1)
}

func (b *bucket) refill(now time.Time) {
	if now.After(b.at) && b.interval > 0 {
		b.tokens = min(b.tokens+float64(now.Sub(b.at))/float64(b.interval), float64(b.burst))
		b.at = now
	}
}

// pay takes what something costs that goes out now, also what there is not yet.
func (b *bucket) pay(now time.Time, cost float64) {
	b.refill(now)
	if b.interval > 0 {
		b.tokens -= cost
	}
}
