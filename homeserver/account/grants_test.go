package account

import (
	"context"
	"testing"

	"causeway/homeserver/store"
	"causeway/homeserver/storetest"
)

// insertGrants grants all that there is in the name of a user, without that anybody redeems it.
func insertGrants(tx *store.Tx, nid int64) error {
	if err := tx.AddOAuthCode(store.OAuthCode{Hash: [32]byte{1}, UserNID: nid, DeviceID: "X", ExpiresTS: 1 << 50}, 0, 10); err != nil {
		return err
	}
	if err := tx.AddOAuthDeviceCode(store.OAuthDeviceCode{Hash: [32]byte{1}, DeviceID: "Y", ExpiresTS: 1 << 50}, 0, 10); err != nil {
		return err
	}
	if err := tx.DecideOAuthDeviceCode([32]byte{1}, store.DeviceCodeApproved, nid); err != nil {
		return err
	}
	if err := tx.InsertLoginToken([32]byte{1}, nid, 0, 1<<50, 10); err != nil {
		return err
	}
	if err := tx.InsertOpenIDToken([32]byte{1}, "@alice:test", "", 0, 1<<50, 10); err != nil {
		return err
	}
	if err := tx.InsertIdentityToken([32]byte{1}, "@alice:test", 0, 10); err != nil {
		return err
	}
	return tx.AllowReset(nid, "O", 1<<50)
}

// TestGrantsEnd: what was granted ends with the sessions, and with the password, of whoever granted it.
func TestGrantsEnd(t *testing.T) {
	tests := []struct {
		name string
		end  func(ctx context.Context, s *Service) error
	}{
		{"new password", func(ctx context.Context, s *Service) error {
			return s.ChangePassword(ctx, Requester{UserID: "@alice:test"},
				PasswordRequest{NewPassword: "secret", Auth: &AuthData{Type: typePassword, User: "alice", Password: "secret"}})
		}},
		{"logout of everything", func(ctx context.Context, s *Service) error { return s.LogoutAll(ctx, "@alice:test", "") }},
	}
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		ctx := context.Background()
		s := newService(db, false)
		alice := createUser(t, s, "alice", "secret")
		for _, test := range tests {
			cookie, err := s.SignIn(ctx, "alice", "secret", "")
			if err != nil {
				t.Fatal(err)
			}
			if _, err := s.BeginOAuth(ctx, grantFor(alice, "O")); err != nil {
				t.Fatal(err)
			}
			write(t, db, alice, insertGrants)
			if !s.CrossSigningResetAllowed(ctx, alice, "O") {
				t.Fatalf("%s: keys may not be replaced before", test.name)
			}
			if err := test.end(ctx, s); err != nil {
				t.Fatal(err)
			}
			if _, in, err := s.Browser(ctx, cookie); in || err != nil {
				t.Errorf("%s: the browser is signed in, %v", test.name, err)
			}
			if s.CrossSigningResetAllowed(ctx, alice, "O") {
				t.Errorf("%s: keys may be replaced", test.name)
			}
			write(t, db, alice, func(tx *store.Tx, nid int64) error {
				for _, table := range []string{"oauth_codes", "oauth_device_codes", "login_tokens", "browser_sessions", "openid_tokens", "identity_tokens"} {
					var n int
					if _, err := tx.Row(`SELECT COUNT(*) FROM `+table, nil, &n); err != nil {
						return err
					}
					if n != 0 {
						t.Errorf("%s: %d rows are left in %s", test.name, n, table)
					}
				}
				return nil
			})
		}
	})
}

// TestOldProofIsNone: whoever proved who they are just before the password changed is not let in after it, nor grants anything.
func TestOldProofIsNone(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		ctx := context.Background()
		s := newService(db, false)
		alice := createUser(t, s, "alice", "secret")
		cookie, err := s.SignIn(ctx, "alice", "secret", "")
		if err != nil {
			t.Fatal(err)
		}
		browser, in, err := s.Browser(ctx, cookie)
		if err != nil || !in {
			t.Fatal(in, err)
		}
		if _, err := s.BeginOAuth(ctx, grantFor(alice, "O")); err != nil {
			t.Fatal(err)
		}
		if err := s.AllowCrossSigningReset(ctx, browser, "O"); err != nil {
			t.Fatal(err)
		}
		user, err := s.prove(ctx, alice, string(alice), "secret", "")
		if err != nil || user == nil {
			t.Fatal(user, err)
		}
		hash, err := s.passwords.hash(ctx, "another")
		if err != nil {
			t.Fatal(err)
		}
		write(t, db, alice, func(tx *store.Tx, nid int64) error { return tx.SetPassword(nid, hash) })
		for name, enter := range map[string]func() error{
			"a device":         func() error { _, err := s.beginSession(ctx, user, Device{DeviceID: "D"}); return err },
			"a browser":        func() error { _, err := s.signIn(ctx, user); return err },
			"permission":       func() error { return s.AllowCrossSigningReset(ctx, browser, "O") },
			"of an old device": func() error { _, err := s.newLoginToken(ctx, Requester{UserID: alice, DeviceID: "D"}); return err },
		} {
			if err := enter(); codeOf(err) != "M_FORBIDDEN" && codeOf(err) != "M_UNKNOWN_TOKEN" {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}
