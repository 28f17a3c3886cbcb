package irc

import (
	"slices"
	"time"
)

// feed merges what several of our connections see of one channel into one stream, in which each line occurs
// once and in order.
//
// One member, the leader, delivers what it sees at once. Each other member is a follower: it keeps the lines
// that it has seen and the leader has not (ring), and counts those that the leader has delivered and it has not
// seen yet (debt). When the leader goes, the first of the others whose account is right delivers its ring and leads on;
// what is in its debt it drops when it comes. Lines are matched by their full content, each against one, so
// that a line that somebody says twice is two lines, however quickly.
//
// A follower's account is only right from the point where it joined. That point is in the stream itself: the
// leader sees the follower's JOIN, which comes through observe with the member to anchor. What the leader
// delivers before that does not concern the follower; what it delivers after it does, also when the follower has
// yet to see its own JOIN and to be added. This is exact when our connections are on one server, which shows each
// the same order; over several servers, lines that cross a JOIN on their way may be missed or doubled at a
// hand-over.
//
// Accounts age, because what two members see need not match for ever (a host that only some are shown). The leader
// passes a line that it has not seen when it goes on with later ones, and staleAfter that moment the line is dropped;
// a debt of that age is forgiven. A leader that says nothing may be dead, so nothing is dropped meanwhile: its successor
// delivers all that is not older than lateAfter.
//
// It owns no goroutine and takes no lock.
type feed[M comparable, T any] struct {
	clock   func() time.Time
	members []*follower[M, T]
	lead    *follower[M, T] // one of members, or nil
	// reserved is who is to lead, and takes its connection up from a process before; nil for nobody.
	reserved *M
}

// follower is the account of one member; the leader's ring is empty.
type follower[M comparable, T any] struct {
	member   M
	present  bool // it has seen its own JOIN
	anchored bool // the stream has come to its JOIN
	ring     []sighting[M, T]
	debt     map[string][]time.Time // when the leader delivered it, oldest first
	most     int                    // lines that were in debt at once
}

// keptRoom is the number of lines for which a follower keeps room that a burst has made.
const keptRoom = 64

// sighting is one line as one member saw it. key is its whole content.
type sighting[M comparable, T any] struct {
	key  string
	item T
	at   time.Time // when it was seen, by the feed's clock
	line uint64    // its number on the member's connection, where that is kept by a holder
	// anchors and loosens tell that the line is the JOIN, or the end of membership, of one of us. Such a mark is delivered
	// only when it is shown.
	anchors, loosens *M
	shown            bool
}

// maxRing bounds how far a leader may fall behind before another member leads. Its value is a few seconds of a
// very busy channel.
const maxRing = 1024

const (
	// staleAfter is how long a line may be on the way from one member to another.
	staleAfter = 60 * time.Second
	// lateAfter is the age beyond which a line is not delivered any more. A dead leader is noticed before.
	lateAfter = idleBeforePing + pingTimeout + 30*time.Second
)

// maxDebt bounds the different lines that a follower may have yet to see.
const maxDebt = 4 * maxRing

func (f *feed[M, T]) find(m M) int {
	return slices.IndexFunc(f.members, func(x *follower[M, T]) bool { return x.member == m })
}

// leads reports whether m leads.
func (f *feed[M, T]) leads(m M) bool {
	return f.lead != nil && f.lead.member == m
}

// open returns the account of a member, and opens one if there is none.
func (f *feed[M, T]) open(m M) *follower[M, T] {
	if i := f.find(m); i >= 0 {
		return f.members[i]
	}
	x := &follower[M, T]{member: m, debt: map[string][]time.Time{}}
	f.members = append(f.members, x)
	return x
}

// add lets a member that has just seen its own JOIN take part.
func (f *feed[M, T]) add(m M) {
	x := f.open(m)
	x.present = true
	if f.lead == nil && (f.reserved == nil || *f.reserved == m) {
		f.lead, f.reserved = x, nil
	}
}

// successor is who is to lead next: the first whose account is right, or else the first who is there.
func (f *feed[M, T]) successor() *follower[M, T] {
	var first *follower[M, T]
	for _, x := range f.members {
		if x.present && x.anchored {
			return x
		}
		if x.present && first == nil {
			first = x
		}
	}
	return first
}

// remove takes a member out. If it led, it returns who leads now, and what that one has to deliver first.
func (f *feed[M, T]) remove(m M) (deliver []T, next *M) {
	i := f.find(m)
	if i < 0 {
		return nil, nil
	}
	led := f.leads(m)
	f.members = slices.Delete(f.members, i, i+1)
	if !led {
		return nil, nil
	}
	if f.lead = f.successor(); f.lead == nil {
		return nil, nil
	}
	return f.flush(), &f.lead.member
}

// observe takes a line that a member saw and returns what is to be delivered now.
func (f *feed[M, T]) observe(m M, s sighting[M, T]) []T {
	i := f.find(m)
	if i < 0 || !f.members[i].present {
		return nil
	}
	x := f.members[i]
	s.at = f.clock()
	if x.pay(s) {
		return nil
	}
	if x == f.lead {
		f.delivered(s)
		return f.visible(nil, s)
	}
	x.ring = append(x.ring, s)
	if len(x.ring) <= maxRing {
		return nil
	}
	// The leader hangs; this member leads and the other one follows from where it is.
	if f.lead != nil {
		f.lead.anchored = true
	}
	f.lead, f.reserved = x, nil
	return f.flush()
}

// flush delivers the ring of the leader.
func (f *feed[M, T]) flush() []T {
	var deliver []T
	ring := f.lead.ring
	f.lead.ring = nil
	now := f.clock()
	for _, s := range ring {
		if now.Sub(s.at) > lateAfter {
			continue
		}
		f.delivered(s)
		deliver = f.visible(deliver, s)
	}
	return deliver
}

// visible appends what is delivered, which marks are only when they are shown.
func (f *feed[M, T]) visible(list []T, s sighting[M, T]) []T {
	if (s.anchors != nil || s.loosens != nil) && !s.shown {
		return list
	}
	return append(list, s.item)
}

// delivered brings the accounts of all but the leader up to date with a line of the stream.
func (f *feed[M, T]) delivered(s sighting[M, T]) {
	now := f.clock()
	for _, x := range f.members {
		if x != f.lead && x.anchored && !s.concerns(x.member) {
			x.settle(s, now)
		}
	}
	switch {
	case s.anchors != nil:
		f.open(*s.anchors).anchored = true
	case s.loosens != nil:
		f.loosen(*s.loosens)
	}
}

// loosen ends the account of who is gone; of who has come again since, it begins anew with their next JOIN.
func (f *feed[M, T]) loosen(m M) {
	i := f.find(m)
	if i < 0 {
		return
	}
	if x := f.members[i]; x.present {
		x.anchored = false
		clear(x.debt)
		return
	}
	f.members = slices.Delete(f.members, i, i+1)
}

// concerns reports whether the line is the coming or going of m, which m itself does not observe.
func (s sighting[M, T]) concerns(m M) bool {
	return s.anchors != nil && *s.anchors == m || s.loosens != nil && *s.loosens == m
}

// pay takes a line off the debt, if it is in it and the debt has not been forgiven.
func (x *follower[M, T]) pay(s sighting[M, T]) bool {
	owed := x.debt[s.key]
	for len(owed) > 0 && s.at.Sub(owed[0]) > staleAfter {
		owed = owed[1:]
	}
	paid := len(owed) > 0
	if paid {
		owed = owed[1:]
	}
	if x.debt[s.key] = owed; len(owed) == 0 {
		delete(x.debt, s.key)
	}
	if len(x.debt) == 0 && x.most > keptRoom {
		x.debt, x.most = map[string][]time.Time{}, 0
	}
	return paid
}

// settle matches a line of the stream with one that the follower has seen or will see.
func (x *follower[M, T]) settle(s sighting[M, T], now time.Time) {
	at := slices.IndexFunc(x.ring, func(r sighting[M, T]) bool { return r.key == s.key })
	if at >= 0 {
		x.ring = slices.Delete(x.ring, at, at+1)
		x.prune(at, now)
		if cap(x.ring) > keptRoom && len(x.ring) < cap(x.ring)/4 {
			x.ring = slices.Clone(x.ring)
		}
		return
	}
	x.prune(len(x.ring), now)
	if len(x.debt) >= maxDebt {
		// What is so old will not come any more.
		clear(x.debt)
	}
	owed := append(x.debt[s.key], now)
	x.debt[s.key] = owed[max(0, len(owed)-maxDebt):]
	x.most = max(x.most, len(x.debt))
}

// prune drops what is stale of the first n lines of the ring, which the leader has passed.
func (x *follower[M, T]) prune(n int, now time.Time) {
	stale := 0
	for stale < n && now.Sub(x.ring[stale].at) > staleAfter {
		stale++
	}
	x.ring = slices.Delete(x.ring, 0, stale)
}
