package eventauth

import (
	"maunium.net/go/mautrix/id"

	"causeway/homeserver/event"
)

// ServerVisibilityInput is what it takes to know how much of an event another server may be given.
type ServerVisibilityInput struct {
	Event  *event.PDU
	Server string // the name of the server that asks
	// Visibility is the room's history visibility in the state before the event; "" when nothing sets it.
	Visibility string
	// Joined and Invited say that a user of the server was joined to, or invited to, the room in the state before the event.
	Joined, Invited bool
	// InRoom says that a user of the server is joined to the room now.
	InRoom bool
	// SenderErased says that the sender had their account erased.
	SenderErased bool
}

// VisibleToServer returns how much of the event the server may be given.
//
// A server acts for its users, so it may have what one of them might see: all that is world-readable, what was sent while one was
// joined (or invited, where the invited see it), and shared history while one is in the room. A server that is in the room but whose
// users may not see the event is given it redacted, since it needs the graph of events and the authorisation that this leaves; so is
// one that was not there when an erased sender sent it (MSC4025). To any other server it is hidden. A server's own events are never kept
// from it. Client-Server API, "Room History Visibility".
//
// The caller asks ServerAllowed first.
func VisibleToServer(v ServerVisibilityInput) View {
	visibility := event.NormalVisibility(v.Visibility)
	joined, invited := v.Joined, v.Invited
	if p := v.Event; p.Type == event.TypeMember && p.StateKey != nil && event.ServerOf(id.UserID(*p.StateKey)) == v.Server {
		// The membership of a user is visible to them by what it was before or by what it is after.
		joined = joined || p.Membership() == event.MembershipJoin
		invited = invited || p.Membership() == event.MembershipInvite
	}
	there := joined || visibility == event.VisibilityInvited && invited
	open := visibility == event.VisibilityWorldReadable || visibility == event.VisibilityShared && v.InRoom
	if v.Event.IsStateOf(event.TypeHistoryVisibility, "") {
		after := v.Event.HistoryVisibility()
		there = there || after == event.VisibilityInvited && invited
		open = open || after == event.VisibilityWorldReadable || after == event.VisibilityShared && v.InRoom
	}
	switch {
	case event.ServerOf(v.Event.Sender) == v.Server || there:
		return Whole
	case open && !v.SenderErased:
		return Whole
	case open || v.InRoom:
		return Redacted
	}
	return Hidden
}
