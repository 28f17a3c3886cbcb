package irc

import (
	"context"
	"strings"

	"maunium.net/go/mautrix/bridgev2"
)

// replaying does something as part of an answer.
func (c *client) replaying(h *history, do func()) {
	c.replay = h
	defer func() { c.replay = nil }()
	do()
}

// countLine counts a line of an answer, and reports whether it is new.
func (c *client) countLine(h *history, m message) bool {
	if id := msgID(m); id != "" {
		if h.ids[id] {
			return false
		}
		h.ids[id] = true
		h.after = id
	}
	h.lines++
	h.lastAt = c.saidAt(m)
	h.since = h.lastAt
	return true
}

// replayLine takes one line of an answer. Lines of a batch that is one text are counted with it.
func (c *client) replayLine(h *history, m message) {
	_, ref := m.GetTag("batch")
	kind, inner := h.inner[ref]
	if inner && kind == "" {
		return
	}
	part := whole[kind] != nil
	if !part && !c.countLine(h, m) {
		return
	}
	defer c.passOn(h)
	c.replaying(h, func() {
		switch row, ok := playback[m.Command]; {
		case part:
			c.dispatch(m)
		case h.token != "" && strings.HasPrefix(m.Nick(), "*"): // a module of ZNC
		case c.isOurs(m):
		case replayed[m.Command]:
			c.dispatch(m)
		case ok && len(m.Params) >= row.params && validNick(m.Nick()):
			h.items = append(h.items, row.item(c, m)...)
		}
	})
}

// isOurs reports whether a line of an answer is one of ours, which Matrix knows. What this client has said is kept for who
// looks for it. In a room of one's own others are ghosts, whoever they are, and one's own lines may be news; see pastOwn.
func (c *client) isOurs(m message) bool {
	h := c.replay
	if h == nil {
		return false
	}
	user, ours := c.net.masks.owner(m.Source)
	if h.m.mine && user != c.user {
		return false
	}
	if ours && user == c.user && len(m.Params) > 1 && len(h.own) < maxOwnLines {
		h.own = append(h.own, ownLine{command: m.Command, text: m.Params[1], at: c.saidAt(m), id: msgID(m)})
	}
	if ours && h.m.mine {
		c.pastOwn(h, m)
	}
	return ours
}

// replayed are the commands that are handled as if they came now.
var replayed = map[string]bool{"PRIVMSG": true, "NOTICE": true, "TAGMSG": true, "REDACT": true}

// playback are the events of a channel's past that are shown as they were: they change nothing that we know of who is there
// now. Modes and all else are not: those of now come when we enter. IRCv3, "chathistory", draft/event-playback.
var playback = map[string]struct {
	params int
	item   func(c *client, m message) []item
}{
	"JOIN": {1, func(c *client, m message) []item { return []item{joinItem{nick: m.Nick(), account: c.pastAccount(m)}} }},
	"PART": {1, func(_ *client, m message) []item { return []item{leaveItem{nick: m.Nick(), words: reasonOf(m, 1)}} }},
	"QUIT": {0, func(_ *client, m message) []item {
		return []item{leaveItem{nick: m.Nick(), how: "Quit", words: reasonOf(m, 0)}}
	}},
	"KICK": {2, func(c *client, m message) []item {
		if !validNick(m.Params[1]) || c.net.isPuppet(m.Params[1]) {
			return nil
		}
		return []item{leaveItem{nick: m.Params[1], how: "kicked by " + m.Nick(), kicked: true}}
	}},
	"NICK": {1, func(_ *client, m message) []item {
		if !validNick(m.Params[0]) {
			return nil
		}
		return []item{nickItem{from: m.Nick(), to: m.Params[0]}}
	}},
	"TOPIC": {2, func(_ *client, m message) []item {
		return []item{topicItem{nick: m.Nick(), topic: plainText(m.Params[1])}}
	}},
}

// reasonOf is a parameter that may be missing.
func reasonOf(m message, at int) string {
	if len(m.Params) <= at {
		return ""
	}
	return plainText(m.Params[at])
}

// pastAccount is the account that somebody had when they came.
func (c *client) pastAccount(m message) string {
	if !c.tracksAccounts() {
		return ""
	}
	return c.joinAccount(m)
}

// knowItem says what account somebody had in the past, so that what they said then is theirs. Nobody comes or goes by it.
type knowItem struct{ nick, account string }

func (k knowItem) deliver(_ context.Context, l *lane, _ *bridgev2.Portal) error {
	l.know(k.nick, k.account)
	return nil
}

// notePastAccount has what follows be said by who had an account then. IRCv3, "account-tag".
func (c *client) notePastAccount(m message) {
	if !c.tracksAccounts() || !c.has("account-tag") {
		return
	}
	_, text := m.GetTag("account")
	c.replay.items = append(c.replay.items, knowItem{m.Nick(), accountOf(text)})
}
