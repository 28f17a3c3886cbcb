package testserver_test

import (
	"fmt"
	"strings"
	"testing"

	"causeway/homeserver/store"
)

const (
	dehydratedPath   = "/_matrix/client/unstable/org.matrix.msc3814.v1/dehydrated_device"
	putDehydrated    = "alice PUT " + dehydratedPath
	getDehydrated    = "alice GET " + dehydratedPath
	deleteDehydrated = "alice DELETE " + dehydratedPath
)

// dehydrated is the body of PUT /dehydrated_device for a device of alice's that is called name.
func (s *script) dehydrated(name, salt string) string {
	s.t.Helper()
	s.words[name], s.words[name+" device"] = s.words["alice"], public("curve "+name)
	keys := strings.Replace(s.unsignedKeys(name, salt), "{", `{"dehydrated":true,`, 1)
	return fmt.Sprintf(`{"device_id":%q,"device_data":{"algorithm":"m.dehydration.v2","device_pickle":"p%s","nonce":"n"},"initial_device_display_name":"Dehydrated",
		"device_keys":%s,"one_time_keys":{"signed_curve25519:A":%s},"fallback_keys":{"signed_curve25519:F":%s}}`,
		s.words[name+" device"], salt, s.bySigningKey(s.byDevice(keys, name), "alice", "self_signing", "1"), s.signedKey(name, "a"), s.byDevice(`{"key":"f","fallback":true}`, name))
}

// TestDehydrated gives a user a dehydrated device. MSC3814.
func TestDehydrated(t *testing.T) {
	each(t, "alice bob", func(s *script) {
		s.uploadDevice("alice", "bob")
		s.crossSign("alice")
		body := s.dehydrated("dry", "1")
		bad := func(name, change, by, want string) step {
			status := 400
			if want == "M_TOO_LARGE" {
				status = 413
			}
			return step{name: name, request: putDehydrated, body: strings.Replace(body, change, by, 1), status: status, want: want}
		}
		s.run([]step{
			{name: "no token", request: "nobody GET " + dehydratedPath, status: 401, want: "M_MISSING_TOKEN"},
			{name: "none yet", request: getDehydrated, status: 404, want: "M_NOT_FOUND"},
			{name: "none to delete", request: deleteDehydrated, status: 404, want: "M_NOT_FOUND"},
			{name: "no messages of none", request: "alice POST " + dehydratedPath + "/<dry device>/events", body: `{}`, status: 403, want: "M_FORBIDDEN"},
			{name: "nothing", request: putDehydrated, body: `{}`, status: 400, want: "M_MISSING_PARAM"},
			bad("no keys", `"device_keys"`, `"other_keys"`, "M_MISSING_PARAM"),
			bad("data of no algorithm", `"algorithm":"m.deh`, `"x":"m.deh`, "M_BAD_JSON"),
			bad("large data", `"nonce":"n"`, `"nonce":"`+strings.Repeat("n", 300<<10)+`"`, "M_TOO_LARGE"),
			bad("the keys of another device", `"device_id":"`, `"device_id":"x`, "M_INVALID_PARAM"),
			bad("a one-time key of another", `{"key":"a"`, `{"key":"b"`, "M_INVALID_SIGNATURE"),
			bad("keys that are not signed", `"ed25519:`+s.words["dry device"]+`":"`, `"ed25519:x":"`, "M_INVALID_SIGNATURE"),
			{name: "in the place of a device that is used", request: putDehydrated, body: `{"device_id":"<alice device>","device_data":{"algorithm":"x"},"device_keys":` + s.deviceKeys("alice", "0") + `}`, status: 400, want: "M_INVALID_PARAM"},
			{name: "of the name of a key", request: putDehydrated, body: s.namedAsMaster(), status: 403, want: "M_FORBIDDEN"},
			{name: "still none", request: getDehydrated, status: 404, want: "M_NOT_FOUND"},
			{name: "a device", request: putDehydrated, body: body, status: 200, want: "device_id=<dry device>"},
			{name: "it is there", request: getDehydrated, status: 200, want: "device_id=<dry device> device_data/algorithm=m.dehydration.v2 device_data/device_pickle=p1 device_data/nonce=n"},
			{name: "others see its keys", request: "bob POST /keys/query", body: `{"device_keys":{"<alice>":[]}}`, status: 200,
				want: "device_keys/<alice>/<dry device>/dehydrated:bool device_keys/<alice>/<dry device>/unsigned/device_display_name=Dehydrated device_keys/<alice>/<dry device>/signatures/<alice>/ed25519:" + public("self_signing alice 1") + ":string device_keys/<alice>/<alice device>:object"},
			{name: "but have none", request: "bob GET " + dehydratedPath, status: 404, want: "M_NOT_FOUND"},
			{name: "nor its messages", request: "bob POST " + dehydratedPath + "/<dry device>/events", body: `{}`, status: 403, want: "M_FORBIDDEN"},
			{name: "another device of alice's", request: "alice POST " + dehydratedPath + "/<alice device>/events", body: `{}`, status: 403, want: "M_FORBIDDEN"},
			{name: "its key", request: "bob POST /keys/claim", body: `{"one_time_keys":{"<alice>":{"<dry device>":"signed_curve25519"}}}`, status: 200, want: "one_time_keys/<alice>/<dry device>/signed_curve25519:A/key=a"},
			{name: "its fallback key", request: "bob POST /keys/claim", body: `{"one_time_keys":{"<alice>":{"<dry device>":"signed_curve25519"}}}`, status: 200, want: "one_time_keys/<alice>/<dry device>/signed_curve25519:F/key=f"},
			{name: "no messages yet", request: "alice POST " + dehydratedPath + "/<dry device>/events", body: `{}`, status: 200, want: "events:empty next_batch:string"},
			{name: "a token that is none", request: "alice POST " + dehydratedPath + "/<dry device>/events", body: `{"next_batch":"x"}`, status: 400, want: "M_INVALID_PARAM"},
		})
	})
}

// TestDehydratedMessages sends a dehydrated device messages, wakes it, and puts another in its place. MSC3814.
func TestDehydratedMessages(t *testing.T) {
	each(t, "alice bob", func(s *script) {
		s.uploadDevice("alice", "bob")
		s.crossSign("alice")
		body := s.dehydrated("dry", "1")
		s.get(putDehydrated, body)
		const messages = 250
		for n := range messages {
			s.get(fmt.Sprintf("bob PUT /sendToDevice/t/%d", n), fmt.Sprintf(`{"messages":{"<alice>":{"<dry device>":{"n":%d}}}}`, n))
		}
		for _, method := range []string{"POST", "GET"} {
			if got := s.drain(method); got != messages {
				s.t.Errorf("%s: got %d messages, want %d", method, got, messages)
			}
		}
		// The same device again, as after an answer that was lost, keeps what waits for it; another takes its place.
		s.get(putDehydrated, body)
		if got := s.drain("POST"); got != messages {
			s.t.Errorf("after the same again: got %d messages, want %d", got, messages)
		}
		s.since("alice", "")
		s.words["old device"] = s.words["dry device"]
		body = s.dehydrated("new", "2")
		s.run([]step{
			{name: "another", request: putDehydrated, body: body, status: 200, want: "device_id=<new device>"},
			{name: "it is there now", request: getDehydrated, status: 200, want: "device_id=<new device> device_data/device_pickle=p2"},
			{name: "the old one is gone", request: "bob POST /keys/query", body: `{"device_keys":{"<alice>":[]}}`, status: 200, want: "device_keys/<alice>/<old device>:absent device_keys/<alice>/<new device>:object"},
			{name: "with its messages", request: "alice POST " + dehydratedPath + "/<old device>/events", body: `{}`, status: 403, want: "M_FORBIDDEN"},
		})
		s.must("it is told", s.since("alice", ""), "device_lists/changed/0="+s.words["alice"])
		s.get("bob PUT /sendToDevice/t/last", `{"messages":{"<alice>":{"<new device>":{"n":1}}}}`)
		s.run([]step{
			{name: "deleted", request: deleteDehydrated, status: 200, want: "device_id=<new device> device_data:absent"},
			{name: "gone", request: getDehydrated, status: 404, want: "M_NOT_FOUND"},
			{name: "its keys are gone", request: "bob POST /keys/query", body: `{"device_keys":{"<alice>":[]}}`, status: 200, want: "device_keys/<alice>/<new device>:absent"},
			{name: "put again", request: putDehydrated, body: body, status: 200, want: "device_id=<new device>"},
			{name: "without the messages", request: "alice POST " + dehydratedPath + "/<new device>/events", body: `{}`, status: 200, want: "events:empty"},
			{name: "signed out everywhere", request: "alice POST /logout/all", status: 200, want: "{}"},
			{name: "that one too", request: "bob POST /keys/query", body: `{"device_keys":{"<alice>":[]}}`, status: 200, want: "device_keys/<alice>={}"},
		})
		err := s.DB.View(s.t.Context(), func(tx *store.Tx) error {
			orphans, err := tx.AuditOrphans(10)
			for _, o := range orphans {
				s.t.Errorf("left: %+v", o)
			}
			return err
		})
		if err != nil {
			s.t.Error(err)
		}
	})
}

// namedAsMaster is a dehydrated device that is called as alice's master key.
func (s *script) namedAsMaster() string {
	s.words["named"], s.words["named device"] = s.words["alice"], public("master alice 1")
	return fmt.Sprintf(`{"device_id":%q,"device_data":{"algorithm":"x"},"device_keys":%s}`, s.words["named device"], s.deviceKeys("named", "0"))
}

// drain reads the messages for the dehydrated device to the end, which must come in their order, and returns how many these are.
func (s *script) drain(method string) (n int) {
	s.t.Helper()
	next := ""
	for {
		body, query := "", ""
		if method == "POST" {
			if body = `{}`; next != "" {
				body = fmt.Sprintf(`{"next_batch":%q}`, next)
			}
		} else if next != "" {
			query = "?next_batch=" + next
		}
		v := s.get("alice "+method+" "+dehydratedPath+"/<dry device>/events"+query, body)
		events := at(v, "events/*")
		if len(events) == 0 {
			return n
		}
		for _, e := range events {
			s.must("a message", e, fmt.Sprintf("content/n=%d sender=%s type=t", n, s.words["bob"]))
			n++
		}
		next = textAt(s.t, v, "next_batch")
	}
}

// TestServiceReplacesKeys has an application service replace the cross-signing keys of its user: there is nothing to confirm.
// Client-Server API, POST /keys/device_signing/upload, as of version 1.17.
func TestServiceReplacesKeys(t *testing.T) {
	eachWithServices(t, "", func(s *script) {
		s.get("irc POST /register", `{"type":"m.login.application_service","username":"irc_ghost","inhibit_login":true}`)
		s.words["ghost"] = "@irc_ghost:test"
		const post = "irc POST /keys/device_signing/upload?user_id=<ghost>"
		s.get(post, s.signingKeys("ghost", "1", "1", allUsages...))
		s.get(post, s.signingKeys("ghost", "2", "2", allUsages...))
		s.must("the second", s.get("irc POST /keys/query?user_id=<ghost>", `{"device_keys":{"<ghost>":[]}}`), "user_signing_keys/"+s.words["ghost"]+"/keys/ed25519:"+public("user_signing ghost 2")+":string")
	})
}
