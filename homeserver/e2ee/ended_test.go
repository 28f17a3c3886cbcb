package e2ee

import (
	"context"
	"encoding/json"
	"testing"

	"causeway/homeserver/store"

	"maunium.net/go/mautrix/id"
)

// TestNothingAfterTheEnd: requests that were on their way when the account ended leave nothing of it.
func TestNothingAfterTheEnd(t *testing.T) {
	each(t, func(b *bench) {
		ctx := context.Background()
		if _, err := b.s.Upload(ctx, alice, UploadRequest{DeviceKeys: identity(b.t, alice)}); err != nil {
			b.t.Fatal(err)
		}
		signed := SignaturesRequest{bob.User: {}}
		if err := b.s.UploadSigningKeys(ctx, bob.User, signingKeys(b.t, bob.User), noConfirm); err != nil {
			b.t.Fatal(err)
		}
		b.write(func(tx *store.Tx) error { _, err := tx.Deactivate(alice.User, false); return err })
		dry := By{User: alice.User, Device: "DRY"}
		for name, request := range map[string]func() error{
			"keys": func() error {
				_, err := b.s.Upload(ctx, alice, UploadRequest{DeviceKeys: identity(b.t, alice)})
				return err
			},
			"a message": func() error {
				return b.s.Send(ctx, alice, "t", "1", Messages{bob.User: {bob.Device: json.RawMessage(`{"n":1}`)}})
			},
			"cross-signing keys": func() error { return b.s.UploadSigningKeys(ctx, alice.User, signingKeys(b.t, alice.User), noConfirm) },
			"a backup": func() error {
				_, err := b.s.CreateBackup(ctx, alice, BackupInfo{Algorithm: "a", AuthData: json.RawMessage(`{}`)})
				return err
			},
			"a dehydrated device": func() error {
				_, err := b.s.Dehydrate(ctx, alice.User, DehydratedDevice{DeviceID: dry.Device, Data: json.RawMessage(`{"algorithm":"x"}`), UploadRequest: UploadRequest{DeviceKeys: identity(b.t, dry)}})
				return err
			},
		} {
			wantCode(b.t, name, request(), "M_UNKNOWN_TOKEN")
		}
		if _, err := b.s.UploadSignatures(ctx, alice.User, signed); err != nil {
			b.t.Errorf("no signatures: %v", err)
		}
		out, err := b.s.Query(ctx, bob.User, QueryRequest{DeviceKeys: map[id.UserID][]id.DeviceID{alice.User: {}}})
		if err != nil || len(out.DeviceKeys[alice.User]) != 0 || out.Master[alice.User] != nil {
			b.t.Errorf("got %+v and %v", out, err)
		}
		if all, _ := b.waiting(bob); len(all) != 0 {
			b.t.Errorf("%v waits for bob", all)
		}
		b.view(func(tx *store.Tx) error {
			orphans, err := tx.AuditOrphans(10)
			for _, o := range orphans {
				b.t.Errorf("%+v", o)
			}
			return err
		})
	})
}
