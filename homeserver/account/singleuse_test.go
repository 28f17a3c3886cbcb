package account

import (
	"context"
	"encoding/hex"
	"sync"
	"testing"

	"causeway/homeserver/mail"
	"causeway/homeserver/store"
	"causeway/homeserver/storetest"
	"causeway/homeserver/threepid"

	"maunium.net/go/mautrix/id"
)

// atOnce does something many times at the same moment, and returns the codes of the errors with their number, "" for none.
func atOnce(times int, do func(i int) error) map[string]int {
	var (
		mu    sync.Mutex // guards codes
		all   sync.WaitGroup
		codes = make(map[string]int)
	)
	for i := range times {
		all.Go(func() {
			code := codeOf(do(i))
			mu.Lock()
			defer mu.Unlock()
			codes[code]++
		})
	}
	all.Wait()
	return codes
}

// TestSingleUse has many come at the same moment with what serves once. One is served.
func TestSingleUse(t *testing.T) {
	const many = 6
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		ctx := context.Background()
		s := newService(db, true)
		now := int64(1_700_000_000_000)
		s.now = func() int64 { return now }
		s.cfg.Threepids = validator(db)
		s.cfg.Rules.SharedSecret = "a shared secret"
		alice := createUser(t, s, "alice", "secret")

		t.Run("login token", func(t *testing.T) {
			token, err := s.newLoginToken(ctx, Requester{UserID: alice})
			if err != nil {
				t.Fatal(err)
			}
			got := atOnce(many, func(int) error {
				_, err := s.Login(ctx, LoginRequest{Type: typeToken, Token: token.Token})
				return err
			})
			if got[""] != 1 || got["M_FORBIDDEN"] != many-1 {
				t.Errorf("got %v, want one login", got)
			}
		})
		t.Run("refresh token", func(t *testing.T) {
			first, err := s.Login(ctx, LoginRequest{Type: typePassword, User: "alice", Password: "secret", DeviceID: "R", RefreshToken: true})
			if err != nil {
				t.Fatal(err)
			}
			heirs := make([]Refreshed, many)
			if got := atOnce(many, func(i int) (err error) {
				heirs[i], err = s.Refresh(ctx, first.RefreshToken, "")
				return err
			}); got[""] != many {
				t.Fatalf("got %v: a client that has not got its tokens asks again", got)
			}
			good := 0
			for _, heir := range heirs {
				if _, err := s.Identify(ctx, heir.AccessToken, "", ""); err == nil {
					good++
				}
			}
			if good != 1 {
				t.Errorf("%d sessions came of one, want 1", good)
			}
			now += droppedGraceMS
			if _, err := s.Refresh(ctx, first.RefreshToken, ""); codeOf(err) != "M_UNKNOWN_TOKEN" {
				t.Errorf("once the heir is used: %v", err)
			}
			for _, heir := range heirs {
				if _, err := s.Identify(ctx, heir.AccessToken, "", ""); codeOf(err) != "M_UNKNOWN_TOKEN" {
					t.Errorf("a session goes on whose token was replayed: %v", err)
				}
			}
		})
		t.Run("nonce", func(t *testing.T) {
			nonce, err := s.RegistrationNonce()
			if err != nil {
				t.Fatal(err)
			}
			got := atOnce(many, func(i int) error {
				in := SecretRegistration{Nonce: nonce, Username: "n" + string(rune('a'+i)), Password: "secret"}
				_, err := s.RegisterBySecret(ctx, withMAC(s, in))
				return err
			})
			if got[""] != 1 || got["M_UNKNOWN"] != many-1 {
				t.Errorf("got %v, want one account", got)
			}
		})
		t.Run("proof of an address for a new password", func(t *testing.T) {
			sid := validated(t, db, s, alice, threepid.Password)
			got := atOnce(many, func(i int) error {
				return s.ResetPassword(ctx, PasswordRequest{NewPassword: "new" + string(rune('a'+i)), Auth: &AuthData{Type: typeEmail, Creds: &ThreepidCreds{SID: sid, Secret: "s"}}})
			})
			if got[""] != 1 || got["401 M_THREEPID_AUTH_FAILED"] != many-1 {
				t.Errorf("got %v, want one new password", got)
			}
		})
		t.Run("proof of who one is for an end", func(t *testing.T) {
			bob := Requester{UserID: createUser(t, s, "bob", "secret"), DeviceID: "B"}
			login(t, s, "bob", "secret", "B")
			got := atOnce(many, func(int) error {
				_, err := s.Deactivate(ctx, bob, DeactivateRequest{Auth: passwordProof(bob.UserID, "secret")})
				return err
			})
			if got[""] != 1 {
				t.Errorf("got %v, want one end", got)
			}
		})
	})
}

func withMAC(s *Service, in SecretRegistration) SecretRegistration {
	in.MAC = hex.EncodeToString(s.secretMAC(in))
	return in
}

// validator is what validates addresses, with mail that nobody sends.
func validator(db *store.DB) *threepid.Service {
	config := mail.DefaultConfig()
	config.Host, config.From = "127.0.0.1", "matrix@test"
	post := mail.New(mail.Options{Config: config, ServerName: "test", DB: db})
	return threepid.New(threepid.Options{DB: db, Mail: post, ServerName: "test", PublicURL: "http://test"})
}

// validated returns a session in which a user's address was proven for a purpose, with "s" for its secret.
func validated(t *testing.T, db *store.DB, s *Service, user id.UserID, purpose threepid.Purpose) string {
	t.Helper()
	one := int64(1)
	write(t, db, user, func(tx *store.Tx, nid int64) error {
		return tx.InsertThreepid(nid, store.Threepid{Medium: mail.Email, Address: "a@example.org"})
	})
	out, err := s.RequestToken(t.Context(), threepid.TokenRequest{Secret: "s", Email: "a@example.org", SendAttempt: &one, Medium: mail.Email, Purpose: purpose, Requester: "x"})
	if err != nil {
		t.Fatal(err)
	}
	write(t, db, user, func(tx *store.Tx, _ int64) error {
		session, err := tx.ThreepidSession(out.SID)
		if err != nil {
			return err
		}
		session.ValidatedTS = session.ModifiedTS
		return tx.UpdateThreepidSession(session)
	})
	return out.SID
}
