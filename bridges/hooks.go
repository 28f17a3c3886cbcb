package bridges

import (
	"context"
	"fmt"
	"time"

	"causeway/bridges/provisioning"

	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/bridgev2"
	"maunium.net/go/mautrix/bridgev2/networkid"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/format"
	"maunium.net/go/mautrix/id"
)

// Hosted is implemented by a network that wants more than bridgev2 offers. SetHost is called once, before
// Init.
type Hosted interface {
	SetHost(h *Host)
}

// AliasQuerier is implemented by a network whose rooms are entered by alias.
type AliasQuerier interface {
	// QueryAlias makes the room of an alias of our namespace and lets the alias point to it. The error is
	// an *UnknownAlias when there is no such thing, which the homeserver then hears as 404; any other error
	// is a failure of ours.
	QueryAlias(ctx context.Context, alias id.RoomAlias) error
}

// UnknownAlias says in a sentence for people why an alias leads nowhere.
type UnknownAlias struct{ Reason string }

func (e *UnknownAlias) Error() string { return e.Reason }

// ThirdPartyQuerier is implemented by a network about which clients can ask who and what is on it. What comes is from
// strangers, but each field matches its regexp of ThirdParty. Answers of more than maxThirdParties are cut; an empty one
// is that there is no such thing.
type ThirdPartyQuerier interface {
	// ThirdParty describes the network. Its Name, which must not change, is asked for before Init already.
	ThirdParty() ThirdParty
	// FindLocations returns the aliases of rooms by the fields of a place on the network. FindUsers is the same for ghosts.
	FindLocations(ctx context.Context, fields map[string]string) ([]ThirdPartyLocation, error)
	FindUsers(ctx context.Context, fields map[string]string) ([]ThirdPartyUser, error)
	// LocationsOf returns the places on the network of an alias of ours. UsersOf is the same for a ghost of ours.
	LocationsOf(ctx context.Context, alias id.RoomAlias) ([]ThirdPartyLocation, error)
	UsersOf(ctx context.Context, user id.UserID) ([]ThirdPartyUser, error)
}

// MemberWatcher is implemented by a network that logs people in by their presence in a room.
type MemberWatcher interface {
	// HandleMember is called for each m.room.member event about a person (no ghost, not the bot; of those of other
	// bridges only for one that goes) in a room of this bridge, whoever sent it, in the room's order: before bridgev2 sees the event, which then
	// finds the login of who came, but after it for a leave or ban, while who left has one still. After an
	// error it is called again for the same event, if need be after the next start, and the room waits; so an
	// error is for what will pass.
	HandleMember(ctx context.Context, portal *bridgev2.Portal, evt *event.Event) error
}

// ForeignWatcher is implemented by a MemberWatcher that has a use for the ghosts of other bridges in a room.
type ForeignWatcher interface {
	// HandleForeign is HandleMember for a ghost or a bot of another bridge that comes, or is invited.
	HandleForeign(ctx context.Context, portal *bridgev2.Portal, evt *event.Event) error
}

// PresenceWatcher is implemented by a network that shows who is there.
type PresenceWatcher interface {
	// HandlePresence is called when a person who shares a room with the bridge comes, goes, or says what they do. Some
	// of it may be lost, and it must not wait long: presence has one queue.
	HandlePresence(ctx context.Context, user id.UserID, presence *event.PresenceEventContent)
}

// PortalLeaver is implemented by a network that has to leave a chat on the network when its room is unbridged.
type PortalLeaver interface {
	// LeavePortal is called before the portal is deleted. It may be called again for the same portal, after an error or
	// a new start.
	LeavePortal(ctx context.Context, portal *bridgev2.Portal) error
}

// RoomLinker is implemented by a network whose chats people can connect with rooms that they have already, over the provisioning API and
// on the homeserver's pages.
type RoomLinker = provisioning.RoomLinker

// What a RoomLinker hears and tells.
type (
	LinkForm = provisioning.LinkForm
	LinkWish = provisioning.LinkWish
	RoomLink = provisioning.RoomLink
)

// States of a RoomLink.
const (
	RoomLinkWaiting    = provisioning.RoomLinkWaiting
	RoomLinkConnecting = provisioning.RoomLinkConnecting
	RoomLinkConnected  = provisioning.RoomLinkConnected
	RoomLinkEnding     = provisioning.RoomLinkEnding
	RoomLinkRefused    = provisioning.RoomLinkRefused
	RoomLinkUnanswered = provisioning.RoomLinkUnanswered
)

// GhostNamer is implemented by a network that chooses the localparts of its ghosts itself. By default a
// localpart is the bridge's ID, an underscore and the remote ID encoded as mautrix does.
type GhostNamer interface {
	// GhostLocalpart maps a remote user to a localpart that begins with the bridge's ID and an underscore.
	GhostLocalpart(user networkid.UserID) string
	// ParseGhostLocalpart is its inverse, and false for what GhostLocalpart never returns.
	ParseGhostLocalpart(localpart string) (networkid.UserID, bool)
}

// Drainer is implemented by a network that has to say goodbye and hand in what it still holds before
// bridgev2 stops. It returns when done or when ctx ends.
type Drainer interface {
	Drain(ctx context.Context)
}

// Host is what this package does for a network beyond bridgev2.
type Host struct{ b *Bridge }

// Defer keeps a Matrix event unfinished until the returned function is called (once; more calls do nothing).
// It is called from within the handler of that event. A network that answers at once and sends later uses it,
// so that the homeserver hears of success only when the network has the message. While it stops, a network
// does not call the function for what it has not sent: the event is handled again after the next start.
func (h *Host) Defer(eventID id.EventID) (done func()) { return h.b.lanes.hold(eventID) }

// AddAlias lets alias point to the room. An alias that already does is no error.
func (h *Host) AddAlias(ctx context.Context, alias id.RoomAlias, room id.RoomID) error {
	exists := func() bool {
		resp, err := h.b.conn.Bot.ResolveAlias(ctx, alias)
		return err == nil && resp.RoomID == room
	}
	if exists() {
		return nil
	}
	_, err := h.b.conn.Bot.CreateAlias(ctx, alias, room)
	if err == nil || exists() { // another query for the same alias may have been quicker
		return nil
	}
	return fmt.Errorf("create alias %s: %w", alias, err)
}

// SetCanonicalAlias publishes the main alias of a room, as the bot.
func (h *Host) SetCanonicalAlias(ctx context.Context, alias id.RoomAlias, room id.RoomID) error {
	_, err := h.b.conn.Bot.SendStateEvent(ctx, room, event.StateCanonicalAlias, "",
		&event.CanonicalAliasEventContent{Alias: alias})
	return err
}

// Notify posts a notice of the bot, and mentions the users it concerns.
func (h *Host) Notify(ctx context.Context, room id.RoomID, text string, mention ...id.UserID) error {
	content := format.TextToContent(text)
	content.MsgType = event.MsgNotice
	content.Mentions = &event.Mentions{UserIDs: mention}
	_, err := h.b.v2.Bot.SendMessage(ctx, room, event.EventMessage, &event.Content{Parsed: &content}, nil)
	return err
}

// Message returns the content of a message as the homeserver has it, before any edit; nil when it is no message, or was
// deleted.
func (h *Host) Message(ctx context.Context, room id.RoomID, eventID id.EventID) (*event.MessageEventContent, error) {
	evt, err := h.b.conn.Bot.GetEvent(ctx, room, eventID)
	if err != nil {
		return nil, fmt.Errorf("get event %s: %w", eventID, err)
	}
	evt.Type.Class = event.MessageEventType
	if evt.Type != event.EventMessage || evt.Content.ParseRaw(evt.Type) != nil || evt.Content.AsMessage().Body == "" {
		return nil, nil
	}
	return evt.Content.AsMessage(), nil
}

// SenderOf returns who has sent an event, which is known also when its content is removed.
func (h *Host) SenderOf(ctx context.Context, room id.RoomID, eventID id.EventID) (id.UserID, error) {
	evt, err := h.b.conn.Bot.GetEvent(ctx, room, eventID)
	if err != nil {
		return "", fmt.Errorf("get event %s: %w", eventID, err)
	}
	return evt.Sender, nil
}

// Kick removes a user from a room, as the bot.
func (h *Host) Kick(ctx context.Context, room id.RoomID, user id.UserID, reason string) error {
	_, err := h.b.conn.Bot.KickUser(ctx, room, &mautrix.ReqKickUser{UserID: user, Reason: reason})
	return err
}

// ForgetMembership makes the bridge ask the homeserver again before a ghost acts in a room, after it turned out
// that the ghost is not there.
func (h *Host) ForgetMembership(ctx context.Context, room id.RoomID, ghost id.UserID) error {
	return h.b.conn.AS.StateStore.SetMembership(ctx, room, ghost, event.MembershipLeave)
}

// ServerName is the homeserver's name.
func (h *Host) ServerName() string { return h.b.opts.ServerName }

// Prefix is what ghosts' localparts and our aliases begin with: the bridge's ID and an underscore.
func (h *Host) Prefix() string { return h.b.opts.ID + "_" }

// watchMembers puts the network's MemberWatcher around bridgev2's own handler.
func (b *Bridge) watchMembers() {
	watcher, ok := b.opts.Network.(MemberWatcher)
	if !ok {
		return
	}
	watch := func(ctx context.Context, evt *event.Event, gone bool) {
		user := id.UserID(evt.GetStateKey())
		membership := evt.Content.AsMember().Membership
		isGone := membership == event.MembershipLeave || membership == event.MembershipBan
		if isGone != gone || b.own(user) {
			return
		}
		b.insist(ctx, evt, func() error {
			if _, out := b.policies.excluded(user); out && !gone {
				return nil
			}
			portal, err := b.v2.GetPortalByMXID(ctx, evt.RoomID)
			if err != nil || portal == nil {
				return err
			}
			is, err := b.isForeign(ctx, user)
			if err != nil {
				return err
			}
			if !is || gone { // a ghost that goes may have been taken for a person when it came
				return watcher.HandleMember(ctx, portal, evt)
			}
			if others, ok := watcher.(ForeignWatcher); ok {
				return others.HandleForeign(ctx, portal, evt)
			}
			return nil
		})
	}
	b.conn.EventProcessor.PrependHandler(event.StateMember, func(ctx context.Context, evt *event.Event) {
		watch(ctx, evt, false)
	})
	b.conn.EventProcessor.On(event.StateMember, func(ctx context.Context, evt *event.Event) {
		watch(ctx, evt, true)
	})
}

const (
	// memberPause is the time before a membership is offered again; it doubles up to maxMemberPause.
	memberPause    = time.Second
	maxMemberPause = time.Minute
	// memberTries is after how many failures the person concerned is told.
	memberTries = 4
)

// insist does what a membership asks for until it is done. The room waits, because what comes later must not be
// overtaken by it; when the bridge stops meanwhile, the event is left for the next start.
func (b *Bridge) insist(ctx context.Context, evt *event.Event, do func() error) {
	pause := memberPause
	for try := 1; ; try++ {
		err := do()
		if err == nil {
			return
		}
		b.log.Err(err).Stringer("room_id", evt.RoomID).Stringer("event_id", evt.ID).Msg("follow a membership")
		if try == memberTries {
			_ = (&Host{b: b}).Notify(ctx, evt.RoomID, "The bridge cannot follow your membership at the moment: "+err.Error(),
				id.UserID(evt.GetStateKey()))
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			b.lanes.keep(evt.ID)
			return
		}
		pause = min(2*pause, maxMemberPause)
	}
}
