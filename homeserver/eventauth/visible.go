package eventauth

import (
	"maunium.net/go/mautrix/id"

	"causeway/homeserver/event"
)

// VisibilityInput is what it takes to know whether a user may see an event.
type VisibilityInput struct {
	Event *event.PDU
	User  id.UserID
	// Visibility is the room's history visibility in the state before the event; "" when nothing sets it.
	Visibility string
	// Membership is the user's membership in the state before the event; "" when they never had one.
	Membership string
	// JoinedAfter says that the user joined at any point after the event, whether or not they have left since. Someone who was in
	// the room at the event and stayed need not be counted.
	JoinedAfter bool
}

// Visible reports whether the user may see the event. Client-Server API, "Room History Visibility", "Server behaviour".
func Visible(v VisibilityInput) bool {
	if allows(event.NormalVisibility(v.Visibility), v.Membership, v.JoinedAfter) {
		return true
	}
	// An event that changes what the rules depend on is judged by the state before it and by that after it.
	switch {
	case v.Event.IsStateOf(event.TypeHistoryVisibility, ""):
		return allows(v.Event.HistoryVisibility(), v.Membership, v.JoinedAfter)
	case v.Event.IsStateOf(event.TypeMember, string(v.User)):
		return allows(event.NormalVisibility(v.Visibility), v.Event.Membership(), v.JoinedAfter)
	}
	return false
}

// allows are the five rules, of a visibility and a membership at the event.
func allows(visibility, membership string, joinedAfter bool) bool {
	switch {
	case visibility == event.VisibilityWorldReadable: // 1
		return true
	case membership == event.MembershipJoin: // 2
		return true
	case visibility == event.VisibilityShared && joinedAfter: // 3
		return true
	case visibility == event.VisibilityInvited && membership == event.MembershipInvite: // 4
		return true
	}
	return false // 5
}
