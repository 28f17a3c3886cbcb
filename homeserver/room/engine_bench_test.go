package room_test

import (
	"context"
	"crypto/ed25519"
	"database/sql"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"causeway/homeserver/event"
	"causeway/homeserver/notify"
	"causeway/homeserver/room"
	"causeway/homeserver/store"
	"causeway/homeserver/storetest"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver that measures
	"maunium.net/go/mautrix/id"
)

const (
	// senders is how many write at the same time.
	senders = 32
	// crowd is the number of members of a large room.
	crowd = 50_000
	admin = id.UserID("@admin:test")
)

// text is a message of ordinary length.
var text = json.RawMessage(`{"msgtype":"m.text","body":"The quick brown fox jumps over the lazy dog, and then, being quick, over another one."}`)

// engine is a store whose size can be measured, and rooms in it.
type engine struct {
	target string // what store.Open takes
	driver string
	db     *store.DB
	rooms  *room.Service
	txn    atomic.Int64
}

// eachEngine runs a benchmark on each engine, each with an empty store.
func eachEngine(b *testing.B, run func(b *testing.B, e *engine)) {
	b.Run("sqlite", func(b *testing.B) {
		run(b, openEngine(b, "sqlite", filepath.Join(b.TempDir(), "causeway.db")))
	})
	b.Run("postgres", func(b *testing.B) { run(b, openEngine(b, "pgx", storetest.PostgresURL(b))) })
}

func openEngine(b *testing.B, driver, target string) *engine {
	b.Helper()
	e := &engine{target: target, driver: driver}
	e.open(b)
	b.Cleanup(func() { e.close(b) })
	return e
}

func (e *engine) open(b *testing.B) {
	b.Helper()
	db, err := store.Open(context.Background(), e.target)
	if err != nil {
		b.Fatal(err)
	}
	e.db = db
	e.rooms = room.New(room.Config{
		ServerName: "test", DB: db, Bus: new(notify.Local),
		Key: &event.Key{ServerName: "test", KeyID: "ed25519:1", Private: ed25519.NewKeyFromSeed(make([]byte, 32))},
	})
}

func (e *engine) close(b *testing.B) {
	b.Helper()
	if err := e.db.Close(); err != nil {
		b.Fatal(err)
	}
}

// size is the bytes of the database, as they are after what a server does by
// itself: PostgreSQL's vacuum, that is.
func (e *engine) size(b *testing.B) int64 {
	b.Helper()
	db, err := sql.Open(e.driver, e.target)
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	query := "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size"
	if e.driver == "pgx" {
		if _, err := db.Exec("VACUUM"); err != nil {
			b.Fatal(err)
		}
		query = "SELECT pg_database_size(current_database())"
	}
	var bytes int64
	if err := db.QueryRow(query).Scan(&bytes); err != nil {
		b.Fatal(err)
	}
	return bytes
}

func by(user id.UserID) room.By { return room.By{User: user, Device: "D"} }

func member(i int) id.UserID { return id.UserID("@member" + strconv.Itoa(i) + ":test") }

// inParallel calls do for 0 to n-1, from as many goroutines as there are senders.
func inParallel(b *testing.B, n int, do func(i int) error) {
	b.Helper()
	var next atomic.Int64
	var all sync.WaitGroup
	for range senders {
		all.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				if err := do(i); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
	if b.Failed() {
		b.FailNow()
	}
}

func (e *engine) create(b *testing.B) id.RoomID {
	b.Helper()
	roomID, err := e.rooms.Create(context.Background(), by(admin), room.CreateRequest{Preset: "public_chat"})
	if err != nil {
		b.Fatal(err)
	}
	return roomID
}

// createMany makes rooms and returns their ids.
func (e *engine) createMany(b *testing.B, n int) []id.RoomID {
	b.Helper()
	ids := make([]id.RoomID, n)
	inParallel(b, n, func(i int) (err error) {
		ids[i], err = e.rooms.Create(context.Background(), by(admin), room.CreateRequest{Preset: "public_chat", Name: "Room " + strconv.Itoa(i)})
		return err
	})
	return ids
}

// createCrowd makes a room with that many members.
func (e *engine) createCrowd(b *testing.B, members int) id.RoomID {
	b.Helper()
	roomID := e.create(b)
	inParallel(b, members-1, func(i int) error {
		_, err := e.rooms.Join(context.Background(), by(member(i)), string(roomID), nil)
		return err
	})
	return roomID
}

func (e *engine) send(user id.UserID, roomID id.RoomID) error {
	txn := "m" + strconv.FormatInt(e.txn.Add(1), 10)
	_, err := e.rooms.Send(context.Background(), by(user), roomID, "m.room.message", txn, text)
	return err
}

// BenchmarkAppend has 32 senders send, into one room and into 1,000.
func BenchmarkAppend(b *testing.B) {
	eachEngine(b, func(b *testing.B, e *engine) {
		for _, n := range []int{1, 1000} {
			rooms := e.createMany(b, n)
			b.Run(fmt.Sprintf("%drooms", n), func(b *testing.B) {
				inParallel(b, b.N, func(i int) error { return e.send(admin, rooms[i%n]) })
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
			})
		}
	})
}

// BenchmarkSendMembers has members of a small room and of a large one send, in one and the same database.
func BenchmarkSendMembers(b *testing.B) {
	eachEngine(b, func(b *testing.B, e *engine) {
		sizes := []int{10, crowd}
		rooms := make(map[int]id.RoomID)
		for _, n := range sizes {
			rooms[n] = e.createCrowd(b, n)
		}
		for _, n := range sizes {
			roomID := rooms[n]
			b.Run(fmt.Sprintf("%dsenders/%d", senders, n), func(b *testing.B) {
				inParallel(b, b.N, func(i int) error { return e.send(member(i%9), roomID) })
			})
			b.Run(fmt.Sprintf("1sender/%d", n), func(b *testing.B) {
				for range b.N {
					if err := e.send(member(0), roomID); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	})
}

// BenchmarkMessageBytes measures what the database grows by with a message.
func BenchmarkMessageBytes(b *testing.B) {
	eachEngine(b, func(b *testing.B, e *engine) {
		roomID := e.createCrowd(b, 10)
		b.Run("message", func(b *testing.B) {
			e.reportGrowth(b, func(i int) error { return e.send(member(i%9), roomID) })
		})
	})
}

// BenchmarkMembershipBytes measures what the database grows by when a member of a
// large room leaves or comes back.
func BenchmarkMembershipBytes(b *testing.B) {
	eachEngine(b, func(b *testing.B, e *engine) {
		roomID := e.createCrowd(b, crowd)
		b.Run(strconv.Itoa(crowd), func(b *testing.B) {
			e.reportGrowth(b, func(i int) error {
				if half := b.N / 2; i >= half { // who left in the first half comes back
					_, err := e.rooms.Join(context.Background(), by(member((i-half)%(crowd-1))), string(roomID), nil)
					return err
				}
				return e.rooms.Leave(context.Background(), by(member(i%(crowd-1))), roomID, "")
			})
		})
	})
}

// reportGrowth does something b.N times and reports by how much the database grew for each.
func (e *engine) reportGrowth(b *testing.B, do func(i int) error) {
	b.Helper()
	before := e.size(b)
	b.ResetTimer()
	inParallel(b, b.N, do)
	b.StopTimer()
	b.ReportMetric(float64(e.size(b)-before)/float64(b.N), "db-bytes/op")
}

// BenchmarkOpen10000Rooms opens a store of 10,000 rooms and has 100 of them
// active, and reports what memory that takes.
func BenchmarkOpen10000Rooms(b *testing.B) {
	const rooms, active = 10_000, 100
	eachEngine(b, func(b *testing.B, e *engine) {
		ids := e.createMany(b, rooms)
		b.Run(fmt.Sprintf("%dactive", active), func(b *testing.B) {
			var heap, resident float64
			for range b.N {
				b.StopTimer()
				e.close(b)
				debug.FreeOSMemory()
				b.StartTimer()
				e.open(b)
				inParallel(b, active, func(i int) error { return e.send(admin, ids[i*(rooms/active)]) })
				b.StopTimer()
				debug.FreeOSMemory()
				var m runtime.MemStats
				runtime.ReadMemStats(&m)
				heap, resident = float64(m.HeapAlloc)/1e6, residentMB(b)
				b.StartTimer()
			}
			b.ReportMetric(heap, "heap-MB")
			b.ReportMetric(resident, "rss-MB")
		})
	})
}

// residentMB is the memory of this process, in megabytes, with what the
// benchmark itself holds.
func residentMB(b *testing.B) float64 {
	b.Helper()
	raw, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		b.Fatal(err)
	}
	fields := strings.Fields(string(raw))
	pages, err := strconv.ParseFloat(fields[1], 64)
	if err != nil {
		b.Fatal(err)
	}
	return pages * float64(os.Getpagesize()) / 1e6
}
