package testserver_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"causeway/homeserver"
	"causeway/homeserver/store"
	"causeway/homeserver/storetest"
	"causeway/homeserver/testserver"
)

// received returns the numbers that the messages in a sync have for n.
func received(v any) []string {
	got := []string{}
	for _, n := range at(v, "to_device/events/*/content/n") {
		got = append(got, plain(n))
	}
	return got
}

// TestToDevice is PUT /sendToDevice, and what /sync says of it.
func TestToDevice(t *testing.T) {
	each(t, "alice bob carol", func(s *script) {
		s.devices("alice", "bob", "carol")
		const put = "alice PUT /sendToDevice/my.type/"
		s.since("bob", "")
		s.run([]step{
			{name: "no token", request: "nobody PUT /sendToDevice/my.type/t", body: `{"messages":{}}`, status: 401, want: "M_MISSING_TOKEN"},
			{name: "no JSON", request: put + "t", body: `{"messages":`, status: 400, want: "M_NOT_JSON"},
			{name: "nothing", request: put + "t", body: `{}`, status: 400, want: "M_MISSING_PARAM"},
			{name: "of the wrong form", request: put + "t", body: `{"messages":[]}`, status: 400, want: "M_BAD_JSON"},
			{name: "a content that is none", request: put + "t", body: `{"messages":{"<bob>":{"<bob device>":7}}}`, status: 400, want: "M_BAD_JSON"},
			{name: "a content that is too large", request: put + "t", body: `{"messages":{"<bob>":{"<bob device>":{"x":"` + strings.Repeat("x", 64<<10) + `"}}}}`, status: 413, want: "M_TOO_LARGE"},
			{name: "a long transaction id", request: put + strings.Repeat("x", 256), body: `{"messages":{}}`, status: 400, want: "M_INVALID_PARAM"},
			{name: "a message", request: put + "1", body: `{"messages":{"<bob>":{"<bob device>":{"n":1, "float":1.5}},"<carol>":{"<carol device>":{"n":"c"}}}}`, status: 200, want: "{}"},
			{name: "the same request", request: put + "1", body: `{"messages":{"<bob>":{"<bob device>":{"n":1}}}}`, status: 200, want: "{}"},
			{name: "another type", request: "alice PUT /_matrix/client/r0/sendToDevice/other.type/1", body: `{"messages":{"<bob>":{"<bob device>":{"n":2}}}}`, status: 200, want: "{}"},
			{name: "another sender", request: "carol PUT /sendToDevice/my.type/1", body: `{"messages":{"<bob>":{"<bob device>":{"n":3}}}}`, status: 200, want: "{}"},
			{name: "all devices", request: put + "2", body: `{"messages":{"<bob>":{"*":{"n":4}}}}`, status: 200, want: "{}"},
			{name: "devices that are not there", request: put + "3", body: `{"messages":{"<bob>":{"NONE":{"n":5}},"@none:test":{"*":{"n":6}},"@x:else.where":{"*":{"n":7}},"x":{"y":{}}}}`, status: 200, want: "{}"},
			{name: "to oneself", request: put + "4", body: `{"messages":{"<alice>":{"<alice device>":{"n":8}}}}`, status: 200, want: "{}"},
		})
		before := s.words["bob since"]
		v := s.since("bob", "")
		s.must("bob", v, `to_device/events/0/type=my.type to_device/events/0/sender=`+s.words["alice"]+` to_device/events/0/content/n=1 to_device/events/0/content/float=1.5
			to_device/events/1/type=other.type to_device/events/2/sender=`+s.words["carol"])
		if got, want := received(v), []string{"1", "2", "3", "4"}; !slices.Equal(got, want) {
			s.t.Errorf("got %q, want %q", got, want)
		}
		if got := received(s.get("carol GET /sync", "")); !slices.Equal(got, []string{"c"}) {
			s.t.Errorf("carol got %q", got)
		}
		s.must("the same again, as it is not acknowledged", s.get("bob GET /sync?since="+before, ""), "to_device/events/3/content/n=4")
		s.must("and to one who begins", s.get("bob GET /sync", ""), "to_device/events/3/content/n=4")
		s.must("acknowledged", s.since("bob", ""), "to_device/events:empty")
		s.must("gone", s.get("bob GET /sync?since="+before, ""), "to_device/events:empty")
		s.must("gone for one who begins", s.get("bob GET /sync", ""), "to_device/events:empty")
		// A device that signs out loses what waits, and another that gets its name does not find it.
		s.get(put+"5", `{"messages":{"<carol>":{"*":{"n":"secret"}}}}`)
		s.get("carol POST /logout", "")
		s.tokens["carol"] = s.text("nobody POST /login", `{"type":"m.login.password","identifier":{"type":"m.id.user","user":"carol"},"password":"correct horse battery","device_id":"<carol device>"}`, "access_token")
		s.must("another device", s.get("carol GET /sync", ""), "to_device/events:empty")
	})
}

// TestToDeviceWakes parks a sync, which a message, a claimed key, and another's new keys end.
func TestToDeviceWakes(t *testing.T) {
	each(t, "alice bob", func(s *script) {
		s.devices("alice", "bob")
		s.words["room"] = s.text("alice POST /createRoom", `{"preset":"public_chat"}`, "room_id")
		s.get("bob POST /rooms/<room>/join", "")
		s.uploadDevice("bob")
		s.get("bob POST /keys/upload", `{"one_time_keys":{"signed_curve25519:A":`+s.signedKey("bob", "a")+`}}`)
		for _, test := range []struct{ name, request, body, want string }{
			{"a message", "alice PUT /sendToDevice/t/1", `{"messages":{"<bob>":{"*":{"n":1}}}}`, "to_device/events/0/content/n=1"},
			{"a claim", "alice POST /keys/claim", `{"one_time_keys":{"<bob>":{"<bob device>":"signed_curve25519"}}}`, "device_one_time_keys_count/signed_curve25519=0"},
			{"keys", "alice POST /keys/upload", `{"device_keys":` + s.deviceKeys("alice", "1") + `}`, "device_lists/changed/0=" + s.words["alice"]},
			{"a sign out", "alice POST /logout", "", "device_lists/changed/0=" + s.words["alice"]},
		} {
			s.since("bob", "")
			got := make(chan testserver.Answer)
			go func() {
				got <- s.Do("GET", "/_matrix/client/v3/sync?timeout=60000&since="+s.words["bob since"], s.tokens["bob"], nil)
			}()
			started := time.Now()
			s.get(test.request, test.body)
			a := <-got
			s.must(test.name, decode(s.t, a.Body), test.want)
			if took := time.Since(started); took > 30*time.Second {
				s.t.Errorf("%s: it took %v", test.name, took)
			}
		}
	})
}

// TestToDeviceInParts has more messages wait than an answer has.
func TestToDeviceInParts(t *testing.T) {
	const sent = 250
	each(t, "alice bob", func(s *script) {
		s.devices("bob")
		s.since("bob", "")
		first := s.words["bob since"]
		var want []string
		for n := range sent {
			want = append(want, fmt.Sprint(n))
			s.get(fmt.Sprint("alice PUT /sendToDevice/t/", n), fmt.Sprintf(`{"messages":{"<bob>":{"<bob device>":{"n":%d}}}}`, n))
		}
		s.words["room"] = s.text("bob POST /createRoom", `{}`, "room_id")
		var got []string
		for i, size := range []int{100, 100, 50, 0} {
			before := s.words["bob since"]
			v := s.since("bob", "")
			if n := len(received(v)); n != size {
				s.t.Fatalf("answer %d has %d messages, want %d", i, n, size)
			}
			if again := received(s.get("bob GET /sync?since="+before, "")); !slices.Equal(again, received(v)) {
				s.t.Errorf("answer %d, once more: got %q, want %q", i, again, received(v))
			}
			got = append(got, received(v)...)
			rooms := len(at(v, "rooms/join/*"))
			if (i == 0) != (rooms == 1) {
				s.t.Errorf("answer %d has %d rooms", i, rooms)
			}
			// Tokens in parts serve pagination as well.
			s.must("messages", s.get("bob GET /rooms/<room>/messages?dir=b&from="+s.words["bob since"], ""), "chunk/0:event")
		}
		if !slices.Equal(got, want) {
			s.t.Errorf("got %q", got)
		}
		s.must("nothing is left", s.get("bob GET /sync?since="+first, ""), "to_device/events:empty")
		if strings.Contains(s.words["bob since"], "_d") {
			s.t.Errorf("the token is %s still", s.words["bob since"])
		}
	})
}

// TestToDeviceConcurrent has many send to one device, whose client reconnects, repeats tokens and forgets answers: it gets each message
// once, those of each sender in order.
func TestToDeviceConcurrent(t *testing.T) {
	const senders, messages = 6, 60
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		s := newScript(t, db, []string{"bob", "u0", "u1", "u2", "u3", "u4", "u5"})
		s.devices("bob")
		var wg sync.WaitGroup
		for i := range senders {
			name := fmt.Sprint("u", i)
			wg.Go(func() {
				for n := range messages {
					path := fmt.Sprintf("/_matrix/client/v3/sendToDevice/t/%d", n)
					body := fmt.Sprintf(`{"messages":{%q:{%q:{"n":"%d %d"}}}}`, s.words["bob"], s.words["bob device"], i, n)
					for range 1 + n%2 { // every other request is repeated
						if a := s.Do("PUT", path, s.tokens[name], body); a.Status != http.StatusOK {
							t.Errorf("send: %d %s", a.Status, a.Body)
						}
					}
				}
			})
		}
		rng := rand.New(rand.NewPCG(1, 2))
		next := make([]int, senders)
		since, last, reader := "", "", s.Server
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		for total := 0; total < senders*messages && ctx.Err() == nil; {
			if rng.IntN(6) == 0 { // another server process takes over
				reader = testserver.New(t, db, func(c *homeserver.Config) { c.Bus = s.Bus })
			}
			path := "/_matrix/client/v3/sync?timeout=1000"
			if since != "" {
				path += "&since=" + since
			}
			v := decode(t, reader.Do("GET", path, s.tokens["bob"], nil).Body)
			if rng.IntN(3) == 0 {
				continue // the answer is lost, and the client asks again
			}
			for _, n := range received(v) {
				from, number, _ := strings.Cut(n, " ")
				i, err := strconv.Atoi(from)
				if err != nil {
					t.Fatal(err)
				}
				if number != fmt.Sprint(next[i]) {
					t.Fatalf("message %s of %d, want %d", number, i, next[i])
				}
				next[i]++
				total++
			}
			last, since = since, textAt(t, v, "next_batch")
			if last != "" && rng.IntN(4) == 0 {
				// An old request of the same client comes late: what it acknowledges is what the client has.
				reader.Do("GET", "/_matrix/client/v3/sync?since="+last, s.tokens["bob"], nil)
			}
		}
		wg.Wait()
		for i, n := range next {
			if n != messages {
				t.Errorf("got %d messages of %d, want %d", n, i, messages)
			}
		}
	})
}
