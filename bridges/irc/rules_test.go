package irc

import (
	"fmt"
	"strings"
	"testing"

	"maunium.net/go/mautrix/id"

	"causeway/bridges/bridgetest"
)

// rules are what a room shows of the modes of its channel.
type rules struct {
	speak, topic, invite int
	join                 string
	listed, listedOn     bool
}

// openRules are those of a channel without modes.
var openRules = rules{join: "public", listed: true, listedOn: true}

func (w *world) rules(room id.RoomID) rules {
	join, _ := w.hs.State(room, "m.room.join_rules", "").Content["join_rule"].(string)
	return rules{
		speak: w.setting(room, "events_default"), topic: w.setting(room, "m.room.topic"), invite: w.setting(room, "invite"),
		join: join, listed: w.hs.Listed(room), listedOn: w.hs.ListedOn("net", room),
	}
}

func (w *world) awaitRules(room id.RoomID, want rules) {
	w.t.Helper()
	w.hs.Await(fmt.Sprintf("%+v", want), func() bool { return w.rules(room) == want })
}

// changed are rules with a change.
func changed(f func(r *rules)) rules {
	r := openRules
	f(&r)
	return r
}

// withModes is scripted for a channel that has these modes, which the room shows already.
func withModes(t *testing.T, cfg func(*NetworkConfig), modes string, shown rules) (w *world, conn *bridgetest.IRCConn, alice id.UserID, room id.RoomID) {
	t.Helper()
	w, conn, alice, room = scripted(t, func(n *NetworkConfig) {
		n.Modes.Publish = true
		if cfg != nil {
			cfg(n)
		}
	}, allRanks, "@carol")
	conn.Questions = true
	conn.Expect("MODE #c")
	conn.Send(":irc.test 324 alice #c %s", modes)
	conn.Expect("MODE #c b")
	conn.Send(":irc.test 368 alice #c :End")
	conn.Questions = false
	w.awaitRules(room, shown)
	w.awaitLevel(room, w.ghost("carol"), 50)
	return w, conn, alice, room
}

// Each mode of a channel is a rule of its room, and ends with it.
func TestModesToRules(t *testing.T) {
	t.Parallel()
	w, conn, _, room := withModes(t, nil, "+n", openRules)
	for _, test := range []struct {
		mode, argument string
		want           rules
	}{
		{"m", "", changed(func(r *rules) { r.speak = 1 })},
		{"t", "", changed(func(r *rules) { r.topic = 30 })},
		{"i", "", changed(func(r *rules) { r.join, r.invite, r.listed, r.listedOn = "invite", 30, false, false })},
		{"s", "", changed(func(r *rules) { r.listed, r.listedOn = false, false })},
		{"p", "", changed(func(r *rules) { r.listed, r.listedOn = false, false })},
		{"k", " sesame", changed(func(r *rules) { r.join = "invite" })},
	} {
		conn.Send(":carol!c@h MODE #c +%s%s", test.mode, test.argument)
		w.awaitRules(room, test.want)
		conn.Send(":carol!c@h MODE #c -%s%s", test.mode, test.argument)
		w.awaitRules(room, openRules)
	}
	// What else there is does not matter.
	conn.Send(":carol!c@h MODE #c +nl-n+st 5")
	w.awaitRules(room, changed(func(r *rules) { r.topic, r.listed, r.listedOn = 30, false, false }))
	for _, e := range w.hs.Events(func(e *bridgetest.Event) bool { return true }) {
		if strings.Contains(fmt.Sprint(e.Content), "sesame") {
			t.Errorf("the key is in %s: %v", e.Type, e.Content)
		}
	}
}

// Who gets a voice and speaks at once has the level for it when what they say comes.
func TestVoiceBeforeWords(t *testing.T) {
	t.Parallel()
	w, conn, _, room := withModes(t, nil, "+m", changed(func(r *rules) { r.speak = 1 }))
	conn.Send(":dave!d@h JOIN #c")
	conn.Send(":carol!c@h MODE #c +v dave")
	conn.Send(":dave!d@h PRIVMSG #c :thanks")
	w.hs.AwaitText(room, "thanks")
	level := 0
	for _, e := range w.hs.Events(func(e *bridgetest.Event) bool { return e.Room == room }) {
		if users, ok := e.Content["users"].(map[string]any); ok {
			l, _ := users[string(w.ghost("dave"))].(float64)
			level = int(l)
		}
		if e.Text() == "thanks" && level != 1 {
			t.Errorf("dave spoke with level %d, want 1", level)
		}
	}
}

// changeLevels changes power levels as a user, apart from those of users.
func (w *world) changeLevels(user id.UserID, room id.RoomID, change map[string]int) {
	content, events := map[string]any{}, map[string]any{}
	for key, value := range w.hs.State(room, "m.room.power_levels", "").Content {
		content[key] = value
	}
	if old, ok := content["events"].(map[string]any); ok {
		for key, value := range old {
			events[key] = value
		}
	}
	for field, level := range change {
		if strings.HasPrefix(field, "m.") {
			events[field] = float64(level)
		} else {
			content[field] = float64(level)
		}
	}
	content["events"] = events
	w.hs.SendState(user, room, "m.room.power_levels", "", content)
}

// quiet checks that nothing more is said about modes, on either side, when all that has happened is shown.
func (w *world) quiet(conn *bridgetest.IRCConn, alice id.UserID, room id.RoomID) {
	w.t.Helper()
	conn.Send(":carol!c@h PRIVMSG #c :that was all")
	w.hs.AwaitText(room, "that was all")
	w.hs.AwaitAcknowledged()
	before := len(w.hs.Events(func(e *bridgetest.Event) bool { return e.StateKey != nil }))
	w.hs.Say(alice, room, "indeed")
	conn.Expect("PRIVMSG #c :indeed")
	conn.Pong()
	w.hs.AwaitAcknowledged()
	if after := len(w.hs.Events(func(e *bridgetest.Event) bool { return e.StateKey != nil })); after != before {
		w.t.Errorf("got %d events of state more, want none", after-before)
	}
}

// Who may speak, and who may set the topic, are modes that whoever changes the levels for it sets on the channel.
func TestLevelsToModes(t *testing.T) {
	t.Parallel()
	moderated, locked := changed(func(r *rules) { r.speak = 1 }), changed(func(r *rules) { r.topic = 30 })
	for _, test := range []struct {
		name, modes string
		shown       rules
		change      map[string]int
		want        string // line
		then        rules
	}{
		{"moderated", "+n", openRules, map[string]int{"events_default": 50}, "MODE #c +m", moderated},
		{"moderated no more", "+m", moderated, map[string]int{"events_default": 0}, "MODE #c -m", openRules},
		{"topic locked", "+n", openRules, map[string]int{"m.room.topic": 50}, "MODE #c +t", locked},
		{"topic free", "+t", locked, map[string]int{"m.room.topic": 0}, "MODE #c -t", openRules},
		{"both", "+t", locked, map[string]int{"m.room.topic": 0, "events_default": 1}, "MODE #c +m-t", moderated},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			w, conn, alice, room := withModes(t, nil, test.modes, test.shown)
			w.changeLevels(alice, room, test.change)
			conn.Expect(test.want)
			conn.Send(":alice!alice@host.test %s", test.want)
			conn.Pong()
			w.awaitRules(room, test.then)
			w.quiet(conn, alice, room)
		})
	}
	t.Run("refused", func(t *testing.T) {
		t.Parallel()
		w, conn, alice, room := withModes(t, nil, "+t", locked)
		w.changeLevels(alice, room, map[string]int{"m.room.topic": 0, "events_default": 1})
		conn.Expect("MODE #c +m-t")
		conn.Send(":irc.test 482 alice #c :You're not channel operator")
		conn.Pong()
		w.awaitNotice(room, "The power levels were not changed on IRC: net says: You're not channel operator")
		w.awaitRules(room, locked)
		w.quiet(conn, alice, room)
	})
}

// joinRule has a user change who may join.
func (w *world) joinRule(user id.UserID, room id.RoomID, rule string) {
	w.hs.SendState(user, room, "m.room.join_rules", "", map[string]any{"join_rule": rule})
}

// Who closes or opens a room closes or opens its channel, if they may there; else the room is as the channel is.
func TestJoinRules(t *testing.T) {
	t.Parallel()
	closed := func(rule string) rules {
		return changed(func(r *rules) { r.join, r.invite, r.listed, r.listedOn = rule, 30, false, false })
	}
	keyed := changed(func(r *rules) { r.join = "invite" })
	const refusal = ":irc.test 482 alice #c :You're not channel operator"
	const echo = ":alice!alice@host.test "
	for _, test := range []struct {
		name, modes  string
		shown        rules
		rule         string
		want, answer string // a line, and what comes of it
		told         string
		then         rules
	}{
		{"invite", "+n", openRules, "invite", "MODE #c +i", echo + "MODE #c +i", "", closed("invite")},
		{"knock", "+n", openRules, "knock", "MODE #c +i", echo + "MODE #c +i", "", closed("knock")},
		{"restricted", "+n", openRules, "restricted", "MODE #c +i", echo + "MODE #c +i", "", closed("restricted")},
		{"public", "+i", closed("invite"), "public", "MODE #c -i", echo + "MODE #c -i", "", openRules},
		{"another way of being closed", "+i", closed("invite"), "knock", "", "", "", closed("knock")},
		{"refused to close", "+n", openRules, "knock", "MODE #c +i", refusal, "Who may join was not changed on IRC: net says: You're not", openRules},
		{"refused to open", "+i", closed("invite"), "public", "MODE #c -i", refusal, "net says: You're not channel operator", closed("invite")},
		{"ignored", "+n", openRules, "invite", "MODE #c +i", ":irc.test NOTICE alice :no", "net ignored it", openRules},
		{"with a key", "+k", keyed, "public", "", "", "the channel has a key", keyed},
		{"with a key and closed", "+ik", closed("invite"), "public", "MODE #c -i", echo + "MODE #c -i", "the channel has a key", keyed},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			w, conn, alice, room := withModes(t, nil, test.modes, test.shown)
			w.joinRule(alice, room, test.rule)
			if test.want != "" {
				conn.Expect(test.want)
				conn.Send("%s", test.answer)
				conn.Pong()
			}
			if test.told != "" {
				w.awaitNotice(room, test.told)
			}
			w.awaitRules(room, test.then)
			w.quiet(conn, alice, room)
		})
	}
}

// A second connection does not know the modes of the channel, and asks before it changes one.
func TestJoinRuleOfFollower(t *testing.T) {
	t.Parallel()
	ircd := bridgetest.NewIRCServer(t)
	w := startNew(t, testNetwork(ircd.Address))
	alice, bob := w.hs.User("alice"), w.hs.User("bob")
	room := w.join(alice, "#c")
	a := ircd.Accept()
	a.Welcome("alice")
	a.Questions = true
	a.Joined("alice", "#c", "@bob carol")
	a.Expect("MODE #c")
	a.Send(":irc.test 324 alice #c +i")
	w.hs.Await("closed", func() bool { return w.hs.State(room, "m.room.join_rules", "").Content["join_rule"] == "invite" })
	w.join(bob, "#c")
	b := ircd.Accept()
	b.Welcome("bob")
	b.Questions = true
	b.Expect("JOIN #c")
	a.Send(":bob!bob@host.test JOIN #c")
	b.Enter("bob", "#c", "alice carol")
	w.hs.AwaitAcknowledged()
	w.joinRule(bob, room, "public")
	b.Expect("MODE #c")
	b.Send(":irc.test 324 bob #c +i")
	b.Pong()
	b.Expect("MODE #c -i")
	a.Send(":bob!bob@host.test MODE #c -i")
	b.Send(":bob!bob@host.test MODE #c -i")
	b.Pong()
	w.hs.Await("open", func() bool {
		return w.setting(room, "invite") == 0 && w.hs.State(room, "m.room.join_rules", "").Content["join_rule"] == "public"
	})
	w.hs.AwaitAcknowledged()
}

// Who is not on the channel, or not by a connection of their own, cannot change it; the room is as before.
func TestJoinRuleOfOthers(t *testing.T) {
	t.Parallel()
	t.Run("stranger", func(t *testing.T) {
		t.Parallel()
		w, conn, alice, room := withModes(t, nil, "+n", openRules)
		w.joinRule(w.hs.User("eve"), room, "invite")
		w.awaitNotice(room, "Who may join was not changed on IRC: you are not there")
		w.awaitRules(room, openRules)
		w.quiet(conn, alice, room)
	})
	t.Run("banned from the network", func(t *testing.T) {
		t.Parallel()
		w, conn, alice, room := withModes(t, nil, "+n", openRules)
		conn.Send(":irc.test 465 alice :You are banned from this server- spam")
		conn.Close()
		w.awaitNotice(room, "net has banned you")
		w.joinRule(alice, room, "invite")
		w.awaitNotice(room, "Who may join was not changed on IRC: net has banned you")
		w.awaitRules(room, openRules) // as it was last heard, since nobody is there
	})
	t.Run("relay", func(t *testing.T) {
		t.Parallel()
		ircd := bridgetest.NewIRCServer(t)
		w := startNew(t, relayNetwork(ircd.Address))
		alice := w.hs.User("alice")
		room := w.join(alice, "#relay")
		conn := ircd.Accept()
		conn.Welcome("matrix")
		conn.Questions = true
		conn.Joined("matrix", "#relay", "@carol")
		conn.Expect("MODE #relay")
		conn.Send(":irc.test 324 matrix #relay +n")
		w.awaitLevel(room, w.ghost("carol"), 50)
		w.joinRule(alice, room, "invite")
		w.awaitNotice(room, "here one connection speaks for all")
		w.hs.Await("open", func() bool { return w.hs.State(room, "m.room.join_rules", "").Content["join_rule"] == "public" })
	})
}

// A channel with a key is one to which people are invited who tell the bot the key.
func TestKeyToRules(t *testing.T) {
	t.Parallel()
	w, conn, _, room := withModes(t, nil, "+n", openRules)
	bob := w.hs.User("bob")
	conn.Send(":carol!c@h MODE #c +k sesame")
	w.awaitRules(room, changed(func(r *rules) { r.join = "invite" }))
	private := w.private(bob)
	w.command(bob, private, "key net #c sesame")
	w.hs.AwaitMembership(room, bob, "invite")
	conn.Send(":carol!c@h MODE #c +i")
	closed := changed(func(r *rules) { r.join, r.invite, r.listed, r.listedOn = "invite", 30, false, false })
	w.awaitRules(room, closed)
	conn.Send(":carol!c@h MODE #c -k *")
	conn.Send(":carol!c@h MODE #c -i")
	w.awaitRules(room, openRules)
}
