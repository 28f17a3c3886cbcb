package usersync

import (
	"strconv"

	"causeway/homeserver/event"
	"causeway/homeserver/store"

	"maunium.net/go/mautrix/id"
)

// renderer appends events in the form that one device of one user sees.
type renderer struct {
	v          *viewer
	device     id.DeviceID
	nowTS      int64
	omitRoomID bool // as /sync does
	bundles    bool // with what relates to the events of a timeline: see bundle
	shape      *eventShape

	related map[int64]*store.Event // what events name in their unsigned part, by integer
	bundled map[int64][]byte       // m.relations of events, by integer; nil for none
	scratch []byte
}

// gather reads, at once, what the unsigned parts of the given events need.
func (r *renderer) gather(events []*store.Event) error {
	if r.bundles {
		if err := r.bundle(events); err != nil {
			return err
		}
	}
	return r.gatherRelated(events)
}

// gatherRelated reads the events that the unsigned parts of the given ones name.
func (r *renderer) gatherRelated(events []*store.Event) error {
	var nids []int64
	for _, e := range events {
		for _, nid := range [...]int64{e.Replaces, e.RedactedBy} {
			if nid != 0 && r.related[nid] == nil {
				nids = append(nids, nid)
			}
		}
	}
	if len(nids) == 0 {
		return nil
	}
	found, err := r.v.tx.EventsByNID(nids)
	if err != nil {
		return err
	}
	if r.related == nil {
		r.related = make(map[int64]*store.Event, len(found))
	}
	for _, e := range found {
		if e.Type == event.TypeRedaction {
			// It may have come after the user had left.
			if e, err = r.v.seeRedaction(e); err != nil {
				return err
			}
			if e == nil {
				continue
			}
		}
		r.related[e.NID] = e
	}
	return nil
}

// appendEvents appends a JSON array of events with all that unsigned may hold. The events are those of a timeline.
func (r *renderer) appendEvents(dst []byte, events []*store.Event) ([]byte, error) {
	if err := r.gather(events); err != nil {
		return dst, err
	}
	dst = append(dst, '[')
	for _, e := range events {
		var err error
		if dst, err = r.appendEvent(appendComma(dst), e); err != nil {
			return dst, err
		}
	}
	return append(dst, ']'), nil
}

// appendEvent appends one event of a timeline. gather must have seen it.
func (r *renderer) appendEvent(dst []byte, e *store.Event) ([]byte, error) {
	membership, err := r.v.membershipAfter(e)
	if err != nil {
		return dst, err
	}
	u := r.begin(e)
	if e.Pos != 0 {
		u = appendString(appendKey(u, "membership"), membership)
	}
	if old := r.related[e.Replaces]; old != nil {
		if u, err = r.appendReplaced(u, e, old); err != nil {
			return dst, err
		}
	}
	u = r.appendTxn(r.appendStickyTTL(u, e), e)
	if b := r.bundled[e.NID]; b != nil {
		u = append(appendKey(u, "m.relations"), b...)
	}
	r.scratch = append(u, '}')
	return r.appendShaped(dst, e, event.ClientForm{OmitRoomID: r.omitRoomID, Unsigned: r.scratch}), nil
}

// appendTxn appends by which request an event was sent: to the device that made it its transaction id, and to the sender which delayed
// event it was (MSC4140).
func (r *renderer) appendTxn(u []byte, e *store.Event) []byte {
	switch {
	case e.TxnID == "" || e.Sender != r.v.user:
	case e.TxnDevice == store.DelayTxnDevice:
		u = appendString(appendKey(u, "delay_id"), e.TxnID)
		u = appendString(appendKey(u, "org.matrix.msc4140.delay_id"), e.TxnID)
	case e.TxnDevice == string(r.device):
		u = appendString(appendKey(u, "transaction_id"), e.TxnID)
	}
	return u
}

// appendState appends a JSON array of events that are shown as state: what they replaced is not told. It puts them into order.
func (r *renderer) appendState(dst []byte, events []*store.Event) ([]byte, error) {
	events, err := r.v.seeState(events)
	if err != nil {
		return dst, err
	}
	sortByPos(events)
	var redacted []*store.Event
	for _, e := range events {
		if e.RedactedBy != 0 {
			redacted = append(redacted, e)
		}
	}
	if err := r.gather(redacted); err != nil {
		return dst, err
	}
	dst = append(dst, '[')
	for _, e := range events {
		r.scratch = append(r.begin(e), '}')
		dst = r.appendShaped(appendComma(dst), e, event.ClientForm{OmitRoomID: r.omitRoomID, Unsigned: r.scratch})
	}
	return append(dst, ']'), nil
}

// begin starts the unsigned part of an event in the scratch buffer. Client-Server API, "Room event format".
func (r *renderer) begin(e *store.Event) []byte {
	u := append(r.scratch[:0], `{"age":`...)
	u = strconv.AppendInt(u, r.nowTS-e.OriginServerTS, 10)
	if because := r.related[e.RedactedBy]; because != nil {
		u = appendKey(u, "redacted_because")
		u = because.AppendClient(u, event.ClientForm{OmitRoomID: r.omitRoomID})
	}
	return u
}

// appendReplaced appends prev_content, and prev_sender, which the specification does not know but clients do, if the user may
// see what was replaced, and replaces_state, which they may in any case.
func (r *renderer) appendReplaced(u []byte, e, old *store.Event) ([]byte, error) {
	// Whoever was in the room before the event could read what it replaced as part of the room's state.
	before, _, err := r.v.member.across(r.v.tx, e)
	if err != nil {
		return u, err
	}
	seen := []*store.Event{old}
	if before == event.MembershipJoin {
		seen, err = r.v.seeState(seen)
	} else {
		seen[0], err = r.v.see(old)
	}
	if err != nil {
		return u, err
	}
	if seen[0] != nil {
		u = append(appendKey(u, "prev_content"), seen[0].Content...)
		u = appendString(appendKey(u, "prev_sender"), seen[0].Sender)
	}
	return appendString(appendKey(u, "replaces_state"), old.EventID), nil
}
