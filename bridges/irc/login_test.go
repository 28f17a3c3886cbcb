package irc

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"maunium.net/go/mautrix/bridgev2"
	"maunium.net/go/mautrix/id"

	"causeway/bridges/bridgetest"
)

const dm = id.RoomID("!dm")

// manage makes a room for a user and the bot only.
func (w *world) manage(user id.UserID) {
	w.t.Helper()
	w.manageIn(dm, user)
}

func (w *world) manageIn(room id.RoomID, user id.UserID) {
	w.t.Helper()
	w.hs.SetMember(user, room, user, "join", "")
	w.hs.SetMember(user, room, w.bridge.Bot(), "invite", "")
	w.awaitText(room, "management room")
}

// awaitText waits for something that the bot says, as a notice or not.
func (w *world) awaitText(room id.RoomID, text string) *bridgetest.Event {
	w.t.Helper()
	w.t.Cleanup(func() {
		if w.t.Failed() {
			for _, e := range w.hs.Messages(room) {
				w.t.Logf("%s: %s", e.Sender, e.Text())
			}
		}
	})
	return w.hs.AwaitEvent("words "+text, func(e *bridgetest.Event) bool {
		return e.Room == room && e.Sender == w.bridge.Bot() && strings.Contains(e.Text(), text)
	})
}

// saslPlain plays the server's part of a login by PLAIN up to the credentials, which it returns.
func saslPlain(conn *bridgetest.IRCConn) string {
	conn.Expect("CAP LS 302")
	conn.Expect("NICK *")
	conn.Expect("USER *")
	conn.Send(":irc.test CAP * LS :sasl=PLAIN")
	conn.Expect("CAP REQ sasl")
	conn.Send(":irc.test CAP * ACK :sasl")
	conn.Expect("AUTHENTICATE PLAIN")
	conn.Send("AUTHENTICATE +")
	return strings.TrimPrefix(conn.Read(), "AUTHENTICATE ")
}

// acceptLogin is saslPlain on the next connection on which the client logs in. When a login was refused, it connects without one
// until it is told what to do, and gives up a connection that was on the way.
func acceptLogin(ircd *bridgetest.IRCServer) (*bridgetest.IRCConn, string) {
	for {
		conn := ircd.Accept()
		for line, ok := conn.TryRead(); ok; line, ok = conn.TryRead() {
			if word, _, _ := strings.Cut(line, " "); word != "USER" {
				continue
			}
			conn.Send(":irc.test CAP * LS :sasl=PLAIN")
			if line, ok := conn.TryRead(); ok && line == "CAP REQ sasl" {
				conn.Send(":irc.test CAP * ACK :sasl")
				conn.Expect("AUTHENTICATE PLAIN")
				conn.Send("AUTHENTICATE +")
				return conn, strings.TrimPrefix(conn.Read(), "AUTHENTICATE ")
			}
			break
		}
		conn.Close()
	}
}

func accept(conn *bridgetest.IRCConn, nick, account string) {
	conn.Send(":irc.test 900 * * %s :You are now logged in", account)
	conn.Send(":irc.test 903 * :SASL authentication successful")
	conn.Expect("CAP END")
	conn.Greet(nick)
}

const secret = "correct-horse-battery"

// A user logs in by a command, is logged in again after a restart, and their password is nowhere to be read.
func TestLoginByCommand(t *testing.T) {
	t.Parallel()
	ircd := bridgetest.NewIRCServer(t)
	log := &bridgetest.Recorder{}
	w := startLogged(t, testNetwork(ircd.Address), log)
	alice := w.hs.User("alice")
	w.manage(alice)
	room := w.join(alice, "#c")
	conn := ircd.Accept()
	conn.Welcome("alice")
	conn.Joined("alice", "#c", "")

	w.hs.Say(alice, dm, "login password net wonder al "+secret+" auto")
	for line := conn.Read(); !strings.HasPrefix(line, "QUIT"); line = conn.Read() {
	}
	conn.Close()
	conn = ircd.Accept()
	if got := saslPlain(conn); got != b64("\x00al\x00"+secret) {
		t.Errorf("got credentials %q", got)
	}
	accept(conn, "wonder", "al")
	conn.Joined("wonder", "#c", "")
	w.awaitText(dm, "Stored for net")
	w.hs.AwaitEvent("redaction of the command", func(e *bridgetest.Event) bool { return e.Room == dm && e.Type == "m.room.redaction" })

	w.hs.Say(alice, dm, "status")
	w.awaitText(dm, "connected as `wonder`, a password is stored, account `al` (auto)")
	w.hs.Say(alice, dm, "whois net wonder")
	w.awaitText(dm, "`wonder` on net is `@alice:hs.test`")

	// A wrong password is refused, and the one before stays.
	w.hs.Say(alice, dm, "login password net - al "+secret+"-not auto")
	for line := conn.Read(); !strings.HasPrefix(line, "QUIT"); line = conn.Read() {
	}
	conn.Close()
	conn = ircd.Accept()
	if got := saslPlain(conn); got != b64("\x00al\x00"+secret+"-not") {
		t.Errorf("got credentials %q", got)
	}
	conn.Send(":irc.test 904 * :SASL authentication failed for %s-not", secret)
	conn.Close()
	conn, got := acceptLogin(ircd)
	if got != b64("\x00al\x00"+secret) {
		t.Errorf("got credentials %q, want those of before", got)
	}
	accept(conn, "wonder", "al")
	conn.Joined("wonder", "#c", "")
	w.awaitText(dm, "SASL authentication failed for …; what was stored before still is")

	w.hs.Say(alice, dm, secret) // not asked for
	w.awaitText(dm, "Unknown command")
	w.hs.AwaitAcknowledged()
	w.stop()
	w.absent(log, secret)
	w = start(t, w.hs, w.dir, testNetwork(ircd.Address))
	conn = ircd.Accept()
	if got := saslPlain(conn); got != b64("\x00al\x00"+secret) {
		t.Errorf("got credentials %q after a restart", got)
	}
	accept(conn, "wonder", "al")
	conn.Joined("wonder", "#c", "")

	w.hs.Say(alice, dm, "forget-password net")
	w.awaitText(dm, "Forgotten")
	w.hs.Say(alice, dm, "nick net other")
	w.awaitText(dm, "You will be `other` on net")
	if got := w.fromIRC(room); len(got) != 0 {
		t.Errorf("got %q in the room", got)
	}
}

func TestLoginForm(t *testing.T) {
	cfg := testNetwork(bridgetest.FreeAddress(t))
	fixed := cfg
	fixed.Auth.FixedNicks = true
	w := startConfig(t, bridgetest.NewHomeserver(t, "hs.test"), t.TempDir(),
		Config{Networks: map[string]NetworkConfig{"net": cfg, "fixed": fixed}})
	w.join(w.hs.User("alice"), "#c") // it has started when it answers
	ctx := context.Background()
	user, err := w.conn.br.GetUserByMXID(ctx, w.hs.User("alice"))
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name, flow string
		input      map[string]string
		want       string
	}{
		{"network", flowNick, map[string]string{"network": "nowhere", "nick": "a"}, "there is no network"},
		{"nick with a command", flowNick, map[string]string{"network": "net", "nick": "a\r\nQUIT"}, "is no nick"},
		{"fixed", flowNick, map[string]string{"network": "fixed", "nick": "a"}, "nobody can choose"},
		{"account", flowPassword, map[string]string{"network": "net", "username": "a b", "password": "x", "mechanism": mechAuto}, "no name of an account"},
		{"no password", flowPassword, map[string]string{"network": "net", "mechanism": mechAuto}, "must have from 1"},
		{"two lines", flowPassword, map[string]string{"network": "net", "password": "x\nQUIT", "mechanism": mechAuto}, "must be one line"},
		{"long", flowPassword, map[string]string{"network": "net", "password": strings.Repeat("x", maxPassword+1), "mechanism": mechAuto}, "must have from 1"},
		{"mechanism", flowPassword, map[string]string{"network": "net", "password": "x", "mechanism": "md5"}, "must be one of"},
		{"certificate without TLS", flowCertificate, map[string]string{"network": "net"}, "not encrypted"},
	} {
		t.Run(test.name, func(t *testing.T) {
			process, err := w.conn.CreateLogin(ctx, user, test.flow)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := process.Start(ctx); err != nil {
				t.Fatal(err)
			}
			_, err = process.(bridgev2.LoginProcessUserInput).SubmitUserInput(ctx, test.input)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
	if _, err := w.conn.CreateLogin(ctx, user, "other"); !errors.Is(err, bridgev2.ErrInvalidLoginFlowID) {
		t.Errorf("got %v for an unknown flow", err)
	}
}

// What is sealed for one login opens for no other, and under no other key.
func TestVault(t *testing.T) {
	v, err := newVault(make([]byte, 32))
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := v.seal("net/@alice:hs.test", "password", secret)
	if err != nil || strings.Contains(sealed, secret) {
		t.Fatalf("got %q, %v", sealed, err)
	}
	if got, err := v.open("net/@alice:hs.test", "password", sealed); got != secret || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
	other, _ := newVault(append(make([]byte, 31), 1))
	for name, open := range map[string]func() (string, error){
		"login": func() (string, error) { return v.open("net/@bob:hs.test", "password", sealed) },
		"field": func() (string, error) { return v.open("net/@alice:hs.test", "certificate", sealed) },
		"key":   func() (string, error) { return other.open("net/@alice:hs.test", "password", sealed) },
		"cut":   func() (string, error) { return v.open("net/@alice:hs.test", "password", sealed[:10]) },
		"plain": func() (string, error) { return v.open("net/@alice:hs.test", "password", secret) },
	} {
		if got, err := open(); !errors.Is(err, errSealed) || got != "" {
			t.Errorf("got %q, %v with another %s", got, err, name)
		}
	}
}

// A login with a mistake may have a password nevertheless, and is removed like one without.
func TestMistypedLoginIsRemoved(t *testing.T) {
	t.Parallel()
	log := &bridgetest.Recorder{}
	w := startLogged(t, testNetwork(bridgetest.FreeAddress(t)), log)
	alice := w.hs.User("alice")
	w.manage(alice)
	for _, said := range []string{
		"login password net - al " + secret,
		"login password net - al " + secret + " bogus",
		"login password nett - al " + secret + " auto",
		"login pasword net - al " + secret + " auto",
		"login Password net 1bad al " + secret + " auto",
		"relogin net/" + string(alice) + " password net - al " + secret,
	} {
		e := w.hs.Say(alice, dm, said)
		w.hs.AwaitEvent("redaction of "+said, func(r *bridgetest.Event) bool {
			return r.Room == dm && r.Type == "m.room.redaction" && r.Content["redacts"] == string(e.ID)
		})
	}
	w.hs.Say(alice, dm, "login nick net 1bad")
	w.awaitText(dm, "is no nick")
	w.hs.AwaitAcknowledged()
	redactions := w.hs.Events(func(e *bridgetest.Event) bool { return e.Room == dm && e.Type == "m.room.redaction" })
	if len(redactions) != 6 {
		t.Errorf("got %d redactions, want 6", len(redactions))
	}
	w.stop()
	w.absent(log, secret)
}

// Who has their password forgotten while they log in has none afterwards, also not the one of before.
func TestForgottenWhileLoggingIn(t *testing.T) {
	t.Parallel()
	ircd := bridgetest.NewIRCServer(t)
	log := &bridgetest.Recorder{}
	w := startLogged(t, testNetwork(ircd.Address), log)
	alice := w.hs.User("alice")
	w.manage(alice)
	w.join(alice, "#c")
	conn := ircd.Accept()
	conn.Welcome("alice")
	conn.Joined("alice", "#c", "")
	for _, password := range []string{secret, secret + "-other"} {
		w.hs.Say(alice, dm, "login password net - al "+password+" auto")
		for line := conn.Read(); !strings.HasPrefix(line, "QUIT"); line = conn.Read() {
		}
		conn.Close()
		conn = ircd.Accept()
		if got := saslPlain(conn); got != b64("\x00al\x00"+password) {
			t.Errorf("got credentials %q", got)
		}
		if password == secret {
			accept(conn, "alice", "al")
			conn.Joined("alice", "#c", "")
			w.awaitText(dm, "Stored for net")
		}
	}
	w.hs.Say(alice, dm, "forget-password net")
	w.awaitText(dm, "Forgotten")
	w.awaitText(dm, "you have asked for something else meanwhile")
	login, err := w.conn.br.GetExistingUserLoginByID(w.conn.ctx, loginID("net", alice))
	if err != nil {
		t.Fatal(err)
	}
	if meta := w.conn.meta(login); meta.Password != "" || meta.Account != "" {
		t.Error("a password is stored after it was forgotten")
	}
}

// In a channel's room, nobody can log in: what they said there was read by all, and an answer without a prefix would go to IRC.
func TestNoLoginInARoom(t *testing.T) {
	t.Parallel()
	ircd := bridgetest.NewIRCServer(t)
	log := &bridgetest.Recorder{}
	w := startLogged(t, testNetwork(ircd.Address), log)
	alice := w.hs.User("alice")
	room := w.join(alice, "#c")
	conn := ircd.Accept()
	conn.Welcome("alice")
	conn.Joined("alice", "#c", "")
	said := w.hs.Say(alice, room, "!irc login password net - al "+secret+" auto")
	w.hs.AwaitEvent("redaction of the command", func(e *bridgetest.Event) bool {
		return e.Room == room && e.Type == "m.room.redaction" && e.Content["redacts"] == string(said.ID)
	})
	w.awaitText(room, "Not here, where others read it")
	w.hs.Say(alice, room, "hello")
	conn.Expect("PRIVMSG #c :hello") // and nothing before it
	conn.Pong()
	w.hs.AwaitAcknowledged()
	w.stop()
	w.absent(log, secret)
}

// What is stored opens no more when the key is another: its owner is told, and is on IRC without a login.
func TestLostKey(t *testing.T) {
	ircd := bridgetest.NewIRCServer(t)
	hs, dir := bridgetest.NewHomeserver(t, "hs.test"), t.TempDir()
	w := start(t, hs, dir, testNetwork(ircd.Address))
	alice := hs.User("alice")
	w.manage(alice)
	hs.Say(alice, dm, "login password net - al "+secret+" auto")
	w.awaitText(dm, "Stored for net")
	hs.AwaitAcknowledged()
	w.stop()
	key := filepath.Join(dir, "bridge-irc.key")
	if info, err := os.Stat(key); err != nil || info.Mode().Perm() != 0o600 || info.Size() != 32 {
		t.Fatalf("got %v, %v for the key", info, err)
	}
	if err := os.Remove(key); err != nil {
		t.Fatal(err)
	}
	w = start(t, hs, dir, testNetwork(ircd.Address))
	w.join(alice, "#c")
	conn := ircd.Accept()
	conn.Welcome("alice")
	conn.Joined("alice", "#c", "")
	w.awaitText(dm, "cannot be read any more; log in again")
}

// Somebody logs in while a connection without a login is on its way. What comes of that one says nothing of the login.
func TestLoginWhileConnecting(t *testing.T) {
	t.Parallel()
	ircd := bridgetest.NewIRCServer(t)
	w := startNew(t, testNetwork(ircd.Address))
	alice := w.hs.User("alice")
	w.manage(alice)
	w.join(alice, "#c")
	conn := ircd.Accept()
	conn.Expect("CAP LS 302")
	conn.Expect("NICK *")
	conn.Expect("USER *")
	conn.Send(":irc.test CAP * LS :sasl=PLAIN")
	conn.Expect("CAP END")
	w.hs.Say(alice, dm, "login password net wonder al "+secret+" plain")
	for line := conn.Read(); !strings.HasPrefix(line, "QUIT"); line = conn.Read() {
	}
	conn.Greet("alice")
	conn.Send(":irc.test 900 alice alice!a@h other :You are now logged in")
	conn.Close()
	conn = ircd.Accept()
	if got := saslPlain(conn); got != b64("\x00al\x00"+secret) {
		t.Errorf("got credentials %q", got)
	}
	accept(conn, "wonder", "al")
	conn.Joined("wonder", "#c", "")
	w.awaitText(dm, "Stored for net")
}
