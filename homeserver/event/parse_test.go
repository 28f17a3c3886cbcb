package event

import (
	"errors"
	"maps"
	"strings"
	"testing"

	"maunium.net/go/mautrix/id"
)

// Identifiers of the form that they have from version 3 on.
const (
	hashA, hashP, hashQ = "$" + hash43 + "A", "$" + hash43 + "P", "$" + hash43 + "Q"
	hashRoom            = "!" + hash43 + "R"
	hash43              = "0123456789abcdefghijklmnopqrstuvwxyz_-ABCD"
)

// wireEvent is a complete event of version 12, whose fields a test may replace; "" takes one out.
func wireEvent(change map[string]string) string {
	fields := map[string]string{
		"auth_events": `["` + hashA + `"]`, "content": `{"body":"x"}`, "depth": "3", "hashes": `{"sha256":"AAAA"}`, "origin_server_ts": "1",
		"prev_events": `["` + hashP + `","` + hashQ + `"]`, "room_id": `"` + hashRoom + `"`, "sender": `"@u:domain"`, "signatures": "{}", "type": `"m.room.message"`,
	}
	for key, value := range change {
		fields[key] = value
	}
	var members []string
	for key, value := range fields {
		if value != "" {
			members = append(members, `"`+key+`": `+value)
		}
	}
	return "{" + strings.Join(members, ", ") + "}"
}

func TestParse(t *testing.T) {
	p, err := Parse(mustVersion(t, "12"), []byte(wireEvent(map[string]string{
		"unsigned": `{"age":1}`, "unknown": `[1]`, "state_key": `"s\u0065"`, "prev_events": `["` + hashP + `","$` + hash43 + `\u0051"]`,
	})))
	if err != nil {
		t.Fatal(err)
	}
	if Field(p.JSON(), "unsigned") != nil || string(Field(p.JSON(), "unknown")) != "[1]" {
		t.Errorf("got %s", p.JSON())
	}
	if p.RoomID != hashRoom || p.Sender != "@u:domain" || p.Type != "m.room.message" || p.StateKey == nil || *p.StateKey != "se" ||
		string(p.Content) != `{"body":"x"}` || p.Depth != 3 || p.OriginServerTS != 1 || p.Redacts != "" || !p.IsState() {
		t.Errorf("got %+v", p)
	}
	if len(p.AuthEvents) != 1 || p.AuthEvents[0] != hashA || len(p.PrevEvents) != 2 || p.PrevEvents[1] != hashQ {
		t.Errorf("got auth events %v, prev events %v", p.AuthEvents, p.PrevEvents)
	}
	// Neither unsigned, nor signatures, nor content that a redaction takes, count for the ID.
	same, err := Parse(p.Version, []byte(wireEvent(map[string]string{
		"state_key": `"se"`, "signatures": `{"a":{}}`, "content": `{"body":"y"}`,
	})))
	if err != nil || same.EventID != p.EventID {
		t.Errorf("got ID %s, %v, want %s", same.EventID, err, p.EventID)
	}
	if err := p.VerifyHash(); !errors.Is(err, ErrBadHash) {
		t.Errorf("VerifyHash: got %v, want ErrBadHash", err)
	}
}

func TestParseVersion1(t *testing.T) {
	p, err := Parse(mustVersion(t, "1"), []byte(wireEvent(map[string]string{
		"event_id": `"$e:domain"`, "prev_events": `[["$p:a",{"sha256":"x"}],["$q:b",{}]]`, "auth_events": "[]", "content": `{"a":1.50}`,
		"room_id": `"!r:domain"`, "depth": "9223372036854775807",
	})))
	if err != nil {
		t.Fatal(err)
	}
	if p.EventID != "$e:domain" || len(p.PrevEvents) != 2 || p.PrevEvents[0] != "$p:a" || p.PrevEvents[1] != "$q:b" || string(p.Content) != `{"a":1.5}` {
		t.Errorf("got %+v", p)
	}
}

var longText = strings.Repeat("x", MaxFieldBytes)

// idList is a JSON array of n event IDs.
func idList(n int) string {
	return "[" + strings.TrimSuffix(strings.Repeat(`"`+hashA+`",`, n), ",") + "]"
}

type change = map[string]string

var parseErrorCases = []struct {
	name, version string
	change        change
	want          error
}{
	{"nothing wrong", "12", nil, nil},
	{"no auth_events", "12", change{"auth_events": ""}, ErrBadEvent},
	{"no content", "12", change{"content": ""}, ErrBadEvent},
	{"no depth", "12", change{"depth": ""}, ErrBadEvent},
	{"no hashes", "12", change{"hashes": ""}, ErrBadEvent},
	{"no origin_server_ts", "12", change{"origin_server_ts": ""}, ErrBadEvent},
	{"no prev_events", "12", change{"prev_events": ""}, ErrBadEvent},
	{"no room_id", "12", change{"room_id": ""}, ErrBadEvent},
	{"no room_id in a create event", "12", change{"room_id": "", "type": `"m.room.create"`}, nil},
	{"no room_id in a create event of version 11", "11", change{"room_id": "", "type": `"m.room.create"`}, ErrBadEvent},
	{"no sender", "12", change{"sender": ""}, ErrBadEvent},
	{"no signatures", "12", change{"signatures": ""}, ErrBadEvent},
	{"no type", "12", change{"type": ""}, ErrBadEvent},
	{"no event_id in version 1", "1", change{"prev_events": "[]", "auth_events": "[]"}, ErrBadEvent},
	{"IDs instead of pairs", "1", change{"event_id": `"$e:d"`, "auth_events": "[]"}, ErrBadEvent},
	{"pairs instead of IDs", "3", change{"prev_events": `[["$p:a",{}]]`}, ErrBadEvent},
	{"pair of one", "1", change{"event_id": `"$e:d"`, "auth_events": "[]", "prev_events": `[["$p:a"]]`}, ErrBadEvent},
	{"pair of three", "1", change{"event_id": `"$e:d"`, "auth_events": "[]", "prev_events": `[["$p:a",{},{}]]`}, ErrBadEvent},
	{"auth_events is an object", "12", change{"auth_events": "{}"}, ErrBadEvent},
	{"auth_events of numbers", "12", change{"auth_events": "[1]"}, ErrBadEvent},
	{"auth_events is not of IDs", "12", change{"auth_events": `["x"]`}, ErrBadEvent},
	{"content is an array", "12", change{"content": "[]"}, ErrBadEvent},
	{"content is null", "12", change{"content": "null"}, ErrBadEvent},
	{"depth is a string", "12", change{"depth": `"3"`}, ErrBadEvent},
	{"depth is negative", "12", change{"depth": "-1"}, ErrBadEvent},
	{"depth is too large", "12", change{"depth": "9007199254740992"}, ErrBadJSON},
	{"depth is too large for version 5", "5", change{"depth": "9223372036854775808"}, ErrBadEvent},
	{"depth is a float", "5", change{"depth": "1.0"}, ErrBadEvent},
	{"hashes without sha256", "12", change{"hashes": "{}"}, ErrBadEvent},
	{"hashes is a string", "12", change{"hashes": `"x"`}, ErrBadEvent},
	{"origin_server_ts is a string", "12", change{"origin_server_ts": `"1"`}, ErrBadEvent},
	{"room_id is a number", "12", change{"room_id": "1"}, ErrBadEvent},
	{"room_id is an alias", "12", change{"room_id": `"#a:b"`}, ErrBadEvent},
	{"sender is a number", "12", change{"sender": "1"}, ErrBadEvent},
	{"sender is no user", "12", change{"sender": `"domain"`}, ErrBadEvent},
	{"sender's server is none", "12", change{"sender": `"@u:d_d"`}, ErrBadEvent},
	{"signatures is an array", "12", change{"signatures": "[]"}, ErrBadEvent},
	{"state_key is null", "12", change{"state_key": "null"}, ErrBadEvent},
	{"type is a number", "12", change{"type": "1"}, ErrBadEvent},
	{"float", "12", change{"content": `{"a":1.5}`}, ErrBadJSON},
	{"exponent", "6", change{"content": `{"a":1e2}`}, ErrBadJSON},
	{"negative zero", "12", change{"content": `{"a":-0}`}, nil},
	{"exponent in version 5", "5", change{"content": `{"a":1e2}`}, nil},
	{"float in version 5", "5", change{"content": `{"a":1.5}`}, nil},
	{"type with a NUL", "12", change{"type": `"\u0000"`}, ErrBadEvent},
	{"state_key with a NUL", "12", change{"state_key": `"a\u0000"`}, ErrBadEvent},
	{"sender with a NUL", "12", change{"sender": `"@\u0000:domain"`}, ErrBadEvent},
	{"long type", "12", change{"type": `"` + longText + `x"`}, ErrFieldTooLong},
	{"long state_key", "12", change{"state_key": `"` + longText + `x"`}, ErrFieldTooLong},
	{"long sender", "12", change{"sender": `"@` + longText + `:domain"`}, ErrFieldTooLong},
	{"long room_id", "12", change{"room_id": `"!` + longText + `"`}, ErrFieldTooLong},
	{"long reference", "12", change{"prev_events": `["$` + longText + `"]`}, ErrFieldTooLong},
	{"many prev_events", "12", change{"prev_events": idList(MaxPrevEvents)}, nil},
	{"too many prev_events", "12", change{"prev_events": idList(MaxPrevEvents + 1)}, ErrBadEvent},
	{"many auth_events", "12", change{"auth_events": idList(MaxAuthEvents)}, nil},
	{"too many auth_events", "12", change{"auth_events": idList(MaxAuthEvents + 1)}, ErrBadEvent},
	{"far too many auth_events", "12", change{"auth_events": idList(1000)}, ErrBadEvent},
	{"too large", "12", change{"content": `{"a":"` + strings.Repeat("x", MaxEventBytes) + `"}`}, ErrTooLarge},
	{"far too large", "12", change{"content": `{"a":"` + strings.Repeat("x", maxRawBytes) + `"}`}, ErrTooLarge},
	{"large only for its escapes", "12", change{"content": `{"a":"` + strings.Repeat(`\u0078`, MaxEventBytes/2) + `"}`}, nil},
	{"large only for unsigned", "12", change{"unsigned": `{"a":"` + strings.Repeat("x", MaxEventBytes) + `"}`}, nil},
}

func TestParseErrors(t *testing.T) {
	for _, tc := range parseErrorCases {
		t.Run(tc.name, func(t *testing.T) {
			if _, given := tc.change["room_id"]; !given && tc.version != "12" {
				tc.change = maps.Clone(tc.change)
				tc.change["room_id"] = `"!r:domain"`
			}
			if _, err := Parse(mustVersion(t, tc.version), []byte(wireEvent(tc.change))); !errors.Is(err, tc.want) {
				t.Errorf("got %v, want %v", err, tc.want)
			}
		})
	}
	for _, raw := range []string{"", "[]", "null", `"x"`, "{", "{}"} {
		if _, err := Parse(mustVersion(t, "12"), []byte(raw)); err == nil {
			t.Errorf("%q: got no error", raw)
		}
	}
}

// Of duplicate keys the last one stands for every reader.
func TestParseDuplicates(t *testing.T) {
	raw := strings.Replace(wireEvent(nil), "{", `{"sender":"@forged:domain","type":"m.room.create","content":{"body":"forged"},`, 1)
	p, err := Parse(mustVersion(t, "12"), []byte(raw))
	if err != nil {
		t.Fatal(err)
	}
	if p.Sender != "@u:domain" || p.Type != "m.room.message" || strings.Contains(string(p.JSON()), "forged") {
		t.Errorf("got %s", p.JSON())
	}
}

func TestParseCreateV12(t *testing.T) {
	v := mustVersion(t, "12")
	p, err := Parse(v, []byte(wireEvent(map[string]string{"room_id": "", "type": `"m.room.create"`, "prev_events": "[]", "auth_events": "[]"})))
	if err != nil {
		t.Fatal(err)
	}
	if p.RoomID != id.RoomID("!"+string(p.EventID)[1:]) || p.HasRoomID() {
		t.Errorf("got room %s of event %s", p.RoomID, p.EventID)
	}
	again, err := ParseTrusted(v, p.EventID, p.JSON())
	if err != nil || again.RoomID != p.RoomID {
		t.Errorf("trusted: got %+v, %v", again, err)
	}
	forged, err := Parse(v, []byte(wireEvent(map[string]string{"type": `"m.room.create"`})))
	if err != nil || !forged.HasRoomID() || forged.RoomID == hashRoom {
		t.Errorf("with a room_id: got %+v, %v", forged, err)
	}
}

func TestParseTrustedErrors(t *testing.T) {
	for _, raw := range []string{"", "[]", `{"content":1}`, `{"type":1}`, `{"depth":"x"}`} {
		if _, err := ParseTrusted(mustVersion(t, "12"), "$x", []byte(raw)); !errors.Is(err, ErrBadEvent) {
			t.Errorf("%q: got %v, want ErrBadEvent", raw, err)
		}
	}
}
