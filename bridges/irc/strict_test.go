package irc

import (
	"testing"
	"time"

	"causeway/bridges/bridgetest"
)

// strictNetwork has a strict channel.
func strictNetwork(address string) NetworkConfig {
	cfg := testNetwork(address)
	cfg.Strict = StrictConfig{Channels: []string{"#sec*"}, Pause: 20 * time.Millisecond}
	return cfg
}

// Nothing passes while somebody is in the room who is not on the channel: not before their connection is there, not while a
// server cannot see them, not in the moment in which they come.
func TestStrict(t *testing.T) {
	ircd := bridgetest.NewIRCServer(t)
	w := startNew(t, strictNetwork(ircd.Address))
	alice, bob := w.hs.User("alice"), w.hs.User("bob")
	room := w.join(alice, "#secret")
	a := ircd.Accept()
	a.Welcome("alice")
	a.Joined("alice", "#secret", "carol")
	w.hs.AwaitMembership(room, w.ghost("carol"), "join")
	a.Send(":carol!c@host.test PRIVMSG #secret :one")
	w.hs.AwaitText(room, "one")

	// Bob enters the room, and is on his way to the channel.
	w.hs.SetMember(bob, room, bob, "join", "")
	b := ircd.Accept()
	b.Welcome("bob")
	b.Expect("JOIN #secret")
	a.Send(":carol!c@host.test PRIVMSG #secret :not for bob")
	w.awaitNotice(room, "Nothing passes between this room and #secret on net, because not everybody here is on the channel: @bob:hs.test")
	w.hs.AwaitEvent("state", func(e *bridgetest.Event) bool {
		return e.Type == strictState && e.Content["open"] == false
	})
	w.hs.Say(alice, room, "bob reads this")
	w.awaitNotice(room, "#secret is strict, and nothing is sent while somebody here is not on it: @bob:hs.test")

	a.Send(":bob!bob@host.test JOIN #secret")
	b.Enter("bob", "#secret", "alice carol")
	w.awaitNotice(room, "Everybody here is on #secret on net")
	a.Send(":carol!c@host.test PRIVMSG #secret :two")
	w.hs.AwaitText(room, "two")
	w.hs.Say(alice, room, "all read this")
	if line := reads(a, "PRIVMSG"); line != "PRIVMSG #secret :all read this" {
		t.Errorf("got %q", line)
	}
	token := reads(a, "PING :cw-")[len("PING :"):]
	a.Send(":irc.test PONG irc.test :%s", token)

	// A netsplit: the connection that hears does not see bob, whose own knows nothing of it.
	a.Send(":bob!bob@host.test QUIT :a.test b.test")
	a.Send(":carol!c@host.test PRIVMSG #secret :not while split")
	a.Send(":bob!bob@host.test JOIN #secret")
	a.Send(":carol!c@host.test PRIVMSG #secret :three")
	w.hs.AwaitText(room, "three")

	// Somebody joins the room, of which the bridge has not heard when the line comes.
	w.hs.SetBridge(nil, w.bridge.Bot(), w.bridge.Registration().HSToken)
	w.hs.SetMember(w.hs.User("mallory"), room, w.hs.User("mallory"), "join", "")
	a.Send(":carol!c@host.test PRIVMSG #secret :not for mallory")
	w.awaitNotice(room, "not everybody here is on the channel: @mallory:hs.test")
	for _, text := range []string{"not for bob", "not while split", "not for mallory"} {
		for _, e := range w.hs.Messages(room) {
			if e.Text() == text {
				t.Errorf("got %q", text)
			}
		}
	}
}

// A room makes its channel strict, if what was said before is not for who comes later.
func TestStrictCommand(t *testing.T) {
	ircd := bridgetest.NewIRCServer(t)
	hs, dir := bridgetest.NewHomeserver(t, "hs.test"), t.TempDir()
	w := start(t, hs, dir, testNetwork(ircd.Address))
	alice := w.hs.User("alice")
	room := w.join(alice, "#c")
	w.hs.Say(alice, room, "!irc strict on")
	w.awaitNotice(room, "That is for those in this room to decide")
	w.hs.SendState(w.bridge.Bot(), room, "m.room.power_levels", "", map[string]any{"users": map[string]any{string(alice): 50}})
	w.hs.SendState(alice, room, "m.room.history_visibility", "", map[string]any{"history_visibility": "shared"})
	w.hs.Say(alice, room, "!irc strict on")
	w.awaitNotice(room, "That would be of no use")
	w.hs.SendState(alice, room, "m.room.history_visibility", "", map[string]any{"history_visibility": "joined"})
	w.hs.Say(alice, room, "!irc strict on")
	w.awaitNotice(room, "is strict from now on")
	w.hs.AwaitAcknowledged()
	w.stop()
	w = start(t, hs, dir, testNetwork(ircd.Address))
	w.hs.Say(alice, room, "!irc strict")
	w.awaitNotice(room, "is strict: nothing passes")
	w.hs.Say(alice, room, "!irc plumb net #other")
	w.awaitNotice(room, "cannot be connected with")
	w.hs.Say(alice, room, "!irc strict off")
	w.awaitNotice(room, "is not strict any more")
}
