package bandwidth

import (
	"cmp"
	"slices"
)

// MaxSpatial and MaxTemporal are how many layers a video can have.
const (
	MaxSpatial  = 3
	MaxTemporal = 4
)

// Track is a track that a subscriber gets, or is to get.
type Track struct {
	ID       string // by which an Allocator knows it again
	Audio    bool
	Screen   bool // what somebody shows of a screen
	Speaker  bool // of somebody who speaks
	Priority int  // among those that are alike otherwise, the larger first
	Keep     bool // its lowest layer is sent also where it does not fit

	// Spatial and Temporal are the highest layers that are wanted; Spatial is -1 when the track is not wanted now.
	Spatial, Temporal int
	// Bits are the bits per second of each layer with all that it depends on; 0 where nothing comes.
	Bits [MaxSpatial][MaxTemporal]int
}

// Choice is what is chosen for a track.
type Choice struct {
	// Spatial and Temporal are the highest layers to send; -1 for nothing.
	Spatial, Temporal int
	Bits              int  // what it takes, in bits per second
	Paused            bool // it is wanted, and does not fit
}

// nothing is chosen for a track that is not wanted, or is paused.
var nothing = Choice{Spatial: -1, Temporal: -1}

// ladder gives what can be chosen for a track, the least first. Where nothing comes of it, that is what is wanted, for when it does.
func (t *Track) ladder() []Choice {
	if t.Spatial < 0 {
		return nil
	}
	top := min(t.Temporal, MaxTemporal-1)
	var steps []Choice
	for s := range min(t.Spatial, MaxSpatial-1) + 1 {
		rungs := t.rungs(s, top)
		// What is larger and takes less leaves no reason for what is smaller: a layer of which little comes, say of a still picture.
		for n := len(steps); n > 0 && len(rungs) > 0 && steps[n-1].Bits >= rungs[0].Bits; n-- {
			steps = steps[:n-1]
		}
		steps = append(steps, rungs...)
	}
	for s := t.Spatial + 1; len(steps) == 0 && s < MaxSpatial; s++ {
		steps = t.rungs(s, top) // the lowest that comes, though less is wanted
	}
	if len(steps) == 0 {
		steps = append(steps, Choice{Spatial: min(t.Spatial, MaxSpatial-1), Temporal: top})
	}
	return steps
}

// rungs gives what can be chosen of one spatial layer.
func (t *Track) rungs(s, top int) []Choice {
	var steps []Choice
	for temporal := 0; temporal <= top; temporal++ {
		bits := t.Bits[s][temporal]
		if bits <= 0 {
			continue
		}
		if n := len(steps); n > 0 && bits <= steps[n-1].Bits {
			steps[n-1].Temporal = temporal // nothing comes of this one
			continue
		}
		steps = append(steps, Choice{Spatial: s, Temporal: temporal, Bits: bits})
	}
	// A larger picture that moves in jerks is no better. What is on a screen, though, is to be read.
	if n := len(steps); s > 0 && !t.Screen && n > 2 {
		steps = steps[n-2:]
	}
	return steps
}

func (t *Track) class() int {
	switch {
	case t.Audio:
		return 0
	case t.Screen:
		return 1
	case t.Speaker:
		return 2
	}
	return 3
}

// Allocate chooses the layers of a subscriber's tracks for a budget in bits per second. Audio is always sent. All videos get their lowest layer
// before any gets more; then screens come before those who speak, and these before others. What does not fit is paused, unless it is to be kept.
func Allocate(budget int, tracks []Track) []Choice {
	return allocate(float64(budget), tracks, func(int, Choice, bool) float64 { return float64(budget) })
}

// allocate chooses step by step, each of which is taken if all is within a limit with it; the limit of a step may be lower than the budget.
func allocate(budget float64, tracks []Track, limit func(track int, to Choice, first bool) float64) []Choice {
	choices := make([]Choice, len(tracks))
	ladders := make([][]Choice, len(tracks))
	var used float64
	for i := range tracks {
		choices[i], ladders[i] = nothing, tracks[i].ladder()
		if n := len(ladders[i]); tracks[i].Audio && n > 0 {
			choices[i] = ladders[i][n-1]
			used += float64(choices[i].Bits)
			ladders[i] = nil
		}
	}
	order := inOrder(tracks)
	take := func(i, step int) bool {
		to := ladders[i][step]
		with := used + float64(to.Bits-choices[i].Bits)
		if with > min(budget, limit(i, to, step == 0)) && to.Bits > 0 {
			return false
		}
		choices[i], used = to, with
		return true
	}
	for _, i := range order {
		if len(ladders[i]) == 0 || take(i, 0) {
			continue
		}
		if tracks[i].Keep {
			choices[i] = ladders[i][0]
			used += float64(choices[i].Bits)
		} else {
			choices[i].Paused = true
		}
		ladders[i] = nil
	}
	for len(order) > 0 {
		class := order
		for j, i := range order {
			if tracks[i].class() != tracks[order[0]].class() {
				class = order[:j]
				break
			}
		}
		climb(class, ladders, take)
		order = order[len(class):]
	}
	return choices
}

// climb goes up the ladders of some tracks, a step each in turn, until none can go further.
func climb(class []int, ladders [][]Choice, take func(i, step int) bool) {
	for step, more := 1, true; more; step++ {
		more = false
		for _, i := range class {
			if step >= len(ladders[i]) {
				continue
			}
			if take(i, step) {
				more = true
			} else {
				ladders[i] = nil
			}
		}
	}
}

// inOrder gives the tracks by how much they matter.
func inOrder(tracks []Track) []int {
	order := make([]int, len(tracks))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int {
		return cmp.Or(cmp.Compare(tracks[a].class(), tracks[b].class()), cmp.Compare(tracks[b].Priority, tracks[a].Priority))
	})
	return order
}

// Wanted is how many bits per second tracks take if all that is wanted is sent.
func Wanted(tracks []Track) int {
	sum := 0
	for i := range tracks {
		if steps := tracks[i].ladder(); len(steps) > 0 {
			sum += steps[len(steps)-1].Bits
		}
	}
	return sum
}
