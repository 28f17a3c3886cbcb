package usersync

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	"maunium.net/go/mautrix/id"
)

func TestEventFields(t *testing.T) {
	const e = `{"content":{"body":"b","m.relates_to":{"event_id":"$e","x":1},"m\\foo":2,"list":[{"a":1}]},"event_id":"$1","sender":"@a:b","type":"t"}`
	for _, tt := range []struct{ name, fields, want string }{
		{"none", `[]`, `{}`},
		{"top level", `["type","sender"]`, `{"sender":"@a:b","type":"t"}`},
		{"a whole object", `["content"]`, `{"content":{"body":"b","m.relates_to":{"event_id":"$e","x":1},"m\\foo":2,"list":[{"a":1}]}}`},
		{"within", `["content.body","type"]`, `{"content":{"body":"b"},"type":"t"}`},
		{"the whole beats a part", `["content.body","content","content.list"]`, `{"content":{"body":"b","m.relates_to":{"event_id":"$e","x":1},"m\\foo":2,"list":[{"a":1}]}}`},
		{"an escaped dot", `["content.m\\.relates_to.event_id"]`, `{"content":{"m.relates_to":{"event_id":"$e"}}}`},
		{"a dot that is not escaped", `["content.m.relates_to"]`, `{}`},
		{"an escaped backslash", `["content.m\\\\foo"]`, `{"content":{"m\\foo":2}}`},
		{"another escape is as it stands", `["content.m\\foo"]`, `{"content":{"m\\foo":2}}`},
		{"a backslash at the end", `["content.body\\"]`, `{}`},
		{"below what is no object", `["content.body.x","content.list.a","type.x"]`, `{}`},
		{"empty names", `["","content.","."]`, `{}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f, err := ParseFilter([]byte(`{"event_fields":` + tt.fields + `}`))
			if err != nil {
				t.Fatal(err)
			}
			if got := string(f.shape.fields.appendChosen(nil, []byte(e))); got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
}

// FuzzEventFields looks for paths that break an event: what is left must be JSON, and nothing may be in it that was not.
func FuzzEventFields(f *testing.F) {
	f.Add("content.body", `m\.x.y`)
	f.Add(`\\.\`, "..")
	f.Fuzz(func(t *testing.T, a, b string) {
		const e = `{"content":{"body":"b","m.x":{"y":[1]},"":{"":1}},"type":"t"}`
		got := newEventShape(&[]string{a, b}, "").fields.appendChosen(nil, []byte(e))
		if !json.Valid(got) || len(got) > len(e) {
			t.Errorf("%q, %q: %s", a, b, got)
		}
	})
}

func TestShapedSync(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		p := w.room(alice, "shared")
		p.join(bob)
		p.texts(bob, "m", 3)
		sent := p.send(say{sender: alice, eventType: "m.room.message", content: obj{"body": "x", "secret": true}, device: "D", txn: "t1"})
		rooms := func(filter string) (timeline, state []map[string]json.RawMessage) {
			t.Helper()
			f, err := ParseFilter([]byte(filter))
			if err != nil {
				t.Fatal(err)
			}
			res, err := w.s.Sync(context.Background(), Request{User: alice, Device: "D", Filter: f})
			if err != nil {
				t.Fatal(err)
			}
			var a struct {
				Rooms struct {
					Join map[id.RoomID]struct {
						Timeline, State struct{ Events []map[string]json.RawMessage }
					}
				}
			}
			w.unmarshal(res.AppendJSON(nil), &a)
			return a.Rooms.Join[p.id].Timeline.Events, a.Rooms.Join[p.id].State.Events
		}
		timeline, state := rooms(`{"event_fields":["content.body","type"],"room":{"timeline":{"limit":2}}}`)
		if got := string(timeline[1]["content"]); got != `{"body":"x"}` || len(timeline[1]) != 2 {
			t.Errorf("fields of the timeline: %s in %d", got, len(timeline[1]))
		}
		if len(state) == 0 || len(state[0]) != 1 || string(state[0]["type"]) != `"m.room.create"` {
			t.Errorf("fields of the state: %v", state)
		}
		timeline, state = rooms(`{"event_format":"federation","room":{"timeline":{"limit":1}}}`)
		for _, key := range []string{"auth_events", "prev_events", "hashes", "signatures", "depth", "event_id", "unsigned", "room_id", "origin_server_ts"} {
			if len(timeline[0][key]) == 0 {
				t.Errorf("the federation format lacks %s", key)
			}
		}
		if got := string(timeline[0]["event_id"]); got != `"`+string(sent.EventID)+`"` {
			t.Errorf("event_id %s", got)
		}
		if got := string(timeline[0]["unsigned"]); !strings.Contains(got, `"transaction_id":"t1"`) {
			t.Errorf("unsigned %s", got)
		}
		if len(state) == 0 || len(state[0]["hashes"]) == 0 {
			t.Errorf("state in the federation format: %v", state)
		}
	})
}

func TestBadFilters(t *testing.T) {
	for _, tt := range []struct{ filter, field string }{
		{`[]`, "filter"},
		{`{"event_format":"xml"}`, "event_format"},
		{`{"event_fields":"type"}`, "event_fields"},
		{`{"room":{"rooms":["#a:b"]}}`, "room.rooms"},
		{`{"room":{"not_rooms":["a"]}}`, "room.not_rooms"},
		{`{"room":{"timeline":{"senders":["alice"]}}}`, "room.timeline.senders"},
		{`{"room":{"state":{"not_senders":[""]}}}`, "room.state.not_senders"},
		{`{"room":{"account_data":{"rooms":["x"]}}}`, "room.account_data.rooms"},
		{`{"account_data":{"limit":-1}}`, "account_data.limit"},
		{`{"room":{"timeline":{"limit":"10"}}}`, "room.timeline.limit"},
		{`{"room":{"state":{"lazy_load_members":1}}}`, "room.state.lazy_load_members"},
		{`{"room":{"include_leave":"yes"}}`, "room.include_leave"},
		{`{"room":`, "filter"},
		{`{"a":"` + strings.Repeat("x", maxFilterBytes) + `"}`, "larger"},
	} {
		_, err := ParseFilter([]byte(tt.filter))
		wantCode(t, err, "M_INVALID_PARAM")
		if err == nil || !strings.Contains(err.Error(), tt.field) {
			t.Errorf("%.60s: got %v, want it to name %s", tt.filter, err, tt.field)
		}
	}
	if _, err := ParseEventFilter(`{"senders":["x"]}`); err == nil || !strings.Contains(err.Error(), "senders") {
		t.Errorf("the filter of /messages: %v", err)
	}
	for _, good := range []string{`{}`, `{"room":{"timeline":{"limit":0,"senders":[],"rooms":["!a"]},"unknown":1}}`, `{"event_format":"client","presence":{}}`} {
		if _, err := ParseFilter([]byte(good)); err != nil {
			t.Errorf("%s: %v", good, err)
		}
	}
}
