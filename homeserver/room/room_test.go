package room

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"causeway/homeserver/event"
	"causeway/homeserver/notify"
	"causeway/homeserver/store"
	"causeway/homeserver/storetest"

	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/id"
)

const (
	alice = id.UserID("@alice:test")
	bob   = id.UserID("@bob:test")
	carol = id.UserID("@carol:test")
)

func newService(db *store.DB) *Service {
	clock := int64(1_700_000_000_000)
	var mu sync.Mutex
	return New(Config{
		ServerName: "test", DB: db, Bus: new(notify.Local),
		Key: &event.Key{ServerName: "test", KeyID: "ed25519:1", Private: ed25519.NewKeyFromSeed(make([]byte, 32))},
		Now: func() time.Time {
			mu.Lock()
			defer mu.Unlock()
			clock++
			return time.UnixMilli(clock)
		},
	})
}

func as(user id.UserID) By { return By{User: user, Device: "D"} }

func body(text string) json.RawMessage {
	raw, _ := json.Marshal(map[string]string{"msgtype": "m.text", "body": text})
	return raw
}

func mustCreate(t *testing.T, s *Service, in CreateRequest) id.RoomID {
	t.Helper()
	roomID, err := s.Create(t.Context(), as(alice), in)
	if err != nil {
		t.Fatal(err)
	}
	return roomID
}

// code is the Matrix error code of an error, "" for none.
func code(err error) string {
	var m mautrix.RespError
	switch {
	case err == nil:
		return ""
	case errors.As(err, &m):
		return m.ErrCode
	default:
		return "not a Matrix error: " + err.Error()
	}
}

// timeline reads a room's events, oldest first, and checks what must hold between their rows.
func timeline(t *testing.T, db *store.DB, roomID id.RoomID) []*store.Event {
	t.Helper()
	var all []*store.Event
	err := db.View(t.Context(), func(tx *store.Tx) error {
		r, err := tx.Room(roomID)
		if err != nil {
			return err
		}
		if all, err = tx.TimelineAfter(r.NID, 0, 1<<60, 1_000_000); err != nil {
			return err
		}
		tips, err := tx.Extremities(r.NID)
		if err != nil {
			return err
		}
		if last := all[len(all)-1]; len(tips) != 1 || tips[0].NID != last.NID || r.StateID != last.StateAfter {
			t.Errorf("extremities %v and state %d do not follow from the last event", tips, r.StateID)
		}
		return checkState(t, tx, r, all)
	})
	if err != nil {
		t.Fatal(err)
	}
	for i, e := range all {
		if e.Depth != int64(i+1) {
			t.Errorf("event %d has depth %d", i, e.Depth)
		}
		if i > 0 && (len(e.PrevEvents) != 1 || e.PrevEvents[0] != all[i-1].EventID || e.StateBefore != all[i-1].StateAfter) {
			t.Errorf("event %d does not follow event %d", i, i-1)
		}
		if e.RedactedBy == 0 {
			if _, err := event.Parse(e.Version, e.JSON()); err != nil || e.VerifyHash() != nil {
				t.Errorf("event %d does not verify: %v, %v", i, err, e.VerifyHash())
			}
		}
	}
	return all
}

// checkState compares the stored state sets and the current state with what the events say.
func checkState(t *testing.T, tx *store.Tx, r *store.Room, all []*store.Event) error {
	want := make(store.StateSet)
	for _, e := range all {
		if e.StateKey != nil {
			k, err := tx.LookupStateNID(e.Type, *e.StateKey)
			if err != nil {
				return err
			}
			if want[k] != e.Replaces {
				t.Errorf("%s replaces %d, want %d", e.EventID, e.Replaces, want[k])
			}
			want[k] = e.NID
		}
		got, err := tx.StateSet(e.StateAfter)
		if err != nil {
			return err
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("state after %s: %v, want %v", e.EventID, got, want)
		}
	}
	current, err := tx.CurrentState(r.NID)
	if err != nil {
		return err
	}
	if len(current) != len(want) {
		t.Errorf("current state has %d events, want %d", len(current), len(want))
	}
	return nil
}

func TestCreate(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		s := newService(db)
		for _, version := range []string{"", "10", "11", "12"} {
			for _, preset := range []string{"", "private_chat", "trusted_private_chat", "public_chat"} {
				roomID := mustCreate(t, s, CreateRequest{
					RoomVersion: version, Preset: preset, Name: "A room", Topic: "Things", Invite: []id.UserID{bob}, IsDirect: true,
					InitialState: []InitialState{{Type: event.TypeHistoryVisibility, Content: json.RawMessage(`{"history_visibility":"joined"}`)}},
				})
				all := timeline(t, db, roomID)
				last := all[len(all)-1]
				if last.Type != event.TypeMember || *last.StateKey != string(bob) || last.Membership() != "invite" {
					t.Errorf("version %q, %q: the last event is %s", version, preset, last.JSON())
				}
				visibilities := 0
				for _, e := range all {
					if e.Type == event.TypeHistoryVisibility {
						visibilities++
						if got := e.HistoryVisibility(); got != "joined" {
							t.Errorf("history visibility %q", got)
						}
					}
				}
				if visibilities != 1 {
					t.Errorf("%d history visibilities", visibilities)
				}
			}
		}
	})
}

func TestCreateRefusals(t *testing.T) {
	s := newService(storetest.New(t))
	mustCreate(t, s, CreateRequest{AliasLocalpart: "taken"})
	for _, test := range []struct {
		name string
		in   CreateRequest
		want string
	}{
		{"version", CreateRequest{RoomVersion: "99"}, "M_UNSUPPORTED_ROOM_VERSION"},
		{"preset", CreateRequest{Preset: "nonsense"}, "M_BAD_JSON"},
		{"visibility", CreateRequest{Visibility: "nonsense"}, "M_BAD_JSON"},
		{"invite", CreateRequest{Invite: []id.UserID{"bob"}}, "M_INVALID_PARAM"},
		{"invite from another server", CreateRequest{Invite: []id.UserID{"@dave:elsewhere"}}, "M_INVALID_ROOM_STATE"},
		{"email", CreateRequest{Invite3PID: []AddressInvite{{}}}, "M_THREEPID_DENIED"},
		{"alias", CreateRequest{AliasLocalpart: "taken"}, "M_ROOM_IN_USE"},
		{"state without content", CreateRequest{InitialState: []InitialState{{Type: "x"}}}, "M_BAD_JSON"},
		{"power levels", CreateRequest{PowerLevels: json.RawMessage(`[]`)}, "M_BAD_JSON"},
		{"power levels by string", CreateRequest{PowerLevels: json.RawMessage(`{"ban":"50"}`)}, "M_INVALID_ROOM_STATE"},
		{"too much state", CreateRequest{InitialState: make([]InitialState, maxInitialState+1)}, "M_LIMIT_EXCEEDED"},
	} {
		_, err := s.Create(t.Context(), as(alice), test.in)
		if got := code(err); got != test.want {
			t.Errorf("%s: %q, want %q", test.name, got, test.want)
		}
	}
	if _, err := s.Create(t.Context(), as(alice), CreateRequest{AliasLocalpart: "free"}); err != nil {
		t.Errorf("after all that: %v", err)
	}
}

// Who may do what to whom, from the membership that the one has and to the one that the other has.
func TestMembership(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		s := newService(db)
		ctx := t.Context()
		for _, test := range []struct {
			name   string
			before func(roomID id.RoomID) error
			do     func(roomID id.RoomID) error
			want   string
			member id.UserID
			after  string
		}{
			{"join uninvited", nil, func(r id.RoomID) error { _, err := s.Join(ctx, as(bob), string(r), nil); return err }, "M_FORBIDDEN", bob, ""},
			{"join invited", func(r id.RoomID) error { return s.Invite(ctx, as(alice), r, bob, "") },
				func(r id.RoomID) error { _, err := s.Join(ctx, as(bob), string(r), nil); return err }, "", bob, "join"},
			{"join twice", nil, func(r id.RoomID) error { _, err := s.Join(ctx, as(alice), string(r), nil); return err }, "", alice, "join"},
			{"decline", func(r id.RoomID) error { return s.Invite(ctx, as(alice), r, bob, "") },
				func(r id.RoomID) error { return s.Leave(ctx, as(bob), r, "no") }, "", bob, "leave"},
			{"leave a room one is not in", nil, func(r id.RoomID) error { return s.Leave(ctx, as(bob), r, "") }, "M_FORBIDDEN", bob, ""},
			{"invite by a stranger", nil, func(r id.RoomID) error { return s.Invite(ctx, as(bob), r, carol, "") }, "M_FORBIDDEN", carol, ""},
			{"invite from another server", nil, func(r id.RoomID) error { return s.Invite(ctx, as(alice), r, "@dave:elsewhere", "") }, "M_FORBIDDEN", "@dave:elsewhere", ""},
			{"invite from another server by state", nil, func(r id.RoomID) error {
				_, err := s.SendState(ctx, as(alice), r, event.TypeMember, "@dave:elsewhere", json.RawMessage(`{"membership":"invite"}`))
				return err
			}, "M_FORBIDDEN", "@dave:elsewhere", ""},
			{"invite nonsense", nil, func(r id.RoomID) error { return s.Invite(ctx, as(alice), r, "carol", "") }, "M_INVALID_PARAM", "carol", ""},
			{"kick a stranger", nil, func(r id.RoomID) error { return s.Kick(ctx, as(alice), r, bob, "") }, "M_FORBIDDEN", bob, ""},
			{"take an invitation back", func(r id.RoomID) error { return s.Invite(ctx, as(alice), r, bob, "") },
				func(r id.RoomID) error { return s.Kick(ctx, as(alice), r, bob, "") }, "", bob, "leave"},
			{"ban", nil, func(r id.RoomID) error { return s.Ban(ctx, as(alice), r, bob, "") }, "", bob, "ban"},
			{"kick the banned", func(r id.RoomID) error { return s.Ban(ctx, as(alice), r, bob, "") },
				func(r id.RoomID) error { return s.Kick(ctx, as(alice), r, bob, "") }, "M_FORBIDDEN", bob, "ban"},
			{"unban", func(r id.RoomID) error { return s.Ban(ctx, as(alice), r, bob, "") },
				func(r id.RoomID) error { return s.Unban(ctx, as(alice), r, bob, "") }, "", bob, "leave"},
			{"unban who is not banned", nil, func(r id.RoomID) error { return s.Unban(ctx, as(alice), r, bob, "") }, "M_FORBIDDEN", bob, ""},
			{"invite the banned", func(r id.RoomID) error { return s.Ban(ctx, as(alice), r, bob, "") },
				func(r id.RoomID) error { return s.Invite(ctx, as(alice), r, bob, "") }, "M_FORBIDDEN", bob, "ban"},
			{"forget before leaving", nil, func(r id.RoomID) error { return s.Forget(ctx, as(alice), r) }, "M_UNKNOWN", alice, "join"},
		} {
			roomID := mustCreate(t, s, CreateRequest{})
			if test.before != nil {
				if err := test.before(roomID); err != nil {
					t.Fatalf("%s: %v", test.name, err)
				}
			}
			if got := code(test.do(roomID)); got != test.want {
				t.Errorf("%s: %q, want %q", test.name, got, test.want)
			}
			if got, err := s.membership(ctx, roomID, test.member); err != nil || got != test.after {
				t.Errorf("%s: membership %q, %v, want %q", test.name, got, err, test.after)
			}
			timeline(t, db, roomID)
		}
	})
}

func TestUnknownRoomsAndAliases(t *testing.T) {
	s := newService(storetest.New(t))
	roomID := mustCreate(t, s, CreateRequest{Preset: "public_chat", AliasLocalpart: "here"})
	for _, test := range []struct{ target, want string }{
		{"!nowhere:test", "M_NOT_FOUND"},
		{"#nowhere:test", "M_NOT_FOUND"},
		{"#somewhere:elsewhere", "M_NOT_FOUND"},
		{"nonsense", "M_INVALID_PARAM"},
		{"", "M_INVALID_PARAM"},
		{"#", "M_INVALID_PARAM"},
		{"#here:test", ""},
		{string(roomID), ""},
	} {
		_, err := s.Join(t.Context(), as(bob), test.target, nil)
		if got := code(err); got != test.want {
			t.Errorf("join %q: %q, want %q", test.target, got, test.want)
		}
	}
	if err := s.CreateAlias(t.Context(), as(bob), "#here:test", roomID); code(err) != "M_UNKNOWN" {
		t.Errorf("an alias twice: %v", err)
	}
	if err := s.CreateAlias(t.Context(), as(carol), "#there:test", roomID); code(err) != "M_FORBIDDEN" {
		t.Errorf("an alias by a stranger: %v", err)
	}
	if err := s.DeleteAlias(t.Context(), as(bob), "#here:test"); code(err) != "M_FORBIDDEN" {
		t.Errorf("another's alias removed: %v", err)
	}
	if err := s.DeleteAlias(t.Context(), as(alice), "#here:test"); err != nil {
		t.Errorf("own alias: %v", err)
	}
}

func TestCanonicalAliasMustLeadToTheRoom(t *testing.T) {
	s := newService(storetest.New(t))
	roomID := mustCreate(t, s, CreateRequest{AliasLocalpart: "here"})
	mustCreate(t, s, CreateRequest{AliasLocalpart: "other"})
	for _, test := range []struct{ content, want string }{
		{`{"alias":"#here:test"}`, ""},
		{`{"alias":"#other:test"}`, "M_BAD_ALIAS"},
		{`{"alias":"#here:test","alt_aliases":["#nowhere:test"]}`, "M_BAD_ALIAS"},
		{`{"alias":7}`, "M_BAD_JSON"},
		{`{}`, ""},
	} {
		_, err := s.SendState(t.Context(), as(alice), roomID, typeCanonicalAlias, "", json.RawMessage(test.content))
		if got := code(err); got != test.want {
			t.Errorf("%s: %q, want %q", test.content, got, test.want)
		}
	}
}

// 32 people send into one room at once, each message also a second time at the same moment: every message is there once, and
// those of one person are in order.
func TestConcurrentSends(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		s := newService(db)
		roomID := mustCreate(t, s, CreateRequest{Preset: "public_chat"})
		const senders, each = 32, 10
		var wg sync.WaitGroup
		for n := range senders {
			user := id.UserID(fmt.Sprintf("@user%d:test", n))
			wg.Go(func() {
				if _, err := s.Join(context.Background(), as(user), string(roomID), nil); err != nil {
					t.Error(err)
					return
				}
				for i := range each {
					var got [2]id.EventID
					var twice sync.WaitGroup
					for k := range got {
						twice.Go(func() {
							var err error
							got[k], err = s.Send(context.Background(), as(user), roomID, "m.room.message", fmt.Sprint("t", i), body(fmt.Sprint(n, " ", i)))
							if err != nil {
								t.Error(err)
							}
						})
					}
					twice.Wait()
					if got[0] != got[1] {
						t.Errorf("one transaction id gave %s and %s", got[0], got[1])
					}
				}
			})
		}
		wg.Wait()
		next := map[id.UserID]int{}
		for _, e := range timeline(t, db, roomID) {
			if e.Type != "m.room.message" {
				continue
			}
			var content struct{ Body string }
			if err := json.Unmarshal(e.Content, &content); err != nil {
				t.Fatal(err)
			}
			var n, i int
			fmt.Sscan(content.Body, &n, &i)
			if next[e.Sender] != i {
				t.Errorf("%s: message %d, want %d", e.Sender, i, next[e.Sender])
			}
			next[e.Sender]++
		}
		for user, n := range next {
			if n != each {
				t.Errorf("%s: %d messages, want %d", user, n, each)
			}
		}
		if len(next) != senders {
			t.Errorf("%d senders, want %d", len(next), senders)
		}
	})
}

func TestSendRefusals(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		s := newService(db)
		roomID := mustCreate(t, s, CreateRequest{})
		big, _ := json.Marshal(map[string]string{"body": string(make([]byte, 70_000))})
		for _, test := range []struct {
			name, eventType, content string
			user                     id.UserID
			want                     string
		}{
			{"fine", "m.room.message", `{"body":"x"}`, alice, ""},
			{"a stranger", "m.room.message", `{"body":"x"}`, bob, "M_FORBIDDEN"},
			{"too large", "m.room.message", string(big), alice, "M_TOO_LARGE"},
			{"long type", string(make([]byte, 300)), `{}`, alice, "M_TOO_LARGE"},
			{"a fraction", "m.room.message", `{"x":1.5}`, alice, "M_BAD_JSON"},
			{"a huge number", "m.room.message", `{"x":9007199254740993}`, alice, "M_BAD_JSON"},
			{"redaction of nothing", "m.room.redaction", `{}`, alice, "M_BAD_JSON"},
			{"redaction of the unknown", "m.room.redaction", `{"redacts":"$nothing"}`, alice, "M_NOT_FOUND"},
		} {
			_, err := s.Send(t.Context(), as(test.user), roomID, test.eventType, test.name, json.RawMessage(test.content))
			if got := code(err); got != test.want {
				t.Errorf("%s: %q, want %q", test.name, got, test.want)
			}
		}
		timeline(t, db, roomID)
	})
}

func TestRedact(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		s := newService(db)
		roomID := mustCreate(t, s, CreateRequest{Preset: "public_chat"})
		for _, user := range []id.UserID{bob, carol} {
			if _, err := s.Join(t.Context(), as(user), string(roomID), nil); err != nil {
				t.Fatal(err)
			}
		}
		target, err := s.Send(t.Context(), as(bob), roomID, "m.room.message", "1", body("secret"))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Redact(t.Context(), as(carol), roomID, target, "2", ""); code(err) != "M_FORBIDDEN" {
			t.Errorf("another's message redacted: %v", err)
		}
		if _, err := s.Redact(t.Context(), as(bob), roomID, target, "3", "oops"); err != nil {
			t.Errorf("own message: %v", err)
		}
		for _, e := range timeline(t, db, roomID) {
			if e.EventID == target && (e.RedactedBy == 0 || string(e.Content) != "{}") {
				t.Errorf("redacted by %d, content %s", e.RedactedBy, e.Content)
			}
		}
	})
}

// State that says what it said before makes no event.
func TestUnchangedState(t *testing.T) {
	s := newService(storetest.New(t))
	roomID := mustCreate(t, s, CreateRequest{})
	first, err := s.SendState(t.Context(), as(alice), roomID, "m.room.topic", "", json.RawMessage(`{"topic":"x"}`))
	if err != nil {
		t.Fatal(err)
	}
	second, err := s.SendState(t.Context(), as(alice), roomID, "m.room.topic", "", json.RawMessage(`{ "topic": "x" }`))
	if err != nil || second != first {
		t.Errorf("the same again: %s, %v, want %s", second, err, first)
	}
	third, err := s.SendState(t.Context(), as(alice), roomID, "m.room.topic", "", json.RawMessage(`{"topic":"y"}`))
	if err != nil || third == first {
		t.Errorf("another: %s, %v", third, err)
	}
}

// A write that fails must not leave the room's tip in memory ahead of what is stored.
func TestFailedWriteIsForgotten(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		s := newService(db)
		roomID := mustCreate(t, s, CreateRequest{})
		broken := errors.New("broken")
		key := ""
		for i := range 5 {
			content := json.RawMessage(fmt.Sprintf(`{"topic":"%d"}`, i))
			d := draft{Type: "m.room.topic", StateKey: &key, Sender: alice, Content: content, TS: 1}
			_, err := s.append(t.Context(), roomID, []draft{d}, func(*store.Tx) error { return broken })
			if !errors.Is(err, broken) {
				t.Errorf("append: %v, want %v", err, broken)
			}
			if _, err := s.Send(t.Context(), as(alice), roomID, "m.room.message", fmt.Sprint(i), body("x")); err != nil {
				t.Errorf("send after a failure: %v", err)
			}
		}
		for _, e := range timeline(t, db, roomID) {
			if e.Type == "m.room.topic" {
				t.Error("a failed write is there")
			}
		}
	})
}

func TestEvictedRoomsComeBack(t *testing.T) {
	db := storetest.New(t)
	s := newService(db)
	roomID := mustCreate(t, s, CreateRequest{})
	for i := range 3 {
		if _, err := s.Send(t.Context(), as(alice), roomID, "m.room.message", fmt.Sprint(i), body("x")); err != nil {
			t.Fatal(err)
		}
		s.mu.Lock()
		s.evict(0, 0)
		if n := len(s.heads); n != 0 {
			t.Errorf("%d rooms in memory, want 0", n)
		}
		s.mu.Unlock()
	}
	timeline(t, db, roomID)
}

func TestIdleRoomsAreForgotten(t *testing.T) {
	s := newService(storetest.New(t))
	roomID := mustCreate(t, s, CreateRequest{})
	send := func(txnID string) {
		if _, err := s.Send(t.Context(), as(alice), roomID, "m.room.message", txnID, body("x")); err != nil {
			t.Error(err)
		}
	}
	send("1")
	used := s.head(roomID) // in use
	s.sweep(s.Now().UnixMilli() + 1)
	if len(s.heads) != 1 {
		t.Error("a room in use was forgotten")
	}
	s.release(used)
	s.sweep(used.usedTS)
	if len(s.heads) != 1 {
		t.Error("a room that was used just now was forgotten")
	}
	s.sweep(used.usedTS + 1)
	if len(s.heads) != 0 {
		t.Error("an idle room is remembered")
	}
	send("2")
}

// When the writer's connection was lost, another process may have written: what is in memory of a room is read again.
func TestRoomsAreReadAgainAfterALostConnection(t *testing.T) {
	s := newService(storetest.New(t))
	roomID := mustCreate(t, s, CreateRequest{})
	h := s.head(roomID)
	h.generation--
	s.release(h)
	if _, err := s.Send(t.Context(), as(alice), roomID, "m.room.message", "1", body("x")); err != nil {
		t.Error(err)
	}
	if s.heads[roomID] == h {
		t.Error("a room of an earlier generation is still used")
	}
}

func BenchmarkSend(b *testing.B) {
	for _, rooms := range []int{1, 32} {
		b.Run(fmt.Sprint(rooms, "rooms"), func(b *testing.B) {
			s := newService(storetest.New(b))
			ids := make([]id.RoomID, rooms)
			for i := range ids {
				var err error
				if ids[i], err = s.Create(b.Context(), as(alice), CreateRequest{}); err != nil {
					b.Fatal(err)
				}
			}
			content := body("The quick brown fox jumps over the lazy dog")
			b.ResetTimer()
			var wg sync.WaitGroup
			for n := range 32 {
				wg.Go(func() {
					for i := n; i < b.N; i += 32 {
						if _, err := s.Send(context.Background(), as(alice), ids[n%rooms], "m.room.message", fmt.Sprint(i), content); err != nil {
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
