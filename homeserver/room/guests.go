package room

import (
	"context"
	"errors"

	"causeway/homeserver/event"
	"causeway/homeserver/eventauth"
	"causeway/homeserver/store"

	"github.com/rs/zerolog"
	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/id"
)

var guestAccessKey = eventauth.StateKey{Type: typeGuestAccess}

// admitGuest refuses a guest's join of a room that takes no guests. Client-Server API, "Guest Access". The caller holds h.mu, and has
// loaded the room's m.room.guest_access and the guest's membership.
func (h *head) admitGuest(d draft) error {
	if !d.Guest || d.Type != event.TypeMember || d.StateKey == nil || *d.StateKey != string(d.Sender) ||
		eventauth.Membership(h, d.Sender) == event.MembershipJoin || !joins(d.Content) {
		return nil
	}
	if access := h.state[guestAccessKey]; access == nil || !letsGuestsIn(access.pdu) {
		return matrixError(403, "M_GUEST_ACCESS_FORBIDDEN", "Guests may not join %s", h.roomID)
	}
	return nil
}

func letsGuestsIn(access *event.PDU) bool { return access.ContentString("guest_access") == "can_join" }

// checkGuests has runGuests look soon when events may have closed their room to guests. It never blocks.
func (s *Service) checkGuests(entries []*entry) {
	for _, e := range entries {
		closes := e.pdu.IsStateOf(typeGuestAccess, "") && !letsGuestsIn(e.pdu)
		if !closes && e.redacts == nil {
			continue
		}
		select {
		case s.guests <- struct{}{}:
		default: // it is about to look anyway
		}
		return
	}
}

// expelGuests has guests leave the rooms that do not let guests in any more: "the server MUST set those users' m.room.member state to
// leave" (Client-Server API, "Guest Access"). The rows tell who that is, so that nothing is lost when the server stops in between.
func (s *Service) expelGuests(ctx context.Context) error {
	type expulsion struct {
		user id.UserID
		room id.RoomID
	}
	var due []expulsion
	err := s.DB.View(ctx, func(tx *store.Tx) error {
		due = nil
		seats, err := tx.GuestSeats()
		if err != nil {
			return err
		}
		closed := make(map[int64]bool)
		for _, seat := range seats {
			if _, known := closed[seat.RoomNID]; !known {
				access, err := tx.CurrentStateEvent(seat.RoomNID, typeGuestAccess, "")
				if err != nil && !errors.Is(err, store.ErrNotFound) {
					return err
				}
				closed[seat.RoomNID] = err != nil || !letsGuestsIn(access.PDU)
			}
			if !closed[seat.RoomNID] {
				continue
			}
			roomID, err := tx.RoomID(seat.RoomNID)
			if err != nil {
				return err
			}
			due = append(due, expulsion{seat.UserID, roomID})
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, x := range due {
		var refused mautrix.RespError
		err := s.Leave(ctx, By{User: x.user}, x.room, "Guests may not be in this room any more")
		if err != nil && !errors.As(err, &refused) {
			return err
		}
	}
	return nil
}

// expel is expelGuests, whose error is logged: the next look tries again.
func (s *Service) expel(ctx context.Context) {
	if err := s.expelGuests(ctx); err != nil && ctx.Err() == nil {
		zerolog.Ctx(ctx).Err(err).Msg("Guests were not all made to leave")
	}
}
