package sender

import (
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"causeway/homeserver/storetest"

	"github.com/rs/zerolog"
)

// logLines keeps what is logged.
type logLines struct {
	mu  sync.Mutex // guards all
	all []string
}

func (l *logLines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, string(p))
	return len(p), nil
}

// with returns how many lines have a text, at a level.
func (l *logLines) with(level, text string) (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, line := range l.all {
		if strings.Contains(line, `"level":"`+level+`"`) && strings.Contains(line, text) {
			n++
		}
	}
	return n
}

// TestLag follows what is said of a service that is down for a while, and of one beside it that is well.
func TestLag(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, storetest.New(t))
		down, well := newService(), newService()
		down.answers(http.StatusInternalServerError, "", nil)
		other := register(t, "well", `{"users":[{"regex":"@irc_.*"}]}`)
		log := new(logLines)
		s := h.senderOf(map[string]http.RoundTripper{"irc": down, "well": well}, newSet(t, ircRegistration(t), other))
		s.opt.Log = zerolog.New(log)
		s.jitter = noJitter
		stop := h.start(s)
		status := func(service string) Status {
			synctest.Wait()
			for _, status := range s.Status() {
				if status.ID == service {
					return status
				}
			}
			t.Fatalf("there is no status of %s", service)
			return Status{}
		}
		time.Sleep(time.Second)
		began := time.Now()
		h.room("bridged").say(ghost, "hello")
		time.Sleep(tick)
		got := status("irc")
		if !got.Pending || got.Behind < 1 || got.Behind > 3 || got.LastError == "" || got.OldestTS < began.UnixMilli() || got.OldestTS > began.Add(tick).UnixMilli() ||
			got.FailingSince < began.UnixMilli() || got.FailingSince > began.Add(tick).UnixMilli() {
			t.Errorf("status of the one that is down is %+v; it is %d", got, began.UnixMilli())
		}
		if got := status("well"); got.Behind != 0 || got.OldestTS != 0 || got.Pending || got.FailingSince != 0 || got.Pos != h.pos() {
			t.Errorf("status of the one that is well is %+v", got)
		}
		time.Sleep(lagAlarm - 2*tick)
		if n := log.with("warn", "is behind"); n != 0 {
			t.Errorf("there were %d alarms before the time", n)
		}
		time.Sleep(time.Hour)
		if n := log.with("warn", "is behind"); n != 1 {
			t.Errorf("there were %d alarms in an hour, want 1", n)
		}
		if again := status("irc"); again.OldestTS != got.OldestTS || again.FailingSince != got.FailingSince {
			t.Errorf("status is %+v after an hour, and was %+v", again, got)
		}
		down.answers(http.StatusOK, "", nil)
		s.Kick("irc")
		time.Sleep(2 * tick)
		if n := log.with("warn", "caught up"); n != 1 {
			t.Errorf("it was said %d times that it is over, want once", n)
		}
		if got := status("irc"); got.Behind != 0 || got.OldestTS != 0 || got.Pending || got.FailingSince != 0 || got.LastError != "" {
			t.Errorf("status after the end is %+v", got)
		}
		stop()
	})
}

// TestAlive has requests of a service end the pauses, but not each of them.
func TestAlive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, storetest.New(t))
		service := newService()
		service.answers(http.StatusInternalServerError, "", nil)
		s := h.sender(service, newSet(t, ircRegistration(t)))
		s.jitter = longPause
		stop := h.start(s)
		s.Alive("irc") // nothing waits
		s.Alive("nobody")
		h.room("bridged").say(ghost, "hello")
		service.next(t)
		tries := 0
		for range 20 { // two seconds apart
			synctest.Wait()
			s.Alive("irc")
			synctest.Wait()
			for len(service.requests) > 0 {
				service.next(t)
				tries++
			}
			time.Sleep(2 * time.Second)
		}
		if want := int(40 * time.Second / aliveGap); tries != want {
			t.Errorf("20 signs of life in 40 seconds led to %d tries, want %d", tries, want)
		}
		if got := s.Status()[0].Failures; got != tries+1 {
			t.Errorf("there were %d failures, want %d: a sign of life is no success", got, tries+1)
		}
		stop()
	})
}

func TestStreamClock(t *testing.T) {
	var c streamClock
	if got := c.passed(5, 77); got != 77 {
		t.Errorf("an empty clock says %d, want now", got)
	}
	for i := range int64(3 * maxMarks) {
		c.note(i/2, 10*i) // every other says nothing new
	}
	if len(c.marks) > maxMarks {
		t.Errorf("there are %d marks, want at most %d", len(c.marks), maxMarks)
	}
	for _, pos := range []int64{0, 1, 100, 3*maxMarks/2 - 2} {
		got := c.passed(pos, -1)
		if want := 20 * (pos + 1); got < want || got > want+80 {
			t.Errorf("the stream passed %d at %d, want about %d", pos, got, want)
		}
	}
	if got := c.passed(3*maxMarks/2-1, 77); got != 77 {
		t.Errorf("where the stream has not been it says %d, want now", got)
	}
}
