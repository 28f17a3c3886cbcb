package sfu

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"causeway/sfu/signalling"
)

// said has somebody's voice be heard for a while: packets of a level in dB below the loudest, of which so many are as loud, and the others silent.
func (s *speakers) said(sid string, level uint8, loud, packets int) {
	for n := range packets {
		if n < loud {
			s.hear(sid, level)
		} else {
			s.hear(sid, 127)
		}
	}
}

// names gives who is told to speak, in the order in which they are told, and who is told not to any more, with a minus.
func names(told []signalling.SpeakerInfo) []string {
	var all []string
	for _, s := range told {
		if s.Active {
			all = append(all, s.SID)
		} else {
			all = append(all, "-"+s.SID)
		}
	}
	return all
}

// TestWhoSpeaks tells of who is loud in enough of their packets, and of nobody else.
func TestWhoSpeaks(t *testing.T) {
	for _, c := range []struct {
		name          string
		level         uint8
		loud, packets int
		want          bool
	}{
		{"the loudest", 0, 20, 20, true},
		{"a voice", 25, 20, 20, true},
		{"the softest voice", 45, 20, 20, true},
		{"noise", 46, 20, 20, false},
		{"silence", 127, 20, 20, false},
		{"a voice with pauses", 25, 30, 100, true},
		{"a click", 5, 29, 100, false},
		{"nothing", 0, 0, 0, false},
	} {
		var s speakers
		s.said("a", c.level, c.loud, c.packets)
		told := s.turn()
		if got := fmt.Sprint(names(told)) == "[a]"; got != c.want || len(told) > 1 || s.speaks("a") != c.want {
			t.Errorf("%s: %+v is told, and that they speak is %t; want %t", c.name, told, s.speaks("a"), c.want)
		}
		if c.want && (told[0].Level <= 0 || told[0].Level > 1) {
			t.Errorf("%s: the level is %v", c.name, told[0].Level)
		}
	}
}

// TestTurns follows a conversation: all who speak are told of once, the loudest first, until it changes how loud they are, and of who stops it is told once,
// with no level.
func TestTurns(t *testing.T) {
	var s speakers
	for i, c := range []struct {
		loud map[string]uint8
		want string
	}{
		{map[string]uint8{"soft": 30, "loud": 10, "middle": 20, "silent": 127}, "[loud middle soft]"},
		{map[string]uint8{"soft": 30, "loud": 10, "middle": 20}, "[loud middle soft]"}, // what is told is smooth
		{map[string]uint8{"soft": 10, "middle": 20, "silent": 127}, "[soft middle -loud]"},
		{map[string]uint8{"soft": 10, "middle": 127}, "[soft -middle]"},
		{nil, "[-soft]"},
		{nil, "[]"},
	} {
		for sid, level := range c.loud {
			s.said(sid, level, 20, 20)
		}
		told := s.turn()
		if got := fmt.Sprint(names(told)); got != c.want {
			t.Errorf("%d: %s is told, want %s", i, got, c.want)
		}
		for _, info := range told {
			if !info.Active && info.Level != 0 {
				t.Errorf("%d: %s does not speak any more, with the level %v", i, info.SID, info.Level)
			}
		}
	}
}

// TestSteadySpeaker has somebody speak on and on: it is told of a few times, until how loud they are is known.
func TestSteadySpeaker(t *testing.T) {
	var s speakers
	var levels []float32
	for range 50 {
		s.said("a", 20, 20, 20)
		for _, info := range s.turn() {
			if !info.Active {
				t.Fatalf("got %+v", info)
			}
			levels = append(levels, info.Level)
		}
	}
	if n := len(levels); n < 2 || n > 6 || !slices.IsSorted(levels) || levels[n-1] < 0.35 || levels[n-1] > 0.4 {
		t.Errorf("it is told that the level is %v, want up to 0.4", levels)
	}
}

// TestSpeakerDeparts has somebody go while they speak: it is told that they do not any more, and nothing is kept of them.
func TestSpeakerDeparts(t *testing.T) {
	var s speakers
	s.said("a", 10, 20, 20)
	s.said("b", 127, 20, 20)
	s.turn()
	if told := names(s.turn()); !slices.Equal(told, []string{"-a"}) {
		t.Errorf("%v is told", told)
	}
	for range 20 {
		if told := s.turn(); len(told) > 0 {
			t.Errorf("%+v is told", told)
		}
	}
	if len(s.heard) > 0 || len(s.told) > 0 {
		t.Errorf("%v and %v are kept", s.heard, s.told)
	}
}

// TestSpeakersAreTold has everybody hear from the server who speaks, and that they have left off when they are gone.
func TestSpeakersAreTold(t *testing.T) {
	w := newWorld(t)
	alice, bob := w.join("room", "alice", everything), w.join("room", "bob", everything)
	room := w.server.room("room")
	quiet := make(chan struct{})
	var talking sync.WaitGroup
	talking.Go(func() { // as if her packets came
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-quiet:
				return
			case <-tick.C:
				room.speakers.hear(alice.sid, 20)
			}
		}
	})
	speaks := func(c *client, want bool) {
		t.Helper()
		c.await("to hear who speaks", func(m *signalling.SignalResponse) bool {
			if m.SpeakersChanged == nil {
				return false
			}
			told := m.SpeakersChanged.Speakers
			return len(told) == 1 && told[0].SID == alice.sid && told[0].Active == want
		})
	}
	speaks(bob, true)
	speaks(alice, true)
	alice.send(&signalling.SignalRequest{Leave: &signalling.LeaveRequest{}})
	bob.awaitUpdate("for alice to go", "alice", func(p *signalling.ParticipantInfo) bool { return p.State == signalling.Disconnected })
	close(quiet)
	talking.Wait()
	speaks(bob, false)
}
