package push

import (
	"encoding/json"
	"sync"

	"causeway/homeserver/eventauth"
	"causeway/homeserver/store"
)

// typeIgnored is the account data that names whom a user ignores: nobody is notified of their events.
const typeIgnored = eventauth.IgnoredUsersType

// Bounds on the rules that are kept in memory, made ready.
const (
	maxSettings     = 100_000
	maxSettingsCost = 64 << 20
)

// settings remembers the rules of each user, made ready. It holds what is committed alone.
type settings struct {
	mu         sync.Mutex // guards all
	all        map[int64]*compiled
	cost       int
	generation int64
}

// changedKey is that of the users whose settings a transaction changes, of those who remember them.
type changedKey struct{ *settings }

// watch is told of account data that changes: what is remembered of the user holds no more, at first for this transaction alone.
func (s *settings) watch(tx *store.Tx, userNID int64, dataType string) {
	if dataType != AccountDataType && dataType != typeIgnored {
		return
	}
	changed, _ := tx.Value(changedKey{s}).(map[int64]bool)
	if changed == nil {
		changed = make(map[int64]bool)
		tx.SetValue(changedKey{s}, changed)
		tx.AfterCommit(func() { s.drop(changed) })
	}
	changed[userNID] = true
}

func (s *settings) drop(users map[int64]bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for nid := range users {
		if c := s.all[nid]; c != nil {
			s.cost -= c.cost
		}
		delete(s.all, nid)
	}
}

// of returns the rules of people, in their order; nil for those who have changed none.
func (s *settings) of(tx *store.Tx, b *book, list []person) ([]*compiled, error) {
	changed, _ := tx.Value(changedKey{s}).(map[int64]bool)
	found := make([]*compiled, len(list))
	var missing []int // places in list
	s.mu.Lock()
	if s.generation != tx.Generation() || s.all == nil {
		s.all, s.cost, s.generation = make(map[int64]*compiled), 0, tx.Generation()
	}
	for i, p := range list {
		c, known := s.all[p.nid]
		if !known || changed[p.nid] {
			missing = append(missing, i)
			continue
		}
		found[i] = c
	}
	s.mu.Unlock()
	if len(missing) == 0 {
		return found, nil
	}
	if err := readSettings(tx, b, list, missing, found); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, i := range missing {
		if nid := list[i].nid; !changed[nid] {
			s.put(nid, found[i])
		}
	}
	return found, nil
}

// put remembers the rules of a user. The caller holds mu.
func (s *settings) put(nid int64, c *compiled) {
	cost := 0
	if c != nil {
		cost = c.cost
	}
	if len(s.all) >= maxSettings || s.cost+cost > maxSettingsCost {
		clear(s.all)
		s.cost = 0
	}
	s.all[nid] = c
	s.cost += cost
}

// readSettings reads the rules of some of the people in list into found.
func readSettings(tx *store.Tx, b *book, list []person, some []int, found []*compiled) error {
	nids := make([]int64, 0, len(some))
	for _, i := range some {
		nids = append(nids, list[i].nid)
	}
	rules, ignored := make(map[int64]json.RawMessage), make(map[int64]json.RawMessage)
	err := tx.AccountDataOfUsers(nids, []string{AccountDataType, typeIgnored}, func(nid int64, dataType string, content json.RawMessage) error {
		if dataType == AccountDataType {
			rules[nid] = content
		} else {
			ignored[nid] = content
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, i := range some {
		p := list[i]
		ignores := eventauth.IgnoredUsers(ignored[p.nid])
		if rules[p.nid] == nil && len(ignores) == 0 {
			continue
		}
		set, err := b.merge(p.id, rules[p.nid])
		if err != nil {
			return err
		}
		c := b.compile(set)
		c.ignored = ignores
		c.cost = 4096 + 3*(len(rules[p.nid])+len(ignored[p.nid]))
		found[i] = c
	}
	return nil
}
