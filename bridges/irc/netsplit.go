package irc

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"time"

	"maunium.net/go/mautrix/bridgev2"
)

const (
	// splitPause is how long people who go or come with a netsplit are counted before the room is told, counted
	// from the last one, and maxSplitPause from the first.
	splitPause    = 2 * time.Second
	maxSplitPause = 15 * time.Second
	// splitKeep is how long a ghost stays in the room whose person is behind a netsplit; most are over before. The
	// leaves are spread over splitJitter, because they may be many.
	splitKeep   = 10 * time.Minute
	splitJitter = 5 * time.Minute
	// maxSplit bounds those who are remembered; others leave at once.
	maxSplit = 20000
	// leavesAtOnce is how many leave before other things get their turn.
	leavesAtOnce = 8
)

// splitReason is what a server gives as the reason of the QUIT of who is on the other side of a broken link: the names
// of the two servers. What people say when they quit has "Quit: " or a quotation mark before it.
var splitReason = regexp.MustCompile(`^([A-Za-z0-9*-]+(?:\.[A-Za-z0-9*-]+)+) ([A-Za-z0-9*-]+(?:\.[A-Za-z0-9*-]+)+)$`)

// netsplit reads the reason of a QUIT as a broken link: "a.example <-> b.example".
func netsplit(reason string) (link string, ok bool) {
	parts := splitReason.FindStringSubmatch(strings.TrimSpace(reason))
	if parts == nil || strings.EqualFold(parts[1], parts[2]) || len(reason) > maxSplitReason {
		return "", false
	}
	return parts[1] + " <-> " + parts[2], true
}

// netsplitOf reads a QUIT as a broken link: by its reason, or because the server has it among those of a netsplit, whose names
// the batch has then. IRCv3, "netsplit and netjoin batch types".
func (c *client) netsplitOf(m message) (link string, ok bool) {
	if link, ok := netsplit(plainText(last(m))); ok {
		return link, true
	}
	_, ref := m.GetTag("batch")
	b := c.batches[ref]
	if b == nil || b.kind != "netsplit" || len(b.params) < 2 {
		return "", false
	}
	return netsplit(b.params[0] + " " + b.params[1])
}

// maxSplitReason is the length of two host names.
const maxSplitReason = 2*63 + 1

// splits are the netsplits of a channel that are not over.
type splits struct {
	away  map[string]splitAway // by folded nick
	count map[string]*splitCount
}

// splitAway is somebody behind a broken link, whose ghost is in the room.
type splitAway struct {
	nick, link string
	until      time.Time
}

// splitCount is what the room has not been told of a link.
type splitCount struct {
	left, back  int
	first, last time.Time
}

func (c *splitCount) due() time.Time {
	at := c.last.Add(splitPause)
	if latest := c.first.Add(maxSplitPause); latest.Before(at) {
		return latest
	}
	return at
}

// due is when there is something to do, or zero.
func (s *splits) due() time.Time {
	var at time.Time
	sooner := func(t time.Time) {
		if at.IsZero() || t.Before(at) {
			at = t
		}
	}
	for _, c := range s.count {
		sooner(c.due())
	}
	for _, a := range s.away {
		sooner(a.until)
	}
	return at
}

// tally returns the count of a link.
func (s *splits) tally(link string, now time.Time) *splitCount {
	c, ok := s.count[link]
	if !ok {
		if s.count == nil {
			s.count = map[string]*splitCount{}
		}
		c = &splitCount{first: now}
		s.count[link] = c
	}
	c.last = now
	return c
}

// leave takes somebody as away until then, and false if that are too many.
func (s *splits) leave(key, nick, link string, now, until time.Time) bool {
	if _, again := s.away[key]; !again && len(s.away) >= maxSplit {
		return false
	}
	if s.away == nil {
		s.away = map[string]splitAway{}
	}
	s.away[key] = splitAway{nick: nick, link: link, until: until}
	s.tally(link, now).left++
	return true
}

// splitEnd is when somebody leaves the room who is behind a netsplit from now on.
func (t timing) splitEnd(now time.Time) time.Time {
	return now.Add(t.splitKeep + rand.N(t.splitJitter))
}

// comeBack reports whether somebody was away, and takes them as back.
func (s *splits) comeBack(key string, now time.Time) bool {
	a, was := s.away[key]
	if was {
		delete(s.away, key)
		s.tally(a.link, now).back++
	}
	return was
}

// giveUp forgets what is due. Those who are away leave with the next list of names.
func (s *splits) giveUp() {
	now := time.Now()
	maps.DeleteFunc(s.count, func(_ string, c *splitCount) bool { return !c.due().After(now) })
	maps.DeleteFunc(s.away, func(_ string, a splitAway) bool { return !a.until.After(now) })
}

// splitItem is somebody who is gone with a broken link.
type splitItem struct{ nick, link, reason string }

func (splitItem) stateful() {}

func (s splitItem) deliver(ctx context.Context, l *lane, portal *bridgev2.Portal) error {
	now := time.Now()
	if l.scene.splits.leave(l.net.ids.fold.Fold(s.nick), s.nick, s.link, now, l.net.timing.splitEnd(now)) {
		return nil
	}
	return leaveItem{nick: s.nick, how: "Quit", words: s.reason}.deliver(ctx, l, portal)
}

// notTheSame lets the ghost leave whose person is behind a netsplit, when somebody else has come by their nick.
func (l *lane) notTheSame(ctx context.Context, portal *bridgev2.Portal, j joinItem) error {
	key := l.net.ids.fold.Fold(j.nick)
	a, away := l.scene.splits.away[key]
	comes := l.net.ids.ghost(j.nick)
	if j.account != "" {
		comes = l.net.ids.accountGhost(j.account)
	}
	if !away || !j.told || comes == l.ghostID(j.nick) {
		return nil
	}
	if err := l.leave(ctx, portal, a.nick, "Netsplit "+a.link); err != nil {
		return err
	}
	delete(l.scene.splits.away, key)
	return nil
}

// foldSplits tells the room of netsplits in one line each, and lets those leave who did not come back.
func (l *lane) foldSplits(ctx context.Context, portal *bridgev2.Portal, now time.Time) error {
	s := &l.scene.splits
	for _, link := range slices.Sorted(maps.Keys(s.count)) {
		c := s.count[link]
		if c.due().After(now) {
			continue
		}
		if err := (noticeItem{text: c.text(link)}).deliver(ctx, l, portal); err != nil {
			return err
		}
		delete(s.count, link)
	}
	left := 0
	for key, a := range s.away {
		if a.until.After(now) {
			continue
		}
		if left++; left > leavesAtOnce {
			break
		}
		if err := l.leave(ctx, portal, a.nick, "Netsplit "+a.link); err != nil {
			return err
		}
		delete(s.away, key)
	}
	return nil
}

// text is the line for the room.
func (c *splitCount) text(link string) string {
	text := "Netsplit " + link + ": "
	switch {
	case c.left > 0 && c.back > 0:
		return text + people(c.left) + " left, " + people(c.back) + " came back."
	case c.back > 0:
		return text + people(c.back) + " came back."
	}
	return text + people(c.left) + " left."
}

func people(n int) string {
	if n == 1 {
		return "1 person"
	}
	return fmt.Sprintf("%d people", n)
}
