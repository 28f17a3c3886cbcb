package irc

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"causeway/bridges/bridgetest"
)

func TestAddressOf(t *testing.T) {
	for _, test := range []struct{ prefix, want string }{
		{"192.0.2.7", "192.0.2.7"},
		{"2001:db8:1:2::/64", "2001:db8:1:2:"},
		{"2001:db8:1:2::5/64", "2001:db8:1:2:"},
		{"2001:db8::/61", "2001:db8::"},
		{"10.1.0.0/16", "10.1."},
	} {
		prefix, err := parseBind(test.prefix)
		if err != nil {
			t.Fatal(err)
		}
		alice, again, bob := addressOf(prefix, "@alice:hs.test"), addressOf(prefix, "@alice:hs.test"), addressOf(prefix, "@bob:hs.test")
		if !prefix.Contains(alice) || !prefix.Contains(bob) || alice != again {
			t.Errorf("got %s, %s and %s out of %s", alice, again, bob, test.prefix)
		}
		if !prefix.IsSingleIP() && alice == bob {
			t.Errorf("got %s twice out of %s", alice, test.prefix)
		}
		if prefix.Bits()%8 == 0 && !strings.HasPrefix(alice.String(), test.want) {
			t.Errorf("got %s, want %s…", alice, test.want)
		}
	}
}

// Each user comes from an address of their own; all of 127.0.0.0/8 is this machine.
func TestAddressPerUser(t *testing.T) {
	ircd := bridgetest.NewIRCServer(t)
	cfg := testNetwork(ircd.Address)
	cfg.Dial.Bind, cfg.Dial.FreeBind = "127.0.0.0/8", true
	w := startNew(t, cfg)
	seen := map[netip.Addr]bool{}
	for _, name := range []string{"alice", "bob"} {
		w.join(w.hs.User(name), "#c")
		conn := ircd.Accept()
		conn.Welcome(name)
		seen[addrPort(conn.Remote()).Addr()] = true
	}
	prefix := netip.MustParsePrefix("127.0.0.0/8")
	if !seen[addressOf(prefix, w.hs.User("alice"))] || !seen[addressOf(prefix, w.hs.User("bob"))] {
		t.Errorf("got connections from %v", seen)
	}
}

// WEBIRC comes first, and its password is in no log and no room.
func TestWebIRC(t *testing.T) {
	ircd := bridgetest.NewIRCServer(t)
	cfg := testNetwork(ircd.Address)
	cfg.WebIRC = WebIRCConfig{Password: "s3cr3t-webirc", Gateway: "gate", Host: "{localpart}.users.test", Addresses: "2001:db8::/32"}
	log := &bridgetest.Recorder{}
	w := startLogged(t, cfg, log)
	room := w.join(w.hs.User("alice"), "#c")
	conn := ircd.Accept()
	address := addressOf(netip.MustParsePrefix("2001:db8::/32"), w.hs.User("alice"))
	conn.Expect("WEBIRC s3cr3t-webirc gate alice.users.test " + address.String())
	conn.Send("ERROR :Closing Link: no WEBIRC for you with s3cr3t-webirc")
	conn.Close()
	w.awaitNotice(room, "net cannot be reached at the moment")
	w.stop()
	w.absent(log, "s3cr3t-webirc")
}

// A proxy is asked for the server by name, with its own password.
func TestSOCKS5(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	got := make(chan string, 1)
	go func() {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		r := bufio.NewReader(conn)
		read := func(n int) []byte { b := make([]byte, n); _, _ = io.ReadFull(r, b); return b }
		head := read(2) // RFC 1928, section 3
		read(int(head[1]))
		_, _ = conn.Write([]byte{5, 2})
		read(1) // RFC 1929
		user := read(int(read(1)[0]))
		password := read(int(read(1)[0]))
		_, _ = conn.Write([]byte{1, 0})
		read(4)
		host := read(int(read(1)[0]))
		read(2)
		_, _ = conn.Write([]byte{5, 0, 0, 1, 0, 0, 0, 0, 0, 0})
		got <- fmt.Sprintf("%s %s %s", user, password, host)
		_, _ = io.Copy(io.Discard, conn)
	}()
	cfg := NetworkConfig{Address: "irc.test:6667", Dial: DialConfig{SOCKS5: "socks5://me:word@" + l.Addr().String()}}
	conn, err := dial(context.Background(), cfg, source{user: "@alice:hs.test"})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if text := <-got; text != "me word irc.test" {
		t.Errorf("got %q", text)
	}
	// A proxy on this machine makes no connection private.
	c := &client{net: bareNetwork(cfg)}
	if c.isPrivate(conn) {
		t.Error("got private")
	}
}

// ask asks an identd from an address.
func ask(t *testing.T, d *identd, from, question string) string {
	t.Helper()
	dialer := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
	conn, err := dialer.Dial("tcp", d.listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_, _ = io.WriteString(conn, question)
	_ = conn.SetReadDeadline(time.Now().Add(bridgetest.Patience))
	answer, _ := io.ReadAll(conn)
	return strings.TrimRight(string(answer), "\r\n")
}

func newIdentd(t *testing.T) *identd {
	t.Helper()
	d, err := startIdentd(context.Background(), IdentdConfig{Listen: "127.0.0.1:0"}, zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.close)
	return d
}

// The server at the other end of a connection hears whose it is, and nobody else.
func TestIdentd(t *testing.T) {
	d := newIdentd(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	conn, err := dial(context.Background(), NetworkConfig{Address: l.Addr().String()}, source{user: "@alice:hs.test", ident: d})
	if err != nil {
		t.Fatal(err)
	}
	ours, theirs := addrPort(conn.LocalAddr()).Port(), addrPort(conn.RemoteAddr()).Port()
	pair := fmt.Sprintf("%d , %d", ours, theirs)
	for _, test := range []struct{ name, from, question, want string }{
		{"server", "127.0.0.1", pair + "\r\n", pair + " : USERID : UNIX : alice"},
		{"no spaces", "127.0.0.1", fmt.Sprintf("%d,%d\n", ours, theirs), pair + " : USERID : UNIX : alice"},
		{"somebody else", "127.0.0.2", pair + "\r\n", pair + " : ERROR : NO-USER"},
		{"other port", "127.0.0.1", fmt.Sprintf("1 , %d\r\n", theirs), fmt.Sprintf("1 , %d : ERROR : NO-USER", theirs)},
		{"port out of range", "127.0.0.1", "65536 , 1\r\n", ""},
		{"nonsense", "127.0.0.1", "GET / HTTP/1.1\r\n\r\n", ""},
		{"long", "127.0.0.1", strings.Repeat("1", 10*maxIdentLine) + "\r\n", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := ask(t, d, test.from, test.question); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
	_ = conn.Close()
	if got, want := ask(t, d, "127.0.0.1", pair+"\r\n"), pair+" : ERROR : NO-USER"; got != want {
		t.Errorf("got %q after the end, want %q", got, want)
	}
}

// A question that comes before we know of the connection waits for it.
func TestIdentdIsEarly(t *testing.T) {
	d := newIdentd(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	end := d.begin()
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	answer := make(chan string)
	go func() {
		answer <- ask(t, d, "127.0.0.1", fmt.Sprintf("%d , %d\r\n", addrPort(conn.LocalAddr()).Port(), addrPort(conn.RemoteAddr()).Port()))
	}()
	d.add(conn, "alice")
	end()
	if got := <-answer; !strings.HasSuffix(got, "alice") {
		t.Errorf("got %q", got)
	}
}

// Who opens connections and says nothing keeps out neither others nor, for long, itself.
func TestIdentdFlood(t *testing.T) {
	d := newIdentd(t)
	var held []net.Conn
	for range 2 * maxIdentPerAddress {
		dialer := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP("127.0.0.3")}}
		conn, err := dialer.Dial("tcp", d.listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		held = append(held, conn)
	}
	if got := ask(t, d, "127.0.0.1", "1 , 2\r\n"); got != "1 , 2 : ERROR : NO-USER" {
		t.Errorf("got %q while somebody floods", got)
	}
	d.mu.Lock()
	open := d.open[netip.MustParseAddr("127.0.0.3")]
	d.mu.Unlock()
	if open > maxIdentPerAddress {
		t.Errorf("got %d open conversations with one stranger, want %d at most", open, maxIdentPerAddress)
	}
	for _, conn := range held {
		_ = conn.Close()
	}
}

func FuzzIdent(f *testing.F) {
	f.Add("6193, 23\r\n")
	f.Fuzz(func(t *testing.T, line string) {
		if ours, theirs, ok := parseIdent(line); ok && (ours == 0 || theirs == 0) {
			t.Errorf("got ports %d and %d of %q", ours, theirs, line)
		}
	})
}
