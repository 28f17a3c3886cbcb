package store

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"causeway/homeserver/event"

	"maunium.net/go/mautrix/id"
)

// TestReplacements has many edits of two messages, at few different times.
func TestReplacements(t *testing.T) {
	s := newScribe(t)
	edits := make(map[int64][]*Event)
	var parents []int64
	var upto int64
	s.write(func(tx *Tx) error {
		var both []*Event
		for range 2 {
			e, err := s.put(tx, s.build("", ""))
			if err != nil {
				return err
			}
			both, parents = append(both, e), append(parents, e.NID)
		}
		for i := range 60 {
			parent := both[i%2]
			pdu := s.build(event.RelReplace, parent.EventID)
			pdu.OriginServerTS = int64(100 + i*7%5)
			e, err := s.put(tx, pdu)
			if err != nil {
				return err
			}
			if i < 40 {
				edits[parent.NID], upto = append(edits[parent.NID], e), e.Pos
			}
		}
		alone, err := s.put(tx, s.build("", ""))
		parents = append(parents, alone.NID)
		return err
	})
	err := s.db.View(t.Context(), func(tx *Tx) error {
		for nth := range 21 {
			got, err := tx.Replacements(parents, upto, nth)
			if err != nil {
				return err
			}
			want := make(map[int64]int64)
			for parent, all := range edits {
				slices.SortFunc(all, func(a, b *Event) int {
					if a.OriginServerTS != b.OriginServerTS {
						return compareInts(b.OriginServerTS, a.OriginServerTS)
					}
					return strings.Compare(string(b.EventID), string(a.EventID))
				})
				if nth < len(all) {
					want[parent] = all[nth].NID
				}
			}
			if fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("replacement %d: got %v, want %v", nth, got, want)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestReferences has more of them than are asked for, and some after the position.
func TestReferences(t *testing.T) {
	s := newScribe(t)
	var parents []int64
	var refs [2][]int64
	var upto int64
	s.write(func(tx *Tx) error {
		var ids []id.EventID
		for range 2 {
			e, err := s.put(tx, s.build("", ""))
			if err != nil {
				return err
			}
			parents, ids = append(parents, e.NID), append(ids, e.EventID)
		}
		for i := range 12 {
			e, err := s.put(tx, s.build(event.RelReference, ids[i%4/3])) // three of the first for one of the other
			if err != nil {
				return err
			}
			if i < 10 {
				refs[i%4/3], upto = append(refs[i%4/3], e.NID), e.Pos
			}
		}
		return nil
	})
	err := s.db.View(t.Context(), func(tx *Tx) error {
		got, err := tx.References(parents, upto, 4)
		want := make(map[int64][]int64)
		for i, all := range refs {
			slices.Reverse(all)
			want[parents[i]] = all[:min(len(all), 4)]
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("got %v, want %v", got, want)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestReplacementsPlan has the newest edit be found by an index, in its order but for those of the same time.
func TestReplacementsPlan(t *testing.T) {
	s := newScribe(t)
	var plan []string
	err := s.db.View(t.Context(), func(tx *Tx) error {
		return tx.Query(`EXPLAIN QUERY PLAN `+replacementsQuery+`(1)`, []any{1, 0}, func(scan func(...any) error) error {
			var node, parent, unused int64
			var detail string
			err := scan(&node, &parent, &unused, &detail)
			plan = append(plan, detail)
			return err
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Join(plan, "\n")
	if !strings.Contains(text, "USING INDEX relations_edits (parent_nid=? AND sender_nid=? AND type_nid=?)") ||
		strings.Contains(text, "TEMP B-TREE FOR ORDER BY") {
		t.Errorf("the plan is\n%s", text)
	}
}
