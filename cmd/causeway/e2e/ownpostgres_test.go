package e2e

import (
	"context"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// ownPostgres is a PostgreSQL that belongs to one test, which may kill it and
// fill its disk.
type ownPostgres struct {
	t      *testing.T
	bin    string // the folder of its programs
	dir    string // the folder of its socket
	data   string
	owner  *syscall.SysProcAttr
	server *process
}

// newPostgres makes a cluster and starts it. data and log are the folders, not
// there yet, of its data and of its write-ahead log; "" stands for folders of its
// own choice. Segments of the log are small, so that little space is soon full.
func newPostgres(t *testing.T, data, log string) *ownPostgres {
	t.Helper()
	dir, err := os.MkdirTemp("", "causeway-e2e-pg-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	p := &ownPostgres{t: t, dir: dir, data: data, bin: postgresPrograms(t), owner: unprivileged(t)}
	if p.data == "" {
		p.data = filepath.Join(dir, "data")
	}
	if log == "" {
		log = filepath.Join(dir, "log")
	}
	for _, folder := range []string{dir, filepath.Dir(p.data), filepath.Dir(log)} {
		p.own(folder)
	}
	initdb := exec.Command(filepath.Join(p.bin, "initdb"), "-D", p.data, "--waldir", log, "--wal-segsize", "1", "-U", "postgres",
		"--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync", "--no-instructions")
	initdb.Dir, initdb.SysProcAttr = dir, p.owner
	if output, err := initdb.CombinedOutput(); err != nil {
		t.Fatalf("initdb: %v\n%s", err, output)
	}
	p.start()
	return p
}

// postgresPrograms is the folder of PostgreSQL's server programs, which Debian
// keeps out of PATH.
func postgresPrograms(t *testing.T) string {
	t.Helper()
	if path, err := exec.LookPath("initdb"); err == nil {
		if path, err = filepath.EvalSymlinks(path); err == nil {
			return filepath.Dir(path)
		}
	}
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if err != nil || len(found) == 0 {
		t.Fatal(`PostgreSQL's initdb is missing: run "make tools"`)
	}
	return filepath.Dir(found[len(found)-1])
}

// unprivileged is how to start PostgreSQL, which refuses to run as root.
func unprivileged(t *testing.T) *syscall.SysProcAttr {
	t.Helper()
	if os.Geteuid() != 0 {
		return &syscall.SysProcAttr{}
	}
	account, err := user.Lookup("postgres")
	if err != nil {
		account, err = user.Lookup("nobody")
	}
	if err != nil {
		t.Fatalf("PostgreSQL must not run as root: %v", err)
	}
	uid, err := strconv.ParseUint(account.Uid, 10, 32)
	if err != nil {
		t.Fatal(err)
	}
	gid, err := strconv.ParseUint(account.Gid, 10, 32)
	if err != nil {
		t.Fatal(err)
	}
	return &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
}

// own gives PostgreSQL's user a folder.
func (p *ownPostgres) own(folder string) {
	p.t.Helper()
	if c := p.owner.Credential; c != nil {
		if err := os.Chown(folder, int(c.Uid), int(c.Gid)); err != nil {
			p.t.Fatal(err)
		}
	}
}

// url is the database for a server under test.
func (p *ownPostgres) url() string {
	return "postgres:///postgres?user=postgres&host=" + p.dir
}

// start starts the server and returns when it answers. After a kill its first
// attempts may fail: the processes of the one before have to end.
func (p *ownPostgres) start() {
	p.t.Helper()
	deadline := time.Now().Add(patience)
	for !p.tryStart(deadline) {
		if time.Now().After(deadline) {
			p.t.Fatalf("PostgreSQL does not start:\n%s", p.server.output.tail())
		}
	}
}

// tryStart starts the server once. It returns false when it has ended again.
func (p *ownPostgres) tryStart(deadline time.Time) bool {
	p.t.Helper()
	// What is written but not synchronised survives the end of a process, and no
	// test here ends the machine. Pages may be torn by a kill, so they are logged whole.
	cmd := exec.Command(filepath.Join(p.bin, "postgres"), "-D", p.data, "-k", p.dir, "-c", "listen_addresses=",
		"-c", "fsync=off", "-c", "full_page_writes=on", "-c", "shared_buffers=16MB", "-c", "max_connections=40")
	attributes := *p.owner
	cmd.Dir, cmd.SysProcAttr = p.dir, &attributes
	server := startProcess(p.t, "PostgreSQL", cmd, nil)
	p.server = server
	p.t.Cleanup(func() {
		// Asked politely, it would wait for its clients.
		server.cmd.Process.Signal(syscall.SIGINT)
		<-server.exited
	})
	retry := time.NewTicker(10 * time.Millisecond)
	defer retry.Stop()
	for {
		if p.answers() {
			return true
		}
		select {
		case <-retry.C:
		case <-server.exited:
			return false
		}
		if time.Now().After(deadline) {
			p.t.Fatalf("PostgreSQL does not answer:\n%s", server.output.tail())
		}
	}
}

// answers tells whether a connection can be made.
func (p *ownPostgres) answers() bool {
	ctx, cancel := context.WithTimeout(p.t.Context(), time.Second)
	defer cancel()
	conn, err := pgx.Connect(ctx, p.url())
	if err != nil {
		return false
	}
	conn.Close(ctx)
	return true
}

// kill ends PostgreSQL's first process with kill -9: the others notice.
func (p *ownPostgres) kill() { p.server.kill() }
