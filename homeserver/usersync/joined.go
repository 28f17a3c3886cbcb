package usersync

import (
	"slices"

	"causeway/homeserver/event"
	"causeway/homeserver/store"

	"maunium.net/go/mautrix/id"
)

// Bounds of an answer of /sync. The specification has no way to leave rooms out, but timelines may always be shorter than asked for.
const (
	longSync     = 32 << 20 // bytes of joined and left rooms, after which
	lateTimeline = 1        // is what the timelines of the others hold
)

// roomPass is one room in one pass.
type roomPass struct {
	*pass
	renderer
	v      *viewer
	seat   store.Seat
	roomID id.RoomID

	known int64 // the state set that the client knows; 0 when it needs the whole state
	end   int64 // the state set at the end of the timeline
	base  int64 // the state set that the state section is told from
	t     timeline
}

// joined writes the news of a room that the user is in.
func (r *roomPass) joined() error {
	after, full, arrived, err := r.window()
	if err != nil {
		return err
	}
	if full || r.seat.LastPos > after { // else there is account data only
		if r.t, err = r.readTimeline(after, r.upto); err != nil {
			return err
		}
	}
	// What the client may hold of an earlier stay does not join up with this.
	r.t.limited = r.t.limited || arrived
	r.end = r.seat.StateID
	if full {
		r.known = 0
	}
	changes, err := r.delta(full)
	if err != nil {
		return err
	}
	if err := r.meet(arrived, changes); err != nil {
		return err
	}
	summary, heroes, err := r.summary(full, changes)
	if err != nil {
		return err
	}
	state, err := r.state(full, changes, heroes)
	if err != nil {
		return err
	}
	data, err := r.accountData(full)
	if err != nil {
		return err
	}
	ephemeral, err := r.ephemeral(full)
	if err != nil {
		return err
	}
	sticky, err := r.sticky(after)
	if err != nil {
		return err
	}
	if !full && len(r.t.shown) == 0 && len(state) == 0 && len(data) == 0 && len(ephemeral) == 0 && len(sticky) == 0 && len(summary) == 0 && !r.t.cutOff &&
		!r.beside.read[r.seat.RoomNID] {
		return nil // nothing that the filter lets pass
	}
	r.news = true
	if err := r.noteMembers(full, state); err != nil {
		return err
	}
	return r.writeJoined(summary, state, sticky, ephemeral, data)
}

// window says from where on the room's events are new, whether the client needs the whole state, and whether the user came
// into the room since the last answer.
func (r *roomPass) window() (after int64, full, arrived bool, err error) {
	if r.initial {
		return 0, true, false, nil
	}
	// Only a room with new events has a state to compare.
	if r.seat.LastPos > r.after {
		if r.known, err = stateIDAt(r.tx, r.seat.RoomNID, r.after); err != nil {
			return 0, false, false, err
		}
	} else {
		r.known = r.seat.StateID
	}
	if r.seat.Pos <= r.after {
		// What the client knows of the state may have been purged.
		purged := r.known == 0
		return r.after, r.req.FullState || purged, purged, nil
	}
	before, err := r.v.member.at(r.tx, r.known)
	if err != nil {
		return 0, false, false, err
	}
	if before == event.MembershipJoin {
		return r.after, r.req.FullState, false, nil
	}
	return 0, true, true, nil
}

// readTimeline reads what the timeline shows of the events at after < pos ≤ upto.
func (r *roomPass) readTimeline(after, upto int64) (timeline, error) {
	filter := r.filter.Room.Timeline
	if !filter.allowsRoom(r.roomID) {
		return timeline{start: after}, nil
	}
	limit := filter.limit(defaultTimeline, maxTimeline)
	if len(r.join)+len(r.leave) >= r.s.longSync {
		limit = min(limit, lateTimeline)
	}
	return readTimeline(r.v, filter, after, upto, limit)
}

// accountData appends the elements of the room's account data: what is new, or all for a client that needs everything.
func (r *roomPass) accountData(full bool) ([]byte, error) {
	rows := r.data[r.seat.RoomNID]
	if full && !r.initial {
		all, err := r.allAccountData()
		if err != nil {
			return nil, err
		}
		gone := slices.DeleteFunc(slices.Clone(rows), func(row store.AccountData) bool { return !row.Deleted })
		rows = append(gone, all[r.seat.RoomNID]...)
	}
	filter := r.filter.Room.AccountData
	if len(rows) == 0 || !filter.allowsRoom(r.roomID) {
		return nil, nil
	}
	var out []byte
	for _, row := range rows {
		if filter.allowsType(row.Type) {
			out = appendAccountData(out, row.Type, row.Content)
		}
	}
	return out, nil
}

func (r *roomPass) writeJoined(summary []byte, state, sticky []*store.Event, ephemeral, data []byte) error {
	dst := append(appendKey(r.join, r.roomID), '{')
	if len(summary) > 0 {
		dst = append(append(dst, `"summary":`...), summary...)
		dst = append(dst, ',')
	}
	dst, err := r.appendStateAndTimeline(dst, state)
	if err != nil {
		return err
	}
	if dst, err = r.appendSticky(append(dst, ','), sticky); err != nil {
		return err
	}
	dst = append(append(dst, `"ephemeral":{"events":[`...), ephemeral...)
	dst = append(append(dst, `]},"account_data":{"events":[`...), data...)
	if dst, err = r.appendUnread(append(dst, `]},`...)); err != nil {
		return err
	}
	r.join = append(dst, '}')
	return nil
}

// appendStateAndTimeline appends two members that joined and left rooms have in common.
func (r *roomPass) appendStateAndTimeline(dst []byte, state []*store.Event) ([]byte, error) {
	name := r.req.StateAfter
	if name == "" {
		name = "state"
	}
	dst = append(appendString(dst, name), `:{"events":`...)
	dst, err := r.appendState(dst, state)
	if err != nil {
		return dst, err
	}
	return r.appendTimeline(append(dst, `},"timeline":`...), &r.t)
}
