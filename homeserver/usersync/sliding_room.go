package usersync

import (
	"causeway/homeserver/event"
	"causeway/homeserver/store"

	"maunium.net/go/mautrix/id"
)

// slidingRoom is one room in one pass of sliding sync.
type slidingRoom struct {
	*slidingPass
	*slidingWant
	seat       *store.SlidingSeat
	told       *store.SlidingRoom // what the device knows of the room, nil for nothing
	lists      []string           // that the room lies in
	subscribed bool
	rules      ruleSet // that hold for the room
	limit      int     // events of the timeline

	roomID   id.RoomID
	v        *viewer
	renderer renderer
	direct   bool

	initial  bool           // the device knows nothing that this could build on
	known    int64          // the state set that the device knows, where it is not initial
	end      int64          // the state set to tell
	upto     int64          // the newest position to tell
	t        timeline       // what is new, or more than that where expanded
	expanded bool           // t goes back before what the device was told
	changes  store.StateSet // of the state from known to end
	members  []int64        // told.Members as they will be
}

// want adds what a rule wants of the room.
func (r *slidingRoom) want(c *slidingConfig) {
	r.limit = max(r.limit, c.Limit)
	r.rules[c.rule/64] |= 1 << (c.rule % 64)
}

// tell writes what the device does not know of the room, if there is anything.
func (r *slidingRoom) tell() error {
	r.v = r.viewer(r.seat)
	r.renderer = renderer{v: r.v, device: r.req.Device, nowTS: r.nowTS, omitRoomID: true}
	r.upto = r.slidingPass.upto
	switch r.seat.Membership.Membership {
	case event.MembershipJoin:
		return r.joined()
	case event.MembershipInvite, event.MembershipKnock:
		return r.invited()
	}
	return r.left()
}

// due tells whether there may be something to tell.
func (r *slidingRoom) due() (bool, error) {
	var err error
	if r.roomID, err = r.tx.RoomID(r.seat.RoomNID); err != nil {
		return false, err
	}
	direct, err := r.directs()
	if err != nil {
		return false, err
	}
	r.direct = direct[r.roomID]
	switch known := r.toldPos(); {
	case known == 0 || r.seat.Pos > known || r.direct != r.told.Direct:
		return true, nil
	case r.isJoined() && (r.seat.LastPos > known || r.hasRead()):
		return true, nil
	case r.seat.Membership.Membership == event.MembershipInvite || r.seat.Membership.Membership == event.MembershipKnock:
		return false, nil
	}
	return r.config != r.told.Config || int64(r.limit) > r.told.Held, nil
}

// toldPos is the position up to which the device knows the room, 0 where it knows nothing of it.
func (r *slidingRoom) toldPos() int64 {
	if r.told == nil {
		return 0
	}
	return r.told.Pos
}

// hasRead tells whether the user has read the room since the device was told its counts.
func (r *slidingRoom) hasRead() bool {
	return r.isJoined() && r.told != nil && r.reads[r.seat.RoomNID] > r.told.Pos
}

// joined tells of a room that the user is in.
func (r *slidingRoom) joined() error {
	r.end = r.seat.StateID
	if err := r.compare(); err != nil {
		return err
	}
	return r.write()
}

// compare finds out from where on the device can follow: nowhere, if it did not know the user to be in the room, or if the state that
// it knows has been purged.
func (r *slidingRoom) compare() error {
	if r.initial = r.told == nil || r.told.Pos == 0; r.initial {
		return nil
	}
	if r.known = r.end; r.seat.LastPos > r.told.Pos {
		var err error
		if r.known, err = r.tx.StateIDAt(r.seat.RoomNID, r.told.Pos); err != nil {
			return err
		}
	}
	if r.known == 0 {
		r.initial = true
		return nil
	}
	if r.seat.Pos <= r.told.Pos {
		return nil
	}
	before, err := r.v.member.at(r.tx, r.known)
	r.initial = before != event.MembershipJoin
	return err
}

// left tells of a room that the user has left or was removed from, as it was then, and of such whose invitation has come to nothing.
func (r *slidingRoom) left() error {
	stay, err := r.v.departure()
	if err != nil {
		return err
	}
	fresh := r.told != nil && r.told.Pos > 0 && r.told.Pos < r.seat.Pos
	r.shifting = r.shifting || fresh
	if stay == nil {
		if !fresh {
			return nil // never in the room, and the device does not know of it
		}
		return r.declined()
	}
	r.end, r.upto = stay.stateID, min(stay.pos, r.upto)
	if r.told == nil || r.told.Pos < stay.pos {
		err = r.compareStay()
	} else {
		r.known = r.end // what came after was none of the user's business
	}
	if err != nil {
		return err
	}
	return r.write()
}

// compareStay is compare for a stay that is over.
func (r *slidingRoom) compareStay() error {
	if r.initial = r.told == nil || r.told.Pos == 0; r.initial {
		return nil
	}
	var err error
	if r.known, err = r.tx.StateIDAt(r.seat.RoomNID, r.told.Pos); err != nil {
		return err
	}
	if r.known == 0 {
		r.initial = true
		return nil
	}
	before, err := r.v.member.at(r.tx, r.known)
	r.initial = before != event.MembershipJoin // came and went
	return err
}

// write tells of a room that the user is or has been in.
func (r *slidingRoom) write() error {
	if err := r.readTimeline(); err != nil {
		return err
	}
	var err error
	if !r.initial && r.known != r.end {
		if r.changes, err = r.tx.StateDelta(r.known, r.end); err != nil {
			return err
		}
	}
	if err := r.showMembership(); err != nil {
		return err
	}
	fields, err := r.appendMeta(nil)
	if err != nil {
		return err
	}
	state, err := r.requiredState()
	if err != nil {
		return err
	}
	directChanged := r.direct != (r.told != nil && r.told.Direct)
	moved := r.told == nil || r.seat.Pos > r.told.Pos
	quiet := len(r.t.shown)+len(fields)+len(state.events)+len(state.stubs) == 0 && !r.t.limited
	if quiet && !r.initial && !moved && !directChanged && !r.hasRead() {
		r.settle()
		return nil
	}
	dst := append(appendKey(r.rooms, r.roomID), '{')
	if r.initial {
		dst = append(dst, `"initial":true`...)
	}
	if r.direct || directChanged {
		dst = appendBool(appendKey(dst, "is_dm"), r.direct)
	}
	if len(fields) > 0 {
		dst = append(appendComma(dst), fields...)
	}
	if dst, err = r.appendEventsOf(dst, state); err != nil {
		return err
	}
	r.rooms = append(dst, '}')
	r.slidingPass.news = true
	r.note(r.next())
	return nil
}

// appendEventsOf appends the state, the timeline, and what comes with every room.
func (r *slidingRoom) appendEventsOf(dst []byte, state stateNews) ([]byte, error) {
	var err error
	if len(state.events)+len(state.stubs) > 0 {
		if dst, err = r.appendRequired(appendKey(dst, "required_state"), state); err != nil {
			return dst, err
		}
	}
	if r.limit > 0 {
		if dst, err = r.appendSlidingTimeline(dst); err != nil {
			return dst, err
		}
	}
	return r.appendCommon(dst)
}

// readTimeline reads what is new, or, where the client wants more of what it knows than it has been told, all that it wants.
func (r *slidingRoom) readTimeline() error {
	after := int64(0)
	if !r.initial {
		after = r.told.Pos
		r.expanded = int64(r.limit) > r.told.Held
	}
	if r.limit == 0 {
		r.t = timeline{start: r.upto}
		return nil
	}
	if r.expanded {
		after = 0
	}
	if after >= r.upto {
		r.t = timeline{start: r.upto}
		return nil
	}
	var err error
	if r.t, err = readTimeline(r.v, nil, after, r.upto, r.limit); err != nil {
		return err
	}
	if r.expanded {
		r.contract()
	}
	return nil
}

// contract makes an expanded timeline an ordinary one again where all of it that is old has been told.
func (r *slidingRoom) contract() {
	fresh := after(r.t.shown, r.told.Pos)
	if r.expanded = int64(len(r.t.shown)-len(fresh)) > r.told.Held; r.expanded || r.told.Held == 0 {
		return
	}
	r.t.shown, r.t.scanned = fresh, after(r.t.scanned, r.told.Pos)
	r.t.start = max(r.t.start, r.told.Pos)
	r.t.limited = r.t.limited && r.t.start > r.told.Pos
}

// showMembership adds the event that holds the user's membership to the end of the timeline where another has come after the one by
// which the user left, such as a ban: it is all that they are told of the time since.
func (r *slidingRoom) showMembership() error {
	if r.seat.Pos <= r.upto || r.told != nil && r.told.Pos >= r.seat.Pos || r.seat.EventNID == 0 {
		return nil
	}
	e, err := r.tx.EventByNID(r.seat.EventNID)
	if err != nil || !r.v.holds(e) {
		return err
	}
	r.t.shown = append(r.t.shown, e)
	r.t.scanned = append(r.t.scanned, e)
	return nil
}

// appendSlidingTimeline appends the members that are about the timeline.
func (r *slidingRoom) appendSlidingTimeline(dst []byte) ([]byte, error) {
	var err error
	if len(r.t.shown) > 0 {
		if dst, err = r.renderer.appendEvents(appendKey(dst, "timeline"), r.t.shown); err != nil {
			return dst, err
		}
	}
	dst = appendBool(appendKey(dst, "limited"), r.t.limited)
	if r.t.start > 0 {
		dst = appendString(appendKey(dst, "prev_batch"), token(r.t.start))
	}
	live := 0
	if since := r.liveSince(); since > 0 {
		live = len(after(r.t.shown, since))
	}
	dst = appendInt(appendKey(dst, "num_live"), int64(live))
	if r.expanded {
		name := "unstable_expanded_timeline"
		if r.req.Stable {
			name = "expanded_timeline"
		}
		dst = appendBool(appendKey(dst, name), true)
	}
	return dst, nil
}

// appendCommon appends the members that all rooms have.
func (r *slidingRoom) appendCommon(dst []byte) ([]byte, error) {
	bump := r.seat.Pos
	if r.isJoined() && r.seat.BumpPos > 0 {
		bump = r.seat.BumpPos
	}
	dst = appendInt(appendKey(dst, "bump_stamp"), bump)
	if !r.req.Stable {
		unread, err := r.unread()
		dst = appendInt(appendKey(dst, "notification_count"), unread.Notifications)
		return appendInt(appendKey(dst, "highlight_count"), unread.Highlights), err
	}
	dst = appendString(appendKey(dst, "membership"), r.seat.Membership.Membership)
	if len(r.lists) > 0 {
		dst = append(appendKey(dst, "lists"), '[')
		for _, name := range r.lists {
			dst = appendString(appendComma(dst), name)
		}
		dst = append(dst, ']')
	}
	return dst, nil
}

// next returns what the device will know of the room by this answer, whatever else of it is told.
func (r *slidingRoom) next() *store.SlidingRoom {
	next := &store.SlidingRoom{RoomNID: r.seat.RoomNID}
	if r.told != nil {
		*next = *r.told
	}
	limit := int64(r.limit)
	switch {
	case r.initial || r.expanded || r.t.limited:
		next.Held = limit
	default:
		next.Held = max(limit, min(next.Held+int64(len(r.t.shown)), maxSlidingTimeline))
	}
	if r.limit == 0 {
		next.Held = 0
	}
	next.Pos, next.Config, next.Direct, next.Members = r.slidingPass.upto, r.config, r.direct, r.members
	return next
}

// note keeps what the device will know of a room by this answer.
func (p *slidingPass) note(next *store.SlidingRoom) { p.changes[next.RoomNID] = next }

// settle keeps what the device knows of the room without being told: that there was nothing to see. It is not worth a row.
func (r *slidingRoom) settle() {
	next := r.next()
	r.conn.rooms[next.RoomNID] = next
	r.told = next
}
