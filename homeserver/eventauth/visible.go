package eventauth

import (
	"maunium.net/go/mautrix/id"

	"causeway/homeserver/event"
)

// View is how much of an event somebody may see.
type View int

const (
	// Hidden is nothing.
	Hidden View = iota
	// Redacted is what a redaction would leave (event.PDU.Redact).
	Redacted
	// Whole is all of it.
	Whole
)

// String returns the name of v.
func (v View) String() string { return [...]string{"hidden", "redacted", "whole"}[v] }

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

	// SenderErased says that the sender had their account erased. Visible does not look at it.
	SenderErased bool
	// SenderIgnored says that the user ignores the sender. Visible does not look at it.
	SenderIgnored bool
}

// ViewFor returns how much of the event the user may see: nothing when history visibility forbids it (Visible), nor when it is a
// message of somebody whom they ignore; of erased senders' events only those whole that the user was there to see. Client-Server API,
// "Room History Visibility" and "Ignoring Users"; MSC4025.
func ViewFor(v VisibilityInput) View {
	switch {
	case !Visible(v):
		return Hidden
	case v.SenderIgnored && !v.Event.IsState() && v.Event.Sender != v.User:
		return Hidden
	case v.SenderErased && !wasThere(v):
		return Redacted
	}
	return Whole
}

// wasThere reports whether the event was shown to the user when it was sent, and is not only part of a history that they were given
// later or from outside. Their own membership always was.
func wasThere(v VisibilityInput) bool {
	if v.Event.Sender == v.User || v.Event.IsStateOf(event.TypeMember, string(v.User)) {
		return true
	}
	if present(event.NormalVisibility(v.Visibility), v.Membership) {
		return true
	}
	return v.Event.IsStateOf(event.TypeHistoryVisibility, "") && present(v.Event.HistoryVisibility(), v.Membership)
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
	case present(visibility, membership): // 2 and 4
		return true
	case visibility == event.VisibilityShared && joinedAfter: // 3
		return true
	}
	return false // 5
}

// present are rules 2 and 4: those of members, and of the invited where they count.
func present(visibility, membership string) bool {
	return membership == event.MembershipJoin || visibility == event.VisibilityInvited && membership == event.MembershipInvite
}
