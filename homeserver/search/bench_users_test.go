package search_test

import (
	"fmt"
	"testing"
	"time"

	"causeway/homeserver/store"
	"causeway/homeserver/testserver"

	"maunium.net/go/mautrix/id"
)

// BenchmarkFindUsers looks for users among CAUSEWAY_BENCH_USERS (100,000), half of whom are in an open room.
func BenchmarkFindUsers(b *testing.B) {
	users := setting("CAUSEWAY_BENCH_USERS", 100_000)
	for _, engine := range []string{"sqlite", "postgres"} {
		b.Run(engine, func(b *testing.B) {
			db := openStore(b, engine)
			s := testserver.New(b, db)
			ann, eve := s.Register("ann"), s.Register("eve")
			rooms := make([]int64, 2)
			for i, preset := range []string{"public_chat", "private_chat"} {
				var out struct {
					RoomID id.RoomID `json:"room_id"`
				}
				s.OK("POST", "/_matrix/client/v3/createRoom", ann.Token, map[string]any{"preset": preset}, &out)
				if err := db.View(b.Context(), func(tx *store.Tx) (err error) { rooms[i], err = tx.RoomNID(out.RoomID); return err }); err != nil {
					b.Fatal(err)
				}
			}
			for done := 0; done < users; done += 1000 {
				if err := db.Write(b.Context(), func(tx *store.Tx) error { return insertUsers(tx, rooms, done) }); err != nil {
					b.Fatal(err)
				}
			}
			start := time.Now()
			find := func(token, term string) (n int) {
				var out struct{ Results []any }
				s.OK("POST", "/_matrix/client/v3/user_directory/search", token, map[string]any{"search_term": term}, &out)
				return len(out.Results)
			}
			for find(eve.Token, fmt.Sprint("number", users-2)) == 0 {
			}
			b.Logf("the words of %d users were made in %v", users, time.Since(start))
			for _, q := range []struct{ name, token, term string }{
				{"exact", eve.Token, "@user500"}, {"rare", eve.Token, "number4242"}, {"common", eve.Token, "u"}, {"common name", eve.Token, "smith num"},
				{"hidden", eve.Token, "hidden"}, {"none", eve.Token, "zzz"}, {"of a member", ann.Token, "hidden"},
			} {
				b.Run(q.name, func(b *testing.B) {
					n, least := 0, time.Hour
					for b.Loop() {
						start := time.Now()
						n = find(q.token, q.term)
						least = min(least, time.Since(start))
					}
					b.ReportMetric(float64(n), "found")
					b.ReportMetric(float64(least.Microseconds())/1000, "least-ms")
				})
			}
		})
	}
}

// insertUsers makes a thousand users: those with even numbers are in the first room, the others in the second.
func insertUsers(tx *store.Tx, rooms []int64, first int) error {
	for i := first; i < first+1000; i++ {
		u := &store.User{UserID: id.UserID(fmt.Sprintf("@user%d:test", i)), CreatedTS: 1}
		if err := tx.InsertUser(u); err != nil {
			return err
		}
		name := fmt.Sprintf("Smith number%d", i)
		if i%2 == 1 {
			name = fmt.Sprintf("Hidden number%d", i)
		}
		if err := tx.SetDisplayName(u.UserID, name); err != nil {
			return err
		}
		if err := tx.SetMembership(store.Membership{RoomNID: rooms[i%2], UserNID: u.NID, Membership: "join", Pos: u.NID}); err != nil {
			return err
		}
	}
	return nil
}
