package e2e

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/ergochat/irc-go/ircmsg"
	"maunium.net/go/mautrix/id"
)

const (
	network = "test"  // the IRC network's name in the configuration
	channel = "#talk" // the channel in which most tests talk

	// linesEach is how much each of the two senders on a side says: 500 lines
	// each way.
	linesEach = 250
)

// channelAlias is the alias by which a Matrix client joins a channel.
func channelAlias(network, channel string) string {
	return "#irc_" + network + "_" + channel + ":" + serverName
}

// ghost is the Matrix user who stands for a nick.
func ghost(nick string) id.UserID {
	return id.UserID("@irc_" + network + "_" + nick + ":" + serverName)
}

// meeting is two Matrix users and two IRC users who talk in one channel, and one
// who listens.
type meeting struct {
	irc        *ircServer
	server     *causeway
	node       *nodeHost
	mary, mike *matrixClient
	mona       *matrixClient // only reads, and her client has to fill gaps
	ian, ida   *ircClient
	roomID     id.RoomID
	nicks      map[*matrixClient]string // of the Matrix users on IRC
}

// meet starts everything and returns when all four see each other.
func meet(t *testing.T, database string) *meeting {
	t.Helper()
	irc := startNgircd(t)
	return meetThrough(t, database, irc, irc.address)
}

// meetThrough is meet with an address of its own at which the bridge, and only
// the bridge, finds the IRC server.
func meetThrough(t *testing.T, database string, irc *ircServer, address string) *meeting {
	t.Helper()
	return meetOn(t, startServer(t, options{database: database, networks: ircNetwork(network, address)}), irc)
}

// meetOn is meet on servers that run.
func meetOn(t *testing.T, server *causeway, irc *ircServer) *meeting {
	t.Helper()
	m := &meeting{irc: irc, server: server, nicks: map[*matrixClient]string{}}
	m.node = startNode(t)
	m.mary, m.mike = m.server.register(m.node, "mary"), m.server.register(m.node, "mike")
	m.mona = m.server.registerWithLimit(m.node, "mona", 0)
	m.ian, m.ida = connectIRC(t, m.irc.address, "ian"), connectIRC(t, m.irc.address, "ida")
	m.ian.join(channel)
	m.ida.join(channel)

	m.roomID = m.mary.joinRoom(channelAlias(network, channel))
	for _, c := range m.people() {
		if got := c.joinRoom(channelAlias(network, channel)); got != m.roomID {
			t.Fatalf("%s's room is %s, mary's was %s", c.name, got, m.roomID)
		}
		m.nicks[c] = m.ian.awaitPuppet(0, c.name)
		m.ida.awaitPuppet(0, c.name)
		for _, nick := range []string{"ian", "ida"} {
			c.awaitMembership(0, m.roomID, ghost(nick), "join")
		}
	}
	return m
}

// people are the Matrix users.
func (m *meeting) people() []*matrixClient { return []*matrixClient{m.mary, m.mike, m.mona} }

// awaitPuppet waits until a Matrix user has joined the channel and returns the
// nick, which begins with the user's name.
func (c *ircClient) awaitPuppet(position int, name string) string {
	c.t.Helper()
	m := c.lines.await(c.t, position, "JOIN of "+name+"'s puppet", func(m ircmsg.Message) bool {
		return m.Command == "JOIN" && strings.HasPrefix(strings.ToLower(m.Nick()), name)
	})
	return m.Nick()
}

// script is what a sender says: lines that differ, in a script that is not
// ASCII, with what a bridge could take for markup.
func script(sender string, lines int) []string {
	all := make([]string, lines)
	for i := range all {
		all[i] = fmt.Sprintf("%s says line %03d of %d: *żółw* <b>%c</b> :-)", sender, i, lines, 'α'+rune(i%24))
	}
	return all
}

func TestTalk(t *testing.T) {
	onEngines(t, func(t *testing.T, database string) {
		m := meet(t, database)
		t.Run("500 lines each way", m.testLines)
		t.Run("message types", m.testMessageTypes)
		t.Run("long texts", m.testLongTexts)
		t.Run("topic", m.testTopic)
		t.Run("coming and going", m.testMembership)
	})
}

// testLines has all four talk at once, as fast as they can, and looks at what
// each of them, and the room's history, got from each other.
func (m *meeting) testLines(t *testing.T) {
	talkers := []*matrixClient{m.mary, m.mike}
	nicks := []*ircClient{m.ian, m.ida}
	heardBefore := map[any]int{}
	for _, c := range m.people() {
		heardBefore[c] = c.events.position()
	}
	for _, c := range nicks {
		heardBefore[c] = c.lines.position()
	}
	var senders sync.WaitGroup
	for _, c := range talkers {
		senders.Go(func() {
			for _, line := range script(c.name, linesEach) {
				if _, err := c.send(m.roomID, "m.text", line); err != nil {
					t.Errorf("%s sends %q: %v", c.name, line, err)
					return
				}
			}
		})
	}
	for _, c := range nicks {
		senders.Go(func() {
			for _, line := range script(c.nick, linesEach) {
				c.say(channel, line)
			}
		})
	}
	senders.Wait()

	fromMatrix, fromIRC := map[string][]string{}, map[string][]string{}
	onIRC, onMatrix := map[string][]string{}, map[string][]string{}
	for _, c := range talkers {
		fromMatrix[m.nicks[c]] = script(c.name, linesEach)
		onMatrix[string(c.userID)] = script(c.name, linesEach)
	}
	for _, c := range nicks {
		fromIRC[string(ghost(c.nick))] = script(c.nick, linesEach)
		onMatrix[string(ghost(c.nick))] = script(c.nick, linesEach)
		onIRC[c.nick] = script(c.nick, linesEach)
	}
	for _, c := range nicks {
		want := map[string][]string{}
		for nick, lines := range fromMatrix {
			want[nick] = lines
		}
		for nick, lines := range onIRC {
			if nick != c.nick { // IRC has no echo
				want[nick] = lines
			}
		}
		c.lines.awaitCount(t, heardBefore[c], "lines for "+c.nick, 3*linesEach, func(line ircmsg.Message) bool {
			return line.Command == "PRIVMSG"
		})
		compareSpoken(t, "IRC user "+c.nick, c.heard(heardBefore[c], channel), want)
	}
	for _, c := range m.people() {
		c.events.awaitCount(t, heardBefore[c], "messages for "+c.name, 4*linesEach, func(e matrixEvent) bool {
			return e.Type == "m.room.message"
		})
		compareSpoken(t, "Matrix user "+c.name, c.heard(heardBefore[c], m.roomID), onMatrix)
	}
	compareSpoken(t, "the room's history", m.history(t, m.mary), onMatrix)
}

// history is every text message of the room, oldest first, as /messages has it.
func (m *meeting) history(t *testing.T, c *matrixClient) []spoken {
	t.Helper()
	var all []spoken
	for from := any(nil); ; {
		var page struct {
			Chunk []matrixEvent `json:"chunk"`
			End   string        `json:"end"`
		}
		c.must(&page, "createMessagesRequest", m.roomID, from, 100, "b")
		for _, e := range page.Chunk {
			if e.Type == "m.room.message" && e.text("msgtype") == "m.text" {
				all = append(all, spoken{string(e.Sender), e.text("body")})
			}
		}
		if page.End == "" {
			slices.Reverse(all)
			return all
		}
		from = page.End
	}
}

// compareSpoken checks that exactly these lines were heard: by sender, once, and
// each sender's in order.
func compareSpoken(t *testing.T, who string, heard []spoken, want map[string][]string) {
	t.Helper()
	got := map[string][]string{}
	for _, line := range heard {
		got[line.sender] = append(got[line.sender], line.text)
	}
	for sender := range got {
		if want[sender] == nil {
			t.Errorf("%s heard %d lines from %s, want none; the first is %q", who, len(got[sender]), sender, got[sender][0])
		}
	}
	for sender, lines := range want {
		if !slices.Equal(got[sender], lines) {
			t.Errorf("%s heard %d lines from %s, want %d; %s", who, len(got[sender]), sender, len(lines), firstDifference(got[sender], lines))
		}
	}
}

func firstDifference(got, want []string) string {
	for i := range max(len(got), len(want)) {
		switch {
		case i >= len(got):
			return fmt.Sprintf("missing from line %d on: %q", i, want[i])
		case i >= len(want):
			return fmt.Sprintf("more than was sent: %q", got[i])
		case got[i] != want[i]:
			return fmt.Sprintf("line %d is %q, want %q", i, got[i], want[i])
		}
	}
	return "the same"
}

func (m *meeting) testMessageTypes(t *testing.T) {
	tests := []struct {
		msgtype string
		say     func(c *ircClient, target, text string)
		command string
		onIRC   string // the line's text, with the place of what was said
	}{
		{"m.text", (*ircClient).say, "PRIVMSG", "%s"},
		{"m.notice", (*ircClient).notice, "NOTICE", "%s"},
		{"m.emote", (*ircClient).action, "PRIVMSG", "\x01ACTION %s\x01"},
	}
	for _, test := range tests {
		t.Run(test.msgtype, func(t *testing.T) {
			const text = "waves to the other side"
			onIRC, onMatrix := m.ian.lines.position(), m.mike.events.position()
			if _, err := m.mary.send(m.roomID, test.msgtype, text); err != nil {
				t.Fatal(err)
			}
			m.ian.awaitFrom(onIRC, m.nicks[m.mary], test.command, channel, fmt.Sprintf(test.onIRC, text))
			test.say(m.ida, channel, text+" too")
			m.mike.awaitMessage(onMatrix, ghost("ida"), test.msgtype, text+" too")
		})
	}
}

// testLongTexts sends what does not fit in one line of IRC.
func (m *meeting) testLongTexts(t *testing.T) {
	tests := []struct {
		name, text string
	}{
		{"many words", strings.TrimSpace(strings.Repeat("zażółć gęślą jaźń 🐢 ", 60))},
		{"one word", strings.Repeat("Ж🐢", 300)},
		{"several lines", "first line\nsecond line\nthird line"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			const after = "after the long text"
			start := m.ian.lines.position()
			for _, text := range []string{test.text, after} {
				if _, err := m.mary.send(m.roomID, "m.text", text); err != nil {
					t.Fatal(err)
				}
			}
			m.ian.awaitFrom(start, m.nicks[m.mary], "PRIVMSG", channel, after)
			var pieces []string
			for _, line := range m.ian.heard(start, channel) {
				if line.sender == m.nicks[m.mary] && line.text != after {
					pieces = append(pieces, line.text)
				}
			}
			if len(pieces) < 2 {
				t.Fatalf("ian heard it in %d pieces, want several: %q", len(pieces), pieces)
			}
			// Which white space a split takes away is the bridge's choice.
			got := strings.Join(strings.Fields(strings.Join(pieces, " ")), "")
			want := strings.Join(strings.Fields(test.text), "")
			if got != want {
				t.Errorf("ian heard %q, want the text of %q", pieces, test.text)
			}
			for _, piece := range pieces {
				if strings.ContainsRune(piece, '\uFFFD') {
					t.Errorf("%q was cut in the middle of a character", piece)
				}
			}
		})
	}
}

func (m *meeting) testTopic(t *testing.T) {
	onMatrix := m.mike.events.position()
	m.ian.send("TOPIC", channel, "tea at five")
	m.mike.await(onMatrix, "topic", func(e matrixEvent) bool {
		return e.isState("m.room.topic", "") && e.text("topic") == "tea at five"
	})
	onIRC := m.ida.lines.position()
	if err := m.mary.call(nil, "setRoomTopic", m.roomID, "coffee at four"); err != nil {
		t.Fatal(err)
	}
	m.ida.awaitFrom(onIRC, m.nicks[m.mary], "TOPIC", channel, "coffee at four")
}

// testMembership has a third person on IRC come, change nick, part, and quit, and
// a Matrix user leave and come back.
func (m *meeting) testMembership(t *testing.T) {
	start := m.mike.events.position()
	ira := connectIRC(t, m.irc.address, "ira")
	ira.join(channel)
	m.mike.awaitMembership(start, m.roomID, ghost("ira"), "join")

	start = m.mike.events.position()
	ira.send("NICK", "irma")
	m.mike.awaitMembership(start, m.roomID, ghost("ira"), "leave")
	m.mike.awaitMembership(start, m.roomID, ghost("irma"), "join")
	start = m.mike.events.position()
	ira.say(channel, "I have a new nick")
	m.mike.awaitMessage(start, ghost("irma"), "m.text", "I have a new nick")

	start = m.mike.events.position()
	ira.send("PART", channel, "for a while")
	m.mike.awaitMembership(start, m.roomID, ghost("irma"), "leave")

	start = m.mike.events.position()
	ira.join(channel)
	m.mike.awaitMembership(start, m.roomID, ghost("irma"), "join")
	start = m.mike.events.position()
	ira.send("QUIT", "for good")
	m.mike.awaitMembership(start, m.roomID, ghost("irma"), "leave")

	onIRC := m.ian.lines.position()
	m.mary.must(nil, "leave", m.roomID)
	m.ian.lines.await(t, onIRC, "PART or QUIT of "+m.nicks[m.mary], func(line ircmsg.Message) bool {
		return line.Nick() == m.nicks[m.mary] && (line.Command == "PART" || line.Command == "QUIT")
	})
	onIRC = m.ian.lines.position()
	if got := m.mary.joinRoom(channelAlias(network, channel)); got != m.roomID {
		t.Errorf("mary came back to %s, want %s", got, m.roomID)
	}
	m.ian.awaitPuppet(onIRC, m.mary.name)
}

// TestFirstPrivateMessage has somebody on IRC write to a person who has not talked with them: what they write makes the chat, and is read in it.
func TestFirstPrivateMessage(t *testing.T) {
	irc := startNgircd(t)
	server := startServer(t, options{networks: ircNetwork(network, irc.address)})
	ian := connectIRC(t, irc.address, "ian")
	ian.join(channel)
	mary := server.registerHTTP(t, "mary")
	awaitTrue(t, "the room of the channel", func() bool {
		return server.do(t, "POST", "/_matrix/client/v3/join/"+url.PathEscape(channelAlias(network, channel)), mary, map[string]any{}).status == 200
	})
	ian.say(ian.awaitPuppet(0, "mary"), "a private word")
	var synced struct {
		Rooms struct{ Invite map[string]any }
	}
	awaitTrue(t, "the invitation", func() bool {
		server.do(t, "GET", "/_matrix/client/v3/sync", mary, nil).decode(t, &synced)
		return len(synced.Rooms.Invite) == 1
	})
	for room := range synced.Rooms.Invite {
		server.do(t, "POST", "/_matrix/client/v3/rooms/"+room+"/join", mary, map[string]any{}).decode(t, &struct{}{})
		awaitTrue(t, "what ian wrote", func() bool {
			return server.do(t, "GET", "/_matrix/client/v3/rooms/"+room+"/messages?dir=b&limit=20", mary, nil).contains("a private word")
		})
	}
}
