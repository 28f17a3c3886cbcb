package bridgetest

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/ergochat/irc-go/ircmsg"
)

func itoa(n int) string { return strconv.Itoa(n) }

const (
	// v3MultilineBytes and v3MultilineLines bound a draft/multiline batch.
	v3MultilineBytes = 4096
	v3MultilineLines = 24
	// v3CapLine is how much of a line of CAP LS is filled, in bytes.
	v3CapLine = 350
)

// capValues are the capabilities with their values.
func (s *IRCv3) capValues() map[string]string {
	return map[string]string{
		"account-notify": "", "account-tag": "", "away-notify": "", "batch": "", "cap-notify": "", "chghost": "",
		"echo-message": "", "extended-join": "", "invite-notify": "", "labeled-response": "", "message-tags": "",
		"multi-prefix": "", "server-time": "", "setname": "", "standard-replies": "", "userhost-in-names": "",
		"sasl":              s.mechanisms,
		"draft/chathistory": "", "draft/event-playback": "", "draft/message-redaction": "",
		"draft/multiline": "max-bytes=" + itoa(v3MultilineBytes) + ",max-lines=" + itoa(v3MultilineLines),
	}
}

// onCap is the negotiation. IRCv3, "Capability Negotiation".
func (c *v3conn) onCap(m ircmsg.Message) {
	reply := func(params ...string) {
		nick := c.nick
		if nick == "" {
			nick = "*"
		}
		c.send(ircmsg.MakeMessage(nil, c.server(), "CAP", append([]string{nick}, params...)...))
	}
	switch strings.ToUpper(m.Params[0]) {
	case "LS":
		c.negotiating = !c.registered
		version := 0
		if len(m.Params) > 1 {
			version, _ = strconv.Atoi(m.Params[1])
		}
		lines := c.s.capLines(version >= 302)
		for i, line := range lines {
			if i < len(lines)-1 {
				reply("LS", "*", line)
			} else {
				reply("LS", line)
			}
		}
	case "LIST":
		reply("LIST", strings.Join(slices.Sorted(maps.Keys(c.caps)), " "))
	case "REQ":
		c.negotiating = !c.registered
		names := ""
		if len(m.Params) > 1 {
			names = m.Params[1]
		}
		if !c.grant(strings.Fields(names)) {
			reply("NAK", names)
			return
		}
		reply("ACK", names)
	case "END":
		c.negotiating = false
		c.register()
	default:
		c.numeric("410", m.Params[0], "Invalid CAP command")
	}
}

// capLines is the list of what is offered. Only clients of version 302 are shown values and several lines.
func (s *IRCv3) capLines(new bool) []string {
	lines := []string{""}
	values := s.capValues()
	for _, name := range slices.Sorted(maps.Keys(values)) {
		if !s.offers(name) {
			continue
		}
		if value := values[name]; value != "" && new {
			name += "=" + value
		}
		last := &lines[len(lines)-1]
		if new && len(*last)+len(name) > v3CapLine {
			lines = append(lines, "")
			last = &lines[len(lines)-1]
		}
		*last = strings.TrimSpace(*last + " " + name)
	}
	return lines
}

// grant switches capabilities on or off, all or none.
func (c *v3conn) grant(names []string) bool {
	for _, name := range names {
		if !c.s.offers(strings.TrimPrefix(name, "-")) {
			return false
		}
	}
	for _, name := range names {
		if off, ok := strings.CutPrefix(name, "-"); ok {
			delete(c.caps, off)
		} else {
			c.caps[name] = true
		}
	}
	return true
}

// wants reports whether a client is sent a tag.
func (c *v3conn) wants(tag string) bool {
	switch tag {
	case "time":
		return c.caps["server-time"]
	case "account":
		return c.caps["account-tag"]
	case "batch":
		return c.caps["batch"]
	case "label":
		return c.caps["labeled-response"]
	case "draft/multiline-concat":
		return c.caps["draft/multiline"]
	}
	return c.caps["message-tags"] // msgid, and those of clients
}
