package testserver_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
)

// backedUp is a key as clients back it up. data tells it from others.
func backedUp(first, forwarded int, verified bool, data string) string {
	return fmt.Sprintf(`{"first_message_index":%d,"forwarded_count":%d,"is_verified":%t,"session_data":{"ciphertext":"%s","mac":"<&>\u00e9"}}`,
		first, forwarded, verified, data)
}

const backupAlgorithm = "m.megolm_backup.v1.curve25519-aes-sha2"

func newBackup(publicKey string) string {
	return `{"algorithm":"` + backupAlgorithm + `","auth_data":{"public_key":"` + publicKey + `","signatures":{"@x:y":{"ed25519:D":"s"}}}}`
}

// TestKeyBackupVersions is /room_keys/version.
func TestKeyBackupVersions(t *testing.T) {
	each(t, "alice bob", func(s *script) {
		const version, key = "alice %s /room_keys/version%s", "alice %s /room_keys/keys%s?version=%s"
		at := func(format string, args ...any) string { return fmt.Sprintf(format, args...) }
		s.run([]step{
			{name: "no token", request: "nobody GET /room_keys/version", status: 401, want: "M_MISSING_TOKEN"},
			{name: "none yet", request: at(version, "GET", ""), status: 404, want: "M_NOT_FOUND"},
			{name: "no such version", request: at(version, "GET", "/1"), status: 404, want: "M_NOT_FOUND"},
			{name: "there never was one", request: at(version, "DELETE", "/1"), status: 404, want: "M_NOT_FOUND"},
			{name: "no algorithm", request: at(version, "POST", ""), body: `{"auth_data":{}}`, status: 400, want: "M_MISSING_PARAM"},
			{name: "null for auth_data", request: at(version, "POST", ""), body: `{"algorithm":"x","auth_data":null}`, status: 400, want: "M_MISSING_PARAM"},
			{name: "an array for auth_data", request: at(version, "POST", ""), body: `{"algorithm":"x","auth_data":[]}`, status: 400, want: "M_BAD_JSON"},
			{name: "a long algorithm", request: at(version, "POST", ""), body: `{"algorithm":"` + strings.Repeat("x", 256) + `","auth_data":{}}`, status: 400, want: "M_INVALID_PARAM"},
			{name: "large auth_data", request: at(version, "POST", ""), body: newBackup(strings.Repeat("x", 65<<10)), status: 413, want: "M_TOO_LARGE"},
			{name: "the first", request: at(version, "POST", ""), body: newBackup("one"), status: 200, want: "version=1"},
			{name: "it", request: at(version, "GET", ""), status: 200, want: "version=1 count=0 etag=0 algorithm=" + backupAlgorithm + " auth_data/public_key=one auth_data/signatures/@x:y/ed25519:D=s"},
			{name: "of others none is seen", request: "bob GET /room_keys/version", status: 404, want: "M_NOT_FOUND"},
			{name: "nor by its version", request: "bob GET /room_keys/version/1", status: 404, want: "M_NOT_FOUND"},
			{name: "nor changed", request: "bob PUT /room_keys/version/1", body: newBackup("mine"), status: 404, want: "M_NOT_FOUND"},
			{name: "nor deleted", request: "bob DELETE /room_keys/version/1", status: 404, want: "M_NOT_FOUND"},
			{name: "a key", request: at(key, "PUT", "/!r:x/s", "1"), body: backedUp(1, 1, false, "a"), status: 200, want: "count=1 etag=1"},
			{name: "changed", request: at(version, "PUT", "/1"), body: newBackup("uno"), status: 200, want: "{}"},
			{name: "with its version", request: at(version, "PUT", "/1"), body: strings.Replace(newBackup("uno"), "{", `{"version":"1",`, 1), status: 200, want: "{}"},
			{name: "with another's version", request: at(version, "PUT", "/1"), body: strings.Replace(newBackup("due"), "{", `{"version":"2",`, 1), status: 400, want: "M_INVALID_PARAM"},
			{name: "with another algorithm", request: at(version, "PUT", "/1"), body: `{"algorithm":"x","auth_data":{}}`, status: 400, want: "M_INVALID_PARAM"},
			{name: "changed: the keys are not", request: at(version, "GET", "/1"), status: 200, want: "version=1 count=1 etag=1 auth_data/public_key=uno"},
			{name: "the second", request: at(version, "POST", ""), body: newBackup("two"), status: 200, want: "version=2"},
			{name: "is the current one", request: at(version, "GET", ""), status: 200, want: "version=2 count=0 etag=0"},
			{name: "the first is still there", request: at(version, "GET", "/1"), status: 200, want: "version=1 count=1"},
			{name: "and can be read", request: at(key, "GET", "/!r:x/s", "1"), status: 200, want: "session_data/ciphertext=a"},
			{name: "not written", request: at(key, "PUT", "/!r:x/s2", "1"), body: backedUp(1, 1, false, "a"), status: 403, want: "M_WRONG_ROOM_KEYS_VERSION current_version=2"},
			{name: "not written, a room", request: at(key, "PUT", "/!r:x", "1"), body: `{"sessions":{}}`, status: 403, want: "errcode=M_WRONG_ROOM_KEYS_VERSION current_version=2"},
			{name: "not written, all", request: at(key, "PUT", "", "1"), body: `{"rooms":{}}`, status: 403, want: "errcode=M_WRONG_ROOM_KEYS_VERSION current_version=2"},
			{name: "but changed", request: at(version, "PUT", "/1"), body: newBackup("eins"), status: 200, want: "{}"},
			{name: "and keys deleted", request: at(key, "DELETE", "/!r:x/s", "1"), status: 200, want: "count=0 etag=2"},
			{name: "a version that is not there", request: at(key, "PUT", "/!r:x/s", "3"), body: backedUp(1, 1, false, "a"), status: 404, want: "M_NOT_FOUND"},
			{name: "a version with a zero", request: at(version, "GET", "/01"), status: 404, want: "M_NOT_FOUND"},
			{name: "a version that is no number", request: at(version, "DELETE", "/x"), status: 404, want: "M_NOT_FOUND"},
			{name: "a negative version", request: at(version, "DELETE", "/-1"), status: 404, want: "M_NOT_FOUND"},
			{name: "deleted", request: at(version, "DELETE", "/2"), status: 200, want: "{}"},
			{name: "deleted again", request: at(version, "DELETE", "/2"), status: 200, want: "{}"},
			{name: "gone", request: at(version, "GET", "/2"), status: 404, want: "M_NOT_FOUND"},
			{name: "gone, its keys", request: at(key, "GET", "", "2"), status: 404, want: "M_NOT_FOUND"},
			{name: "gone, not to be changed", request: at(version, "PUT", "/2"), body: newBackup("x"), status: 404, want: "M_NOT_FOUND"},
			{name: "gone, not to be written", request: at(key, "PUT", "", "2"), body: `{"rooms":{}}`, status: 404, want: "M_NOT_FOUND"},
			{name: "the first is the current one", request: at(version, "GET", ""), status: 200, want: "version=1 auth_data/public_key=eins"},
			{name: "the third is no second", request: at(version, "POST", ""), body: newBackup("three"), status: 200, want: "version=3"},
			{name: "all deleted", request: at(version, "DELETE", "/1"), status: 200, want: "{}"},
			{name: "all deleted indeed", request: at(version, "DELETE", "/3"), status: 200, want: "{}"},
			{name: "none", request: at(version, "GET", ""), status: 404, want: "M_NOT_FOUND"},
			{name: "none to write", request: at(key, "PUT", "", "3"), body: `{"rooms":{}}`, status: 404, want: "M_NOT_FOUND"},
			{name: "the fourth is no first", request: at(version, "POST", ""), body: newBackup("four"), status: 200, want: "version=4"},
		})
	})
}

// TestKeyBackupKeys is /room_keys/keys.
func TestKeyBackupKeys(t *testing.T) {
	each(t, "alice bob", func(s *script) {
		s.get("alice POST /room_keys/version", newBackup("x"))
		get, put, del := "alice GET /room_keys/keys%s?version=1", "alice PUT /room_keys/keys%s?version=1", "alice DELETE /room_keys/keys%s?version=1"
		on := fmt.Sprintf
		two := `{"rooms":{"!a:x":{"sessions":{"s1":` + backedUp(5, 2, false, "a1") + `,"s2":` + backedUp(5, 2, true, "a2") + `}},"!b:x":{"sessions":{"s1":` + backedUp(0, 0, false, "b1") + `}}}}`
		s.run([]step{
			{name: "no keys", request: on(get, ""), status: 200, want: "rooms={}"},
			{name: "no keys of a room", request: on(get, "/!a:x"), status: 200, want: "sessions={}"},
			{name: "no key", request: on(get, "/!a:x/s1"), status: 404, want: "M_NOT_FOUND"},
			{name: "no version", request: "alice GET /room_keys/keys", status: 400, want: "M_MISSING_PARAM"},
			{name: "keys", request: on(put, ""), body: two, status: 200, want: "count=3 etag=1"},
			{name: "the same", request: on(put, ""), body: two, status: 200, want: "count=3 etag=1"},
			{name: "no keys at all", request: on(put, ""), body: `{"rooms":{"!a:x":{"sessions":{}}}}`, status: 200, want: "count=3 etag=1"},
			{name: "of a room", request: on(put, "/!b:x"), body: `{"sessions":{"s2":` + backedUp(0, 0, false, "b2") + `,"s1":` + backedUp(9, 9, false, "worse") + `}}`, status: 200, want: "count=4 etag=2"},
			{name: "all", request: on(get, ""), status: 200, want: "rooms/!a:x/sessions/s1/session_data/ciphertext=a1 rooms/!a:x/sessions/s1/session_data/mac=<&>é rooms/!a:x/sessions/s1/first_message_index=5 rooms/!a:x/sessions/s1/forwarded_count=2 rooms/!a:x/sessions/s1/is_verified=false rooms/!a:x/sessions/s2/is_verified=true rooms/!b:x/sessions/s1/session_data/ciphertext=b1 rooms/!b:x/sessions/s2/session_data/ciphertext=b2"},
			{name: "of a room, read", request: on(get, "/!b:x"), status: 200, want: "sessions/s1/session_data/ciphertext=b1 sessions/s2/session_data/ciphertext=b2 sessions/s3:absent"},
			{name: "one", request: on(get, "/!b:x/s2"), status: 200, want: "session_data/ciphertext=b2 first_message_index=0 forwarded_count=0 is_verified=false"},
			{name: "none of others", request: "bob GET /room_keys/keys?version=1", status: 404, want: "M_NOT_FOUND"},
			{name: "no room of others", request: "bob GET /room_keys/keys/!a:x?version=1", status: 404, want: "M_NOT_FOUND"},
			{name: "no key of others", request: "bob GET /room_keys/keys/!a:x/s1?version=1", status: 404, want: "M_NOT_FOUND"},
			{name: "not to be put", request: "bob PUT /room_keys/keys/!a:x/s1?version=1", body: backedUp(0, 0, true, "evil"), status: 404, want: "M_NOT_FOUND"},
			{name: "not to be deleted", request: "bob DELETE /room_keys/keys?version=1", status: 404, want: "M_NOT_FOUND"},
			{name: "a key without all of it", request: on(put, ""), body: `{"rooms":{"!a:x":{"sessions":{"s9":` + backedUp(0, 0, true, "x") + `,"s8":{"first_message_index":1,"forwarded_count":0,"session_data":{}}}}}}`, status: 400, want: "M_MISSING_PARAM"},
			{name: "a negative index", request: on(put, "/!a:x/s9"), body: backedUp(-1, 0, true, "x"), status: 400, want: "M_INVALID_PARAM"},
			{name: "a large index", request: on(put, "/!a:x/s9"), body: backedUp(1<<53, 0, true, "x"), status: 400, want: "M_INVALID_PARAM"},
			{name: "a fraction", request: on(put, "/!a:x/s9"), body: `{"first_message_index":0.5,"forwarded_count":0,"is_verified":true,"session_data":{}}`, status: 400, want: "M_BAD_JSON"},
			{name: "a long name", request: on(put, "/!a:x/"+strings.Repeat("s", 256)), body: backedUp(0, 0, true, "x"), status: 400, want: "M_INVALID_PARAM"},
			{name: "a NUL in a name", request: on(put, "/!a:x"), body: `{"sessions":{"s\u0000":` + backedUp(0, 0, true, "x") + `}}`, status: 400, want: "M_INVALID_PARAM"},
			{name: "a large key", request: on(put, "/!a:x/s9"), body: backedUp(0, 0, true, strings.Repeat("x", 33<<10)), status: 413, want: "M_TOO_LARGE"},
			{name: "none of which is stored", request: on(get, "/!a:x/s9"), status: 404, want: "M_NOT_FOUND"},
			{name: "nothing deleted", request: on(del, "/!a:x/s9"), status: 200, want: "count=4 etag=2"},
			{name: "no room deleted", request: on(del, "/!c:x"), status: 200, want: "count=4 etag=2"},
			{name: "one deleted", request: on(del, "/!a:x/s1"), status: 200, want: "count=3 etag=3"},
			{name: "a room deleted", request: on(del, "/!b:x"), status: 200, want: "count=1 etag=4"},
			{name: "one is left", request: on(get, ""), status: 200, want: "rooms/!a:x/sessions/s2:object rooms/!a:x/sessions/s1:absent rooms/!b:x:absent"},
			{name: "a worse one after the deletion", request: on(put, "/!a:x/s1"), body: backedUp(9, 9, false, "back"), status: 200, want: "count=2 etag=5"},
			{name: "all deleted", request: on(del, ""), status: 200, want: "count=0 etag=6"},
			{name: "all deleted again", request: on(del, ""), status: 200, want: "count=0 etag=6"},
			{name: "none is left", request: on(get, ""), status: 200, want: "rooms={}"},
			{name: "of a deleted version", request: "alice DELETE /room_keys/keys?version=2", status: 404, want: "M_NOT_FOUND"},
			{name: "the version", request: "alice GET /room_keys/version", status: 200, want: "count=0 etag=6 version=1"},
		})
	})
}

// TestKeyBackupRules puts keys one after the other for one session, and looks which of them stays: for each pair of the ranks that a key can
// have. Client-Server API, "Server-side key backups".
func TestKeyBackupRules(t *testing.T) {
	each(t, "alice", func(s *script) {
		s.get("alice POST /room_keys/version", newBackup("x"))
		type rank struct {
			verified         bool
			first, forwarded int
		}
		// From the best to the worst.
		var ranks []rank
		for _, verified := range []bool{true, false} {
			for first := range 2 {
				for forwarded := range 2 {
					ranks = append(ranks, rank{verified, first + 10, forwarded + 5})
				}
			}
		}
		put := func(session string, r rank, data string) any {
			return s.get("alice PUT /room_keys/keys/!r:x/"+session+"?version=1", backedUp(r.first, r.forwarded, r.verified, data))
		}
		for i, old := range ranks {
			for j, offered := range ranks {
				session := fmt.Sprintf("s%d-%d", i, j)
				before, after := put(session, old, "old"), put(session, offered, "offered")
				want, changed := "old", plain(at(before, "etag")[0]) != plain(at(after, "etag")[0])
				if j < i {
					want = "offered"
				}
				got := textAt(s.t, s.get("alice GET /room_keys/keys/!r:x/"+session+"?version=1", ""), "session_data/ciphertext")
				if got != want || changed != (j < i) {
					s.t.Errorf("%+v, then %+v: the %s one stays, etag changed: %t", old, offered, got, changed)
				}
			}
		}
	})
}

// TestKeyBackupOfMany puts thousands of keys into a backup, and reads them again.
func TestKeyBackupOfMany(t *testing.T) {
	const rooms, sessions = 7, 600
	each(t, "alice", func(s *script) {
		s.get("alice POST /room_keys/version", newBackup("x"))
		var parts []string
		for room := range rooms {
			var keys []string
			for i := range sessions {
				keys = append(keys, fmt.Sprintf(`"s%d":%s`, i, backedUp(i, 0, false, fmt.Sprint("k", room, "-", i))))
			}
			parts = append(parts, fmt.Sprintf(`"!r%d:x":{"sessions":{%s}}`, room, strings.Join(keys, ",")))
		}
		body := `{"rooms":{` + strings.Join(parts, ",") + `}}`
		s.must("put", s.get("alice PUT /room_keys/keys?version=1", body), fmt.Sprintf("count=%d etag=1", rooms*sessions))
		s.must("put again", s.get("alice PUT /room_keys/keys?version=1", body), fmt.Sprintf("count=%d etag=1", rooms*sessions))
		all := s.get("alice GET /room_keys/keys?version=1", "")
		for room := range rooms {
			one := s.get(fmt.Sprintf("alice GET /room_keys/keys/!r%d:x?version=1", room), "")
			for name, found := range map[string][]any{"all": at(all, fmt.Sprintf("rooms/!r%d:x/sessions", room)), "the room": at(one, "sessions")} {
				got := found[0].(map[string]any)
				if len(got) != sessions {
					s.t.Errorf("room %d: got %d keys in %s, want %d", room, len(got), name, sessions)
				}
				for i := range sessions {
					if data := textAt(s.t, got[fmt.Sprint("s", i)], "session_data/ciphertext"); data != fmt.Sprint("k", room, "-", i) {
						s.t.Errorf("room %d, key %d in %s: %s", room, i, name, data)
					}
				}
			}
		}
		var keys []string
		for i := range 20_001 {
			keys = append(keys, fmt.Sprintf(`"m%d":{"first_message_index":0,"forwarded_count":0,"is_verified":false,"session_data":{}}`, i))
		}
		s.run([]step{
			{name: "too many", request: "alice PUT /room_keys/keys/!r:x?version=1", body: `{"sessions":{` + strings.Join(keys, ",") + `}}`, status: 413, want: "M_TOO_LARGE"},
			{name: "too large", request: "alice PUT /room_keys/keys/!r:x?version=1", body: `{"sessions":{` + strings.Repeat(" ", 9<<20) + `}}`, status: 413, want: "M_TOO_LARGE"},
			{name: "all deleted", request: "alice DELETE /room_keys/keys?version=1", status: 200, want: "count=0 etag=2"},
		})
	})
}

// TestKeyBackupAtOnce has devices put the same keys at the same time, some better than others: the best of each stays, all are counted
// once, and an etag stands for one content.
func TestKeyBackupAtOnce(t *testing.T) {
	const devices, rounds, sessions = 6, 12, 5
	each(t, "alice", func(s *script) {
		s.get("alice POST /room_keys/version", newBackup("x"))
		var (
			mu     sync.Mutex
			counts = make(map[string]string) // by etag
			wg     sync.WaitGroup
		)
		for device := range devices {
			wg.Go(func() {
				for round := range rounds {
					var keys []string
					for i := range sessions {
						first := (device*7 + round*5 + i*3) % 50
						keys = append(keys, fmt.Sprintf(`"s%d":%s`, i+round, backedUp(first, device, false, fmt.Sprint(first, " ", device))))
					}
					a := s.Do("PUT", "/_matrix/client/v3/room_keys/keys/!r:x?version=1", s.tokens["alice"], `{"sessions":{`+strings.Join(keys, ",")+`}}`)
					if a.Status != http.StatusOK {
						s.t.Errorf("%d %s", a.Status, a.Body)
						return
					}
					state := decode(s.t, a.Body)
					etag, count := plain(at(state, "etag")[0]), plain(at(state, "count")[0])
					mu.Lock()
					if old, seen := counts[etag]; seen && old != count {
						s.t.Errorf("etag %s was of %s keys, and is of %s", etag, old, count)
					}
					counts[etag] = count
					mu.Unlock()
				}
			})
		}
		wg.Wait()
		best := make(map[string]string)
		rank := make(map[string]int)
		for device := range devices {
			for round := range rounds {
				for i := range sessions {
					name, first := fmt.Sprint("s", i+round), (device*7+round*5+i*3)%50
					if r, there := rank[name]; !there || first*devices+device < r {
						rank[name], best[name] = first*devices+device, fmt.Sprint(first, " ", device)
					}
				}
			}
		}
		got := at(s.get("alice GET /room_keys/keys/!r:x?version=1", ""), "sessions")[0].(map[string]any)
		for name, want := range best {
			if data := textAt(s.t, got[name], "session_data/ciphertext"); data != want {
				s.t.Errorf("%s: got %s, want %s", name, data, want)
			}
		}
		s.must("the count", s.get("alice GET /room_keys/version", ""), fmt.Sprint("count=", len(best)))
	})
}
