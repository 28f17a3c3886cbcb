package irc

import (
	"slices"
	"testing"
	"time"

	"causeway/bridges/bridgetest"
)

// probe runs in the goroutine of a client.
type probe func(c *client)

func (p probe) apply(c *client) { p(c) }

// awaitTaken waits until a client has taken a message.
func awaitTaken(t *testing.T, c *client, text string) {
	t.Helper()
	for taken := false; !taken; {
		answer := make(chan bool)
		c.box.add(probe(func(c *client) {
			has := false
			for _, m := range c.channels {
				has = has || slices.ContainsFunc(m.waiting, func(s *send) bool { return s.lines[0] == text })
			}
			answer <- has
		}))
		select {
		case taken = <-answer:
		case <-time.After(bridgetest.Patience):
			t.Fatal("the client does not take the message")
		}
	}
}

// A client that was disconnected is not handed out again, and what it had left has failed.
func TestDisconnect(t *testing.T) {
	t.Parallel()
	ircd := bridgetest.NewIRCServer(t)
	w := startNew(t, testNetwork(ircd.Address))
	alice := w.hs.User("alice")
	room := w.join(alice, "#c")
	conn := ircd.Accept()
	conn.Welcome("alice")
	conn.Expect("JOIN #c")
	w.hs.Say(alice, room, "waits for the JOIN")
	old := w.conn.networks["net"].running(alice)
	awaitTaken(t, old, "waits for the JOIN")
	w.conn.br.GetCachedUserLoginByID(loginID("net", alice)).Client.Disconnect()
	w.awaitNotice(room, "your connection to net has ended")
	w.hs.Say(alice, room, "nobody there")
	w.awaitNotice(room, "you are not connected to net")
	w.hs.AwaitAcknowledged()
	if old.box.add(&send{}) {
		t.Error("the mailbox of a client that has ended takes a message")
	}
	w.hs.SetMember(alice, room, alice, "leave", "")
	w.hs.SetMember(alice, room, alice, "join", "")
	conn = ircd.Accept()
	conn.Welcome("alice")
	conn.Joined("alice", "#c", "")
	w.hs.Say(alice, room, "back")
	conn.Expect("PRIVMSG #c :back")
	conn.Pong()
	w.hs.AwaitAcknowledged()
}

// A room of a network that was taken out of the configuration says so.
func TestNetworkRemoved(t *testing.T) {
	t.Parallel()
	ircd := bridgetest.NewIRCServer(t)
	hs, dir := bridgetest.NewHomeserver(t, "hs.test"), t.TempDir()
	w := start(t, hs, dir, testNetwork(ircd.Address))
	alice := hs.User("alice")
	room := w.join(alice, "#c")
	conn := ircd.Accept()
	conn.Welcome("alice")
	conn.Joined("alice", "#c", "")
	first := hs.Say(alice, room, "hello")
	conn.Expect("PRIVMSG #c :hello")
	conn.Pong()
	hs.AwaitAcknowledged()
	w.stop()

	w = startConfig(t, hs, dir, Config{})
	hs.Send(alice, room, "m.room.message", map[string]any{
		"msgtype": "m.text", "body": "a reply",
		"m.relates_to": map[string]any{"m.in_reply_to": map[string]any{"event_id": string(first.ID)}},
	})
	w.awaitNotice(room, "the bridge has no network net any more")
	hs.AwaitAcknowledged()
}
