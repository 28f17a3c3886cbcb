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

// nowhere is a place that nobody comes with.
var nowhere = store.StickyPlace{Due: math.MaxInt64, Pos: math.MaxInt64}

// wantsSticky tells whether to tell of sticky events.
func (l *slidingLook) wantsSticky() bool { return l.s.sticky && l.req.extensions.Sticky.Enabled }

// A token of the extension is a place in the order in which the events are told. It is one of its own, which a client may keep longer than
// its connection, as that of messages to the device.
func stickyToken(p store.StickyPlace) string {
	return string(strconv.AppendInt(append(appendToken(nil, p.Due), '_'), p.Pos, 10))
}

// readStickySince reads the token of the request. The error is M_INVALID_PARAM.
func (l *slidingLook) readStickySince() error {
	since := l.req.extensions.Sticky.Since
	if !l.wantsSticky() || since == "" {
		return nil
	}
	first, second, _ := strings.Cut(since, "_")
	ok := len(first) > 1 && first[0] == tokenPrefix
	if ok {
		l.stickyFrom.Due, ok = parsePosition(first[1:])
	}
	if ok {
		l.stickyFrom.Pos, ok = parsePosition(second)
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
	dst := appendString([]byte(`{"next_batch":`), stickyToken(next))
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
