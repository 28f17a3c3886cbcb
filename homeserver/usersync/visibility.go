package usersync

import (
	"math"

	"causeway/homeserver/event"
	"causeway/homeserver/eventauth"
	"causeway/homeserver/store"

	"maunium.net/go/mautrix/id"
)

// viewer is one user looking at one room in one transaction. It is the door through which every event goes that is shown to
// a client: visible decides, by history visibility and by the user's membership at the event and afterwards.
//
// What the rules need of the room's state is followed from one state set to the next along the events that are looked at, so
// that a run of events costs at most one reading of state, and none when the user is in the room and the run ends now.
type viewer struct {
	tx      *store.Tx
	user    id.UserID
	roomNID int64
	seat    store.Membership // the user's current membership, "" for none

	member  fact // the user's membership
	history fact // the history visibility

	lastStay    int64 // position of the event that ended the user's last stay, see stayedUntil
	lastStayRow *store.Event
	stayKnown   bool
}

// maxMemberships bounds how far back a user's memberships of one room are followed.
const maxMemberships = 1000

// newViewer returns the viewer of a user whose current membership is seat. stateID is the room's current state set.
func newViewer(tx *store.Tx, user id.UserID, roomNID int64, seat store.Membership, stateID int64) *viewer {
	v := &viewer{
		tx: tx, user: user, roomNID: roomNID, seat: seat,
		member:  fact{eventType: event.TypeMember, stateKey: string(user), read: (*event.PDU).Membership},
		history: fact{eventType: event.TypeHistoryVisibility, read: (*event.PDU).HistoryVisibility},
	}
	v.member.learn(stateID, seat.Membership)
	return v
}

// visible tells whether the user may see an event of the room. What is done to a user's own membership is told to the user in any
// case; an invitation is news before any join.
func (v *viewer) visible(e *store.Event) (bool, error) {
	if e.RoomNID == v.roomNID && e.Pos != 0 && e.IsStateOf(event.TypeMember, string(v.user)) {
		return true, nil
	}
	return v.readable(e)
}

// readable tells whether the user may see an event of the room, and with it the room's state at that time. Client-Server API, "Room
// History Visibility".
func (v *viewer) readable(e *store.Event) (bool, error) {
	if e.RoomNID != v.roomNID || e.Pos == 0 {
		return false, nil // not of this room's timeline
	}
	before, _, err := v.member.across(v.tx, e)
	if err != nil {
		return false, err
	}
	if before == event.MembershipJoin && v.seat.Membership == event.MembershipJoin {
		return true, nil
	}
	until, err := v.stayedUntil()
	if err != nil {
		return false, err
	}
	if before == event.MembershipJoin {
		if e.Pos <= until {
			return true, nil
		}
		// It came after the user had left, from a branch on which they had not yet.
		before = event.MembershipLeave
	}
	visibility, _, err := v.history.across(v.tx, e)
	if err != nil {
		return false, err
	}
	return eventauth.Visible(eventauth.VisibilityInput{
		Event: e.PDU, User: v.user, Visibility: visibility, Membership: before, JoinedAfter: e.Pos < until,
	}), nil
}

// membershipAfter returns the user's membership in the state after an event, "leave" when there is none.
func (v *viewer) membershipAfter(e *store.Event) (string, error) {
	_, after, err := v.member.across(v.tx, e)
	if after == "" {
		after = event.MembershipLeave
	}
	return after, err
}

// stayedUntil returns the position up to which the user was in the room: without end for one who is in it, the position of
// the event that ended the last stay for one who is not, and 0 for one who never was.
func (v *viewer) stayedUntil() (int64, error) {
	if v.seat.Membership == event.MembershipJoin {
		return math.MaxInt64, nil
	}
	_, err := v.departure()
	return v.lastStay, err
}

// departure returns the event by which the user, who is not in the room now, last left it or was removed, and nil when they
// were never in it.
func (v *viewer) departure() (*store.Event, error) {
	if v.stayKnown || v.seat.EventNID == 0 {
		return v.lastStayRow, nil
	}
	nid := v.seat.EventNID
	var later *store.Event
	for range maxMemberships {
		e, err := v.tx.EventByNID(nid)
		if err != nil {
			return nil, err
		}
		if e.Membership() == event.MembershipJoin {
			if later != nil { // nil would mean that seat is out of date
				v.lastStay, v.lastStayRow = later.Pos, later
			}
			break
		}
		if e.Replaces == 0 {
			break
		}
		later, nid = e, e.Replaces
	}
	v.stayKnown = true
	return v.lastStayRow, nil
}

// fact follows what one place of a room's state says, from state set to state set.
type fact struct {
	eventType, stateKey string
	read                func(*event.PDU) string
	known               []knownFact
}

type knownFact struct {
	setID int64
	value string
}

// maxKnown bounds what a fact remembers; the newest are what the next event will ask for.
const maxKnown = 64

func (f *fact) learn(setID int64, value string) {
	if len(f.known) >= maxKnown {
		f.known = append(f.known[:0], f.known[maxKnown/2:]...)
	}
	f.known = append(f.known, knownFact{setID, value})
}

func (f *fact) recall(setID int64) (string, bool) {
	for i := len(f.known) - 1; i >= 0; i-- {
		if f.known[i].setID == setID {
			return f.known[i].value, true
		}
	}
	return "", false
}

// across returns what the place says in the states before and after an event; "" for nothing.
func (f *fact) across(tx *store.Tx, e *store.Event) (before, after string, err error) {
	if !e.IsStateOf(f.eventType, f.stateKey) {
		if value, ok := f.recall(e.StateAfter); ok {
			if e.StateBefore != e.StateAfter {
				f.learn(e.StateBefore, value)
			}
			return value, value, nil
		}
		value, err := f.at(tx, e.StateBefore)
		if e.StateBefore != e.StateAfter {
			f.learn(e.StateAfter, value)
		}
		return value, value, err
	}
	after = f.read(e.PDU)
	if _, ok := f.recall(e.StateAfter); !ok {
		f.learn(e.StateAfter, after)
	}
	if before, ok := f.recall(e.StateBefore); ok || e.Replaces == 0 {
		return before, after, nil
	}
	old, err := tx.EventByNID(e.Replaces)
	if err != nil {
		return "", "", err
	}
	before = f.read(old.PDU)
	f.learn(e.StateBefore, before)
	return before, after, nil
}

// at returns what the place says in a state set.
func (f *fact) at(tx *store.Tx, setID int64) (string, error) {
	if value, ok := f.recall(setID); ok || setID == 0 {
		return value, nil
	}
	place, err := tx.LookupStateNID(f.eventType, f.stateKey)
	if err != nil {
		return "", err
	}
	values, err := tx.StateValues(setID, place)
	if err != nil {
		return "", err
	}
	value := ""
	if nid := values[place]; nid != 0 {
		e, err := tx.EventByNID(nid)
		if err != nil {
			return "", err
		}
		value = f.read(e.PDU)
	}
	f.learn(setID, value)
	return value, nil
}
