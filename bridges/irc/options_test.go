package irc

import (
	"bufio"
	"context"
	"crypto/tls"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"maunium.net/go/mautrix/bridgev2"
	"maunium.net/go/mautrix/event"

	"causeway/bridges/bridgetest"
)

// Which directories have the room of a channel that is not secret.
func TestListing(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		publish, unlisted bool
		want              rules
	}{
		{false, false, rules{join: "public", listedOn: true}},
		{true, false, openRules},
		{false, true, rules{join: "public"}},
		{true, true, rules{join: "public", listed: true}},
	} {
		secret := rules{join: "public"}
		w, conn, _, room := withModes(t, func(n *NetworkConfig) { n.Modes.Publish, n.Modes.Unlisted = test.publish, test.unlisted }, "+n", test.want)
		conn.Send(":carol!c@h MODE #c +s")
		w.awaitRules(room, secret)
	}
}

// Ranks have the levels that the configuration gives them, and so have the rules.
func TestOwnLevels(t *testing.T) {
	t.Parallel()
	w, conn, alice, room := scripted(t, func(n *NetworkConfig) {
		n.Modes.Levels = map[string]int{"o": 60, "h": 40, "v": 10, "Y": 99}
	}, "PREFIX=(Yqohv)!~@%+ CHANMODES=beI,k,l,imnpst MODES=4", "!yves ~olga @anna %hugo +vera dave")
	for nick, want := range map[string]int{"yves": 99, "olga": 95, "anna": 60, "hugo": 40, "vera": 10, "dave": 0} {
		w.awaitLevel(room, w.ghost(nick), want)
	}
	conn.Questions = true
	conn.Expect("MODE #c")
	conn.Send(":irc.test 324 alice #c +mt")
	conn.Questions = false
	w.hs.Await("rules", func() bool { return w.setting(room, "events_default") == 10 && w.setting(room, "m.room.topic") == 40 })
	for _, test := range []struct {
		level int
		want  string
	}{{10, "MODE #c +v dave"}, {59, "MODE #c +h dave"}, {60, "MODE #c +o dave"}, {12, "MODE #c -oh dave dave"}} {
		w.setLevels(alice, room, map[string]int{"dave": test.level})
		conn.Expect(test.want)
		conn.Send(":alice!alice@host.test %s", test.want)
		conn.Pong()
		w.hs.AwaitAcknowledged()
	}
}

// Whether IRC hears that somebody is away.
func TestHideAwayFromIRC(t *testing.T) {
	t.Parallel()
	for _, hide := range []bool{false, true} {
		w, conn, alice, room := scripted(t, func(n *NetworkConfig) { n.Away = AwayConfig{HideFromIRC: hide, Delay: 1} }, "", "")
		w.conn.HandlePresence(context.Background(), alice, &event.PresenceEventContent{Presence: event.PresenceUnavailable})
		if !hide {
			conn.Expect("AWAY :away")
		}
		w.conn.HandlePresence(context.Background(), alice, &event.PresenceEventContent{Presence: event.PresenceOnline})
		if !hide {
			conn.Expect("AWAY")
		}
		w.hs.Say(alice, room, "here")
		conn.Expect("PRIVMSG #c :here")
		conn.Pong()
	}
}

// Whether Matrix hears that somebody is away, or is there.
func TestHideAwayFromMatrix(t *testing.T) {
	for _, hide := range []bool{false, true} {
		cfg := quick
		cfg.Away.HideFromMatrix = hide
		n := bareNetwork(cfg)
		n.presences = presences{shown: map[string]presence{}, due: map[string]presenceDue{}, bell: make(chan struct{}, 1)}
		c := newClient(n, "@alice:hs.test")
		c.nick = "alice"
		c.sess = &session{conn: nopConn{}, done: make(chan struct{}), in: make(chan message)}
		c.apply(t, ":carol!c@h AWAY :lunch")
		if got := len(n.presences.due); got != map[bool]int{false: 1, true: 0}[hide] {
			t.Errorf("hide_from_matrix: %v: %d changes of presence are to be shown", hide, got)
		}
	}
}

// What a server says comes to the status room, as far as there is one.
func TestStatusConfig(t *testing.T) {
	t.Parallel()
	const motd, notice = "Welcome to the pond", "irc.test: the server goes down"
	for _, test := range []struct {
		cfg  StatusConfig
		want []string
	}{
		{StatusConfig{}, []string{notice}},
		{StatusConfig{MOTD: true}, []string{motd, notice}},
		{StatusConfig{Off: true}, nil},
		{StatusConfig{Off: true, MOTD: true}, nil},
	} {
		ircd := bridgetest.NewIRCServer(t)
		cfg := testNetwork(ircd.Address)
		cfg.Status = test.cfg
		w := startNew(t, cfg)
		alice := w.hs.User("alice")
		room := w.join(alice, "#c")
		conn := ircd.Accept()
		conn.Expect("CAP LS 302")
		conn.Expect("NICK alice")
		conn.Expect("USER *")
		conn.Send(":irc.test 001 alice :Welcome")
		conn.Send(":irc.test 372 alice :%s", motd)
		conn.Send(":irc.test 376 alice :End of MOTD")
		conn.Joined("alice", "#c", "carol")
		conn.Send(":irc.test NOTICE alice :the server goes down")
		conn.Handled()
		told := func() (texts []string) {
			for _, e := range w.hs.Events(func(e *bridgetest.Event) bool { return e.Type == "m.room.message" && e.Room != room }) {
				texts = append(texts, e.Text())
			}
			return texts
		}
		conn.Send(":carol!c@h PRIVMSG #c :after it")
		w.hs.AwaitText(room, "after it")
		w.hs.Await("the status room", func() bool { return len(told()) >= len(test.want) })
		if got := told(); !slices.Equal(got, test.want) {
			t.Errorf("%+v: got %q, want %q", test.cfg, got, test.want)
		}
	}
}

// Which way goes who is typing.
func TestTypingWays(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		way          string
		sends, hears bool
	}{{wayBoth, true, true}, {waySend, true, false}, {wayReceive, false, true}, {wayNone, false, false}} {
		m := startModern(t, allCaps, ContentConfig{Typing: test.way})
		m.conn.Send("@+typing=active :carol!c@host.test TAGMSG #c")
		m.heard("msgid=T1", "a word after it")
		if test.hears {
			m.hs.Await("typing", func() bool { return m.hs.Requests("PUT /_matrix/client/v3/rooms/{room}/typing/{user}") > 0 })
		} else if n := m.hs.Requests("PUT /_matrix/client/v3/rooms/{room}/typing/{user}"); n != 0 {
			t.Errorf("%s: got %d notifications on Matrix", test.way, n)
		}
		m.typeNow(true)
		if test.sends {
			m.expect("TAGMSG", "#c")
		}
		m.say("done")
	}
}

// typeNow has alice type, and returns when that is with her connection.
func (m *modern) typeNow(on bool) {
	m.t.Helper()
	c := m.world.conn
	n := c.networks["net"]
	portal, err := c.existing(context.Background(), n.ids.portal("#c"))
	if err != nil {
		m.t.Fatal(err)
	}
	login := c.br.GetCachedUserLoginByID(loginID("net", m.alice))
	err = login.Client.(*account).HandleMatrixTyping(context.Background(), &bridgev2.MatrixTyping{
		Portal: portal, IsTyping: on, Type: bridgev2.TypingTypeText,
	})
	if err != nil {
		m.t.Fatal(err)
	}
}

// How a reply begins, where the network has a tag for it and where it has none.
func TestReplyWays(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ way, caps, want string }{
		{replyQuote, allCaps, "carol: thank you"},
		{replyQuote, "", `<carol> "an answer": thank you`},
		{replyNick, allCaps, "carol: thank you"},
		{replyNick, "", "carol: thank you"},
		{wayNone, allCaps, "thank you"},
		{wayNone, "", "thank you"},
	} {
		m := startModern(t, test.caps, ContentConfig{Replies: test.way})
		tags := ""
		if test.caps != "" {
			tags = "@msgid=A1 "
		}
		m.conn.Send("%s:carol!c@host.test PRIVMSG #c :an answer", tags)
		answer := m.hs.AwaitText(m.room, "an answer")
		m.hs.Send(m.alice, m.room, "m.room.message", map[string]any{
			"msgtype": "m.text", "body": "thank you", "m.relates_to": inReplyTo(answer),
		})
		if line := m.expect("PRIVMSG", "#c", test.want); (tag(line, "+draft/reply") == "A1") != (test.caps != "") {
			t.Errorf("%s: got tags %v", test.way, line.AllTags())
		}
	}
}

// A certificate of the configuration is shown for people who have none of their own.
func TestClientCert(t *testing.T) {
	t.Parallel()
	serverPair, err := makePair()
	if err != nil {
		t.Fatal(err)
	}
	pair, err := parsePair(serverPair)
	if err != nil {
		t.Fatal(err)
	}
	text, err := makePair()
	if err != nil {
		t.Fatal(err)
	}
	want, err := parsePair(text)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "irc.pem")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, configured := range []bool{true, false} {
		l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{*pair}, ClientAuth: tls.RequestClientCert})
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		cfg := testNetwork(l.Addr().String())
		cfg.TLS, cfg.TLSInsecure = true, true
		if configured {
			cfg.Dial.ClientCert, cfg.Dial.ClientKey = file, file
		}
		w := startNew(t, cfg)
		w.join(w.hs.User("alice"), "#c")
		conn, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		_ = conn.SetDeadline(time.Now().Add(bridgetest.Patience))
		s := &tlsServer{t: t, conn: conn, lines: bufio.NewScanner(conn)}
		s.talk("CAP LS 302", "")
		shown := conn.(*tls.Conn).ConnectionState().PeerCertificates
		switch {
		case !configured && len(shown) != 0:
			t.Errorf("got %d certificates, want none", len(shown))
		case configured && (len(shown) != 1 || !slices.Equal(shown[0].Raw, want.Certificate[0])):
			t.Errorf("got %d certificates, want that of the configuration", len(shown))
		}
	}
}

// Whether a network shows who speaks as a nick.
func TestRelayMsgOff(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ option, want string }{
		{"", "RELAYMSG #relay alice/m :hello"},
		{"on", "RELAYMSG #relay alice/m :hello"},
		{"off", "PRIVMSG #relay :<alice> hello"},
	} {
		ircd := bridgetest.NewIRCServer(t)
		cfg := relayNetwork(ircd.Address)
		cfg.Relay.RelayMsg = test.option
		w := startNew(t, cfg)
		alice := w.hs.User("alice")
		room := w.join(alice, "#relay")
		conn := ircd.Accept()
		conn.Capable("matrix", "message-tags batch echo-message draft/relaymsg=/")
		conn.Joined("matrix", "#relay", "carol")
		w.hs.AwaitMembership(room, w.ghost("carol"), "join")
		w.hs.Say(alice, room, "hello")
		next(t, conn, test.want)
	}
}
