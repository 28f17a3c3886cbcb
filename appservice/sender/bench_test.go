package sender

import (
	"context"
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
