package usersync

import (
	"context"
	"fmt"
	"testing"
	"time"

	"causeway/homeserver/store"
	"causeway/homeserver/storetest"

	"maunium.net/go/mautrix/id"
)

// elementX is what the room list of Element X asks for (matrix-rust-sdk, room_list_service).
func elementX(upto int) obj {
	return obj{
		"lists": obj{"all_rooms": obj{
			"ranges": [][]int{{0, upto}}, "timeline_limit": 1, "filters": obj{},
			"required_state": [][]string{
				{"m.room.name", ""}, {"m.room.encryption", ""}, {"m.room.member", "$LAZY"}, {"m.room.member", "$ME"}, {"m.room.topic", ""},
				{"m.room.avatar", ""}, {"m.room.canonical_alias", ""}, {"m.room.power_levels", ""}, {"org.matrix.msc3401.call.member", "*"},
				{"m.room.join_rules", ""}, {"m.room.tombstone", ""}, {"m.room.create", ""}, {"m.room.history_visibility", ""},
				{"io.element.functional_members", ""}, {"m.space.parent", "*"}, {"m.space.child", "*"}, {"org.matrix.msc3672.beacon_info", "*"},
			},
		}},
		"extensions": obj{
			"account_data": obj{"enabled": true}, "receipts": obj{"enabled": true, "rooms": list("*")}, "typing": obj{"enabled": true},
			"to_device": obj{"enabled": true}, "e2ee": obj{"enabled": true},
		},
	}
}

const benchRooms = 1000

// slidingWorld has alice in 1,000 rooms with 6 members and 20 events each.
func slidingWorld(b *testing.B, db *store.DB) (*world, []*place) {
	w := newWorld(b, db)
	places := make([]*place, benchRooms)
	for i := range places {
		p := w.room(alice, "shared")
		if i%2 == 0 {
			p.set(alice, "m.room.name", "", obj{"name": fmt.Sprint("room ", i)})
		}
		p.set(alice, "m.room.power_levels", "", obj{"users": obj{string(alice): 100}})
		p.set(alice, "m.room.join_rules", "", obj{"join_rule": "invite"})
		for j := range 5 {
			p.join(id.UserID(fmt.Sprintf("@user%d:test", (i+j)%100)))
		}
		p.texts(alice, "message ", 10)
		places[i] = p
	}
	return w, places
}

func BenchmarkSliding(b *testing.B) {
	b.Run("SQLite", func(b *testing.B) { benchSliding(b, storetest.New(b)) })
	b.Run("PostgreSQL", func(b *testing.B) {
		db, err := store.Open(context.Background(), storetest.PostgresURL(b))
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { _ = db.Close() })
		benchSliding(b, db)
	})
}

func benchSliding(b *testing.B, db *store.DB) {
	w, places := slidingWorld(b, db)
	sync := func(b *testing.B, pos, conn string, body obj, timeout time.Duration) SlidingResponse {
		d := &device{w: w, user: alice, name: "D", pos: pos, timeout: timeout}
		req := d.request(body)
		req.ConnID = conn
		res, err := w.s.Sliding(context.Background(), req)
		if err != nil {
			b.Fatal(err)
		}
		return res
	}
	b.Run("first", func(b *testing.B) {
		for b.Loop() {
			sync(b, "", "first", elementX(19), 0)
		}
	})
	b.Run("all", func(b *testing.B) {
		for b.Loop() {
			sync(b, "", "all", elementX(benchRooms), 0)
		}
	})
	pos := sync(b, "", "all", elementX(benchRooms), 0).Pos
	b.Run("nothing", func(b *testing.B) {
		for b.Loop() {
			pos = sync(b, pos, "all", elementX(benchRooms), 0).Pos
		}
	})
	b.Run("nothing, unloaded", func(b *testing.B) {
		for b.Loop() {
			clear(w.s.slidings.all)
			pos = sync(b, pos, "all", elementX(benchRooms), 0).Pos
		}
	})
	b.Run("message", func(b *testing.B) {
		i := 0
		for b.Loop() {
			b.StopTimer()
			places[i*7%benchRooms].text(alice, "news")
			i++
			b.StartTimer()
			pos = sync(b, pos, "all", elementX(benchRooms), 0).Pos
		}
	})
}
