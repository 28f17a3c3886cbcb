package sender

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"causeway/homeserver/event"
	"causeway/homeserver/store"
	"causeway/homeserver/storetest"
)

func TestOrder(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		h := newHouse(t, db)
		service := newService()
		h.start(h.sender(service, newSet(t, ircRegistration(t))))
		bridged, private := h.room("bridged"), h.room("private")
		bridged.member(bot, "join")
		want := []string{"m.room.member"}
		for i := range 250 {
			text := fmt.Sprint("line ", i)
			bridged.say(alice, text)
			bridged.add(alice, event.TypeDummy, nil, "{}", "") // this server's own business
			private.say(alice, "not for the service")
			want = append(want, text)
		}
		got, requests := service.collect(t, len(want))
		if !slices.Equal(got, want) {
			t.Errorf("the service got %q, want %q", got, want)
		}
		seen := make(map[string]bool)
		for _, r := range requests {
			if seen[r.path] {
				t.Errorf("%s was used twice", r.path)
			}
			seen[r.path] = true
			if r.method != http.MethodPut || !strings.HasPrefix(r.path, "/_matrix/app/v1/transactions/") {
				t.Errorf("request is %s %s, want PUT of a transaction", r.method, r.path)
			}
			if r.token != "Bearer hs-irc" {
				t.Errorf("Authorization is %q, want hs_token", r.token)
			}
		}
	})
}

func TestRetryIsTheSame(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		h := newHouse(t, db)
		service := newService()
		service.answers(http.StatusInternalServerError, "", nil)
		s := h.sender(service, newSet(t, ircRegistration(t)))
		s.jitter = noPause
		h.start(s)
		r := h.room("bridged")
		r.say(ghost, "first")
		first := service.next(t)
		r.say(ghost, "second")
		for range 3 {
			if again := service.next(t); !sameRequest(first, again) {
				t.Fatalf("the second try is %s %s, want %s %s", again.path, again.body, first.path, first.body)
			}
		}
		service.answers(http.StatusOK, "{}", nil)
		last := first
		for sameRequest(first, last) {
			last = service.next(t)
		}
		if got := last.events(t); !slices.Equal(got, []string{"second"}) {
			t.Errorf("the next transaction has %q, want the second event only", got)
		}
	})
}

// TestRestart stops the server while a transaction is pending, as a crash would: nothing more is written.
func TestRestart(t *testing.T) {
	h, path := newFile(t)
	service := newService()
	service.answers(http.StatusServiceUnavailable, "not now", nil)
	set := newSet(t, ircRegistration(t))
	stop := h.start(h.sender(service, set))
	r := h.room("bridged")
	r.say(ghost, "one")
	first := service.next(t)
	r.say(ghost, "two")
	stop()
	h.reopen(path)
	r.say(ghost, "three") // while the service's worker does not run

	for len(service.requests) > 0 {
		<-service.requests
	}
	service.answers(http.StatusOK, "", nil)
	stop = h.start(h.sender(service, set))
	if again := service.next(t); !sameRequest(first, again) {
		t.Errorf("after the restart came %s %s, want %s %s", again.path, again.body, first.path, first.body)
	}
	if got, _ := service.collect(t, 2); !slices.Equal(got, []string{"two", "three"}) {
		t.Errorf("then came %q, want two, three", got)
	}
	stop()
	if c := h.cursor(); c.Pending != nil || c.Pos != h.pos() {
		t.Errorf("after the stop the cursor is %d with %v pending, want %d and nothing", c.Pos, c.Pending, h.pos())
	}
}

func TestLostAcknowledgement(t *testing.T) {
	h, path := newFile(t)
	service := newService()
	set := newSet(t, ircRegistration(t))
	stop := h.start(h.sender(service, set))
	r := h.room("bridged")
	r.say(ghost, "one")
	first := service.next(t)
	stop()
	// The service has it, but the server died before it knew.
	before := h.cursor()
	h.write(func(tx *store.Tx) error {
		before.Pos, before.Pending = 0, &store.AppServiceTxn{Txn: before.Txn, Upto: before.Pos, Body: first.body}
		return tx.SaveAppService(before)
	})
	h.reopen(path)
	h.start(h.sender(service, set))
	if again := service.next(t); !sameRequest(first, again) {
		t.Errorf("after the restart came %s %s, want %s %s", again.path, again.body, first.path, first.body)
	}
	r.say(ghost, "two")
	if next := service.next(t); next.path == first.path || !slices.Equal(next.events(t), []string{"two"}) {
		t.Errorf("then came %s %s, want a new transaction with two", next.path, next.body)
	}
}

func TestNewServiceBeginsAtTheEnd(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		h := newHouse(t, db)
		r := h.room("bridged")
		r.member(ghost, "join")
		r.say(ghost, "long ago")
		service := newService()
		stop := h.start(h.sender(service, newSet(t, ircRegistration(t))))
		r.say(alice, "now")
		if got, _ := service.collect(t, 1); !slices.Equal(got, []string{"now"}) {
			t.Errorf("a new service got %q, want only what came after it", got)
		}
		stop()
		r.say(alice, "while it was away")
		h.start(h.sender(service, newSet(t, ircRegistration(t))))
		if got, _ := service.collect(t, 1); !slices.Equal(got, []string{"while it was away"}) {
			t.Errorf("a known service got %q, want what it missed", got)
		}
	})
}

// TestBacklog has a service catch up with more than the feed keeps and a transaction holds, while another keeps pace.
func TestBacklog(t *testing.T) {
	h := newHouse(t, storetest.New(t))
	r := h.room("bridged")
	r.member(ghost, "join")
	set := newSet(t, ircRegistration(t))
	if err := h.sender(newService(), set).Prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	const lines = 10_000 // more than the feed keeps
	var want []string
	for i := range lines {
		want = append(want, fmt.Sprint("line ", i))
		r.say(alice, want[i])
	}
	service := newService()
	h.start(h.sender(service, set))
	got, requests := service.collect(t, lines)
	if !slices.Equal(got, want) {
		t.Error("the backlog came incomplete or out of order")
	}
	if most := lines/maxTxnEvents + 1; len(requests) > most {
		t.Errorf("the backlog took %d transactions, want at most %d", len(requests), most)
	}
}

// TestHangingService has one of two services never answer. The other is told at once, all the time.
func TestHangingService(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, storetest.New(t))
		hung, well := &hangingService{tries: make(chan time.Time, 1000)}, newService()
		other := register(t, "well", `{"users":[{"regex":"@irc_.*"}]}`)
		s := h.senderOf(map[string]http.RoundTripper{"irc": hung, "well": well}, newSet(t, ircRegistration(t), other))
		stop := h.start(s)
		r := h.room("bridged")
		r.member(ghost, "join")
		for i := range 50 {
			time.Sleep(time.Minute)
			before := time.Now()
			text := fmt.Sprint("line ", i)
			r.say(alice, text)
			for !slices.Contains(well.next(t).events(t), text) {
				continue
			}
			if got := time.Since(before); got > maxReadGap {
				t.Errorf("%s came after %v, want it at once", text, got)
			}
		}
		stop()
	})
}

func TestTwoServices(t *testing.T) {
	h := newHouse(t, storetest.New(t))
	irc, xmpp := newService(), newService()
	set := newSet(t, ircRegistration(t), register(t, "xmpp", `{"rooms":[{"regex":"!bridged.*"}]}`))
	s := h.senderOf(map[string]http.RoundTripper{"irc": irc, "xmpp": xmpp}, set)
	irc.answers(http.StatusBadGateway, "", nil)
	s.jitter = longPause
	h.start(s)
	r := h.room("bridged")
	r.say(ghost, "hello")
	// What is wrong with one service does not keep the other waiting.
	if got, _ := xmpp.collect(t, 3); !slices.Equal(got, []string{"m.room.create", "m.room.member", "hello"}) {
		t.Errorf("xmpp got %q", got)
	}
	if got, _ := irc.collect(t, 1); !slices.Equal(got, []string{"hello"}) {
		t.Errorf("irc got %q", got)
	}
}
