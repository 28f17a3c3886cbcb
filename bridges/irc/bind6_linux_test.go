package irc

import (
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"causeway/bridges/bridgetest"
)

// namespaceEnv tells the test's binary that it runs in a network namespace of its own.
const namespaceEnv = "CAUSEWAY_TEST_NAMESPACE"

// inNamespace runs a test again in a network namespace of its own, where it may give itself addresses, and reports whether this is
// there. What the test says there is said here.
func inNamespace(t *testing.T) bool {
	t.Helper()
	if os.Getenv(namespaceEnv) != "" {
		return true
	}
	cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v", "-test.timeout=2m")
	cmd.Env = append(os.Environ(), namespaceEnv+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNET,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
		Pdeathsig:   syscall.SIGKILL,
	}
	var output strings.Builder
	cmd.Stdout, cmd.Stderr = &output, &output
	if err := cmd.Start(); err != nil {
		t.Skip("this system gives no namespaces: ", err)
	}
	err := cmd.Wait()
	if err != nil || !strings.Contains(output.String(), "--- PASS: "+t.Name()) {
		t.Errorf("in a namespace: %v\n%s", err, output.String())
	}
	return false
}

// Each person comes from an IPv6 address of their own, out of a network that is routed to this machine and whose addresses no
// interface has. After a break it is the same one.
func TestBindIPv6(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	for _, args := range []string{
		"link set lo up", "-6 addr add 2001:db8:2::1/128 dev lo nodad", "-6 route add local 2001:db8:1::/64 dev lo",
	} {
		if out, err := exec.Command("sh", "-c", "PATH=$PATH:/usr/sbin:/sbin; ip "+args).CombinedOutput(); err != nil {
			t.Fatalf("ip %s: %v: %s", args, err, out)
		}
	}
	ircd := bridgetest.NewIRCServerAt(t, "[2001:db8:2::1]:0")
	cfg := testNetwork(ircd.Address)
	cfg.Dial.Bind, cfg.Dial.FreeBind = "2001:db8:1::/64", true
	w := startNew(t, cfg)
	prefix := netip.MustParsePrefix(cfg.Dial.Bind)
	seen := map[netip.Addr]string{}
	for _, name := range []string{"alice", "bob", "carol"} {
		w.join(w.hs.User(name), "#c")
		conn := ircd.Accept()
		for range 2 {
			got, want := addrPort(conn.Remote()).Addr(), addressOf(prefix, w.hs.User(name))
			if got != want || !prefix.Contains(got) {
				t.Errorf("%s comes from %s, want %s", name, got, want)
			}
			if other, taken := seen[got]; taken && other != name {
				t.Errorf("%s and %s come from %s", name, other, got)
			}
			seen[got] = name
			conn.Close()
			conn = ircd.Accept()
		}
		conn.Welcome(name)
	}

	// Without freebind, an address has to be an interface's, and who cannot connect is told why.
	cfg.Dial.FreeBind = false
	strict := startNew(t, cfg)
	room := strict.join(strict.hs.User("dave"), "#c")
	strict.awaitNotice(room, "cannot assign requested address")

	// One address for all is such a one.
	cfg.Dial.Bind = "2001:db8:2::1"
	one := startNew(t, cfg)
	one.join(one.hs.User("dave"), "#c")
	conn := ircd.Accept()
	conn.Welcome("dave")
	if got := addrPort(conn.Remote()).Addr(); got != netip.MustParseAddr(cfg.Dial.Bind) {
		t.Errorf("dave comes from %s, want %s", got, cfg.Dial.Bind)
	}
}
