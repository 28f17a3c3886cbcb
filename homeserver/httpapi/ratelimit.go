package httpapi

import (
	"container/list"
	"net/netip"
	"sync"
	"time"
)

// Class names a rate limit that several endpoints share.
type Class string

// The classes of the client-server API, each of what costs the server or others about the same.
const (
	ClassLogin       Class = "login"
	ClassLoginTo     Class = "login_account" // attempts to log in to one account, which account counts
	ClassRefresh     Class = "refresh"       // of access tokens, by address
	ClassMail        Class = "mail"          // what has people be written to elsewhere
	ClassRegister    Class = "register"
	ClassRendezvous  Class = "rendezvous"   // meeting points of devices, by address
	ClassMessage     Class = "message"      // what goes into rooms
	ClassJoin        Class = "join"         // joins, and making rooms
	ClassInvite      Class = "invite"       // what is done to the membership of others
	ClassProfile     Class = "profile"      // what goes into all rooms of a user
	ClassMedia       Class = "media"        // uploads
	ClassDelayed     Class = "delayed"      // what is done with events that are scheduled
	ClassReport      Class = "report"       // what an operator has to look at
	ClassOpenID      Class = "openid"       // tokens for others
	ClassAccountData Class = "account_data" // what a user keeps, and all devices of the user are told of
	ClassEphemeral   Class = "ephemeral"    // typing, receipts, presence
	ClassDevice      Class = "device"       // keys, and messages between devices
	ClassDirectory   Class = "directory"    // rooms and users that one is not in, or does not know
	ClassSearch      Class = "search"       // what reads much to answer little
	ClassRead        Class = "read"         // the history and the state of rooms
)

// Limit is a token bucket: PerSecond requests in the long run, and Burst of
// them at once.
type Limit struct {
	PerSecond float64
	Burst     int
}

// maxBuckets bounds the memory of the limiter. Past it the bucket that was idle
// for longest is forgotten, whose owner then starts afresh.
const maxBuckets = 100_000

// limiter holds a bucket for each requester and class that was seen of late.
type limiter struct {
	limits map[Class]Limit
	max    int

	mu      sync.Mutex // guards buckets and idle
	buckets map[bucketKey]*list.Element
	idle    list.List // of *bucket, the one used last in front
}

type bucketKey struct {
	class Class
	who   string
}

// bucket is a token bucket as the generic cell rate algorithm keeps it: full is
// the moment at which it will be full again.
type bucket struct {
	key  bucketKey
	full time.Time
}

func newLimiter(limits map[Class]Limit) *limiter {
	return &limiter{limits: limits, max: maxBuckets, buckets: make(map[bucketKey]*list.Element)}
}

// take takes one token, and returns 0, or how long to wait for the next.
func (l *limiter) take(class Class, who string, now time.Time) time.Duration {
	limit, ok := l.limits[class]
	if !ok || limit.PerSecond <= 0 {
		return 0
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	b := l.bucket(bucketKey{class, who})
	full := b.fullAfter(1, limit, now)
	capacity := limit.interval() * time.Duration(max(limit.Burst, 1))
	if wait := full.Sub(now) - capacity; wait > 0 {
		return wait
	}
	b.full = full
	return 0
}

// charge takes tokens whether they are there or not.
func (l *limiter) charge(class Class, who string, tokens int, now time.Time) {
	limit, ok := l.limits[class]
	if !ok || limit.PerSecond <= 0 || tokens <= 0 {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	b := l.bucket(bucketKey{class, who})
	b.full = b.fullAfter(tokens, limit, now)
}

// interval is the time in which a token comes.
func (l Limit) interval() time.Duration { return time.Duration(float64(time.Second) / l.PerSecond) }

// fullAfter returns when the bucket will be full once tokens are taken from it.
func (b *bucket) fullAfter(tokens int, limit Limit, now time.Time) time.Time {
	full := b.full
	if full.Before(now) {
		full = now
	}
	return full.Add(time.Duration(tokens) * limit.interval())
}

// bucket returns the bucket of key, and makes room for it. l.mu is held.
func (l *limiter) bucket(key bucketKey) *bucket {
	if element, ok := l.buckets[key]; ok {
		l.idle.MoveToFront(element)
		return element.Value.(*bucket)
	}
	if l.idle.Len() >= l.max {
		oldest := l.idle.Back()
		delete(l.buckets, l.idle.Remove(oldest).(*bucket).key)
	}
	b := &bucket{key: key}
	l.buckets[key] = l.idle.PushFront(b)
	return b
}

// Limit counts one request of who, any text, in a class, and returns 429
// M_LIMIT_EXCEEDED when that is one too many. Endpoints with [Endpoint.Limited]
// are counted by requester already; this is for other counts, such as logins to
// one account.
func (r *Request) Limit(class Class, who string) error {
	if wait := r.mux.limiter.take(class, who, time.Now()); wait > 0 {
		return LimitExceeded(wait)
	}
	return nil
}

// LimitClient counts one request of the client's address in a class, as Limit does.
// Who is not limited by the token that the request bears is not counted.
func (r *Request) LimitClient(class Class) error {
	if r.unlimited() {
		return nil
	}
	return r.Limit(class, r.Network())
}

// unlimited tells whether the access token is that of an application service that no rate limit holds back. It matters where nobody looks at
// tokens, which may well be those of sessions that have ended.
func (r *Request) unlimited() bool {
	ask := r.mux.options.Unlimited
	if ask == nil {
		return false
	}
	token := r.token()
	return token != "" && len(token) <= maxTokenBytes && ask(token, r.Query("user_id"))
}

// Network is the part of the client's address that one customer has, as text: by it strangers are counted.
func (r *Request) Network() string { return network(r.ClientIP()) }

// limit counts the request itself: by user, or by address where there is none.
func (r *Request) limit(class Class) error {
	if who := r.payer(class); who != "" {
		return r.Limit(class, who)
	}
	return nil
}

// Charge counts as many requests more in the class of the endpoint, for one that
// has turned out to do the work of so many. It refuses nothing: who asks next
// waits until all are paid for.
func (r *Request) Charge(requests int) {
	class := r.endpoint.class
	if who := r.payer(class); who != "" {
		r.mux.limiter.charge(class, who, requests, time.Now())
	}
}

// payer returns by whom the request is counted in a class: the user, or the
// address where there is none; "" where it is not counted.
func (r *Request) payer(class Class) string {
	if class == "" || len(r.mux.options.Limits) == 0 {
		return ""
	}
	if r.Requester == nil {
		if r.unlimited() {
			return ""
		}
		return network(r.ClientIP())
	}
	if !r.Requester.RateLimited {
		return ""
	}
	return string(r.Requester.UserID)
}

// network returns the part of an address that one customer has: all of an IPv4
// address, and 64 bits of an IPv6 one.
func network(ip string) string {
	address, err := netip.ParseAddr(ip)
	if err != nil || address.Unmap().Is4() {
		return ip
	}
	prefix, err := address.WithZone("").Prefix(64)
	if err != nil {
		return ip
	}
	return prefix.String()
}
