package doctor

import (
	"encoding/binary"
	"slices"

	"causeway/homeserver/store"
)

// checkStates examines the states before and after an event.
func (r *roomCheck) checkStates(s *subject) error {
	if s.is(store.Outlier) {
		return nil
	}
	before, after := s.place.StateBefore, s.place.StateAfter
	if !r.refer(before) {
		r.fault(KindStateBefore, "events", s.row.NID, "the state before it, state set %d, is not there", before)
	}
	if !r.refer(after) {
		r.fault(KindStateAfter, "events", s.row.NID, "the state after it, state set %d, is not there", after)
	}
	if !r.usable(before) {
		return nil
	}
	if err := r.checkBefore(s); err != nil {
		return err
	}
	if !s.place.State || s.is(store.Rejected) {
		if after != before && r.usable(after) {
			r.fault(KindStateAfter, "events", s.row.NID, "it does not change the state, and the state after it is another than before it")
		}
		return nil
	}
	if !r.usable(after) || !r.hashed {
		return nil
	}
	old, _, err := r.value(before, s.place.Place)
	if err != nil {
		return err
	}
	want, _, err := r.hashOfSet(before)
	if err != nil {
		return err
	}
	want = r.tx.AuditHash(want, s.place.Place, old, s.row.NID)
	got, _, err := r.hashOfSet(after)
	if err == nil && got != want {
		r.fault(KindStateAfter, "events", s.row.NID, "the state after it is not the state before it with this event")
	}
	return err
}

// checkBefore compares the state before an event with the states after those that it comes after. Where some of them are not known, or
// were not when it came, another server's word was taken for it.
func (r *roomCheck) checkBefore(s *subject) error {
	if s.noPrev || s.latePrev || len(s.lost) > 0 || len(r.gaps[s.row.NID]) > 0 {
		return nil
	}
	sets := make([]int64, 0, len(s.prevs))
	for _, prev := range s.prevs {
		i, _ := r.find(prev.nid)
		if !r.usable(r.places[i].StateAfter) {
			return nil
		}
		sets = append(sets, r.places[i].StateAfter)
	}
	same, err := r.isResolution(s.place.StateBefore, sets)
	if err != nil {
		r.fault(KindStateBefore, "events", s.row.NID, "the states that it joins cannot be resolved: %s", err)
		return r.tx.Context().Err()
	}
	if !same {
		r.fault(KindStateBefore, "events", s.row.NID, "the state before it is not what the events that it comes after leave")
	}
	return nil
}

// isResolution tells whether a state set is the resolution of others.
func (r *roomCheck) isResolution(setID int64, of []int64) (bool, error) {
	slices.Sort(of)
	of = slices.Compact(of)
	switch {
	case len(of) == 0:
		return setID == 0, nil
	case len(of) == 1:
		return setID == of[0], nil
	case !r.hashed:
		return true, nil
	}
	got, _, err := r.hashOfSet(setID)
	if err != nil {
		return false, err
	}
	var key []byte
	for _, id := range of {
		key = binary.BigEndian.AppendUint64(key, uint64(id))
	}
	want, known := r.resolved.get(string(key))
	if !known {
		if want, err = r.resolve(of); err != nil {
			return false, err
		}
		r.resolved.put(string(key), want, 1)
		r.report.Checked.Resolutions++
	}
	return got == want, nil
}
