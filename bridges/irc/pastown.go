package irc

import (
	"context"
	"slices"
	"strings"

	"maunium.net/go/mautrix/bridgev2"
	"maunium.net/go/mautrix/id"
)

// pastOwn is a line of a user's own in the history of a channel that they are on in a room of their own. What they have said by the
// bridge is in the room; what another client of theirs has said is news. Which it is tell the identities, that only echoes give.
func (c *client) pastOwn(h *history, m message) {
	if m.Command != "PRIVMSG" && m.Command != "NOTICE" || len(m.Params) < 2 || !c.has("echo-message") || msgID(m) == "" {
		return
	}
	// What waits to be sent again is looked for in the history by itself.
	for _, s := range h.m.waiting {
		if s.verb == m.Command && c.suspect(s) && slices.ContainsFunc(s.lines, func(line string) bool {
			return stripCodes(line) == stripCodes(m.Params[1])
		}) {
			return
		}
	}
	lines := strings.Split(m.Params[1], "\n")
	msgType, first, ok := readMessage(m.Command, lines[0])
	lines[0] = first
	if !ok || isBlank(lines) {
		return
	}
	h.items = append(h.items, pastOwnItem{ownItem{messageItem{
		id: c.messageID(m), nick: m.Nick(), msgType: msgType, lines: lines, replyTo: c.repliedTo(m), at: c.saidAt(m),
	}}, c.user})
}

// pastOwnItem is what the owner of a room has said in our absence, unless it was said from here.
type pastOwnItem struct {
	ownItem
	owner id.UserID
}

func (p pastOwnItem) deliver(ctx context.Context, l *lane, portal *bridgev2.Portal) error {
	known, err := l.net.conn.message(ctx, portal, p.id)
	if err != nil || known != nil {
		return err
	}
	// A message that the process before may have sent comes to the client only now, and finds its line by itself.
	waiting, err := l.net.conn.host.Waiting(ctx, portal.MXID, p.owner)
	if err != nil {
		return err
	}
	text := strings.TrimSpace(stripCodes(strings.Join(p.lines, "\n")))
	for _, body := range waiting {
		if body == "" || strings.Contains(body, text) {
			return nil
		}
	}
	return p.ownItem.deliver(ctx, l, portal)
}
