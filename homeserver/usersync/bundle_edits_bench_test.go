package usersync

import (
	"context"
	"testing"

	"causeway/homeserver/event"
	"causeway/homeserver/store"
	"causeway/homeserver/storetest"
)

// BenchmarkManyEdits reads a page with a message that was edited thousands of times.
func BenchmarkManyEdits(b *testing.B) {
	w := newWorld(b, storetest.New(b))
	p := w.room(alice, "shared")
	p.text(alice, "edited")
	parent := p.last.EventID
	if err := w.db.Write(context.Background(), func(tx *store.Tx) error {
		for range 5000 {
			row := &store.Event{PDU: p.build(say{sender: alice, eventType: "m.room.message", content: obj{
				"msgtype": "m.text", "body": "* edit", "m.new_content": obj{"msgtype": "m.text", "body": "edit"},
				"m.relates_to": obj{"rel_type": event.RelReplace, "event_id": parent},
			}}, p.last.EventID)}
			if err := p.write(tx, row); err != nil {
				return err
			}
			p.last = row
		}
		return nil
	}); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := w.s.Messages(context.Background(), MessagesRequest{Viewer: Viewer{User: alice}, RoomID: p.id, Limit: 10}); err != nil {
			b.Fatal(err)
		}
	}
}
