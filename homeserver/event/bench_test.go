package event

import (
	"encoding/json"
	"testing"

	"maunium.net/go/mautrix/id"
)

// benchBuilder is an ordinary encrypted message in an ordinary room.
func benchBuilder() *Builder {
	return &Builder{
		RoomID: testRoom, Sender: "@irc_libera_somebody:example.org", Type: "m.room.message",
		Content: json.RawMessage(`{"msgtype":"m.text","body":"The quick brown fox jumps over the lazy dog, and the dog does not mind.",` +
			`"m.mentions":{"user_ids":["@alice:example.org"]},"m.relates_to":{"m.in_reply_to":{"event_id":"$Rqnc-F-dvnEYJTyHq_iKxU2bZ1CI92-kuZq3a5lr5Zg"}},` +
			`"format":"org.matrix.custom.html","formatted_body":"<p>The <b>quick</b> brown fox jumps over the lazy dog</p>"}`),
		PrevEvents: []id.EventID{"$Rqnc-F-dvnEYJTyHq_iKxU2bZ1CI92-kuZq3a5lr5Zg"},
		AuthEvents: []id.EventID{
			"$acR1l0raoZnm60CBwAVgqbZqoO_mYU81xysh1u7XcJk", "$CD66HAED5npg6074c6pDtLKalHjVfYb2q4Q3LZgrW6o",
		},
		Depth: 12345, OriginServerTS: 1700000000000,
	}
}

func benchEvent(b *testing.B) *PDU {
	b.Helper()
	p, err := benchBuilder().Build(mustVersion(b, "12"), testKey(b))
	if err != nil {
		b.Fatal(err)
	}
	return p
}

func BenchmarkBuild(b *testing.B) {
	v, key, builder := mustVersion(b, "12"), testKey(b), benchBuilder()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := builder.Build(v, key); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkParse(b *testing.B) {
	p := benchEvent(b)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Parse(p.Version, p.JSON()); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkParseTrusted(b *testing.B) {
	p := benchEvent(b)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ParseTrusted(p.Version, p.EventID, p.JSON()); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAppendClient(b *testing.B) {
	p := benchEvent(b)
	form := ClientForm{OmitRoomID: true, Unsigned: []byte(`{"age":1234,"transaction_id":"m1700000000000.1"}`)}
	var buf []byte
	b.ReportAllocs()
	for b.Loop() {
		buf = p.AppendClient(buf[:0], form)
	}
}

func BenchmarkVerifySignature(b *testing.B) {
	p, key := benchEvent(b), testKey(b)
	pub := key.public()
	b.ReportAllocs()
	for b.Loop() {
		if err := VerifySignature(p, key.ServerName, key.KeyID, pub); err != nil {
			b.Fatal(err)
		}
	}
}
