package testserver_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"causeway/homeserver"
	"causeway/homeserver/notify"
	"causeway/homeserver/room"
	"causeway/homeserver/store"
	"causeway/homeserver/storetest"
	"causeway/homeserver/testserver"

	"maunium.net/go/mautrix/id"
)

// pushWorld is a server with people who talk and read.
type pushWorld struct {
	*testserver.Server
	t   *testing.T
	txn int
}

func newPushWorld(t *testing.T, db *store.DB, change ...func(*homeserver.Config)) *pushWorld {
	return &pushWorld{Server: testserver.New(t, db, change...), t: t}
}

type object = map[string]any

func (w *pushWorld) createRoom(by testserver.User, body object) id.RoomID {
	w.t.Helper()
	var out struct {
		RoomID id.RoomID `json:"room_id"`
	}
	w.OK("POST", "/_matrix/client/v3/createRoom", by.Token, body, &out)
	return out.RoomID
}

func (w *pushWorld) join(room id.RoomID, users ...testserver.User) {
	w.t.Helper()
	for _, u := range users {
		w.OK("POST", "/_matrix/client/v3/rooms/"+url.PathEscape(string(room))+"/join", u.Token, object{}, nil)
	}
}

func (w *pushWorld) send(by testserver.User, room id.RoomID, eventType string, content object) id.EventID {
	w.t.Helper()
	w.txn++
	var out struct {
		EventID id.EventID `json:"event_id"`
	}
	w.OK("PUT", fmt.Sprintf("/_matrix/client/v3/rooms/%s/send/%s/%d", url.PathEscape(string(room)), eventType, w.txn), by.Token, content, &out)
	return out.EventID
}

func (w *pushWorld) say(by testserver.User, room id.RoomID, body string, relation ...object) id.EventID {
	w.t.Helper()
	content := object{"msgtype": "m.text", "body": body}
	if len(relation) > 0 {
		content["m.relates_to"] = relation[0]
	}
	return w.send(by, room, "m.room.message", content)
}

func inThread(root id.EventID) object { return object{"rel_type": "m.thread", "event_id": root} }

// read gives a receipt as the endpoint stores it, also where that would refuse the thread.
func (w *pushWorld) read(u testserver.User, room id.RoomID, eventID id.EventID, receiptType, thread string) {
	w.t.Helper()
	if err := writeReceipt(w.DB, w.Bus, u.ID, room, eventID, receiptType, thread); err != nil {
		w.t.Fatal(err)
	}
}

func writeReceipt(db *store.DB, bus notify.Bus, user id.UserID, room id.RoomID, eventID id.EventID, receiptType, thread string) error {
	var signals []notify.Signal
	err := db.Write(context.Background(), func(tx *store.Tx) error {
		r, err := tx.Room(room)
		if err != nil {
			return err
		}
		nid, err := tx.NID(string(user))
		if err != nil {
			return err
		}
		e, err := tx.EventByID(eventID)
		if err != nil {
			return err
		}
		pos, err := tx.SetReceipt(store.Receipt{
			RoomNID: r.NID, UserNID: nid, Type: receiptType, Thread: thread, EventID: eventID, EventPos: e.Pos,
		})
		signals = []notify.Signal{{Key: notify.Key{Kind: notify.Room, NID: r.NID}, Pos: pos}, {Key: notify.Key{Kind: notify.User, NID: nid}, Pos: pos}}
		return err
	})
	if err == nil {
		bus.Publish(signals...)
	}
	return err
}

type counts struct {
	Highlights    int `json:"highlight_count"`
	Notifications int `json:"notification_count"`
}

type pushSync struct {
	Next  string `json:"next_batch"`
	Rooms struct {
		Join map[id.RoomID]struct {
			Unread  *counts               `json:"unread_notifications"`
			Threads map[id.EventID]counts `json:"unread_thread_notifications"`
		} `json:"join"`
	} `json:"rooms"`
}

const threadFilter = `{"room":{"timeline":{"unread_thread_notifications":true}}}`

func (w *pushWorld) sync(u testserver.User, since, filter string, timeout time.Duration) pushSync {
	w.t.Helper()
	q := url.Values{"timeout": {fmt.Sprint(timeout.Milliseconds())}}
	if since != "" {
		q.Set("since", since)
	}
	if filter != "" {
		q.Set("filter", filter)
	}
	var out pushSync
	w.OK("GET", "/_matrix/client/v3/sync?"+q.Encode(), u.Token, nil, &out)
	return out
}

// unread shows the counts of a room as "notifications/highlights", without and with threads, from an initial and from an incremental sync.
func (w *pushWorld) unread(u testserver.User, room id.RoomID, since string, roots ...id.EventID) string {
	w.t.Helper()
	var all []string
	for _, from := range []string{"", since} {
		plain, threaded := w.sync(u, from, "", 0).Rooms.Join[room], w.sync(u, from, threadFilter, 0).Rooms.Join[room]
		if plain.Unread == nil || threaded.Unread == nil {
			w.t.Fatalf("the counts of %s are missing", room)
		}
		if plain.Threads != nil {
			w.t.Error("counts by thread, which nobody asked for")
		}
		s := fmt.Sprintf("%d/%d = %d/%d", plain.Unread.Notifications, plain.Unread.Highlights, threaded.Unread.Notifications, threaded.Unread.Highlights)
		for _, root := range roots {
			if c, has := threaded.Threads[root]; has {
				s += fmt.Sprintf(" + %d/%d", c.Notifications, c.Highlights)
			}
		}
		all = append(all, s)
	}
	if all[0] != all[1] {
		w.t.Errorf("an initial sync says %s, an incremental one %s", all[0], all[1])
	}
	return all[0]
}

// TestUnreadByThread follows the example of the specification, "Threaded read receipts".
func TestUnreadByThread(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := newPushWorld(t, db, func(c *homeserver.Config) { c.Push.LegacyMentions = true })
		alice, bob := w.Register("alice"), w.Register("bob")
		room := w.createRoom(alice, object{"preset": "public_chat"})
		w.join(room, bob)
		since := w.sync(bob, "", "", 0).Next
		a := w.say(alice, room, "root")
		b := w.say(alice, room, "in the thread", inThread(a))
		w.say(alice, room, "in the thread, "+string(bob.ID), inThread(a))
		d := w.say(alice, room, "Hello "+string(bob.ID))
		w.say(alice, room, "the end of the thread", inThread(a))
		f := w.say(alice, room, "a reference", object{"rel_type": "m.reference", "event_id": a})
		g := w.send(alice, room, "m.reaction", object{"m.relates_to": object{"rel_type": "m.annotation", "event_id": f, "key": "x"}})
		steps := []struct {
			name, kind, thread string
			event              id.EventID
			want               string
		}{
			{"nothing read", "", "", "", "6/2 = 3/1 + 3/1"},
			{"the root, in the main timeline", "m.read", "main", a, "5/2 = 2/1 + 3/1"},
			{"the first of the thread", "m.read", string(a), b, "4/2 = 2/1 + 2/1"},
			{"privately, all up to the mention", "m.read.private", "", d, "2/0 = 1/0 + 1/0"},
			{"back to the root: nothing is unread again", "m.read", "", a, "2/0 = 1/0 + 1/0"},
			{"the thread by an event that is not in it", "m.read", string(a), g, "1/0 = 1/0"},
			{"all", "m.read", "", g, "0/0 = 0/0"},
		}
		for _, step := range steps {
			if step.event != "" {
				w.read(bob, room, step.event, step.kind, step.thread)
			}
			if got := w.unread(bob, room, since, a); got != step.want {
				t.Errorf("%s: got %s, want %s", step.name, got, step.want)
			}
			if got := w.unread(alice, room, since, a); got != "0/0 = 0/0" {
				t.Errorf("%s: alice, who said all of it, has %s unread", step.name, got)
			}
		}
	})
}

// TestUnreadChanges: what happens to counts by what people do.
func TestUnreadChanges(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := newPushWorld(t, db)
		alice, bob, carol := w.Register("alice"), w.Register("bob"), w.Register("carol")
		room := w.createRoom(alice, object{"preset": "public_chat"})
		w.say(alice, room, "before bob came")
		w.join(room, bob, carol)
		since := w.sync(bob, "", "", 0).Next
		expect := func(name, want string) {
			t.Helper()
			if got := w.unread(bob, room, since); got != want {
				t.Errorf("%s: got %s, want %s", name, got, want)
			}
		}
		roomPath := "/_matrix/client/v3/rooms/" + url.PathEscape(string(room))
		w.say(alice, room, "one")
		expect("a message", "1/0 = 1/0")
		mention := w.send(alice, room, "m.room.message", object{"msgtype": "m.text", "body": "x", "m.mentions": object{"user_ids": []string{string(bob.ID)}}})
		expect("a mention", "2/1 = 2/1")
		w.send(alice, room, "m.room.message", object{"msgtype": "m.notice", "body": "x"})
		expect("a notice", "2/1 = 2/1")
		w.send(alice, room, "m.room.message", object{"msgtype": "m.text", "body": "* x", "m.relates_to": object{"rel_type": "m.replace", "event_id": mention},
			"m.new_content": object{"msgtype": "m.text", "body": "y"}})
		expect("an edit", "2/1 = 2/1")
		w.send(carol, room, "m.room.message", object{"msgtype": "m.text", "body": "all", "m.mentions": object{"room": true}})
		expect("a mention of the room by one who may not", "3/1 = 3/1")
		w.send(alice, room, "m.room.message", object{"msgtype": "m.text", "body": "all", "m.mentions": object{"room": true}})
		expect("a mention of the room", "4/2 = 4/2")
		w.OK("PUT", roomPath+"/redact/"+url.PathEscape(string(mention))+"/r1", alice.Token, object{}, nil)
		expect("the mention is redacted", "3/1 = 3/1")
		w.OK("PUT", "/_matrix/client/v3/user/"+string(bob.ID)+"/account_data/m.ignored_user_list", bob.Token,
			object{"ignored_users": object{string(carol.ID): object{}}}, nil)
		w.say(carol, room, "to a wall")
		expect("an ignored user", "3/1 = 3/1")
		w.OK("PUT", "/_matrix/client/v3/pushrules/global/room/"+url.PathEscape(string(room)), bob.Token, object{"actions": []string{"dont_notify"}}, nil)
		w.say(alice, room, "two")
		expect("a room that is muted", "3/1 = 3/1")
		w.OK("DELETE", "/_matrix/client/v3/pushrules/global/room/"+url.PathEscape(string(room)), bob.Token, nil, nil)
		w.OK("PUT", "/_matrix/client/v3/pushrules/global/content/cake", bob.Token,
			object{"pattern": "CAKE*lie", "actions": []any{"notify", object{"set_tweak": "highlight"}, object{"set_tweak": "sound", "value": "cake.wav"}}}, nil)
		w.say(alice, room, "the cake is a lie.")
		expect("a keyword", "4/2 = 4/2")
		w.OK("PUT", "/_matrix/client/v3/profile/"+string(bob.ID)+"/displayname", bob.Token, object{"displayname": "Bobby"}, nil)
		expect("a new name", "4/2 = 4/2")
		w.say(bob, room, "I am here")
		expect("bob says something", "0/0 = 0/0")
		w.say(alice, room, "three")
		expect("after that", "1/0 = 1/0")
		w.OK("POST", roomPath+"/leave", bob.Token, object{}, nil)
		w.say(alice, room, "bob is away")
		w.join(room, bob)
		expect("back in the room", "0/0 = 0/0")
		w.say(alice, room, "four")
		expect("after that, again", "1/0 = 1/0")
	})
}

// TestUnreadWakes: a private receipt of another device is news, even when nothing else is.
func TestUnreadWakes(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := newPushWorld(t, db)
		alice, bob := w.Register("alice"), w.Register("bob")
		room := w.createRoom(alice, object{"preset": "public_chat"})
		w.join(room, bob)
		last := w.say(alice, room, "one")
		at := w.sync(bob, "", "", 0)
		if got := at.Rooms.Join[room].Unread; got == nil || got.Notifications != 1 {
			t.Fatalf("got %+v, want one", got)
		}
		done := make(chan pushSync)
		go func() { done <- w.sync(bob, at.Next, "", time.Minute) }()
		w.read(bob, room, last, "m.read.private", "main")
		woken := <-done
		if got := woken.Rooms.Join[room].Unread; got == nil || *got != (counts{}) {
			t.Errorf("got %+v, want none unread", got)
		}
		// Another user's receipt is not.
		w.read(alice, room, last, "m.read.private", "")
		if again := w.sync(bob, woken.Next, "", 0); again.Rooms.Join[room].Unread != nil {
			t.Errorf("got %+v for a receipt of another", again.Rooms.Join)
		}
	})
}

type notificationsAnswer struct {
	Next string `json:"next_token"`
	List []struct {
		Actions []json.RawMessage `json:"actions"`
		Event   struct {
			ID      id.EventID `json:"event_id"`
			Content object     `json:"content"`
			RoomID  *string    `json:"room_id"`
			Type    string     `json:"type"`
		} `json:"event"`
		Read   *bool     `json:"read"`
		RoomID id.RoomID `json:"room_id"`
		TS     int64     `json:"ts"`
	} `json:"notifications"`
}

func (w *pushWorld) notifications(u testserver.User, query string) (texts []string, next string) {
	w.t.Helper()
	var out notificationsAnswer
	w.OK("GET", "/_matrix/client/v3/notifications?"+query, u.Token, nil, &out)
	for _, n := range out.List {
		if n.Read == nil || n.RoomID == "" || n.TS == 0 || n.Event.ID == "" || n.Actions == nil || n.Event.RoomID != nil {
			w.t.Errorf("something is missing in %+v", n)
		}
		text, _ := n.Event.Content["body"].(string)
		if text == "" {
			text = n.Event.Type
		}
		if n.Read != nil && *n.Read {
			text += " (read)"
		}
		texts = append(texts, text)
	}
	return texts, out.Next
}

func TestNotifications(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := newPushWorld(t, db)
		alice, bob, eve := w.Register("alice"), w.Register("bob"), w.Register("eve")
		first, second := w.createRoom(alice, object{"preset": "public_chat"}), w.createRoom(alice, object{"preset": "public_chat"})
		w.join(first, bob)
		w.join(second, bob)
		w.say(alice, first, "a1")
		w.say(alice, second, "b1")
		seen := w.say(alice, first, "a2")
		w.send(alice, first, "m.room.message", object{"msgtype": "m.text", "body": "a3", "m.mentions": object{"user_ids": []string{string(bob.ID)}}})
		gone := w.say(alice, second, "a secret")
		w.say(bob, second, "mine")
		w.say(alice, second, "b2")
		w.read(bob, first, seen, "m.read", "")
		w.OK("PUT", "/_matrix/client/v3/rooms/"+url.PathEscape(string(second))+"/redact/"+url.PathEscape(string(gone))+"/r1", alice.Token, object{}, nil)
		w.createRoom(alice, object{"invite": []string{string(bob.ID)}})
		all := "m.room.member b2 a3 a2 (read) b1 (read) a1 (read)"
		if got, next := w.notifications(bob, ""); strings.Join(got, " ") != all || next != "" {
			t.Errorf("got %q, next %q, want %q", got, next, all)
		}
		var pages []string
		for next := ""; ; {
			var got []string
			if got, next = w.notifications(bob, "limit=1&from="+next); len(got) > 1 {
				t.Fatalf("got %q, want one", got)
			}
			pages = append(pages, got...)
			if next == "" {
				break
			}
		}
		if got := strings.Join(pages, " "); got != all {
			t.Errorf("page by page: got %q, want %q", got, all)
		}
		if got, _ := w.notifications(bob, "only=highlight"); strings.Join(got, " ") != "a3" {
			t.Errorf("highlights: got %q", got)
		}
		if got, _ := w.notifications(alice, ""); strings.Join(got, " ") != "mine (read)" {
			t.Errorf("alice sees %q", got)
		}
		if got, _ := w.notifications(eve, ""); len(got) != 0 {
			t.Errorf("a stranger sees %q", got)
		}
		// One who is out of a room is shown nothing of it.
		w.OK("POST", "/_matrix/client/v3/rooms/"+url.PathEscape(string(first))+"/leave", bob.Token, object{}, nil)
		w.OK("POST", "/_matrix/client/v3/rooms/"+url.PathEscape(string(second))+"/ban", alice.Token, object{"user_id": bob.ID}, nil)
		if got, _ := w.notifications(bob, ""); strings.Join(got, " ") != "m.room.member" {
			t.Errorf("after leaving: got %q", got)
		}
		for query, status := range map[string]int{"from=x": 400, "limit=-1": 400, "limit=x": 400} {
			if a := w.Do("GET", "/_matrix/client/v3/notifications?"+query, bob.Token, nil); a.Status != status || a.Code() != "M_INVALID_PARAM" {
				t.Errorf("%s: got %d %s", query, a.Status, a.Body)
			}
		}
		if a := w.Do("GET", "/_matrix/client/v3/notifications", "", nil); a.Status != 401 || a.Code() != "M_MISSING_TOKEN" {
			t.Errorf("without a token: got %d %s", a.Status, a.Body)
		}
	})
}

// TestUnreadPurged: what is purged is not unread any more, whoever remembers it, and nothing of it is left.
func TestUnreadPurged(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := newPushWorld(t, db)
		alice, bob := w.Register("alice"), w.Register("bob")
		roomID := w.createRoom(alice, object{"preset": "public_chat"})
		w.join(roomID, bob)
		since := w.sync(bob, "", "", 0).Next
		root := w.say(alice, roomID, "root")
		w.say(alice, roomID, "two", inThread(root))
		point := w.say(alice, roomID, "three")
		w.say(alice, roomID, "four", inThread(root))
		if got := w.unread(bob, roomID, since, root); got != "4/0 = 2/0 + 2/0" {
			t.Fatalf("got %s", got)
		}
		out, err := w.Maintenance.PurgeHistory(t.Context(), roomID, room.Before{EventID: point})
		if err != nil || out.Events != 2 {
			t.Fatalf("purged %+v, %v", out, err)
		}
		if got := w.unread(bob, roomID, since, root); got != "2/0 = 1/0 + 1/0" {
			t.Errorf("after the purge: got %s", got)
		}
		wantSound(t, db)
		if _, err := w.Maintenance.PurgeRoom(t.Context(), roomID, true); err != nil {
			t.Fatal(err)
		}
		wantSound(t, db)
		err = db.View(t.Context(), func(tx *store.Tx) error {
			var n int
			_, err := tx.Row(`SELECT COUNT(*) FROM push_actions`, nil, &n)
			if n != 0 {
				t.Errorf("%d rows are left of the room", n)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	})
}

func wantSound(t *testing.T, db *store.DB) {
	t.Helper()
	err := db.View(t.Context(), func(tx *store.Tx) error {
		orphans, err := tx.AuditOrphans(10)
		for _, o := range orphans {
			if o.Table == "push_actions" {
				t.Errorf("rows refer to nothing: %+v", o)
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestDeviceSettings: the notification settings of a device go with it (MSC3890).
func TestDeviceSettings(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := newPushWorld(t, db)
		alice := w.Register("alice")
		login := object{"type": "m.login.password", "identifier": object{"type": "m.id.user", "user": "alice"}, "password": "correct horse battery"}
		settings := func(device string) string {
			return "/_matrix/client/v3/user/" + string(alice.ID) + "/account_data/org.matrix.msc3890.local_notification_settings." + device
		}
		devices := make([]struct {
			Token  string `json:"access_token"`
			Device string `json:"device_id"`
		}, 3)
		for i := range devices {
			w.OK("POST", "/_matrix/client/v3/login", "", login, &devices[i])
			w.OK("PUT", settings(devices[i].Device), alice.Token, object{"is_silenced": true}, nil)
		}
		status := func(i int) int { return w.Do("GET", settings(devices[i].Device), alice.Token, nil).Status }
		w.OK("POST", "/_matrix/client/v3/logout", devices[0].Token, object{}, nil)
		if status(0) != 404 || status(1) != 200 {
			t.Errorf("after one logs out: got %d for it and %d for another", status(0), status(1))
		}
		w.OK("POST", "/_matrix/client/v3/account/password", devices[1].Token,
			object{"new_password": "another horse battery", "logout_devices": true, "auth": object{
				"type": "m.login.password", "identifier": login["identifier"], "password": "correct horse battery"}}, nil)
		alice.Token = devices[1].Token
		if status(2) != 404 || status(1) != 200 {
			t.Errorf("after the others are logged out: got %d for one and %d for that which stays", status(2), status(1))
		}
	})
}
