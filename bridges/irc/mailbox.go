package irc

import "sync"

// maxMailbox is the number of requests beyond which a client takes no more messages. Comings and goings, which are
// few, are always taken: nobody would repeat them.
const maxMailbox = 2000

// mailbox is how other goroutines reach a client. Putting something in never waits: whoever does so may hold
// bridgev2's lock on a room, which the client's own way to Matrix needs.
type mailbox struct {
	bell chan struct{} // of size 1

	mu     sync.Mutex // guards what follows
	queue  []request
	closed bool
}

// request is something to be done in the client's goroutine.
type request interface {
	apply(c *client)
}

func newMailbox() mailbox { return mailbox{bell: make(chan struct{}, 1)} }

// add puts a request in. It reports false for a message that is one too many, and after close.
func (m *mailbox) add(r request) bool {
	m.mu.Lock()
	full := m.closed || isBounded(r) && len(m.queue) >= maxMailbox
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

// isBounded reports whether a request is of those that people make as often as they like.
func isBounded(r request) bool {
	switch r.(type) {
	case *send, editRequest, changeRequest, typingRequest, typingReaders:
		return true
	}
	return false
}

// take empties the mailbox.
func (m *mailbox) take() []request {
	m.mu.Lock()
	defer m.mu.Unlock()
	queue := m.queue
	m.queue = nil
	return queue
}

// close takes nothing more, because the client ends, and returns what is left.
func (m *mailbox) close() []request {
	m.mu.Lock()
	m.closed = true
	m.mu.Unlock()
	return m.take()
}

func (m *mailbox) isClosed() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.closed
}
