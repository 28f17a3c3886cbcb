package registration

import (
	"fmt"
	"strings"
)

// Change is what has become of the registrations when their files changed.
type Change struct {
	Added, Changed, Removed []*Registration // Changed and Added as they are now
	// Former are the registrations that hold no more: those of Removed, and those
	// of Changed as they were.
	Former []*Registration
	// Warnings are what is odd with those that are added or changed.
	Warnings Faults
	// Faults are all that is wrong with the files, when that is not what it was
	// before; Mended says that nothing is any more.
	Faults Faults
	Mended bool
}

// None tells that there is nothing to say and nothing to do.
func (c Change) None() bool {
	return !c.Moved() && len(c.Warnings) == 0 && len(c.Faults) == 0 && !c.Mended
}

// Moved tells whether other registrations hold than before.
func (c Change) Moved() bool { return len(c.Added)+len(c.Changed)+len(c.Removed) > 0 }

// maxNamed bounds the services that a summary names of each kind.
const maxNamed = 10

// String returns the change in a sentence, as "added mybot (mybot.yaml); removed
// 2: irc, xmpp".
func (c Change) String() string {
	var parts []string
	for _, kind := range []struct {
		what string
		all  []*Registration
	}{{"added", c.Added}, {"changed", c.Changed}, {"removed", c.Removed}} {
		if len(kind.all) > 0 {
			parts = append(parts, kind.what+" "+Names(kind.all))
		}
	}
	return strings.Join(parts, "; ")
}

// Names lists services with their files, the first of them when there are many.
func Names(all []*Registration) string {
	var names []string
	for _, r := range all[:min(len(all), maxNamed)] {
		names = append(names, fmt.Sprintf("%s (%s)", r.ID, r.Source()))
	}
	if more := len(all) - maxNamed; more > 0 {
		names = append(names, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(names, ", ")
}

// compare returns what makes one set into another. Services are the same when
// their ids are.
func compare(before, after *Set) (c Change) {
	for _, r := range after.All() {
		switch old := before.ByID(r.ID); {
		case old == nil:
			c.Added = append(c.Added, r)
		case !old.Equal(r):
			c.Changed, c.Former = append(c.Changed, r), append(c.Former, old)
		}
	}
	for _, old := range before.All() {
		if after.ByID(old.ID) == nil {
			c.Removed, c.Former = append(c.Removed, old), append(c.Former, old)
		}
	}
	return c
}
