package irc

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ergochat/irc-go/ircmsg"
	"maunium.net/go/mautrix/id"

	"causeway/bridges/bridgetest"
)

// command says a command to the bot.
func (w *world) command(user id.UserID, room id.RoomID, text string) {
	w.t.Helper()
	w.hs.Say(user, room, "!irc "+text)
}

// private makes a room for a user and the bot.
func (w *world) private(user id.UserID) id.RoomID {
	w.t.Helper()
	w.hs.Await("the bot", func() bool { return w.bridge.Bot() != "" })
	room := id.RoomID("!chat-" + user.Localpart() + ":" + w.hs.ServerName)
	w.hs.SendState(user, room, "m.room.create", "", map[string]any{})
	w.hs.SetMember(user, room, user, "join", "")
	w.hs.SetMember(user, room, w.bridge.Bot(), "invite", "")
	w.hs.AwaitMembership(room, w.bridge.Bot(), "join")
	return room
}

// ownRoom waits for a room into which a user is asked and that has this portal.
func (w *world) ownRoom(user id.UserID, name string) id.RoomID {
	w.t.Helper()
	var room id.RoomID
	w.hs.Await("a room of one's own for "+name, func() bool {
		n := w.conn.networks["net"]
		portal, err := w.conn.br.DB.Portal.GetByKey(w.conn.ctx, n.ids.own(user, name))
		if err != nil || portal == nil || portal.MXID == "" {
			return false
		}
		room = portal.MXID
		e := w.hs.State(room, "m.room.member", string(user))
		return e != nil && (e.Membership() == "invite" || e.Membership() == "join")
	})
	return room
}

// enter lets a user accept an invitation.
func (w *world) enter(user id.UserID, room id.RoomID) {
	w.t.Helper()
	w.hs.SetMember(user, room, user, "join", "")
	w.hs.AwaitAcknowledged()
}

func saidTo(nick, from string) func(m ircmsg.Message) bool {
	return func(m ircmsg.Message) bool {
		return m.Command == "PRIVMSG" && m.Nick() == from && strings.EqualFold(m.Params[0], nick)
	}
}

// Somebody on IRC writes to a person on Matrix, who answers.
func TestPrivateMessages(t *testing.T) {
	w, carol, alice, _ := meet(t, "#pm")
	carol.Say("alice", "psst")
	room := w.ownRoom(alice, "carol")
	e := w.hs.AwaitText(room, "psst")
	if e.Sender != w.ghost("carol") {
		t.Errorf("got sender %s", e.Sender)
	}
	// Who has been asked in can read what they were asked in by.
	if e := w.hs.State(room, "m.room.history_visibility", ""); e == nil || e.Content["history_visibility"] != "invited" {
		t.Errorf("got history visibility %v, want invited", e)
	}
	w.enter(alice, room)
	w.hs.Say(alice, room, "what?")
	carol.Await("the answer", func(m ircmsg.Message) bool { return saidTo("carol", "alice")(m) && m.Params[1] == "what?" })
	carol.Send("PRIVMSG alice :\x01ACTION whispers\x01")
	if e := w.hs.AwaitText(room, "whispers"); e.MsgType() != "m.emote" {
		t.Errorf("got %s", e.MsgType())
	}
	carol.Send("AWAY :lunch")
	carol.Await("away", func(m ircmsg.Message) bool { return m.Command == "306" })
	for i := range 3 {
		w.hs.Say(alice, room, fmt.Sprint("hungry ", i))
	}
	carol.AwaitCount("three lines", 3, func(m ircmsg.Message) bool {
		return saidTo("carol", "alice")(m) && strings.HasPrefix(m.Params[1], "hungry")
	})
	w.awaitNotice(room, "Carol is away: lunch")
	w.hs.AwaitAcknowledged()
	notices := w.hs.Events(func(e *bridgetest.Event) bool { return e.Room == room && strings.Contains(e.Text(), "is away") })
	if len(notices) != 1 {
		t.Errorf("got %d notices that she is away, want 1", len(notices))
	}
	if members := w.hs.Joined(room); len(members) != 3 {
		t.Errorf("got members %v, want alice, the ghost and the bot", members)
	}
}

// Who talks with one person begins a conversation with another, and what is meant for the one does not reach the other.
func TestTwoConversations(t *testing.T) {
	w, carol, alice, _ := meet(t, "#pm")
	dave := bridgetest.DialIRC(t, w.conn.networks["net"].cfg.Address, "Dave")
	chat := w.private(alice)
	w.command(alice, chat, "msg net carol for carol")
	carol.Await("the text", func(m ircmsg.Message) bool { return saidTo("carol", "alice")(m) && m.Params[1] == "for carol" })
	w.command(alice, chat, "msg net dave for dave")
	dave.Await("the text", func(m ircmsg.Message) bool { return saidTo("dave", "alice")(m) && m.Params[1] == "for dave" })
	if w.ownRoom(alice, "dave") == w.ownRoom(alice, "carol") {
		t.Error("both conversations have one room")
	}
}

func TestMsgCommand(t *testing.T) {
	w, carol, alice, _ := meet(t, "#pm")
	chat := w.private(alice)
	w.command(alice, chat, "msg net carol hello there")
	carol.Await("the text", func(m ircmsg.Message) bool { return saidTo("carol", "alice")(m) && m.Params[1] == "hello there" })
	room := w.ownRoom(alice, "carol")
	w.hs.AwaitText(room, "hello there")
	w.command(alice, chat, "msg net nobody hello")
	w.awaitNotice(chat, "nobody on net is called nobody at the moment")
	w.command(alice, chat, "start-chat carol on net")
	w.awaitNotice(chat, "Carol")
	w.enter(alice, room)
	w.command(alice, room, "msg net carol secret")
	w.awaitNotice(room, "Others read what is said here")
}

// Who goes, and whose nick somebody else takes, is not written to unawares.
func TestPartnerNickTaken(t *testing.T) {
	w, carol, alice, _ := meet(t, "#pm")
	carol.Say("alice", "it is me")
	room := w.ownRoom(alice, "carol")
	w.enter(alice, room)
	carol.Send("NICK karla")
	carol.AwaitCommand("NICK", "Carol", "karla")
	mallory := bridgetest.DialIRC(t, carol.Address(), "carol")
	karla := bridgetest.DialIRC(t, carol.Address(), "witness")
	karla.Join("#pm")
	w.hs.AwaitMembership(w.hs.JoinAlias(alice, "#irc_net_#pm:hs.test"), w.ghost("witness"), "join") // the change of nick was seen
	w.hs.Say(alice, room, "the password is tiger")
	w.awaitNotice(room, "is called karla now")
	w.hs.Say(alice, room, "who are you?")
	mallory.Await("the question", func(m ircmsg.Message) bool { return saidTo("carol", "alice")(m) && m.Params[1] == "who are you?" })
	if got := mallory.Lines(func(m ircmsg.Message) bool { return strings.Contains(m.Params[len(m.Params)-1], "tiger") }); len(got) > 0 {
		t.Errorf("mallory got %v", got)
	}
	carol.Say("alice", "I am karla now")
	w.hs.AwaitText(w.ownRoom(alice, "karla"), "I am karla now")
}

// Nobody is there: the sender is told so.
func TestNoSuchNick(t *testing.T) {
	w, carol, alice, _ := meet(t, "#pm")
	carol.Say("alice", "hi")
	room := w.ownRoom(alice, "carol")
	w.enter(alice, room)
	carol.Quit("bye")
	w.hs.AwaitMembership(w.hs.JoinAlias(alice, "#irc_net_#pm:hs.test"), w.ghost("carol"), "leave")
	w.hs.Say(alice, room, "still there?")
	w.awaitNotice(room, "has quit")
	w.hs.Say(alice, room, "really?")
	w.awaitNotice(room, "nobody on net is called Carol at the moment")
}

// A room for the two is made by inviting the ghost, too.
func TestGhostInvited(t *testing.T) {
	w, carol, alice, _ := meet(t, "#pm")
	room := id.RoomID("!dm:hs.test")
	w.hs.SendState(alice, room, "m.room.create", "", map[string]any{})
	w.hs.SendState(alice, room, "m.room.power_levels", "", map[string]any{"users": map[string]any{string(alice): 100, string(w.ghost("carol")): 100}})
	w.hs.SetMember(alice, room, alice, "join", "")
	w.hs.SendState(alice, room, "m.room.member", string(w.ghost("carol")), map[string]any{"membership": "invite", "is_direct": true})
	w.hs.AwaitMembership(room, w.bridge.Bot(), "join")
	w.hs.AwaitAcknowledged()
	w.hs.Say(alice, room, "made by me")
	carol.Await("the line", func(m ircmsg.Message) bool { return saidTo("carol", "alice")(m) && m.Params[1] == "made by me" })
	carol.Say("alice", "nice room")
	w.hs.AwaitText(room, "nice room")
}

// Conversations outlive a restart.
func TestDirectRestart(t *testing.T) {
	w, carol, alice, _ := meet(t, "#pm")
	carol.Say("alice", "before")
	room := w.ownRoom(alice, "carol")
	w.enter(alice, room)
	w.stop()
	w = start(t, w.hs, w.dir, testNetwork(carol.Address()))
	w.hs.Say(alice, room, "after")
	carol.Await("the line", func(m ircmsg.Message) bool { return saidTo("carol", "alice")(m) && m.Params[1] == "after" })
	carol.Say("alice", "again")
	w.hs.AwaitText(room, "again")
}

// scriptedPM is alice on #c of a scripted server.
func scriptedPM(t *testing.T, cfg func(*NetworkConfig), caps string) (*world, *bridgetest.IRCConn, id.UserID) {
	ircd := bridgetest.NewIRCServer(t)
	network := testNetwork(ircd.Address)
	if cfg != nil {
		cfg(&network)
	}
	w := startNew(t, network)
	alice := w.hs.User("alice")
	w.join(alice, "#c")
	conn := ircd.Accept()
	conn.Capable("alice", caps)
	conn.Joined("alice", "#c", "carol")
	return w, conn, alice
}

// A crowd of strangers makes a few rooms, and what the others say comes together into the status room. What is no nick, no
// text or no person makes none.
func TestStrangers(t *testing.T) {
	w, conn, alice := scriptedPM(t, nil, "message-tags")
	for _, line := range []string{
		":#fake!a@h PRIVMSG alice :x", ":a,b!a@h PRIVMSG alice :x", ":a\x02b!a@h PRIVMSG alice :x", ":" + strings.Repeat("n", 200) + "!a@h PRIVMSG alice :x",
		":eve!a@h PRIVMSG alice :\x02\x03", ":eve!a@h PRIVMSG alice :\x01DCC SEND x\x01", ":irc.test PRIVMSG alice :server", ":!a@h PRIVMSG alice :x",
		"PRIVMSG alice :no source",
	} {
		conn.Send("%s", line)
	}
	const crowd = 200
	for i := range crowd {
		conn.Send(":eve%d!e@h PRIVMSG alice :spam %d", i, i)
	}
	conn.Send(":carol!c@h PRIVMSG #c :end")
	w.hs.AwaitEvent("the end", func(e *bridgetest.Event) bool { return e.Text() == "end" })
	w.hs.Await("rooms", func() bool { return w.hs.Requests("POST /_matrix/client/v3/createRoom") >= maxStrangers+1 })
	w.hs.AwaitAcknowledged()
	// One for the channel, one for the status (the server's line), the rest for strangers.
	if got := w.hs.Requests("POST /_matrix/client/v3/createRoom"); got > maxStrangers+2 {
		t.Errorf("got %d rooms, want %d", got, maxStrangers+2)
	}
	for _, user := range []string{"eve0", "eve9"} {
		w.ownRoom(alice, user)
	}
}

// The notice about strangers who were too many comes once, and has its limits.
func TestStrangersNotice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, quick)
		b.c.net.mu.Lock() // the client runs
		b.c.net.channels["\x00@alice:hs.test\x00 status"] = newChannel(&lane{
			net: b.c.net, name: statusName, owner: b.c.user, items: make(chan item, 10), done: make(chan struct{}),
		})
		for i := range maxStrangers {
			nick := fmt.Sprint("eve", i)
			b.c.net.channels["\x00@alice:hs.test\x00"+nick] = newChannel(&lane{
				net: b.c.net, name: nick, owner: b.c.user, items: make(chan item, 10), done: make(chan struct{}),
			})
		}
		b.c.net.mu.Unlock()
		s := b.accept()
		s.welcome()
		for i := range 500 {
			s.send(fmt.Sprintf(":eve%d!e@h PRIVMSG alice :%s", i, strings.Repeat("spam ", 60)))
		}
		time.Sleep(2 * strangersPause)
		synctest.Wait()
		items := b.c.net.channels["\x00@alice:hs.test\x00 status"].lane.items
		if len(items) != 1 {
			t.Fatalf("got %d notices, want 1", len(items))
		}
		text := (<-items).(noticeItem).text
		if len(text) > maxStatusBytes+100 || !strings.Contains(text, "<eve10> spam") {
			t.Errorf("got %d bytes: %.200s", len(text), text)
		}
	})
}

// What servers and services say comes into the status room, and an answer of NickServ into a conversation when there is one,
// but for the one to the password.
func TestStatusRoom(t *testing.T) {
	w, conn, alice := scriptedPM(t, func(cfg *NetworkConfig) { cfg.Auth.NickServ = "NickServ" }, "message-tags")
	conn.Send(":irc.test NOTICE alice :the server restarts soon")
	status := w.ownRoom(alice, statusName)
	w.awaitNotice(status, "irc.test: the server restarts soon")
	conn.Send(":NickServ!s@services NOTICE alice :this nick is registered")
	w.awaitNotice(status, "NickServ: this nick is registered")
	conn.Send(":oper!o@h WALLOPS :\x02hear\x02 all")
	w.awaitNotice(status, "WALLOPS of oper: hear all")
	w.enter(alice, status)
	w.hs.Say(alice, status, "hello?")
	w.awaitNotice(status, "nobody reads what is said here")

	chat := w.private(alice)
	w.command(alice, chat, "msg net NickServ HELP")
	next(t, conn, "WHOIS NickServ")
	conn.Send(":irc.test 311 alice NickServ s services * :Services")
	conn.Send(":irc.test 318 alice NickServ :End")
	next(t, conn, "PRIVMSG NickServ :HELP")
	room := w.ownRoom(alice, "nickserv")
	conn.Send(":NickServ!s@services NOTICE alice :help is here")
	w.hs.AwaitText(room, "help is here")
}

// Somebody with an account keeps their room when their nick changes, and nobody else reads what is for them.
func TestDirectByAccount(t *testing.T) {
	w, conn, alice := scriptedPM(t, nil, "message-tags account-tag account-notify extended-join")
	conn.Send("@account=carolina :carol!c@h PRIVMSG alice :hi")
	room := w.ownRoom(alice, "account carolina")
	w.hs.AwaitText(room, "hi")
	w.enter(alice, room)
	conn.Send("@account=carolina :karla!c@h PRIVMSG alice :still me")
	w.hs.AwaitText(room, "still me")
	w.hs.Say(alice, room, "hello")
	next(t, conn, "PRIVMSG karla :hello")
	conn.Pong()
	conn.Send(":karla!c@h QUIT :bye") // whom we need not see, but here we do
	conn.Send("@account=mallory :karla!m@h PRIVMSG alice :hi from mallory")
	w.hs.AwaitText(w.ownRoom(alice, "account mallory"), "hi from mallory")
	conn.Send(":carol!c@h PRIVMSG #c :mark")
	w.hs.AwaitEvent("mark", func(e *bridgetest.Event) bool { return e.Text() == "mark" })
	w.hs.Say(alice, room, "a secret")
	next(t, conn, "WHOIS karla")
	conn.Send(":irc.test 311 alice karla m h * :M")
	conn.Send(":irc.test 330 alice karla mallory :is logged in as")
	conn.Send(":irc.test 318 alice karla :End")
	conn.Pong()
	w.awaitNotice(room, "is not logged in to the account")
}

// Who leaves the room of a conversation is asked in again when the other writes again, and answers into the same room.
func TestDirectLeft(t *testing.T) {
	w, carol, alice, _ := meet(t, "#pm")
	carol.Say("alice", "hello")
	room := w.ownRoom(alice, "carol")
	w.enter(alice, room)
	w.hs.SetMember(alice, room, alice, "leave", "")
	w.hs.AwaitAcknowledged()
	carol.Say("alice", "hello again")
	w.hs.AwaitText(room, "hello again")
	w.hs.AwaitMembership(room, alice, "invite")
	w.enter(alice, room)
	w.hs.Say(alice, room, "here I am")
	carol.Await("the answer", func(m ircmsg.Message) bool { return saidTo("carol", "alice")(m) && m.Params[1] == "here I am" })
}

// Replies, reactions, edits and typing go by tags as on a channel.
func TestDirectTags(t *testing.T) {
	w, conn, alice := scriptedPM(t, nil, "message-tags echo-message batch labeled-response")
	conn.Send("@msgid=p1 :dave!d@h PRIVMSG alice :a question")
	room := w.ownRoom(alice, "dave")
	asked := w.hs.AwaitText(room, "a question")
	w.enter(alice, room)
	answer := w.hs.Send(alice, room, "m.room.message", map[string]any{"msgtype": "m.text", "body": "teh answer",
		"m.relates_to": map[string]any{"m.in_reply_to": map[string]any{"event_id": asked.ID}}})
	line := next(t, conn, "@*+reply=p1* PRIVMSG dave :dave: teh answer")
	label := labelIn(line)
	conn.Send("@label=%s;msgid=p2 :alice!a@h PRIVMSG dave :dave: teh answer", label)
	w.hs.AwaitAcknowledged()
	w.hs.Send(alice, room, "m.reaction", map[string]any{
		"m.relates_to": map[string]any{"rel_type": "m.annotation", "event_id": asked.ID, "key": "+1"}})
	line = next(t, conn, "@*+draft/react=+1* TAGMSG dave")
	conn.Send("@label=%s :alice!a@h TAGMSG dave", labelIn(line))
	w.hs.AwaitAcknowledged()
	w.hs.Send(alice, room, "m.room.message", map[string]any{"msgtype": "m.text", "body": "* the answer",
		"m.new_content": map[string]any{"msgtype": "m.text", "body": "the answer"},
		"m.relates_to":  map[string]any{"rel_type": "m.replace", "event_id": answer.ID}})
	line = next(t, conn, "@label=* PRIVMSG dave :*")
	conn.Send("@label=%s;msgid=p3 :alice!a@h PRIVMSG dave :x", labelIn(line))
	conn.Send("@+draft/reply=p2;+draft/react=ok :dave!d@h TAGMSG alice")
	e := w.hs.AwaitEvent("the reaction", func(e *bridgetest.Event) bool {
		return e.Room == room && e.Type == "m.reaction" && e.Sender == w.ghost("dave")
	})
	if relates, _ := e.Content["m.relates_to"].(map[string]any); relates["event_id"] != string(answer.ID) {
		t.Errorf("got %v, want a reaction to %s", e.Content, answer.ID)
	}
}

// labelIn is the label of a line.
func labelIn(line string) string {
	for tag := range strings.SplitSeq(strings.TrimPrefix(strings.Fields(line)[0], "@"), ";") {
		if label, ok := strings.CutPrefix(tag, "label="); ok {
			return label
		}
	}
	return ""
}
