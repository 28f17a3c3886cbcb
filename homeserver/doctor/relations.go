package doctor

import (
	"fmt"

	"causeway/homeserver/store"

	"maunium.net/go/mautrix/id"
)

// checkRelations examines how events relate to others: as those of the timeline say that were not redacted, to an event of the room or
// to one that is not here.
func (r *roomCheck) checkRelations(nids []int64, subjects []*subject) error {
	rows, err := r.tx.AuditRelations(nids)
	if err != nil {
		return err
	}
	var parents []id.EventID
	for _, s := range subjects {
		if relation, ok := s.pdu.Relation(); ok {
			parents = append(parents, relation.Parent)
		}
	}
	stored, err := r.nidsOf(parents)
	if err != nil {
		return err
	}
	for _, s := range subjects {
		have, there := rows[s.row.NID]
		want, due := r.relation(s, stored)
		switch {
		case due && !there:
			r.fault(KindRelation, "relations", s.row.NID, "it relates to another event, and is not in the table")
		case there && !due:
			r.fault(KindRelation, "relations", s.row.NID, "it is in the table, and relates to nothing")
		case have != want:
			r.fault(KindRelation, "relations", s.row.NID, "the table says %+v, and the event %+v", have, want)
		}
	}
	return nil
}

// relation returns what the table has to say of an event, and whether it has to say anything.
func (r *roomCheck) relation(s *subject, stored map[id.EventID]int64) (want store.AuditRelation, due bool) {
	relation, ok := s.pdu.Relation()
	if !ok || s.place.Pos == 0 || s.row.RedactedBy != 0 {
		return want, false
	}
	want = store.AuditRelation{
		RoomNID: r.row.NID, RelType: relation.Type, TypeNID: s.row.TypeNID, SenderNID: s.row.SenderNID, Pos: s.place.Pos,
		OriginServerTS: s.row.OriginServerTS, Fit: relation.Fit, KeyHash: relation.KeyHash,
	}
	parent, here := stored[relation.Parent]
	if !here {
		want.Awaits = relation.Parent
		return want, true
	}
	want.Parent = parent
	_, inRoom := r.find(parent)
	return want, inRoom && parent != s.row.NID
}

// checkThreads examines what is counted of threads.
func (c *checker) checkThreads(tx *store.Tx) error {
	roots, err := tx.AuditThreads(maxExamples)
	for _, root := range roots {
		c.report.add(KindRelation, Fault{Table: "threads", Text: fmt.Sprintf("the thread of event number %d is not what relates to that", root)})
	}
	return err
}
