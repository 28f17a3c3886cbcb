package irc

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"maunium.net/go/mautrix/id"

	"causeway/bridges/bridgetest"
)

// level is the power level of a user in a room.
func (w *world) level(room id.RoomID, user id.UserID) int {
	e := w.hs.State(room, "m.room.power_levels", "")
	users, _ := e.Content["users"].(map[string]any)
	level, _ := users[string(user)].(float64)
	return int(level)
}

// setting is a field of the power levels.
func (w *world) setting(room id.RoomID, field string) int {
	content := w.hs.State(room, "m.room.power_levels", "").Content
	if events, ok := content["events"].(map[string]any); ok && strings.HasPrefix(field, "m.") {
		content = events
	}
	level, _ := content[field].(float64)
	return int(level)
}

func (w *world) awaitLevel(room id.RoomID, user id.UserID, want int) {
	w.t.Helper()
	w.hs.Await(fmt.Sprintf("level %d of %s", want, user), func() bool { return w.level(room, user) == want })
}

// levelEvents counts the changes of power levels.
func (w *world) levelEvents(room id.RoomID) int {
	return len(w.hs.Events(func(e *bridgetest.Event) bool { return e.Room == room && e.Type == "m.room.power_levels" }))
}

// scripted lets alice into #c on a scripted server, with these others.
func scripted(t *testing.T, cfg func(*NetworkConfig), tokens, others string) (w *world, conn *bridgetest.IRCConn, alice id.UserID, room id.RoomID) {
	t.Helper()
	ircd := bridgetest.NewIRCServer(t)
	network := testNetwork(ircd.Address)
	if cfg != nil {
		cfg(&network)
	}
	w = startNew(t, network)
	alice = w.hs.User("alice")
	room = w.join(alice, "#c")
	conn = ircd.Accept()
	conn.Welcome("alice")
	if tokens != "" {
		conn.Send(":irc.test 005 alice %s :are supported", tokens)
	}
	conn.Joined("alice", "#c", others)
	w.hs.AwaitAcknowledged()
	return w, conn, alice, room
}

const allRanks = "PREFIX=(qaohv)~&@%+ CHANMODES=beI,k,l,imnpst MODES=4"

// The ranks of NAMES and of MODE become power levels; a crowd of changes is one event.
func TestRanksToLevels(t *testing.T) {
	t.Parallel()
	w, conn, alice, room := scripted(t, nil, allRanks, "~olga &anna @carol %hugo +vera @+both dave")
	for nick, want := range map[string]int{"olga": 95, "anna": 90, "carol": 50, "hugo": 30, "vera": 1, "both": 50, "dave": 0} {
		w.awaitLevel(room, w.ghost(nick), want)
	}
	if got := w.levelEvents(room); got != 2 {
		t.Errorf("got %d events of power levels, want the room's first and one for the names", got)
	}
	conn.Send(":carol!c@h MODE #c +o-v+v alice vera dave")
	conn.Send(":carol!c@h MODE #c +v alice")
	w.awaitLevel(room, alice, 50)
	w.awaitLevel(room, w.ghost("dave"), 1)
	w.awaitLevel(room, w.ghost("vera"), 0)
	conn.Send(":carol!c@h MODE #c -o alice")
	w.awaitLevel(room, alice, 1)
	conn.Send(":both!b@h NICK :other")
	w.awaitLevel(room, w.ghost("other"), 50)
	w.awaitLevel(room, w.ghost("both"), 0)
	conn.Send(":carol!c@h PART #c")
	w.awaitLevel(room, w.ghost("carol"), 0)
	if got := w.levelEvents(room); got > 7 {
		t.Errorf("got %d events of power levels, want one for each crowd", got)
	}
}

// Levels from before a restart that nobody has any more are taken back.
func TestLevelsAfterRestart(t *testing.T) {
	t.Parallel()
	ircd := bridgetest.NewIRCServer(t)
	hs, dir := bridgetest.NewHomeserver(t, "hs.test"), t.TempDir()
	w := start(t, hs, dir, testNetwork(ircd.Address))
	room := w.join(hs.User("alice"), "#c")
	conn := ircd.Accept()
	conn.Welcome("alice")
	conn.Joined("alice", "#c", "@carol +dave")
	w.awaitLevel(room, w.ghost("carol"), 50)
	w.stop()
	conn.Close()
	w = start(t, hs, dir, testNetwork(ircd.Address))
	conn = ircd.Accept()
	conn.Welcome("alice")
	conn.Joined("alice", "#c", "carol @dave")
	w.awaitLevel(room, w.ghost("dave"), 50)
	w.awaitLevel(room, w.ghost("carol"), 0)
}

// A netsplit is one line, and so is its end; who comes back has never left.
func TestNetsplit(t *testing.T) {
	t.Parallel()
	var others []string
	for i := range 34 {
		others = append(others, fmt.Sprintf("n%d", i))
	}
	w, conn, _, room := scripted(t, nil, allRanks, "carol @"+strings.Join(others, " "))
	for _, nick := range others {
		w.hs.AwaitMembership(room, w.ghost(nick), "join")
	}
	w.awaitLevel(room, w.ghost("n0"), 50)
	for _, nick := range others {
		conn.Send(":%s!u@h QUIT :a.example b.example", nick)
	}
	w.awaitNotice(room, "Netsplit a.example <-> b.example: 34 people left.")
	conn.Send(":carol!c@h QUIT :Quit: a.example b.example")
	w.hs.AwaitMembership(room, w.ghost("carol"), "leave")
	before := w.levelEvents(room)
	for _, nick := range others {
		conn.Send(":%s!u@h JOIN #c", nick)
	}
	conn.Send(":b.example MODE #c +o n0")
	w.awaitNotice(room, "Netsplit a.example <-> b.example: 34 people came back.")
	for _, e := range w.hs.Events(func(e *bridgetest.Event) bool { return e.Room == room && e.Type == "m.room.member" }) {
		if e.Membership() == "leave" && e.Sender != w.ghost("carol") {
			t.Errorf("%s left", e.Sender)
		}
	}
	if got := w.levelEvents(room); got != before {
		t.Errorf("got %d events of power levels in the netsplit, want none", got-before)
	}
}

// Levels that somebody on Matrix sets become ranks, by their own connection.
func TestLevelsToRanks(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, others string
		users        map[string]int // by nick
		want         []string       // lines
	}{
		{"operator", "dave", map[string]int{"dave": 50}, []string{"MODE #c +o dave"}},
		{"several at once", "dave eve", map[string]int{"dave": 50, "eve": 1}, []string{"MODE #c +ov dave eve"}},
		{"more than fit in a line", "a b d e f", map[string]int{"a": 1, "b": 1, "d": 1, "e": 1, "f": 1}, []string{"MODE #c +vvvv a b d e", "MODE #c +v f"}},
		{"down", "@dave", map[string]int{"dave": 1}, []string{"MODE #c +v-o dave dave"}},
		{"all", "@+dave", map[string]int{"dave": 0}, []string{"MODE #c -ov dave dave"}},
		{"between", "dave", map[string]int{"dave": 40}, []string{"MODE #c +h dave"}},
		{"owner", "dave", map[string]int{"dave": 100}, []string{"MODE #c +q dave"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			w, conn, alice, room := scripted(t, nil, allRanks, test.others)
			conn.Send(":irc.test MODE #c +o alice")
			w.awaitLevel(room, alice, 50)
			for _, nick := range strings.Fields(test.others) {
				if rank, nick := support(strings.Fields(allRanks)...).rankOf(nick); rank != "" {
					w.hs.Await("levels", func() bool { return w.level(room, w.ghost(nick)) > 0 })
				}
			}
			w.setLevels(alice, room, test.users)
			for _, want := range test.want {
				conn.Expect(want)
				conn.Send(":alice!alice@host.test %s", want)
			}
			conn.Pong()
			w.hs.AwaitAcknowledged()
			for nick, level := range test.users {
				if got := w.level(room, w.ghost(nick)); got != level {
					t.Errorf("got level %d of %s, want %d to stay", got, nick, level)
				}
			}
		})
	}
}

// setLevels changes levels as a user.
func (w *world) setLevels(user id.UserID, room id.RoomID, levels map[string]int) {
	before := w.hs.State(room, "m.room.power_levels", "").Content
	content, users := map[string]any{}, map[string]any{}
	for key, value := range before {
		content[key] = value
	}
	if old, ok := before["users"].(map[string]any); ok {
		for key, value := range old {
			users[key] = value
		}
	}
	for nick, level := range levels {
		users[string(w.ghost(nick))] = float64(level)
	}
	content["users"] = users
	w.hs.SendState(user, room, "m.room.power_levels", "", content)
}

// What the server refuses, or does not do, is taken back, and its sender is told.
func TestLevelsRefused(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ name, answer, want string }{
		{"refused", ":irc.test 482 alice #c :You're not channel operator", "net says: You're not channel operator"},
		{"unknown", ":irc.test 472 alice o :is unknown mode char to me", "net says: is unknown mode char to me"},
		{"ignored", "", "net ignored it"},
	} {
		t.Run(test.name, func(t *testing.T) {
			w, conn, alice, room := scripted(t, nil, allRanks, "dave @carol")
			w.awaitLevel(room, w.ghost("carol"), 50)
			w.hs.Say(alice, room, "a line whose error it is not")
			w.setLevels(alice, room, map[string]int{"dave": 50, "carol": 0})
			conn.Expect("PRIVMSG #c :a line whose error it is not")
			conn.Pong()
			conn.Expect("MODE #c -o+o carol dave")
			if test.answer != "" {
				conn.Send("%s", test.answer)
			}
			conn.Pong()
			w.awaitNotice(room, test.want)
			w.awaitLevel(room, w.ghost("dave"), 0)
			w.awaitLevel(room, w.ghost("carol"), 50)
			w.hs.AwaitAcknowledged()
		})
	}
}

// What two of our connections see is done once, also when the one that counts ends in the middle of it.
func TestSplitOverTwoConnections(t *testing.T) {
	t.Parallel()
	ircd := bridgetest.NewIRCServer(t)
	w := startNew(t, testNetwork(ircd.Address))
	alice, bob := w.hs.User("alice"), w.hs.User("bob")
	room := w.join(alice, "#c")
	a := ircd.Accept()
	a.Welcome("alice")
	a.Joined("alice", "#c", "@n1 n2 n3 n4 carol")
	w.join(bob, "#c")
	b := ircd.Accept()
	b.Welcome("bob")
	b.Expect("JOIN #c")
	a.Send(":bob!bob@host.test JOIN #c")
	b.Enter("bob", "#c", "alice @n1 n2 n3 n4 carol")
	for _, nick := range []string{"n1", "n2", "n3", "n4", "carol"} {
		w.hs.AwaitMembership(room, w.ghost(nick), "join")
	}
	w.awaitLevel(room, w.ghost("n1"), 50)
	gone := func(conn *bridgetest.IRCConn, nick string) { conn.Send(":%s!u@h QUIT :x.example y.example", nick) }
	for _, nick := range []string{"n1", "n2"} {
		gone(a, nick)
		gone(b, nick)
	}
	a.Send(":carol!c@h MODE #c +v carol")
	b.Send(":carol!c@h MODE #c +v carol")
	w.awaitLevel(room, w.ghost("carol"), 1)
	gone(b, "n3") // alice ends before she sees it
	gone(b, "n4")
	a.Close()
	w.awaitNotice(room, "Netsplit x.example <-> y.example: 4 people left.")
	b.Send(":n3!u@h JOIN #c")
	b.Send(":n1!u@h JOIN #c")
	w.awaitNotice(room, "Netsplit x.example <-> y.example: 2 people came back.")
	// n1 has come back without a rank.
	w.awaitLevel(room, w.ghost("n1"), 0)
	for _, nick := range []string{"n1", "n2", "n3", "n4"} {
		if got := w.hs.State(room, "m.room.member", string(w.ghost(nick))).Membership(); got != "join" {
			t.Errorf("got membership %s of %s, want join for a while", got, nick)
		}
	}
	notices := w.hs.Events(func(e *bridgetest.Event) bool { return strings.HasPrefix(e.Text(), "Netsplit") })
	if len(notices) != 2 {
		t.Errorf("got %d notices, want 2", len(notices))
	}
}

// Those who do not come back leave, each at a time of their own.
func TestSplitsInTime(t *testing.T) {
	now := time.Now()
	var s splits
	for i := range 100 {
		s.leave(fmt.Sprint("n", i), fmt.Sprint("N", i), "a <-> b", now, timing{}.withDefaults().splitEnd(now))
	}
	if s.leave("n1", "N1", "a <-> b", now, timing{}.withDefaults().splitEnd(now)); len(s.away) != 100 {
		t.Errorf("got %d away, want 100", len(s.away))
	}
	if !s.comeBack("n0", now) || s.comeBack("n0", now) || s.comeBack("stranger", now) {
		t.Error("who comes back, does so once")
	}
	if got, want := s.due(), now.Add(splitPause); !got.Equal(want) {
		t.Errorf("got due %v, want %v", got, want)
	}
	times := map[time.Time]bool{}
	for _, a := range s.away {
		times[a.until] = true
		if wait := a.until.Sub(now); wait < splitKeep || wait > splitKeep+splitJitter {
			t.Errorf("got a wait of %v", wait)
		}
	}
	if len(times) < 90 {
		t.Errorf("got %d different times for 99 people", len(times))
	}
	s.giveUp()
	if len(s.away) != 99 {
		t.Errorf("got %d away after a failure, want 99", len(s.away))
	}
	for _, test := range []struct {
		left, back int
		want       string
	}{
		{1, 0, "Netsplit a <-> b: 1 person left."}, {3, 2, "Netsplit a <-> b: 3 people left, 2 people came back."}, {0, 1, "Netsplit a <-> b: 1 person came back."},
	} {
		if got := (&splitCount{left: test.left, back: test.back}).text("a <-> b"); got != test.want {
			t.Errorf("got %q, want %q", got, test.want)
		}
	}
}
