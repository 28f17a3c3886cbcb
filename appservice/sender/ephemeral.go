package sender

import (
	"cmp"
	"slices"
	"strconv"

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
	rooms := make(map[id.RoomID][]*receipt)
	for _, r := range p.receipts {
		if rooms[r.roomID] == nil {
			order = append(order, r.roomID)
		}
		rooms[r.roomID] = append(rooms[r.roomID], r)
	}
	for _, roomID := range order {
		dst := appendText([]byte(`{"type":"m.receipt","room_id":`), string(roomID))
		dst = appendReceipts(append(dst, `,"content":`...), rooms[roomID])
		p.ephemeral = append(p.ephemeral, append(dst, '}'))
	}
}

// appendReceipts appends the content of an m.receipt event. Where a user has more than one receipt of a type at an event, there is room for
// one only, and that is the one without a thread, which says the most (MSC4102).
func appendReceipts(dst []byte, all []*receipt) []byte {
	slices.SortStableFunc(all, func(a, b *receipt) int {
		return cmp.Or(cmp.Compare(a.EventID, b.EventID), cmp.Compare(a.Type, b.Type), cmp.Compare(a.user, b.user), compareThreads(a.Thread, b.Thread))
	})
	dst = append(dst, '{')
	var before *receipt
	for _, r := range all {
		switch {
		case before == nil:
			dst = appendKey(appendKey(dst, string(r.EventID)), r.Type)
		case before.EventID != r.EventID:
			dst = appendKey(appendKey(append(dst, `}},`...), string(r.EventID)), r.Type)
		case before.Type != r.Type:
			dst = appendKey(append(dst, `},`...), r.Type)
		case before.user == r.user:
			continue
		default:
			dst = append(dst, ',')
		}
		before = r
		dst = strconv.AppendInt(append(appendKey(dst, string(r.user)), `"ts":`...), r.TS, 10)
		if r.Thread != "" {
			dst = appendText(append(dst, `,"thread_id":`...), r.Thread)
		}
		dst = append(dst, '}')
	}
	return append(dst, `}}}`...)
}

// appendKey begins a member that is an object.
func appendKey(dst []byte, key string) []byte { return append(appendText(dst, key), `:{`...) }

// compareThreads puts first the receipt that says the most: that for the whole room, then that for the main timeline.
func compareThreads(a, b string) int {
	rank := func(thread string) int {
		switch thread {
		case "":
			return 0
		case event.MainThread:
			return 1
		}
		return 2
	}
	return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(a, b))
}

// presenceEvent returns an event that says whether a user is there. Client-Server API, m.presence.
func presenceEvent(user id.UserID, p store.Presence, lastActive, now int64) []byte {
	dst := appendText([]byte(`{"type":"m.presence","sender":`), string(user))
	dst = appendText(append(dst, `,"content":{"presence":`...), p.State)
	if last := max(p.LastActiveTS, lastActive); last > 0 {
		dst = strconv.AppendInt(append(dst, `,"last_active_ago":`...), max(0, now-last), 10)
	}
	if p.StatusMsg != "" {
		dst = appendText(append(dst, `,"status_msg":`...), p.StatusMsg)
	}
	return append(strconv.AppendBool(append(dst, `,"currently_active":`...), p.State == "online"), `}}`...)
}

// typingEvent returns an event that says who is typing in a room. Client-Server API, m.typing, with the room's id.
func typingEvent(roomID id.RoomID, users []id.UserID) []byte {
	dst := appendText([]byte(`{"type":"m.typing","room_id":`), string(roomID))
	dst = append(dst, `,"content":{"user_ids":[`...)
	for n, user := range users {
		if n > 0 {
			dst = append(dst, ',')
		}
		dst = appendText(dst, string(user))
	}
	return append(dst, `]}}`...)
}

// mailEvent returns a message to a device (MSC4203).
func mailEvent(user id.UserID, m store.ServiceMail) []byte {
	dst := appendText([]byte(`{"type":`), m.Type)
	dst = appendText(append(dst, `,"sender":`...), string(m.Sender))
	dst = appendText(append(dst, `,"to_user_id":`...), string(user))
	dst = appendText(append(dst, `,"to_device_id":`...), string(m.DeviceID))
	return append(append(append(dst, `,"content":`...), m.Content...), '}')
}
