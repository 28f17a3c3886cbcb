package irc

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ergochat/irc-go/ircmsg"
	"maunium.net/go/mautrix/id"

	"causeway/bridges/bridgetest"
)

// both is a room with a channel of each of two networks with IRCv3: #c on net with carol, and #d on other with dave, who are
// operators there, and alice everywhere.
type both struct {
	*world
	alice       id.UserID
	room        id.RoomID
	carol, dave *bridgetest.IRCClient
	ghostOfDave id.UserID
}

// clientCaps are what people on IRC have in these tests.
var clientCaps = []string{"message-tags", "draft/message-redaction", "echo-message"}

func startBoth(t *testing.T, content ContentConfig) *both {
	t.Helper()
	a, b := bridgetest.StartIRCv3(t, bridgetest.IRCv3Options{Network: "A"}), bridgetest.StartIRCv3(t, bridgetest.IRCv3Options{Network: "B"})
	networks := map[string]NetworkConfig{"net": testNetwork(a.Address), "other": testNetwork(b.Address)}
	content.EditWindow = networks["net"].Content.EditWindow
	for name, cfg := range networks {
		cfg.Content = content
		networks[name] = cfg
	}
	w := startConfig(t, bridgetest.NewHomeserver(t, "hs.test"), t.TempDir(), Config{Networks: networks})
	x := &both{
		world: w, alice: w.hs.User("alice"), ghostOfDave: w.hs.User("irc_other_dave"),
		carol: bridgetest.DialIRC(t, a.Address, "carol", clientCaps...), dave: bridgetest.DialIRC(t, b.Address, "dave", clientCaps...),
	}
	x.carol.Join("#c")
	x.dave.Join("#d")
	x.room = w.join(x.alice, "#c")
	x.carol.AwaitCommand("JOIN", "alice", "#c")
	x.carol.Send("MODE #c +o alice")
	x.connect(x.dave, "plumb other #d")
	x.carol.AwaitOccupant("#c", "matrix")
	w.hs.AwaitMembership(x.room, x.ghostOfDave, "join")
	return x
}

// connect has alice ask, and an operator allow it.
func (x *both) connect(operator *bridgetest.IRCClient, command string) {
	x.t.Helper()
	x.hs.Await("alice's level", func() bool {
		users, _ := x.hs.State(x.room, "m.room.power_levels", "").Content["users"].(map[string]any)
		return users[string(x.alice)] == 50.0
	})
	x.hs.Say(x.alice, x.room, "!irc "+command)
	operator.Send("PRIVMSG matrix :yes %s", codeFor(operator))
	x.awaitNotice(x.room, "This room is connected with #d on other")
}

// codeFor is the code in what the bot asks somebody.
func codeFor(c *bridgetest.IRCClient) string {
	m := c.Await("a question", func(m ircmsg.Message) bool {
		return m.Command == "PRIVMSG" && m.Nick() == "matrix" && strings.HasPrefix(m.Params[1], "To allow it: ")
	})
	_, rest, _ := strings.Cut(m.Params[1], " yes ")
	code, _, _ := strings.Cut(rest, " ")
	return code
}

// heard waits for a text that a nick says, and returns its identity.
func heard(c *bridgetest.IRCClient, nick, text string) string {
	m := heardLine(c, nick, text)
	_, msgid := m.GetTag("msgid")
	return msgid
}

func heardLine(c *bridgetest.IRCClient, nick, text string) ircmsg.Message {
	return c.Await(nick+": "+text, func(m ircmsg.Message) bool {
		return m.Command == "PRIVMSG" && m.Nick() == nick && m.Params[1] == text
	})
}

// redacted waits until somebody has taken back a line.
func redacted(t *testing.T, c *bridgetest.IRCClient, nick, msgid string) {
	t.Helper()
	c.Await("REDACT of "+msgid+" by "+nick, func(m ircmsg.Message) bool {
		return m.Command == "REDACT" && m.Nick() == nick && m.Params[1] == msgid
	})
}

func awaitTag(c *bridgetest.IRCClient, nick, name, value, reply string) {
	c.Await(nick+" "+name+" "+value, func(m ircmsg.Message) bool {
		return m.Command == "TAGMSG" && m.Nick() == nick && tag(m, name) == value && (reply == "" || tag(m, "+reply") == reply)
	})
}

// Replies refer to what they answer in each channel: to the line, or its copy.
func TestFurtherReplies(t *testing.T) {
	x := startBoth(t, ContentConfig{})
	x.dave.Say("#d", "who is there?")
	original := heard(x.dave, "dave", "who is there?")
	inC := heard(x.carol, "matrix", "<dave> who is there?")
	said := x.hs.AwaitText(x.room, "who is there?")
	x.settled()
	// Carol answers the copy; the room knows what is meant, and so does dave.
	x.carol.Send("@+reply=%s PRIVMSG #c :carol is", inC)
	answer := x.hs.AwaitText(x.room, "carol is")
	if got := relation(answer, "m.in_reply_to", "event_id"); got != string(said.ID) {
		t.Errorf("got an answer to %q, want %q", got, said.ID)
	}
	line := heardLine(x.dave, "matrix", "<carol> dave: carol is")
	if got := tag(line, "+reply"); got != original {
		t.Errorf("got an answer to %q in #d, want %q", got, original)
	}
	// Alice answers, in both.
	x.hs.Send(x.alice, x.room, "m.room.message", map[string]any{
		"msgtype": "m.text", "body": "alice too", "m.relates_to": map[string]any{"m.in_reply_to": map[string]any{"event_id": said.ID}},
	})
	if got := tag(heardLine(x.dave, "alice", "dave: alice too"), "+reply"); got != original {
		t.Errorf("got an answer to %q in #d, want %q", got, original)
	}
	if got := tag(heardLine(x.carol, "alice", "dave: alice too"), "+reply"); got != inC {
		t.Errorf("got an answer to %q in #c, want %q", got, inC)
	}
}

// Reactions are to the line or its copy, and are taken back where they are; the bot says those of others in words, if at all.
func TestFurtherReactions(t *testing.T) {
	x := startBoth(t, ContentConfig{ReactionText: true})
	x.dave.Say("#d", "news")
	original, inC := heard(x.dave, "dave", "news"), heard(x.carol, "matrix", "<dave> news")
	said := x.hs.AwaitText(x.room, "news")
	x.settled()
	reaction := x.hs.Send(x.alice, x.room, "m.reaction", map[string]any{
		"m.relates_to": map[string]any{"rel_type": "m.annotation", "event_id": said.ID, "key": "+1"},
	})
	awaitTag(x.dave, "alice", "+draft/react", "+1", original)
	awaitTag(x.carol, "alice", "+draft/react", "+1", inC)
	x.hs.AwaitAcknowledged()
	x.settled()
	x.hs.Send(x.alice, x.room, "m.room.redaction", map[string]any{"redacts": reaction.ID})
	awaitTag(x.dave, "alice", "+draft/unreact", "+1", original)
	awaitTag(x.carol, "alice", "+draft/unreact", "+1", inC)

	x.carol.Send("@+draft/react=yes;+reply=%s TAGMSG #c", inC)
	e := x.hs.AwaitEvent("carol's reaction", func(e *bridgetest.Event) bool {
		return e.Type == "m.reaction" && e.Sender == x.ghost("carol") && relation(e, "event_id") == string(said.ID)
	})
	if got := relation(e, "key"); got != "yes" {
		t.Errorf("got reaction %q", got)
	}
	inWords := heard(x.dave, "matrix", "* carol reacts with yes to <dave> news")
	x.settled()
	x.carol.Send("@+draft/unreact=yes;+reply=%s TAGMSG #c", inC)
	redacted(t, x.dave, "matrix", inWords)
}

// Edits of people of the room go to each channel as they do to the first, and go away with what they are of.
func TestFurtherEditsAndRemovals(t *testing.T) {
	x := startBoth(t, ContentConfig{})
	said := x.hs.Say(x.alice, x.room, "the frist word")
	first := heard(x.dave, "alice", "the frist word")
	heard(x.carol, "alice", "the frist word")
	x.settled()
	x.hs.Send(x.alice, x.room, "m.room.message", map[string]any{
		"msgtype": "m.text", "body": "* the first word", "m.new_content": map[string]any{"msgtype": "m.text", "body": "the first word"},
		"m.relates_to": map[string]any{"rel_type": "m.replace", "event_id": said.ID},
	})
	second := heard(x.dave, "alice", "s/frist/first/")
	heard(x.carol, "alice", "s/frist/first/")
	x.settled()
	x.hs.Send(x.alice, x.room, "m.room.redaction", map[string]any{"redacts": said.ID})
	redacted(t, x.dave, "alice", first)
	redacted(t, x.dave, "alice", second)
	redacted(t, x.carol, "alice", heard(x.carol, "alice", "the frist word"))
	redacted(t, x.carol, "alice", heard(x.carol, "alice", "s/frist/first/"))

	// What dave takes back the bot takes back, all lines of it.
	x.dave.Say("#d", "oops")
	x.hs.AwaitText(x.room, "oops")
	copied := heard(x.carol, "matrix", "<dave> oops")
	x.settled()
	x.dave.Send("REDACT #d %s", heard(x.dave, "dave", "oops"))
	redacted(t, x.carol, "matrix", copied)

	// What somebody in the room removes goes from where it was said, if they may there, and from where it was carried to.
	x.dave.Send("MODE #d +o alice")
	x.dave.Say("#d", "spam")
	spam := x.hs.AwaitText(x.room, "spam")
	copied = heard(x.carol, "matrix", "<dave> spam")
	x.settled()
	x.hs.Send(x.alice, x.room, "m.room.redaction", map[string]any{"redacts": spam.ID})
	redacted(t, x.carol, "matrix", copied)
	redacted(t, x.dave, "alice", heard(x.dave, "dave", "spam"))

	// What an operator of the first channel removes of somebody's in the room they take back elsewhere.
	x.hs.Say(x.alice, x.room, "rude")
	rude, rudeInD := heard(x.carol, "alice", "rude"), heard(x.dave, "alice", "rude")
	x.settled()
	x.carol.Send("REDACT #c %s", rude)
	redacted(t, x.dave, "alice", rudeInD)

	// An operator who removes a copy does not remove the original.
	x.carol.Say("#c", "mine")
	mine := x.hs.AwaitText(x.room, "mine")
	mineInD := heard(x.dave, "matrix", "<carol> mine")
	x.settled()
	x.dave.Send("REDACT #d %s", mineInD)
	x.dave.Say("#d", "gone there")
	x.hs.AwaitText(x.room, "gone there")
	if list := x.hs.Events(func(e *bridgetest.Event) bool { return e.Content["redacts"] == string(mine.ID) }); len(list) > 0 {
		t.Error("an operator of #d has removed what was said on #c")
	}
}

// What a ghost says is in the room before bridgev2 has recorded it. Who removes it at once, as bots do, or answers it, is understood.
func TestFurtherAtOnce(t *testing.T) {
	x := startBoth(t, ContentConfig{})
	x.dave.AwaitOccupant("#d", "alice")
	x.dave.Send("MODE #d +o alice")
	// early does something about what dave says while the bridge waits to be told that it is in the room.
	early := func(text string, do func(said *bridgetest.Event)) {
		release := x.hs.Hold(func(r *http.Request) bool {
			return r.Method == http.MethodPut && r.URL.Query().Get("user_id") == string(x.ghostOfDave)
		})
		t.Cleanup(release)
		x.dave.Say("#d", text)
		do(x.hs.AwaitText(x.room, text))
		// The event is looked at meanwhile; nothing can be seen of that.
		time.AfterFunc(100*time.Millisecond, release)
	}
	early("question", func(said *bridgetest.Event) {
		x.hs.Send(x.alice, x.room, "m.room.message", map[string]any{
			"msgtype": "m.text", "body": "answer", "m.relates_to": map[string]any{"m.in_reply_to": map[string]any{"event_id": said.ID}},
		})
		x.hs.Send(x.alice, x.room, "m.reaction", map[string]any{
			"m.relates_to": map[string]any{"rel_type": "m.annotation", "event_id": said.ID, "key": "+1"},
		})
	})
	question := heard(x.dave, "dave", "question")
	if got := tag(heardLine(x.dave, "alice", "dave: answer"), "+reply"); got != question {
		t.Errorf("got an answer to %q, want %q", got, question)
	}
	awaitTag(x.dave, "alice", "+draft/react", "+1", question)
	x.hs.AwaitAcknowledged()
	early("spam", func(said *bridgetest.Event) {
		x.hs.Send(x.alice, x.room, "m.room.redaction", map[string]any{"redacts": said.ID})
	})
	redacted(t, x.dave, "alice", heard(x.dave, "dave", "spam"))
	redacted(t, x.carol, "matrix", heard(x.carol, "matrix", "<dave> spam"))
}

// settled waits until alice's connections and the bot's have nothing on their way, so that what has become of it is recorded.
func (x *both) settled() {
	x.t.Helper()
	for _, name := range []string{"net", "other"} {
		for _, user := range []id.UserID{x.alice, x.bridge.Bot()} {
			conn := x.conn.networks[name].running(user)
			for quiet := false; !quiet; {
				told := make(chan bool)
				conn.box.add(runRequest(func(c *client) { told <- len(c.unacked)+len(c.edits)+len(c.queue) == 0 }))
				quiet = <-told
			}
		}
	}
}

// runRequest does something in the goroutine of a client.
type runRequest func(c *client)

func (r runRequest) apply(c *client) { r(c) }

// Who types is seen in all channels, and dave's typing in the room.
func TestFurtherTyping(t *testing.T) {
	x := startBoth(t, ContentConfig{})
	x.hs.Typing(x.room, x.alice)
	awaitTag(x.carol, "alice", "+typing", "active", "")
	awaitTag(x.dave, "alice", "+typing", "active", "")
	x.dave.Send("@+typing=active TAGMSG #d")
	x.hs.Await("dave types", func() bool { return x.hs.Types(x.ghostOfDave, x.room) })
}

// The topic of the room goes to all channels that its setter may set it in; it is that of the first, and that of others is told.
func TestFurtherTopics(t *testing.T) {
	x := startBoth(t, ContentConfig{})
	setTopic := func(topic string) {
		x.hs.SendState(x.alice, x.room, "m.room.topic", "", map[string]any{"topic": topic})
	}
	topicIs := func(c *bridgetest.IRCClient, topic string) {
		t.Helper()
		c.Await("topic "+topic, func(m ircmsg.Message) bool {
			return m.Command == "TOPIC" && m.Nick() == "alice" && m.Params[1] == topic
		})
	}
	x.dave.Send("MODE #d +t")
	setTopic("one")
	topicIs(x.carol, "one")
	x.awaitNotice(x.room, "The topic of #d on other was not set: other says: You're not channel operator")
	x.dave.Send("MODE #d +o alice")
	x.dave.AwaitCommand("MODE", "dave", "#d")
	x.dave.Await("alice is an operator", func(m ircmsg.Message) bool { return m.Command == "MODE" && slices.Contains(m.Params, "+o") })
	setTopic("two")
	topicIs(x.carol, "two")
	topicIs(x.dave, "two")
	x.dave.Send("TOPIC #d :three")
	x.awaitNotice(x.room, "dave has set the topic of #d on other: three")
	x.carol.Send("TOPIC #c :four")
	x.hs.Await("the room's topic", func() bool { return x.hs.State(x.room, "m.room.topic", "").Content["topic"] == "four" })
	if list := x.dave.Lines(func(m ircmsg.Message) bool { return m.Command == "TOPIC" && m.Params[1] == "four" }); len(list) > 0 {
		t.Error("the topic of #c went to #d")
	}
	for _, e := range x.hs.Events(func(e *bridgetest.Event) bool { return e.Type == "m.room.topic" }) {
		if e.Content["topic"] == "three" {
			t.Error("the room has the topic of #d")
		}
	}
}

// What is done to a ghost is done in its channel: kicks, ranks, bans and their end, and invitations.
func TestFurtherMembers(t *testing.T) {
	x := startBoth(t, ContentConfig{})
	// Without power there it comes back.
	x.hs.SetMember(x.alice, x.room, x.ghostOfDave, "leave", "out")
	x.awaitNotice(x.room, "dave was not kicked: ")
	x.hs.AwaitMembership(x.room, x.ghostOfDave, "join")
	x.dave.Send("MODE #d +o alice")
	x.dave.Await("alice is an operator", func(m ircmsg.Message) bool { return m.Command == "MODE" && slices.Contains(m.Params, "+o") })
	erin := bridgetest.DialIRC(t, x.dave.Address(), "erin")
	erin.Join("#d")
	ghost := x.hs.User("irc_other_erin")
	x.hs.AwaitMembership(x.room, ghost, "join")

	levels := x.hs.State(x.room, "m.room.power_levels", "").Content
	users, _ := levels["users"].(map[string]any)
	changed := map[string]any{string(ghost): 50}
	for user, level := range users {
		changed[user] = level
	}
	next := map[string]any{}
	for key, value := range levels {
		next[key] = value
	}
	next["users"] = changed
	x.hs.SendState(x.alice, x.room, "m.room.power_levels", "", next)
	erin.Await("a rank", func(m ircmsg.Message) bool {
		return m.Command == "MODE" && m.Nick() == "alice" && slices.Equal(m.Params, []string{"#d", "+o", "erin"})
	})

	x.hs.SetMember(x.alice, x.room, ghost, "leave", "out")
	kick := erin.Await("a kick", func(m ircmsg.Message) bool { return m.Command == "KICK" && m.Nick() == "alice" })
	if !slices.Equal(kick.Params, []string{"#d", "erin", "out"}) {
		t.Errorf("got %q", kick.Params)
	}
	erin.Join("#d")
	x.hs.AwaitMembership(x.room, ghost, "join")
	x.hs.SetMember(x.alice, x.room, ghost, "ban", "out")
	x.dave.Await("a ban", func(m ircmsg.Message) bool {
		return m.Command == "MODE" && m.Nick() == "alice" && len(m.Params) == 3 && m.Params[1] == "+b"
	})
	x.hs.SetMember(x.alice, x.room, ghost, "leave", "")
	x.dave.Await("the end of it", func(m ircmsg.Message) bool {
		return m.Command == "MODE" && m.Nick() == "alice" && len(m.Params) == 3 && m.Params[1] == "-b"
	})
	for _, m := range x.carol.Lines(func(m ircmsg.Message) bool { return m.Command == "KICK" || m.Command == "MODE" && m.Nick() == "alice" }) {
		t.Errorf("got %v in #c", m)
	}
	// Whom a further channel sends away does not read on.
	x.dave.Send("KICK #d alice :enough")
	x.hs.AwaitMembership(x.room, x.alice, "leave")
}
