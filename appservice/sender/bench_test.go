package sender

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"testing"
	"time"

	"causeway/homeserver/notify"
	"causeway/homeserver/store"
	"causeway/homeserver/storetest"

	"maunium.net/go/mautrix/id"
)

// BenchmarkBoring measures what an event of no interest costs a service that has seen room and sender before.
func BenchmarkBoring(b *testing.B) {
	i := newInterest(newMatcher(ircRegistration(b), serverName))
	i.member = 1
	e := store.EventIDs{Pos: 10, NID: 10, RoomNID: 2, TypeNID: 3, SenderNID: 4}
	i.rooms[2], i.users[4] = roomInterest{}, false
	for b.Loop() {
		if !i.boring(e, nil) {
			b.Fatal("the event is of interest")
		}
	}
}

// BenchmarkDelivery measures the time from an event's commit to the service's receipt of it.
func BenchmarkDelivery(b *testing.B) {
	h := newHouse(b, storetest.New(b))
	service := newService()
	s := h.sender(service, newSet(b, ircRegistration(b)))
	h.start(s)
	r := h.room("bridged")
	r.member(bot, "join")
	service.next(b)
	var events []*store.Event
	for range b.N {
		events = append(events, r.build(alice, "m.room.message", nil, `{"body":"hello"}`, id.EventID("")))
	}
	var total time.Duration
	b.ResetTimer()
	for _, e := range events {
		if err := h.db.Write(context.Background(), func(tx *store.Tx) error { return r.insert(tx, e) }); err != nil {
			b.Fatal(err)
		}
		start := time.Now()
		h.bus.Publish(notify.Signal{Key: notify.Events, Pos: e.Pos})
		service.next(b)
		total += time.Since(start)
	}
	b.ReportMetric(float64(total.Microseconds())/float64(b.N), "µs/delivery")
}

// BenchmarkFeed measures one look at the stream with two new events in it, which serves all services.
func BenchmarkFeed(b *testing.B) {
	h := newHouse(b, storetest.New(b))
	r := h.room("private")
	var spent time.Duration
	f := newFeed(h.db, h.sender(nil, nil).opt.Log)
	if err := f.open(b.Context()); err != nil {
		b.Fatal(err)
	}
	f.want(true, true, false)
	for range b.N {
		r.say(alice, "one")
		r.say(alice, "two")
		start := time.Now()
		if _, err := f.extend(b.Context()); err != nil {
			b.Fatal(err)
		}
		spent += time.Since(start)
	}
	b.ReportMetric(float64(spent.Microseconds())/float64(b.N), "µs/look")
}

// BenchmarkTransactions measures how many transactions a second a service on this machine takes over HTTP and over a Unix socket:
// one that has all it is sent, which gets an event with each as soon as that is committed, and one that is far behind, which gets
// as many as a transaction holds.
func BenchmarkTransactions(b *testing.B) {
	storetest.EachBench(b, func(b *testing.B, db *store.DB) {
		h := newHouse(b, db)
		for _, network := range []string{"tcp", "unix"} {
			for _, events := range []int{1, maxTxnEvents} {
				b.Run(fmt.Sprintf("%s/%d", network, events), func(b *testing.B) {
					h.t = b
					h.benchTransactions(b, network, events)
				})
			}
		}
	})
}

func (h *house) benchTransactions(b *testing.B, network string, events int) {
	got := make(chan int, 1000)
	reg := ircRegistration(b)
	reg.URL = listen(b, network, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var txn struct {
			Events []json.RawMessage `json:"events"`
		}
		if err := json.NewDecoder(r.Body).Decode(&txn); err != nil {
			b.Error(err)
		}
		_, _ = w.Write([]byte(`{}`))
		got <- len(txn.Events)
	}))
	s := h.senderOf(nil, newSet(b, reg))
	r := h.room("bridged")
	r.member(bot, "join")
	if err := s.Prepare(b.Context()); err != nil {
		b.Fatal(err)
	}
	if events > 1 {
		for range b.N * events {
			r.say(alice, "hello")
		}
	}
	stop := h.start(s)
	defer stop()
	taken := 0
	b.ResetTimer()
	for range b.N {
		if events == 1 {
			r.say(alice, "hello")
		}
		taken += <-got
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "transactions/s")
	b.ReportMetric(float64(taken)/b.Elapsed().Seconds(), "events/s")
	b.StopTimer()
}

// listen serves on a loopback address or a socket in the file system until the end, and returns the address for a registration.
func listen(b *testing.B, network string, handler http.Handler) string {
	server := httptest.NewUnstartedServer(handler)
	if network == "tcp" {
		server.Start()
		b.Cleanup(server.Close)
		return server.URL
	}
	path := filepath.Join(b.TempDir(), "service.sock")
	listener, err := net.Listen(network, path)
	if err != nil {
		b.Fatal(err)
	}
	server.Listener = listener
	server.Start()
	b.Cleanup(server.Close)
	return "unix://" + path
}
