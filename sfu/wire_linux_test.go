package sfu

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// namespaceEnv tells the test's binary that it runs in a network namespace of its own.
const namespaceEnv = "CAUSEWAY_TEST_NAMESPACE"

// inNamespace runs a test again in a network namespace of its own, whose interfaces it may do to what it likes, and reports whether this is there.
// What the test says there is said here.
func inNamespace(t *testing.T) bool {
	t.Helper()
	if os.Getenv(namespaceEnv) != "" {
		return true
	}
	cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v", "-test.timeout=5m")
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
	switch text := output.String(); {
	case err == nil && strings.Contains(text, "--- SKIP: "+t.Name()):
		t.Skip("in a namespace:\n", text)
	case err != nil || !strings.Contains(text, "--- PASS: "+t.Name()):
		t.Errorf("in a namespace: %v\n%s", err, text)
	default:
		for line := range strings.Lines(text) {
			if strings.Contains(line, "wire_linux_test.go") || strings.Contains(line, "wired_linux_test.go") {
				t.Log(strings.TrimSpace(line))
			}
		}
	}
	return false
}

// Addresses of a wire: what is sent to the far one comes back to the near one, from the far one.
var (
	nearAddr = netip.MustParseAddr("10.77.0.1")
	farAddr  = netip.MustParseAddr("10.77.0.2")
)

// wire is a network interface with nothing but itself at its end: the other side of the network is the same machine. So packets go through all of
// the kernel, its queues, and tc. It has two directions by the UDP port of the server: down is what comes from it, up is the rest.
type wire struct {
	t    *testing.T
	file *os.File
	port uint16

	netem    bool                  // whether the kernel has it
	down, up atomic.Pointer[rough] // what the wire itself does in its place; nil for nothing
	dropped  atomic.Int64          // by that
}

// rough is what netem does, in its words: "loss 2% delay 20ms reorder 25% 50%".
type rough struct {
	loss, reorder, correlation float64 // in parts of 1
	delay                      time.Duration
}

func (r rough) String() string {
	text := fmt.Sprintf("loss %.2f%% delay %dms", 100*r.loss, r.delay.Milliseconds())
	if r.reorder > 0 {
		text += fmt.Sprintf(" reorder %.0f%% %.0f%%", 100*r.reorder, 100*r.correlation)
	}
	return text
}

// newWire makes the interface, or skips the test with the reason why there is none.
func newWire(t *testing.T) *wire {
	t.Helper()
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Skip("this system gives no TUN interface: ", err)
	}
	request, err := unix.NewIfreq("wire")
	if err != nil {
		t.Fatal(err)
	}
	request.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
	if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, request); err != nil {
		t.Skip("this system gives no TUN interface: ", err)
	}
	w := &wire{t: t, file: os.NewFile(uintptr(fd), "wire")}
	for _, args := range []string{"ip link set lo up", fmt.Sprintf("ip addr add %s/24 dev wire", nearAddr), "ip link set wire up txqueuelen 1000"} {
		if out, err := command(args); err != nil {
			t.Skipf("%s: %v: %s", args, err, out)
		}
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		w.carry()
	}()
	t.Cleanup(func() { _ = w.file.Close(); <-ended })
	return w
}

func command(line string) (string, error) {
	out, err := exec.Command("sh", "-c", "PATH=$PATH:/usr/sbin:/sbin; "+line).CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

// serve has the wire tell directions apart by the port of the server, each with a class of its own, to which tc hangs what it does.
func (w *wire) serve(port uint16) {
	w.t.Helper()
	w.port = port
	for _, args := range []string{
		"tc qdisc add dev wire root handle 1: htb default 2",
		"tc class add dev wire parent 1: classid 1:1 htb rate 1gbit quantum 60000",
		"tc class add dev wire parent 1: classid 1:2 htb rate 1gbit quantum 60000",
		fmt.Sprintf("tc filter add dev wire parent 1: protocol ip u32 match ip sport %d 0xffff flowid 1:1", port),
	} {
		if out, err := command(args); err != nil {
			w.t.Skipf("this system's tc cannot do this: %s: %v: %s", args, err, out)
		}
	}
}

// limit bounds what comes from the server, in bits a second, with a queue in time before packets are lost; 0 is no bound.
func (w *wire) limit(bits int, queue time.Duration) {
	w.t.Helper()
	args := "tc qdisc del dev wire parent 1:1; true"
	if bits > 0 {
		args = fmt.Sprintf("tc qdisc replace dev wire parent 1:1 handle 10: tbf rate %d burst 4kb latency %dms", bits, queue.Milliseconds())
	}
	if out, err := command(args); err != nil {
		w.t.Skipf("this system's tc cannot do this: %s: %v: %s", args, err, out)
	}
}

// impair has the wire lose, delay and reorder packets in both directions: by netem, or, where the kernel has none, by itself.
func (w *wire) impair(r rough) {
	w.t.Helper()
	w.netem = true
	for class, handle := range map[string]string{"1:1": "10:", "1:2": "20:"} {
		if out, err := command(fmt.Sprintf("tc qdisc replace dev wire parent %s handle %s netem %s limit 10000", class, handle, r)); err != nil {
			w.t.Logf("the kernel has no netem, so that the wire does it (%v: %s)", err, out)
			w.netem = false
			break
		}
	}
	if !w.netem {
		w.down.Store(&r)
		w.up.Store(&r)
	}
}

// lost is how many packets have been lost.
func (w *wire) lost() int {
	if !w.netem {
		return int(w.dropped.Load())
	}
	out, err := command("tc -s qdisc show dev wire | grep -A1 netem | grep -o 'dropped [0-9]*'")
	if err != nil {
		w.t.Fatalf("tc does not tell what was lost: %v: %s", err, out)
	}
	sum := 0
	for line := range strings.Lines(out) {
		var n int
		if _, err := fmt.Sscanf(line, "dropped %d", &n); err == nil {
			sum += n
		}
	}
	return sum
}

// carry brings packets back until the wire is closed.
func (w *wire) carry() {
	random := rand.New(rand.NewPCG(1, 2))
	var early [2]bool // whether the last packet of a direction overtook others
	b := make([]byte, 1<<16)
	for {
		n, err := w.file.Read(b)
		if err != nil {
			return
		}
		p := b[:n]
		if len(p) < 20 || p[0]>>4 != 4 {
			continue
		}
		// The other way round: checksums stay right, being sums.
		for i := range 4 {
			p[12+i], p[16+i] = p[16+i], p[12+i]
		}
		header, direction, how := int(p[0]&15)*4, 1, w.up.Load()
		if p[9] == unix.IPPROTO_UDP && len(p) >= header+8 && uint16(p[header])<<8|uint16(p[header+1]) == w.port {
			direction, how = 0, w.down.Load()
		}
		switch {
		case how == nil:
			_, _ = w.file.Write(p)
		case random.Float64() < how.loss:
			w.dropped.Add(1)
		default:
			if random.Float64() >= how.correlation {
				early[direction] = random.Float64() < how.reorder
			}
			if how.delay == 0 || early[direction] {
				_, _ = w.file.Write(p)
				continue
			}
			later := append([]byte(nil), p...)
			time.AfterFunc(how.delay, func() { _, _ = w.file.Write(later) })
		}
	}
}
