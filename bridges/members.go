package bridges

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"
)

// People returns the people in a room, as the homeserver has it at this moment: without ghosts and bots, of this bridge and of others.
func (h *Host) People(ctx context.Context, room id.RoomID) ([]id.UserID, error) {
	everybody, err := h.Audience(ctx, room)
	if err != nil {
		return nil, err
	}
	people, err := h.b.persons(ctx, everybody)
	if err != nil {
		return nil, fmt.Errorf("tell who is a person in %s: %w", room, err)
	}
	return people, nil
}

// Audience is People with the ghosts and bots of other bridges: who sees what is said in a room, or lets others elsewhere see it.
func (h *Host) Audience(ctx context.Context, room id.RoomID) ([]id.UserID, error) {
	members, err := h.b.conn.Bot.JoinedMembers(ctx, room)
	if err != nil {
		return nil, fmt.Errorf("list the members of %s: %w", room, err)
	}
	var everybody []id.UserID
	for user := range members.Joined {
		if !h.b.own(user) {
			everybody = append(everybody, user)
		}
	}
	return everybody, nil
}

// IsIn reports whether the bot is in a room, as the homeserver has it at this moment. All else that looks at a room has the bot enter it if
// anybody may, so that what strangers name is to be looked at by this first.
func (h *Host) IsIn(ctx context.Context, room id.RoomID) (bool, error) {
	bot := h.b.conn.Bot
	var member event.MemberEventContent
	url := bot.BuildClientURL("v3", "rooms", room, "state", event.StateMember.Type, bot.UserID)
	_, err := bot.MakeRequest(ctx, http.MethodGet, url, nil, &member)
	if errors.Is(err, mautrix.MForbidden) || errors.Is(err, mautrix.MNotFound) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("look whether %s is in %s: %w", bot.UserID, room, err)
	}
	return member.Membership == event.MembershipJoin, nil
}

// Leave has a ghost leave a room. A ghost that is not there is no error.
func (h *Host) Leave(ctx context.Context, room id.RoomID, ghost id.UserID) error {
	_, err := h.b.conn.ghosts.intent(ghost).LeaveRoom(ctx, room)
	return unlessGone(err, "have %s leave", ghost)
}

// Unbridge is Bridge.Unbridge.
func (h *Host) Unbridge(ctx context.Context, room id.RoomID, reason string) error {
	return h.b.Unbridge(ctx, room, reason)
}

// HistoryVisibility returns who may read what was said in a room.
func (h *Host) HistoryVisibility(ctx context.Context, room id.RoomID) (event.HistoryVisibility, error) {
	var content event.HistoryVisibilityEventContent
	if err := h.b.conn.Bot.StateEvent(ctx, room, event.StateHistoryVisibility, "", &content); err != nil {
		return "", fmt.Errorf("history visibility of %s: %w", room, err)
	}
	return content.HistoryVisibility, nil
}

// SetState sends a state event, as the bot.
func (h *Host) SetState(ctx context.Context, room id.RoomID, eventType, key string, content any) error {
	_, err := h.b.conn.Bot.SendStateEvent(ctx, room, event.Type{Type: eventType, Class: event.StateEventType}, key, content)
	if err != nil {
		return fmt.Errorf("set %s of %s: %w", eventType, room, err)
	}
	return nil
}
