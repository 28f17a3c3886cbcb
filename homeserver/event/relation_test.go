package event

import (
	"strings"
	"testing"
)

func TestRelation(t *testing.T) {
	long := "$" + strings.Repeat("x", MaxFieldBytes)
	for _, tt := range []struct {
		name, evType, content string
		want                  Relation // without KeyHash; a Type of "" is no relation
	}{
		{"none", "m.room.message", `{}`, Relation{}},
		{"thread", "m.room.message", `{"m.relates_to":{"event_id":"$a","rel_type":"m.thread"}}`, Relation{Type: RelThread, Parent: "$a", Fit: true}},
		{"unknown type", "m.room.message", `{"m.relates_to":{"event_id":"$a","rel_type":"x"}}`, Relation{Type: "x", Parent: "$a", Fit: true}},
		{"rich reply", "m.room.message", `{"m.relates_to":{"m.in_reply_to":{"event_id":"$a"}}}`, Relation{}},
		{"edit", "m.room.message", `{"m.new_content":{},"m.relates_to":{"event_id":"$a","rel_type":"m.replace"}}`, Relation{Type: RelReplace, Parent: "$a", Fit: true}},
		{"edit without content", "m.room.message", `{"m.relates_to":{"event_id":"$a","rel_type":"m.replace"}}`, Relation{Type: RelReplace, Parent: "$a"}},
		{"edit with no object", "m.room.message", `{"m.new_content":"x","m.relates_to":{"event_id":"$a","rel_type":"m.replace"}}`, Relation{Type: RelReplace, Parent: "$a"}},
		{"encrypted edit", TypeEncrypted, `{"m.relates_to":{"event_id":"$a","rel_type":"m.replace"}}`, Relation{Type: RelReplace, Parent: "$a", Fit: true}},
		{"annotation", "m.reaction", `{"m.relates_to":{"event_id":"$a","key":"","rel_type":"m.annotation"}}`, Relation{Type: RelAnnotation, Parent: "$a", Fit: true}},
		{"annotation without a key", "m.reaction", `{"m.relates_to":{"event_id":"$a","rel_type":"m.annotation"}}`, Relation{Type: RelAnnotation, Parent: "$a"}},
		{"no object", "m.room.message", `{"m.relates_to":"x"}`, Relation{}},
		{"no event id", "m.room.message", `{"m.relates_to":{"event_id":"a","rel_type":"x"}}`, Relation{}},
		{"a sigil alone", "m.room.message", `{"m.relates_to":{"event_id":"$","rel_type":"x"}}`, Relation{}},
		{"a number", "m.room.message", `{"m.relates_to":{"event_id":1,"rel_type":"x"}}`, Relation{}},
		{"a list", "m.room.message", `{"m.relates_to":{"event_id":"$a","rel_type":["x"]}}`, Relation{}},
		{"empty type", "m.room.message", `{"m.relates_to":{"event_id":"$a","rel_type":""}}`, Relation{}},
		{"a NUL", "m.room.message", `{"m.relates_to":{"event_id":"$a","rel_type":"x\u0000"}}`, Relation{}},
		{"too long", "m.room.message", `{"m.relates_to":{"event_id":"` + long + `","rel_type":"x"}}`, Relation{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := &PDU{Type: tt.evType, Content: []byte(tt.content)}
			got, ok := p.Relation()
			if hashed := got.KeyHash != 0; hashed != (tt.want.Type == RelAnnotation && tt.want.Fit) {
				t.Errorf("KeyHash is %d", got.KeyHash)
			}
			if got.KeyHash = 0; got != tt.want || ok != (tt.want.Type != "") {
				t.Errorf("got %+v, %v, want %+v", got, ok, tt.want)
			}
		})
	}
}

// Whatever a stranger sends is a relation within bounds, or none.
func FuzzRelation(f *testing.F) {
	f.Add(`{"m.relates_to":{"event_id":"$a","key":"k","rel_type":"m.annotation"}}`)
	f.Add(`{"m.relates_to":{"event_id":"$\u0000","rel_type":{}}}`)
	f.Add(`{"m.relates_to":[`)
	f.Fuzz(func(t *testing.T, content string) {
		r, ok := (&PDU{Type: "m.reaction", Content: []byte(content)}).Relation()
		if ok != (r.Type != "") || ok && (r.Parent[0] != '$' || len(r.Parent) > MaxFieldBytes || len(r.Type) > MaxFieldBytes || strings.Contains(r.Type, "\x00")) {
			t.Errorf("%v %+v", ok, r)
		}
	})
}
