package irc

import (
	"testing"

	"causeway/bridges/bridgetest"
)

// Everybody parts when a room is unbridged, and stays away after a restart.
func TestLeavePortal(t *testing.T) {
	ircd := bridgetest.NewIRCServer(t)
	w := startNew(t, testNetwork(ircd.Address))
	alice := w.hs.User("alice")
	room := w.join(alice, "#c")
	conn := ircd.Accept()
	conn.Welcome("alice")
	conn.Joined("alice", "#c", "")
	w.hs.AwaitAcknowledged()
	portal, err := w.conn.br.GetPortalByMXID(t.Context(), room)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // again after an error
		if err := w.conn.LeavePortal(t.Context(), portal); err != nil {
			t.Fatal(err)
		}
	}
	conn.Expect("PART #c :The room is no longer bridged")
	rows, err := w.conn.br.DB.UserPortal.GetAllInPortal(t.Context(), portal.PortalKey)
	if err != nil || len(rows) != 0 {
		t.Errorf("%d would join again, %v", len(rows), err)
	}
}
