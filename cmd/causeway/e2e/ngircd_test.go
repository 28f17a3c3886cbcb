package e2e

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
)

// ngircdConfig is Debian's ngircd as the tests need it: on loopback, without
// look-ups that would wait for a network, and without penalties for speed. Nicks
// have at most 9 characters, as on the oldest networks.
const ngircdConfig = `[Global]
	Name = irc.test.local
	Info = test server
	Listen = 127.0.0.1
	Ports = %s
	MotdPhrase = "hello"
[Limits]
	MaxConnections = 0
	MaxConnectionsIP = 0
	MaxJoins = 0
	MaxPenaltyTime = 0
[Options]
	Ident = no
	PAM = no
	DNS = no
[Operator]
	Name = oper
	Password = operpass
`

// ircServer is a running ngircd.
type ircServer struct {
	*process
	address string // host:port
}

// startNgircd starts Debian's IRC server on a port of its own.
func startNgircd(t *testing.T) *ircServer {
	t.Helper()
	return startNgircdAt(t, freePort(t))
}

// startNgircdAt starts the IRC server at an address, which may be that of one
// that has ended.
func startNgircdAt(t *testing.T, address string) *ircServer {
	t.Helper()
	program, err := lookInSbin("ngircd")
	if err != nil {
		t.Fatalf(`%v: install it ("make tools", or Debian's package ngircd)`, err)
	}
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	// Not t.TempDir: the user that ngircd runs as could not enter it.
	dir, err := os.MkdirTemp("", "causeway-ngircd-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	config := filepath.Join(dir, "ngircd.conf")
	if err := os.WriteFile(config, fmt.Appendf(nil, ngircdConfig, port), 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, "-n", "-f", config)
	if os.Geteuid() == 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: nobody(t)}
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	server := &ircServer{process: startProcess(t, "ngircd", cmd, nil), address: address}
	server.awaitListener(t, address)
	return server
}

// lookInSbin finds a server program. Debian keeps those where the PATH of an
// ordinary user does not lead.
func lookInSbin(name string) (string, error) {
	if path, err := exec.LookPath(name); err == nil {
		return path, nil
	}
	return exec.LookPath(filepath.Join("/usr/sbin", name))
}

// nobody is the user as which a server runs that tests started as root: a
// program that changes its user by itself would outlive a killed test.
func nobody(t *testing.T) *syscall.Credential {
	t.Helper()
	account, err := user.Lookup("nobody")
	if err != nil {
		t.Fatal(err)
	}
	uid, err := strconv.ParseUint(account.Uid, 10, 32)
	if err != nil {
		t.Fatal(err)
	}
	gid, err := strconv.ParseUint(account.Gid, 10, 32)
	if err != nil {
		t.Fatal(err)
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
}
