package irc

import (
	"context"
	"fmt"
	"slices"
	"time"

	"maunium.net/go/mautrix/bridgev2"
	"maunium.net/go/mautrix/bridgev2/networkid"
	"maunium.net/go/mautrix/event"
)

// account is bridgev2's view of a login: a user's on a network, or the network's own, which has no client. net
// is nil when the network is configured no longer.
type account struct {
	connector *Connector
	net       *network
	login     *bridgev2.UserLogin
	isBot     bool
}

var (
	_ bridgev2.NetworkAPI                   = (*account)(nil)
	_ bridgev2.EditHandlingNetworkAPI       = (*account)(nil)
	_ bridgev2.RoomTopicHandlingNetworkAPI  = (*account)(nil)
	_ bridgev2.MembershipHandlingNetworkAPI = (*account)(nil)
)

// Connect implements bridgev2.NetworkAPI: after a start it joins the channels of before.
func (a *account) Connect(ctx context.Context) {
	if a.net == nil {
		return
	}
	if a.isBot {
		a.connectRelay(ctx)
		return
	}
	rows, err := a.connector.br.DB.UserPortal.GetAllForLogin(ctx, a.login.UserLogin)
	if err != nil {
		a.login.Log.Err(err).Msg("load the channels of a login")
		return
	}
	a.net.client(a.login.UserMXID)
	whole := true
	for _, row := range rows {
		portal, err := a.connector.existing(ctx, row.Portal)
		if err != nil {
			a.login.Log.Err(err).Msg("load a channel of a login")
			whole = false
		}
		if err != nil || portal == nil || portal.MXID == "" && !a.connector.links.isFurther(row.Portal.ID) {
			continue
		}
		if kind := kindOf(portal.PortalKey); kind > direct || kind == shared && a.connector.modeOf(a.net, portal) != modeTransparent {
			continue
		}
		if err := a.net.ask(a.login.UserMXID, a.connector.requestFor(ctx, a.net, a.login.UserMXID, portal)); err != nil {
			a.login.Log.Err(err).Msg("join the channels of a login")
			return
		}
	}
	if whole {
		// A connection of before is taken up with all its channels, or waits in the holder: those that were not named would be left.
		_ = a.net.ask(a.login.UserMXID, listedRequest{})
	}
}

// Disconnect implements bridgev2.NetworkAPI. The client is gone after it; messages on their way have failed, and who
// comes again gets another one.
func (a *account) Disconnect() {
	if c := a.client(); c != nil {
		a.net.drop(c)
		c.stop(errDisconnected)
		<-c.ended
	}
}

// EndLogin implements bridges.LoginEnder: others on IRC read why somebody is gone.
func (c *Connector) EndLogin(_ context.Context, login *bridgev2.UserLogin, reason string) {
	a, ok := login.Client.(*account)
	if !ok {
		return
	}
	if client := a.client(); client != nil {
		a.net.drop(client)
		client.stop(endedBecause{reason})
		<-client.ended
	}
}

// client is the user's connection, or nil when there is none.
func (a *account) client() *client {
	if a.net == nil || a.isBot {
		return nil
	}
	return a.net.running(a.login.UserMXID)
}

// IsLoggedIn implements bridgev2.NetworkAPI. A connection that is away comes back, and messages wait for it, so
// it does not count. Neither does that the network is configured no longer, so that who writes to it is told.
func (a *account) IsLoggedIn() bool { return !a.isBot }

// LogoutRemote implements bridgev2.NetworkAPI. The client goes on without channels, because its user may come again.
func (a *account) LogoutRemote(context.Context) {
	if c := a.client(); c != nil {
		c.box.add(logoutRequest{})
	}
}

// IsThisUser implements bridgev2.NetworkAPI. Our own nicks are recognised by their connections, never by name.
func (a *account) IsThisUser(context.Context, networkid.UserID) bool { return false }

// GetChatInfo implements bridgev2.NetworkAPI.
func (a *account) GetChatInfo(_ context.Context, portal *bridgev2.Portal) (*bridgev2.ChatInfo, error) {
	if ownerOf(portal.PortalKey) != "" {
		return a.directInfo(portal), nil
	}
	if _, linked := a.connector.links.of(portal.ID); linked {
		return &bridgev2.ChatInfo{}, nil // the room is others' to set up
	}
	name := portal.Name
	if name == "" {
		_, name, _ = splitID(string(portal.ID))
	}
	return channelInfo(name), nil
}

// GetUserInfo implements bridgev2.NetworkAPI. The lanes set names, as written; who has none yet is given one here, and not by who
// asks.
func (a *account) GetUserInfo(ctx context.Context, ghost *bridgev2.Ghost) (*bridgev2.UserInfo, error) {
	a.connector.names.ensure(ctx, ghost)
	return nil, nil
}

// capabilities are the same in all channels.
var capabilities = func() *event.RoomFeatures {
	file := &event.FileFeatures{
		MimeTypes: map[string]event.CapabilitySupportLevel{"*/*": event.CapLevelPartialSupport},
		Caption:   event.CapLevelPartialSupport,
	}
	return &event.RoomFeatures{
		ID: "causeway.irc.2",
		File: event.FileFeatureMap{
			event.MsgImage: file, event.MsgVideo: file, event.MsgAudio: file, event.MsgFile: file,
			event.CapMsgVoice: file, event.CapMsgGIF: file, event.CapMsgSticker: file,
		},
		LocationMessage: event.CapLevelPartialSupport,
		Reply:           event.CapLevelPartialSupport,
		Edit:            event.CapLevelPartialSupport,
		Reaction:        event.CapLevelPartialSupport,
		Delete:          event.CapLevelPartialSupport,

		TypingNotifications: true,
	}
}()

// GetCapabilities implements bridgev2.NetworkAPI.
func (a *account) GetCapabilities(context.Context, *bridgev2.Portal) *event.RoomFeatures {
	return capabilities
}

// HandleMatrixRoomTopic implements bridgev2.RoomTopicHandlingNetworkAPI. If the channel refuses the topic, the
// room shows again the one it had.
func (a *account) HandleMatrixRoomTopic(ctx context.Context, msg *bridgev2.MatrixRoomTopic) (bool, error) {
	before := msg.Portal.Topic
	s := &send{verb: "TOPIC", lines: []string{oneLine(msg.Content.Topic)}}
	further := a.connector.Taps(msg.Portal.MXID)
	err := a.submit(ctx, msg.Portal, msg.Event, s, func(_ context.Context, err error) {
		lane := a.laneOf(s)
		switch {
		case err != nil:
			lane.put(topicItem{topic: before, restored: true})
			lane.put(noticeItem{text: "The topic was not set: " + err.Error(), to: a.login.UserMXID})
		case lane.keepsWords():
			lane.put(topicItem{restored: true})
		case further:
			release := a.connector.host.Defer(msg.Event.ID)
			a.connector.later(func(ctx context.Context) {
				defer release()
				a.connector.topicElsewhere(ctx, msg.Event, s.lines[0])
			})
		}
	})
	if err != nil {
		return false, err
	}
	msg.Portal.Topic, msg.Portal.TopicSet = msg.Content.Topic, true
	return true, nil
}

// HandleMatrixMembership implements bridgev2.MembershipHandlingNetworkAPI: a person kicks, bans or unbans somebody on IRC.
// What people do themselves is in Connector.HandleMember.
func (a *account) HandleMatrixMembership(ctx context.Context, msg *bridgev2.MatrixMembershipChange) (*bridgev2.MatrixMembershipResult, error) {
	ghost, ok := msg.Target.(*bridgev2.Ghost)
	if ok && a.net != nil {
		if other, further, err := a.furtherOf(ctx, msg.Portal, ghost.ID); other != nil || err != nil {
			if err != nil {
				return nil, err
			}
			there := *msg
			there.Portal = further
			return other.HandleMatrixMembership(ctx, &there)
		}
	}
	switch {
	case a.net == nil || msg.Type.IsSelf || kindOf(msg.Portal.PortalKey) > bouncer:
		return nil, nil
	case msg.Type.To == event.MembershipInvite:
		return nil, a.invite(ctx, msg)
	case !ok:
		return nil, nil
	case msg.Type.To == event.MembershipBan:
		return nil, a.banGhost(ctx, msg, ghost)
	case msg.Type.From == event.MembershipBan && msg.Type.To == event.MembershipLeave:
		return nil, a.unbanGhost(ctx, msg, ghost)
	case msg.Type.To != event.MembershipLeave || msg.Type.From != event.MembershipJoin:
		return nil, nil
	}
	nicks := a.channelOf(msg.Portal).lane.nicksOf(ghost.ID)
	if len(nicks) == 0 {
		return nil, nil // they are gone already
	}
	nick := nicks[0]
	s := &send{verb: "KICK", nick: nick, lines: []string{a.wordsFor(msg.Portal, msg.Content.Reason)}}
	return nil, a.submit(ctx, msg.Portal, msg.Event, s, func(_ context.Context, err error) {
		if err != nil {
			lane := a.laneOf(s)
			lane.put(noticeItem{text: nick + " was not kicked: " + err.Error(), to: a.login.UserMXID})
			lane.put(pardonItem{ghost: ghost.ID})
		}
	})
}

// submit gives a message to the client, or returns why not. The event stays unfinished until the server has
// processed the message or it has failed; then after, if there is one, and bridgev2 are told, which shows
// failures in the room.
func (a *account) submit(ctx context.Context, portal *bridgev2.Portal, evt *event.Event, s *send,
	after func(ctx context.Context, err error)) error {
	client, err := a.prepare(ctx, portal, evt, s, after)
	if err != nil {
		return err
	}
	release := a.connector.host.Defer(evt.ID)
	done := s.done
	s.done = func(err error) {
		defer release()
		done(err)
	}
	if !client.box.add(s) {
		release()
		if client.box.isClosed() {
			return notConnected(a.net.name)
		}
		return shown(failure("too many messages are waiting"))
	}
	return nil
}

// prepare fills in where a message goes and what is done when it is there, and returns whom to give it to.
func (a *account) prepare(ctx context.Context, portal *bridgev2.Portal, evt *event.Event, s *send,
	after func(ctx context.Context, err error)) (*client, error) {
	if err := a.reaches(portal); err != nil {
		return nil, err
	}
	client, err := a.sayBy(ctx, portal, s)
	if err != nil {
		return nil, err
	}
	if client == nil {
		return nil, notConnected(a.net.name)
	}
	if err := a.peopleOf(ctx, portal, s); err != nil {
		return nil, err
	}
	ctx = context.WithoutCancel(ctx)
	s.channel, s.mine = target(portal)
	s.event, s.said = evt.ID, time.UnixMilli(evt.Timestamp)
	if kindOf(portal.PortalKey) > bouncer && !slices.Contains(textVerbs, s.verb) {
		return nil, shown(failure("only channels have that"))
	}
	s.done = func(err error) {
		if after != nil {
			after(ctx, err)
		}
		if err == nil && s.left > 0 {
			a.laneOf(s).put(noticeItem{
				text: fmt.Sprintf("Your message was too long: %d lines of it were not sent to IRC.", s.left), to: a.login.UserMXID,
			})
		}
		result := bridgev2.MessageStatus{Status: event.MessageStatusSuccess}
		if err != nil {
			a.login.Log.Debug().Err(err).Stringer("event_id", evt.ID).Msg("message not sent, and its sender is told")
			result = shown(err).WithSendNotice(evt.StateKey == nil && !isSilent(err))
		}
		a.connector.br.Matrix.SendMessageStatus(ctx, &result, bridgev2.StatusEventInfoFromEvent(evt))
	}
	return client, nil
}

// reaches returns why an account cannot send to a room, in words for its sender.
func (a *account) reaches(portal *bridgev2.Portal) error {
	network, _, _ := splitID(string(portal.ID))
	switch _, known := a.connector.networks[network]; {
	case !known:
		return shown(failure("the bridge has no network %s any more", network))
	case a.net == nil || network != a.net.name:
		return notConnected(network)
	case kindOf(portal.PortalKey) > direct:
		return shown(failure("nobody reads what is said here; say `!irc msg %s NICK text` to the bot", network))
	}
	return nil
}

func notConnected(network string) error {
	return shown(failure("you are not connected to %s; leave this room and join it again", network))
}

// shown makes an error one that its sender reads in the room.
func shown(err error) bridgev2.MessageStatus {
	return bridgev2.WrapErrorInStatus(err).WithStatus(event.MessageStatusFail).WithErrorAsMessage().
		WithIsCertain(true).WithSendNotice(true)
}
