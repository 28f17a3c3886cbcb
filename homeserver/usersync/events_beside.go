package usersync

import (
	"causeway/homeserver/store"

	"maunium.net/go/mautrix/id"
)

// maxBeside bounds the rooms of whose receipts one answer of /events tells, and the users of whose presence. What there is beyond is
// for the next one.
const maxBeside = 100

// aside is what /events tells beside the events of the rooms that a user is in.
type aside struct {
	sight   *sight
	userNID int64
	told    [][]byte // elements of the chunk

	// typing is the serial of the newest change of who types when the request came, once listening is set.
	typing    int64
	listening bool
}

// readBeside reads receipts and presence at after < pos ≤ upto, and who types where that has changed since the request came. Typing
// has no place in the stream, so the token says nothing of it: a change between two requests is not told. When there is too much,
// upto is lowered.
func (e *stream) readBeside() error {
	for {
		e.beside.told = nil
		all, err := e.readReceipts()
		if err == nil && all {
			all, err = e.readPresence()
		}
		if err != nil {
			return err
		}
		if all {
			return e.readTyping()
		}
		e.upto = e.after + (e.upto-e.after)/2 // at a single position there is no more than one
	}
}

// readReceipts adds an m.receipt event for each room with new ones, of which each has the newest maxReceipts; all is false for too many
// rooms.
func (e *stream) readReceipts() (all bool, err error) {
	b := &e.beside
	if b.sight.tx.Quiet(store.FamilyReceipts, e.after) {
		return true, nil
	}
	rooms, err := b.sight.tx.RoomsWithReceipts(b.userNID, e.after, e.upto, e.upto-e.after <= shortRange)
	if err != nil || len(rooms) > maxBeside {
		return false, err
	}
	for _, nid := range rooms {
		content, err := b.sight.receipts(b.userNID, nid, e.after, e.upto)
		if err != nil {
			return false, err
		}
		if content == nil {
			continue // of ignored users
		}
		told := append([]byte(`{"type":"`+typeReceipt+`","content":`), content...)
		if err := b.add(nid, append(told, '}')); err != nil {
			return false, err
		}
	}
	return true, nil
}

// readPresence adds the m.presence events of those whom the user may know of; all is false for too many.
func (e *stream) readPresence() (all bool, err error) {
	b := &e.beside
	if e.s.presence == nil || b.sight.tx.Quiet(store.FamilyPresence, e.after) {
		return true, nil
	}
	short := e.upto-e.after <= shortRange
	rows, err := b.sight.tx.PresenceNear(b.userNID, e.after, e.upto, short, e.s.presenceMembers, maxBeside+1)
	if err != nil || len(rows) > maxBeside {
		return false, err
	}
	for _, row := range rows {
		user, err := b.sight.tx.Text(row.UserNID)
		if err != nil {
			return false, err
		}
		ignored, err := b.sight.ignores(id.UserID(user))
		if err != nil {
			return false, err
		}
		if !ignored {
			b.told = append(b.told, e.s.appendPresenceEvent(nil, id.UserID(user), row, b.sight.nowTS))
		}
	}
	return true, nil
}

// readTyping adds an m.typing event for each room where others type than when the request came.
func (e *stream) readTyping() error {
	b := &e.beside
	news := e.s.typingSince(b.typing)
	if !b.listening {
		b.typing, b.listening = news.upto, true
		return nil
	}
	rooms, err := news.joined(b.sight.tx, b.userNID)
	if err != nil {
		return err
	}
	for _, nid := range rooms {
		told, err := b.sight.appendTyping(nil, news.rooms[nid])
		if err != nil {
			return err
		}
		if err := b.add(nid, told); err != nil {
			return err
		}
	}
	return nil
}

// add adds an event, an object, of a room.
func (b *aside) add(roomNID int64, event []byte) error {
	roomID, err := b.sight.tx.RoomID(roomNID)
	if err != nil {
		return err
	}
	told := appendString([]byte(`{"room_id":`), roomID)
	b.told = append(b.told, append(append(told, ','), event[1:]...))
	return nil
}
