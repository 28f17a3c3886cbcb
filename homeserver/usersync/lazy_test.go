package usersync

import (
	"fmt"
	"testing"

	"maunium.net/go/mautrix/id"
)

const lazyFilter = `{"room": {"state": {"lazy_load_members": true}, "timeline": {"limit": 3}}}`

// members are the member events in a list.
func members(l *eventList) []string {
	out := []string{}
	if l == nil {
		return out
	}
	for _, e := range l.Events {
		if e.Type == "m.room.member" {
			out = append(out, briefOne(e))
		}
	}
	return sorted(out)
}

// TestLazyMembersOnce has the members that a client knows sent no second time, in whichever way it comes to know of them.
func TestLazyMembersOnce(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		p := w.room(alice, "shared")
		p.set(alice, "m.room.name", "", obj{"name": "N"})
		users := make([]id.UserID, 8)
		for i := range users {
			users[i] = id.UserID(fmt.Sprintf("@u%d:test", i))
		}
		p.join(bob)
		p.join(users...)
		p.texts(alice, "x", 3)
		after := w.client(bob).filter(lazyFilter)
		after.req.StateAfter, after.req.Device = StateAfter, "AFTER"
		c := w.client(bob).filter(lazyFilter)
		wantList(t, "first", members(c.sync().joined(t, p).State), list("alice:join", "bob:join"))
		wantList(t, "first, state after", members(after.sync().joined(t, p).StateAfter), list("alice:join", "bob:join"))

		p.text(users[0], "hello")
		p.text(alice, "hello")
		before := c.req
		wantList(t, "a new sender", members(c.sync().joined(t, p).State), list("u0:join"))
		wantList(t, "the answer was lost", members(w.sync(before).joined(t, p).State), list("u0:join"))
		wantList(t, "a new sender, state after", members(after.sync().joined(t, p).StateAfter), list("u0:join"))

		p.text(users[0], "again")
		wantList(t, "known", members(c.sync().joined(t, p).State), list())
		wantList(t, "known, state after", members(after.sync().joined(t, p).StateAfter), list())

		p.member(users[0], users[0], "leave")
		p.text(users[1], "bye")
		wantList(t, "a change is in the timeline", members(c.sync().joined(t, p).State), list("u1:join"))
		wantList(t, "a change, state after", members(after.sync().joined(t, p).StateAfter), list("u0:leave", "u1:join"))

		// A gap, with changes of members in it.
		p.member(users[2], users[2], "leave")
		p.join(users[0])
		p.texts(users[1], "y", 4)
		wantList(t, "gap", members(c.sync().joined(t, p).State), list("u0:join", "u2:leave"))
		wantList(t, "gap, state after", members(after.sync().joined(t, p).StateAfter), list("u0:join", "u2:leave"))

		full := c.req
		full.FullState = true
		p.text(users[1], "z")
		wantList(t, "full state", members(w.sync(full).joined(t, p).State), list("bob:join", "u1:join"))

		// A way that the client did not go: from a token of long ago.
		wantList(t, "an old token", members(w.sync(before).joined(t, p).State), list("u0:join", "u1:join", "u2:leave"))
		wantList(t, "and back", members(c.sync().joined(t, p).State), list("u1:join"))
	})
}

// TestLazyMembersToldAgain has the cases in which what the client knows counts for nothing.
func TestLazyMembersToldAgain(t *testing.T) {
	const redundant = `{"room": {"state": {"lazy_load_members": true, "include_redundant_members": true}}}`
	each(t, func(t *testing.T, w *world) {
		p := w.room(alice, "shared")
		p.join(bob)
		c := w.client(bob).filter(redundant)
		c.sync()
		for range 2 {
			p.text(alice, "x")
			wantList(t, "redundant", members(c.sync().joined(t, p).State), list("alice:join"))
		}
		c = w.client(bob).filter(lazyFilter)
		c.sync()
		p.text(alice, "x")
		wantList(t, "known", members(c.sync().joined(t, p).State), list())
		p.text(alice, "x")
		c.filter(`{"room": {"state": {"lazy_load_members": true}}}`)
		wantList(t, "another filter", members(c.sync().joined(t, p).State), list("alice:join"))
		p.text(alice, "x")
		c.req.Device = "E"
		wantList(t, "another device", members(c.sync().joined(t, p).State), list("alice:join"))
		p.text(alice, "x")
		wantList(t, "known again", members(c.sync().joined(t, p).State), list())

		// Left and come again: the client's members of the room are of an earlier stay.
		p.member(bob, bob, "leave")
		c.sync()
		p.join(bob)
		p.texts(alice, "x", 12)
		wantList(t, "came again", members(c.sync().joined(t, p).State), list("alice:join", "bob:join"))
		p.text(alice, "x")
		wantList(t, "known from then on", members(c.sync().joined(t, p).State), list())
	})
}

func TestSentMembersBounds(t *testing.T) {
	s := sentMembers{chains: make(map[chainKey]*chain)}
	key := func(i int) chainKey { return chainKey{id.UserID(fmt.Sprint(i)), "D"} }
	for i := range maxChains + 10 {
		s.come(key(i), 1, 0)
	}
	if len(s.chains) > maxChains {
		t.Errorf("%d chains are kept", len(s.chains))
	}
	many := make([]roomMember, maxChainMembers+1)
	for i := range many {
		many[i] = roomMember{1, int64(i)}
	}
	s.come(key(0), 1, 0)
	s.sent(key(0), 1, 0, chainStep{upto: 5, added: many})
	s.come(key(0), 1, 5)
	if got := s.unknown(key(0), 1, 5, 1, []int64{1}); len(got) != 1 || s.total != 0 {
		t.Errorf("a device with too many members: %v are unknown, %d in all", got, s.total)
	}
	for i := range 2 * maxSentMembers / maxChainMembers {
		s.come(key(i), 1, 0)
		s.sent(key(i), 1, 0, chainStep{upto: 5, added: many[:maxChainMembers]})
		s.come(key(i), 1, 5)
	}
	if s.total > maxSentMembers+maxChainMembers || s.total == 0 {
		t.Errorf("%d members are kept", s.total)
	}
	for i := range maxChainSteps + 3 {
		s.sent(key(1), 1, 5, chainStep{upto: int64(6 + i)})
	}
	if c := s.chains[key(1)]; c != nil && len(c.steps) > maxChainSteps {
		t.Errorf("%d steps are kept", len(c.steps))
	}
}

// TestSentMembersNotAcknowledged has what clients have perhaps not read count as well.
func TestSentMembersNotAcknowledged(t *testing.T) {
	s := sentMembers{chains: make(map[chainKey]*chain)}
	key := func(i int) chainKey { return chainKey{id.UserID(fmt.Sprint(i)), "D"} }
	half := make([]roomMember, maxChainMembers/2)
	for i := range half {
		half[i] = roomMember{1, int64(i)}
	}
	step := func(upto int64) chainStep { return chainStep{upto: upto, added: half[:len(half)-1], fresh: []int64{1}} }
	s.come(key(0), 1, 0)
	for upto := range int64(4) {
		s.sent(key(0), 1, 0, step(5+upto))
	}
	c := s.chains[key(0)]
	if held := len(c.steps); held != 2 || c.size != 2*len(half) || s.total != c.size {
		t.Errorf("%d answers are kept, of size %d, %d in all", held, c.size, s.total)
	}
	for range 10 {
		s.sent(key(0), 1, 0, step(8)) // the same once more
	}
	if c.size != 2*len(half) {
		t.Errorf("the size is %d, want %d", c.size, 2*len(half))
	}
	s.come(key(0), 1, 8)
	if got := s.unknown(key(0), 1, 8, 1, []int64{1}); len(got) != 0 || s.total != len(half)-1 {
		t.Errorf("%v are unknown, %d in all", got, s.total)
	}
	for i := range 2 * maxSentMembers / maxChainMembers {
		s.come(key(i), 1, 0)
		s.sent(key(i), 1, 0, step(5))
		s.sent(key(i), 1, 0, step(6))
	}
	total := 0
	for _, c := range s.chains {
		total += c.size
	}
	if s.total > maxSentMembers || s.total != total || total == 0 {
		t.Errorf("%d are counted, and %d are there", s.total, total)
	}
}

// TestSentMembersTwice has two answers to one token, of which the client has read either.
func TestSentMembersTwice(t *testing.T) {
	s := sentMembers{chains: make(map[chainKey]*chain)}
	key := chainKey{"@a:b", "D"}
	s.come(key, 1, 0)
	s.sent(key, 1, 0, chainStep{upto: 5, added: []roomMember{{1, 1}, {1, 2}}})
	s.sent(key, 1, 0, chainStep{upto: 5, added: []roomMember{{1, 2}, {1, 3}}})
	s.sent(key, 1, 0, chainStep{upto: 7, added: []roomMember{{1, 4}}})
	s.come(key, 1, 5)
	if got := fmt.Sprint(s.unknown(key, 1, 5, 1, []int64{1, 2, 3, 4})); got != "[1 3 4]" {
		t.Errorf("unknown: %s", got)
	}
	if got := fmt.Sprint(s.unknown(key, 1, 4, 1, []int64{2})); got != "[2]" {
		t.Errorf("unknown at another token: %s", got)
	}
	s.come(key, 1, 7)
	if got := fmt.Sprint(s.unknown(key, 1, 7, 1, []int64{2, 4})); got != "[2 4]" {
		t.Errorf("unknown after a way that was not gone: %s", got)
	}
}
