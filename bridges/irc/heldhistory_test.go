package irc

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"causeway/bridges/bridgetest"
	"causeway/bridges/irc/holder"
)

// outage is that all connections end while the bridge is stopped.
func outage(t *testing.T, w *world, dir string) {
	t.Helper()
	w.stop()
	if err := (&holder.Dialer{Path: holder.SocketIn(dir)}).End(context.Background(), "an outage"); err != nil {
		t.Fatal(err)
	}
}

// The history of a long absence comes through the holder, which does not read on for ever without being told what is done.
func TestCatchUpThroughHolder(t *testing.T) {
	s := bridgetest.StartIRCv3(t, bridgetest.IRCv3Options{})
	hs, dir := bridgetest.NewHomeserver(t, "hs.test"), t.TempDir()
	cfg := keep(s.Address)
	w := startKept(t, hs, dir, cfg)
	carol := bridgetest.DialIRC(t, s.Address, "carol")
	carol.Join("#c")
	room := w.join(hs.User("alice"), "#c")
	carol.AwaitCommand("JOIN", "alice", "#c")
	s.Says("carol", "#c", "first")
	hs.AwaitText(room, "first")
	outage(t, w, dir)
	carol.AwaitAbsent("alice")
	const lines = 1200
	want := []string{"carol: first"}
	for i := range lines {
		text := fmt.Sprintf("%d %s", i, strings.Repeat("x", 380))
		s.Says("carol", "#c", text)
		want = append(want, "carol: "+text)
	}
	w = startHolding(t, hs, dir, cfg, holderOf)
	w.checkFromIRC(room, want)
}

// A process ends while it fetches the history by a connection that the holder keeps. The next one goes on with it.
func TestCatchUpOverUpgrade(t *testing.T) {
	s := bridgetest.StartIRCv3(t, bridgetest.IRCv3Options{HistoryPage: 5})
	hs, dir := bridgetest.NewHomeserver(t, "hs.test"), t.TempDir()
	cfg := keep(s.Address)
	w := startKept(t, hs, dir, cfg)
	carol := bridgetest.DialIRC(t, s.Address, "carol")
	carol.Join("#c")
	room := w.join(hs.User("alice"), "#c")
	w.join(hs.User("bob"), "#c")
	carol.AwaitCommand("JOIN", "alice", "#c")
	carol.AwaitCommand("JOIN", "bob", "#c")
	sayNumbers(s, "carol", 0, 1)
	w.checkFromIRC(room, numbers("carol", 0, 1))
	outage(t, w, dir)
	carol.AwaitAbsent("alice")
	sayNumbers(s, "carol", 1, 200)
	w = startHolding(t, hs, dir, cfg, holderOf)
	next := 200
	for _, seen := range []string{"20", "60", "120"} {
		hs.AwaitText(room, seen)
		sayNumbers(s, "carol", next, next+5)
		w.stop()
		sayNumbers(s, "carol", next+5, next+10)
		next += 10
		w = startHolding(t, hs, dir, cfg, holderOf)
	}
	w.checkFromIRC(room, numbers("carol", 0, next))
}
