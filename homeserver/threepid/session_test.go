package threepid

import (
	"encoding/json"
	"errors"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"causeway/homeserver/mail"
	"causeway/homeserver/store"
	"causeway/homeserver/storetest"

	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/id"
)

// bench is a service whose letters are read from the queue, by a clock of its own.
type bench struct {
	*Service
	t   *testing.T
	now time.Time
}

func newBench(t *testing.T, db *store.DB) *bench {
	b := &bench{t: t, now: time.UnixMilli(1_800_000_000_000)}
	config := mail.DefaultConfig()
	config.Host, config.From = "127.0.0.1", "matrix@test"
	now := func() time.Time { return b.now }
	b.Service = New(Options{DB: db, Mail: mail.New(mail.Options{Config: config, ServerName: "test", DB: db, Now: now}), ServerName: "test", PublicURL: "http://test/", Now: now})
	return b
}

// ask begins a session and returns its id, and the token that was sent, "" for none.
func (b *bench) ask(purpose Purpose, email string, attempt int64, user id.UserID) (sid, token string) {
	b.t.Helper()
	before := b.letters()
	out, err := b.RequestToken(b.t.Context(), TokenRequest{Secret: "s", Email: email, SendAttempt: &attempt, Medium: mail.Email, Purpose: purpose, User: user, Requester: "x"})
	if err != nil {
		b.t.Fatal(err)
	}
	if all := b.letters(); len(all) > len(before) {
		u, err := url.Parse(all[len(all)-1].Link)
		if err != nil {
			b.t.Fatal(err)
		}
		token = u.Query().Get("token")
	}
	return out.SID, token
}

func (b *bench) letters() (all []mail.Letter) {
	b.t.Helper()
	err := b.DB.View(b.t.Context(), func(tx *store.Tx) error {
		due, err := tx.OutboxDue(b.now.UnixMilli(), 100)
		for _, m := range due {
			var l mail.Letter
			if err := json.Unmarshal([]byte(m.Message), &l); err != nil {
				return err
			}
			all = append(all, l)
		}
		return err
	})
	if err != nil {
		b.t.Fatal(err)
	}
	return all
}

func (b *bench) submit(sid, secret, token string, identity bool) string {
	b.t.Helper()
	return code(b.Submit(b.t.Context(), SubmitRequest{SID: sid, Secret: secret, Token: token}, "", identity))
}

func (b *bench) validated(purpose Purpose, sid, secret string, user id.UserID) string {
	b.t.Helper()
	return code(b.DB.View(b.t.Context(), func(tx *store.Tx) error {
		_, err := b.Validated(tx, purpose, sid, secret, user)
		return err
	}))
}

func code(err error) string {
	var refused mautrix.RespError
	if errors.As(err, &refused) {
		return refused.ErrCode
	}
	if err != nil {
		return err.Error()
	}
	return ""
}

// A session is good for its purpose, its user and its time, for whoever has its secret.
func TestSessions(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		b := newBench(t, db)
		if err := db.Write(t.Context(), func(tx *store.Tx) error { return tx.InsertUser(&store.User{UserID: "@alice:test"}) }); err != nil {
			t.Fatal(err)
		}
		sid, token := b.ask(Add, "alice@example.org", 1, "@alice:test")
		if token == "" || len(token) < 40 || len(sid) < 20 {
			t.Fatalf("the token is %q, the session %q", token, sid)
		}
		for i, c := range []struct{ got, want string }{
			{b.validated(Add, sid, "s", "@alice:test"), "M_SESSION_NOT_VALIDATED"},
			{b.submit(sid, "s", "wrong", false), "M_TOKEN_INCORRECT"},
			{b.submit(sid, "x", token, false), "M_NO_VALID_SESSION"},
			{b.submit("x", "s", token, false), "M_NO_VALID_SESSION"},
			{b.submit(sid, "s", token, true), "M_NO_VALID_SESSION"},
			{b.submit(sid, "s", "", false), "M_MISSING_PARAM"},
			{b.submit(sid, "s", token, false), ""},
			{b.validated(Add, sid, "s", "@alice:test"), ""},
			{b.validated(Add, sid, "s", "@bob:test"), "M_NO_VALID_SESSION"},
			{b.validated(Add, sid, "s", ""), "M_NO_VALID_SESSION"},
			{b.validated(Add, sid, "x", "@alice:test"), "M_NO_VALID_SESSION"},
			{b.validated(Password, sid, "s", "@alice:test"), "M_NO_VALID_SESSION"},
			{b.validated(Add, "", "", "@alice:test"), "M_NO_VALID_SESSION"},
		} {
			if c.got != c.want {
				t.Errorf("step %d: got %q, want %q", i, c.got, c.want)
			}
		}
		if again, sent := b.ask(Add, "alice@example.org", 1, "@alice:test"); again != sid || sent != "" {
			t.Errorf("the same attempt: got %q and a token %q", again, sent)
		}
		if other, _ := b.ask(Add, "alice@example.org", 1, ""); other == sid {
			t.Error("a stranger has got alice's session by her secret")
		}
		b.now = b.now.Add(24*time.Hour + time.Second)
		if got := b.validated(Add, sid, "s", "@alice:test"); got != "M_SESSION_EXPIRED" {
			t.Errorf("a day later: %q", got)
		}
		if next, sent := b.ask(Add, "alice@example.org", 1, "@alice:test"); next == sid || sent == "" {
			t.Error("a session that has expired goes on")
		}
		if got := b.submit(sid, "s", token, false); got != "M_NO_VALID_SESSION" {
			t.Errorf("the old token: %q", got)
		}
	})
}

// A token ends with the next one, and a session with too many wrong ones.
func TestTokens(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		b := newBench(t, db)
		sid, first := b.ask(Register, "alice@example.org", 1, "")
		if _, second := b.ask(Register, "Alice@example.org", 2, ""); second == "" || second == first {
			t.Fatalf("got %q, then %q", first, second)
		} else if got := b.submit(sid, "s", first, false); got != "M_TOKEN_INCORRECT" {
			t.Errorf("the first token: %q", got)
		} else {
			for range maxWrongTokens - 1 {
				b.submit(sid, "s", "wrong", false)
			}
			if got := b.submit(sid, "s", second, false); got != "M_TOKEN_INCORRECT" {
				t.Errorf("after %d wrong ones: %q", maxWrongTokens, got)
			}
			if _, err := b.Confirm(t.Context(), sid, second); code(err) != "M_TOKEN_INCORRECT" {
				t.Errorf("by the link: %v", err)
			}
		}
	})
}

// Those who guess at the same moment have no more guesses than those who do so in turn, and one mail is sent however often it is asked for.
func TestGuessesAtOnce(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		b := newBench(t, db)
		one := int64(1)
		var all sync.WaitGroup
		for range 5 {
			all.Go(func() {
				_, err := b.RequestToken(t.Context(), TokenRequest{Secret: "s", Email: "alice@example.org", SendAttempt: &one, Medium: mail.Email, Purpose: Register, Requester: "x"})
				if err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		letters := b.letters()
		if len(letters) != 1 {
			t.Fatalf("%d letters, want 1", len(letters))
		}
		u, err := url.Parse(letters[0].Link)
		if err != nil {
			t.Fatal(err)
		}
		sid, token := u.Query().Get("sid"), u.Query().Get("token")
		for range maxWrongTokens {
			all.Go(func() {
				if err := b.Submit(t.Context(), SubmitRequest{SID: sid, Secret: "s", Token: "guess"}, "", false); code(err) != "M_TOKEN_INCORRECT" {
					t.Errorf("a guess: %v", err)
				}
			})
		}
		all.Wait()
		if got := b.submit(sid, "s", token, false); got != "M_TOKEN_INCORRECT" {
			t.Errorf("after %d guesses: %q", maxWrongTokens, got)
		}
	})
}

// Of secrets there are hashes alone.
func TestSecretsAreHashed(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		b := newBench(t, db)
		_, token := b.ask(Register, "alice@example.org", 1, "")
		err := db.View(t.Context(), func(tx *store.Tx) error {
			return tx.Query(`SELECT sid, secret, token FROM threepid_sessions`, nil, func(scan func(...any) error) error {
				var sid string
				var secret, stored []byte
				err := scan(&sid, &secret, &stored)
				if len(secret) != 32 || len(stored) != 32 || strings.Contains(string(stored), token) {
					t.Errorf("the row has %q and %q", secret, stored)
				}
				return err
			})
		})
		if err != nil {
			t.Fatal(err)
		}
	})
}

// A new password is for an hour.
func TestPasswordSessionsAreShort(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		b := newBench(t, db)
		if err := db.Write(t.Context(), func(tx *store.Tx) error {
			u := &store.User{UserID: "@alice:test"}
			if err := tx.InsertUser(u); err != nil {
				return err
			}
			return tx.InsertThreepid(u.NID, store.Threepid{Medium: mail.Email, Address: "alice@example.org"})
		}); err != nil {
			t.Fatal(err)
		}
		sid, token := b.ask(Password, "alice@example.org", 1, "")
		b.now = b.now.Add(time.Hour + time.Second)
		if got := b.submit(sid, "s", token, false); got != "M_SESSION_EXPIRED" {
			t.Errorf("after an hour: %q", got)
		}
	})
}
