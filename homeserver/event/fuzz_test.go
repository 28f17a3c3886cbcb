package event

import (
	"bytes"
	"encoding/json"
	"testing"
)

func addEventSeeds(f *testing.F) {
	f.Helper()
	for _, version := range []string{"1", "3", "5", "10", "11", "12"} {
		room := `"` + string(testRoomOf(mustVersion(f, version))) + `"`
		for evType, content := range fullContent {
			fields := map[string]string{"type": `"` + evType + `"`, "content": content, "room_id": room, "redacts": `"$x"`}
			if version == "1" {
				fields["event_id"], fields["auth_events"] = `"$e:d"`, "[]"
				fields["prev_events"] = `[["$p:d",{"sha256":"x"}]]`
			}
			f.Add(version, []byte(wireEvent(fields)))
			fields["state_key"] = `""`
			f.Add(version, []byte(wireEvent(fields)))
		}
	}
	f.Add("5", []byte(wireEvent(map[string]string{"room_id": `"!r:d"`, "content": `{"a":1.50,"b":-0.0,"c":1e100,"d":[1E2,123456789012345678901234567890]}`})))
	f.Add("12", []byte(wireEvent(map[string]string{"type": `"m.room.create"`, "room_id": "", "unsigned": `{"age":1}`, "origin": `"d"`})))
	f.Add("12", []byte(`{"type":"m.room.create"}`))
	f.Add("12", []byte(`[]`))
}

// fuzzEvent is Parse for a fuzz test: nil for what it refuses.
func fuzzEvent(version string, raw []byte) *PDU {
	v, err := LookupVersion(version)
	if err != nil {
		return nil
	}
	p, err := Parse(v, raw)
	if err != nil {
		return nil
	}
	return p
}

// sameEvent fails unless got is want, by every field and byte.
func sameEvent(t *testing.T, what string, got *PDU, err error, want *PDU) {
	t.Helper()
	if err != nil {
		t.Fatalf("%s: %v, of %q", what, err, want.JSON())
	}
	if got.EventID != want.EventID || got.RoomID != want.RoomID || got.HasRoomID() != want.HasRoomID() || !bytes.Equal(got.JSON(), want.JSON()) ||
		got.Redacts != want.Redacts || !bytes.Equal(got.Content, want.Content) {
		t.Fatalf("%s: got %s %q, want %s %q", what, got.EventID, got.JSON(), want.EventID, want.JSON())
	}
}

// FuzzParse checks that whatever Parse accepts holds together: what it keeps is canonical and parses to the same event, whose ID is
// a hash of what a redaction leaves, and can be shown.
func FuzzParse(f *testing.F) {
	addEventSeeds(f)
	f.Fuzz(func(t *testing.T, version string, raw []byte) {
		p := fuzzEvent(version, raw)
		if p == nil {
			return
		}
		if len(p.JSON()) > MaxEventBytes || !json.Valid(p.JSON()) || Field(p.JSON(), "unsigned") != nil {
			t.Fatalf("kept %q", p.JSON())
		}
		canonical, err := p.Version.Canonical(p.JSON())
		if err != nil || !bytes.Equal(canonical, p.JSON()) {
			t.Fatalf("kept %q, which is not canonical: %q, %v", p.JSON(), canonical, err)
		}
		again, err := Parse(p.Version, p.JSON())
		sameEvent(t, "parsed anew", again, err, p)
		trusted, err := ParseTrusted(p.Version, p.EventID, p.JSON())
		sameEvent(t, "parsed from the store", trusted, err, p)
		if p.Version.EventIDs != EventIDGiven && p.EventID != eventID(p.Version, p.referenceHash()) {
			t.Fatalf("the ID %s is not the reference hash", p.EventID)
		}
		for _, form := range [][]byte{
			p.AppendClient(nil, ClientForm{Unsigned: []byte("{}")}), p.AppendClient(nil, ClientForm{OmitRoomID: true}), p.AppendStripped(nil),
		} {
			if !json.Valid(form) {
				t.Fatalf("client form %q", form)
			}
		}
		_, _ = p.PowerLevels()
		_, _ = p.Create()
		_, _, _, _, _ = p.Membership(), p.JoinRule(), p.HistoryVisibility(), p.Allow(), p.AuthorisedVia()
		_, _ = p.ServerACL(), p.RequiredSigners()
		_ = p.VerifyHash()
	})
}

// FuzzRedact checks that a redaction keeps an event's identity and signatures, is done after once, and takes nothing that
// authorisation reads.
func FuzzRedact(f *testing.F) {
	addEventSeeds(f)
	key := testKey(f)
	f.Fuzz(func(t *testing.T, version string, raw []byte) {
		p := fuzzEvent(version, raw)
		if p == nil {
			return
		}
		if signed, err := p.Sign(key); err == nil {
			if signed.EventID != p.EventID || VerifySignature(signed, key.ServerName, key.KeyID, key.public()) != nil {
				t.Fatalf("signing changed %q to %q", p.JSON(), signed.JSON())
			}
			p = signed
		}
		r, err := p.Redact()
		if err != nil {
			t.Fatal(err)
		}
		if len(r.JSON()) > len(p.JSON()) || !bytes.Equal(Field(r.JSON(), "signatures"), Field(p.JSON(), "signatures")) {
			t.Fatalf("from %q to %q", p.JSON(), r.JSON())
		}
		if len(p.SignatureKeyIDs(key.ServerName)) > 0 {
			was, is := VerifySignature(p, key.ServerName, key.KeyID, key.public()), VerifySignature(r, key.ServerName, key.KeyID, key.public())
			if (was == nil) != (is == nil) {
				t.Fatalf("the signature was %v, is %v", was, is)
			}
		}
		parsed, err := Parse(p.Version, r.JSON())
		if err != nil || parsed.EventID != p.EventID || parsed.RoomID != p.RoomID || parsed.Sender != p.Sender {
			t.Fatalf("parsed redacted: %v, of %q", err, r.JSON())
		}
		if r.Membership() != p.Membership() || r.HistoryVisibility() != p.HistoryVisibility() || r.IsState() != p.IsState() ||
			p.Type == TypeJoinRules && r.JoinRule() != p.JoinRule() {
			t.Fatalf("a redaction changed what %q says to %q", p.JSON(), r.JSON())
		}
		twice, err := r.Redact()
		sameEvent(t, "redacted twice", twice, err, r)
	})
}

// FuzzBuild checks that whatever a client may put into content, what is built is what would be parsed, with nothing dropped, and
// carries its hash and a signature.
func FuzzBuild(f *testing.F) {
	for _, content := range fullContent {
		f.Add(content, "m.room.message", "")
	}
	f.Add(`{"a":1e3,"a":2,"\n":null}`, "x\"y", "\u2028é")
	f.Add(`{"a":-0,"\u0061":{}}`, "", "\x7f")
	key := testKey(f)
	f.Fuzz(func(t *testing.T, content, evType, key2 string) {
		b := messageBuilder()
		b.Type, b.StateKey, b.Content = evType, &key2, json.RawMessage(content)
		for _, version := range []string{"3", "11", "12"} {
			v := mustVersion(t, version)
			b.RoomID = testRoomOf(v)
			p, err := b.Build(v, key)
			if err != nil {
				continue
			}
			parsed, err := Parse(v, p.JSON())
			sameEvent(t, "parsed", parsed, err, p)
			if want, err := v.Canonical([]byte(content)); err != nil || string(want) != string(p.Content) {
				t.Fatalf("content: got %q, want %q, %v", p.Content, want, err)
			}
			if err := p.VerifyHash(); err != nil {
				t.Fatal(err)
			}
			if err := VerifySignature(p, key.ServerName, key.KeyID, key.public()); err != nil {
				t.Fatal(err)
			}
		}
	})
}
