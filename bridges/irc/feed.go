package irc

import "slices"

// feed merges what several of our connections see of one channel into one stream, in which each line occurs
// once and in order.
//
// One member, the leader, delivers what it sees at once. Each other member is a follower: it keeps the lines
// that it has seen and the leader has not (ring), and counts those that the leader has delivered and it has not
// seen yet (debt). When the leader goes, the member that joined first of the others delivers its ring and leads
// on; what is in its debt it drops when it comes. Lines are matched by their full content, each against one, so
// that a line that somebody says twice is two lines, however quickly.
//
// A follower's account is only right from the point where it joined. That point is in the stream itself: the
// leader sees the follower's JOIN, which comes through observe with the member to anchor. What the leader
// delivers before that does not concern the follower. This is exact when our connections are on one server, which shows each the same order;
// over several servers, lines that cross a JOIN on their way may be missed or doubled at a hand-over.
//
// It is pure: it owns no goroutine and takes no lock.
type feed[M comparable, T any] struct {
	members []*follower[M, T] // in the order they joined; the first leads
}

// follower is the account of one member; the leader's ring is empty.
type follower[M comparable, T any] struct {
	member   M
	anchored bool
	ring     []sighting[M, T]
	debt     map[string]int
}

// sighting is one line as one member saw it. key is its whole content.
type sighting[M comparable, T any] struct {
	key  string
	item T
	// anchors and loosens tell that the line is the JOIN, or the end of membership, of one of us.
	anchors, loosens *M
}

// maxRing bounds how far a leader may fall behind before another member leads. Its value is a few seconds of a
// very busy channel.
const maxRing = 1024

// maxDebt bounds the different lines that a follower may have yet to see.
const maxDebt = 4 * maxRing

func (f *feed[M, T]) find(m M) int {
	return slices.IndexFunc(f.members, func(x *follower[M, T]) bool { return x.member == m })
}

// leads reports whether m leads.
func (f *feed[M, T]) leads(m M) bool { return len(f.members) > 0 && f.members[0].member == m }

// add lets a member that has just joined take part, and reports whether it leads.
func (f *feed[M, T]) add(m M) bool {
	if f.find(m) < 0 {
		f.members = append(f.members, &follower[M, T]{member: m, debt: map[string]int{}})
	}
	return f.leads(m)
}

// remove takes a member out. It returns what the new leader, if there is one, has to deliver.
func (f *feed[M, T]) remove(m M) (deliver []T, handover bool) {
	i := f.find(m)
	if i < 0 {
		return nil, false
	}
	f.members = slices.Delete(f.members, i, i+1)
	if i > 0 || len(f.members) == 0 {
		return nil, false
	}
	return f.flush(), true
}

// observe takes a line that a member saw and returns what is to be delivered now.
func (f *feed[M, T]) observe(m M, s sighting[M, T]) []T {
	i := f.find(m)
	if i < 0 {
		return nil
	}
	x := f.members[i]
	if x.debt[s.key] > 0 {
		if x.debt[s.key]--; x.debt[s.key] == 0 {
			delete(x.debt, s.key)
		}
		return nil
	}
	if i == 0 {
		f.delivered(s)
		return f.visible(nil, s)
	}
	x.ring = append(x.ring, s)
	if len(x.ring) <= maxRing {
		return nil
	}
	// The leader hangs; this member leads and the other one follows from where it is.
	f.members = slices.Insert(slices.Delete(f.members, i, i+1), 0, x)
	f.members[1].anchored = true
	return f.flush()
}

// flush delivers the ring of the leader.
func (f *feed[M, T]) flush() []T {
	var deliver []T
	ring := f.members[0].ring
	f.members[0].ring = nil
	for _, s := range ring {
		f.delivered(s)
		deliver = f.visible(deliver, s)
	}
	return deliver
}

// visible appends what people see: the marks of our own coming and going have no item.
func (f *feed[M, T]) visible(list []T, s sighting[M, T]) []T {
	if s.anchors != nil || s.loosens != nil {
		return list
	}
	return append(list, s.item)
}

// delivered brings the followers' accounts up to date with a line of the stream.
func (f *feed[M, T]) delivered(s sighting[M, T]) {
	for _, x := range f.members[1:] {
		if s.anchors != nil && *s.anchors == x.member {
			x.anchored = true
			continue
		}
		if s.loosens != nil && *s.loosens == x.member {
			x.anchored = false
			clear(x.debt)
			continue
		}
		if !x.anchored {
			continue // the line is from before it joined
		}
		if at := slices.IndexFunc(x.ring, func(r sighting[M, T]) bool { return r.key == s.key }); at >= 0 {
			x.ring = slices.Delete(x.ring, at, at+1)
			continue
		}
		if len(x.debt) >= maxDebt {
			// What is so old will not come any more.
			clear(x.debt)
		}
		x.debt[s.key]++
	}
}
