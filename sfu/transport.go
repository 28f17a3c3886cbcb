package sfu

import (
	"sync"
	"sync/atomic"
	"time"

	"causeway/sfu/bandwidth"

	"github.com/pion/rtcp"
)

// estimates are for the way to a participant. It begins with what most can take: what is too much is noticed within a second.
var estimates = bandwidth.Limits{Least: 50_000, Most: 60_000_000, Start: 4_000_000}

// begun is when the process began; times of packets are in microseconds since.
var begun = time.Now()

func micros() int64 { return time.Since(begun).Microseconds() }

// transport numbers the packets that go to a peer, and estimates how much the way there takes. It is a track.Transport.
type transport struct {
	pictures atomic.Bool // the peer gets pictures, too

	mu   sync.Mutex // guards what follows
	next uint16
	est  *bandwidth.Estimator
	fed  uint32 // the first packet and the number of the last feedback

	repeats    int   // bytes that may be sent again now
	repeatedAt int64 // when they were counted, in microseconds
}

// estimator gives the estimator; t.mu is held.
func (t *transport) estimator() *bandwidth.Estimator {
	if t.est == nil {
		t.est = bandwidth.NewEstimator(estimates)
	}
	return t.est
}

// Next gives the number of the next packet, which has a size in bytes. Sound alone has none: of that nothing could be left out, whatever the
// feedback on it said, and the feedback of everybody who listens is a part of what listeners cost.
func (t *transport) Next(size int, video bool) (uint16, bool) {
	if !video && !t.pictures.Load() {
		return 0, false
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.next++
	t.estimator().Sent(t.next, size, micros())
	return t.next, true
}

const (
	// repeatShare is of which part of the estimate packets may be sent again: on a way that is full they make it fuller, and who asks for them asks again.
	repeatShare = 2
	// leastRepeats is how many bytes may be sent again at once, however little the way takes.
	leastRepeats = 12_000
)

// Repeat is whether a packet may be sent again now, which has a size in bytes.
func (t *transport) Repeat(size int) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	at, rate := micros(), t.estimator().Estimate()/8/repeatShare
	passed := int64(1_000_000)
	if t.repeatedAt > 0 {
		passed = min(at-t.repeatedAt, passed)
	}
	t.repeats = min(max(rate/4, leastRepeats), t.repeats+int(int64(rate)*passed/1_000_000))
	t.repeatedAt = at
	if t.repeats < size {
		return false
	}
	t.repeats -= size
	return true
}

// Lost takes how much of what was sent is lost, from 0 to 1.
func (t *transport) Lost(fraction float64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.estimator().Lost(fraction, micros())
}

// feedback takes what the peer says of when packets have come. What is in one packet with reports on several streams comes once for each of
// them, and counts once.
func (t *transport) feedback(f *rtcp.TransportLayerCC) {
	t.mu.Lock()
	defer t.mu.Unlock()
	name := uint32(f.BaseSequenceNumber)<<8 | uint32(f.FbPktCount) | 1<<24
	if name == t.fed {
		return
	}
	t.fed = name
	t.estimator().Feedback(f, micros())
}

// budget gives how many bits per second can be sent, and says how many would be.
func (t *transport) budget(want int) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	e := t.estimator()
	e.Want(want)
	return e.Estimate()
}

// probe gives how many bytes are to be sent now, to find out whether more comes through, and whether more are to be a moment later.
func (t *transport) probe() (bytes int, running bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	rate, bytes := t.estimator().ProbeDue(micros())
	return bytes, rate > 0
}
