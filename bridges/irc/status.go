package irc

import (
	"fmt"
	"strings"
	"time"
)

// StatusConfig is about the status rooms: one per network and user, with what servers and services say to them, made when
// there is something. It is a room of its own beside the one with the bot, because it speaks of one network, can be muted,
// and may be talkative where the other has answers that people wait for. Who leaves it hears nothing more.
type StatusConfig struct {
	// Off makes no such rooms.
	Off bool `yaml:"off,omitempty"`
	// MOTD shows also the network's message of the day.
	MOTD bool `yaml:"motd,omitempty"`
}

const (
	// statusBurst and statusEvery bound the notices in a status room; what is too much is left out, and that is said.
	statusBurst = 20
	statusEvery = 10 * time.Second
	// maxStatusBytes bounds one.
	maxStatusBytes = 4000
	// maxMOTDLines bounds the lines of a message of the day.
	maxMOTDLines = 200
)

// statusLog is what a client has said in its status room.
type statusLog struct {
	bucket bucket
	lost   int
	motd   []string
}

// toStatus says something in the user's status room.
func (c *client) toStatus(text string) {
	if c.net.cfg.Status.Off || c.isBot() || strings.TrimSpace(text) == "" {
		return
	}
	now := time.Now()
	if c.status.bucket.burst == 0 {
		c.status.bucket = newBucket(statusBurst, statusEvery, now)
	}
	if !c.status.bucket.take(now) {
		c.status.lost++
		return
	}
	if c.status.lost > 0 {
		text = fmt.Sprintf("(%d lines were left out, because they were too many at once.)\n%s", c.status.lost, text)
		c.status.lost = 0
	}
	c.net.own(c.user, statusName).lane.offer(noticeItem{text: truncate(text, maxStatusBytes)})
}

// fromServer takes what a server, or a service without a mask, says to us.
func (c *client) fromServer(m message, lines []string) {
	if c.phase != up { // "Looking up your hostname"
		return
	}
	for i, line := range lines {
		lines[i] = stripCodes(line)
	}
	from := plainText(m.Nick())
	if from == "" {
		from = c.net.name
	}
	c.toStatus(from + ": " + strings.Join(lines, "\n"))
}

// onWallops is what an operator of the network says to all.
func (c *client) onWallops(m message) {
	c.toStatus("WALLOPS of " + plainText(m.Nick()) + ": " + plainText(last(m)))
}

// onMOTD is a line of the message of the day: RPL_MOTD.
func (c *client) onMOTD(m message) {
	if c.net.cfg.Status.MOTD && len(c.status.motd) < maxMOTDLines {
		c.status.motd = append(c.status.motd, plainText(last(m)))
	}
}

// endMOTD shows what there is of it.
func (c *client) endMOTD() {
	if len(c.status.motd) > 0 {
		c.toStatus(strings.Join(c.status.motd, "\n"))
		c.status.motd = nil
	}
}

// unheard shows an error of the server that no message is to blame for.
func (c *client) unheard(m message) {
	if c.phase == up && isError(m) && m.Command != "FAIL" {
		c.toStatus(c.net.name + " says: " + plainText(strings.Join(m.Params[min(1, len(m.Params)):], " ")))
	}
}
