package room

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"causeway/homeserver/event"
	"causeway/homeserver/store"
	"causeway/homeserver/storetest"

	"maunium.net/go/mautrix/id"
)

// What a client says of who authorised its join counts for nothing.
func TestRestrictedRoomsAreNotOpenedByClients(t *testing.T) {
	s := newService(storetest.New(t))
	roomID := mustCreate(t, s, CreateRequest{InitialState: []InitialState{{
		Type:    event.TypeJoinRules,
		Content: json.RawMessage(`{"join_rule":"restricted","allow":[{"type":"m.room_membership","room_id":"!other"}]}`),
	}}})
	content := json.RawMessage(`{"membership":"join","join_authorised_via_users_server":"@alice:test"}`)
	_, err := s.SendState(t.Context(), as(bob), roomID, event.TypeMember, string(bob), content)
	if got, want := code(err), "M_FORBIDDEN"; got != want {
		t.Errorf("join: %q, want %q", got, want)
	}
	if _, err := s.SendState(t.Context(), as(alice), roomID, event.TypeMember, string(alice), content); err != nil {
		t.Errorf("a member repeats what its event says: %v", err)
	}
}

// Text with a NUL is refused, or not found, on both engines alike, and does no harm to the room.
func TestNUL(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		s := newService(db)
		ctx := t.Context()
		roomID := mustCreate(t, s, CreateRequest{})
		const nobody = id.UserID("@a\x00:test")
		create := func(in CreateRequest) error { _, err := s.Create(ctx, as(alice), in); return err }
		state := func(eventType, stateKey, content string) error {
			_, err := s.SendState(ctx, as(alice), roomID, eventType, stateKey, json.RawMessage(content))
			return err
		}
		send := func(eventType, content string) error {
			_, err := s.Send(ctx, as(alice), roomID, eventType, "", json.RawMessage(content))
			return err
		}
		for _, test := range []struct {
			name string
			err  error
			want string
		}{
			{"type", create(CreateRequest{InitialState: []InitialState{{Type: "a\x00", Content: json.RawMessage(`{}`)}}}), "M_INVALID_PARAM"},
			{"state key", create(CreateRequest{InitialState: []InitialState{{Type: "a", StateKey: "\x00", Content: json.RawMessage(`{}`)}}}), "M_INVALID_PARAM"},
			{"alias of a new room", create(CreateRequest{AliasLocalpart: "a\x00"}), "M_INVALID_PARAM"},
			{"invited at once", create(CreateRequest{Invite: []id.UserID{nobody}}), "M_INVALID_PARAM"},
			{"invite", s.Invite(ctx, as(alice), roomID, nobody, ""), "M_INVALID_PARAM"},
			{"kick", s.Kick(ctx, as(alice), roomID, nobody, ""), "M_INVALID_PARAM"},
			{"ban", s.Ban(ctx, as(alice), roomID, nobody, ""), "M_INVALID_PARAM"},
			{"unban", s.Unban(ctx, as(alice), roomID, nobody, ""), "M_INVALID_PARAM"},
			{"redaction", send(event.TypeRedaction, `{"redacts":"$a\u0000"}`), "M_NOT_FOUND"},
			{"canonical alias", state(typeCanonicalAlias, "", `{"alias":"#a\u0000:test"}`), "M_INVALID_PARAM"},
			{"room of an alias", s.CreateAlias(ctx, as(alice), "#a:test", "!a\x00"), "M_FORBIDDEN"},
			{"third-party invite", state(event.TypeMember, "@bob:test",
				`{"membership":"invite","third_party_invite":{"signed":{"mxid":"@bob:test","token":"\u0000"}}}`), "M_FORBIDDEN"},
			{"content", send("m.room.message", `{"body":"\u0000","\u0000":1}`), ""},
			{"content of state", state("m.room.topic", "", `{"topic":"\u0000"}`), ""},
		} {
			if got := code(test.err); got != test.want {
				t.Errorf("%s: %q, want %q", test.name, got, test.want)
			}
		}
		timeline(t, db, roomID)
	})
}

// The id of a room is the hash of its create event, but rooms that are made alike at the same moment are different rooms.
func TestRoomsMadeAlike(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		s := newService(db)
		s.Now = func() time.Time { return time.UnixMilli(1_700_000_000_000) }
		const n = 10
		var (
			wg  sync.WaitGroup
			ids [n]id.RoomID
		)
		for i := range n {
			wg.Go(func() {
				by := as(alice)
				by.TS = int64(i % 2) // some of them by a time that the caller gives
				var err error
				if ids[i], err = s.Create(context.Background(), by, CreateRequest{}); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		seen := make(map[id.RoomID]bool)
		for _, roomID := range ids {
			if seen[roomID] {
				t.Errorf("%s was made twice", roomID)
			}
			seen[roomID] = true
		}
	})
}

func TestBoundsOfARequest(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		s := newService(db)
		ctx := t.Context()
		roomID := mustCreate(t, s, CreateRequest{})
		send := func(txnID string) error {
			_, err := s.Send(ctx, as(alice), roomID, "m.room.message", txnID, body("x"))
			return err
		}
		state := func(eventType, stateKey string) error {
			_, err := s.SendState(ctx, as(alice), roomID, eventType, stateKey, json.RawMessage(`{"membership":"invite"}`))
			return err
		}
		redact := func(target id.EventID) error { _, err := s.Redact(ctx, as(alice), roomID, target, "r", ""); return err }
		long := strings.Repeat("x", 256)
		for _, test := range []struct {
			name string
			err  error
			want string
		}{
			{"transaction id", send(long[1:]), ""},
			{"long transaction id", send(long), "M_INVALID_PARAM"},
			{"long type", state(long, ""), "M_TOO_LARGE"},
			{"long state key", state("x", long), "M_TOO_LARGE"},
			{"long member", state(event.TypeMember, "@"+long+":test"), "M_TOO_LARGE"},
			{"a member that is no user", state(event.TypeMember, "bob"), "M_INVALID_PARAM"},
			{"redaction of no event id", redact("x"), "M_INVALID_PARAM"},
		} {
			if got := code(test.err); got != test.want {
				t.Errorf("%s: %q, want %q", test.name, got, test.want)
			}
		}
		timeline(t, db, roomID)
	})
}

// Rooms of all versions that are offered can be made and used, and a redaction is one in whatever way it is sent.
func TestEveryVersion(t *testing.T) {
	db := storetest.New(t)
	s := newService(db)
	ctx := t.Context()
	for _, version := range event.Versions() {
		roomID := mustCreate(t, s, CreateRequest{RoomVersion: version.ID, Preset: "public_chat"})
		if _, err := s.Join(ctx, as(bob), string(roomID), nil); err != nil {
			t.Fatalf("version %s: %v", version.ID, err)
		}
		redacts := []func(json.RawMessage) error{
			func(c json.RawMessage) error {
				_, err := s.Send(ctx, as(alice), roomID, event.TypeRedaction, "r", c)
				return err
			},
			func(c json.RawMessage) error {
				_, err := s.SendState(ctx, as(alice), roomID, event.TypeRedaction, "", c)
				return err
			},
		}
		var targets []id.EventID
		for i, redact := range redacts {
			target, err := s.Send(ctx, as(bob), roomID, "m.room.message", fmt.Sprint(i), body("x"))
			if err != nil {
				t.Fatalf("version %s: %v", version.ID, err)
			}
			if err := redact(json.RawMessage(`{"redacts":"` + string(target) + `"}`)); err != nil {
				t.Errorf("version %s: redaction %d: %v", version.ID, i, err)
			}
			targets = append(targets, target)
		}
		for _, e := range timeline(t, db, roomID) {
			if i := slices.Index(targets, e.EventID); i >= 0 && e.RedactedBy == 0 {
				t.Errorf("version %s: message %d is not redacted", version.ID, i)
			}
		}
	}
}

// What strangers and members ask of a room's state does not stay in memory without bound, and what is forgotten is read again.
func TestPlacesInMemoryAreBounded(t *testing.T) {
	db := storetest.New(t)
	s := newService(db)
	roomID := mustCreate(t, s, CreateRequest{})
	var wg sync.WaitGroup
	for _, work := range []struct {
		user id.UserID
		n    int
		want string
	}{{alice, 100, ""}, {bob, maxPlaces / 2, "M_FORBIDDEN"}, {bob, maxPlaces / 2, "M_FORBIDDEN"}, {bob, maxPlaces / 2, "M_FORBIDDEN"}} {
		wg.Go(func() {
			for i := range work.n {
				key := fmt.Sprintf("%p %d", &work, i)
				_, err := s.SendState(context.Background(), as(work.user), roomID, "x", key, json.RawMessage(`{}`))
				if got := code(err); got != work.want {
					t.Errorf("%s: %q, want %q", work.user, got, work.want)
				}
			}
		})
	}
	wg.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	// Each of those who were under way at once can have added a few.
	if got, want := len(s.heads[roomID].state), maxPlaces+100; got > want {
		t.Errorf("%d places in memory, want at most %d", got, want)
	}
	timeline(t, db, roomID)
}

// A profile reaches the rooms that take it, and puts nobody back into one that they left.
func TestPropagateProfile(t *testing.T) {
	db := storetest.New(t)
	s := newService(db)
	ctx := t.Context()
	var rooms []id.RoomID
	for range 3 {
		roomID := mustCreate(t, s, CreateRequest{Preset: "public_chat"})
		if _, err := s.Join(ctx, as(bob), string(roomID), nil); err != nil {
			t.Fatal(err)
		}
		rooms = append(rooms, roomID)
	}
	private := json.RawMessage(`{"join_rule":"private"}`)
	if _, err := s.SendState(ctx, as(alice), rooms[0], event.TypeJoinRules, "", private); err != nil {
		t.Fatal(err)
	}
	err := db.Write(ctx, func(tx *store.Tx) error {
		return errors.Join(tx.InsertUser(&store.User{UserID: bob}), tx.SetDisplayName(bob, "Bob"))
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.PropagateProfile(ctx, bob); err != nil {
		t.Error(err)
	}
	for i, want := range []string{"", "Bob", "Bob"} {
		all := timeline(t, db, rooms[i])
		if got := all[len(all)-1].ContentString("displayname"); got != want {
			t.Errorf("room %d: %q, want %q", i, got, want)
		}
	}
	if err := s.Leave(ctx, as(bob), rooms[2], ""); err != nil {
		t.Fatal(err)
	}
	err = s.setMembership(ctx, as(bob), rooms[2], bob, "join", nil, "join") // as when the user leaves at the same moment
	if got, want := code(err), "M_FORBIDDEN"; got != want {
		t.Errorf("after leaving: %q, want %q", got, want)
	}
}

// Who is in a room, and whether there is one, is told to nobody outside.
func TestStrangersLearnNothing(t *testing.T) {
	s := newService(storetest.New(t))
	ctx := t.Context()
	there := mustCreate(t, s, CreateRequest{})
	const nowhere = id.RoomID("!nowhere")
	if err := s.Ban(ctx, as(alice), there, "@banned:test", ""); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name string
		do   func(id.RoomID) error
	}{
		{"kick who is there", func(r id.RoomID) error { return s.Kick(ctx, as(carol), r, alice, "") }},
		{"kick who is not", func(r id.RoomID) error { return s.Kick(ctx, as(carol), r, bob, "") }},
		{"unban who is banned", func(r id.RoomID) error { return s.Unban(ctx, as(carol), r, "@banned:test", "") }},
		{"unban who is not", func(r id.RoomID) error { return s.Unban(ctx, as(carol), r, alice, "") }},
		{"invite", func(r id.RoomID) error { return s.Invite(ctx, as(carol), r, bob, "") }},
		{"leave", func(r id.RoomID) error { return s.Leave(ctx, as(carol), r, "") }},
		{"send", func(r id.RoomID) error { _, err := s.Send(ctx, as(carol), r, "x", "t", body("x")); return err }},
		{"aliases", func(r id.RoomID) error { _, err := s.RoomAliases(ctx, as(carol), r); return err }},
		{"canonical alias", func(r id.RoomID) error {
			_, err := s.SendState(ctx, as(carol), r, typeCanonicalAlias, "", json.RawMessage(`{"alias":"#x:test"}`))
			return err
		}},
		{"alias", func(r id.RoomID) error { return s.CreateAlias(ctx, as(carol), "#x:test", r) }},
	} {
		want := strings.ReplaceAll(test.do(nowhere).Error(), string(nowhere), "ROOM")
		if got := strings.ReplaceAll(test.do(there).Error(), string(there), "ROOM"); got != want {
			t.Errorf("%s: %q, and of a room that does not exist %q", test.name, got, want)
		}
	}
}

// An alias that an application service has to itself is not removed by others, whatever their power in the room.
func TestExclusiveAliases(t *testing.T) {
	s := newService(storetest.New(t))
	s.AliasOwner = func(alias id.RoomAlias) string {
		if strings.HasPrefix(string(alias), "#irc_") {
			return "irc"
		}
		return ""
	}
	ctx := t.Context()
	bot, roomID := as(alice), mustCreate(t, s, CreateRequest{})
	bot.AppService = "irc"
	if err := s.CreateAlias(ctx, as(alice), "#irc_x:test", roomID); code(err) != "M_EXCLUSIVE" {
		t.Errorf("made by a user: %v, want M_EXCLUSIVE", err)
	}
	if err := s.CreateAlias(ctx, bot, "#irc_x:test", roomID); err != nil {
		t.Fatal(err)
	}
	if err := s.DeleteAlias(ctx, as(alice), "#irc_x:test"); code(err) != "M_EXCLUSIVE" {
		t.Errorf("removed by a user: %v, want M_EXCLUSIVE", err)
	}
	if err := s.DeleteAlias(ctx, bot, "#irc_x:test"); err != nil {
		t.Errorf("removed by its service: %v", err)
	}
}

// querier counts what application services are asked.
type querier struct{ asked int }

func (q *querier) QueryAlias(context.Context, id.RoomAlias, string) (bool, error) {
	q.asked++
	return false, nil
}

// Whoever has no account cannot have application services make rooms.
func TestStrangersHaveNoRoomsMade(t *testing.T) {
	s := newService(storetest.New(t))
	services := new(querier)
	s.Aliases = services
	for _, test := range []struct {
		by   By
		want int
	}{{By{}, 0}, {as(bob), 1}} {
		if _, err := s.ResolveAlias(t.Context(), test.by, "#new:test"); code(err) != "M_NOT_FOUND" {
			t.Errorf("%q: %v, want M_NOT_FOUND", test.by.User, err)
		}
		if services.asked != test.want {
			t.Errorf("%q: %d questions, want %d", test.by.User, services.asked, test.want)
		}
	}
}

// A repeat that finds its original under way, which then fails, is built anew and not answered with the other's failure.
func TestRepeatOfWhatFailed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := storetest.New(t)
		s := newService(db)
		roomID := mustCreate(t, s, CreateRequest{})
		drafts := []draft{{Type: "m.room.message", Sender: alice, Content: body("x"), TS: 1, TxnDevice: "D", TxnID: "1"}}
		broken, block := errors.New("broken"), make(chan struct{})
		original, repeat := make(chan error, 1), make(chan error, 1)
		begin := func(outcome chan<- error, also func(*store.Tx) error) {
			go func() {
				_, err := s.append(t.Context(), roomID, drafts, also)
				outcome <- err
			}()
			synctest.Wait()
		}
		begin(original, func(*store.Tx) error { <-block; return broken })
		begin(repeat, nil)
		close(block)
		if err := <-original; !errors.Is(err, broken) {
			t.Errorf("the original: %v, want %v", err, broken)
		}
		if err := <-repeat; err != nil {
			t.Errorf("the repeat: %v", err)
		}
		if all := timeline(t, db, roomID); all[len(all)-1].Type != "m.room.message" {
			t.Error("the message is not there")
		}
	})
}
