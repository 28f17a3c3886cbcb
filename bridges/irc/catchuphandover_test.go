package irc

import (
	"testing"

	"causeway/bridges/bridgetest"
)

// A restart with handover in the middle of a history: each line comes once and in order, however much of the answers had come, and
// whether the server answers the old question before or after the new process is there.
func TestUpgradeWithinCatchUp(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name     string
		answered int
		late     bool // the answer to the old question comes to the new process
	}{
		{"nothing", 0, false}, {"nothing, late", 0, true}, {"some", 2, false}, {"some, late", 2, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := bridgetest.StartIRCv3(t, bridgetest.IRCv3Options{HistoryPage: 7})
			cfg := keep(s.Address)
			n := cfg.Networks["net"]
			n.Casemapping = ASCII
			cfg.Networks["net"] = n
			hs, dir := bridgetest.NewHomeserver(t, "hs.test"), t.TempDir()
			w := startKept(t, hs, dir, cfg)
			carol := bridgetest.DialIRC(t, s.Address, "carol")
			carol.Join("#c")
			room := w.join(hs.User("alice"), "#c")
			carol.AwaitCommand("JOIN", "alice", "#c")
			sayNumbers(s, "carol", 0, 5)
			w.checkFromIRC(room, numbers("carol", 0, 5))
			s.HoldHistory(test.answered)
			s.Drop("alice")
			sayNumbers(s, "carol", 5, 45)
			carol.AwaitOccupant("#c", "alice")
			s.AwaitHistoryHeld(t, 1)
			sayNumbers(s, "carol", 45, 50)
			w.stop()
			sayNumbers(s, "carol", 50, 55)
			if !test.late {
				s.ReleaseHistory()
			}
			w = startHolding(t, hs, dir, cfg, holderOf)
			sayNumbers(s, "carol", 55, 60)
			if test.late {
				s.AwaitHistoryHeld(t, 2)
				s.ReleaseHistory()
			}
			w.checkFromIRC(room, numbers("carol", 0, 60))
		})
	}
}
