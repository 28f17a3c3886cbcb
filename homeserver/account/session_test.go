package account

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"testing"

	"causeway/homeserver/store"
	"causeway/homeserver/storetest"

	"github.com/rs/zerolog"
	"maunium.net/go/mautrix/id"
)

func TestSessionsEnd(t *testing.T) {
	tests := []struct {
		name string
		end  func(ctx context.Context, s *Service) error
		live map[string]bool // the devices that stay
	}{
		{"logout", func(ctx context.Context, s *Service) error { return s.Logout(ctx, "@alice:test", "ONE") },
			map[string]bool{"TWO": true, "bob": true}},
		{"logout of everything", func(ctx context.Context, s *Service) error { return s.LogoutAll(ctx, "@alice:test", "") },
			map[string]bool{"bob": true}},
		{"new login on the same device", func(ctx context.Context, s *Service) error {
			_, err := s.Login(ctx, LoginRequest{Type: typePassword, User: "alice", Password: "secret", DeviceID: "ONE"})
			return err
		}, map[string]bool{"TWO": true, "bob": true}},
		{"new password", func(ctx context.Context, s *Service) error {
			return s.ChangePassword(ctx, Requester{UserID: "@alice:test", DeviceID: "TWO"},
				PasswordRequest{NewPassword: "new", Auth: &AuthData{Type: typePassword, User: "alice", Password: "secret"}})
		}, map[string]bool{"TWO": true, "bob": true}},
		{"new password that ends nothing", func(ctx context.Context, s *Service) error {
			no := false
			return s.ChangePassword(ctx, Requester{UserID: "@alice:test", DeviceID: "TWO"},
				PasswordRequest{NewPassword: "new", LogoutDevices: &no, Auth: &AuthData{Type: typePassword, User: "alice", Password: "secret"}})
		}, map[string]bool{"ONE": true, "TWO": true, "bob": true}},
	}
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		ctx := context.Background()
		for _, name := range []string{"alice", "bob"} {
			createUser(t, newService(db, false), name, "secret")
		}
		for _, test := range tests {
			t.Run(test.name, func(t *testing.T) {
				s := newService(db, false)
				// The password is the first one again.
				hash, err := s.passwords.hash(ctx, "secret")
				if err != nil {
					t.Fatal(err)
				}
				if err := db.Write(ctx, func(tx *store.Tx) error {
					user, err := tx.User("@alice:test")
					if err != nil {
						return err
					}
					return tx.SetPassword(user.NID, hash)
				}); err != nil {
					t.Fatal(err)
				}
				tokens := map[string]string{
					"ONE": login(t, s, "alice", "secret", "ONE").AccessToken,
					"TWO": login(t, s, "alice", "secret", "TWO").AccessToken,
					"bob": login(t, s, "bob", "secret", "B").AccessToken,
				}
				for device, token := range tokens { // so that they are in the cache
					if _, err := s.Identify(ctx, token, "", ""); err != nil {
						t.Fatalf("%s: %v", device, err)
					}
				}
				if err := test.end(ctx, s); err != nil {
					t.Fatal(err)
				}
				for device, token := range tokens {
					want := "M_UNKNOWN_TOKEN"
					if test.live[device] {
						want = ""
					}
					if _, err := s.Identify(ctx, token, "", ""); codeOf(err) != want {
						t.Errorf("%s: got %v, want %q", device, err, want)
					}
				}
			})
		}
	})
}

func TestLogoutWithoutDevice(t *testing.T) {
	s := newService(storetest.New(t), false)
	if err := s.Logout(context.Background(), "@alice:test", ""); codeOf(err) != "M_FORBIDDEN" {
		t.Errorf("got %v, want M_FORBIDDEN", err)
	}
}

func TestSessionCacheDoesNotReviveSessions(t *testing.T) {
	c := newSessionCache(2)
	hash := [32]byte{1}
	_, endings, _ := c.get(hash)
	c.forget("@alice:test") // while a reader holds the session that it read from the database
	c.put(hash, store.Session{UserID: "@alice:test"}, endings)
	if _, _, ok := c.get(hash); ok {
		t.Error("a session is remembered that ended while it was read")
	}
	_, endings, _ = c.get(hash)
	c.put(hash, store.Session{UserID: "@alice:test"}, endings)
	if _, _, ok := c.get(hash); !ok {
		t.Error("a session is not remembered")
	}
}

func TestCachesAreBounded(t *testing.T) {
	c := newSessionCache(3)
	k := newKnownUsers(3)
	for i := range byte(10) {
		c.put([32]byte{i}, store.Session{}, 0)
		k.add(id.UserID(rune('a' + i)))
		if len(c.rows) > 3 || len(k.ids) > 3 {
			t.Fatalf("got %d sessions and %d users, want at most 3", len(c.rows), len(k.ids))
		}
		if !k.has(id.UserID(rune('a' + i))) {
			t.Errorf("user %d is not remembered", i)
		}
	}
}

func TestSecretsStaySecret(t *testing.T) {
	dir := t.TempDir()
	var log bytes.Buffer
	ctx := zerolog.New(&log).WithContext(context.Background())
	db, err := store.Open(ctx, filepath.Join(dir, "causeway.db"))
	if err != nil {
		t.Fatal(err)
	}
	const password, wrong = "kohlrabi-und-kompost", "rueben-und-rettich"
	s := newService(db, true)
	registered, err := s.Register(ctx, RegisterRequest{Username: "alice", Password: password, Auth: &AuthData{Type: typeDummy}})
	if err != nil {
		t.Fatal(err)
	}
	_, failed := s.Login(ctx, LoginRequest{Type: typePassword, User: "alice", Password: wrong})
	_, unknown := s.Identify(ctx, registered.AccessToken+"x", "", "")
	session := login(t, s, "alice", password, "")
	if err := s.Logout(ctx, "@alice:test", session.DeviceID); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	seen := map[string][]byte{"log": log.Bytes(), "errors": []byte(failed.Error() + unknown.Error())}
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(files) == 0 {
		t.Fatalf("got files %v, %v", files, err)
	}
	for _, file := range files {
		if seen[file], err = os.ReadFile(file); err != nil {
			t.Fatal(err)
		}
	}
	for where, text := range seen {
		for _, secret := range []string{password, wrong, registered.AccessToken, session.AccessToken} {
			if bytes.Contains(text, []byte(secret)) {
				t.Errorf("%s is in the %s", secret, where)
			}
		}
	}
}
