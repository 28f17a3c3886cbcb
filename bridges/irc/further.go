package irc

import (
	"context"
	"fmt"
	"strings"
	"time"

	"maunium.net/go/mautrix/bridgev2"
	"maunium.net/go/mautrix/bridgev2/database"
	"maunium.net/go/mautrix/bridgev2/networkid"
	"maunium.net/go/mautrix/bridgev2/simplevent"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"

	"causeway/bridges"
)

var _ bridges.EventTapper = (*Connector)(nil)

// carryNoticePause is the least time between two notices that a channel does not get what others say.
const carryNoticePause = 10 * time.Minute

// Taps implements bridges.EventTapper.
func (c *Connector) Taps(room id.RoomID) bool {
	ls := c.links
	if ls == nil {
		return false
	}
	ls.mu.Lock()
	defer ls.mu.Unlock()
	return len(ls.further[room]) > 0
}

// TapEvent implements bridges.EventTapper: what is said in a room goes to each of its channels but that where it comes from. Where
// that is, the sender says, never the text: a ghost is of one network, and a room has one channel of a network. What people
// say goes to the first channel by bridgev2, and from here to the others by their own connections there; what ghosts say
// goes by the bot's.
func (c *Connector) TapEvent(ctx context.Context, evt *event.Event) {
	places, err := c.placesOf(ctx, evt.RoomID)
	if err != nil || len(places) < 2 || !places[0].first {
		if err != nil {
			c.br.Log.Err(err).Stringer("event_id", evt.ID).Msg("carry an event to further channels")
		}
		return
	}
	ghost, isGhost := c.br.Matrix.ParseGhostMXID(evt.Sender)
	from, _, _ := splitID(string(ghost))
	isBot := evt.Sender == c.botUser()
	if !isGhost && !isBot && (!c.br.Config.Permissions.Get(evt.Sender).SendEvents || c.isCommand(evt)) {
		return
	}
	for _, p := range places {
		cy := carrying{
			c: c, evt: evt, to: p, first: places[0].net, room: places[0].portal, ghost: ghost, user: evt.Sender, byBot: isGhost || isBot,
		}
		if evt.Type == event.EventRedaction {
			err = cy.remove(ctx)
		} else if isGhost && p.net.name == from || !isGhost && !isBot && p.first {
			continue
		} else if err = cy.mayLeave(places, from); err == nil {
			err = cy.carry(ctx, cy.compose)
		}
		if err != nil {
			cy.fail(err)
		}
	}
}

// isCommand reports whether a message is for the bot.
func (c *Connector) isCommand(evt *event.Event) bool {
	return evt.Type == event.EventMessage && strings.HasPrefix(evt.Content.AsMessage().Body, c.br.Config.CommandPrefix)
}

// carrying is one event on its way to one channel that is not its own.
type carrying struct {
	c     *Connector
	evt   *event.Event
	to    spot
	first *network         // of the room
	room  *bridgev2.Portal // of the room
	ghost networkid.UserID // who has said it, "" for people
	user  id.UserID        // whose connection carries it
	byBot bool             // that is the bot's
}

// composer makes the lines, for an edit with what it edits; nil when there is nothing to be sent.
type composer func(ctx context.Context, a *account) (s *send, edited id.EventID, err error)

// carry gives the event to a connection. What has arrived already is not sent again.
func (cy *carrying) carry(ctx context.Context, compose composer) error {
	_, done, err := cy.c.host.Copy(ctx, cy.evt.ID, cy.to.portal.ID)
	if err != nil || done {
		return err
	}
	n := cy.to.net
	login, client := n.login, n.running(cy.c.botUser())
	if !cy.byBot {
		if !cy.c.br.Config.Permissions.Get(cy.user).Login {
			return nil
		}
		if login, err = cy.c.login(ctx, n, cy.user); err != nil {
			return err
		}
		client = cy.c.speaksIn(n, cy.to.portal, cy.user)
	}
	a := login.Client.(*account)
	if client == nil {
		return failure("there is no connection to %s", n.name)
	}
	s, edited, err := compose(ctx, a)
	if err != nil || s == nil {
		return err
	}
	if err := cy.c.readersOf(ctx, n, cy.to.channel, cy.evt.RoomID, s); err != nil {
		return err
	}
	if !cy.byBot && cy.c.modeOf(n, cy.to.portal) == modeRelay {
		s.speaker = a.speakerOf(ctx, cy.room, cy.user)
	}
	return cy.submit(ctx, client, s, edited)
}

// compose makes the lines of what is said.
func (cy *carrying) compose(ctx context.Context, a *account) (s *send, edited id.EventID, err error) {
	switch cy.evt.Type {
	case event.EventMessage, event.EventSticker:
		content := *cy.evt.Content.AsMessage()
		if cy.evt.Type == event.EventSticker {
			content.MsgType = event.CapMsgSticker
		}
		content.RemoveReplyFallback()
		edited = content.RelatesTo.GetReplaceID()
		if edited != "" {
			if content.NewContent == nil || cy.byBot {
				return nil, "", nil
			}
			cy.remember(ctx, a, edited)
			s = a.compose(ctx, cy.room, content.NewContent, nil)
			s.final = true
			return s, edited, nil
		}
		answered, err := cy.target(ctx, content.RelatesTo.GetReplyTo())
		if err != nil {
			return nil, "", err
		}
		s = a.compose(ctx, cy.room, &content, answered)
		if cy.byBot {
			return cy.relayed(ctx, s), "", nil
		}
		return s, "", nil
	case event.EventReaction:
		s, err = cy.reaction(ctx, a)
		return s, "", err
	}
	return nil, "", nil
}

// remember looks up what a message said that is edited, if that was forgotten, to know what has changed.
func (cy *carrying) remember(ctx context.Context, a *account, edited id.EventID) {
	if _, known := cy.to.net.recent.get(copyKey(edited)); known {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, lookup)
	defer cancel()
	content, err := cy.c.host.Message(ctx, cy.evt.RoomID, edited)
	if err != nil || content == nil {
		return
	}
	content.RemoveReplyFallback()
	was := said{}
	for _, line := range tidy(a.lines(ctx, cy.room, content)) {
		was.lines = append(was.lines, textOf(line))
	}
	cy.to.net.recent.put(copyKey(edited), was)
}

// target is a message of the room, under the identity that it has in the channel if it has one there.
func (cy *carrying) target(ctx context.Context, evt id.EventID) (*database.Message, error) {
	if evt == "" {
		return nil, nil
	}
	found, err := cy.message(ctx, evt)
	if err != nil || found == nil || found.Room != cy.room.PortalKey {
		return nil, err
	}
	return cy.c.asCopied(ctx, found, cy.to.portal.ID)
}

// message looks up what bridgev2 has recorded of a message. What a ghost says is in the room before it is recorded, so that somebody,
// a bot above all, may refer to it before that: then what bridgev2 has at hand is awaited.
func (cy *carrying) message(ctx context.Context, evt id.EventID) (*database.Message, error) {
	found, err := cy.c.br.DB.Message.GetPartByMXID(ctx, evt)
	if err != nil || found != nil {
		return found, err
	}
	nothing := &simplevent.EventMeta{Type: bridgev2.RemoteEventUnknown, PortalKey: cy.room.PortalKey}
	if err := cy.first.login.QueueRemoteEvent(nothing).Error; err != nil {
		return nil, fmt.Errorf("await what is at hand in %s: %w", cy.evt.RoomID, err)
	}
	return cy.c.br.DB.Message.GetPartByMXID(ctx, evt)
}

// asCopied is a message under the identity of its copy in a channel, if there is one.
func (c *Connector) asCopied(ctx context.Context, message *database.Message, portal networkid.PortalID) (*database.Message, error) {
	remote, done, err := c.host.Copy(ctx, message.MXID, portal)
	if err != nil || !done || remote == "" {
		return message, err
	}
	copied := *message
	copied.ID = remote
	return &copied, nil
}

// relayed has the bot say for a ghost what the ghost has said.
func (cy *carrying) relayed(ctx context.Context, s *send) *send {
	name := cy.name(ctx)
	for i, line := range s.lines {
		if s.action {
			s.lines[i] = "* " + name + " " + line
			continue
		}
		s.lines[i] = "<" + name + "> " + line
	}
	if s.prefix.plain != "" && len(s.lines) > 0 && !s.action {
		// The name comes before what is quoted.
		said := strings.TrimPrefix(s.lines[0], "<"+name+"> ")
		s.lines[0] = said
		s.prefix = replyTo{tagged: "<" + name + "> " + s.prefix.tagged, plain: "<" + name + "> " + s.prefix.plain}
	}
	s.action = false
	return s
}

// name is what a ghost is called.
func (cy *carrying) name(ctx context.Context) string {
	if name := cy.c.calledBy(ctx, cy.ghost); name != "" {
		return oneLine(cleanText(name))
	}
	_, nick, _ := splitID(string(cy.ghost))
	return strings.TrimPrefix(nick, accountPrefix)
}

// reaction is a reaction to what has an identity in the channel; by the bot it would be the bot's, so that is said in words if at all.
func (cy *carrying) reaction(ctx context.Context, a *account) (*send, error) {
	relation := cy.evt.Content.AsReaction().RelatesTo
	key := oneLine(cleanText(relation.Key))
	target, err := cy.target(ctx, relation.EventID)
	if err != nil || target == nil || key == "" || len(key) > maxReaction {
		return nil, err
	}
	inWords := cy.to.net.cfg.Content.ReactionText
	if cy.byBot {
		if !inWords {
			return nil, nil
		}
		return &send{verb: "PRIVMSG", lines: []string{"* " + cy.name(ctx) + " " + a.reactionText(ctx, target, key)}}, nil
	}
	s := a.react("react", target.ID, key)
	if inWords {
		s.lines = []string{a.reactionText(ctx, target, key)}
	}
	return s, nil
}

// submit queues the lines, and holds the event until the server has them.
func (cy *carrying) submit(ctx context.Context, client *client, s *send, edited id.EventID) error {
	ctx = context.WithoutCancel(ctx)
	n := cy.to.net
	s.channel, s.event = cy.to.channel, cy.evt.ID
	plain := plainOf(s.lines)
	record := func(err error) {
		if err != nil {
			cy.fail(err)
			return
		}
		n.recent.put(copyKey(cy.evt.ID), said{lines: plain})
		if err := cy.record(ctx, s, edited); err != nil {
			n.log.Err(err).Stringer("event_id", cy.evt.ID).Msg("record a copy")
		}
	}
	if edited != "" {
		s.done = func(err error) {
			if !s.superseded {
				n.recent.put(copyKey(edited), said{lines: plain})
				record(err)
			}
		}
		if !client.box.add(editRequest{send: s, target: copyKey(edited)}) {
			return notConnected(n.name)
		}
		return nil
	}
	release := cy.c.host.Defer(cy.evt.ID)
	s.done = func(err error) {
		defer release()
		record(err)
	}
	if !client.box.add(s) {
		release()
		return failure("too many messages are waiting")
	}
	return nil
}

// copyKey is under which a text is remembered that was carried to a further channel.
func copyKey(evt id.EventID) networkid.MessageID { return networkid.MessageID("copy:" + evt) }

// fail tells the room that something has not arrived: who has said it, or, of what others have said, everybody once in a while.
func (cy *carrying) fail(err error) {
	if isSilent(err) {
		return
	}
	cy.to.net.log.Debug().Err(err).Stringer("event_id", cy.evt.ID).Msg("not carried to a further channel")
	if cy.evt.Type == event.EventRedaction {
		if _, isGhost := cy.c.br.Matrix.ParseGhostMXID(cy.evt.Sender); !isGhost && cy.evt.Sender != cy.c.botUser() {
			cy.c.say(cy.evt.RoomID, "That was not removed from "+cy.to.channel+" on "+cy.to.net.name+": "+err.Error(), cy.evt.Sender)
		}
		return
	}
	if !cy.byBot {
		cy.c.say(cy.evt.RoomID, "Your message did not reach "+cy.to.channel+" on "+cy.to.net.name+": "+err.Error(), cy.evt.Sender)
		return
	}
	ch := cy.to.net.channel(cy.to.channel)
	if ch.mayTellCarry(time.Now()) {
		cy.c.say(cy.evt.RoomID, cy.to.channel+" on "+cy.to.net.name+" does not hear what is said in the other channels of this room: "+err.Error())
	}
}

// mayTellCarry bounds these notices.
func (ch *channel) mayTellCarry(now time.Time) bool {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	if now.Sub(ch.carryTold) < carryNoticePause {
		return false
	}
	ch.carryTold = now
	return true
}
