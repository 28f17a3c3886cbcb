package irc

import (
	"context"
	"fmt"
	"time"

	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/bridgev2"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"

	"causeway/bridges"
)

// What people do about the channels of a room, by commands (plumb.go) and by forms (roomlinks.go).

// refusal is why something is not done, in words for who has asked for it. Names of channels and commands are between backticks.
type refusal struct {
	kind  mautrix.RespError
	field string // of a form, that it is about
	text  string
}

func (r *refusal) Error() string { return r.text }

func refuse(kind mautrix.RespError, field, format string, args ...any) error {
	return &refusal{kind, field, fmt.Sprintf(format, args...)}
}

// decides is why somebody may not decide to which channels a room is bridged.
func (c *Connector) decides(ctx context.Context, user *bridgev2.User, room id.RoomID) error {
	if c.isPrivateChat(ctx, user.MXID, room) {
		return refuse(mautrix.MForbidden, "room", "This is our private chat. Invite me to the room that is meant, and say it there. "+
			"If this is that room, say `$cmdprefix set-management-room` to me in another chat before.")
	}
	may, err := c.mayLink(ctx, room, user.MXID)
	if err != nil {
		c.br.Log.Err(err).Stringer("room_id", room).Msg("look whether somebody may decide about a room")
		return refuse(mautrix.MForbidden, "room", "I cannot see who may decide that here. Am I in this room?")
	}
	if !may {
		return refuse(mautrix.MForbidden, "room",
			"That is for those in this room to decide who may set its `m.bridge` state, and have at least level %d.", minLinkLevel)
	}
	return nil
}

// isPrivateChat reports whether a room is somebody's management room, and nobody else is in it. bridgev2 takes for that the first room into which
// they invited the bot while they were alone, also one that was only new: with others in it, it is none. What bridgev2 has in memory is no
// business of requests by HTTP, so that the row is asked.
func (c *Connector) isPrivateChat(ctx context.Context, person id.UserID, room id.RoomID) bool {
	user, err := c.br.DB.User.GetByMXID(ctx, person)
	if err != nil {
		c.br.Log.Err(err).Msg("look which room is a private chat")
	}
	if user == nil || user.ManagementRoom != room {
		return false
	}
	members, err := c.br.Matrix.GetMembers(ctx, room)
	if err != nil {
		c.br.Log.Err(err).Msg("look who is in a room")
		return true
	}
	private := true
	for member, is := range members {
		private = private && (is.Membership != event.MembershipJoin || member == user.MXID || member == c.br.Bot.GetMXID())
	}
	if private { // as far as the bridge has heard
		people, err := c.host.People(ctx, room)
		private = err != nil || len(people) <= 1
	}
	if !private {
		user.ManagementRoom = ""
		if err := c.br.DB.User.Update(ctx, user); err != nil {
			c.br.Log.Err(err).Msg("store that a room is no private chat")
		}
	}
	return private
}

// plumbTarget is the network that somebody means, if the channel and the nick can be.
func (c *Connector) plumbTarget(name, channel, nick string) (*network, error) {
	n := c.networks[name]
	switch {
	case n == nil:
		return nil, refuse(mautrix.MInvalidParam, "place", "There is no network of that name here; there is %s", c.known())
	case !validChannel(channel):
		return nil, refuse(mautrix.MInvalidParam, "chat", "That is not the name of a channel.")
	case nick != "" && !validNick(nick):
		return nil, refuse(mautrix.MInvalidParam, "whom", "That is no nick.")
	}
	return n, nil
}

// plumb asks for consent, where the configuration wants that, and reports true; or it connects room and channel at once.
func (c *Connector) plumb(ctx context.Context, user *bridgev2.User, room id.RoomID, n *network, channel, nick string) (asked bool, err error) {
	if err := c.decides(ctx, user, room); err != nil {
		return false, err
	}
	if err := c.isFree(ctx, n, channel, room); err != nil {
		return false, err
	}
	switch {
	case n.cfg.Plumb == plumbOff:
		return false, refuse(mautrix.MForbidden, "place", "On %s rooms cannot be connected with channels. Join `%s` instead.", n.name, c.alias(n, channel))
	case n.cfg.Plumb == plumbAdmins && !user.Permissions.Admin:
		return false, refuse(mautrix.MForbidden, "place", "On %s that is for administrators of the bridge.", n.name)
	}
	why, err := c.unfit(ctx, n, channel, room)
	switch {
	case err != nil:
		return false, fmt.Errorf("look whether %s can be connected with %s: %w", room, channel, err)
	case why != "":
		return false, refuse(mautrix.MForbidden, "room", "This room cannot be connected with `%s`: %s.", channel, why)
	}
	portal, err := c.br.GetPortalByKey(ctx, n.ids.portal(channel))
	if err == nil && portal.Name == "" {
		portal.Name = channel
		err = portal.Save(ctx)
	}
	if err != nil {
		return false, fmt.Errorf("make the portal of %s: %w", channel, err)
	}
	if n.cfg.Plumb == plumbAdmins {
		return false, c.plumbAtOnce(ctx, user.MXID, room, n, channel)
	}
	return true, c.ask(ctx, user.MXID, room, n, channel, nick)
}

// isFree is why a channel cannot have a room: it has one, or is about to.
func (c *Connector) isFree(ctx context.Context, n *network, channel string, room id.RoomID) error {
	key := n.ids.portal(channel)
	link, linked := c.links.of(key.ID)
	portal, err := c.existing(ctx, key)
	switch {
	case err != nil:
		return fmt.Errorf("look up %s: %w", channel, err)
	case linked && link.Room == room && link.State != bridges.LinkEnding, portal != nil && portal.MXID == room:
		if err := n.botJoin(channel); err != nil {
			n.log.Err(err).Msg("have the bot enter a channel")
		}
		return refuse(mautrix.MInvalidParam, "chat", "This room is connected with `%s` on %s already.", channel, n.name)
	case linked:
		return refuse(mautrix.MInvalidParam, "chat", "`%s` on %s is connected with another room already. A channel has one room at most; an operator there, "+
			"or the administrators of that room, can end it.", channel, n.name)
	case portal != nil && portal.MXID != "":
		return refuse(mautrix.MInvalidParam, "chat", "`%s` on %s has a room already, `%s`. A channel has one room at most.", channel, n.name, c.alias(n, channel))
	}
	return nil
}

// plumbAtOnce is what administrators of the bridge do where they are trusted.
func (c *Connector) plumbAtOnce(ctx context.Context, user id.UserID, room id.RoomID, n *network, channel string) error {
	link := bridges.Link{
		Portal: n.ids.portal(channel).ID, Room: room, State: bridges.LinkMaking, AskedBy: user,
		Consent: "An administrator of the bridge, " + user.String() + ",", SinceTS: time.Now().UnixMilli(),
	}
	added, err := c.host.AddLink(ctx, link)
	switch {
	case err != nil:
		return err
	case !added:
		return refuse(mautrix.MInvalidParam, "chat", "`%s` on %s is connected with another room already.", channel, n.name)
	}
	c.links.put(link)
	c.links.ring()
	return nil
}

// ask asks for consent.
func (c *Connector) ask(ctx context.Context, user id.UserID, room id.RoomID, n *network, channel, nick string) error {
	c.links.asking.Lock() // so that the bounds hold for those who ask at the same moment
	defer c.links.asking.Unlock()
	now := time.Now()
	since := now.Add(-requestsFor).UnixMilli()
	list, err := c.host.Requests(ctx, since)
	if err != nil {
		return err
	}
	portal := n.ids.portal(channel).ID
	if why := tooMany(list, portal, room, user, now); why != "" {
		return refuse(mautrix.MLimitExceeded, "", "%s", why)
	}
	q := &question{net: n, channel: channel}
	q.Request = bridges.Request{
		Portal: portal, Room: room, AskedBy: user, Whom: nick, AskedTS: now.UnixMilli(), ExpiresTS: now.Add(consentFor).UnixMilli(),
	}
	q.code, q.Code = newCode()
	if err := c.host.AddRequest(ctx, q.Request, since); err != nil {
		return err
	}
	c.links.reopen(q)
	c.links.ring()
	if err := n.askBot(askRequest{q}); err != nil {
		return refuse(mautrix.MUnknown, "", "It did not work: %v", err)
	}
	return nil
}

// notPlumbed is said of rooms whose channels nobody has connected with them.
const notPlumbed = "This room is not connected with such a channel by `plumb`. To end that a room is a channel's own, say `$cmdprefix unbridge`."

// unplumb ends that a room is connected with a channel, or takes back that this was asked for.
func (c *Connector) unplumb(ctx context.Context, user *bridgev2.User, room id.RoomID, n *network, channel string) error {
	if err := c.decides(ctx, user, room); err != nil {
		return err
	}
	portal := n.ids.portal(channel).ID
	if link, linked := c.links.of(portal); linked && link.Room == room {
		return c.links.end(ctx, link, user.MXID.String()+" has ended it")
	}
	q := c.links.questionFor(portal, room)
	if q == nil {
		return refuse(mautrix.MNotFound, "", "%s", notPlumbed)
	}
	c.links.abandonAs(q, outcomeWithdrawn, user.MXID.String()+" does not want this room to be connected with "+q.channel+" on "+n.name+" any more.")
	return nil
}
