package usersync

import (
	"context"
	"fmt"
	"testing"

	"causeway/homeserver/store"

	"maunium.net/go/mautrix/id"
)

// still is a Presence of which nobody knows more than is stored.
type still struct{ Presence }

func (still) LastActive(id.UserID) int64 { return 0 }

// What is too much for one answer of /events comes with the next ones, nothing twice and nothing never.
func TestEventsBesideAreBounded(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.s.presence, w.s.presenceMembers = still{}, 10*maxBeside
		p := w.room(alice, "shared")
		p.join(bob)
		const many = maxBeside + maxBeside/2
		var rooms []int64
		for range many {
			w.now++
			rooms = append(rooms, w.room(alice, "").nid)
		}
		ask := func(from string) (end string, events, receipts, presences int) {
			t.Helper()
			raw, err := w.s.Events(context.Background(), EventsRequest{Viewer: Viewer{User: alice}, From: from})
			if err != nil {
				t.Fatal(err)
			}
			var got struct {
				End   string        `json:"end"`
				Chunk []clientEvent `json:"chunk"`
			}
			w.unmarshal(raw, &got)
			for _, e := range got.Chunk {
				switch e.Type {
				case typeReceipt:
					receipts++
				case typePresence:
					presences++
				default:
					events++
				}
			}
			return got.End, events, receipts, presences
		}
		from, _, _, _ := ask("")
		err := w.db.Write(context.Background(), func(tx *store.Tx) error {
			for i, room := range rooms {
				user := id.UserID(fmt.Sprintf("@u%d:test", i))
				nid, _, err := tx.SetPresence(user, store.Presence{State: "online"})
				if err != nil {
					return err
				}
				if err := tx.SetMembership(store.Membership{RoomNID: p.nid, UserNID: nid, Membership: "join", Pos: 1}); err != nil {
					return err
				}
				if _, err := tx.SetReceipt(store.Receipt{RoomNID: room, UserNID: nid, Type: store.ReceiptRead, EventID: "$x", EventPos: 1, TS: 1}); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		p.texts(alice, "said ", 3)
		var events, receipts, presences int
		for answers := 0; ; answers++ {
			end, e, r, p := ask(from)
			if r > maxBeside || p > maxBeside {
				t.Errorf("one answer has %d receipts and %d presences", r, p)
			}
			events, receipts, presences = events+e, receipts+r, presences+p
			if end == from {
				if answers < 2 {
					t.Errorf("all of it came in %d answers", answers)
				}
				break
			}
			from = end
		}
		if events != 3 || receipts != many || presences != many {
			t.Errorf("got %d events, %d receipts, %d presences; want 3, %d, %d", events, receipts, presences, many, many)
		}
	})
}
