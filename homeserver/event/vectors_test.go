package event

import (
	"crypto/ed25519"
	"errors"
	"testing"
)

// The key of appendices, "Cryptographic Test Vectors".
func testKey(t testing.TB) *Key {
	seed, err := decodeBase64("YJDBA9Xnr2sVqXD9Vj7XVUnmFZcZrlw8Md7kMW+3XA1")
	if err != nil {
		t.Fatal(err)
	}
	return &Key{ServerName: "domain", KeyID: "ed25519:1", Private: ed25519.NewKeyFromSeed(seed)}
}

func (k *Key) public() ed25519.PublicKey { return k.Private.Public().(ed25519.PublicKey) }

func mustVersion(t testing.TB, name string) *RoomVersion {
	t.Helper()
	v, err := LookupVersion(name)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// Appendices, "JSON Signing".
func TestSignJSONVectors(t *testing.T) {
	key := testKey(t)
	for _, tc := range []struct{ name, in, want string }{
		{
			"empty", `{}`,
			`{"signatures":{"domain":{"ed25519:1":"K8280/U9SSy9IVtjBuVeLr+HpOB4BQFWbg+UZaADMtTdGYI7Geitb76LTrr5QV/7Xg4ahLwYGYZzuHGZKM5ZAQ"}}}`,
		},
		{
			"data", `{"one": 1, "two": "Two"}`,
			`{"one":1,"signatures":{"domain":{"ed25519:1":"KqmLSbO39/Bzb0QIYE82zqLwsA+PDzYIpIRA2sRQ4sL53+sN6/fpNSoqE7BP7vBZhG6kYdD13EIMJpvhJI+6Bw"}},"two":"Two"}`,
		},
		{
			"unsigned and the signatures of others stay, and are not covered",
			`{"unsigned":{"age":1},"signatures":{"z":{"ed25519:2":"x"},"domain":{"ed25519:0":"y","ed25519:1":"z"}}}`,
			`{"signatures":{"domain":{"ed25519:0":"y","ed25519:1":"K8280/U9SSy9IVtjBuVeLr+HpOB4BQFWbg+UZaADMtTdGYI7Geitb76LTrr5QV/7Xg4ahLwYGYZzuHGZKM5ZAQ"},"z":{"ed25519:2":"x"}},"unsigned":{"age":1}}`,
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := SignJSON([]byte(tc.in), key)
			if string(got) != tc.want || err != nil {
				t.Fatalf("got %s, %v, want %s", got, err, tc.want)
			}
			if err := VerifyJSON(got, "domain", "ed25519:1", key.public()); err != nil {
				t.Errorf("verify: %v", err)
			}
		})
	}
}

func TestVerifyJSONErrors(t *testing.T) {
	key := testKey(t)
	const sig = "K8280/U9SSy9IVtjBuVeLr+HpOB4BQFWbg+UZaADMtTdGYI7Geitb76LTrr5QV/7Xg4ahLwYGYZzuHGZKM5ZAQ"
	other := ed25519.NewKeyFromSeed(make([]byte, 32)).Public().(ed25519.PublicKey)
	for _, tc := range []struct {
		name, in, server, keyID string
		pub                     ed25519.PublicKey
		want                    error
	}{
		{"right", `{"signatures":{"domain":{"ed25519:1":"` + sig + `"}}}`, "domain", "ed25519:1", key.public(), nil},
		{"padded", `{"signatures":{"domain":{"ed25519:1":"` + sig + `=="}}}`, "domain", "ed25519:1", key.public(), nil},
		{"changed", `{"a":1,"signatures":{"domain":{"ed25519:1":"` + sig + `"}}}`, "domain", "ed25519:1", key.public(), ErrBadSignature},
		{"other server", `{"signatures":{"domain":{"ed25519:1":"` + sig + `"}}}`, "elsewhere", "ed25519:1", key.public(), ErrBadSignature},
		{"other key name", `{"signatures":{"domain":{"ed25519:1":"` + sig + `"}}}`, "domain", "ed25519:2", key.public(), ErrBadSignature},
		{"other key", `{"signatures":{"domain":{"ed25519:1":"` + sig + `"}}}`, "domain", "ed25519:1", other, ErrBadSignature},
		{"unknown algorithm", `{"signatures":{"domain":{"rsa:1":"` + sig + `"}}}`, "domain", "rsa:1", key.public(), ErrBadSignature},
		{"key of the wrong size", `{"signatures":{"domain":{"ed25519:1":"` + sig + `"}}}`, "domain", "ed25519:1", other[:31], ErrBadSignature},
		{"not base64", `{"signatures":{"domain":{"ed25519:1":"?"}}}`, "domain", "ed25519:1", key.public(), ErrBadSignature},
		{"not a string", `{"signatures":{"domain":{"ed25519:1":1}}}`, "domain", "ed25519:1", key.public(), ErrBadSignature},
		{"not objects", `{"signatures":{"domain":[]}}`, "domain", "ed25519:1", key.public(), ErrBadSignature},
		{"no signatures", `{}`, "domain", "ed25519:1", key.public(), ErrBadSignature},
		{"not an object", `[]`, "domain", "ed25519:1", key.public(), ErrBadJSON},
		{"not JSON", `{`, "domain", "ed25519:1", key.public(), ErrBadJSON},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if err := VerifyJSON([]byte(tc.in), tc.server, tc.keyID, tc.pub); !errors.Is(err, tc.want) {
				t.Errorf("got %v, want %v", err, tc.want)
			}
		})
	}
}

// Appendices, "Event Signing". The events are those of a version that protects origin from redaction.
func TestHashAndSignVectors(t *testing.T) {
	key := testKey(t)
	for _, tc := range []struct{ name, version, in, want string }{
		{
			"minimal", "10",
			`{"room_id": "!x:domain", "sender": "@a:domain", "origin": "domain", "origin_server_ts": 1000000, "signatures": {}, "hashes": {},
			 "type": "X", "content": {}, "prev_events": [], "auth_events": [], "depth": 3, "unsigned": {"age_ts": 1000000}}`,
			`{"auth_events":[],"content":{},"depth":3,"hashes":{"sha256":"5jM4wQpv6lnBo7CLIghJuHdW+s2CMBJPUOGOC89ncos"},"origin":"domain",` +
				`"origin_server_ts":1000000,"prev_events":[],"room_id":"!x:domain","sender":"@a:domain","signatures":{"domain":{"ed25519:1":` +
				`"KxwGjPSDEtvnFgU00fwFz+l6d2pJM6XBIaMEn81SXPTRl16AqLAYqfIReFGZlHi5KLjAWbOoMszkwsQma+lYAg"}},"type":"X","unsigned":{"age_ts":1000000}}`,
		},
		{
			"redactable content", "1",
			`{"content": {"body": "Here is the message content"}, "event_id": "$0:domain", "origin": "domain", "origin_server_ts": 1000000,
			 "type": "m.room.message", "room_id": "!r:domain", "sender": "@u:domain", "signatures": {}, "unsigned": {"age_ts": 1000000}}`,
			`{"content":{"body":"Here is the message content"},"event_id":"$0:domain","hashes":{"sha256":"onLKD1bGljeBWQhWZ1kaP9SorVmRQNdN5aM2JYU2n/g"},` +
				`"origin":"domain","origin_server_ts":1000000,"room_id":"!r:domain","sender":"@u:domain","signatures":{"domain":{"ed25519:1":` +
				`"Wm+VzmOUOz08Ds+0NTWb1d4CZrVsJSikkeRxh6aCcUwu6pNC78FunoD7KNWzqFn241eYHYMGCA5McEiVPdhzBA"}},"type":"m.room.message","unsigned":{"age_ts":1000000}}`,
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := HashAndSign(mustVersion(t, tc.version), []byte(tc.in), key)
			if string(got) != tc.want || err != nil {
				t.Errorf("got %s, %v\nwant %s", got, err, tc.want)
			}
		})
	}
}

func TestKeyMustBeUsable(t *testing.T) {
	good := testKey(t)
	for _, tc := range []struct {
		name string
		key  Key
	}{
		{"no private key", Key{ServerName: "domain", KeyID: "ed25519:1"}},
		{"other algorithm", Key{ServerName: "domain", KeyID: "rsa:1", Private: good.Private}},
		{"no server", Key{KeyID: "ed25519:1", Private: good.Private}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if _, err := SignJSON([]byte("{}"), &tc.key); !errors.Is(err, ErrBadKey) {
				t.Errorf("SignJSON: got %v, want ErrBadKey", err)
			}
			if _, err := messageBuilder().Build(mustVersion(t, "12"), &tc.key); !errors.Is(err, ErrBadKey) {
				t.Errorf("Build: got %v, want ErrBadKey", err)
			}
			if _, err := HashAndSign(mustVersion(t, "12"), []byte("{}"), &tc.key); !errors.Is(err, ErrBadKey) {
				t.Errorf("HashAndSign: got %v, want ErrBadKey", err)
			}
		})
	}
}
