package irc

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/ergochat/irc-go/ircmsg"

	"causeway/bridges/bridgetest"
)

// A real server takes our WEBIRC, and shows each user by the host and address that we say.
func TestWebIRCWithNGIRCd(t *testing.T) {
	ircd := bridgetest.StartNGIRCd(t, "WebircPassword = gate-word")
	cfg := testNetwork(ircd.Address)
	cfg.WebIRC = WebIRCConfig{Password: "gate-word", Host: "{localpart}.users.test"}
	w := startNew(t, cfg)
	room := w.join(w.hs.User("alice"), "#c")
	carol := bridgetest.DialIRC(t, ircd.Address, "carol")
	carol.Join("#c")
	w.hs.AwaitMembership(room, w.ghost("carol"), "join")
	w.hs.Say(w.hs.User("alice"), room, "hello")
	line := carol.Await("hello", func(m ircmsg.Message) bool { return m.Command == "PRIVMSG" && m.Params[1] == "hello" })
	address := addressOf(netip.MustParsePrefix("fd63:6175:7365::/48"), w.hs.User("alice")).String()
	if !strings.HasSuffix(line.Source, "@alice.users.test") && !strings.HasSuffix(line.Source, "@"+address) {
		t.Errorf("got source %q, want the host of alice", line.Source)
	}
}
