package room

import (
	"encoding/json"
	"errors"
	"testing"

	"causeway/homeserver/event"
	"causeway/homeserver/store"
	"causeway/homeserver/storetest"
)

// What keeps a room closed is closed in the room that replaces it, though the new version does not take the old event as it is: numbers
// that are no integers are none of canonical JSON since version 6.
func TestUpgradeKeepsARoomClosed(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		s := newService(db)
		old := mustCreate(t, s, CreateRequest{RoomVersion: "5", InitialState: []InitialState{
			{Type: "m.room.encryption", Content: json.RawMessage(`{"algorithm":"m.megolm.v1.aes-sha2","rotation_period_ms":1.5}`)},
			{Type: event.TypeHistoryVisibility, Content: json.RawMessage(`{"history_visibility":"joined","x":1.5}`)},
			{Type: event.TypeServerACL, Content: json.RawMessage(`{"allow":["*"],"deny":["evil.example"],"x":1.5}`)},
		}})
		replacement, err := s.Upgrade(t.Context(), as(alice), old, UpgradeRequest{NewVersion: "12"})
		if err != nil {
			t.Fatal(err)
		}
		for eventType, want := range map[string][2]string{
			"m.room.encryption":         {"algorithm", "m.megolm.v1.aes-sha2"},
			event.TypeHistoryVisibility: {"history_visibility", event.VisibilityJoined},
			event.TypeServerACL:         {},
		} {
			err := db.View(t.Context(), func(tx *store.Tx) error {
				r, err := tx.Room(replacement)
				if err != nil {
					return err
				}
				e, err := tx.CurrentStateEvent(r.NID, eventType, "")
				if err == nil && want[0] != "" && e.ContentString(want[0]) != want[1] {
					t.Errorf("%s: got %s", eventType, e.Content)
				}
				return err
			})
			if errors.Is(err, store.ErrNotFound) {
				t.Errorf("the new room has no %s", eventType)
			} else if err != nil {
				t.Fatal(err)
			}
		}
	})
}
