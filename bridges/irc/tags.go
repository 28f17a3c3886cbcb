package irc

import (
	"time"

	"maunium.net/go/mautrix/bridgev2/networkid"
)

const (
	// maxMsgID bounds an identity that a server gives to a line, in bytes.
	maxMsgID = 255
	// maxClockSkew is how far ahead of our clock a server's may be for its times to count.
	maxClockSkew = 5 * time.Minute
	// serverTime is the form of a time. IRCv3, "server-time".
	serverTime = "2006-01-02T15:04:05.000Z"
)

// msgID is the identity that the network gave to a line, or empty. Others see the same. IRCv3, "Message IDs".
func msgID(m message) string {
	_, text := m.GetTag("msgid")
	if len(text) > maxMsgID {
		return ""
	}
	return text
}

// messageID is the ID of a line: the network's own, which is the same for all who see it and over a restart, or a new one.
func (c *client) messageID(m message) networkid.MessageID {
	if id := msgID(m); id != "" && (c.has("message-tags") || isMade(id)) {
		return networkid.MessageID(c.net.name + "/" + id)
	}
	if id := c.keeping.lineID(); id != "" {
		return networkid.MessageID(id)
	}
	return c.net.messageID()
}

// saidAt is when a line was said. A server whose clock is ahead does not put anything into the future.
func (c *client) saidAt(m message) time.Time {
	now := time.Now()
	_, text := m.GetTag("time")
	if at, err := time.Parse(serverTime, text); err == nil && at.Before(now.Add(maxClockSkew)) {
		return at
	}
	return now
}
