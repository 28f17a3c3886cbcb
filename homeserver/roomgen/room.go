package roomgen

import (
	"crypto/ed25519"
	"math"

	"maunium.net/go/mautrix/id"

	"causeway/homeserver/event"
	"causeway/homeserver/eventauth"
)

// State is a room's state: the event at each place.
type State = map[eventauth.StateKey]id.EventID

// Flaw is what is wrong with an event.
type Flaw string

// The flaws. Of all but WrongHash the event is to be rejected or dropped by those who receive it; that with a wrong hash is to be
// redacted, and stays in the room.
const (
	// Sound is no flaw.
	Sound Flaw = ""
	// Forbidden events are not allowed by the state before them, though they name the right auth events.
	Forbidden Flaw = "forbidden"
	// WrongHash events have a content hash that is not that of their content.
	WrongHash Flaw = "wrong hash"
	// BadSignature events carry a signature of their server's key that is not over them.
	BadSignature Flaw = "bad signature"
	// MissingAuth events leave out the membership of their sender from their auth events.
	MissingAuth Flaw = "missing auth"
	// UnknownAuth events name an auth event that nobody has.
	UnknownAuth Flaw = "unknown auth"
	// RejectedAuth events name a Forbidden event among their auth events.
	RejectedAuth Flaw = "rejected auth"
)

// Event is one event of a generated room, and what the servers that have all of its history hold of it.
type Event struct {
	PDU    *event.PDU
	Server string // the server that made it
	// StateBefore and StateAfter are the room's state around the event. They are the same map where the event changes nothing, and
	// are shared between events: they must not be changed. In a room made by Large only the last event of each branch has them.
	StateBefore, StateAfter State
	// Rejected says that those who receive the event must reject it: its state after is that before.
	Rejected bool
	Flaw     Flaw
}

// Room is a generated room.
type Room struct {
	Version *event.RoomVersion
	RoomID  id.RoomID
	// Events are in a topological order: prev events and auth events come before those that name them.
	Events []Event
	Keys   map[string]*event.Key // by server name

	index    map[id.EventID]int
	resolve  Resolver
	resolved State
}

// Lookup returns the event called eventID, or nil. The event is that in r.Events.
func (r *Room) Lookup(eventID id.EventID) *Event {
	if i, ok := r.index[eventID]; ok {
		return &r.Events[i]
	}
	return nil
}

// PDU returns the PDU of the event called eventID, or nil.
func (r *Room) PDU(eventID id.EventID) *event.PDU {
	if e := r.Lookup(eventID); e != nil {
		return e.PDU
	}
	return nil
}

// Tips returns the forward extremities of a server that has received all events in order: those that were not rejected and that no
// such event names as its prev event. Soft failure is not taken into account.
func (r *Room) Tips() []id.EventID {
	built := make(map[id.EventID]bool)
	for i := range r.Events {
		if r.Events[i].Rejected {
			continue
		}
		for _, prev := range r.Events[i].PDU.PrevEvents {
			built[prev] = true
		}
	}
	var tips []id.EventID
	for i := range r.Events {
		if e := &r.Events[i]; !e.Rejected && !built[e.PDU.EventID] {
			tips = append(tips, e.PDU.EventID)
		}
	}
	return tips
}

// TipStates returns the state after each of Tips.
func (r *Room) TipStates() []State {
	var sets []State
	for _, tip := range r.Tips() {
		sets = append(sets, r.Lookup(tip).StateAfter)
	}
	return sets
}

// Resolved returns the state resolved over the tips. It must not be changed.
func (r *Room) Resolved() State { return r.resolved }

// settle resolves the state over the tips, once the room is complete.
func (r *Room) settle() (err error) {
	sets := r.TipStates()
	if len(sets) == 1 {
		r.resolved = sets[0]
		return nil
	}
	r.resolved, err = r.resolve(r, sets)
	return err
}

// StateMap returns s as the authorisation rules want it.
func (r *Room) StateMap(s State) eventauth.State { return view{r, s} }

// view is a State with its events looked up in the room.
type view struct {
	room  *Room
	state State
}

// Get returns the event at k, or nil.
func (v view) Get(k eventauth.StateKey) *event.PDU {
	if eventID, ok := v.state[k]; ok {
		return v.room.PDU(eventID)
	}
	return nil
}

// PublicKey is the event.KeyLookup of the servers in the room. Their keys are valid for ever.
func (r *Room) PublicKey(server, name string) (ed25519.PublicKey, int64, bool) {
	key := r.Keys[server]
	if key == nil || key.KeyID != name {
		return nil, 0, false
	}
	return key.Private.Public().(ed25519.PublicKey), math.MaxInt64, true
}

// add appends e to the room.
func (r *Room) add(e Event) int {
	r.index[e.PDU.EventID] = len(r.Events)
	r.Events = append(r.Events, e)
	return len(r.Events) - 1
}
