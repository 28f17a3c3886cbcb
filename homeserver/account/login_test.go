package account

import (
	"context"
	"strings"
	"testing"

	"causeway/homeserver/store"
	"causeway/homeserver/storetest"

	"maunium.net/go/mautrix/id"
)

func TestLogin(t *testing.T) {
	byID := func(user, password string) LoginRequest {
		return LoginRequest{Type: typePassword, Identifier: &Identifier{Type: "m.id.user", User: user}, Password: password}
	}
	tests := []struct {
		name string
		in   LoginRequest
		want string
	}{
		{"localpart", byID("alice", "secret"), ""},
		{"user id", byID("@alice:test", "secret"), ""},
		{"upper case", byID("Alice", "secret"), ""},
		{"deprecated field", LoginRequest{Type: typePassword, User: "alice", Password: "secret"}, ""},
		{"wrong password", byID("alice", "Secret"), "M_FORBIDDEN"},
		{"endless password", byID("alice", strings.Repeat("x", maxPasswordBytes+1)), "M_FORBIDDEN"},
		{"unknown user", byID("bob", "secret"), "M_FORBIDDEN"},
		{"other server", byID("@alice:elsewhere", "secret"), "M_FORBIDDEN"},
		{"user without password", byID("ghost", "secret"), "M_FORBIDDEN"},
		{"no password", byID("alice", ""), "M_MISSING_PARAM"},
		{"no user", byID("", "secret"), "M_MISSING_PARAM"},
		{"no identifier", LoginRequest{Type: typePassword, Password: "secret"}, "M_MISSING_PARAM"},
		{"identifier without type", LoginRequest{Type: typePassword, Identifier: &Identifier{User: "alice"}, Password: "secret"}, "M_MISSING_PARAM"},
		{"identifier of unknown type", LoginRequest{Type: typePassword, Identifier: &Identifier{Type: "x"}, Password: "secret"}, "M_INVALID_PARAM"},
		{"email", LoginRequest{Type: typePassword, Identifier: &Identifier{Type: "m.id.thirdparty"}, Password: "secret"}, "M_FORBIDDEN"},
		{"NUL in the name", byID("ali\x00ce", "secret"), "M_INVALID_PARAM"},
		{"no type", LoginRequest{}, "M_MISSING_PARAM"},
		{"unknown type", LoginRequest{Type: "m.login.sso"}, "M_UNKNOWN"},
		{"long device id", LoginRequest{Type: typePassword, User: "alice", Password: "secret", DeviceID: id.DeviceID(strings.Repeat("x", 256))}, "M_INVALID_PARAM"},
		{"NUL in the device's name", LoginRequest{Type: typePassword, User: "alice", Password: "secret", DeviceName: "\x00"}, "M_INVALID_PARAM"},
	}
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		ctx := context.Background()
		s := newService(db, false)
		createUser(t, s, "alice", "secret")
		if err := db.Write(ctx, func(tx *store.Tx) error { return tx.InsertUser(&store.User{UserID: "@ghost:test", AppService: "irc"}) }); err != nil {
			t.Fatal(err)
		}
		for _, test := range tests {
			t.Run(test.name, func(t *testing.T) {
				got, err := s.Login(ctx, test.in)
				if code := codeOf(err); code != test.want {
					t.Fatalf("got error %q, want %q", code, test.want)
				}
				if err != nil {
					return
				}
				if got.UserID != "@alice:test" || got.DeviceID == "" || got.HomeServer != "test" {
					t.Errorf("got %+v", got)
				}
				who, err := s.Identify(ctx, got.AccessToken, "@ignored:test", "")
				if err != nil || who.UserID != "@alice:test" || who.DeviceID != got.DeviceID || who.AppService != nil || who.IsAdmin {
					t.Errorf("Identify: got %+v, %v", who, err)
				}
			})
		}
	})
}

// TestUnknownUserTakesAsLong: a login goes through the hashing of a password, whoever it is for.
func TestUnknownUserTakesAsLong(t *testing.T) {
	s := newService(storetest.New(t), false, irc())
	createUser(t, s, "alice", "secret")
	s.passwords.waiting.Store(maxPasswordsWaiting)
	for _, user := range []string{"alice", "nobody", "ircbot", "@alice:elsewhere"} {
		_, err := s.Login(context.Background(), LoginRequest{Type: typePassword, User: user, Password: "wrong"})
		if codeOf(err) != "M_LIMIT_EXCEEDED" {
			t.Errorf("%s: got %v, want M_LIMIT_EXCEEDED, as no worker is free", user, err)
		}
	}
}

func TestPasswordsAreHashedByFew(t *testing.T) {
	p := newPasswords(Config{}.passwordMemory())
	for range cap(p.slots) {
		p.slots <- struct{}{}
	}
	p.waiting.Store(maxPasswordsWaiting)
	if _, err := p.hash(context.Background(), "x"); codeOf(err) != "M_LIMIT_EXCEEDED" {
		t.Errorf("got %v, want M_LIMIT_EXCEEDED", err)
	}
	p.waiting.Store(0)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := p.hash(ctx, "x"); err != context.Canceled {
		t.Errorf("got %v, want %v", err, context.Canceled)
	}
	if got := p.waiting.Load(); got != 0 {
		t.Errorf("got %d waiting, want 0", got)
	}
}

func TestPasswordHash(t *testing.T) {
	ctx := context.Background()
	p := newPasswords(Config{}.passwordMemory())
	stored, err := p.hash(ctx, "secret")
	if err != nil {
		t.Fatal(err)
	}
	if want := "$argon2id$v=19$m=19456,t=2,p=1$"; !strings.HasPrefix(stored, want) {
		t.Errorf("got %s, want it to begin with %s", stored, want)
	}
	if again, _ := p.hash(ctx, "secret"); again == stored {
		t.Error("the salt is the same")
	}
	tests := []struct {
		name, stored, password string
		want                   bool
		wantErr                error
	}{
		{"right", stored, "secret", true, nil},
		{"wrong", stored, "secret ", false, nil},
		{"nobody's", "", "secret", false, nil},
		{"other parameters", "$argon2id$v=19$m=64,t=1,p=1$c2FsdHNhbHQ$a3y2+zOV1Y4", "x", false, nil},
		{"damaged", "$argon2id$v=19$m=64,t=1$c2FsdHNhbHQ$AAAA", "x", false, errBadPasswordHash},
		{"of another kind", "$2b$12$abcdefghijklmnopqrstuv", "x", false, errBadPasswordHash},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := p.verify(ctx, test.stored, test.password, "")
			if got != test.want || err != test.wantErr {
				t.Errorf("got %v, %v, want %v, %v", got, err, test.want, test.wantErr)
			}
		})
	}
}
