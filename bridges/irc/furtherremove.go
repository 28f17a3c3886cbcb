package irc

import (
	"context"
	"strings"

	"maunium.net/go/mautrix/bridgev2/database"
	"maunium.net/go/mautrix/bridgev2/networkid"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"
)

// What is removed from a room goes from all its channels, as far as they can take back lines: a copy by the connection that has said
// it, since others would have to be operators; what was said in a further channel itself, by that of who removes it. What was said in
// the first one is bridgev2's to handle.

// record notes what has become of an event, and of its further lines, which go when it is removed.
func (cy *carrying) record(ctx context.Context, s *send, edited id.EventID) error {
	host, portal := cy.c.host, cy.to.portal.ID
	var lines []networkid.MessageID
	for _, msgid := range s.msgIDs() {
		lines = append(lines, cy.to.net.idOf(msgid))
	}
	first, done, err := networkid.MessageID(""), true, error(nil)
	switch {
	case edited != "":
		first, done, err = host.Copy(ctx, edited, portal)
	case len(lines) > 0:
		first, lines = lines[0], lines[1:]
	}
	if err == nil && done && first != "" {
		err = host.AddLines(ctx, first, lines)
	}
	if err != nil {
		return err
	}
	if edited != "" {
		first = ""
	}
	return host.AddCopy(ctx, cy.evt.ID, portal, first)
}

// removed is the event that a redaction is about.
func removed(evt *event.Event) id.EventID {
	if evt.Redacts != "" {
		return evt.Redacts
	}
	text, _ := evt.Content.Raw["redacts"].(string)
	return id.EventID(text)
}

// remove takes back in one channel what was removed from the room.
func (cy *carrying) remove(ctx context.Context) error {
	target := removed(cy.evt)
	reaction, err := cy.c.br.DB.Reaction.GetByMXID(ctx, target)
	switch {
	case err != nil:
		return err
	case reaction != nil && !cy.byBot:
		return cy.unreact(ctx, reaction)
	}
	line, done, err := cy.c.host.Copy(ctx, target, cy.to.portal.ID)
	switch {
	case err != nil || done && line == "" || !done && (cy.byBot || cy.to.first):
		return err
	case !done:
		message, err := cy.message(ctx, target)
		if err != nil || message == nil || cy.to.net.msgIDOf(message.ID) == "" {
			return err
		}
		line = message.ID // said in this channel, and removed by somebody of the room
	default:
		// bridgev2 may have forgotten it already.
		author, err := cy.c.host.SenderOf(ctx, cy.evt.RoomID, target)
		if err != nil && !isFinal(err) {
			return err
		}
		_, isGhost := cy.c.br.Matrix.ParseGhostMXID(author)
		switch {
		case author == "":
		case isGhost:
			cy.byBot = true
		case cy.byBot:
			cy.byBot, cy.user = false, author
		}
	}
	return cy.carry(ctx, func(ctx context.Context, _ *account) (*send, id.EventID, error) {
		s, err := cy.takeBack(ctx, line)
		return s, "", err
	})
}

// takeBack removes a line with all that it is part of.
func (cy *carrying) takeBack(ctx context.Context, line networkid.MessageID) (*send, error) {
	further, err := cy.c.host.Lines(ctx, line)
	if err != nil {
		return nil, err
	}
	cy.to.net.recent.forget(line)
	cy.to.net.recent.forget(copyKey(removed(cy.evt)))
	s := &send{verb: "REDACT"}
	s.build = func(c *client, m *membership) ([]entry, error) {
		entries := c.redactions(m, "", append([]networkid.MessageID{line}, further...)...)
		if len(entries) == 0 {
			return nil, errNoRedactions
		}
		return entries, nil
	}
	return s, nil
}

// redactions are the commands that take back lines, of those that have an identity where lines can be taken back.
func (c *client) redactions(m *membership, reason string, lines ...networkid.MessageID) (entries []entry) {
	for _, line := range lines {
		msgid := c.net.msgIDOf(line)
		if msgid == "" || !c.has(redactionCap) || strings.ContainsAny(msgid, " ") || msgid[0] == ':' {
			continue
		}
		params := []string{m.name, msgid}
		if reason != "" {
			params = append(params, reason)
		}
		entries = append(entries, entry{line: c.commandLine("REDACT", params...)})
	}
	return entries
}

// unreact takes back a reaction of somebody in the room. In the first channel bridgev2 does.
func (cy *carrying) unreact(ctx context.Context, reaction *database.Reaction) error {
	if cy.to.first || reaction.SenderMXID != cy.evt.Sender {
		return nil
	}
	message, err := cy.c.br.DB.Message.GetFirstPartByID(ctx, cy.room.Receiver, reaction.MessageID)
	if err != nil || message == nil {
		return err
	}
	return cy.carry(ctx, func(ctx context.Context, a *account) (*send, id.EventID, error) {
		target, err := cy.target(ctx, message.MXID)
		if err != nil || target == nil {
			return nil, "", err
		}
		return a.react("unreact", target.ID, string(reaction.EmojiID)), "", nil
	})
}
