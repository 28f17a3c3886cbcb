package buffer

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
)

const ms = 1000

func TestMissing(t *testing.T) {
	type step struct {
		at   int64 // ms
		came []int
		ask  string // what is asked for then, and how many are given up
	}
	tests := []struct {
		name  string
		rtt   int64 // ms
		steps []step
	}{
		{"nothing is missing", 70, []step{{0, []int{1, 2, 3}, "[] 0"}, {100, []int{4}, "[] 0"}}},
		{"a gap, asked for when it is no mere reordering", 70, []step{
			{0, []int{1, 4}, "[] 0"}, {4, nil, "[] 0"}, {5, nil, "[2 3] 0"}, {10, []int{3}, "[] 0"}, {75, nil, "[2] 0"},
		}},
		{"reordered", 70, []step{{0, []int{1, 4, 3, 2}, "[] 0"}, {5, nil, "[] 0"}}},
		{"over the end of the numbers", 70, []step{{0, []int{65_534, 2}, "[] 0"}, {5, nil, "[65535 0 1] 0"}, {6, []int{0}, "[] 0"}, {75, nil, "[65535 1] 0"}}},
		{"longer each time, then given up", 100, []step{
			{0, []int{1, 3}, "[] 0"}, {5, nil, "[2] 0"}, {104, nil, "[] 0"}, {105, nil, "[2] 0"}, {254, nil, "[] 0"}, {255, nil, "[2] 0"},
			{455, nil, "[2] 0"}, {705, nil, "[2] 0"}, {1005, nil, "[2] 0"}, {1355, nil, "[2] 0"}, {1755, nil, "[2] 0"}, {2204, nil, "[] 0"}, {2205, nil, "[] 1"}, {3000, nil, "[] 0"},
		}},
		{"near: not before 20 ms", 1, []step{{0, []int{1, 3}, "[] 0"}, {5, nil, "[2] 0"}, {24, nil, "[] 0"}, {25, nil, "[2] 0"}}},
		{"far: after 400 ms", 5000, []step{{0, []int{1, 3}, "[] 0"}, {5, nil, "[2] 0"}, {404, nil, "[] 0"}, {405, nil, "[2] 0"}}},
		{"late and twice", 70, []step{{0, []int{10, 12, 11, 11, 9, 12, 10}, "[] 0"}, {50, nil, "[] 0"}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var m Missing
			for _, s := range tt.steps {
				for _, n := range s.came {
					if m.Came(uint16(n), s.at*ms) {
						t.Fatalf("at %d: too much is missing", s.at)
					}
				}
				ask, lost := m.Ask(nil, s.at*ms, tt.rtt*ms)
				if got := fmt.Sprint(ask, lost); got != s.ask {
					t.Errorf("at %d: %s, want %s", s.at, got, s.ask)
				}
			}
		})
	}
}

func TestMissingOverflow(t *testing.T) {
	var m Missing
	m.Came(0, 0)
	if m.Came(maxMissing, 0) {
		t.Error("255 missing packets are too many")
	}
	if !m.Came(maxMissing+3, 0) || !m.Empty() {
		t.Error("257 are not")
	}
	if m.Came(maxMissing+5, 0) || m.Empty() {
		t.Error("after that, what is missing is not waited for")
	}
	if !m.Came(20_000, 0) || !m.Empty() {
		t.Error("a gap of 20,000 is not too large")
	}
	for n := range uint16(1000) {
		if m.Came(20_001+2*n, 0) != (n == maxMissing+1) {
			t.Fatalf("every second is missing: overflow is wrong at %d", n)
		}
		if n > maxMissing {
			break
		}
	}
}

// TestMissingModel compares with one that keeps all and looks for each.
func TestMissingModel(t *testing.T) {
	type wait struct {
		next  int64
		tries int
	}
	for seed := range uint64(15) {
		random := rand.New(rand.NewPCG(seed, 9))
		var m Missing
		waiting := map[int]*wait{}
		newest, at := int(random.IntN(70_000)), int64(0)
		m.Came(uint16(newest), 0)
		rtt := int64(random.IntN(600)) * ms
		used := min(max(rtt, leastRTT), mostRTT)
		asked, found := 0, 0
		for range 3000 {
			at += random.Int64N(20 * ms)
			switch k := random.IntN(100); {
			case k < 70:
				n := newest + 1 + random.IntN(1+random.IntN(1+random.IntN(40)))
				for i := newest + 1; i < n; i++ {
					waiting[i] = &wait{next: at + firstAsk}
				}
				newest = n
				over := m.Came(uint16(n), at)
				if over != (len(waiting) > maxMissing) {
					t.Fatalf("seed %d: overflow %v with %d missing", seed, over, len(waiting))
				}
				if over {
					clear(waiting)
				}
			default: // something older
				n := newest - random.IntN(300)
				if w := waiting[n]; w != nil && w.tries > 0 {
					found++
				}
				delete(waiting, n)
				m.Came(uint16(n), at)
			}
			if random.IntN(3) > 0 {
				continue
			}
			var want []uint16
			wantLost := 0
			for _, n := range slices.Sorted(maps.Keys(waiting)) {
				w := waiting[n]
				switch {
				case w == nil || w.next > at:
				case w.tries == maxAsked:
					wantLost++
					delete(waiting, n)
				default:
					w.tries++
					w.next = at + used + used/2*int64(w.tries-1)
					want = append(want, uint16(n))
					asked++
				}
			}
			ask, lost := m.Ask(nil, at, rtt)
			if !slices.Equal(ask, want) || lost != wantLost {
				t.Fatalf("seed %d: asks for %v and gives up %d, want %v and %d", seed, ask, lost, want, wantLost)
			}
			if m.Empty() != (len(waiting) == 0) {
				t.Fatalf("seed %d: empty is %v, of %d", seed, m.Empty(), len(waiting))
			}
		}
		if a, f := m.Counts(); a != asked || f != found {
			t.Errorf("seed %d: counted %d and %d, want %d and %d", seed, a, f, asked, found)
		}
	}
}
