package usersync_test

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"causeway/homeserver/event"
	"causeway/homeserver/notify"
	"causeway/homeserver/room"
	"causeway/homeserver/roomgen"
	"causeway/homeserver/sqldb"
	"causeway/homeserver/store"
	"causeway/homeserver/storetest"
	"causeway/homeserver/usersync"

	"maunium.net/go/mautrix/id"
)

// keys are those of the servers in a generated room.
type keys struct{ *roomgen.Room }

func (k keys) Key(_ context.Context, server, keyID string) (ed25519.PublicKey, int64, bool) {
	return k.PublicKey(server, keyID)
}

// follower is a client that follows a generated room by /sync alone, and believes what it is told.
type follower struct {
	t      *testing.T
	s      *usersync.Service
	db     *store.DB
	roomID id.RoomID
	req    usersync.Request
	purged bool // some of the history is deleted along the way

	in    bool
	state map[[2]string]id.EventID
	shown map[id.EventID]bool
}

type shownEvent struct {
	EventID  id.EventID `json:"event_id"`
	Type     string     `json:"type"`
	StateKey *string    `json:"state_key"`
}

type shownRoom struct {
	State    *struct{ Events []shownEvent } `json:"state"`
	After    *struct{ Events []shownEvent } `json:"state_after"`
	Timeline struct {
		Events  []shownEvent
		Limited bool
	} `json:"timeline"`
}

func (f *follower) sync() {
	f.t.Helper()
	res, err := f.s.Sync(f.t.Context(), f.req)
	if err != nil {
		f.t.Fatal(err)
	}
	f.req.Since = res.NextBatch
	var a struct {
		Rooms struct{ Join, Leave, Invite, Knock map[id.RoomID]*shownRoom }
	}
	if err := json.Unmarshal(res.AppendJSON(nil), &a); err != nil {
		f.t.Fatal(err)
	}
	if r := a.Rooms.Join[f.roomID]; r != nil {
		if !f.in {
			clear(f.state)
			clear(f.shown)
		}
		f.in = true
		f.apply(r)
	}
	if r := a.Rooms.Leave[f.roomID]; r != nil {
		f.in = false
		f.apply(r)
	}
	if a.Rooms.Invite[f.roomID] != nil || a.Rooms.Knock[f.roomID] != nil {
		f.in = false // and so has left
	}
	f.check()
}

func (f *follower) apply(r *shownRoom) {
	f.t.Helper()
	var changes []shownEvent
	if r.After != nil {
		changes = r.After.Events
	} else {
		changes = slices.Concat(r.State.Events, r.Timeline.Events)
	}
	for _, e := range changes {
		if e.StateKey != nil {
			f.state[[2]string{e.Type, *e.StateKey}] = e.EventID
		}
	}
	if f.purged && r.Timeline.Limited {
		clear(f.shown) // it may begin anew
	}
	for _, e := range r.Timeline.Events {
		if f.in && f.shown[e.EventID] {
			f.t.Errorf("%s: %s is shown again", f.req.User, e.EventID)
		}
		f.shown[e.EventID] = true
	}
}

// check compares what the client believes with what is so. A place of the state that is empty again is one of which nobody can be told.
func (f *follower) check() {
	f.t.Helper()
	err := f.db.View(f.t.Context(), func(tx *store.Tx) error {
		r, err := tx.Room(f.roomID)
		if err != nil {
			return err
		}
		seat, err := tx.Membership(r.NID, f.req.User)
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return err
		}
		if in := seat.Membership == event.MembershipJoin; in != f.in {
			f.t.Fatalf("%s is in the room: %t, and the client believes %t", f.req.User, in, f.in)
		}
		if !f.in {
			return nil
		}
		state, err := tx.CurrentState(r.NID)
		for _, e := range state {
			if got := f.state[[2]string{e.Type, *e.StateKey}]; got != e.EventID {
				f.t.Errorf("%s (%q): %s %q is %s (of %s), want %s", f.req.User, f.req.StateAfter, e.Type, *e.StateKey, got, e.Sender, e.EventID)
			}
		}
		return err
	})
	if err != nil {
		f.t.Fatal(err)
	}
}

// TestGeneratedRooms has clients follow rooms of other servers, which fork, quarrel and send what is refused, while some of the history
// is deleted behind them.
func TestGeneratedRooms(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		for i, version := range []string{"1", "12", "6", "12"} { // the latter two are purged now and then
			if testing.Short() && i != 3 {
				continue
			}
			if db.Engine() == sqldb.Postgres && i%2 == 0 {
				continue // each row is a round trip, and the logic is the same
			}
			g, err := roomgen.Generate(roomgen.Options{
				Version: version, Seed: uint64(i), Events: 80, Forks: 4, Extremities: 3, Bans: true, PowerStruggles: true, BadClocks: true,
				Knocks: true, Restricted: true, Redactions: true, DuplicateStates: true, DeadBranches: true, Rejected: true,
			})
			if err != nil {
				t.Fatal(err)
			}
			t.Run(fmt.Sprint("version ", version, " seed ", i), func(t *testing.T) { followAll(t, db, g, i >= 2, rand.New(rand.NewPCG(7, uint64(i)))) })
		}
	})
}

func followAll(t *testing.T, db *store.DB, g *roomgen.Room, purged bool, random *rand.Rand) {
	bus := new(notify.Local)
	rooms := room.New(room.Config{
		ServerName: "here", DB: db, Bus: bus, Keys: keys{g},
		Key: &event.Key{ServerName: "here", KeyID: "ed25519:1", Private: ed25519.NewKeyFromSeed(make([]byte, 32))},
	})
	first := g.Events[0]
	err := rooms.Adopt(t.Context(), room.Adoption{RoomID: g.RoomID, Version: g.Version, Create: first.PDU.JSON()})
	if err != nil {
		t.Fatal(err)
	}
	var followers []*follower
	s := usersync.New(usersync.Config{DB: db, Bus: bus, Now: func() time.Time { return time.UnixMilli(0) }})
	for i, user := range members(g) {
		for _, after := range []string{"", usersync.StateAfter} {
			filter, err := usersync.ParseFilter(fmt.Appendf(nil, `{"room":{"timeline":{"limit":%d}}}`, []int{1, 3, 10, 200}[i%4]))
			if err != nil {
				t.Fatal(err)
			}
			followers = append(followers, &follower{
				t: t, s: s, db: db, roomID: g.RoomID, purged: purged, req: usersync.Request{User: user, Filter: filter, StateAfter: after},
				state: make(map[[2]string]id.EventID), shown: make(map[id.EventID]bool),
			})
		}
	}
	for i, e := range g.Events[1:] {
		if _, err := rooms.Receive(t.Context(), e.Server, g.RoomID, []json.RawMessage{e.PDU.JSON()}); err != nil {
			t.Fatal(err)
		}
		if purged && i%50 == 49 {
			purgeSome(t, db, rooms, g, i-random.IntN(20))
		}
		for _, f := range followers {
			if random.IntN(6) == 0 {
				f.sync()
			}
		}
	}
	for _, f := range followers {
		f.sync()
		if !purged { // or what was shown may be gone
			f.checkShown()
		}
	}
}

// purgeSome deletes the history before event i, or the next that is in the timeline.
func purgeSome(t *testing.T, db *store.DB, rooms *room.Service, g *roomgen.Room, i int) {
	t.Helper()
	for ; i < len(g.Events); i++ {
		err := db.View(t.Context(), func(tx *store.Tx) error {
			e, err := tx.EventByID(g.Events[i].PDU.EventID)
			if err == nil && e.Pos == 0 {
				err = store.ErrNotFound
			}
			return err
		})
		if errors.Is(err, store.ErrNotFound) {
			continue
		}
		if err == nil {
			_, err = rooms.PurgeHistory(t.Context(), g.RoomID, room.Before{EventID: g.Events[i].PDU.EventID})
		}
		if err != nil {
			t.Fatal(err)
		}
		return
	}
}

// members returns some of those who have been members of the room.
func members(g *roomgen.Room) (users []id.UserID) {
	for _, e := range g.Events {
		if e.PDU.Type == event.TypeMember && !slices.Contains(users, id.UserID(*e.PDU.StateKey)) && len(users) < 8 {
			users = append(users, id.UserID(*e.PDU.StateKey))
		}
	}
	return users
}

// checkShown looks for events in the timeline that are not of it.
func (f *follower) checkShown() {
	f.t.Helper()
	err := f.db.View(f.t.Context(), func(tx *store.Tx) error {
		for eventID := range f.shown {
			e, err := tx.EventByID(eventID)
			if err != nil {
				return err
			}
			if e.Status != 0 || e.Pos == 0 {
				f.t.Errorf("%s was shown, which is at position %d with status %d", eventID, e.Pos, e.Status)
			}
		}
		return nil
	})
	if err != nil {
		f.t.Fatal(err)
	}
}
