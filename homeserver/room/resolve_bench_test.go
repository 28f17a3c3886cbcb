package room

import (
	"context"
	"path/filepath"
	"testing"

	"causeway/homeserver/roomgen"
	"causeway/homeserver/store"

	"maunium.net/go/mautrix/id"
)

// BenchmarkResolveStored resolves two branches of a room of 50,000 members that differ in 5,000 state events, and in 2, with all that
// has to be read from the database for it.
func BenchmarkResolveStored(b *testing.B) {
	for _, bench := range []struct {
		name, version string
		conflicts     int
	}{{"v2/5000", "11", 5000}, {"v2.1/5000", "12", 5000}, {"v2/2", "11", 2}, {"v2.1/2", "12", 2}} {
		b.Run(bench.name, func(b *testing.B) {
			db, err := store.Open(b.Context(), filepath.Join(b.TempDir(), "causeway.db"))
			if err != nil {
				b.Fatal(err)
			}
			b.Cleanup(func() { _ = db.Close() })
			g, err := roomgen.Large(50_000, bench.conflicts, bench.version)
			if err != nil {
				b.Fatal(err)
			}
			states := storeBranches(b, db, g)
			r := NewResolver(db)
			changes := 0
			b.ReportAllocs()
			for b.Loop() {
				resolved, err := r.resolve(b.Context(), g.Version, states, nil)
				if err != nil {
					b.Fatal(err)
				}
				changes = len(resolved.Changes)
			}
			b.ReportMetric(float64(changes), "changes")
		})
	}
}

// storeBranches stores the events of a generated room, and the states after its tips.
func storeBranches(b *testing.B, db *store.DB, g *roomgen.Room) []State {
	b.Helper()
	nids := make(map[id.EventID]int64, len(g.Events))
	var roomNID int64
	write := func(fn func(*store.Tx) error) {
		b.Helper()
		if err := db.Write(context.Background(), fn); err != nil {
			b.Fatal(err)
		}
	}
	write(func(tx *store.Tx) (err error) {
		roomNID, err = tx.InsertRoom(g.RoomID, g.Version, false)
		return err
	})
	for rest := g.Events; len(rest) > 0; {
		some := rest[:min(len(rest), 1000)]
		rest = rest[len(some):]
		write(func(tx *store.Tx) error {
			for _, e := range some {
				row := store.Event{PDU: e.PDU, RoomNID: roomNID}
				for _, a := range e.PDU.AuthEvents {
					row.Auth = append(row.Auth, nids[a])
				}
				var err error
				if row.NID, err = tx.NextPos(); err != nil {
					return err
				}
				nids[e.PDU.EventID] = row.NID
				if err := tx.InsertEvent(&row); err != nil {
					return err
				}
			}
			return nil
		})
	}
	var states []State
	for _, state := range g.TipStates() {
		write(func(tx *store.Tx) error {
			set := make(store.StateSet, len(state))
			for k, eventID := range state {
				place, err := tx.StateNID(k.Type, k.Key)
				if err != nil {
					return err
				}
				set[place] = nids[eventID]
			}
			base := int64(0)
			if len(states) > 0 { // as branches have it: a step from where they parted
				base = states[0].Base
				were, err := tx.StateSet(base)
				if err != nil {
					return err
				}
				for k, event := range set {
					if were[k] == event {
						delete(set, k)
					}
				}
			}
			setID, err := tx.InsertStateSet(roomNID, base, set)
			states = append(states, State{Base: setID})
			return err
		})
	}
	return states
}
