package testserver_test

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
)

// devices keeps the device of each user as "<user> device".
func (s *script) devices(users ...string) {
	s.t.Helper()
	for _, user := range users {
		s.words[user+" device"] = s.text(user+" GET /account/whoami", "", "device_id")
	}
}

// TestUploadKeys is POST /keys/upload, and what /sync says of it.
func TestUploadKeys(t *testing.T) {
	each(t, "alice bob", func(s *script) {
		s.devices("alice", "bob")
		s.must("before anything", s.since("alice", ""),
			`device_one_time_keys_count/signed_curve25519=0 device_unused_fallback_key_types:empty org.matrix.msc2732.device_unused_fallback_key_types:empty
			device_lists/changed:empty device_lists/left:empty to_device/events:empty`)
		const post = "alice POST /keys/upload"
		s.run([]step{
			{name: "no token", request: "nobody POST /keys/upload", body: `{}`, status: 401, want: "M_MISSING_TOKEN"},
			{name: "no JSON", request: post, body: `{`, status: 400, want: "M_NOT_JSON"},
			{name: "nothing", request: post, body: `{}`, status: 200, want: "one_time_key_counts/signed_curve25519=0"},
			{name: "keys that lack what they need", request: post, body: `{"device_keys":{"user_id":"<alice>","device_id":"<alice device>"}}`, status: 400, want: "M_BAD_JSON"},
			{name: "keys of the wrong form", request: post, body: `{"device_keys":{"user_id":"<alice>","device_id":"<alice device>","algorithms":{},"keys":{},"signatures":{}}}`, status: 400, want: "M_BAD_JSON"},
			{name: "keys of no form", request: post, body: `{"device_keys":"x"}`, status: 400, want: "M_BAD_JSON"},
			{name: "another user's keys", request: post, body: `{"device_keys":` + s.deviceKeys("bob", "1") + `}`, status: 400, want: "M_INVALID_PARAM"},
			{name: "nothing of it is stored", request: "bob POST /keys/query", body: `{"device_keys":{"<alice>":[],"<bob>":[]}}`, status: 200, want: "device_keys/<alice>={} device_keys/<bob>={} failures={}"},
			{name: "keys", request: post, body: `{"device_keys":` + s.deviceKeys("alice", "1") + `}`, status: 200, want: "one_time_key_counts/signed_curve25519=0"},
			{name: "one-time keys", request: post, body: `{"one_time_keys":{"signed_curve25519:A":` + s.signedKey("alice", "a") + `,"signed_curve25519:B":` + s.signedKey("alice", "b") + `,"curve25519:A":"plain"}}`,
				status: 200, want: "one_time_key_counts/signed_curve25519=2 one_time_key_counts/curve25519=1"},
			{name: "again", request: post, body: `{"one_time_keys":{"signed_curve25519:B":` + strings.Replace(s.signedKey("alice", "b"), `:`, ` : `, 1) + `,"signed_curve25519:C":` + s.signedKey("alice", "c") + `}}`,
				status: 200, want: "one_time_key_counts/signed_curve25519=3 one_time_key_counts/curve25519=1"},
			{name: "another key of the same name", request: post, body: `{"one_time_keys":{"signed_curve25519:D":` + s.signedKey("alice", "d") + `,"signed_curve25519:B":` + s.signedKey("alice", "x") + `}}`, status: 400, want: "M_INVALID_PARAM"},
			{name: "none of which is stored", request: post, body: `{}`, status: 200, want: "one_time_key_counts/signed_curve25519=3"},
			{name: "a name without a colon", request: post, body: `{"one_time_keys":{"signed_curve25519":` + s.signedKey("alice", "d") + `}}`, status: 400, want: "M_INVALID_PARAM"},
			{name: "a key that is none", request: post, body: `{"one_time_keys":{"signed_curve25519:D":7}}`, status: 400, want: "M_BAD_JSON"},
			{name: "a key without a key", request: post, body: `{"fallback_keys":{"signed_curve25519:D":{}}}`, status: 400, want: "M_BAD_JSON"},
			{name: "two fallback keys", request: post, body: `{"fallback_keys":{"signed_curve25519:F":` + s.signedKey("alice", "f") + `,"signed_curve25519:G":` + s.signedKey("alice", "g") + `}}`, status: 400, want: "M_INVALID_PARAM"},
			{name: "a fallback key", request: post, body: `{"fallback_keys":{"signed_curve25519:F":` + s.signedKey("alice", "f") + `}}`, status: 200, want: "one_time_key_counts/signed_curve25519=3"},
		})
		s.must("after", s.since("alice", ""),
			`device_one_time_keys_count/signed_curve25519=3 device_one_time_keys_count/curve25519=1 device_unused_fallback_key_types/0=signed_curve25519
			org.matrix.msc2732.device_unused_fallback_key_types/0=signed_curve25519 device_lists/changed/0=`+s.words["alice"]+` device_lists/left:empty`)
		s.must("once", s.since("alice", ""), `device_lists/changed:empty device_one_time_keys_count/signed_curve25519=3`)
		// Keys of another identity are signed by nobody any more.
		s.get(post, `{"device_keys":`+s.deviceKeys("alice", "1")+`}`)
		s.must("the same identity", s.since("alice", ""), `device_lists/changed:empty device_one_time_keys_count/signed_curve25519=3`)
		s.get(post, `{"device_keys":`+s.deviceKeys("alice", "2")+`,"one_time_keys":{"signed_curve25519:B":`+s.signedKey("alice", "other")+`}}`)
		s.must("another identity", s.since("alice", ""),
			`device_lists/changed/0=`+s.words["alice"]+` device_one_time_keys_count/signed_curve25519=1 device_one_time_keys_count/curve25519:absent device_unused_fallback_key_types:empty`)
	})
}

// TestUploadBounds sends too much.
func TestUploadBounds(t *testing.T) {
	each(t, "alice", func(s *script) {
		many := func(n, from int) string {
			var keys []string
			for i := range n {
				keys = append(keys, fmt.Sprintf(`"signed_curve25519:%d":%s`, from+i, s.signedKey("alice", fmt.Sprint("k", from+i))))
			}
			return `{"one_time_keys":{` + strings.Join(keys, ",") + `}}`
		}
		s.uploadDevice("alice")
		const post = "alice POST /keys/upload"
		s.run([]step{
			{name: "too many at once", request: post, body: many(1001, 0), status: 413, want: "M_TOO_LARGE"},
			{name: "many", request: post, body: many(500, 0), status: 200, want: "one_time_key_counts/signed_curve25519=500"},
			{name: "the same", request: post, body: many(500, 0), status: 200, want: "one_time_key_counts/signed_curve25519=500"},
			{name: "one more", request: post, body: many(1, 500), status: 413, want: "M_TOO_LARGE"},
			{name: "a large key", request: post, body: `{"one_time_keys":{"x:y":"` + strings.Repeat("k", 9000) + `"}}`, status: 413, want: "M_TOO_LARGE"},
			{name: "a long name", request: post, body: `{"one_time_keys":{"x:` + strings.Repeat("k", 256) + `":"k"}}`, status: 400, want: "M_INVALID_PARAM"},
		})
	})
}

// TestQueryKeys is POST /keys/query.
func TestQueryKeys(t *testing.T) {
	each(t, "alice bob", func(s *script) {
		s.devices("alice", "bob")
		laptopKeys := s.byDevice(strings.Replace(s.unsignedKeys("alice", "1"), "{", `{"unsigned":{"device_display_name":"forged"},"more":"kept",`, 1), "alice")
		s.get("alice POST /keys/upload", `{"device_keys":`+laptopKeys+`}`)
		s.text("nobody POST /login", `{"type":"m.login.password","identifier":{"type":"m.id.user","user":"alice"},"password":"correct horse battery",
			"device_id":"PHONE","initial_device_display_name":"Alice's \"phone\""}`, "device_id")
		s.tokens["phone"] = s.text("nobody POST /login", `{"type":"m.login.password","identifier":{"type":"m.id.user","user":"alice"},"password":"correct horse battery","device_id":"PHONE"}`, "access_token")
		s.words["phone"], s.words["phone device"] = s.words["alice"], "PHONE"
		s.words["key"], s.words["signature"] = public("device alice"), textAt(s.t, decode(s.t, []byte(laptopKeys)), "signatures/"+s.words["alice"]+"/ed25519:"+s.words["alice device"])
		s.get("phone POST /keys/upload", `{"device_keys":`+s.deviceKeys("phone", "2")+`}`)
		const post, laptop = "bob POST /keys/query", "device_keys/<alice>/<alice device>"
		s.run([]step{
			{name: "no token", request: "nobody POST /keys/query", body: `{"device_keys":{}}`, status: 401, want: "M_MISSING_TOKEN"},
			{name: "nothing", request: post, body: `{}`, status: 400, want: "M_MISSING_PARAM"},
			{name: "nobody", request: post, body: `{"device_keys":{}}`, status: 200, want: "device_keys={} failures={} master_keys={} self_signing_keys={} user_signing_keys={}"},
			{name: "an object in place of an array", request: post, body: `{"device_keys":{"<alice>":{"D":true}}}`, status: 400, want: "M_BAD_JSON"},
			{name: "all devices", request: post, body: `{"device_keys":{"<alice>":[]},"timeout":10000}`, status: 200,
				want: laptop + "/user_id=<alice> " + laptop + "/device_id=<alice device> " + laptop + "/algorithms/0=m.olm.v1.curve25519-aes-sha2 " +
					laptop + "/keys/ed25519:<alice device>=<key> " + laptop + "/signatures/<alice>/ed25519:<alice device>=<signature> " + laptop + "/unsigned:absent " +
					laptop + "/more=kept device_keys/<alice>/PHONE/keys/curve25519:PHONE=C2 device_keys/<alice>/PHONE/unsigned/device_display_name:string"},
			{name: "one device", request: post, body: `{"device_keys":{"<alice>":["PHONE","NONE"]}}`, status: 200, want: laptop + ":absent device_keys/<alice>/PHONE:object device_keys/<alice>/NONE:absent"},
			{name: "a user without keys", request: post, body: `{"device_keys":{"<bob>":[]}}`, status: 200, want: "device_keys/<bob>={}"},
			{name: "a user who does not exist", request: post, body: `{"device_keys":{"@none:test":[]}}`, status: 200, want: "device_keys={} failures={}"},
			{name: "another server's user", request: post, body: `{"device_keys":{"@x:else.where":[],"<alice>":[],"no id":[]}}`, status: 200, want: "failures/else.where:object device_keys/@x:else.where:absent " + laptop + ":object"},
		})
		if got := textAt(s.t, s.get(post, `{"device_keys":{"<alice>":[]}}`), "device_keys/"+s.words["alice"]+"/PHONE/unsigned/device_display_name"); got != `Alice's "phone"` {
			s.t.Errorf("got the name %q", got)
		}
		// A device that signs out takes its keys with it.
		s.get("phone POST /logout", "")
		s.must("signed out", s.get(post, `{"device_keys":{"<alice>":[]}}`), s.fill("device_keys/<alice>/PHONE:absent "+laptop+":object", func(v string) string { return v }))
		s.get("alice POST /logout/all", "")
		s.must("all signed out", s.get(post, `{"device_keys":{"<alice>":[]}}`), "device_keys/"+s.words["alice"]+"={}")
	})
}

// TestClaimKeys is POST /keys/claim, and what /sync says of it.
func TestClaimKeys(t *testing.T) {
	each(t, "alice bob", func(s *script) {
		s.uploadDevice("alice")
		const post, key = "bob POST /keys/claim", "one_time_keys/<alice>/<alice device>/signed_curve25519:"
		s.get("alice POST /keys/upload", `{"one_time_keys":{"signed_curve25519:Z":`+s.signedKey("alice", "first")+`}}`)
		s.get("alice POST /keys/upload", `{"one_time_keys":{"signed_curve25519:A":`+s.signedKey("alice", "second")+`}}`)
		s.get("alice POST /keys/upload", `{"fallback_keys":{"signed_curve25519:F":`+s.signedKey("alice", "last")+`}}`)
		s.since("alice", "")
		want := `{"one_time_keys":{"<alice>":{"<alice device>":"signed_curve25519"}}}`
		s.run([]step{
			{name: "no token", request: "nobody POST /keys/claim", body: want, status: 401, want: "M_MISSING_TOKEN"},
			{name: "nothing", request: post, body: `{}`, status: 400, want: "M_MISSING_PARAM"},
			{name: "of the wrong form", request: post, body: `{"one_time_keys":{"<alice>":["x"]}}`, status: 400, want: "M_BAD_JSON"},
			{name: "what is not there", request: post, body: `{"one_time_keys":{"<alice>":{"NONE":"signed_curve25519","<alice device>":"other"},"<bob>":{"B":"signed_curve25519"},"@none:test":{"X":"y"},"@x:else.where":{"D":"y"}}}`,
				status: 200, want: "one_time_keys={} failures/else.where:object"},
			{name: "the one that was uploaded first", request: post, body: want, status: 200, want: key + "Z/key=first failures={}"},
		})
		s.must("one is gone", s.since("alice", ""), "device_one_time_keys_count/signed_curve25519=1 device_unused_fallback_key_types/0=signed_curve25519")
		// The client did not see the answer to its upload, and repeats it: the key that was given out stays so.
		s.get("alice POST /keys/upload", `{"one_time_keys":{"signed_curve25519:Z":`+s.signedKey("alice", "first")+`}}`)
		s.run([]step{
			{name: "the next", request: post, body: want, status: 200, want: key + "A/key=second"},
			{name: "the fallback key", request: post, body: want, status: 200, want: key + "F/key=last"},
			{name: "the fallback key again", request: post, body: want, status: 200, want: key + "F/key=last"},
		})
		s.must("none is left", s.since("alice", ""), "device_one_time_keys_count/signed_curve25519=0 device_unused_fallback_key_types:empty")
		s.get("alice POST /keys/upload", `{"fallback_keys":{"signed_curve25519:F":`+s.signedKey("alice", "last")+`}}`)
		s.must("the same fallback key is as used", s.since("alice", ""), "device_unused_fallback_key_types:empty")
		s.get("alice POST /keys/upload", `{"org.matrix.msc2732.fallback_keys":{"signed_curve25519:G":`+s.signedKey("alice", "new")+`}}`)
		s.must("a new one is not", s.since("alice", ""), "device_unused_fallback_key_types/0=signed_curve25519")
		s.get("alice POST /keys/upload", `{"one_time_keys":{"signed_curve25519:Z":`+s.signedKey("alice", "another by an old name")+`}}`)
		s.must("another key by an old name", s.get(post, want), s.fill(key, func(v string) string { return v })+"Z/key:string")
	})
}

// TestClaimOnce has many claim the keys of one device at once.
func TestClaimOnce(t *testing.T) {
	const keys, claimers, each1 = 60, 8, 10
	each(t, "alice bob", func(s *script) {
		s.uploadDevice("alice")
		var all []string
		for i := range keys {
			all = append(all, fmt.Sprintf(`"signed_curve25519:%d":%s`, i, s.signedKey("alice", fmt.Sprint("k", i))))
		}
		s.get("alice POST /keys/upload", `{"one_time_keys":{`+strings.Join(all, ",")+`},"fallback_keys":{"signed_curve25519:F":`+s.signedKey("alice", "f")+`}}`)
		var (
			mu   sync.Mutex
			seen = make(map[string]int)
			wg   sync.WaitGroup
		)
		body := s.fill(`{"one_time_keys":{"<alice>":{"<alice device>":"signed_curve25519"}}}`, func(v string) string { return v })
		for range claimers {
			wg.Go(func() {
				for range each1 {
					a := s.Do("POST", "/_matrix/client/v3/keys/claim", s.tokens["bob"], body)
					if a.Status != http.StatusOK {
						s.t.Errorf("claim: %d %s", a.Status, a.Body)
						return
					}
					for _, found := range at(decode(s.t, a.Body), "one_time_keys/*/*") {
						for name := range found.(map[string]any) {
							mu.Lock()
							seen[name]++
							mu.Unlock()
						}
					}
				}
			})
		}
		wg.Wait()
		if got := seen["signed_curve25519:F"]; got != claimers*each1-keys {
			s.t.Errorf("the fallback key was given out %d times, want %d", got, claimers*each1-keys)
		}
		delete(seen, "signed_curve25519:F")
		if len(seen) != keys || slices.Max(slices.Collect(maps.Values(seen))) != 1 {
			s.t.Errorf("got %d of %d keys: %v", len(seen), keys, seen)
		}
	})
}

// TestDeviceLists follows whose devices /sync and /keys/changes name.
func TestDeviceLists(t *testing.T) {
	each(t, "alice bob carol", func(s *script) {
		s.devices("alice", "bob", "carol")
		s.words["room"] = s.text("alice POST /createRoom", `{"preset":"public_chat"}`, "room_id")
		s.get("bob POST /keys/upload", `{"device_keys":`+s.deviceKeys("bob", "1")+`}`)
		alice := func(what, changed, left string) {
			s.t.Helper()
			from := s.words["alice since"]
			v := s.since("alice", "")
			want := ""
			for path, names := range map[string]string{"device_lists/changed": changed, "device_lists/left": left} {
				want += " " + path + ":array"
				for i, name := range strings.Fields(names) {
					want += fmt.Sprintf(" %s/%d=%s", path, i, s.words[name])
				}
				want += fmt.Sprintf(" %s/%d:absent", path, len(strings.Fields(names)))
			}
			s.must(what, v, want)
			if from != "" {
				changes := s.get("alice GET /keys/changes?from="+from+"&to="+s.words["alice since"], "")
				s.must(what+", by /keys/changes", changes, strings.ReplaceAll(want, "device_lists/", ""))
			}
		}
		alice("initial", "", "")
		alice("nothing", "", "")
		s.get("bob POST /rooms/<room>/join", "")
		alice("bob came", "bob", "")
		s.get("bob PUT /rooms/<room>/state/m.room.member/<bob>", `{"membership":"join","displayname":"B"}`)
		alice("bob has another name", "", "")
		s.get("bob POST /keys/upload", `{"device_keys":`+s.deviceKeys("bob", "2")+`}`)
		s.get("carol POST /keys/upload", `{"device_keys":`+s.deviceKeys("carol", "1")+`}`)
		alice("bob has new keys, and a stranger too", "bob", "")
		s.get("alice POST /keys/upload", `{"device_keys":`+s.deviceKeys("alice", "1")+`}`)
		alice("so has alice", "alice", "")
		s.get("carol POST /rooms/<room>/join", "")
		s.get("carol POST /rooms/<room>/leave", "")
		alice("carol came and went", "", "")
		s.words["second"] = s.text("bob POST /createRoom", `{"preset":"public_chat"}`, "room_id")
		s.get("carol POST /rooms/<second>/join", "")
		alice("what is not alice's", "", "")
		s.get("alice POST /rooms/<second>/join", "")
		alice("alice came to where bob is, too", "bob carol", "")
		s.get("bob POST /rooms/<room>/leave", "")
		alice("bob left one of two", "", "")
		s.get("alice POST /rooms/<second>/leave", "")
		alice("alice left the other", "", "bob carol")
		s.get("bob POST /keys/upload", `{"device_keys":`+s.deviceKeys("bob", "3")+`}`)
		alice("bob is a stranger now", "", "")
		s.get("bob POST /rooms/<room>/join", "")
		alice("bob is back", "bob", "")
		s.get("bob POST /logout", "")
		alice("bob has signed out", "bob", "")
		s.run([]step{
			{name: "no token", request: "nobody GET /keys/changes?from=s1&to=s2", status: 401, want: "M_MISSING_TOKEN"},
			{name: "no from", request: "alice GET /keys/changes?to=s2", status: 400, want: "M_MISSING_PARAM"},
			{name: "no to", request: "alice GET /keys/changes?from=s1", status: 400, want: "M_MISSING_PARAM"},
			{name: "a token that is none", request: "alice GET /keys/changes?from=x&to=s1", status: 400, want: "M_INVALID_PARAM"},
			{name: "another that is none", request: "alice GET /keys/changes?from=s1&to=s1_x2", status: 400, want: "M_INVALID_PARAM"},
			{name: "a token with components", request: "alice GET /keys/changes?from=s1_d0&to=s1", status: 200, want: "changed:array left:array"},
		})
	})
}
