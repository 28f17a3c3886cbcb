package usersync

import (
	"slices"
	"testing"

	"maunium.net/go/mautrix/id"
)

// TestSlidingLong has answers that are too long for all rooms: the rest comes in the next ones, which do not wait.
func TestSlidingLong(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		w.s.slidingBody = 1
		places := make([]*place, 4)
		for i := range places {
			places[i] = w.room(alice, "shared")
			places[i].text(alice, "old")
		}
		d := w.device(alice, true)
		var told []id.RoomID
		next := func() *slidingRoomAnswer {
			t.Helper()
			a, took := d.park(all(5)).answer()
			if len(a.Rooms) != 1 || took != 0 || a.Lists["all"].Count != len(places) {
				t.Fatalf("%d rooms after %v, and %d in the list", len(a.Rooms), took, a.Lists["all"].Count)
			}
			d.pos = a.Pos
			for roomID, r := range a.Rooms {
				told = append(told, roomID)
				return r
			}
			return nil
		}
		for range places {
			if r := next(); !r.Initial {
				t.Errorf("not initial: %s", r.raw)
			}
		}
		want := []id.RoomID{places[3].id, places[2].id, places[1].id, places[0].id}
		if !slices.Equal(told, want) {
			t.Errorf("told in the order %v, want the newest first", told)
		}
		told = nil
		for _, p := range places {
			p.text(alice, "new")
		}
		for range places {
			// One that has news each time does not keep the others out.
			r := next()
			if wantList(t, "timeline", brief(r.Timeline)[:1], list("new")); r.NumLive != len(r.Timeline) && len(told) < 3 {
				t.Errorf("%d events are live: %s", r.NumLive, r.raw)
			}
			places[3].text(alice, "more")
			if len(told) == 2 {
				w.s.slidings.all[connKey{alice, "D", ""}].unload()
			}
		}
		if !slices.Equal(told, want) {
			t.Errorf("told in the order %v, want %v", told, want)
		}
		wantList(t, "the rest", brief(next().Timeline), list("more", "more", "more", "more"))
		if s := d.park(all(5)); !s.waiting() {
			t.Error("it does not wait where nothing is left")
		}
	})
}
