package room

import (
	"encoding/json"
	"strings"
	"testing"

	"maunium.net/go/mautrix/id"
)

var relationCases = []struct{ name, content, want string }{
	{"a reply", `{"body":"x","m.relates_to":{"m.in_reply_to":{"event_id":"$a"}}}`, `{"body":"x","m.relates_to":{"m.in_reply_to":{"event_id":"$real"}}}`},
	{"a thread", `{"m.relates_to":{"rel_type":"m.thread","event_id":"$a","is_falling_back":true,"m.in_reply_to":{"event_id":"$b"}}}`,
		`{"m.relates_to":{"event_id":"$real","is_falling_back":true,"m.in_reply_to":{"event_id":"$b"},"rel_type":"m.thread"}}`},
	{"elsewhere", `{"m.relates_to":{"event_id":"$b"},"event_id":"$a"}`, ``},
	{"none", `{"body":"$a"}`, ``},
	{"odd", `{"m.relates_to":"$a"}`, ``},
	{"odder", `{"m.relates_to":{"event_id":{"event_id":"$a"},"m.in_reply_to":"$a"}}`, ``},
	{"null", `{"m.relates_to":null}`, ``},
	{"no object", `[1]`, ``},
	{"numbers stay as they are", `{"n":1e2,"m.relates_to":{"event_id":"$a","n":1.50}}`, `{"m.relates_to":{"event_id":"$real","n":1.50},"n":1e2}`},
}

func rename(name id.EventID) id.EventID {
	if name == "$a" {
		return "$real"
	}
	return name
}

func TestRenameRelations(t *testing.T) {
	for _, c := range relationCases {
		t.Run(c.name, func(t *testing.T) {
			if c.want == "" {
				c.want = c.content
			}
			got, err := renameRelations(json.RawMessage(c.content), rename)
			if err != nil || string(got) != c.want {
				t.Errorf("got %s, %v; want %s", got, err, c.want)
			}
		})
	}
}

// FuzzRenameRelations looks that what comes out is JSON where what went in was, and has no old name where a relation names an event.
func FuzzRenameRelations(f *testing.F) {
	for _, c := range relationCases {
		f.Add(c.content)
	}
	f.Fuzz(func(t *testing.T, content string) {
		got, err := renameRelations(json.RawMessage(content), rename)
		if !json.Valid([]byte(content)) {
			return
		}
		if err != nil || !json.Valid(got) {
			t.Fatalf("%q became %q, %v", content, got, err)
		}
		again, err := renameRelations(got, func(name id.EventID) id.EventID {
			if name == "$a" {
				t.Errorf("%q became %q", content, got)
			}
			return name
		})
		if err != nil || string(again) != string(got) {
			t.Errorf("%q became %q and then %q, %v", content, got, again, err)
		}
		if !strings.Contains(content, "m.relates_to") && !strings.Contains(content, `\`) && string(got) != content {
			t.Errorf("%q became %q", content, got)
		}
	})
}
