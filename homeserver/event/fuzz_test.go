package event

import (
	"encoding/json"
	"testing"
)

func addEventSeeds(f *testing.F) {
	f.Helper()
	for _, version := range []string{"1", "3", "5", "10", "11", "12"} {
		for evType, content := range fullContent {
			f.Add(version, []byte(wireEvent(map[string]string{"type": `"` + evType + `"`, "content": content, "state_key": `""`})))
			f.Add(version, []byte(wireEvent(map[string]string{
				"type": `"` + evType + `"`, "content": content, "event_id": `"$e:d"`, "prev_events": `[["$p:d",{"sha256":"x"}]]`,
				"auth_events": "[]", "redacts": `"$x"`,
			})))
		}
	}
	f.Add("12", []byte(`{"type":"m.room.create"}`))
	f.Add("12", []byte(`[]`))
}

// FuzzParse checks that whatever Parse accepts holds together.
func FuzzParse(f *testing.F) {
	addEventSeeds(f)
	f.Fuzz(func(t *testing.T, version string, raw []byte) {
		v, err := LookupVersion(version)
		if err != nil {
			return
		}
		p, err := Parse(v, raw)
		if err != nil {
			return
		}
		if len(p.JSON()) > MaxEventBytes || !json.Valid(p.JSON()) {
			t.Fatalf("kept %q", p.JSON())
		}
		again, err := Parse(v, p.JSON())
		if err != nil || again.EventID != p.EventID || string(again.JSON()) != string(p.JSON()) {
			t.Fatalf("parsed anew: %+v, %v, want %+v", again, err, p)
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
		_ = p.VerifyHash()
	})
}

// FuzzRedact checks that a redaction keeps an event's identity, and is done after once.
func FuzzRedact(f *testing.F) {
	addEventSeeds(f)
	f.Fuzz(func(t *testing.T, version string, raw []byte) {
		v, err := LookupVersion(version)
		if err != nil {
			return
		}
		p, err := Parse(v, raw)
		if err != nil {
			return
		}
		r, err := p.Redact()
		if err != nil {
			t.Fatal(err)
		}
		if len(r.JSON()) > len(p.JSON()) {
			t.Fatalf("grew from %q to %q", p.JSON(), r.JSON())
		}
		parsed, err := Parse(v, r.JSON())
		if err != nil || parsed.EventID != p.EventID || parsed.RoomID != p.RoomID || parsed.Sender != p.Sender {
			t.Fatalf("parsed redacted: %+v, %v, want %+v", parsed, err, p)
		}
		twice, err := r.Redact()
		if err != nil || string(twice.JSON()) != string(r.JSON()) {
			t.Fatalf("redacted twice: %q, %v, want %q", twice.JSON(), err, r.JSON())
		}
	})
}

// FuzzBuild checks that whatever a client may put into content, what is built is what would be parsed, with nothing dropped.
func FuzzBuild(f *testing.F) {
	for _, content := range fullContent {
		f.Add(content, "m.room.message", "")
	}
	f.Add(`{"a":1e3,"a":2,"\n":null}`, "x\"y", "\u2028é")
	key := testKey(f)
	f.Fuzz(func(t *testing.T, content, evType, key2 string) {
		b := messageBuilder()
		b.Type, b.StateKey, b.Content = evType, &key2, json.RawMessage(content)
		for _, version := range []string{"3", "11", "12"} {
			v := mustVersion(t, version)
			p, err := b.Build(v, key)
			if err != nil {
				continue
			}
			parsed, err := Parse(v, p.JSON())
			if err != nil || parsed.EventID != p.EventID || string(parsed.JSON()) != string(p.JSON()) {
				t.Fatalf("parsed: %+v, %v, want %+v", parsed, err, p)
			}
			if want, err := v.Canonical([]byte(content)); err != nil || string(want) != string(p.Content) {
				t.Fatalf("content: got %q, want %q, %v", p.Content, want, err)
			}
			if err := p.VerifyHash(); err != nil {
				t.Fatal(err)
			}
		}
	})
}
