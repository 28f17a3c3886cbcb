package sender

import (
	"sync"
	"time"
)

// Status is how an application service is doing. All times are in milliseconds, and 0 for never.
type Status struct {
	ID           string
	Pos          int64  // the stream is done with up to here: acknowledged, or of no concern to the service
	Behind       int64  // events of the stream after Pos, whomever they concern, as of the last tick
	OldestTS     int64  // since when the oldest of what waits for the service has been waiting; 0 when nothing waits
	LastError    string // of the newest attempt to deliver, "" when it was acknowledged
	FailingSince int64  // when the first of the attempts failed that have all failed since; 0 when the newest was acknowledged
	Pending      bool   // a transaction is stored that is not acknowledged

	Failures    int   // failed attempts since the last transaction was acknowledged
	RetryTS     int64 // when the next attempt is due: the service is paused until then, or until a sign of life
	DeliveredTS int64 // when a transaction was last acknowledged since the start
}

// health is the part of a worker that others may look at.
type health struct {
	mu     sync.Mutex // guards all below
	status Status
	looked int64 // the stream was looked at up to here
}

// moved says how far the worker has looked, what is done with, and whether a transaction waits for its acknowledgement.
func (h *health) moved(looked, done int64, pending bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.looked, h.status.Pos, h.status.Pending = looked, done, pending
}

func (h *health) delivered() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.status.Failures, h.status.LastError, h.status.RetryTS, h.status.FailingSince = 0, "", 0, 0
	h.status.DeliveredTS = time.Now().UnixMilli()
}

func (h *health) failed(err error, pause time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := time.Now()
	if h.status.Failures++; h.status.FailingSince == 0 {
		h.status.FailingSince = now.UnixMilli()
	}
	h.status.LastError = clean(err.Error())
	h.status.RetryTS = now.Add(pause).UnixMilli()
}

func (h *health) get() (status Status, looked int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.status, h.looked
}
