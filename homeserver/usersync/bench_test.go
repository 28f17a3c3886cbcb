package usersync

import (
	"context"
	"fmt"
	"testing"

	"causeway/homeserver/storetest"

	"maunium.net/go/mautrix/id"
)

// benchWorld has alice in 50 rooms with 20 members and 60 events each.
func benchWorld(b *testing.B) (*world, []*place) {
	w := newWorld(b, storetest.New(b))
	places := make([]*place, 50)
	for i := range places {
		p := w.room(alice, "shared")
		p.set(alice, "m.room.name", "", obj{"name": fmt.Sprint("room ", i)})
		for j := range 20 {
			p.join(id.UserID(fmt.Sprintf("@user%d:test", j)))
		}
		p.texts(alice, "message ", 37)
		places[i] = p
	}
	return w, places
}

func BenchmarkInitial(b *testing.B) {
	w, _ := benchWorld(b)
	for _, tt := range []struct{ name, filter string }{
		{"all", `{"room":{"timeline":{"limit":20}}}`},
		{"lazy", `{"room":{"timeline":{"limit":20},"state":{"lazy_load_members":true}}}`},
	} {
		b.Run(tt.name, func(b *testing.B) {
			f, err := ParseFilter([]byte(tt.filter))
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := w.s.Sync(context.Background(), Request{User: alice, Filter: f}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkIncremental(b *testing.B) {
	w, places := benchWorld(b)
	since := w.sync(Request{User: alice}).NextBatch
	places[7].text(alice, "news")
	for _, tt := range []struct{ name, filter, since string }{
		{"message", `{}`, since},
		{"lazy", `{"room":{"state":{"lazy_load_members":true}}}`, since},
		{"nothing", `{}`, token(places[7].last.Pos)},
	} {
		b.Run(tt.name, func(b *testing.B) {
			f, err := ParseFilter([]byte(tt.filter))
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				res, err := w.s.Sync(context.Background(), Request{User: alice, Device: "D", Since: tt.since, Filter: f})
				if err != nil || (tt.name != "nothing") != (len(res.body) > 400) {
					b.Fatalf("%v, %s", err, res.body)
				}
			}
		})
	}
}

func BenchmarkMessages(b *testing.B) {
	w, places := benchWorld(b)
	req := MessagesRequest{Viewer: Viewer{User: alice, Device: "D"}, RoomID: places[3].id, Backwards: true, Limit: 30}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := w.s.Messages(context.Background(), req); err != nil {
			b.Fatal(err)
		}
	}
}
