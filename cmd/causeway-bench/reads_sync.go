package main

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"
)

const (
	syncPath = "/_matrix/client/v3/sync"
	// bigSyncs is how often an answer of all rooms is asked for, and quietSyncs one with nothing in it.
	bigSyncs   = 5
	quietSyncs = 1000
	// calls is how many messages are told to all that wait, and callEvery the pause between two.
	calls     = 40
	callEvery = 500 * time.Millisecond
	// deliveryBound is how long a message may take to those who wait before the run counts as failed.
	deliveryBound = 30 * time.Second
)

// crowdOf measures /sync of an account in many rooms of many members.
func (s *stage) crowdOf(ctx context.Context, r *reads) error {
	people, err := s.cast(ctx, r.members)
	if err != nil {
		return err
	}
	rooms, err := s.halls(ctx, people[0], r.rooms)
	if err != nil {
		return err
	}
	if err := s.fill(ctx, rooms, people[1:]); err != nil {
		return err
	}
	for i, roomID := range rooms {
		if err := s.say(ctx, people[i%len(people)], roomID, "c"+strconv.Itoa(i), 10, func(i int) string { return "hello " + strconv.Itoa(i) }); err != nil {
			return err
		}
	}
	about := fmt.Sprintf("%d rooms of %d", r.rooms, r.members)
	lazy := "?filter=" + url.QueryEscape(`{"room":{"state":{"lazy_load_members":true}}}`)
	var answer bytes.Buffer
	if err := s.times(ctx, "initial sync, "+about+", lazy loading", bigSyncs, func(int) (int64, error) {
		return s.get(ctx, people[0], http.MethodGet, syncPath+lazy, nil, &answer)
	}); err != nil {
		return err
	}
	since, err := nextBatch(answer.Bytes())
	if err != nil {
		return err
	}
	if err := s.times(ctx, "initial sync, "+about+", all members", bigSyncs, func(int) (int64, error) {
		return s.get(ctx, people[0], http.MethodGet, syncPath, nil, nil)
	}); err != nil {
		return err
	}
	return s.times(ctx, "sync with nothing new, "+about, quietSyncs, func(int) (int64, error) {
		size, err := s.get(ctx, people[0], http.MethodGet, syncPath+lazy+"&timeout=0&since="+since, nil, &answer)
		if err == nil {
			since, err = nextBatch(answer.Bytes())
		}
		return size, err
	})
}

// parkedOf measures clients that wait in /sync: what they cost, and how long one message takes to all of them.
func (s *stage) parkedOf(ctx context.Context, r *reads) error {
	people, err := s.strangers(ctx, r.parked+1)
	if err != nil {
		return err
	}
	speaker := people[r.parked]
	rooms, err := s.halls(ctx, speaker, 1)
	if err != nil {
		return err
	}
	people = people[:r.parked]
	if err := s.fill(ctx, rooms, people); err != nil {
		return err
	}
	before, err := readUsage(s.server.pid())
	if err != nil {
		return err
	}
	hall := &hall{stage: s, roomID: rooms[0], speaker: speaker, heard: make(chan heard, r.parked)}
	ctx, stop := context.WithCancel(ctx)
	var listeners errgroup.Group
	for _, u := range people {
		listeners.Go(func() error { return hall.listen(ctx, u) })
	}
	err = hall.measure(ctx, before, r.parked)
	stop()
	if failed := listeners.Wait(); err == nil {
		err = failed
	}
	return err
}

// hall is a room in which many wait for what one says.
type hall struct {
	*stage
	roomID  string
	speaker *user
	heard   chan heard
}

// heard is that one of those who wait has had a message.
type heard struct {
	n  int
	at time.Time
}

// listen follows /sync, and tells of each message.
func (h *hall) listen(ctx context.Context, u *user) error {
	var answer bytes.Buffer
	filter := "?filter=" + url.QueryEscape(`{"room":{"state":{"lazy_load_members":true},"timeline":{"limit":50}},"presence":{"not_types":["*"]}}`)
	if _, err := h.get(ctx, u, http.MethodGet, syncPath+filter+"&timeout=0", nil, &answer); err != nil {
		return quietly(ctx, err)
	}
	since, err := nextBatch(answer.Bytes())
	if err != nil {
		return err
	}
	h.heard <- heard{n: -1}
	mark := []byte(`"body":"call `)
	for {
		if _, err := h.get(ctx, u, http.MethodGet, syncPath+filter+"&timeout=60000&since="+since, nil, &answer); err != nil {
			return quietly(ctx, err)
		}
		at := time.Now()
		if since, err = nextBatch(answer.Bytes()); err != nil {
			return err
		}
		for rest := answer.Bytes(); ; {
			i := bytes.Index(rest, mark)
			if i < 0 {
				break
			}
			rest = rest[i+len(mark):]
			n, err := strconv.Atoi(string(rest[:max(bytes.IndexByte(rest, '"'), 0)]))
			if err != nil {
				return err
			}
			h.heard <- heard{n: n, at: at}
		}
	}
}

// quietly takes the end of the measurement for no error.
func quietly(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

func (h *hall) measure(ctx context.Context, before usage, listeners int) error {
	for range listeners {
		if _, err := h.next(ctx); err != nil {
			return err
		}
	}
	// All have had their first answer; give the last of them the time to ask again.
	if err := pause(ctx, settle); err != nil {
		return err
	}
	idle, err := measure(ctx, h.server.pid(), (&idleLoad{duration: 2 * idleFor}).run)
	if err != nil {
		return err
	}
	h.add(Figure{
		Engine: h.engine, Name: fmt.Sprintf("%d clients parked in /sync for %s", listeners, 2*idleFor), N: listeners, Process: idle.Process,
		Note: fmt.Sprintf("%.1f kB each", float64(idle.Process.RSSPeak-before.rss)/float64(listeners)/1e3),
	})
	f := Figure{Engine: h.engine, Name: fmt.Sprintf("one message to %d who wait", listeners), N: calls * listeners}
	var whole []time.Duration
	result, err := measure(ctx, h.server.pid(), func(ctx context.Context) (Result, error) {
		var samples []time.Duration
		for n := range calls {
			start := time.Now()
			path := "/_matrix/client/v3/rooms/" + url.PathEscape(h.roomID) + "/send/m.room.message/" + h.mark("call", n)
			if err := h.call(ctx, h.speaker.token, http.MethodPut, path, map[string]string{"msgtype": "m.text", "body": "call " + strconv.Itoa(n)}, nil); err != nil {
				return Result{}, err
			}
			last := start
			for range listeners {
				got, err := h.next(ctx)
				if err != nil {
					return Result{}, err
				}
				if got.n != n {
					return Result{}, fmt.Errorf("message %d came while %d was awaited", got.n, n)
				}
				samples = append(samples, got.at.Sub(start))
				if got.at.After(last) {
					last = got.at
				}
			}
			whole = append(whole, last.Sub(start))
			if err := pause(ctx, callEvery); err != nil {
				return Result{}, err
			}
		}
		f.Latencies = latencies(samples)
		return Result{}, nil
	})
	if err != nil {
		return err
	}
	f.Process = result.Process
	all := latencies(whole)
	f.Note = fmt.Sprintf("until the last has it: p50 %.0f ms, max %.0f ms; the load generator shares the cores", all.P50MS, all.MaxMS)
	h.add(f)
	return nil
}

func (h *hall) next(ctx context.Context) (heard, error) {
	ctx, cancel := context.WithTimeout(ctx, deliveryBound)
	defer cancel()
	select {
	case got := <-h.heard:
		return got, nil
	case <-ctx.Done():
		return heard{}, fmt.Errorf("wait for those who listen: %w", ctx.Err())
	}
}
