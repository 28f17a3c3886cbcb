package sender

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"causeway/homeserver/event"
	"causeway/homeserver/store"
	"causeway/homeserver/storetest"

	"maunium.net/go/mautrix/id"
)

func TestBuildBody(t *testing.T) {
	events := func(n, size int) (queue []item) {
		for pos := range n {
			queue = append(queue, item{pos: int64(pos), json: []byte(`"` + strings.Repeat("x", size-2) + `"`)})
		}
		return queue
	}
	const room = maxTxnBytes - len(bodyStart) - len(bodyEnd)
	cases := []struct {
		name  string
		queue []item
		want  int
	}{
		{"one", events(1, 10), 1},
		{"as many as fit", events(maxTxnEvents, 10), maxTxnEvents},
		{"one too many", events(maxTxnEvents+1, 10), maxTxnEvents},
		{"as large as fits", events(2, room/2-1), 2},
		{"too large", events(3, room/2-1), 2},
		{"larger than all", events(2, maxTxnBytes+1), 1},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			got, size := taken(c.queue)
			body := buildBody(c.queue[:got], nil, size)
			if got != c.want {
				t.Errorf("took %d events, want %d", got, c.want)
			}
			var txn struct{ Events []string }
			if err := json.Unmarshal(body, &txn); err != nil || len(txn.Events) != c.want {
				t.Errorf("body has %d events, %v; want %d", len(txn.Events), err, c.want)
			}
			if got > 1 && len(body) > maxTxnBytes {
				t.Errorf("body has %d bytes, want at most %d", len(body), maxTxnBytes)
			}
		})
	}
}

// TestLargeEvents sends more than fits into one transaction by size.
func TestLargeEvents(t *testing.T) {
	h := newHouse(t, storetest.New(t))
	r := h.room("bridged")
	set := newSet(t, ircRegistration(t))
	if err := h.sender(nil, set).Prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	var want []string
	for i := range 40 {
		want = append(want, fmt.Sprint(i, strings.Repeat("x", 60_000)))
		r.say(ghost, want[i])
	}
	service := newService()
	h.start(h.sender(service, set))
	got, requests := service.collect(t, len(want))
	if !slices.Equal(got, want) {
		t.Error("the events came incomplete or out of order")
	}
	for _, q := range requests {
		if len(q.body) > maxTxnBytes {
			t.Errorf("a transaction has %d bytes, want at most %d", len(q.body), maxTxnBytes)
		}
	}
	if len(requests) > 4 {
		t.Errorf("it took %d transactions, want at most 4", len(requests))
	}
}

func TestClientForm(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		h := newHouse(t, db)
		r := h.room("bridged")
		first := r.setState(alice, "m.room.topic", "", `{"topic":"old"}`)
		second := r.setState(ghost, "m.room.topic", "", `{"topic":"new"}`)
		message := r.say(alice, "bad words")
		redaction := r.add(alice, event.TypeRedaction, nil, `{"reason":"bad"}`, message)

		var got []item
		err := db.View(t.Context(), func(tx *store.Tx) error {
			rows, err := tx.StreamIDs(0, 100)
			if err != nil {
				return err
			}
			topic, err := tx.EventByID(second)
			if err != nil {
				return err
			}
			events, err := loadEvents(tx, rows[2:])
			got = events.items(topic.OriginServerTS + 5)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		want := []map[string]any{
			{"type": "m.room.topic", "state_key": "", "sender": "@alice:test", "event_id": string(first), "content": map[string]any{"topic": "old"},
				"unsigned": map[string]any{}},
			{"type": "m.room.topic", "state_key": "", "sender": string(ghost), "event_id": string(second), "content": map[string]any{"topic": "new"},
				"unsigned": map[string]any{"prev_content": map[string]any{"topic": "old"}, "prev_sender": "@alice:test", "replaces_state": string(first)}},
			{"type": "m.room.message", "sender": "@alice:test", "event_id": string(message), "content": map[string]any{},
				"unsigned": map[string]any{"redacted_because": map[string]any{
					"type": event.TypeRedaction, "sender": "@alice:test", "event_id": string(redaction), "redacts": string(message),
					"content": map[string]any{"reason": "bad", "redacts": string(message)}, "unsigned": map[string]any{}}}},
			{"type": event.TypeRedaction, "sender": "@alice:test", "event_id": string(redaction), "redacts": string(message),
				"content": map[string]any{"reason": "bad", "redacts": string(message)}, "unsigned": map[string]any{}},
		}
		if len(got) != len(want) {
			t.Fatalf("there are %d events, want %d", len(got), len(want))
		}
		for i, e := range got {
			var form map[string]any
			if err := json.Unmarshal(e.json, &form); err != nil {
				t.Fatalf("%v: %s", err, e.json)
			}
			strip(t, form, string(r.id))
			if g, w := asJSON(form), asJSON(want[i]); g != w {
				t.Errorf("event is\n%s, want\n%s", g, w)
			}
		}
	})
}

// strip checks and removes what every event has.
func strip(t *testing.T, form map[string]any, roomID string) {
	t.Helper()
	if form["room_id"] != roomID {
		t.Errorf("room_id is %v, want %s", form["room_id"], roomID)
	}
	if ts, ok := form["origin_server_ts"].(float64); !ok || ts == 0 {
		t.Errorf("origin_server_ts is %v", form["origin_server_ts"])
	}
	unsigned, _ := form["unsigned"].(map[string]any)
	if age, ok := unsigned["age"].(float64); !ok || age < 0 {
		t.Errorf("age is %v", unsigned["age"])
	}
	delete(form, "room_id")
	delete(form, "origin_server_ts")
	delete(unsigned, "age")
	if because, ok := unsigned["redacted_because"].(map[string]any); ok {
		strip(t, because, roomID)
	}
}

func asJSON(v any) string {
	text, _ := json.Marshal(v)
	return string(text)
}

// FuzzMatrixError gives an answer of any bytes. What is shown to clients is short, valid and in one line.
func FuzzMatrixError(f *testing.F) {
	for _, seed := range []string{`{"errcode":"M_NOT_FOUND","error":"Unknown network"}`, `{"errcode":"M_X","error":"a\nb\u0000\u202e"}`, `{"errcode":7}`,
		`[]`, `null`, "", "<html>", `{"errcode":"M_X","error":"` + strings.Repeat("ü", maxErrorText) + `"}`, "{\"errcode\":\"\xff\"}"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		code, message := answer{status: 404, body: body}.matrixError()
		for _, s := range []string{code, message, clean(string(body))} {
			if !utf8.ValidString(s) || len(s) > maxErrorText+len("…") || strings.ContainsAny(s, "\r\n\x00\u202e") {
				t.Errorf("a client is shown %q", s)
			}
		}
	})
}

// TestTaken cuts random queues. A transaction is never empty, within its bounds unless one position alone is larger, and never ends within
// a position.
func TestTaken(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	for range 300 {
		var queue []item
		pos := int64(1)
		for range 1 + random.IntN(400) {
			pos += int64(random.IntN(3))
			i := item{pos: pos, kind: kind(random.IntN(int(kinds))), json: make([]byte, random.IntN(1+random.IntN(60_000)))}
			i.receipt = &receipt{}
			queue = append(queue, i)
		}
		for len(queue) > 0 {
			n, _ := taken(queue)
			if n < 1 || n > len(queue) {
				t.Fatalf("took %d of %d", n, len(queue))
			}
			if n < len(queue) && queue[n].pos == queue[n-1].pos {
				t.Fatalf("a transaction ends within position %d", queue[n].pos)
			}
			size, have := len(bodyStart)+len(bodyEnd), [kinds]int{}
			for _, i := range queue[:n] {
				size += i.size()
				have[i.kind]++
			}
			for k, most := range maxOfKind {
				if (size > maxTxnBytes || have[k] > most) && queue[0].pos != queue[n-1].pos {
					t.Fatalf("a transaction of several positions has %d bytes, and %d of kind %d", size, have[k], k)
				}
			}
			queue = queue[n:]
		}
	}
}

// TestLargeBeside sends messages to devices, receipts and presence, more than fits by size and by number.
func TestLargeBeside(t *testing.T) {
	h := newHouse(t, storetest.New(t))
	service := newService()
	s := h.sender(service, newSet(t, fullRegistration(t)))
	s.opt.PresenceMembers = 1000
	if err := s.Prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	h.account(ghost, "irc")
	r := h.room("bridged")
	r.member(ghost, "join")
	at := r.say(alice, "one")
	var mail []string
	for i := range 40 {
		text := fmt.Sprint(i, strings.Repeat("x", 60_000))
		h.mail(ghost, text)
		mail = append(mail, "@irc_nick:test DEV "+text)
	}
	readers := maxOfKind[kindReceipt] + 100
	for i := range readers {
		r.read(id.UserID(fmt.Sprintf("@reader%d:test", i)), store.ReceiptRead, "", at)
	}
	for i := range maxOfKind[kindPresence] + 50 {
		h.presence(id.UserID(fmt.Sprintf("@irc_%d:test", i)), "online", strings.Repeat("y", 200))
	}
	h.start(s)
	r.say(alice, "end")
	var gotMail []string
	gotReaders, gotPresence := make(map[string]bool), 0
	for done := false; !done; {
		q := service.next(t)
		if len(q.body) > maxTxnBytes {
			t.Errorf("a transaction has %d bytes, want at most %d", len(q.body), maxTxnBytes)
		}
		txn := parseTxn(t, q.body)
		done = slices.Contains(q.events(t), "end")
		for _, m := range txn.ToDevice {
			gotMail = append(gotMail, fmt.Sprint(m["to_user_id"], " ", m["to_device_id"], " ", m["content"].(map[string]any)["body"]))
		}
		for _, e := range txn.Ephemeral {
			if e["type"] == "m.presence" {
				gotPresence++
				continue
			}
			for user := range e["content"].(map[string]any)[string(at)].(map[string]any)["m.read"].(map[string]any) {
				gotReaders[user] = true
			}
		}
	}
	if !slices.Equal(gotMail, mail) {
		t.Errorf("%d messages came, want %d, in order", len(gotMail), len(mail))
	}
	if want := maxOfKind[kindPresence] + 50; gotPresence != want || len(gotReaders) != readers {
		t.Errorf("%d presences and the receipts of %d users came, want %d and %d", gotPresence, len(gotReaders), want, readers)
	}
}
