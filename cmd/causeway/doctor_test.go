package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"causeway/homeserver/notify"
	"causeway/homeserver/room"
	"causeway/homeserver/store"

	"maunium.net/go/mautrix/id"
)

// The doctor examines the database while the server runs and when it does not, and its exit code says what it found.
func TestDoctor(t *testing.T) {
	cfg, config := installed(t)
	doctor := func(args ...string) (code int, stdout, stderr string) {
		return runIn(t, "", append([]string{"--config", config, "doctor"}, args...)...)
	}
	if code, _, stderr := doctor(); code != exitUsage || !strings.Contains(stderr, "causeway.db is not there") {
		t.Errorf("without a database: %d, %q", code, stderr)
	}
	if code, _, stderr := doctor("--rooms", "few"); code != exitUsage || !strings.Contains(stderr, `--rooms is "few"`) {
		t.Errorf("with a wrong number of rooms: %d, %q", code, stderr)
	}
	db, roomID := withRoom(t, cfg)
	code, stdout, stderr := doctor()
	for _, want := range []string{"Database of localhost on SQLite", string(roomID), "Verified 1 rooms", "Nothing is wrong."} {
		if code != exitOK || !strings.Contains(stdout, want) || stderr != "" {
			t.Errorf("beside a server: %d, %q, %q; want %q", code, stdout, stderr, want)
		}
	}
	if code, stdout, _ := doctor("--quick", "--rooms", "all"); code != exitOK || !strings.Contains(stdout, string(roomID)) || strings.Contains(stdout, "Verified") {
		t.Errorf("quick: %d, %q", code, stdout)
	}
	if code, stdout, _ := doctor("--quick", "--rooms", "0"); code != exitOK || strings.Contains(stdout, string(roomID)) {
		t.Errorf("without rooms: %d, %q", code, stdout)
	}
	err := db.Write(t.Context(), func(tx *store.Tx) error { _, err := tx.Exec(`DELETE FROM extremities`); return err })
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}

	code, stdout, stderr = doctor("--json")
	var report struct {
		Verified bool
		Faults   []struct {
			Kind     string
			Count    int
			Examples []struct {
				RoomID id.RoomID `json:"room_id"`
			}
		}
	}
	if err := json.Unmarshal([]byte(stdout), &report); err != nil {
		t.Fatalf("%v in %s", err, stdout)
	}
	if code != exitFailure || stderr != "causeway: the database has faults\n" || !report.Verified || len(report.Faults) != 1 ||
		report.Faults[0].Kind != "extremities" || report.Faults[0].Count != 1 || report.Faults[0].Examples[0].RoomID != roomID {
		t.Errorf("of a damaged database: %d, %q, %+v", code, stderr, report)
	}
	if code, stdout, _ = doctor(); code != exitFailure || !strings.Contains(stdout, "What to do: ") {
		t.Errorf("of a damaged database: %d, %q", code, stdout)
	}
}

// withRoom makes the database of a server with a room, and leaves it open.
func withRoom(t *testing.T, cfg *Config) (*store.DB, id.RoomID) {
	t.Helper()
	db, key, err := openStore(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	alice := id.NewUserID("alice", cfg.ServerName)
	rooms := room.New(room.Config{ServerName: cfg.ServerName, Key: key, DB: db, Bus: new(notify.Local)})
	roomID, err := rooms.Create(t.Context(), room.By{User: alice}, room.CreateRequest{Name: "a room"})
	if err != nil {
		t.Fatal(err)
	}
	return db, roomID
}

// A signing key that is not there is not made, and its signatures are not verified.
func TestDoctorWithoutTheSigningKey(t *testing.T) {
	cfg, config := installed(t)
	db, _, err := openStore(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	key := filepath.Join(cfg.DataDir, "signing.key")
	if err := os.Remove(key); err != nil {
		t.Fatal(err)
	}
	code, _, stderr := runIn(t, "", "--config", config, "doctor")
	if code != exitOK || !strings.Contains(stderr, "signatures are not verified") {
		t.Errorf("got %d, %q", code, stderr)
	}
	if _, err := os.Stat(key); err == nil {
		t.Error("a signing key was made")
	}
}
