package room

import (
	"slices"

	"causeway/homeserver/event"
	"causeway/homeserver/notify"
	"causeway/homeserver/store"

	"maunium.net/go/mautrix/id"
)

// writePlacement stores the event in its place. It runs on the writer's goroutine, perhaps more than once.
func (s *Service) writePlacement(tx *store.Tx, p *placement) error {
	row, err := p.row(tx)
	if err != nil {
		return err
	}
	if p.stored != nil {
		err = tx.PlaceEvent(row)
	} else {
		err = tx.InsertEvent(row)
	}
	if err != nil {
		return err
	}
	if err := tx.AdoptChildren(row); err != nil {
		return err
	}
	if err := p.writeEdges(tx); err != nil {
		return err
	}
	if p.status != 0 {
		return nil
	}
	if err := s.writeSticky(tx, row); err != nil {
		return err
	}
	tip := p.nid
	if p.covered {
		tip = 0
	}
	if err := tx.ReplaceExtremities(p.arrival.nid, p.gone, tip); err != nil {
		return err
	}
	if err := p.writeCurrent(tx); err != nil {
		return err
	}
	if p.stored == nil || p.stored.RedactedBy == 0 {
		in := store.Placed{Event: row, RoomBefore: p.current, RoomAfter: p.after, Branches: len(p.changed) > 0}
		if err := s.judge(tx, in); err != nil {
			return err
		}
	}
	if err := s.writeAwaited(tx, row, p.redacts); err != nil {
		return err
	}
	return s.writeRedaction(tx, p.redacts, p.nid)
}

// row makes the event's row, with the state sets that it needs.
func (p *placement) row(tx *store.Tx) (*store.Event, error) {
	var err error
	p.pos = 0
	if p.stored != nil {
		p.nid = p.stored.NID
	} else if p.nid, err = tx.NextPos(); err != nil {
		return nil, err
	}
	if p.status == 0 {
		if p.pos = p.nid; p.stored != nil {
			if p.pos, err = tx.NextPos(); err != nil {
				return nil, err
			}
		}
	}
	row := &store.Event{
		PDU: p.pdu, NID: p.nid, RoomNID: p.arrival.nid, Pos: p.pos, Status: p.status, Reason: p.reason, Replaces: p.replaces,
		TxnDevice: p.txn.Device, TxnID: p.txn.ID, TxnTarget: p.txn.Target,
	}
	for _, e := range p.auth {
		row.Auth = append(row.Auth, e.NID)
	}
	if row.StateBefore, err = tx.ChangeState(p.arrival.nid, p.before.Base, p.before.Changes); err != nil {
		return nil, err
	}
	row.StateAfter = row.StateBefore
	if p.changesState() {
		change := store.StateChange{Place: p.place, Old: p.replaces, New: p.nid}
		row.StateAfter, err = tx.ChangeState(p.arrival.nid, row.StateBefore, []store.StateChange{change})
	}
	return row, err
}

// writeEdges records what the event comes after, and what comes after it.
func (p *placement) writeEdges(tx *store.Tx) error {
	for _, prev := range p.prevs {
		if err := tx.InsertEdge(prev.NID, p.nid); err != nil {
			return err
		}
	}
	for _, eventID := range p.missing() {
		if err := tx.InsertGap(p.arrival.nid, p.nid, eventID); err != nil {
			return err
		}
	}
	for _, child := range p.children {
		if err := tx.InsertEdge(p.nid, child.NID); err != nil {
			return err
		}
		if err := tx.DeleteGap(child.NID, p.pdu.EventID); err != nil {
			return err
		}
	}
	return nil
}

// missing returns the prev_events that have no place here.
func (p *placement) missing() []id.EventID {
	if !p.gap {
		return nil
	}
	have := make(map[id.EventID]bool, len(p.prevs))
	for _, prev := range p.prevs {
		have[prev.EventID] = true
	}
	return slices.DeleteFunc(slices.Clone(p.pdu.PrevEvents), func(eventID id.EventID) bool { return have[eventID] })
}

// writeCurrent makes the room's state what the tips make it.
func (p *placement) writeCurrent(tx *store.Tx) error {
	p.changed, p.after = p.changed[:0], p.current
	if len(p.next.Changes) == 0 {
		return nil
	}
	room := p.arrival.nid
	changes := slices.Clone(p.next.Changes)
	for i, c := range changes {
		if c.New == newEvent {
			changes[i].New = p.nid
		}
	}
	setID, err := tx.ChangeState(room, p.current, changes)
	if err != nil {
		return err
	}
	p.after = setID
	if err := tx.SetRoomState(room, p.pos, setID); err != nil {
		return err
	}
	memberType, err := tx.NID(event.TypeMember)
	if err != nil {
		return err
	}
	for _, c := range changes {
		if err := p.writePlace(tx, c, c.Place.Type == memberType); err != nil {
			return err
		}
	}
	return nil
}

// writePlace makes one place of the current state what it is now.
func (p *placement) writePlace(tx *store.Tx, c store.StateChange, isMember bool) error {
	room := p.arrival.nid
	if isMember {
		p.changed = append(p.changed, c.Place)
	}
	if c.New == 0 {
		if isMember { // the row stays, so that the user is told
			m := store.Membership{RoomNID: room, UserNID: c.Place.Key, Membership: event.MembershipLeave, Pos: p.pos}
			if err := tx.SetMembership(m); err != nil {
				return err
			}
		}
		return tx.ClearCurrentState(room, c.Place)
	}
	if err := tx.SetCurrentState(room, c.Place, c.New); err != nil || !isMember {
		return err
	}
	membership, known := p.members[c.New]
	if !known {
		membership = p.pdu.Membership()
	}
	return tx.SetMembership(store.Membership{
		RoomNID: room, UserNID: c.Place.Key, Membership: membership, EventNID: c.New, Pos: p.pos,
	})
}

// signals tell of the event.
func (p *placement) signals() []notify.Signal {
	if p.status != 0 {
		return nil
	}
	all := []notify.Signal{
		{Key: notify.Key{Kind: notify.Room, NID: p.arrival.nid}, Pos: p.pos},
		{Key: notify.Events, Pos: p.pos},
	}
	for _, member := range p.changed {
		all = append(all, notify.Signal{Key: notify.Key{Kind: notify.User, NID: member.Key}, Pos: p.pos})
	}
	return all
}
