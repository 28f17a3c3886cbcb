package irc

import (
	"fmt"
	"maps"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"maunium.net/go/mautrix/id"

	"causeway/bridges/bridgetest"
)

// A channel that is made strict, not any more, and strict again: each time the topic goes out of the room's state and is told, who is
// missing is told, and the room's state shows neither when it is not strict.
func TestStrictOffAndOn(t *testing.T) {
	t.Parallel()
	s := bridgetest.StartIRCv3(t, bridgetest.IRCv3Options{})
	cfg := testNetwork(s.Address)
	cfg.Strict.Pause = 20 * time.Millisecond
	w := startNew(t, cfg)
	carol := bridgetest.DialIRC(t, s.Address, "carol")
	carol.Join("#c")
	carol.Send("TOPIC #c :the same")
	alice := w.hs.User("alice")
	room := w.join(alice, "#c")
	topic := func(want string) {
		t.Helper()
		w.hs.Await("topic "+want, func() bool {
			e := w.hs.State(room, "m.room.topic", "")
			return e != nil && e.Content["topic"] == want
		})
	}
	shows := func(want map[string]any) {
		t.Helper()
		w.hs.Await(fmt.Sprint("strict state ", want), func() bool {
			e := w.hs.State(room, strictState, "")
			if e == nil {
				return false
			}
			is := maps.Clone(e.Content)
			maps.DeleteFunc(is, func(key string, _ any) bool { return key != "open" })
			return maps.Equal(is, want) && (len(want) > 0 || len(e.Content) == 0)
		})
	}
	notices := func(count int, text string) {
		t.Helper()
		w.hs.Await(fmt.Sprint(count, " of ", text), func() bool {
			return len(w.hs.Events(func(e *bridgetest.Event) bool {
				return e.Room == room && e.Sender == w.bridge.Bot() && strings.Contains(e.Text(), text)
			})) == count
		})
	}
	topic("the same")
	carol.AwaitOccupant("#c", "alice")
	carol.Send("MODE #c +o alice")
	w.hs.Await("alice's level", func() bool {
		users, _ := w.hs.State(room, "m.room.power_levels", "").Content["users"].(map[string]any)
		return users[string(alice)] == 50.0
	})
	eve := id.UserID("@eve:elsewhere.test") // who is never on the channel
	for round := range 3 {
		w.hs.Say(alice, room, "!irc strict on")
		topic("")
		shows(map[string]any{"open": true})
		notices(round+1, "The topic of #c is: the same")
		w.hs.SetMember(eve, room, eve, "join", "")
		shows(map[string]any{"open": false})
		notices(round+1, "Nothing passes between this room and #c")
		w.hs.Say(alice, room, "!irc strict off")
		shows(map[string]any{})
		topic("the same")
		w.hs.SetMember(eve, room, eve, "leave", "")
	}
	carol.Say("#c", "the last")
	w.hs.AwaitText(room, "the last")
	shows(map[string]any{})
}

// A channel that is strict by the configuration no longer is not shown as strict, nor is a room that the bridge has left.
func TestStrictByConfigurationEnds(t *testing.T) {
	t.Parallel()
	s := bridgetest.StartIRCv3(t, bridgetest.IRCv3Options{})
	hs, dir := bridgetest.NewHomeserver(t, "hs.test"), t.TempDir()
	w := start(t, hs, dir, strictNetwork(s.Address))
	rooms := map[string]id.RoomID{}
	shows := func(channel string, want int) {
		t.Helper()
		hs.Await("the state of "+channel, func() bool {
			e := hs.State(rooms[channel], strictState, "")
			return e != nil && len(e.Content) == want
		})
	}
	for _, channel := range []string{"#secret", "#sector"} {
		rooms[channel] = w.join(hs.User("alice"), channel)
		shows(channel, 4)
	}
	if err := w.bridge.Unbridge(t.Context(), rooms["#sector"], "for a test"); err != nil {
		t.Fatal(err)
	}
	shows("#sector", 0)
	hs.AwaitAcknowledged()
	w.stop()
	w = start(t, hs, dir, testNetwork(s.Address))
	shows("#secret", 0)
	w.stop()
	before := len(hs.Events(func(e *bridgetest.Event) bool { return e.Type == strictState }))
	start(t, hs, dir, testNetwork(s.Address))
	carol := bridgetest.DialIRC(t, s.Address, "carol")
	carol.Join("#secret")
	carol.AwaitOccupant("#secret", "alice")
	carol.Say("#secret", "still there")
	hs.AwaitText(rooms["#secret"], "still there")
	if after := len(hs.Events(func(e *bridgetest.Event) bool { return e.Type == strictState })); after != before {
		t.Errorf("the state is set %d times more", after-before)
	}
}

// Reactions are held back as lines are, in both directions.
func TestStrictReactions(t *testing.T) {
	t.Parallel()
	ircd := bridgetest.NewIRCServer(t)
	w := startNew(t, strictNetwork(ircd.Address))
	alice, bob := w.hs.User("alice"), w.hs.User("bob")
	room := w.join(alice, "#secret")
	a := ircd.Accept()
	a.Capable("alice", "message-tags echo-message")
	a.Joined("alice", "#secret", "carol")
	a.Send("@msgid=m1 :carol!c@h PRIVMSG #secret :hello")
	said := w.hs.AwaitText(room, "hello")
	react := func(key string) {
		w.hs.Send(alice, room, "m.reaction", map[string]any{"m.relates_to": map[string]any{
			"rel_type": "m.annotation", "event_id": said.ID, "key": key,
		}})
	}
	react("one")
	if line := reads(a, "@"); !strings.Contains(line, "+draft/react=one") {
		t.Errorf("got %q", line)
	}
	confirm(a)
	a.Send("@+draft/react=two;+reply=m1 :carol!c@h TAGMSG #secret")
	reacted := func(key string) []*bridgetest.Event {
		return w.hs.Events(func(e *bridgetest.Event) bool {
			return e.Type == "m.reaction" && e.Sender == w.ghost("carol") && relation(e, "key") == key
		})
	}
	w.hs.Await("a reaction", func() bool { return len(reacted("two")) > 0 })

	w.hs.SetMember(bob, room, bob, "join", "")
	b := ircd.Accept()
	b.Capable("bob", "message-tags")
	b.Expect("JOIN #secret")
	w.awaitNotice(room, "Nothing passes between this room and #secret")
	a.Send("@+draft/react=three;+reply=m1 :carol!c@h TAGMSG #secret")
	react("four")
	w.awaitNotice(room, "#secret is strict, and nothing is sent while somebody here is not on it: @bob:hs.test")

	a.Send(":bob!bob@host.test JOIN #secret")
	b.Enter("bob", "#secret", "alice carol")
	w.awaitNotice(room, "Everybody here is on #secret on net")
	a.Send("@+draft/react=five;+reply=m1 :carol!c@h TAGMSG #secret")
	w.hs.Await("a reaction", func() bool { return len(reacted("five")) > 0 })
	if len(reacted("three")) > 0 {
		t.Error("bob, who was not on the channel, sees carol's reaction")
	}
	react("six")
	if line := reads(a, "@"); !strings.Contains(line, "+draft/react=six") {
		t.Errorf("got %q, want nothing of what was held back", line)
	}
	confirm(a)
}

// Who is on a strict channel stays, however long they say nothing: the others in the room would hear nothing. On another they go.
func TestStrictIdle(t *testing.T) {
	for _, test := range []struct {
		channels []string
		goes     bool
	}{{[]string{"#c"}, false}, {[]string{"#d"}, true}} {
		t.Run(test.channels[0], func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cfg := quick
				cfg.Idle = IdleConfig{After: 24 * time.Hour, CloseListeners: true}
				cfg.Strict.Channels = test.channels
				b := newBench(t, cfg)
				s := b.accept()
				s.welcome()
				ended := make(chan string, 1)
				go func() { ended <- s.answer() }()
				time.Sleep(30 * 24 * time.Hour)
				synctest.Wait()
				select {
				case last := <-ended:
					if !test.goes || !strings.HasPrefix(last, "QUIT ") {
						t.Errorf("the connection was closed: %q", last)
					}
				default:
					if test.goes {
						t.Error("the connection was not closed")
					}
				}
			})
		})
	}
}
