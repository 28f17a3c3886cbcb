package e2ee

import (
	"context"
	"encoding/json"
	"fmt"
	"sync/atomic"
	"testing"

	"causeway/homeserver/notify"
	"causeway/homeserver/store"
	"causeway/homeserver/storetest"

	"maunium.net/go/mautrix/id"
)

// crowd makes users with a device each, whose keys are signed by a self-signing key, and with so many one-time keys each.
func crowd(b *testing.B, s *Service, users, oneTimeKeys int) map[id.UserID][]id.DeviceID {
	b.Helper()
	all := make(map[id.UserID][]id.DeviceID, users)
	signature := "c2lnbmF0dXJlc2lnbmF0dXJlc2lnbmF0dXJlc2lnbmF0dXJlc2lnbmF0dXJlc2lnbmF0dXJlc2lnbmF0dXJlcw"
	for first := 0; first < users; first += 500 {
		err := s.db.Write(context.Background(), func(tx *store.Tx) error {
			for n := first; n < min(first+500, users); n++ {
				by := By{User: id.UserID(fmt.Sprintf("@user%d:test", n)), Device: "DEVICE"}
				u := store.User{UserID: by.User, CreatedTS: 1}
				if err := tx.InsertUser(&u); err != nil {
					return err
				}
				if err := tx.EnsureDevice(u.NID, by.Device, "a device", 1); err != nil {
					return err
				}
				if err := tx.SetDeviceKeys(u.NID, by.Device, identity(b, by)); err != nil {
					return err
				}
				for _, usage := range [...]string{store.UsageMaster, store.UsageSelfSigning} {
					key := store.CrossSigningKey{UserNID: u.NID, Usage: usage, PublicKey: public(usage), JSON: json.RawMessage(unsignedSigningKey(by.User, usage, usage))}
					if err := tx.SetCrossSigningKey(key); err != nil {
						return err
					}
				}
				if err := tx.SignDevice(u.NID, by.Device, signature); err != nil {
					return err
				}
				keys := make([]store.OneTimeKey, oneTimeKeys)
				for i := range keys {
					keys[i] = store.OneTimeKey{KeyID: store.KeyID{Algorithm: signedCurve25519, ID: fmt.Sprint(i)}, JSON: json.RawMessage(`{"key":"k"}`)}
				}
				if err := tx.InsertOneTimeKeys(u.NID, by.Device, keys); err != nil {
					return err
				}
				all[by.User] = []id.DeviceID{}
			}
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
	}
	// PostgreSQL does so by itself, in time.
	err := s.db.Write(context.Background(), func(tx *store.Tx) error {
		_, err := tx.Exec(`ANALYZE`)
		return err
	})
	if err != nil {
		b.Fatal(err)
	}
	return all
}

func eachBench(b *testing.B, bench func(b *testing.B, s *Service)) {
	b.Helper()
	storetest.EachBench(b, func(b *testing.B, db *store.DB) {
		bench(b, New(Config{ServerName: "test", DB: db, Bus: new(notify.Local)}))
	})
}

// BenchmarkQuery asks for the keys of 10,000 devices, of as many users, each with cross-signing keys and signatures.
func BenchmarkQuery(b *testing.B) {
	const devices = 10_000
	eachBench(b, func(b *testing.B, s *Service) {
		in := QueryRequest{DeviceKeys: crowd(b, s, devices, 0)}
		for b.Loop() {
			out, err := s.Query(context.Background(), "@user0:test", in)
			if err != nil || len(out.DeviceKeys) != devices || len(out.Master) != devices {
				b.Fatalf("got %d users and %v", len(out.DeviceKeys), err)
			}
			if _, err := json.Marshal(out); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(devices*b.N)/b.Elapsed().Seconds(), "devices/s")
	})
}

// BenchmarkClaim claims a one-time key at a time, by several at once.
func BenchmarkClaim(b *testing.B) {
	const devices, keys = 200, 100
	eachBench(b, func(b *testing.B, s *Service) {
		crowd(b, s, devices, keys)
		var n atomic.Int64
		b.SetParallelism(8)
		b.ResetTimer()
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				user := id.UserID(fmt.Sprintf("@user%d:test", n.Add(1)%devices))
				in := ClaimRequest{OneTimeKeys: map[id.UserID]map[id.DeviceID]string{user: {"DEVICE": signedCurve25519}}}
				if _, err := s.Claim(context.Background(), in); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "keys/s")
	})
}

// BenchmarkClaimMany claims the keys of 200 devices in a request, as who begins to write in a large room does.
func BenchmarkClaimMany(b *testing.B) {
	const devices, keys = 200, 100
	eachBench(b, func(b *testing.B, s *Service) {
		in := ClaimRequest{OneTimeKeys: make(map[id.UserID]map[id.DeviceID]string)}
		for user := range crowd(b, s, devices, keys) {
			in.OneTimeKeys[user] = map[id.DeviceID]string{"DEVICE": signedCurve25519}
		}
		for b.Loop() {
			if _, err := s.Claim(context.Background(), in); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(devices*b.N)/b.Elapsed().Seconds(), "keys/s")
	})
}

// BenchmarkSend sends a to-device message to 1,000 devices.
func BenchmarkSend(b *testing.B) {
	const devices = 1000
	eachBench(b, func(b *testing.B, s *Service) {
		messages := make(Messages)
		for user := range crowd(b, s, devices, 0) {
			messages[user] = map[id.DeviceID]json.RawMessage{allDevices: json.RawMessage(`{"algorithm":"m.olm.v1.curve25519-aes-sha2","ciphertext":"` + public("x") + `"}`)}
		}
		by, n := By{User: "@user0:test", Device: "DEVICE", Scope: "DEVICE"}, 0
		for b.Loop() {
			n++
			if err := s.Send(context.Background(), by, "m.room.encrypted", fmt.Sprint(n), messages); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(devices*b.N)/b.Elapsed().Seconds(), "messages/s")
	})
}

// BenchmarkUploadSignatures verifies and stores the signatures of 1,000 users.
func BenchmarkUploadSignatures(b *testing.B) {
	eachBench(b, func(b *testing.B, s *Service) {
		const users = maxSignedKeys
		in := make(SignaturesRequest, users)
		for user := range crowd(b, s, users+1, 0) {
			if user == "@user0:test" {
				continue
			}
			in[user] = map[string]json.RawMessage{public("master"): sign(b, unsignedSigningKey(user, "master", "master"), "@user0:test", "ed25519:"+public("user"), "user")}
		}
		err := s.db.Write(context.Background(), func(tx *store.Tx) error {
			nid, err := tx.LookupNID("@user0:test")
			if err != nil {
				return err
			}
			return tx.SetCrossSigningKey(store.CrossSigningKey{UserNID: nid, Usage: store.UsageUserSigning, PublicKey: public("user"), JSON: json.RawMessage(`{}`)})
		})
		if err != nil {
			b.Fatal(err)
		}
		for b.Loop() {
			out, err := s.UploadSignatures(context.Background(), "@user0:test", in)
			if err != nil || len(out.Failures) > 0 {
				b.Fatalf("got %d failures and %v", len(out.Failures), err)
			}
		}
	})
}
