package usersync

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"causeway/homeserver/event"
	"causeway/homeserver/sqldb"
	"causeway/homeserver/store"

	"maunium.net/go/mautrix/id"
)

// modelConfig is something of required_state, in both forms, and what it means.
type modelConfig struct {
	name    string
	stable  obj
	old     [][]string
	matches func(eventType, key string) bool
	lazy    bool
}

func isType(names ...string) func(string, string) bool {
	return func(eventType, _ string) bool { return slices.Contains(names, eventType) }
}

var modelConfigs = []modelConfig{
	{"nothing", obj{}, [][]string{}, func(string, string) bool { return false }, false},
	{"create and topic", obj{"include": []obj{{"type": "m.room.create"}, {"type": "m.room.topic", "state_key": ""}}},
		[][]string{{"m.room.create", "*"}, {"m.room.topic", ""}}, isType("m.room.create", "m.room.topic"), false},
	{"a type", obj{"include": []obj{{"type": "x.y"}}}, [][]string{{"x.y", "*"}}, isType("x.y"), false},
	{"a key", obj{"include": []obj{{"type": "x.y", "state_key": "1"}}}, [][]string{{"x.y", "1"}},
		func(eventType, key string) bool { return eventType == "x.y" && key == "1" }, false},
	{"any type", obj{"include": []obj{{"state_key": "1"}}}, [][]string{{"*", "1"}}, func(_, key string) bool { return key == "1" }, false},
	{"all", obj{"include": []obj{{}}}, [][]string{{"*", "*"}}, func(string, string) bool { return true }, false},
	{"lazy", obj{"include": []obj{{}}, "lazy_members": true}, [][]string{{"*", "*"}, {"m.room.member", "$LAZY"}},
		func(eventType, _ string) bool { return eventType != event.TypeMember }, true},
	{"lazy and me", obj{"include": []obj{{"type": "m.room.member", "state_key": string(alice)}}, "lazy_members": true},
		[][]string{{"m.room.member", "$ME"}, {"m.room.member", "$LAZY"}},
		func(eventType, key string) bool { return eventType == event.TypeMember && key == string(alice) }, true},
}

// modelRule is a list, or a subscription.
type modelRule struct {
	config     *modelConfig
	limit      int
	from, upto int // of a list
}

// modelRoom is what a client believes of a room.
type modelRoom struct {
	membership string
	member     id.EventID // that holds it
	timeline   []id.EventID
	state      map[[2]string]id.EventID
	stripped   bool
	receipts   map[id.UserID]id.EventID // of m.read
	typing     []id.UserID
}

// slidingModel is a client that believes what it is told by sliding sync.
type slidingModel struct {
	*device
	r      *rand.Rand
	places []*place
	lists  map[string]*modelRule
	subs   map[*place]*modelRule
	rooms  map[id.RoomID]*modelRoom
	typing *modelTyping
	bound  int                   // bytes of an answer, 0 for what is the case otherwise
	forgot map[*place]id.EventID // the membership with which alice has forgotten a room
}

// change makes the client want something else.
func (m *slidingModel) change() {
	rule := func() *modelRule {
		from := m.r.IntN(3)
		return &modelRule{
			config: &modelConfigs[m.r.IntN(len(modelConfigs))], limit: []int{0, 1, 2, 4, 30}[m.r.IntN(5)], from: from, upto: from + m.r.IntN(4),
		}
	}
	switch m.r.IntN(4) {
	case 0:
		m.lists = map[string]*modelRule{}
		for i := range m.r.IntN(3) {
			m.lists[fmt.Sprint("list", i)] = rule()
		}
	case 1, 2:
		p := m.places[m.r.IntN(len(m.places))]
		if m.subs[p] != nil {
			delete(m.subs, p)
		} else {
			m.subs[p] = rule()
		}
	case 3:
		for _, l := range m.lists {
			l.upto++
		}
	}
}

func (m *slidingModel) body() obj {
	form := func(c *modelRule) obj {
		o := obj{"timeline_limit": c.limit, "required_state": c.config.stable}
		if !m.stable {
			o["required_state"] = c.config.old
		}
		return o
	}
	lists, subs := obj{}, obj{}
	for name, l := range m.lists {
		o := form(l)
		if m.stable {
			o["range"] = []int{l.from, l.upto}
		} else {
			o["ranges"] = [][]int{{l.from, l.upto}}
		}
		lists[name] = o
	}
	for p, s := range m.subs {
		subs[string(p.id)] = form(s)
	}
	on := obj{"enabled": true}
	return obj{"lists": lists, "room_subscriptions": subs, "conn_id": "model", "extensions": obj{"receipts": on, "typing": on}}
}

// wants returns the rules that hold for each room that alice is in, by what is true.
func (m *slidingModel) wants() map[*place][]*modelRule {
	last := func(p *place) int64 {
		if p.membership(alice) == "join" {
			return p.last.Pos
		}
		return p.state[[2]string{event.TypeMember, string(alice)}].Pos
	}
	var ordered []*place
	for _, p := range m.places {
		if mem := p.membership(alice); mem == "join" || mem == "invite" || m.listedLeft(p) {
			ordered = append(ordered, p)
		}
	}
	slices.SortFunc(ordered, func(a, b *place) int { return cmp.Compare(last(b), last(a)) })
	all := make(map[*place][]*modelRule)
	for _, l := range m.lists {
		for i, p := range ordered {
			if i >= l.from && i <= l.upto {
				all[p] = append(all[p], l)
			}
		}
	}
	for p, s := range m.subs {
		if !m.forgotten(p) {
			all[p] = append(all[p], s)
		}
	}
	return all
}

// listedLeft tells whether a room that alice is not in is in the list of rooms.
func (m *slidingModel) listedLeft(p *place) bool {
	e := p.state[[2]string{event.TypeMember, string(alice)}]
	if e == nil {
		return false
	}
	told := m.rooms[p.id]
	return told != nil && told.member != e.EventID || e.Sender != alice && !m.forgotten(p)
}

func (m *slidingModel) forgotten(p *place) bool {
	e := p.state[[2]string{event.TypeMember, string(alice)}]
	return e != nil && m.forgot[p] == e.EventID
}

// forget has alice forget a room that she is not in.
func (m *slidingModel) forget(p *place) {
	m.w.write(func(tx *store.Tx) error { return tx.Forget(p.nid, m.w.nid(alice)) })
	m.forgot[p] = p.state[[2]string{event.TypeMember, string(alice)}].EventID
}

// checkSeats compares the memberships that the connection has kept with what is true.
func (m *slidingModel) checkSeats() {
	m.w.t.Helper()
	kept := m.w.s.slidings.all[connKey{alice, m.name, "model"}].seats
	m.w.view(func(tx *store.Tx) error {
		upto, err := tx.StreamPos()
		if err != nil || kept.asOf != upto {
			return err
		}
		seats, err := tx.SlidingSeats(m.w.nid(alice))
		if len(seats) != len(kept.all) {
			m.w.t.Errorf("%d memberships, and %d are kept", len(seats), len(kept.all))
		}
		for _, seat := range seats {
			if got := kept.all[seat.RoomNID]; got == nil || *got != seat {
				m.w.t.Errorf("kept is %+v, want %+v", got, seat)
			}
		}
		return err
	})
}

func (p *place) membership(user id.UserID) string {
	if e := p.state[[2]string{event.TypeMember, string(user)}]; e != nil {
		return e.Membership()
	}
	return ""
}

// required tells whether a place of a room's state is told always.
func (m *slidingModel) required(wants map[*place][]*modelRule, roomID id.RoomID, k [2]string) bool {
	for p, rules := range wants {
		if p.id == roomID {
			return slices.ContainsFunc(rules, func(r *modelRule) bool { return r.config.matches(k[0], k[1]) })
		}
	}
	return false
}

// apply has the client believe an answer.
func (m *slidingModel) apply(wants map[*place][]*modelRule, a *slidingAnswer) {
	t := m.w.t
	t.Helper()
	for roomID, r := range a.Rooms {
		known := m.rooms[roomID]
		if known == nil && !r.Initial {
			t.Fatalf("%s is new and not initial", roomID)
		}
		if r.Initial || known == nil {
			typing := []id.UserID(nil)
			if known != nil {
				typing = known.typing // is no part of the room's data
			}
			known = &modelRoom{state: map[[2]string]id.EventID{}, receipts: map[id.UserID]id.EventID{}, typing: typing}
			m.rooms[roomID] = known
		}
		known.stripped = r.Stripped != nil || r.InviteState != nil
		var events []id.EventID
		for _, e := range r.Timeline {
			events = append(events, e.EventID)
		}
		switch {
		case r.Initial:
			known.timeline = events
		case r.Expanded || r.OldExpanded, r.Limited:
			known.timeline = events
			if r.Limited && !r.Expanded && !r.OldExpanded {
				// Clients forget members that were loaded lazily.
				maps.DeleteFunc(known.state, func(k [2]string, _ id.EventID) bool {
					return k[0] == event.TypeMember && !m.required(wants, roomID, k)
				})
			}
		default:
			for _, e := range events {
				if slices.Contains(known.timeline, e) {
					t.Errorf("%s is told again", e)
				}
			}
			known.timeline = append(known.timeline, events...)
		}
		for _, e := range r.Required {
			k := [2]string{e.Type, *e.StateKey}
			known.state[k] = e.EventID
		}
		known.membership = ""
		for _, p := range m.places {
			if p.id == roomID {
				known.membership, known.member = p.membership(alice), p.state[[2]string{event.TypeMember, string(alice)}].EventID
			}
		}
		if m.stable && r.Membership != known.membership {
			t.Errorf("membership %q, want %q", r.Membership, known.membership)
		}
	}
	m.applyEphemeral(a)
}

// check compares what the client believes with what is true, for the rooms that it wants to know of; with partly, for those alone
// of which the answer tells.
func (m *slidingModel) check(wants map[*place][]*modelRule, a *slidingAnswer, partly bool) {
	t := m.w.t
	t.Helper()
	for roomID := range a.Rooms {
		if !slices.ContainsFunc(m.places, func(p *place) bool { return p.id == roomID && wants[p] != nil }) {
			t.Errorf("%s is told, and not wanted", roomID)
		}
	}
	for p, rules := range wants {
		if partly && a.Rooms[p.id] == nil {
			continue
		}
		known := m.rooms[p.id]
		switch mem := p.membership(alice); mem {
		case "join":
			if known == nil || known.stripped {
				t.Fatalf("nothing is known of %s, or that she is invited: %v", p.id, known)
			}
			m.checkJoined(p, rules, known, a.Rooms[p.id])
		case "invite":
			if known == nil || !known.stripped {
				t.Errorf("the invitation to %s is not known", p.id)
			}
		case "leave", "ban":
			if known != nil && known.membership != mem {
				t.Errorf("%s: she is believed to be %q, and is %q", p.id, known.membership, mem)
			}
		}
	}
}

func (m *slidingModel) checkJoined(p *place, rules []*modelRule, known *modelRoom, told *slidingRoomAnswer) {
	t := m.w.t
	t.Helper()
	limit, lazy := 0, false
	for _, rule := range rules {
		limit = max(limit, rule.limit)
		lazy = lazy || rule.config.lazy
	}
	matches := func(eventType, key string) bool {
		return slices.ContainsFunc(rules, func(r *modelRule) bool { return r.config.matches(eventType, key) })
	}
	for k, e := range p.state {
		if matches(k[0], k[1]) && known.state[k] != e.EventID {
			t.Errorf("state %v is %s, want %s", k, known.state[k], e.EventID)
		}
	}
	m.checkEphemeral(p, known)
	if limit > 0 {
		all := p.all()
		tail := all[max(0, len(all)-len(known.timeline)):]
		if !slices.Equal(known.timeline, tail) || len(known.timeline) < min(limit, len(all)) {
			t.Errorf("timeline %v of %d events (limit %d)", places(known.timeline, all), len(all), limit)
		}
	}
	if lazy && told != nil {
		for _, e := range told.Timeline {
			k := [2]string{event.TypeMember, string(e.Sender)}
			if want := p.state[k]; want != nil && known.state[k] != want.EventID {
				t.Errorf("member %s of the timeline is %s, want %s", e.Sender, known.state[k], want.EventID)
			}
		}
	}
}

// places returns where events stand among all.
func places(events, all []id.EventID) (at []int) {
	for _, e := range events {
		at = append(at, slices.Index(all, e))
	}
	return at
}

// all returns the events of the room, oldest first.
func (p *place) all() (all []id.EventID) {
	p.w.view(func(tx *store.Tx) error {
		events, err := tx.TimelineAfter(p.nid, 1, math.MaxInt64, 10_000)
		for _, e := range events {
			all = append(all, e.EventID)
		}
		return err
	})
	return all
}

// happen is something that happens in the room.
func (m *slidingModel) happen(p *place) {
	who := []id.UserID{bob, carol, "@d:test"}[m.r.IntN(3)]
	switch m.r.IntN(14) {
	case 10, 11:
		if p.membership(who) == "join" {
			m.read(p, who)
		}
	case 12, 13:
		m.typing.turn(p, who)
	case 0:
		p.set(bob, "m.room.topic", "", obj{"topic": fmt.Sprint(m.r.IntN(100))})
	case 1, 2:
		p.set(bob, "x.y", fmt.Sprint(m.r.IntN(3)), obj{"v": m.r.IntN(100)})
	case 3:
		p.member(who, who, []string{"join", "leave"}[m.r.IntN(2)])
	case 4:
		switch mem := p.membership(alice); {
		case mem == "join" && m.r.IntN(2) == 0:
			p.member(alice, alice, "leave")
		case mem == "join":
			p.member(bob, alice, []string{"leave", "ban"}[m.r.IntN(2)])
		case mem == "invite" && m.r.IntN(2) == 0:
			p.member(alice, alice, []string{"leave", "join"}[m.r.IntN(2)])
		case mem == "invite":
			p.member(bob, alice, "leave")
		case (mem == "ban" || mem == "leave") && m.r.IntN(3) == 0:
			m.forget(p)
		case mem == "ban":
			p.member(bob, alice, "leave")
		default:
			p.member(bob, alice, []string{"invite", "ban"}[m.r.IntN(2)])
			if p.membership(alice) == "invite" {
				p.member(alice, alice, "join")
			}
		}
	default:
		p.text(who, "text")
	}
}

// TestSlidingModel has clients of both forms ask for random lists and rooms while those go on, lose answers, and talk to servers that
// were just restarted.
func TestSlidingModel(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		rounds := 12
		if w.db.Engine() == sqldb.Postgres {
			rounds = 2 // each row is a round trip, and the logic is the same
		}
		for round := range rounds {
			t.Run(fmt.Sprint(round), func(t *testing.T) {
				outer := w.t
				w.t = t
				defer func() { w.t = outer }()
				m := &slidingModel{
					device: w.device(alice, round%2 == 0), r: rand.New(rand.NewPCG(uint64(round), 7)),
					lists: map[string]*modelRule{"a": {config: &modelConfigs[6], limit: 2, upto: 2}},
					subs:  map[*place]*modelRule{}, rooms: map[id.RoomID]*modelRoom{}, typing: &modelTyping{serial: 100, floor: 100}, forgot: map[*place]id.EventID{},
				}
				m.user, m.bound = alice, []int{0, 0, 1, 1, 4000, 0}[round%6]
				m.restart()
				w.forgetRooms(alice)
				for range 5 {
					p := w.room(bob, "shared")
					p.member(bob, alice, "invite")
					p.join(alice)
					m.places = append(m.places, p)
				}
				for step := 0; step < 150 && !t.Failed(); step++ {
					m.step()
				}
			})
		}
	})
}

func (m *slidingModel) step() {
	for range m.r.IntN(4) {
		m.happen(m.places[m.r.IntN(len(m.places))])
	}
	if m.r.IntN(5) == 0 {
		m.change()
	}
	if m.r.IntN(4) == 0 {
		m.lost(m.body())
	}
	if m.r.IntN(10) == 0 {
		m.typing = &modelTyping{serial: m.typing.serial + 100, floor: m.typing.serial + 100}
		m.restart()
	}
	for partly, late := true, 3; partly; {
		wants := m.wants()
		a := m.sync(m.body())
		if m.bound == 1 && len(a.Rooms) > 1 {
			m.w.t.Fatalf("%d rooms in an answer for one", len(a.Rooms))
		}
		// Where answers are short, they are whole when there is no more of it.
		partly = m.bound > 0 && len(a.Rooms) > 0
		m.apply(wants, a)
		m.check(wants, a, partly)
		m.checkSeats()
		if late > 0 && partly && m.r.IntN(4) == 0 {
			late--
			m.happen(m.places[m.r.IntN(len(m.places))])
		}
		if partly && m.r.IntN(8) == 0 {
			m.lost(m.body())
		}
	}
}

// forgetRooms takes a user out of all rooms of other tests.
func (w *world) forgetRooms(user id.UserID) {
	w.t.Helper()
	nid := w.nid(user)
	if nid == 0 {
		return
	}
	w.view(func(*store.Tx) error { return nil })
	if err := w.db.Write(w.t.Context(), func(tx *store.Tx) error {
		_, err := tx.Exec(`DELETE FROM memberships WHERE user_nid = $1`, nid)
		return err
	}); err != nil {
		w.t.Fatal(err)
	}
}
