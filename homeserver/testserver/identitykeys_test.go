package testserver_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

// TestUploadedSignatures is POST /keys/upload with signatures that are wrong, and with keys in the place of a device's own.
func TestUploadedSignatures(t *testing.T) {
	each(t, "alice bob", func(s *script) {
		s.devices("alice", "bob")
		const post = "alice POST /keys/upload"
		bad := func(name, body, want string) step {
			return step{name: name, request: post, body: body, status: 400, want: want}
		}
		keys := func(object string) string { return `{"device_keys":` + object + `}` }
		one := func(object string) string { return `{"one_time_keys":{"signed_curve25519:A":` + object + `}}` }
		last := func(object string) string { return `{"fallback_keys":{"signed_curve25519:A":` + object + `}}` }
		id := "ed25519:" + s.words["alice device"]
		mine, stranger := private("device alice"), private("stranger")
		other := strings.ReplaceAll(s.unsignedKeys("alice", "0"), public("device alice"), public("stranger"))
		s.run([]step{
			bad("one-time keys of a device without keys", one(s.signedKey("alice", "k")), "M_INVALID_SIGNATURE"),
			bad("signed by another key", keys(s.sign(s.unsignedKeys("alice", "0"), s.words["alice"], id, stranger)), "M_INVALID_SIGNATURE"),
			bad("changed after it was signed", keys(strings.Replace(s.deviceKeys("alice", "0"), `"C0"`, `"C1"`, 1)), "M_INVALID_SIGNATURE"),
			bad("another user's keys, signed by them", keys(s.deviceKeys("bob", "0")), "M_INVALID_PARAM"),
			bad("user_id in other letters", keys(s.sign(strings.Replace(s.unsignedKeys("alice", "0"), `"user_id"`, `"User_id"`, 1), s.words["alice"], id, mine)), "M_BAD_JSON"),
			bad("keys with a second field of nearly that name", keys(strings.Replace(s.deviceKeys("alice", "0"), "{", `{"keyſ":{"ed25519:x":"y"},`, 1)), "M_INVALID_SIGNATURE"),
			{name: "not signed", request: post, body: keys(s.unsignedKeys("alice", "0")), status: 200, want: "one_time_key_counts:object"},
			{name: "another key where nothing was signed", request: post, body: keys(other), status: 200, want: "one_time_key_counts:object"},
			{name: "signed", request: post, body: keys(s.deviceKeys("alice", "0")), status: 200, want: "one_time_key_counts:object"},
			{name: "again", request: post, body: keys(s.deviceKeys("alice", "0")), status: 200, want: "one_time_key_counts:object"},
			bad("another key of the device, not signed", keys(other), "M_INVALID_PARAM"),
			bad("another key of the device, signed", keys(s.sign(other, s.words["alice"], id, stranger)), "M_INVALID_PARAM"),
			bad("another key beside it, not signed", keys(s.unsignedKeys("alice", "1")), "M_INVALID_SIGNATURE"),
			{name: "another key beside it, signed by the device", request: post, body: keys(s.deviceKeys("alice", "1")), status: 200, want: "one_time_key_counts:object"},
			{name: "with signatures of strangers", request: post, body: keys(s.sign(s.deviceKeys("alice", "2"), s.words["bob"], "ed25519:x", stranger)), status: 200, want: "one_time_key_counts:object"},
			{name: "which are not passed on", request: "bob POST /keys/query", body: `{"device_keys":{"<alice>":[]}}`, status: 200,
				want: "device_keys/<alice>/<alice device>/signatures/<bob>:absent device_keys/<alice>/<alice device>/signatures/<alice>/" + id + ":string device_keys/<alice>/<alice device>/keys/" + id + "=" + public("device alice")},

			bad("a one-time key that is not signed", one(`{"key":"k"}`), "M_INVALID_SIGNATURE"),
			bad("a string for a key that has to be signed", one(`"k"`), "M_INVALID_SIGNATURE"),
			bad("signed by another key", one(s.sign(`{"key":"k"}`, s.words["alice"], id, stranger)), "M_INVALID_SIGNATURE"),
			bad("signed by another's device", one(s.signedKey("bob", "k")), "M_INVALID_SIGNATURE"),
			bad("another key than was signed", one(strings.Replace(s.signedKey("alice", "k"), `"k"`, `"l"`, 1)), "M_INVALID_SIGNATURE"),
			bad("a fallback key by another", last(s.sign(`{"key":"k","fallback":true}`, s.words["alice"], id, stranger)), "M_INVALID_SIGNATURE"),
			bad("a one-time key as a fallback key", last(strings.Replace(s.signedKey("alice", "k"), "{", `{"fallback":true,`, 1)), "M_INVALID_SIGNATURE"),
			bad("a wrong signature where none is needed", `{"one_time_keys":{"other:A":`+s.sign(`{"key":"k"}`, s.words["alice"], id, stranger)+`}}`, "M_INVALID_SIGNATURE"),
			{name: "nothing of it is stored", request: post, body: `{}`, status: 200, want: "one_time_key_counts/signed_curve25519=0 one_time_key_counts/other:absent"},
			{name: "a right one", request: post, body: one(s.signedKey("alice", "k")), status: 200, want: "one_time_key_counts/signed_curve25519=1"},
			{name: "a fallback key", request: post, body: last(s.byDevice(`{"key":"k","fallback":true}`, "alice")), status: 200, want: "one_time_key_counts:object"},
			{name: "one that need not be signed", request: post, body: `{"one_time_keys":{"other:A":{"key":"k"}}}`, status: 200, want: "one_time_key_counts/other=1"},
		})
	})
}

// TestSignedDevice has the self-signing key sign a device, by /keys/upload too, and looks what becomes of that.
func TestSignedDevice(t *testing.T) {
	each(t, "alice bob", func(s *script) {
		s.devices("alice", "bob")
		s.crossSign("alice")
		bySelf := func(salt, round string) string {
			return s.bySigningKey(s.deviceKeys("alice", salt), "alice", "self_signing", round)
		}
		const post, signatures = "alice POST /keys/upload", "device_keys/<alice>/<alice device>/signatures/<alice>/ed25519:"
		is := func(what, want string) {
			s.t.Helper()
			s.must(what, s.get("bob POST /keys/query", `{"device_keys":{"<alice>":[]}}`), s.fill(signatures+public("self_signing alice 1")+want, func(v string) string { return v }))
		}
		s.get(post, `{"device_keys":`+bySelf("0", "2")+`}`)
		is("signed by a key that is none", ":absent")
		s.must("wrongly signed", decode(s.t, s.ask(post, `{"device_keys":`+s.sign(s.deviceKeys("alice", "0"), s.words["alice"], "ed25519:"+public("self_signing alice 1"), private("stranger"))+`}`).Body), "M_INVALID_SIGNATURE")
		s.since("alice", "")
		s.get(post, `{"device_keys":`+bySelf("0", "1")+`}`)
		is("signed", ":string")
		s.must("it is news", s.since("alice", ""), "device_lists/changed/0="+s.words["alice"])
		s.get(post, `{"device_keys":`+bySelf("0", "1")+`}`)
		s.get(post, `{"device_keys":`+s.deviceKeys("alice", "0")+`}`)
		is("the same keys without it", ":string")
		s.must("it is no news", s.since("alice", ""), "device_lists/changed:empty")
		s.get(post, `{"device_keys":`+s.deviceKeys("alice", "1")+`}`)
		is("of other keys", ":absent")
		s.get(post, `{"device_keys":`+bySelf("1", "1")+`}`)
		s.get(uploadSignatures, `{"<alice>":{"`+public("master alice 1")+`":`+s.byDevice(s.signingKey("alice", "master", "1"), "alice")+`}}`)
		is("signed again", ":string")

		// A device that goes takes along what it signed, and does not have it when it comes back.
		device := s.words["alice device"]
		s.must("the device has signed", s.get("bob POST /keys/query", `{"device_keys":{"<alice>":[]}}`), "master_keys/"+s.words["alice"]+"/signatures/"+s.words["alice"]+"/ed25519:"+device+":string")
		s.get("alice POST /logout", "")
		s.must("the device is gone", s.get("bob POST /keys/query", `{"device_keys":{"<alice>":[]}}`), "master_keys/"+s.words["alice"]+"/signatures:absent device_keys/"+s.words["alice"]+"={}")
		s.tokens["alice"] = s.text("nobody POST /login", `{"type":"m.login.password","identifier":{"type":"m.id.user","user":"<alice>"},"password":"correct horse battery","device_id":"<alice device>"}`, "access_token")
		s.get(post, `{"device_keys":`+strings.ReplaceAll(s.unsignedKeys("alice", "0"), public("device alice"), public("stranger"))+`}`)
		is("it comes back with another key", ":absent")
	})
}

// TestSecretStorage has the types of secret storage for account data. Client-Server API, "Secrets": the server only keeps them.
func TestSecretStorage(t *testing.T) {
	each(t, "alice bob", func(s *script) {
		contents := map[string]string{
			"m.secret_storage.default_key":        `{"key":"abc"}`,
			"m.secret_storage.key.abc":            `{"algorithm":"m.secret_storage.v1.aes-hmac-sha2","iv":"aXY","mac":"bWFj","passphrase":{"algorithm":"m.pbkdf2","iterations":500000,"salt":"s"}}`,
			"m.cross_signing.master":              `{"encrypted":{"abc":{"ciphertext":"Yw","iv":"aXY","mac":"bWFj"}}}`,
			"m.cross_signing.self_signing":        `{"encrypted":{"abc":{"ciphertext":"ZA","iv":"aXY","mac":"bWFj"}}}`,
			"m.cross_signing.user_signing":        `{"encrypted":{"abc":{"ciphertext":"ZQ","iv":"aXY","mac":"bWFj"}}}`,
			"m.megolm_backup.v1":                  `{"encrypted":{"abc":{"ciphertext":"Zg","iv":"aXY","mac":"bWFj"}}}`,
			"org.matrix.msc3814":                  `{"encrypted":{"abc":{"ciphertext":"Zw","iv":"aXY","mac":"bWFj"}}}`,
			"m.secret_storage.key.with spaces/ü%": `{"algorithm":"x"}`,
		}
		s.since("alice", "")
		for name, content := range contents {
			s.words["type"] = name
			s.get("alice PUT /user/<alice>/account_data/<type>", content)
			if got, want := plain(s.get("alice GET /user/<alice>/account_data/<type>", "")), plain(decode(s.t, []byte(content))); got != want {
				s.t.Errorf("%s: got %s, want %s", name, got, want)
			}
			if a := s.ask("bob GET /user/<alice>/account_data/<type>", ""); a.Code() != "M_FORBIDDEN" {
				s.t.Errorf("%s: another user got %s", name, a.Body)
			}
		}
		got := make(map[string]string)
		for _, e := range at(s.since("alice", ""), "account_data/events/*") {
			content, err := json.Marshal(at(e, "content")[0])
			if err != nil {
				s.t.Fatal(err)
			}
			got[fmt.Sprint(at(e, "type")[0])] = string(content)
		}
		for name, content := range contents {
			if want := plain(decode(s.t, []byte(content))); got[name] != want {
				s.t.Errorf("synced %s: got %s, want %s", name, got[name], want)
			}
		}
		s.must("another user", s.since("bob", ""), "account_data:object")
	})
}
