package sfu

import (
	"strings"
	"sync"
)

// qualities are up to which layer a participant wants each track that it gets, by the track's SID. Publishers read it.
type qualities struct {
	mu      sync.Mutex // guards highest
	highest map[string]int
}

func (q *qualities) set(sid string, layer int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.highest == nil {
		q.highest = map[string]int{}
	}
	q.highest[sid] = layer
}

func (q *qualities) drop(sid string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	delete(q.highest, sid)
}

// of gives the layer, or -1 for none, and whether the participant gets the track.
func (q *qualities) of(sid string) (int, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	layer, ok := q.highest[sid]
	return layer, ok
}

// codecName is what clients call a codec: "vp8" of "video/VP8".
func codecName(mimeType string) string {
	_, name, _ := strings.Cut(strings.ToLower(mimeType), "/")
	return name
}
