package irc

import (
	"context"
	"strings"

	"maunium.net/go/mautrix/bridgev2"
	"maunium.net/go/mautrix/bridgev2/database"
	"maunium.net/go/mautrix/bridgev2/networkid"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"
)

// A room of one's own is for one user alone: a channel as their own connection sees it (bouncer.go), a conversation with
// somebody (direct.go), what servers and services say (status.go). Its portal has the user's login for its receiver. What
// comes after the network in the portal's ID says which it is: a channel's name, what comes there in the ID of a ghost, or
// one of the names below, which have a space at their beginning, as neither channels nor ghosts have.
const (
	statusName  = " status"
	spacePrefix = " space " // and the user; without receiver, because bridgev2 looks for parents without one
)

// kind is what a room of one's own is for.
type kind int

const (
	shared  kind = iota // the room of a channel, which is nobody's own
	bouncer             // a channel
	direct              // a conversation
	console             // the status room
	space               // what holds the others together
)

// kindOf is what a portal is for.
func kindOf(key networkid.PortalKey) kind {
	_, rest, _ := splitID(string(key.ID))
	switch {
	case strings.HasPrefix(rest, spacePrefix):
		return space
	case key.Receiver == "":
		return shared
	case rest == statusName:
		return console
	case isChannel(rest):
		return bouncer
	}
	return direct
}

// own is the key of a portal of a user's own.
func (i ids) own(user id.UserID, name string) networkid.PortalKey {
	return networkid.PortalKey{ID: i.portal(name).ID, Receiver: loginID(i.network, user)}
}

// ownSpace is the key of the space of a user.
func (i ids) ownSpace(user id.UserID) networkid.PortalKey {
	return networkid.PortalKey{ID: networkid.PortalID(i.network + "/" + spacePrefix + string(user))}
}

// ownerOf is the user whose own a room is, or "".
func ownerOf(key networkid.PortalKey) id.UserID {
	_, owner, _ := splitID(string(key.Receiver))
	if _, rest, _ := splitID(string(key.ID)); strings.HasPrefix(rest, spacePrefix) {
		owner = rest[len(spacePrefix):]
	}
	return id.UserID(owner)
}

// own returns the channel of a user's own by its name, and makes it the first time.
func (n *network) own(user id.UserID, name string) *channel {
	key := "\x00" + string(user) + "\x00" + n.ids.fold.Fold(name)
	n.mu.Lock()
	defer n.mu.Unlock()
	ch, ok := n.channels[key]
	if !ok {
		ch = newChannel(newOwnLane(n.conn.ctx, n, user, name))
		n.channels[key] = ch
	}
	return ch
}

// key is that of the lane's portal.
func (l *lane) key() networkid.PortalKey {
	if l.owner == "" {
		return l.net.ids.portal(l.called())
	}
	return l.net.ids.own(l.owner, l.called())
}

// channel is the channel that the lane is of.
func (l *lane) channel() *channel {
	if l.owner == "" {
		return l.net.channel(l.called())
	}
	return l.net.own(l.owner, l.called())
}

// source is the login through which events come to the room.
func (l *lane) source(ctx context.Context) (*bridgev2.UserLogin, error) {
	if l.owner == "" {
		return l.net.login, nil
	}
	return l.net.conn.login(ctx, l.net, l.owner)
}

// queue hands an event to bridgev2.
func (l *lane) queue(ctx context.Context, evt bridgev2.RemoteEvent) error {
	login, err := l.source(ctx)
	if err != nil {
		return err
	}
	return login.QueueRemoteEvent(evt).Error
}

// makesRoom reports whether an item is worth a room of a user's own that there is not yet.
func (l *lane) makesRoom(it item) bool {
	switch it.(type) {
	case messageItem, ownItem, noticeItem:
		kind := kindOf(l.key())
		return l.owner != "" && (kind == direct || kind == console)
	}
	return false
}

// makeOwnRoom makes the room of a lane of a user's own.
func (l *lane) makeOwnRoom(ctx context.Context) error {
	login, err := l.source(ctx)
	if err != nil {
		return err
	}
	portal, err := l.net.conn.br.GetPortalByKey(ctx, l.key())
	if err != nil {
		return err
	}
	if partner, ok := l.directGhost(); ok {
		ghost, err := l.net.conn.br.GetGhostByID(ctx, partner)
		if err != nil {
			return err
		}
		l.net.conn.names.ensure(ctx, ghost)
	}
	return portal.CreateMatrixRoom(ctx, login, l.net.ownInfo(portal.PortalKey, l.called()))
}

// ownInfo is what a room of a user's own is made of: nobody else is asked in, and its owner cannot ask anybody in either.
func (n *network) ownInfo(key networkid.PortalKey, name string) *bridgev2.ChatInfo {
	nobody := maxLevel
	info := &bridgev2.ChatInfo{
		JoinRule: &event.JoinRulesEventContent{JoinRule: event.JoinRuleInvite},
		Members: &bridgev2.ChatMemberList{
			MemberMap:   bridgev2.ChatMemberMap{"": {EventSender: bridgev2.EventSender{IsFromMe: true, SenderLogin: key.Receiver}}},
			PowerLevels: &bridgev2.PowerLevelOverrides{Invite: &nobody},
		},
	}
	switch kindOf(key) {
	case direct:
		ghost, dm := networkid.UserID(key.ID), database.RoomTypeDM
		info.Type, info.Members.OtherUserID, info.Members.IsFull = &dm, ghost, true
		info.Members.MemberMap[ghost] = bridgev2.ChatMember{EventSender: bridgev2.EventSender{Sender: ghost}}
	case console:
		title := n.name + " (status)"
		info.Name = &title
	case space:
		title, space := "IRC: "+n.name, database.RoomTypeSpace
		info.Name, info.Type = &title, &space
	default:
		parent := n.ids.ownSpace(ownerOf(key)).ID
		info.Name, info.ParentID = &name, &parent
	}
	return info
}

// handleOwn follows who comes to a room of somebody's own, and goes. Others than the owner have no place there.
func (c *Connector) handleOwn(ctx context.Context, n *network, portal *bridgev2.Portal, evt *event.Event) error {
	user, owner := id.UserID(evt.GetStateKey()), ownerOf(portal.PortalKey)
	content := evt.Content.AsMember()
	enters := content.Membership == event.MembershipJoin || content.Membership == event.MembershipInvite
	switch {
	case user != owner && enters:
		err := c.host.Kick(ctx, portal.MXID, user, "This room is for "+string(owner)+" alone")
		if isFinal(err) {
			n.log.Err(err).Stringer("room_id", portal.MXID).Msg("keep somebody out of a room of somebody's own")
			return nil
		}
		return err
	case user != owner || content.Membership == event.MembershipInvite:
		return nil
	case kindOf(portal.PortalKey) == space || kindOf(portal.PortalKey) == console:
		return nil
	case content.Membership == event.MembershipJoin:
		login, err := c.login(ctx, n, user)
		if err != nil {
			return err
		}
		if _, err := c.br.DB.UserPortal.GetOrCreate(ctx, login.UserLogin, portal.PortalKey); err != nil {
			return err
		}
		return n.ask(user, c.requestFor(ctx, n, user, portal))
	}
	return c.userLeft(ctx, n, portal, user, content.Reason)
}

// requestFor asks a user's client for what a portal is about, after a start or when they come.
func (c *Connector) requestFor(ctx context.Context, n *network, user id.UserID, portal *bridgev2.Portal) request {
	switch kindOf(portal.PortalKey) {
	case direct:
		r := joinRequest{channel: conversationOf(portal), mine: true, direct: true}
		r.nick = c.calledBy(ctx, networkid.UserID(portal.ID))
		return r
	case bouncer:
		return joinRequest{channel: portal.Name, key: c.channelKey(ctx, n, user, portal.Name), mine: true}
	}
	return joinRequest{channel: portal.Name, key: c.channelKey(ctx, n, user, portal.Name)}
}

// conversationOf is the name of the conversation that a portal is of.
func conversationOf(portal *bridgev2.Portal) string {
	_, name, _ := splitID(string(portal.ID))
	return name
}

// target is where what is said in a room goes, by the name that the client knows it by, and whether that is the user's own.
func target(portal *bridgev2.Portal) (name string, own bool) {
	if portal.Receiver == "" {
		return portal.Name, false
	}
	if kindOf(portal.PortalKey) == bouncer {
		return portal.Name, true
	}
	return conversationOf(portal), true
}

// channelOf is the channel that a portal is of.
func (a *account) channelOf(portal *bridgev2.Portal) *channel {
	name, own := target(portal)
	if own {
		return a.net.own(a.login.UserMXID, name)
	}
	return a.net.channel(name)
}

// laneOf is where what has come of a send is told.
func (a *account) laneOf(s *send) *lane {
	if s.mine {
		return a.net.own(a.login.UserMXID, s.channel).lane
	}
	return a.net.channel(s.channel).lane
}

// setPrivate notes whether a user is on a channel for a room of their own. In the channel's shared room, where they are not,
// they are then shown as anybody else.
func (n *network) setPrivate(key string, user id.UserID, private bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !private {
		delete(n.privates[key], user)
		return
	}
	if n.privates == nil {
		n.privates = map[string]map[id.UserID]bool{}
	}
	if n.privates[key] == nil {
		n.privates[key] = map[id.UserID]bool{}
	}
	n.privates[key][user] = true
}

func (n *network) isPrivate(key string, user id.UserID) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.privates[key][user]
}

// puppetOn is network.puppet for a channel: who of us is in its room as themselves. In a room of one's own nobody else is.
func (c *client) puppetOn(ms *membership, nick, mask string) *client {
	p := c.net.puppet(nick, mask)
	if p == nil || ms.mine || c.net.isPrivate(ms.key, p.user) {
		return nil
	}
	return p
}

// isOurs is whether a nick is at this moment that of somebody who is in the room as themselves.
func (l *lane) isOurs(nick string) bool {
	if l.owner != "" {
		return false
	}
	l.net.mu.Lock()
	p := l.net.puppets.nicks[l.net.ids.fold.Fold(nick)]
	l.net.mu.Unlock()
	return p != nil && !l.net.isPrivate(l.net.ids.fold.Fold(l.called()), p.user)
}

// makeRoomFor makes the room of a lane of a user's own for somebody who is not the lane, which may be about to deliver something.
// A room that the user has left for good is given up.
func (l *lane) makeRoomFor(ctx context.Context, portal *bridgev2.Portal, login *bridgev2.UserLogin, info *bridgev2.ChatInfo) error {
	l.making.Lock()
	defer l.making.Unlock()
	portal.CleanupOrphanedDM(ctx, login.UserMXID)
	return portal.CreateMatrixRoom(ctx, login, info)
}
