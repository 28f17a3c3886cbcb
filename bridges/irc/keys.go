package irc

import (
	"context"
	"fmt"
	"strings"

	"maunium.net/go/mautrix/bridgev2"
	"maunium.net/go/mautrix/bridgev2/commands"
	"maunium.net/go/mautrix/bridgev2/database"
	"maunium.net/go/mautrix/id"
)

// maxKeyBytes bounds the key of a channel.
const maxKeyBytes = 100

// validKey reports whether a key can be put into JOIN. RFC 2812, 2.3.1, without what would end the parameter or begin the
// next one.
func validKey(key string) bool {
	return key != "" && len(key) <= maxKeyBytes && key[0] != ':' &&
		!strings.ContainsFunc(key, func(r rune) bool { return r <= ' ' || r == ',' || r == 0x7f })
}

// keyOf is where the key of a channel is kept that a user knows. Others who know none are not let in with it.
func (n *network) keyOf(user id.UserID, channel string) database.Key {
	return database.Key("irc-key/" + string(n.ids.portal(channel).ID) + "/" + string(user))
}

// keyField is what the vault binds the key of a channel to, beside the login.
func (n *network) keyField(channel string) string { return "key " + string(n.ids.portal(channel).ID) }

// channelKey is the key that a user has told us for a channel, or has seen there. One that cannot be opened any more is none.
func (c *Connector) channelKey(ctx context.Context, n *network, user id.UserID, channel string) string {
	sealed := c.br.DB.KV.Get(ctx, n.keyOf(user, channel))
	key, err := c.vault.open(loginID(n.name, user), n.keyField(channel), sealed)
	if err != nil {
		n.log.Warn().Err(err).Str("channel", channel).Stringer("user_id", user).Msg("open the key of a channel")
	}
	return key
}

// storeKey keeps the key of a channel for a user.
func (c *Connector) storeKey(ctx context.Context, n *network, user id.UserID, channel, key string) error {
	sealed, err := c.vault.seal(loginID(n.name, user), n.keyField(channel), key)
	if err != nil {
		return fmt.Errorf("store the key of a channel: %w", err)
	}
	c.br.DB.KV.Set(ctx, n.keyOf(user, channel), sealed)
	return nil
}

// keyItem stores the key that one of us sees being set in a channel, because it is needed to come in again. It goes
// through the lane, so that the client need not wait for the database; it is not for the room.
type keyItem struct {
	user id.UserID
	name string // of the channel
	key  string // empty when there is none any more
}

func (keyItem) stateful() {}

func (k keyItem) deliver(ctx context.Context, l *lane, _ *bridgev2.Portal) error {
	if k.key == "" {
		l.net.conn.br.DB.KV.Delete(ctx, l.net.keyOf(k.user, k.name))
		return nil
	}
	if err := l.net.conn.storeKey(ctx, l.net, k.user, k.name, k.key); err != nil {
		l.log.Warn().Err(err).Msg("the key will be asked for again") // to try again does not help
	}
	return nil
}

// sawKey takes note of +k and -k.
func (c *client) sawKey(ms *membership, ch change) {
	switch {
	case strings.IndexByte(c.isupport.always, 'k') < 0:
		return
	case !ch.on:
		ms.pass = ""
	case validKey(ch.arg) && ch.arg != "*":
		ms.pass = ch.arg
	default:
		return // a server hides it
	}
	ms.ch.lane.put(keyItem{user: c.user, name: ms.name, key: ms.pass})
}

// keyHint tells how to give the key of a channel.
func (n *network) keyHint(channel string) string {
	return ". The channel has a key. Tell it to the bot in a private chat, with: " +
		n.conn.br.Config.CommandPrefix + " key " + n.name + " " + channel + " KEY"
}

// addModeCommands adds to bridgev2's commands.
func (c *Connector) addModeCommands() {
	if processor, ok := c.br.Commands.(*commands.Processor); ok {
		processor.AddHandlers(&commands.FullHandler{
			Func: c.cmdKey, Name: "key", RequiresLoginPermission: true,
			Help: commands.HelpMeta{
				Section: commands.HelpSectionGeneral, Args: "_network_ _#channel_ _key_",
				Description: "Give the key of a channel, to enter it. Only in a private chat with the bot",
			},
		})
	}
}

// cmdKey stores a key and tries it.
func (c *Connector) cmdKey(ce *commands.Event) {
	if ce.Portal != nil {
		ce.Redact()
		ce.Reply("Others read this. Tell the key in a private chat with the bot.")
		return
	}
	if len(ce.Args) != 3 {
		ce.Reply("Usage: `$cmdprefix key NETWORK #CHANNEL KEY`")
		return
	}
	n, known := c.networks[ce.Args[0]]
	channel, key := ce.Args[1], ce.Args[2]
	switch {
	case !known:
		ce.Reply("There is no network of that name here; there is %s", c.known())
		return
	case !validChannel(channel) || !validKey(key):
		ce.Reply("That is not the name of a channel, or not a key")
		return
	}
	if err := c.storeKey(ce.Ctx, n, ce.User.MXID, channel, key); err != nil {
		ce.Log.Err(err).Msg("take a key")
		ce.Reply("The key could not be stored.")
		return
	}
	alias := c.alias(n, channel)
	portal, err := c.existing(ce.Ctx, n.ids.portal(channel))
	if err == nil && portal != nil && portal.MXID != "" {
		member, err := c.br.Matrix.GetMemberInfo(ce.Ctx, portal.MXID, ce.User.MXID)
		if err == nil && member != nil && member.Membership == "join" {
			if err := n.ask(ce.User.MXID, joinRequest{channel: channel, key: key}); err != nil {
				ce.Reply("The key is stored, but: %v", err)
				return
			}
			ce.Reply("The key is stored, and you enter %s with it.", channel)
			return
		}
		if err := c.host.Invite(ce.Ctx, portal.MXID, ce.User.MXID, "you have told the key"); err != nil {
			ce.Log.Err(err).Msg("invite who told a key")
		}
	}
	ce.Reply("The key is stored. Now join %s", alias)
}

// alias is that of a channel's room.
func (c *Connector) alias(n *network, channel string) id.RoomAlias {
	return id.NewRoomAlias(c.host.Prefix()+n.name+"_"+channel, c.host.ServerName())
}
