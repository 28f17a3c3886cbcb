package doctor

import (
	"runtime"
	"slices"
	"sync"

	"causeway/homeserver/event"
	"causeway/homeserver/store"

	"maunium.net/go/mautrix/id"
)

// subject is an event under examination, with what it names.
type subject struct {
	row   store.AuditEvent
	at    int // in places
	place store.AuditPlace
	pdu   *event.PDU

	prevs    []named      // those that are stored
	lost     []id.EventID // prev_events that are not stored, or are outliers: their states are not known
	noPrev   bool         // a prev_event is of another room
	latePrev bool         // a prev_event came later
	auth     []int64      // those that are stored
	before   []int64      // what stands in the state before, where the rules look
}

// named is an event that another names.
type named struct {
	id  id.EventID
	nid int64
}

func (s *subject) is(status store.Status) bool { return s.place.Status&status != 0 }

// checkEvents examines the events of the room, in the order in which they were stored.
func (r *roomCheck) checkEvents() error {
	nids := make([]int64, 0, eventBatch)
	for start := 0; start < len(r.places); start += eventBatch {
		nids = nids[:0]
		for _, p := range r.places[start:min(len(r.places), start+eventBatch)] {
			nids = append(nids, p.NID)
		}
		if err := r.checkBatch(nids); err != nil {
			return err
		}
		r.report.Checked.Events += int64(len(nids))
		r.advance(len(nids))
	}
	return nil
}

func (r *roomCheck) checkBatch(nids []int64) error {
	subjects, err := r.readBatch(nids)
	if err != nil {
		return err
	}
	if err := r.tx.AuditEdges(nids, func(prev, next int64) { r.meet(edge{prev, next}, 1) }); err != nil {
		return err
	}
	if err := r.resolveNames(subjects); err != nil {
		return err
	}
	for _, s := range subjects {
		r.checkStatus(s)
		r.checkPrevs(s)
		if err := r.checkStates(s); err != nil {
			return err
		}
	}
	if err := r.checkAuth(nids, subjects); err != nil {
		return err
	}
	if err := r.checkRelations(nids, subjects); err != nil {
		return err
	}
	return r.checkReferences(subjects)
}

// readBatch reads events and examines each by itself. Those of which nothing can be made are left out.
func (r *roomCheck) readBatch(nids []int64) ([]*subject, error) {
	rows, err := r.tx.AuditEvents(nids)
	if err != nil {
		return nil, err
	}
	texts, err := r.textsOf(rows)
	if err != nil {
		return nil, err
	}
	found := make([]inspection, len(rows))
	var wait sync.WaitGroup
	workers := max(1, min(runtime.GOMAXPROCS(0), len(rows)))
	for w := range workers {
		wait.Go(func() {
			for i := w; i < len(rows); i += workers {
				found[i] = r.inspect(r.version, r.row.RoomID, &rows[i], texts)
			}
		})
	}
	wait.Wait()
	subjects := make([]*subject, 0, len(rows))
	for i, row := range rows {
		in := &found[i]
		for _, f := range in.findings {
			r.fault(f.kind, "events", row.NID, "%s", f.text)
		}
		r.report.Checked.Signatures += in.verified
		r.report.Checked.SignaturesUnchecked += in.unchecked
		if in.pdu == nil {
			r.unread[row.NID] = true
			continue
		}
		at, _ := r.find(row.NID)
		s := &subject{row: row, at: at, place: r.places[at], pdu: in.pdu}
		r.ids.put(row.EventID, row.NID, 1)
		if in.pdu.IsState() {
			r.keep(row, in.pdu)
			r.noteState(s)
		}
		subjects = append(subjects, s)
	}
	return subjects, nil
}

// textsOf reads the texts that events refer to, and marks them as used.
func (r *roomCheck) textsOf(rows []store.AuditEvent) (map[int64]string, error) {
	nids := make([]int64, 0, 3*len(rows))
	for i := range rows {
		for _, nid := range []int64{rows[i].TypeNID, rows[i].StateKeyNID, rows[i].SenderNID} {
			if nid != 0 {
				nids = append(nids, nid)
				r.strings.mark(nid)
			}
		}
	}
	slices.Sort(nids)
	return r.tx.AuditTexts(slices.Compact(nids))
}

// noteState remembers what is asked later of a state event.
func (r *roomCheck) noteState(s *subject) {
	r.members[s.at] = membershipOf(s.pdu)
	if !s.pdu.IsStateOf(event.TypeCreate, "") {
		return
	}
	if r.create == nil {
		r.create = s.pdu
	}
	name := "1"
	if v := s.pdu.ContentValue("room_version"); v != nil {
		name, _ = event.Text(v)
	}
	// Before version 11, a redaction of the create event takes the version away.
	if name != r.version.ID && s.row.RedactedBy == 0 && s.place.Status&store.Rejected == 0 {
		r.fault(KindRoom, "rooms", s.row.NID, "the create event says that the room has version %q, and the table says %s", name, r.version.ID)
	}
}

// resolveNames finds the events that events name.
func (r *roomCheck) resolveNames(subjects []*subject) error {
	var refs []id.EventID
	for _, s := range subjects {
		refs = append(append(refs, s.pdu.PrevEvents...), s.pdu.AuthEvents...)
	}
	nids, err := r.nidsOf(refs)
	if err != nil {
		return err
	}
	for _, s := range subjects {
		for _, ref := range s.pdu.PrevEvents {
			prev := named{ref, nids[ref]}
			if prev.nid == 0 {
				s.lost = append(s.lost, ref)
			} else if !slices.Contains(s.prevs, prev) {
				s.prevs = append(s.prevs, prev)
			}
		}
		for _, ref := range s.pdu.AuthEvents {
			if nid, ok := nids[ref]; ok && !slices.Contains(s.auth, nid) {
				s.auth = append(s.auth, nid)
			} else if !ok && !s.is(store.Rejected) {
				r.fault(KindAuthEvents, "events", s.row.NID, "its auth event %s is not stored", ref)
			}
		}
	}
	return nil
}

// checkStatus: the timeline is of the events without a status, and nothing is known of the states of outliers.
func (r *roomCheck) checkStatus(s *subject) {
	switch {
	case s.place.Status == 0 && s.place.Pos == 0:
		r.fault(KindStatus, "events", s.row.NID, "it has no position, and nothing says why")
	case s.place.Status != 0 && s.place.Pos != 0:
		r.fault(KindStatus, "events", s.row.NID, "it has a position, although it is marked as one that is not in the timeline")
	case s.is(store.Outlier) && (s.place.StateBefore != 0 || s.place.StateAfter != 0):
		r.fault(KindStatus, "events", s.row.NID, "it is an outlier, and has a state")
	}
}

// checkReplaces examines which event a state event took the place of: the one that the state before it holds there. Where history was
// purged, that may be forgotten.
func (r *roomCheck) checkReplaces(s *subject) error {
	if s.row.Replaces != 0 {
		i, ok := r.find(s.row.Replaces)
		switch {
		case !ok:
			r.fault(KindReference, "events", s.row.NID, "the event that it replaces is not there")
			return nil
		case !s.place.State || !r.places[i].State || r.places[i].Place != s.place.Place || s.row.Replaces == s.row.NID:
			r.fault(KindReference, "events", s.row.NID, "the event that it replaces, %s, is of another type or state key", r.eventID(s.row.Replaces))
			return nil
		}
	}
	if !s.place.State || s.is(store.Outlier|store.Rejected) || !r.usable(s.place.StateBefore) || r.purged && s.row.Replaces == 0 {
		return nil
	}
	stood, _, err := r.value(s.place.StateBefore, s.place.Place)
	if err == nil && stood != s.row.Replaces {
		r.fault(KindReference, "events", s.row.NID, "the event that it replaces is not the one that stood in its place before")
	}
	return err
}

// checkReferences examines which event an event replaces, and which redacted it.
func (r *roomCheck) checkReferences(subjects []*subject) error {
	var redactions []int64
	for _, s := range subjects {
		if s.row.RedactedBy != 0 {
			redactions = append(redactions, s.row.RedactedBy)
		}
		if err := r.checkReplaces(s); err != nil {
			return err
		}
	}
	by, err := r.pdusOf(redactions)
	if err != nil {
		return err
	}
	for _, s := range subjects {
		if s.row.RedactedBy == 0 {
			continue
		}
		k := by[s.row.RedactedBy]
		if k == nil {
			// The redaction may have been purged, where there is history that is not here.
			if _, here := r.find(s.row.RedactedBy); !here && !r.purged {
				r.fault(KindRedaction, "events", s.row.NID, "the event that redacted it is not there")
			}
			continue
		}
		// A redaction that was redacted itself may have lost its target.
		if k.pdu.Type != event.TypeRedaction || !k.redacted && k.pdu.Redacts != s.row.EventID {
			r.fault(KindRedaction, "events", s.row.NID, "the event that is said to have redacted it, %s, does not", k.pdu.EventID)
		}
	}
	return nil
}
