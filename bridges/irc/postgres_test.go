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

// runPostgres runs a bridge with its tables in PostgreSQL.
func runPostgres(t *testing.T, hs *bridgetest.Homeserver, database, address string) (stop func()) {
	t.Helper()
	network, err := irc.New(irc.Config{Networks: map[string]irc.NetworkConfig{
		"net": {Address: address, Flood: irc.FloodConfig{Unlimited: true}},
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
	stop := runPostgres(t, hs, database, ircd.Address)
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
		stop = runPostgres(t, hs, database, ircd.Address)
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
	run := func() (stop func()) { return runPostgres(t, hs, database, ircd.Address) }
	stop := run()
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

	stop = runPostgres(t, hs, database, ircd.Address)
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

// The identities of all lines of a message outlive a restart.
func TestPostgresLines(t *testing.T) {
	t.Parallel()
	ircd := bridgetest.NewIRCServer(t)
	hs := bridgetest.NewHomeserver(t, "hs.test")
	database := storetest.PostgresURL(t)
	const offered = "echo-message message-tags draft/message-redaction"
	stop := runPostgres(t, hs, database, ircd.Address)
	room := hs.JoinAlias(hs.User("alice"), "#irc_net_#pg:hs.test")
	conn := ircd.Accept()
	conn.Capable("alice", offered)
	conn.Joined("alice", "#pg", "carol")
	said := hs.Say(hs.User("alice"), room, "one\ntwo")
	for _, text := range []string{"one", "two"} {
		conn.Expect("PRIVMSG #pg :" + text)
		conn.Send("@msgid=%s :alice!alice@host.test PRIVMSG #pg :%[1]s", text)
	}
	conn.Pong()
	hs.AwaitAcknowledged()
	stop()

	stop = runPostgres(t, hs, database, ircd.Address)
	defer stop()
	conn = ircd.Accept()
	conn.Capable("alice", offered)
	conn.Joined("alice", "#pg", "carol")
	conn.Send("@msgid=r;+reply=two :carol!c@host.test PRIVMSG #pg :indeed")
	relation, _ := hs.AwaitText(room, "indeed").Content["m.relates_to"].(map[string]any)
	if answered, _ := relation["m.in_reply_to"].(map[string]any); answered["event_id"] != string(said.ID) {
		t.Errorf("got relation %v, want a reply to %s", relation, said.ID)
	}
	conn.Send(":op!o@host.test REDACT #pg two")
	hs.AwaitEvent("redaction", func(e *bridgetest.Event) bool {
		return e.Type == "m.room.redaction" && e.Content["redacts"] == string(said.ID)
	})
}
