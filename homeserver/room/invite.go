package room

import (
	"errors"

	"causeway/homeserver/event"
	"causeway/homeserver/eventauth"
	"causeway/homeserver/store"

	"maunium.net/go/mautrix/id"
)

// ErrNoThirdParty is the error for invitations by email or telephone number, for which it takes an identity server.
var ErrNoThirdParty = matrixError(403, "M_THREEPID_DENIED", "This server cannot invite by email or telephone number")

func isInvite(pdu *event.PDU) bool {
	return pdu.Type == event.TypeMember && pdu.StateKey != nil && pdu.Membership() == event.MembershipInvite
}

// reaches refuses an invitation, by whatever endpoint, that nobody would be told of, or that is not welcome (Client-Server API, "Invite
// permission"). One that its receiver would rather not see is not refused: who sent it is not to know.
func (s *Service) reaches(tx *store.Tx, pdu *event.PDU) error {
	if !isInvite(pdu) {
		return nil
	}
	user := id.UserID(*pdu.StateKey)
	if server := user.Homeserver(); server != s.ServerName {
		return matrixError(403, "M_FORBIDDEN", "%s is a user of %s, and this server does not federate yet", user, server)
	}
	if u, err := tx.User(user); err == nil && u.Deactivated {
		return matrixError(403, "M_FORBIDDEN", "The account of %s has been deactivated", user)
	}
	for _, dataType := range eventauth.InvitePermissionTypes {
		content, err := tx.AccountData(user, 0, dataType)
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return err
		}
		if eventauth.PermitInvite(content, pdu.Sender) == eventauth.InviteBlocked {
			return matrixError(403, "M_INVITE_BLOCKED", "%s takes no invitations by you", user)
		}
	}
	return nil
}
