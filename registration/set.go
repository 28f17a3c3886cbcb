package registration

import (
	"crypto/sha256"
	"slices"

	"maunium.net/go/mautrix/id"
)

// Set is all registrations that hold at one time. It never changes, so that it
// needs no lock: when files change, a new Set takes the place of the old as a
// whole. The zero value and nil are the empty set.
type Set struct {
	all     []*Registration
	byID    map[string]*Registration
	byToken map[[sha256.Size]byte]*Registration // by the hash of as_token
}

// NewSet returns the set of copies of these registrations, which may be of files
// or made in other ways. The error is of type [Faults], when one of them has a
// fault or two do not go together.
func NewSet(all ...*Registration) (*Set, error) {
	var faults Faults
	for _, r := range all {
		own, _ := r.check()
		faults = append(faults, own...)
	}
	if len(faults) == 0 {
		faults, _ = conflicts(all)
	}
	if len(faults) > 0 {
		return nil, faults
	}
	compiled := make([]*Registration, len(all))
	for i, r := range all {
		compiled[i] = r.compiled()
	}
	return newSet(compiled), nil
}

// newSet returns the set of registrations that are compiled and go together.
func newSet(all []*Registration) *Set {
	s := &Set{
		all:     all,
		byID:    make(map[string]*Registration, len(all)),
		byToken: make(map[[sha256.Size]byte]*Registration, len(all)),
	}
	for _, r := range all {
		s.byID[r.ID] = r
		s.byToken[sha256.Sum256([]byte(r.ASToken))] = r
	}
	return s
}

// All returns the registrations in the order they were given to [NewSet].
func (s *Set) All() []*Registration {
	if s == nil {
		return nil
	}
	return slices.Clone(s.all)
}

// ByID returns the registration with this id, or nil.
func (s *Set) ByID(id string) *Registration {
	if s == nil {
		return nil
	}
	return s.byID[id]
}

// ByToken returns the registration with this as_token, or nil. Tokens are
// compared by their hashes, so that the time it takes tells nothing of them.
func (s *Set) ByToken(asToken string) *Registration {
	if s == nil {
		return nil
	}
	return s.byToken[sha256.Sum256([]byte(asToken))]
}

// ExclusiveOwnerOfUser returns the registration that has a user of this server to
// itself, as its sender or in an exclusive namespace, or nil.
func (s *Set) ExclusiveOwnerOfUser(user id.UserID) *Registration {
	return s.first(func(r *Registration) bool { return r.ExclusiveUser(user) })
}

// BuiltInOwnerOfUser is ExclusiveOwnerOfUser among the registrations that the server made itself.
func (s *Set) BuiltInOwnerOfUser(user id.UserID) *Registration {
	return s.first(func(r *Registration) bool { return r.BuiltIn && r.ExclusiveUser(user) })
}

// ExclusiveOwnerOfAlias returns the registration that has an alias to itself, or
// nil.
func (s *Set) ExclusiveOwnerOfAlias(alias id.RoomAlias) *Registration {
	return s.first(func(r *Registration) bool { return r.ExclusiveAlias(alias) })
}

// UserOwner returns the registration to ask about a user of this server: the one
// that has it to itself, else the first whose namespaces hold it, else nil.
func (s *Set) UserOwner(user id.UserID) *Registration {
	if owner := s.ExclusiveOwnerOfUser(user); owner != nil {
		return owner
	}
	return s.first(func(r *Registration) bool { return r.MatchesUser(user) })
}

// AliasOwner returns the registration to ask about an alias: the one that has it
// to itself, else the first whose namespaces hold it, else nil.
func (s *Set) AliasOwner(alias id.RoomAlias) *Registration {
	if owner := s.ExclusiveOwnerOfAlias(alias); owner != nil {
		return owner
	}
	return s.first(func(r *Registration) bool { return r.MatchesAlias(alias) })
}

func (s *Set) first(holds func(*Registration) bool) *Registration {
	if s == nil {
		return nil
	}
	for _, r := range s.all {
		if holds(r) {
			return r
		}
	}
	return nil
}
