package irc

import (
	"slices"
	"strings"
	"testing"

	"github.com/ergochat/irc-go/ircmsg"
	"maunium.net/go/mautrix/id"

	"causeway/bridges/bridgetest"
)

// Ghosts of other bridges are not connected to IRC, and not heard there but by the relay that speaks for all.
func TestForeignGhosts(t *testing.T) {
	ircd := bridgetest.StartNGIRCd(t)
	w := startNew(t, relayNetwork(ircd.Address))
	alice, ghost := w.hs.User("alice"), w.hs.User("parrot_gus")
	w.hs.SetForeign(ghost)
	carol := bridgetest.DialIRC(t, ircd.Address, "carol")
	carol.Join("#open")
	carol.Join("#relay")
	open, relay := w.join(alice, "#open"), w.join(alice, "#relay")
	carol.AwaitCommand("JOIN", "alice", "#open")
	carol.AwaitCommand("JOIN", "matrix", "#relay")
	for _, room := range []id.RoomID{open, relay} {
		w.hs.SetMember(ghost, room, ghost, "join", "")
	}
	w.hs.AwaitAcknowledged()
	w.hs.Say(ghost, open, "not heard")
	w.hs.Say(ghost, open, "!irc help")
	w.hs.Say(ghost, relay, "heard")
	w.hs.Say(alice, open, "the end")
	w.hs.Say(alice, relay, "the end")
	if got, want := bridgetest.Texts(carol.AwaitCount("lines", 2, relayedLines("#relay"))), []string{"<parrot_gus> heard", "<alice> the end"}; !slices.Equal(got, want) {
		t.Errorf("the relay said %q, want %q", got, want)
	}
	if got := bridgetest.Texts(carol.AwaitCount("lines", 1, bridgetest.Said("#open", "alice"))); !slices.Equal(got, []string{"the end"}) {
		t.Errorf("alice said %q", got)
	}
	w.hs.AwaitAcknowledged()
	for _, m := range carol.Lines(func(m ircmsg.Message) bool {
		return strings.Contains(m.Nick(), "gus") || strings.Contains(m.Params[len(m.Params)-1], "not heard")
	}) {
		t.Errorf("there came %v", m)
	}
	for _, e := range w.hs.Messages(open) {
		if e.MsgType() == "m.notice" {
			t.Errorf("the bot says %q", e.Text())
		}
	}
}
