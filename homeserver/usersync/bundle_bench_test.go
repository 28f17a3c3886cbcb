package usersync

import (
	"bytes"
	"context"
	"fmt"
	"testing"

	"causeway/homeserver/event"
	"causeway/homeserver/store"
	"causeway/homeserver/storetest"
)

// BenchmarkWholeRoom reads a room page by page, to its beginning: one in which nothing relates to anything, and one with as many
// reactions, edits and threads as in a lively room. What bundles cost is the first of them without.
func BenchmarkWholeRoom(b *testing.B) {
	const events = 20_000
	for _, tt := range []struct {
		name    string
		related bool
	}{{"plain", false}, {"related", true}} {
		w := newWorld(b, storetest.New(b))
		p := w.room(alice, "shared")
		fill(b, p, events, tt.related)
		for _, limit := range []int{20, 100} {
			b.Run(fmt.Sprint(tt.name, "/pages of ", limit), func(b *testing.B) {
				for b.Loop() {
					req := MessagesRequest{Viewer: Viewer{User: alice, Device: "D"}, RoomID: p.id, Backwards: true, Limit: limit}
					for {
						raw, err := w.s.Messages(context.Background(), req)
						if err != nil {
							b.Fatal(err)
						}
						_, end, more := bytes.Cut(raw, []byte(`,"end":"`))
						if !more {
							break
						}
						req.From = string(bytes.TrimSuffix(end, []byte(`"}`)))
					}
				}
				b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/events, "µs/event")
			})
		}
	}
}

// fill sends messages, many in one transaction. If related is set, a third of them relate to others.
func fill(b *testing.B, p *place, n int, related bool) {
	b.Helper()
	parent := p.last.EventID
	for n > 0 {
		err := p.w.db.Write(context.Background(), func(tx *store.Tx) error {
			for range min(n, 1000) {
				content := obj{"msgtype": "m.text", "body": "The quick brown fox jumps over the lazy dog, and then over another one."}
				if related && n%3 == 0 {
					relType := []string{event.RelAnnotation, event.RelThread, event.RelReplace, event.RelReference}[n/3%4]
					content["m.relates_to"] = obj{"rel_type": relType, "event_id": parent, "key": fmt.Sprint(n)}
					content["m.new_content"] = obj{}
				}
				row := &store.Event{PDU: p.build(say{sender: alice, eventType: "m.room.message", content: content}, p.last.EventID)}
				if err := p.write(tx, row); err != nil {
					return err
				}
				if p.last, n = row, n-1; n%7 == 0 {
					parent = row.EventID
				}
			}
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
	}
}
