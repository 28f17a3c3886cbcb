package store_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"testing"

	"causeway/homeserver/store"
	"causeway/homeserver/storetest"
)

func TestStringsHaveOneNumberEach(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		numbers := map[string]int64{}
		undone := errors.New("undone")
		for round := range 3 {
			for _, s := range []string{"a", "A", "", "ä", "a"} {
				err := db.Write(t.Context(), func(tx *store.Tx) error {
					nid, err := tx.NID(s)
					if err != nil {
						return err
					}
					if again, err := tx.NID(s); err != nil || again != nid {
						t.Errorf("%q: %d, then %d, %v", s, nid, again, err)
					}
					if round == 0 {
						return undone // must not be remembered
					}
					if before, ok := numbers[s]; ok && before != nid {
						t.Errorf("%q: %d, before %d", s, nid, before)
					}
					numbers[s] = nid
					return nil
				})
				if (round == 0) != errors.Is(err, undone) {
					t.Fatal(err)
				}
			}
		}
		if len(numbers) != 4 {
			t.Errorf("%d numbers, want 4", len(numbers))
		}
		err := db.View(t.Context(), func(tx *store.Tx) error {
			for s, nid := range numbers {
				if got, err := tx.Text(nid); err != nil || got != s {
					t.Errorf("%d: %q, %v, want %q", nid, got, err, s)
				}
			}
			if nid, err := tx.LookupNID("unheard"); err != nil || nid != 0 {
				t.Errorf("unheard: %d, %v", nid, err)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	})
}

func TestStreamPositionsAscend(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		var last int64
		for range 3 {
			err := db.Write(t.Context(), func(tx *store.Tx) error {
				for range 2 {
					pos, err := tx.NextPos()
					if err != nil {
						return err
					}
					if pos <= last {
						t.Errorf("%d after %d", pos, last)
					}
					last = pos
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			err = db.View(t.Context(), func(tx *store.Tx) error {
				pos, err := tx.StreamPos()
				if pos != last {
					t.Errorf("the stream is at %d, want %d", pos, last)
				}
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
		}
	})
}

// A state set read back is its parent with its entries over it, however long the chain, and single places agree with the whole.
func TestStateSets(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		want := store.StateSet{}
		var parent int64
		ctx := context.Background()
		for i := range int64(130) { // more than two chains
			k := store.StateNID{Type: 1 + i%3, Key: i % 40}
			want[k] = 1000 + i
			err := db.Write(ctx, func(tx *store.Tx) error {
				var err error
				parent, err = tx.InsertStateSet(7, parent, store.StateSet{k: 1000 + i})
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
			err = db.View(ctx, func(tx *store.Tx) error {
				got, err := tx.StateSet(parent)
				if err == nil && !maps.Equal(got, want) {
					t.Errorf("set %d: %v, want %v", i, got, want)
				}
				some, err2 := tx.StateValues(parent, k, store.StateNID{Type: 1, Key: 0}, store.StateNID{Type: 99, Key: 99})
				wantSome := store.StateSet{k: want[k], {Type: 1, Key: 0}: want[store.StateNID{Type: 1, Key: 0}]}
				if err2 == nil && !maps.Equal(some, wantSome) {
					t.Errorf("values of set %d: %v, want %v", i, some, wantSome)
				}
				return errors.Join(err, err2)
			})
			if err != nil {
				t.Fatal(err)
			}
		}
	})
}

func TestAliasesAndRoomsThatAreMissing(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		err := db.View(t.Context(), func(tx *store.Tx) error {
			_, room := tx.Room("!x:test")
			_, alias := tx.Alias("#x:test")
			_, ev := tx.EventByID("$x")
			_, state := tx.CurrentStateEvent(1, "x", "")
			_, member := tx.Membership(1, "@x:test")
			_, set := tx.StateSet(12345)
			for i, err := range []error{room, alias, ev, state, member, set} {
				if !errors.Is(err, store.ErrNotFound) {
					t.Errorf("%d: %v, want ErrNotFound", i, err)
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := db.Write(t.Context(), func(tx *store.Tx) error { return tx.DeleteAlias("#x:test") }); !errors.Is(err, store.ErrNotFound) {
			t.Error(fmt.Errorf("delete: %w, want ErrNotFound", err))
		}
	})
}

func TestADatabaseKeepsItsServer(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		for i, test := range []struct {
			name string
			ok   bool
		}{{"a.test", true}, {"b.test", false}, {"a.test", true}} {
			fresh, err := db.Claim(t.Context(), test.name)
			if (err == nil) != test.ok || fresh != (i == 0) {
				t.Errorf("%s: fresh %v, %v", test.name, fresh, err)
			}
		}
	})
}
