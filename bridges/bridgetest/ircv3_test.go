package bridgetest

import (
	"crypto/pbkdf2"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ergochat/irc-go/ircmsg"
)

// modern is what a modern client asks for.
var modern = []string{
	"message-tags", "server-time", "batch", "echo-message", "labeled-response", "account-tag", "extended-join", "away-notify",
	"chghost", "multi-prefix", "draft/chathistory", "draft/event-playback", "draft/multiline", "draft/message-redaction",
}

func command(name string) func(ircmsg.Message) bool {
	return func(m ircmsg.Message) bool { return m.Command == name }
}

func tag(m ircmsg.Message, name string) string { _, value := m.GetTag(name); return value }

func TestIRCv3Negotiation(t *testing.T) {
	s := StartIRCv3(t, IRCv3Options{Without: []string{"sasl"}})
	plain := DialIRC(t, s.Address, "plain")
	modernOne := DialIRC(t, s.Address, "modern", modern...)
	offered := ""
	for _, m := range modernOne.Lines(command("CAP")) {
		if m.Params[1] == "LS" {
			offered += " " + m.Params[len(m.Params)-1]
		}
	}
	for _, name := range append(slices.Clone(modern), "draft/multiline=max-bytes=4096,max-lines=24") {
		if !strings.Contains(offered, name) {
			t.Errorf("got offer %q, want %s in it", offered, name)
		}
	}
	if strings.Contains(offered, "sasl") {
		t.Errorf("got offer %q, want no sasl", offered)
	}
	modernOne.Send("CAP REQ :no-such-thing")
	modernOne.Await("CAP NAK", func(m ircmsg.Message) bool { return m.Command == "CAP" && m.Params[1] == "NAK" })

	plain.Join("#c")
	modernOne.Join("#c")
	modernOne.Say("#c", "with tags")
	heard := plain.Await("the line", Said("#c", "modern"))
	if tags := heard.AllTags(); len(tags) > 0 {
		t.Errorf("got tags %v for who asked for none", tags)
	}
	echo := modernOne.Await("the echo", Said("#c", "modern"))
	if tag(echo, "msgid") == "" || tag(echo, "time") == "" {
		t.Errorf("got echo with tags %v, want msgid and time", echo.AllTags())
	}
}

func TestIRCv3Labels(t *testing.T) {
	s := StartIRCv3(t, IRCv3Options{})
	c := DialIRC(t, s.Address, "c", modern...)
	other := DialIRC(t, s.Address, "other", modern...)
	c.Join("#c")
	other.Join("#c")
	c.Send("@label=one PRIVMSG #c :said")
	echo := c.Await("echo", Said("#c", "c"))
	if tag(echo, "label") != "one" {
		t.Errorf("got echo with tags %v, want label one", echo.AllTags())
	}
	if heard := other.Await("line", Said("#c", "c")); heard.HasTag("label") || tag(heard, "msgid") != tag(echo, "msgid") {
		t.Errorf("got tags %v for the others, want the echo's msgid %s and no label", heard.AllTags(), tag(echo, "msgid"))
	}
	c.Send("@label=two WHOIS other")
	open := c.Await("batch", func(m ircmsg.Message) bool { return m.Command == "BATCH" && tag(m, "label") == "two" })
	if open.Params[1] != "labeled-response" {
		t.Errorf("got batch %v", open.Params)
	}
	c.Send("@label=three PONG x")
	c.Await("ACK", func(m ircmsg.Message) bool { return m.Command == "ACK" && tag(m, "label") == "three" })
}

func TestIRCv3History(t *testing.T) {
	s := StartIRCv3(t, IRCv3Options{HistoryPage: 3})
	a := DialIRC(t, s.Address, "a", modern...)
	a.Join("#c")
	var ids []string
	for i := range 8 {
		a.Say("#c", fmt.Sprint(i))
		lines := a.AwaitCount("echo", i+1, Said("#c", "a"))
		ids = append(ids, tag(lines[i], "msgid"))
	}
	a.Send("PART #c :away")
	a.AwaitCommand("PART", "a", "#c")
	b := DialIRC(t, s.Address, "b", "message-tags", "server-time", "batch", "draft/chathistory")
	b.Send("CHATHISTORY LATEST #c * 10")
	b.Await("no right", func(m ircmsg.Message) bool { return m.Command == "FAIL" && m.Params[1] == "INVALID_TARGET" })
	b.Join("#c")
	for _, test := range []struct {
		query string
		want  []string
	}{
		{"LATEST #c * 10", []string{"5", "6", "7"}},
		{"LATEST #c msgid=" + ids[6] + " 10", []string{"7"}},
		{"AFTER #c msgid=" + ids[1] + " 2", []string{"2", "3"}},
		{"AFTER #c msgid=" + ids[7] + " 2", nil},
		{"BEFORE #c msgid=" + ids[3] + " 2", []string{"1", "2"}},
		{"AROUND #c msgid=" + ids[3] + " 3", []string{"2", "3", "4"}},
		{"BETWEEN #c msgid=" + ids[1] + " msgid=" + ids[4] + " 10", []string{"2", "3"}},
		{"BETWEEN #c msgid=" + ids[4] + " msgid=" + ids[1] + " 1", []string{"3"}},
		{"AFTER #c timestamp=2020-01-01T00:00:00.000Z 1", []string{"0"}},
		{"BEFORE #c timestamp=2020-01-01T00:00:00.000Z 1", nil},
	} {
		t.Run(test.query, func(t *testing.T) {
			before := len(b.Lines(command("BATCH")))
			b.Send("CHATHISTORY %s", test.query)
			batch := b.AwaitCount("batch", before+2, command("BATCH"))[before]
			id := batch.Params[0][1:]
			lines := b.Lines(func(m ircmsg.Message) bool { return tag(m, "batch") == id })
			if got := Texts(lines); !slices.Equal(got, test.want) {
				t.Errorf("got %q, want %q", got, test.want)
			}
			for _, m := range lines {
				if !slices.Contains(ids, tag(m, "msgid")) || tag(m, "time") == "" {
					t.Errorf("got tags %v, want those of the original", m.AllTags())
				}
			}
		})
	}
	for _, bad := range []string{"LATEST #c *", "AFTER #c msgid=unknown 5", "SOME #c * 5", "LATEST #c * x", "AFTER #c time=x 5"} {
		before := len(b.Lines(command("FAIL")))
		b.Send("CHATHISTORY %s", bad)
		b.AwaitCount("FAIL for "+bad, before+1, command("FAIL"))
	}
	b.Send("CAP REQ draft/event-playback")
	b.Send("CHATHISTORY LATEST #c * 3")
	b.Await("PART in the history", func(m ircmsg.Message) bool { return m.Command == "PART" && m.HasTag("batch") })
}

func TestIRCv3Multiline(t *testing.T) {
	s := StartIRCv3(t, IRCv3Options{})
	a, b := DialIRC(t, s.Address, "a", modern...), DialIRC(t, s.Address, "b")
	a.Join("#c")
	b.Join("#c")
	a.Send("@label=x BATCH +1 draft/multiline #c")
	a.Send("@batch=1 PRIVMSG #c hello")
	a.Send("@batch=1 PRIVMSG #c :")
	a.Send("@batch=1 PRIVMSG #c :how is ")
	a.Send("@batch=1;draft/multiline-concat PRIVMSG #c :everyone?")
	a.Send("BATCH -1")
	if got, want := Texts(b.AwaitCount("lines", 3, Said("#c", "a"))), []string{"hello", "how is ", "everyone?"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	open := a.Await("echo", func(m ircmsg.Message) bool { return m.Command == "BATCH" && m.Params[0][0] == '+' })
	if tag(open, "label") != "x" || tag(open, "msgid") == "" || open.Params[1] != "draft/multiline" {
		t.Errorf("got %v %v, want a labelled draft/multiline", open.Params, open.AllTags())
	}
	if got := len(a.AwaitCount("lines of the echo", 4, Said("#c", "a"))); got != 4 {
		t.Errorf("got %d lines of the echo, want 4", got)
	}
	for _, test := range []struct{ code, lines string }{
		{"MULTILINE_INVALID_TARGET", "PRIVMSG #d x"},
		{"MULTILINE_INVALID", "PRIVMSG #c :"},
		{"MULTILINE_INVALID", "TOPIC #c :x"},
	} {
		before := len(a.Lines(command("FAIL")))
		a.Send("BATCH +2 draft/multiline #c")
		a.Send("@batch=2 %s", test.lines)
		a.Send("BATCH -2")
		if got := a.AwaitCount(test.code, before+1, command("FAIL"))[before]; got.Params[1] != test.code {
			t.Errorf("%s: got %v, want %s", test.lines, got.Params, test.code)
		}
	}
}

func TestIRCv3Redaction(t *testing.T) {
	s := StartIRCv3(t, IRCv3Options{})
	op, a := DialIRC(t, s.Address, "op", modern...), DialIRC(t, s.Address, "a", modern...)
	op.Join("#c")
	a.Join("#c")
	op.Say("#c", "by the operator")
	id := tag(a.Await("line", Said("#c", "op")), "msgid")
	a.Send("REDACT #c %s", id)
	a.Await("no right", func(m ircmsg.Message) bool { return m.Command == "FAIL" && m.Params[1] == "REDACT_FORBIDDEN" })
	op.Send("REDACT #c %s :wrong", id)
	if got := a.AwaitCommand("REDACT", "op", "#c"); !slices.Equal(got.Params, []string{"#c", id, "wrong"}) {
		t.Errorf("got %v", got.Params)
	}
}

func TestIRCv3Netsplit(t *testing.T) {
	s := StartIRCv3(t, IRCv3Options{})
	near, far := DialIRC(t, s.Address, "near", modern...), DialIRC(t, s.FarAddress, "far", modern...)
	near.Join("#c")
	far.Join("#c")
	s.Split()
	quit := near.AwaitCommand("QUIT", "far", "")
	open := near.Await("batch", func(m ircmsg.Message) bool { return m.Command == "BATCH" && m.Params[0] == "+"+tag(quit, "batch") })
	if open.Params[1] != "netsplit" || quit.Params[0] != "irc.test far.irc.test" {
		t.Errorf("got %v in %v", quit.Params, open.Params)
	}
	far.AwaitCommand("QUIT", "near", "")
	far.Say("#c", "does anybody hear me?")
	far.Await("echo", Said("#c", "far"))
	s.Heal()
	near.Await("JOIN in a batch", func(m ircmsg.Message) bool { return m.Command == "JOIN" && m.Nick() == "far" && m.HasTag("batch") })
	if count := len(near.Lines(Said("#c", "far"))); count != 0 {
		t.Errorf("got %d lines from the other side, want none", count)
	}
	far.Say("#c", "again")
	near.Await("line", Said("#c", "far"))
}

func TestIRCv3Faults(t *testing.T) {
	s := StartIRCv3(t, IRCv3Options{Throttle: 7, ThrottleWindow: time.Hour})
	watch := DialIRC(t, s.Address, "watch", modern...)
	watch.Join("#c")
	for _, test := range []struct {
		nick, want string
		fault      func(nick string)
		tells      string // command to the victim
	}{
		{"dropped", "Connection reset by peer", func(nick string) { s.Drop(nick) }, ""},
		{"killed", "Killed (oper (spam))", func(nick string) { s.Kill(nick, "spam") }, "KILL"},
		{"collided", "Nickname collision", s.Collide, "436"},
		{"banned", "K-Lined", func(nick string) { s.KLine(nick+"@*", "spam") }, "465"},
	} {
		victim := DialIRC(t, s.Address, test.nick, modern...)
		victim.Join("#c")
		test.fault(test.nick)
		if quit := watch.AwaitCommand("QUIT", test.nick, ""); quit.Params[0] != test.want {
			t.Errorf("%s: got %q, want %q", test.nick, quit.Params[0], test.want)
		}
		if test.tells != "" {
			victim.Await(test.tells, command(test.tells))
			victim.Await("ERROR", command("ERROR"))
		}
	}
	s.SetHost("watch", "u", "cloak.test")
	watch.Await("CHGHOST", func(m ircmsg.Message) bool { return m.Command == "CHGHOST" && m.Params[1] == "cloak.test" })
	s.Delay(20 * time.Millisecond)
	began := time.Now()
	watch.Send("PING late")
	watch.Await("PONG", command("PONG"))
	if took := time.Since(began); took < 20*time.Millisecond {
		t.Errorf("got an answer after %v, want it delayed", took)
	}
	s.Stop()
	s.Start()
	DialIRC(t, s.Address, "sixth")
	DialIRC(t, s.Address, "seventh")
	last := rawIRC(t, s.Address)
	last.Await("throttle", func(m ircmsg.Message) bool { return m.Command == "ERROR" && strings.Contains(m.Params[0], "too fast") })
}

func TestIRCv3SASL(t *testing.T) {
	s := StartIRCv3(t, IRCv3Options{Accounts: map[string]string{"alice": "secret"}})
	c := rawIRC(t, s.Address)
	c.Send("CAP REQ :sasl account-tag extended-join message-tags")
	c.Send("AUTHENTICATE PLAIN")
	c.Await("+", command("AUTHENTICATE"))
	c.Send("AUTHENTICATE AGFsaWNlAHdyb25n") // \0alice\0wrong
	c.Await("failure", command("904"))
	c.Send("AUTHENTICATE PLAIN")
	c.AwaitCount("+", 2, command("AUTHENTICATE"))
	c.Send("AUTHENTICATE AGFsaWNlAHNlY3JldA==") // \0alice\0secret
	c.Await("success", command("903"))
	c.Send("NICK al")
	c.Send("USER al 0 * :Alice")
	c.Send("CAP END")
	c.Await("welcome", command("001"))
	c.Join("#c")
	if join := c.AwaitCommand("JOIN", "al", "#c"); !slices.Equal(join.Params, []string{"#c", "alice", "Alice"}) || tag(join, "account") != "alice" {
		t.Errorf("got %v %v", join.Params, join.AllTags())
	}
}

// TestIRCv3SCRAM speaks RFC 7677 with the server, which proves itself too.
func TestIRCv3SCRAM(t *testing.T) {
	s := StartIRCv3(t, IRCv3Options{Accounts: map[string]string{"user": "pencil"}})
	for _, test := range []struct{ password, want string }{{"pencil", "903"}, {"crayon", "904"}} {
		c := rawIRC(t, s.Address)
		answer := func(text string) { c.Send("AUTHENTICATE %s", base64.StdEncoding.EncodeToString([]byte(text))) }
		challenge := func(count int) string {
			m := c.AwaitCount("challenge", count, command("AUTHENTICATE"))[count-1]
			text, _ := base64.StdEncoding.DecodeString(m.Params[0])
			return string(text)
		}
		c.Send("CAP REQ sasl")
		c.Send("AUTHENTICATE SCRAM-SHA-256")
		c.AwaitCount("+", 1, command("AUTHENTICATE"))
		answer("n,,n=user,r=clientnonce")
		first := challenge(2)
		attributes := scramAttributes(first)
		salt, _ := base64.StdEncoding.DecodeString(attributes["s"])
		salted, err := pbkdf2.Key(sha256.New, test.password, salt, v3Iterations, sha256.Size)
		if err != nil {
			t.Fatal(err)
		}
		final := "c=biws,r=" + attributes["r"]
		auth := "n=user,r=clientnonce," + first + "," + final
		proof := hmacSHA256(salted, "Client Key")
		stored := sha256.Sum256(proof)
		for i, b := range hmacSHA256(stored[:], auth) {
			proof[i] ^= b
		}
		answer(final + ",p=" + base64.StdEncoding.EncodeToString(proof))
		if test.want == "903" {
			want := "v=" + base64.StdEncoding.EncodeToString(hmacSHA256(hmacSHA256(salted, "Server Key"), auth))
			if got := challenge(3); got != want {
				t.Errorf("got %q, want the server's signature %q", got, want)
			}
			c.Send("AUTHENTICATE +")
		}
		c.Await(test.want, command(test.want))
	}
}
