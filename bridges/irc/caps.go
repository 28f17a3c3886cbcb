package irc

import (
	"maps"
	"slices"
	"strings"
)

// capsVersion is what we say to understand: values, replies of several lines, and CAP NEW and DEL.
// IRCv3, "Capability Negotiation".
const capsVersion = "302"

const (
	// maxOffered bounds the capabilities of a server that are remembered, and maxCapBytes the bytes of one.
	maxOffered  = 256
	maxCapBytes = 1024
	// maxCapLine is how much of a CAP REQ is filled, in bytes.
	maxCapLine = 400
)

// wantedCaps is what we ask for where it is offered. A row says why. What needs more than the offer, such as a login, has a
// condition.
var wantedCaps = map[string]func(c *client) bool{
	"account-notify":    nil, // who logs in or out while we watch
	"account-tag":       nil, // who says something, by account
	"away-notify":       nil, // who goes away and comes back
	"batch":             nil, // what belongs together
	"cap-notify":        nil, // implied by 302; some servers want to be asked
	"chghost":           nil, // a new host without QUIT and JOIN
	"extended-join":     nil, // who comes, by account
	"extended-monitor":  nil, // who of those that are watched is away
	"invite-notify":     nil, // who invites whom
	"message-tags":      nil, // identities of lines, and what clients say to each other
	"multi-prefix":      nil, // all the signs of rank that somebody has
	"sasl":              (*client).wantsSASL,
	"server-time":       nil, // when a line was said
	"setname":           nil, // a new real name
	"userhost-in-names": nil, // masks of those who are there

	relayMsgCap:               (*client).wantsRelayMsg,  // lines of others under their names
	"draft/channel-rename":    nil,                      // a new name of a channel, without everybody's leaving it
	"draft/message-redaction": nil,                      // what is taken back
	"draft/multiline":         (*client).wantsMultiline, // a text of several lines as one
	"echo-message":            nil,                      // our own lines, with their identities
	"labeled-response":        (*client).wantsLabels,    // which answer belongs to which line
	"standard-replies":        nil,                      // failures that are no numerics
	"draft/chathistory":       (*client).wantsHistory,   // what was said in our absence
	"draft/event-playback":    (*client).wantsHistory,   // who came and went in our absence
	playbackCap:               (*client).wantsPlayback,  // the same of a ZNC
	"znc.in/self-message":     nil,                      // what another client says by the same ZNC, in conversations too
}

// caps is the negotiation of capabilities on one connection. IRCv3, "Capability Negotiation".
type caps struct {
	offered map[string]string // value by name
	on      map[string]bool
	open    int  // requests that are not answered yet
	listing bool // the list of what is offered has not ended yet
	closed  bool // CAP END is sent, or the server has gone on without
}

func newCaps() caps { return caps{offered: map[string]string{}, on: map[string]bool{}, listing: true} }

// has reports whether a capability is on.
func (c *client) has(name string) bool { return c.caps.on[name] }

// askCaps begins the negotiation. A server that knows none goes on with the registration.
func (c *client) askCaps() {
	c.caps = newCaps()
	c.first("CAP", "LS", capsVersion)
}

// first queues a line of the registration, which goes before all others and is not counted.
func (c *client) first(name string, params ...string) {
	c.urgent = append(c.urgent, c.commandLine(name, params...))
}

// onCap takes a line of the negotiation: CAP nick LS [*] :names, and ACK, NAK, NEW, DEL.
func (c *client) onCap(m message) {
	names := strings.Fields(last(m))
	more := len(m.Params) > 3 && m.Params[2] == "*"
	switch strings.ToUpper(m.Params[1]) {
	case "LS":
		c.offer(names)
		if c.caps.listing = more; !more {
			if c.heedSTS() {
				return
			}
			c.request()
		}
	case "NEW":
		c.offer(names)
		c.request()
	case "DEL":
		for _, name := range names {
			delete(c.caps.offered, name)
			delete(c.caps.on, name)
		}
	case "ACK":
		c.acknowledged(names)
		if !more {
			c.caps.open--
		}
		if slices.Contains(names, "sasl") {
			c.startSASL()
		}
	case "NAK":
		c.caps.open--
		if len(names) == 1 {
			delete(c.caps.offered, names[0])
			break
		}
		// A request holds or falls as a whole.
		for _, name := range names {
			c.requestLine([]string{name})
		}
	default:
		return
	}
	c.settleCaps()
}

func (c *client) offer(names []string) {
	for _, name := range names {
		name, value, _ := strings.Cut(name, "=")
		if len(c.caps.offered) < maxOffered && len(name)+len(value) <= maxCapBytes {
			c.caps.offered[name] = value
		}
	}
}

// request asks for what is offered, wanted and not on.
func (c *client) request() {
	var line []string
	length := 0
	for _, name := range slices.Sorted(maps.Keys(wantedCaps)) {
		_, offered := c.caps.offered[name]
		if may := wantedCaps[name]; !offered || c.caps.on[name] || may != nil && !may(c) {
			continue
		}
		if length += 1 + len(name); length > maxCapLine {
			c.requestLine(line)
			line, length = nil, 1+len(name)
		}
		line = append(line, name)
	}
	c.requestLine(line)
}

func (c *client) requestLine(names []string) {
	if len(names) > 0 {
		c.caps.open++
		c.first("CAP", "REQ", strings.Join(names, " "))
	}
}

func (c *client) acknowledged(names []string) {
	for _, name := range names {
		name, off := strings.CutPrefix(name, "-")
		if _, wanted := wantedCaps[name]; !wanted {
			continue
		}
		if off {
			delete(c.caps.on, name)
		} else {
			c.caps.on[name] = true
		}
	}
}

// settleCaps ends the negotiation when nothing is open any more, and the server goes on with the registration.
func (c *client) settleCaps() {
	if c.phase != registering || c.caps.closed || c.caps.listing || c.caps.open > 0 || c.login.mech != nil {
		return
	}
	c.caps.closed = true
	c.first("CAP", "END")
}
