package irc

import "sync"

// maxMailbox is the number of Matrix messages that one client may hold before it refuses more.
const maxMailbox = 2000

// mailbox is how other goroutines reach a client. Putting something in never waits: whoever does so may hold
// bridgev2's lock on a room, which the client's own way to Matrix needs.
type mailbox struct {
	bell chan struct{} // of size 1

	mu    sync.Mutex // guards what follows
	queue []request
}

// request is something to be done in the client's goroutine.
type request interface {
	apply(c *client)
}

func newMailbox() mailbox { return mailbox{bell: make(chan struct{}, 1)} }

// add puts a request in, and reports false when the mailbox is full.
func (m *mailbox) add(r request) bool {
	m.mu.Lock()
	full := len(m.queue) >= maxMailbox
	if !full {
		m.queue = append(m.queue, r)
	}
	m.mu.Unlock()
	if full {
		return false
	}
	select {
	case m.bell <- struct{}{}:
	default:
	}
	return true
}

// take empties the mailbox.
func (m *mailbox) take() []request {
	m.mu.Lock()
	defer m.mu.Unlock()
	queue := m.queue
	m.queue = nil
	return queue
}
