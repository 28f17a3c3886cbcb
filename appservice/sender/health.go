package sender

import (
	"sync"
	"time"
)

// Status is how an application service is doing.
type Status struct {
	ID          string
	Pos         int64  // the stream was looked at up to here
	Behind      int64  // positions between Pos and the end of the stream
	Failures    int    // failed attempts since the last transaction was acknowledged
	LastError   string // of the last of them, "" when there was none
	RetryTS     int64  // when the next attempt is due, in milliseconds; 0 when there were no failures
	DeliveredTS int64  // when a transaction was last acknowledged, 0 before the first since the start
}

// health is the part of a worker that others may look at.
type health struct {
	mu     sync.Mutex // guards status
	status Status
}

func (h *health) moved(pos int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.status.Pos = pos
}

func (h *health) delivered() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.status.Failures, h.status.LastError, h.status.RetryTS = 0, "", 0
	h.status.DeliveredTS = time.Now().UnixMilli()
}

func (h *health) failed(err error, pause time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.status.Failures++
	h.status.LastError = err.Error()
	h.status.RetryTS = time.Now().Add(pause).UnixMilli()
}

func (h *health) get() Status {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.status
}
