package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

const (
	// maxFailures in a row end a sender: the server is gone, and counting on
	// would only heat the processor.
	maxFailures = 50
	// afterFailure is the pause of a sender after an error.
	afterFailure = 20 * time.Millisecond
	// warmUps is how many messages each sender sends before the clock starts,
	// so that connections and the server's caches are there.
	warmUps = 2
	// keptErrors is how many different error texts are reported.
	keptErrors = 5
)

// sendLoad is senders that each send the next message once the last one is
// acknowledged: it asks how many a server can take.
type sendLoad struct {
	senders, rooms, size int
	duration             time.Duration

	site    *site
	putters []*putter
}

// prepare makes the rooms, and everyone a member of theirs.
func (l *sendLoad) prepare(ctx context.Context, s *site, users []*user) error {
	l.site = s
	rooms := l.rooms
	if rooms == 0 {
		rooms = l.senders
	}
	if rooms < 0 || rooms > l.senders {
		return fmt.Errorf("--rooms must be from 0 to the number of senders, %d", l.senders)
	}
	roomIDs := make([]string, rooms)
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(setupAtOnce)
	for i := range roomIDs {
		group.Go(func() (err error) {
			roomIDs[i], err = s.createRoom(groupCtx, users[i])
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	for i, u := range users {
		roomID := roomIDs[i%rooms]
		if i >= rooms {
			if err := s.join(ctx, u, roomID); err != nil {
				return err
			}
		}
		p, err := s.newPutter(ctx, u, roomID, l.size)
		if err != nil {
			return err
		}
		for n := range warmUps {
			if err := p.put(s.mark("w"+strconv.Itoa(i), n)); err != nil {
				return fmt.Errorf("send the first message: %w", err)
			}
		}
		l.putters = append(l.putters, p)
	}
	return nil
}

// run sends until the time is up, and waits for the last answers.
func (l *sendLoad) run(ctx context.Context) (Result, error) {
	ctx, cancel := context.WithTimeout(ctx, l.duration)
	defer cancel()
	senders := make([]sender, len(l.putters))
	var running sync.WaitGroup
	start := time.Now()
	for i := range senders {
		senders[i] = sender{putter: l.putters[i], series: "s" + strconv.Itoa(i)}
		running.Go(func() { senders[i].run(ctx) })
	}
	running.Wait()
	elapsed := time.Since(start)
	result := Result{Workload: "send", Senders: l.senders, Rooms: cmp.Or(l.rooms, l.senders), Seconds: elapsed.Seconds()}
	var samples []time.Duration
	for _, s := range senders {
		samples = append(samples, s.samples...)
		result.Errors += s.errors
		result.addErrors(s.texts)
	}
	result.Sent = len(samples)
	result.PerSecond = float64(result.Sent) / elapsed.Seconds()
	result.Latencies = latencies(samples)
	return result, nil
}

// sender is one goroutine's share of a sendLoad.
type sender struct {
	*putter
	series  string
	samples []time.Duration
	errors  int
	texts   []string
}

// run sends until ctx ends or nothing but errors comes back. A message that is
// under way when ctx ends is waited for, so that none is counted as an error.
func (s *sender) run(ctx context.Context) {
	for n, inARow := 0, 0; ctx.Err() == nil && inARow < maxFailures; n++ {
		start := time.Now()
		err := s.put(s.site.mark(s.series, n))
		if err == nil {
			s.samples = append(s.samples, time.Since(start))
			inARow = 0
			continue
		}
		inARow++
		s.errors++
		s.texts = keepText(s.texts, err.Error())
		if pause(ctx, afterFailure) != nil {
			return
		}
	}
}

// keepText appends a text that is not in the list, up to keptErrors.
func keepText(texts []string, text string) []string {
	if len(texts) < keptErrors && !slices.Contains(texts, text) {
		texts = append(texts, text)
	}
	return texts
}

// mark names message n of a series of this run: "run-series-n".
func (s *site) mark(series string, n int) string {
	return s.run + "-" + series + "-" + strconv.Itoa(n)
}
