package account

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"

	"causeway/homeserver/store"
	"causeway/homeserver/storetest"

	"maunium.net/go/mautrix/id"
)

func insertToken(t *testing.T, db *store.DB, token store.RegistrationToken) {
	t.Helper()
	err := db.Write(context.Background(), func(tx *store.Tx) error { return tx.InsertRegistrationToken(token) })
	if err != nil {
		t.Fatal(err)
	}
}

func TestRegister(t *testing.T) {
	dummy := &AuthData{Type: typeDummy}
	token := func(s string) *AuthData { return &AuthData{Type: typeRegistrationToken, Token: s} }
	tests := []struct {
		name string
		open bool
		in   RegisterRequest
		want string
	}{
		{"no auth", true, RegisterRequest{Username: "a", Password: "x"}, "401 "},
		{"dummy", true, RegisterRequest{Username: "dummy", Password: "x", Auth: dummy}, ""},
		{"dummy but closed", false, RegisterRequest{Username: "a", Password: "x", Auth: dummy}, "401 M_FORBIDDEN"},
		{"unknown stage", true, RegisterRequest{Username: "a", Password: "x", Auth: &AuthData{Type: "x"}}, "401 M_FORBIDDEN"},
		{"password stage", true, RegisterRequest{Username: "a", Password: "x", Auth: &AuthData{Type: typePassword}}, "401 M_FORBIDDEN"},
		{"auth without type", true, RegisterRequest{Username: "a", Password: "x", Auth: &AuthData{}}, "401 "},
		{"token", false, RegisterRequest{Username: "token", Password: "x", Auth: token("many")}, ""},
		{"token though open", true, RegisterRequest{Username: "token2", Password: "x", Auth: token("many")}, ""},
		{"unknown token", false, RegisterRequest{Username: "a", Password: "x", Auth: token("none")}, "401 M_FORBIDDEN"},
		{"no token", false, RegisterRequest{Username: "a", Password: "x", Auth: token("")}, "401 M_FORBIDDEN"},
		{"endless token", false, RegisterRequest{Username: "a", Password: "x", Auth: token(strings.Repeat("x", 65))}, "401 M_FORBIDDEN"},
		{"NUL in the token", false, RegisterRequest{Username: "a", Password: "x", Auth: token("\x00")}, "401 M_FORBIDDEN"},
		{"expired token", false, RegisterRequest{Username: "a", Password: "x", Auth: token("expired")}, "401 M_FORBIDDEN"},
		{"used token", false, RegisterRequest{Username: "a", Password: "x", Auth: token("used")}, "401 M_FORBIDDEN"},
		{"guest", true, RegisterRequest{Kind: "guest"}, "M_GUEST_ACCESS_FORBIDDEN"},
		{"unknown kind", true, RegisterRequest{Kind: "x"}, "M_INVALID_PARAM"},
		{"kind user", true, RegisterRequest{Kind: "user", Username: "kind", Password: "x", Auth: dummy}, ""},
		{"no name", true, RegisterRequest{Password: "x", Auth: dummy}, ""},
		{"no password", true, RegisterRequest{Username: "a", Auth: dummy}, "M_MISSING_PARAM"},
		{"endless password", true, RegisterRequest{Username: "a", Password: strings.Repeat("x", 513), Auth: dummy}, "M_INVALID_PARAM"},
		{"bad name", true, RegisterRequest{Username: "a!b"}, "M_INVALID_USERNAME"},
		{"long name", true, RegisterRequest{Username: strings.Repeat("x", 250)}, "M_INVALID_USERNAME"},
		{"name in use, before auth", true, RegisterRequest{Username: "alice", Password: "x"}, "M_USER_IN_USE"},
		{"name in use but for the case", true, RegisterRequest{Username: "ALICE", Password: "x"}, "M_USER_IN_USE"},
		{"upper case", true, RegisterRequest{Username: "Upper", Password: "x", Auth: dummy}, ""},
		{"inhibited login", true, RegisterRequest{Username: "quiet", Password: "x", Auth: dummy, InhibitLogin: true}, ""},
		{"long device id", true, RegisterRequest{Username: "a", Password: "x", Auth: dummy, DeviceID: id.DeviceID(strings.Repeat("x", 256))}, "M_INVALID_PARAM"},
	}
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		ctx := context.Background()
		createUser(t, newService(db, false), "alice", "secret")
		insertToken(t, db, store.RegistrationToken{Token: "many"})
		insertToken(t, db, store.RegistrationToken{Token: "expired", ExpiresTS: 1})
		insertToken(t, db, store.RegistrationToken{Token: "used", UsesAllowed: 2, Uses: 2})
		for _, test := range tests {
			t.Run(test.name, func(t *testing.T) {
				s := newService(db, test.open)
				got, err := s.Register(ctx, test.in)
				if code := codeOf(err); code != test.want {
					t.Fatalf("got error %q, want %q", code, test.want)
				}
				if err != nil {
					return
				}
				want := id.NewUserID(strings.ToLower(test.in.Username), "test")
				if test.in.Username != "" && got.UserID != want {
					t.Errorf("got user %s, want %s", got.UserID, want)
				}
				if test.in.InhibitLogin {
					if got.AccessToken != "" || got.DeviceID != "" {
						t.Errorf("got a session on %s, want none", got.DeviceID)
					}
				} else if who, err := s.Identify(ctx, got.AccessToken, "", ""); err != nil || who.UserID != got.UserID {
					t.Errorf("Identify: got %+v, %v", who, err)
				}
				login(t, s, string(got.UserID), test.in.Password, "")
			})
		}
		var made bool
		if err := db.View(ctx, func(tx *store.Tx) (err error) { made, err = tx.UserExists("@a:test"); return err }); err != nil || made {
			t.Errorf("a refused registration left an account (%v, %v)", made, err)
		}
	})
}

func TestRegistrationFlows(t *testing.T) {
	tests := []struct {
		name  string
		open  bool
		token bool
		want  []string
	}{
		{"closed", false, false, []string{typeRegistrationToken}},
		{"closed, with a token", false, true, []string{typeRegistrationToken}},
		{"open", true, false, []string{typeDummy}},
		{"open, with a token", true, true, []string{typeDummy, typeRegistrationToken}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			db := storetest.New(t)
			if test.token {
				insertToken(t, db, store.RegistrationToken{Token: "x"})
			}
			_, err := newService(db, test.open).Register(context.Background(), RegisterRequest{})
			c, ok := errors.AsType[*Challenge](err)
			if !ok {
				t.Fatalf("got %v, want a challenge", err)
			}
			var got []string
			for _, flow := range c.Flows {
				got = append(got, flow.Stages...)
			}
			if !slices.Equal(got, test.want) || c.Session == "" || c.ErrCode != "" || len(c.Completed) != 0 {
				t.Errorf("got %+v, want flows %v", c, test.want)
			}
		})
	}
}

// TestOneTokenOneUser lets many register with one token at once: one wins, and the others leave nothing behind.
func TestOneTokenOneUser(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		ctx := context.Background()
		s := newService(db, false)
		insertToken(t, db, store.RegistrationToken{Token: "once", UsesAllowed: 1, Admin: true})
		const registrants = 8
		errs := make([]error, registrants)
		var wait sync.WaitGroup
		for i := range registrants {
			wait.Go(func() {
				_, errs[i] = s.Register(ctx, RegisterRequest{
					Username: "user" + string(rune('a'+i)), Password: "secret",
					Auth: &AuthData{Type: typeRegistrationToken, Token: "once"},
				})
			})
		}
		wait.Wait()
		winners := 0
		for i, err := range errs {
			exists, dbErr := newService(db, false).UserExists(ctx, id.NewUserID("user"+string(rune('a'+i)), "test"))
			if dbErr != nil {
				t.Fatal(dbErr)
			}
			if err == nil {
				winners++
			} else if got := codeOf(err); got != "401 M_FORBIDDEN" {
				t.Errorf("registrant %d: got %s, want 401 M_FORBIDDEN", i, got)
			}
			if exists != (err == nil) {
				t.Errorf("registrant %d: got an account: %v, though the error was %v", i, exists, err)
			}
		}
		if winners != 1 {
			t.Errorf("got %d winners, want 1", winners)
		}
	})
}

// TestOneNameOneUser lets two register with one name and one token: the loser has not used the token.
func TestOneNameOneUser(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		ctx := context.Background()
		insertToken(t, db, store.RegistrationToken{Token: "twice", UsesAllowed: 2})
		errs := make([]error, 2)
		var wait sync.WaitGroup
		for i := range errs {
			wait.Go(func() {
				_, errs[i] = newService(db, false).Register(ctx, RegisterRequest{
					Username: "alice", Password: "secret", Auth: &AuthData{Type: typeRegistrationToken, Token: "twice"},
				})
			})
		}
		wait.Wait()
		if got := codeOf(errs[0]) + codeOf(errs[1]); got != "M_USER_IN_USE" {
			t.Errorf("got %v, want one M_USER_IN_USE", errs)
		}
		if valid, err := newService(db, false).TokenValid(ctx, "twice"); !valid || err != nil {
			t.Errorf("got %v, %v, want one use to be left", valid, err)
		}
	})
}

func TestCompletedStageIsKept(t *testing.T) {
	ctx := context.Background()
	db := storetest.New(t)
	insertToken(t, db, store.RegistrationToken{Token: "once", UsesAllowed: 1})
	s := newService(db, false)
	_, err := s.Register(ctx, RegisterRequest{Username: "alice"})
	c, _ := errors.AsType[*Challenge](err)
	auth := &AuthData{Type: typeRegistrationToken, Token: "once", Session: c.Session}
	if _, err := s.Register(ctx, RegisterRequest{Username: "alice", Auth: auth}); codeOf(err) != "M_MISSING_PARAM" {
		t.Fatalf("got %v, want M_MISSING_PARAM for the password", err)
	}
	if _, err := s.Register(ctx, RegisterRequest{Username: "alice", Password: "x", Auth: &AuthData{Session: c.Session}}); err != nil {
		t.Fatalf("got %v, want the completed stage to count", err)
	}
	if _, err := s.Register(ctx, RegisterRequest{Username: "bob", Password: "x", Auth: &AuthData{Session: c.Session}}); codeOf(err) != "401 " {
		t.Errorf("got %v, want a challenge: the session has served", err)
	}
}

func TestAvailable(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		s := newService(db, false)
		createUser(t, s, "alice", "secret")
		for name, want := range map[string]string{
			"bob": "", "alice": "M_USER_IN_USE", "Alice": "M_USER_IN_USE", "": "M_INVALID_USERNAME", "b b": "M_INVALID_USERNAME",
			"ü": "M_INVALID_USERNAME", "a.b_c=d-e/f+1": "", strings.Repeat("x", 249): "", strings.Repeat("x", 250): "M_INVALID_USERNAME",
		} {
			if got := codeOf(s.Available(context.Background(), name)); got != want {
				t.Errorf("%q: got %q, want %q", name, got, want)
			}
		}
	})
}

func TestFirstToken(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		ctx := context.Background()
		first := func() string {
			t.Helper()
			token, err := newService(db, true).FirstToken(ctx) // a Service of its own, as after a restart
			if err != nil {
				t.Fatal(err)
			}
			return token
		}
		token := first()
		if token == "" || first() != token {
			t.Fatalf("got %q and then another, want the same again", token)
		}
		s := newService(db, true)
		if _, err := s.Register(ctx, RegisterRequest{Username: "early", Password: "x", Auth: &AuthData{Type: typeDummy}}); err != nil {
			t.Fatal(err)
		}
		if first() != token {
			t.Error("the token went though there is no administrator yet")
		}
		got, err := s.Register(ctx, RegisterRequest{Username: "boss", Password: "x", Auth: &AuthData{Type: typeRegistrationToken, Token: token}})
		if err != nil {
			t.Fatal(err)
		}
		if who, err := s.Identify(ctx, got.AccessToken, "", ""); err != nil || !who.IsAdmin {
			t.Errorf("got %+v, %v, want an administrator", who, err)
		}
		if again := first(); again != "" {
			t.Errorf("got a token %q though there is an administrator", again)
		}
	})
}

func TestFirstTokenGoesWithAnAdministrator(t *testing.T) {
	ctx := context.Background()
	s := newService(storetest.New(t), false)
	token, err := s.FirstToken(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.CreateUser(ctx, "boss", "secret", true); err != nil {
		t.Fatal(err)
	}
	if again, err := s.FirstToken(ctx); again != "" || err != nil {
		t.Errorf("got %q, %v, want none", again, err)
	}
	if valid, err := s.TokenValid(ctx, token); valid || err != nil {
		t.Errorf("got %v, %v, want the token to be gone", valid, err)
	}
}

func TestCreateUser(t *testing.T) {
	s := newService(storetest.New(t), false)
	createUser(t, s, "alice", "secret")
	for _, test := range []struct{ name, user, password, want string }{
		{"in use", "alice", "secret", "M_USER_IN_USE"},
		{"bad name", "a b", "secret", "M_INVALID_USERNAME"},
		{"no password", "bob", "", "M_MISSING_PARAM"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if _, err := s.CreateUser(context.Background(), test.user, test.password, false); codeOf(err) != test.want {
				t.Errorf("got %v, want %s", err, test.want)
			}
		})
	}
}
