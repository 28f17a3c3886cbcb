package bridgetest

import (
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// NGIRCd is a running ngircd on a loopback port.
type NGIRCd struct {
	Address string

	t    testing.TB
	conf string
	cmd  *exec.Cmd
}

// StartNGIRCd starts Debian's ngircd without flood limits, with more lines of the section [Options] if there are any. It is stopped
// at the end of the test.
func StartNGIRCd(t testing.TB, options ...string) *NGIRCd {
	t.Helper()
	if _, err := exec.LookPath("ngircd"); err != nil {
		t.Fatal("ngircd is missing; install it: apt-get install -y ngircd")
	}
	n := &NGIRCd{Address: FreeAddress(t), t: t}
	dir := t.TempDir()
	n.conf = filepath.Join(dir, "ngircd.conf")
	host, port, _ := net.SplitHostPort(n.Address)
	conf := fmt.Sprintf(`[Global]
	Name = irc.test.local
	Info = test server
	Listen = %s
	Ports = %s
	MotdPhrase = "hello"
[Limits]
	MaxConnections = 0
	MaxConnectionsIP = 0
	MaxJoins = 0
	MaxPenaltyTime = 0
	MaxNickLength = 16
[Options]
	Ident = no
	PAM = no
	DNS = no
	SyslogFacility = local1
[Operator]
	Name = oper
	Password = operpass
`, host, port)
	if len(options) > 0 {
		conf += "[Options]\n\t" + strings.Join(options, "\n\t") + "\n"
	}
	if os.Getuid() == 0 {
		// It gives up root, and then must be able to read its own configuration.
		conf += "[Global]\n\tServerUID = irc\n\tServerGID = irc\n"
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(n.conf, []byte(conf), 0o644); err != nil {
		t.Fatal(err)
	}
	n.Start()
	t.Cleanup(n.Stop)
	return n
}

// Start starts it again after Stop, on the same port.
func (n *NGIRCd) Start() {
	n.t.Helper()
	n.cmd = exec.Command("ngircd", "-n", "-f", n.conf)
	if err := n.cmd.Start(); err != nil {
		n.t.Fatal(err)
	}
	AwaitListener(n.t, n.Address)
}

// Stop kills it, so that its clients lose their connections without a word.
func (n *NGIRCd) Stop() {
	if n.cmd == nil {
		return
	}
	_ = n.cmd.Process.Kill()
	_ = n.cmd.Wait()
	n.cmd = nil
}

// FreeAddress is a loopback address nobody listens on. Its port is below those that the system gives to connections, so that
// none of these takes it meanwhile.
func FreeAddress(t testing.TB) string {
	t.Helper()
	for range 1000 {
		address := fmt.Sprintf("127.0.0.1:%d", 10000+rand.IntN(20000))
		if l, err := net.Listen("tcp", address); err == nil {
			_ = l.Close()
			return address
		}
	}
	t.Fatal("found no free port")
	return ""
}

// AwaitListener waits until somebody listens on an address.
func AwaitListener(t testing.TB, address string) {
	t.Helper()
	retry := time.NewTicker(5 * time.Millisecond)
	defer retry.Stop()
	for end := time.Now().Add(Patience); time.Now().Before(end); <-retry.C {
		if conn, err := net.Dial("tcp", address); err == nil {
			_ = conn.Close()
			return
		}
	}
	t.Fatal("nobody listens on ", address)
}
