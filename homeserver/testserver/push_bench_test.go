package testserver_test

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"

	"causeway/homeserver/event"
	"causeway/homeserver/notify"
	"causeway/homeserver/store"
	"causeway/homeserver/storetest"
	"causeway/homeserver/usersync"

	"maunium.net/go/mautrix/id"
)

// BenchmarkUnread500Rooms is the first /sync of a device in 500 rooms with 200 unread messages each, a tenth of them in threads: by a server
// that remembers nothing, and by one that has counted before. Filters leave out all but the counts.
func BenchmarkUnread500Rooms(b *testing.B) {
	const rooms, messages = 500, 200
	db := storetest.New(b)
	const user = id.UserID("@reader:test")
	err := db.Write(context.Background(), func(tx *store.Tx) error { return manyRooms(tx, user, rooms, messages) })
	if err != nil {
		b.Fatal(err)
	}
	filter, err := usersync.ParseFilter([]byte(`{"room":{"state":{"types":[]},"timeline":{"types":[],"limit":0,"unread_thread_notifications":true}}}`))
	if err != nil {
		b.Fatal(err)
	}
	sync := func(s *usersync.Service) {
		res, err := s.Sync(context.Background(), usersync.Request{User: user, Device: "D", Filter: filter})
		if err != nil {
			b.Fatal(err)
		}
		var out pushSync
		if err := json.Unmarshal(res.AppendJSON(nil), &out); err != nil || len(out.Rooms.Join) != rooms {
			b.Fatalf("%d rooms, %v", len(out.Rooms.Join), err)
		}
		for _, r := range out.Rooms.Join {
			if r.Unread == nil || r.Unread.Notifications != messages*9/10-1 || len(r.Threads) != 1 {
				b.Fatalf("got %+v", r)
			}
		}
	}
	config := usersync.Config{DB: db, Bus: new(notify.Local)}
	b.Run("cold", func(b *testing.B) {
		for b.Loop() {
			sync(usersync.New(config))
		}
	})
	b.Run("warm", func(b *testing.B) {
		s := usersync.New(config)
		for b.Loop() {
			sync(s)
		}
	})
}

// manyRooms writes rows of rooms that the user is in and has read the first message of.
func manyRooms(tx *store.Tx, user id.UserID, rooms, messages int) error {
	u := &store.User{UserID: user}
	if err := tx.InsertUser(u); err != nil {
		return err
	}
	version, err := event.LookupVersion("11")
	if err != nil {
		return err
	}
	for i := range rooms {
		roomID := id.RoomID(fmt.Sprintf("!r%d:test", i))
		nid, err := tx.InsertRoom(roomID, version, false)
		if err != nil {
			return err
		}
		pdu, err := event.ParseTrusted(version, id.EventID(fmt.Sprintf("$e%d", i)), fmt.Appendf(nil,
			`{"auth_events":[],"content":{"membership":"join"},"depth":1,"origin_server_ts":1,"prev_events":[],"room_id":%q,"sender":%q,"state_key":%q,"type":"m.room.member"}`,
			roomID, user, user))
		if err != nil {
			return err
		}
		pos, err := tx.NextPos()
		if err != nil {
			return err
		}
		place, err := tx.StateNID(event.TypeMember, string(user))
		if err != nil {
			return err
		}
		set, err := tx.InsertStateSet(nid, 0, store.StateSet{place: pos})
		if err != nil {
			return err
		}
		e := &store.Event{PDU: pdu, NID: pos, RoomNID: nid, Pos: pos, StateAfter: set}
		if err := tx.InsertEvent(e); err != nil {
			return err
		}
		if err := tx.SetRoomState(nid, pos, set); err != nil {
			return err
		}
		if err := tx.SetMembership(store.Membership{RoomNID: nid, UserNID: u.NID, Membership: "join", EventNID: pos, Pos: pos}); err != nil {
			return err
		}
		root, err := tx.NID(fmt.Sprintf("$root%d", i))
		if err != nil {
			return err
		}
		var first int64
		for n := range messages {
			row := store.PushActions{RoomNID: nid, SenderNID: nid, Base: 1}
			if row.Pos, err = tx.NextPos(); err != nil {
				return err
			}
			switch {
			case n == 1:
				first = row.Pos
			case n%10 == 0:
				row.ThreadNID = root
			}
			if err := tx.InsertPushActions(row); err != nil {
				return err
			}
		}
		last, err := tx.NextPos()
		if err != nil {
			return err
		}
		say := *e
		if say.PDU, err = event.ParseTrusted(version, id.EventID(fmt.Sprintf("$m%d", i)), fmt.Appendf(nil,
			`{"auth_events":[],"content":{},"depth":2,"origin_server_ts":1,"prev_events":[],"room_id":%q,"sender":%q,"type":"x"}`, roomID, user)); err != nil {
			return err
		}
		say.NID, say.Pos, say.StateBefore = last, last, set
		if err := tx.InsertEvent(&say); err != nil {
			return err
		}
		if _, err := tx.Exec(`INSERT INTO receipts (room_nid, user_nid, type, thread, event_id, event_pos, ts, pos) VALUES ($1, $2, 'm.read', 'main', '$x', $3, 0, $4)`,
			nid, u.NID, first, last); err != nil {
			return err
		}
	}
	return nil
}
