package irc

import (
	"sync"

	"maunium.net/go/mautrix/bridgev2/networkid"
)

const (
	// maxRecent is the number of messages of a network whose text is at hand, for the quotation in a reply and for what has
	// changed in an edit. They are in memory only: the homeserver is where messages are kept, and where they are deleted.
	maxRecent = 1000
	// maxRecentBytes is the longest text that is kept.
	maxRecentBytes = 4096
)

// said is what somebody said.
type said struct {
	nick  string
	lines []string // without codes
}

// recentTexts are the last messages of a network.
type recentTexts struct {
	mu    sync.Mutex // guards what follows
	texts map[networkid.MessageID]said
	order []networkid.MessageID // oldest first; some may be gone
}

// put keeps a text, in place of what was kept for the message.
func (r *recentTexts) put(id networkid.MessageID, s said) {
	size := 0
	for _, line := range s.lines {
		size += len(line)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if size > maxRecentBytes {
		delete(r.texts, id)
		return
	}
	if r.texts == nil {
		r.texts = map[networkid.MessageID]said{}
	}
	if _, known := r.texts[id]; !known {
		r.order = append(r.order, id)
	}
	r.texts[id] = s
	for len(r.order) > maxRecent {
		delete(r.texts, r.order[0])
		r.order = r.order[1:]
	}
}

func (r *recentTexts) get(id networkid.MessageID) (said, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s, ok := r.texts[id]
	return s, ok
}

// forget drops the text of a message that was taken back.
func (r *recentTexts) forget(id networkid.MessageID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.texts, id)
}
