package bridgetest

import (
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"
	"testing"
)

// server is a program of others that a test runs.
type server struct {
	t    testing.TB
	path string
	dir  string // its folder, of its user
	as   *syscall.Credential
	cmd  *exec.Cmd
}

// newServer finds a program. If the test is root, it runs as another user, unless that is empty.
func newServer(t testing.TB, program, user string) *server {
	t.Helper()
	path, err := findProgram(program)
	if err != nil {
		t.Fatalf("%v: run build/tools.sh", err)
	}
	// Not t.TempDir: its parents are closed to others.
	dir, err := os.MkdirTemp("", "causeway-"+program+"-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	s := &server{t: t, path: path, dir: dir}
	if os.Getuid() == 0 && user != "" {
		s.as = credentials(t, user)
		if err := os.Chown(dir, int(s.as.Uid), int(s.as.Gid)); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// findProgram looks where Debian keeps servers, and where build/tools.sh unpacks those that Debian does not install beside
// others.
func findProgram(name string) (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	for _, path := range []string{filepath.Join(cache, "causeway", name, "usr/sbin", name), "/usr/sbin/" + name, "/usr/bin/" + name} {
		if info, err := os.Stat(path); err == nil && !info.IsDir() {
			return path, nil
		}
	}
	return exec.LookPath(name)
}

func credentials(t testing.TB, name string) *syscall.Credential {
	t.Helper()
	account, err := user.Lookup(name)
	if err != nil {
		t.Fatal(err)
	}
	uid, _ := strconv.ParseUint(account.Uid, 10, 32)
	gid, _ := strconv.ParseUint(account.Gid, 10, 32)
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
}

// file writes a file into the server's folder and returns its path.
func (s *server) file(name, content string) string {
	s.t.Helper()
	path := filepath.Join(s.dir, name)
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		s.t.Fatal(err)
	}
	return path
}

// start runs the program, which ends with the test process however that ends.
func (s *server) start(args ...string) {
	s.t.Helper()
	log, err := os.OpenFile(filepath.Join(s.dir, "output"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		s.t.Fatal(err)
	}
	s.cmd = exec.Command(s.path, args...)
	s.cmd.Dir, s.cmd.Stdout, s.cmd.Stderr = s.dir, log, log
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Credential: s.as}
	started := make(chan error)
	cmd := s.cmd
	go func() {
		// The "parent" of Pdeathsig is the thread that forked, which stays until the child is gone.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait()
		}
		close(started)
	}()
	if err := <-started; err != nil {
		s.t.Fatal(err)
	}
	ended := started
	s.t.Cleanup(func() { s.kill(ended) })
}

// kill ends it without a word, and waits until it is gone.
func (s *server) kill(ended <-chan error) {
	_ = s.cmd.Process.Kill()
	<-ended
	if output, err := os.ReadFile(filepath.Join(s.dir, "output")); err == nil && s.t.Failed() {
		s.t.Logf("%s said: %s", filepath.Base(s.path), output)
	}
}
