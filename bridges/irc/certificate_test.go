package irc

import (
	"bufio"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"fmt"
	"net"
	"strings"
	"testing"

	"causeway/bridges/bridgetest"
)

// A certificate that the bridge makes is shown to the server, which logs in by it; its fingerprint is what the user was told.
func TestExternal(t *testing.T) {
	t.Parallel()
	serverPair, err := makePair()
	if err != nil {
		t.Fatal(err)
	}
	pair, err := parsePair(serverPair)
	if err != nil {
		t.Fatal(err)
	}
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{*pair}, ClientAuth: tls.RequestClientCert})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	cfg := testNetwork(l.Addr().String())
	cfg.TLS, cfg.TLSInsecure = true, true
	log := &bridgetest.Recorder{}
	w := startLogged(t, cfg, log)
	alice := w.hs.User("alice")
	w.manage(alice)
	w.hs.Say(alice, dm, "login certificate net - -")
	told := w.awaitText(dm, "The fingerprint of your certificate is").Text()
	w.join(alice, "#c")

	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.(*tls.Conn).HandshakeContext(context.Background()); err != nil {
		t.Fatal(err)
	}
	shown := conn.(*tls.Conn).ConnectionState().PeerCertificates
	if len(shown) != 1 {
		t.Fatalf("got %d certificates, want one", len(shown))
	}
	if sum := sha256.Sum256(shown[0].Raw); !strings.Contains(told, hex.EncodeToString(sum[:])) {
		t.Errorf("told %q, which is not of the certificate shown", told)
	}
	if name := shown[0].Subject.String(); strings.Contains(name, "alice") {
		t.Errorf("the certificate tells who it is for: %s", name)
	}
	s := &tlsServer{t: t, conn: conn, lines: bufio.NewScanner(conn)}
	s.talk(
		"CAP LS 302", "", "NICK alice", "", "USER alice 0 * @alice:hs.test", ":s CAP * LS :sasl=EXTERNAL,PLAIN",
		"CAP REQ sasl", ":s CAP * ACK :sasl", "AUTHENTICATE EXTERNAL", "AUTHENTICATE +", "AUTHENTICATE +", ":s 903 alice :ok",
		"CAP END", ":s 001 alice :hi\r\n:s 376 alice :end", "JOIN #c", "",
	)
	w.hs.AwaitAcknowledged()
	w.stop()
	w.absent(log, "PRIVATE KEY")
}

type tlsServer struct {
	t     *testing.T
	conn  net.Conn
	lines *bufio.Scanner
}

// talk expects each first line and answers with the second, if there is one.
func (s *tlsServer) talk(lines ...string) {
	s.t.Helper()
	for i := 0; i < len(lines); i += 2 {
		if !s.lines.Scan() || s.lines.Text() != lines[i] {
			s.t.Fatalf("got line %q, want %q", s.lines.Text(), lines[i])
		}
		if lines[i+1] != "" {
			if _, err := fmt.Fprintf(s.conn, "%s\r\n", lines[i+1]); err != nil {
				s.t.Fatal(err)
			}
		}
	}
}
