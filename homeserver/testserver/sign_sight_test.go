package testserver_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// signing is a model of who has signed what: the rules for who sees a signature, once more, without a database.
type signing struct {
	*script
	users  []string
	round  map[string]int             // of each user's master key, 0 for none
	self   map[string]bool            // devices that their user's self-signing key has signed
	master map[string]bool            // whose master key their device has signed
	others map[string]map[string]bool // whose master keys a user has signed
}

// TestWhoSeesSignatures has users sign keys and replace them at random, and compares what each sees of all with the model. Client-Server
// API, "Key and signature security".
func TestWhoSeesSignatures(t *testing.T) {
	const steps = 60
	each(t, "alice bob carol", func(s *script) {
		m := &signing{script: s, users: []string{"alice", "bob", "carol"}, round: map[string]int{}, self: map[string]bool{}, master: map[string]bool{}, others: map[string]map[string]bool{}}
		s.uploadDevice(m.users...)
		random := rand.New(rand.NewPCG(7, 7))
		for range steps {
			user, other := m.users[random.IntN(3)], m.users[random.IntN(3)]
			switch kind := random.IntN(8); {
			case m.round[user] == 0 || kind == 0:
				m.reset(user)
			case kind < 3:
				m.signDevice(user)
			case kind < 5:
				m.signMaster(user)
			case user != other:
				m.signUser(user, other)
			}
			for _, viewer := range m.users {
				m.compare(viewer)
			}
			if t.Failed() {
				return
			}
		}
	})
}

func (m *signing) key(user string) string { return fmt.Sprint(m.round[user]) }

func (m *signing) reset(user string) {
	m.round[user]++
	body := m.signingKeys(user, m.key(user), m.key(user), allUsages...)
	if m.round[user] > 1 {
		body = m.withPassword(body, user)
	}
	m.get(user+" POST /keys/device_signing/upload", body)
	delete(m.self, user)
	delete(m.master, user)
	delete(m.others, user)
	for _, signed := range m.others {
		delete(signed, user)
	}
}

func (m *signing) upload(user, whose, name, object string, works bool) bool {
	m.t.Helper()
	v := m.get(user+" POST /keys/signatures/upload", fmt.Sprintf(`{%q:{%q:%s}}`, m.words[whose], name, object))
	if ok := check(v, "failures={}") == ""; ok != works {
		m.t.Errorf("%s signs %s of %s: got %v, want %v", user, name, whose, v, works)
	}
	return works
}

func (m *signing) signDevice(user string) {
	object := m.bySigningKey(m.deviceKeys(user, "0"), user, "self_signing", m.key(user))
	m.self[user] = m.upload(user, user, m.words[user+" device"], object, true)
}

func (m *signing) signMaster(user string) {
	object := m.byDevice(m.signingKey(user, "master", m.key(user)), user)
	m.master[user] = m.upload(user, user, public("master "+user+" "+m.key(user)), object, true)
}

func (m *signing) signUser(user, other string) {
	object := m.bySigningKey(m.signingKey(other, "master", m.key(other)), user, "user_signing", m.key(user))
	if m.upload(user, other, public("master "+other+" "+m.key(other)), object, m.round[other] > 0) {
		if m.others[user] == nil {
			m.others[user] = make(map[string]bool)
		}
		m.others[user][other] = true
	}
}

// compare asks for all keys as a user.
func (m *signing) compare(viewer string) {
	m.t.Helper()
	v := m.get(viewer+" POST /keys/query", m.fill(`{"device_keys":{"<alice>":[],"<bob>":[],"<carol>":[]}}`, func(v string) string { return v }))
	for _, user := range m.users {
		id, device, key := m.words[user], m.words[user+" device"], m.key(user)
		want := map[string]bool{"device " + id + " ed25519:" + device: true}
		if m.self[user] {
			want["device "+id+" ed25519:"+public("self_signing "+user+" "+key)] = true
		}
		if m.master[user] {
			want["master "+id+" ed25519:"+device] = true
		}
		if m.others[viewer][user] {
			want["master "+m.words[viewer]+" ed25519:"+public("user_signing "+viewer+" "+m.key(viewer))] = true
		}
		if m.round[user] > 0 {
			want["self_signing "+id+" ed25519:"+public("master "+user+" "+key)] = true
			if user == viewer {
				want["user_signing "+id+" ed25519:"+public("master "+user+" "+key)] = true
			}
		}
		got := make(map[string]bool)
		for kind, path := range map[string]string{"device": "device_keys/" + id + "/" + device, "master": "master_keys/" + id,
			"self_signing": "self_signing_keys/" + id, "user_signing": "user_signing_keys/" + id} {
			for _, all := range at(v, path+"/signatures") {
				for signer, keys := range all.(map[string]any) {
					for name := range keys.(map[string]any) {
						got[kind+" "+signer+" "+name] = true
					}
				}
			}
		}
		if !maps.Equal(got, want) {
			m.t.Errorf("%s sees of %s:\n got %s\nwant %s", viewer, user, listed(got), listed(want))
		}
	}
}

func listed(set map[string]bool) string { return strings.Join(slices.Sorted(maps.Keys(set)), ", ") }

// TestSignaturesAreTold follows whom /sync names when cross-signing keys and signatures change: what a user-signing key signs is told to
// nobody but its owner.
func TestSignaturesAreTold(t *testing.T) {
	each(t, "alice bob carol", func(s *script) {
		s.uploadDevice("alice", "bob", "carol")
		s.words["room"] = s.text("alice POST /createRoom", `{"preset":"public_chat"}`, "room_id")
		s.get("bob POST /rooms/<room>/join", "")
		from := make(map[string]string)
		told := func(what, want string) {
			s.t.Helper()
			for _, user := range []string{"alice", "bob", "carol"} {
				from[user] = s.words[user+" since"]
				v := s.since(user, "")
				changes := v
				if from[user] != "" {
					changes = map[string]any{"device_lists": s.get(user+" GET /keys/changes?from="+from[user]+"&to="+s.words[user+" since"], "")}
				}
				for _, v := range []any{v, changes} {
					names := ""
					for _, name := range at(v, "device_lists/changed/*") {
						names += " " + strings.TrimSuffix(strings.TrimPrefix(name.(string), "@"), ":test")
					}
					if got := user + ":" + names + ";"; !strings.Contains(want, got) {
						s.t.Errorf("%s: got %s want %s", what, got, want)
					}
				}
			}
		}
		told("at first", "alice:;bob:;carol:;")
		s.crossSign("alice")
		told("keys of alice", "alice: alice;bob: alice;carol:;")
		s.crossSign("alice")
		told("the same", "alice:;bob:;carol:;")
		s.get("alice POST /keys/device_signing/upload", s.withPassword(s.signingKeys("alice", "2", "1", "user_signing"), "alice"))
		told("a user-signing key", "alice: alice;bob:;carol:;")
		s.crossSign("bob", "carol")
		told("keys of others", "alice: bob;bob: bob;carol: carol;")
		sign := func(who, whose, name, object string) {
			s.t.Helper()
			s.must("signed", s.get(who+" POST /keys/signatures/upload", fmt.Sprintf(`{%q:{%q:%s}}`, s.words[whose], name, object)), "failures={}")
		}
		bobs := s.bySigningKey(s.signingKey("bob", "master", "1"), "alice", "user_signing", "2")
		sign("alice", "bob", public("master bob 1"), bobs)
		told("alice signs bob's", "alice: bob;bob:;carol:;")
		sign("alice", "bob", public("master bob 1"), bobs)
		told("again", "alice:;bob:;carol:;")
		sign("alice", "alice", s.words["alice device"], s.bySigningKey(s.deviceKeys("alice", "0"), "alice", "self_signing", "1"))
		told("alice signs her device", "alice: alice;bob: alice;carol:;")
		sign("alice", "alice", public("master alice 1"), s.byDevice(s.signingKey("alice", "master", "1"), "alice"))
		told("her device signs her", "alice: alice;bob: alice;carol:;")
		sign("carol", "bob", public("master bob 1"), s.bySigningKey(s.signingKey("bob", "master", "1"), "carol", "user_signing", "1"))
		told("a stranger signs bob's", "alice:;bob:;carol: bob;")
		s.get("bob POST /keys/device_signing/upload", s.withPassword(s.signingKeys("bob", "2", "2", allUsages...), "bob"))
		told("bob begins anew", "alice: bob;bob: bob;carol:;")
	})
}

// TestSignaturesWake parks a sync of the user whose key signs, and one of the user whose key is signed.
func TestSignaturesWake(t *testing.T) {
	each(t, "alice bob", func(s *script) {
		s.uploadDevice("alice", "bob")
		s.crossSign("alice", "bob")
		s.since("alice", "")
		done := make(chan any)
		go func() {
			a := s.Do("GET", "/_matrix/client/v3/sync?timeout=30000&since="+s.words["alice since"], s.tokens["alice"], nil)
			done <- decode(s.t, a.Body)
		}()
		s.get("alice POST /keys/signatures/upload", fmt.Sprintf(`{"<bob>":{%q:%s}}`, public("master bob 1"), s.bySigningKey(s.signingKey("bob", "master", "1"), "alice", "user_signing", "1")))
		s.must("woken", <-done, "device_lists/changed/0="+s.words["bob"])
	})
}
