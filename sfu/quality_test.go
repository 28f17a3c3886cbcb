package sfu

import (
	"testing"

	"causeway/sfu/signalling"
)

// TestQualityIsToldOnce tells a client how well somebody is connected when that has changed, and of everybody anew once it has resumed.
func TestQualityIsToldOnce(t *testing.T) {
	w := newWorld(t)
	alice := w.join("room", "alice", everything)
	w.join("room", "bob", everything)
	active := map[string]bool{}
	alice.await("media of both", func(m *signalling.SignalResponse) bool {
		if m.Update != nil {
			for _, p := range m.Update.Participants {
				active[p.Identity] = p.State == signalling.Active
			}
		}
		return active["alice"] && active["bob"]
	})
	of := w.server.room("room").byIdentity("alice")
	// told has it told, and gives of how many participants the client hears.
	told := func(before func()) (n int) {
		t.Helper()
		of.post(func() {
			before()
			of.tellQuality()
			of.send(&signalling.SignalResponse{SpeakersChanged: &signalling.SpeakersChanged{}})
		})
		alice.await("the end", func(m *signalling.SignalResponse) bool {
			if m.ConnectionQuality != nil {
				n += len(m.ConnectionQuality.Updates)
			}
			return m.SpeakersChanged != nil && len(m.SpeakersChanged.Speakers) == 0
		})
		return n
	}
	for i, c := range []struct {
		before func()
		want   int
	}{
		{func() {}, 2},
		{func() {}, 0},
		{func() { of.up.Store(false) }, 1},
		{func() { of.score.told = nil }, 2},
	} {
		if got := told(c.before); got != c.want {
			t.Errorf("%d: told of %d, want %d", i, got, c.want)
		}
	}
}
