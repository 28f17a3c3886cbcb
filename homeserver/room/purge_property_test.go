package room_test

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"causeway/homeserver/doctor"
	"causeway/homeserver/event"
	"causeway/homeserver/eventauth"
	"causeway/homeserver/notify"
	"causeway/homeserver/retention"
	"causeway/homeserver/room"
	"causeway/homeserver/roomgen"
	"causeway/homeserver/sqldb"
	"causeway/homeserver/store"
	"causeway/homeserver/storetest"

	"maunium.net/go/mautrix/id"
)

// others are the servers of a generated room, as one of them reaches them.
type others struct{ *roomgen.Room }

func (o others) Key(_ context.Context, server, keyID string) (ed25519.PublicKey, int64, bool) {
	return o.PublicKey(server, keyID)
}

func (o others) Events(_ context.Context, _ string, _ id.RoomID, ids []id.EventID) (raws []json.RawMessage, err error) {
	for _, eventID := range ids {
		if pdu := o.PDU(eventID); pdu != nil {
			raws = append(raws, pdu.JSON())
		}
	}
	return raws, nil
}

// MissingEvents has none: what is missing is asked for by its state.
func (o others) MissingEvents(context.Context, string, id.RoomID, []id.EventID, []id.EventID, int, int64) ([]json.RawMessage, error) {
	return nil, nil
}

func (o others) StateIDs(_ context.Context, _ string, _ id.RoomID, at id.EventID) (state, auth []id.EventID, err error) {
	seen := make(map[id.EventID]bool)
	var chain func(id.EventID)
	chain = func(eventID id.EventID) {
		for _, a := range o.PDU(eventID).AuthEvents {
			if !seen[a] && o.PDU(a) != nil {
				seen[a] = true
				auth = append(auth, a)
				chain(a)
			}
		}
	}
	for _, eventID := range o.Lookup(at).StateBefore {
		state = append(state, eventID)
		chain(eventID)
	}
	return state, auth, nil
}

// generated is a generated room on one of its servers.
type generated struct {
	*testing.T
	db     *store.DB
	s      *room.Service
	g      *roomgen.Room
	r      *rand.Rand
	server string
	now    atomic.Int64 // milliseconds
	sent   int
	purged store.Purged
}

func newGenerated(t *testing.T, db *store.DB, version string, seed uint64) *generated {
	g, err := roomgen.Generate(roomgen.Options{
		Version: version, Seed: seed, Servers: 2, Events: 80, Forks: 4, Extremities: 2, Bans: true, PowerStruggles: true, Knocks: true,
		Restricted: true, Redactions: true, DeadBranches: true, DuplicateStates: true, Rejected: true, ThirdPartyInvites: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	w := &generated{T: t, db: db, g: g, r: rand.New(rand.NewPCG(seed, 1)), server: g.Events[0].Server}
	for _, e := range g.Events {
		w.now.Store(max(w.now.Load(), e.PDU.OriginServerTS+1))
	}
	w.s = room.New(room.Config{
		ServerName: w.server, Key: g.Keys[w.server], DB: db, Bus: new(notify.Local), KeepRedacted: time.Hour, Fetch: others{g}, Keys: others{g},
		Now: func() time.Time { return time.UnixMilli(w.now.Add(1)) },
	})
	users := make(map[id.UserID]bool)
	for _, e := range g.Events {
		if e.PDU.Sender.Homeserver() == w.server {
			users[e.PDU.Sender] = true
		}
	}
	w.write(func(tx *store.Tx) error {
		for user := range users {
			if err := tx.InsertUser(&store.User{UserID: user}); err != nil && !errors.Is(err, store.ErrExists) {
				return err
			}
		}
		return nil
	})
	first := g.Events[0]
	if err := w.s.Adopt(t.Context(), room.Adoption{RoomID: g.RoomID, Version: g.Version, Create: first.PDU.JSON()}); err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *generated) write(fn func(*store.Tx) error) {
	w.Helper()
	if err := w.db.Write(w.Context(), fn); err != nil {
		w.Fatal(err)
	}
}

func (w *generated) view(fn func(*store.Tx) error) {
	w.Helper()
	if err := w.db.View(w.Context(), fn); err != nil {
		w.Fatal(err)
	}
}

func (w *generated) receive(events []roomgen.Event) {
	w.Helper()
	for _, e := range events {
		if _, err := w.s.Receive(w.Context(), e.Server, w.g.RoomID, []json.RawMessage{e.PDU.JSON()}); err != nil {
			w.Fatal(err)
		}
	}
}

// send has somebody of this server who is in the room say something, if there is anybody, and takes some of it back.
func (w *generated) send() {
	w.Helper()
	var users []id.UserID
	w.view(func(tx *store.Tx) error {
		roomNID, err := tx.RoomNID(w.g.RoomID)
		if err != nil {
			return err
		}
		seats, err := tx.LocalSeats(roomNID)
		for _, seat := range seats {
			name, textErr := tx.Text(seat.UserNID)
			if seat.Membership == "join" {
				users = append(users, id.UserID(name))
			}
			err = textErr
		}
		return err
	})
	slices.Sort(users)
	for _, user := range users {
		// Some power levels let only some of them.
		content := json.RawMessage(fmt.Sprintf(`{"msgtype":"m.text","body":"%d"}`, w.sent))
		for i := range 6 {
			eventID, err := w.s.Send(w.Context(), room.By{User: user}, w.g.RoomID, "m.room.message", "", content)
			if err != nil {
				break
			}
			w.sent++
			if i%3 == 0 {
				_, _ = w.s.Redact(w.Context(), room.By{User: user}, w.g.RoomID, eventID, "", "") // they may just have been banned
			}
		}
	}
}

// picture is what is to be read of a room: its state, who is in it, and its timeline with the states around each event, by name.
type picture struct {
	state    map[eventauth.StateKey]id.EventID
	members  map[int64]store.Membership
	timeline []*store.Event
	around   map[id.EventID][2]map[eventauth.StateKey]id.EventID
	tips     map[int64]bool
}

func (w *generated) look() picture {
	w.Helper()
	p := picture{members: make(map[int64]store.Membership), around: make(map[id.EventID][2]map[eventauth.StateKey]id.EventID), tips: make(map[int64]bool)}
	w.view(func(tx *store.Tx) error {
		r, err := tx.Room(w.g.RoomID)
		if err != nil {
			return err
		}
		if p.state, err = named(tx, r.StateID); err != nil {
			return err
		}
		current, err := tx.CurrentState(r.NID)
		if err != nil {
			return err
		}
		if len(current) != len(p.state) {
			w.Errorf("the current state has %d events, its set %d", len(current), len(p.state))
		}
		for _, e := range current {
			if p.state[eventauth.StateKey{Type: e.Type, Key: *e.StateKey}] != e.EventID {
				w.Errorf("%s is of the current state, and not in its set", e.EventID)
			}
		}
		members, err := tx.Members(r.NID, "")
		if err != nil {
			return err
		}
		for _, m := range members {
			p.members[m.UserNID] = m
		}
		tips, err := tx.Extremities(r.NID)
		if err != nil {
			return err
		}
		for _, e := range tips {
			p.tips[e.NID] = true
		}
		if p.timeline, err = tx.TimelineAfter(r.NID, 0, 1<<60, 1<<20); err != nil {
			return err
		}
		for _, e := range p.timeline {
			before, err := named(tx, e.StateBefore)
			if err != nil {
				return err
			}
			after, err := named(tx, e.StateAfter)
			if err != nil {
				return err
			}
			p.around[e.EventID] = [2]map[eventauth.StateKey]id.EventID{before, after}
		}
		return nil
	})
	return p
}

// named returns what a state set holds, by name.
func named(tx *store.Tx, setID int64) (map[eventauth.StateKey]id.EventID, error) {
	set, err := tx.StateSet(setID)
	if err != nil {
		return nil, err
	}
	events, err := tx.EventsByNID(slices.Collect(maps.Values(set)))
	if err != nil {
		return nil, err
	}
	if len(events) != len(set) {
		return nil, fmt.Errorf("state set %d holds %d events, of which %d are there", setID, len(set), len(events))
	}
	state := make(map[eventauth.StateKey]id.EventID, len(events))
	for _, e := range events {
		state[eventauth.StateKey{Type: e.Type, Key: *e.StateKey}] = e.EventID
	}
	return state, nil
}

// sound has the doctor look at everything.
func (w *generated) sound() {
	w.Helper()
	report, err := doctor.Run(w.Context(), w.db, doctor.Options{})
	if err != nil {
		w.Fatal(err)
	}
	for _, kind := range report.Faults {
		for _, f := range kind.Examples {
			w.Errorf("%s: %s %s: %s", kind.Kind, f.Table, f.EventID, f.Text)
		}
	}
}

// unchanged compares what is left of a room with what it was before a purge. stays tells of events of the old timeline that they must
// be there; goes that they must not.
func (w *generated) unchanged(was picture, stays, goes func(*store.Event) bool) {
	w.Helper()
	is := w.look()
	if !maps.Equal(is.state, was.state) {
		w.Errorf("the current state was %v and is %v", was.state, is.state)
	}
	if !maps.Equal(is.members, was.members) {
		w.Errorf("the members were %v and are %v", was.members, is.members)
	}
	if !maps.Equal(is.tips, was.tips) {
		w.Errorf("the extremities were %v and are %v", was.tips, is.tips)
	}
	left := make(map[id.EventID]*store.Event)
	for _, e := range is.timeline {
		left[e.EventID] = e
	}
	for _, e := range was.timeline {
		now := left[e.EventID]
		delete(left, e.EventID)
		switch {
		case now == nil && stays(e):
			w.Errorf("%s (%s at %d) is gone", e.EventID, e.Type, e.Pos)
		case now != nil && goes(e):
			w.Errorf("%s (%s at %d) is still there", e.EventID, e.Type, e.Pos)
		case now != nil:
			if now.Pos != e.Pos || now.RedactedBy != e.RedactedBy || now.Replaces != e.Replaces || string(now.JSON()) != string(e.JSON()) {
				w.Errorf("%s was changed", e.EventID)
			}
			for i, side := range [...]string{"before", "after"} {
				if !maps.Equal(is.around[e.EventID][i], was.around[e.EventID][i]) {
					w.Errorf("the state %s %s was changed", side, e.EventID)
				}
			}
		}
	}
	for eventID := range left {
		w.Errorf("%s was not there before", eventID)
	}
	w.view(func(tx *store.Tx) error {
		roomNID, err := tx.RoomNID(w.g.RoomID)
		if err != nil {
			return err
		}
		garbage, err := tx.FindGarbage(roomNID, true)
		if err == nil && len(garbage.Sets) > 0 {
			w.Errorf("%d state sets are of no use to anything", len(garbage.Sets))
		}
		return err
	})
}

// purgeHistory purges before a random event of the timeline.
func (w *generated) purgeHistory() {
	w.Helper()
	was := w.look()
	point := was.timeline[w.r.IntN(len(was.timeline))]
	pinned := w.pinned()
	done, err := w.s.PurgeHistory(w.Context(), w.g.RoomID, room.Before{EventID: point.EventID})
	if err != nil {
		w.Fatal(err)
	}
	w.purged.Add(done)
	stays := func(e *store.Event) bool { return e.Pos >= point.Pos || was.tips[e.NID] || pinned[e.NID] }
	w.unchanged(was, stays, func(e *store.Event) bool { return !stays(e) })
	w.view(func(tx *store.Tx) error {
		for _, e := range was.timeline {
			if stays(e) || e.IsState() || e.Type == event.TypeRedaction {
				continue
			}
			if _, err := tx.EventByID(e.EventID); err == nil {
				w.Errorf("message %s is still stored", e.EventID)
			}
		}
		return nil
	})
}

func (w *generated) pinned() (pinned map[int64]bool) {
	w.view(func(tx *store.Tx) error {
		roomNID, err := tx.RoomNID(w.g.RoomID)
		if err == nil {
			pinned, err = tx.PinnedEvents(roomNID)
		}
		return err
	})
	return pinned
}

// expire applies a retention by which about half of the room's time is over.
func (w *generated) expire() {
	w.Helper()
	was := w.look()
	middle := was.timeline[w.r.IntN(len(was.timeline))].OriginServerTS
	policy := retention.Policy{Enabled: true, Default: time.Duration(w.now.Load()-middle) * time.Millisecond}
	done, err := w.s.ApplyRetention(w.Context(), policy)
	if err != nil {
		w.Fatal(err)
	}
	w.purged.Add(done)
	last := was.timeline[len(was.timeline)-1]
	stays := func(e *store.Event) bool {
		return e.IsState() || was.tips[e.NID] || e.NID == last.NID || e.OriginServerTS > middle+100
	}
	w.unchanged(was, stays, func(e *store.Event) bool {
		return !stays(e) && e.Type != event.TypeRedaction && e.OriginServerTS < middle
	})
}

// However rooms fork, and whatever is purged of them when, what must stay is as it was, all that must hold of the rows holds, nothing is
// left that nobody needs, and the room goes on.
func TestPurgesOfGeneratedRooms(t *testing.T) {
	versions := event.Versions()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		seeds, sent := 2*len(versions), 0
		if db.Engine() == sqldb.Postgres { // where it takes six times as long
			seeds = len(versions) / 3
		}
		if testing.Short() {
			seeds = 2
		}
		var all store.Purged
		for seed := range uint64(seeds) {
			version := versions[seed%uint64(len(versions))].ID
			t.Run(fmt.Sprintf("version %s seed %d", version, seed), func(t *testing.T) {
				w := newGenerated(t, db, version, seed)
				rest := w.g.Events[1:]
				for len(rest) > 0 {
					n := min(len(rest), 10+w.r.IntN(40))
					w.receive(rest[:n])
					rest = rest[n:]
					w.send()
					if w.r.IntN(3) == 0 {
						w.expire()
					} else {
						w.purgeHistory()
					}
					w.sound()
					if t.Failed() {
						return
					}
				}
				w.send()
				sent += w.sent
				all.Add(w.purged)
				if _, err := w.s.Purge(t.Context(), w.g.RoomID, true, 0); err != nil {
					t.Fatal(err)
				}
				w.sound()
			})
		}
		if testing.Short() {
			return // a few rooms show little
		}
		if sent < 2*seeds || all.Events < int64(20*seeds) || all.StateSets < int64(10*seeds) {
			t.Errorf("of %d rooms %d events and %d state sets were purged, and %d events sent in between: what does this test show?",
				seeds, all.Events, all.StateSets, sent)
		}
	})
}

// Purges do not get in the way of those who send and receive at the same time, nor they in theirs.
func TestPurgesBesideEverything(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		for seed := range uint64(4) {
			w := newGenerated(t, db, event.DefaultRoomVersion, seed)
			w.receive(w.g.Events[1:30])
			var work sync.WaitGroup
			done := make(chan struct{})
			work.Go(func() {
				defer close(done)
				w.receive(w.g.Events[30:])
			})
			work.Go(func() {
				for {
					select {
					case <-done:
						return
					default:
						w.send()
					}
				}
			})
			for over := false; !over; {
				select {
				case <-done:
					over = true
				default:
				}
				was := w.timeline()
				before := room.Before{EventID: was[w.r.IntN(len(was))].EventID}
				if _, err := w.s.PurgeHistory(t.Context(), w.g.RoomID, before); err != nil {
					t.Error(err)
				}
				policy := retention.Policy{Enabled: true, Default: time.Duration(1+w.r.IntN(1000)) * time.Hour}
				if _, err := w.s.ApplyRetention(t.Context(), policy); err != nil {
					t.Error(err)
				}
			}
			work.Wait()
			w.sound()
			if _, err := w.s.Purge(t.Context(), w.g.RoomID, true, 0); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func (w *generated) timeline() (all []*store.Event) {
	w.Helper()
	w.view(func(tx *store.Tx) error {
		roomNID, err := tx.RoomNID(w.g.RoomID)
		if err == nil {
			all, err = tx.TimelineAfter(roomNID, 0, 1<<60, 1<<20)
		}
		return err
	})
	return all
}
