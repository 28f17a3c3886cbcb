package usersync

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"causeway/homeserver/store"

	"maunium.net/go/mautrix/id"
)

// moment is what a model remembers of a moment: who is where, and how often whose devices have changed.
type moment struct {
	token string
	rooms []map[id.UserID]bool
	keys  map[id.UserID]int
}

func (m moment) share(a, b id.UserID) bool {
	return slices.ContainsFunc(m.rooms, func(room map[id.UserID]bool) bool { return room[a] && room[b] })
}

// meets tells whether a and b are together in a room in which they were not together before.
func (m moment) meets(before moment, a, b id.UserID) bool {
	for i, room := range m.rooms {
		if room[a] && room[b] && (i >= len(before.rooms) || !before.rooms[i][a] || !before.rooms[i][b]) {
			return true
		}
	}
	return false
}

// TestDeviceListsAgainstModel has users come and go and change their keys, and compares what is told from each moment to the end with what
// a model of the memberships says.
func TestDeviceListsAgainstModel(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		rng := rand.New(rand.NewPCG(7, 11))
		users := []id.UserID{alice, bob, carol, "@dave:test", "@erin:test"}
		var places []*place
		now := moment{keys: make(map[id.UserID]int)}
		var past []moment
		remember := func() {
			m := moment{keys: make(map[id.UserID]int)}
			for _, room := range now.rooms {
				members := make(map[id.UserID]bool)
				for user := range room {
					members[user] = true
				}
				m.rooms = append(m.rooms, members)
			}
			for user, n := range now.keys {
				m.keys[user] = n
			}
			w.view(func(tx *store.Tx) error {
				pos, err := tx.StreamPos()
				m.token = token(pos)
				return err
			})
			past = append(past, m)
		}
		for step := range 120 {
			user := users[rng.IntN(len(users))]
			switch n := rng.IntN(10); {
			case n == 0 && len(places) < 5 || len(places) == 0:
				places = append(places, w.room(user, "shared"))
				now.rooms = append(now.rooms, map[id.UserID]bool{user: true})
			case n < 3:
				w.changeDevices(user)
				now.keys[user]++
			case n == 3:
				places[rng.IntN(len(places))].text(user, fmt.Sprint(step))
			default:
				i := rng.IntN(len(places))
				if now.rooms[i][user] && rng.IntN(3) > 0 {
					places[i].member(user, user, "leave")
					delete(now.rooms[i], user)
				} else {
					places[i].member(user, user, "join") // or another profile
					now.rooms[i][user] = true
				}
			}
			if rng.IntN(3) == 0 {
				remember()
			}
			if step%20 == 19 {
				for _, user := range users {
					for _, before := range past {
						if rng.IntN(4) > 0 {
							continue
						}
						checkLists(t, w, user, before, now)
					}
				}
			}
		}
	})
}

// changeDevices makes it look as if a user had new keys.
func (w *world) changeDevices(user id.UserID) {
	w.t.Helper()
	err := w.db.Write(context.Background(), func(tx *store.Tx) error {
		nid, err := tx.NID(string(user))
		if err != nil {
			return err
		}
		_, err = tx.DevicesChanged(nid)
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

func checkLists(t *testing.T, w *world, user id.UserID, before, now moment) {
	t.Helper()
	changed, left := []string{}, []string{}
	for _, other := range []id.UserID{alice, bob, carol, "@dave:test", "@erin:test"} {
		news := now.keys[other] > before.keys[other]
		switch {
		case other == user:
			if news {
				changed = append(changed, string(other))
			}
		case now.share(user, other) && (news || now.meets(before, user, other)):
			changed = append(changed, string(other))
		case before.share(user, other) && !now.share(user, other):
			left = append(left, string(other))
		}
	}
	raw, err := w.s.KeyChanges(context.Background(), user, before.token, before.token)
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		DeviceLists struct{ Changed, Left []string } `json:"device_lists"`
	}
	w.unmarshal([]byte(`{"device_lists":`+string(raw)+`}`), &got)
	wantList(t, fmt.Sprintf("%s since %s, changed", user, before.token), got.DeviceLists.Changed, changed)
	wantList(t, fmt.Sprintf("%s since %s, left", user, before.token), got.DeviceLists.Left, left)
	got.DeviceLists.Changed, got.DeviceLists.Left = nil, nil
	for _, full := range []bool{false, true} {
		res, err := w.s.Sync(context.Background(), Request{User: user, Device: "D", Since: before.token, FullState: full})
		if err != nil {
			t.Fatal(err)
		}
		w.unmarshal(res.AppendJSON(nil), &got)
		wantList(t, fmt.Sprintf("%s syncs since %s, changed", user, before.token), got.DeviceLists.Changed, changed)
		wantList(t, fmt.Sprintf("%s syncs since %s, left", user, before.token), got.DeviceLists.Left, left)
	}
}

// TestDeviceListsAfterPurge asks from a time of which the state is not known any more: nobody is missing then, and those who may have come
// or gone count as if they had.
func TestDeviceListsAfterPurge(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		p := w.room(alice, "shared")
		p.join(bob, carol)
		since := w.sync(Request{User: alice, Device: "D"}).NextBatch
		p.member(bob, bob, "leave")
		p.join("@dave:test")
		if err := w.db.Write(context.Background(), func(tx *store.Tx) error {
			_, err := tx.Exec(`DELETE FROM room_states WHERE room_nid = $1 AND pos < $2`, p.nid, p.last.Pos)
			return err
		}); err != nil {
			t.Fatal(err)
		}
		raw, err := w.s.KeyChanges(context.Background(), alice, since, since)
		if err != nil {
			t.Fatal(err)
		}
		if got, want := string(raw), `{"changed":["@dave:test"],"left":["@bob:test"]}`; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	})
}

// TestDeviceListsAfterPurgeTellNoMembers: who is in a room is not for those who are only invited, or are banned, or have left before.
func TestDeviceListsAfterPurgeTellNoMembers(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		p := w.room(alice, "shared")
		p.join(bob)
		p.member(bob, bob, "leave")
		p.member(alice, carol, "invite")
		p.member(alice, "@mallory:test", "ban")
		p.join("@dave:test")
		if err := w.db.Write(context.Background(), func(tx *store.Tx) error {
			_, err := tx.Exec(`DELETE FROM room_states WHERE room_nid = $1 AND pos < $2`, p.nid, p.last.Pos)
			return err
		}); err != nil {
			t.Fatal(err)
		}
		for user, want := range map[id.UserID]string{
			bob: `{"changed":[],"left":["@alice:test"]}`, carol: `{"changed":[],"left":[]}`, "@mallory:test": `{"changed":[],"left":[]}`,
		} {
			raw, err := w.s.KeyChanges(context.Background(), user, token(p.nid), token(p.nid))
			if err != nil {
				t.Fatal(err)
			}
			if string(raw) != want {
				t.Errorf("%s: got %s, want %s", user, raw, want)
			}
		}
	})
}

// TestInitialHasNoDeviceLists: they are for those who know something already.
func TestInitialHasNoDeviceLists(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.room(alice, "shared").join(bob)
		w.changeDevices(bob)
		for _, since := range []string{"", "s999999"} { // one of a database that was since restored
			res, err := w.s.Sync(context.Background(), Request{User: alice, Device: "D", Since: since})
			if err != nil {
				t.Fatal(err)
			}
			var got struct {
				Lists struct{ Changed, Left []string } `json:"device_lists"`
			}
			w.unmarshal(res.AppendJSON(nil), &got)
			if got.Lists.Changed == nil || len(got.Lists.Changed)+len(got.Lists.Left) > 0 {
				t.Errorf("since %q: got %+v", since, got.Lists)
			}
		}
	})
}
