package account

import (
	"context"
	"crypto/sha256"
	"errors"
	"testing"

	"causeway/homeserver/store"
	"causeway/homeserver/storetest"

	"maunium.net/go/mautrix"
)

// TestRefresh refreshes tokens: in order, again after a lost answer, and with a token that was used.
func TestRefresh(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		ctx := context.Background()
		s := newService(db, false)
		s.cfg.Lifetimes = Lifetimes{AccessMS: 1000, RefreshMS: 10_000}
		now := int64(1_000_000)
		s.now = func() int64 { return now }
		createUser(t, s, "alice", "secret")
		begin := func() Login {
			t.Helper()
			l, err := s.Login(ctx, LoginRequest{Type: typePassword, User: "alice", Password: "secret", DeviceID: "ONE", RefreshToken: true})
			if err != nil || l.RefreshToken == "" || l.ExpiresInMS != 1000 {
				t.Fatalf("login: %+v, %v", l, err)
			}
			return l
		}
		refresh := func(token string) Tokens {
			t.Helper()
			r, err := s.Refresh(ctx, token, "")
			if err != nil || r.UserID != "@alice:test" || r.DeviceID != "ONE" || r.ExpiresInMS != 1000 {
				t.Fatalf("refresh: %+v, %v", r, err)
			}
			return r.Tokens
		}
		// use uses an access token: "" when it is good, else the error's code, with " soft" for a soft logout.
		use := func(token string) string {
			t.Helper()
			_, err := s.Identify(ctx, token, "", "")
			var refused mautrix.RespError
			switch {
			case err == nil:
				return ""
			case !errors.As(err, &refused):
				t.Fatal(err)
			case refused.ExtraData["soft_logout"] == true:
				return refused.ErrCode + " soft"
			}
			return refused.ErrCode
		}
		want := func(what, got, want string) {
			t.Helper()
			if got != want {
				t.Errorf("%s: got %q, want %q", what, got, want)
			}
		}

		first := begin()
		want("the first token", use(first.AccessToken), "")
		lost := refresh(first.RefreshToken)
		want("the old token while nobody uses the new one", use(first.AccessToken), "")
		second := refresh(first.RefreshToken) // the answer was lost
		want("a token that was never seen", use(lost.AccessToken), "M_UNKNOWN_TOKEN")
		if _, err := s.Refresh(ctx, lost.RefreshToken, ""); err == nil {
			t.Error("a refresh token that was never seen serves")
		}
		want("the new token", use(second.AccessToken), "")
		want("the old token", use(first.AccessToken), "M_UNKNOWN_TOKEN")
		third := refresh(second.RefreshToken)
		fourth := refresh(third.RefreshToken) // by which it is known that third arrived
		want("the third token", use(third.AccessToken), "")
		want("the second token", use(second.AccessToken), "M_UNKNOWN_TOKEN")
		now += 1000
		want("after a while", use(fourth.AccessToken), "M_UNKNOWN_TOKEN soft")
		fifth := refresh(fourth.RefreshToken)
		want("the fifth token", use(fifth.AccessToken), "")

		if _, err := s.Refresh(ctx, fifth.RefreshToken, "another client"); err == nil || errors.Is(err, ErrReplayed) {
			t.Errorf("another client: %v", err)
		}
		want("after another client", use(fifth.AccessToken), "")
		if _, err := s.Refresh(ctx, lost.RefreshToken, ""); err == nil || errors.Is(err, ErrReplayed) {
			t.Errorf("a token dropped just now: %v", err)
		}
		want("after it", use(fifth.AccessToken), "")
		if _, err := s.Refresh(ctx, fourth.RefreshToken, ""); !errors.Is(err, ErrReplayed) {
			t.Errorf("a replayed token: %v", err)
		}
		want("after a replay", use(fifth.AccessToken), "M_UNKNOWN_TOKEN")
		if _, err := s.Refresh(ctx, fifth.RefreshToken, ""); err == nil {
			t.Error("after a replay the thief's token serves, or the owner's")
		}

		again := begin()
		now += 10_000
		if _, err := s.Refresh(ctx, again.RefreshToken, ""); err == nil {
			t.Error("a refresh token serves after its end")
		}
		plain, err := s.Login(ctx, LoginRequest{Type: typePassword, User: "alice", Password: "secret"})
		if err != nil || plain.RefreshToken != "" || plain.ExpiresInMS != 0 {
			t.Errorf("a client that knows of no refresh tokens: %+v, %v", plain, err)
		}
		for range 2 {
			again = begin()
			next := again.Tokens
			for range 3 {
				next = refresh(next.RefreshToken)
				want("in a row", use(next.AccessToken), "")
				now++
			}
			again.Tokens = next
		}
		next := again.Tokens
		for range 60 {
			next = refresh(next.RefreshToken)
			want("on and on", use(next.AccessToken), "")
			now++
		}
		err = db.View(ctx, func(tx *store.Tx) error {
			var n int64
			if _, err := tx.Row(`SELECT COUNT(*) FROM refresh_tokens WHERE device_id = 'ONE'`, nil, &n); err != nil {
				return err
			}
			if n > 25 {
				t.Errorf("%d refresh tokens are kept of one device", n)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	})
}

// TestStolenRefreshToken has a thief use a refresh token that the client has used, too, before the client used what it got for it.
func TestStolenRefreshToken(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		ctx := context.Background()
		s := newService(db, false)
		s.cfg.Lifetimes = Lifetimes{AccessMS: 600_000}
		now := int64(1_000_000)
		s.now = func() int64 { return now }
		createUser(t, s, "alice", "secret")
		l, err := s.Login(ctx, LoginRequest{Type: typePassword, User: "alice", Password: "secret", RefreshToken: true})
		if err != nil {
			t.Fatal(err)
		}
		refresh := func(token string) Refreshed {
			t.Helper()
			r, err := s.Refresh(ctx, token, "")
			if err != nil {
				t.Fatal(err)
			}
			return r
		}
		client := refresh(l.RefreshToken)
		var thief Refreshed
		for range 50 { // more than are remembered
			thief = refresh(l.RefreshToken)
			now++
		}
		if _, err := s.Identify(ctx, thief.AccessToken, "", ""); err != nil {
			t.Fatal(err)
		}
		now += droppedGraceMS
		if _, err := s.Refresh(ctx, client.RefreshToken, ""); !errors.Is(err, ErrReplayed) {
			t.Errorf("the client's token: %v", err)
		}
		if _, err := s.Identify(ctx, thief.AccessToken, "", ""); codeOf(err) != "M_UNKNOWN_TOKEN" {
			t.Errorf("the thief's token: %v", err)
		}
	})
}

// TestConfirmAfterTheEnd: a session that ends while a request reads it does not end the one that comes in its place.
func TestConfirmAfterTheEnd(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		ctx := context.Background()
		s := newService(db, false)
		createUser(t, s, "alice", "secret")
		begin := func() Login {
			t.Helper()
			l, err := s.Login(ctx, LoginRequest{Type: typePassword, User: "alice", Password: "secret", DeviceID: "D", RefreshToken: true})
			if err != nil {
				t.Fatal(err)
			}
			return l
		}
		old, err := s.Refresh(ctx, begin().RefreshToken, "")
		if err != nil {
			t.Fatal(err)
		}
		fresh := begin() // ends the old one
		if _, err := s.confirm(ctx, sha256.Sum256([]byte(old.AccessToken))); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("the old token: %v", err)
		}
		if _, err := s.Identify(ctx, fresh.AccessToken, "", ""); err != nil {
			t.Errorf("the new token: %v", err)
		}
	})
}
