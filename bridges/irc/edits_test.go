package irc

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"causeway/bridges/bridgetest"
)

// Several edits in a short time are one line, of what has changed.
func TestEdits(t *testing.T) {
	t.Parallel()
	m := startModern(t, allCaps, ContentConfig{EditWindow: 2 * time.Second})
	said, _ := m.say("I do like teh cat here")
	edit := func(text string) {
		m.hs.Send(m.alice, m.room, "m.room.message", map[string]any{
			"msgtype": "m.text", "body": "* " + text, "m.new_content": map[string]any{"msgtype": "m.text", "body": text},
			"m.relates_to": map[string]any{"rel_type": "m.replace", "event_id": said.ID},
		})
	}
	edit("I do like the cat here")
	edit("I do like the dog here")
	line := m.expect("PRIVMSG", "#c", "s/teh cat/the dog/")
	msgid := m.echo(line)
	m.settle()
	if reply := m.heard("msgid=C1;+reply="+msgid, "oh"); relation(reply, "m.in_reply_to", "event_id") != string(said.ID) {
		t.Errorf("got relation %v", reply.Content["m.relates_to"])
	}
	// What the same person says after an edit comes after it.
	edit("I do like the dogs here")
	m.hs.Say(m.alice, m.room, "really")
	m.echo(m.expect("PRIVMSG", "#c", "s/dog/dogs/"))
	m.echo(m.expect("PRIVMSG", "#c", "really"))
	m.settle()
	// The bridge's end sends what waits.
	edit("I do like all dogs here")
	m.settle()
	go m.stop()
	m.echo(m.expect("PRIVMSG", "#c", "s/the/all/"))
	m.expect("QUIT", quitMessage)
}

// An edit by somebody else than who has said a message changes nothing on Matrix, so it does not on IRC either, nor what is quoted of it.
func TestEditOfOthers(t *testing.T) {
	ircd := bridgetest.StartNGIRCd(t)
	w := startNew(t, testNetwork(ircd.Address))
	carol := bridgetest.DialIRC(t, ircd.Address, "carol")
	carol.Join("#c")
	alice, bob := w.hs.User("alice"), w.hs.User("bob")
	room := w.join(alice, "#c")
	w.join(bob, "#c")
	said := w.hs.Say(alice, room, "I agree")
	carol.AwaitCount("alice's line", 1, bridgetest.Said("#c", "alice"))
	w.hs.AwaitAcknowledged()
	w.hs.Send(bob, room, "m.room.message", map[string]any{
		"msgtype": "m.text", "body": "* I resign", "m.new_content": map[string]any{"msgtype": "m.text", "body": "I resign"},
		"m.relates_to": map[string]any{"rel_type": "m.replace", "event_id": said.ID},
	})
	w.hs.Send(bob, room, "m.room.message", map[string]any{"msgtype": "m.text", "body": "well", "m.relates_to": inReplyTo(said)})
	if got := bridgetest.Texts(carol.AwaitCount("bob's line", 1, bridgetest.Said("#c", "bob"))); got[0] != `<alice> "I agree": well` {
		t.Errorf("got %q", got)
	}
}

// After a restart the homeserver says what a message was.
func TestEditAfterRestart(t *testing.T) {
	t.Parallel()
	ircd := bridgetest.NewIRCServer(t)
	hs, dir := bridgetest.NewHomeserver(t, "hs.test"), t.TempDir()
	var said *bridgetest.Event
	for run := range 2 {
		m := &modern{world: start(t, hs, dir, testNetwork(ircd.Address)), alice: hs.User("alice")}
		if run == 0 {
			m.room = m.join(m.alice, "#c")
		}
		m.conn = ircd.Accept()
		m.conn.Capable("alice", "server-time")
		m.conn.Joined("alice", "#c", "carol")
		if run == 0 {
			said = hs.Say(m.alice, m.room, "one\ntwo")
			m.expect("PRIVMSG", "#c", "one")
			m.expect("PRIVMSG", "#c", "two")
			m.settle()
			m.stop()
			continue
		}
		hs.Send(m.alice, said.Room, "m.room.message", map[string]any{
			"msgtype": "m.text", "body": "indeed", "m.relates_to": inReplyTo(said),
		})
		m.expect("PRIVMSG", "#c", "<alice> \"one…\": indeed")
		hs.Send(m.alice, said.Room, "m.room.message", map[string]any{
			"msgtype": "m.text", "body": "* x", "m.new_content": map[string]any{"msgtype": "m.text", "body": "one\n2"},
			"m.relates_to": map[string]any{"rel_type": "m.replace", "event_id": said.ID},
		})
		m.expect("PRIVMSG", "#c", "* 2")
		m.settle()
	}
}

// A message that waits is changed where it is, or taken out; an edit of one that was just sent waits for it.
func TestChangesOfWhatWaits(t *testing.T) {
	t.Parallel()
	ircd := bridgetest.NewIRCServer(t)
	cfg := testNetwork(ircd.Address)
	cfg.Flood = FloodConfig{Burst: 3, Interval: 700 * time.Millisecond}
	m := &modern{world: startNew(t, cfg)}
	m.alice = m.hs.User("alice")
	m.room = m.join(m.alice, "#c")
	m.conn = ircd.Accept()
	m.conn.Welcome("alice")
	edit := func(e *bridgetest.Event, text string) {
		m.hs.Send(m.alice, m.room, "m.room.message", map[string]any{
			"msgtype": "m.text", "body": "* " + text, "m.new_content": map[string]any{"msgtype": "m.text", "body": text},
			"m.relates_to": map[string]any{"rel_type": "m.replace", "event_id": e.ID},
		})
	}
	redact := func(e *bridgetest.Event) {
		m.hs.Send(m.alice, m.room, "m.room.redaction", map[string]any{"redacts": e.ID})
	}
	// Before the channel is joined.
	m.conn.Expect("JOIN #c")
	first, second := m.hs.Say(m.alice, m.room, "first"), m.hs.Say(m.alice, m.room, "second")
	edit(first, "the first")
	redact(second)
	m.hs.Say(m.alice, m.room, "third")
	m.awaitWaiting("#c", "the first", "third")
	m.conn.Enter("alice", "#c", "")
	m.expect("PRIVMSG", "#c", "the first")
	m.expect("PRIVMSG", "#c", "third")
	m.settle()

	// In the queue, behind others.
	for range 4 {
		m.hs.Say(m.alice, m.room, "x")
	}
	fourth, fifth := m.hs.Say(m.alice, m.room, "fourth"), m.hs.Say(m.alice, m.room, "fifth")
	edit(fourth, "the fourth")
	redact(fifth)
	for range 4 {
		m.expect("PRIVMSG", "#c", "x")
	}
	m.expect("PRIVMSG", "#c", "the fourth")
	sixth := m.hs.Say(m.alice, m.room, "sixth")
	m.expect("PRIVMSG", "#c", "sixth")
	edit(sixth, "the sixth, which was sent before")
	m.expect("PRIVMSG", "#c", "* the sixth, which was sent before")
	m.settle()
	if got := len(m.hs.Messages(m.room, m.alice)); got != 0 {
		t.Errorf("got %d notices, want none", got)
	}
}

// awaitWaiting waits until these texts are what waits for a channel, and nothing else.
func (m *modern) awaitWaiting(channel string, texts ...string) {
	m.t.Helper()
	m.hs.Await(fmt.Sprint(texts), func() bool {
		got := make(chan []string, 1)
		m.world.conn.networks["net"].running(m.alice).box.add(peek(func(c *client) {
			var waiting []string
			for _, s := range c.channels[channel].waiting {
				waiting = append(waiting, s.lines...)
			}
			got <- waiting
		}))
		return slices.Equal(<-got, texts)
	})
}

// peek looks at a client in its goroutine.
type peek func(c *client)

func (p peek) apply(c *client) { p(c) }
