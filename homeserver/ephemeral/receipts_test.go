package ephemeral

import (
	"context"
	"errors"
	"testing"

	"causeway/homeserver/event"
	"causeway/homeserver/store"

	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/id"
)

// eyes show every event, after something has happened.
type eyes func()

func (e eyes) Visible(_ *store.Tx, _ id.UserID, roomID id.RoomID, eventID id.EventID) (*store.Event, error) {
	e()
	return &store.Event{PDU: &event.PDU{EventID: eventID, RoomID: roomID}, Pos: 1}, nil
}

// Who is kicked after the request was looked at, and before it is stored, leaves no mark.
func TestReceiptOfOneWhoIsKickedMeanwhile(t *testing.T) {
	for _, mark := range []string{TypeRead, TypeReadPrivate, TypeFullyRead} {
		t.Run(mark, func(t *testing.T) {
			bubble(t, func(w *world) {
				for _, membership := range []string{"leave", "ban"} {
					nid := w.membership(ann, "join")
					receipts := NewReceipts(w.db, w.bus, eyes(func() { w.membership(ann, membership) }), func(id.UserID) { t.Error("ann is said to be active") })
					err := receipts.SetRead(context.Background(), ann, roomID, Mark{Type: mark, EventID: "$event"})
					if !errors.Is(err, mautrix.MForbidden) {
						t.Errorf("%s: got %v, want M_FORBIDDEN", membership, err)
					}
					err = w.db.View(context.Background(), func(tx *store.Tx) error {
						rows, err := tx.Receipts(w.roomNID, nid, 0, 1<<40, false, 10)
						if err != nil {
							return err
						}
						if _, err := tx.AccountData(ann, w.roomNID, TypeFullyRead); len(rows) > 0 || !errors.Is(err, store.ErrNotFound) {
							t.Errorf("%s: %v, %v is stored", membership, rows, err)
						}
						return nil
					})
					if err != nil {
						t.Error(err)
					}
				}
			})
		})
	}
}
