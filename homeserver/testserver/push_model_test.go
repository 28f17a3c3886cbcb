package testserver_test

import (
	"fmt"
	"math/rand/v2"
	"net/url"
	"strconv"
	"sync"
	"testing"

	"causeway/homeserver/store"
	"causeway/homeserver/storetest"
	"causeway/homeserver/testserver"

	"maunium.net/go/mautrix/id"
)

// utterance is a message or reaction of the model.
type utterance struct {
	id       id.EventID
	sender   int
	root     id.EventID // of its thread, "" for none
	redacted bool
	reaction bool
	outcome  []int // by user: 0 nothing, 1 notification, 2 highlight
}

// reader is a user of the model in its one room.
type reader struct {
	testserver.User
	in    bool
	came  int // how much had been said when they came
	muted bool
	marks map[string]int // by type and thread: how much they have read
}

// model is a naive account of one room: all that was said, and who read how far.
type model struct {
	*pushWorld
	r     *rand.Rand
	room  id.RoomID
	users []*reader
	all   []*utterance
	roots []id.EventID
}

func (m *model) path() string { return "/_matrix/client/v3/rooms/" + url.PathEscape(string(m.room)) }

func (m *model) members() (in []int) {
	for i, u := range m.users {
		if u.in {
			in = append(in, i)
		}
	}
	return in
}

func (m *model) pick(list []int) int { return list[m.r.IntN(len(list))] }

// message has somebody say something, perhaps to somebody, perhaps in a thread.
func (m *model) message() {
	sender := m.pick(m.members())
	s := &utterance{sender: sender, outcome: make([]int, len(m.users))}
	content := object{"msgtype": "m.text", "body": "x"}
	mentioned := -1
	if m.r.IntN(3) == 0 {
		mentioned = m.r.IntN(len(m.users))
		content["m.mentions"] = object{"user_ids": []id.UserID{m.users[mentioned].ID}}
	}
	if len(m.roots) > 0 && m.r.IntN(2) == 0 {
		s.root = m.roots[m.r.IntN(len(m.roots))]
		content["m.relates_to"] = inThread(s.root)
	}
	for i, u := range m.users {
		switch {
		case i == sender || !u.in:
		case i == mentioned:
			s.outcome[i] = 2
		case !u.muted:
			s.outcome[i] = 1
		}
	}
	s.id = m.send(m.users[sender].User, m.room, "m.room.message", content)
	m.all = append(m.all, s)
	if s.root == "" && m.r.IntN(4) == 0 {
		m.roots = append(m.roots, s.id)
	}
}

// react has somebody react to what was said: by that they have read the thread, and nobody is told.
func (m *model) react() {
	to := m.all[m.r.IntN(len(m.all))]
	if to.reaction { // whether that is in a thread depends on what was redacted of what it was about
		return
	}
	s := &utterance{sender: m.pick(m.members()), outcome: make([]int, len(m.users)), reaction: true}
	if !to.redacted {
		s.root = to.root
	}
	s.id = m.send(m.users[s.sender].User, m.room, "m.reaction", object{"m.relates_to": object{"rel_type": "m.annotation", "event_id": to.id, "key": strconv.Itoa(len(m.all))}})
	m.all = append(m.all, s)
}

func (m *model) receipt() {
	u := m.users[m.pick(m.members())]
	at := m.r.IntN(len(m.all))
	kind := []string{"m.read", "m.read.private"}[m.r.IntN(2)]
	thread := []string{"", "main", string(m.all[at].root)}[m.r.IntN(3)]
	key := kind + " " + thread
	if at+1 <= u.marks[key] { // receipts do not go back
		return
	}
	u.marks[key] = at + 1
	m.read(u.User, m.room, m.all[at].id, kind, thread)
}

func (m *model) redact() {
	s := m.all[m.r.IntN(len(m.all))]
	if s.redacted {
		return
	}
	s.redacted = true
	m.txn++
	m.OK("PUT", fmt.Sprintf("%s/redact/%s/r%d", m.path(), url.PathEscape(string(s.id)), m.txn), m.users[0].Token, object{}, nil)
}

func (m *model) comeOrGo() {
	u := m.users[1+m.r.IntN(len(m.users)-1)]
	if u.in {
		m.OK("POST", m.path()+"/leave", u.Token, object{}, nil)
	} else {
		m.join(m.room, u.User)
		u.came = len(m.all)
	}
	u.in = !u.in
}

func (m *model) mute() {
	u := m.users[m.r.IntN(len(m.users))]
	rule := "/_matrix/client/v3/pushrules/global/room/" + url.PathEscape(string(m.room))
	if u.muted {
		m.OK("DELETE", rule, u.Token, nil, nil)
	} else {
		m.OK("PUT", rule, u.Token, object{"actions": []string{}}, nil)
	}
	u.muted = !u.muted
}

func (m *model) rename() {
	u := m.users[m.r.IntN(len(m.users))]
	m.OK("PUT", "/_matrix/client/v3/profile/"+string(u.ID)+"/displayname", u.Token, object{"displayname": fmt.Sprint("n", m.r.IntN(9))}, nil)
}

// want counts for one user what they have not read: of the main timeline under "", and of each thread.
func (m *model) want(i int) map[id.EventID]counts {
	u := m.users[i]
	read := func(thread string) int { return max(u.marks["m.read "+thread], u.marks["m.read.private "+thread]) }
	floor := make(map[id.EventID]int)
	for at, s := range m.all {
		if s.sender == i {
			floor[s.root] = at + 1
		}
	}
	unread := make(map[id.EventID]counts)
	for at, s := range m.all {
		thread := string(s.root)
		if thread == "" {
			thread = "main"
		}
		if s.redacted || s.outcome[i] == 0 || at < max(u.came, floor[s.root], read(""), read(thread)) {
			continue
		}
		c := unread[s.root]
		c.Notifications++
		if s.outcome[i] == 2 {
			c.Highlights++
		}
		unread[s.root] = c
	}
	return unread
}

// compare asks two servers on the same database, one of which remembers nothing.
func (m *model) compare(step int) {
	m.t.Helper()
	fresh := &pushWorld{Server: testserver.New(m.t, m.DB), t: m.t}
	for i, u := range m.users {
		if !u.in {
			continue
		}
		want := m.want(i)
		for name, w := range map[string]*pushWorld{"old": m.pushWorld, "fresh": fresh} {
			got := w.sync(u.User, "", threadFilter, 0).Rooms.Join[m.room]
			if got.Unread == nil {
				m.t.Fatalf("step %d: no counts", step)
			}
			all := map[id.EventID]counts{"": *got.Unread}
			for root, c := range got.Threads {
				all[root] = c
			}
			for root := range all {
				if all[root] != want[root] {
					m.t.Fatalf("step %d, the %s server: thread %q of %s: got %+v, want %+v", step, name, root, u.ID, all[root], want[root])
				}
			}
			for root := range want {
				if all[root] != want[root] {
					m.t.Fatalf("step %d, the %s server: thread %q of %s: got nothing, want %+v", step, name, root, u.ID, want[root])
				}
			}
		}
	}
}

// TestUnreadModel compares the counts of all users with a naive account of the room over random histories, with the server started anew in
// the middle.
func TestUnreadModel(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		for seed := range uint64(4) {
			m := &model{pushWorld: newPushWorld(t, db), r: rand.New(rand.NewPCG(seed, 3))}
			for i := range 4 {
				m.users = append(m.users, &reader{User: m.Register(fmt.Sprintf("u%d-%d", seed, i)), in: true, marks: make(map[string]int)})
			}
			m.room = m.createRoom(m.users[0].User, object{"preset": "public_chat"})
			for _, u := range m.users[1:] {
				m.join(m.room, u.User)
			}
			m.message()
			steps := []func(){m.message, m.message, m.message, m.message, m.receipt, m.receipt, m.react, m.redact, m.comeOrGo, m.mute, m.rename}
			for step := range 150 {
				steps[m.r.IntN(len(steps))]()
				if step == 75 {
					m.pushWorld = &pushWorld{Server: testserver.New(t, db), t: t, txn: m.txn}
				}
				if step%6 == 0 {
					m.compare(step)
				}
			}
		}
	})
}

// TestUnreadAtOnce: two who talk at the same time, while a third reads, lose no count.
func TestUnreadAtOnce(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := newPushWorld(t, db)
		alice, bob, carol := w.Register("alice"), w.Register("bob"), w.Register("carol")
		rooms := []id.RoomID{w.createRoom(alice, object{"preset": "public_chat"}), w.createRoom(alice, object{"preset": "public_chat"})}
		for _, room := range rooms {
			w.join(room, bob, carol)
		}
		const each = 40
		var wg sync.WaitGroup
		for _, by := range []testserver.User{alice, bob} {
			wg.Go(func() {
				mine := &pushWorld{Server: w.Server, t: t}
				for i := range each {
					mine.say(by, rooms[i%2], "x")
				}
			})
		}
		wg.Go(func() {
			for range each {
				w.sync(carol, "", "", 0)
			}
		})
		wg.Wait()
		joined := w.sync(carol, "", "", 0).Rooms.Join
		for _, room := range rooms {
			if got := joined[room].Unread; got == nil || got.Notifications != each {
				t.Errorf("got %+v, want %d", got, each)
			}
		}
	})
}
