package event

import (
	"testing"

	"maunium.net/go/mautrix/id"
)

func TestAppendReceipts(t *testing.T) {
	of := func(eventID id.EventID, kind string, user id.UserID, thread string, ts int64) Receipt {
		return Receipt{EventID: eventID, Type: kind, User: user, Thread: thread, TS: ts}
	}
	for _, test := range []struct {
		name string
		all  []Receipt
		want string
	}{
		{"none", nil, ``},
		{"one", []Receipt{of("$1", "m.read", "@a:x", "", 1)}, `{"$1":{"m.read":{"@a:x":{"ts":1}}}}`},
		{"a thread", []Receipt{of("$1", "m.read", "@a:x", "$r", 1)}, `{"$1":{"m.read":{"@a:x":{"ts":1,"thread_id":"$r"}}}}`},
		{
			"the one without a thread comes first, whenever it came",
			[]Receipt{of("$1", "m.read", "@a:x", "$r", 3), of("$1", "m.read", "@a:x", "", 1), of("$1", "m.read", "@a:x", "main", 2)},
			`{"$1":{"m.read":{"@a:x":{"ts":1}}}}`,
		},
		{
			"main before a thread",
			[]Receipt{of("$1", "m.read", "@a:x", "$r", 3), of("$1", "m.read", "@a:x", "main", 2)},
			`{"$1":{"m.read":{"@a:x":{"ts":2,"thread_id":"main"}}}}`,
		},
		{
			"all kinds",
			[]Receipt{
				of("$2", "m.read", "@a:x", "", 1), of("$1", "m.read.private", "@a:x", "", 2), of("$1", "m.read", "@b:x", "", 3),
				of("$1", "m.read", "@a:x", "", 4),
			},
			`{"$1":{"m.read":{"@a:x":{"ts":4},"@b:x":{"ts":3}},"m.read.private":{"@a:x":{"ts":2}}},"$2":{"m.read":{"@a:x":{"ts":1}}}}`,
		},
		{"strange names", []Receipt{of(`$"`, "m.read", `@ü:x`, "", 1)}, `{"$\"":{"m.read":{"@ü:x":{"ts":1}}}}`},
	} {
		if got := string(AppendReceipts(nil, test.all)); got != test.want {
			t.Errorf("%s: got %s, want %s", test.name, got, test.want)
		}
	}
}

func TestAppendPresence(t *testing.T) {
	for _, test := range []struct {
		p    Presence
		want string
	}{
		{Presence{User: "@a:x", State: "offline"}, `{"type":"m.presence","sender":"@a:x","content":{"presence":"offline","currently_active":false}}`},
		{
			Presence{User: "@a:x", State: "online", StatusMsg: `says "hi"`, LastActiveTS: 40},
			`{"type":"m.presence","sender":"@a:x","content":{"presence":"online","last_active_ago":60,"status_msg":"says \"hi\"","currently_active":true}}`,
		},
		{ // by a clock that was set back
			Presence{User: "@a:x", State: "unavailable", LastActiveTS: 200},
			`{"type":"m.presence","sender":"@a:x","content":{"presence":"unavailable","last_active_ago":0,"currently_active":false}}`,
		},
	} {
		if got := string(AppendPresence(nil, test.p, 100)); got != test.want {
			t.Errorf("got %s, want %s", got, test.want)
		}
	}
}
