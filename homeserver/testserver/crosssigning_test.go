package testserver_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"causeway/homeserver"
	"causeway/homeserver/httpapi"
)

const uploadSigning, uploadSignatures = "alice POST /keys/device_signing/upload", "alice POST /keys/signatures/upload"

// TestSigningKeys is POST /keys/device_signing/upload: what keys are taken.
func TestSigningKeys(t *testing.T) {
	each(t, "alice bob", func(s *script) {
		s.uploadDevice("alice", "bob")
		master := s.signingKey("alice", "master", "1")
		self := s.bySigningKey(s.signingKey("alice", "self_signing", "1"), "alice", "master", "1")
		bad := func(name, body, want string) step {
			return step{name: name, request: uploadSigning, body: body, status: 400, want: want}
		}
		s.run([]step{
			{name: "no token", request: "nobody POST /keys/device_signing/upload", body: `{}`, status: 401, want: "M_MISSING_TOKEN"},
			bad("nothing, when there is nothing", `{}`, "M_MISSING_PARAM"),
			bad("without a master key", `{"self_signing_key":`+self+`}`, "M_MISSING_PARAM"),
			bad("no object", `{"master_key":"x"}`, "M_BAD_JSON"),
			bad("no usage", `{"master_key":{"user_id":"<alice>","keys":{}}}`, "M_BAD_JSON"),
			bad("a number for a key", `{"master_key":{"user_id":"<alice>","usage":["master"],"keys":{"ed25519:x":7}}}`, "M_BAD_JSON"),
			bad("a float", `{"master_key":`+strings.Replace(master, "{", `{"x":1.5,`, 1)+`}`, "M_BAD_JSON"),
			bad("no key", `{"master_key":{"user_id":"<alice>","usage":["master"],"keys":{}}}`, "M_INVALID_PARAM"),
			bad("two keys", `{"master_key":`+strings.Replace(master, `"keys":{`, `"keys":{"ed25519:`+public("x")+`":"`+public("x")+`",`, 1)+`}`, "M_INVALID_PARAM"),
			bad("another user's", `{"master_key":`+s.signingKey("bob", "master", "1")+`}`, "M_INVALID_PARAM"),
			bad("another usage", `{"master_key":`+s.signingKey("alice", "self_signing", "1")+`}`, "M_INVALID_PARAM"),
			bad("every usage", `{"master_key":`+strings.Replace(master, `["master"]`, `["master","self_signing"]`, 1)+`}`, "M_INVALID_PARAM"),
			bad("another name", `{"master_key":`+strings.Replace(master, `"ed25519:`, `"ed25519:A`, 1)+`}`, "M_INVALID_PARAM"),
			bad("another algorithm", `{"master_key":`+strings.Replace(master, `"ed25519:`, `"curve25519:`, 1)+`}`, "M_INVALID_PARAM"),
			bad("padded", `{"master_key":`+strings.ReplaceAll(master, public("master alice 1"), public("master alice 1")+"=")+`}`, "M_INVALID_PARAM"),
			bad("no base64", `{"master_key":`+strings.ReplaceAll(master, public("master alice 1"), "????")+`}`, "M_INVALID_PARAM"),
			bad("a name in other letters", `{"master_key":`+strings.Replace(master, `"usage"`, `"USAGE"`, 1)+`}`, "M_BAD_JSON"),
			{name: "too large", request: uploadSigning, body: `{"master_key":` + strings.Replace(master, "{", `{"x":"`+strings.Repeat("x", 17<<10)+`",`, 1) + `}`, status: 413, want: "M_TOO_LARGE"},
			bad("a self-signing key that is not signed", `{"master_key":`+master+`,"self_signing_key":`+s.signingKey("alice", "self_signing", "1")+`}`, "M_INVALID_SIGNATURE"),
			bad("one that another master key signed", `{"master_key":`+master+`,"self_signing_key":`+s.bySigningKey(s.signingKey("alice", "self_signing", "1"), "alice", "master", "2")+`}`, "M_INVALID_SIGNATURE"),
			bad("one with another's signature", `{"master_key":`+master+`,"self_signing_key":`+s.sign(s.signingKey("alice", "self_signing", "1"), s.words["bob"], "ed25519:"+public("master alice 1"), private("master alice 1"))+`}`, "M_INVALID_SIGNATURE"),
			bad("one that was changed", `{"master_key":`+master+`,"self_signing_key":`+strings.Replace(self, "{", `{"x":1,`, 1)+`}`, "M_INVALID_SIGNATURE"),
			bad("a master key with a wrong signature by a device", `{"master_key":`+strings.Replace(s.byDevice(master, "alice"), "{", `{"x":1,`, 1)+`}`, "M_INVALID_SIGNATURE"),
			bad("the same key twice", `{"master_key":`+master+`,"self_signing_key":`+s.bySigningKey(strings.Replace(master, "master", "self_signing", 1), "alice", "master", "1")+`}`, "M_INVALID_PARAM"),
			{name: "nothing was stored", request: "bob POST /keys/query", body: `{"device_keys":{"<alice>":[]}}`, status: 200, want: "master_keys={} self_signing_keys={} user_signing_keys={}"},
			{name: "the first keys", request: uploadSigning, body: s.signingKeys("alice", "1", "1", allUsages...), status: 200, want: "{}"},
			{name: "the same", request: uploadSigning, body: s.signingKeys("alice", "1", "1", allUsages...), status: 200, want: "{}"},
			{name: "one of the same", request: uploadSigning, body: s.signingKeys("alice", "1", "1", "user_signing"), status: 200, want: "{}"},
			{name: "nothing", request: uploadSigning, body: `{}`, status: 200, want: "{}"},
		})
		s.words["login"] = `{"type":"m.login.password","identifier":{"type":"m.id.user","user":"<alice>"},"password":"correct horse battery","device_id":"` + public("self_signing alice 1") + `"}`
		s.must("a device of the name of a key", decode(s.t, s.ask("nobody POST /login", s.words["login"]).Body), "M_INVALID_PARAM")
	})
}

// TestReplaceSigningKeys is POST /keys/device_signing/upload where there are keys: what the user has to confirm, and what goes.
func TestReplaceSigningKeys(t *testing.T) {
	each(t, "alice bob", func(s *script) {
		s.uploadDevice("alice", "bob")
		s.crossSign("alice", "bob")
		s.get(uploadSignatures, `{"<alice>":{"<alice device>":`+s.bySigningKey(s.deviceKeys("alice", "0"), "alice", "self_signing", "1")+`},
			"<bob>":{"`+public("master bob 1")+`":`+s.bySigningKey(s.signingKey("bob", "master", "1"), "alice", "user_signing", "1")+`}}`)
		query := func(want string) {
			s.t.Helper()
			s.must("keys", s.get("alice POST /keys/query", `{"device_keys":{"<alice>":[],"<bob>":[]}}`), s.fill(want, func(v string) string { return v }))
		}
		s.words["self1"], s.words["user1"] = public("self_signing alice 1"), public("user_signing alice 1")
		s.words["self2"], s.words["master1"], s.words["master2"] = public("self_signing alice 2"), public("master alice 1"), public("master alice 2")
		bySelf, byUser := "device_keys/<alice>/<alice device>/signatures/<alice>/ed25519:<self1>", "master_keys/<bob>/signatures/<alice>/ed25519:<user1>"
		query(bySelf + ":string " + byUser + ":string")
		self2 := s.signingKeys("alice", "2", "1", "self_signing")
		reset := s.signingKeys("alice", "2", "2", "master", "self_signing")
		challenge := "flows/0/stages/0=m.login.password session:string params:object"
		s.run([]step{
			{name: "another self-signing key", request: uploadSigning, body: self2, status: 401, want: challenge, keep: "session=session"},
			{name: "the wrong password", request: uploadSigning, body: strings.Replace(s.withPassword(self2, "alice"), "correct", "wrong", 1), status: 401, want: "errcode=M_FORBIDDEN " + challenge},
			{name: "another user's password", request: uploadSigning, body: s.withPassword(self2, "bob"), status: 403, want: "M_FORBIDDEN"},
			{name: "not signed", request: uploadSigning, body: s.withPassword(s.signingKeys("alice", "2", "2", "self_signing"), "alice"), status: 400, want: "M_INVALID_SIGNATURE"},
			{name: "a key of another usage", request: uploadSigning, body: strings.Replace(s.withPassword(`{"self_signing_key":`+s.bySigningKey(strings.Replace(s.signingKey("alice", "user_signing", "1"), "user_signing", "self_signing", 1), "alice", "master", "1")+`}`, "alice"), `"auth":{`, `"auth":{"session":"<session>",`, 1), status: 400, want: "M_INVALID_PARAM"},
			{name: "with the password", request: uploadSigning, body: s.withPassword(self2, "alice"), status: 200, want: "{}"},
			{name: "the same again", request: uploadSigning, body: self2, status: 200, want: "{}"},
		})
		query("self_signing_keys/<alice>/keys/ed25519:<self2>=<self2> " + bySelf + ":absent " + byUser + ":string")
		s.run([]step{
			{name: "another master key", request: uploadSigning, body: reset, status: 401, want: challenge},
			{name: "by a session that was completed for something else", request: uploadSigning, body: strings.Replace(reset, "{", `{"auth":{"session":"<session>"},`, 1), status: 401, want: challenge},
			{name: "with the password", request: uploadSigning, body: s.withPassword(reset, "alice"), status: 200, want: "{}"},
		})
		// What the old master key signed is gone with it.
		query("master_keys/<alice>/keys/ed25519:<master2>=<master2> self_signing_keys/<alice>/signatures/<alice>/ed25519:<master2>:string user_signing_keys/<alice>:absent " + byUser + ":absent")
		s.must("sound", s.get("alice POST /keys/query", `{"device_keys":{"<bob>":[]}}`), "user_signing_keys={}")
	})
}

// TestTwoResets has many replace a user's keys at once, and many upload the first: one set is there in the end, whole, and of the first
// uploads without a password one was taken.
func TestTwoResets(t *testing.T) {
	const rounds = 6
	each(t, "alice", func(s *script) {
		s.uploadDevice("alice")
		race := func(body func(round string) string) (taken int) {
			var (
				wg sync.WaitGroup
				mu sync.Mutex
			)
			bodies := make([]string, rounds)
			for i := range bodies {
				bodies[i] = body(fmt.Sprint(i + 10))
			}
			for _, body := range bodies {
				wg.Go(func() {
					a := s.Do("POST", "/_matrix/client/v3/keys/device_signing/upload", s.tokens["alice"], body)
					mu.Lock()
					defer mu.Unlock()
					if a.Status == http.StatusOK {
						taken++
					} else if a.Status != http.StatusUnauthorized {
						s.t.Errorf("got %d %s", a.Status, a.Body)
					}
				})
			}
			wg.Wait()
			return taken
		}
		whole := func() {
			s.t.Helper()
			v := s.get("alice POST /keys/query", `{"device_keys":{"<alice>":[]}}`)
			for name := range at(v, "master_keys/"+s.words["alice"]+"/keys")[0].(map[string]any) {
				for _, usage := range []string{"self_signing", "user_signing"} {
					if problem := check(v, usage+"_keys/"+s.words["alice"]+"/signatures/"+s.words["alice"]+"/"+name+":string"); problem != "" {
						s.t.Error(problem)
					}
				}
			}
		}
		if taken := race(func(round string) string { return s.signingKeys("alice", round, round, allUsages...) }); taken != 1 {
			s.t.Errorf("%d first uploads were taken, want 1", taken)
		}
		whole()
		taken := race(func(round string) string {
			return s.withPassword(s.signingKeys("alice", "r"+round, "r"+round, allUsages...), "alice")
		})
		if taken != rounds {
			s.t.Errorf("%d resets with the password were taken, want %d", taken, rounds)
		}
		whole()
	})
}

// TestSignatures is POST /keys/signatures/upload: which signatures are taken.
func TestSignatures(t *testing.T) {
	each(t, "alice bob carol", func(s *script) {
		s.uploadDevice("alice", "bob", "carol")
		s.words["bob master"], s.words["alice master"] = public("master bob 1"), public("master alice 1")
		device, master, bobs := s.deviceKeys("alice", "0"), s.signingKey("alice", "master", "1"), s.signingKey("bob", "master", "1")
		ofDevice := func(object string) string { return `{"<alice>":{"<alice device>":` + object + `}}` }
		ofMaster := func(object string) string { return `{"<alice>":{"<alice master>":` + object + `}}` }
		ofBob := func(object string) string { return `{"<bob>":{"<bob master>":` + object + `}}` }
		one := func(name, body, failure, code string) step {
			want := "failures/" + failure + "/errcode=" + code + " failures/" + failure + "/error:string"
			if failure == "" {
				want = "failures={}"
			}
			return step{name: name, request: uploadSignatures, body: body, status: 200, want: want}
		}
		const d, m, b = "<alice>/<alice device>", "<alice>/<alice master>", "<bob>/<bob master>"
		s.run([]step{
			{name: "no token", request: "nobody POST /keys/signatures/upload", body: `{}`, status: 401, want: "M_MISSING_TOKEN"},
			{name: "no object", request: uploadSignatures, body: `{"<alice>":[]}`, status: 400, want: "M_BAD_JSON"},
			one("before there are keys", ofDevice(s.bySigningKey(device, "alice", "self_signing", "1")), d, "M_NOT_FOUND"),
			one("of another's before there are keys", ofBob(s.bySigningKey(bobs, "alice", "user_signing", "1")), b, "M_NOT_FOUND"),
		})
		s.crossSign("alice", "bob", "carol")
		s.run([]step{
			one("nothing", `{}`, "", ""),
			one("no signature", ofDevice(device), d, "M_INVALID_SIGNATURE"),
			one("no key", ofDevice(`7`), d, "M_BAD_JSON"),
			one("by the master key", ofDevice(s.bySigningKey(device, "alice", "master", "1")), d, "M_INVALID_SIGNATURE"),
			one("by the user-signing key", ofDevice(s.bySigningKey(device, "alice", "user_signing", "1")), d, "M_INVALID_SIGNATURE"),
			one("by another's self-signing key", ofDevice(s.bySigningKey(device, "bob", "self_signing", "1")), d, "M_INVALID_SIGNATURE"),
			one("by a stranger who calls the key so", ofDevice(s.sign(device, s.words["alice"], "ed25519:"+public("self_signing alice 1"), private("stranger"))), d, "M_INVALID_SIGNATURE"),
			one("of other keys", ofDevice(s.bySigningKey(s.deviceKeys("alice", "9"), "alice", "self_signing", "1")), d, "M_INVALID_SIGNATURE"),
			one("of another device", `{"<alice>":{"OTHER":`+s.bySigningKey(device, "alice", "self_signing", "1")+`}}`, "<alice>/OTHER", "M_NOT_FOUND"),
			one("of another user's device", `{"<bob>":{"<bob device>":`+s.bySigningKey(s.deviceKeys("bob", "0"), "alice", "self_signing", "1")+`}}`, "<bob>/<bob device>", "M_NOT_FOUND"),
			one("another user's device for one's own", ofDevice(s.bySigningKey(s.deviceKeys("bob", "0"), "alice", "self_signing", "1")), d, "M_INVALID_SIGNATURE"),
			one("of nobody's", `{"@none:test":{"x":`+s.bySigningKey(bobs, "alice", "user_signing", "1")+`}}`, "@none:test/x", "M_NOT_FOUND"),
			one("of a user elsewhere", `{"@x:else.where":{"x":`+s.bySigningKey(bobs, "alice", "user_signing", "1")+`}}`, "@x:else.where/x", "M_NOT_FOUND"),
			one("of the own master key by nobody", ofMaster(master), m, "M_INVALID_SIGNATURE"),
			one("of it by another's device", ofMaster(s.byDevice(master, "bob")), m, "M_INVALID_SIGNATURE"),
			one("of it by what is no device", ofMaster(s.sign(master, s.words["alice"], "ed25519:NONE", private("device alice"))), m, "M_INVALID_SIGNATURE"),
			one("of it by another key of the device's name", ofMaster(s.sign(master, s.words["alice"], "ed25519:"+s.words["alice device"], private("stranger"))), m, "M_INVALID_SIGNATURE"),
			one("of another's by one's self-signing key", ofBob(s.bySigningKey(bobs, "alice", "self_signing", "1")), b, "M_INVALID_SIGNATURE"),
			one("of another's that was changed", ofBob(s.bySigningKey(strings.Replace(bobs, "{", `{"x":1,`, 1), "alice", "user_signing", "1")), b, "M_INVALID_SIGNATURE"),
			one("of another's by a third", ofBob(s.bySigningKey(bobs, "carol", "user_signing", "1")), b, "M_INVALID_SIGNATURE"),
			one("of another's self-signing key", `{"<bob>":{"`+public("self_signing bob 1")+`":`+s.bySigningKey(s.signingKey("bob", "self_signing", "1"), "alice", "user_signing", "1")+`}}`,
				"<bob>/"+public("self_signing bob 1"), "M_NOT_FOUND"),
			{name: "nothing was stored", request: "alice POST /keys/query", body: `{"device_keys":{"<alice>":[],"<bob>":[]}}`, status: 200,
				want: "master_keys/<bob>/signatures:absent master_keys/<alice>/signatures:absent device_keys/<alice>/<alice device>/signatures/<alice>/ed25519:" + public("self_signing alice 1") + ":absent"},
			one("right ones beside a wrong one", `{"<alice>":{"<alice device>":`+s.bySigningKey(device, "alice", "self_signing", "1")+`,"<alice master>":`+s.byDevice(master, "alice")+`},
				"<bob>":{"<bob master>":`+s.bySigningKey(bobs, "alice", "user_signing", "1")+`,"x":`+bobs+`}}`, "<bob>/x", "M_NOT_FOUND"),
			{name: "they are there", request: "alice POST /keys/query", body: `{"device_keys":{"<alice>":[],"<bob>":[]}}`, status: 200,
				want: "master_keys/<bob>/signatures/<alice>/ed25519:" + public("user_signing alice 1") + ":string master_keys/<alice>/signatures/<alice>/ed25519:<alice device>:string device_keys/<alice>/<alice device>/signatures/<alice>/ed25519:" + public("self_signing alice 1") + ":string device_keys/<alice>/<alice device>/signatures/<alice>/ed25519:<alice device>:string"},
			{name: "too many", request: uploadSignatures, body: manySignatures(s, 10_000), status: 413, want: "M_TOO_LARGE"},
			{name: "many", request: uploadSignatures, body: manySignatures(s, 1000), status: 200, want: "failures/<alice>/D1/errcode=M_NOT_FOUND"},
			{name: "many signatures of one key", request: uploadSignatures, body: ofMaster(manySigners(s, master, 300)), status: 200, want: "failures/" + m + "/errcode=M_TOO_LARGE"},
		})
	})
}

// manySignatures is a body with signatures of so many devices.
func manySignatures(s *script, n int) string {
	signed := s.bySigningKey(`{}`, "alice", "self_signing", "1")
	var all []string
	for i := range n {
		all = append(all, fmt.Sprintf(`"D%d":%s`, i, signed))
	}
	return `{"<alice>":{` + strings.Join(all, ",") + `}}`
}

// manySigners adds to a key so many signatures.
func manySigners(s *script, key string, n int) string {
	var all []string
	for i := range n {
		all = append(all, fmt.Sprintf(`"ed25519:D%d":"AAAA"`, i))
	}
	return strings.Replace(key, "{", `{"signatures":{"`+s.words["alice"]+`":{`+strings.Join(all, ",")+`}},`, 1)
}

// TestGuessing guesses at the password by trying to replace the keys: that counts as trying to log in does. What needs no password does not.
func TestGuessing(t *testing.T) {
	each(t, "alice", func(s *script) {
		for range 4 {
			s.crossSign("alice")
		}
		reset := s.signingKeys("alice", "2", "2", allUsages...)
		wrong := strings.Replace(s.withPassword(reset, "alice"), "correct", "wrong", 1)
		for i, want := range []int{401, 401, 429, 429} {
			if a := s.ask(uploadSigning, wrong); a.Status != want {
				s.t.Errorf("guess %d: got %d %s, want %d", i, a.Status, a.Body, want)
			}
		}
		if a := s.ask(uploadSigning, reset); a.Status != http.StatusUnauthorized {
			s.t.Errorf("asking what is needed: got %d %s", a.Status, a.Body)
		}
	}, func(c *homeserver.Config) {
		c.Limits = map[httpapi.Class]httpapi.Limit{httpapi.ClassLogin: {PerSecond: 0.0001, Burst: 2}}
	})
}
