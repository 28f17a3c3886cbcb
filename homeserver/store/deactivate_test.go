package store_test

import (
	"context"
	"testing"

	"causeway/homeserver/store"
	"causeway/homeserver/storetest"

	"maunium.net/go/mautrix/id"
)

// TestDeactivateDropsKeys: of an account that has ended nothing is left that somebody could sign in by, or take for its keys, and others hear
// that the keys are gone although there was no device with any.
func TestDeactivateDropsKeys(t *testing.T) {
	const alice = id.UserID("@alice:test")
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		ctx := context.Background()
		var (
			change store.DeviceChange
			nid    int64
		)
		key := func(nid int64) store.CrossSigningKey {
			return store.CrossSigningKey{UserNID: nid, Usage: store.UsageMaster, PublicKey: "K", JSON: []byte(`{}`)}
		}
		for _, step := range []func(tx *store.Tx) error{
			func(tx *store.Tx) (err error) {
				if err := tx.InsertUser(&store.User{UserID: alice, Password: "x"}); err != nil {
					return err
				}
				if nid, err = tx.LookupNID(string(alice)); err != nil {
					return err
				}
				if err := tx.SetCrossSigningKey(key(nid)); err != nil {
					return err
				}
				if err := tx.SignMaster(nid, "D", "signature"); err != nil {
					return err
				}
				if err := tx.AddBrowserSession([32]byte{1}, nid, 0, 0, 1<<50, 10); err != nil {
					return err
				}
				if err := tx.AddOAuthCode(store.OAuthCode{UserNID: nid, ExpiresTS: 1 << 50}, 0, 10); err != nil {
					return err
				}
				_, err = tx.Exec(`INSERT INTO key_backup_versions (user_nid, newest) VALUES ($1, 1)`, nid)
				return err
			},
			func(tx *store.Tx) (err error) {
				change, err = tx.Deactivate(alice, false)
				return err
			},
			func(tx *store.Tx) error {
				for _, table := range []string{"cross_signing_keys", "master_signatures", "browser_sessions", "oauth_codes", "key_backups", "key_backup_versions"} {
					var n int
					if _, err := tx.Row(`SELECT COUNT(*) FROM `+table, nil, &n); err != nil {
						return err
					}
					if n != 0 {
						t.Errorf("%d rows are left in %s", n, table)
					}
				}
				if err := tx.SetCrossSigningKey(key(nid)); err != nil { // by a request that was under way
					return err
				}
				keys, err := tx.CrossSigningKeys(nid)
				if len(keys) != 0 {
					t.Errorf("keys of nobody: %v", keys)
				}
				return err
			},
		} {
			if err := db.Write(ctx, step); err != nil {
				t.Fatal(err)
			}
		}
		if change.Pos == 0 {
			t.Error("nobody hears that the keys are gone")
		}
	})
}
