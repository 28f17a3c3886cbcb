package usersync

import (
	"cmp"
	"math"

	"causeway/homeserver/event"
	"causeway/homeserver/store"
)

// maxMemberships bounds how far back a user's memberships of one room are followed.
const maxMemberships = 1000

// departure is how a user's stay in a room ended.
type departure struct {
	eventNID int64 // the member event by which the user left or was removed; 0 when a fork was resolved so that they have none
	pos      int64 // from which on the user was out; where a fork was resolved so, it is not that of the event
	stateID  int64 // the room's state from there on
}

// stayedUntil returns the position up to which the user was in the room: without end for one who is in it, the position at which the
// last stay ended for one who is not, and 0 for one who never was.
func (v *viewer) stayedUntil() (int64, error) {
	if v.seat.Membership == event.MembershipJoin {
		return math.MaxInt64, nil
	}
	d, err := v.departure()
	if err != nil || d == nil {
		return 0, err
	}
	return d.pos, nil
}

// departure returns how the last stay of the user, who is not in the room now, ended, and nil when they were never in it, or so
// long ago that it has been purged.
func (v *viewer) departure() (*departure, error) {
	if v.stayKnown || v.seat.Pos == 0 {
		return v.stay, nil
	}
	nid, pos := v.seat.EventNID, v.seat.Pos
	for range maxMemberships {
		end, before, err := v.turn(nid, pos)
		if err != nil {
			return nil, err
		}
		if before == nil {
			break
		}
		if before.Membership() == event.MembershipJoin {
			v.stay = end
			break
		}
		if before.Pos == 0 || before.Pos >= pos {
			break // where it began is not known
		}
		nid, pos = before.NID, before.Pos
	}
	v.stayKnown = true
	return v.stay, nil
}

// turn returns how the event nid, or none, took the place of the one that held the user's membership before pos, and that one; nil for
// none. The room's own course counts here, not that of the branch on which the event was made.
func (v *viewer) turn(nid, pos int64) (*departure, *store.Event, error) {
	end := &departure{eventNID: nid, pos: pos}
	old, err := v.tx.StateIDAt(v.roomNID, pos-1)
	if err != nil {
		return nil, nil, err
	}
	if end.stateID, err = v.tx.StateIDAt(v.roomNID, pos); err != nil {
		return nil, nil, err
	}
	var before int64
	if nid != 0 {
		e, err := v.tx.EventByNID(nid)
		if err != nil {
			return nil, nil, err
		}
		// Of a purged time the room's own course is not known, but for what the event itself says.
		if straight := e.StateBefore == old || old == 0; e.Pos == pos && straight {
			end.stateID = cmp.Or(end.stateID, e.StateAfter)
			if before = e.Replaces; before == 0 {
				return nil, nil, nil
			}
		}
	}
	if before == 0 {
		place, err := v.tx.LookupStateNID(event.TypeMember, string(v.user))
		if err != nil {
			return nil, nil, err
		}
		values, err := v.tx.StateValues(old, place)
		if err != nil || values[place] == 0 {
			return nil, nil, err
		}
		before = values[place]
	}
	e, err := v.tx.EventByNID(before)
	return end, e, err
}
