package usersync

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"causeway/homeserver/event"
	"causeway/homeserver/notify"
	"causeway/homeserver/store"
	"causeway/homeserver/storetest"

	"maunium.net/go/mautrix/id"
)

// crowd makes a room with n members beside alice, in few transactions.
func (w *world) crowd(n int) (*place, []id.UserID) {
	w.t.Helper()
	p := w.room(alice, "shared")
	users := make([]id.UserID, n)
	for i := range users {
		users[i] = id.UserID(fmt.Sprintf("@user%d:test", i))
	}
	w.joinAll(p, users)
	return p, users
}

// joinAll has users join a room, in one transaction.
func (w *world) joinAll(p *place, users []id.UserID) {
	w.t.Helper()
	prev, stateID := p.last, p.stateID
	err := w.db.Write(context.Background(), func(tx *store.Tx) error {
		p.last, p.stateID = prev, stateID
		for _, u := range users {
			pdu := p.build(say{sender: u, eventType: event.TypeMember, key: key(string(u)), content: obj{"membership": "join"}}, p.last.EventID)
			row := &store.Event{PDU: pdu}
			if err := p.write(tx, row); err != nil {
				return err
			}
			p.last, p.stateID = row, row.StateAfter
			p.state[[2]string{event.TypeMember, string(u)}] = row
		}
		return nil
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

// BenchmarkFanOut has 1,000 members of a room wait in /sync for each message. Beside the time until all have their answer it tells the
// 99th percentile of the time from when the message is stored until a member has it.
func BenchmarkFanOut(b *testing.B) {
	for _, filter := range []string{`{}`, `{"room":{"state":{"lazy_load_members":true}}}`} {
		f, err := ParseFilter([]byte(filter))
		if err != nil {
			b.Fatal(err)
		}
		name := "plain"
		if f.Room.State.lazy() {
			name = "lazy"
		}
		b.Run(name, func(b *testing.B) {
			eachEngine(b, func(b *testing.B, w *world) { fanOut(b, w, f) })
		})
	}
}

// eachEngine is each for benchmarks.
func eachEngine(b *testing.B, bench func(b *testing.B, w *world)) {
	b.Run("sqlite", func(b *testing.B) { bench(b, newWorld(b, storetest.New(b))) })
	b.Run("postgres", func(b *testing.B) {
		db, err := store.Open(context.Background(), storetest.PostgresURL(b))
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { _ = db.Close() })
		bench(b, newWorld(b, db))
	})
}

// parkedBus tells of each bell that is registered.
type parkedBus struct {
	*notify.Local
	parked sync.WaitGroup
}

// Register implements notify.Bus.
func (p *parkedBus) Register(keys ...notify.Key) *notify.Bell {
	defer p.parked.Done()
	return p.Local.Register(keys...)
}

func fanOut(b *testing.B, w *world, f *Filter) {
	const members = 1000
	p, users := w.crowd(members)
	type got struct {
		user int
		at   time.Time
	}
	answers := make(chan got, members)
	bus := &parkedBus{Local: w.bus}
	w.s.bus = bus
	since := token(p.last.Pos)
	reqs := make([]chan string, members)
	for i, u := range users {
		reqs[i] = make(chan string, 1)
		go func() {
			for since := range reqs[i] {
				res, err := w.s.Sync(context.Background(), Request{User: u, Device: "D", Since: since, Timeout: time.Minute, Filter: f})
				if err != nil || len(res.body) < 400 {
					b.Errorf("%v, %s", err, res.body)
				}
				answers <- got{i, time.Now()}
			}
		}()
	}
	defer func() {
		for _, c := range reqs {
			close(c)
		}
	}()
	var waits []time.Duration
	b.ResetTimer()
	for range b.N {
		b.StopTimer()
		bus.parked.Add(members)
		for i := range reqs {
			reqs[i] <- since
		}
		bus.parked.Wait()
		for range 100 { // the readings after the bells are registered have come before these
			w.view(func(*store.Tx) error { return nil })
		}
		b.StartTimer()
		start := time.Now()
		p.text(alice, "news")
		since = token(p.last.Pos)
		for range members {
			waits = append(waits, (<-answers).at.Sub(start))
		}
	}
	slices.Sort(waits)
	b.ReportMetric(float64(waits[len(waits)*99/100].Microseconds())/1000, "ms-p99")
}

// manyRooms has alice in 500 rooms of 300 members, in each of which a few of them have spoken.
func manyRooms(w *world) []*place {
	const rooms, members = 500, 299
	users := make([]id.UserID, members)
	for i := range users {
		users[i] = id.UserID(fmt.Sprintf("@user%d:test", i))
	}
	places := make([]*place, rooms)
	for i := range places {
		p := w.room(alice, "shared")
		p.set(alice, typeName, "", obj{"name": fmt.Sprint("room ", i)})
		w.joinAll(p, users)
		w.say(p, users[:20], "message ")
		places[i] = p
	}
	return places
}

// say has users speak in turn, in one transaction.
func (w *world) say(p *place, users []id.UserID, body string) {
	w.t.Helper()
	prev := p.last
	err := w.db.Write(context.Background(), func(tx *store.Tx) error {
		p.last = prev
		for i, u := range users {
			row := &store.Event{PDU: p.build(say{sender: u, eventType: "m.room.message", content: obj{"msgtype": "m.text", "body": fmt.Sprint(body, i)}}, p.last.EventID)}
			if err := p.write(tx, row); err != nil {
				return err
			}
			p.last = row
		}
		return nil
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

// BenchmarkManyRooms is the answers to an account in 500 rooms of 300 members: the first, with members loaded lazily and without, and
// those that have nothing, where nothing has happened, and where something has in rooms that are not the user's.
func BenchmarkManyRooms(b *testing.B) {
	eachEngine(b, func(b *testing.B, w *world) {
		places := manyRooms(w)
		quiet := token(places[len(places)-1].last.Pos)
		elsewhere := w.room(bob, "shared")
		w.say(elsewhere, slices.Repeat([]id.UserID{bob}, 5000), "many ")
		few := token(elsewhere.last.Pos - 300)
		for _, tt := range []struct{ name, filter, since string }{
			{"initial", `{}`, ""},
			{"initial-lazy", `{"room":{"state":{"lazy_load_members":true}}}`, ""},
			{"nothing", `{}`, token(elsewhere.last.Pos)},
			{"nothing-few-elsewhere", `{}`, few},
			{"nothing-many-elsewhere", `{}`, quiet},
		} {
			b.Run(tt.name, func(b *testing.B) {
				f, err := ParseFilter([]byte(tt.filter))
				if err != nil {
					b.Fatal(err)
				}
				b.ReportAllocs()
				size := 0
				for b.Loop() {
					res, err := w.s.Sync(context.Background(), Request{User: alice, Device: "D", Since: tt.since, Filter: f})
					if err != nil {
						b.Fatal(err)
					}
					size = len(res.body)
				}
				b.ReportMetric(float64(size), "bytes")
			})
		}
	})
}
