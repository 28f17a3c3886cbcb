package irc

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/bridgev2"
	"maunium.net/go/mautrix/bridgev2/networkid"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"

	"causeway/bridges"
)

var _ bridges.RoomLinker = (*Connector)(nil)

// maxRoomLinks is how many links are shown to one person.
const maxRoomLinks = 100

// LinkForm implements bridges.RoomLinker.
func (c *Connector) LinkForm() bridges.LinkForm {
	form := bridges.LinkForm{Bot: c.br.Bot.GetMXID(), PlaceName: "Network", ChatName: "Channel"}
	for name, n := range c.networks {
		if n.cfg.Plumb != plumbOff {
			form.Places = append(form.Places, name)
		}
		if n.cfg.Plumb != plumbOff && n.cfg.Plumb != plumbAdmins {
			form.WhomName = "Nick of an operator of the channel"
		}
	}
	slices.Sort(form.Places)
	return form
}

// RoomLinks implements bridges.RoomLinker.
func (c *Connector) RoomLinks(ctx context.Context, user *bridgev2.User) ([]bridges.RoomLink, error) {
	v := &linkView{c: c, user: user.MXID, rights: map[id.RoomID]rights{}, seen: map[linkKey]bool{}}
	for _, link := range c.links.all() {
		state := map[bridges.LinkState]string{
			bridges.LinkMaking: bridges.RoomLinkConnecting, bridges.LinkStanding: bridges.RoomLinkConnected, bridges.LinkEnding: bridges.RoomLinkEnding,
		}[link.State]
		v.add(ctx, link.Portal, bridges.RoomLink{Room: link.Room, State: state, AskedBy: link.AskedBy})
	}
	now := time.Now()
	requests, err := c.host.Requests(ctx, now.Add(-requestsFor).UnixMilli())
	if err != nil {
		return nil, err
	}
	for _, r := range slices.Backward(requests) { // the newest of each
		link := bridges.RoomLink{Room: r.Room, AskedBy: r.AskedBy}
		switch {
		case r.Outcome == outcomeAllowed, r.Outcome == outcomeWithdrawn:
			continue // there is a link, or was
		case r.Outcome == outcomeRefused:
			link.State = bridges.RoomLinkRefused
		case r.Outcome != "" || r.ExpiresTS <= now.UnixMilli():
			link.State = bridges.RoomLinkUnanswered
		default:
			link.State, link.UntilTS = bridges.RoomLinkWaiting, r.ExpiresTS
		}
		v.add(ctx, r.Portal, link)
	}
	for i := range v.list {
		if v.list[i].Name, err = c.host.RoomName(ctx, v.list[i].Room); err != nil {
			c.br.Log.Debug().Err(err).Stringer("room_id", v.list[i].Room).Msg("a room is shown without its name")
		}
	}
	return v.list, nil
}

// linkView collects the links that one person may see.
type linkView struct {
	c      *Connector
	user   id.UserID
	rights map[id.RoomID]rights
	seen   map[linkKey]bool
	list   []bridges.RoomLink
}

type linkKey struct {
	portal networkid.PortalID
	room   id.RoomID
}

// rights are what somebody is in a room.
type rights struct{ isIn, may bool }

// add shows a link, unless it is shown already, to who has asked for it and to those who may end it, while they are in the room.
func (v *linkView) add(ctx context.Context, portal networkid.PortalID, link bridges.RoomLink) {
	key := linkKey{portal, link.Room}
	n, channel := v.c.channelOf(ctx, portal)
	if n == nil || v.seen[key] || len(v.list) >= maxRoomLinks {
		return
	}
	v.seen[key] = true
	r := v.of(ctx, link.Room)
	if !r.isIn || !r.may && link.AskedBy != v.user {
		return
	}
	over := link.State == bridges.RoomLinkEnding || link.State == bridges.RoomLinkRefused || link.State == bridges.RoomLinkUnanswered
	link.Place, link.Chat, link.MayEnd = n.name, channel, r.may && !over
	v.list = append(v.list, link)
}

// of looks up what the person is in a room. Of rooms that they are not in, as far as the bridge knows, the homeserver is not asked.
func (v *linkView) of(ctx context.Context, room id.RoomID) rights {
	r, known := v.rights[room]
	if known {
		return r
	}
	member, err := v.c.br.Matrix.GetMemberInfo(ctx, room, v.user)
	if err == nil && member != nil && member.Membership == event.MembershipJoin {
		r.isIn, r.may, err = v.c.standing(ctx, room, v.user)
	}
	if err != nil {
		v.c.br.Log.Debug().Err(err).Stringer("room_id", room).Msg("a room is not shown to who may be in it")
	}
	v.rights[room] = r
	return r
}

// LinkRoom implements bridges.RoomLinker: `!irc plumb`.
func (c *Connector) LinkRoom(ctx context.Context, user *bridgev2.User, room id.RoomID, wish bridges.LinkWish) (bridges.RoomLink, error) {
	n, err := c.placed(ctx, user, room, wish)
	if err != nil {
		return bridges.RoomLink{}, c.told(err)
	}
	link := bridges.RoomLink{
		Room: room, Place: n.name, Chat: wish.Chat, State: bridges.RoomLinkConnecting, AskedBy: user.MXID, MayEnd: true,
	}
	asked, err := c.plumb(ctx, user, room, n, wish.Chat, wish.Whom)
	if asked {
		link.State, link.UntilTS = bridges.RoomLinkWaiting, time.Now().Add(consentFor).UnixMilli()
	}
	return link, c.told(err)
}

// UnlinkRoom implements bridges.RoomLinker: `!irc unplumb`.
func (c *Connector) UnlinkRoom(ctx context.Context, user *bridgev2.User, room id.RoomID, wish bridges.LinkWish) error {
	n, err := c.placed(ctx, user, room, wish)
	if err == nil {
		err = c.unplumb(ctx, user, room, n, wish.Chat)
	}
	return c.told(err)
}

// placed is the network that somebody means who may decide about the room. Of one about which they may not, they do not hear whether the
// bot is there.
func (c *Connector) placed(ctx context.Context, user *bridgev2.User, room id.RoomID, wish bridges.LinkWish) (*network, error) {
	if names := c.LinkForm().Places; wish.Place == "" && len(names) == 1 {
		wish.Place = names[0]
	}
	n, err := c.plumbTarget(wish.Place, wish.Chat, wish.Whom)
	if err != nil {
		return nil, err
	}
	err = c.decides(ctx, user, room)
	if _, no := errors.AsType[*refusal](err); no && c.isPrivateChat(ctx, user.MXID, room) {
		return nil, refuse(mautrix.MForbidden, "room", "This room is your private chat with the bot, as nobody else is in it. "+
			"Let others in first, or say %s set-management-room to the bot in another chat.", c.br.Config.CommandPrefix)
	} else if no {
		return nil, refuse(mautrix.MForbidden, "room", "Only members of the room who may set its m.bridge state and have at least level %d decide that, "+
			"and %s has to be in the room: invite it.", minLinkLevel, c.br.Bot.GetMXID())
	}
	return n, err
}

// told is an error as forms show it.
func (c *Connector) told(err error) error {
	why, ok := errors.AsType[*refusal](err)
	if !ok {
		return err
	}
	text := strings.NewReplacer("`", "", "$cmdprefix", c.br.Config.CommandPrefix).Replace(why.text)
	if why.text == notPlumbed {
		text = "The room is not connected with this channel"
	}
	answer := why.kind.WithMessage("%s", text)
	if why.field != "" {
		answer = answer.WithExtraData(map[string]any{"field": why.field})
	}
	return answer
}
