package search_test

import (
	"testing"

	"causeway/homeserver/store"
	"causeway/homeserver/storetest"
)

// When another process may have written, what is stored says what the index has, which rooms are open, and by which key words are hashed.
func TestIndexInAnotherGeneration(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		k := newTalk(t, db)
		k.OK("PUT", "/_matrix/client/v3/rooms/"+string(k.rooms[0])+"/state/m.room.join_rules", k.reader.Token,
			map[string]string{"join_rule": "public"}, nil)
		k.say("known early")
		k.finds("known", 1)
		if !storetest.Cut(t, db) {
			return
		}
		// The database comes back without what the index had.
		err := db.Write(t.Context(), func(tx *store.Tx) error {
			for _, query := range []string{
				`DELETE FROM search_index`, `UPDATE search_cursor SET pos = 0`, `UPDATE rooms SET open = 0`, `DELETE FROM secrets WHERE name = 'search'`,
			} {
				if _, err := tx.Exec(query); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		k.finds("known", 1)
		k.say("known later")
		k.finds("known", 2)
		err = db.View(t.Context(), func(tx *store.Tx) error {
			var open, keys int
			if _, err := tx.Row(`SELECT open FROM rooms`, nil, &open); err != nil {
				return err
			}
			_, err := tx.Row(`SELECT COUNT(*) FROM secrets WHERE name = 'search'`, nil, &keys)
			if open != 1 || keys != 1 {
				t.Errorf("open %d, keys %d; want 1, 1", open, keys)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	})
}
