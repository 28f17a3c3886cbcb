package usersync

import (
	"context"
	"fmt"
	"testing"

	"causeway/homeserver/store"

	"maunium.net/go/mautrix/id"
)

// A room has more receipts than are shown: the newest are.
func TestReceiptsBound(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		p := w.room(alice, "shared")
		const many = maxReceipts + 20
		users := make([]id.UserID, many)
		err := w.db.Write(context.Background(), func(tx *store.Tx) error {
			for i := range users {
				users[i] = id.UserID(fmt.Sprintf("@user%04d:test", i))
				nid, err := tx.NID(string(users[i]))
				if err != nil {
					return err
				}
				if err := tx.SetMembership(store.Membership{RoomNID: p.nid, UserNID: nid, Membership: "join", Pos: p.last.Pos}); err != nil {
					return err
				}
				_, err = tx.SetReceipt(store.Receipt{
					RoomNID: p.nid, UserNID: nid, Type: store.ReceiptRead, EventID: p.last.EventID, EventPos: p.last.Pos, TS: 1,
				})
				if err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		shown := w.sync(Request{User: alice}).joined(t, p).Ephemeral.Events[0].Content[string(p.last.EventID)].(obj)["m.read"].(obj)
		if len(shown) != maxReceipts || shown[string(users[0])] != nil || shown[string(users[many-1])] == nil {
			t.Errorf("%d receipts are shown, want the newest %d", len(shown), maxReceipts)
		}
	})
}

// What others read far away is none of a device's business, and a room that only has new receipts is shown, whether the range is short or
// long.
func TestReceiptsByRange(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		p := w.room(alice, "shared")
		p.join(bob)
		other := w.room(carol, "shared")
		read := func(p *place, user id.UserID) {
			t.Helper()
			row := store.Receipt{RoomNID: p.nid, UserNID: w.nid(user), Type: store.ReceiptRead, EventID: p.last.EventID, EventPos: p.last.Pos}
			err := w.db.Write(context.Background(), func(tx *store.Tx) error {
				_, err := tx.SetReceipt(row)
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		short, long := w.tip(alice), w.tip(alice)
		read(p, bob)
		for _, since := range []string{short, long} {
			if since == long {
				other.texts(carol, "x", shortRange)
				read(other, carol)
			}
			a := w.sync(Request{User: alice, Since: since})
			if r := a.joined(t, p); len(a.Rooms.Join) != 1 || len(r.Ephemeral.Events) != 1 || len(r.Timeline.Events) != 0 || len(r.State.Events) != 0 {
				t.Errorf("since %s: got %+v", since, a.Rooms)
			}
			if a := w.sync(Request{User: alice, Since: a.NextBatch}); !a.empty() {
				t.Errorf("again: got %+v", a.Rooms)
			}
		}
	})
}
