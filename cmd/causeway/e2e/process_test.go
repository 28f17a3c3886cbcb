package e2e

import (
	"bufio"
	"io"
	"net"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// maxOutputLine bounds one line that a program prints, in bytes.
const maxOutputLine = 4 << 20

// process is a program that a test started. It ends with the test, and with the
// test process, however that ends.
type process struct {
	name   string
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	output *journal[string] // standard output and error, by line
	exited chan struct{}    // closed when the program has ended; then exit is set
	exit   error
}

// startProcess starts a program and collects what it prints. onLine, if not nil,
// gets each line of standard output instead of the journal.
func startProcess(t *testing.T, name string, cmd *exec.Cmd, onLine func(string)) *process {
	t.Helper()
	p := &process{name: name, cmd: cmd, output: newJournal[string](), exited: make(chan struct{})}
	if onLine == nil {
		onLine = p.output.add
	}
	var err error
	if p.stdin, err = cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	started := make(chan error)
	go func() {
		// The kernel's "parent" of Pdeathsig is the thread that forked. This
		// one stays for as long as the child does.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err != nil {
			return
		}
		var readers sync.WaitGroup
		readers.Go(func() { eachLine(stdout, onLine) })
		readers.Go(func() { eachLine(stderr, p.output.add) })
		readers.Wait()
		p.exit = cmd.Wait()
		close(p.exited)
	}()
	if err := <-started; err != nil {
		t.Fatalf("start %s: %v", name, err)
	}
	t.Cleanup(func() {
		p.stop(t)
		if t.Failed() {
			t.Logf("%s, last lines:\n%s", name, p.output.tail())
		}
	})
	return p
}

func eachLine(r io.Reader, f func(string)) {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxOutputLine)
	for lines.Scan() {
		f(lines.Text())
	}
}

// kill ends the program as kill -9 does and waits until it is gone.
func (p *process) kill() {
	p.cmd.Process.Kill()
	<-p.exited
}

// stop asks the program to end, and insists when it does not.
func (p *process) stop(t *testing.T) {
	p.stdin.Close()
	p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.exited:
	case <-time.After(patience):
		t.Errorf("%s did not end after SIGTERM", p.name)
		p.kill()
	}
}

// running reports whether the program has not ended yet.
func (p *process) running() bool {
	select {
	case <-p.exited:
		return false
	default:
		return true
	}
}

// awaitExit waits for the program to end by itself and returns its exit code
// and all that it printed.
func (p *process) awaitExit(t *testing.T) (int, string) {
	t.Helper()
	select {
	case <-p.exited:
	case <-time.After(patience):
		t.Fatalf("%s is still running. Its last lines:\n%s", p.name, p.output.tail())
	}
	return p.cmd.ProcessState.ExitCode(), strings.Join(p.output.all(), "\n")
}

// freePort returns a loopback address on which nothing listens, as host:port.
func freePort(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

// awaitListener waits until the program accepts connections at the address.
func (p *process) awaitListener(t *testing.T, address string) {
	t.Helper()
	retry := time.NewTicker(10 * time.Millisecond)
	defer retry.Stop()
	deadline := time.After(patience)
	for {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			conn.Close()
			return
		}
		select {
		case <-retry.C:
		case <-p.exited:
			t.Fatalf("%s ended (%v) instead of listening:\n%s", p.name, p.exit, p.output.tail())
		case <-deadline:
			t.Fatalf("%s does not listen on %s:\n%s", p.name, address, p.output.tail())
		}
	}
}
