package doctor_test

import (
	"crypto/ed25519"
	"encoding/json"
	"fmt"
	"path/filepath"
	"sync"
	"testing"

	"causeway/homeserver/doctor"
	"causeway/homeserver/event"
	"causeway/homeserver/notify"
	"causeway/homeserver/room"
	"causeway/homeserver/store"
	"causeway/homeserver/storetest"
	"causeway/homeserver/testserver"

	"maunium.net/go/mautrix/id"
)

// benchMessages is how many messages there are in the rooms of BenchmarkExamine, and benchMembers how many join them.
const (
	benchMessages = 20_000
	benchMembers  = 500
	benchRooms    = 4
)

// BenchmarkExamine verifies a whole database.
func BenchmarkExamine(b *testing.B) {
	for _, engine := range []string{"sqlite", "postgres"} {
		b.Run(engine, func(b *testing.B) {
			target := filepath.Join(b.TempDir(), "causeway.db")
			if engine == "postgres" {
				target = storetest.PostgresURL(b)
			}
			db, err := store.Open(b.Context(), target)
			if err != nil {
				b.Fatal(err)
			}
			defer db.Close()
			fill(b, db)
			var r *doctor.Report
			for b.Loop() {
				if r, err = doctor.Run(b.Context(), db, doctor.Options{Keys: keys}); err != nil || !r.Sound() {
					b.Fatalf("%v, %v", r, err)
				}
			}
			b.ReportMetric(float64(r.Checked.Events), "events")
			b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/float64(r.Checked.Events), "µs/event")
			b.ReportMetric(float64(r.Space.Bytes)/1e6, "MB")
		})
	}
}

// fill makes rooms with members who talk.
func fill(b *testing.B, db *store.DB) {
	s := room.New(room.Config{
		ServerName: testserver.Name, DB: db, Bus: new(notify.Local),
		Key: &event.Key{ServerName: testserver.Name, KeyID: "ed25519:test", Private: ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))},
	})
	var rooms []id.RoomID
	for i := range benchRooms {
		roomID, err := s.Create(b.Context(), room.By{User: user(0)}, room.CreateRequest{Preset: "public_chat", Name: fmt.Sprint(i)})
		if err != nil {
			b.Fatal(err)
		}
		rooms = append(rooms, roomID)
	}
	var wait sync.WaitGroup
	for worker := range 64 {
		wait.Go(func() {
			for i := worker; i < benchMembers*benchRooms; i += 64 {
				if i/benchRooms == 0 {
					continue
				}
				if _, err := s.Join(b.Context(), room.By{User: user(i / benchRooms)}, string(rooms[i%benchRooms]), nil); err != nil {
					b.Error(err)
				}
			}
		})
	}
	wait.Wait()
	for worker := range 64 {
		wait.Go(func() {
			for i := worker; i < benchMessages; i += 64 {
				content, _ := json.Marshal(map[string]any{"msgtype": "m.text", "body": fmt.Sprintf("message %d of the many that are said here", i)})
				if _, err := s.Send(b.Context(), room.By{User: user(i % benchMembers)}, rooms[i%benchRooms], "m.room.message", "", content); err != nil {
					b.Error(err)
				}
			}
		})
	}
	wait.Wait()
}

func user(i int) id.UserID { return id.NewUserID(fmt.Sprintf("user%d", i), testserver.Name) }
