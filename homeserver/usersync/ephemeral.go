package usersync

import (
	"causeway/homeserver/event"
	"causeway/homeserver/store"

	"maunium.net/go/mautrix/id"
)

// The types of ephemeral events. Client-Server API, "Typing Notifications" and "Receipts".
const (
	typeTyping  = "m.typing"
	typeReceipt = "m.receipt"
)

// maxEphemeral is how many ephemeral events there are in one room: one of each type.
const maxEphemeral = 2

// maxReceipts bounds the receipts of one room in one answer: the newest are shown.
const maxReceipts = 1000

// Typing knows who is typing where.
type Typing interface {
	// TypingSince returns who types in the rooms where that has changed after a serial, by room, and the serial up to which that
	// holds. The lists must not be changed. When it is not known any more what has changed, known is false, and the rooms are
	// those where somebody types.
	TypingSince(serial int64) (rooms map[int64][]id.UserID, upto int64, known bool)
}

// typingNews is what is new of who is typing, in all rooms.
type typingNews struct {
	rooms map[int64][]id.UserID
	upto  int64 // the serial up to which it is
	// lost says that others who typed may have ended unheard of: what a device shows may be stale where rooms has nothing.
	lost bool
}

// typingSince returns what is new of who is typing after a serial, 0 for a device that knows nothing.
func (s *Service) typingSince(serial int64) typingNews {
	if s.typing == nil {
		return typingNews{}
	}
	rooms, upto, known := s.typing.TypingSince(serial)
	return typingNews{rooms: rooms, upto: upto, lost: !known && serial > 0}
}

// in returns who is typing in a room, and whether that is news.
func (n *typingNews) in(roomNID int64) (users []id.UserID, news bool) {
	users, news = n.rooms[roomNID]
	return users, news || n.lost
}

// joined returns the rooms with news that a user is in.
func (n *typingNews) joined(tx *store.Tx, userNID int64) ([]int64, error) {
	rooms := make([]int64, 0, len(n.rooms))
	for nid := range n.rooms {
		rooms = append(rooms, nid)
	}
	return joinedAmong(tx, userNID, rooms)
}

// ephemeral returns the elements of the room's ephemeral events: who is typing, and receipts.
func (r *roomPass) ephemeral(full bool) (out []byte, err error) {
	filter := r.filter.Room.Ephemeral
	room := r.seat.RoomNID
	limit := filter.limit(maxEphemeral, maxEphemeral)
	if !filter.allowsRoom(r.roomID) || limit == 0 {
		return nil, nil
	}
	if filter.allowsType(typeTyping) {
		users, news := r.typing.in(room)
		if full && !news && !r.initial {
			// Who comes into a room is told of those who began before.
			now := r.s.typingSince(0)
			users, news = now.in(room)
		}
		// A device that knows nothing takes it that nobody types.
		if news && (len(users) > 0 || !r.initial) {
			if out, err = r.appendTyping(out, users); err != nil {
				return nil, err
			}
		}
	}
	if !filter.allowsType(typeReceipt) || len(out) > 0 && limit == 1 {
		return out, nil
	}
	after := r.after
	if full {
		after = 0
	}
	content, err := r.receipts(r.userNID, room, after, r.upto)
	if err != nil || content == nil {
		return out, err
	}
	out = append(appendComma(out), `{"type":"`+typeReceipt+`","content":`...)
	return append(append(out, content...), '}'), nil
}

// appendTyping appends the event that says who is typing, without those whom the user ignores.
func (s *sight) appendTyping(dst []byte, users []id.UserID) ([]byte, error) {
	dst = append(dst, `{"type":"`+typeTyping+`","content":{"user_ids":[`...)
	for _, user := range users {
		ignored, err := s.ignores(user)
		if err != nil {
			return nil, err
		}
		if !ignored {
			dst = appendString(appendComma(dst), user)
		}
	}
	return append(dst, `]}}`...), nil
}

// receipts returns the content of an m.receipt event with the receipts of a room that the user may see at after < pos ≤ upto; nil when
// there are none. For a reader who knows nothing of the room after is 0, and users who have left it are left out. There are at
// most maxReceipts, the newest.
func (s *sight) receipts(userNID, roomNID, after, upto int64) ([]byte, error) {
	if s.tx.Quiet(store.FamilyReceipts, after) {
		return nil, nil
	}
	rows, err := receiptsIn(s.tx, roomNID, userNID, after, upto, maxReceipts)
	if err != nil {
		return nil, err
	}
	all := make([]event.Receipt, 0, len(rows))
	for _, row := range rows {
		user, err := s.tx.Text(row.UserNID)
		if err != nil {
			return nil, err
		}
		ignored, err := s.ignores(id.UserID(user))
		if err != nil {
			return nil, err
		}
		if !ignored {
			all = append(all, event.Receipt{EventID: row.EventID, Type: row.Type, User: id.UserID(user), Thread: row.Thread, TS: row.TS})
		}
	}
	return event.AppendReceipts(nil, all), nil
}
