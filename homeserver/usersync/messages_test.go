package usersync

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// TestPages checks that pages of any size, put together, are the whole timeline, in both directions.
func TestPages(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		p := w.room(alice, "shared")
		other := w.room(alice, "shared")
		want := list("create", "alice:join", "history_visibility=shared")
		random := rand.New(rand.NewPCG(1, 2))
		for i := range 40 {
			if random.IntN(4) == 0 {
				other.text(alice, "elsewhere")
			}
			want = append(want, fmt.Sprintf("m%d", i))
			p.text(alice, want[len(want)-1])
		}
		for _, backwards := range []bool{false, true} {
			expect := slices.Clone(want)
			if backwards {
				slices.Reverse(expect)
			}
			for _, limit := range []int{1, 2, 3, 7, 10, 42, 43, 44, 100, 5000} {
				got := w.pages(t, MessagesRequest{Viewer: Viewer{User: alice}, RoomID: p.id, Backwards: backwards, Limit: limit})
				wantList(t, fmt.Sprintf("limit %d, backwards %v", limit, backwards), got, expect)
			}
		}
	})
}

// pages puts all pages together.
func (w *world) pages(t *testing.T, req MessagesRequest) []string {
	t.Helper()
	var got []string
	for range 200 {
		page := w.page(req)
		if req.From != "" && page.Start != req.From {
			t.Errorf("start %q, want %q", page.Start, req.From)
		}
		if len(page.Chunk) > req.Limit {
			t.Errorf("%d events, with limit %d", len(page.Chunk), req.Limit)
		}
		got = append(got, page.brief()...)
		if page.End == "" {
			return got
		}
		req.From = page.End
	}
	t.Fatal("there is no end of pages")
	return nil
}

func TestPageRanges(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		p := w.room(alice, "shared")
		one := p.text(alice, "one")
		p.text(alice, "two")
		three := p.text(alice, "three")
		p.text(alice, "four")
		v := Viewer{User: alice}
		for _, tt := range []struct {
			name     string
			req      MessagesRequest
			want     []string
			followed bool // by an end
		}{
			{"f between", MessagesRequest{From: token(one.Pos), To: token(three.Pos), Limit: 9}, list("two", "three"), true},
			{"b between", MessagesRequest{From: token(three.Pos), To: token(one.Pos), Limit: 9, Backwards: true}, list("three", "two"), true},
			{"f empty", MessagesRequest{From: token(three.Pos), To: token(three.Pos), Limit: 9}, list(), false},
			{"b empty", MessagesRequest{From: token(three.Pos), To: token(three.Pos), Limit: 9, Backwards: true}, list(), false},
			{"f wrong way round", MessagesRequest{From: token(three.Pos), To: token(one.Pos), Limit: 9}, list(), false},
			{"f to the end", MessagesRequest{From: token(three.Pos), Limit: 9}, list("four"), false},
			{"f from the future", MessagesRequest{From: "s99999", Limit: 9}, list(), false},
			{"b from the future", MessagesRequest{From: "s99999", Limit: 1, Backwards: true}, list("four"), true},
			{"b from the start", MessagesRequest{From: "s0", Limit: 9, Backwards: true}, list(), false},
			{"limit 0", MessagesRequest{Limit: 0}, list(), true},
		} {
			tt.req.Viewer, tt.req.RoomID = v, p.id
			page := w.page(tt.req)
			wantList(t, tt.name, page.brief(), tt.want)
			if (page.End != "") != tt.followed {
				t.Errorf("%s: end %q", tt.name, page.End)
			}
		}
		for _, bad := range []MessagesRequest{{From: "x"}, {To: "s"}, {From: "s1", To: "t1"}} {
			bad.Viewer, bad.RoomID = v, p.id
			_, err := w.s.Messages(context.Background(), bad)
			wantCode(t, err, "M_INVALID_PARAM")
		}
	})
}

func TestPagesOfALeftRoom(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		p := w.room(alice, "world_readable")
		p.text(alice, "one")
		p.join(bob)
		p.member(alice, bob, "leave")
		p.text(alice, "two")
		p.member(alice, bob, "ban")
		req := MessagesRequest{Viewer: Viewer{User: bob}, RoomID: p.id, Backwards: true, Limit: 3}
		wantList(t, "pages", w.pages(t, req), list("bob:leave", "bob:join", "one", "history_visibility=world_readable", "alice:join", "create"))
		req.Backwards = false
		req.From = token(p.last.Pos)
		wantList(t, "after", w.page(req).brief(), list())
	})
}

func TestPageFilter(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		p := w.room(alice, "shared")
		p.join(bob, carol)
		for i := range 130 { // more than one scan
			p.text(alice, fmt.Sprintf("a%d", i))
			if i%50 == 0 {
				p.text(bob, fmt.Sprintf("b%d", i))
			}
		}
		filter, err := ParseEventFilter(`{"senders": ["@bob:test"], "types": ["m.room.m*e"], "lazy_load_members": true}`)
		if err != nil {
			t.Fatal(err)
		}
		req := MessagesRequest{Viewer: Viewer{User: alice}, RoomID: p.id, Backwards: true, Limit: 2, Filter: filter}
		wantList(t, "pages", w.pages(t, req), list("b100", "b50", "b0"))
		wantList(t, "members", brief(w.page(req).State), list("bob:join"))
		filter.NotRooms = append(filter.NotRooms, p.id)
		if page := w.page(req); len(page.Chunk) != 0 || page.End != "" {
			t.Errorf("a room that the filter leaves out: %+v", page)
		}
	})
}

func TestContext(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		p := w.room(alice, "shared")
		p.join(bob)
		p.texts(alice, "a", 3)
		e := p.text(bob, "here")
		p.texts(alice, "z", 3)
		p.set(alice, "m.room.topic", "", obj{"topic": "T"})
		ask := func(limit int, filter string) (c struct {
			Start  string        `json:"start"`
			End    string        `json:"end"`
			Before []clientEvent `json:"events_before"`
			Event  clientEvent   `json:"event"`
			After  []clientEvent `json:"events_after"`
			State  []clientEvent `json:"state"`
		}) {
			t.Helper()
			f, err := ParseEventFilter(filter)
			if err != nil {
				t.Fatal(err)
			}
			raw, err := w.s.Context(context.Background(), Viewer{User: alice}, p.id, e.EventID, limit, f)
			if err != nil {
				t.Fatal(err)
			}
			w.unmarshal(raw, &c)
			return c
		}
		c := ask(5, "")
		wantList(t, "before", brief(c.Before), list("a2", "a1"))
		wantList(t, "event", list(briefOne(c.Event)), list("here"))
		wantList(t, "after", brief(c.After), list("z0", "z1", "z2"))
		wantList(t, "state", brief(c.State), list("create", "alice:join", "history_visibility=shared", "bob:join"))
		if c.Event.RoomID != p.id {
			t.Errorf("room_id %q", c.Event.RoomID)
		}
		next := MessagesRequest{Viewer: Viewer{User: alice}, RoomID: p.id, From: c.End, Limit: 1}
		wantList(t, "from end", w.page(next).brief(), list("topic=T"))
		next.From, next.Backwards = c.Start, true
		wantList(t, "from start", w.page(next).brief(), list("a0"))

		c = ask(0, `{"lazy_load_members": true}`)
		wantList(t, "nothing around", append(brief(c.Before), brief(c.After)...), list())
		wantList(t, "lazy state", brief(c.State), list("create", "history_visibility=shared", "bob:join"))
		c = ask(100, "")
		wantList(t, "state at the end", brief(c.State), list("create", "alice:join", "history_visibility=shared", "bob:join", "topic=T"))
	})
}
