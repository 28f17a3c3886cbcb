package push

import (
	"errors"
	"fmt"

	"causeway/homeserver/event"
	"causeway/homeserver/eventauth"
	"causeway/homeserver/store"

	"maunium.net/go/mautrix/id"
)

// Judge decides whom an event concerns that has just got its place in a room, and records it. It runs in the transaction that stores the
// event, perhaps more than once.
//
// Client-Server API, Push Notifications, Server behaviour: "When receiving a new event homeservers process push rules for each of the
// local users in the room (excluding the sender)."
func (s *Service) Judge(tx *store.Tx, in store.Placed) error {
	room, err := s.rosters.of(tx, &in)
	if err != nil {
		return fmt.Errorf("read who is in the room: %w", err)
	}
	invited, err := s.invited(tx, &in, room)
	if err != nil || len(room.people.list) == 0 && invited == nil {
		return err
	}
	f := &facts{tx: tx, event: in.Event, roster: room}
	outcomes, err := s.outcomes(f, invited)
	if err != nil {
		return fmt.Errorf("judge by the push rules: %w", err)
	}
	row := store.PushActions{RoomNID: in.RoomNID, Pos: in.Pos}
	if row.SenderNID, err = tx.NID(string(in.Sender)); err != nil {
		return err
	}
	outcomes.sum(&row)
	if row.Base == 0 && len(row.Exceptions) == 0 && !saidHere(in.Event, room) {
		return nil
	}
	thread, err := tx.ThreadOf(in.Event)
	if err != nil {
		return err
	}
	if thread.ID != event.MainThread {
		if row.ThreadNID, err = tx.NID(thread.ID); err != nil {
			return err
		}
	}
	return tx.InsertPushActions(row)
}

// saidHere tells whether a person of this server has said something. By that they have read what came before: Client-Server API, "Marking
// notifications as read".
func saidHere(e *store.Event, room *roster) bool {
	_, here := room.people.at(string(e.Sender))
	return here && e.StateKey == nil && e.Type != event.TypeRedaction
}

// invited returns the person of this server whom the event invites and who is to hear of it, or nil.
func (s *Service) invited(tx *store.Tx, in *store.Placed, room *roster) (*person, error) {
	if in.StateKey == nil || in.Type != event.TypeMember || in.Membership() != event.MembershipInvite {
		return nil, nil
	}
	if _, joined := room.people.at(*in.StateKey); joined {
		return nil, nil
	}
	nid, err := tx.LookupNID(*in.StateKey)
	if err != nil || nid == 0 {
		return nil, err
	}
	if is, err := tx.IsPerson(nid); err != nil || !is {
		return nil, err
	}
	invited := &person{nid, id.UserID(*in.StateKey)}
	if wanted, err := wantsInvites(tx, invited.id, in.Sender); err != nil || !wanted {
		return nil, err
	}
	return invited, nil
}

// wantsInvites tells whether a user is to hear of an invitation by another. Client-Server API, "Invite permission".
func wantsInvites(tx *store.Tx, user, sender id.UserID) (bool, error) {
	for _, dataType := range eventauth.InvitePermissionTypes {
		content, err := tx.AccountData(user, 0, dataType)
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return false, err
		}
		if eventauth.PermitInvite(content, sender) != eventauth.InviteAllowed {
			return false, nil
		}
	}
	return true, nil
}

// outcomes are what an event is to those whom it may concern.
type outcomes struct {
	rest    store.Outcome // of all who are in the room and not in special
	special []store.PushException
	invited store.PushException // UserNID 0 for nobody
	members int                 // how many are in the room, without the sender
}

func (s *Service) outcomes(f *facts, invited *person) (*outcomes, error) {
	list := f.roster.people.list
	if invited != nil {
		list = append(list[:len(list):len(list)], *invited)
	}
	rules, err := s.settings.of(f.tx, s.book, list)
	if err != nil {
		return nil, err
	}
	j, err := newBench(f, s.book)
	if err != nil {
		return nil, err
	}
	concerned, err := j.concerned()
	if err != nil {
		return nil, err
	}
	o := new(outcomes)
	plain, err := j.judgePlain(nil)
	if err == nil {
		o.rest, err = plain.of(f.tx)
	}
	if err != nil {
		return nil, err
	}
	for i := range f.roster.people.list {
		p := &f.roster.people.list[i]
		if p.id == f.event.Sender {
			continue
		}
		o.members++
		c := rules[i]
		if c == nil && !concerned[p.nid] {
			continue
		}
		outcome, err := j.outcome(p, c)
		if err != nil {
			return nil, err
		}
		if outcome != o.rest {
			o.special = append(o.special, store.PushException{UserNID: p.nid, Outcome: outcome})
		}
	}
	if invited != nil && invited.id != f.event.Sender {
		outcome, err := j.outcome(invited, rules[len(list)-1])
		if err != nil {
			return nil, err
		}
		o.invited = store.PushException{UserNID: invited.nid, Outcome: outcome}
	}
	return o, nil
}

func (j *bench) outcome(p *person, c *compiled) (store.Outcome, error) {
	v, err := j.judge(p, c)
	if err != nil {
		return 0, err
	}
	return v.of(j.tx)
}

// sum writes the outcomes into a row, in the form that takes least.
func (o *outcomes) sum(row *store.PushActions) {
	count := map[store.Outcome]int{o.rest: o.members - len(o.special)}
	for _, x := range o.special {
		count[x.Outcome]++
	}
	row.Base = o.rest
	if len(o.special) == o.members { // so nobody is left to have the outcome of the rest
		for outcome, n := range count {
			if n > count[row.Base] || n == count[row.Base] && outcome < row.Base {
				row.Base = outcome
			}
		}
		if o.members == 0 {
			row.Base = 0
		}
	}
	for _, x := range o.special {
		if x.Outcome != row.Base {
			row.Exceptions = append(row.Exceptions, x)
		}
	}
	if o.invited.Outcome != 0 { // the base is not theirs
		row.Exceptions = append(row.Exceptions, o.invited)
	}
}
