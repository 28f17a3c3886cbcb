package irc

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/ergochat/irc-go/ircmsg"
	"maunium.net/go/mautrix/id"

	"causeway/bridges/bridgetest"
)

// numbers are lines as fromIRC has them.
func numbers(nick string, from, to int) []string {
	var list []string
	for i := from; i < to; i++ {
		list = append(list, fmt.Sprintf("%s: %d", nick, i))
	}
	return list
}

// sayNumbers says them on the server's own behalf.
func sayNumbers(s *bridgetest.IRCv3, nick string, from, to int) {
	for i := from; i < to; i++ {
		s.Says(nick, "#c", fmt.Sprint(i))
	}
}

func (w *world) checkFromIRC(room id.RoomID, want []string) {
	w.t.Helper()
	w.hs.AwaitEvent("the last line "+want[len(want)-1], func(e *bridgetest.Event) bool {
		return e.Room == room && string(e.Sender) == string(w.ghost(nickOfLine(want[len(want)-1]))) &&
			nickOfLine(want[len(want)-1])+": "+e.Text() == want[len(want)-1]
	})
	if got := w.fromIRC(room); !slices.Equal(got, want) {
		w.t.Errorf("got %d lines %q, want %d: %q", len(got), got, len(want), want)
	}
}

func nickOfLine(line string) string {
	for i := range line {
		if line[i] == ':' {
			return line[:i]
		}
	}
	return line
}

// What is said while the bridge is not there comes afterwards: all of it, once, in order, with the times at which it was said,
// and before what is said after.
func TestCatchUpAfterRestart(t *testing.T) {
	s := bridgetest.StartIRCv3(t, bridgetest.IRCv3Options{HistoryPage: 7})
	hs, dir := bridgetest.NewHomeserver(t, "hs.test"), t.TempDir()
	w := start(t, hs, dir, testNetwork(s.Address))
	carol := bridgetest.DialIRC(t, s.Address, "carol")
	carol.Join("#c")
	sayNumbers(s, "carol", -5, 0) // before anybody of us is there
	alice := hs.User("alice")
	room := w.join(alice, "#c")
	carol.AwaitCommand("JOIN", "alice", "#c")
	sayNumbers(s, "carol", 0, 5)
	w.checkFromIRC(room, numbers("carol", 0, 5))
	for round := range 2 {
		from := 5 + 40*round
		w.stop()
		carol.AwaitAbsent("alice")
		began := time.Now().Truncate(time.Millisecond)
		sayNumbers(s, "carol", from, from+30)
		ended := time.Now()
		seen := len(carol.Lines(func(m ircmsg.Message) bool { return m.Command == "JOIN" && m.Nick() == "alice" }))
		w = start(t, hs, dir, testNetwork(s.Address))
		carol.AwaitCount("JOIN", seen+1, func(m ircmsg.Message) bool { return m.Command == "JOIN" && m.Nick() == "alice" })
		sayNumbers(s, "carol", from+30, from+40)
		w.checkFromIRC(room, numbers("carol", 0, from+40))
		for _, e := range hs.Messages(room)[from : from+30] {
			if at := time.UnixMilli(e.TS); at.Before(began) || at.After(ended) {
				t.Errorf("%q has time %v, want when it was said, from %v to %v", e.Text(), at, began, ended)
			}
		}
	}
}

// The network breaks for some, then for all of us.
func TestCatchUpAfterDrop(t *testing.T) {
	s := bridgetest.StartIRCv3(t, bridgetest.IRCv3Options{HistoryPage: 10})
	w := startNew(t, testNetwork(s.Address))
	carol := bridgetest.DialIRC(t, s.Address, "carol")
	carol.Join("#c")
	var room id.RoomID
	for _, name := range []string{"alice", "bob", "dave"} {
		room = w.join(w.hs.User(name), "#c")
		carol.AwaitCommand("JOIN", name, "#c")
	}
	next := 0
	for round := range 12 {
		sayNumbers(s, "carol", next, next+25)
		dropped := []string{"alice", "bob", "dave"}[:1+round%3]
		s.Drop(dropped...)
		sayNumbers(s, "carol", next+25, next+50)
		next += 50
		if round%2 == 0 {
			carol.AwaitOccupant("#c", "alice")
		}
	}
	w.checkFromIRC(room, numbers("carol", 0, next))
	if got := w.fromIRC(room); len(got) != next {
		t.Errorf("got %d lines, want %d", len(got), next)
	}
}

// The server has lost the line that we know as the last one; its time serves.
func TestCatchUpFromUnknownLine(t *testing.T) {
	s := bridgetest.StartIRCv3(t, bridgetest.IRCv3Options{HistoryKept: 5})
	hs, dir := bridgetest.NewHomeserver(t, "hs.test"), t.TempDir()
	w := start(t, hs, dir, testNetwork(s.Address))
	carol := bridgetest.DialIRC(t, s.Address, "carol")
	carol.Join("#c")
	room := w.join(hs.User("alice"), "#c")
	carol.AwaitCommand("JOIN", "alice", "#c")
	sayNumbers(s, "carol", 0, 1)
	w.checkFromIRC(room, numbers("carol", 0, 1))
	w.stop()
	carol.AwaitAbsent("alice")
	sayNumbers(s, "carol", 1, 11)
	w = start(t, hs, dir, testNetwork(s.Address))
	w.hs.AwaitText(room, "10")
	sayNumbers(s, "carol", 11, 12)
	w.hs.AwaitText(room, "11")
	got := w.fromIRC(room)
	if want := numbers("carol", 11-4, 12); !slices.Equal(got[len(got)-len(want):], want) || len(got) > 1+len(want)+1 {
		t.Errorf("got %q, want the last that the server has: %q", got, want)
	}
}

// In a channel that all of us have left nobody has asked for what is said.
func TestNoCatchUpOfWhatNobodyWanted(t *testing.T) {
	s := bridgetest.StartIRCv3(t, bridgetest.IRCv3Options{})
	w := startNew(t, testNetwork(s.Address))
	carol := bridgetest.DialIRC(t, s.Address, "carol")
	carol.Join("#c")
	alice := w.hs.User("alice")
	room := w.join(alice, "#c")
	carol.AwaitCommand("JOIN", "alice", "#c")
	carol.Say("#c", "to alice")
	w.hs.AwaitText(room, "to alice")
	w.hs.SetMember(alice, room, alice, "leave", "")
	carol.Await("departure", func(m ircmsg.Message) bool {
		return m.Nick() == "alice" && (m.Command == "PART" || m.Command == "QUIT")
	})
	carol.Say("#c", "she is gone")
	s.AwaitSaid(t, "#c", "carol", 2)
	w.join(alice, "#c")
	carol.AwaitCount("JOIN", 2, func(m ircmsg.Message) bool { return m.Command == "JOIN" && m.Nick() == "alice" })
	carol.Say("#c", "welcome back")
	w.hs.AwaitText(room, "welcome back")
	if got, want := w.fromIRC(room), []string{"carol: to alice", "carol: welcome back"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// Who came and went meanwhile is shown, and in the end the room has who is there.
func TestEventPlayback(t *testing.T) {
	s := bridgetest.StartIRCv3(t, bridgetest.IRCv3Options{})
	hs, dir := bridgetest.NewHomeserver(t, "hs.test"), t.TempDir()
	w := start(t, hs, dir, testNetwork(s.Address))
	carol := bridgetest.DialIRC(t, s.Address, "carol")
	carol.Join("#c")
	room := w.join(hs.User("alice"), "#c")
	hs.AwaitMembership(room, w.ghost("carol"), "join")
	w.stop()
	carol.AwaitAbsent("alice")
	dave := bridgetest.DialIRC(t, s.Address, "dave")
	dave.Join("#c")
	dave.Say("#c", "I was here")
	dave.Send("PART #c :for a moment")
	carol.AwaitCommand("PART", "dave", "#c")
	carol.Send("NICK caroline")
	carol.Say("#c", "me again")
	carol.Send("TOPIC #c :news")
	carol.AwaitCommand("TOPIC", "caroline", "#c")

	w = start(t, hs, dir, testNetwork(s.Address))
	hs.AwaitText(room, "me again")
	hs.AwaitMembership(room, w.ghost("dave"), "leave")
	hs.AwaitMembership(room, w.ghost("carol"), "leave")
	hs.AwaitMembership(room, w.ghost("caroline"), "join")
	hs.Await("the topic", func() bool {
		e := hs.State(room, "m.room.topic", "")
		return e != nil && e.Content["topic"] == "news"
	})
	if got, want := w.fromIRC(room), []string{"dave: I was here", "caroline: me again"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	left := hs.Events(func(e *bridgetest.Event) bool {
		return e.Type == "m.room.member" && e.Membership() == "leave" && *e.StateKey == string(w.ghost("dave"))
	})
	if len(left) != 1 || left[0].Content["reason"] != "for a moment" {
		t.Errorf("got %d departures of dave, want one with his reason", len(left))
	}
}

// A line whose confirmation was lost with the connection is on IRC, and is not said again.
func TestOwnLinesAreNotDoubled(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		lose func(w *world, s *bridgetest.IRCv3) *world
	}{
		{"connection", func(w *world, s *bridgetest.IRCv3) *world {
			s.Delay(0)
			s.Drop("alice")
			return w
		}},
		{"process", func(w *world, s *bridgetest.IRCv3) *world {
			w.stop()
			s.Delay(0)
			return start(w.t, w.hs, w.dir, testNetwork(s.Address))
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := bridgetest.StartIRCv3(t, bridgetest.IRCv3Options{})
			hs, dir := bridgetest.NewHomeserver(t, "hs.test"), t.TempDir()
			w := start(t, hs, dir, testNetwork(s.Address))
			carol := bridgetest.DialIRC(t, s.Address, "carol")
			carol.Join("#c")
			alice := hs.User("alice")
			room := w.join(alice, "#c")
			carol.AwaitCommand("JOIN", "alice", "#c")
			hs.Say(alice, room, "same")
			carol.AwaitCount("lines", 1, bridgetest.Said("#c", "alice"))
			hs.AwaitAcknowledged()
			carol.Say("#c", "heard it")
			hs.AwaitText(room, "heard it")

			s.Delay(time.Hour)
			hs.Say(alice, room, "same")
			hs.Say(alice, room, "two\nlines")
			s.AwaitSaid(t, "#c", "alice", 4)
			w = test.lose(w, s)
			hs.Say(alice, room, "after it")
			s.AwaitSaid(t, "#c", "alice", 5)
			hs.AwaitAcknowledged()
			want := []string{"same", "same", "two", "lines", "after it"}
			if got := s.Said("#c", "alice"); !slices.Equal(got, want) {
				t.Errorf("got %q, want %q", got, want)
			}
			carol2 := bridgetest.DialIRC(t, s.Address, "carol2")
			carol2.Join("#c")
			carol2.Say("#c", "end")
			hs.AwaitText(room, "end")
			if got, want := w.fromIRC(room), []string{"carol: heard it", "carol2: end"}; !slices.Equal(got, want) {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
}
