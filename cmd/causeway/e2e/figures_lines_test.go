package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// lines are those of one run, by number, with when they were said and when they arrived on each side.
type lines struct {
	way   way
	paced bool
	began time.Time
	all   []line
	rooms []chan struct{} // of each speaker: one for each line that may be on its way

	processor time.Duration // that the server took for them
	lastEnd   atomic.Int64
	awaited   sync.WaitGroup
	doubled   atomic.Int64
}

// line has times since the epoch in nanoseconds, 0 while there is none.
type line struct{ said, onIRC, onMatrix atomic.Int64 }

const lineMark = "figure "

func newLines(way way, paced bool, count, speakers int) *lines {
	l := &lines{way: way, paced: paced, all: make([]line, count)}
	for range speakers {
		room := make(chan struct{}, inFlight/speakers)
		for range cap(room) {
			room <- struct{}{}
		}
		l.rooms = append(l.rooms, room)
	}
	l.awaited.Add(2 * count) // each on both sides
	return l
}

// take waits until the speaker of a line may have one more on its way.
func (l *lines) take(t *testing.T, n int) bool {
	select {
	case <-l.rooms[n%len(l.rooms)]:
		return true
	case <-time.After(patience):
		t.Errorf("no line has arrived for %v", patience)
		return false
	case <-t.Context().Done():
		return false
	}
}

func (l *lines) said(n int) { l.all[n].said.Store(time.Now().UnixNano()) }
func (l *lines) text(n int) string {
	return lineMark + itoa(n) + " of somebody who says something of usual length"
}

// arrived notes that a text was heard on a side.
func (l *lines) arrived(text string, onIRC bool, at time.Time) {
	rest, ours := strings.CutPrefix(text, lineMark)
	digits, _, _ := strings.Cut(rest, " ")
	n, err := strconv.Atoi(digits)
	if !ours || err != nil || n >= len(l.all) {
		return
	}
	heard := &l.all[n].onMatrix
	if onIRC {
		heard = &l.all[n].onIRC
	}
	if !heard.CompareAndSwap(0, at.UnixNano()) {
		l.doubled.Add(1)
		return
	}
	if onIRC == (l.way == toIRC) {
		l.lastEnd.Store(at.UnixNano())
		l.rooms[n%len(l.rooms)] <- struct{}{}
	}
	l.awaited.Done()
}

// await returns when all lines have arrived on both sides.
func (l *lines) await(t *testing.T) {
	t.Helper()
	done := make(chan struct{})
	go func() { l.awaited.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(patience):
		for n := range l.all {
			if e := &l.all[n]; e.onIRC.Load() == 0 || e.onMatrix.Load() == 0 {
				t.Fatalf("line %d of %d has not arrived on both sides after %v", n, len(l.all), patience)
			}
		}
	}
	if n := l.doubled.Load(); n > 0 {
		t.Errorf("%d lines were doubled", n)
	}
}

func (l *lines) what() string {
	what := "IRC to /sync"
	if l.way == toIRC {
		what = "Matrix to IRC"
	}
	if l.paced {
		return fmt.Sprintf("%s, %d a second", what, pacedRate)
	}
	return what
}

// String is the cells of a table: lines, lines a second, how long they took to the other side and to the own one, and what each
// cost the server.
func (l *lines) String() string {
	var across, same []time.Duration
	for n := range l.all {
		e := &l.all[n]
		there, here := e.onMatrix.Load(), e.onIRC.Load()
		if l.way == toIRC {
			there, here = here, there
		}
		across = append(across, time.Duration(there-e.said.Load()))
		same = append(same, time.Duration(here-e.said.Load()))
	}
	slices.Sort(across)
	slices.Sort(same)
	spent := time.Unix(0, l.lastEnd.Load()).Sub(l.began)
	return fmt.Sprintf(" %d | %.0f | %s | %s | %s | %s | %.2f |", len(l.all), float64(len(l.all))/spent.Seconds(),
		ms(at(across, 0.50)), ms(at(across, 0.95)), ms(at(across, 0.99)), ms(at(same, 0.50)),
		float64(l.processor.Microseconds())/1000/float64(len(l.all)))
}

// at is the smallest of sorted times that a share of them does not exceed.
func at(sorted []time.Duration, share float64) time.Duration {
	return sorted[min(int(share*float64(len(sorted))), len(sorted)-1)]
}

func ms(d time.Duration) string { return fmt.Sprintf("%.1f", float64(d.Microseconds())/1000) }

// ear hears what is said on both sides.
type ear struct {
	server  *causeway
	token   string
	hearing atomic.Pointer[lines]
}

func newEar(server *causeway, token string) *ear { return &ear{server: server, token: token} }

func (e *ear) hears(l *lines) { e.hearing.Store(l) }

func (e *ear) heard(text string, onIRC bool, at time.Time) {
	if l := e.hearing.Load(); l != nil {
		l.arrived(text, onIRC, at)
	}
}

// listenIRC hears a channel until the test ends.
func (e *ear) listenIRC(t *testing.T, room *bigRoom) {
	position := room.near.lines.position()
	go func() {
		for {
			entries, grown := room.near.lines.from(position)
			now := time.Now()
			for _, m := range entries {
				if m.Command == "PRIVMSG" {
					e.heard(m.Params[1], true, now)
				}
			}
			position += len(entries)
			if len(entries) > 0 {
				continue
			}
			select {
			case <-grown:
			case <-t.Context().Done():
				return
			}
		}
	}()
}

// listenMatrix hears all rooms by /sync, until the test ends.
func (e *ear) listenMatrix(t *testing.T) {
	t.Helper()
	since := e.sync(t, "", false)
	ended := make(chan struct{})
	t.Cleanup(func() { <-ended })
	go func() {
		defer close(ended)
		for t.Context().Err() == nil && since != "" {
			since = e.sync(t, since, true)
		}
	}()
}

// sync asks once, hears what came, and returns the next token; nothing, if the test has ended.
func (e *ear) sync(t *testing.T, since string, wait bool) string {
	query := url.Values{"filter": {`{"presence":{"not_types":["*"]},"room":{"timeline":{"limit":500},"ephemeral":{"not_types":["*"]}}}`}}
	if wait {
		query.Set("timeout", "10000")
		query.Set("since", since)
	}
	request, err := http.NewRequestWithContext(t.Context(), "GET", e.server.url("/_matrix/client/v3/sync?"+query.Encode()), nil)
	if err != nil {
		t.Error(err)
		return ""
	}
	request.Header.Set("Authorization", "Bearer "+e.token)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return ""
	}
	defer response.Body.Close()
	var answer struct {
		Next  string `json:"next_batch"`
		Rooms struct {
			Join map[string]struct {
				Timeline struct {
					Events []matrixEvent `json:"events"`
				} `json:"timeline"`
			} `json:"join"`
		} `json:"rooms"`
	}
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil {
		return ""
	}
	now := time.Now()
	for _, room := range answer.Rooms.Join {
		for _, event := range room.Timeline.Events {
			e.heard(event.text("body"), false, now)
		}
	}
	return answer.Next
}

// processorTime is what a process has used.
func processorTime(t *testing.T, pid int) time.Duration {
	t.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	// proc(5): fields 14 and 15, in hundredths of a second; the second field may hold anything.
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	var ticks time.Duration
	for _, field := range fields[11:13] {
		n, err := strconv.Atoi(field)
		if err != nil {
			t.Fatal(err)
		}
		ticks += time.Duration(n)
	}
	return ticks * 10 * time.Millisecond
}
