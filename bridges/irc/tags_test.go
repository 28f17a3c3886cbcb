package irc

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ergochat/irc-go/ircmsg"
	"maunium.net/go/mautrix/id"

	"causeway/bridges/bridgetest"
)

// allCaps is what a server of today offers.
const allCaps = "batch draft/message-redaction draft/multiline=max-bytes=4096,max-lines=10 echo-message labeled-response " +
	"message-tags server-time standard-replies"

// modern is a channel #c on a server with capabilities, with alice in it and carol on IRC.
type modern struct {
	*world
	ircd  *bridgetest.IRCServer
	conn  *bridgetest.IRCConn
	alice id.UserID
	room  id.RoomID
	count int
}

func startModern(t *testing.T, offered string, content ContentConfig) *modern {
	t.Helper()
	ircd := bridgetest.NewIRCServer(t)
	cfg := testNetwork(ircd.Address)
	if content.EditWindow == 0 {
		content.EditWindow = cfg.Content.EditWindow
	}
	cfg.Content = content
	m := &modern{world: startNew(t, cfg), ircd: ircd}
	m.alice = m.hs.User("alice")
	m.room = m.join(m.alice, "#c")
	m.conn = ircd.Accept()
	m.conn.Capable("alice", offered)
	m.conn.Joined("alice", "#c", "carol")
	m.hs.AwaitMembership(m.room, m.ghost("carol"), "join")
	m.hs.AwaitAcknowledged()
	return m
}

// next returns the next line of the client that is no PING; those it answers.
func (m *modern) next() ircmsg.Message {
	m.t.Helper()
	for {
		line, err := ircmsg.ParseLine(m.conn.Read())
		if err != nil {
			m.t.Fatal(err)
		}
		if line.Command != "PING" {
			return line
		}
		m.conn.Send(":irc.test PONG irc.test :%s", line.Params[0])
	}
}

// expect is next, with the command and parameters that must come.
func (m *modern) expect(want ...string) ircmsg.Message {
	m.t.Helper()
	line := m.next()
	if got := append([]string{line.Command}, line.Params...); !slices.Equal(got, want) {
		m.t.Fatalf("got line %q, want %q", got, want)
	}
	return line
}

// tag is a tag of a line.
func tag(line ircmsg.Message, name string) string {
	_, value := line.GetTag(name)
	return value
}

// echo sends a line back to who sent it, with its label and tags and a new identity, which it returns.
func (m *modern) echo(line ircmsg.Message) string {
	m.count++
	id := fmt.Sprintf("own%d", m.count)
	m.conn.Send("@label=%s;msgid=%s :alice!alice@host.test %s %s", tag(line, "label"), id, line.Command, trailing(line.Params))
	return id
}

func trailing(params []string) string {
	if len(params) == 1 {
		return params[0]
	}
	last := len(params) - 1
	return strings.Join(params[:last], " ") + " :" + params[last]
}

// say lets alice say something that the network takes, and returns the event and the identity of the line.
func (m *modern) say(text string) (*bridgetest.Event, string) {
	m.t.Helper()
	e := m.hs.Say(m.alice, m.room, text)
	msgid := m.echo(m.expect("PRIVMSG", "#c", text))
	m.settle()
	return e, msgid
}

// settle answers what the client asks until all that is on Matrix is done.
func (m *modern) settle() {
	m.t.Helper()
	for round := 0; round == 0 || !m.hs.Acknowledged(); round++ {
		m.conn.Send("PING :settle")
		m.expect("PONG", "settle")
	}
}

// settleAll is settle when lines may still come.
func (m *modern) settleAll() {
	m.t.Helper()
	for round := 0; round == 0 || !m.hs.Acknowledged(); round++ {
		m.conn.Send("PING :all")
		for line := m.next(); line.Command != "PONG"; line = m.next() {
		}
	}
}

// heard lets carol say something with tags, and returns the event.
func (m *modern) heard(tags, text string) *bridgetest.Event {
	m.t.Helper()
	m.conn.Send("@%s :carol!c@host.test PRIVMSG #c :%s", tags, text)
	return m.hs.AwaitText(m.room, text)
}

func relation(e *bridgetest.Event, path ...string) string {
	at := any(e.Content)
	for _, key := range append([]string{"m.relates_to"}, path...) {
		o, _ := at.(map[string]any)
		at = o[key]
	}
	s, _ := at.(string)
	return s
}

func inReplyTo(e *bridgetest.Event) map[string]any {
	return map[string]any{"m.in_reply_to": map[string]any{"event_id": e.ID}}
}

// A message of ours is done when its echo has come, without the PONG; an error is of the line that it labels, and no other.
func TestLabels(t *testing.T) {
	t.Parallel()
	m := startModern(t, allCaps, ContentConfig{})
	m.hs.Say(m.alice, m.room, "one")
	one := m.expect("PRIVMSG", "#c", "one")
	ping := m.conn.Expect("PING :*")
	if m.hs.Acknowledged() {
		t.Error("a line was acknowledged before the server had answered")
	}
	m.echo(one)
	m.hs.AwaitAcknowledged()
	m.conn.Send(":irc.test PONG irc.test :%s", strings.TrimPrefix(ping, "PING :"))

	m.hs.Say(m.alice, m.room, "two")
	two := m.expect("PRIVMSG", "#c", "two")
	m.conn.Expect("PING :*")
	m.hs.Say(m.alice, m.room, "three")
	three := m.expect("PRIVMSG", "#c", "three")
	m.conn.Send("@label=%s :irc.test 404 alice #c :Cannot send that", tag(three, "label"))
	m.echo(two)
	notice := m.awaitNotice(m.room, "Cannot send that")
	m.settle()
	if got := len(m.hs.Messages(m.room, m.alice)); got != 1 {
		t.Errorf("got %d notices, want one: %q", got, notice.Text())
	}
}

// People are called on IRC what they are called there, however Matrix names them, and the other way round; and what two
// of ours hear is one message.
func TestMentionsBothWays(t *testing.T) {
	m := startModern(t, allCaps, ContentConfig{})
	bob := m.hs.User("bob")
	m.hs.SendState(bob, m.room, "m.room.member", string(bob), map[string]any{"membership": "join", "displayname": "Bob Builder"})
	second := m.ircd.Accept()
	second.Capable("bob", allCaps)
	second.Expect("JOIN #c")
	m.conn.Send(":bob!bob@host.test JOIN #c")
	second.Enter("bob", "#c", "alice carol")
	second.Send("PING :entered")
	second.Expect("PONG :entered")
	m.settle()

	m.hs.Send(m.alice, m.room, "m.room.message", map[string]any{
		"msgtype": "m.text", "body": "Bob Builder: ask carol", "m.mentions": map[string]any{"user_ids": []string{string(bob)}},
	})
	m.echo(m.expect("PRIVMSG", "#c", "bob: ask carol"))
	m.hs.Send(m.alice, m.room, "m.room.message", map[string]any{
		"msgtype": "m.text", "body": "x", "format": "org.matrix.custom.html", "formatted_body": fmt.Sprintf(
			`<a href="https://matrix.to/#/%s">C.</a> and <a href="https://matrix.to/#/%s">B.</a>`, m.ghost("carol"), bob),
	})
	m.echo(m.expect("PRIVMSG", "#c", "carol and bob"))
	m.settle()

	line := "@msgid=C1 :carol!c@host.test PRIVMSG #c :BOB, tell carol"
	second.Send("%s", line)
	m.conn.Send("%s", line)
	e := m.hs.AwaitText(m.room, "BOB, tell carol")
	mentions, _ := e.Content["m.mentions"].(map[string]any)
	users, _ := mentions["user_ids"].([]any)
	if want := []any{string(bob), string(m.ghost("carol"))}; !slices.Equal(users, want) {
		t.Errorf("got mentions of %v, want %v", users, want)
	}
	m.heard("msgid=C2", "last")
	if got := len(m.hs.Messages(m.room, m.alice)); got != 2 {
		t.Errorf("got %d messages from IRC, want 2", got)
	}
}

// Without labels, echoes tell the identities in the order of the lines, and nothing of ours comes back as somebody's words.
func TestEchoWithoutLabel(t *testing.T) {
	m := startModern(t, "echo-message message-tags", ContentConfig{})
	e := m.hs.Say(m.alice, m.room, "a line\nanother")
	m.expect("PRIVMSG", "#c", "a line")
	m.expect("PRIVMSG", "#c", "another")
	m.conn.Send("@msgid=A :alice!alice@host.test PRIVMSG #c :a line")
	m.conn.Send("@msgid=B :alice!alice@host.test PRIVMSG #c :another")
	m.settle()
	for i, id := range []string{"A", "B"} {
		reply := m.heard("msgid=r"+id+";+draft/reply="+id, "to "+id)
		if got := relation(reply, "m.in_reply_to", "event_id"); got != string(e.ID) {
			t.Errorf("line %d: got a reply to %q, want %q", i+1, got, e.ID)
		}
	}
	if got := len(m.hs.Messages(m.room, m.alice)); got != 2 {
		t.Errorf("got %d messages, want 2", got)
	}
}

func TestReplies(t *testing.T) {
	m := startModern(t, allCaps, ContentConfig{})
	said, msgid := m.say("a question")
	reply := m.heard("msgid=C1;+reply="+msgid, "an answer")
	if got := relation(reply, "m.in_reply_to", "event_id"); got != string(said.ID) {
		t.Errorf("got a reply to %q, want %q", got, said.ID)
	}
	m.hs.Send(m.alice, m.room, "m.room.message", map[string]any{
		"msgtype": "m.text", "body": "thank you", "m.relates_to": inReplyTo(reply),
	})
	line := m.expect("PRIVMSG", "#c", "carol: thank you")
	if tag(line, "+reply") != "C1" || tag(line, "+draft/reply") != "C1" {
		t.Errorf("got tags %v", line.AllTags())
	}
	if other := m.heard("msgid=C2;+reply=unknown", "to nobody"); relation(other, "m.in_reply_to", "event_id") != "" {
		t.Error("a reply to what is not known is one to something")
	}
}

func TestReactions(t *testing.T) {
	m := startModern(t, allCaps, ContentConfig{})
	said, msgid := m.say("look")
	m.conn.Send("@msgid=R1;+draft/reply=%s;+draft/react=👍 :carol!c@host.test TAGMSG #c", msgid)
	reaction := m.hs.AwaitEvent("reaction", func(e *bridgetest.Event) bool { return e.Type == "m.reaction" })
	if relation(reaction, "event_id") != string(said.ID) || reaction.Sender != m.ghost("carol") || !strings.HasPrefix(relation(reaction, "key"), "👍") {
		t.Errorf("got %v by %s", reaction.Content, reaction.Sender)
	}
	m.conn.Send("@msgid=R2;+draft/reply=%s;+draft/unreact=👍 :carol!c@host.test TAGMSG #c", msgid)
	m.hs.AwaitEvent("its redaction", func(e *bridgetest.Event) bool {
		return e.Type == "m.room.redaction" && e.Content["redacts"] == string(reaction.ID) && e.Sender == m.ghost("carol")
	})

	heard := m.heard("msgid=C1", "nice")
	ours := m.hs.Send(m.alice, m.room, "m.reaction", map[string]any{
		"m.relates_to": map[string]any{"rel_type": "m.annotation", "event_id": heard.ID, "key": "🎉 ; party"},
	})
	line := m.expect("TAGMSG", "#c")
	if tag(line, "+draft/react") != "🎉 ; party" || tag(line, "+draft/reply") != "C1" {
		t.Errorf("got tags %v", line.AllTags())
	}
	m.echo(line)
	m.settle()
	m.hs.Send(m.alice, m.room, "m.room.redaction", map[string]any{"redacts": ours.ID})
	line = m.expect("TAGMSG", "#c")
	if tag(line, "+draft/unreact") != "🎉 ; party" || tag(line, "+draft/reply") != "C1" {
		t.Errorf("got tags %v", line.AllTags())
	}
	m.echo(line)
	m.settle()
}

// Without tags a reaction is said if that is wanted, and otherwise it is not, and nobody is told in the room.
func TestReactionsWithoutTags(t *testing.T) {
	for _, test := range []struct {
		name string
		text bool
		want string
	}{
		{"in words", true, "\x01ACTION reacts with 👍 to <carol> nice\x01"},
		{"not at all", false, "after"},
	} {
		t.Run(test.name, func(t *testing.T) {
			m := startModern(t, "server-time", ContentConfig{ReactionText: test.text})
			heard := m.heard("time=2026-01-02T03:04:05.678Z", "nice")
			m.hs.Send(m.alice, m.room, "m.reaction", map[string]any{
				"m.relates_to": map[string]any{"rel_type": "m.annotation", "event_id": heard.ID, "key": "👍"},
			})
			m.hs.Say(m.alice, m.room, "after")
			m.expect("PRIVMSG", "#c", test.want)
			if test.text {
				m.expect("PRIVMSG", "#c", "after")
			}
			m.settle()
			if got := len(m.hs.Messages(m.room, m.alice)); got != 1 {
				t.Errorf("got %d messages, want 1", got)
			}
		})
	}
}

func TestRedactions(t *testing.T) {
	m := startModern(t, allCaps, ContentConfig{})
	redacted := func(e *bridgetest.Event) *bridgetest.Event {
		return m.hs.AwaitEvent("redaction", func(r *bridgetest.Event) bool {
			return r.Type == "m.room.redaction" && r.Content["redacts"] == string(e.ID)
		})
	}
	heard := m.heard("msgid=C1", "oops")
	m.conn.Send(":carol!c@host.test REDACT #c C1 :no reason")
	if by := redacted(heard).Sender; by != m.ghost("carol") {
		t.Errorf("got a redaction by %s, want the author", by)
	}
	said, msgid := m.say("also oops")
	m.conn.Send(":carol!c@host.test REDACT #other %s", msgid)
	m.conn.Send(":op!o@host.test REDACT #c unknown")
	m.conn.Send(":op!o@host.test REDACT #c %s", msgid)
	if by := redacted(said).Sender; by != m.bridge.Bot() {
		t.Errorf("got a redaction by %s, want the bot", by)
	}

	mine, msgid := m.say("a third")
	m.hs.Send(m.alice, m.room, "m.room.redaction", map[string]any{"redacts": mine.ID, "reason": "a\r\nQUIT"})
	line := m.expect("REDACT", "#c", msgid, "aQUIT")
	m.conn.Send("@label=%s :irc.test FAIL REDACT REDACT_FORBIDDEN #c %s :You may not", tag(line, "label"), msgid)
	m.awaitNotice(m.room, "You may not")
}

// Each line of a message of several is taken back.
func TestRedactionOfLines(t *testing.T) {
	m := startModern(t, "batch draft/message-redaction echo-message labeled-response message-tags", ContentConfig{})
	e := m.hs.Say(m.alice, m.room, "one\ntwo")
	one, two := m.echo(m.expect("PRIVMSG", "#c", "one")), m.echo(m.expect("PRIVMSG", "#c", "two"))
	m.settle()
	m.hs.Send(m.alice, m.room, "m.room.redaction", map[string]any{"redacts": e.ID})
	m.echo(m.expect("REDACT", "#c", one))
	m.echo(m.expect("REDACT", "#c", two))
}

func TestRedactionInWords(t *testing.T) {
	m := startModern(t, "server-time", ContentConfig{RedactionText: true})
	e := m.hs.Say(m.alice, m.room, "oops")
	m.expect("PRIVMSG", "#c", "oops")
	m.settle()
	m.hs.Send(m.alice, m.room, "m.room.redaction", map[string]any{"redacts": e.ID})
	m.expect("PRIVMSG", "#c", "\x01ACTION has deleted a message\x01")
	m.settle()
}

func TestTyping(t *testing.T) {
	t.Parallel()
	m := startModern(t, allCaps, ContentConfig{})
	types := func(want bool) {
		t.Helper()
		m.hs.Await(fmt.Sprint("typing ", want), func() bool { return m.hs.Types(m.ghost("carol"), m.room) == want })
	}
	m.conn.Send("@+typing=active :carol!c@host.test TAGMSG #c")
	types(true)
	m.conn.Send("@+typing=done :carol!c@host.test TAGMSG #c")
	types(false)

	m.hs.Typing(m.room, m.alice)
	first := time.Now()
	if line := m.expect("TAGMSG", "#c"); tag(line, "+typing") != "active" {
		t.Errorf("got tags %v", line.AllTags())
	}
	m.hs.Typing(m.room)
	if line := m.expect("TAGMSG", "#c"); tag(line, "+typing") != "done" {
		t.Errorf("got tags %v", line.AllTags())
	}
	if after := time.Since(first); after < typingPause {
		t.Errorf("the second notification came after %v", after)
	}
}

func TestCTCP(t *testing.T) {
	m := startModern(t, allCaps, ContentConfig{})
	ask := func(target, text string) { m.conn.Send(":carol!c@host.test PRIVMSG %s :\x01%s\x01", target, text) }
	ask("#c", "VERSION") // of everybody: no
	ask("alice", "VERSION")
	m.expect("NOTICE", "carol", "\x01VERSION "+ctcpVersion+"\x01")
	ask("alice", "PING 12 "+strings.Repeat("3", 200))
	m.expect("NOTICE", "carol", "\x01PING 12 "+strings.Repeat("3", maxCTCP-3)+"\x01")
	ask("alice", "FINGER")
	ask("alice", "time")
	if line := m.next(); !strings.HasPrefix(line.Params[1], "\x01TIME ") || !strings.HasSuffix(line.Params[1], "UTC\x01") {
		t.Errorf("got %v", line)
	}
	ask("alice", "VERSION") // one too many
	m.settle()
}

// A channel that takes no colours gets none.
func TestNoColours(t *testing.T) {
	m := startModern(t, allCaps, ContentConfig{})
	html := func() {
		m.hs.Send(m.alice, m.room, "m.room.message", map[string]any{"msgtype": "m.text", "body": "x",
			"format": "org.matrix.custom.html", "formatted_body": `<b>a</b> <font color="#ff0000">b</font>`})
	}
	html()
	m.echo(m.expect("PRIVMSG", "#c", "\x02a\x02 \x0304b"))
	m.conn.Send(":op!o@h MODE #c +nc-i")
	m.settle()
	html()
	m.echo(m.expect("PRIVMSG", "#c", "\x02a\x02 b"))
	m.settle()
}

// A long text is a link where files have addresses for everybody, and lines where not.
func TestPaste(t *testing.T) {
	m := startModern(t, "server-time", ContentConfig{LongLines: 3})
	m.hs.Say(m.alice, m.room, "a\nb\nc")
	for _, line := range []string{"a", "b", "c"} {
		m.expect("PRIVMSG", "#c", line)
	}
	m.settle()
	m.world.conn.publicAddress = func(uri id.ContentURIString) string { return "https://files.test/" + string(uri) }
	m.hs.Say(m.alice, m.room, "a\nb\nc")
	line := m.next()
	before, uri, _ := strings.Cut(line.Params[1], "https://files.test/")
	if before != "a… (3 lines: " || m.hs.Upload(strings.TrimSuffix(uri, ")")) != "a\nb\nc\n" {
		t.Errorf("got %q, and there %q", line.Params[1], m.hs.Upload(strings.TrimSuffix(uri, ")")))
	}
	m.hs.Say(m.alice, m.room, "a\nb")
	m.expect("PRIVMSG", "#c", "a")
	m.expect("PRIVMSG", "#c", "b")
	m.settle()
}

// A block of code has a limit of its own.
func TestPasteOfCode(t *testing.T) {
	m := startModern(t, "server-time", ContentConfig{LongCode: 2})
	m.world.conn.publicAddress = func(uri id.ContentURIString) string { return "https://files.test/" + string(uri) }
	m.hs.Say(m.alice, m.room, "a\nb\nc")
	for _, line := range []string{"a", "b", "c"} {
		m.expect("PRIVMSG", "#c", line)
	}
	m.hs.Send(m.alice, m.room, "m.room.message", map[string]any{"msgtype": "m.text", "body": "x", "format": "org.matrix.custom.html",
		"formatted_body": "<pre><code>if x {\n\ty\n}</code></pre>"})
	_, uri, _ := strings.Cut(m.next().Params[1], "https://files.test/")
	if got := m.hs.Upload(strings.TrimSuffix(uri, ")")); got != "if x {\n\ty\n}\n" {
		t.Errorf("got %q", got)
	}
	m.settle()
}
