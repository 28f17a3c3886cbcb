package account

import (
	"context"
	"testing"

	"causeway/homeserver/store"
	"causeway/homeserver/storetest"

	"maunium.net/go/mautrix/id"
)

// write carries something out on the rows of a user.
func write(t *testing.T, db *store.DB, user id.UserID, do func(tx *store.Tx, nid int64) error) {
	t.Helper()
	err := db.Write(context.Background(), func(tx *store.Tx) error {
		nid, err := tx.LookupNID(string(user))
		if err != nil {
			return err
		}
		return do(tx, nid)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// grantFor is a grant for a device of a user.
func grantFor(user id.UserID, device id.DeviceID) func(*store.Tx) (OAuthGrant, error) {
	return func(tx *store.Tx) (OAuthGrant, error) {
		nid, err := tx.LookupNID(string(user))
		return OAuthGrant{UserNID: nid, DeviceID: device, Client: "client"}, err
	}
}

// TestNoDeviceIsAKey: in no way does a device come to be whose id is the name of a cross-signing key of its user, nor does anybody sign in
// as the dehydrated device.
func TestNoDeviceIsAKey(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		ctx := context.Background()
		s := newService(db, false)
		createUser(t, s, "alice", "secret")
		write(t, db, "@alice:test", func(tx *store.Tx, nid int64) error {
			return tx.SetCrossSigningKey(store.CrossSigningKey{UserNID: nid, Usage: store.UsageMaster, PublicKey: "KEY", JSON: []byte(`{}`)})
		})
		write(t, db, "@alice:test", func(tx *store.Tx, nid int64) error {
			if err := tx.EnsureDevice(nid, "ASLEEP", "", 0); err != nil {
				return err
			}
			return tx.SetDehydratedDevice(nid, "ASLEEP", []byte(`{}`))
		})
		for name, make := range map[string]func() error{
			"login": func() error {
				_, err := s.Login(ctx, LoginRequest{Type: typePassword, User: "alice", Password: "secret", DeviceID: "KEY"})
				return err
			},
			"login as the dehydrated device": func() error {
				_, err := s.Login(ctx, LoginRequest{Type: typePassword, User: "alice", Password: "secret", DeviceID: "ASLEEP"})
				return err
			},
			"OAuth for the dehydrated device": func() error {
				_, err := s.BeginOAuth(ctx, grantFor("@alice:test", "ASLEEP"))
				return err
			},
			"OAuth": func() error {
				_, err := s.BeginOAuth(ctx, grantFor("@alice:test", "KEY"))
				return err
			},
			"an application service": func() error {
				_, err := s.UpdateDevice(ctx, Requester{UserID: "@alice:test", ByAppService: true}, "KEY", nil)
				return err
			},
		} {
			if err := make(); codeOf(err) != "M_INVALID_PARAM" {
				t.Errorf("%s: got %v, want M_INVALID_PARAM", name, err)
			}
		}
	})
}

// TestLoginOverOAuth logs in on a device that came by OAuth: it is that client's no more.
func TestLoginOverOAuth(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		ctx := context.Background()
		s := newService(db, false)
		s.cfg.AccountURL = "https://test/account"
		alice := createUser(t, s, "alice", "secret")
		if _, err := s.BeginOAuth(ctx, grantFor(alice, "D")); err != nil {
			t.Fatal(err)
		}
		who := Requester{UserID: alice, DeviceID: "D"}
		if by, err := s.byOAuth(ctx, who, ReplaceKeys); err != nil || !by {
			t.Fatalf("the device did not come by OAuth: %v", err)
		}
		login(t, s, "alice", "secret", "D")
		if by, err := s.byOAuth(ctx, who, ReplaceKeys); err != nil || by {
			t.Errorf("a device that came by password counts as one that came by OAuth, %v", err)
		}
	})
}
