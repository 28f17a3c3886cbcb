package account

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"causeway/homeserver/event"
	"causeway/homeserver/notify"
	"causeway/homeserver/store"
	"causeway/homeserver/storetest"

	"maunium.net/go/mautrix/id"
)

func TestProfile(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		ctx := context.Background()
		s := newService(db, false)
		alice := createUser(t, s, "alice", "secret")
		shown := func(p Profile) string {
			raw, err := json.Marshal(p)
			if err != nil {
				t.Error(err)
			}
			return string(raw)
		}
		if got, err := s.Profile(ctx, alice); err != nil || shown(got) != "{}" {
			t.Errorf("got %s, %v, want nothing", shown(got), err)
		}
		for _, test := range []struct {
			name string
			set  func() error
			want string
			now  string
		}{
			{"name", func() error { return s.SetDisplayName(ctx, alice, "Älice") }, "", `{"displayname":"Älice"}`},
			{"avatar", func() error { return s.SetAvatarURL(ctx, alice, "mxc://test/a") }, "", `{"avatar_url":"mxc://test/a","displayname":"Älice"}`},
			{"long name", func() error { return s.SetDisplayName(ctx, alice, strings.Repeat("x", 257)) }, "M_INVALID_PARAM", `{"avatar_url":"mxc://test/a","displayname":"Älice"}`},
			{"NUL", func() error { return s.SetDisplayName(ctx, alice, "\x00") }, "M_INVALID_PARAM", `{"avatar_url":"mxc://test/a","displayname":"Älice"}`},
			{"long avatar", func() error { return s.SetAvatarURL(ctx, alice, strings.Repeat("x", 1001)) }, "M_INVALID_PARAM", `{"avatar_url":"mxc://test/a","displayname":"Älice"}`},
			{"no name", func() error { return s.SetDisplayName(ctx, alice, "") }, "", `{"avatar_url":"mxc://test/a"}`},
			{"no such user", func() error { return s.SetDisplayName(ctx, "@bob:test", "Bob") }, "M_NOT_FOUND", `{"avatar_url":"mxc://test/a"}`},
		} {
			if got := codeOf(test.set()); got != test.want {
				t.Errorf("%s: got error %q, want %q", test.name, got, test.want)
			}
			if got, err := s.Profile(ctx, alice); err != nil || shown(got) != test.now {
				t.Errorf("%s: got %s, %v, want %s", test.name, shown(got), err, test.now)
			}
		}
		if _, err := s.Profile(ctx, "@bob:test"); codeOf(err) != "M_NOT_FOUND" {
			t.Errorf("got %v, want M_NOT_FOUND", err)
		}
	})
}

func TestAccountData(t *testing.T) {
	const room = id.RoomID("!room")
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		ctx := context.Background()
		s := newService(db, false)
		alice, bob := createUser(t, s, "alice", "secret"), createUser(t, s, "bob", "secret")
		version, err := event.LookupVersion("12")
		if err != nil {
			t.Fatal(err)
		}
		var roomNID, aliceNID int64
		if err := db.Write(ctx, func(tx *store.Tx) error {
			if roomNID, err = tx.InsertRoom(room, version, true); err != nil {
				return err
			}
			if aliceNID, err = tx.NID(string(alice)); err != nil {
				return err
			}
			return tx.SetMembership(store.Membership{RoomNID: roomNID, UserNID: aliceNID, Membership: "join", Pos: 1})
		}); err != nil {
			t.Fatal(err)
		}
		for _, test := range []struct {
			name     string
			room     id.RoomID
			dataType string
			content  string
			want     string
		}{
			{"global", "", "m.direct", `{"a": 1}`, ""},
			{"of a room", room, "m.tag", `{"b":2}`, ""},
			{"again", "", "m.direct", `{"a":2}`, ""},
			{"unknown room", "!elsewhere", "m.tag", `{}`, "M_NOT_FOUND"},
			{"no room id", "#x", "m.tag", `{}`, "M_INVALID_PARAM"},
			{"fully read", room, "m.fully_read", `{}`, "M_BAD_JSON"},
			{"push rules", "", "m.push_rules", `{}`, "M_BAD_JSON"},
			{"no type", "", "", `{}`, "M_INVALID_PARAM"},
			{"long type", "", strings.Repeat("x", 256), `{}`, "M_INVALID_PARAM"},
			{"too large", "", "x", `{"x":"` + strings.Repeat("x", maxAccountDataBytes) + `"}`, "M_TOO_LARGE"},
		} {
			bell := s.bus.Register(notify.Key{Kind: notify.User, NID: aliceNID})
			if got := codeOf(s.SetAccountData(ctx, alice, test.room, test.dataType, json.RawMessage(test.content))); got != test.want {
				t.Errorf("%s: got error %q, want %q", test.name, got, test.want)
			}
			if rung := len(bell.C) == 1; rung != (test.want == "") {
				t.Errorf("%s: got a bell that rang: %v", test.name, rung)
			}
			bell.Close()
		}
		var got []string
		if err := db.View(ctx, func(tx *store.Tx) error {
			pos, err := tx.StreamPos()
			if err != nil {
				return err
			}
			rows, err := tx.AccountDataSince(alice, 0, pos)
			for _, row := range rows {
				got = append(got, fmt.Sprintf("%t %s %s", row.RoomNID == roomNID, row.Type, row.Content))
			}
			if later, err := tx.AccountDataSince(alice, pos, pos+1); err != nil || len(later) != 0 {
				t.Errorf("after the newest position: got %v, %v", later, err)
			}
			return err
		}); err != nil {
			t.Fatal(err)
		}
		if want := []string{`true m.tag {"b":2}`, `false m.direct {"a":2}`}; !slices.Equal(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
		if got, err := s.AccountData(ctx, alice, room, "m.tag"); err != nil || string(got) != `{"b":2}` {
			t.Errorf("got %s, %v", got, err)
		}
		for _, test := range []struct {
			user     id.UserID
			room     id.RoomID
			dataType string
			want     string
		}{
			{alice, "", "m.tag", "M_NOT_FOUND"}, {alice, "!elsewhere", "m.tag", "M_NOT_FOUND"}, {bob, room, "m.tag", "M_NOT_FOUND"},
			{"@nobody:test", "", "m.tag", "M_NOT_FOUND"}, {alice, "x", "m.tag", "M_INVALID_PARAM"},
		} {
			if _, err := s.AccountData(ctx, test.user, test.room, test.dataType); codeOf(err) != test.want {
				t.Errorf("%+v: got %v, want %s", test, err, test.want)
			}
		}
	})
}

func TestFilters(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		ctx := context.Background()
		s := newService(db, false)
		alice, bob := createUser(t, s, "alice", "secret"), createUser(t, s, "bob", "secret")
		add := func(user id.UserID, filter string) string {
			t.Helper()
			filterID, err := s.AddFilter(ctx, user, json.RawMessage(filter))
			if err != nil {
				t.Fatal(err)
			}
			return filterID
		}
		first := add(alice, `{"room": {"timeline": {"limit": 10, "types": ["<b>"]}}, "a": 1}`)
		if again := add(alice, `{"a":1,"room":{"timeline":{"types":["<b>"],"limit":10}}}`); again != first {
			t.Errorf("got id %s for the same filter, want %s", again, first)
		}
		if other := add(alice, `{}`); other == first {
			t.Errorf("got id %s for another filter too", other)
		}
		if got, err := s.Filter(ctx, alice, first); err != nil || string(got) != `{"a":1,"room":{"timeline":{"limit":10,"types":["<b>"]}}}` {
			t.Errorf("got %s, %v", got, err)
		}
		for _, filterID := range []string{"3", "x", "", "-1", "99999999999999999999"} {
			if _, err := s.Filter(ctx, alice, filterID); codeOf(err) != "M_NOT_FOUND" {
				t.Errorf("filter %q: got %v, want M_NOT_FOUND", filterID, err)
			}
		}
		if _, err := s.Filter(ctx, bob, first); codeOf(err) != "M_NOT_FOUND" {
			t.Errorf("another user's filter: got %v, want M_NOT_FOUND", err)
		}
		if err := db.Write(ctx, func(tx *store.Tx) error {
			for i := range 5 {
				if _, err := tx.InsertFilter(bob, json.RawMessage(fmt.Sprintf(`{"n":%d}`, i)), 3); err != nil {
					return err
				}
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		for filterID, want := range map[string]string{"1": "M_NOT_FOUND", "2": "M_NOT_FOUND", "3": "", "5": ""} {
			if _, err := s.Filter(ctx, bob, filterID); codeOf(err) != want {
				t.Errorf("filter %s: got %v, want %q", filterID, err, want)
			}
		}
	})
}

// badFilters are refused.
var badFilters = []string{
	`{"room":1}`, `{"room":{"timeline":{"limit":-1}}}`, `{"room":{"timeline":{"limit":"1"}}}`, `{"event_format":"x"}`,
	`{"room":{"timeline":{"types":"x"}}}`, `{"room":{"rooms":["x"]}}`, `{"presence":{"senders":["x"]}}`,
	`{"room":{"state":{"not_rooms":["#x"]}}}`, `{"event_fields":{}}`,
}

func TestBadFilters(t *testing.T) {
	for _, filter := range badFilters {
		if _, err := checkFilter(json.RawMessage(filter)); codeOf(err) != "M_BAD_JSON" {
			t.Errorf("%s: got %v, want M_BAD_JSON", filter, err)
		}
	}
	if _, err := checkFilter(json.RawMessage(`{"x":"` + strings.Repeat("x", maxFilterBytes) + `"}`)); codeOf(err) != "M_TOO_LARGE" {
		t.Errorf("got %v, want M_TOO_LARGE", err)
	}
}

func FuzzCheckFilter(f *testing.F) {
	for _, seed := range badFilters {
		f.Add([]byte(seed))
	}
	f.Add([]byte(`{"room":{"timeline":{"limit":10},"rooms":["!a:b"]},"x":1e999}`))
	f.Add([]byte(`{"a":"\ud800\u0000","a":[null,true,1.5]}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		once, err := checkFilter(raw)
		if err != nil {
			if code := codeOf(err); code != "M_BAD_JSON" && code != "M_TOO_LARGE" {
				t.Fatalf("got %v", err)
			}
			return
		}
		if !storable(string(once)) {
			t.Fatalf("%q becomes %q, which is no text", raw, once)
		}
		twice, err := checkFilter(once)
		if err != nil || string(twice) != string(once) {
			t.Fatalf("%q becomes %q and then %q, %v", raw, once, twice, err)
		}
	})
}

func FuzzUserNames(f *testing.F) {
	for _, seed := range []string{"alice", "@alice:test", "Ä", "", "a\x00", "@:", strings.Repeat("x", 300)} {
		f.Add(seed)
	}
	s := &Service{cfg: Config{ServerName: "test"}}
	f.Fuzz(func(t *testing.T, name string) {
		if user, err := s.newUserID(name); err == nil {
			if _, _, err := user.ParseAndValidateStrict(); err != nil {
				t.Errorf("%q: %v", name, err)
			}
		}
		if user, err := s.identified(t.Context(), nil, name); err == nil && !storable(string(user)) {
			t.Errorf("%q becomes %q, which is no text", name, user)
		}
	})
}

// A user can fill their account data, change it within its bounds, and no more.
func TestAccountDataBounds(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		ctx := context.Background()
		s := newService(db, false)
		alice, bob := createUser(t, s, "alice", "secret"), createUser(t, s, "bob", "secret")
		content := func(size int) json.RawMessage { return json.RawMessage(`{"x":"` + strings.Repeat("x", size-8) + `"}`) }
		for i := range maxAccountDataTotal / maxAccountDataBytes {
			if err := s.SetAccountData(ctx, alice, "", fmt.Sprint(i), content(maxAccountDataBytes)); err != nil {
				t.Fatal(err)
			}
		}
		for _, test := range []struct {
			name     string
			user     id.UserID
			dataType string
			size     int
			want     string
		}{
			{"another", alice, "x", 8, "M_RESOURCE_LIMIT_EXCEEDED"},
			{"another user", bob, "x", 8, ""},
			{"the same size", alice, "0", maxAccountDataBytes, ""},
			{"less", alice, "0", maxAccountDataBytes - 10, ""},
			{"more, within the bound", alice, "0", maxAccountDataBytes - 9, ""},
			{"another, within the bound", alice, "x", 9, ""},
			{"more", alice, "x", 10, "M_RESOURCE_LIMIT_EXCEEDED"},
		} {
			if got := codeOf(s.SetAccountData(ctx, test.user, "", test.dataType, content(test.size))); got != test.want {
				t.Errorf("%s: got %q, want %q", test.name, got, test.want)
			}
		}
	})
}
