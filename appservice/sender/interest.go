package sender

import (
	"causeway/homeserver/event"
	"causeway/homeserver/store"

	"maunium.net/go/mautrix/id"
)

// maxKnown bounds the users and the rooms that an interest keeps in memory, each. One that is taken by chance makes way.
const maxKnown = 50_000

// interest decides which events concern one application service. It is used by one goroutine, which shows it every event of
// the stream in order.
//
// A room concerns the service because of its id, because of an alias, or because a user of the service is joined or invited.
// For the last, it is enough to know one such user, the witness: while they stay, nobody else's coming and going matters, and
// when they leave, the next event in the room has another looked for. What is kept is always as of the last event shown.
// Application Service API, "Registration".
type interest struct {
	*matcher
	users  map[int64]bool // by the user's integer: is it one of the service's
	rooms  map[int64]roomInterest
	member int64 // the integer of m.room.member, 0 while no such event was seen
}

type roomInterest struct {
	byID    bool
	witness int64 // a user of the service in the room, or 0
}

func newInterest(m *matcher) *interest {
	return &interest{matcher: m, users: make(map[int64]bool), rooms: make(map[int64]roomInterest)}
}

// boring tells whether an event is known not to concern the service, nor to change what is known, without asking the database.
func (i *interest) boring(e store.EventIDs, aliases []id.RoomAlias) bool {
	if room, known := i.rooms[e.RoomNID]; !known || room.byID || room.witness != 0 {
		return false
	}
	if ours, known := i.users[e.SenderNID]; !known || ours {
		return false
	}
	if e.StateKeyNID != 0 && (i.member == 0 || e.TypeNID == i.member) {
		if ours, known := i.users[e.StateKeyNID]; !known || ours {
			return false
		}
	}
	return !i.anyAlias(aliases)
}

// decide tells whether an event concerns the service, and follows the membership of the service's users.
func (i *interest) decide(tx *store.Tx, e store.EventIDs, aliases []id.RoomAlias) (bool, error) {
	if i.member == 0 {
		var err error
		if i.member, err = tx.LookupNID(event.TypeMember); err != nil {
			return false, err
		}
	}
	if e.TypeNID == i.member && e.StateKeyNID != 0 {
		target, err := i.user(tx, e.StateKeyNID)
		if err != nil {
			return false, err
		}
		if target {
			return true, i.follow(tx, e)
		}
	}
	if sender, err := i.user(tx, e.SenderNID); sender || err != nil {
		return sender, err
	}
	room, err := i.room(tx, e)
	if err != nil {
		return false, err
	}
	return room.byID || room.witness != 0 || i.anyAlias(aliases), nil
}

// follow takes in a member event of one of the service's users.
func (i *interest) follow(tx *store.Tx, e store.EventIDs) error {
	room, known := i.rooms[e.RoomNID]
	if !known || room.witness != 0 && room.witness != e.StateKeyNID {
		return nil
	}
	member, err := tx.EventByNID(e.NID)
	if err != nil {
		return err
	}
	switch member.Membership() {
	case event.MembershipJoin, event.MembershipInvite:
		room.witness = e.StateKeyNID
		i.rooms[e.RoomNID] = room
	default:
		if room.witness != 0 {
			delete(i.rooms, e.RoomNID)
		}
	}
	return nil
}

// user tells whether a user is one of the service's.
func (i *interest) user(tx *store.Tx, nid int64) (bool, error) {
	if ours, known := i.users[nid]; known {
		return ours, nil
	}
	name, err := tx.Text(nid)
	if err != nil {
		return false, err
	}
	ours := i.matchUser(id.UserID(name))
	makeWay(i.users)
	i.users[nid] = ours
	return ours, nil
}

// room returns what the service has to do with the room of an event, as of just before the event.
func (i *interest) room(tx *store.Tx, e store.EventIDs) (roomInterest, error) {
	room, known := i.rooms[e.RoomNID]
	if known {
		return room, nil
	}
	roomID, err := tx.RoomID(e.RoomNID)
	if err != nil {
		return room, err
	}
	if room.byID = i.matchRoom(roomID); !room.byID {
		if room.witness, err = tx.MemberAt(e.RoomNID, e.Pos-1, i.bot, i.matchUser); err != nil {
			return room, err
		}
	}
	makeWay(i.rooms)
	i.rooms[e.RoomNID] = room
	return room, nil
}

func (i *interest) anyAlias(aliases []id.RoomAlias) bool {
	for _, alias := range aliases {
		if i.matchAlias(alias) {
			return true
		}
	}
	return false
}

// makeWay removes an entry of a full map. Go begins a range over a map anywhere.
func makeWay[V any](m map[int64]V) {
	if len(m) < maxKnown {
		return
	}
	for nid := range m {
		delete(m, nid)
		return
	}
}
