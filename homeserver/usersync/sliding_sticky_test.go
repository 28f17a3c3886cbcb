package usersync

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"causeway/homeserver/event"
	"causeway/homeserver/store"

	"maunium.net/go/mautrix/id"
)

// stick sends a sticky event.
func (p *place) stick(who id.UserID, text string) *store.Event {
	p.w.t.Helper()
	e := &store.Event{PDU: p.build(body(who, text), p.last.EventID)}
	p.w.write(func(tx *store.Tx) error {
		if err := p.write(tx, e); err != nil {
			return err
		}
		return tx.InsertSticky(p.nid, e.NID, e.Pos, 3_000_000)
	})
	p.last = e
	p.ring(e)
	return e
}

func (w *world) withSticky() {
	w.s = New(Config{DB: w.db, Bus: w.bus, StickyEvents: true, Now: func() time.Time { return time.UnixMilli(2_000_000) }})
}

// stickyClient is a client that keeps the token of sticky events.
type stickyClient struct {
	*device
	since string
	told  map[id.EventID]int // how often, beside the timeline, since its user has come into the room
	seen  map[id.EventID]bool
}

func (c *stickyClient) body(limit, window int) obj {
	sticky := obj{"enabled": true, "limit": limit}
	if c.since != "" {
		sticky["since"] = c.since
	}
	return obj{
		"lists":      obj{"l": obj{"timeline_limit": 1, "range": []int{0, window}, "required_state": obj{}}},
		"extensions": obj{stickyExtension: sticky},
	}
}

// take believes an answer, and tells how many sticky events it has beside timelines.
func (c *stickyClient) take(a *slidingAnswer) (n int) {
	for _, r := range a.Rooms {
		for _, e := range r.Timeline {
			c.seen[e.EventID] = true
		}
	}
	x := a.Extensions.Sticky
	if x == nil {
		return 0
	}
	c.since = x.NextBatch
	for roomID, r := range x.Rooms {
		for _, e := range r.Events {
			c.told[e.EventID]++
			if told := a.Rooms[roomID]; told != nil {
				for _, shown := range told.Timeline {
					if shown.EventID == e.EventID {
						c.w.t.Errorf("%s is in the timeline too", e.EventID)
					}
				}
			}
			n++
		}
	}
	return n
}

// TestSlidingStickyModel has a client come to know all that is sticky, a few events at a time, while rooms go on, answers get lost, and
// its user comes and goes.
func TestSlidingStickyModel(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.withSticky()
		r := rand.New(rand.NewPCG(3, 5))
		places := make([]*place, 4)
		sticky := make(map[*place][]id.EventID)
		for i := range places {
			places[i] = w.room(bob, "shared")
			places[i].join(alice)
		}
		c := &stickyClient{device: w.device(alice, true), told: make(map[id.EventID]int), seen: make(map[id.EventID]bool)}
		for step := range 120 {
			p := places[r.IntN(len(places))]
			switch r.IntN(8) {
			case 0:
				if p.membership(alice) == "join" {
					p.member(alice, alice, "leave")
				} else {
					p.join(alice)
					for _, e := range sticky[p] {
						c.told[e], c.seen[e] = 0, false // and is told of anew
					}
				}
			case 1, 2:
				p.text(bob, "other")
			default:
				sticky[p] = append(sticky[p], p.stick(bob, fmt.Sprint(step)).EventID)
			}
			limit := 1 + r.IntN(3)
			if r.IntN(4) == 0 {
				c.lost(c.body(limit, 1))
			}
			if n := c.take(c.sync(c.body(limit, 1))); n > limit {
				t.Errorf("%d events, want at most %d", n, limit)
			}
		}
		for range 200 {
			if c.take(c.sync(c.body(2, 1))) == 0 {
				break
			}
		}
		for _, p := range places {
			for i, e := range sticky[p] {
				if p.membership(alice) == "join" && c.told[e] != 1 && (c.told[e] != 0 || !c.seen[e]) {
					t.Errorf("%s: event %d is told %d times, in the timeline: %t", p.id, i, c.told[e], c.seen[e])
				}
			}
		}
	})
}

func TestSlidingSticky(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		w.withSticky()
		p, top := w.room(bob, "joined"), w.room(alice, "shared")
		p.stick(bob, "before")
		c := &stickyClient{device: w.device(alice, true), told: make(map[id.EventID]int), seen: make(map[id.EventID]bool)}
		events := func(when string, a *slidingAnswer, p *place, want ...string) {
			t.Helper()
			var got []clientEvent
			if x := a.Extensions.Sticky; x != nil {
				got = x.Rooms[p.id].Events
			}
			wantList(t, when, brief(got), want)
			c.take(a)
		}
		a := c.sync(c.body(100, 0))
		if a.Extensions.Sticky != nil {
			t.Errorf("who is not in the room is told %+v", a.Extensions.Sticky)
		}
		p.join(alice)
		top.text(alice, "to the top")
		events("joined, out of the window", c.sync(c.body(100, 0)), p, "before")
		c.sync(c.body(100, 0))

		s := c.park(c.body(100, 0))
		top.text(alice, "and again")
		events("nothing sticky", answered(s, c.device), p)
		s = c.park(c.body(100, 0))
		p.stick(bob, "one")
		events("in the timeline, which is at the top now", answered(s, c.device), p)
		s = c.park(c.body(100, 0))
		if !s.waiting() {
			t.Error("it does not wait, with nothing to tell")
		}
		top.text(alice, "to the top")
		events("nothing sticky again", answered(s, c.device), p)
		p.stick(bob, "two")
		p.text(bob, "three")
		events("left out of the timeline", c.sync(c.body(100, 0)), p, "two")
		for range 3 {
			p.stick(bob, "many")
		}
		top.text(alice, "to the top")
		for range 3 {
			// The rest does not wait.
			a, took := c.park(c.body(1, 0)).answer()
			if c.pos = a.Pos; took != 0 {
				t.Errorf("it took %v", took)
			}
			events("in parts", a, p, "many")
		}
		w.setData(alice, nil, "m.ignored_user_list", `{"ignored_users":{"@carol:test":{}}}`)
		p.join(carol)
		p.stick(carol, "ignored")
		top.text(alice, "to the top")
		events("of an ignored user", c.sync(c.body(100, 0)), p)
		p.stick(bob, "redacted")
		p.send(say{sender: bob, eventType: event.TypeRedaction, content: obj{"redacts": p.last.EventID}, redacts: p.last.EventID})
		top.text(alice, "to the top")
		events("redacted", c.sync(c.body(100, 0)), p)
		p.member(bob, alice, "leave")
		p.stick(bob, "after")
		events("after she has left", c.sync(c.body(100, 5)), p)

		for _, since := range []string{"x", "s", "s1", "s1_", "s-1_1_1", "1_1_1", "s1_1", "s1_1_x", "s1_1_1_1"} {
			c.since = since
			_, err := c.try(c.body(1, 0))
			wantCode(t, err, "M_INVALID_PARAM")
		}
		w.restart() // without the flag
		events("off", c.sync(c.body(1, 0)), p)
	})
}

func answered(s *parkedSliding, d *device) *slidingAnswer {
	d.w.t.Helper()
	a, _ := s.answer()
	d.pos = a.Pos
	return a
}

// TestSlidingStickyOtherRooms asks for rooms one after the other: of each the client hears what was said before, also when an answer is
// lost, and of what it knows it hears again at most then.
func TestSlidingStickyOtherRooms(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.withSticky()
		var (
			places []*place
			old    []id.EventID
		)
		for i := range 3 {
			p := w.room(bob, "shared")
			p.join(alice)
			old = append(old, p.stick(bob, fmt.Sprint("old ", i)).EventID)
			p.text(bob, "the newest")
			places = append(places, p)
		}
		c := &stickyClient{device: w.device(alice, true), told: make(map[id.EventID]int), seen: make(map[id.EventID]bool)}
		ask := func(rooms ...*place) obj {
			b, subs := c.body(10, 0), obj{}
			for _, p := range rooms {
				subs[string(p.id)] = obj{"timeline_limit": 1, "required_state": obj{}}
			}
			delete(b, "lists")
			b["room_subscriptions"] = subs
			return b
		}
		c.take(c.sync(ask(places[2])))
		told := func(want ...int) {
			t.Helper()
			for i, n := range want {
				if c.told[old[i]] != n {
					t.Errorf("the event of room %d was told %d times, want %d", i, c.told[old[i]], n)
				}
			}
		}
		told(0, 0, 1)
		c.take(c.sync(ask(places[2])))
		told(0, 0, 1)
		c.lost(ask(places[2], places[0]))
		c.take(c.sync(ask(places[2], places[0])))
		told(1, 0, 2)
		for range 3 {
			c.take(c.sync(ask(places[2], places[0])))
		}
		told(1, 0, 2)
		c.take(c.sync(ask(places[1])))
		told(1, 1, 2)
		c.take(c.sync(ask(places[0])))
		told(2, 1, 2) // as it went out of sight meanwhile
	})
}
