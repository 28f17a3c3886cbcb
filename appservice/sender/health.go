package sender

import (
	"sync"
	"time"

	"causeway/homeserver/store"
)

// aliveGap is the least time between two pauses that signs of life end.
const aliveGap = 10 * time.Second

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
	txn    int64 // of the newest transaction
	tried  int64 // when a sign of life last ended a pause, in milliseconds
}

// moved says how far the worker has looked, and what is stored or about to be.
func (h *health) moved(looked int64, cursor store.AppService) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.looked, h.txn, h.status.Pos, h.status.Pending = looked, cursor.Txn, cursor.Pos, cursor.Pending != nil
}

// counted says how many events are behind the position.
func (h *health) counted(n int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.status.Behind = n
}

// wake tells whether a sign of life is to end a pause now. It does so once in a while only: a service that asks things but takes nothing
// is not to be tried for each of its requests.
func (h *health) wake() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := time.Now().UnixMilli()
	if h.status.RetryTS == 0 || now-h.tried < aliveGap.Milliseconds() {
		return false
	}
	h.tried = now
	return true
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

func (h *health) get() (status Status, txn int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.status, h.txn
}

// position returns how far the stream was looked at.
func (h *health) position() int64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.looked
}
