package irc

import (
	"slices"
	"strings"
	"testing"
	"time"

	"maunium.net/go/mautrix/bridgev2/status"
	"maunium.net/go/mautrix/id"
)

func TestMultilineToIRC(t *testing.T) {
	m := startModern(t, allCaps, ContentConfig{})
	e := m.hs.Say(m.alice, m.room, "one\n\n\n"+strings.Repeat("x", 600))
	open := m.next()
	if open.Command != "BATCH" || len(open.Params) != 3 || open.Params[1] != "draft/multiline" || open.Params[2] != "#c" {
		t.Fatalf("got %v", open)
	}
	ref := strings.TrimPrefix(open.Params[0], "+")
	var got []string
	for range 4 {
		line := m.next()
		concat, _ := line.GetTag(concatTag)
		if line.Command != "PRIVMSG" || tag(line, "batch") != ref || concat != (len(got) == 3) {
			t.Errorf("got line %v", line)
		}
		got = append(got, line.Params[1])
	}
	if got[0] != "one" || got[1] != "" || got[2]+got[3] != strings.Repeat("x", 600) {
		t.Errorf("got lines %q", got)
	}
	m.expect("BATCH", "-"+ref)
	m.conn.Send("@label=%s;msgid=M1 :alice!a@host.test BATCH +9 draft/multiline #c", tag(open, "label"))
	m.conn.Send("@batch=9 :alice!a@host.test PRIVMSG #c :one")
	m.conn.Send(":irc.test BATCH -9")
	m.settle()
	if reply := m.heard("msgid=C1;+reply=M1", "I see"); relation(reply, "m.in_reply_to", "event_id") != string(e.ID) {
		t.Errorf("got relation %v", reply.Content["m.relates_to"])
	}

	// More than the network takes in one is several, and a refusal is heard of.
	m.hs.Say(m.alice, m.room, strings.TrimSpace(strings.Repeat("line\n", 12)))
	batches := 0
	for lines := 0; batches < 2; {
		line := m.next()
		if line.Command == "PRIVMSG" {
			if lines++; lines > 10 && batches == 0 {
				t.Error("got more than ten lines in a batch")
			}
			continue
		}
		if label := tag(line, "label"); label != "" && batches == 1 {
			m.conn.Send("@label=%s :irc.test FAIL BATCH MULTILINE_MAX_BYTES 10 :Too long", label)
		}
		if line.Params[0][0] == '-' {
			batches++
		}
	}
	m.settle()
	m.awaitNotice(m.room, "Too long")
}

func TestMultilineFromIRC(t *testing.T) {
	m := startModern(t, allCaps, ContentConfig{})
	m.conn.Send("@msgid=B1 :carol!c@host.test BATCH +1 draft/multiline #c")
	m.conn.Send("@batch=1 :carol!c@host.test PRIVMSG #c :\x02first")
	m.conn.Send("@batch=1 :carol!c@host.test PRIVMSG #c :")
	m.conn.Send(":carol!c@host.test PRIVMSG #c :between")
	m.conn.Send("@batch=1 :carol!c@host.test PRIVMSG #c :alice: how ")
	m.conn.Send("@batch=1;draft/multiline-concat :carol!c@host.test PRIVMSG #c :are you?")
	m.conn.Send(":irc.test BATCH -1")
	e := m.hs.AwaitText(m.room, "first\n\nalice: how are you?")
	mentions, _ := e.Content["m.mentions"].(map[string]any)
	if users, _ := mentions["user_ids"].([]any); len(users) != 1 || users[0] != string(m.alice) {
		t.Errorf("got mentions %v", mentions)
	}
	if html, _ := e.Content["formatted_body"].(string); !strings.HasPrefix(html, "<strong>first</strong><br/><br/><a href=") {
		t.Errorf("got %q", html)
	}
	// What is not well-formed, or never ends, is nothing.
	m.conn.Send("@msgid=B2 :carol!c@host.test BATCH +2 draft/multiline #c")
	m.conn.Send("@batch=2 :carol!c@host.test PRIVMSG #other :x")
	m.conn.Send("@batch=2 :carol!c@host.test PRIVMSG #c :y")
	m.conn.Send(":irc.test BATCH -2")
	m.heard("msgid=C9", "last")
	if got := m.fromIRC(m.room); !slices.Equal(got, []string{"carol: between", "carol: " + e.Text(), "carol: last"}) {
		t.Errorf("got %q", got)
	}
}

// Without labels the echo of several lines is known by what it says.
func TestMultilineEchoWithoutLabel(t *testing.T) {
	m := startModern(t, "batch draft/multiline=max-bytes=4096 echo-message message-tags", ContentConfig{})
	e := m.hs.Say(m.alice, m.room, "one\ntwo")
	open := m.next()
	m.expect("PRIVMSG", "#c", "one")
	m.expect("PRIVMSG", "#c", "two")
	m.expect("BATCH", "-"+strings.TrimPrefix(open.Params[0], "+"))
	m.conn.Send("@msgid=M1 :alice!a@host.test BATCH +9 draft/multiline #c")
	m.conn.Send("@batch=9 :alice!a@host.test PRIVMSG #c :one")
	m.conn.Send("@batch=9 :alice!a@host.test PRIVMSG #c :two")
	m.conn.Send(":irc.test BATCH -9")
	m.settle()
	if reply := m.heard("msgid=C1;+reply=M1", "I see"); relation(reply, "m.in_reply_to", "event_id") != string(e.ID) {
		t.Errorf("got relation %v", reply.Content["m.relates_to"])
	}
	if got := len(m.hs.Messages(m.room, m.alice)); got != 1 {
		t.Errorf("got %d messages, want 1", got)
	}
}

// Whatever a server says about lines that are on their way, nothing of it breaks the client, and what it sends stays whole.
func FuzzTags(f *testing.F) {
	for _, seed := range []string{
		"@label=cw1;msgid=a :alice!a@h PRIVMSG #c :x\n@label=cw1 :s ACK\n:s PONG s :cw-1",
		":s BATCH +a labeled-response\n@batch=a;label=cw2 :s 404 alice #c :no\n:s BATCH -a\n:s BATCH -a",
		"@label=cw2 :s BATCH +a draft/multiline #c\n@batch=a :alice!a@h PRIVMSG #c :x\n:s BATCH -a",
		"@msgid=m :bob!b@h BATCH +b draft/multiline #c\n@batch=b :bob!b@h PRIVMSG #c :\x01ACTION\n@batch=b;draft/multiline-concat :bob!b@h PRIVMSG #c :y\n:s BATCH -b",
		"@batch=b :s BATCH +b x\n@batch=b :s BATCH +c draft/multiline\n:s BATCH\n:s BATCH +\n:s BATCH -",
		"@+reply=x;+draft/react=y :bob!b@h TAGMSG #c\n@+typing=active :bob!b@h TAGMSG #c\n:bob!b@h REDACT #c m :r",
		":s FAIL BATCH X #c :no\n:s FAIL REDACT\n@label=cw1 :s FAIL * * :\n:s 324 alice #c +c\n:o MODE #c +-c",
		":bob!b@h PRIVMSG alice :\x01PING \r\x01\n:s CAP alice DEL :message-tags batch", ":alice!a@h PRIVMSG #c :\x02one",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, input string) {
		n := bareNetwork(quick)
		n.report = func(id.UserID, status.BridgeState) {}
		ch := newChannel(&lane{net: n, name: "#c", items: make(chan item, 10), done: make(chan struct{})})
		close(ch.lane.done) // so that put never waits
		n.channels["#c"] = ch
		c := newClient(n, "@alice:hs.test")
		c.ctx = t.Context()
		c.nick, c.phase = "alice", up
		c.caps = newCaps()
		for name := range wantedCaps {
			c.caps.on[name] = name != "draft/chathistory" // for which there is no database here
		}
		c.caps.offered["draft/multiline"] = "max-bytes=100,max-lines=3"
		joinRequest{channel: "#c"}.apply(c)
		c.sess = &session{conn: nopConn{}, done: make(chan struct{}), in: make(chan message), out: make(chan parcel)}
		c.apply(t, ":alice!a@h JOIN #c\n:s 353 alice = #c :bob")
		done := 0
		for _, text := range []string{"one", "two\nthree", strings.Repeat("four ", 50)} {
			(&send{channel: "#c", verb: "PRIVMSG", lines: strings.Split(text, "\n"), done: func(error) { done++ }}).apply(c)
		}
		for len(c.urgent)+len(c.queue) > 0 {
			c.wrote(time.Now())
		}
		c.apply(t, input)
		if done+len(c.unacked) != 3 && c.sess != nil && len(c.channels) > 0 {
			t.Errorf("%d of 3 messages are done and %d are not", done, len(c.unacked))
		}
		if len(c.labels) > 6 || len(c.batches) > maxBatches {
			t.Errorf("got %d labels and %d batches", len(c.labels), len(c.batches))
		}
		for _, e := range c.queue {
			for _, line := range e.lines() {
				_, rest, tagged := strings.Cut(line, " ")
				if !tagged || line[0] != '@' {
					rest = line
				}
				if strings.ContainsAny(line, "\r\n\x00") || len(rest) > maxLineBytes-2 {
					t.Errorf("got line %q", line)
				}
			}
		}
	})
}
