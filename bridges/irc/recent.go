package irc

import (
	"sync"

	"maunium.net/go/mautrix/bridgev2/networkid"
)

// What is kept of the texts of a network, for the quotation in a reply and for what has changed in an edit: so many
// messages, so many bytes of one and of all. It is in memory only: the homeserver is where messages are kept, and where
// they are deleted.
const (
	maxRecent      = 1000
	maxRecentBytes = 32 << 10
	maxRecentTotal = 4 << 20
)

// said is what somebody said.
type said struct {
	nick  string
	lines []string // without codes
}

func (s said) size() int {
	size := len(s.nick)
	for _, line := range s.lines {
		size += len(line)
	}
	return size
}

// recentTexts are the last messages of a network.
type recentTexts struct {
	mu    sync.Mutex // guards what follows
	texts map[networkid.MessageID]said
	order []networkid.MessageID // oldest first; some may be gone
	bytes int
}

// put keeps a text, in place of what was kept for the message.
func (r *recentTexts) put(id networkid.MessageID, s said) {
	r.mu.Lock()
	defer r.mu.Unlock()
	_, known := r.texts[id]
	r.drop(id)
	if s.size() > maxRecentBytes {
		return
	}
	if r.texts == nil {
		r.texts = map[networkid.MessageID]said{}
	}
	if !known {
		r.order = append(r.order, id)
	}
	r.texts[id] = s
	r.bytes += s.size()
	for len(r.order) > maxRecent || r.bytes > maxRecentTotal {
		r.drop(r.order[0])
		r.order = r.order[1:]
	}
}

// drop takes a text out; the caller holds mu.
func (r *recentTexts) drop(id networkid.MessageID) {
	r.bytes -= r.texts[id].size()
	delete(r.texts, id)
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
	r.drop(id)
}
