package event

import (
	"encoding/json"
	"testing"
)

func TestAppendClient(t *testing.T) {
	type change func(b *Builder)
	message := func(*Builder) {}
	redaction := func(b *Builder) {
		b.Type, b.Content, b.Redacts = TypeRedaction, json.RawMessage(`{"reason":"r"}`), "$t"
	}
	for _, tc := range []struct {
		name, version string
		change        change
		form          ClientForm
		want          string
	}{
		{
			"message", "12", message, ClientForm{},
			`{"content":{"body":"Hello, world","msgtype":"m.text"},"event_id":"ID","origin_server_ts":1700000000000,"room_id":"!r:domain","sender":"@alice:domain","type":"m.room.message"}`,
		},
		{
			"state", "12", func(b *Builder) { b.StateKey, b.Type, b.Content = stateKey(""), `a"b`, json.RawMessage("{}") }, ClientForm{OmitRoomID: true},
			`{"content":{},"event_id":"ID","origin_server_ts":1700000000000,"sender":"@alice:domain","state_key":"","type":"a\"b"}`,
		},
		{
			"unsigned", "12", func(b *Builder) { b.Content = json.RawMessage("{}") }, ClientForm{OmitRoomID: true, Unsigned: []byte(`{"age":1}`)},
			`{"content":{},"event_id":"ID","origin_server_ts":1700000000000,"sender":"@alice:domain","type":"m.room.message","unsigned":{"age":1}}`,
		},
		{
			"redaction with its target in the content", "11", redaction, ClientForm{OmitRoomID: true},
			`{"content":{"reason":"r","redacts":"$t"},"event_id":"ID","origin_server_ts":1700000000000,"redacts":"$t","sender":"@alice:domain","type":"m.room.redaction"}`,
		},
		{
			"redaction with its target at the top level", "10", redaction, ClientForm{OmitRoomID: true},
			`{"content":{"reason":"r","redacts":"$t"},"event_id":"ID","origin_server_ts":1700000000000,"redacts":"$t","sender":"@alice:domain","type":"m.room.redaction"}`,
		},
		{
			"a message that mentions redacts", "12", func(b *Builder) { b.Content = json.RawMessage(`{"redacts":"$t"}`) }, ClientForm{OmitRoomID: true},
			`{"content":{"redacts":"$t"},"event_id":"ID","origin_server_ts":1700000000000,"sender":"@alice:domain","type":"m.room.message"}`,
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b := messageBuilder()
			b.RoomID = "!r:domain"
			tc.change(b)
			p, err := b.Build(mustVersion(t, tc.version), testKey(t))
			if err != nil {
				t.Fatal(err)
			}
			p.EventID = "ID"
			if got := string(p.AppendClient([]byte("x"), tc.form)); got != "x"+tc.want {
				t.Errorf("got %s, want %s", got, tc.want)
			}
		})
	}
}

func TestAppendStripped(t *testing.T) {
	b := messageBuilder()
	b.Type, b.StateKey, b.Content = "m.room.name", stateKey(""), json.RawMessage(`{"name":"n"}`)
	p, err := b.Build(mustVersion(t, "12"), testKey(t))
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"content":{"name":"n"},"sender":"@alice:domain","state_key":"","type":"m.room.name"}`
	if got := string(p.AppendStripped(nil)); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
