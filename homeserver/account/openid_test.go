package account

import (
	"testing"
	"time"

	"causeway/homeserver/store"
	"causeway/homeserver/storetest"
)

// An OpenID token says who its owner is for an hour, and is stored as a hash; of a user's the newest are kept.
func TestOpenIDTokens(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		s := newService(db, false)
		alice, bob := createUser(t, s, "alice", "secret"), createUser(t, s, "bob", "secret")
		now := int64(1_700_000_000_000)
		s.now = func() int64 { return now }
		first, err := s.RequestOpenIDToken(t.Context(), alice, "")
		if err != nil || first.TokenType != "Bearer" || first.ExpiresIn != 3600 || first.MatrixServerName != "test" {
			t.Fatalf("got %+v (%v)", first, err)
		}
		if user, err := s.OpenIDUser(t.Context(), first.AccessToken); err != nil || user != alice {
			t.Errorf("got %q (%v), want %s", user, err, alice)
		}
		for _, token := range []string{"", "syt_nonsense", first.AccessToken + "x"} {
			if _, err := s.OpenIDUser(t.Context(), token); codeOf(err) != "M_UNKNOWN_TOKEN" {
				t.Errorf("%q: %v, want M_UNKNOWN_TOKEN", token, err)
			}
		}
		now += time.Hour.Milliseconds() - 1
		if _, err := s.OpenIDUser(t.Context(), first.AccessToken); err != nil {
			t.Error(err)
		}
		now++
		if _, err := s.OpenIDUser(t.Context(), first.AccessToken); codeOf(err) != "M_UNKNOWN_TOKEN" {
			t.Errorf("after an hour: %v, want M_UNKNOWN_TOKEN", err)
		}
		for range maxOpenIDTokens + 5 {
			now++
			if _, err := s.RequestOpenIDToken(t.Context(), bob, ""); err != nil {
				t.Fatal(err)
			}
		}
		var n int
		err = db.View(t.Context(), func(tx *store.Tx) error {
			_, err := tx.Row(`SELECT COUNT(*) FROM openid_tokens`, nil, &n)
			return err
		})
		if err != nil || n != maxOpenIDTokens {
			t.Errorf("%d tokens are kept (%v), want %d", n, err, maxOpenIDTokens)
		}
	})
}
