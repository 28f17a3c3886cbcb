package sender

import (
	"causeway/homeserver/event"
	"causeway/homeserver/store"

	"maunium.net/go/mautrix/id"
)

// Live is what is known of users and is in no row.
type Live interface {
	// TypingSince returns who types in the rooms where that has changed after a serial, by room, and the serial up to which that
	// holds. The lists must not be changed. When it is not known any more what has changed, known is false, and the rooms are
	// those where somebody types.
	TypingSince(serial int64) (rooms map[int64][]id.UserID, upto int64, known bool)
	// LastActive returns when a user was last active, in milliseconds, 0 when that is not known to be later than what is stored.
	LastActive(user id.UserID) int64
}

// addReceipts makes an event of the receipts of each room, in the order in which the rooms have their first. Client-Server API, m.receipt:
// {event id: {type: {user id: {ts, thread_id}}}}; Application Service API, "Pushing ephemeral data": with the room's id.
func (p *parts) addReceipts() {
	var order []id.RoomID
	rooms := make(map[id.RoomID][]event.Receipt)
	for _, r := range p.receipts {
		if rooms[r.roomID] == nil {
			order = append(order, r.roomID)
		}
		rooms[r.roomID] = append(rooms[r.roomID], r.Receipt)
	}
	for _, roomID := range order {
		dst := event.AppendString([]byte(`{"type":"m.receipt","room_id":`), roomID)
		dst = event.AppendReceipts(append(dst, `,"content":`...), rooms[roomID])
		p.ephemeral = append(p.ephemeral, append(dst, '}'))
	}
}

// typingEvent returns an event that says who is typing in a room. Client-Server API, m.typing, with the room's id.
func typingEvent(roomID id.RoomID, users []id.UserID) []byte {
	dst := event.AppendString([]byte(`{"type":"m.typing","room_id":`), roomID)
	dst = append(dst, `,"content":{"user_ids":[`...)
	for n, user := range users {
		if n > 0 {
			dst = append(dst, ',')
		}
		dst = event.AppendString(dst, user)
	}
	return append(dst, `]}}`...)
}

// mailEvent returns a message to a device (MSC4203).
func mailEvent(user id.UserID, m store.ServiceMail) []byte {
	dst := event.AppendString([]byte(`{"type":`), m.Type)
	dst = event.AppendString(append(dst, `,"sender":`...), m.Sender)
	dst = event.AppendString(append(dst, `,"to_user_id":`...), user)
	dst = event.AppendString(append(dst, `,"to_device_id":`...), m.DeviceID)
	return append(append(append(dst, `,"content":`...), m.Content...), '}')
}
