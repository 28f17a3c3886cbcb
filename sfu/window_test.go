package sfu

import (
	"testing"
	"time"

	"causeway/sfu/signalling"
)

// do has a participant's goroutine run something, and waits for it.
func (p *Participant) do(t *testing.T, f func()) {
	t.Helper()
	done := make(chan struct{})
	if !p.post(func() { defer close(done); f() }) {
		t.Fatal("the participant has gone")
	}
	select {
	case <-done:
	case <-time.After(within):
		t.Fatal("the participant does nothing any more")
	}
}

// awaitState waits until a participant's goroutine finds something true.
func (p *Participant) awaitState(t *testing.T, what string, is func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(within); time.Now().Before(end); <-tick.C {
		found := false
		if p.do(t, func() { found = is() }); found {
			return
		}
	}
	t.Fatalf("waiting for %s", what)
}

// TestResumeWindow has signalling end in several ways: until when the participant is waited for and resumes, and from when it is out. Time passes by
// what the participant remembers being moved back.
func TestResumeWindow(t *testing.T) {
	for name, test := range map[string]struct {
		silent, dead bool // nothing tells that signalling has ended; media has ended as well
		window       time.Duration
	}{
		"signalling ends":      {false, false, 20 * time.Second},
		"the client crashes":   {false, true, 8 * time.Second},
		"signalling is silent": {true, false, 20 * time.Second},
		"the network is lost":  {true, true, 20 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			alice, bob := w.join("room", "alice", everything), w.join("room", "bob", everything)
			p := w.server.find("room", "bob")
			p.awaitState(t, "media", p.alive)
			if test.dead {
				_ = bob.pc.Close()
				p.awaitState(t, "the end of media", func() bool { return !p.alive() })
			}
			if test.silent {
				p.do(t, func() {
					p.session.lastHeard.Store(time.Now().Add(time.Second - pingTimeout).UnixNano())
					if p.tick(); p.session == nil {
						t.Error("it is called silent too early")
						return
					}
					p.session.lastHeard.Store(time.Now().Add(-time.Second - pingTimeout).UnixNano())
					if p.tick(); p.session != nil {
						t.Error("its silence is not noticed")
						p.session.cut()
					}
				})
			} else {
				_ = bob.conn.CloseNow()
			}
			bob.awaitEnd()
			p.awaitState(t, "signalling to be away", func() bool { return p.session == nil })

			later := func(after time.Duration) (gone bool) {
				p.do(t, func() {
					p.away = time.Now().Add(-after)
					p.tick()
					gone, p.away = p.gone, time.Now()
				})
				return gone
			}
			if later(test.window - time.Second) {
				t.Fatal("it was put out too early")
			}
			bob.dial(&signalling.JoinRequest{Reconnect: true, ParticipantSID: bob.sid})
			bob.await("to be back", func(m *signalling.SignalResponse) bool { return m.Reconnect != nil })

			_ = bob.conn.CloseNow()
			bob.awaitEnd()
			p.awaitState(t, "signalling to be away", func() bool { return p.session == nil })
			p.do(t, func() { p.silent = test.silent })
			if !later(test.window + time.Second) {
				t.Fatal("it is waited for too long")
			}
			info := alice.awaitUpdate("for bob to go", "bob", func(i *signalling.ParticipantInfo) bool { return i.State == signalling.Disconnected })
			if info.SID != bob.sid || info.DisconnectReason != signalling.SignalClose {
				t.Errorf("alice hears %+v", info)
			}
			bob.dial(&signalling.JoinRequest{Reconnect: true, ParticipantSID: bob.sid})
			if l := bob.awaitLeave(); l.Reason != signalling.StateMismatch || l.Action != signalling.Reconnect {
				t.Errorf("bob hears %+v", l)
			}
		})
	}
}
