package irc_test

import (
	"context"
	"slices"
	"testing"

	"github.com/ergochat/irc-go/ircmsg"
	"github.com/rs/zerolog"

	"causeway/bridges"
	"causeway/bridges/bridgetest"
	"causeway/bridges/irc"
	"causeway/homeserver/storetest"
)

// runOn runs a bridge on a database until stop.
func runOn(t *testing.T, hs *bridgetest.Homeserver, address, database string) (stop func()) {
	t.Helper()
	network, err := irc.New(irc.Config{Networks: map[string]irc.NetworkConfig{
		"net": {Address: address, Casemapping: irc.ASCII, Flood: irc.FloodConfig{Unlimited: true}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	b, err := bridges.New(bridges.Options{
		ID: "irc", ServerName: hs.ServerName, Transport: hs, Network: network, Database: database,
		Log: zerolog.New(bridgetest.LogTo(t)).Level(zerolog.WarnLevel),
	})
	if err != nil {
		t.Fatal(err)
	}
	hs.SetBridge(b.Handler(), b.Bot(), b.Registration().HSToken)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- b.Run(ctx) }()
	return func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
}

// What was said meanwhile comes on PostgreSQL, too.
func TestCatchUpOnPostgres(t *testing.T) {
	ircd := bridgetest.StartIRCv3(t, bridgetest.IRCv3Options{})
	hs := bridgetest.NewHomeserver(t, "hs.test")
	database := storetest.PostgresURL(t)
	stop := runOn(t, hs, ircd.Address, database)
	carol := bridgetest.DialIRC(t, ircd.Address, "carol")
	carol.Join("#pg")
	alice := hs.User("alice")
	room := hs.JoinAlias(alice, "#irc_net_#pg:hs.test")
	carol.AwaitOccupant("#pg", "alice")
	hs.Say(alice, room, "of Matrix")
	carol.AwaitCount("line", 1, bridgetest.Said("#pg", "alice"))
	var want []string
	for _, line := range []string{"one", "two"} {
		carol.Say("#pg", line)
		hs.AwaitText(room, line)
		stop()
		carol.AwaitAbsent("alice")
		carol.Say("#pg", "after "+line)
		ircd.AwaitSaid(t, "#pg", "carol", len(want)+2)
		want = append(want, line, "after "+line)
		stop = runOn(t, hs, ircd.Address, database)
		hs.AwaitText(room, "after "+line)
	}
	defer stop()
	var got []string
	for _, e := range hs.Messages(room, alice) {
		got = append(got, e.Text())
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// The bridge keeps its place in PostgreSQL as in SQLite, in a schema of its own.
func TestPostgres(t *testing.T) {
	ircd := bridgetest.StartNGIRCd(t)
	hs := bridgetest.NewHomeserver(t, "hs.test")
	database := storetest.PostgresURL(t)
	stop := runOn(t, hs, ircd.Address, database)
	carol := bridgetest.DialIRC(t, ircd.Address, "carol")
	carol.Join("#pg")
	alice := hs.User("alice")
	room := hs.JoinAlias(alice, "#irc_net_#pg:hs.test")
	first := hs.Say(alice, room, "one")
	carol.Await("one", func(m ircmsg.Message) bool { return m.Command == "PRIVMSG" && m.Params[1] == "one" })
	carol.Say("#pg", "two")
	hs.AwaitText(room, "two")
	hs.AwaitAcknowledged()
	stop()

	stop = runOn(t, hs, ircd.Address, database)
	defer stop()
	hs.Say(alice, room, "three")
	if status := hs.Put("again", first); status != 200 {
		t.Errorf("got status %d for a repeated transaction, want 200", status)
	}
	hs.AwaitAcknowledged()
	got := bridgetest.Texts(carol.AwaitCount("all", 2, bridgetest.Said("#pg", "alice")))
	if want := []string{"one", "three"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
