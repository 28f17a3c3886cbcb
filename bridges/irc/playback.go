package irc

// replayLine takes one line of an answer. What we said ourselves is known to Matrix.
func (c *client) replayLine(h *history, m message) {
	c.replay = h
	defer func() { c.replay = nil }()
	if m.Command != "BATCH" {
		if id := msgID(m); id != "" {
			if h.ids[id] {
				return
			}
			h.ids[id] = true
			h.after = id
		}
		h.lines++
		h.lastAt = c.saidAt(m)
		h.since = h.lastAt
		if user, ours := c.net.masks.owner(m.Source); ours {
			if user == c.user && len(m.Params) > 1 && len(h.own) < maxOwnLines {
				h.own = append(h.own, ownLine{command: m.Command, text: m.Params[1], at: h.lastAt, id: msgID(m)})
			}
			return
		}
	}
	if row, ok := playback[m.Command]; ok {
		if len(m.Params) >= row.params && validNick(m.Nick()) {
			h.items = append(h.items, row.item(c, m)...)
		}
		return
	}
	c.dispatch(m)
}

// playback are the events of a channel's past that are shown as they were: they change nothing that we know of who is there
// now. IRCv3, "chathistory", draft/event-playback.
var playback = map[string]struct {
	params int
	item   func(c *client, m message) []item
}{
	"JOIN": {1, func(_ *client, m message) []item { return []item{joinItem{nick: m.Nick()}} }},
	"PART": {1, func(_ *client, m message) []item { return []item{leaveItem{m.Nick(), reasonOf(m, 1)}} }},
	"QUIT": {0, func(_ *client, m message) []item { return []item{leaveItem{m.Nick(), "Quit: " + reasonOf(m, 0)}} }},
	"KICK": {2, func(c *client, m message) []item {
		if !validNick(m.Params[1]) || c.net.isPuppet(m.Params[1]) {
			return nil
		}
		return []item{leaveItem{m.Params[1], "kicked by " + m.Nick()}}
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
	"MODE": {0, func(*client, message) []item { return nil }}, // the modes of now come when we enter
}

// reasonOf is a parameter that may be missing.
func reasonOf(m message, at int) string {
	if len(m.Params) <= at {
		return ""
	}
	return plainText(m.Params[at])
}
