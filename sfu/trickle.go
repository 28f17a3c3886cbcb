package sfu

import (
	"encoding/json"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"causeway/sfu/signalling"

	"github.com/pion/webrtc/v4"
)

// tellAfter is when the client is told of our TCP addresses at the latest. When UDP comes through, that is known by then.
const tellAfter = 150 * time.Millisecond

// later is addresses of ours of which the client is told a moment after the others (RFC 8838): those of TCP. When the client has reached us by UDP it
// need not try them first; and agents like pion's, which look every 200 ms whether they can use what they have reached, look when they are told
// of another address.
type later struct {
	held  atomic.Bool // there are some
	mu    sync.Mutex  // guards what follows
	of    string      // the ICE generation, by its username fragment, of which some were held back
	mid   string      // of the first media section
	texts []string
	timer *time.Timer
}

// hold takes the addresses of TCP out of the first description of each generation, unless there are no others, and has them told later.
func (c *peer) hold(description string) string {
	l := &c.later
	l.mu.Lock()
	defer l.mu.Unlock()
	var kept, texts []string
	var mid, ufrag string
	var others bool // there are others than those of TCP
	for line := range strings.Lines(description) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		switch {
		case name == "a=mid" && mid == "":
			mid = value
		case name == "a=ice-ufrag" && ufrag == "":
			ufrag = value
		case name == "a=end-of-candidates":
			continue
		case name == "a=candidate" && overTCP(value):
			if text := "candidate:" + value; !slices.Contains(texts, text) {
				texts = append(texts, text)
			}
			continue
		}
		others = others || name == "a=candidate"
		kept = append(kept, line)
	}
	if len(texts) == 0 || ufrag == l.of || !others {
		return description
	}
	l.of, l.mid, l.texts = ufrag, mid, texts
	l.held.Store(true)
	if l.timer != nil {
		l.timer.Stop()
	}
	l.timer = time.AfterFunc(tellAfter, c.reached)
	return strings.Join(kept, "")
}

// overTCP is whether a candidate is one of TCP. RFC 6544, section 4.5.
func overTCP(candidate string) bool {
	row := strings.Fields(candidate)
	return len(row) >= candidateFields && strings.EqualFold(row[candidateTransport], "tcp")
}

// reached has the addresses told that were held back. It is called when the client has reached us, from anywhere.
func (c *peer) reached() {
	if c.later.held.Load() && c.later.held.CompareAndSwap(true, false) {
		c.p.post(c.tellLater)
	}
}

func (c *peer) tellLater() {
	l := &c.later
	l.mu.Lock()
	mid, ufrag, texts := l.mid, l.of, l.texts
	l.texts = nil
	l.timer.Stop()
	l.mu.Unlock()
	var line uint16
	for _, text := range texts {
		b, err := json.Marshal(webrtc.ICECandidateInit{Candidate: text, SDPMid: &mid, SDPMLineIndex: &line, UsernameFragment: &ufrag})
		if err != nil {
			c.p.log.Warn().Err(err).Msg("An address cannot be written")
			return
		}
		c.p.send(&signalling.SignalResponse{Trickle: &signalling.TrickleRequest{CandidateInit: string(b), Target: c.target}})
	}
}
