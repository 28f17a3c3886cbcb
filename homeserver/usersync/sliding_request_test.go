package usersync

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"maunium.net/go/mautrix"
)

func many(n int, entry string) string {
	return strings.TrimSuffix(strings.Repeat(entry+",", n), ",")
}

func numbered(n int, entry string) string {
	parts := make([]string, n)
	for i := range parts {
		parts[i] = strings.ReplaceAll(entry, "#", fmt.Sprint(i))
	}
	return strings.Join(parts, ",")
}

func TestParseSliding(t *testing.T) {
	const list = `"timeline_limit":1,"required_state":{}`
	for _, tt := range []struct {
		name   string
		stable bool
		body   string
		field  string // what the error names, "" for none
	}{
		{"empty", true, `{}`, ""},
		{"nulls", true, `{"conn_id":null,"pos":null,"timeout":null,"set_presence":null,"lists":null,"room_subscriptions":null,"extensions":null}`, ""},
		{"no object", true, `[]`, "The body"},
		{"conn_id", true, `{"conn_id":1}`, "conn_id"},
		{"long conn_id", true, `{"conn_id":"` + many(150, "x") + `"}`, "conn_id"},
		{"conn_id with a NUL", true, `{"conn_id":"\u0000"}`, "conn_id"},
		{"pos", true, `{"pos":1}`, "pos"},
		{"timeout", true, `{"timeout":"1"}`, "timeout"},
		{"negative timeout", true, `{"timeout":-1}`, "timeout"},
		{"presence", true, `{"set_presence":"asleep"}`, "set_presence"},
		{"lists", true, `{"lists":[]}`, "lists"},
		{"most lists", true, `{"lists":{` + numbered(100, `"l#":{`+list+`}`) + `}}`, ""},
		{"too many lists", true, `{"lists":{` + numbered(101, `"l#":{`+list+`}`) + `}}`, "lists"},
		{"list name", true, `{"lists":{"ä":{` + list + `}}}`, "lists"},
		{"old list name", false, `{"lists":{"ä":{}}}`, ""},
		{"no limit", true, `{"lists":{"a":{"required_state":{}}}}`, "lists.a.timeline_limit"},
		{"negative limit", true, `{"lists":{"a":{"required_state":{},"timeline_limit":-1}}}`, "lists.a.timeline_limit"},
		{"limit", true, `{"lists":{"a":{"required_state":{},"timeline_limit":"1"}}}`, "lists.a.timeline_limit"},
		{"high limit", true, `{"lists":{"a":{"required_state":{},"timeline_limit":100000}}}`, ""},
		{"no required_state", true, `{"lists":{"a":{"timeline_limit":1}}}`, "lists.a.required_state"},
		{"old required_state", true, `{"lists":{"a":{"timeline_limit":1,"required_state":[["a","b"]]}}}`, "lists.a.required_state"},
		{"new required_state", false, `{"lists":{"a":{"timeline_limit":1,"required_state":{}}}}`, "lists.a.required_state"},
		{"pairs", false, `{"lists":{"a":{"required_state":[["a"]]}}}`, "lists.a.required_state"},
		{"include", true, `{"lists":{"a":{"timeline_limit":1,"required_state":{"include":[{"type":1}]}}}}`, "lists.a.required_state.include.type"},
		{"most to include", true, `{"lists":{"a":{"timeline_limit":1,"required_state":{"include":[` + many(100, "{}") + `]}}}}`, ""},
		{"too much to include", true, `{"lists":{"a":{"timeline_limit":1,"required_state":{"include":[` + many(101, "{}") + `]}}}}`, "lists.a.required_state.include"},
		{"too many pairs", false, `{"lists":{"a":{"required_state":[` + many(101, `["a","b"]`) + `]}}}`, "lists.a.required_state"},
		{"range", true, `{"lists":{"a":{` + list + `,"range":[0,1]}}}`, ""},
		{"range backwards", true, `{"lists":{"a":{` + list + `,"range":[1,0]}}}`, "lists.a.range"},
		{"range of one", true, `{"lists":{"a":{` + list + `,"range":[1]}}}`, "lists.a.range"},
		{"range of texts", true, `{"lists":{"a":{` + list + `,"range":["a","b"]}}}`, "lists.a.range"},
		{"negative range", false, `{"lists":{"a":{"ranges":[[-1,0]]}}}`, "lists.a.ranges"},
		{"huge range", false, `{"lists":{"a":{"ranges":[[0,9000000000000000000]]}}}`, ""},
		{"too many ranges", false, `{"lists":{"a":{"ranges":[` + many(21, "[0,1]") + `]}}}`, "lists.a.ranges"},
		{"filters", true, `{"lists":{"a":{` + list + `,"filters":{"is_dm":1}}}}`, "lists.a.filters.is_dm"},
		{"room types", true, `{"lists":{"a":{` + list + `,"filters":{"room_types":[null,"m.space"]}}}}`, ""},
		{"too many tags", true, `{"lists":{"a":{` + list + `,"filters":{"tags":[` + many(101, `"t"`) + `]}}}}`, "lists.a.filters.tags"},
		{"subscriptions", true, `{"room_subscriptions":{"!a:b":{` + list + `}}}`, ""},
		{"subscription", true, `{"room_subscriptions":{"!a:b":1}}`, "room_subscriptions.!a:b"},
		{"too many subscriptions", true, `{"room_subscriptions":{` + numbered(101, `"!#":{`+list+`}`) + `}}`, "room_subscriptions"},
		{"extensions", true, `{"extensions":{"new":{"enabled":7},"typing":{"enabled":true,"lists":[],"rooms":["*"]}}}`, ""},
		{"extension", true, `{"extensions":{"typing":{"enabled":"yes"}}}`, "extensions.typing.enabled"},
		{"too many rooms", true, `{"extensions":{"receipts":{"rooms":[` + many(201, `"!a"`) + `]}}}`, "extensions.receipts.rooms"},
		{"no sticky events", true, `{"extensions":{"org.matrix.msc4354.sticky_events":{"limit":0}}}`, "extensions.org.matrix.msc4354.sticky_events.limit"},
		{"negative to-device limit", true, `{"extensions":{"to_device":{"limit":-1}}}`, "extensions.to_device.limit"},
		{"what matrix-js-sdk sends", false, `{"lists":{"a":{"ranges":[],"sort":["by_recency"],"filters":{"is_tombstoned":false,"room_name_like":"x"},
			"include_old_rooms":{"timeline_limit":0,"required_state":[]},"slow_get_all_rooms":true}},"unsubscribe_rooms":["!a:b"]}`, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := ParseSliding(alice, "D", tt.stable, []byte(tt.body))
			if tt.field == "" {
				if err != nil {
					t.Errorf("got %v", err)
				}
				return
			}
			var e mautrix.RespError
			if !errors.As(err, &e) || e.StatusCode != 400 || !strings.HasPrefix(e.Err, tt.field+" ") ||
				e.ErrCode != "M_INVALID_PARAM" && tt.name != "no object" {
				t.Errorf("got %v, want M_INVALID_PARAM for %s", err, tt.field)
			}
		})
	}
}

// FuzzParseSliding makes sure that whatever is taken can be used.
func FuzzParseSliding(f *testing.F) {
	f.Add(true, []byte(`{"lists":{"a":{"timeline_limit":1,"range":[0,9],"required_state":{"include":[{"type":"a"}],"lazy_members":true},"filters":{"is_dm":true}}}}`))
	f.Add(false, []byte(`{"lists":{"a":{"ranges":[[0,9]],"required_state":[["*","*"],["m.room.member","$LAZY"]]}},"room_subscriptions":{"!a:b":{}}}`))
	raw, _ := json.Marshal(elementX(19))
	f.Add(false, raw)
	f.Fuzz(func(t *testing.T, stable bool, body []byte) {
		req, err := ParseSliding(alice, "D", stable, body)
		if err != nil {
			var e mautrix.RespError
			if !errors.As(err, &e) {
				t.Errorf("got %v", err)
			}
			return
		}
		if len(req.lists) > maxSlidingLists || len(req.subscriptions) > maxSlidingSubscriptions || len(req.rules) > len(ruleSet{})*64 {
			t.Errorf("%d lists, %d subscriptions, %d rules", len(req.lists), len(req.subscriptions), len(req.rules))
		}
		for _, l := range req.lists {
			if l.Limit < 0 || l.Limit > maxSlidingTimeline || l.rule >= len(req.rules) {
				t.Errorf("list %+v", l)
			}
			l.holds(3)
			wish := stateWish{l.Required}
			wish.matches("m.room.member", "")
			wish.plan()
			name, err := wish.name()
			var again stateWish
			if err != nil || json.Unmarshal([]byte(name), &again) != nil {
				t.Errorf("%v: %s", err, name)
			}
			if other, _ := again.name(); other != name {
				t.Errorf("%s becomes %s", name, other)
			}
		}
	})
}

func FuzzParseSlidingPos(f *testing.F) {
	f.Add("s1_2_3_4")
	f.Add("s1")
	f.Fuzz(func(t *testing.T, s string) {
		p, ok := parseSlidingPos(s)
		if !ok {
			return
		}
		if again, ok := parseSlidingPos(p.String()); !ok || again != p {
			t.Errorf("%q is %+v, and becomes %q", s, p, p.String())
		}
	})
}
