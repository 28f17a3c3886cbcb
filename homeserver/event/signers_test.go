package event

import (
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"maunium.net/go/mautrix/id"
)

// Server-Server API, "Validating hashes and signatures on received events", and rule 5.2 of the authorisation rules.
func TestRequiredSigners(t *testing.T) {
	const invited = `{"membership":"invite","third_party_invite":{"signed":{}}}`
	for _, tc := range []struct {
		name, versions string
		evType         string
		eventID        id.EventID
		content        string
		want           []string
	}{
		{"message", "3 5 8 12", "m.room.message", "", `{}`, []string{"domain"}},
		{"message, event ID of the sender's server", "1 2", "m.room.message", "$x:domain", `{}`, []string{"domain"}},
		{"message, event ID of another server", "1 2", "m.room.message", "$x:other", `{}`, []string{"domain", "other"}},
		{"invite", "3 12", TypeMember, "", `{"membership":"invite"}`, []string{"domain"}},
		{"third-party invite", "3 7 8 12", TypeMember, "", invited, nil},
		{"third-party invite, event ID of another server", "1 2", TypeMember, "$x:other", invited, []string{"other"}},
		{"third-party invite, event ID of the sender's server", "1 2", TypeMember, "$x:domain", invited, nil},
		{"third-party invite that is null", "12", TypeMember, "", `{"membership":"invite","third_party_invite":null}`, nil},
		{"join with a third-party invite", "3 12", TypeMember, "", `{"membership":"join","third_party_invite":{}}`, []string{"domain"}},
		{"message with a third-party invite", "12", "m.room.message", "", invited, []string{"domain"}},
		{"authorised join", "8 9 10 11 12", TypeMember, "", `{"join_authorised_via_users_server":"@a:via","membership":"join"}`, []string{"domain", "via"}},
		{"authorised join before its time", "3 7", TypeMember, "", `{"join_authorised_via_users_server":"@a:via","membership":"join"}`, []string{"domain"}},
		{"join authorised by the own server", "12", TypeMember, "", `{"join_authorised_via_users_server":"@a:domain","membership":"join"}`, []string{"domain"}},
		{"authorised leave", "8 12", TypeMember, "", `{"join_authorised_via_users_server":"@a:via","membership":"leave"}`, []string{"domain", "via"}},
		{"authorised by no user", "8 12", TypeMember, "", `{"join_authorised_via_users_server":"via","membership":"join"}`, []string{"domain", ""}},
		{"authorised by a number", "8 12", TypeMember, "", `{"join_authorised_via_users_server":1,"membership":"join"}`, []string{"domain", ""}},
		{"authorised message", "12", "m.room.message", "", `{"join_authorised_via_users_server":"@a:via"}`, []string{"domain"}},
	} {
		for _, v := range Versions() {
			if !slices.Contains(strings.Fields(tc.versions), v.ID) {
				continue
			}
			t.Run(v.ID+" "+tc.name, func(t *testing.T) {
				p := withContent(t, v.ID, tc.evType, tc.content)
				p.EventID = tc.eventID
				if got := p.RequiredSigners(); !slices.Equal(got, tc.want) {
					t.Errorf("got %q, want %q", got, tc.want)
				}
			})
		}
	}
}

// testKeys is a ring of the keys of several servers, and of what it was asked for.
type testKeys struct {
	keys  map[string]ed25519.PublicKey // by server and key ID
	until map[string]int64
	asked []string
}

func (k *testKeys) find(server, keyID string) (ed25519.PublicKey, int64, bool) {
	name := server + " " + keyID
	k.asked = append(k.asked, name)
	pub, ok := k.keys[name]
	return pub, k.until[name], ok
}

// newTestKey makes a key that differs with its name, and adds it to the ring, valid until validUntilTS.
func (k *testKeys) newTestKey(server, keyID string, validUntilTS int64) *Key {
	var seed [ed25519.SeedSize]byte
	copy(seed[:], server+keyID)
	key := &Key{ServerName: server, KeyID: keyID, Private: ed25519.NewKeyFromSeed(seed[:])}
	if k.keys == nil {
		k.keys, k.until = make(map[string]ed25519.PublicKey), make(map[string]int64)
	}
	k.keys[server+" "+keyID], k.until[server+" "+keyID] = key.public(), validUntilTS
	return key
}

// Server-Server API, "Validating hashes and signatures on received events"; room version 5, "Signing key validity period".
func TestCheckSignatures(t *testing.T) {
	const sentTS = 1700000000000
	ring := &testKeys{}
	good, second := ring.newTestKey("domain", "ed25519:good", sentTS), ring.newTestKey("domain", "ed25519:second", sentTS)
	expired := ring.newTestKey("domain", "ed25519:expired", sentTS-1)
	via := ring.newTestKey("via", "ed25519:1", sentTS)
	unknown := (&testKeys{}).newTestKey("domain", "ed25519:unknown", sentTS)
	lying := *unknown // signs in the name of a key that is another
	lying.KeyID = good.KeyID
	lyingExpired := *unknown
	lyingExpired.KeyID = expired.KeyID
	policy := (&testKeys{}).newTestKey("domain", "ed25519:policy_server", sentTS)
	other := ring.newTestKey("other", "ed25519:1", sentTS)
	for _, tc := range []struct {
		name, version string
		via           bool // it is a join that via authorised
		signers       []*Key
		ok            bool
	}{
		{"signed", "12", false, []*Key{good}, true},
		{"signed twice", "12", false, []*Key{good, second}, true},
		{"unknown key", "12", false, []*Key{unknown}, false},
		{"unknown key besides", "12", false, []*Key{unknown, good}, true},
		{"policy server's key besides", "12", false, []*Key{good, policy}, true},
		{"expired key", "12", false, []*Key{expired}, false},
		{"expired key", "5", false, []*Key{expired}, false},
		{"expired key before it mattered", "4", false, []*Key{expired}, true},
		{"expired key before it mattered", "1", false, []*Key{expired}, true},
		{"expired key besides", "12", false, []*Key{expired, good}, true},
		{"wrong signature", "12", false, []*Key{&lying}, false},
		{"wrong signature besides", "12", false, []*Key{second, &lying}, false},
		{"wrong signature by an expired key besides", "12", false, []*Key{second, &lyingExpired}, true},
		{"wrong signature by an expired key", "4", false, []*Key{second, &lyingExpired}, false},
		{"other server's signature", "12", false, []*Key{other}, false},
		{"other server's signature besides", "12", false, []*Key{good, other}, true},
		{"authorised", "12", true, []*Key{good, via}, true},
		{"authorised, but not signed so", "12", true, []*Key{good}, false},
		{"authorised, but not signed by the sender", "12", true, []*Key{via}, false},
		{"authorised before its time", "7", true, []*Key{good}, true},
	} {
		t.Run(tc.version+" "+tc.name, func(t *testing.T) {
			p := unsignedEvent(t, tc.version, tc.via, sentTS)
			for _, key := range tc.signers {
				var err error
				if p, err = p.Sign(key); err != nil {
					t.Fatal(err)
				}
			}
			err := CheckSignatures(p, ring.find)
			if (err == nil) != tc.ok || err != nil && !errors.Is(err, ErrBadSignature) {
				t.Errorf("got %v, want it accepted: %v", err, tc.ok)
			}
			redacted, _ := p.Redact()
			if err := CheckSignatures(redacted, ring.find); (err == nil) != tc.ok && !tc.via {
				t.Errorf("redacted: got %v, want it accepted: %v", err, tc.ok)
			}
		})
	}
}

// unsignedEvent is an event of @alice:domain with no signatures.
func unsignedEvent(t *testing.T, version string, via bool, sentTS int64) *PDU {
	t.Helper()
	v := mustVersion(t, version)
	b := messageBuilder()
	b.RoomID, b.OriginServerTS, b.PrevEvents, b.AuthEvents = testRoomOf(v), sentTS, nil, nil
	if via {
		b.Type, b.StateKey = TypeMember, stateKey("@alice:domain")
		b.Content = json.RawMessage(`{"membership":"join","join_authorised_via_users_server":"@a:via"}`)
	}
	p, err := b.Build(v, testKey(t))
	if err != nil {
		t.Fatal(err)
	}
	if p, err = ParseTrusted(v, p.EventID, withMember(nil, p.JSON(), "signatures", []byte("{}"))); err != nil {
		t.Fatal(err)
	}
	return p
}

// A stranger can make us look for no more than so many keys.
func TestCheckSignaturesIsBounded(t *testing.T) {
	for _, tc := range []struct {
		name            string
		own, foreign, n int // signatures by the sender's server and by another; keys that are looked for
	}{
		{"as many as there may be", maxServerSignatures, 0, maxServerSignatures},
		{"more", maxServerSignatures + 1, 0, 0},
		{"of others", 1, 500, 1},
		{"none", 0, 500, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := unsignedEvent(t, "12", false, 1)
			own, foreign := []byte("{}"), []byte("{}")
			for i := range tc.own {
				own = withMember(nil, own, fmt.Sprintf("ed25519:%05d", i), []byte(`"AAAA"`))
			}
			for i := range tc.foreign {
				foreign = withMember(nil, foreign, fmt.Sprintf("ed25519:%05d", i), []byte(`"AAAA"`))
			}
			all := withMember(nil, withMember(nil, []byte("{}"), "domain", own), "foreign", foreign)
			p, err := ParseTrusted(p.Version, p.EventID, withMember(nil, p.JSON(), "signatures", all))
			if err != nil {
				t.Fatal(err)
			}
			ring := &testKeys{}
			if err := CheckSignatures(p, ring.find); !errors.Is(err, ErrBadSignature) {
				t.Errorf("got %v, want ErrBadSignature", err)
			}
			if len(ring.asked) != tc.n {
				t.Errorf("got %d keys looked for, want %d", len(ring.asked), tc.n)
			}
		})
	}
}

func TestSignedByAny(t *testing.T) {
	key := testKey(t)
	other := (&testKeys{}).newTestKey("x", "ed25519:1", 0)
	signed, err := SignJSON([]byte(`{"token":"t","unsigned":{"a":1}}`), key)
	if err != nil {
		t.Fatal(err)
	}
	both, err := SignJSON(signed, other)
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name  string
		obj   string
		keys  []ed25519.PublicKey
		limit int
		want  bool
	}{
		{"right", string(signed), []ed25519.PublicKey{key.public()}, 1, true},
		{"other key", string(signed), []ed25519.PublicKey{other.public()}, 9, false},
		{"one of two keys", string(signed), []ed25519.PublicKey{other.public(), key.public()}, 2, true},
		{"past the limit", string(signed), []ed25519.PublicKey{other.public(), key.public()}, 1, false},
		{"one of two signatures", string(both), []ed25519.PublicKey{other.public()}, 2, true},
		{"key of the wrong size", string(signed), []ed25519.PublicKey{key.public()[:31]}, 9, false},
		{"changed", `{"a":1,` + string(signed[1:]), []ed25519.PublicKey{key.public()}, 9, false},
		{"no keys", string(signed), nil, 9, false},
		{"no signatures", `{"a":1}`, []ed25519.PublicKey{key.public()}, 9, false},
		{"odd signatures", `{"signatures":{"a":1,"b":{"c":2,"d":"?"},"e":[]}}`, []ed25519.PublicKey{key.public()}, 9, false},
		{"not an object", `[]`, []ed25519.PublicKey{key.public()}, 9, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := SignedByAny([]byte(tc.obj), tc.keys, tc.limit); got != tc.want {
				t.Errorf("got %v, want %v", got, tc.want)
			}
		})
	}
}
