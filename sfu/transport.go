package sfu

import (
	"sync"

	"github.com/pion/rtcp"
)

// transport numbers the packets that go to a peer. It is a track.Transport.
type transport struct {
	mu   sync.Mutex // guards what follows
	next uint16
}

// Next gives the number of the next packet, which has a size in bytes.
func (t *transport) Next(int) uint16 {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.next++
	return t.next
}

// feedback takes what the peer says of when packets have come.
func (t *transport) feedback(*rtcp.TransportLayerCC) {}
