package usersync

import (
	"cmp"
	"encoding/json"
	"errors"
	"maps"
	"slices"

	"causeway/homeserver/event"
	"causeway/homeserver/notify"
	"causeway/homeserver/store"

	"maunium.net/go/mautrix/id"
)

// slidingPass is one reading of what is new to a device on a connection, in one snapshot of the database.
type slidingPass struct {
	*slidingLook
	*sight
	tx      *store.Tx
	nowTS   int64
	userNID int64
	since   int64 // the position of the last answer, 0 for none
	upto    int64 // the newest position of the snapshot
	typing  int64 // as of slidingPos

	seats    map[int64]*store.SlidingSeat
	followed bool // seats are those that the connection kept as of asOf, with moved taken in
	asOf     int64
	ordered  []*store.SlidingSeat // the list of rooms, newest first
	counts   map[string]int       // by list
	relevant []*slidingRoom       // the rooms that the request is about
	calm     bool                 // nothing has happened that could change an answer, and nothing more was looked at
	moved    []store.Seat         // the memberships of rooms with events since the request was settled, or, where followed, since asOf
	wanted   slidingWants
	shifting bool // a room is told that the list of rooms will not have any more
	cut      bool // rooms are left out that may have news, see tellRooms

	reads   map[int64]int64 // the rooms that the user has read, see readReads
	tally   *tally          // nil before it is asked for
	mail    mail            // see readMail
	keys    slidingKeys     // see readKeys
	left    keysLeft
	typists typingNews
	sticky  slidingSticky

	typingIn map[int64]bool                       // the rooms in which the device will know who is typing
	entered  bool                                 // it is told of rooms that have come into view
	direct   map[id.RoomID]bool                   // see directs; nil before it is read
	tagged   map[int64]map[string]json.RawMessage // see tags; nil before it is read

	changes    map[int64]*store.SlidingRoom // what the device knows by this answer
	news       bool
	rooms      []byte // members of an object
	extensions []byte
	tellsKeys  bool // the answer has the extension e2ee
}

func newSlidingPass(l *slidingLook, tx *store.Tx) (*slidingPass, error) {
	p := &slidingPass{
		slidingLook: l, sight: l.s.newSight(tx, l.req.User), tx: tx, nowTS: l.s.now().UnixMilli(), since: l.from.stream,
		counts: make(map[string]int), changes: make(map[int64]*store.SlidingRoom), typing: l.from.typing,
	}
	var err error
	if p.upto, err = streamPos(tx); err != nil {
		return nil, err
	}
	if p.userNID, err = tx.LookupNID(string(l.req.User)); err != nil {
		return nil, err
	}
	p.readTyping()
	if p.sticky.from = l.stickyFrom; p.sticky.from.Due > p.upto {
		p.sticky.from, l.stickyEpoch = store.StickyPlace{}, 0 // of a database that was since restored from a backup
	}
	return p, l.ready(tx, p.userNID, p.upto)
}

func (p *slidingPass) run() error {
	var err error
	if p.calm, err = p.isCalm(); err != nil {
		return err
	}
	if p.calm {
		p.counts = p.conn.settled.counts
		if kept := &p.conn.seats; len(p.moved) == 0 && kept.asOf == p.conn.settled.pos {
			kept.asOf = p.upto
		}
		return nil
	}
	if err := p.readSeats(); err != nil {
		return err
	}
	if err := p.choose(); err != nil {
		return err
	}
	if err := p.readReads(); err != nil {
		return err
	}
	if err := p.tellRooms(); err != nil {
		return err
	}
	return p.extend()
}

// tellRooms writes what the device does not know of rooms, those first of which it has not heard for longest, until the answer is long.
// What is left out stays as it was, and the next answer does not wait: it begins with that. So the rest comes even where some rooms
// have a lot to tell each time.
func (p *slidingPass) tellRooms() error {
	var due []*slidingRoom
	for _, r := range p.relevant {
		yes, err := r.due()
		if err != nil {
			return err
		}
		if yes {
			due = append(due, r)
		}
	}
	slices.SortStableFunc(due, func(a, b *slidingRoom) int { return cmp.Compare(a.toldPos(), b.toldPos()) })
	for _, r := range due {
		if len(p.rooms) >= p.s.slidingBody {
			p.cut = true
			return nil
		}
		if err := r.tell(); err != nil {
			return err
		}
	}
	return nil
}

// liveSince is the position after which events have just happened, 0 for none has.
func (p *slidingPass) liveSince() int64 { return cmp.Or(p.conn.settled.live, p.since) }

// isCalm tells whether a request that has been told everything up to a position finds nothing after it. It costs what has happened
// since, not what the user's rooms are.
func (p *slidingPass) isCalm() (bool, error) {
	settled := p.conn.settled
	if settled.rooms == nil || settled.digest != p.req.digest || p.upto-settled.pos > shortRange {
		return false, nil
	}
	if !p.tx.SeatsQuiet(p.userNID, settled.pos) || !p.stickyQuiet() {
		return false, nil
	}
	if quiet, err := p.quiet(settled.pos, max(p.checked, p.since)); err != nil || !quiet {
		return false, err
	}
	if p.upto == settled.pos {
		return true, nil
	}
	var err error
	p.moved, err = seatsChanged(p.tx, p.userNID, settled.pos, p.upto)
	return len(p.moved) == 0 || !p.asksForRooms(), err
}

// asksForRooms tells whether the request is about rooms at all. Some connections are for messages to the device alone.
func (p *slidingPass) asksForRooms() bool { return len(p.req.lists)+len(p.req.subscriptions) > 0 }

// relevantRooms returns the rooms that the request is about.
func (p *slidingPass) relevantRooms() map[int64]bool {
	if p.calm {
		return p.conn.settled.rooms
	}
	all := make(map[int64]bool, len(p.relevant))
	for _, r := range p.relevant {
		all[r.seat.RoomNID] = true
	}
	return all
}

// ears returns the bells that concern the user.
func (p *slidingPass) ears() ([]notify.Key, error) {
	if p.calm {
		settled := p.conn.settled.pos
		return p.s.ears.keys(p.tx, p.userNID, settled, p.upto, p.moved)
	}
	if p.followed {
		return p.s.ears.keys(p.tx, p.userNID, p.asOf, p.upto, p.moved)
	}
	seats := make([]store.Seat, 0, len(p.seats))
	for _, seat := range p.seats {
		seats = append(seats, seat.Seat)
	}
	return p.s.ears.keys(p.tx, p.userNID, 0, p.upto, seats)
}

// choose finds the rooms that the request is about, and what it wants of each.
func (p *slidingPass) choose() error {
	byRoom := make(map[int64]*slidingRoom)
	get := func(seat *store.SlidingSeat) *slidingRoom {
		r := byRoom[seat.RoomNID]
		if r == nil {
			r = &slidingRoom{slidingPass: p, seat: seat, told: p.conn.rooms[seat.RoomNID]}
			byRoom[seat.RoomNID] = r
			p.relevant = append(p.relevant, r)
		}
		return r
	}
	for _, name := range slices.Sorted(maps.Keys(p.req.lists)) {
		list := p.req.lists[name]
		rooms, err := p.filter(list.Filters)
		if err != nil {
			return err
		}
		p.counts[name] = len(rooms)
		for i, seat := range rooms {
			p.stickyRoom(seat)
			if list.holds(i) {
				r := get(seat)
				r.lists = append(r.lists, name)
				r.want(&list.slidingConfig)
			}
		}
	}
	for _, roomID := range slices.Sorted(maps.Keys(p.req.subscriptions)) {
		seat, err := p.subscribed(roomID)
		if err != nil {
			return err
		}
		if seat != nil {
			p.stickyRoom(seat)
			r := get(seat)
			r.subscribed = true
			r.want(p.req.subscriptions[roomID])
		}
	}
	return p.wanted.settle(p)
}

// subscribed returns the user's seat in a room that the client asks for by its id; nil when there is nothing that they may know of
// the room. The list of rooms need not have it.
func (p *slidingPass) subscribed(roomID id.RoomID) (*store.SlidingSeat, error) {
	nid, err := p.tx.RoomNID(roomID)
	if err != nil {
		return nil, err
	}
	seat := p.seats[nid]
	if seat == nil || seat.Forgotten {
		return nil, nil
	}
	if seat.Membership.Membership == event.MembershipInvite {
		hidden, err := p.hiddenInvite(seat)
		if err != nil || hidden {
			return nil, err
		}
	}
	return seat, nil
}

// slidingWants are the wishes of the rooms of one reading: those that the same rules are for share one.
type slidingWants struct {
	byRules map[ruleSet]*slidingWant
}

// ruleSet is a set of numbers of rules, as of slidingConfig.
type ruleSet [(maxSlidingLists + maxSlidingSubscriptions + 63) / 64]uint64

type slidingWant struct {
	wish   stateWish
	plan   statePlan
	lazy   bool
	config int64 // its number in the connection
}

// settle gives each room its want.
func (w *slidingWants) settle(p *slidingPass) error {
	w.byRules = make(map[ruleSet]*slidingWant)
	for _, r := range p.relevant {
		want := w.byRules[r.rules]
		if want == nil {
			want = new(slidingWant)
			for i, q := range p.req.rules {
				if r.rules[i/64]&(1<<(i%64)) != 0 {
					want.wish = append(want.wish, q)
				}
			}
			var err error
			if want.config, err = p.conn.config(want.wish); err != nil {
				return err
			}
			want.plan, want.lazy = want.wish.plan(), want.wish.lazy()
			w.byRules[r.rules] = want
		}
		r.slidingWant = want
	}
	return nil
}

// joined returns the user's seat in a room that they are in, by its id; nil when they are not.
func (p *slidingPass) joined(roomID id.RoomID) (*store.SlidingSeat, error) {
	nid, err := p.tx.RoomNID(roomID)
	if err != nil {
		return nil, err
	}
	seat := p.seats[nid]
	if seat == nil || seat.Membership.Membership != event.MembershipJoin {
		return nil, nil
	}
	return seat, nil
}

// knownState returns the state set of a room that the user may know of, 0 for none.
func (p *slidingPass) knownState(seat *store.SlidingSeat) (int64, error) {
	switch seat.Membership.Membership {
	case event.MembershipJoin:
		return seat.StateID, nil
	case event.MembershipInvite, event.MembershipKnock:
		return p.tx.StateIDAt(seat.RoomNID, seat.Pos)
	}
	stay, err := p.viewer(seat).departure()
	if err != nil || stay == nil {
		return 0, err
	}
	return stay.stateID, nil
}

// stateEvent returns an event of a state set; nil when there is none.
func (p *slidingPass) stateEvent(seat *store.SlidingSeat, setID int64, eventType string) (*store.Event, error) {
	if setID == seat.StateID {
		e, err := p.tx.CurrentStateEvent(seat.RoomNID, eventType, "")
		if errors.Is(err, store.ErrNotFound) {
			return nil, nil
		}
		return e, err
	}
	place, err := p.tx.LookupStateNID(eventType, "")
	if err != nil || setID == 0 {
		return nil, err
	}
	values, err := p.tx.StateValues(setID, place)
	if err != nil || values[place] == 0 {
		return nil, err
	}
	return p.tx.EventByNID(values[place])
}
