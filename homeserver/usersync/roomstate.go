package usersync

import (
	"cmp"
	"maps"
	"slices"

	"causeway/homeserver/event"
	"causeway/homeserver/store"

	"maunium.net/go/mautrix/id"
)

// delta returns what the state section holds over base, which it sets: the changes of the state between what the client knows and base,
// or, for a client that knows nothing, what there is to put over the whole of base; an event 0 takes a place away.
//
// With state_after (MSC4222) that leads to the state now. Without, it leads to the state at the start of the timeline, from where the
// client goes on with the state events of the timeline itself. On one branch with nothing left out it then arrives at the state now.
// Where the room has forked, or the timeline leaves something out, that must be seen to: see bent.
func (r *roomPass) delta(full bool) (changes store.StateSet, err error) {
	r.base = r.end
	bent := false
	if r.req.StateAfter == "" && len(r.t.shown) > 0 {
		if bent = !r.t.straight(r.end); !bent {
			r.base = r.t.shown[0].StateBefore
		}
	}
	changes = store.StateSet{}
	if !full {
		if changes, err = r.tx.StateDelta(r.known, r.base); err != nil {
			return nil, err
		}
	}
	if bent {
		err = r.bent(full, changes)
	}
	return changes, err
}

// bent corrects the changes up to the end for a timeline that does not by itself lead from the state at its start to that at its
// end. Where its last word on a place is the truth, the state section says what the place was before it. Where it is not, as that
// event has lost to one of another branch, the client would go on believing it: the timeline is cut short behind it, so that
// the client has to ask for that part of the history, as it has for any gap. Other places are what they are at the end.
func (r *roomPass) bent(full bool, changes store.StateSet) error {
	last, err := r.lastWords()
	if err != nil || len(last) == 0 {
		return err
	}
	places := slices.Collect(maps.Keys(last))
	now, err := r.tx.StateValues(r.end, places...)
	if err != nil {
		return err
	}
	var lost int64 // position of the last event that is not the truth
	for place, e := range last {
		if now[place] != e.NID {
			lost = max(lost, e.Pos)
		}
	}
	if lost > 0 {
		r.t.cut(lost)
		maps.DeleteFunc(last, func(_ store.StateNID, e *store.Event) bool { return e.Pos <= lost })
	}
	if len(last) == 0 {
		return nil
	}
	places = slices.Collect(maps.Keys(last))
	before, err := r.tx.StateValues(r.t.shown[0].StateBefore, places...)
	if err != nil {
		return err
	}
	known := store.StateSet{}
	if !full {
		if known, err = r.tx.StateValues(r.known, places...); err != nil {
			return err
		}
	}
	for _, place := range places {
		if changes[place] = before[place]; !full && known[place] == before[place] {
			delete(changes, place)
		}
	}
	return nil
}

// lastWords returns the newest event that the timeline shows of each place of the state, but for places that the client does not
// want to know of.
func (r *roomPass) lastWords() (map[store.StateNID]*store.Event, error) {
	last := make(map[store.StateNID]*store.Event)
	if !r.filter.Room.State.allowsRoom(r.roomID) {
		return last, nil
	}
	for _, e := range r.t.shown {
		if !e.IsState() || !r.filter.Room.State.allows(e.PDU) {
			continue
		}
		place, err := r.tx.LookupStateNID(e.Type, *e.StateKey)
		if err != nil {
			return nil, err
		}
		last[place] = e
	}
	return last, nil
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
		events, err = stateEvents(r.tx, r.seat.RoomNID, r.base, r.seat.StateID, filter.lazy(), wanted)
	} else if len(wanted) > 0 {
		events, err = stateMembers(r.tx, r.seat.RoomNID, r.base, r.seat.StateID, wanted)
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
	return events, nil
}

// overlay puts the events of changes over the given ones.
func (r *roomPass) overlay(events []*store.Event, changes store.StateSet) ([]*store.Event, error) {
	if len(changes) == 0 {
		return events, nil
	}
	missing := make(map[int64]bool, len(changes))
	for _, nid := range changes {
		if nid != 0 {
			missing[nid] = true
		}
	}
	kept := events[:0]
	for _, e := range events {
		place, err := r.tx.LookupStateNID(e.Type, *e.StateKey)
		if err != nil {
			return nil, err
		}
		if _, changed := changes[place]; !changed {
			kept = append(kept, e)
		}
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
	return r.redundant(full, wanted), nil
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

// sortByPos puts events into the order of the timeline. Those whose place in it is not known, or no longer, come first.
func sortByPos(events []*store.Event) {
	slices.SortFunc(events, func(a, b *store.Event) int { return cmp.Or(cmp.Compare(a.Pos, b.Pos), cmp.Compare(a.NID, b.NID)) })
}
