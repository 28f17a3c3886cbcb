package usersync

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"causeway/homeserver/event"
	"causeway/homeserver/retention"
	"causeway/homeserver/store"

	"maunium.net/go/mautrix/id"
)

func (w *world) write(fn func(tx *store.Tx) error) {
	w.t.Helper()
	if err := w.db.Write(context.Background(), fn); err != nil {
		w.t.Fatal(err)
	}
}

// ignore sets the content of a user's m.ignored_user_list.
func (w *world) ignore(user id.UserID, content string) {
	w.t.Helper()
	w.write(func(tx *store.Tx) error {
		_, _, err := tx.SetAccountData(user, 0, typeIgnoredUsers, json.RawMessage(content))
		return err
	})
}

// erase makes accounts, and erases them.
func (w *world) erase(users ...id.UserID) {
	w.t.Helper()
	w.write(func(tx *store.Tx) error {
		for _, user := range users {
			if err := tx.InsertUser(&store.User{UserID: user}); err != nil {
				return err
			}
			if err := tx.SetErased(user, true); err != nil {
				return err
			}
		}
		return nil
	})
}

// TestIgnored follows the Client-Server API, "Ignoring Users".
func TestIgnored(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		p := w.room(alice, "shared")
		p.join(bob, carol)
		c := w.client(bob)
		c.sync()
		w.ignore(bob, `{"ignored_users":{"@alice:test":{}, "@bob:test":{}}}`)
		one := p.text(alice, "one")
		p.text(carol, "two")
		p.text(bob, "three")
		p.set(alice, "m.room.topic", "", obj{"topic": "T"})
		bad := p.text(carol, "bad")
		p.send(say{sender: alice, eventType: event.TypeRedaction, content: obj{"redacts": bad.EventID}, redacts: bad.EventID})
		p.text(carol, "four")

		r := c.sync().joined(t, p)
		// bad has no content left, and so no body to tell it by.
		wantList(t, "timeline", brief(r.Timeline.Events), list("two", "three", "topic=T", "m.room.message", "four"))
		if because, ok := r.Timeline.Events[3].Unsigned["redacted_because"].(map[string]any); !ok || because["sender"] != string(alice) {
			t.Errorf("the redaction: %v", r.Timeline.Events[3].Unsigned)
		}
		if r.Timeline.Limited || len(r.State.Events) != 0 {
			t.Errorf("limited %v, state %v", r.Timeline.Limited, brief(r.State.Events))
		}
		viewer := Viewer{User: bob}
		for _, backwards := range []bool{true, false} {
			page := w.page(MessagesRequest{Viewer: viewer, RoomID: p.id, Backwards: backwards, Limit: 50}).brief()
			if slices.Contains(page, "one") || !slices.Contains(page, "two") || !slices.Contains(page, "topic=T") {
				t.Errorf("page %q", page)
			}
		}
		_, err := w.s.Event(context.Background(), viewer, p.id, one.EventID)
		wantCode(t, err, "M_NOT_FOUND")
		_, err = w.s.Context(context.Background(), viewer, p.id, one.EventID, 3, nil)
		wantCode(t, err, "M_NOT_FOUND")
		if _, err := w.s.Event(context.Background(), Viewer{User: carol}, p.id, one.EventID); err != nil {
			t.Errorf("carol ignores nobody: %v", err)
		}
		p.text(alice, "more")
		if a := c.sync(); !a.empty() {
			t.Errorf("an ignored message is news: %+v", a)
		}

		// A change of the list takes effect at once, for what comes then.
		for _, content := range []string{`{"ignored_users":{}}`, `{"ignored_users":["@alice:test"]}`, `{"ignored_users":null}`, `{}`} {
			w.ignore(bob, content)
			p.text(alice, "now")
			wantList(t, content, brief(c.sync().joined(t, p).Timeline.Events), list("now"))
		}
	})
}

func TestIgnoredInvitation(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		p, q := w.room(alice, "shared"), w.room(carol, "shared")
		w.ignore(bob, `{"ignored_users":{"@alice:test":{}}}`)
		c := w.client(bob)
		c.sync()
		p.member(alice, bob, "invite")
		q.member(carol, bob, "invite")
		for name, a := range map[string]*answer{"incremental": c.sync(), "initial": w.client(bob).sync()} {
			if len(a.Rooms.Invite) != 1 || a.Rooms.Invite[q.id] == nil {
				t.Errorf("%s: invited to %v", name, a.Rooms.Invite)
			}
		}
		w.ignore(bob, `{"ignored_users":{}}`)
		if a := c.sync(); len(a.Rooms.Invite) != 0 {
			t.Errorf("an invitation that was missed is sent: %+v", a.Rooms.Invite)
		}
		if a := w.client(bob).sync(); len(a.Rooms.Invite) != 2 {
			t.Errorf("invited to %v", a.Rooms.Invite)
		}
	})
}

// TestErased follows the Client-Server API, POST /account/deactivate, erase: who was there sees what they saw, who comes later sees
// redacted copies.
func TestErased(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		const mallory = id.UserID("@mallory:test")
		p := w.room(mallory, "shared")
		p.join(bob)
		p.set(mallory, "m.room.encryption", "", obj{"algorithm": "m.megolm.v1.aes-sha2"})
		p.set(mallory, "m.room.topic", "", obj{"topic": "old"})
		p.set(mallory, "m.room.topic", "", obj{"topic": "new"})
		said := p.text(mallory, "said")
		p.send(say{sender: mallory, eventType: event.TypeMember, key: key(string(mallory)), content: obj{"membership": "join", "displayname": "M"}})
		p.text(bob, "reply")
		w.erase(mallory, "@other:test")
		p.join(carol)
		p.text(mallory, "by some bridge")
		for _, tt := range []struct {
			user  id.UserID
			whole bool
		}{{bob, true}, {carol, false}} {
			var got []string
			for _, e := range w.page(MessagesRequest{Viewer: Viewer{User: tt.user}, RoomID: p.id, Limit: 50}).Chunk {
				got = append(got, fmt.Sprint(briefOne(e), " ", len(e.Content)))
			}
			want := list("create 2", "mallory:join 1", "history_visibility=shared 1", "bob:join 1", "encryption 1", "topic=old 1", "topic=new 1",
				"said 2", "mallory:join 2", "reply 2", "carol:join 1", "by some bridge 2")
			if !tt.whole {
				// What governs the room stays.
				want[5], want[7], want[8] = "topic 0", "m.room.message 0", "mallory:join 1"
			}
			wantList(t, string(tt.user)+": page", got, want)

			raw, err := w.s.Event(context.Background(), Viewer{User: tt.user}, p.id, said.EventID)
			if err != nil {
				t.Fatal(err)
			}
			var e clientEvent
			w.unmarshal(raw, &e)
			if (e.Content["body"] == "said") != tt.whole {
				t.Errorf("%s: event %s", tt.user, raw)
			}
			timeline := w.client(tt.user).filter(`{"room": {"timeline": {"limit": 50}}}`).sync().joined(t, p).Timeline.Events
			if got := briefOne(timeline[7]); (got == "said") != tt.whole {
				t.Errorf("%s: sync shows %s", tt.user, got)
			}
			if before, ok := timeline[8].Unsigned["prev_content"].(map[string]any); !ok || before["membership"] != "join" {
				t.Errorf("%s: unsigned %v", tt.user, timeline[8].Unsigned)
			}
			checkErasedState(t, w, p, tt.user, mallory, tt.whole)
		}
	})
}

// checkErasedState looks at the member event of an erased user through all that shows state.
func checkErasedState(t *testing.T, w *world, p *place, user, erased id.UserID, whole bool) {
	t.Helper()
	ctx, viewer := context.Background(), Viewer{User: user}
	state, err1 := w.s.State(ctx, viewer, p.id)
	single, err2 := w.s.StateEvent(ctx, viewer, p.id, event.TypeMember, string(erased), false)
	full, err3 := w.s.StateEvent(ctx, viewer, p.id, event.TypeMember, string(erased), true)
	members, err4 := w.s.Members(ctx, MembersRequest{Viewer: viewer, RoomID: p.id})
	joined, err5 := w.s.JoinedMembers(ctx, user, p.id, nil)
	for _, err := range []error{err1, err2, err3, err4, err5} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for name, raw := range map[string]JSON{"state": state, "state event": single, "whole state event": full, "members": members, "joined_members": joined} {
		if shown := slices.Contains(decodeAll(t, raw), `"M"`); shown != whole {
			t.Errorf("%s, %s: name shown %t, want %t in %s", user, name, shown, whole, raw)
		}
	}
	if topic, err := w.s.StateEvent(ctx, viewer, p.id, "m.room.topic", "", false); err != nil || string(topic) != `{"topic":"new"}` {
		t.Errorf("%s: topic %s, %v", user, topic, err)
	}
}

// decodeAll returns all strings in a JSON value, as JSON.
func decodeAll(t *testing.T, raw []byte) (texts []string) {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(raw))
	for {
		token, err := d.Token()
		if err != nil {
			return texts
		}
		if s, ok := token.(string); ok {
			texts = append(texts, fmt.Sprintf("%q", s))
		}
	}
}

func TestDummyEvents(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		p := w.room(alice, "shared")
		c := w.client(alice)
		c.sync()
		dummy := p.send(say{sender: alice, eventType: event.TypeDummy, content: obj{}})
		if a := c.sync(); !a.empty() {
			t.Errorf("a dummy event is news: %+v", a)
		}
		_, err := w.s.Event(context.Background(), Viewer{User: alice}, p.id, dummy.EventID)
		wantCode(t, err, "M_NOT_FOUND")
		p.text(alice, "one")
		wantList(t, "timeline", brief(c.sync().joined(t, p).Timeline.Events), list("one"))
		wantList(t, "page", w.page(MessagesRequest{Viewer: Viewer{User: alice}, RoomID: p.id, Backwards: true, Limit: 2}).brief(),
			list("one", "history_visibility=shared"))
	})
}

// What is older than the room or the server lets messages be is not shown, although it is still there; state is.
func TestExpiredMessagesAreNotShown(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		p := w.room(alice, "shared")
		old := p.text(alice, "old")
		name := p.set(alice, "m.room.name", "", obj{"name": "n"})
		w.now = 1_999_000 // the clock of readers says 2,000,000
		young := p.text(alice, "young")
		for _, test := range []struct {
			name     string
			policy   retention.Policy
			room     int64 // max_lifetime of the room, 0 for none
			oldShown bool
		}{
			{"off", retention.Policy{Default: time.Minute}, 0, true},
			{"by the server", retention.Policy{Enabled: true, Default: time.Minute}, 0, false},
			{"for ever", retention.Policy{Enabled: true}, 0, true},
			{"by the room", retention.Policy{Enabled: true}, 60_000, false},
			{"by the room, but the server says more", retention.Policy{Enabled: true, Min: time.Hour}, 60_000, true},
		} {
			if test.room != 0 {
				p.set(alice, retention.EventType, "", obj{"max_lifetime": test.room})
			}
			w.s.keeps = test.policy
			page, err := w.s.Messages(context.Background(), MessagesRequest{Viewer: Viewer{User: alice}, RoomID: p.id, Backwards: true, Limit: 50})
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range []struct {
				row   *store.Event
				shown bool
			}{{old, test.oldShown}, {name, true}, {young, true}} {
				if got := strings.Contains(string(page), string(e.row.EventID)); got != e.shown {
					t.Errorf("%s: %s is in /messages: %v, want %v", test.name, e.row.Type, got, e.shown)
				}
			}
			_, err = w.s.Event(context.Background(), Viewer{User: alice}, p.id, old.EventID)
			if (err == nil) != test.oldShown {
				t.Errorf("%s: /event: %v", test.name, err)
			}
		}
	})
}

// What the count of a thread's events says is what its reader sees of them: neither messages that have expired, nor those of users whom
// they ignore; but the state that is in the thread.
func TestThreadCountsWhatIsSeen(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		p := w.room(alice, "shared")
		p.join(bob, carol)
		w.now = 1_999_000 // the clock of readers says 2,000,000
		root := p.text(alice, "root")
		in := func(by id.UserID, state *string, ts int64) {
			w.now = ts
			relation := obj{"rel_type": event.RelThread, "event_id": root.EventID}
			p.send(say{sender: by, eventType: "m.room.message", key: state, content: obj{"body": "b", "msgtype": "m.text", "m.relates_to": relation}})
		}
		// As bridges that bring what was said elsewhere have it: with a time from before the root.
		in(alice, nil, 1_000_000)
		in(bob, nil, 1_100_000)
		in(alice, key("state"), 1_200_000)
		in(bob, key("state"), 1_300_000)
		in(alice, nil, 1_999_100)
		in(bob, nil, 1_999_200)
		for _, test := range []struct {
			name    string
			policy  retention.Policy
			ignored string
			want    int
		}{
			{"all", retention.Policy{}, `{}`, 6},
			{"kept for ever", retention.Policy{Enabled: true}, `{}`, 6},
			{"old ones are hidden", retention.Policy{Enabled: true, Default: time.Minute}, `{}`, 4},
			{"bob is ignored", retention.Policy{}, `{"` + string(bob) + `":{}}`, 4},
			{"both", retention.Policy{Enabled: true, Default: time.Minute}, `{"` + string(bob) + `":{}}`, 3},
		} {
			w.s.keeps = test.policy
			w.ignore(carol, `{"ignored_users":`+test.ignored+`}`)
			raw, err := w.s.Event(context.Background(), Viewer{User: carol}, p.id, root.EventID)
			if err != nil {
				t.Fatal(err)
			}
			var got struct {
				Unsigned struct {
					Relations struct {
						Thread struct {
							Count int `json:"count"`
						} `json:"m.thread"`
					} `json:"m.relations"`
				} `json:"unsigned"`
			}
			w.unmarshal(raw, &got)
			if count := got.Unsigned.Relations.Thread.Count; count != test.want {
				t.Errorf("%s: the thread has %d events, want %d", test.name, count, test.want)
			}
		}
	})
}
