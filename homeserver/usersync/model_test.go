package usersync

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"causeway/homeserver/sqldb"

	"maunium.net/go/mautrix/id"
)

// model is a client that believes what it is told: it keeps a room's state and timeline from the answers of /sync, and fills
// the gaps with /messages.
type model struct {
	*client
	p        *place
	state    map[[2]string]id.EventID
	timeline []id.EventID
	joined   bool
}

func (m *model) sync() {
	m.w.t.Helper()
	since := m.req.Since
	a := m.client.sync()
	if r := a.Rooms.Join[m.p.id]; r != nil {
		m.apply(r, since, m.joined)
		m.joined = true
	}
	if r := a.Rooms.Leave[m.p.id]; r != nil {
		m.apply(r, since, m.joined)
		m.joined = false
	}
}

func (m *model) apply(r *roomAnswer, since string, before bool) {
	m.w.t.Helper()
	changes := r.StateAfter
	if changes == nil {
		changes = &eventList{Events: append(slices.Clone(r.State.Events), r.Timeline.Events...)}
	}
	for _, e := range changes.Events {
		if e.StateKey != nil {
			m.state[[2]string{e.Type, *e.StateKey}] = e.EventID
		}
	}
	var events []id.EventID
	for _, e := range r.Timeline.Events {
		events = append(events, e.EventID)
	}
	if r.Timeline.Limited && before {
		events = append(m.fill(r.Timeline.PrevBatch, since), events...)
	}
	m.timeline = append(m.timeline, events...)
}

// fill reads a gap, backwards.
func (m *model) fill(from, to string) []id.EventID {
	m.w.t.Helper()
	var gap []id.EventID
	for range 1000 {
		page := m.w.page(MessagesRequest{Viewer: Viewer{User: m.req.User}, RoomID: m.p.id, From: from, To: to, Backwards: true, Limit: 3})
		for _, e := range page.Chunk {
			gap = append(gap, e.EventID)
		}
		if from = page.End; from == "" {
			slices.Reverse(gap)
			return gap
		}
	}
	m.w.t.Fatal("a gap without end")
	return nil
}

// TestModel lets clients of several kinds sync at random times while a room goes on, and compares what they know in the end
// with what is true.
func TestModel(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		for _, tt := range []struct {
			name        string
			leaving     bool
			rounds, ops int
		}{{"staying", false, 2, 80}, {"leaving", true, 3, 80}} {
			if w.db.Engine() == sqldb.Postgres {
				tt.rounds = 1 // each row is a round trip, and the logic is the same
			}
			for round := range tt.rounds {
				random := rand.New(rand.NewPCG(uint64(round), uint64(tt.ops)))
				p := w.room(alice, "shared")
				models := p.models()
				for range tt.ops {
					p.send(p.anything(random, tt.leaving))
					for _, m := range models {
						if random.IntN(6) == 0 {
							m.sync()
						}
					}
				}
				if tt.leaving {
					p.join(alice)
				}
				for i, m := range models {
					m.sync()
					m.check(fmt.Sprintf("%s, round %d, model %d", tt.name, round, i), tt.leaving)
				}
			}
		}
	})
}

// models returns clients of several kinds.
func (p *place) models() (models []*model) {
	p.w.t.Helper()
	for _, stateAfter := range []string{"", StateAfter} {
		for _, limit := range []int{1, 2, 5, 100} {
			m := &model{client: p.w.client(alice), p: p, state: make(map[[2]string]id.EventID)}
			m.filter(fmt.Sprintf(`{"room":{"timeline":{"limit":%d}}}`, limit))
			m.req.StateAfter = stateAfter
			models = append(models, m)
		}
	}
	return models
}

// anything is something that may happen in the room.
func (p *place) anything(r *rand.Rand, leaving bool) say {
	who := []id.UserID{bob, carol, "@d:test"}[r.IntN(3)]
	switch r.IntN(8) {
	case 0:
		return p.topic(fmt.Sprint(r.IntN(100)))
	case 1:
		return say{sender: alice, eventType: "x.y", key: key(fmt.Sprint(r.IntN(3))), content: obj{"v": r.IntN(100)}}
	case 2, 3:
		return membership(who, who, []string{"join", "leave"}[r.IntN(2)])
	case 4:
		if leaving {
			return membership(alice, alice, []string{"join", "leave"}[r.IntN(2)])
		}
	}
	return body(who, "text")
}

func (m *model) check(name string, leaving bool) {
	t := m.w.t
	t.Helper()
	want := make(map[[2]string]id.EventID)
	for k, e := range m.p.state {
		want[k] = e.EventID
	}
	if !maps.Equal(m.state, want) {
		t.Errorf("%s: state %v, want %v", name, m.state, want)
	}
	if leaving {
		return // coming back shows older events again
	}
	var all []id.EventID
	for from := ""; ; {
		page := m.w.page(MessagesRequest{Viewer: Viewer{User: alice}, RoomID: m.p.id, From: from, Limit: 17})
		for _, e := range page.Chunk {
			all = append(all, e.EventID)
		}
		if from = page.End; from == "" {
			break
		}
	}
	// It may begin late, but nothing is missing from then on, and nothing is there twice.
	if len(m.timeline) == 0 || !slices.Equal(m.timeline, all[max(0, len(all)-len(m.timeline)):]) {
		t.Errorf("%s: timeline %v, want %v", name, m.timeline, all)
	}
}
