package irc

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"maunium.net/go/mautrix/bridgev2"
	"maunium.net/go/mautrix/bridgev2/database"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"
)

// RelayConfig is the bridge's own connection: it speaks for everybody in the rooms whose mode is relay, and is in the channels
// of rooms that people have connected.
type RelayConfig struct {
	// Nick is what it is called. Default "matrix".
	Nick string `yaml:"nick,omitempty"`
	// Account and Password log it in, as auth says.
	Account  string `yaml:"account,omitempty"`
	Password string `yaml:"password,omitempty"`
	// RelayMsg has the network show who speaks as a nick of their own (draft/relaymsg), where it can. It is on unless this is
	// off; channels may want the relay to be an operator for it.
	RelayMsg string `yaml:"relaymsg,omitempty"`
}

func (r RelayConfig) validate(field string) error {
	if _, err := optionalNick(r.Nick); err != nil {
		return fmt.Errorf("%s.nick: %w", field, err)
	}
	if strings.ContainsAny(r.Account+r.Password, "\r\n\x00") {
		return fmt.Errorf("%s: account and password must be one line each", field)
	}
	if !slices.Contains([]string{"", "on", "off"}, r.RelayMsg) {
		return fmt.Errorf("%s.relaymsg: %q is neither on nor off", field, r.RelayMsg)
	}
	return nil
}

// identity is who the relay is.
func (r RelayConfig) identity() identity {
	i := identity{nick: r.Nick, account: r.Account, password: r.Password}
	if r.Password != "" {
		i.mechanism = mechAuto
	}
	return i
}

// relayJoin has the relay enter a channel.
func (c *Connector) relayJoin(ctx context.Context, n *network, portal *bridgev2.Portal) error {
	key := c.channelKey(ctx, n, n.conn.botUser(), portal.Name)
	return n.ask(n.conn.botUser(), joinRequest{channel: portal.Name, key: key, fresh: true})
}

// relayed reports whether a channel's room has people in it for whom the relay is there.
func (c *Connector) relayed(ctx context.Context, n *network, portal *bridgev2.Portal) (bool, error) {
	rows, err := c.br.DB.UserPortal.GetAllInPortal(ctx, portal.PortalKey)
	for _, row := range rows {
		if !n.isBot(row.UserMXID) {
			return true, err
		}
	}
	return false, err
}

// relayPart has the relay leave a channel, unless it is there also for a room that people have connected.
func (c *Connector) relayPart(n *network, portal *bridgev2.Portal, reason string) {
	if _, linked := c.links.of(portal.ID); !linked {
		n.botPart(portal.Name, reason)
	}
}

// connectRelay has the relay enter the channels of before, after a start.
func (a *account) connectRelay(ctx context.Context) {
	portals, err := a.connector.br.GetAllPortalsWithMXID(ctx)
	if err != nil {
		a.login.Log.Err(err).Msg("load the channels of the relay")
		return
	}
	for _, portal := range portals {
		network, _, _ := splitID(string(portal.ID))
		if network != a.net.name || kindOf(portal.PortalKey) != shared || a.connector.modeOf(a.net, portal) != modeRelay {
			continue
		}
		there, err := a.connector.relayed(ctx, a.net, portal)
		if err == nil && there {
			err = a.connector.relayJoin(ctx, a.net, portal)
		}
		if err != nil {
			a.login.Log.Err(err).Stringer("room_id", portal.MXID).Msg("have the relay join a channel")
		}
	}
}

// speaker is who says what the relay passes on.
type speaker struct {
	user id.UserID
	name string // as the room calls them
	also bool   // somebody else in the room is called so, too
}

// speakerOf is how the room calls a user.
func (a *account) speakerOf(ctx context.Context, portal *bridgev2.Portal, user id.UserID) *speaker {
	ctx, cancel := context.WithTimeout(ctx, lookup)
	defer cancel()
	who := &speaker{user: user, name: nameIn(nil, user)}
	members, err := a.connector.br.Matrix.GetMembers(ctx, portal.MXID)
	if err != nil {
		a.login.Log.Err(err).Stringer("room_id", portal.MXID).Msg("ask how the room calls somebody")
		return who
	}
	who.name = nameIn(members, user)
	for other := range members {
		if other != user && skeleton(nameIn(members, other)) == skeleton(who.name) {
			who.also = true
		}
	}
	return who
}

// nameIn is how a room calls one of its members.
func nameIn(members map[id.UserID]*event.MemberEventContent, user id.UserID) string {
	if member := members[user]; member != nil && tidyName(member.Displayname) != "" {
		return tidyName(member.Displayname)
	}
	localpart, _, _ := user.Parse()
	return tidyName(localpart)
}

// sayBy prepares a send for the relay, if it is the relay that speaks in the room, and returns whose connection takes it.
func (a *account) sayBy(ctx context.Context, portal *bridgev2.Portal, s *send) (*client, error) {
	if kindOf(portal.PortalKey) != shared || a.connector.modeOf(a.net, portal) != modeRelay {
		return a.client(), nil
	}
	if !slices.Contains(textVerbs, s.verb) {
		return nil, shown(failure("here one connection speaks for all, and only passes on what they say"))
	}
	s.speaker = a.speakerOf(ctx, portal, a.login.UserMXID)
	return a.net.running(a.connector.botUser()), nil
}

// speaksIn is the connection by which a user speaks in a room, or nil.
func (c *Connector) speaksIn(n *network, portal *bridgev2.Portal, user id.UserID) *client {
	if kindOf(portal.PortalKey) == shared && c.modeOf(n, portal) == modeRelay {
		return n.running(n.conn.botUser())
	}
	return n.running(user)
}

// calledOf is the nick of one of us who has said a message, or how the room calls them where the relay has said it.
func (a *account) calledOf(ctx context.Context, message *database.Message) string {
	portal, err := a.connector.existing(ctx, message.Room)
	if err != nil || portal == nil || kindOf(portal.PortalKey) != shared || a.connector.modeOf(a.net, portal) != modeRelay {
		return a.net.nickOf(message.SenderMXID)
	}
	who := a.speakerOf(ctx, portal, message.SenderMXID)
	return who.name
}
