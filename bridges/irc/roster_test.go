package irc

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"testing"
)

// TestRoster changes rosters in many ways, beside a map that says what must be in them. Two in which the same people are must be
// one and the same, however they came to be.
func TestRoster(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 50 {
		first, second, want := newRoster(), newRoster(), map[string]occupant{}
		for range random.IntN(60) {
			key := fmt.Sprint("k", random.IntN(80))
			o := occupant{nick: key, rank: fmt.Sprint(random.IntN(3))}
			first.set(key, o)
			want[key] = o
		}
		first.settle()
		second.settle()
		for range 300 {
			key := fmt.Sprint("k", random.IntN(80))
			if random.IntN(2) == 0 {
				first.remove(key)
				delete(want, key)
			} else {
				o := occupant{nick: key, account: fmt.Sprint(random.IntN(3))}
				first.set(key, o)
				want[key] = o
			}
			if o, there := first.get(key); there != (want[key].nick != "") || o != want[key] {
				t.Fatalf("%s is %v, %v; want %v", key, o, there, want[key])
			}
		}
		got := map[string]occupant{}
		for o := range first.all() {
			got[o.nick] = o
		}
		if !maps.Equal(got, want) {
			t.Fatalf("the roster has %v, want %v", got, want)
		}
		for key, o := range want { // in any order
			second.set(key, o)
		}
		if first.tree != second.tree {
			t.Fatal("two rosters of the same people are not one in memory")
		}
		third := &roster{loose: maps.Clone(want)}
		third.settle()
		if first.tree != third.tree {
			t.Fatal("a roster that was listed is not one in memory with one that grew")
		}
	}
}

// TestNoRoster has a channel that we are not in.
func TestNoRoster(t *testing.T) {
	var r *roster
	r.set("x", occupant{nick: "x"})
	r.remove("x")
	r.settle()
	if _, there := r.get("x"); there {
		t.Error("x is there")
	}
	for o := range r.all() {
		t.Errorf("%v is there", o)
	}
}
