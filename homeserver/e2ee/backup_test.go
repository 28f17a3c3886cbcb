package e2ee

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"causeway/homeserver/store"

	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/id"
)

// plainBackups are the backups of one user as the specification tells of them, in the simplest way.
type plainBackups struct {
	newest   int
	versions map[int]*plainBackup
}

type plainBackup struct {
	algorithm, auth string
	etag            int
	keys            map[store.SessionName]plainKey
}

type plainKey struct {
	first, forwarded int64
	verified         bool
	data             string
}

func (p *plainBackups) current() int {
	if len(p.versions) == 0 {
		return 0
	}
	return slices.Max(slices.Collect(maps.Keys(p.versions)))
}

// put returns the error code, "" for none.
func (p *plainBackups) put(version int, keys map[store.SessionName]plainKey) string {
	b := p.versions[version]
	if b == nil {
		return "M_NOT_FOUND"
	}
	if version != p.current() {
		return "M_WRONG_ROOM_KEYS_VERSION"
	}
	changed := false
	for name, k := range keys {
		if old, there := b.keys[name]; there {
			keep := old.forwarded <= k.forwarded
			if old.first != k.first {
				keep = old.first < k.first
			}
			if old.verified != k.verified {
				keep = old.verified
			}
			if keep {
				continue
			}
		}
		b.keys[name], changed = k, true
	}
	if changed {
		b.etag++
	}
	return ""
}

func (p *plainBackups) remove(version int, gone func(store.SessionName) bool) string {
	b := p.versions[version]
	if b == nil {
		return "M_NOT_FOUND"
	}
	before := len(b.keys)
	maps.DeleteFunc(b.keys, func(name store.SessionName, _ plainKey) bool { return gone(name) })
	if len(b.keys) != before {
		b.etag++
	}
	return ""
}

func codeOf(err error) string {
	var e mautrix.RespError
	switch {
	case err == nil:
		return ""
	case errors.As(err, &e):
		return e.ErrCode
	}
	return err.Error()
}

// backupModel drives the service and the plain backups of two users alike.
type backupModel struct {
	*bench
	rng   *rand.Rand
	plain map[id.UserID]*plainBackups
}

func (m *backupModel) key() (BackedUpKey, plainKey) {
	k := plainKey{first: m.rng.Int64N(3), forwarded: m.rng.Int64N(3), verified: m.rng.IntN(2) == 0, data: fmt.Sprintf(`{"n":"%x"}`, m.rng.Uint32())}
	return BackedUpKey{FirstMessageIndex: &k.first, ForwardedCount: &k.forwarded, IsVerified: &k.verified, SessionData: json.RawMessage(k.data)}, k
}

func (m *backupModel) name() store.SessionName {
	return store.SessionName{RoomID: id.RoomID(fmt.Sprint("!r", m.rng.IntN(3))), SessionID: id.SessionID(fmt.Sprint("s", m.rng.IntN(4)))}
}

// step does one thing to both, and returns what it was and how it ended in each.
func (m *backupModel) step(by By) (what, got, want string) {
	ctx, p := context.Background(), m.plain[by.User]
	version := 1 + m.rng.IntN(p.newest+1)
	if m.rng.IntN(2) == 0 {
		version = p.current()
	}
	in := BackupInfo{Algorithm: fmt.Sprint("a", m.rng.IntN(2)), AuthData: json.RawMessage(fmt.Sprintf(`{"k":%d}`, m.rng.IntN(100)))}
	switch m.rng.IntN(20) {
	case 0:
		p.newest++
		p.versions[p.newest] = &plainBackup{algorithm: in.Algorithm, auth: string(in.AuthData), keys: map[store.SessionName]plainKey{}}
		created, err := m.s.CreateBackup(ctx, by, in)
		return "create", created + codeOf(err), fmt.Sprint(p.newest)
	case 1:
		b := p.versions[version]
		switch {
		case b == nil:
			want = "M_NOT_FOUND"
		case b.algorithm != in.Algorithm:
			want = "M_INVALID_PARAM"
		default:
			b.auth = string(in.AuthData)
		}
		return "change", codeOf(m.s.UpdateBackup(ctx, by, fmt.Sprint(version), in)), want
	case 2:
		if version > p.newest || version < 1 {
			want = "M_NOT_FOUND"
		}
		delete(p.versions, version)
		return "delete", codeOf(m.s.DeleteBackup(ctx, by, fmt.Sprint(version))), want
	case 3:
		_, err := m.s.DeleteBackedUp(ctx, by, fmt.Sprint(version), "", "")
		return "delete all keys", codeOf(err), p.remove(version, func(store.SessionName) bool { return true })
	case 4:
		room := m.name().RoomID
		_, err := m.s.DeleteBackedUp(ctx, by, fmt.Sprint(version), room, "")
		return "delete a room", codeOf(err), p.remove(version, func(n store.SessionName) bool { return n.RoomID == room })
	case 5, 6:
		name := m.name()
		_, err := m.s.DeleteBackedUp(ctx, by, fmt.Sprint(version), name.RoomID, name.SessionID)
		return "delete a key", codeOf(err), p.remove(version, func(n store.SessionName) bool { return n == name })
	}
	keys, rooms := map[store.SessionName]plainKey{}, map[id.RoomID]RoomBackup{}
	for range m.rng.IntN(5) {
		name := m.name()
		sent, k := m.key()
		if rooms[name.RoomID].Sessions == nil {
			rooms[name.RoomID] = RoomBackup{Sessions: map[id.SessionID]BackedUpKey{}}
		}
		rooms[name.RoomID].Sessions[name.SessionID], keys[name] = sent, k
	}
	_, err := m.s.BackUp(ctx, by, fmt.Sprint(version), RoomsBackup{Rooms: rooms})
	return "put", codeOf(err), p.put(version, keys)
}

// compare looks at all that both have of a user.
func (m *backupModel) compare(by By) error {
	ctx, p := context.Background(), m.plain[by.User]
	current, err := m.s.Backup(ctx, by.User, "")
	if want := p.current(); want == 0 && codeOf(err) != "M_NOT_FOUND" || want != 0 && current.Version != fmt.Sprint(want) {
		return fmt.Errorf("the current version is %s (%w), want %d", current.Version, err, want)
	}
	for version := 1; version <= p.newest; version++ {
		got, err := m.s.Backup(ctx, by.User, fmt.Sprint(version))
		b := p.versions[version]
		if b == nil {
			if codeOf(err) != "M_NOT_FOUND" {
				return fmt.Errorf("version %d: %w, want M_NOT_FOUND", version, err)
			}
			continue
		}
		want := Backup{BackupInfo{b.algorithm, json.RawMessage(b.auth), fmt.Sprint(version)}, BackupState{int64(len(b.keys)), fmt.Sprint(b.etag)}}
		if err != nil || !reflect.DeepEqual(got, want) {
			return fmt.Errorf("version %d is %+v (%w), want %+v", version, got, err, want)
		}
		if err := m.compareKeys(by, version, b.keys); err != nil {
			return fmt.Errorf("version %d: %w", version, err)
		}
	}
	return nil
}

func (m *backupModel) compareKeys(by By, version int, want map[store.SessionName]plainKey) error {
	var (
		out bytes.Buffer
		all RoomsBackup
	)
	if err := m.s.WriteBackedUp(context.Background(), by.User, fmt.Sprint(version), "", &out); err != nil {
		return err
	}
	if err := json.Unmarshal(out.Bytes(), &all); err != nil {
		return fmt.Errorf("%w: %s", err, out.Bytes())
	}
	got := make(map[store.SessionName]plainKey)
	for room, sessions := range all.Rooms {
		for session, k := range sessions.Sessions {
			got[store.SessionName{RoomID: room, SessionID: session}] = plainKey{*k.FirstMessageIndex, *k.ForwardedCount, *k.IsVerified, string(k.SessionData)}
		}
	}
	if !maps.Equal(got, want) {
		return fmt.Errorf("got keys %v, want %v", got, want)
	}
	return nil
}

// TestBackupModel does whatever comes to mind to backups, and compares them with plain ones after each step.
func TestBackupModel(t *testing.T) {
	const steps = 400
	each(t, func(b *bench) {
		m := &backupModel{bench: b, rng: rand.New(rand.NewPCG(7, 7)), plain: make(map[id.UserID]*plainBackups)}
		users := []By{alice, bob}
		for _, by := range users {
			m.plain[by.User] = &plainBackups{versions: make(map[int]*plainBackup)}
		}
		for i := range steps {
			by := users[m.rng.IntN(len(users))]
			what, got, want := m.step(by)
			if got != want {
				b.t.Fatalf("step %d of %s, %s: got %q, want %q", i, by.User, what, got, want)
			}
			if err := m.compare(by); err != nil {
				b.t.Fatalf("after step %d, %s: %s: %v", i, what, by.User, err)
			}
		}
		for _, by := range users {
			if err := m.compare(by); err != nil {
				b.t.Errorf("in the end: %s: %v", by.User, err)
			}
		}
		b.view(func(tx *store.Tx) error {
			orphans, err := tx.AuditOrphans(5)
			if len(orphans) > 0 {
				b.t.Errorf("the doctor finds %+v", orphans)
			}
			return err
		})
	})
}

func backUp(first, size int) BackedUpKey {
	index, verified := int64(first), false
	return BackedUpKey{&index, new(int64), &verified, json.RawMessage(`{"x":"` + strings.Repeat("x", size-len(`{"x":""}`)) + `"}`)}
}

func inRoom(sessions map[id.SessionID]BackedUpKey) RoomsBackup {
	return RoomsBackup{Rooms: map[id.RoomID]RoomBackup{"!r": {Sessions: sessions}}}
}

// TestBackupBounds puts more into backups than a user may have.
func TestBackupBounds(t *testing.T) {
	ctx := context.Background()
	each(t, func(b *bench) {
		b.s.maxBackups = store.KeyBackupTotals{Versions: 2, Keys: 5, Bytes: 500}
		create := func() error {
			_, err := b.s.CreateBackup(ctx, alice, BackupInfo{Algorithm: "a", AuthData: json.RawMessage(`{}`)})
			return err
		}
		put := func(version string, keys RoomsBackup) error {
			_, err := b.s.BackUp(ctx, alice, version, keys)
			return err
		}
		ok := func(what string, err error) {
			b.t.Helper()
			if err != nil {
				b.t.Errorf("%s: %v", what, err)
			}
		}
		ok("the first", create())
		ok("three keys", put("1", inRoom(map[id.SessionID]BackedUpKey{"a": backUp(5, 100), "b": backUp(5, 100), "c": backUp(5, 100)})))
		ok("the second", create())
		wantCode(b.t, "the third", create(), "M_TOO_LARGE")
		ok("two keys", put("2", inRoom(map[id.SessionID]BackedUpKey{"a": backUp(5, 100), "b": backUp(5, 100)})))
		wantCode(b.t, "a sixth key", put("2", inRoom(map[id.SessionID]BackedUpKey{"c": backUp(0, 10)})), "M_TOO_LARGE")
		ok("a better one in the place of one", put("2", inRoom(map[id.SessionID]BackedUpKey{"a": backUp(4, 150)})))
		ok("deleting the first", b.s.DeleteBackup(ctx, alice, "1"))
		ok("a third key", put("2", inRoom(map[id.SessionID]BackedUpKey{"c": backUp(0, 100)})))
		wantCode(b.t, "too many bytes", put("2", inRoom(map[id.SessionID]BackedUpKey{"d": backUp(0, 200)})), "M_TOO_LARGE")
		state, err := b.s.Backup(ctx, alice.User, "2")
		if ok("reading", err); state.Count != 3 || state.ETag != "3" {
			b.t.Errorf("got %+v, want 3 keys with etag 3", state.BackupState)
		}
		_, err = b.s.CreateBackup(ctx, bob, BackupInfo{Algorithm: "a", AuthData: json.RawMessage(`{}`)})
		ok("another's", err)
	})
}

// TestBackupOfDeviceThatIsGone has a request come late, when its device was signed out.
func TestBackupOfDeviceThatIsGone(t *testing.T) {
	ctx, in := context.Background(), BackupInfo{Algorithm: "a", AuthData: json.RawMessage(`{}`)}
	each(t, func(b *bench) {
		if _, err := b.s.CreateBackup(ctx, alice, in); err != nil {
			b.t.Fatal(err)
		}
		gone := alice
		gone.Device = "GONE"
		_, err := b.s.CreateBackup(ctx, gone, in)
		wantCode(b.t, "create", err, "M_UNKNOWN_TOKEN")
		wantCode(b.t, "update", b.s.UpdateBackup(ctx, gone, "1", in), "M_UNKNOWN_TOKEN")
		wantCode(b.t, "delete", b.s.DeleteBackup(ctx, gone, "1"), "M_UNKNOWN_TOKEN")
		_, err = b.s.BackUp(ctx, gone, "1", RoomsBackup{Rooms: map[id.RoomID]RoomBackup{}})
		wantCode(b.t, "put", err, "M_UNKNOWN_TOKEN")
		_, err = b.s.DeleteBackedUp(ctx, gone, "1", "", "")
		wantCode(b.t, "delete keys", err, "M_UNKNOWN_TOKEN")
	})
}

// TestLargeBackupIsDeletedByPieces deletes more keys than one transaction does.
func TestLargeBackupIsDeletedByPieces(t *testing.T) {
	const keys = 15_000
	ctx := context.Background()
	each(t, func(b *bench) {
		in := BackupInfo{Algorithm: "a", AuthData: json.RawMessage(`{}`)}
		fill := func() *store.KeyBackup {
			version, err := b.s.CreateBackup(ctx, alice, in)
			if err != nil {
				b.t.Fatal(err)
			}
			sessions := make(map[id.SessionID]BackedUpKey)
			for i := range keys {
				sessions[id.SessionID(fmt.Sprint("s", i))] = backUp(0, 10)
			}
			if _, err := b.s.BackUp(ctx, alice, version, inRoom(sessions)); err != nil {
				b.t.Fatal(err)
			}
			var found *store.KeyBackup
			b.view(func(tx *store.Tx) error {
				userNID, err := tx.LookupNID(string(alice.User))
				if err == nil {
					found, err = tx.KeyBackup(userNID, versionNumber(version))
				}
				return err
			})
			return found
		}
		left := func(backup *store.KeyBackup) int {
			var all []store.BackedUpKey
			b.view(func(tx *store.Tx) (err error) {
				all, err = tx.KeysOfBackup(backup, "", store.SessionName{}, 2*keys)
				return err
			})
			return len(all)
		}
		first := fill()
		state, err := b.s.DeleteBackedUp(ctx, alice, "1", "", "")
		if n := left(first); err != nil || n != 0 || state.Count != 0 || state.ETag != "2" {
			b.t.Errorf("all keys: %d are left (%+v), %v", n, state, err)
		}
		second := fill()
		if err := b.s.DeleteBackup(ctx, alice, "2"); err != nil || left(second) != 0 {
			b.t.Errorf("a version: %d keys are left, %v", left(second), err)
		}
		// The account goes in one transaction; what it leaves is swept.
		third := fill()
		b.write(func(tx *store.Tx) error { return tx.DeleteBackups(third.UserNID) })
		if _, err := b.s.Backup(ctx, alice.User, ""); codeOf(err) != "M_NOT_FOUND" {
			b.t.Errorf("the backup is there: %v", err)
		}
		if n := left(third); n == 0 || n >= keys {
			b.t.Errorf("one transaction leaves %d keys of %d", n, keys)
		}
		if err := b.s.SweepBackups(ctx); err != nil || left(third) != 0 {
			b.t.Errorf("%d keys are left, %v", left(third), err)
		}
		b.view(func(tx *store.Tx) error {
			orphans, err := tx.AuditOrphans(5)
			if len(orphans) > 0 {
				b.t.Errorf("the doctor finds %+v", orphans)
			}
			return err
		})
	})
}

// stopper ends a write in the middle of an answer.
type stopper struct {
	after func()
	bytes.Buffer
}

func (s *stopper) Write(p []byte) (int, error) {
	if s.after != nil {
		s.after()
		s.after = nil
	}
	return s.Buffer.Write(p)
}

// TestBackupChangesWhileItIsRead deletes a backup, or its keys, between the pages of an answer: the answer is whole or it is none.
func TestBackupChangesWhileItIsRead(t *testing.T) {
	ctx := context.Background()
	each(t, func(b *bench) {
		sessions := make(map[id.SessionID]BackedUpKey)
		for i := range backupPage + 10 {
			sessions[id.SessionID(fmt.Sprint("s", i))] = backUp(0, 10)
		}
		fill := func() {
			if _, err := b.s.CreateBackup(ctx, alice, BackupInfo{Algorithm: "a", AuthData: json.RawMessage(`{}`)}); err != nil {
				b.t.Fatal(err)
			}
			current, err := b.s.Backup(ctx, alice.User, "")
			if err == nil {
				_, err = b.s.BackUp(ctx, alice, current.Version, inRoom(sessions))
			}
			if err != nil {
				b.t.Fatal(err)
			}
		}
		fill()
		w := &stopper{after: func() {
			if _, err := b.s.DeleteBackedUp(ctx, alice, "1", "", ""); err != nil {
				b.t.Error(err)
			}
		}}
		if err := b.s.WriteBackedUp(ctx, alice.User, "1", "", w); err != nil || !json.Valid(w.Bytes()) {
			b.t.Errorf("the keys are deleted meanwhile: %v, %s", err, w.Bytes())
		}
		fill()
		w = &stopper{after: func() {
			if err := b.s.DeleteBackup(ctx, alice, "2"); err != nil {
				b.t.Error(err)
			}
		}}
		wantCode(b.t, "the backup is deleted meanwhile", b.s.WriteBackedUp(ctx, alice.User, "2", "", w), "M_NOT_FOUND")
	})
}

// FuzzBackedUpKeys reads what a client may send, and has what of it is taken written as a client gets it: it must be the same keys.
func FuzzBackedUpKeys(f *testing.F) {
	f.Add(`{"rooms":{"!r:x":{"sessions":{"s":{"first_message_index":1,"forwarded_count":0,"is_verified":true,"session_data":{"a":"\u2028<&"}}}}}}`, 1)
	f.Add(`{"rooms":{"!\"}:x":{"sessions":{"s\\":{"first_message_index":1,"forwarded_count":0,"is_verified":true,"session_data":{ }},"t":{"first_message_index":1,
		"forwarded_count":2,"is_verified":false,"session_data":{"n":1e3}}}},"!b":{"sessions":{}}}}`, 2)
	f.Fuzz(func(t *testing.T, body string, page int) {
		var in RoomsBackup
		if json.Unmarshal([]byte(body), &in) != nil {
			return
		}
		keys, err := in.check()
		if err != nil {
			return
		}
		var out bytes.Buffer
		w := backupWriter{w: &out}
		pages := slices.Collect(slices.Chunk(keys, max(1, page%5)))
		for _, some := range pages {
			if err := w.add(some, false); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.add(nil, true); err != nil {
			t.Fatal(err)
		}
		var again RoomsBackup
		if err := json.Unmarshal(out.Bytes(), &again); err != nil {
			t.Fatalf("%v: %s", err, out.Bytes())
		}
		got, err := again.check()
		if err != nil || len(got) != len(keys) {
			t.Fatalf("%d keys became %d: %v, %s", len(keys), len(got), err, out.Bytes())
		}
		for i, k := range keys {
			same := k.SessionName == got[i].SessionName && !better(k, got[i]) && !better(got[i], k)
			var a, b any
			if json.Unmarshal(k.SessionData, &a) != nil || json.Unmarshal(got[i].SessionData, &b) != nil || !same || !reflect.DeepEqual(a, b) {
				t.Errorf("%+v became %+v", k, got[i])
			}
		}
	})
}
