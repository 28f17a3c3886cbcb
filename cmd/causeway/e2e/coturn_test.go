package e2e

import (
	"net"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pion/turn/v5"
)

// TestCoturn has Debian's coturn in place of the built-in server: it takes the credentials that clients get here, and no others.
func TestCoturn(t *testing.T) {
	const secret = "a-secret-of-both"
	for name, test := range map[string]struct{ ours, theirs []string }{
		"a shared secret": {[]string{"secret: " + secret}, []string{"--use-auth-secret", "--static-auth-secret=" + secret}},
		"one account":     {[]string{"username: calls", "password: word"}, []string{"--lt-cred-mech", "--user=calls:word"}},
	} {
		t.Run(name, func(t *testing.T) {
			address := startCoturn(t, test.theirs...)
			server := startServer(t, options{extra: "turn:\n  uris: [\"turn:" + address + "?transport=udp\"]\n  " + strings.Join(test.ours, "\n  ") + "\n"})
			mary := server.registerHTTP(t, "mary")
			var c struct {
				Username, Password string
				URIs               []string
			}
			server.do(t, "GET", "/_matrix/client/v3/voip/turnServer", mary, nil).decode(t, &c)
			if len(c.URIs) != 1 || c.URIs[0] != "turn:"+address+"?transport=udp" {
				t.Fatalf("the addresses are %v", c.URIs)
			}
			one, err := allocateAt(t, address, c.Username, c.Password)
			if err != nil {
				t.Fatalf("coturn refuses %s: %v", c.Username, err)
			}
			other, err := allocateAt(t, address, c.Username, c.Password)
			if err != nil {
				t.Fatal(err)
			}
			for _, way := range [][2]net.PacketConn{{one, other}, {other, one}, {one, other}} {
				if _, err := way[0].WriteTo([]byte("hello"), way[1].LocalAddr()); err != nil {
					t.Fatal(err)
				}
			}
			_ = other.SetReadDeadline(time.Now().Add(patience))
			b := make([]byte, 100)
			if n, from, err := other.ReadFrom(b); err != nil || string(b[:n]) != "hello" || from.String() != one.LocalAddr().String() {
				t.Errorf("got %q from %v, %v", b[:n], from, err)
			}
			if _, err := allocateAt(t, address, c.Username, c.Password+"x"); err == nil {
				t.Error("coturn takes any password: this test shows nothing")
			}
		})
	}
}

// startCoturn starts a TURN server on loopback, whose peers may be there, and returns its address.
func startCoturn(t *testing.T, auth ...string) string {
	t.Helper()
	address, dir := freePort(t), t.TempDir()
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	args := append([]string{
		"-n", "--listening-ip=127.0.0.1", "--relay-ip=127.0.0.1", "--listening-port=" + port, "--realm=" + serverName, "--fingerprint",
		"--min-port=30000", "--max-port=30999", "--allow-loopback-peers", "--no-cli", "--no-tls", "--no-dtls", "--log-file=stdout",
		"--pidfile=" + filepath.Join(dir, "pid"), "--userdb=" + filepath.Join(dir, "users.db"),
	}, auth...)
	startProcess(t, "coturn", exec.Command("turnserver", args...), nil).awaitListener(t, address)
	return address
}

// allocateAt has pion's client make a relay.
func allocateAt(t *testing.T, address, username, password string) (net.PacketConn, error) {
	t.Helper()
	socket, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	client, err := turn.NewClient(&turn.ClientConfig{
		STUNServerAddr: address, TURNServerAddr: address, Conn: socket, Username: username, Password: password, Realm: serverName,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close(); socket.Close() })
	if err := client.Listen(); err != nil {
		t.Fatal(err)
	}
	relay, err := client.Allocate()
	if err == nil {
		t.Cleanup(func() { relay.Close() }) // before its client, which else would keep it up for ever
	}
	return relay, err
}
