package sender

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"causeway/homeserver/storetest"
)

func TestBackoff(t *testing.T) {
	want := []time.Duration{1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300}
	for i, w := range want {
		if got := backoff(i + 1); got != w*time.Second {
			t.Errorf("after %d failures the pause is up to %v, want %v", i+1, got, w*time.Second)
		}
	}
	if got := backoff(1_000_000); got != maxBackoff {
		t.Errorf("after many failures the pause is up to %v, want %v", got, maxBackoff)
	}
	for range 1000 {
		if got := fullJitter(time.Second); got <= 0 || got > time.Second {
			t.Fatalf("jitter is %v, want it in (0, 1s]", got)
		}
	}
}

// noJitter makes every pause as long as it may be.
func noJitter(d time.Duration) time.Duration { return d }

// TestBackoffSchedule measures the pauses between the tries of one transaction.
func TestBackoffSchedule(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, storetest.New(t))
		service := newService()
		tries := make(chan time.Time, 100)
		service.does(func(request) (int, string, error) {
			tries <- time.Now()
			return 0, "", errors.New("connection refused")
		})
		s := h.sender(service, newSet(t, ircRegistration(t)))
		s.jitter = noJitter
		stop := h.start(s)
		h.room("bridged").say(ghost, "hello")
		last := <-tries
		for _, seconds := range []time.Duration{1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300} {
			next := <-tries
			if got := next.Sub(last); got != seconds*time.Second {
				t.Errorf("pause is %v, want %v", got, seconds*time.Second)
			}
			last = next
		}
		synctest.Wait()
		if st := s.Status()[0]; st.Failures != 12 || st.LastError == "" || st.RetryTS != last.Add(maxBackoff).UnixMilli() {
			t.Errorf("status is %+v, want 12 failures and a retry in %v", st, maxBackoff)
		}

		// Whoever asks for a ping is alive, and a kick says so as well.
		for name, wake := range map[string]func(){
			"kick": func() { s.Kick("irc") },
			"ping": func() {
				service.does(func(r request) (int, string, error) {
					if r.method == http.MethodPost {
						return http.StatusOK, "{}", nil
					}
					tries <- time.Now()
					return http.StatusBadGateway, "", nil
				})
				if _, err := s.Ping(t.Context(), "irc", "txn"); err != nil {
					t.Error(err)
				}
			},
		} {
			before := time.Now()
			wake()
			if got := (<-tries).Sub(before); got != 0 {
				t.Errorf("after a %s the next try came after %v, want it at once", name, got)
			}
			if got := (<-tries).Sub(before); got != firstBackoff {
				t.Errorf("after a %s the try after that came after %v, want %v", name, got, firstBackoff)
			}
		}
		service.answers(http.StatusOK, "", nil)
		s.Kick("irc")
		synctest.Wait()
		if st := s.Status()[0]; st.Failures != 0 || st.LastError != "" || st.RetryTS != 0 || st.DeliveredTS == 0 {
			t.Errorf("status is %+v, want it healthy", st)
		}
		stop()
	})
}

// TestTimeouts has services that never answer: one of this process and one reached over the network.
func TestTimeouts(t *testing.T) {
	for name, want := range map[string]time.Duration{"in process": inProcessTimeout, "elsewhere": transactionTimeout} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHouse(t, storetest.New(t))
				hung := &hangingService{tries: make(chan time.Time, 10)}
				s := h.sender(hung, newSet(t, ircRegistration(t)))
				s.jitter = noJitter
				s.clients()[0].inProcess = name == "in process"
				stop := h.start(s)
				h.room("bridged").say(ghost, "hello")
				first := <-hung.tries
				if got := (<-hung.tries).Sub(first); got != want+firstBackoff {
					t.Errorf("the second try came after %v, want %v", got, want+firstBackoff)
				}
				before := time.Now()
				stop()
				if got := time.Since(before); got != stopGrace {
					t.Errorf("the stop took %v, want %v", got, stopGrace)
				}
			})
		})
	}
}

// hangingService never answers.
type hangingService struct{ tries chan time.Time }

func (s *hangingService) RoundTrip(r *http.Request) (*http.Response, error) {
	s.tries <- time.Now()
	<-r.Context().Done()
	return nil, r.Context().Err()
}

// slowService answers after a while, whatever becomes of the sender.
type slowService struct {
	*service
	pause time.Duration
}

func (s *slowService) RoundTrip(r *http.Request) (*http.Response, error) {
	res, err := s.service.RoundTrip(r)
	if !sleep(r.Context(), s.pause) {
		return nil, r.Context().Err()
	}
	return res, err
}

// TestStopWaitsForAcknowledgement stops while a transaction is under way; it must not be sent again.
func TestStopWaitsForAcknowledgement(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, storetest.New(t))
		slow := &slowService{service: newService(), pause: stopGrace - time.Second}
		stop := h.start(h.sender(slow, newSet(t, ircRegistration(t))))
		r := h.room("bridged")
		r.say(ghost, "hello")
		slow.next(t)
		r.say(ghost, "later")
		stop()
		if c := h.cursor(); c.Pending != nil {
			t.Errorf("transaction %d is still pending", c.Pending.Txn)
		}
		stop = h.start(h.sender(slow, newSet(t, ircRegistration(t))))
		if got, _ := slow.collect(t, 1); !slices.Equal(got, []string{"later"}) {
			t.Errorf("after the restart came %q, want later", got)
		}
		stop()
	})
}

// TestLazyCursor follows when the stored cursor moves although nothing is of interest.
func TestLazyCursor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, storetest.New(t))
		service := newService()
		s := h.sender(service, newSet(t, ircRegistration(t)))
		stop := h.start(s)
		r := h.room("private")
		synctest.Wait()
		start := h.cursor().Pos
		for range 20 {
			r.say(alice, "no")
			synctest.Wait()
		}
		if got := h.cursor().Pos; got != start {
			t.Errorf("the cursor was stored at %d for a few events, want it at %d still", got, start)
		}
		time.Sleep(saveAfter + tick)
		synctest.Wait()
		if got, want := h.cursor().Pos, h.pos(); got != want {
			t.Errorf("after %v the stored cursor is %d, want %d", saveAfter, got, want)
		}
		start = h.cursor().Pos
		for h.pos() < start+saveEvery {
			r.say(alice, "no")
		}
		time.Sleep(maxReadGap)
		synctest.Wait()
		if got := h.cursor().Pos; got < start+saveEvery {
			t.Errorf("after %d positions the stored cursor is %d, want it beyond %d", saveEvery, got, start+saveEvery)
		}
		r.say(alice, "no")
		time.Sleep(maxReadGap)
		synctest.Wait()
		stop()
		if got, want := h.cursor().Pos, h.pos(); got != want {
			t.Errorf("after the stop the stored cursor is %d, want %d", got, want)
		}
		if n := len(service.requests); n != 0 {
			t.Errorf("the service got %d requests, want none", n)
		}
	})
}

// TestLostBell has no bell ring at all.
func TestLostBell(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, storetest.New(t))
		service := newService()
		s := h.sender(service, newSet(t, ircRegistration(t)))
		s.opt.Bus = deafBus{h.bus}
		stop := h.start(s)
		synctest.Wait()
		before := time.Now()
		h.room("bridged").say(ghost, "hello")
		service.next(t)
		if got := time.Since(before); got > tick {
			t.Errorf("without a bell it took %v, want at most %v", got, tick)
		}
		stop()
	})
}

// TestReload changes the registrations while the sender runs.
func TestReload(t *testing.T) {
	h := newHouse(t, storetest.New(t))
	irc, xmpp := newService(), newService()
	transports := map[string]http.RoundTripper{"irc": irc, "xmpp": xmpp}
	var current registrations
	current.set(newSet(t, ircRegistration(t)))
	s := h.senderOf(transports, nil)
	s.opt.Registrations = current.get
	h.start(s)
	r := h.room("bridged")
	r.say(ghost, "one")
	irc.collect(t, 1)

	current.set(newSet(t, ircRegistration(t), register(t, "xmpp", `{"rooms":[{"regex":".*"}]}`)))
	if err := s.Prepare(context.Background()); err != nil {
		t.Fatal(err)
	}
	s.Reload()
	r.say(ghost, "two")
	for service, name := range map[*service]string{irc: "irc", xmpp: "xmpp"} {
		if got, _ := service.collect(t, 1); !slices.Equal(got, []string{"two"}) {
			t.Errorf("%s got %q, want two", name, got)
		}
	}
	changed := ircRegistration(t)
	changed.HSToken = "hs-new"
	current.set(newSet(t, changed))
	s.Reload()
	h.awaitServices(s, "irc")
	r.say(ghost, "three")
	if q := irc.next(t); q.token != "Bearer hs-new" || !slices.Equal(q.events(t), []string{"three"}) {
		t.Errorf("after the change irc got %s with %q", q.body, q.token)
	}
	if n := len(xmpp.requests); n != 0 {
		t.Errorf("a service that is gone got %d requests", n)
	}
}
