package bridges

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"maunium.net/go/mautrix/bridgev2/networkid"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"

	"causeway/bridges/bridgetest"
)

func TestOptions(t *testing.T) {
	for _, test := range []struct {
		name string
		opts Options
		want string // part of the error
	}{
		{"no id", Options{}, "ID"},
		{"id with underscore", Options{ID: "i_rc"}, "ID"},
		{"no server", Options{ID: "irc"}, "ServerName"},
		{"no network", Options{ID: "irc", ServerName: "hs.test"}, "Network"},
		{"no place", Options{ID: "irc", ServerName: "hs.test", Network: newLoopNetwork()}, "DataDir"},
		{"bad database", Options{ID: "irc", ServerName: "hs.test", Network: newLoopNetwork(), Database: "mysql://x"}, "Database"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := New(test.opts)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got error %v, want one that names %s", err, test.want)
			}
		})
	}
}

func TestRegistrationIsStable(t *testing.T) {
	hs := bridgetest.NewHomeserver(t, "hs.test")
	dir := t.TempDir()
	var tokens [2]string
	for i := range tokens {
		b, err := New(Options{ID: "loop", ServerName: hs.ServerName, Network: newLoopNetwork(), DataDir: dir})
		if err != nil {
			t.Fatal(err)
		}
		tokens[i] = b.Registration().ASToken + " " + b.Registration().HSToken
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if tokens[0] != tokens[1] || len(tokens[0]) < 80 {
		t.Errorf("got tokens of %d characters, equal: %v; want the same after a restart", len(tokens[0]), tokens[0] == tokens[1])
	}
	info, err := os.Stat(filepath.Join(dir, "bridge-loop.db"))
	if err != nil {
		t.Fatal(err)
	}
	if got := info.Mode().Perm(); got != 0o600 {
		t.Errorf("got file mode %o, want 600", got)
	}
}

func TestRemoteMessages(t *testing.T) {
	hs := bridgetest.NewHomeserver(t, "hs.test")
	w := startWorld(t, hs, t.TempDir(), nil)
	room := w.portal(t, "chat")
	for _, m := range []struct{ id, text string }{{"1", "one"}, {"2", "two"}, {"1", "one"}} {
		if res := w.remote("chat", "bob", networkid.MessageID(m.id), m.text); res.Error != nil {
			t.Fatal(res.Error)
		}
	}
	messages := hs.Messages(room)
	var got []string
	for _, m := range messages {
		got = append(got, string(m.Sender)+" "+m.Text())
		if !strings.HasPrefix(m.TxnID, "loop-") {
			t.Errorf("got transaction ID %q, want one that is made of the message", m.TxnID)
		}
	}
	if want := []string{"@loop_bob:hs.test one", "@loop_bob:hs.test two"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestAcknowledgedWhenHandled(t *testing.T) {
	hs := bridgetest.NewHomeserver(t, "hs.test")
	w := startWorld(t, hs, t.TempDir(), func(w *world) { w.net.hold, w.ackWait = true, time.Hour })
	room := w.portal(t, "chat")
	hs.AwaitAcknowledged()
	hs.Say(w.alice, room, "hello")
	w.net.await(t, 1)
	evt := hs.Messages(room)[0]
	answered := make(chan int, 1)
	go func() { answered <- hs.Put("again", evt) }()
	select {
	case status := <-answered:
		t.Fatalf("got status %d before the network had the message", status)
	case <-time.After(50 * time.Millisecond):
	}
	w.net.finish("hello")
	if status := <-answered; status != http.StatusOK {
		t.Errorf("got status %d, want 200", status)
	}
	hs.AwaitAcknowledged()
	if got := w.net.await(t, 1); len(got) != 1 {
		t.Errorf("the network got %q, want the message once", got)
	}
}

func TestRepeatedTransactions(t *testing.T) {
	hs := bridgetest.NewHomeserver(t, "hs.test")
	dir := t.TempDir()
	w := startWorld(t, hs, dir, nil)
	room := w.portal(t, "chat")
	first, second := hs.Say(w.alice, room, "first"), hs.Say(w.alice, room, "second")
	hs.AwaitAcknowledged()
	for i, e := range []*bridgetest.Event{first, second, first} {
		if status := hs.Put(fmt.Sprint("t", i), e); status != http.StatusOK {
			t.Errorf("repeat %d: got status %d, want 200", i, status)
		}
	}
	if got, want := w.net.await(t, 2), []string{"first", "second"}; !slices.Equal(got, want) {
		t.Errorf("the network got %q, want %q", got, want)
	}
	w.stop()

	w = startWorld(t, hs, dir, nil)
	if status := hs.Put("after-restart", first, second); status != http.StatusOK {
		t.Errorf("after a restart: got status %d, want 200", status)
	}
	hs.Say(w.alice, room, "third")
	hs.AwaitAcknowledged()
	if got, want := w.net.await(t, 1), []string{"third"}; !slices.Equal(got, want) {
		t.Errorf("after a restart the network got %q, want %q", got, want)
	}
}

// An event that was stored but not handled when the process ended is handled after the next start, although
// the homeserver does not send it again.
func TestPendingSurvives(t *testing.T) {
	hs := bridgetest.NewHomeserver(t, "hs.test")
	dir := t.TempDir()
	w := startWorld(t, hs, dir, func(w *world) { w.net.hold, w.ackWait = true, time.Millisecond })
	room := w.portal(t, "chat")
	hs.Say(w.alice, room, "one")
	hs.Say(w.alice, room, "two")
	w.net.await(t, 2)
	w.net.finish("one")
	hs.AwaitAcknowledged()
	w.stop()

	w = startWorld(t, hs, dir, nil)
	if got, want := w.net.await(t, 1), []string{"two"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestLanes(t *testing.T) {
	hs := bridgetest.NewHomeserver(t, "hs.test")
	w := startWorld(t, hs, t.TempDir(), func(w *world) { w.net.hold, w.ackWait = true, time.Millisecond })
	slow, quick := w.portal(t, "slow"), w.portal(t, "quick")
	hs.AwaitAcknowledged()

	hs.Say(w.alice, slow, "a1")
	hs.Say(w.alice, slow, "a2")
	if got, want := w.net.await(t, 2), []string{"a1", "a2"}; !slices.Equal(got, want) {
		t.Fatalf("got %q, want %q: one person's messages need not wait for each other", got, want)
	}
	// Another person's message waits for both.
	hs.Say(hs.User("bob"), slow, "b1")
	hs.Say(w.alice, quick, "q1")
	if got, want := w.net.await(t, 3), []string{"a1", "a2", "q1"}; !slices.Equal(got, want) {
		t.Fatalf("got %q, want %q: another room need not wait", got, want)
	}
	w.net.finish("a2")
	w.net.finish("a1")
	// bob has no login, so his message is answered with a notice.
	hs.AwaitEvent("notice for bob", func(e *bridgetest.Event) bool {
		return e.Room == slow && e.MsgType() == "m.notice" && strings.Contains(e.Text(), "not logged in")
	})
	w.net.finish("q1")
	hs.AwaitAcknowledged()
}

// A person with much on the way holds up nobody for longer than orderWait, and nothing of their own comes out of order.
func TestLaneChoice(t *testing.T) {
	const a, b id.UserID = "@a:hs.test", "@b:hs.test"
	key := ""
	for _, test := range []struct {
		name       string
		unfinished map[id.UserID]int
		queue      []ticket
		want       int
	}{
		{"nothing", nil, nil, -1},
		{"one's own", map[id.UserID]int{a: 3}, []ticket{{evt: &event.Event{Sender: a}}}, 0},
		{"another's", map[id.UserID]int{a: 3}, []ticket{{evt: &event.Event{Sender: b}}}, -1},
		{"another's that has waited", map[id.UserID]int{a: 3},
			[]ticket{{evt: &event.Event{Sender: b}, queued: time.Unix(0, 0).Add(-orderWait)}}, 0},
		{"state", map[id.UserID]int{a: 1}, []ticket{{evt: &event.Event{Sender: a, StateKey: &key}}}, -1},
		{"a full sender", map[id.UserID]int{a: maxUnfinished}, []ticket{
			{evt: &event.Event{Sender: a}, queued: time.Unix(0, 0).Add(-time.Hour)},
			{evt: &event.Event{Sender: b}, queued: time.Unix(0, 0).Add(-orderWait)},
		}, 1},
		{"only a full sender", map[id.UserID]int{a: maxUnfinished}, []ticket{
			{evt: &event.Event{Sender: a}, queued: time.Unix(0, 0).Add(-time.Hour)},
		}, -1},
		{"nobody passes who waits for order", map[id.UserID]int{a: 1},
			[]ticket{{evt: &event.Event{Sender: b}}, {evt: &event.Event{Sender: a}}}, -1},
		{"about one's own", map[id.UserID]int{a: 1}, []ticket{{evt: &event.Event{Sender: a}, about: "$@a:hs.test0"}}, 0},
		{"about one's own, and the network cannot change it", map[id.UserID]int{a: 1},
			[]ticket{{evt: &event.Event{Sender: a}, about: "$@a:hs.test0", asked: true}, {evt: &event.Event{Sender: a}}}, -1},
		{"about another's that takes long", map[id.UserID]int{a: 1}, []ticket{
			{evt: &event.Event{Sender: b}, about: "$@a:hs.test0", asked: true, queued: time.Unix(0, 0).Add(-orderWait)},
		}, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			ln := &lane{unfinished: map[id.UserID]int{}, going: map[id.EventID]id.UserID{}}
			for user, count := range test.unfinished {
				for n := range count {
					ln.begin(&event.Event{ID: id.EventID(fmt.Sprint("$", user, n)), Sender: user})
				}
			}
			for i := range test.queue {
				one := &test.queue[i]
				if one.queued.IsZero() {
					one.queued = time.Unix(0, 0)
				}
				ln.queue = append(ln.queue, one)
			}
			got, wait := ln.choose(time.Unix(0, 0))
			if got != test.want || got < 0 && wait <= 0 {
				t.Errorf("got event %d and a wait of %v, want event %d", got, wait, test.want)
			}
		})
	}
}

// A membership that the network could not take is offered again, and when that does not help after the next start.
func TestMemberWatcherFails(t *testing.T) {
	hs := bridgetest.NewHomeserver(t, "hs.test")
	dir := t.TempDir()
	w := startWorld(t, hs, dir, func(w *world) { w.ackWait = time.Millisecond })
	room := w.portal(t, "chat")
	hs.AwaitAcknowledged()
	refuse := func(times int) {
		w.net.mu.Lock()
		defer w.net.mu.Unlock()
		w.net.joins, w.net.refuse = nil, times
	}
	has := func(user id.UserID) bool {
		w.net.mu.Lock()
		defer w.net.mu.Unlock()
		return slices.Contains(w.net.joins, user)
	}
	refuse(1)
	hs.SetMember(hs.User("carol"), room, hs.User("carol"), "join", "")
	for patience := time.After(bridgetest.Patience); !has(hs.User("carol")); {
		select {
		case <-w.net.bell:
		case <-patience:
			t.Fatal("the membership is not offered again")
		}
	}
	refuse(1000)
	hs.SetMember(hs.User("dave"), room, hs.User("dave"), "join", "")
	hs.AwaitAcknowledged()
	w.stop()

	w = startWorld(t, hs, dir, nil)
	hs.SetMember(hs.User("erin"), room, hs.User("erin"), "join", "")
	hs.AwaitAcknowledged()
	if !has(hs.User("dave")) {
		t.Error("the membership was lost with the stop")
	}
}

func TestMemberWatcher(t *testing.T) {
	hs := bridgetest.NewHomeserver(t, "hs.test")
	w := startWorld(t, hs, t.TempDir(), nil)
	room := w.portal(t, "chat")
	w.remote("chat", "ghost", "m1", "hi")
	hs.SetMember(hs.User("carol"), room, hs.User("carol"), "join", "")
	hs.AwaitAcknowledged()
	w.net.mu.Lock()
	defer w.net.mu.Unlock()
	got := slices.Compact(slices.Clone(w.net.joins))
	if want := []id.UserID{w.alice, hs.User("carol")}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v: people only", got, want)
	}
}

// Who comes with nonsense in the membership has come all the same, and who goes has gone.
func TestOddMemberships(t *testing.T) {
	for _, test := range []struct {
		name    string
		content map[string]any
	}{
		{"a name that is a number", map[string]any{"membership": "join", "displayname": 5}},
		{"all sorts", map[string]any{"membership": "join", "displayname": []int{}, "avatar_url": 1, "reason": map[string]any{}, "third_party_invite": "x"}},
		{"another word for it", map[string]any{"membership": "join", "Membership": "leave"}},
		{"another letter", map[string]any{"membership": "join", "member\u017fhip": "leave"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			hs := bridgetest.NewHomeserver(t, "hs.test")
			w := startWorld(t, hs, t.TempDir(), nil)
			room := w.portal(t, "chat")
			carol := hs.User("carol")
			text, err := json.Marshal(map[string]any{
				"event_id": "$1", "room_id": room, "sender": carol, "type": "m.room.member", "state_key": carol, "content": test.content,
			})
			if err != nil {
				t.Fatal(err)
			}
			evt, err := parseEvent(text)
			if err != nil || evt.Content.AsMember().Membership != event.MembershipJoin || len(evt.Content.Raw) != len(test.content) {
				t.Errorf("got %v, %v, want a join", evt, err)
			}
			hs.SendState(carol, room, "m.room.member", string(carol), test.content)
			hs.AwaitAcknowledged()
			w.net.mu.Lock()
			defer w.net.mu.Unlock()
			if !slices.Contains(w.net.joins, carol) {
				t.Errorf("the network has not heard of carol, of %v only", w.net.joins)
			}
		})
	}
}

func TestHandlerRefuses(t *testing.T) {
	hs := bridgetest.NewHomeserver(t, "hs.test")
	w := startWorld(t, hs, t.TempDir(), nil)
	good := "Bearer " + w.Registration().HSToken
	const txn, alias = "/_matrix/app/v1/transactions/1", "/_matrix/app/v1/rooms/%23loop_x:hs.test"
	for _, test := range []struct {
		name, method, path, token, body string
		status                          int
		want                            string
	}{
		{"no token", "PUT", txn, "", `{"events":[]}`, 401, "M_MISSING_TOKEN"},
		{"wrong token", "PUT", txn, "Bearer x", `{"events":[]}`, 401, "M_UNKNOWN_TOKEN"},
		{"not JSON", "PUT", txn, good, `{`, 400, "M_BAD_JSON"},
		{"no events", "PUT", txn, good, `{}`, 200, "{}"},
		{"malformed event", "PUT", txn, good, `{"events":[{"type":1},{}]}`, 200, "{}"},
		{"unknown alias", "GET", alias, good, "", 404, "#loop_x:hs.test is not on this network"},
		{"alias without token", "GET", alias, "", "", 401, "M_MISSING_TOKEN"},
		{"unknown user", "GET", "/_matrix/app/v1/users/@loop_x:hs.test", good, "", 404, "M_NOT_FOUND"},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := httptest.NewRequest(test.method, test.path, strings.NewReader(test.body))
			if test.token != "" {
				r.Header.Set("Authorization", test.token)
			}
			rec := httptest.NewRecorder()
			w.Handler().ServeHTTP(rec, r)
			if rec.Code != test.status || !strings.Contains(rec.Body.String(), test.want) {
				t.Errorf("got %d %s, want %d and %s", rec.Code, rec.Body, test.status, test.want)
			}
		})
	}
}

// What a ghost says comes back in transactions, and is not worth a row.
func TestEchoIsNotKept(t *testing.T) {
	hs := bridgetest.NewHomeserver(t, "hs.test")
	w := startWorld(t, hs, t.TempDir(), nil)
	room := w.portal(t, "chat")
	w.remote("chat", "bob", "m1", "hi")
	hs.Say(w.alice, room, "hello")
	hs.AwaitAcknowledged()
	for _, e := range hs.Events(func(*bridgetest.Event) bool { return true }) {
		var rows int
		if err := w.raw.QueryRow(t.Context(), `SELECT COUNT(*) FROM host_inbox WHERE event_id=$1`, e.ID).Scan(&rows); err != nil {
			t.Fatal(err)
		}
		want := 1
		if e.Sender != w.alice && (e.StateKey == nil || strings.HasPrefix(*e.StateKey, "@loop_")) {
			want = 0
		}
		if rows != want {
			t.Errorf("%s by %s: got %d rows, want %d", e.Type, e.Sender, rows, want)
		}
	}
}

func FuzzParseEvent(f *testing.F) {
	f.Add([]byte(`{"event_id":"$1","room_id":"!r","sender":"@a:b","type":"m.room.message","content":{"msgtype":"m.text","body":"x"}}`))
	f.Add([]byte(`{"event_id":"$1","room_id":"!r","sender":"@a:b","type":"m.room.member","state_key":"@a:b","content":{"membership":"join"}}`))
	f.Add([]byte(`{"event_id":"$1","room_id":"!r","sender":"@a:b","type":"m.room.power_levels","state_key":"","content":{"users":{"@a:b":"50"}}}`))
	f.Add([]byte(`{"event_id":"$1","room_id":"!r","sender":"@a:b","type":"m.room.message","content":[]}`))
	f.Add([]byte(`null`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		evt, err := parseEvent(raw)
		if err == nil && (evt.ID == "" || evt.RoomID == "" || evt.Sender == "") {
			t.Errorf("got an event without its IDs from %q", raw)
		}
	})
}
