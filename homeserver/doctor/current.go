package doctor

import (
	"slices"

	"causeway/homeserver/event"
	"causeway/homeserver/store"
)

// membership is what a member event says, as an index in memberships.
type membership uint8

// memberships are the memberships that there are, after what is none.
var memberships = []string{
	"", event.MembershipJoin, event.MembershipInvite, event.MembershipLeave, event.MembershipBan, event.MembershipKnock,
}

func membershipOf(p *event.PDU) membership {
	return membership(max(0, slices.Index(memberships, p.Membership())))
}

// checkCurrent examines the room's current state and what follows from it.
func (r *roomCheck) checkCurrent() error {
	if err := r.checkRoomStates(); err != nil {
		return err
	}
	stateID := r.row.StateID
	if !r.refer(stateID) {
		r.fault(KindCurrentState, "rooms", 0, "the current state, state set %d, is not there", stateID)
		return nil
	}
	current, ok, err := r.whole(stateID)
	if err != nil || !ok {
		return err
	}
	if err := r.checkResolved(); err != nil {
		return err
	}
	rows, err := r.tx.AuditCurrentState(r.row.NID)
	if err != nil {
		return err
	}
	for k, nid := range current {
		if rows[k] != nid {
			r.fault(KindCurrentState, "current_state", nid, "it is in the current state, and not in the table")
		}
	}
	for k, nid := range rows {
		if _, ok := current[k]; !ok {
			r.fault(KindCurrentState, "current_state", nid, "it is in the table, and not in the current state")
		}
	}
	if k, err := r.tx.LookupStateNID(event.TypeCreate, ""); err != nil {
		return err
	} else if len(r.places) > 0 && current[k] == 0 {
		r.fault(KindRoom, "rooms", 0, "the current state has no create event")
	}
	return r.checkMembers(current)
}

// checkResolved compares the current state with what the tips of the timeline leave.
func (r *roomCheck) checkResolved() error {
	var sets []int64
	for _, nid := range r.tips {
		i, ok := r.find(nid)
		if !ok || r.places[i].Pos == 0 || r.hasNext[i] || !r.usable(r.places[i].StateAfter) {
			return nil // told already
		}
		sets = append(sets, r.places[i].StateAfter)
	}
	if len(sets) == 0 {
		return nil
	}
	same, err := r.isResolution(r.row.StateID, sets)
	if err != nil {
		r.fault(KindCurrentState, "rooms", 0, "the states of the room's branches cannot be resolved: %s", err)
		return r.tx.Context().Err()
	}
	if !same {
		r.fault(KindCurrentState, "rooms", 0, "the current state is not what the room's tips leave")
	}
	return nil
}

// checkRoomStates examines the list of the states that the room has had.
func (r *roomCheck) checkRoomStates() error {
	type row struct{ pos, stateID int64 }
	var (
		first, last row
		rows        int
		missing     []row
	)
	err := r.tx.AuditRoomStates(r.row.NID, func(pos, stateID int64) {
		last = row{pos, stateID}
		if rows++; rows == 1 {
			first = last
		}
		if !r.refer(stateID) && len(missing) < maxExamples {
			missing = append(missing, last)
		}
	})
	if err != nil {
		return err
	}
	for _, m := range missing {
		r.fault(KindRoomState, "room_states", 0, "the state from position %d on, state set %d, is not there", m.pos, m.stateID)
	}
	if last.stateID != r.row.StateID {
		r.fault(KindRoomState, "room_states", 0, "the newest state, from position %d on, is state set %d, and the room says %d", last.pos, last.stateID, r.row.StateID)
	}
	// Of a room whose history was purged, the first row stands where the first event was.
	if i := slices.IndexFunc(r.places, func(p store.AuditPlace) bool { return p.Pos != 0 }); i >= 0 && rows > 0 && !r.purged && first.pos < r.places[i].Pos {
		r.fault(KindRoomState, "room_states", 0, "there is a state from position %d on, and no event before %d", first.pos, r.places[i].Pos)
	}
	return nil
}

// checkMembers compares the memberships with the member events of the current state.
func (r *roomCheck) checkMembers(current store.StateSet) error {
	rows, err := r.tx.Members(r.row.NID, "")
	if err != nil {
		return err
	}
	want := 0
	for k := range current {
		if k.Type == r.memberID {
			want++
		}
	}
	for _, m := range rows {
		nid, ok := current[store.StateNID{Type: r.memberID, Key: m.UserNID}]
		if !ok && m.EventNID == 0 && m.Membership == event.MembershipLeave {
			continue // branches met, and left no member event of this user
		}
		if !ok {
			r.fault(KindMembership, "memberships", 0, "%s has a membership, and no event says so", r.user(m.UserNID))
			continue
		}
		want--
		i, here := r.find(nid)
		gone := m.Membership == event.MembershipLeave || m.Membership == event.MembershipBan
		switch {
		case m.EventNID != nid:
			r.fault(KindMembership, "memberships", nid, "the membership of %s is by another event than this one", r.user(m.UserNID))
		case here && !r.unread[nid] && memberships[r.members[i]] != m.Membership:
			r.fault(KindMembership, "memberships", nid, "%s has the membership %q, and the event says %q", r.user(m.UserNID), m.Membership, memberships[r.members[i]])
		case m.Pos <= 0:
			r.fault(KindMembership, "memberships", nid, "the membership of %s has no position", r.user(m.UserNID))
		case m.Forgotten && !gone:
			r.fault(KindMembership, "memberships", nid, "%s has forgotten the room, and has the membership %q", r.user(m.UserNID), m.Membership)
		}
	}
	if want > 0 {
		r.fault(KindMembership, "memberships", 0, "%d users are members by the current state, and have no membership", want)
	}
	return nil
}

// user names a user for people.
func (r *roomCheck) user(nid int64) string {
	name, err := r.tx.Text(nid)
	if err != nil {
		return "(an unknown user)"
	}
	return name
}
