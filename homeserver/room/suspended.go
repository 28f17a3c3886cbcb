package room

import (
	"causeway/homeserver/event"
)

// admitSuspended refuses what a user who is suspended would say: all but leaving, a room or a call, and redacting what they said themselves. Client-Server API,
// "Account suspension". redacts is what the draft redacts, nil for nothing that is here.
func admitSuspended(d draft, redacts *redaction) error {
	if !d.Suspended {
		return nil
	}
	leaves := d.Type == event.TypeMember && d.StateKey != nil && *d.StateKey == string(d.Sender) && saysMembership(d.Content, event.MembershipLeave)
	if leaves || endsCall(d) || redacts != nil && d.StateKey == nil && redacts.original.Sender == d.Sender {
		return nil
	}
	return errSuspended
}

var errSuspended = matrixError(403, "M_USER_SUSPENDED", "You cannot do this while your account is suspended")
