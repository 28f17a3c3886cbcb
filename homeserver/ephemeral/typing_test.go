package ephemeral

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"maunium.net/go/mautrix/id"
)

// typing has a user type, or not.
func (w *world) typing(t *Typing, user id.UserID, typing bool, timeout time.Duration) {
	w.Helper()
	if err := t.SetTyping(context.Background(), user, roomID, typing, timeout); err != nil {
		w.Fatal(err)
	}
}

func TestTypingByTime(t *testing.T) {
	for _, test := range []struct {
		name    string
		timeout time.Duration
		lasts   time.Duration
	}{
		{"the usual", 0, defaultTyping},
		{"some time", 10 * time.Second, 10 * time.Second},
		{"too long", time.Hour, maxTyping},
		{"negative", -time.Hour, defaultTyping},
	} {
		t.Run(test.name, func(t *testing.T) {
			bubble(t, func(w *world) {
				typing := NewTyping(w.db, w.bus, nil)
				w.run(typing.Run)
				start := typing.serial
				step := func(name string, do func(), want int, rang bool) {
					w.Helper()
					_, before, _ := typing.TypingSince(start)
					got := w.rings(do)
					rooms, upto, known := typing.TypingSince(start)
					if len(rooms[w.roomNID]) != want || !known || (upto > before) != rang || got != rang {
						w.Errorf("%s: %v, serial %d after %d, rang %v; want %d, %v", name, rooms, upto, before, got, want, rang)
					}
				}
				step("ann", func() { w.typing(typing, ann, true, test.timeout) }, 1, true)
				step("nearly over", func() { time.Sleep(test.lasts - time.Second) }, 1, false)
				step("again", func() { w.typing(typing, ann, true, test.timeout) }, 1, false)
				step("not over for that", func() { time.Sleep(test.lasts - time.Second) }, 1, false)
				step("over", func() { time.Sleep(2 * time.Second) }, 0, true)
				step("long over", func() { time.Sleep(time.Hour) }, 0, false)
				step("ben", func() { w.typing(typing, ben, true, test.timeout) }, 1, true)
				step("another membership of ben's", func() { w.membership(ben, "join") }, 1, false)
				step("ben leaves", func() { w.membership(ben, "leave") }, 0, true)
				if len(typing.rooms) != 0 {
					w.Errorf("%d rooms are remembered", len(typing.rooms))
				}
			})
		})
	}
}

func TestTypingSince(t *testing.T) {
	bubble(t, func(w *world) {
		typing := NewTyping(w.db, w.bus, nil)
		stop := w.run(typing.Run)
		if now := time.Now().UnixMilli(); typing.serial != now {
			w.Errorf("it begins with %d, want the time, %d", typing.serial, now)
		}
		start := typing.serial
		w.typing(typing, ann, true, 0)
		w.typing(typing, ben, true, 0)
		w.typing(typing, ann, false, 0)
		for _, row := range []struct {
			since int64
			want  []id.UserID // nil for no news
			known bool
		}{
			{0, []id.UserID{ben}, false},
			{start - 1, []id.UserID{ben}, false},
			{start, []id.UserID{ben}, true},
			{start + 2, []id.UserID{ben}, true},
			{start + 3, nil, true},
			{start + 4, []id.UserID{ben}, false}, // of a process whose clock was ahead
		} {
			rooms, upto, known := typing.TypingSince(row.since)
			if got, news := rooms[w.roomNID]; !slices.Equal(got, row.want) || news != (row.want != nil) || known != row.known || upto != start+3 {
				w.Errorf("since %d: got %v, %d, %v", row.since-start, rooms, upto-start, known)
			}
		}
		for range maxTypingChanges {
			w.typing(typing, ann, true, 0)
			w.typing(typing, ann, false, 0)
		}
		if len(typing.changes) > maxTypingChanges {
			w.Errorf("%d changes are remembered", len(typing.changes))
		}
		if _, _, known := typing.TypingSince(start); known {
			w.Error("what is forgotten is known")
		}
		if rooms, _, known := typing.TypingSince(typing.serial - 10); !known || len(rooms) != 1 {
			w.Errorf("what has just changed: %v, %v", rooms, known)
		}
		stop()
		w.typing(typing, ann, true, 0) // after the end, and nothing is begun
	})
}

func TestTypistsBound(t *testing.T) {
	bubble(t, func(w *world) {
		typing := NewTyping(w.db, w.bus, nil)
		w.run(typing.Run)
		for i := range maxTypists + 5 {
			user := id.UserID(fmt.Sprintf("@u%d:test", i))
			w.membership(user, "join")
			w.typing(typing, user, true, 0)
		}
		if rooms, _, _ := typing.TypingSince(0); len(rooms[w.roomNID]) != maxTypists {
			w.Errorf("%d users are shown", len(rooms[w.roomNID]))
		}
	})
}

// Who has left before it is listened for that they leave does not go on typing.
func TestTypingOfOneWhoHasJustLeft(t *testing.T) {
	bubble(t, func(w *world) {
		typing := NewTyping(w.db, w.bus, nil)
		w.run(typing.Run)
		nid := w.membership(ann, "leave")
		// As SetTyping does, which looked before.
		typing.start(context.Background(), w.roomNID, nid, ann, time.Now().Add(maxTyping))
		synctest.Wait()
		if rooms, _, _ := typing.TypingSince(0); len(rooms) != 0 {
			t.Errorf("got %v, want nobody", rooms)
		}
	})
}
