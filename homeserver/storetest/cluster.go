package storetest

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

// errNoPostgres tells what to install.
var errNoPostgres = errors.New("initdb is neither in PATH nor in /usr/lib/postgresql/*/bin: " +
	`install PostgreSQL ("make tools", or Debian's package postgresql), or name a cluster in ` + PostgresEnv)

// superviseCluster runs in a shell for as long as its standard input is open.
// The test process holds the other end of that pipe, and so the cluster ends
// with it, also after a panic, a time-out or kill -9, with no TestMain in the
// packages that use it. $1 is the directory with postgres, $2 the folder that
// is ours, $3 the folder to delete.
const superviseCluster = `
"$1/postgres" -D "$2/data" -k "$2" -c listen_addresses= \
	-c fsync=off -c full_page_writes=off -c max_connections=200 -c shared_buffers=32MB &
pid=$!
cat >/dev/null
kill -INT "$pid"
wait "$pid"
cd / && rm -rf "$2"
`

// startCluster makes a PostgreSQL cluster in a temporary folder, reachable only
// through a Unix socket in that folder, and returns the URL of its maintenance
// database.
func startCluster() (string, error) {
	bin, err := postgresBin()
	if err != nil {
		return "", err
	}
	dir, err := os.MkdirTemp("", "causeway-pg-")
	if err != nil {
		return "", err
	}
	attributes, err := unprivileged(dir)
	if err != nil {
		return "", err
	}
	if err := initCluster(bin, dir, attributes); err != nil {
		return "", errors.Join(err, os.RemoveAll(dir))
	}
	if err := runSupervisor(bin, dir, attributes); err != nil {
		return "", err
	}
	maintenance := (&url.URL{
		Scheme:   "postgres",
		Path:     "/postgres",
		RawQuery: url.Values{"host": {dir}, "user": {"postgres"}}.Encode(),
	}).String()
	return maintenance, awaitCluster(maintenance, filepath.Join(dir, "log"))
}

// initCluster creates the cluster's files, in the C locale as the databases.
func initCluster(bin, dir string, attributes *syscall.SysProcAttr) error {
	ctx, cancel := context.WithTimeout(context.Background(), postgresTimeout)
	defer cancel()
	initdb := exec.CommandContext(ctx, filepath.Join(bin, "initdb"), "-D", filepath.Join(dir, "data"), "-U", "postgres",
		"--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync", "--no-instructions")
	initdb.Dir = dir
	initdb.SysProcAttr = attributes
	if out, err := initdb.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w\n%s", err, out)
	}
	return nil
}

// runSupervisor starts the server under a shell that ends it with this process.
func runSupervisor(bin, dir string, attributes *syscall.SysProcAttr) error {
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		return err
	}
	defer log.Close()
	// The shell has no terminal and no pipe of "go test": a test that ends must
	// not wait for it. Its process group is its own, so that Ctrl-C reaches it
	// only through the end of this process, after the tests' own cleanup.
	cmd := exec.Command("sh", "-c", superviseCluster, "sh", bin, dir)
	cmd.Dir = "/"
	cmd.Stdout, cmd.Stderr = log, log
	supervisor := *attributes
	supervisor.Setpgid = true
	cmd.SysProcAttr = &supervisor
	alive, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	// This goroutine ends with the process. It keeps the pipe from the garbage
	// collector, which would close it.
	go func() {
		_ = cmd.Wait()
		_ = alive.Close()
	}()
	return nil
}

// awaitCluster waits until the server answers.
func awaitCluster(maintenance, logFile string) error {
	ctx, cancel := context.WithTimeout(context.Background(), postgresTimeout)
	defer cancel()
	retry := time.NewTicker(20 * time.Millisecond)
	defer retry.Stop()
	for {
		conn, err := pgx.Connect(ctx, maintenance)
		if err == nil {
			return conn.Close(ctx)
		}
		select {
		case <-retry.C:
		case <-ctx.Done():
			log, _ := os.ReadFile(logFile)
			return fmt.Errorf("PostgreSQL did not start: %w\n%s", err, log)
		}
	}
}

// postgresBin returns the folder of PostgreSQL's server programs. Debian keeps
// them out of PATH, in a folder per major version, of which the newest counts.
func postgresBin() (string, error) {
	if path, err := exec.LookPath("initdb"); err == nil {
		path, err = filepath.EvalSymlinks(path)
		return filepath.Dir(path), err
	}
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if err != nil || len(found) == 0 {
		return "", errNoPostgres
	}
	version := func(path string) int {
		n, _ := strconv.Atoi(filepath.Base(filepath.Dir(filepath.Dir(path))))
		return n
	}
	newest := slices.MaxFunc(found, func(a, b string) int { return version(a) - version(b) })
	return filepath.Dir(newest), nil
}

// unprivileged returns how to start PostgreSQL, which refuses to run as root: as
// the user whom its package created, or nobody. It gives that user the folder.
func unprivileged(dir string) (*syscall.SysProcAttr, error) {
	if os.Geteuid() != 0 {
		return &syscall.SysProcAttr{}, nil
	}
	account, err := user.Lookup("postgres")
	if err != nil {
		account, err = user.Lookup("nobody")
	}
	if err != nil {
		return nil, fmt.Errorf("PostgreSQL must not run as root: %w", err)
	}
	uid, err := strconv.ParseUint(account.Uid, 10, 32)
	if err != nil {
		return nil, fmt.Errorf("user %s: %w", account.Username, err)
	}
	gid, err := strconv.ParseUint(account.Gid, 10, 32)
	if err != nil {
		return nil, fmt.Errorf("user %s: %w", account.Username, err)
	}
	if err := os.Chown(dir, int(uid), int(gid)); err != nil {
		return nil, err
	}
	return &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}, nil
}
