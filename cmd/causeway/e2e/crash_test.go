package e2e

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/ergochat/irc-go/ircmsg"
)

const (
	// kills is how often the server is killed while people talk.
	kills = 3
	// linesBetweenKills is how many lines cross before the next kill, and after
	// the last one.
	linesBetweenKills = 100

	// maxInFlight is how many lines of a room the bridge has on their way at most:
	// sent, but not yet known to have reached the IRC server, or not yet noted.
	// After a kill these are sent again. IRC has no message ids by which the
	// second copy could be recognised.
	maxInFlight = 64
)

// TestKill kills the server in the middle of a conversation, with kill -9, and
// starts it again: nothing that a sender saw acknowledged is lost.
func TestKill(t *testing.T) {
	onEngines(t, func(t *testing.T, database string) {
		m := meet(t, database)
		talk := m.talkOn(t)
		for range kills {
			fromMary, fromIan := talk.heardOfMary(), m.mike.events.position()
			talk.awaitMary(fromMary + linesBetweenKills)
			m.mike.events.awaitCount(t, fromIan, "lines from ian for mike", linesBetweenKills, talk.isFromIan)
			onIRC := m.ian.lines.position()
			m.server.kill()
			m.server.start()
			for _, c := range m.people() {
				// As an application does when it knows that the network is back,
				// rather than to wait for the SDK's next look.
				c.must(nil, "retryImmediately")
				m.ian.awaitPuppet(onIRC, c.name)
			}
		}
		fromMary, fromIan := talk.heardOfMary(), m.mike.events.position()
		talk.awaitMary(fromMary + linesBetweenKills)
		m.mike.events.awaitCount(t, fromIan, "lines from ian for mike", linesBetweenKills, talk.isFromIan)
		talk.end()
		talk.checkFromMatrix(t)
		talk.checkFromIRC(t)
	})
}

// conversation is a Matrix user and an IRC user who talk without end.
type conversation struct {
	*meeting
	from struct{ ian, ida, mike int } // the positions of journals at the beginning

	quit    chan struct{}
	senders sync.WaitGroup

	mu    sync.Mutex // guards acked and said
	acked []string   // what mary said and the server acknowledged
	said  []string   // what ian said
}

// talkOn lets mary and ian talk until end. Mary's client repeats what gets no
// answer. Ian says his next line when mike, or else mary, has said or seen one,
// so that there is no more of him than of her.
func (m *meeting) talkOn(t *testing.T) *conversation {
	talk := &conversation{meeting: m, quit: make(chan struct{})}
	talk.from.ian, talk.from.ida, talk.from.mike = m.ian.lines.position(), m.ida.lines.position(), m.mike.events.position()
	acks := make(chan struct{}, 1)
	talk.senders.Go(func() {
		defer close(acks)
		for i := 0; ; i++ {
			select {
			case <-talk.quit:
				return
			default:
			}
			line := fmt.Sprintf("mary's line %05d", i)
			if _, err := m.mary.sendUntilAcknowledged(m.roomID, "m.text", line); err != nil {
				t.Errorf("mary sends %q: %v", line, err)
				return
			}
			talk.mu.Lock()
			talk.acked = append(talk.acked, line)
			talk.mu.Unlock()
			select {
			case acks <- struct{}{}:
			default:
			}
		}
	})
	talk.senders.Go(func() {
		i := 0
		for range acks {
			line := fmt.Sprintf("ian's line %05d", i)
			talk.mu.Lock()
			talk.said = append(talk.said, line)
			talk.mu.Unlock()
			m.ian.say(channel, line)
			i++
		}
	})
	t.Cleanup(talk.end)
	return talk
}

// end returns when both have stopped.
func (c *conversation) end() {
	c.mu.Lock()
	select {
	case <-c.quit:
	default:
		close(c.quit)
	}
	c.mu.Unlock()
	c.senders.Wait()
}

// maryOnIRC is what ida heard from mary, in order.
func (c *conversation) maryOnIRC() []string {
	var lines []string
	for _, line := range c.ida.heard(c.from.ida, channel) {
		if isPuppet(line.sender, c.mary) {
			lines = append(lines, line.text)
		}
	}
	return lines
}

func (c *conversation) heardOfMary() int { return len(c.maryOnIRC()) }

func (c *conversation) awaitMary(count int) {
	c.server.t.Helper()
	c.ida.lines.awaitCount(c.server.t, c.from.ida, "lines from mary for ida", count, func(m ircmsg.Message) bool {
		return m.Command == "PRIVMSG" && isPuppet(m.Nick(), c.mary)
	})
}

func (c *conversation) isFromIan(e matrixEvent) bool {
	return e.Type == "m.room.message" && e.Sender == ghost("ian")
}

// checkFromMatrix checks mary's lines: all that were acknowledged are on IRC, in
// order, with no more repetitions than kills explain, and once in the room.
func (c *conversation) checkFromMatrix(t *testing.T) {
	last := c.acked[len(c.acked)-1]
	for _, irc := range []*ircClient{c.ian, c.ida} {
		irc.lines.await(t, c.from.ida, "mary's last line", func(m ircmsg.Message) bool {
			return m.Command == "PRIVMSG" && m.Params[1] == last
		})
	}
	var once []string
	heard := c.maryOnIRC()
	for _, line := range heard {
		if !slices.Contains(once, line) {
			once = append(once, line)
		}
	}
	if !slices.Equal(once, c.acked) {
		t.Errorf("IRC heard %d different lines from mary, want %d; %s", len(once), len(c.acked), firstDifference(once, c.acked))
	}
	checkRepetitions(t, heard, c.acked)
	compareSender(t, "the room's history", c.history(t, c.mary), string(c.mary.userID), c.acked)
	compareSender(t, "mike", c.mike.heard(c.from.mike, c.roomID), string(c.mary.userID), c.acked)
}

// checkRepetitions checks that lines came a second time only as kills explain it:
// after each, those that were in flight, in order again.
func checkRepetitions(t *testing.T, heard, said []string) {
	t.Helper()
	stepsBack, doubled, latest := 0, 0, -1
	for i, line := range heard {
		number := slices.Index(said, line)
		if i > 0 && number <= slices.Index(said, heard[i-1]) {
			stepsBack++
			if back := latest - number + 1; back > maxInFlight {
				t.Errorf("IRC heard %q again after %d more, want at most %d", line, back-1, maxInFlight-1)
			}
		}
		if number <= latest {
			doubled++
		}
		latest = max(latest, number)
	}
	if stepsBack > kills {
		t.Errorf("IRC heard lines again %d times, want at most %d, once for each kill", stepsBack, kills)
	}
	t.Logf("mary said %d lines, of which %d came twice after %d kills", len(said), doubled, kills)
}

// checkFromIRC checks ian's lines: what mike saw is in the room's history still,
// once and in order. What ian said while the bridge was not there is lost: an IRC
// server of this kind does not keep it.
func (c *conversation) checkFromIRC(t *testing.T) {
	var seen []string
	for _, line := range c.mike.heard(c.from.mike, c.roomID) {
		if line.sender == string(ghost("ian")) {
			seen = append(seen, line.text)
		}
	}
	compareSender(t, "the room's history", c.history(t, c.mary), string(ghost("ian")), seen)
	position := 0
	for _, line := range seen {
		next := slices.Index(c.said[position:], line)
		if next < 0 {
			t.Errorf("mike saw %q out of order, twice, or though ian never said it", line)
			return
		}
		position += next + 1
	}
}

// isPuppet reports whether a nick is that of a Matrix user. After a kill the nick
// may have a suffix: the IRC server may not know yet that the old one is gone.
func isPuppet(nick string, user *matrixClient) bool {
	return strings.HasPrefix(strings.ToLower(nick), user.name)
}

// compareSender checks what one sender said.
func compareSender(t *testing.T, who string, heard []spoken, sender string, want []string) {
	t.Helper()
	var got []string
	for _, line := range heard {
		if line.sender == sender {
			got = append(got, line.text)
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("%s has %d lines of %s, want %d; %s", who, len(got), sender, len(want), firstDifference(got, want))
	}
}
