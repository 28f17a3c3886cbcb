package irc

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"maunium.net/go/mautrix/id"

	"causeway/bridges/bridgetest"
)

// splitWorld is a bridge to an IRCv3 network with alice and bob in #c, and many people on the far side of a link.
type splitWorld struct {
	*world
	s     *bridgetest.IRCv3
	carol *bridgetest.IRCClient
	far   []*bridgetest.IRCClient
	room  id.RoomID
	// leaving is closed when the first of the far side is about to leave the room, which waits for release.
	leaving chan struct{}
	release func()
}

func newSplitWorld(t *testing.T, people int, times timing) *splitWorld {
	t.Helper()
	s := bridgetest.StartIRCv3(t, bridgetest.IRCv3Options{})
	conn, err := New(Config{Networks: map[string]NetworkConfig{"net": testNetwork(s.Address)}})
	if err != nil {
		t.Fatal(err)
	}
	conn.timing = times
	released := make(chan struct{})
	x := &splitWorld{s: s, leaving: make(chan struct{}), release: sync.OnceFunc(func() { close(released) })}
	hs := bridgetest.NewHomeserver(t, "hs.test")
	first := sync.OnceFunc(func() { close(x.leaving); <-released })
	hs.Fault = func(r *http.Request) int {
		if r.Method == http.MethodPut && strings.Contains(r.URL.Path, "/state/m.room.member/@irc_net_far") {
			first()
		}
		return 0
	}
	x.world = startConnector(t, hs, t.TempDir(), conn, zerolog.Nop())
	t.Cleanup(x.release)
	x.carol = bridgetest.DialIRC(t, s.Address, "carol")
	x.carol.Join("#c")
	for _, name := range []string{"alice", "bob"} {
		x.room = x.join(x.hs.User(name), "#c")
		x.carol.AwaitCommand("JOIN", name, "#c")
	}
	for i := range people {
		c := bridgetest.DialIRC(t, s.FarAddress, fmt.Sprint("far", i))
		c.Join("#c")
		x.far = append(x.far, c)
	}
	for i := range people {
		x.hs.AwaitMembership(x.room, x.ghost(fmt.Sprint("far", i)), "join")
	}
	return x
}

// splitNotices are the lines about netsplits in the room.
func (x *splitWorld) splitNotices() []string {
	var texts []string
	for _, e := range x.hs.Events(func(e *bridgetest.Event) bool { return e.Room == x.room && strings.HasPrefix(e.Text(), "Netsplit") }) {
		texts = append(texts, e.Text())
	}
	return texts
}

// farMoves are the comings and goings of the far side in the room, since they first came.
func (x *splitWorld) farMoves() []*bridgetest.Event {
	list := x.hs.Events(func(e *bridgetest.Event) bool {
		return e.Room == x.room && e.Type == "m.room.member" && strings.HasPrefix(*e.StateKey, "@irc_net_far") && (e.Membership() == "leave" || e.Membership() == "join")
	})
	return list[len(x.far):]
}

// A netsplit and its end, as the server tells them in batches, are a line each, for however many people, and nobody leaves. The
// next one is others.
func TestNetsplitIsOneLine(t *testing.T) {
	t.Parallel()
	const people = 60
	x := newSplitWorld(t, people, timing{})
	for round := range 2 {
		x.s.Split()
		x.awaitNotices(2*round + 1)
		x.carol.Say("#c", fmt.Sprint("alone ", round))
		x.hs.AwaitText(x.room, fmt.Sprint("alone ", round))
		x.s.Heal()
		x.awaitNotices(2*round + 2)
		x.far[round].Say("#c", fmt.Sprint("back ", round))
		x.hs.AwaitText(x.room, fmt.Sprint("back ", round))
	}
	for i, text := range x.splitNotices() {
		want := fmt.Sprintf("Netsplit irc.test <-> far.irc.test: %d people left.", people)
		if i%2 == 1 {
			want = fmt.Sprintf("Netsplit irc.test <-> far.irc.test: %d people came back.", people)
		}
		if text != want {
			t.Errorf("got line %d %q, want %q", i, text, want)
		}
	}
	if moves := x.farMoves(); len(moves) != 0 {
		t.Errorf("got %d comings and goings, want none", len(moves))
	}
}

func (x *splitWorld) awaitNotices(count int) {
	x.t.Helper()
	x.hs.Await(fmt.Sprint(count, " lines about netsplits"), func() bool { return len(x.splitNotices()) >= count })
}

// Those who do not return leave after a while, with the words of the split, and not all before something else is shown.
func TestNetsplitLasts(t *testing.T) {
	t.Parallel()
	const people = 100
	x := newSplitWorld(t, people, timing{splitKeep: 3 * time.Second, splitJitter: time.Nanosecond})
	x.s.Split()
	x.awaitNotices(1)
	if moves := x.farMoves(); len(moves) != 0 {
		t.Errorf("got %d comings and goings when the room is told, want none", len(moves))
	}
	elsewhere := x.join(x.hs.User("alice"), "#d")
	x.carol.Join("#d")
	x.carol.AwaitOccupant("#d", "alice")
	<-x.leaving
	// By another channel it is seen that alice has heard it; bob need not.
	x.carol.Say("#c", "where is everybody?")
	x.carol.Say("#d", "here?")
	x.hs.AwaitText(elsewhere, "here?")
	x.release()
	x.hs.Await("that all leave", func() bool { return len(x.farMoves()) >= people })
	said := x.hs.AwaitText(x.room, "where is everybody?")
	var after int
	for _, e := range x.farMoves() {
		if reason := fmt.Sprint(e.Content["reason"]); e.Membership() != "leave" || reason != "Netsplit irc.test <-> far.irc.test" || e.Sender != id.UserID(*e.StateKey) {
			t.Errorf("got %s of %s by %s with reason %q", e.Membership(), *e.StateKey, e.Sender, reason)
		}
		if x.place(e) > x.place(said) {
			after++
		}
	}
	if after == 0 || after == people {
		t.Errorf("what was said while %d people left came before %d of them, want it neither before nor after all", people, after)
	}
	// They come back after all, and are people who join.
	x.s.Heal()
	x.hs.Await("that all come back", func() bool { return len(x.farMoves()) >= 2*people })
	if texts := x.splitNotices(); len(texts) != 1 {
		t.Errorf("got %q, want one line", texts)
	}
}

// place is where an event is in the record.
func (w *world) place(e *bridgetest.Event) int {
	for i, other := range w.hs.Events(func(*bridgetest.Event) bool { return true }) {
		if other == e {
			return i
		}
	}
	return -1
}

// A server may give another reason than the two names; the batch says what it is.
func TestNetsplitByBatch(t *testing.T) {
	w, conn, _, room := scripted(t, nil, "", "carol dave eve")
	for _, nick := range []string{"carol", "dave", "eve"} {
		w.hs.AwaitMembership(room, w.ghost(nick), "join")
	}
	conn.Send(":irc.test BATCH +1 netsplit a.example b.example")
	conn.Send("@batch=1 :carol!c@h QUIT :Lost in the net")
	conn.Send("@batch=1 :dave!d@h QUIT :a.example b.example")
	conn.Send(":irc.test BATCH -1")
	conn.Send(":eve!e@h QUIT :Lost in the net")
	w.hs.AwaitMembership(room, w.ghost("eve"), "leave")
	w.awaitNotice(room, "Netsplit a.example <-> b.example: 2 people left.")
	for _, nick := range []string{"carol", "dave"} {
		if got := w.hs.State(room, "m.room.member", string(w.ghost(nick))).Membership(); got != "join" {
			t.Errorf("got membership %s of %s", got, nick)
		}
	}
}

// Who takes the nick of somebody behind a netsplit is not taken for them.
func TestNickTakenInNetsplit(t *testing.T) {
	ircd := bridgetest.NewIRCServer(t)
	w := startNew(t, testNetwork(ircd.Address))
	conn, room := w.enterAccounts(ircd)
	conn.Send(":carol!c@host.test QUIT :a.example b.example")
	conn.Send(":carol!evil@elsewhere JOIN #c * :not Carol")
	w.hs.AwaitMembership(room, w.ghost("carol"), "join")
	if e := w.hs.AwaitMembership(room, w.byAccount("carol"), "leave"); e.Content["reason"] != "Netsplit a.example <-> b.example" {
		t.Errorf("got reason %v", e.Content["reason"])
	}
	if e := w.sync(conn, room, ":carol!evil@elsewhere", "I am Carol"); e.Sender != w.ghost("carol") {
		t.Errorf("got sender %s", e.Sender)
	}
	// Who comes back as they were is the same.
	conn.Send(":dave!d@host.test QUIT :a.example b.example")
	conn.Send(":dave!d@host.test JOIN #c * :Dave")
	w.sync(conn, room, ":dave!d@host.test", "here I am")
	for _, e := range w.hs.Events(func(e *bridgetest.Event) bool {
		return e.Room == room && e.StateKey != nil && *e.StateKey == string(w.ghost("dave"))
	}) {
		if e.Membership() == "leave" {
			t.Error("dave has left, who came back from a netsplit")
		}
	}
}
