package doctor

import (
	"fmt"

	"causeway/homeserver/eventauth"
	"causeway/homeserver/stateres"
	"causeway/homeserver/store"
)

// resolve returns the hash of the resolution of two or more state sets, all of which can be read. It loads what that takes for itself,
// in the snapshot of the examination, and asks nothing of how the server does it.
func (r *roomCheck) resolve(sets []int64) (hash store.StateHash, err error) {
	p := &stateres.Problem{
		Version: r.version, Auth: make(map[int64][]int64), Events: make(map[int64]*stateres.Event),
		Place: func(k eventauth.StateKey) (stateres.Place, bool) {
			place, lookup := r.tx.LookupStateNID(k.Type, k.Key)
			if lookup != nil {
				err = lookup
			}
			return place, place.Type != 0 && place.Key != 0
		},
	}
	for _, setID := range sets {
		set, _, err := r.whole(setID)
		if err != nil {
			return hash, err
		}
		p.Sets = append(p.Sets, stateres.Set(set))
	}
	if err := r.loadProblem(p); err != nil {
		return hash, err
	}
	resolved, failed := p.Resolve()
	if failed != nil || err != nil {
		return hash, firstOf(failed, err)
	}
	if hash, _, err = r.hashOfSet(sets[0]); err != nil {
		return hash, err
	}
	for k, now := range resolved {
		if old := p.Sets[0][k]; old != now {
			hash = r.tx.AuditHash(hash, k, old, now)
		}
	}
	for k, old := range p.Sets[0] {
		if resolved[k] == 0 {
			hash = r.tx.AuditHash(hash, k, old, 0)
		}
	}
	return hash, nil
}

func firstOf(a, b error) error {
	if a != nil {
		return a
	}
	return b
}

// loadProblem loads the auth events and the events that a resolution asks for.
func (r *roomCheck) loadProblem(p *stateres.Problem) error {
	for missing := p.MissingAuth(); len(missing) > 0; missing = p.MissingAuth() {
		rows, err := r.tx.AuditAuth(missing)
		if err != nil {
			return err
		}
		for _, nid := range missing {
			if rows[nid] == nil {
				return fmt.Errorf("the auth events of %s are not known", r.eventID(nid))
			}
			p.Auth[nid] = rows[nid]
		}
	}
	for missing := p.MissingEvents(); len(missing) > 0; missing = p.MissingEvents() {
		pdus, err := r.pdusOf(missing)
		if err != nil {
			return err
		}
		for _, nid := range missing {
			i, _ := r.find(nid)
			k := pdus[nid]
			if k == nil {
				return fmt.Errorf("%s cannot be read", r.eventID(nid))
			}
			p.Events[nid] = &stateres.Event{ID: nid, PDU: k.pdu, Place: r.places[i].Place, Rejected: k.rejected}
		}
	}
	return nil
}
