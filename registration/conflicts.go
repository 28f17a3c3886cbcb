package registration

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// maxConflicts bounds the faults between files, and the warnings, of one report.
const maxConflicts = 1000

// conflicts returns what is wrong and odd between registrations that are each
// without fault. A fault is laid at the later one's door.
func conflicts(all []*Registration) (faults, warnings Faults) {
	left := maxAllSteps
	for _, at := range suspects(all) {
		p := &pair{checker{r: all[at[0]]}, all[at[1]], &left}
		p.compare()
		if faults = append(faults, p.faults...); len(faults) >= maxConflicts {
			return faults, nil
		}
		if len(warnings) < maxConflicts {
			warnings = append(warnings, p.warnings...)
		}
	}
	return faults, warnings
}

// claim is something that only one registration may have: a word, or the users
// or aliases that begin with one.
type claim struct {
	word string
	open bool // what it begins with is claimed too
	by   int  // whose it is, in the order of the files
}

// suspects returns the pairs of registrations that may not go together, the
// later one first, in order. Nearly all pairs there are have not even the
// beginning of a claim in common, and this finds them without looking at each.
func suspects(all []*Registration) [][2]int {
	var claims []claim
	for i, r := range all {
		for kind, word := range map[string]string{
			"id": r.ID, "as": r.ASToken, "hs": r.HSToken, "user": senderPrefix(r.SenderLocalpart),
		} {
			claims = append(claims, claim{kind + " " + word, kind == "user", i})
		}
		for kind, namespaces := range map[string][]Namespace{"user": r.Namespaces.Users, "alias": r.Namespaces.Aliases} {
			for _, n := range namespaces {
				if n.Exclusive {
					claims = append(claims, claim{kind + " " + literalPrefix(automatonOf(n).tree), true, i})
				}
			}
		}
	}
	slices.SortFunc(claims, func(a, b claim) int {
		return cmp.Or(cmp.Compare(a.word, b.word), cmp.Compare(a.by, b.by))
	})
	found := make(map[[2]int]struct{})
	for i, a := range claims {
		// Those that begin with the word follow it.
		for _, b := range claims[i+1:] {
			if a.word != b.word && !(a.open && strings.HasPrefix(b.word, a.word)) {
				break
			}
			if a.by != b.by {
				found[[2]int{max(a.by, b.by), min(a.by, b.by)}] = struct{}{}
			}
		}
	}
	pairs := make([][2]int, 0, len(found))
	for at := range found {
		pairs = append(pairs, at)
	}
	slices.SortFunc(pairs, func(a, b [2]int) int { return slices.Compare(a[:], b[:]) })
	return pairs
}

// senderPrefix is what the id of a sender begins with, on any server.
func senderPrefix(localpart string) string { return "@" + localpart + ":" }

// pair is two registrations to compare.
type pair struct {
	checker // of the later one
	earlier *Registration
	left    *int // of maxAllSteps
}

func (p *pair) compare() {
	a, b, name := p.r, p.earlier, p.earlier.name()
	if a.ID == b.ID {
		p.fault("id", "is also that of %s; take one of the files away, or give it another id", name)
	}
	// Application Service API, Registration: as_token and id must be unique.
	if a.ASToken == b.ASToken {
		p.fault("as_token", "is also that of %s; give each service its own (causeway registration generate)", name)
	}
	if a.HSToken == b.HSToken {
		p.fault("hs_token", "is also that of %s; give each service its own (causeway registration generate)", name)
	}
	if a.SenderLocalpart == b.SenderLocalpart {
		p.fault("sender_localpart", "is also that of %s; each service needs a bot of its own", name)
	} else {
		p.senderAmong("sender_localpart", a, b, name)
		p.senderAmong("namespaces.users", b, a, name)
	}
	p.overlaps("users", a.Namespaces.Users, b.Namespaces.Users)
	p.overlaps("aliases", a.Namespaces.Aliases, b.Namespaces.Aliases)
}

// name is what messages call r.
func (r *Registration) name() string {
	if r.BuiltIn {
		return fmt.Sprintf("the built-in bridge %s", r.ID)
	}
	if r.File != "" {
		return r.File
	}
	return fmt.Sprintf("registration %q", r.ID)
}

// senderAmong reports a sender that another application service has to itself.
func (p *pair) senderAmong(field string, of, owner *Registration, name string) {
	for i, n := range owner.Namespaces.Users {
		if !n.Exclusive {
			continue
		}
		result := overlapWithin(p.left, grammars["users"], senderAutomaton(of.SenderLocalpart), automatonOf(n))
		if !result.found {
			continue
		}
		if owner == p.r {
			p.fault(fmt.Sprintf("%s[%d].regex", field, i), "is exclusive and holds the sender of %s (%s); narrow it", name, of.SenderLocalpart)
		} else {
			p.fault(field, "lies in the exclusive namespaces.users[%d] of %s; choose another", i, name)
		}
	}
}

// overlaps reports exclusive namespaces that have an id in common.
func (p *pair) overlaps(kind string, later, earlier []Namespace) {
	for i, a := range later {
		for j, b := range earlier {
			if !a.Exclusive || !b.Exclusive {
				continue
			}
			field := fmt.Sprintf("namespaces.%s[%d].regex", kind, i)
			result := overlapWithin(p.left, grammars[kind], automatonOf(a), automatonOf(b))
			switch {
			case !result.decided:
				p.warn(field, "is too intricate to be compared with namespaces.%s[%d] of %s; see to it that both hold nothing in common", kind, j, p.earlier.name())
			case result.found:
				p.fault(field, "is exclusive, as is namespaces.%s[%d] of %s, and both match %s; narrow one of them, or make one exclusive: false", kind, j, p.earlier.name(), result.example)
			}
		}
	}
}
