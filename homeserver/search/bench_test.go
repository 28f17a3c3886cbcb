package search_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"causeway/homeserver/store"
	"causeway/homeserver/storetest"
	"causeway/homeserver/testserver"

	"maunium.net/go/mautrix/id"
)

// archive is a server full of messages. Words are as frequent as those of a language: word1 is in most messages, word2 in half as many.
type archive struct {
	*testserver.Server
	reader testserver.User // is in all rooms
	guest  testserver.User // is in the last one
	rooms  []id.RoomID
}

const vocabulary = 200_000

// newArchive makes a number of messages in rooms, the last of which has few.
func newArchive(b *testing.B, db *store.DB, messages, rooms int) *archive {
	s := testserver.New(b, db)
	a := &archive{Server: s, reader: s.Register("reader"), guest: s.Register("guest")}
	for range rooms {
		var out struct {
			RoomID id.RoomID `json:"room_id"`
		}
		s.OK("POST", "/_matrix/client/v3/createRoom", a.reader.Token, map[string]any{"preset": "public_chat"}, &out)
		a.rooms = append(a.rooms, out.RoomID)
	}
	s.OK("POST", "/_matrix/client/v3/join/"+string(a.rooms[rooms-1]), a.guest.Token, map[string]any{}, nil)
	r := rand.New(rand.NewPCG(1, 2))
	words := rand.NewZipf(r, 1.07, 2, vocabulary)
	for done := 0; done < messages; {
		n := min(2000, messages-done)
		var lines []string
		for range n {
			var line []string
			for range 4 + r.IntN(16) {
				line = append(line, fmt.Sprint("word", words.Uint64()+1))
			}
			lines = append(lines, strings.Join(line, " "))
		}
		if err := db.Write(b.Context(), func(tx *store.Tx) error { return a.insert(tx, r, lines, done) }); err != nil {
			b.Fatal(err)
		}
		done += n
	}
	return a
}

// insert writes rows of events as they are, which is faster by far than sending them.
func (a *archive) insert(tx *store.Tx, r *rand.Rand, lines []string, first int) error {
	sender, err := tx.LookupNID(string(a.reader.ID))
	if err != nil {
		return err
	}
	kind, err := tx.NID("m.room.message")
	if err != nil {
		return err
	}
	for i, line := range lines {
		n := r.IntN(len(a.rooms))
		if n == len(a.rooms)-1 && i%100 != 0 {
			n = 0
		}
		room, err := tx.Room(a.rooms[n])
		if err != nil {
			return err
		}
		pos, err := tx.NextPos()
		if err != nil {
			return err
		}
		raw, err := json.Marshal(map[string]any{
			"type": "m.room.message", "room_id": room.RoomID, "sender": a.reader.ID, "origin_server_ts": pos, "depth": 10,
			"content": map[string]string{"msgtype": "m.text", "body": line}, "auth_events": []string{}, "prev_events": []string{},
			"hashes": map[string]string{"sha256": "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU"}, "signatures": map[string]string{},
		})
		if err != nil {
			return err
		}
		err = tx.Defer(`INSERT INTO events (nid, room_nid, pos, event_id, type_nid, sender_nid, depth, origin_server_ts, state_before,
			state_after, json) VALUES ($1, $2, $1, $3, $4, $5, 10, $6, $7, $7, $8)`, pos, room.NID,
			fmt.Sprintf("$bench%d", first+i), kind, sender, pos, room.StateID, string(raw))
		if err != nil {
			return err
		}
	}
	return nil
}

func (a *archive) search(token, term, order string) (count int, full bool) {
	var out struct {
		Categories struct {
			RoomEvents struct {
				Count   int               `json:"count"`
				Results []json.RawMessage `json:"results"`
			} `json:"room_events"`
		} `json:"search_categories"`
	}
	a.OK("POST", "/_matrix/client/v3/search", token, map[string]any{"search_categories": map[string]any{"room_events": map[string]any{
		"search_term": term, "order_by": order,
	}}}, &out)
	return out.Categories.RoomEvents.Count, len(out.Categories.RoomEvents.Results) == 10
}

// BenchmarkSearch searches CAUSEWAY_BENCH_MESSAGES messages (100,000) in CAUSEWAY_BENCH_ROOMS rooms (20).
func BenchmarkSearch(b *testing.B) {
	messages, rooms := setting("CAUSEWAY_BENCH_MESSAGES", 100_000), setting("CAUSEWAY_BENCH_ROOMS", 20)
	for _, engine := range []string{"sqlite", "postgres"} {
		b.Run(engine, func(b *testing.B) {
			a := newArchive(b, openStore(b, engine), messages, rooms)
			start := time.Now()
			for {
				// Each attempt waits for the index for a while.
				if count, _ := a.search(a.reader.Token, "word1", "recent"); count > 0 && a.indexed(b) {
					break
				}
			}
			b.Logf("%d messages were indexed in %v", messages, time.Since(start))
			for _, q := range []struct{ name, token, term string }{
				{"common", a.reader.Token, "word1"}, {"usual", a.reader.Token, "word50"}, {"uncommon", a.reader.Token, "word1000"},
				{"rare", a.reader.Token, "word30000"}, {"none", a.reader.Token, "nothing"}, {"two", a.reader.Token, "word1 word2"},
				{"five", a.reader.Token, "word1 word2 word3 word4 word5"}, {"common+rare", a.reader.Token, "word1 word30000"},
				{"small room, common", a.guest.Token, "word1"}, {"small room, rare", a.guest.Token, "word30000"},
			} {
				for _, order := range []string{"recent", "rank"} {
					b.Run(q.name+"/"+order, func(b *testing.B) {
						count, least := 0, time.Hour
						for b.Loop() {
							start := time.Now()
							count, _ = a.search(q.token, q.term, order)
							least = min(least, time.Since(start))
						}
						b.ReportMetric(float64(count), "found")
						b.ReportMetric(float64(least.Microseconds())/1000, "least-ms")
					})
				}
			}
		})
	}
}

// indexed tells whether all is in the index.
func (a *archive) indexed(b *testing.B) bool {
	done := false
	err := a.DB.View(b.Context(), func(tx *store.Tx) error {
		cursor, err := tx.SearchCursor()
		if err != nil {
			return err
		}
		left, err := tx.StreamEvents(cursor, 1<<62, 1)
		done = len(left) == 0
		return err
	})
	if err != nil {
		b.Fatal(err)
	}
	return done
}

func openStore(b *testing.B, engine string) *store.DB {
	if engine == "sqlite" {
		return storetest.New(b)
	}
	db, err := store.Open(b.Context(), storetest.PostgresURL(b))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = db.Close() })
	return db
}

func setting(name string, absent int) int {
	if n, err := strconv.Atoi(os.Getenv(name)); err == nil && n > 0 {
		return n
	}
	return absent
}
