package e2e

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// spareBytes is what a filler leaves free, for writers to fill.
	spareBytes = 1 << 20
	// refusals is how many requests have to fail before space is made again.
	refusals = 200
	// normalWrites is how many requests are acknowledged when nothing is wrong.
	normalWrites = 100
)

// TestFullDisk fills the disk under a server: it says so to those who write, goes on
// for those who read, and is whole again when there is space.
func TestFullDisk(t *testing.T) {
	tests := []struct {
		name  string
		bytes int // size of the disk
		// start makes the server with what is to be full on the disk.
		start func(t *testing.T, disk string) (*causeway, *ownPostgres)
	}{
		{"SQLite", 24 << 20, func(t *testing.T, disk string) (*causeway, *ownPostgres) {
			return startServer(t, options{database: "sqlite:" + filepath.Join(disk, "causeway.db")}), nil
		}},
		{"PostgreSQL, its tables", 64 << 20, func(t *testing.T, disk string) (*causeway, *ownPostgres) {
			p := newPostgres(t, filepath.Join(disk, "data"), "")
			return startServer(t, options{database: p.url()}), p
		}},
		{"PostgreSQL, its log", 24 << 20, func(t *testing.T, disk string) (*causeway, *ownPostgres) {
			p := newPostgres(t, "", filepath.Join(disk, "log"))
			return startServer(t, options{database: p.url()}), p
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			d := &disk{t: t, dir: mountDisk(t, test.bytes)}
			d.server, d.postgres = test.start(t, d.dir)
			d.load = newLoad(t, d.server, 1)
			d.writeNormally()

			d.fill()
			d.checkFull()
			d.empty()
			d.checkWhole()

			// The same once more, and the server dies while the disk is full.
			d.fill()
			d.server.kill()
			if d.server.launch(); d.comesUp() {
				d.checkReads()
				d.server.kill()
			}
			d.empty()
			d.server.start()
			d.checkWhole()
			d.server.kill()
			d.server.doctor(t)
		})
	}
}

// disk is a small file system, and the server that has its data on it.
type disk struct {
	*load
	t        *testing.T
	dir      string
	server   *causeway
	postgres *ownPostgres // nil on SQLite
}

// mountDisk mounts a file system of that many bytes for the length of the test.
func mountDisk(t *testing.T, bytes int) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "causeway-e2e-disk-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.Remove(dir) })
	err = unix.Mount("tmpfs", dir, "tmpfs", 0, "mode=0755,size="+strconv.Itoa(bytes))
	if errors.Is(err, unix.EPERM) {
		t.Skip("only root may mount a tmpfs, the small disk of this test")
	}
	if err != nil {
		t.Fatalf("mount a tmpfs: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Errorf("unmount %s: %v", dir, err)
		}
	})
	return dir
}

func (d *disk) filler() string { return filepath.Join(d.dir, "filler") }

// free is how many bytes fit on the disk still.
func (d *disk) free() int64 {
	d.t.Helper()
	var s unix.Statfs_t
	if err := unix.Statfs(d.dir, &s); err != nil {
		d.t.Fatal(err)
	}
	return int64(s.Bavail) * s.Bsize
}

// fill makes a file that leaves little, and lets people write until they cannot.
func (d *disk) fill() {
	d.t.Helper()
	if size := d.free() - spareBytes; size > 0 {
		if err := os.WriteFile(d.filler(), make([]byte, size), 0o600); err != nil {
			d.t.Fatal(err)
		}
	}
	r := d.begin(d.t, true)
	defer r.end()
	r.await(d.t, "requests refused", &r.failed, refusals)
	d.t.Logf("%d requests were acknowledged before and while the disk was full, %d failed; %d bytes are free",
		r.acked.Load(), r.failed.Load(), d.free())
}

// empty makes space. PostgreSQL ends itself when it cannot write its log: then
// someone starts it again, as a service manager would.
func (d *disk) empty() {
	d.t.Helper()
	if err := os.Remove(d.filler()); err != nil {
		d.t.Fatal(err)
	}
	if d.postgres != nil && (!d.postgres.server.running() || !d.postgres.answers()) {
		d.t.Logf("PostgreSQL has ended")
		d.postgres.server.kill()
		d.postgres.start()
	}
}

// checkFull checks that a server whose disk is full is still there.
func (d *disk) checkFull() {
	d.t.Helper()
	if !d.server.running() {
		d.t.Fatal("the server has ended")
	}
	d.checkReads()
	d.checkRefusal()
}

// checkReads reads what needs no space. Without its database nothing can be read.
func (d *disk) checkReads() {
	d.t.Helper()
	d.server.awaitServing()
	if d.postgres != nil && !d.postgres.answers() {
		d.t.Logf("PostgreSQL does not answer")
		return
	}
	shared := d.keeper.places[0]
	if history := d.keeper.history(d.t, shared); len(history) == 0 {
		d.t.Error("a room has no history")
	}
	for _, path := range []string{"/_matrix/client/v3/sync", roomPath(shared, "/state"), roomPath(shared, "/joined_members")} {
		d.keeper.get(d.t, path, &json.RawMessage{})
	}
}

// checkRefusal checks how large writes are refused: small ones may find a place still, and so may those that PostgreSQL compresses to small
// ones.
func (d *disk) checkRefusal() {
	d.t.Helper()
	o := d.keeper.message(d.keeper.places[0])
	noise := make([]byte, 20_000)
	_, _ = rand.Read(noise) // never fails
	o.body["padding"] = hex.EncodeToString(noise)
	a, err := d.keeper.request(d.t.Context(), o.method, o.path, o.body)
	if err != nil {
		d.t.Fatal(err)
	}
	if a.status < http.StatusInternalServerError || a.ErrCode == "" {
		d.t.Errorf("a message for a full disk is %d %s, want 5xx and an errcode", a.status, a.raw)
	}
}

// comesUp tells whether a launched server serves; it may also end, with an error.
func (d *disk) comesUp() bool {
	d.t.Helper()
	look := time.NewTicker(10 * time.Millisecond)
	defer look.Stop()
	deadline := time.After(patience)
	for {
		if response, err := http.Get(d.server.url("/_matrix/client/versions")); err == nil {
			response.Body.Close()
			return true
		}
		select {
		case <-look.C:
		case <-d.server.exited:
			if code, output := d.server.awaitExit(d.t); code == 0 {
				d.t.Errorf("the server ended with exit code 0 on a full disk:\n%s", output)
			} else {
				d.t.Logf("the server does not start on a full disk:\n%s", d.server.output.tail())
			}
			return false
		case <-deadline:
			d.t.Fatal("the server neither serves nor ends")
		}
	}
}

// checkWhole checks that people can write again, and that nothing is missing.
func (d *disk) checkWhole() {
	d.t.Helper()
	d.audit(d.t) // makes all requests again that failed
	d.writeNormally()
	d.audit(d.t)
	if d.t.Failed() {
		d.t.FailNow()
	}
}

// writeNormally lets people write with no request refused.
func (d *disk) writeNormally() {
	d.t.Helper()
	r := d.begin(d.t, false)
	r.await(d.t, "requests acknowledged", &r.acked, normalWrites)
	r.end()
	if failed := r.failed.Load(); failed > 0 {
		d.t.Errorf("%d requests failed with space on the disk, want none", failed)
	}
}
