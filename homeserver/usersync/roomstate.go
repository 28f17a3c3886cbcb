package usersync

import (
	"cmp"
	"maps"
	"slices"

	"causeway/homeserver/event"
	"causeway/homeserver/store"

	"maunium.net/go/mautrix/id"
)

// target is the state set that the client is to know from the state section: that at the start of the timeline, or that at
// its end (MSC4222).
func (r *roomPass) target() int64 {
	if r.req.StateAfter == "" && len(r.t.shown) > 0 {
		return r.t.shown[0].StateBefore
	}
	return r.end
}

// delta returns the state that changed between what the client knows and the target, and what else of the state the
// timeline should have told but does not, because the filter or the rules of visibility hide it. It is empty for a client
// that knows nothing.
func (r *roomPass) delta() (store.StateSet, error) {
	changes := store.StateSet{}
	if r.known != 0 {
		var err error
		if changes, err = r.tx.StateDelta(r.known, r.target()); err != nil {
			return nil, err
		}
	}
	if r.req.StateAfter != "" || len(r.t.shown) == 0 || len(r.t.shown) == len(r.t.scanned) {
		return changes, nil
	}
	return changes, r.addHidden(changes)
}

// addHidden adds to changes the state events that the timeline leaves out, unless a later one of the timeline makes up for
// them.
func (r *roomPass) addHidden(changes store.StateSet) error {
	hidden := store.StateSet{}
	next := 0
	for _, e := range r.t.scanned {
		shown := next < len(r.t.shown) && r.t.shown[next] == e
		if shown {
			next++
		}
		if !e.IsState() || next == 0 { // before the first shown, it is part of the state at the start
			continue
		}
		place, err := r.tx.LookupStateNID(e.Type, *e.StateKey)
		if err != nil {
			return err
		}
		if shown {
			delete(hidden, place)
		} else {
			hidden[place] = e.NID
		}
	}
	maps.Copy(changes, hidden)
	return nil
}

// state returns the events of the state section: changes, or the whole state for a client that knows nothing; with the
// members that a client which loads members lazily needs.
func (r *roomPass) state(full bool, changes store.StateSet, heroes []int64) ([]*store.Event, error) {
	filter := r.filter.Room.State
	if !filter.allowsRoom(r.roomID) {
		return nil, nil
	}
	var wanted []int64 // members
	if filter.lazy() {
		var err error
		if wanted, err = r.wantedMembers(full, heroes); err != nil {
			return nil, err
		}
	}
	var (
		events []*store.Event
		err    error
	)
	if full {
		events, err = stateEvents(r.tx, r.seat.RoomNID, r.target(), r.seat.StateID, filter.lazy(), wanted)
	} else if len(wanted) > 0 {
		events, err = stateMembers(r.tx, r.seat.RoomNID, r.target(), r.seat.StateID, wanted)
	}
	if err != nil {
		return nil, err
	}
	if events, err = r.overlay(events, changes); err != nil {
		return nil, err
	}
	if !filter.all() {
		events = slices.DeleteFunc(events, func(e *store.Event) bool { return !filter.allows(e.PDU) })
	}
	sortByPos(events)
	return events, nil
}

// overlay puts the events of changes over the given ones.
func (r *roomPass) overlay(events []*store.Event, changes store.StateSet) ([]*store.Event, error) {
	if len(changes) == 0 {
		return events, nil
	}
	missing := make(map[int64]bool, len(changes))
	for _, nid := range changes {
		missing[nid] = true
	}
	replaced := make(map[store.StateNID]bool, len(changes))
	kept := events[:0]
	for _, e := range events {
		place, err := r.tx.LookupStateNID(e.Type, *e.StateKey)
		if err != nil {
			return nil, err
		}
		if _, changed := changes[place]; changed {
			replaced[place] = true
			continue
		}
		kept = append(kept, e)
	}
	for _, e := range r.t.scanned {
		if missing[e.NID] {
			delete(missing, e.NID)
			kept = append(kept, e)
		}
	}
	more, err := r.tx.EventsByNID(slices.Collect(maps.Keys(missing)))
	return append(kept, more...), err
}

// wantedMembers returns the users whose member events a client needs that loads members lazily: the senders of the
// timeline, the heroes, and, with the whole state, the user. Client-Server API, "Lazy-loading room members".
func (r *roomPass) wantedMembers(full bool, heroes []int64) ([]int64, error) {
	wanted, err := senders(r.tx, r.t.shown)
	if err != nil {
		return nil, err
	}
	for _, nid := range heroes {
		if !slices.Contains(wanted, nid) {
			wanted = append(wanted, nid)
		}
	}
	if full && !slices.Contains(wanted, r.userNID) {
		wanted = append(wanted, r.userNID)
	}
	return wanted, nil
}

// senders returns the integers of the senders of events, each once.
func senders(tx *store.Tx, events []*store.Event) ([]int64, error) {
	var (
		nids []int64
		last id.UserID
	)
	for _, e := range events {
		if e.Sender == last {
			continue
		}
		last = e.Sender
		nid, err := tx.LookupNID(string(e.Sender))
		if err != nil {
			return nil, err
		}
		if !slices.Contains(nids, nid) {
			nids = append(nids, nid)
		}
	}
	return nids, nil
}

// stateEvents returns the events of a state set of a room, whose current one is currentID; with lazy, only the given members.
func stateEvents(tx *store.Tx, roomNID, setID, currentID int64, lazy bool, members []int64) ([]*store.Event, error) {
	if setID == currentID {
		if !lazy {
			return tx.CurrentState(roomNID)
		}
		events, err := tx.CurrentStateExcept(roomNID, event.TypeMember)
		if err != nil {
			return nil, err
		}
		some, err := tx.CurrentStateOfKeys(roomNID, event.TypeMember, members)
		return append(events, some...), err
	}
	set, err := tx.StateDelta(0, setID)
	if err != nil {
		return nil, err
	}
	memberNID, err := tx.LookupNID(event.TypeMember)
	if err != nil {
		return nil, err
	}
	nids := make([]int64, 0, len(set))
	for place, nid := range set {
		if !lazy || place.Type != memberNID || slices.Contains(members, place.Key) {
			nids = append(nids, nid)
		}
	}
	return tx.EventsByNID(nids)
}

// stateMembers returns the m.room.member events of some users in a state set of a room.
func stateMembers(tx *store.Tx, roomNID, setID, currentID int64, members []int64) ([]*store.Event, error) {
	if setID == currentID {
		return tx.CurrentStateOfKeys(roomNID, event.TypeMember, members)
	}
	memberNID, err := tx.LookupNID(event.TypeMember)
	if err != nil {
		return nil, err
	}
	places := make([]store.StateNID, len(members))
	for i, nid := range members {
		places[i] = store.StateNID{Type: memberNID, Key: nid}
	}
	set, err := tx.StateValues(setID, places...)
	if err != nil {
		return nil, err
	}
	return tx.EventsByNID(slices.Collect(maps.Values(set)))
}

func sortByPos(events []*store.Event) {
	slices.SortFunc(events, func(a, b *store.Event) int { return cmp.Compare(a.Pos, b.Pos) })
}
