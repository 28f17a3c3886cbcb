package push

import (
	"maps"
	"slices"
	"strings"
	"sync"

	"causeway/homeserver/event"
	"causeway/homeserver/store"

	"maunium.net/go/mautrix/id"
)

// Bounds on the rosters that are kept in memory.
const (
	maxRosters      = 20_000
	maxRosterPeople = 1_000_000 // in all rosters together
)

// roster is who is in a room at one state of it. It is made by the one goroutine that writes, and used by it alone.
type roster struct {
	stateID int64
	people  *people
	members int64            // how many are in the room, of any server; unknown for not counted yet
	names   map[int64]string // display names in lower case, as far as they were asked for
}

const unknown = -1

// people are the users of this server who are in a room. It is not changed: who comes or goes makes another, which shares most with it.
type people struct {
	list  []person       // in no order
	byID  map[string]int // place in list, as of some others before, which share it
	moved map[string]int // where that has changed since; gone for those who are not in the room
}

const (
	// maxMoved is how many may have come or gone before byID is made anew.
	maxMoved = 256
	gone     = -1
)

func newPeople(list []person) *people {
	p := &people{list: list, byID: make(map[string]int, len(list))}
	for i, one := range list {
		p.byID[string(one.id)] = i
	}
	return p
}

// at returns the place of a user in the list.
func (p *people) at(user string) (at int, is bool) {
	if at, is = p.moved[user]; is {
		return at, at != gone
	}
	at, is = p.byID[user]
	return at, is
}

// with returns the people when one has come.
func (p *people) with(one person) *people {
	return p.move(append(slices.Clone(p.list), one), map[string]int{string(one.id): len(p.list)})
}

// without returns the people when the one at a place has gone. The last one takes the place.
func (p *people) without(at int) *people {
	list := slices.Clone(p.list)
	last := len(list) - 1
	moves := map[string]int{string(list[last].id): at, string(list[at].id): gone}
	list[at] = list[last]
	return p.move(list[:last], moves)
}

func (p *people) move(list []person, moves map[string]int) *people {
	if len(p.moved)+len(moves) > maxMoved {
		return newPeople(list)
	}
	moved := make(map[string]int, len(p.moved)+len(moves))
	maps.Copy(moved, p.moved)
	maps.Copy(moved, moves)
	return &people{list: list, byID: p.byID, moved: moved}
}

// rosters remembers the roster of each room. It holds what is committed alone: what a transaction makes stays with it until then.
type rosters struct {
	mu         sync.Mutex // guards all
	all        map[int64]*roster
	people     int
	generation int64
}

type rostersKey struct{ *rosters }

// of returns who is in a room now that an event has been placed in it.
func (r *rosters) of(tx *store.Tx, in *store.Placed) (*roster, error) {
	fresh, _ := tx.Value(rostersKey{r}).(map[int64]*roster)
	old := fresh[in.RoomNID]
	if old == nil {
		old = r.get(in.RoomNID, tx.Generation())
	}
	if old != nil && old.stateID == in.RoomAfter && !in.Branches {
		return old, nil
	}
	next, err := old.after(tx, in)
	if err != nil {
		return nil, err
	}
	if fresh == nil {
		fresh = make(map[int64]*roster)
		tx.SetValue(rostersKey{r}, fresh)
		tx.AfterCommit(func() { r.put(fresh, tx.Generation()) })
	}
	fresh[in.RoomNID] = next
	return next, nil
}

func (r *rosters) get(roomNID, generation int64) *roster {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.generation != generation {
		return nil
	}
	return r.all[roomNID]
}

func (r *rosters) put(fresh map[int64]*roster, generation int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.generation != generation || len(r.all)+len(fresh) > maxRosters || r.people > maxRosterPeople || r.all == nil {
		r.all, r.people, r.generation = make(map[int64]*roster), 0, generation
	}
	for roomNID, next := range fresh {
		if old := r.all[roomNID]; old != nil {
			r.people -= len(old.people.list)
		}
		r.all[roomNID] = next
		r.people += len(next.people.list)
	}
}

// after returns who is in the room after an event, from who was there before, if that is known.
func (old *roster) after(tx *store.Tx, in *store.Placed) (*roster, error) {
	if old == nil || in.Branches || old.stateID != in.RoomBefore {
		return readRoster(tx, in)
	}
	next := &roster{stateID: in.RoomAfter, people: old.people, members: old.members, names: old.names}
	if in.StateKey == nil || in.Type != event.TypeMember {
		return next, nil
	}
	user := *in.StateKey
	at, was := old.people.at(user)
	joined := in.Membership() == event.MembershipJoin
	if old.members != unknown && joined != (in.Was == event.MembershipJoin) {
		if joined {
			next.members++
		} else {
			next.members--
		}
	}
	nid, err := tx.NID(user)
	if err != nil {
		return nil, err
	}
	next.names = maps.Clone(old.names)
	delete(next.names, nid)
	if joined == was {
		return next, nil
	}
	if !joined {
		next.people = old.people.without(at)
		return next, nil
	}
	if is, err := tx.IsPerson(nid); err != nil || !is {
		return next, err
	}
	next.people = old.people.with(person{nid, id.UserID(user)})
	return next, nil
}

func readRoster(tx *store.Tx, in *store.Placed) (*roster, error) {
	nids, err := tx.People(in.RoomNID)
	if err != nil {
		return nil, err
	}
	list := make([]person, 0, len(nids))
	for _, nid := range nids {
		user, err := tx.Text(nid)
		if err != nil {
			return nil, err
		}
		list = append(list, person{nid, id.UserID(user)})
	}
	return &roster{stateID: in.RoomAfter, people: newPeople(list), members: unknown}, nil
}

// count returns how many users are in the room.
func (r *roster) count(tx *store.Tx, roomNID int64) (int64, error) {
	if r.members == unknown {
		joined, _, err := tx.MemberCounts(roomNID)
		if err != nil {
			return 0, err
		}
		r.members = joined
	}
	return r.members, nil
}

// displayName returns the name that a person has in the room, in lower case, "" for none.
func (r *roster) displayName(tx *store.Tx, roomNID int64, p *person) (string, error) {
	if name, known := r.names[p.nid]; known {
		return name, nil
	}
	err := r.readNames(tx, roomNID, []int64{p.nid})
	return r.names[p.nid], err
}

// learnNames reads the names of all people.
func (r *roster) learnNames(tx *store.Tx, roomNID int64) error {
	var missing []int64
	for _, p := range r.people.list {
		if _, known := r.names[p.nid]; !known {
			missing = append(missing, p.nid)
		}
	}
	for some := range slices.Chunk(missing, 64) {
		if err := r.readNames(tx, roomNID, some); err != nil {
			return err
		}
	}
	return nil
}

func (r *roster) readNames(tx *store.Tx, roomNID int64, nids []int64) error {
	events, err := tx.CurrentStateOfKeys(roomNID, event.TypeMember, nids)
	if err != nil {
		return err
	}
	if r.names == nil {
		r.names = make(map[int64]string)
	}
	for _, nid := range nids {
		r.names[nid] = ""
	}
	for _, e := range events {
		nid, err := tx.LookupNID(*e.StateKey)
		if err != nil {
			return err
		}
		r.names[nid] = strings.ToLower(e.ContentString("displayname"))
	}
	return nil
}
