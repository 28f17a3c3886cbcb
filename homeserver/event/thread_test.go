package event

import (
	"errors"
	"testing"

	"maunium.net/go/mautrix/id"
)

func TestThreadOf(t *testing.T) {
	relation := func(relType, target string) string {
		return `{"m.relates_to":{"event_id":"` + target + `","rel_type":"` + relType + `"}}`
	}
	contents := map[id.EventID]string{
		"$A": `{"body":"root"}`,
		"$B": relation("m.thread", "$A"),
		"$C": relation("m.annotation", "$B"),
		"$D": relation("m.replace", "$A"),
		"$E": relation("m.reference", "$C"),
		"$F": relation("m.annotation", "$E"),
		"$G": relation("m.annotation", "$F"),
		"$H": relation("m.annotation", "$gone"),
		"$I": `{"m.relates_to":{"m.in_reply_to":{"event_id":"$B"}}}`,
		"$J": relation("m.annotation", "$J"),
		"$K": `{"m.relates_to":{"event_id":7,"rel_type":"m.thread"}}`,
		"$L": `{"m.relates_to":"$A"}`,
		"$M": relation("m.thread", ""),
		"$N": relation("m.thread", "main"),
		"$O": relation("m.annotation", "$D"),
	}
	asked := 0
	get := func(eventID id.EventID) (*PDU, error) {
		asked++
		content, ok := contents[eventID]
		if !ok {
			return nil, nil
		}
		return &PDU{EventID: eventID, Content: []byte(content)}, nil
	}
	for _, test := range []struct {
		event, thread string
		root          id.EventID
		asks          int
	}{
		{"$A", "main", "$A", 0},
		{"$B", "$A", "$A", 0},
		{"$C", "$A", "$A", 1},
		{"$D", "main", "$A", 1},
		{"$E", "$A", "$A", 2},
		{"$F", "$A", "$A", 3},
		{"$G", "main", "$B", 3}, // too far
		{"$H", "main", "$gone", 1},
		{"$I", "main", "$I", 0},
		{"$J", "main", "$J", 3},
		{"$K", "main", "$K", 0},
		{"$L", "main", "$L", 0},
		{"$M", "main", "$M", 0},
		{"$N", "main", "$N", 0},
		{"$O", "main", "$A", 2},
	} {
		asked = 0
		p := &PDU{EventID: id.EventID(test.event), Content: []byte(contents[id.EventID(test.event)])}
		got, err := ThreadOf(p, get)
		if want := (Thread{ID: test.thread, Root: test.root}); err != nil || got != want || asked != test.asks {
			t.Errorf("%s: got %+v, %v after %d questions, want %+v after %d", test.event, got, err, asked, want, test.asks)
		}
	}
	state := &PDU{EventID: "$S", StateKey: new(string), Content: []byte(contents["$B"])}
	if got, err := ThreadOf(state, get); err != nil || got.ID != MainThread {
		t.Errorf("state: got %+v, %v", got, err)
	}
	broken := errors.New("broken")
	_, err := ThreadOf(&PDU{Content: []byte(contents["$C"])}, func(id.EventID) (*PDU, error) { return nil, broken })
	if !errors.Is(err, broken) {
		t.Errorf("got %v, want the error of parent", err)
	}
}
