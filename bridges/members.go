package bridges

import (
	"context"
	"fmt"

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
