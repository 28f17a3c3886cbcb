package usersync

import (
	"math"
	"slices"
	"strconv"
	"strings"

	"causeway/homeserver/event"
	"causeway/homeserver/store"
)

const (
	stickyExtension = "org.matrix.msc4354.sticky_events"
	// stickyPage is how many sticky events one answer has, of all rooms together, and stickyPages how many times as many are looked at to
	// find those of them that the user sees.
	stickyPage  = 100
	stickyPages = 5
)

// slidingSticky is how far a device is with the sticky events of its rooms.
type slidingSticky struct {
	from    store.StickyPlace            // of the token
	rooms   map[int64]*store.SlidingSeat // that the request is about, whether in a range or not
	settled store.StickyPlace            // whoever comes with this or later has all, by this answer
}

// stickySet is the rooms whose sticky events a device is told of in order, by the tokens of an epoch. A room that comes to be among
// them later, though its user has been in it, may have had some before the place of the token: the device then begins anew, in another
// epoch, and is told of some twice, which does no harm. What is not in memory any more is taken to be as it is now.
type stickySet struct {
	epoch int64 // 0 for none
	rooms map[int64]bool
}

// followSticky brings the rooms whose events the device is told of up to date, goes back to the beginning if need be, and returns the
// epoch of the next token.
func (p *slidingPass) followSticky() int64 {
	rooms := make(map[int64]bool, len(p.sticky.rooms))
	for nid := range p.sticky.rooms {
		rooms[nid] = true
	}
	epoch, stuck := p.stickyEpoch, &p.conn.stuck
	i := slices.IndexFunc(stuck[:], func(s stickySet) bool { return s.epoch == epoch && epoch != 0 })
	switch {
	case i >= 0 && !p.missedSticky(stuck[i].rooms):
		stuck[i].rooms = rooms
		return epoch
	case i >= 0:
		p.sticky.from = store.StickyPlace{}
		epoch = max(epoch+1, p.upto)
	case epoch == 0:
		epoch = max(1, p.upto)
	}
	// The other one is that of the answer before, if this one is lost.
	stuck[0], stuck[1] = stuck[max(i, 0)], stickySet{epoch, rooms}
	return epoch
}

// missedSticky tells whether there is a room of which events may have been passed over.
func (p *slidingPass) missedSticky(known map[int64]bool) bool {
	for nid, seat := range p.sticky.rooms {
		if !known[nid] && seat.Since <= p.sticky.from.Due {
			return true
		}
	}
	return false
}

// nowhere is a place that nobody comes with.
var nowhere = store.StickyPlace{Due: math.MaxInt64, Pos: math.MaxInt64}

// wantsSticky tells whether to tell of sticky events.
func (l *slidingLook) wantsSticky() bool { return l.s.sticky && l.req.extensions.Sticky.Enabled }

// A token of the extension is a place in the order in which the events are told. It is one of its own, which a client may keep longer than
// its connection, as that of messages to the device.
func stickyToken(p store.StickyPlace, epoch int64) string {
	dst := strconv.AppendInt(append(appendToken(nil, p.Due), '_'), p.Pos, 10)
	return string(strconv.AppendInt(append(dst, '_'), epoch, 10))
}

// readStickySince reads the token of the request. The error is M_INVALID_PARAM.
func (l *slidingLook) readStickySince() error {
	since := l.req.extensions.Sticky.Since
	if !l.wantsSticky() || since == "" {
		return nil
	}
	parts := strings.Split(since, "_")
	ok := len(parts) == 3 && len(parts[0]) > 1 && parts[0][0] == tokenPrefix
	if ok {
		parts[0] = parts[0][1:]
	}
	for i, into := range [...]*int64{&l.stickyFrom.Due, &l.stickyFrom.Pos, &l.stickyEpoch} {
		if ok {
			*into, ok = parsePosition(parts[i])
		}
	}
	if !ok {
		return invalid("extensions."+stickyExtension+".since", "is not a token of this server")
	}
	return nil
}

// stickyQuiet tells that a request like the settled one, to which nothing has happened, has been told all sticky events.
func (p *slidingPass) stickyQuiet() bool {
	return !p.wantsSticky() || !p.sticky.from.Before(p.conn.settled.sticky)
}

// stickyRoom notes that the request is about a room.
func (p *slidingPass) stickyRoom(seat *store.SlidingSeat) {
	if !p.wantsSticky() || seat.Membership.Membership != event.MembershipJoin {
		return
	}
	if p.sticky.rooms == nil {
		p.sticky.rooms = make(map[int64]*store.SlidingSeat)
	}
	p.sticky.rooms[seat.RoomNID] = seat
}

// stickyEvents is the extension sticky_events (MSC4480): {next_batch, rooms: {room id: {events}}}, oldest first, without those that the
// timelines of the answer show. Of a room that the user has come into, all that are sticky come after that.
func (p *slidingPass) stickyEvents() ([]byte, error) {
	epoch := p.followSticky()
	rooms := make([]int64, 0, len(p.sticky.rooms))
	for nid, seat := range p.sticky.rooms {
		if max(seat.LastPos, seat.Since) >= p.sticky.from.Due {
			rooms = append(rooms, nid)
		}
	}
	limit := stickyPage
	if asked := p.req.extensions.Sticky.Limit; asked != nil {
		limit = min(limit, *asked)
	}
	next, told := p.sticky.from, 0
	byRoom := make(map[int64][]*store.Event)
	for page := 0; ; page++ {
		if page == stickyPages || told == limit {
			p.sticky.settled = nowhere // there may be more
			break
		}
		wanted := limit - told
		due, err := p.tx.StickyDueIn(p.userNID, rooms, next, p.upto, p.nowTS, wanted)
		if err != nil {
			return nil, err
		}
		seen, err := p.seeSticky(due)
		if err != nil {
			return nil, err
		}
		for _, e := range seen {
			byRoom[e.RoomNID] = append(byRoom[e.RoomNID], e)
		}
		told += len(seen)
		if len(due) > 0 {
			next = due[len(due)-1].StickyPlace
		}
		if len(due) < wanted {
			p.sticky.settled = next
			break
		}
	}
	if next == p.sticky.from {
		return nil, nil
	}
	p.news = p.news || told > 0 || p.sticky.settled == nowhere
	dst := appendString([]byte(`{"next_batch":`), stickyToken(next, epoch))
	dst, err := p.appendSticky(append(dst, `,"rooms":{`...), byRoom)
	return append(dst, `}}`...), err
}

// seeSticky returns those of sticky events that are to be told.
func (p *slidingPass) seeSticky(due []store.StickyDue) (seen []*store.Event, err error) {
	nids := make([]int64, len(due))
	for i, d := range due {
		nids[i] = d.EventNID
	}
	events, err := p.tx.EventsByNID(nids)
	if err != nil {
		return nil, err
	}
	shown := make(map[int64]bool)
	for _, r := range p.relevant {
		for _, e := range r.t.shown {
			shown[e.NID] = true
		}
	}
	for _, nid := range nids {
		i := slices.IndexFunc(events, func(e *store.Event) bool { return e.NID == nid })
		if i < 0 || events[i].RedactedBy != 0 || shown[nid] {
			continue
		}
		if ignored, err := p.ignores(events[i].Sender); err != nil {
			return nil, err
		} else if !ignored {
			seen = append(seen, events[i])
		}
	}
	return seen, nil
}

// appendSticky appends the members of the object of rooms.
func (p *slidingPass) appendSticky(dst []byte, byRoom map[int64][]*store.Event) ([]byte, error) {
	for nid, events := range byRoom {
		roomID, err := p.tx.RoomID(nid)
		if err != nil {
			return dst, err
		}
		r := renderer{v: p.viewer(p.sticky.rooms[nid]), device: p.req.Device, nowTS: p.nowTS, omitRoomID: true}
		if dst, err = r.appendEvents(append(appendKey(dst, roomID), `{"events":`...), events); err != nil {
			return dst, err
		}
		dst = append(dst, '}')
	}
	return dst, nil
}
