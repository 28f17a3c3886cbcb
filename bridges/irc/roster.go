package irc

import (
	"hash/maphash"
	"iter"
	"maps"
	"slices"
	"unique"
)

// roster is who is in a channel as one client sees it, by folded nick, with that client itself. Its zero value is empty; a nil one
// too, and stays so.
//
// A thousand of our connections on a channel of a thousand see the same thousand people, each in its own time. Kept apart, that
// would be most of what a connection costs. So a roster is a tree that is never changed but replaced, whose form follows from what
// is in it alone, not from the order in which that came (a treap, whose priorities are hashes of the keys), and of which equal
// parts are one in memory (unique). Who is alone in what they see of somebody has the few branches above that to themselves.
//
// While the server lists who is there, they are kept loose, because the lists in between are nobody else's.
type roster struct {
	loose map[string]occupant
	tree  tree
}

type tree = unique.Handle[branch]

// branch is a seat, and those whose key is smaller or greater, all of lower priority. The zero tree is empty.
type branch struct {
	seat        unique.Handle[seat]
	left, right tree
}

type seat struct {
	key string
	occupant
}

var emptyTree tree

// rosterSeed makes the form of trees what no stranger can foresee, so that nobody can choose nicks that make it deep.
var rosterSeed = maphash.MakeSeed()

func newRoster() *roster { return &roster{loose: map[string]occupant{}} }

// get returns who has a nick.
func (r *roster) get(key string) (occupant, bool) {
	if r == nil {
		return occupant{}, false
	}
	if r.loose != nil {
		o, there := r.loose[key]
		return o, there
	}
	for t := r.tree; t != emptyTree; {
		b := t.Value()
		s := b.seat.Value()
		switch {
		case key == s.key:
			return s.occupant, true
		case key < s.key:
			t = b.left
		default:
			t = b.right
		}
	}
	return occupant{}, false
}

// set puts somebody in, or in the place of who has the nick.
func (r *roster) set(key string, o occupant) {
	switch {
	case r == nil:
	case r.loose != nil:
		r.loose[key] = o
	default:
		if was, there := r.get(key); there && was == o {
			return
		}
		r.tree = insert(r.tree, key, priority(key), unique.Make(seat{key: key, occupant: o}))
	}
}

// remove takes out who has a nick.
func (r *roster) remove(key string) {
	switch {
	case r == nil:
	case r.loose != nil:
		delete(r.loose, key)
	default:
		if _, there := r.get(key); there {
			r.tree = without(r.tree, key)
		}
	}
}

// all are those who are there, in no order that means anything.
func (r *roster) all() iter.Seq[occupant] {
	return func(yield func(occupant) bool) {
		switch {
		case r == nil:
		case r.loose != nil:
			for _, o := range r.loose {
				if !yield(o) {
					return
				}
			}
		default:
			walk(r.tree, yield)
		}
	}
}

// changeOwn changes how we stand in a roster ourselves.
func (c *client) changeOwn(ms *membership, change func(o *occupant)) {
	key := c.net.ids.fold.Fold(c.nick)
	if o, there := ms.names.get(key); there {
		ms.names.remove(key)
		change(&o)
		ms.names.set(c.net.ids.fold.Fold(o.nick), o)
	}
}

func walk(t tree, yield func(occupant) bool) bool {
	if t == emptyTree {
		return true
	}
	b := t.Value()
	return walk(b.left, yield) && yield(b.seat.Value().occupant) && walk(b.right, yield)
}

// settle shares what has been loose: the server's list has ended.
func (r *roster) settle() {
	if r == nil || r.loose == nil {
		return
	}
	keys := slices.Sorted(maps.Keys(r.loose))
	priorities := make([]uint64, len(keys))
	for i, key := range keys {
		priorities[i] = priority(key)
	}
	r.tree = build(r.loose, keys, priorities)
	r.loose = nil
}

// build makes the tree of sorted keys: the one of highest priority is above, and so on to each side. It takes n log n steps.
func build(all map[string]occupant, keys []string, priorities []uint64) tree {
	if len(keys) == 0 {
		return emptyTree
	}
	top := 0
	for i := range keys {
		if above(keys[i], priorities[i], keys[top], priorities[top]) {
			top = i
		}
	}
	return graft(unique.Make(seat{key: keys[top], occupant: all[keys[top]]}),
		build(all, keys[:top], priorities[:top]), build(all, keys[top+1:], priorities[top+1:]))
}

// graft makes a tree of one that is above and two below, or finds it.
func graft(who unique.Handle[seat], smaller, greater tree) tree {
	return unique.Make(branch{seat: who, left: smaller, right: greater})
}

func priority(key string) uint64 { return maphash.String(rosterSeed, key) }

// above is whether the first of two is to be nearer to the root.
func above(key string, p uint64, other string, q uint64) bool { return p > q || p == q && key < other }

func insert(t tree, key string, p uint64, who unique.Handle[seat]) tree {
	if t == emptyTree {
		return graft(who, emptyTree, emptyTree)
	}
	b := t.Value()
	at := b.seat.Value().key
	switch {
	case key == at:
		return graft(who, b.left, b.right)
	case above(key, p, at, priority(at)):
		// Who has the key cannot be further down, where all are of lower priority.
		smaller, greater := split(t, key)
		return graft(who, smaller, greater)
	case key < at:
		return graft(b.seat, insert(b.left, key, p, who), b.right)
	default:
		return graft(b.seat, b.left, insert(b.right, key, p, who))
	}
}

// split parts a tree at a key that is not in it.
func split(t tree, key string) (smaller, greater tree) {
	if t == emptyTree {
		return emptyTree, emptyTree
	}
	b := t.Value()
	if key < b.seat.Value().key {
		smaller, greater = split(b.left, key)
		return smaller, graft(b.seat, greater, b.right)
	}
	smaller, greater = split(b.right, key)
	return graft(b.seat, b.left, smaller), greater
}

func without(t tree, key string) tree {
	b := t.Value()
	switch at := b.seat.Value().key; {
	case key == at:
		return join(b.left, b.right)
	case key < at:
		return graft(b.seat, without(b.left, key), b.right)
	default:
		return graft(b.seat, b.left, without(b.right, key))
	}
}

// join makes one tree of two, all keys of the first being smaller.
func join(smaller, greater tree) tree {
	switch {
	case smaller == emptyTree:
		return greater
	case greater == emptyTree:
		return smaller
	}
	a, b := smaller.Value(), greater.Value()
	x, y := a.seat.Value().key, b.seat.Value().key
	if above(x, priority(x), y, priority(y)) {
		return graft(a.seat, a.left, join(a.right, greater))
	}
	return graft(b.seat, join(smaller, b.left), b.right)
}
