package testserver_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"causeway/homeserver"
	"causeway/homeserver/room"
	"causeway/homeserver/store"
	"causeway/homeserver/storetest"
	"causeway/homeserver/testserver"
)

const msc4140 = "/_matrix/client/unstable/org.matrix.msc4140"

// TestDelayedEvents schedules events in all forms, and acts on them (MSC4140). Nothing of them becomes due.
func TestDelayedEvents(t *testing.T) {
	each(t, "alice bob carol", func(s *script) {
		s.words["room"] = s.text("alice POST /createRoom", `{"preset":"public_chat"}`, "room_id")
		s.run(delayedSteps)
		s.run(delayedActionSteps)
		s.run(delayedUnstableSteps)
	}, func(c *homeserver.Config) { c.Delayed = room.DelayedConfig{MaxDelay: time.Hour, MaxScheduled: 10} })
}

const laterBody = `{"delay_ms":60000,"content":{"msgtype":"m.text","body":"later"}}`

var delayedSteps = []step{
	{"capability", "alice GET /capabilities", ``, 200, "capabilities/m.delayed_events/max_delay_ms=3600000 capabilities/m.delayed_events/max_scheduled=10", ""},
	{"flag", "nobody GET /_matrix/client/versions", ``, 200, "unstable_features/org.matrix.msc4140=true unstable_features/org.matrix.msc4140.stable=true", ""},
	{"none", "alice GET /_matrix/client/v1/delayed_events", ``, 200, "delayed_events:empty", ""},
	{"list without a token", "nobody GET /_matrix/client/v1/delayed_events", ``, 401, "M_MISSING_TOKEN", ""},
	{"without a token", "nobody PUT /rooms/<room>/delayed_event/m.room.message/1", laterBody, 401, "M_MISSING_TOKEN", ""},
	{"schedule", "alice PUT /rooms/<room>/delayed_event/m.room.message/1", laterBody, 200, "delay_id:string event_id:absent", "delay=delay_id"},
	{"again", "alice PUT /rooms/<room>/delayed_event/m.room.message/1", laterBody, 200, "delay_id=<delay>", ""},
	{"list", "alice GET /_matrix/client/v1/delayed_events", ``, 200, "delayed_events/0/delay_id=<delay> delayed_events/1:absent", ""},
	{"list of somebody else", "bob GET /_matrix/client/v1/delayed_events", ``, 200, "delayed_events:empty", ""},
	{"get", "alice GET /_matrix/client/v1/delayed_events/<delay>", ``, 200, "delay_id=<delay> room_id=<room> type=m.room.message state_key:absent delay_ms=60000 delayed_since_ts:integer content/body=later finalised:absent delay:absent", ""},
	{"get somebody else's", "bob GET /_matrix/client/v1/delayed_events/<delay>", ``, 404, "M_NOT_FOUND", ""},
	{"get without a token", "nobody GET /_matrix/client/v1/delayed_events/<delay>", ``, 401, "M_MISSING_TOKEN", ""},
	{"get nothing", "alice GET /_matrix/client/v1/delayed_events/abc", ``, 404, "M_NOT_FOUND", ""},
	{"no delay", "alice PUT /rooms/<room>/delayed_event/m.room.message/2", `{"content":{}}`, 400, "M_MISSING_PARAM", ""},
	{"delay 0", "alice PUT /rooms/<room>/delayed_event/m.room.message/2", `{"content":{},"delay_ms":0}`, 400, "M_INVALID_PARAM", ""},
	{"delay below 0", "alice PUT /rooms/<room>/delayed_event/m.room.message/2", `{"content":{},"delay_ms":-1}`, 400, "M_INVALID_PARAM", ""},
	{"delay of a fraction", "alice PUT /rooms/<room>/delayed_event/m.room.message/2", `{"content":{},"delay_ms":1.5}`, 400, "M_BAD_JSON", ""},
	{"delay too large", "alice PUT /rooms/<room>/delayed_event/m.room.message/2", `{"content":{},"delay_ms":3600001}`, 400, "errcode=M_DELAY_TOO_LARGE max_delay_ms=3600000", ""},
	{"no content", "alice PUT /rooms/<room>/delayed_event/m.room.message/2", `{"delay_ms":1}`, 400, "M_MISSING_PARAM", ""},
	{"content that is none", "alice PUT /rooms/<room>/delayed_event/m.room.message/2", `{"content":7,"delay_ms":1}`, 400, "M_BAD_JSON", ""},
	{"state key that is none", "alice PUT /rooms/<room>/delayed_event/m.room.message/2", `{"content":{},"state_key":7,"delay_ms":1}`, 400, "M_BAD_JSON", ""},
	{"content too large", "alice PUT /rooms/<room>/delayed_event/m.room.message/2", `{"delay_ms":1000,"content":` + hugeBody + `}`, 413, "M_TOO_LARGE", ""},
	{"type too long", "alice PUT /rooms/<room>/delayed_event/" + strings.Repeat("x", 256) + "/2", laterBody, 413, "M_TOO_LARGE", ""},
	{"transaction id too long", "alice PUT /rooms/<room>/delayed_event/m.room.message/" + strings.Repeat("x", 256), laterBody, 400, "M_INVALID_PARAM", ""},
	{"no JSON", "alice PUT /rooms/<room>/delayed_event/m.room.message/2", `{`, 400, "M_NOT_JSON", ""},
	{"no room", "alice PUT /rooms/!none:test/delayed_event/m.room.message/2", laterBody, 403, "M_FORBIDDEN", ""},
	{"a room of others", "bob PUT /rooms/<room>/delayed_event/m.room.message/2", laterBody, 403, "M_FORBIDDEN", ""},
}

var delayedActionSteps = []step{
	{"no such action", "alice POST /_matrix/client/v1/delayed_events/<delay>/oops", `{}`, 404, "M_UNRECOGNIZED", ""},
	{"wrong method", "alice GET /_matrix/client/v1/delayed_events/<delay>/send", ``, 405, "M_UNRECOGNIZED", ""},
	{"without a token", "nobody POST /_matrix/client/v1/delayed_events/<delay>/send", `{}`, 401, "M_MISSING_TOKEN", ""},
	{"somebody else's", "bob POST /_matrix/client/v1/delayed_events/<delay>/cancel", `{}`, 404, "M_NOT_FOUND", ""},
	{"nothing", "alice POST /_matrix/client/v1/delayed_events/abc/restart", `{}`, 404, "M_NOT_FOUND", ""},
	{"restart", "alice POST /_matrix/client/v1/delayed_events/<delay>/restart", `{}`, 200, "{}", ""},
	{"send", "alice POST /_matrix/client/v1/delayed_events/<delay>/send", `{}`, 200, "{}", ""},
	{"send again", "alice POST /_matrix/client/v1/delayed_events/<delay>/send", `{}`, 200, "{}", ""},
	{"cancel what is sent", "alice POST /_matrix/client/v1/delayed_events/<delay>/cancel", `{}`, 409, "M_UNKNOWN", ""},
	{"restart what is sent", "alice POST /_matrix/client/v1/delayed_events/<delay>/restart", `{}`, 409, "M_UNKNOWN", ""},
	{"it is sent", "alice GET /_matrix/client/v1/delayed_events/<delay>", ``, 200, "finalised/finalised_ts:integer finalised/event_id:eventid finalised/error:absent content/body=later", "event=finalised/event_id"},
	{"none is left", "alice GET /_matrix/client/v1/delayed_events", ``, 200, "delayed_events:empty", ""},
	{"the event", "alice GET /rooms/<room>/event/<event>", ``, 200, "content/body=later sender=<alice> unsigned/delay_id=<delay> unsigned/org.matrix.msc4140.delay_id=<delay> unsigned/transaction_id:absent", ""},
	{"join", "bob POST /rooms/<room>/join", `{}`, 200, "", ""},
	{"the event for others", "bob GET /rooms/<room>/event/<event>", ``, 200, "content/body=later unsigned/delay_id:absent unsigned/org.matrix.msc4140.delay_id:absent", ""},
	{"redact it", "alice PUT /rooms/<room>/redact/<event>/9", `{}`, 200, "event_id:eventid", ""},
	{"what it said is gone", "alice GET /_matrix/client/v1/delayed_events/<delay>", ``, 200, "finalised/event_id=<event> content/body:absent", ""},
	{"the same transaction id", "alice PUT /rooms/<room>/delayed_event/m.room.message/1", laterBody, 200, "delay_id=<delay>", ""},

	{"state", "alice PUT /rooms/<room>/delayed_event/m.room.topic/3", `{"delay_ms":60000,"state_key":"","content":{"topic":"late"}}`, 200, "delay_id:string", "delay=delay_id"},
	{"cancel", "alice POST /_matrix/client/v1/delayed_events/<delay>/cancel", `{}`, 200, "{}", ""},
	{"cancel again", "alice POST /_matrix/client/v1/delayed_events/<delay>/cancel", `{}`, 200, "{}", ""},
	{"send what is cancelled", "alice POST /_matrix/client/v1/delayed_events/<delay>/send", `{}`, 409, "M_UNKNOWN", ""},
	{"restart what is cancelled", "alice POST /_matrix/client/v1/delayed_events/<delay>/restart", `{}`, 409, "M_UNKNOWN", ""},
	{"it is cancelled", "alice GET /_matrix/client/v1/delayed_events/<delay>", ``, 200, "state_key= finalised/finalised_ts:integer finalised/event_id:absent finalised/error:absent content/topic=late", ""},
	{"no topic", "alice GET /rooms/<room>/state/m.room.topic", ``, 404, "M_NOT_FOUND", ""},

	{"not allowed", "bob PUT /rooms/<room>/delayed_event/m.room.topic/3", `{"delay_ms":60000,"state_key":"","content":{"topic":"mine"}}`, 200, "delay_id:string", "delay=delay_id"},
	{"send what is not allowed", "bob POST /_matrix/client/v1/delayed_events/<delay>/send", `{}`, 403, "M_FORBIDDEN", ""},
	{"it stays scheduled", "bob GET /_matrix/client/v1/delayed_events/<delay>", ``, 200, "finalised:absent", ""},
	{"it is allowed now", "alice PUT /rooms/<room>/state/m.room.power_levels/", `{"users":{"<bob>":50}}`, 200, "event_id:eventid", ""},
	{"send it", "bob POST /_matrix/client/v1/delayed_events/<delay>/send", `{}`, 200, "{}", ""},
	{"the topic", "alice GET /rooms/<room>/state/m.room.topic", ``, 200, "topic=mine", ""},

	{"a leave", "bob PUT /rooms/<room>/delayed_event/m.room.member/4", `{"delay_ms":60000,"state_key":"<bob>","content":{"membership":"leave"}}`, 200, "delay_id:string", "leave=delay_id"},
	{"a join", "bob PUT /rooms/<room>/delayed_event/m.room.member/5", `{"delay_ms":60000,"state_key":"<bob>","content":{"membership":"join"}}`, 200, "delay_id:string", "join=delay_id"},
	{"leave", "bob POST /_matrix/client/v1/delayed_events/<leave>/send", `{}`, 200, "{}", ""},
	{"bob left", "alice GET /rooms/<room>/state/m.room.member/<bob>", ``, 200, "membership=leave", ""},
	{"join", "bob POST /_matrix/client/v1/delayed_events/<join>/send", `{}`, 200, "{}", ""},
	{"bob joined", "alice GET /rooms/<room>/state/m.room.member/<bob>", ``, 200, "membership=join", ""},
	{"that is recorded", "bob GET /_matrix/client/v1/delayed_events/<join>", ``, 200, "finalised/event_id:eventid", ""},

	{"a message", "alice PUT /rooms/<room>/send/m.room.message/m1", `{"body":"x","msgtype":"m.text"}`, 200, "event_id:eventid", "event=event_id"},
	{"a redaction", "alice PUT /rooms/<room>/delayed_event/m.room.redaction/6", `{"delay_ms":60000,"content":{"redacts":"<event>"}}`, 200, "delay_id:string", "delay=delay_id"},
	{"redact", "alice POST /_matrix/client/v1/delayed_events/<delay>/send", `{}`, 200, "{}", ""},
	{"it is redacted", "alice GET /rooms/<room>/event/<event>", ``, 200, "content/body:absent", ""},
}

var delayedUnstableSteps = []step{
	{"schedule", "alice PUT " + msc4140 + "/rooms/<room>/delayed_event/m.room.message/u1", `{"delay":60000,"content":{"body":"a"}}`, 200, "delay_id:string", "delay=delay_id"},
	{"too large", "alice PUT " + msc4140 + "/rooms/<room>/delayed_event/m.room.message/u2", `{"delay_ms":3600001,"content":{}}`, 400, "errcode=ORG.MATRIX.MSC4140_DELAY_TOO_LARGE org.matrix.msc4140.max_delay=3600000", ""},
	{"get", "alice GET " + msc4140 + "/delayed_events/<delay>", ``, 200, "delay_id=<delay> delay=60000 delay_ms=60000 running_since:integer delayed_since_ts:integer", ""},
	{"restart without a token", "nobody POST " + msc4140 + "/delayed_events/<delay>/restart", `{}`, 200, "{}", ""},
	{"restart by the body", "nobody POST " + msc4140 + "/delayed_events/<delay>", `{"action":"restart"}`, 200, "{}", ""},
	{"no action", "nobody POST " + msc4140 + "/delayed_events/<delay>", `{}`, 400, "M_MISSING_PARAM", ""},
	{"no such action", "nobody POST " + msc4140 + "/delayed_events/<delay>", `{"action":"x"}`, 400, "M_INVALID_PARAM", ""},
	{"no such action in the path", "nobody POST " + msc4140 + "/delayed_events/<delay>/oops", `{}`, 404, "M_UNRECOGNIZED", ""},
	{"nothing", "nobody POST " + msc4140 + "/delayed_events/abc/cancel", `{}`, 404, "M_NOT_FOUND", ""},
	{"with somebody else's token", "bob POST " + msc4140 + "/delayed_events/<delay>/cancel", `{}`, 404, "M_NOT_FOUND", ""},
	{"with a wrong token", "unknown POST " + msc4140 + "/delayed_events/<delay>/cancel", `{}`, 401, "M_UNKNOWN_TOKEN", ""},
	{"cancel without a token", "nobody POST " + msc4140 + "/delayed_events/<delay>/cancel", `{}`, 200, "{}", ""},
	{"restart what is cancelled", "nobody POST " + msc4140 + "/delayed_events/<delay>/restart", `{}`, 404, "M_NOT_FOUND", ""},
	{"send what is cancelled by the body", "nobody POST " + msc4140 + "/delayed_events/<delay>", `{"action":"send"}`, 404, "M_NOT_FOUND", ""},

	{"by query", "alice PUT /rooms/<room>/send/m.room.message/q1?org.matrix.msc4140.delay=60000", `{"body":"b"}`, 200, "delay_id:string", "delay=delay_id"},
	{"again", "alice PUT /rooms/<room>/send/m.room.message/q1?org.matrix.msc4140.delay=60000", ``, 200, "delay_id=<delay>", ""},
	{"by query, no body", "alice PUT /rooms/<room>/send/m.room.message/q2?org.matrix.msc4140.delay=60000", ``, 400, "M_NOT_JSON", ""},
	{"by query, 0", "alice PUT /rooms/<room>/send/m.room.message/q2?org.matrix.msc4140.delay=0", `{}`, 400, "M_INVALID_PARAM", ""},
	{"by query, nonsense", "alice PUT /rooms/<room>/send/m.room.message/q2?org.matrix.msc4140.delay=soon", `{}`, 400, "M_INVALID_PARAM", ""},
	{"by query, too large", "alice PUT /rooms/<room>/send/m.room.message/q2?org.matrix.msc4140.delay=3600001", `{}`, 400, "errcode=M_UNKNOWN org.matrix.msc4140.errcode=M_MAX_DELAY_EXCEEDED org.matrix.msc4140.max_delay=3600000", ""},
	{"state by query", "alice PUT /rooms/<room>/state/a.b/k?org.matrix.msc4140.delay=50000", `{"c":1}`, 200, "delay_id:string", "state=delay_id"},
	{"state without a key by query", "alice PUT /rooms/<room>/state/a.b?org.matrix.msc4140.delay=55000", `{"c":2}`, 200, "delay_id:string", ""},
	{"list", "alice GET " + msc4140 + "/delayed_events", ``, 200, "delayed_events/0/delay_id=<state> delayed_events/0/state_key=k delayed_events/1/state_key= delayed_events/2/delay_id=<delay> delayed_events/2/content/body=b delayed_events/2/running_since:integer delayed_events/3:absent", ""},
	{"nothing was sent", "alice GET /rooms/<room>/state/a.b/k", ``, 404, "M_NOT_FOUND", ""},
	{"send", "nobody POST " + msc4140 + "/delayed_events/<state>/send", `{}`, 200, "{}", ""},
	{"it is sent", "alice GET /rooms/<room>/state/a.b/k", ``, 200, "c=1", ""},
}

// A user may have so many events scheduled, in all rooms together, and is told when there is room for another.
func TestTooManyDelayed(t *testing.T) {
	each(t, "alice", func(s *script) {
		roomID := s.text("alice POST /createRoom", `{}`, "room_id")
		s.words["room"] = roomID
		first := s.text("alice PUT /rooms/<room>/delayed_event/a.b/1", `{"delay_ms":30000,"content":{}}`, "delay_id")
		s.get("alice PUT /rooms/<room>/delayed_event/a.b/2", `{"delay_ms":60000,"content":{}}`)
		a := s.ask("alice PUT /rooms/<room>/delayed_event/a.b/3", `{"delay_ms":1000,"content":{}}`)
		seconds, _ := strconv.Atoi(a.Header.Get("Retry-After"))
		if a.Status != http.StatusTooManyRequests || a.Code() != "M_LIMIT_EXCEEDED" || seconds < 25 || seconds > 31 {
			t.Fatalf("got %d %s, Retry-After %q", a.Status, a.Body, a.Header.Get("Retry-After"))
		}
		s.words["first"] = first
		s.get("alice POST /_matrix/client/v1/delayed_events/<first>/cancel", `{}`)
		s.get("alice PUT /rooms/<room>/delayed_event/a.b/3", `{"delay_ms":1000,"content":{}}`)
	}, func(c *homeserver.Config) { c.Delayed.MaxScheduled = 2 })
}

func TestDelayedOff(t *testing.T) {
	each(t, "alice", func(s *script) {
		s.words["room"] = s.text("alice POST /createRoom", `{}`, "room_id")
		s.run([]step{
			{"no capability", "alice GET /capabilities", ``, 200, "capabilities/m.delayed_events:absent", ""},
			{"no flag", "nobody GET /_matrix/client/versions", ``, 200, "unstable_features/org.matrix.msc4140=false", ""},
			{"schedule", "alice PUT /rooms/<room>/delayed_event/a.b/1", `{"delay_ms":1000,"content":{}}`, 403, "M_FORBIDDEN", ""},
			{"by query", "alice PUT /rooms/<room>/send/a.b/1?org.matrix.msc4140.delay=1", `{}`, 403, "M_FORBIDDEN", ""},
		})
	}, func(c *homeserver.Config) { c.Delayed.Off = true })
}

// TestDelayedRun has events sent by a server that runs, and by the next one what became due between them: each once, none too early.
func TestDelayedRun(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		s := testserver.New(t, db)
		alice := s.Register("alice")
		var created struct {
			RoomID string `json:"room_id"`
		}
		s.OK("POST", "/_matrix/client/v3/createRoom", alice.Token, map[string]any{}, &created)
		put := func(body string, delay time.Duration) {
			s.OK("PUT", fmt.Sprintf("/_matrix/client/v3/rooms/%s/delayed_event/m.room.message/%s", created.RoomID, body), alice.Token,
				map[string]any{"delay_ms": delay.Milliseconds(), "content": map[string]any{
					"body": body, "due": time.Now().Add(delay).UnixMilli(),
				}}, nil)
		}
		listener := &messageListener{t: t, token: alice.Token}
		listener.await(s) // all that is there
		stop := run(t, s)
		put("first", 400*time.Millisecond)
		put("second", 100*time.Millisecond)
		listener.await(s, "second", "first")
		put("third", time.Millisecond)
		put("later", 10*time.Minute)
		listener.await(s, "third")
		stop()
		put("fourth", time.Millisecond)
		s = testserver.New(t, db)
		stop = run(t, s)
		listener.await(s, "fourth")
		stop()
	})
}

// run runs a server, until the function that it returns is called.
func run(t *testing.T, s *testserver.Server) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	return func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
}

// messageListener follows /sync.
type messageListener struct {
	t     *testing.T
	token string
	since string
}

// await waits for messages of one room, which must be these, in this order, and none of which may have come before it was due.
func (l *messageListener) await(s *testserver.Server, want ...string) {
	l.t.Helper()
	var got []string
	for {
		var out struct {
			NextBatch string `json:"next_batch"`
			Rooms     struct {
				Join map[string]struct {
					Timeline struct {
						Events []struct {
							Content struct {
								Body string `json:"body"`
								Due  int64  `json:"due"`
							} `json:"content"`
							TS int64 `json:"origin_server_ts"`
						} `json:"events"`
					} `json:"timeline"`
				} `json:"join"`
			} `json:"rooms"`
		}
		s.OK("GET", "/_matrix/client/v3/sync?timeout=20000&since="+l.since, l.token, nil, &out)
		l.since = out.NextBatch
		for _, joined := range out.Rooms.Join {
			for _, e := range joined.Timeline.Events {
				if e.Content.Body == "" {
					continue
				}
				got = append(got, e.Content.Body)
				if e.TS < e.Content.Due {
					l.t.Errorf("%s came %d ms too early", e.Content.Body, e.Content.Due-e.TS)
				}
			}
		}
		if len(got) >= len(want) {
			break
		}
	}
	if !slices.Equal(got, want) {
		l.t.Fatalf("got %q, want %q", got, want)
	}
}
