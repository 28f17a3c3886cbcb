package e2e

import (
	"slices"
	"testing"

	"github.com/ergochat/irc-go/ircmsg"
)

// kept is what makes the IRC bridge of an installation leave its connections to the next process.
const kept = "    handover: 30s\n"

// TestHandOver ends the server in the middle of a conversation and starts it again, with and without leave to say goodbye:
// nobody on IRC sees anybody go or come, and every line comes once and in order, both ways, although this IRC server
// keeps no history.
func TestHandOver(t *testing.T) {
	for _, test := range []struct {
		name, isolation string
		end             func(t *testing.T, c *causeway)
	}{
		{"stopped", "", func(t *testing.T, c *causeway) { c.stop(t) }},
		{"killed", "", func(_ *testing.T, c *causeway) { c.kill() }},
		{"killed with a process of the bridge", isolated, func(_ *testing.T, c *causeway) { c.kill() }},
	} {
		t.Run(test.name, func(t *testing.T) {
			irc := startNgircd(t)
			server := startServer(t, options{networks: ircNetwork(network, irc.address) + test.isolation + kept})
			endHolder(t, server)
			m := meetOn(t, server, irc)
			talk := m.talkOn(t)
			onIRC := m.ida.lines.position()
			for range kills {
				fromMary, fromIan := talk.heardOfMary(), m.mike.events.position()
				talk.awaitMary(fromMary + linesBetweenKills)
				m.mike.events.awaitCount(t, fromIan, "lines from ian for mike", linesBetweenKills, talk.isFromIan)
				test.end(t, server)
				server.start()
				for _, c := range m.people() {
					c.must(nil, "retryImmediately")
				}
			}
			fromMary, fromIan := talk.heardOfMary(), m.mike.events.position()
			talk.awaitMary(fromMary + linesBetweenKills)
			m.mike.events.awaitCount(t, fromIan, "lines from ian for mike", linesBetweenKills, talk.isFromIan)
			talk.end()
			talk.checkFromMatrix(t)
			if got := talk.maryOnIRC(); !slices.Equal(got, talk.acked) {
				t.Errorf("IRC heard %d lines of mary, want %d; %s", len(got), len(talk.acked), firstDifference(got, talk.acked))
			}
			last := talk.said[len(talk.said)-1]
			m.mike.events.await(t, talk.from.mike, "ian's last line", func(e matrixEvent) bool {
				return talk.isFromIan(e) && e.text("body") == last
			})
			compareSender(t, "the room's history", talk.history(t, m.mary), string(ghost("ian")), talk.said)
			m.ida.noComings(t, onIRC)
		})
	}
}

// noComings checks that nobody was seen to come or go.
func (c *ircClient) noComings(t *testing.T, position int) {
	t.Helper()
	for _, line := range c.lines.all()[position:] {
		if slices.Contains([]string{"JOIN", "PART", "QUIT", "NICK"}, line.Command) {
			t.Errorf("on IRC was seen %s", describeLine(line))
		}
	}
}

func describeLine(m ircmsg.Message) string { return m.Nick() + " " + m.Command }

// endHolder has the holder of an installation go when the test ends: it is nobody's child.
func endHolder(t *testing.T, c *causeway) {
	t.Helper()
	t.Cleanup(func() {
		cmd := c.command("irc-holder", "--end", c.dir+"/data/bridges/irc-holder.sock")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("end the holder: %v: %s", err, out)
		}
	})
}
