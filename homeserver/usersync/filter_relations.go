package usersync

import (
	"causeway/homeserver/event"
	"causeway/homeserver/store"

	"maunium.net/go/mautrix/id"
)

// maxRelatedNames bounds each list of a filter by which the server looks for what relates to events.
const maxRelatedNames = 50

// relationFilter is the part of an EventFilter that is about how events relate to each other: how the event itself relates to another
// (MSC3874), and what relates to it (MSC3440).
type relationFilter struct {
	RelTypes            *[]string `json:"rel_types"`
	NotRelTypes         []string  `json:"not_rel_types"`
	UnstableRelTypes    *[]string `json:"org.matrix.msc3874.rel_types"`
	UnstableNotRelTypes []string  `json:"org.matrix.msc3874.not_rel_types"`

	RelatedByRelTypes *[]string    `json:"related_by_rel_types"`
	RelatedBySenders  *[]id.UserID `json:"related_by_senders"`
}

// checkRelations bounds what has to be looked for.
func (f *EventFilter) checkRelations() error {
	if f == nil {
		return nil
	}
	if f.RelatedByRelTypes != nil && len(*f.RelatedByRelTypes) > maxRelatedNames || f.RelatedBySenders != nil && len(*f.RelatedBySenders) > maxRelatedNames {
		return matrixError(400, "M_INVALID_PARAM", "A filter can name %d of what events are related by", maxRelatedNames)
	}
	return nil
}

func (f *relationFilter) all() bool {
	return f.RelTypes == nil && f.UnstableRelTypes == nil && len(f.NotRelTypes)+len(f.UnstableNotRelTypes) == 0 &&
		f.RelatedByRelTypes == nil && f.RelatedBySenders == nil
}

// allowsRelation tells whether an event relates to another in a way that passes. An event that relates to none passes unless certain
// ways are asked for.
func (f *relationFilter) allowsRelation(p *event.PDU) bool {
	if f.RelTypes == nil && f.UnstableRelTypes == nil && len(f.NotRelTypes)+len(f.UnstableNotRelTypes) == 0 {
		return true
	}
	r, _ := p.Relation()
	for _, only := range [...]*[]string{f.RelTypes, f.UnstableRelTypes} {
		if only != nil && (r.Type == "" || !contains(*only, r.Type)) {
			return false
		}
	}
	return r.Type == "" || !contains(f.NotRelTypes, r.Type) && !contains(f.UnstableNotRelTypes, r.Type)
}

// aboutChildren tells whether what relates to events decides whether they pass.
func (f *EventFilter) aboutChildren() bool {
	return f != nil && (f.RelatedByRelTypes != nil || f.RelatedBySenders != nil)
}

// relate finds out which of some events pass a filter's conditions on what relates to them, for pick.
func (v *viewer) relate(filter *EventFilter, events []*store.Event) (err error) {
	if !filter.aboutChildren() || len(events) == 0 {
		return nil
	}
	nids := make([]int64, len(events))
	for i, e := range events {
		nids[i] = e.NID
	}
	var relTypes []string
	var senders []id.UserID
	if filter.RelatedByRelTypes != nil {
		relTypes = append([]string{}, *filter.RelatedByRelTypes...)
	}
	if filter.RelatedBySenders != nil {
		senders = append([]id.UserID{}, *filter.RelatedBySenders...)
	}
	v.related, err = v.tx.RelatedBy(nids, relTypes, senders)
	return err
}
