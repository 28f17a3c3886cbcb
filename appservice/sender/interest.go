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
	joined  int64 // a user of the service who was joined when it was last looked, or 0
	nobody  bool  // when it was last looked, nobody of the service was joined, and none has come or gone since
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
	room, err := i.room(tx, e.RoomNID, e.Pos-1)
	if err != nil {
		return false, err
	}
	return room.byID || room.witness != 0 || i.anyAlias(aliases), nil
}

// follow takes in a member event of one of the service's users.
func (i *interest) follow(tx *store.Tx, e store.EventIDs) error {
	room, known := i.rooms[e.RoomNID]
	if !known {
		return nil
	}
	if room.nobody {
		room.nobody = false
		i.rooms[e.RoomNID] = room
	}
	if room.witness != 0 && room.witness != e.StateKeyNID {
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

// room returns what the service has to do with a room, as of a position: that of the last event shown.
func (i *interest) room(tx *store.Tx, roomNID, pos int64) (roomInterest, error) {
	room, known := i.rooms[roomNID]
	if known {
		return room, nil
	}
	roomID, err := tx.RoomID(roomNID)
	if err != nil {
		return room, err
	}
	if room.byID = i.matchRoom(roomID); !room.byID {
		if room.witness, err = tx.MemberAt(roomNID, pos, i.bot, i.matchUser); err != nil {
			return room, err
		}
	}
	makeWay(i.rooms)
	i.rooms[roomNID] = room
	return room, nil
}

// hears tells whether the service is to hear of what is not an event in a room: because the room or an alias of it is in its namespaces,
// or because a user of the service is in the room now. An invitation is not enough: who has one may not listen yet.
// pos is that of the last event shown. Application Service API, "Pushing ephemeral data".
func (i *interest) hears(tx *store.Tx, roomNID, pos int64) (bool, error) {
	room, err := i.room(tx, roomNID, pos)
	if err != nil || room.byID {
		return room.byID, err
	}
	if i.hasAliases() {
		aliases, err := tx.AliasesOfRooms([]int64{roomNID})
		if err != nil || i.anyAlias(aliases[roomNID]) {
			return err == nil, err
		}
	}
	return i.isIn(tx, roomNID, room)
}

// inAny tells whether a user of the service is in one of some rooms now.
func (i *interest) inAny(tx *store.Tx, rooms []int64, pos int64) (bool, error) {
	for _, nid := range rooms {
		room, err := i.room(tx, nid, pos)
		if err != nil {
			return false, err
		}
		if in, err := i.isIn(tx, nid, room); in || err != nil {
			return in, err
		}
	}
	return false, nil
}

// isIn tells whether a user of the service is in a room now. It remembers one, and that there is none until one of them comes or goes.
func (i *interest) isIn(tx *store.Tx, roomNID int64, room roomInterest) (bool, error) {
	if room.nobody {
		return false, nil
	}
	if room.joined != 0 {
		if in, err := tx.IsJoined(roomNID, room.joined); in || err != nil {
			return in, err
		}
	}
	nid, err := tx.JoinedMatch(roomNID, i.bot, i.matchUser)
	if err != nil {
		return false, err
	}
	room.joined, room.nobody = nid, nid == 0
	i.rooms[roomNID] = room
	return nid != 0, nil
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
