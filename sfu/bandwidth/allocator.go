package bandwidth

import (
	"cmp"
	"math"
	"slices"
)

const (
	// headroom is what of the budget may be used after something was switched up.
	headroom = 0.9
	// leastHold is how long nothing is switched up after something was switched down, doubled each time that going up was wrong, up to mostHold.
	leastHold = 2_000_000
	mostHold  = 32_000_000
	// wrongWithin is how soon after going up one goes down when going up was wrong.
	wrongWithin = 10_000_000
	// plenty is how many times the budget that was too little leaves no doubt.
	plenty = 2
	// steadyOver is over how long bitrates are smoothed, so that a key frame does not change what is chosen.
	steadyOver = 2_000_000
)

// Allocator chooses as Allocate does, and sees to it that choices do not flap. It belongs to one subscriber. The zero Allocator is ready for use.
type Allocator struct {
	tracks map[string]*memory
	at     int64 // when it chose last
	downAt int64 // when something was switched down last; 0 for never
	downTo int   // the budget then
	upAt   int64 // when something was switched up last
	hold   int64
}

// memory is what is known of a track from before.
type memory struct {
	chosen Choice
	bits   [MaxSpatial][MaxTemporal]float64
	seen   bool
	begun  int64 // when it was seen first
}

// Allocate chooses for a time in microseconds.
func (a *Allocator) Allocate(at int64, budget int, tracks []Track) []Choice {
	steady, known := a.remember(at, tracks)
	mayRise := a.downAt == 0 || at-a.downAt >= a.hold || at-a.downAt >= leastHold && budget > plenty*a.downTo
	choices := allocate(float64(budget), steady, func(i int, to Choice, first bool) float64 {
		switch m := known[i]; {
		case m == nil && first, m != nil && !m.chosen.lowerThan(to):
			return float64(budget)
		case m != nil && !mayRise:
			return -1
		}
		return headroom * float64(budget)
	})
	a.judge(at, budget, steady, known, choices)
	for i := range tracks {
		a.tracks[tracks[i].ID].chosen = choices[i]
	}
	a.at = at
	return choices
}

// lowerThan is whether another choice is more.
func (c Choice) lowerThan(other Choice) bool {
	return cmp.Or(cmp.Compare(c.Spatial, other.Spatial), cmp.Compare(c.Temporal, other.Temporal)) < 0
}

// remember gives the tracks with bitrates that are smoothed, and what is known of each from before, or nil; it forgets those that are gone.
func (a *Allocator) remember(at int64, tracks []Track) (steady []Track, known []*memory) {
	if a.tracks == nil {
		a.tracks, a.hold = map[string]*memory{}, leastHold
	}
	for _, m := range a.tracks {
		m.seen = false
	}
	part := 1 - math.Exp(-float64(at-a.at)/steadyOver)
	steady, known = slices.Clone(tracks), make([]*memory, len(tracks))
	for i := range steady {
		t := &steady[i]
		m := a.tracks[t.ID]
		known[i] = m
		if m == nil {
			m = &memory{chosen: nothing, begun: at}
			a.tracks[t.ID] = m
		}
		m.seen = true
		if at-m.begun < steadyOver {
			m.smooth(&t.Bits, 1) // it is still being found out how much comes
		} else {
			m.smooth(&t.Bits, part)
		}
	}
	for id, m := range a.tracks {
		if !m.seen {
			delete(a.tracks, id)
		}
	}
	return steady, known
}

func (m *memory) smooth(bits *[MaxSpatial][MaxTemporal]int, part float64) {
	for s := range bits {
		for t, b := range bits[s] {
			if was := m.bits[s][t]; was == 0 || b == 0 {
				m.bits[s][t] = float64(b)
			} else {
				m.bits[s][t] += (float64(b) - was) * part
			}
			bits[s][t] = int(m.bits[s][t])
		}
	}
}

// judge finds out whether something went down for want of bandwidth, or up.
func (a *Allocator) judge(at int64, budget int, tracks []Track, known []*memory, choices []Choice) {
	var down, up bool
	for i, m := range known {
		if m == nil || tracks[i].Audio {
			continue
		}
		was := m.chosen
		steps := tracks[i].ladder()
		if len(steps) > 0 && choices[i].lowerThan(was) && choices[i].lowerThan(steps[len(steps)-1]) {
			down = true
		}
		up = up || was.lowerThan(choices[i]) && was.Paused || was.Spatial >= 0 && was.lowerThan(choices[i])
	}
	if down {
		if a.upAt != 0 && at-a.upAt < wrongWithin {
			a.hold = min(2*a.hold, mostHold)
		}
		a.downAt, a.downTo = at, budget
	}
	if up {
		a.upAt = at
	} else if !down && at-max(a.upAt, a.downAt) > 2*mostHold {
		a.hold = leastHold
	}
}
