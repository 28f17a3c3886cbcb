package bridges

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"
)

// PowerLevels returns the power levels of a room as the homeserver has them now, with the room's create event.
func (h *Host) PowerLevels(ctx context.Context, room id.RoomID) (*event.PowerLevelsEventContent, error) {
	levels := &event.PowerLevelsEventContent{}
	if err := h.b.conn.Bot.StateEvent(ctx, room, event.StatePowerLevels, "", levels); err != nil {
		return nil, fmt.Errorf("power levels of %s: %w", room, err)
	}
	var err error
	if levels.CreateEvent, err = h.b.conn.GetStateEvent(ctx, room, event.StateCreate, ""); err != nil {
		return nil, fmt.Errorf("creation of %s: %w", room, err)
	}
	return levels, nil
}

// RoomName returns what a room is called, "" if it has no name.
func (h *Host) RoomName(ctx context.Context, room id.RoomID) (string, error) {
	var content event.RoomNameEventContent
	err := h.b.conn.Bot.StateEvent(ctx, room, event.StateRoomName, "", &content)
	if errors.Is(err, mautrix.MNotFound) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("name of %s: %w", room, err)
	}
	return content.Name, nil
}

// RoomOf returns the room of an alias.
func (h *Host) RoomOf(ctx context.Context, alias id.RoomAlias) (id.RoomID, error) {
	resp, err := h.b.conn.Bot.ResolveAlias(ctx, alias)
	if err != nil {
		return "", fmt.Errorf("room of %s: %w", alias, err)
	}
	return resp.RoomID, nil
}

// SetPowerLevels sets the power levels of a room, as the bot.
func (h *Host) SetPowerLevels(ctx context.Context, room id.RoomID, levels *event.PowerLevelsEventContent) error {
	if _, err := h.b.conn.Bot.SendStateEvent(ctx, room, event.StatePowerLevels, "", levels); err != nil {
		return fmt.Errorf("set the power levels of %s: %w", room, err)
	}
	return nil
}

// SetJoinRule sets who may join a room, as the bot, unless it is so already, or one of alike, which will do as well.
func (h *Host) SetJoinRule(ctx context.Context, room id.RoomID, rule event.JoinRule, alike ...event.JoinRule) error {
	var now event.JoinRulesEventContent
	err := h.b.conn.Bot.StateEvent(ctx, room, event.StateJoinRules, "", &now)
	if err == nil && (now.JoinRule == rule || slices.Contains(alike, now.JoinRule)) {
		return nil
	}
	_, err = h.b.conn.Bot.SendStateEvent(ctx, room, event.StateJoinRules, "", &event.JoinRulesEventContent{JoinRule: rule})
	if err != nil {
		return fmt.Errorf("set the join rule of %s: %w", room, err)
	}
	return nil
}

// SetListed puts a room into the homeserver's public directory, or takes it out.
func (h *Host) SetListed(ctx context.Context, room id.RoomID, listed bool) error {
	visibility := "private"
	if listed {
		visibility = "public"
	}
	url := h.b.conn.Bot.BuildClientURL("v3", "directory", "list", "room", room)
	_, err := h.b.conn.Bot.MakeRequest(ctx, http.MethodPut, url, map[string]string{"visibility": visibility}, nil)
	if err != nil {
		return fmt.Errorf("list %s in the directory: %w", room, err)
	}
	return nil
}

// SetListedOn puts a room into the directory of one instance of our network (ThirdPartyInstance.NetworkID), or takes it out.
// A homeserver that has no such directories is no error. Application Service API, PUT
// /_matrix/client/v3/directory/list/appservice/{networkId}/{roomId}.
func (h *Host) SetListedOn(ctx context.Context, network string, room id.RoomID, listed bool) error {
	visibility := "private"
	if listed {
		visibility = "public"
	}
	url := h.b.conn.Bot.BuildClientURL("v3", "directory", "list", "appservice", network, room)
	_, err := h.b.conn.Bot.MakeRequest(ctx, http.MethodPut, url, map[string]string{"visibility": visibility}, nil)
	if err != nil && !errors.Is(err, mautrix.MUnrecognized) {
		return fmt.Errorf("list %s in the directory of %s: %w", room, network, err)
	}
	return nil
}

// Ban bans a user from a room, as the bot. mark is a note for Bans, which others can read.
func (h *Host) Ban(ctx context.Context, room id.RoomID, user id.UserID, reason, mark string) error {
	_, err := h.b.conn.Bot.BanUser(ctx, room, &mautrix.ReqBanUser{UserID: user, Reason: reason}, map[string]any{banMark: mark})
	if err != nil {
		return fmt.Errorf("ban %s from %s: %w", user, room, err)
	}
	return nil
}

// Unban lets a user in again, as the bot.
func (h *Host) Unban(ctx context.Context, room id.RoomID, user id.UserID, reason string) error {
	if _, err := h.b.conn.Bot.UnbanUser(ctx, room, &mautrix.ReqUnbanUser{UserID: user, Reason: reason}); err != nil {
		return fmt.Errorf("unban %s from %s: %w", user, room, err)
	}
	return nil
}

// banMark is the field of a ban with the note of the network.
const banMark = "causeway.bridge.ban"

// Bans returns who is banned from a room by the bot, each with the mark of Ban.
func (h *Host) Bans(ctx context.Context, room id.RoomID) (map[id.UserID]string, error) {
	// The client's own method would store the members, which SQL cannot do with none.
	bot := h.b.conn.Bot
	var resp mautrix.RespMembers
	query := map[string]string{"membership": string(event.MembershipBan)}
	url := bot.BuildURLWithQuery(mautrix.ClientURLPath{"v3", "rooms", room, "members"}, query)
	if _, err := bot.MakeRequest(ctx, http.MethodGet, url, nil, &resp); err != nil {
		return nil, fmt.Errorf("bans of %s: %w", room, err)
	}
	bans := map[id.UserID]string{}
	for _, evt := range resp.Chunk {
		if err := evt.Content.ParseRaw(evt.Type); err != nil {
			continue
		}
		mark, marked := evt.Content.Raw[banMark].(string)
		if marked && evt.Sender == bot.UserID && evt.Content.AsMember().Membership == event.MembershipBan {
			bans[id.UserID(evt.GetStateKey())] = mark
		}
	}
	return bans, nil
}

// Invite asks a user into a room, as the bot. Who is there already is not asked.
func (h *Host) Invite(ctx context.Context, room id.RoomID, user id.UserID, reason string) error {
	member, err := h.b.conn.GetMemberInfo(ctx, room, user)
	if err == nil && member != nil && (member.Membership == event.MembershipJoin || member.Membership == event.MembershipInvite) {
		return nil
	}
	if _, err := h.b.conn.Bot.InviteUser(ctx, room, &mautrix.ReqInviteUser{UserID: user, Reason: reason}); err != nil {
		return fmt.Errorf("invite %s to %s: %w", user, room, err)
	}
	return nil
}
