package e2ee

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"testing"

	"causeway/homeserver/event"
	"causeway/homeserver/store"

	"maunium.net/go/mautrix/id"
)

// private is the private key of that name, and public the public part.
func private(name string) ed25519.PrivateKey {
	seed := sha256.Sum256([]byte(name))
	return ed25519.NewKeyFromSeed(seed[:])
}

func public(name string) string {
	return base64.RawStdEncoding.EncodeToString(private(name).Public().(ed25519.PublicKey))
}

func sign(t testing.TB, object string, user id.UserID, keyID, name string) json.RawMessage {
	t.Helper()
	signed, err := event.SignJSON([]byte(object), &event.Key{ServerName: string(user), KeyID: keyID, Private: private(name)})
	if err != nil {
		t.Fatal(err)
	}
	return signed
}

func unsignedSigningKey(user id.UserID, usage, name string) string {
	return fmt.Sprintf(`{"keys":{"ed25519:%[3]s":%[3]q},"usage":[%[2]q],"user_id":%[1]q}`, user, usage, public(name))
}

// signingKeys are the three keys of a user.
func signingKeys(t testing.TB, user id.UserID) SigningKeysRequest {
	t.Helper()
	signed := func(usage string) json.RawMessage {
		return sign(t, unsignedSigningKey(user, usage, usage+string(user)), user, "ed25519:"+public("master"+string(user)), "master"+string(user))
	}
	return SigningKeysRequest{Master: json.RawMessage(unsignedSigningKey(user, "master", "master"+string(user))), SelfSigning: signed("self_signing"), UserSigning: signed("user_signing")}
}

// identity are identity keys of a device, signed by it.
func identity(t testing.TB, by By) json.RawMessage {
	t.Helper()
	name := string(by.User + " " + id.UserID(by.Device))
	return sign(t, fmt.Sprintf(`{"user_id":%q,"device_id":%q,"algorithms":[],"keys":{"ed25519:%[2]s":%[3]q}}`, by.User, by.Device, public(name)), by.User, "ed25519:"+string(by.Device), name)
}

func noConfirm(context.Context, string) (func(), error) { return nil, errors.New("asked to confirm") }

// TestNothingIsLeftOfSigning has two users sign each other and themselves; then a device goes, and a key is replaced: no row is left that
// refers to what is gone.
func TestNothingIsLeftOfSigning(t *testing.T) {
	each(t, func(b *bench) {
		ctx := context.Background()
		sound := func(when string) {
			b.t.Helper()
			b.view(func(tx *store.Tx) error {
				orphans, err := tx.AuditOrphans(10)
				for _, o := range orphans {
					b.t.Errorf("%s: %+v", when, o)
				}
				return err
			})
		}
		for _, by := range []By{alice, bob} {
			if _, err := b.s.Upload(ctx, by, UploadRequest{DeviceKeys: identity(b.t, by)}); err != nil {
				b.t.Fatal(err)
			}
			if err := b.s.UploadSigningKeys(ctx, by.User, signingKeys(b.t, by.User), noConfirm); err != nil {
				b.t.Fatal(err)
			}
		}
		sound("keys")
		for _, pair := range [][2]By{{alice, bob}, {bob, alice}} {
			by, other := pair[0], pair[1]
			master := func(user id.UserID) string { return unsignedSigningKey(user, "master", "master"+string(user)) }
			in := SignaturesRequest{
				by.User: {
					string(by.Device):                  sign(b.t, string(identity(b.t, by)), by.User, "ed25519:"+public("self_signing"+string(by.User)), "self_signing"+string(by.User)),
					public("master" + string(by.User)): sign(b.t, master(by.User), by.User, "ed25519:"+string(by.Device), string(by.User)+" "+string(by.Device)),
				},
				other.User: {public("master" + string(other.User)): sign(b.t, master(other.User), by.User, "ed25519:"+public("user_signing"+string(by.User)), "user_signing"+string(by.User))},
			}
			out, err := b.s.UploadSignatures(ctx, by.User, in)
			if err != nil || len(out.Failures) > 0 {
				b.t.Fatalf("got %+v and %v", out, err)
			}
		}
		sound("signatures")
		var bobNID int64
		b.write(func(tx *store.Tx) (err error) {
			if bobNID, err = tx.LookupNID(string(bob.User)); err == nil {
				_, err = tx.DeleteDevice(bobNID, bob.Device)
			}
			return err
		})
		sound("a device is gone")
		b.write(func(tx *store.Tx) error { return tx.DropCrossSigning(bobNID) })
		sound("no keys")
		got, err := b.s.Query(ctx, alice.User, QueryRequest{DeviceKeys: map[id.UserID][]id.DeviceID{bob.User: {}, alice.User: {}}})
		if err != nil || got.Master[bob.User] != nil || got.SelfSigning[bob.User] != nil || got.Master[alice.User] == nil || len(got.DeviceKeys[bob.User]) > 0 {
			b.t.Errorf("got %+v and %v", got, err)
		}
		if err := b.db.Compact(ctx); err != nil {
			b.t.Fatal(err)
		}
		sound("compacted")
	})
}

// TestKeyChangesMeanwhile replaces a key between the moments when a signature is verified and when it is stored.
func TestKeyChangesMeanwhile(t *testing.T) {
	each(t, func(b *bench) {
		ctx := context.Background()
		if _, err := b.s.Upload(ctx, alice, UploadRequest{DeviceKeys: identity(b.t, alice)}); err != nil {
			b.t.Fatal(err)
		}
		if err := b.s.UploadSigningKeys(ctx, alice.User, signingKeys(b.t, alice.User), noConfirm); err != nil {
			b.t.Fatal(err)
		}
		in := SignaturesRequest{alice.User: {"A": sign(b.t, string(identity(b.t, alice)), alice.User, "ed25519:"+public("self_signing"+string(alice.User)), "self_signing"+string(alice.User))}}
		j := &judge{user: alice.User, in: in}
		b.view(j.read)
		out := SignaturesResponse{Failures: make(map[id.UserID]map[string]failure)}
		verdicts := j.verdicts(&out)
		if len(verdicts) != 1 || len(out.Failures) > 0 {
			b.t.Fatalf("got %d verdicts and %v", len(verdicts), out)
		}
		confirmed := func(context.Context, string) (func(), error) { return func() {}, nil }
		self := sign(b.t, unsignedSigningKey(alice.User, "self_signing", "another"), alice.User, "ed25519:"+public("master"+string(alice.User)), "master"+string(alice.User))
		if err := b.s.UploadSigningKeys(ctx, alice.User, SigningKeysRequest{SelfSigning: self}, confirmed); err != nil {
			b.t.Fatal(err)
		}
		b.write(func(tx *store.Tx) error {
			now := &judge{user: alice.User, in: in}
			if err := now.read(tx); err != nil {
				return err
			}
			signals, stale, err := now.store(tx, verdicts)
			if len(signals) != 0 || len(stale) != 1 {
				b.t.Errorf("stored a signature by a key that is gone: %v, %v", signals, stale)
			}
			return err
		})
	})
}

// FuzzSigningKeys takes what strangers send: of what is accepted, the signature is right, and it stays as it is when it is checked again.
func FuzzSigningKeys(f *testing.F) {
	keys := signingKeys(f, alice.User)
	f.Add(string(keys.Master), string(keys.SelfSigning))
	f.Add(`{"keys":{"ed25519:x":"y"},"usage":["master"],"user_id":"@alice:test","signatures":{"@alice:test":{"ed25519:A":"AAAA"}}}`, `[]`)
	f.Add(`{"keys":null,"usage":{},"user_id":7}`, `{"signatures":{"@alice:test":7}}`)
	f.Fuzz(func(t *testing.T, master, self string) {
		up, err := checkSigningKeys(alice.User, SigningKeysRequest{Master: json.RawMessage(master), SelfSigning: json.RawMessage(self)})
		if err != nil {
			return
		}
		rows, err := up.rows(1, nil)
		if err != nil {
			return
		}
		public := publicKey(up.keys[store.UsageMaster].public)
		for _, row := range rows {
			if row.Usage != store.UsageMaster {
				if err := event.VerifyJSON(row.JSON, string(alice.User), "ed25519:"+rows[0].PublicKey, public); err != nil {
					t.Errorf("%s: %v", row.JSON, err)
				}
			}
			again, err := checkSigningKey(alice.User, row.Usage, row.JSON)
			if err != nil || again.public != row.PublicKey {
				t.Errorf("%s: checked again, it is %+v, %v", row.JSON, again, err)
			}
		}
	})
}
