package bridges_test

import (
	"fmt"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"causeway/bridges"
	"causeway/homeserver/store"
	"causeway/homeserver/storetest"

	"maunium.net/go/mautrix/id"
)

// In a room with two bridges, neither takes the other's ghosts for people.
func TestNeighbours(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		loop := newHouse(t, db, func(h *house) {
			h.beside = &house{id: "knot"}
			h.reap = bridges.Reaper{Schedule: "0 0 1 1 *", After: time.Hour}
		})
		knot := loop.beside
		loop.bridge.HastenUnbridging()
		alice, room := loop.populated("bob")
		path := "/_matrix/client/v3/rooms/" + url.PathEscape(string(room))
		if err := loop.bridge.Invite(t.Context(), room, knot.bridge.Bot()); err != nil {
			t.Fatal(err)
		}
		if err := knot.bridge.Adopt(t.Context(), alice.ID, "chat", room); err != nil {
			t.Fatal(err)
		}
		if err := loop.bridge.SetPower(t.Context(), room, knot.bridge.Bot(), 50); err != nil {
			t.Fatal(err)
		}
		say := func(n int) string {
			text := fmt.Sprint("from alice ", n)
			loop.hs.OK("PUT", path+"/send/m.room.message/"+fmt.Sprint(n), alice.Token, map[string]any{"msgtype": "m.text", "body": text}, nil)
			return text
		}
		knot.bridge.Remote("chat", "ann", "k1", "from ann")
		loop.until("ann is there", func() bool { return len(loop.joined(alice, room)) == 5 })
		loop.bridge.Remote("chat", "bob", "l1", "from bob")
		// One that could mean a bridge, if its ghosts could.
		knot.bridge.Remote("chat", "ann", "k2", "!loop help")
		loop.bridge.Remote("chat", "bob", "l2", "!knot help")
		said := func(body string) bool {
			return slices.ContainsFunc(loop.history(alice, room), func(e member) bool { return e.Content.Body == body })
		}
		loop.until("they have spoken", func() bool { return said("!loop help") && said("!knot help") })
		last := []string{say(1), say(2)}
		for _, h := range []*house{loop, knot} {
			if got := bridges.Await(h.net.Network(), t, len(last)); !slices.Equal(got, last) {
				t.Errorf("%s got %q, want what alice said alone", h.bridge.Bot(), got)
			}
			if got := h.net.Joins(); slices.ContainsFunc(got, func(user id.UserID) bool { return user != alice.ID }) {
				t.Errorf("%s logged in %s, want alice alone", h.bridge.Bot(), got)
			}
			if got, err := h.bridge.People(t.Context(), room); err != nil || !slices.Equal(got, []id.UserID{alice.ID}) {
				t.Errorf("for %s there are %s, %v, want alice", h.bridge.Bot(), got, err)
			}
		}
		want := []string{"hello", "from ann", "from bob", "!loop help", "!knot help", "from alice 1", "from alice 2"}
		for _, e := range loop.history(alice, room) {
			if e.Type != "m.room.message" {
				continue
			}
			if at := slices.Index(want, e.Content.Body); at >= 0 {
				want = slices.Delete(want, at, at+1)
			} else {
				t.Errorf("%s says %q", e.Sender, e.Content.Body)
			}
		}
		if len(want) > 0 {
			t.Errorf("%q were not said", want)
		}

		loop.hs.OK("POST", path+"/leave", alice.Token, map[string]any{}, nil)
		for _, after := range []time.Duration{0, 2 * time.Hour} {
			if err := loop.bridge.Reap(t.Context(), time.Now().Add(after)); err != nil {
				t.Fatal(err)
			}
		}
		loop.until("the room is left, though the other bridge is there", func() bool {
			return loop.isDone() && !loop.bridge.HasPortal(t.Context(), room)
		})
	})
}

// Two bridges with one database have a schema, or a file, each.
func TestDatabasesApart(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		loop := newHouse(t, db, func(h *house) { h.beside = &house{id: "knot"} })
		knot := loop.beside
		alice := loop.hs.Register("alice")
		rooms := map[*house]id.RoomID{}
		for _, h := range []*house{loop, knot} {
			var err error
			if rooms[h], err = h.bridge.OpenPortal(t.Context(), alice.ID, "chat"); err != nil {
				t.Fatal(err)
			}
		}
		for _, h := range []*house{loop, knot} {
			if got, err := h.bridge.Rooms(t.Context()); err != nil || !slices.Equal(got, []id.RoomID{rooms[h]}) {
				t.Errorf("%s has the rooms %s, %v, want %s", h.bridge.Bot(), got, err, rooms[h])
			}
		}
		if loop.bridge.Registration().ASToken == knot.bridge.Registration().ASToken {
			t.Error("they share a token")
		}
		got, want := []string(nil), []string{"bridge-knot.db", "bridge-loop.db"}
		if loop.base == "" {
			files, err := filepath.Glob(filepath.Join(loop.dir, "*.db"))
			if err != nil {
				t.Fatal(err)
			}
			for _, file := range files {
				got = append(got, filepath.Base(file))
			}
		} else {
			all, err := loop.bridge.Schemas(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			got = slices.DeleteFunc(all, func(name string) bool { return !strings.HasPrefix(name, "bridge_") })
			want = []string{"bridge_knot", "bridge_loop"}
		}
		if !slices.Equal(got, want) {
			t.Errorf("the bridges have %q, want %q", got, want)
		}
	})
}
