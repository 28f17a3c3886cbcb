package doctor

import (
	"slices"

	"causeway/homeserver/event"
	"causeway/homeserver/eventauth"
	"causeway/homeserver/store"

	"maunium.net/go/mautrix/id"
)

// checkAuth examines the auth events of events, and whether the rules allow them.
func (r *roomCheck) checkAuth(nids []int64, subjects []*subject) error {
	rows, err := r.tx.AuditAuth(nids)
	if err != nil {
		return err
	}
	var judges []int64
	for _, s := range subjects {
		r.checkAuthRows(s, rows)
		if s.is(store.Rejected) {
			continue
		}
		if err := r.lookBefore(s); err != nil {
			return err
		}
		judges = append(append(judges, s.auth...), s.before...)
	}
	pdus, err := r.pdusOf(judges)
	if err != nil {
		return err
	}
	for _, s := range subjects {
		if !s.is(store.Rejected) {
			r.judge(s, pdus)
		}
	}
	return nil
}

// checkAuthRows compares the table of auth events with what a state event says.
func (r *roomCheck) checkAuthRows(s *subject, rows map[int64][]int64) {
	for _, nid := range s.auth {
		if nid >= s.row.NID {
			r.fault(KindAuthEvents, "events", s.row.NID, "its auth event %s was stored after it", r.eventID(nid))
		}
	}
	if !s.place.State {
		return
	}
	row, ok := rows[s.row.NID]
	switch {
	case !ok:
		r.fault(KindAuthEvents, "event_auth", s.row.NID, "its auth events are not in the table")
	case row == nil:
		r.fault(KindAuthEvents, "event_auth", s.row.NID, "its row cannot be read")
	case !slices.Equal(row, slices.Sorted(slices.Values(s.auth))):
		r.fault(KindAuthEvents, "event_auth", s.row.NID, "its row does not hold the auth events that it names")
	}
}

// lookBefore finds what stands in the state before an event at the places by which the rules judge it.
func (r *roomCheck) lookBefore(s *subject) error {
	if s.is(store.Outlier) || !r.usable(s.place.StateBefore) {
		return nil
	}
	for _, k := range append(eventauth.NeededBy(s.pdu), eventauth.StateKey{Type: event.TypeCreate}) {
		place, err := r.tx.LookupStateNID(k.Type, k.Key)
		if err != nil {
			return err
		}
		if place.Type == 0 || place.Key == 0 {
			continue
		}
		nid, _, err := r.value(s.place.StateBefore, place)
		if err != nil {
			return err
		}
		if nid != 0 && !slices.Contains(s.before, nid) {
			s.before = append(s.before, nid)
		}
	}
	return nil
}

// judge asks the rules about an event: first by its auth events, then by the state before it. Server-Server API, "Checks performed on
// receipt of a PDU", steps 4 and 5.
func (r *roomCheck) judge(s *subject, pdus map[int64]*known) {
	byAuth, redacted, ok := gather(s.auth, pdus)
	if !ok {
		return // told already
	}
	rejected := func(eventID id.EventID) bool {
		return slices.ContainsFunc(s.auth, func(nid int64) bool { return pdus[nid].rejected && pdus[nid].pdu.EventID == eventID })
	}
	err := eventauth.CheckAuthEvents(s.pdu, byAuth, rejected)
	if err == nil {
		if r.version.RoomIDIsCreateHash && r.create != nil {
			byAuth = append(byAuth, r.create)
		}
		err = eventauth.Check(s.pdu, eventauth.NewStateMap(byAuth...))
	}
	if err != nil {
		r.refuse(s, redacted, "by its auth events", err)
		return
	}
	if s.is(store.Outlier) || !r.usable(s.place.StateBefore) || sameEvents(s.before, byAuth, pdus) {
		return
	}
	before, redacted, ok := gather(s.before, pdus)
	if !ok {
		return
	}
	if err := eventauth.Check(s.pdu, eventauth.NewStateMap(before...)); err != nil {
		r.refuse(s, redacted, "by the state before it", err)
	}
}

// refuse reports an event that the rules do not allow, unless a redaction may have taken away what allowed it.
func (r *roomCheck) refuse(s *subject, redacted bool, by string, err error) {
	if redacted || s.row.RedactedBy != 0 {
		r.report.Checked.AuthUnchecked++
		return
	}
	r.fault(KindNotAllowed, "events", s.row.NID, "it is not allowed %s: %s", by, err)
}

// gather returns events, and whether one of them is redacted. ok is false when one is missing.
func gather(nids []int64, pdus map[int64]*known) (all []*event.PDU, redacted, ok bool) {
	for _, nid := range nids {
		k := pdus[nid]
		if k == nil {
			return nil, false, false
		}
		all = append(all, k.pdu)
		redacted = redacted || k.redacted
	}
	return all, redacted, true
}

// sameEvents tells whether the state before an event holds just what its auth events are, so that one look does for both.
func sameEvents(before []int64, auth []*event.PDU, pdus map[int64]*known) bool {
	if len(before) != len(auth) {
		return false
	}
	for _, nid := range before {
		k := pdus[nid]
		if k == nil || !slices.ContainsFunc(auth, func(p *event.PDU) bool { return p.EventID == k.pdu.EventID }) {
			return false
		}
	}
	return true
}
