package irc

import (
	"testing"
	"testing/synctest"

	"maunium.net/go/mautrix/bridgev2/status"

	"causeway/bridges/bridgetest"
)

// A login is called by the nick that its owner has, or wants, on the pages and in the bridge's state.
func TestRemoteName(t *testing.T) {
	ircd := bridgetest.NewIRCServer(t)
	hs, dir := bridgetest.NewHomeserver(t, "hs.test"), t.TempDir()
	w := start(t, hs, dir, testNetwork(ircd.Address))
	alice := hs.User("alice")
	w.manage(alice)
	called := func(want string) {
		t.Helper()
		w.hs.Say(alice, dm, "version") // what is awaited below follows an event
		w.hs.Await("name "+want, func() bool {
			login := w.conn.br.GetCachedUserLoginByID(loginID("net", alice))
			return login != nil && login.FillBridgeState(status.BridgeState{}).RemoteName == want
		})
	}
	w.hs.Say(alice, dm, "nick net wonder")
	w.awaitText(dm, "You will be `wonder` on net")
	called("wonder on net")
	w.join(alice, "#c")
	conn := ircd.Accept()
	conn.Expect("CAP LS 302")
	conn.Expect("NICK wonder")
	conn.Expect("USER *")
	conn.Send(":irc.test 433 * wonder :in use")
	conn.Expect("NICK wonder_")
	conn.Greet("wonder_")
	conn.Joined("wonder_", "#c", "")
	w.hs.AwaitAcknowledged()
	called("wonder_ on net")
	conn.Send(":wonder_!a@host.test NICK guest7")
	conn.Send("PING :renamed")
	conn.Expect("PONG :renamed")
	called("guest7 on net")
	w.stop()
	w = start(t, hs, dir, testNetwork(ircd.Address))
	ircd.Accept()
	if got := w.conn.br.GetCachedUserLoginByID(loginID("net", alice)).RemoteName; got != "wonder on net" {
		t.Errorf("got name %q after a restart", got)
	}
}

// A change of nick is a change of the bridge's state, once the connection is good.
func TestNameIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, quick)
		s := b.accept()
		s.welcome()
		s.send(":alice!a@h NICK guest7")
		synctest.Wait()
		if len(b.states) != 2 || b.states[1].StateEvent != status.StateConnected {
			t.Errorf("got states %v", b.states)
		}
	})
}
