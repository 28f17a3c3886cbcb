package usersync

import (
	"errors"
	"math"

	"causeway/homeserver/event"
	"causeway/homeserver/eventauth"
	"causeway/homeserver/retention"
	"causeway/homeserver/store"

	"maunium.net/go/mautrix/id"
)

// viewer is one user looking at one room in one transaction. It is the door through which every event goes that is shown to a client:
// see for events of the timeline, seeState for events that are shown as state. Both return what is to be shown.
//
// What the rules need of the room's state is followed from one state set to the next along the events that are looked at, so
// that a run of events costs at most one reading of state, and none when the user is in the room and the run ends now.
type viewer struct {
	*sight
	roomNID int64
	seat    store.Membership // the user's current membership, "" for none

	member  fact // the user's membership
	history fact // the history visibility

	lifetime      int64 // of messages, in milliseconds, 0 for ever
	lifetimeKnown bool

	stay      *departure // the end of the user's last stay, nil when there is none
	stayKnown bool

	all      bool // see seesEverything
	allKnown bool

	related map[int64]bool // events that pass a filter's conditions on what relates to them: see relate
}

// newViewer returns the viewer of a user whose current membership is seat. stateID is the room's current state set.
func newViewer(s *sight, roomNID int64, seat store.Membership, stateID int64) *viewer {
	v := &viewer{
		sight: s, roomNID: roomNID, seat: seat,
		member:  fact{eventType: event.TypeMember, stateKey: string(s.user), read: (*event.PDU).Membership},
		history: fact{eventType: event.TypeHistoryVisibility, read: (*event.PDU).HistoryVisibility},
	}
	v.member.learn(stateID, seat.Membership)
	return v
}

// see returns what the user sees of an event in the timeline: the event, its redacted form, or nil for nothing.
func (v *viewer) see(e *store.Event) (*store.Event, error) {
	if !e.IsState() && e.Type == event.TypeDummy {
		return nil, nil
	}
	if expired, err := v.expired(e); err != nil || expired {
		return nil, err
	}
	// Client-Server API, "Ignoring Users": all but the state that they set.
	ignored := false
	if !e.IsState() {
		var err error
		if ignored, err = v.ignores(e.Sender); err != nil {
			return nil, err
		}
	}
	return v.form(e, ignored)
}

// expired tells whether an event is a message that is older than the room lets messages be (MSC1763). The job that deletes those has
// perhaps not come yet.
func (v *viewer) expired(e *store.Event) (bool, error) {
	if e.IsState() {
		return false, nil
	}
	since, err := v.keptSince()
	return err == nil && e.OriginServerTS < since, err
}

// keptSince returns the time of the oldest messages that the room lets be, in milliseconds; the lowest there is when it lets all be.
func (v *viewer) keptSince() (int64, error) {
	if !v.keeps.Enabled {
		return math.MinInt64, nil
	}
	if !v.lifetimeKnown {
		var content []byte
		set, err := v.tx.CurrentStateEvent(v.roomNID, retention.EventType, "")
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return 0, err
		}
		if err == nil {
			content = set.Content
		}
		v.lifetime, v.lifetimeKnown = v.keeps.MaxLifetime(content), true
	}
	if v.lifetime == 0 {
		return math.MinInt64, nil
	}
	return v.nowTS - v.lifetime, nil
}

// seeRedaction returns what the user sees of the redaction of an event that they see. It comes with that event, and so is shown
// even when the user ignores who made it, and, to members, when its place in the timeline has been purged.
func (v *viewer) seeRedaction(e *store.Event) (*store.Event, error) {
	if e.RoomNID != v.roomNID || e.Status != store.Outlier || v.seat.Membership != event.MembershipJoin {
		return v.form(e, false)
	}
	if erased, err := v.hasErased(e.Sender); err != nil || !erased {
		return e, err
	}
	return redacted(e)
}

// form returns the event, its redacted form, or nil.
func (v *viewer) form(e *store.Event, ignored bool) (*store.Event, error) {
	view, err := v.view(e, ignored)
	if err != nil || view == eventauth.Hidden {
		return nil, err
	}
	if view == eventauth.Whole {
		return e, nil
	}
	if current, err := v.governs(e); err != nil || current {
		return e, err
	}
	return redacted(e)
}

// view judges an event. What is done to a user's own membership is told to the user in any case; an invitation is news before any
// join.
func (v *viewer) view(e *store.Event, ignored bool) (eventauth.View, error) {
	if !v.holds(e) {
		return eventauth.Hidden, nil
	}
	if e.IsStateOf(event.TypeMember, string(v.user)) {
		return eventauth.Whole, nil
	}
	in, err := v.circumstances(e)
	if err != nil {
		return eventauth.Hidden, err
	}
	in.SenderIgnored = ignored
	view := eventauth.ViewFor(in)
	if view != eventauth.Whole || in.Membership == event.MembershipJoin {
		return view, nil
	}
	if in.SenderErased, err = v.hasErased(e.Sender); err != nil || !in.SenderErased {
		return view, err
	}
	return eventauth.ViewFor(in), nil
}

// holds tells whether an event is in the room's timeline. Outliers and events that were rejected are not, nor is what has been purged
// but for the state that it set.
func (v *viewer) holds(e *store.Event) bool {
	return e.RoomNID == v.roomNID && e.Pos != 0 && e.Status == 0
}

// readable tells whether the user may know the room's state as it was at an event. Client-Server API, "Room History Visibility".
func (v *viewer) readable(e *store.Event) (bool, error) {
	if !v.holds(e) {
		return false, nil
	}
	in, err := v.circumstances(e)
	return err == nil && eventauth.ViewFor(in) != eventauth.Hidden, err
}

// readableAt is readable by the state that the room itself had, which where it forks is not that of the event. e is the last event
// before.
func (v *viewer) readableAt(e *store.Event, stateID int64) (bool, error) {
	in := eventauth.VisibilityInput{Event: e.PDU, User: v.user}
	until, err := v.stayedUntil()
	if err != nil {
		return false, err
	}
	in.JoinedAfter = e.Pos < until
	if in.Membership, err = v.member.at(v.tx, stateID); err != nil {
		return false, err
	}
	if in.Visibility, err = v.history.at(v.tx, stateID); err != nil {
		return false, err
	}
	return eventauth.ViewFor(in) != eventauth.Hidden, nil
}

// circumstances are what the rules of visibility depend on, at an event.
func (v *viewer) circumstances(e *store.Event) (in eventauth.VisibilityInput, err error) {
	in = eventauth.VisibilityInput{Event: e.PDU, User: v.user}
	if in.Membership, _, err = v.member.across(v.tx, e); err != nil {
		return in, err
	}
	if in.Membership == event.MembershipJoin && v.seat.Membership == event.MembershipJoin {
		return in, nil // may see all, whatever the visibility
	}
	until, err := v.stayedUntil()
	if err != nil {
		return in, err
	}
	if in.Membership == event.MembershipJoin {
		if e.Pos <= until {
			return in, nil
		}
		// It came after the user had left, from a branch on which they had not yet.
		in.Membership = event.MembershipLeave
	}
	in.JoinedAfter = e.Pos < until
	in.Visibility, _, err = v.history.across(v.tx, e)
	return in, err
}

// governs tells whether an event is part of the room's current state and must stay as it is, whoever set it: a room whose
// encryption or name only some of its members know is broken. A member event is about its user alone, and is not spared.
func (v *viewer) governs(e *store.Event) (bool, error) {
	if !e.IsState() || e.Type == event.TypeMember {
		return false, nil
	}
	now, err := v.tx.CurrentStateEvent(v.roomNID, e.Type, *e.StateKey)
	if errors.Is(err, store.ErrNotFound) {
		return false, nil
	}
	return err == nil && now.NID == e.NID, err
}

// seeState returns what the user sees of events that are shown as the state of a room, which the user may read. State is shown whoever
// set it and wherever its event stands; only the member events of erased users are redacted, for those who were not in the room
// then. The slice that is given is the caller's no more.
func (v *viewer) seeState(events []*store.Event) ([]*store.Event, error) {
	var senders []id.UserID
	for _, e := range events {
		if v.erasable(e) {
			senders = append(senders, e.Sender)
		}
	}
	if len(senders) == 0 {
		return events, nil
	}
	if err := v.askErased(senders); err != nil || v.noneErased {
		return events, err
	}
	for i, e := range events {
		if !v.erasable(e) || !v.erased[e.Sender] {
			continue
		}
		before, _, err := v.member.across(v.tx, e)
		if err != nil {
			return nil, err
		}
		if before == event.MembershipJoin {
			continue
		}
		if events[i], err = redacted(e); err != nil {
			return nil, err
		}
	}
	return events, nil
}

// erasable tells whether an event of the state says something of its sender that goes when the sender is erased.
func (v *viewer) erasable(e *store.Event) bool {
	return e.Sender != v.user && e.IsStateOf(event.TypeMember, string(e.Sender))
}

// redacted returns the redacted form of an event.
func redacted(e *store.Event) (*store.Event, error) {
	pruned, err := e.Redact()
	if err != nil {
		return nil, err
	}
	shown := *e
	shown.PDU = pruned
	return &shown, nil
}

// membershipAfter returns the user's membership in the state after an event, "leave" when there is none.
func (v *viewer) membershipAfter(e *store.Event) (string, error) {
	_, after, err := v.member.across(v.tx, e)
	if after == "" {
		after = event.MembershipLeave
	}
	return after, err
}
