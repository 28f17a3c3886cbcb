package event

import (
	"encoding/json"
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"

	"maunium.net/go/mautrix/id"
)

const testRoom = id.RoomID("!Nhcu5BS-UMnFX7hBVfVSoXiD7OgH6iRT-xyIuqDnpYQ")

func messageBuilder() *Builder {
	return &Builder{
		RoomID: testRoom, Sender: "@alice:domain", Type: "m.room.message",
		Content:        json.RawMessage(`{"msgtype":"m.text", "body":"Hello, world"}`),
		PrevEvents:     []id.EventID{"$Rqnc-F-dvnEYJTyHq_iKxU2bZ1CI92-kuZq3a5lr5Zg"},
		AuthEvents:     []id.EventID{"$acR1l0raoZnm60CBwAVgqbZqoO_mYU81xysh1u7XcJk", "$CD66HAED5npg6074c6pDtLKalHjVfYb2q4Q3LZgrW6o"},
		Depth:          7,
		OriginServerTS: 1700000000000,
	}
}

// testRoomOf is a room ID of the form that version v has.
func testRoomOf(v *RoomVersion) id.RoomID {
	if v.RoomIDIsCreateHash {
		return testRoom
	}
	return "!room:domain"
}

func stateKey(s string) *string { return &s }

func TestBuildForm(t *testing.T) {
	b := messageBuilder()
	b.StateKey = stateKey("k\"")
	p, err := b.Build(mustVersion(t, "12"), testKey(t))
	if err != nil {
		t.Fatal(err)
	}
	got := string(p.JSON())
	sig, _ := Text(Field(Field(Field(p.JSON(), "signatures"), "domain"), "ed25519:1"))
	hash, _ := Text(Field(Field(p.JSON(), "hashes"), "sha256"))
	want := `{"auth_events":["$acR1l0raoZnm60CBwAVgqbZqoO_mYU81xysh1u7XcJk","$CD66HAED5npg6074c6pDtLKalHjVfYb2q4Q3LZgrW6o"],"content":{"body":"Hello, world","msgtype":"m.text"},"depth":7,` +
		`"hashes":{"sha256":"` + hash + `"},"origin_server_ts":1700000000000,"prev_events":["$Rqnc-F-dvnEYJTyHq_iKxU2bZ1CI92-kuZq3a5lr5Zg"],` +
		`"room_id":"!Nhcu5BS-UMnFX7hBVfVSoXiD7OgH6iRT-xyIuqDnpYQ","sender":"@alice:domain","signatures":{"domain":{"ed25519:1":"` + sig +
		`"}},"state_key":"k\"","type":"m.room.message"}`
	if got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
}

// What Build makes must be what HashAndSign and Parse, which go by the specification's words step by step, make of the same fields.
func TestBuildParseAgree(t *testing.T) {
	key := testKey(t)
	types := []struct {
		name     string
		evType   string
		stateKey *string
		content  string
		redacts  id.EventID
	}{
		{"message", "m.room.message", nil, `{"body":"é\u00e9 \ud83d\ude00","b":{"d":1,"c":[true,null]}}`, ""},
		{"create", TypeCreate, stateKey(""), `{"room_version":"x","creator":"@alice:domain","m.federate":false}`, ""},
		{"member", TypeMember, stateKey("@bob:domain"), `{"membership":"invite","third_party_invite":{"display_name":"B","signed":{"mxid":"@bob:domain"}}}`, ""},
		{"power levels", TypePowerLevels, stateKey(""), `{"users":{"@a:b":1},"invite":50,"notifications":{"room":20},"x":1}`, ""},
		{"redaction", TypeRedaction, nil, `{"reason":"spam"}`, "$target"},
		{"redaction that replaces a target", TypeRedaction, nil, `{"redacts":"$other"}`, "$target"},
		{"redaction without a target", TypeRedaction, nil, `{}`, ""},
		{"empty content", "x", stateKey(""), ` { } `, ""},
	}
	for _, v := range Versions() {
		for _, tc := range types {
			t.Run(v.ID+" "+tc.name, func(t *testing.T) {
				b := messageBuilder()
				b.Type, b.StateKey, b.Content, b.Redacts = tc.evType, tc.stateKey, json.RawMessage(tc.content), tc.redacts
				b.RoomID = testRoomOf(v)
				b.ReferenceHashes = map[id.EventID]string{b.PrevEvents[0]: "h0", b.AuthEvents[0]: "h1", b.AuthEvents[1]: "h2"}
				built, err := b.Build(v, key)
				if err != nil {
					t.Fatal(err)
				}
				checkBuilt(t, b, built, key)
			})
		}
	}
}

func checkBuilt(t *testing.T, b *Builder, built *PDU, key *Key) {
	t.Helper()
	v := built.Version
	again, err := HashAndSign(v, built.JSON(), key)
	if err != nil || string(again) != string(built.JSON()) {
		t.Fatalf("built %s\nsigned anew %s, %v", built.JSON(), again, err)
	}
	parsed, err := Parse(v, built.JSON())
	if err != nil {
		t.Fatalf("parse: %v", err)
	}
	trusted, err := ParseTrusted(v, built.EventID, built.JSON())
	if err != nil {
		t.Fatalf("parse trusted: %v", err)
	}
	for _, p := range []*PDU{parsed, trusted} {
		if !reflect.DeepEqual(p, built) {
			t.Errorf("got %+v\nwant %+v", p, built)
		}
	}
	if err := built.VerifyHash(); err != nil {
		t.Errorf("VerifyHash: %v", err)
	}
	if err := VerifySignature(built, "domain", "ed25519:1", key.public()); err != nil {
		t.Errorf("VerifySignature: %v", err)
	}
	if b.Type == TypeRedaction && built.Redacts != b.Redacts {
		t.Errorf("got target %q, want %q", built.Redacts, b.Redacts)
	}
	redacted, err := built.Redact()
	if err != nil {
		t.Fatal(err)
	}
	if got, err := Parse(v, redacted.JSON()); err != nil || got.EventID != built.EventID || got.RoomID != built.RoomID {
		t.Errorf("parse redacted: got %+v, %v, want the ID %s", got, err, built.EventID)
	}
	if err := VerifySignature(redacted, "domain", "ed25519:1", key.public()); err != nil {
		t.Errorf("signature after redaction: %v", err)
	}
}

func TestBuildCreateV12(t *testing.T) {
	b := &Builder{
		RoomID: "!ignored:domain", Sender: "@alice:domain", Type: TypeCreate, StateKey: stateKey(""),
		Content: json.RawMessage(`{"room_version":"12"}`), Depth: 1, OriginServerTS: 5,
	}
	p, err := b.Build(mustVersion(t, "12"), testKey(t))
	if err != nil {
		t.Fatal(err)
	}
	if Field(p.JSON(), "room_id") != nil || p.HasRoomID() {
		t.Errorf("the create event has a room_id: %s", p.JSON())
	}
	if len(p.EventID) != 44 || p.RoomID != id.RoomID("!"+string(p.EventID)[1:]) {
		t.Errorf("got room %s of event %s", p.RoomID, p.EventID)
	}
	if want := `"auth_events":[]`; !strings.Contains(string(p.JSON()), want) {
		t.Errorf("got %s, want %s", p.JSON(), want)
	}
	form := string(p.AppendClient(nil, ClientForm{}))
	if want := `"room_id":"` + string(p.RoomID) + `"`; !strings.Contains(form, want) {
		t.Errorf("client form: got %s, want %s", form, want)
	}

	// In version 11 the room ID is given.
	b.RoomID = "!given:domain"
	if p, err = b.Build(mustVersion(t, "11"), testKey(t)); err != nil || p.RoomID != "!given:domain" || !p.HasRoomID() {
		t.Errorf("version 11: got %+v, %v", p, err)
	}
}

// ids of the formats of the versions. Room versions, "Event IDs".
func TestBuildEventIDs(t *testing.T) {
	for _, tc := range []struct {
		version string
		length  int
		suffix  string
		without string
	}{
		{"1", 32, ":domain", "/+"},
		{"2", 32, ":domain", "/+"},
		{"3", 44, "", "-_:"},
		{"4", 44, "", "/+:"},
		{"12", 44, "", "/+:"},
	} {
		t.Run(tc.version, func(t *testing.T) {
			for depth := range int64(20) {
				b := messageBuilder()
				b.RoomID, b.Depth = "!r:domain", depth
				b.PrevEvents, b.AuthEvents = nil, nil
				p, err := b.Build(mustVersion(t, tc.version), testKey(t))
				if err != nil {
					t.Fatal(err)
				}
				got := string(p.EventID)
				if len(got) != tc.length || got[0] != '$' || !strings.HasSuffix(got, tc.suffix) || strings.ContainsAny(got, tc.without) {
					t.Errorf("got %s", got)
				}
			}
		})
	}
}

func TestBuildErrors(t *testing.T) {
	long := strings.Repeat("x", MaxFieldBytes)
	for _, tc := range []struct {
		name   string
		change func(b *Builder)
		want   error
	}{
		{"content is not JSON", func(b *Builder) { b.Content = json.RawMessage(`{"a"`) }, ErrBadJSON},
		{"content is empty", func(b *Builder) { b.Content = nil }, ErrBadJSON},
		{"content is an array", func(b *Builder) { b.Content = json.RawMessage(`[]`) }, ErrBadJSON},
		{"content is null", func(b *Builder) { b.Content = json.RawMessage(`null`) }, ErrBadJSON},
		{"content has a float", func(b *Builder) { b.Content = json.RawMessage(`{"a":1.5}`) }, ErrBadJSON},
		{"content has a large integer", func(b *Builder) { b.Content = json.RawMessage(`{"a":9007199254740992}`) }, ErrBadJSON},
		{"content is too deep once in the event", func(b *Builder) {
			b.Content = json.RawMessage(strings.Repeat(`{"a":`, MaxNesting) + "1" + strings.Repeat("}", MaxNesting))
		}, ErrBadJSON},
		{"too large", func(b *Builder) { b.Content = json.RawMessage(`{"a":"` + strings.Repeat("x", 65500) + `"}`) }, ErrTooLarge},
		{"far too large", func(b *Builder) { b.Content = json.RawMessage(`{"a":"` + strings.Repeat("x", 1<<20) + `"}`) }, ErrTooLarge},
		{"long type", func(b *Builder) { b.Type = long + "x" }, ErrFieldTooLong},
		{"long state key", func(b *Builder) { b.StateKey = stateKey(long + "x") }, ErrFieldTooLong},
		{"long state key in bytes", func(b *Builder) { b.StateKey = stateKey(strings.Repeat("é", 128)) }, ErrFieldTooLong},
		{"long sender", func(b *Builder) { b.Sender = id.UserID("@" + long + ":domain") }, ErrFieldTooLong},
		{"long room ID", func(b *Builder) { b.RoomID = id.RoomID("!" + long) }, ErrFieldTooLong},
		{"long event ID", func(b *Builder) { b.PrevEvents = []id.EventID{id.EventID("$" + long)} }, ErrFieldTooLong},
		{"type is not UTF-8", func(b *Builder) { b.Type = "\xff" }, ErrBadEvent},
		{"type with a NUL", func(b *Builder) { b.Type = "a\x00" }, ErrBadEvent},
		{"state key with a NUL", func(b *Builder) { b.StateKey = stateKey("\x00") }, ErrBadEvent},
		{"state key is not UTF-8", func(b *Builder) { b.StateKey = stateKey("\xff") }, ErrBadEvent},
		{"sender is no user", func(b *Builder) { b.Sender = "alice" }, ErrBadEvent},
		{"no room", func(b *Builder) { b.RoomID = "" }, ErrBadEvent},
		{"room is no room", func(b *Builder) { b.RoomID = "#a:domain" }, ErrBadEvent},
		{"prev event is none", func(b *Builder) { b.PrevEvents = []id.EventID{"x"} }, ErrBadEvent},
		{"too many prev events", func(b *Builder) { b.PrevEvents = sameIDs(MaxPrevEvents + 1) }, ErrBadEvent},
		{"too many auth events", func(b *Builder) { b.AuthEvents = sameIDs(MaxAuthEvents + 1) }, ErrBadEvent},
		{"negative depth", func(b *Builder) { b.Depth = -1 }, ErrBadEvent},
		{"enormous time", func(b *Builder) { b.OriginServerTS = maxCanonicalInt + 1 }, ErrBadEvent},
		{"target is no event", func(b *Builder) { b.Type, b.Redacts = TypeRedaction, "x" }, ErrBadEvent},
		{"fields of just the right length", func(b *Builder) {
			b.Type, b.StateKey = long, stateKey(long)
			b.PrevEvents, b.AuthEvents = sameIDs(MaxPrevEvents), sameIDs(MaxAuthEvents)
		}, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b := messageBuilder()
			tc.change(b)
			if _, err := b.Build(mustVersion(t, "12"), testKey(t)); !errors.Is(err, tc.want) {
				t.Errorf("got %v, want %v", err, tc.want)
			}
		})
	}
}

func sameIDs(n int) []id.EventID {
	ids := make([]id.EventID, n)
	for i := range ids {
		ids[i] = "$x"
	}
	return ids
}

// Room versions 1 and 6, "Event format": a room whose depth is at the limit stays there.
func TestDepthLimit(t *testing.T) {
	for _, tc := range []struct {
		version       string
		deepest, want int64
	}{
		{"12", 0, 1},
		{"12", maxCanonicalInt - 1, maxCanonicalInt},
		{"12", maxCanonicalInt, maxCanonicalInt},
		{"6", math.MaxInt64, maxCanonicalInt},
		{"5", maxCanonicalInt, maxCanonicalInt + 1},
		{"5", math.MaxInt64 - 1, math.MaxInt64},
		{"1", math.MaxInt64, math.MaxInt64},
	} {
		v := mustVersion(t, tc.version)
		if got := v.NextDepth(tc.deepest); got != tc.want {
			t.Errorf("version %s, after %d: got %d, want %d", tc.version, tc.deepest, got, tc.want)
		}
		b := messageBuilder()
		b.RoomID, b.Depth, b.PrevEvents, b.AuthEvents = testRoomOf(v), max(tc.want, tc.deepest), nil, nil
		p, err := b.Build(v, testKey(t))
		if err != nil || p.Depth != tc.want {
			t.Fatalf("version %s, depth %d: got %+v, %v, want %d", tc.version, b.Depth, p, err, tc.want)
		}
		if parsed, err := Parse(v, p.JSON()); err != nil || parsed.Depth != tc.want {
			t.Errorf("version %s: parsed: %v", tc.version, err)
		}
	}
}

// An event of exactly MaxEventBytes is allowed, and one byte more is not.
func TestBuildSizeLimit(t *testing.T) {
	size := func(n int) (*PDU, error) {
		b := messageBuilder()
		b.Content = json.RawMessage(`{"a":"` + strings.Repeat("x", n) + `"}`)
		return b.Build(mustVersion(t, "12"), testKey(t))
	}
	p, err := size(0)
	if err != nil {
		t.Fatal(err)
	}
	room := MaxEventBytes - len(p.JSON())
	if p, err = size(room); err != nil || len(p.JSON()) != MaxEventBytes {
		t.Errorf("at the limit: got %v", err)
	}
	if _, err := size(room + 1); !errors.Is(err, ErrTooLarge) {
		t.Errorf("past the limit: got %v, want ErrTooLarge", err)
	}
}

func TestSignAdds(t *testing.T) {
	p, err := messageBuilder().Build(mustVersion(t, "12"), testKey(t))
	if err != nil {
		t.Fatal(err)
	}
	second := testKey(t)
	second.ServerName, second.KeyID = "other:8448", "ed25519:a_b"
	signed, err := p.Sign(second)
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []*Key{testKey(t), second} {
		if err := VerifySignature(signed, key.ServerName, key.KeyID, key.public()); err != nil {
			t.Errorf("%s: %v", key.ServerName, err)
		}
		if got := signed.SignatureKeyIDs(key.ServerName); !reflect.DeepEqual(got, []string{key.KeyID}) {
			t.Errorf("%s: got key IDs %v", key.ServerName, got)
		}
	}
	if parsed, err := Parse(p.Version, signed.JSON()); err != nil || parsed.EventID != p.EventID || signed.EventID != p.EventID {
		t.Errorf("the ID changed: %v", err)
	}
	if got := signed.SignatureKeyIDs("nobody"); got != nil {
		t.Errorf("got key IDs %v of nobody", got)
	}
}
