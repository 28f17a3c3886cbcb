package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// deliverSeries marks the messages of this load; they are told from the
	// warm-up's by it.
	deliverSeries = "d"
	// maxInFlight is how many PUTs may wait for their answers at once. Further
	// messages wait here, and the wait counts.
	maxInFlight = 128
	// drainFor is how long the reader waits for the last messages.
	drainFor = 10 * time.Second
	// maxMessages bounds one run, and so the memory of this process.
	maxMessages = 5_000_000
)

// deliverLoad sends at a constant rate, whether or not the server keeps up,
// and measures from the start of each PUT until the event is in the answer to
// the reader's /sync. (A load that waited for the server would leave out the
// very moments in which the server is slow.)
type deliverLoad struct {
	rate     float64
	size     int
	duration time.Duration

	drain   time.Duration // how long to wait for the last messages
	site    *site
	sender  *user
	roomID  string
	reader  *reader
	letters []letter
}

// letter is one message on its way. Times are nanoseconds since the load's
// start, plus one; 0 means not yet.
type letter struct {
	start, acked, seen atomic.Int64
	times              atomic.Int32 // how often it was seen
}

// prepare makes a room with the two users, and reads it once.
func (l *deliverLoad) prepare(ctx context.Context, s *site, users []*user) error {
	count := l.rate * l.duration.Seconds()
	if l.rate <= 0 || l.rate > maxRate || count < 1 || count > maxMessages {
		return fmt.Errorf("--rate must be from 1 to %d, and the whole run no more than %d messages", maxRate, maxMessages)
	}
	l.letters, l.drain = make([]letter, int(count)), drainFor
	l.site, l.sender = s, users[0]
	var err error
	if l.roomID, err = s.createRoom(ctx, users[0]); err != nil {
		return err
	}
	if err := s.join(ctx, users[1], l.roomID); err != nil {
		return err
	}
	warm, err := s.newPutter(ctx, users[0], l.roomID, l.size)
	if err != nil {
		return err
	}
	for n := range warmUps {
		if err := warm.put(s.mark("w", n)); err != nil {
			return fmt.Errorf("send the first message: %w", err)
		}
	}
	l.reader, err = newReader(ctx, s, users[1], l.roomID)
	return err
}

// run sends all messages, waits until they were read, and looks for those
// that were lost, doubled or out of order.
func (l *deliverLoad) run(ctx context.Context) (Result, error) {
	result := Result{Workload: "deliver", Senders: 1, Rooms: 1, Offered: l.rate}
	start := time.Now()
	inbox := newInbox(l.letters, start)
	reading, stopReading := context.WithCancel(ctx)
	go func() { inbox.ended <- l.reader.follow(reading, inbox.seen) }()
	sent := l.send(ctx, start)
	result.Seconds = time.Since(start).Seconds()
	inbox.await(ctx, l.drain)
	stopReading()
	err := <-inbox.ended
	if ctx.Err() != nil {
		return Result{}, ctx.Err()
	}
	if !errors.Is(err, context.Canceled) {
		return Result{}, fmt.Errorf("read /sync: %w", err)
	}
	if sent.err != nil {
		return Result{}, sent.err
	}
	result.Errors = sent.errors
	result.addErrors(sent.texts)
	result.Gaps = l.reader.gaps
	l.tally(inbox.arrived, &result)
	return result, nil
}

// inbox is what the reader has of the load. One goroutine fills it.
type inbox struct {
	letters  []letter
	start    time.Time
	missing  int
	arrived  []int         // in the order of the reader's answers
	complete chan struct{} // closed when every letter was seen
	ended    chan error    // gets the error with which the reader ended
}

func newInbox(letters []letter, start time.Time) *inbox {
	return &inbox{
		letters: letters, start: start, missing: len(letters),
		complete: make(chan struct{}), ended: make(chan error, 1),
	}
}

// seen notes that letter n was in an answer that was read at a time.
func (b *inbox) seen(n int, at time.Time) {
	if n < 0 || n >= len(b.letters) {
		return
	}
	b.arrived = append(b.arrived, n)
	if b.letters[n].times.Add(1) > 1 {
		return
	}
	b.letters[n].seen.Store(int64(at.Sub(b.start)) + 1)
	if b.missing--; b.missing == 0 {
		close(b.complete)
	}
}

// await ends when every letter was seen, or nothing more is to be expected.
func (b *inbox) await(ctx context.Context, atMost time.Duration) {
	timer := time.NewTimer(atMost)
	defer timer.Stop()
	select {
	case <-b.complete:
	case <-timer.C:
	case <-ctx.Done():
	case err := <-b.ended:
		b.ended <- err // for the caller
	}
}

// sending is how the PUTs of a load went.
type sending struct {
	errors int
	texts  []string
	err    error // what ended the load early
}

// send starts each message at its time and returns when all were answered.
func (l *deliverLoad) send(ctx context.Context, start time.Time) sending {
	queue := make(chan int, len(l.letters)) // never full: the arrivals must not wait
	var (
		mu      sync.Mutex // guards sent
		sent    sending
		workers sync.WaitGroup
	)
	for range min(maxInFlight, len(l.letters)) {
		p, err := l.site.newPutter(ctx, l.sender, l.roomID, l.size)
		if err != nil {
			close(queue)
			return sending{err: err}
		}
		workers.Go(func() {
			for n := range queue {
				err := p.put(l.site.mark(deliverSeries, n))
				if err == nil {
					l.letters[n].acked.Store(int64(time.Since(start)) + 1)
					continue
				}
				mu.Lock()
				sent.errors++
				sent.texts = keepText(sent.texts, err.Error())
				mu.Unlock()
			}
		})
	}
	err := l.arrivals(ctx, start, queue)
	close(queue)
	workers.Wait()
	sent.err = err
	return sent
}

// arrivals puts the messages into the queue at a constant rate.
func (l *deliverLoad) arrivals(ctx context.Context, start time.Time, queue chan<- int) error {
	interval := float64(time.Second) / l.rate
	for n := range l.letters {
		due := time.Duration(float64(n) * interval)
		if wait := due - time.Since(start); wait > 0 {
			if err := pause(ctx, wait); err != nil {
				return err
			}
		}
		l.letters[n].start.Store(int64(time.Since(start)) + 1)
		queue <- n
	}
	return nil
}

// tally compares what was sent with what arrived.
func (l *deliverLoad) tally(arrived []int, result *Result) {
	var samples []time.Duration
	for i := range l.letters {
		letter := &l.letters[i]
		acked, seen, times := letter.acked.Load(), letter.seen.Load(), letter.times.Load()
		if acked > 0 {
			result.Sent++
		}
		switch {
		case acked > 0 && times == 0:
			result.Lost++
		case times > 1:
			result.Doubled++
		}
		if times > 0 {
			samples = append(samples, time.Duration(seen-letter.start.Load()))
		}
	}
	result.PerSecond = float64(result.Sent) / result.Seconds
	result.Latencies = latencies(samples)
	result.OutOfOrder = l.outOfOrder(arrived)
}

// outOfOrder counts messages that came after one that was sent later. Two
// PUTs that overlapped may come in either order; one that was acknowledged
// before another began must come first.
func (l *deliverLoad) outOfOrder(arrived []int) int {
	count := 0
	var latestStart int64 // of the messages that came so far
	for _, n := range arrived {
		if acked := l.letters[n].acked.Load(); acked > 0 && acked < latestStart {
			count++
		}
		latestStart = max(latestStart, l.letters[n].start.Load())
	}
	return count
}
