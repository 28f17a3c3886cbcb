package store

import (
	"encoding/binary"
	"testing"
	"time"

	"causeway/homeserver/sqldb"
)

// Bringing the state sets of a large room up to date takes time that grows with their number, not with its square.
func TestReviewRepackIsLinear(t *testing.T) {
	took := func(n int) time.Duration {
		db, err := Open(t.Context(), t.TempDir()+"/db")
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		// As version 3 left it: a set for each of n members, each with the entry of its step, and every 64th whole.
		err = db.Write(t.Context(), func(tx *Tx) error {
			var whole []byte
			for i := range n {
				entry := []byte{}
				for _, v := range []int64{1, int64(10 + i), int64(1_000_000 + i)} {
					entry = binary.AppendVarint(entry, v)
				}
				whole = append(whole, entry...)
				args := []any{int64(i + 1), int64(i), int64(i % 64), entry}
				if i%64 == 0 {
					args = []any{int64(i + 1), nil, int64(0), append([]byte(nil), whole...)}
				}
				if _, err := tx.Exec(`INSERT INTO state_sets (id, room_nid, parent, seq, entries) VALUES ($1, 7, $2, $3, $4)`, args...); err != nil {
					return err
				}
			}
			_, err := tx.Exec(`INSERT INTO chores (name) VALUES ('state_sets')`)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		if db.Engine() != sqldb.SQLite {
			t.Fatal("not SQLite")
		}
		start := time.Now()
		if err := db.prepare(t.Context()); err != nil {
			t.Fatal(err)
		}
		return time.Since(start)
	}
	small, large := took(500), took(4000)
	t.Logf("500 sets: %v, 4000 sets: %v", small, large)
	if large > 20*small {
		t.Errorf("eight times the sets take %.0f times as long", float64(large)/float64(small))
	}
}
