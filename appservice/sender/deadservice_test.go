package sender

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"causeway/homeserver/storetest"

	"maunium.net/go/mautrix/id"
)

// TestDevicesOfDeadService keeps whose devices are others, who is gone, and how many keys are left, for a service that is down, while the
// server restarts twice.
func TestDevicesOfDeadService(t *testing.T) {
	h, path := newFile(t)
	set := newSet(t, fullRegistration(t))
	service := newService()
	service.answers(http.StatusBadGateway, "", nil)
	down := func() (stop func()) {
		s := h.sender(service, set)
		s.jitter = longPause
		return h.start(s)
	}
	stop := down()
	h.account(ghost, "irc")
	h.keys(ghost, 5)
	r := h.room("bridged")
	for _, user := range []id.UserID{ghost, "@bob:test", "@carol:test"} {
		r.member(user, "join")
	}
	first := service.next(t)
	h.devicesChanged(alice)
	h.claim(ghost)
	r.member("@bob:test", "leave")
	stop()
	h.reopen(path)
	stop = down()
	if again := service.next(t); !sameRequest(first, again) {
		t.Errorf("after a restart the service got\n%s, want\n%s", again.body, first.body)
	}
	h.claim(ghost)
	h.devicesChanged("@carol:test")
	r.member("@dave:test", "join")
	stop()
	h.reopen(path)
	h.claim(ghost) // while nothing runs
	h.devicesChanged("@dave:test")
	service.answers(http.StatusOK, "{}", nil)
	stop = h.start(h.sender(service, set))
	r.say(alice, "end")
	got := service.until(t, "end")
	stop()
	// What the first transaction had is in it again.
	changed := unique(got.changed)
	slices.Sort(changed)
	// Whether it is told that bob is new depends on whether the first transaction was made before he came: he has left since.
	changed = slices.DeleteFunc(changed, func(user string) bool { return user == "@bob:test" })
	same(t, "changed", changed, []string{string(alice), "@carol:test", "@dave:test", string(ghost)})
	same(t, "left", unique(got.left), []string{"@bob:test"})
	if got.counts[ghost] != 2 {
		t.Errorf("the ghost has %d keys, want 2", got.counts[ghost])
	}
	// It is told once: another start begins behind it.
	h.reopen(path)
	stop = h.start(h.sender(service, set))
	r.say(alice, "after")
	got = service.until(t, "after")
	stop()
	same(t, "changed", got.changed, nil)
	same(t, "left", got.left, nil)
	if len(got.counts) != 0 {
		t.Errorf("it is told of %v again", got.counts)
	}
}

// hungQueries acknowledges transactions and never answers anything else.
type hungQueries struct {
	*service
	asked chan string
}

func (s *hungQueries) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Method == http.MethodPut {
		return s.service.RoundTrip(r)
	}
	s.asked <- r.URL.Path
	<-r.Context().Done()
	return nil, r.Context().Err()
}

// TestTransactionsDuringQueries has all kinds of questions hang: events flow all the same, at once, and each question ends by itself.
func TestTransactionsDuringQueries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, storetest.New(t))
		reg := ircRegistration(t)
		reg.Protocols = []string{"irc"}
		hung := &hungQueries{newService(), make(chan string, 10)}
		s := h.sender(hung, newSet(t, reg))
		stop := h.start(s)
		r := h.room("bridged")
		start := time.Now()
		queries := map[string]func() error{
			"user":     func() error { _, err := s.QueryUser(t.Context(), "@irc_new:test", ""); return err },
			"alias":    func() error { _, err := s.QueryAlias(t.Context(), "#irc_new:test", ""); return err },
			"protocol": func() error { _, err := s.Protocol(t.Context(), "irc"); return err },
			"users":    func() error { _, err := s.Users(t.Context(), "irc", url.Values{"nick": {"x"}}); return err },
			"location": func() error { _, err := s.Locations(t.Context(), "irc", url.Values{"channel": {"x"}}); return err },
		}
		took := make(chan time.Duration, len(queries))
		for name, query := range queries {
			go func() {
				if err := query(); err == nil {
					t.Errorf("%s: no error", name)
				}
				took <- time.Since(start)
			}()
			<-hung.asked
		}
		for n := range 50 {
			r.say(ghost, string(rune('a'+n%26)))
			hung.next(t)
		}
		if passed := time.Since(start); passed >= lookupTimeout { // a database that is busy is asked again after a millisecond
			t.Errorf("50 transactions took %v", passed)
		}
		for range queries {
			if got := <-took; got != lookupTimeout && got != queryTimeout {
				t.Errorf("a question took %v, want %v or %v", got, lookupTimeout, queryTimeout)
			}
		}
		stop()
	})
}

// TestQueryUserOnce asks for a user again and again: the service is asked once in a while, by however many at once.
func TestQueryUserOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, storetest.New(t))
		service := newService()
		s := h.sender(service, newSet(t, ircRegistration(t)))
		ask := func(ctx context.Context, status, requests int) {
			t.Helper()
			service.answers(status, `{"errcode":"M_NOT_FOUND","error":"no"}`, nil)
			found, err := s.QueryUser(ctx, ghost, "")
			if found != (status == http.StatusOK) || err == nil && !found {
				t.Errorf("got %v, %v for status %d", found, err, status)
			}
			if got := len(service.requests); got != requests {
				t.Errorf("the service got %d requests, want %d", got, requests)
			}
		}
		ask(t.Context(), http.StatusNotFound, 1)
		ask(t.Context(), http.StatusNotFound, 1)
		time.Sleep(answerKept)
		ask(t.Context(), http.StatusOK, 2)
		time.Sleep(answerKept)
		ask(t.Context(), http.StatusInternalServerError, 3)
		time.Sleep(answerKept)
		ask(t.Context(), http.StatusInternalServerError, 3) // a failure is kept for longer
		time.Sleep(failureKept)
		ask(t.Context(), http.StatusNotFound, 4)
		if found, err := s.QueryUser(t.Context(), ghost, "irc"); found || err != nil || len(service.requests) != 4 {
			t.Errorf("the service that asks: got %v, %v, and %d requests", found, err, len(service.requests))
		}
		if found, err := s.QueryUser(t.Context(), bot, ""); found || err != nil || len(service.requests) != 4 {
			t.Errorf("its bot: got %v, %v, and %d requests", found, err, len(service.requests))
		}
	})
}
