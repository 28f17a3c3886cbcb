package irc

import (
	"context"
	"strings"
	"time"

	"maunium.net/go/mautrix/bridgev2"
	"maunium.net/go/mautrix/bridgev2/database"
	"maunium.net/go/mautrix/bridgev2/networkid"
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
		if isGhost && p.net.name == from || !isGhost && !isBot && p.first {
			continue
		}
		cy := carrying{c: c, evt: evt, to: p, room: places[0].portal, ghost: ghost}
		if err := cy.carry(ctx, isGhost || isBot); err != nil {
			cy.fail(ctx, err, isGhost || isBot)
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
	room  *bridgev2.Portal // of the room
	ghost networkid.UserID // who has said it, "" for people
}

// carry gives the event to a connection. What has arrived already is not sent again.
func (cy *carrying) carry(ctx context.Context, byBot bool) error {
	_, done, err := cy.c.host.Copy(ctx, cy.evt.ID, cy.to.portal.ID)
	if err != nil || done {
		return err
	}
	login, user := cy.to.net.login, cy.c.botUser()
	if !byBot {
		user = cy.evt.Sender
		if !cy.c.br.Config.Permissions.Get(user).Login {
			return nil
		}
		if login, err = cy.c.login(ctx, cy.to.net, user); err != nil {
			return err
		}
	}
	a := login.Client.(*account)
	client := cy.to.net.running(user)
	if client == nil {
		return failure("there is no connection to %s", cy.to.net.name)
	}
	s, edited, err := cy.compose(ctx, a, byBot)
	if err != nil || s == nil {
		return err
	}
	return cy.submit(ctx, client, s, edited, byBot)
}

// compose makes the lines, for an edit with what it edits; nil when there is nothing to be sent.
func (cy *carrying) compose(ctx context.Context, a *account, byBot bool) (s *send, edited id.EventID, err error) {
	switch cy.evt.Type {
	case event.EventMessage, event.EventSticker:
		content := *cy.evt.Content.AsMessage()
		if cy.evt.Type == event.EventSticker {
			content.MsgType = event.CapMsgSticker
		}
		content.RemoveReplyFallback()
		edited = content.RelatesTo.GetReplaceID()
		if edited != "" {
			if content.NewContent == nil || byBot {
				return nil, "", nil
			}
			s = a.compose(ctx, cy.room, content.NewContent, nil)
			s.final = true
			return s, edited, nil
		}
		answered, err := cy.target(ctx, content.RelatesTo.GetReplyTo())
		if err != nil {
			return nil, "", err
		}
		s = a.compose(ctx, cy.room, &content, answered)
		if byBot {
			return cy.relayed(ctx, s), "", nil
		}
		return s, "", nil
	case event.EventReaction:
		return cy.reaction(ctx, a, byBot)
	case event.EventRedaction:
		s, err = cy.redaction(ctx, a)
		return s, "", err
	}
	return nil, "", nil
}

// target is a message of the room, under the identity that it has in the channel if it has one there.
func (cy *carrying) target(ctx context.Context, evt id.EventID) (*database.Message, error) {
	if evt == "" {
		return nil, nil
	}
	found, err := cy.c.br.DB.Message.GetPartByMXID(ctx, evt)
	if err != nil || found == nil || found.Room != cy.room.PortalKey {
		return nil, err
	}
	remote, done, err := cy.c.host.Copy(ctx, evt, cy.to.portal.ID)
	if err != nil || !done || remote == "" {
		return found, err
	}
	copied := *found
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
func (cy *carrying) reaction(ctx context.Context, a *account, byBot bool) (*send, id.EventID, error) {
	relation := cy.evt.Content.AsReaction().RelatesTo
	key := oneLine(cleanText(relation.Key))
	target, err := cy.target(ctx, relation.EventID)
	if err != nil || target == nil || key == "" || len(key) > maxReaction {
		return nil, "", err
	}
	inWords := cy.to.net.cfg.Content.ReactionText
	if byBot {
		if !inWords {
			return nil, "", nil
		}
		return &send{verb: "PRIVMSG", lines: []string{"* " + cy.name(ctx) + " " + a.reactionText(ctx, target, key)}}, "", nil
	}
	s := a.react("react", target.ID, key)
	if inWords {
		s.lines = []string{a.reactionText(ctx, target, key)}
	}
	return s, "", nil
}

// redaction takes back a copy.
func (cy *carrying) redaction(ctx context.Context, a *account) (*send, error) {
	evt := cy.evt.Redacts
	if evt == "" {
		text, _ := cy.evt.Content.Raw["redacts"].(string)
		evt = id.EventID(text)
	}
	remote, done, err := cy.c.host.Copy(ctx, evt, cy.to.portal.ID)
	if err != nil || !done || remote == "" {
		return nil, err
	}
	cy.to.net.recent.forget(remote)
	s := &send{verb: "REDACT"}
	s.build = func(c *client, m *membership) ([]entry, error) {
		msgid := c.net.msgIDOf(remote)
		if msgid == "" || !c.has(redactionCap) || strings.ContainsAny(msgid, " ") || msgid[0] == ':' {
			return nil, errNoRedactions
		}
		return []entry{{line: commandLine("REDACT", m.name, msgid)}}, nil
	}
	return s, nil
}

// submit queues the lines, and holds the event until the server has them.
func (cy *carrying) submit(ctx context.Context, client *client, s *send, edited id.EventID, byBot bool) error {
	ctx = context.WithoutCancel(ctx)
	n := cy.to.net
	s.channel, s.event = cy.to.channel, cy.evt.ID
	plain := plainOf(s.lines)
	record := func(err error) {
		if err != nil {
			cy.fail(ctx, err, byBot)
			return
		}
		var remote networkid.MessageID
		if ids := s.msgIDs(); len(ids) > 0 && edited == "" {
			remote = n.idOf(ids[0])
		}
		n.recent.put(copyKey(cy.evt.ID), said{lines: plain})
		if err := cy.c.host.AddCopy(ctx, cy.evt.ID, cy.to.portal.ID, remote); err != nil {
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
func (cy *carrying) fail(ctx context.Context, err error, byBot bool) {
	if isSilent(err) {
		return
	}
	cy.to.net.log.Debug().Err(err).Stringer("event_id", cy.evt.ID).Msg("not carried to a further channel")
	if !byBot {
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
