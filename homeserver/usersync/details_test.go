package usersync

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"testing"

	"causeway/homeserver/event"
	"causeway/homeserver/store"

	"maunium.net/go/mautrix/id"
)

func TestTransactionID(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		p := w.room(alice, "shared")
		p.join(bob)
		clients := map[string]Request{
			"same device":  {User: alice, Device: "D"},
			"other device": {User: alice, Device: "E"},
			"other user":   {User: bob, Device: "D"},
		}
		e := p.send(say{sender: alice, eventType: "m.room.message", content: obj{"body": "x"}, device: "D", txn: "t1"})
		for name, req := range clients {
			events := w.sync(req).joined(t, p).Timeline.Events
			raw, err := w.s.Event(context.Background(), Viewer{User: req.User, Device: req.Device}, p.id, e.EventID)
			if err != nil {
				t.Fatal(err)
			}
			var single clientEvent
			w.unmarshal(raw, &single)
			for _, got := range []clientEvent{events[len(events)-1], single} {
				if has := got.Unsigned["transaction_id"] == "t1"; has != (name == "same device") {
					t.Errorf("%s: unsigned %v", name, got.Unsigned)
				}
			}
		}
	})
}

func TestUnsigned(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		p := w.room(alice, "joined")
		first := p.set(alice, "m.room.topic", "", obj{"topic": "before bob"})
		p.join(bob)
		p.set(alice, "m.room.topic", "", obj{"topic": "with bob"})
		bad := p.text(bob, "bad")
		redaction := p.send(say{sender: alice, eventType: event.TypeRedaction, content: obj{"redacts": bad.EventID, "reason": "spam"}, redacts: bad.EventID})
		p.member(bob, bob, "leave")
		p.set(alice, "m.room.topic", "", obj{"topic": "without bob"})
		p.join(bob)
		p.set(alice, "m.room.topic", "", obj{"topic": "again"})

		byName := make(map[string]clientEvent)
		for _, e := range w.client(bob).filter(`{"room": {"timeline": {"limit": 50}}}`).sync().joined(t, p).Timeline.Events {
			name := briefOne(e)
			if e.EventID == bad.EventID {
				name = "redacted"
			}
			byName[name] = e
		}
		with := byName["topic=with bob"].Unsigned
		if fmt.Sprint(with["prev_content"]) != "map[topic:before bob]" || with["replaces_state"] != string(first.EventID) ||
			with["prev_sender"] != string(alice) || with["membership"] != "join" {
			t.Errorf("a state event that replaces one: %v", with)
		}
		if _, shown := byName["topic=without bob"]; shown {
			t.Error("an event of bob's absence is shown")
		}
		if again := byName["topic=again"].Unsigned; fmt.Sprint(again["prev_content"]) != "map[topic:without bob]" {
			t.Errorf("what was replaced was part of the state that bob could read: %v", again)
		}
		if left := byName["bob:leave"].Unsigned; left["membership"] != "leave" || fmt.Sprint(left["prev_content"]) != "map[membership:join]" {
			t.Errorf("bob's leaving: %v", left)
		}
		gone := byName["redacted"]
		because, _ := json.Marshal(gone.Unsigned["redacted_because"])
		var why clientEvent
		w.unmarshal(because, &why)
		if len(gone.Content) != 0 || why.EventID != redaction.EventID || why.Content["reason"] != "spam" || why.Redacts != bad.EventID {
			t.Errorf("redacted event %+v, because %+v", gone, why)
		}
	})
}

// TestPrevContentHidden has an event replace one that the user may not see.
func TestPrevContentHidden(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		p := w.room(alice, "joined")
		p.set(alice, "m.room.topic", "", obj{"topic": "hidden"})
		p.set(alice, event.TypeHistoryVisibility, "", obj{"history_visibility": "world_readable"})
		e := p.set(alice, "m.room.topic", "", obj{"topic": "open"})
		raw, err := w.s.Event(context.Background(), Viewer{User: bob}, p.id, e.EventID)
		if err != nil {
			t.Fatal(err)
		}
		var got clientEvent
		w.unmarshal(raw, &got)
		if got.Unsigned["prev_content"] != nil || got.Unsigned["replaces_state"] == nil || got.Unsigned["membership"] != "leave" {
			t.Errorf("unsigned %v", got.Unsigned)
		}
	})
}

func TestLazyMembers(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		p := w.room(alice, "shared")
		p.set(alice, "m.room.name", "", obj{"name": "N"})
		for i := range 8 {
			p.join(id.UserID(fmt.Sprintf("@u%d:test", i)))
		}
		p.join(bob, carol)
		p.texts(carol, "m", 2)
		c := w.client(bob).filter(`{"room": {"state": {"lazy_load_members": true}, "timeline": {"limit": 2}}}`)
		wantList(t, "initial", brief(c.sync().joined(t, p).State.Events),
			list("create", "history_visibility=shared", "name=N", "bob:join", "carol:join"))
		p.text(alice, "x")
		wantList(t, "incremental", brief(c.sync().joined(t, p).State.Events), list("alice:join"))
		p.member("@u1:test", "@u1:test", "leave")
		p.texts("@u2:test", "m", 2)
		r := c.sync().joined(t, p)
		wantList(t, "gap", brief(r.State.Events), list("u2:join", "u1:leave"))
		if r.Summary["m.joined_member_count"] != 10.0 {
			t.Errorf("summary %v", r.Summary)
		}
		p.set(alice, "m.room.name", "", obj{"name": ""})
		p.text(alice, "y")
		r = c.sync().joined(t, p)
		wantList(t, "heroes", brief(r.State.Events), list("u0:join", "u3:join", "u4:join"))
		if got := fmt.Sprint(r.Summary["m.heroes"]); got != "[@alice:test @u0:test @u2:test @u3:test @u4:test]" {
			t.Errorf("heroes %v", got)
		}
	})
}

func TestFilteredSync(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		p, q := w.room(alice, "shared"), w.room(alice, "shared")
		c := w.client(alice).filter(fmt.Sprintf(`{"room": {"rooms": [%q], "timeline": {"types": ["m.room.message"]}}}`, p.id))
		a := c.sync()
		if len(a.Rooms.Join) != 1 {
			t.Errorf("rooms %v", a.Rooms.Join)
		}
		wantList(t, "the timeline holds no state, so the state does", brief(a.joined(t, p).State.Events),
			list("create", "alice:join", "history_visibility=shared"))
		q.text(alice, "filtered")
		if a := c.sync(); !a.empty() {
			t.Errorf("a room that the filter leaves out: %+v", a)
		}
		p.text(alice, "one")
		p.set(alice, "m.room.topic", "", obj{"topic": "a"})
		p.text(alice, "two")
		p.send(say{sender: alice, eventType: "x.y", content: obj{}})
		r := c.sync().joined(t, p)
		wantList(t, "timeline", brief(r.Timeline.Events), list("one", "two"))
		wantList(t, "state that the timeline leaves out", brief(r.State.Events), list("topic=a"))
		if r.Timeline.Limited {
			t.Error("limited, but nothing is missing")
		}
		p.send(say{sender: alice, eventType: "x.y", content: obj{}})
		if a := c.sync(); !a.empty() {
			t.Errorf("an event that the filter leaves out: %+v", a)
		}
		p.set(alice, "m.room.topic", "", obj{"topic": "b"})
		r = c.sync().joined(t, p)
		wantList(t, "nothing but state", brief(r.State.Events), list("topic=b"))

		c.filter(`{"room": {"timeline": {"limit": 0}, "state": {"not_types": ["m.*"]}}}`)
		p.text(alice, "x")
		p.set(alice, "x.state", "", obj{"topic": "c"})
		r = c.sync().joined(t, p)
		wantList(t, "limit 0", brief(r.Timeline.Events), list())
		wantList(t, "limit 0: state", brief(r.State.Events), list("x.state=c"))
		if !r.Timeline.Limited {
			t.Error("limit 0: not limited")
		}
	})
}

func TestFilterMatching(t *testing.T) {
	version, err := event.LookupVersion("11")
	if err != nil {
		t.Fatal(err)
	}
	p, err := event.ParseTrusted(version, "$e", []byte(`{"content":{"url":"mxc://x"},"sender":"@a:b","type":"m.room.message"}`))
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		filter string
		want   bool
	}{
		{`{}`, true},
		{`{"types": []}`, false},
		{`{"types": ["m.room.message"]}`, true},
		{`{"types": ["m.room.*"]}`, true},
		{`{"types": ["*"]}`, true},
		{`{"types": ["m.*.message"]}`, true},
		{`{"types": ["m.*.messages"]}`, false},
		{`{"types": ["m.room.message*"]}`, true},
		{`{"types": ["*m.room.message.*"]}`, false},
		{`{"types": ["m*m*e"]}`, true},
		{`{"types": ["m.room"]}`, false},
		{`{"types": ["m.room.message"], "not_types": ["*.message"]}`, false},
		{`{"senders": []}`, false},
		{`{"senders": ["@a:b"]}`, true},
		{`{"senders": ["@a:b"], "not_senders": ["@a:b"]}`, false},
		{`{"contains_url": true}`, true},
		{`{"contains_url": false}`, false},
	} {
		f, err := ParseEventFilter(tt.filter)
		if err != nil {
			t.Fatal(err)
		}
		if got := f.allows(p); got != tt.want {
			t.Errorf("%s: got %v, want %v", tt.filter, got, tt.want)
		}
	}
	for _, bad := range []string{`[]`, `1`, `{`, `{"limit": -1}`, `{"limit": "x"}`, `{"types": "x"}`, `null`} {
		if _, err := ParseEventFilter(bad); err == nil {
			t.Errorf("%s is taken for a filter", bad)
		}
	}
}

func FuzzParseFilter(f *testing.F) {
	for _, s := range []string{`{}`, `{"room":{"timeline":{"limit":1,"types":["m.*"]},"rooms":[]}}`, `{"room":null}`, `{"room":{"state":{"types":null}}}`, `x`} {
		f.Add(s, "m.room.message")
	}
	f.Fuzz(func(t *testing.T, s, eventType string) {
		filter, err := ParseFilter([]byte(s))
		if err != nil {
			return
		}
		if n := filter.Room.Timeline.limit(defaultTimeline, maxTimeline); n < 0 || n > maxTimeline {
			t.Errorf("limit %d", n)
		}
		filter.Room.Timeline.allowsType(eventType)
		filter.Room.allowsRoom("!x")
	})
}

func TestStoredFilter(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		var filterID int64
		err := w.db.Write(context.Background(), func(tx *store.Tx) (err error) {
			filterID, err = tx.InsertFilter(alice, json.RawMessage(`{"room":{"include_leave":true}}`), 10)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		for range 2 { // from the store, then from memory
			f, err := w.s.Filter(context.Background(), alice, fmt.Sprint(filterID))
			if err != nil || !f.Room.IncludeLeave {
				t.Errorf("got %+v, %v", f, err)
			}
		}
		for _, bad := range []struct {
			user  id.UserID
			param string
		}{{bob, fmt.Sprint(filterID)}, {alice, "77"}, {alice, "x"}, {alice, "{"}} {
			_, err := w.s.Filter(context.Background(), bad.user, bad.param)
			wantCode(t, err, "M_INVALID_PARAM")
		}
	})
}

type rules struct{}

func (rules) AccountData(_ id.UserID, stored json.RawMessage) (json.RawMessage, error) {
	if stored == nil {
		return json.RawMessage(`{"global":"default"}`), nil
	}
	return json.RawMessage(`{"global":"merged"}`), nil
}

func TestAccountData(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.s.push = rules{}
		p := w.room(alice, "shared")
		put := func(roomNID int64, dataType, content string) {
			t.Helper()
			err := w.db.Write(context.Background(), func(tx *store.Tx) error {
				_, _, err := tx.SetAccountData(alice, roomNID, dataType, json.RawMessage(content))
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		got := func(l eventList) []string {
			out := []string{}
			for _, e := range l.Events {
				out = append(out, fmt.Sprint(e.Type, e.Content))
			}
			slices.Sort(out)
			return out
		}
		put(0, "m.direct", `{"a":1}`)
		put(p.nid, "m.tag", `{"t":1}`)
		put(999, "m.lost", `{}`)
		c := w.client(alice)
		a := c.sync()
		wantList(t, "global", got(a.AccountData), list("m.directmap[a:1]", "m.push_rulesmap[global:default]"))
		wantList(t, "room", got(a.joined(t, p).AccountData), list("m.tagmap[t:1]"))
		if a := c.sync(); !a.empty() {
			t.Errorf("nothing happened, and there is %+v", a)
		}
		put(0, "m.push_rules", `{"x":1}`)
		put(p.nid, "m.tag", `{"t":2}`)
		a = c.sync()
		wantList(t, "changed", got(a.AccountData), list("m.push_rulesmap[global:merged]"))
		r := a.joined(t, p)
		wantList(t, "changed in the room", got(r.AccountData), list("m.tagmap[t:2]"))
		if len(r.Timeline.Events) != 0 || r.Timeline.Limited || len(r.State.Events) != 0 {
			t.Errorf("room %+v", r)
		}
		// Whoever comes back to a room needs what was put there before.
		p.member(alice, alice, "leave")
		c.sync()
		p.join(alice)
		wantList(t, "rejoined", got(c.sync().joined(t, p).AccountData), list("m.tagmap[t:2]"))
		wantList(t, "initial", got(w.client(alice).sync().AccountData), list("m.directmap[a:1]", "m.push_rulesmap[global:merged]"))
		c.filter(`{"account_data": {"not_types": ["m.direct"]}, "room": {"account_data": {"types": []}}}`)
		put(0, "m.direct", `{"a":2}`)
		put(p.nid, "m.tag", `{"t":3}`)
		if a := c.sync(); !a.empty() {
			t.Errorf("account data that the filter leaves out: %+v", a)
		}
	})
}

func TestManyPositions(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		p, q := w.room(alice, "shared"), w.room(alice, "shared")
		busy := w.room(carol, "shared")
		r := w.room(carol, "shared")
		c := w.client(alice)
		c.sync()
		p.text(alice, "far back")
		r.member(carol, alice, "invite")
		busy.texts(carol, "m", shortRange+5)
		a := c.sync()
		wantList(t, "timeline", brief(a.joined(t, p).Timeline.Events), list("far back"))
		if a.Rooms.Join[q.id] != nil || a.Rooms.Invite[r.id] == nil || len(a.Rooms.Join) != 1 {
			t.Errorf("rooms %+v", a.Rooms)
		}
	})
}
