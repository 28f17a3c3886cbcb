package main

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"causeway/homeserver"
	"causeway/homeserver/event"
	"causeway/homeserver/notify"
	"causeway/homeserver/store"

	"github.com/rs/zerolog"
	"maunium.net/go/mautrix/id"
)

func TestParsePoint(t *testing.T) {
	now := time.Date(2026, 2, 3, 4, 5, 6, 0, time.FixedZone("", 3600))
	tests := []struct {
		in      string
		eventID id.EventID
		time    time.Time
		err     string
	}{
		{in: "$abc", eventID: "$abc"},
		{in: "2026-01-31", time: time.Date(2026, 1, 31, 0, 0, 0, 0, now.Location())},
		{in: "2026-01-31T08:00:00Z", time: time.Date(2026, 1, 31, 8, 0, 0, 0, time.UTC)},
		{in: "30d", time: now.AddDate(0, 0, -30)},
		{in: "90m", time: now.Add(-90 * time.Minute)},
		{in: "", err: "--before is missing"},
		{in: "$", err: "is neither a date"},
		{in: "yesterday", err: "is neither a date"},
		{in: "-1h", err: "is neither a date"},
		{in: "2026-02-04", err: "is yet to come"},
	}
	for _, test := range tests {
		t.Run(test.in, func(t *testing.T) {
			eventID, ts, err := parsePoint(test.in, now)
			if test.err != "" {
				if err == nil || !strings.Contains(err.Error(), test.err) {
					t.Errorf("got %v, want %q", err, test.err)
				}
				return
			}
			want := int64(0)
			if !test.time.IsZero() {
				want = test.time.UnixMilli()
			}
			if err != nil || eventID != test.eventID || ts != want {
				t.Errorf("got %q, %d, %v; want %q, %d", eventID, ts, err, test.eventID, want)
			}
		})
	}
}

func TestSize(t *testing.T) {
	for bytes, want := range map[int64]string{
		0: "0 bytes", 999: "999 bytes", 1000: "1.0 kB", 1234567: "1.2 MB", 999949: "999.9 kB", 999950: "1.0 MB", 5e13: "50.0 TB",
	} {
		if got := size(bytes); got != want {
			t.Errorf("%d: got %s, want %s", bytes, got, want)
		}
	}
}

// installed makes a configuration in an empty folder.
func installed(t *testing.T) (cfg *Config, config string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "cw") // shorter than a test's own: a socket's path is short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	config = filepath.Join(dir, "causeway.yaml")
	if err := os.WriteFile(config, exampleConfig, 0o600); err != nil {
		t.Fatal(err)
	}
	if cfg, err = (&cli{configPath: config}).loadConfig(defaultsWhenMissing); err != nil {
		t.Fatal(err)
	}
	return cfg, config
}

// running has a server's control socket and database open until stop.
func running(t *testing.T, cfg *Config) (db *store.DB, roomID id.RoomID, stop func()) {
	t.Helper()
	db, key, err := openStore(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	hs := homeserver.New(homeserver.Config{ServerName: cfg.ServerName, Key: key, DB: db, Bus: new(notify.Local), Maintenance: cfg.Maintenance})
	control, err := listenControl(cfg.DataDir, orders{hs.Maintenance, hs.Accounts, nil, nil}, zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- control.run(ctx) }()
	return db, makeRoom(t, db, cfg.ServerName), func() {
		cancel()
		if err := errors.Join(<-ended, db.Close()); err != nil {
			t.Error(err)
		}
	}
}

// makeRoom stores a room of nobody's.
func makeRoom(t *testing.T, db *store.DB, server string) (roomID id.RoomID) {
	t.Helper()
	key := &event.Key{ServerName: server, KeyID: "ed25519:1", Private: ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))}
	version, err := event.LookupVersion("12")
	if err != nil {
		t.Fatal(err)
	}
	empty := ""
	pdu, err := (&event.Builder{
		Sender: id.NewUserID("nobody", server), Type: event.TypeCreate, StateKey: &empty, Content: []byte(`{"room_version":"12"}`),
		OriginServerTS: time.Now().UnixNano() / 1e6, Depth: 1,
	}).Build(version, key)
	if err != nil {
		t.Fatal(err)
	}
	err = db.Write(t.Context(), func(tx *store.Tx) error {
		roomNID, err := tx.InsertRoom(pdu.RoomID, version, false)
		if err != nil {
			return err
		}
		nid, err := tx.NextPos()
		if err != nil {
			return err
		}
		return tx.InsertEvent(&store.Event{PDU: pdu, NID: nid, RoomNID: roomNID, Pos: nid})
	})
	if err != nil {
		t.Fatal(err)
	}
	return pdu.RoomID
}

// Purges work while the server runs, and when it does not, also after it was killed.
func TestPurgeCommands(t *testing.T) {
	cfg, config := installed(t)
	purge := func(args ...string) (code int, stdout, stderr string) {
		return runIn(t, "", append(append([]string{"purge"}, args...), "--config", config)...)
	}
	socket := filepath.Join(cfg.DataDir, controlName)

	db, roomID, stop := running(t, cfg)
	if info, err := os.Stat(socket); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the socket: %v, %v; want mode 600", info, err)
	}
	code, stdout, stderr := purge("room", string(roomID))
	if want := fmt.Sprintf("purge room %s: 1 events, 0 state sets, ", roomID); code != exitOK || !strings.HasPrefix(stdout, want) {
		t.Errorf("got %d, %q, %q; want %q", code, stdout, stderr, want)
	}
	for _, test := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"room", string(roomID)}, exitFailure, "causeway: purge room " + string(roomID) + ": this server knows no room"},
		{[]string{"room", "#alias:localhost"}, exitUsage, "is an alias"},
		{[]string{"room", "room"}, exitUsage, "is not a room id"},
		{[]string{"room"}, exitUsage, "requires at least 1 arg"},
		{[]string{"history", "!x"}, exitUsage, "--before is missing"},
		{[]string{"history", "!x", "--before", "1d"}, exitFailure, "this server knows no room !x"},
		{[]string{"history", "!x", "--before", "$y"}, exitFailure, "there is no room !x here, or no event $y in its timeline"},
		{[]string{"forgotten"}, exitOK, "purge forgotten: 0 rooms, 0 events"},
		{[]string{"redacted"}, exitOK, "purge redacted: what 0 redacted events said"},
	} {
		code, stdout, stderr := purge(test.args...)
		if code != test.code || !strings.Contains(stdout+stderr, test.want) {
			t.Errorf("%s: got %d, %q, %q; want %d, %q", test.args, code, stdout, stderr, test.code, test.want)
		}
	}
	if code, _, stderr := runIn(t, "", "compact", "--config", config); code != exitFailure || !strings.Contains(stderr, "the server is running: stop it first") {
		t.Errorf("compact beside a server: %d, %q", code, stderr)
	}
	second := makeRoom(t, db, cfg.ServerName)
	stop()
	if _, err := os.Stat(socket); !os.IsNotExist(err) {
		t.Errorf("the socket after the server has stopped: %v", err)
	}

	// A socket that a killed server has left behind.
	leaveSocket(t, socket)
	if code, stdout, stderr := purge("room", string(second)); code != exitOK || !strings.Contains(stdout, "purge room "+string(second)) {
		t.Errorf("without a server: %d, %q, %q", code, stdout, stderr)
	}
	if code, stdout, stderr := runIn(t, "", "compact", "--config", config); code != exitOK || !strings.HasPrefix(stdout, "compact: the database had ") {
		t.Errorf("compact: %d, %q, %q", code, stdout, stderr)
	}
	_, _, stop = running(t, cfg) // in its place
	stop()
}

func leaveSocket(t *testing.T, path string) {
	t.Helper()
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

// Where the database is in use and nobody answers, the person is told what to do.
func TestPurgeWithoutAnAnswer(t *testing.T) {
	cfg, config := installed(t)
	db, _, err := openStore(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	code, _, stderr := runIn(t, "", "purge", "forgotten", "--config", config)
	for _, want := range []string{"the database is in use", filepath.Join(cfg.DataDir, controlName), "stop the server first"} {
		if code != exitFailure || !strings.Contains(stderr, want) {
			t.Errorf("got %d and %q, want %q in it", code, stderr, want)
		}
	}
}

// A data directory with a long path has no socket, and its server runs all the same.
func TestControlOfALongPath(t *testing.T) {
	cfg, config := installed(t)
	cfg.DataDir = filepath.Join(cfg.DataDir, strings.Repeat("long", 30))
	cfg.Database = filepath.Join(cfg.DataDir, "causeway.db")
	_, _, stop := running(t, cfg)
	if _, err := sendOrder(t.Context(), cfg.DataDir, order{Kind: orderPurgeForgotten}); !errors.Is(err, errNoServer) {
		t.Errorf("%s: %v, want errNoServer", config, err)
	}
	stop()
}

func TestOrderThatIsNone(t *testing.T) {
	cfg, _ := installed(t)
	_, _, stop := running(t, cfg)
	defer stop()
	if _, err := sendOrder(t.Context(), cfg.DataDir, order{Kind: "dance"}); err == nil || !strings.Contains(err.Error(), `no order "dance"`) {
		t.Errorf("got %v", err)
	}
	conn, err := net.Dial("unix", filepath.Join(cfg.DataDir, controlName))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "POST /order HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nConnection: close\r\n\r\n{x}")
	answer := make([]byte, 4096)
	n, _ := conn.Read(answer)
	if !strings.Contains(string(answer[:n]), "read an order") {
		t.Errorf("got %q", answer[:n])
	}
}
