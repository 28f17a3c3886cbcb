package sfu

import (
	"encoding/json"
	"strings"
	"testing"

	"causeway/sfu/signalling"

	"github.com/pion/webrtc/v4"
)

const described = "v=0\r\na=ice-ufrag:one\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:5\r\n" +
	"a=candidate:1 1 udp 100 192.0.2.1 7882 typ host\r\na=candidate:2 1 tcp 90 192.0.2.1 7882 typ host tcptype passive\r\n" +
	"a=end-of-candidates\r\nm=video 9 UDP/TLS/RTP/SAVPF 96\r\na=mid:6\r\na=candidate:2 1 tcp 90 192.0.2.1 7882 typ host tcptype passive\r\n"

// TestHoldsBack takes the addresses of TCP out of the first description of a generation, and out of no other.
func TestHoldsBack(t *testing.T) {
	c := &peer{p: &Participant{}}
	t.Cleanup(func() { c.later.timer.Stop() })
	first := c.hold(described)
	if strings.Contains(first, "tcp") || strings.Contains(first, "end-of-candidates") || !strings.Contains(first, "a=candidate:1 1 udp") {
		t.Errorf("got %q", first)
	}
	if len(c.later.texts) != 1 || c.later.mid != "5" || !strings.HasPrefix(c.later.texts[0], "candidate:2 1 tcp") {
		t.Errorf("got %q of %s", c.later.texts, c.later.mid)
	}
	if again := c.hold(described); again != described {
		t.Errorf("of the same generation got %q", again)
	}
	restarted := strings.ReplaceAll(described, "ufrag:one", "ufrag:two")
	if got := c.hold(restarted); strings.Contains(got, "tcp") {
		t.Errorf("of another generation got %q", got)
	}
	alone := strings.ReplaceAll(strings.ReplaceAll(described, "ufrag:one", "ufrag:alone"), "a=candidate:1 1 udp 100 192.0.2.1 7882 typ host\r\n", "")
	if got := c.hold(alone); got != alone {
		t.Errorf("of TCP alone got %q", got)
	}
	plain := "v=0\r\na=ice-ufrag:three\r\na=mid:0\r\na=candidate:1 1 udp 100 192.0.2.1 7882 typ host\r\na=end-of-candidates\r\n"
	if got := c.hold(plain); got != plain {
		t.Errorf("without TCP got %q", got)
	}
}

// TestToldLater has a client be told of the addresses of TCP in both kinds of signalling, once it is connected by UDP.
func TestToldLater(t *testing.T) {
	for _, v1 := range []bool{true, false} {
		w := newWorld(t)
		c := w.client(token(t, "room", "alice", everything), "alice", v1)
		c.connect(nil)
		var got webrtc.ICECandidateInit
		c.await("to be told of TCP", func(m *signalling.SignalResponse) bool {
			return m.Trickle != nil && json.Unmarshal([]byte(m.Trickle.CandidateInit), &got) == nil
		})
		if !overTCP(got.Candidate) || got.SDPMid == nil || got.UsernameFragment == nil {
			t.Errorf("v1 %t: got %+v", v1, got)
		}
	}
}
