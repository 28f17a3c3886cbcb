package account

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"

	"causeway/homeserver/store"
	"causeway/homeserver/storetest"
)

// TestResetServesOnce has many requests come at once to replace the cross-signing keys of a user who has allowed it once.
func TestResetServesOnce(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		ctx := context.Background()
		s := newService(db, false)
		s.cfg.AccountURL = "https://test/account"
		alice := createUser(t, s, "alice", "secret")
		if _, err := s.BeginOAuth(ctx, grantFor(alice, "D")); err != nil {
			t.Fatal(err)
		}
		write(t, db, alice, func(tx *store.Tx, nid int64) error { return tx.AllowReset(nid, "D", 1<<50) })
		who := Requester{UserID: alice, DeviceID: "D"}
		_, err := s.Confirm(ctx, who, ReplaceKeys, nil)
		challenge, ok := errors.AsType[*Challenge](err)
		if !ok {
			t.Fatal(err)
		}
		var (
			many      sync.WaitGroup
			confirmed atomic.Int32
		)
		for range 10 {
			many.Go(func() {
				_, err := s.Confirm(ctx, who, ReplaceKeys, &AuthData{Session: challenge.Session})
				if err == nil {
					confirmed.Add(1)
				} else if _, refused := errors.AsType[*Challenge](err); !refused {
					t.Error(err)
				}
			})
		}
		many.Wait()
		if n := confirmed.Load(); n != 1 {
			t.Errorf("%d requests were confirmed, want 1", n)
		}
	})
}
