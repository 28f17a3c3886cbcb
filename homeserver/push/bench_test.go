package push_test

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"fmt"
	"sync"
	"testing"

	"causeway/homeserver/event"
	"causeway/homeserver/notify"
	"causeway/homeserver/push"
	"causeway/homeserver/room"
	"causeway/homeserver/store"
	"causeway/homeserver/storetest"

	"maunium.net/go/mautrix/id"
)

func user(i int) id.UserID { return id.UserID(fmt.Sprintf("@user%d:test", i)) }

// newRoom makes a room whose members are all of this server.
func newRoom(b *testing.B, db *store.DB, pushes *push.Service, judged bool, members int) (*room.Service, id.RoomID) {
	config := room.Config{
		ServerName: "test", DB: db, Bus: new(notify.Local),
		Key: &event.Key{ServerName: "test", KeyID: "ed25519:1", Private: ed25519.NewKeyFromSeed(make([]byte, 32))},
	}
	if judged {
		config.Judge = pushes
	}
	s := room.New(config)
	err := db.Write(b.Context(), func(tx *store.Tx) error {
		for i := range members {
			if err := tx.InsertUser(&store.User{UserID: user(i)}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
	roomID, err := s.Create(b.Context(), room.By{User: user(0), Device: "D"}, room.CreateRequest{Preset: "public_chat"})
	if err != nil {
		b.Fatal(err)
	}
	for i := 1; i < members; i++ {
		if _, err := s.Join(b.Context(), room.By{User: user(i), Device: "D"}, string(roomID), nil); err != nil {
			b.Fatal(err)
		}
	}
	return s, roomID
}

// BenchmarkSend compares sending with and without judging by the push rules, into a room of one and of 1,000; in the last, each of the
// members has rules of their own.
func BenchmarkSend(b *testing.B) {
	for _, bench := range []struct {
		name    string
		members int
		judged  bool
		own     bool
	}{
		{"1/plain", 1, false, false}, {"1/judged", 1, true, false},
		{"2/plain", 2, false, false}, {"2/judged", 2, true, false},
		{"1000/plain", 1000, false, false}, {"1000/judged", 1000, true, false}, {"1000/own", 1000, true, true},
	} {
		b.Run(bench.name, func(b *testing.B) {
			db := storetest.New(b)
			pushes := push.New(push.Config{DB: db, Bus: new(notify.Local)})
			s, roomID := newRoom(b, db, pushes, bench.judged, bench.members)
			if bench.own {
				ownRules(b, pushes, bench.members)
			}
			content := json.RawMessage(`{"body":"The quick brown fox jumps over the lazy dog","msgtype":"m.text"}`)
			send := func(n int, txn string) error {
				_, err := s.Send(context.Background(), room.By{User: user(0), Device: "D"}, roomID, "m.room.message", fmt.Sprint(txn, n), content)
				return err
			}
			if err := send(0, "first"); err != nil {
				b.Fatal(err)
			}
			b.ResetTimer()
			var wg sync.WaitGroup
			for n := range 32 {
				wg.Go(func() {
					for i := n; i < b.N; i += 32 {
						if err := send(i, "m"); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			wg.Wait()
		})
	}
}

// ownRules gives each user some keywords, a muted room and a rule of conditions.
func ownRules(b *testing.B, pushes *push.Service, users int) {
	actions := []json.RawMessage{json.RawMessage(`"notify"`)}
	for i := range users {
		put := func(kind push.Kind, ruleID string, in push.RuleInput) {
			in.Actions = actions
			if err := pushes.PutRule(b.Context(), user(i), kind, ruleID, in, "", ""); err != nil {
				b.Fatal(err)
			}
		}
		for k := range 3 {
			word := fmt.Sprintf("word%d", k)
			put(push.Content, word, push.RuleInput{Pattern: &word})
		}
		put(push.Room, "!other:test", push.RuleInput{})
		put(push.Override, "own", push.RuleInput{Conditions: []json.RawMessage{
			json.RawMessage(`{"kind":"event_match","key":"content.msgtype","pattern":"m.image"}`), json.RawMessage(`{"kind":"room_member_count","is":"<5"}`)}})
	}
}
