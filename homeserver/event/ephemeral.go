package event

import (
	"cmp"
	"encoding/json"
	"slices"
	"strconv"

	"maunium.net/go/mautrix/id"
)

// AppendString appends s as a JSON string. IDs and tokens need no escapes, nearly always.
func AppendString[S ~string](dst []byte, s S) []byte {
	for i := 0; i < len(s); i++ {
		if !plainASCII[s[i]] {
			raw, _ := json.Marshal(string(s)) // no string fails
			return append(dst, raw...)
		}
	}
	dst = append(dst, '"')
	dst = append(dst, s...)
	return append(dst, '"')
}

// Receipt is how far a user has read, as others see it. Client-Server API, m.receipt.
type Receipt struct {
	EventID id.EventID
	Type    string // m.read or m.read.private
	User    id.UserID
	Thread  string // "" for the whole room, MainThread, or the event id of a thread's root
	TS      int64  // in milliseconds
}

// AppendReceipts appends the content of an m.receipt event: {event id: {type: {user id: {ts, thread_id}}}}, nothing for no receipts, which
// it puts in order. Where a user has more than one receipt of a type at an event, there is room for one only, and that is the one without
// a thread, which says the most (MSC4102).
func AppendReceipts(dst []byte, all []Receipt) []byte {
	if len(all) == 0 {
		return dst
	}
	slices.SortStableFunc(all, func(a, b Receipt) int {
		return cmp.Or(cmp.Compare(a.EventID, b.EventID), cmp.Compare(a.Type, b.Type), cmp.Compare(a.User, b.User), compareThreads(a.Thread, b.Thread))
	})
	dst = append(dst, '{')
	for i, r := range all {
		var before Receipt
		if i > 0 {
			before = all[i-1]
		}
		switch {
		case i == 0:
			dst = beginObject(beginObject(dst, r.EventID), r.Type)
		case before.EventID != r.EventID:
			dst = beginObject(beginObject(append(dst, `}},`...), r.EventID), r.Type)
		case before.Type != r.Type:
			dst = beginObject(append(dst, `},`...), r.Type)
		case before.User == r.User:
			continue
		default:
			dst = append(dst, ',')
		}
		dst = strconv.AppendInt(append(beginObject(dst, r.User), `"ts":`...), r.TS, 10)
		if r.Thread != "" {
			dst = AppendString(append(dst, `,"thread_id":`...), r.Thread)
		}
		dst = append(dst, '}')
	}
	return append(dst, `}}}`...)
}

// beginObject begins a member that is an object.
func beginObject[S ~string](dst []byte, key S) []byte { return append(AppendString(dst, key), `:{`...) }

// compareThreads puts first the receipt that says the most: that for the whole room, then that for the main timeline.
func compareThreads(a, b string) int {
	rank := func(thread string) int {
		switch thread {
		case "":
			return 0
		case MainThread:
			return 1
		}
		return 2
	}
	return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(a, b))
}

// Presence says whether a user is there. Client-Server API, m.presence.
type Presence struct {
	User         id.UserID
	State        string // online, unavailable or offline
	StatusMsg    string // "" for none
	LastActiveTS int64  // in milliseconds, 0 when that is not known
}

// AppendPresence appends an m.presence event.
func AppendPresence(dst []byte, p Presence, nowTS int64) []byte {
	dst = AppendString(append(dst, `{"type":"m.presence","sender":`...), p.User)
	dst = AppendString(append(dst, `,"content":{"presence":`...), p.State)
	if p.LastActiveTS > 0 {
		dst = strconv.AppendInt(append(dst, `,"last_active_ago":`...), max(0, nowTS-p.LastActiveTS), 10)
	}
	if p.StatusMsg != "" {
		dst = AppendString(append(dst, `,"status_msg":`...), p.StatusMsg)
	}
	return append(strconv.AppendBool(append(dst, `,"currently_active":`...), p.State == "online"), `}}`...)
}
