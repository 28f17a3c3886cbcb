package room

import (
	"errors"
	"fmt"

	"causeway/homeserver/event"
	"causeway/homeserver/eventauth"

	"maunium.net/go/mautrix/id"
)

// buildError turns what is wrong with a client's event into what the client sees.
func buildError(err error) error {
	switch {
	case errors.Is(err, event.ErrTooLarge):
		return matrixError(413, "M_TOO_LARGE", "This event is too large: it can have %d bytes", event.MaxEventBytes)
	case errors.Is(err, event.ErrFieldTooLong):
		return matrixError(413, "M_TOO_LARGE", "This event is too large: %s", err)
	case errors.Is(err, event.ErrBadJSON):
		return matrixError(400, "M_BAD_JSON", "The content cannot be sent: %s", err)
	case errors.Is(err, event.ErrBadEvent):
		return matrixError(400, "M_INVALID_PARAM", "The event cannot be sent: %s", err)
	default:
		return fmt.Errorf("build an event: %w", err)
	}
}

// ruleCreators is the authorisation rule that keeps a room's creators out of the power levels.
const ruleCreators = "10.4"

// notAllowed turns a refusal of the authorisation rules into what the client sees.
func notAllowed(err error) error {
	var no *eventauth.NotAllowed
	switch {
	case errors.As(err, &no) && no.Rule == ruleCreators: // nobody may: it makes no sense
		return matrixError(400, "M_INVALID_PARAM", "%s", no.Reason)
	case errors.As(err, &no):
		return matrixError(403, "M_FORBIDDEN", "%s", no.Reason)
	}
	return fmt.Errorf("authorise an event: %w", err)
}

func notIn(roomID id.RoomID) error {
	return matrixError(403, "M_FORBIDDEN", "You are not in %s", roomID)
}
