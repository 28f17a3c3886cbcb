package account

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"causeway/homeserver/store"
	"causeway/homeserver/storetest"

	"golang.org/x/crypto/bcrypt"
	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/id"
)

// tryLogin logs in from an address, and returns the status: 200, 403 or 429.
func tryLogin(t *testing.T, s *Service, user, password, ip string) int {
	t.Helper()
	_, err := s.Login(context.Background(), LoginRequest{Type: typePassword, User: user, Password: password, DeviceID: "D", ClientIP: ip})
	var refused mautrix.RespError
	switch {
	case err == nil:
		return http.StatusOK
	case !errors.As(err, &refused):
		t.Fatal(err)
	case refused.StatusCode == http.StatusTooManyRequests:
		wait, _ := refused.ExtraData["retry_after_ms"].(int64)
		if refused.ErrCode != "M_LIMIT_EXCEEDED" || wait <= 0 || refused.ExtraHeader["Retry-After"] != fmt.Sprint((wait+999)/1000) {
			t.Fatalf("the refusal does not say when to come back: %+v", refused)
		}
	}
	return refused.StatusCode
}

// TestTenThousandAttempts guesses passwords of one account from as many addresses: but a few of the attempts are looked at, the owner is not
// shut out where the owner's devices are, and all others are told when to come back.
func TestTenThousandAttempts(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		s := newService(db, false)
		s.attempts = newAttempts(Limit{PerSecond: 0.02, Burst: 10})
		now := int64(1_000_000_000)
		s.now = func() int64 { return now }
		createUser(t, s, "alice", "secret")
		if got := tryLogin(t, s, "alice", "secret", "10.0.0.1"); got != 200 {
			t.Fatalf("the owner: %d", got)
		}
		s.Saw("@alice:test", "D", "10.0.0.1", "")
		s.writeSeen(context.Background())
		for _, name := range []string{"alice", "nobody"} {
			var (
				mu     sync.Mutex
				counts = make(map[int]int)
				many   sync.WaitGroup
			)
			for worker := range 20 {
				many.Go(func() {
					for i := range 500 {
						got := tryLogin(t, s, name, fmt.Sprint("guess", i), fmt.Sprintf("10.1.%d.%d", worker, i%250))
						mu.Lock()
						counts[got]++
						mu.Unlock()
					}
				})
			}
			many.Wait()
			if counts[403] != 10 || counts[429] != 9990 {
				t.Errorf("%s: %v, want 10 attempts that are looked at of 10,000", name, counts)
			}
		}
		for _, test := range []struct {
			name, password, ip string
			after              time.Duration
			want               int
		}{
			{"the right password, guessed", "secret", "10.1.0.1", 0, 429},
			{"the owner, at home", "secret", "10.0.0.1", 0, 200},
			{"the owner, at home, mistyped", "secre", "10.0.0.1", 0, 403},
			{"the owner elsewhere, too soon", "secret", "10.2.0.1", 49 * time.Second, 429},
			{"the owner elsewhere, later", "secret", "10.2.0.1", time.Second, 200},
			{"a success settles what was counted", "x", "10.1.0.1", 0, 403},
			{"so there are more attempts", "x", "10.1.0.1", 0, 403},
		} {
			now += test.after.Milliseconds()
			if got := tryLogin(t, s, "alice", test.password, test.ip); got != test.want {
				t.Errorf("%s: got %d, want %d", test.name, got, test.want)
			}
		}
	})
}

// TestProofsAreAttempts guesses the password with a stolen token, in place of logging in.
func TestProofsAreAttempts(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		s := newService(db, false)
		s.attempts = newAttempts(Limit{PerSecond: 0.02, Burst: 3})
		s.now = func() int64 { return 1_000_000_000 }
		alice := Requester{UserID: createUser(t, s, "alice", "secret"), DeviceID: "D", ClientIP: "10.0.0.1"}
		for i, want := range []string{"401 M_FORBIDDEN", "401 M_FORBIDDEN", "401 M_FORBIDDEN", "M_LIMIT_EXCEEDED"} {
			_, err := s.Confirm(context.Background(), alice, fmt.Sprint("operation ", i), &AuthData{Type: typePassword, User: "alice", Password: "x"})
			if codeOf(err) != want {
				t.Errorf("attempt %d: got %v, want %s", i, err, want)
			}
		}
		if got := tryLogin(t, s, "alice", "secret", "10.0.0.2"); got != 429 {
			t.Errorf("a login after it: %d", got)
		}
	})
}

// TestAttemptsByAddress guesses by addresses, of which one is an account's: nothing tells which, neither the refusals nor the counts.
func TestAttemptsByAddress(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		ctx := context.Background()
		s := newService(db, false)
		s.attempts = newAttempts(Limit{PerSecond: 0.02, Burst: 2})
		s.now = func() int64 { return 1_000_000_000 }
		alice, bob := createUser(t, s, "alice", "secret"), createUser(t, s, "bob", "secret")
		if err := db.Write(ctx, func(tx *store.Tx) error {
			user, err := tx.User(alice)
			if err != nil {
				return err
			}
			return tx.InsertThreepid(user.NID, store.Threepid{Medium: "email", Address: "alice@example.org"})
		}); err != nil {
			t.Fatal(err)
		}
		address := func(a string) *Identifier { return &Identifier{Type: "m.id.thirdparty", Medium: "email", Address: a} }
		try := func(who *Identifier, password string) string {
			t.Helper()
			_, err := s.Login(ctx, LoginRequest{Type: typePassword, Identifier: who, Password: password, ClientIP: "10.0.0.1"})
			return codeOf(err)
		}
		// Alice's own count is used up first: the one of her address is another.
		for i, want := range []string{"M_FORBIDDEN", "M_FORBIDDEN", "M_LIMIT_EXCEEDED"} {
			if got := try(&Identifier{Type: "m.id.user", User: "alice"}, "x"); got != want {
				t.Errorf("alice, attempt %d: got %s, want %s", i, got, want)
			}
		}
		for _, a := range []string{"alice@example.org", "nobody@example.org"} {
			for i, want := range []string{"M_FORBIDDEN", "M_FORBIDDEN", "M_LIMIT_EXCEEDED"} {
				if got := try(address(a), "x"); got != want {
					t.Errorf("%s, attempt %d: got %s, want %s", a, i, got, want)
				}
			}
		}
		if got := try(address("Alice@EXAMPLE.org"), "secret"); got != "M_LIMIT_EXCEEDED" {
			t.Errorf("the same address, written otherwise: %s", got)
		}
		// Who has bob's token asks whose the addresses are.
		want := ""
		for _, a := range []string{"nobody@example.org", "alice@example.org", "no address"} {
			_, err := s.Confirm(ctx, Requester{UserID: bob, DeviceID: "D"}, "an operation", &AuthData{Type: typePassword, Identifier: address(a), Password: "x"})
			got := fmt.Sprintf("%#v", err)
			if want == "" {
				want = got
			}
			if got != want || codeOf(err) != "M_FORBIDDEN" {
				t.Errorf("%s: got %s, want %s", a, got, want)
			}
		}
	})
}

// TestAttemptsAreBounded names more accounts than are remembered.
func TestAttemptsAreBounded(t *testing.T) {
	a := newAttempts(Limit{PerSecond: 1, Burst: 1})
	for i := range maxAttempts + 10 {
		if err := a.take(fmt.Sprint(i), 0); err != nil {
			t.Fatal(err)
		}
	}
	if len(a.rows) != maxAttempts || a.idle.Len() != maxAttempts {
		t.Errorf("%d and %d are remembered, want %d", len(a.rows), a.idle.Len(), maxAttempts)
	}
}

// TestClockSetBack: who has used all attempts up waits for as long as ever, though the clock was set back meanwhile.
func TestClockSetBack(t *testing.T) {
	a := newAttempts(Limit{PerSecond: 1, Burst: 2})
	for i, test := range []struct {
		now int64
		ok  bool
	}{{1_000_000, true}, {1_000_000, true}, {1_000_000, false}, {1_000, false}, {2_000, true}, {2_000, false}} {
		if err := a.take("alice", test.now); (err == nil) != test.ok {
			t.Errorf("attempt %d: %v", i, err)
		}
	}
}

// TestNothingTellsWhoIsThere tries to log in to accounts of all kinds: status, code, sentence and the work that is done are the same.
func TestNothingTellsWhoIsThere(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		ctx := context.Background()
		s := newService(db, false)
		s.cfg.Guests = true
		createUser(t, s, "alice", "secret")
		createUser(t, s, "gone", "secret")
		createUser(t, s, "locked", "secret")
		if err := s.EndAccount(ctx, "@gone:test", false); err != nil {
			t.Fatal(err)
		}
		if err := db.Write(ctx, func(tx *store.Tx) error {
			if err := tx.InsertUser(&store.User{UserID: "@bridged:test", AppService: "irc"}); err != nil {
				return err
			}
			alice, err := tx.User("@alice:test")
			if err != nil {
				return err
			}
			if err := tx.InsertThreepid(alice.NID, store.Threepid{Medium: "email", Address: "alice@example.org"}); err != nil {
				return err
			}
			return tx.SetLocked("@locked:test", true)
		}); err != nil {
			t.Fatal(err)
		}
		guest, err := s.registerGuest(ctx, "")
		if err != nil {
			t.Fatal(err)
		}
		var work []string // what was hashed, but for the salt
		s.passwords.argon = func(password, salt []byte, time, memory uint32, threads uint8, keyLen uint32) []byte {
			work = append(work, fmt.Sprint(len(salt), time, memory, threads, keyLen))
			return make([]byte, keyLen)
		}
		want := ""
		for _, user := range []string{"nobody", "alice", "gone", "locked", "bridged", string(guest.UserID), "@alice:elsewhere", strings.Repeat("x", 300)} {
			for _, password := range []string{"wrong", strings.Repeat("x", maxPasswordBytes+1)} {
				work = nil
				_, err := s.Login(ctx, LoginRequest{Type: typePassword, User: user, Password: password})
				got := fmt.Sprintf("%#v, after %q", err, work)
				if len(work) != 1 {
					t.Errorf("%s: %d passwords were hashed, want 1", user, len(work))
				}
				if want == "" {
					want = got
				}
				if got != want {
					t.Errorf("%s: got %s, want %s", user, got, want)
				}
			}
		}
		work = nil
		_, err = s.Login(ctx, LoginRequest{Type: typePassword, User: "gone", Password: "secret"})
		if got := fmt.Sprintf("%#v, after %q", err, work); got != want {
			t.Errorf("who is gone, with the password of old: %s", got)
		}
		// By an address, and in a proof, the same.
		for _, address := range []string{"alice@example.org", "nobody@example.org"} {
			work = nil
			_, err := s.Login(ctx, LoginRequest{Type: typePassword, Medium: "email", Address: address, Password: "wrong"})
			if got := fmt.Sprintf("%#v, after %q", err, work); got != want {
				t.Errorf("%s: got %s, want %s", address, got, want)
			}
		}
	})
}

// TestImportedPassword logs in with a hash of bcrypt, which is of today afterwards.
func TestImportedPassword(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		ctx := context.Background()
		s := newService(db, false)
		imported, err := bcrypt.GenerateFromPassword([]byte("secret"), bcrypt.MinCost)
		if err != nil {
			t.Fatal(err)
		}
		createUser(t, s, "bob", "bobs")
		set := func(user id.UserID, hash string) {
			t.Helper()
			if err := db.Write(ctx, func(tx *store.Tx) error {
				u := &store.User{UserID: user, Password: hash}
				if err := tx.InsertUser(u); !errors.Is(err, store.ErrExists) {
					return err
				}
				old, err := tx.User(user)
				if err != nil {
					return err
				}
				return tx.SetPassword(old.NID, hash)
			}); err != nil {
				t.Fatal(err)
			}
		}
		hash := func() string {
			user, err := s.user(ctx, "@alice:test")
			if err != nil {
				t.Fatal(err)
			}
			return user.Password
		}
		set("@alice:test", string(imported))
		for _, test := range []struct {
			name, user, password string
			want                 int
		}{
			{"wrong", "alice", "x", 403}, {"another's", "alice", "bobs", 403}, {"none", "nobody", "secret", 403}, {"bob's, wrong", "bob", "x", 403},
			{"bob's, right", "bob", "bobs", 200},
		} {
			if got := tryLogin(t, s, test.user, test.password, ""); got != test.want || hash() != string(imported) {
				t.Errorf("%s: got %d, want %d", test.name, got, test.want)
			}
		}
		for range 2 {
			if got := tryLogin(t, s, "alice", "secret", ""); got != 200 || s.passwords.outdated(hash()) {
				t.Errorf("right: got %d, and the hash %q", got, hash())
			}
		}
		set("@alice:test", "$2b$31$"+string(imported[7:])) // would take weeks
		if _, err := s.prove(ctx, "@alice:test", "@alice:test", "secret", ""); !errors.Is(err, errBadPasswordHash) {
			t.Errorf("a hash of too much work: %v", err)
		}
	})
}
