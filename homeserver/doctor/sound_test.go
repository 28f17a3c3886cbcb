package doctor_test

import (
	"bytes"
	"crypto/ed25519"
	"encoding/json"
	"fmt"
	"net/url"
	"path/filepath"
	"strings"
	"testing"

	"causeway/homeserver/doctor"
	"causeway/homeserver/store"
	"causeway/homeserver/storetest"
	"causeway/homeserver/testserver"
)

// place is a database with the means to open it again.
type place struct {
	db     *store.DB
	target string
}

// each runs a test on each engine.
func each(t *testing.T, test func(t *testing.T, p place)) {
	t.Helper()
	for _, engine := range []struct {
		name   string
		target func() string
	}{
		{"sqlite", func() string { return filepath.Join(t.TempDir(), "causeway.db") }},
		{"postgres", func() string { return storetest.PostgresURL(t) }},
	} {
		t.Run(engine.name, func(t *testing.T) {
			p := place{target: engine.target()}
			var err error
			if p.db, err = store.Open(t.Context(), p.target); err != nil {
				t.Fatal(err)
			}
			if _, err := p.db.Claim(t.Context(), testserver.Name); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				if err := p.db.Close(); err != nil {
					t.Error(err)
				}
			})
			test(t, p)
		})
	}
}

// keys knows the key of the test server.
func keys(server, keyID string) (ed25519.PublicKey, bool) {
	private := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	return private.Public().(ed25519.PublicKey), server == testserver.Name && keyID == "ed25519:test"
}

func examine(t *testing.T, db *store.DB) *doctor.Report {
	t.Helper()
	r, err := doctor.Run(t.Context(), db, doctor.Options{ServerName: testserver.Name, Keys: keys})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// sound fails the test for every fault of a database.
func sound(t *testing.T, db *store.DB) *doctor.Report {
	t.Helper()
	r := examine(t, db)
	for _, f := range r.Faults {
		for _, e := range f.Examples {
			t.Errorf("%s: %s", f.Kind, e)
		}
	}
	return r
}

// world is a server with people who do what there is to do.
type world struct {
	*testserver.Server
	t               *testing.T
	alice, bob, eve testserver.User
	rooms           map[string]string // by what is special about them
}

func newWorld(t *testing.T, db *store.DB) *world {
	t.Helper()
	s := testserver.New(t, db)
	w := &world{Server: s, t: t, rooms: make(map[string]string)}
	w.alice, w.bob, w.eve = s.Register("alice"), s.Register("bob"), s.Register("eve")
	return w
}

func (w *world) post(user testserver.User, path string, body any) string {
	w.t.Helper()
	return w.do("POST", user, path, body)
}

func (w *world) put(user testserver.User, path string, body any) string {
	w.t.Helper()
	return w.do("PUT", user, path, body)
}

func (w *world) do(method string, user testserver.User, path string, body any) string {
	w.t.Helper()
	var out struct {
		RoomID  string `json:"room_id"`
		EventID string `json:"event_id"`
	}
	w.OK(method, "/_matrix/client/v3"+path, user.Token, body, &out)
	return out.RoomID + out.EventID
}

type object = map[string]any

// room makes a room of a version in which much happens.
func (w *world) room(version string) string {
	w.t.Helper()
	id := w.post(w.alice, "/createRoom", object{
		"room_version": version, "preset": "public_chat", "name": "Room " + version, "room_alias_name": "v" + version, "visibility": "public",
	})
	at := "/rooms/" + id
	w.post(w.bob, at+"/join", object{})
	var said []string
	for i := range 5 {
		said = append(said, w.put(w.bob, fmt.Sprintf("%s/send/m.room.message/%d", at, i), object{"msgtype": "m.text", "body": fmt.Sprint("message ", i)}))
	}
	w.put(w.bob, at+"/redact/"+url.PathEscape(said[1])+"/r1", object{"reason": "a mistake"})
	w.put(w.alice, at+"/redact/"+url.PathEscape(said[2])+"/r2", object{})
	w.relate(at, said[3], said[4])
	topic := w.put(w.alice, at+"/state/m.room.topic/", object{"topic": "one"})
	w.put(w.alice, at+"/state/m.room.topic/", object{"topic": "two"})
	w.put(w.alice, at+"/redact/"+url.PathEscape(topic)+"/r3", object{})
	w.put(w.alice, at+"/state/m.room.topic/", object{"topic": "one"})
	w.put(w.alice, at+"/state/m.room.join_rules/", object{"join_rule": "invite"})
	w.post(w.alice, at+"/invite", object{"user_id": w.eve.ID})
	w.post(w.eve, at+"/join", object{})
	w.post(w.alice, at+"/kick", object{"user_id": w.eve.ID})
	w.post(w.eve, at+"/forget", object{})
	w.post(w.alice, at+"/ban", object{"user_id": w.eve.ID})
	w.post(w.bob, at+"/leave", object{})
	w.post(w.alice, at+"/invite", object{"user_id": w.bob.ID})
	w.rooms[version] = id
	return id
}

// live has the users of a server do things in rooms of every version, and for themselves.
func (w *world) live() {
	w.t.Helper()
	for v := 1; v <= 12; v++ {
		w.room(fmt.Sprint(v))
	}
	w.personal(w.rooms["12"])
}

// relate has events of a room relate to others: to one that is there in all ways, to one that is redacted then, and to one unknown.
func (w *world) relate(at, parent, other string) {
	w.t.Helper()
	about := func(relType, eventID string) object {
		return object{"body": "about " + relType, "m.new_content": object{}, "m.relates_to": object{"rel_type": relType, "event_id": eventID, "key": "k"}}
	}
	for i, relType := range []string{"m.thread", "m.replace", "m.reference", "m.annotation", "m.thread", "x.y"} {
		child := w.put(w.bob, fmt.Sprintf("%s/send/m.room.message/a%d", at, i), about(relType, parent))
		if i == 4 {
			w.put(w.alice, at+"/redact/"+url.PathEscape(child)+"/a", object{})
		}
	}
	w.put(w.alice, at+"/send/m.room.message/b1", about("m.thread", other))
	w.put(w.alice, at+"/redact/"+url.PathEscape(other)+"/b2", object{})
	w.put(w.alice, at+"/send/m.room.message/b3", about("m.thread", "$unknown:elsewhere"))
}

// personal has a user do things that are no business of any room.
func (w *world) personal(room string) {
	w.t.Helper()
	w.put(w.alice, "/user/"+string(w.alice.ID)+"/account_data/x.y", object{"k": 1})
	w.put(w.alice, "/user/"+string(w.alice.ID)+"/rooms/"+room+"/account_data/x.y", object{"k": 2})
	w.put(w.alice, "/profile/"+string(w.alice.ID)+"/displayname", object{"displayname": "Alice"})
	w.post(w.alice, "/user/"+string(w.alice.ID)+"/filter", object{"room": object{}})
	w.put(w.alice, "/presence/"+string(w.alice.ID)+"/status", object{"presence": "online", "status_msg": "here"})
	read := w.put(w.alice, "/rooms/"+room+"/send/m.room.message/read", object{"body": "read"})
	w.post(w.alice, "/rooms/"+room+"/receipt/m.read/"+url.PathEscape(read), object{})
	w.post(w.alice, "/rooms/"+room+"/read_markers", object{"m.fully_read": read, "m.read.private": read})
}

func TestASoundDatabase(t *testing.T) {
	each(t, func(t *testing.T, p place) {
		sound(t, p.db)
		w := newWorld(t, p.db)
		w.live()
		r := sound(t, p.db)
		if r.Checked.Rooms != 12 || r.Checked.Events < 200 || r.Checked.Signatures != r.Checked.Events || r.Checked.SignaturesUnchecked != 0 {
			t.Errorf("looked at %+v", r.Checked)
		}
		var out bytes.Buffer
		if err := r.Print(&out, 3); err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{"Database of test on", "\n  events", "The 3 largest of 12 rooms", "Nothing is wrong."} {
			if !strings.Contains(out.String(), want) {
				t.Errorf("%q is not in\n%s", want, &out)
			}
		}
		var back doctor.Report
		if raw, err := json.Marshal(r); err != nil {
			t.Error(err)
		} else if err := json.Unmarshal(raw, &back); err != nil || back.Checked != r.Checked {
			t.Errorf("by way of JSON: %+v, %v", back.Checked, err)
		}
	})
}
