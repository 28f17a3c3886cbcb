package usersync

import (
	"context"
	"fmt"
	"hash/fnv"
	"maps"
	"math/rand/v2"
	"testing"

	"causeway/homeserver/event"
	"causeway/homeserver/sqldb"
	"causeway/homeserver/store"

	"maunium.net/go/mautrix/id"
)

// branch is one of the ends of a room that has forked, with the state there.
type branch struct {
	last    *store.Event
	state   map[[2]string]*store.Event
	stateID int64
}

// fork makes the room have n branches that begin at its end.
func (p *place) fork(n int) []*branch {
	branches := make([]*branch, n)
	for i := range branches {
		branches[i] = &branch{last: p.last, state: maps.Clone(p.state), stateID: p.stateID}
	}
	return branches
}

// on writes an event at the end of the first of branches, with the others being there too, after which the room's state is now.
func (p *place) on(branches []*branch, s say, resolve func([]*branch) map[[2]string]*store.Event) *store.Event {
	p.w.t.Helper()
	b := branches[0]
	row := &store.Event{PDU: p.build(s, b.last.EventID)}
	err := p.w.db.Write(context.Background(), func(tx *store.Tx) (err error) {
		if row.NID, err = tx.NextPos(); err != nil {
			return err
		}
		row.Pos, row.RoomNID, row.StateBefore, row.StateAfter = row.NID, p.nid, b.stateID, b.stateID
		state := maps.Clone(b.state)
		if s.key != nil {
			at := [2]string{s.eventType, *s.key}
			if old := b.state[at]; old != nil {
				row.Replaces = old.NID
			}
			state[at] = row
			place, err := tx.StateNID(at[0], at[1])
			if err != nil {
				return err
			}
			if row.StateAfter, err = tx.InsertStateSet(p.nid, b.stateID, store.StateSet{place: row.NID}); err != nil {
				return err
			}
		}
		if err := tx.InsertEvent(row); err != nil {
			return err
		}
		next := append([]*branch{{last: row, state: state, stateID: row.StateAfter}}, branches[1:]...)
		return p.settle(tx, row, resolve(next))
	})
	if err != nil {
		p.w.t.Fatal(err)
	}
	b.last, b.stateID = row, row.StateAfter
	if s.key != nil {
		b.state[[2]string{s.eventType, *s.key}] = row
	}
	p.state = resolve(branches)
	p.w.view(func(tx *store.Tx) (err error) {
		p.stateID, err = tx.StateIDAt(p.nid, row.Pos)
		return err
	})
	p.last = row
	p.ring(row)
	return row
}

// settle makes now the room's state, from the position of row on.
func (p *place) settle(tx *store.Tx, row *store.Event, now map[[2]string]*store.Event) error {
	changes := store.StateSet{}
	for at := range keysOf(p.state, now) {
		e := now[at]
		if e != nil && p.state[at] != nil && e.NID == p.state[at].NID || e == nil && p.state[at] == nil {
			continue
		}
		place, err := tx.StateNID(at[0], at[1])
		if err != nil {
			return err
		}
		if changes[place] = 0; e == nil {
			err = tx.ClearCurrentState(p.nid, place)
		} else {
			changes[place] = e.NID
			err = tx.SetCurrentState(p.nid, place, e.NID)
		}
		if err != nil {
			return err
		}
		if at[0] != event.TypeMember {
			continue
		}
		m := store.Membership{RoomNID: p.nid, UserNID: place.Key, Membership: event.MembershipLeave, Pos: row.Pos}
		if e != nil {
			m.Membership, m.EventNID = e.Membership(), e.NID
		}
		if err = tx.SetMembership(m); err != nil {
			return err
		}
	}
	if len(changes) == 0 {
		return nil
	}
	setID, err := tx.InsertStateSet(p.nid, p.stateID, changes)
	if err != nil {
		return err
	}
	return tx.SetRoomState(p.nid, row.Pos, setID)
}

func keysOf(a, b map[[2]string]*store.Event) map[[2]string]bool {
	all := make(map[[2]string]bool)
	for k := range a {
		all[k] = true
	}
	for k := range b {
		all[k] = true
	}
	return all
}

// byLot is a resolution of states that knows no rules: of the events that stand for a place an arbitrary one wins, always the same of
// the same, or nothing does.
func byLot(branches []*branch) map[[2]string]*store.Event {
	now := make(map[[2]string]*store.Event)
	for _, b := range branches {
		for at, e := range b.state {
			if now[at] == nil || lot(e) > lot(now[at]) {
				now[at] = e
			}
		}
	}
	for at, e := range now {
		for _, b := range branches {
			if b.state[at] != e && (at[0] == "x.y" || at[0] == event.TypeMember) && lot(e)%4 == 0 {
				delete(now, at)
			}
		}
	}
	return now
}

func lot(e *store.Event) uint32 {
	h := fnv.New32()
	_, _ = h.Write([]byte(e.EventID)) // never fails
	return h.Sum32()
}

// newest is a resolution by which the last to come wins.
func newest(branches []*branch) map[[2]string]*store.Event {
	now := make(map[[2]string]*store.Event)
	for _, b := range branches {
		for at, e := range b.state {
			if now[at] == nil || e.NID > now[at].NID {
				now[at] = e
			}
		}
	}
	return now
}

// oldest is a resolution by which the first to come wins, and only what all agree is there.
func oldest(branches []*branch) map[[2]string]*store.Event {
	now := maps.Clone(branches[0].state)
	for _, b := range branches[1:] {
		maps.DeleteFunc(now, func(at [2]string, _ *store.Event) bool { return b.state[at] == nil })
		for at, e := range b.state {
			if now[at] != nil && e.NID < now[at].NID {
				now[at] = e
			}
		}
	}
	return now
}

func (p *place) topic(s string) say {
	return say{sender: alice, eventType: "m.room.topic", key: key(""), content: obj{"topic": s}}
}

func body(sender id.UserID, s string) say {
	return say{sender: sender, eventType: "m.room.message", content: obj{"body": s}}
}

func membership(by, user id.UserID, s string) say {
	return say{sender: by, eventType: event.TypeMember, key: key(string(user)), content: obj{"membership": s}}
}

// TestLost has state events come that lose to those of another branch. Only state_after can say so while it shows them.
func TestLost(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		p := w.room(alice, "shared")
		classic, after := w.client(alice), w.client(alice)
		after.req.StateAfter = StateAfter
		classic.sync()
		after.sync()
		b := p.fork(2)
		p.on([]*branch{b[0], b[1]}, p.topic("one"), newest)
		p.on([]*branch{b[1], b[0]}, p.topic("two"), oldestTopic)
		p.on([]*branch{b[1], b[0]}, body(alice, "three"), oldestTopic)

		r := classic.sync().joined(t, p)
		wantList(t, "timeline", brief(r.Timeline.Events), list("three"))
		wantList(t, "state", brief(r.State.Events), list("topic=one"))
		if !r.Timeline.Limited {
			t.Error("nothing says that there is more")
		}
		gap := w.page(MessagesRequest{Viewer: Viewer{User: alice}, RoomID: p.id, From: r.Timeline.PrevBatch, Backwards: true, Limit: 2})
		wantList(t, "gap", gap.brief(), list("topic=two", "topic=one"))

		r = after.sync().joined(t, p)
		wantList(t, "timeline with state_after", brief(r.Timeline.Events), list("topic=one", "topic=two", "three"))
		wantList(t, "state_after", brief(r.StateAfter.Events), list("topic=one"))
		if r.Timeline.Limited {
			t.Error("the timeline with state_after is limited")
		}

		// With nothing after it, the gap is all there is to tell.
		p.on([]*branch{b[1], b[0]}, p.topic("four"), oldestTopic)
		r = classic.sync().joined(t, p)
		wantList(t, "empty timeline", brief(r.Timeline.Events), list())
		wantList(t, "empty state", brief(r.State.Events), list())
		if !r.Timeline.Limited {
			t.Error("nothing tells of the event")
		}
		wantList(t, "initial", brief(w.client(alice).sync().joined(t, p).State.Events),
			list("create", "alice:join", "history_visibility=shared", "topic=one"))
	})
}

// oldestTopic is newest, but for the topic.
func oldestTopic(branches []*branch) map[[2]string]*store.Event {
	now, at := newest(branches), [2]string{"m.room.topic", ""}
	now[at] = oldest(branches)[at]
	return now
}

// TestMembershipByResolution has users be moved in and out of a room by what becomes of its branches, and not by an event that comes
// at that moment.
func TestMembershipByResolution(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		p := w.room(alice, "joined")
		p.set(alice, "m.room.name", "", obj{"name": "N"})
		p.join(bob)
		b, c := w.client(bob), w.client(carol)
		b.sync()
		c.sync()
		branches := p.fork(2)
		here, there := []*branch{branches[0], branches[1]}, []*branch{branches[1], branches[0]}
		ban := p.on(here, membership(alice, bob, "ban"), oldest)
		p.on(here, membership(alice, carol, "invite"), oldest)
		p.on(there, body(alice, "one"), oldest)
		r := b.sync().joined(t, p)
		wantList(t, "bob, in spite of the ban", brief(r.Timeline.Events), list("one"))
		if a := c.sync(); !a.empty() {
			t.Errorf("carol hears of %+v", a)
		}

		p.on(there, body(alice, "two"), newest)
		p.on(there, body(alice, "three"), newest)
		r = b.sync().left(t, p)
		wantList(t, "bob, when the ban won", brief(r.Timeline.Events), list("two"))
		wantList(t, "bob, when the ban won: state", brief(r.State.Events), list("bob:ban", "carol:invite"))
		wantList(t, "bob's page", w.page(MessagesRequest{Viewer: Viewer{User: bob}, RoomID: p.id, Limit: 50}).brief(),
			list("create", "alice:join", "history_visibility=joined", "bob:join", "bob:ban", "one", "two"))
		if raw, err := w.s.StateEvent(context.Background(), Viewer{User: bob}, p.id, event.TypeMember, string(bob), false); err != nil ||
			string(raw) != `{"membership":"ban"}` {
			t.Errorf("bob's membership is %s, %v", raw, err)
		}
		invite := c.sync().Rooms.Invite[p.id]
		if invite == nil {
			t.Fatal("carol is not invited")
		}
		wantList(t, "carol's invitation", brief(invite.InviteState.Events), list("create", "alice:join", "name=N", "carol:invite"))

		p.on(there, body(alice, "four"), oldest)
		r = b.sync().joined(t, p)
		wantList(t, "bob, when it lost again", brief(r.Timeline.Events), list("one", "two", "three", "four"))
		if !r.Timeline.Limited {
			t.Error("bob has been away, and his timeline is not limited")
		}
		if _, err := w.s.Event(context.Background(), Viewer{User: bob}, p.id, ban.EventID); err != nil {
			t.Errorf("bob's own ban: %v", err)
		}
	})
}

// TestStateWithoutAPlace has events in the current state that have no place in the timeline.
func TestStateWithoutAPlace(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := context.Background()
		p := w.room(alice, "shared")
		p.join(bob)
		b, c := w.client(bob), w.client(carol)
		b.sync()
		c.sync()
		var bans []*store.Event
		for _, user := range []id.UserID{bob, carol} {
			e := &store.Event{PDU: p.build(membership(alice, user, "ban"), p.last.EventID), RoomNID: p.nid, Status: store.SoftFailed}
			e.StateBefore, e.StateAfter = p.stateID, p.stateID
			if err := w.db.Write(ctx, func(tx *store.Tx) (err error) {
				if e.NID, err = tx.NextPos(); err != nil {
					return err
				}
				return tx.InsertEvent(e)
			}); err != nil {
				t.Fatal(err)
			}
			bans = append(bans, e)
		}
		p.on(p.fork(1), body(alice, "one"), func(b []*branch) map[[2]string]*store.Event {
			now := maps.Clone(b[0].state)
			for _, e := range bans {
				now[[2]string{e.Type, *e.StateKey}] = e
			}
			return now
		})
		r := b.sync().left(t, p)
		wantList(t, "bob's timeline", brief(r.Timeline.Events), list("one"))
		wantList(t, "bob's state", brief(r.State.Events), list("bob:ban", "carol:ban"))
		r = c.sync().left(t, p)
		wantList(t, "carol's timeline", brief(r.Timeline.Events), list())
		wantList(t, "carol's state", brief(r.State.Events), list("carol:ban"))

		r = w.client(alice).sync().joined(t, p)
		wantList(t, "alice's timeline", brief(r.Timeline.Events), list("one"))
		wantList(t, "alice's state", brief(r.State.Events), list("bob:ban", "carol:ban", "create", "alice:join", "history_visibility=shared"))
		_, err := w.s.Event(ctx, Viewer{User: alice}, p.id, bans[0].EventID)
		wantCode(t, err, "M_NOT_FOUND")
		_, err = w.s.Context(ctx, Viewer{User: alice}, p.id, bans[0].EventID, 3, nil)
		wantCode(t, err, "M_NOT_FOUND")
		var whole clientEvent
		raw, err := w.s.StateEvent(ctx, Viewer{User: alice}, p.id, event.TypeMember, string(bob), true)
		if err != nil {
			t.Fatal(err)
		}
		w.unmarshal(raw, &whole)
		if whole.EventID != bans[0].EventID || whole.Unsigned["membership"] != nil {
			t.Errorf("got %+v", whole)
		}
	})
}

// TestModelOfForks is TestModel in rooms that fork and come together again, in which state is lost, won back, and taken away.
func TestModelOfForks(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		for _, tt := range []struct {
			name        string
			leaving     bool
			rounds, ops int
		}{{"staying", false, 2, 80}, {"leaving", true, 2, 80}} {
			if w.db.Engine() == sqldb.Postgres {
				tt.rounds = 1 // each row is a round trip, and the logic is the same
			}
			for round := range tt.rounds {
				random := rand.New(rand.NewPCG(uint64(round), uint64(tt.ops)))
				p := w.room(alice, "shared")
				models := p.models()
				branches := p.fork(1)
				gone := make(map[[2]string]bool) // what was taken away at some time
				for range tt.ops {
					if random.IntN(10) == 0 {
						branches = p.fork(1 + random.IntN(3))
					}
					random.Shuffle(len(branches), func(i, j int) { branches[i], branches[j] = branches[j], branches[i] })
					before := p.state
					p.on(branches, p.anything(random, tt.leaving), byLot)
					for at := range before {
						gone[at] = gone[at] || p.state[at] == nil
					}
					for _, m := range models {
						if random.IntN(6) != 0 {
							continue
						}
						m.sync()
						now := p.state[[2]string{event.TypeMember, string(alice)}]
						if want := now != nil && now.Membership() == event.MembershipJoin; m.joined != want {
							t.Fatalf("%s, round %d: is alice in the room: %t, want %t", tt.name, round, m.joined, want)
						}
					}
				}
				p.stateID = p.currentState()
				if tt.leaving {
					p.join(alice)
				}
				for i, m := range models {
					m.sync()
					// No answer can say that a place is empty again.
					for at := range m.state {
						if gone[at] && p.state[at] == nil {
							delete(m.state, at)
						}
					}
					m.check(fmt.Sprintf("%s, round %d, model %d", tt.name, round, i), tt.leaving)
				}
			}
		}
	})
}

func (p *place) currentState() (stateID int64) {
	p.w.view(func(tx *store.Tx) error {
		room, err := tx.RoomByNID(p.nid)
		if err == nil {
			stateID = room.StateID
		}
		return err
	})
	return stateID
}
