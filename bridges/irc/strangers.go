package irc

import (
	"fmt"
	"strings"
	"time"
)

const (
	// maxStrangers is how many people may begin a conversation with one of us within strangersFor. What more say goes
	// into the status room, as one notice each strangersPause.
	maxStrangers   = 10
	strangersFor   = 10 * time.Minute
	strangersPause = time.Minute
	// maxStrangerLines bounds the lines of such a notice, and maxStrangerBytes one of them.
	maxStrangerLines = 20
	maxStrangerBytes = 200
)

// strangers is who has begun to talk to us lately.
type strangers struct {
	since time.Time
	count int
	lines []string // of those who were too many
	more  int      // further lines
	due   time.Time
}

// admit reports whether somebody new may have a room. If not, what they say is kept for the notice.
func (c *client) admit(nick string, lines []string) bool {
	now := time.Now()
	s := &c.strangers
	if now.Sub(s.since) > strangersFor {
		s.since, s.count = now, 0
	}
	if s.count < maxStrangers && c.directs() < maxDirects {
		s.count++
		return true
	}
	if s.due.IsZero() {
		s.due = now.Add(strangersPause)
	}
	if len(s.lines) >= maxStrangerLines {
		s.more++
		return false
	}
	said := truncate(stripCodes(strings.Join(lines, " ")), maxStrangerBytes)
	s.lines = append(s.lines, "<"+nick+"> "+said)
	return false
}

// directs is the number of conversations.
func (c *client) directs() int {
	count := 0
	for _, ms := range c.channels {
		if ms.direct != nil {
			count++
		}
	}
	return count
}

// tellStrangers is what tick does for those who were too many.
func (c *client) tellStrangers(now time.Time) {
	s := &c.strangers
	if s.due.IsZero() || now.Before(s.due) {
		return
	}
	text := fmt.Sprintf("Too many people on %s write to you for the first time, so they get no rooms:\n%s", c.net.name, strings.Join(s.lines, "\n"))
	if s.more > 0 {
		text += fmt.Sprintf("\n… and %d lines more", s.more)
	}
	s.lines, s.more, s.due = nil, 0, time.Time{}
	c.toStatus(text)
}
