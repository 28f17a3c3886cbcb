package room

import (
	"context"
	"errors"
	"slices"

	"causeway/homeserver/event"
	"causeway/homeserver/eventauth"
	"causeway/homeserver/store"
)

// placement is an event with its place in the room, when everything of the room is stored and nothing else is added.
type placement struct {
	*arrival
	txn      store.Txn      // of an event of this server
	place    store.StateNID // of a state event
	replaces int64          // what its place held in the state before it
	redacts  *redaction

	current  int64            // the room's current state set
	tips     []*store.Event   // its tips
	gone     []int64          // tips that the event comes after
	children []*store.Event   // events of gaps that come after the event
	covered  bool             // something of the timeline comes after the event: it is no tip
	next     State            // the new current state, over current
	members  map[int64]string // the memberships of the member events of next that were here before

	nid, pos int64 // set by the writer
	after    int64 // the room's current state set now
	changed  []store.StateNID
}

// changesState tells whether the state after the event is another than that before it.
func (p *placement) changesState() bool {
	return p.pdu.StateKey != nil && p.status&store.Rejected == 0
}

// prepare reads what the place depends on.
func (p *placement) prepare(tx *store.Tx) error {
	r, err := tx.RoomByNID(p.arrival.nid)
	if err != nil {
		return err
	}
	p.current = r.StateID
	if p.tips, err = tx.Extremities(r.NID); err != nil {
		return err
	}
	if p.changesState() {
		if p.replaces, err = p.before.value(tx, p.place); err != nil {
			return err
		}
	}
	if err := p.findChildren(tx); err != nil {
		return err
	}
	if err := p.checkCircle(tx); err != nil {
		return err
	}
	return p.findGone(tx)
}

// checkCircle refuses an event that comes after what comes after it. Only in versions 1 and 2, where senders choose the ids of their
// events, can there be one; where the way is too long to tell, it is taken for one.
func (p *placement) checkCircle(tx *store.Tx) error {
	if len(p.children) == 0 || p.version.EventIDs != event.EventIDGiven {
		return nil
	}
	children, seen := make(map[int64]bool), make(map[int64]bool)
	for _, child := range p.children {
		children[child.NID] = true
	}
	for look := slices.Clone(p.prevs); len(look) > 0; {
		e := look[0]
		look = look[1:]
		if seen[e.NID] {
			continue
		}
		seen[e.NID] = true
		if children[e.NID] || len(seen) > maxBehind {
			return &Unacceptable{errors.New("it comes after events that come after it")}
		}
		behind, err := tx.PrevEvents(e)
		if err != nil {
			return err
		}
		look = append(look, behind...)
	}
	return nil
}

// softFail soft-fails an event that is allowed where it stands, but not by the room's current state, and finds what becomes of the
// target of a redaction that is accepted. After a gap, this server may have missed what the room has been told since: there, the current
// state is taken together with the state before the event.
func (s *Service) softFail(ctx context.Context, p *placement) error {
	if p.status != 0 {
		return nil
	}
	current := State{Base: p.current}
	if p.gap {
		states := []State{p.before}
		for _, tip := range p.tips {
			states = append(states, State{Base: tip.StateAfter})
		}
		var err error
		if current, err = s.meet(ctx, p, states, nil); err != nil {
			return err
		}
	}
	return s.DB.View(ctx, func(tx *store.Tx) error {
		now, err := loadAuthState(tx, current, p.pdu)
		if err != nil {
			return err
		}
		if err := eventauth.Check(p.pdu, now); err != nil {
			p.status, p.reason = store.SoftFailed, "By the room's state when it came: "+err.Error()
			return nil
		}
		if p.pdu.Redacts == "" {
			return nil
		}
		state, err := loadAuthState(tx, p.before, p.pdu)
		if err != nil {
			return err
		}
		p.redacts, err = redactionOf(tx, state, p.arrival.nid, p.pdu)
		return err
	})
}

// findChildren finds the events of gaps that name the event as one before them.
func (p *placement) findChildren(tx *store.Tx) error {
	after, err := tx.GapsAt(p.pdu.EventID)
	for _, e := range after {
		if e.RoomNID == p.arrival.nid {
			p.children = append(p.children, e)
			p.covered = p.covered || e.Status == 0
		}
	}
	return err
}

// maxBehind bounds how many soft-failed and rejected events are looked behind for tips.
const maxBehind = 200

// findGone finds the tips that the event comes after, directly or by way of events that are not in the timeline.
func (p *placement) findGone(tx *store.Tx) error {
	tips := make(map[int64]bool, len(p.tips))
	for _, tip := range p.tips {
		tips[tip.NID] = true
	}
	seen := make(map[int64]bool)
	for look := slices.Clone(p.prevs); len(look) > 0 && len(seen) < maxBehind; {
		e := look[0]
		look = look[1:]
		if seen[e.NID] {
			continue
		}
		seen[e.NID] = true
		if tips[e.NID] {
			p.gone = append(p.gone, e.NID)
		}
		if e.Status != 0 {
			behind, err := tx.PrevEvents(e)
			if err != nil {
				return err
			}
			look = append(look, behind...)
		}
	}
	return nil
}

// settleState finds the room's state with the event.
func (s *Service) settleState(ctx context.Context, p *placement) error {
	p.next = State{Base: p.current}
	if p.status != 0 || p.covered && len(p.gone) == 0 {
		return nil
	}
	var states []State
	for _, tip := range p.tips {
		if !slices.Contains(p.gone, tip.NID) {
			states = append(states, State{Base: tip.StateAfter})
		}
	}
	var fresh *arriving
	if !p.covered {
		after := p.before
		if p.changesState() {
			now := int64(newEvent)
			if p.stored != nil { // other states may hold it already
				now = p.stored.NID
			} else {
				fresh = &arriving{pdu: p.pdu, place: p.place}
				for _, e := range p.auth {
					fresh.auth = append(fresh.auth, e.NID)
				}
			}
			after.Changes = append(slices.Clone(after.Changes), store.StateChange{Place: p.place, Old: p.replaces, New: now})
		}
		states = append(states, after)
	}
	if len(states) == 0 { // ids that their senders choose, in versions 1 and 2, can be made to go in circles
		p.gone = nil
		return nil
	}
	resolved, err := s.meet(ctx, p, states, fresh)
	if err != nil {
		return err
	}
	return s.DB.View(ctx, func(tx *store.Tx) (err error) {
		if p.next, err = rebase(tx, resolved, p.current); err != nil {
			return err
		}
		return p.readMembers(tx)
	})
}

// readMembers reads the memberships that the new state brings, so that the writer need not.
func (p *placement) readMembers(tx *store.Tx) error {
	memberType, err := tx.LookupNID(event.TypeMember)
	if err != nil {
		return err
	}
	var nids []int64
	for _, c := range p.next.Changes {
		if c.Place.Type == memberType && c.New != 0 && c.New != newEvent {
			nids = append(nids, c.New)
		}
	}
	events, err := tx.EventsByNID(nids)
	p.members = make(map[int64]string, len(events))
	for _, e := range events {
		p.members[e.NID] = e.Membership()
	}
	return err
}

// meet resolves the states of the tips.
func (s *Service) meet(ctx context.Context, p *placement, states []State, fresh *arriving) (State, error) {
	sets := make([]int64, 0, len(states))
	stored := true
	for _, st := range states {
		sets, stored = append(sets, st.Base), stored && len(st.Changes) == 0
	}
	switch {
	case len(states) == 1:
		return states[0], nil
	case stored:
		return s.resolver.Resolve(ctx, p.arrival.nid, p.version, sets)
	}
	return s.resolver.resolve(ctx, p.version, states, fresh)
}
